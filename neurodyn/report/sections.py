"""The sections of a report, each made of what a run holds, or left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.plots import Drawing
from neurodyn.provenance import history
from neurodyn.report.brainmae import brainmae_sections
from neurodyn.report.connectome import connectome_sections
from neurodyn.report.neuroformer import neuroformer_sections
from neurodyn.report.parts import Section, Table
from neurodyn.report.run import Run
from neurodyn.report.sweep import search_sections

__all__ = ["reproduce", "sections_of"]

MEANINGS = {
    "co_bps": "bits per spike on held-out units; 0 is the mean rate of each unit",
    "fp_bps": "bits per spike in the time after the window; 0 is the mean rate of each unit",
    "held_in_bps": "bits per spike on the units that the model sees",
    "rate_r2": "R² of inferred rates against the true expectation, mean over units",
    "vel_r2": "R² of hand velocity decoded from the rates",
    "variance_explained": "share of the squared affinities that the components make up",
    "psth_r2": "R² of condition averages, mean over units",
}
STEPS = {
    "cut_blocks": "The recording has no trials, or was used without them: it was cut into blocked "
    "windows with gaps between them.",
}


def sections_of(run: Run, *, question: str | None, notes: Sequence[str]) -> list[Section]:
    """Return the sections for which the run has something to show."""
    made = (
        _asked(run, question),
        _data(run, notes),
        _scores(run),
        *search_sections(run.results),
        *connectome_sections(run),
        # both tell of decoding: a run is of one of them
        *(neuroformer_sections(run.others, run.metrics) or brainmae_sections(run)),
        _training(run),
        _rates(run),
        _latents(run),
        _oscillators(run),
        _shuffle(run),
    )
    return [section for section in made if section is not None]


def _asked(run: Run, question: str | None) -> Section:
    if question is None and ("likelihood" in run.metrics or "generated" in run.others):
        question = (
            "How much of the spikes does the past tell, and do spikes that the model generates by"
            " itself look like recorded ones?"
        )
    if question is None and "rate" in run.results:
        sizes = run.results["rate"].sizes
        n_held_out = int(run.results["held_out"].sum()) if "held_out" in run.results.coords else 0
        question = (
            f"What dynamics produced this recording? {run.model} was asked for the firing rates of "
            f"{sizes['unit']} units in {sizes['trial']} trials"
            + (f", {n_held_out} of the units held out" if n_held_out else "")
            + "."
        )
    if question is None and "pair_factor" in run.results:
        question = "Which nodes act together, when, and in which animals?"
    if question is None and {"similarity", "decoded"} & {*run.results}:
        question = "What does a masked autoencoder learn of the brain, without labels?"
    if question is None and "best" in run.results.attrs:
        metric = run.results.attrs["metric"]
        question = f"Which settings of {run.model} have the best validation {metric}?"
    return Section("What was asked", text=[question or f"How does {run.model} do on these data?"])


def _data(run: Run, notes: Sequence[str]) -> Section:
    results, steps = run.results, history(run.results)
    names = {"trial": "trials", "animal": "animals", "time": "times", "unit": "units"}
    names.update({"roi": "rois", "channel": "channels"})
    if "trial" in results.sizes:
        names["time"] = "bins per trial"
    facts: list[tuple[str, object]] = [
        (name, results.sizes[dim]) for dim, name in names.items() if dim in results.sizes
    ]
    if "bin_size" in results.attrs:
        facts.append(("bin size", f"{1000 * results.attrs['bin_size']:g} ms"))
    if "count" in results:
        counts = rec.masked_counts(results)
        facts.append(("spikes", f"{int(np.nansum(counts)):,}"))
        facts.append(("spikes per bin", f"{float(counts.mean()):.4f}"))
        facts.append(("observed bins", f"{float(counts.notnull().mean()):.2%}"))
    facts.extend(
        ("repaired or dropped", f"{name}: {n}")
        for name, n in dict(run.results.attrs.get("quality") or {}).items()
    )
    facts.extend(("input", f"{name}: {_facts(of)}") for name, of in run.listed("inputs"))
    said = [STEPS[step["step"]] for step in steps if step["step"] in STEPS]
    all_notes = [*notes, *run.metrics.get("notes", ()), *run.manifest.get("notes", ()), *said]
    log = "\n".join(f"{step['step']} {json.dumps(step['parameters'])}" for step in steps)
    return Section(
        "Data",
        notes=list(dict.fromkeys(map(str, all_notes))),
        tables=[Table(facts)] if facts else [],
        code=[("steps from the file to the result", log)] if log else [],
    )


def _facts(of: object) -> object:
    """Return a mapping, ``{"digest": …, "n_trials": …}``, as words."""
    if isinstance(of, Mapping):
        return ", ".join(f"{name} {value}" for name, value in of.items())
    return of


def _scores(run: Run) -> Section | None:
    rows = run.metrics.get("scores", ())
    if not rows:
        return None
    table = _score_table(rows, run.model)
    metrics = table["metric"].values.tolist()
    drawings = []
    for metric in metrics:
        column = table.sel(metric=metric)
        n_models = int(column["score"].notnull().sum())
        lines = " Lines are intervals over trials." if column["low"].notnull().any() else ""
        if n_models > 1:
            draw = partial(_draw_scores, table=table, metric=metric)
            caption = f"{metric}: {MEANINGS.get(metric, 'score')}.{lines}"
            drawings.append(Drawing(draw, caption, (6.5, 0.9 + 0.32 * n_models)))
    body = [
        (name, *(_with_interval(table.sel(model=name, metric=metric)) for metric in metrics))
        for name in table["model"].values.tolist()
    ]
    tables = [Table(body, ("model", *metrics), "scores with their intervals", _marks(table))]
    paired = [
        (
            f"{row['model']} − {row['reference']}",
            row["metric"],
            f"{row['difference']:+.4f}",
            f"[{row['low']:+.4f}, {row['high']:+.4f}]",
            _verdict(row),
        )
        for row in run.metrics.get("differences", ())
    ]
    if paired:
        head = ("difference", "metric", "estimate", "interval", "reading")
        tables.append(Table(paired, head, "differences, paired by trial"))
    return Section("Scores beside the baselines", drawings=drawings, tables=tables)


def _training(run: Run) -> Section | None:
    quantities = [
        name
        for name in ("loss", "nll", "co_bps", "bits_per_spike")
        if any(isinstance(row.get(name), int | float) for row in run.history)
    ]
    if not quantities:
        return None
    drawings = [
        Drawing(
            partial(_draw_training, rows=run.history, quantity=name),
            f"{name} over {run.history[-1]['step']:,} training steps",
            (6.5, 2.6),
        )
        for name in quantities
    ]
    return Section("Training", drawings=drawings)


def _rates(run: Run) -> Section | None:
    results = run.results
    if "rate" not in results or "trial" not in results.dims:
        return None
    reference = results["true_rate"] if "true_rate" in results else results["rate"]
    trial = results["trial"].values[reference.sum(["time", "unit"]).values.argmax()]
    shown = _telling_units(results, reference.sel(trial=trial))
    truth = results[["true_rate"]].rename(true_rate="rate") if "true_rate" in results else None
    counts = results if "count" in results else None

    def draw(figure: Any) -> None:
        for axes, unit in zip(
            figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0], shown
        ):
            plots.rates(
                results, truth, unit=unit, trial=trial, counts=counts, name=run.model, ax=axes
            )
            if unit != shown[0]:
                axes.get_legend().remove()
            axes.set_xlabel("time in trial [s]" if unit == shown[-1] else "")

    against = "against the truth" if truth is not None else "and spikes"
    caption = (
        f"Inferred rates {against} in trial {trial}: the units that vary most, held-out first."
    )
    return Section(f"Rates {against}", drawings=[Drawing(draw, caption, (6.5, 2.0 * len(shown)))])


def _latents(run: Run) -> Section | None:
    if "latent" not in run.results or run.results.sizes.get("factor", 0) < 3:
        return None
    drawing = Drawing(
        lambda figure: plots.latents(run.results, ax=figure.add_subplot(projection="3d")),
        "Latent trajectories, averaged within conditions where there are conditions; dots mark "
        "where they begin.",
        (6.0, 5.0),
    )
    return Section("Latent dynamics", drawings=[drawing])


def _oscillators(run: Run) -> Section | None:
    if "frequency" not in run.results or "quality" not in run.results:
        return None
    drawing = Drawing(
        lambda figure: plots.dispersion(run.results, ax=figure.add_subplot()),
        "Dispersion relation of the learned oscillators. Hollow modes are overdamped (Q < 0.5).",
        (6.5, 3.2),
    )
    return Section("Learned oscillators", drawings=[drawing])


def _shuffle(run: Run) -> Section | None:
    costs = run.results
    if "cost" not in costs or "part" not in costs.dims:
        return None
    columns = [name for name in ("cost", "co_bps") if name in costs]
    head = ("shuffled", *(f"{name} [{costs[name].attrs.get('units', '')}]" for name in columns))
    rows = [
        (str(part), *(f"{float(costs[name].sel(part=part)):.4f}" for name in columns))
        for part in costs["part"].values
    ]
    text = (
        "Parts of the latent state (z position, v velocity, h hidden state of the encoder) are "
        "exchanged between trials and the counts predicted again. What that costs is what the "
        "part is worth to the prediction; a part that costs nothing is not used."
    )
    return Section("What the latent states are worth", text=[text], tables=[Table(rows, head)])


def reproduce(run: Run) -> Section:
    """Return how to do the run again: command, settings, versions, digests."""
    command = run.manifest.get("command") or (
        f"neurodyn fit {run.manifest.get('estimator', 'MODEL')} DATA --config config.toml"
    )
    facts = [
        (name, run.manifest[name])
        for name in ("estimator", "seed", "device", "config_uid", "written")
        if run.manifest.get(name) is not None
    ]
    facts.extend((name, version) for name, version in run.listed("versions"))
    files = "\n".join(f"{digest}  {name}" for name, digest in run.listed("files"))
    code = [("command", str(command)), ("config.toml", run.config), ("files and digests", files)]
    return Section(
        "How to reproduce",
        tables=[Table(facts)] if facts else [],
        code=[(name, text) for name, text in code if text],
        open=True,
    )


def _draw_scores(figure: Figure, table: xr.Dataset, metric: str) -> None:
    plots.scores(table, metric, ax=figure.add_subplot())


def _draw_training(figure: Figure, rows: Sequence[Mapping[str, Any]], quantity: str) -> None:
    plots.training_curves(rows, quantity=quantity, ax=figure.add_subplot())


def _score_table(rows: Iterable[Mapping[str, Any]], headline: str) -> xr.Dataset:
    """Return rows of scores as a dataset (model, metric) with NaN where there is none."""
    rows = list(rows)
    models = list(dict.fromkeys(str(row["model"]) for row in rows))
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    values = np.full((3, len(models), len(metrics)), np.nan)
    for row in rows:
        at = models.index(str(row["model"])), metrics.index(str(row["metric"]))
        for layer, name in enumerate(("score", "low", "high")):
            value = row.get(name)
            values[layer, *at] = np.nan if value is None else value
    dims = ("model", "metric")
    return rec.results(
        {name: (dims, layer) for name, layer in zip(("score", "low", "high"), values)},
        {
            "model": models,
            "metric": metrics,
            "headline": ("model", [name == headline for name in models]),
        },
        units={str(row["metric"]): row["units"] for row in rows if row.get("units")},
    )


def _telling_units(results: xr.Dataset, rate: xr.DataArray, n_units: int = 3) -> list[str]:
    """Return the units whose rate varies most, held-out ones first."""
    spread = rate.std("time").values
    held_out = (
        results["held_out"].values if "held_out" in results.coords else np.zeros(spread.size, bool)
    )
    return [str(results["unit"].values[row]) for row in np.lexsort((-spread, ~held_out))[:n_units]]


def _with_interval(cell: xr.Dataset) -> str:
    score, low, high = (float(cell[name]) for name in ("score", "low", "high"))
    if np.isnan(score):
        return "–"
    return f"{score:.4f}" + ("" if np.isnan(low) else f" [{low:.4f}, {high:.4f}]")


def _verdict(row: Mapping[str, Any]) -> str:
    if row["low"] > 0.0:
        return "better"
    return "worse" if row["high"] < 0.0 else "not told apart"


def _marks(table: xr.Dataset) -> list[int]:
    return [int(row) for row in np.flatnonzero(table["headline"].values)]
