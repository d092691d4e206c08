"""The sections of a report on a Neuroformer, and what a run folder has to hold for them.

Any part may be missing, and its section is left out. Beside ``results.nc``:

``recorded.nc``, ``generated.nc``
    Recordings with the spikes that the model was compared with, and those that it generated: the
    same units in the same order and, for trial averages, tables of trials.
``decoded.nc``
    Result with ``predicted`` and ``true`` ``(time, feature)``.
``connectivity.nc``
    Result with ``score ([measure,] unit, unit_to)``, the model's own measure first, and ``weight
    (unit, unit_to)`` where the truth is known.
``metrics.json``
    ``likelihood``: rows of ``model, bits_per_spike, bits_per_spike_given_past``. ``generation``:
    rows of ``statistic, generated, ceiling``, with the names that
    :func:`neurodyn.metrics.compare_generated` gives; the ceiling is between two halves of the
    recording. ``decoding``: rows of ``behavior, model, r, r2`` and perhaps ``inputs``, what is
    read. ``few_shot``: rows of ``behavior, model, share, r``. ``connectivity``: rows of
    ``measure, auc, direction_accuracy``. Rows of baselines have ``baseline``: ``"poisson"``,
    ``"history_glm"``, ``"ridge"`` or another word. Numbers may have an interval, such as
    ``r_low`` and ``r_high``. ``limits``: sentences beside those that hold of every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.plots import Drawing
from neurodyn.report.parts import Section, Table
from neurodyn.transforms.alignment import align
from neurodyn.transforms.observation import observation_intervals

__all__ = ["neuroformer_sections"]

Data = xr.DataTree | xr.Dataset
Row = Mapping[str, Any]

GIVEN_PAST = "bits_per_spike_given_past"
COLUMNS = {
    GIVEN_PAST: "bits per spike given the past",
    "bits_per_spike": "bits per spike, same bin too",
    "r": "r",
    "r2": "R²",
    "auc": "AUC",
    "average_precision": "average precision",
    "direction_accuracy": "right direction",
    "generated": "generated",
    "ceiling": "other half of the recording",
}
STATISTICS = {
    "rate_error": "relative error of rates, mean over units",
    "rate_ratio": "all spikes, generated over recorded",
    "correlation_rmse": "RMSE of correlations of pairs",
    "isi_mean_error": "error of mean intervals [s]",
    "isi_sd_error": "error of SDs of intervals [s]",
    "population_kl": "KL of population counts [nats]",
    "autocorrelation_rmse": "RMSE of autocorrelations",
}
NO_GLM = (
    "No generalised linear model of spike history and couplings stands beside the likelihood:"
    " without it nobody can tell what the network adds to linear filters."
)
NO_CEILING = (
    "No comparison of two halves of the recording stands beside the generated spikes: without it"
    " the distances say little."
)
NO_RIDGE = "No ridge regression on the same folds stands beside the decoding."
FEW_TRIALS = (
    "No stimulus has two whole trials in both recordings: mean rates over trials are not shown."
)
SILENT = "In the stretch that would be shown, one of the two recordings has no spikes."
LIMITS = (
    "With spikes of the same bin a model sees part of what it predicts: baselines without them are"
    " compared given the past alone.",
    "Couplings tell whose spikes the model uses to predict those of another unit; a common input"
    " that was not recorded looks like a coupling.",
    "Statistics of generated spikes may agree while single trials do not, and the other way round.",
)
BIN = 0.05
MOST_STIMULI = 4
SECONDS_OF_RASTER = 10.0
SECONDS_OF_TRACE = 100.0


def neuroformer_sections(results: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[Section]:
    """Return the sections for which there is something to show, in the order of the page.

    Parameters
    ----------
    results
        ``recorded``, ``generated``, ``decoded`` and ``connectivity``, whichever there are, as the
        top of this file says.
    metrics
        What ``metrics.json`` holds.

    Raises
    ------
    DataError, EmptySelectionError
        If a result lacks its variables, or recorded and generated units differ.

    Examples
    --------
    >>> rows = [
    ...     {"model": "neuroformer", "bits_per_spike_given_past": 0.5},
    ...     {"model": "GLM", "baseline": "history_glm", "bits_per_spike_given_past": 0.4},
    ... ]
    >>> sections = neuroformer_sections({}, {"likelihood": rows})
    >>> [section.title for section in sections]
    ['Spikes told by the past', 'Limits']
    >>> sections[0].text
    ['neuroformer (0.500) is above GLM (0.400) in bits per spike given the past.']
    """
    made = (
        _likelihood(metrics),
        _generation(results, metrics),
        _decoding(results, metrics),
        _connectivity(results, metrics),
    )
    found = [section for section in made if section is not None]
    if found:
        limits = [*LIMITS, *map(str, metrics.get("limits", ()))]
        found.append(Section("Limits", text=limits))
    return found


def _likelihood(metrics: Mapping[str, Any]) -> Section | None:
    rows = list(metrics.get("likelihood", ()))
    if not rows:
        return None
    table = _table(rows, ("model",), (GIVEN_PAST, "bits_per_spike"), "held-out windows")
    notes = [] if _has(rows, "history_glm") else [NO_GLM]
    told = [row for row in rows if row.get(GIVEN_PAST) is not None]
    drawings = []
    if len(told) > 1:
        draw = partial(_draw_scores, rows=told, metric=GIVEN_PAST)
        caption = "Bits per spike given the past alone; 0 is the mean rate of each unit."
        drawings.append(Drawing(draw, caption, (6.5, 0.9 + 0.32 * len(told))))
    return Section(
        "Spikes told by the past",
        text=_compared(rows, GIVEN_PAST),
        notes=notes,
        drawings=drawings,
        tables=[table],
    )


def _generation(results: Mapping[str, Any], metrics: Mapping[str, Any]) -> Section | None:
    rows = list(metrics.get("generation", ()))
    drawings: list[Drawing] = []
    notes: list[str] = []
    if {"recorded", "generated"} <= {*results}:
        drawings, notes = _beside(results["recorded"], results["generated"])
    if not rows and not drawings:
        return None
    tables = []
    if rows:
        named = [
            {**row, "statistic": STATISTICS.get(row["statistic"], row["statistic"])} for row in rows
        ]
        caption = "distance of generated spikes from recorded ones"
        tables.append(_table(named, ("statistic",), ("generated", "ceiling"), caption))
        if all(row.get("ceiling") is None for row in rows):
            notes.append(NO_CEILING)
    return Section("Spikes that it generates", notes=notes, drawings=drawings, tables=tables)


def _beside(recorded: Data, generated: Data) -> tuple[list[Drawing], list[str]]:
    """Return rasters, trial averages and statistics of both, and why one of them is missing."""
    drawings, notes = [], []
    start, stop = _stretch(rec.pick(generated, "spikes"))
    if all(_any_spikes(data, start, stop) for data in (recorded, generated)):
        draw = _filled(plots.raster_pair, recorded, generated, start=start, stop=stop)
        caption = "The same stretch of time as it was recorded and as the model went on by itself."
        drawings.append(Drawing(draw, caption, (8.0, 3.2)))
    else:
        notes.append(SILENT)
    if all(isinstance(data, xr.DataTree) and "trials" in data for data in (recorded, generated)):
        drawn = _trial_averages(recorded, generated)
        drawings += [] if drawn is None else [drawn]
        notes += [] if drawn else [FEW_TRIALS]
    draw = _filled(plots.generation_statistics, recorded, generated)
    caption = "Statistics of generated against recorded spikes; on the dashed line they are equal."
    drawings.append(Drawing(draw, caption, (8.0, 5.4)))
    return drawings, notes


def _stretch(spikes: xr.Dataset) -> tuple[float, float]:
    """Return the first seconds of what was generated."""
    intervals = observation_intervals(spikes)
    if intervals is not None and any(map(len, intervals)):
        start = min(float(own[:, 0].min()) for own in intervals if len(own))
    else:
        start = float(spikes["spike_time"].min()) if spikes.sizes["spike"] else 0.0
    return start, start + SECONDS_OF_RASTER


def _any_spikes(data: Data, start: float, stop: float) -> bool:
    time = rec.pick(data, "spikes")["spike_time"].values
    return bool(((time >= start) & (time < stop)).any())


def _trial_averages(recorded: Data, generated: Data) -> Drawing | None:
    """Return the trial averages of stimuli that were repeated in both, if there are any."""
    trials = rec.pick(recorded, "trials")
    shortest = float((trials["stop"] - trials["start"]).min())
    try:
        both = [align(data, window=(0.0, shortest), bin_size=BIN) for data in (recorded, generated)]
    except (ConfigError, EmptySelectionError):
        # trials shorter than a bin; no trial that was generated
        return None
    by = next((name for name in ("stimulus", "condition") if name in trials), None)
    labels = [ds[by].values if by else np.zeros(ds.sizes["trial"], dtype=int) for ds in both]
    repeated = [set(np.unique(own)[np.unique(own, return_counts=True)[1] > 1]) for own in labels]
    shared = sorted(set.intersection(*repeated))[:MOST_STIMULI]
    both = [ds.isel(trial=np.isin(own, shared)) for ds, own in zip(both, labels)]
    seen = [rec.masked_counts(ds).notnull().all(("trial", "unit")).values for ds in both]
    if not shared or np.logical_and(*seen).sum() < 2:
        return None
    caption = (
        "Mean rates over recorded and generated trials, with standard errors: the three units"
        " whose recorded mean holds the least noise. r is their correlation, of what the recorded"
        " mean would reach with the true rate."
    )
    size = (max(6.5, 2.0 + 2.0 * len(shared)), 5.0)
    return Drawing(_filled(plots.psth_pair, *both, by=by), caption, size)


def _decoding(results: Mapping[str, Any], metrics: Mapping[str, Any]) -> Section | None:
    rows = [row for row in metrics.get("decoding", ()) if "behavior" in row]
    few = [row for row in metrics.get("few_shot", ()) if "behavior" in row]
    if not rows and not few and "decoded" not in results:
        return None
    text: list[str] = []
    drawings, tables = [], []
    for behavior, own in _groups(rows):
        text += [f"{behavior}: {sentence}" for sentence in _compared(own, "r")]
        labels = ("model", "inputs") if any("inputs" in row for row in own) else ("model",)
        tables.append(_table(own, labels, ("r", "r2"), behavior))
    notes = [NO_RIDGE] if rows and not _has(rows, "ridge") else []
    if "decoded" in results:
        decoded = results["decoded"]
        start = float(decoded["time"].min())
        draw = _filled(plots.decoded_traces, decoded, start=start, stop=start + SECONDS_OF_TRACE)
        caption = f"The first {SECONDS_OF_TRACE:g} s; r and R² are of all instants."
        drawings.append(Drawing(draw, caption, (6.5, 0.6 + 1.5 * decoded.sizes["feature"])))
    for behavior, own in _groups(few):
        caption = f"{behavior}: correlation by the share of the training data that was used."
        drawings.append(Drawing(_panel(plots.few_shot_curve, own), caption, (5.0, 3.0)))
    return Section("Behavior decoded", text=text, notes=notes, drawings=drawings, tables=tables)


def _connectivity(results: Mapping[str, Any], metrics: Mapping[str, Any]) -> Section | None:
    rows = list(metrics.get("connectivity", ()))
    found = results.get("connectivity")
    if not rows and found is None:
        return None
    drawings = []
    if found is not None:
        truth = found if "weight" in found else None
        draw = _filled(plots.coupling_matrix, found, truth)
        beside = ", beside the true weights" if truth is not None else ""
        caption = f"Inferred couplings{beside}; the units of the strongest output come first."
        drawings.append(Drawing(draw, caption, (8.4 if beside else 4.6, 3.6)))
        if truth is not None:
            draw = _panel(plots.coupling_roc, found, truth)
            caption = "True edges found over other pairs taken for edges, as the threshold falls."
            drawings.append(Drawing(draw, caption, (4.2, 3.6)))
    tables = []
    if rows:
        columns = ("auc", "average_precision", "direction_accuracy")
        caption = "how well the true edges and their directions are found"
        tables.append(_table(rows, ("measure",), columns, caption))
    text = _compared([{**row, "model": row["measure"]} for row in rows], "auc")
    return Section("Who drives whom", text=text, drawings=drawings, tables=tables)


def _compared(rows: Sequence[Row], metric: str) -> list[str]:
    """Say whether the best row of ours is above the best of the baselines, if both are there."""
    told = [row for row in rows if row.get(metric) is not None]
    own = [row for row in told if not row.get("baseline")]
    others = [row for row in told if row.get("baseline")]
    if not own or not others:
        return []
    best, other = (max(some, key=lambda row: float(row[metric])) for some in (own, others))
    ahead = "is above" if float(best[metric]) > float(other[metric]) else "is not above"
    first, second = (f"{row['model']} ({float(row[metric]):.3f})" for row in (best, other))
    return [f"{first} {ahead} {second} in {COLUMNS[metric]}."]


def _table(
    rows: Sequence[Row], labels: Sequence[str], columns: Iterable[str], caption: str
) -> Table:
    """Return rows as a table, without columns that no row has; rows of ours stand out."""
    known = [name for name in columns if any(row.get(name) is not None for row in rows)]
    cells = [
        (*(row.get(label, "") for label in labels), *(_number(row, name) for name in known))
        for row in rows
    ]
    with_baselines = any(row.get("baseline") for row in rows)
    marked = [place for place, row in enumerate(rows) if with_baselines and not row.get("baseline")]
    return Table(cells, (*labels, *(COLUMNS[name] for name in known)), caption, marked)


def _number(row: Row, name: str) -> str:
    """Return a number with its interval, if it has one."""
    value, low, high = (row.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return "–"
    return f"{value:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")


def _has(rows: Iterable[Row], baseline: str) -> bool:
    return any(row.get("baseline") == baseline for row in rows)


def _groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return rows by their behavior, in the order in which they come."""
    names = dict.fromkeys(str(row["behavior"]) for row in rows)
    return [(name, [row for row in rows if str(row["behavior"]) == name]) for name in names]


def _draw_scores(figure: Figure, rows: Sequence[Row], metric: str) -> None:
    """Draw one score of the rows as dots, rows that are no baselines marked."""
    keys = {"score": metric, "low": f"{metric}_low", "high": f"{metric}_high"}
    values = {
        name: (("model", "metric"), [[float(row.get(key, np.nan))] for row in rows])
        for name, key in keys.items()
    }
    headline = [not row.get("baseline") for row in rows]
    models = [str(row["model"]) for row in rows]
    coords = {"model": models, "metric": [COLUMNS[metric]], "headline": ("model", headline)}
    plots.scores(rec.results(values, coords), COLUMNS[metric], ax=figure.add_subplot())


def _filled(plot: Callable[..., Any], *of: Any, **settings: Any) -> Callable[[Figure], Any]:
    """Return how to fill a figure with the panels of one plot."""
    return lambda figure: plot(*of, figure=figure, **settings)


def _panel(plot: Callable[..., Any], *of: Any) -> Callable[[Figure], Any]:
    """Return how to fill a figure with the one panel of a plot."""
    return lambda figure: plot(*of, ax=figure.add_subplot())
