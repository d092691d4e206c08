"""The sections of a report on a BrainMAE, and what a run folder has to hold for them.

``results.nc``
    What :func:`brainmae_results` gives. Any part may be missing, and its section is left out.
``stimuli.nc``
    Kind ``trials``: events of the run that is shown as an example.
``metrics.json``
    ``reconstruction``: rows of ``model, masking, ratio, masked_r2``; the row of the baseline has
    ``baseline: "gaussian"``. ``decoding``: rows of ``target, model, metric, score`` and perhaps
    ``low, high``, intervals over subjects; rows of baselines have ``baseline``:
    ``"connectivity"``, ``"roi_means"`` or another word. ``decoding_differences``: rows of
    ``target, model, reference, metric, difference, low, high``, paired by subject. ``limits``:
    sentences beside those that hold of every run.
``history.jsonl``
    As training wrote it, with ``masked_r2`` in its rows of kind ``validation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.plots import Drawing
from neurodyn.report.parts import Section, Table
from neurodyn.report.run import Run

if TYPE_CHECKING:
    from neurodyn.models.brainmae.estimator import BrainMAE

__all__ = ["brainmae_results", "brainmae_sections"]

NO_GAUSSIAN = (
    "The mean given the group covariance is missing beside the masked R²: without it nobody can"
    " tell what the network adds to linear relations."
)
NO_CONNECTIVITY = (
    "No baseline of functional connectivity or of the means of regions stands beside the decoding:"
    " without one the scores say little."
)
LIMITS = (
    "The model follows the published description (arXiv 2406.17086); no official code or weights"
    " exist to compare it with, and sizes are ours where the paper's are not known.",
    "Attention says what is read, not what is needed: hiding regions is the causal counterpart.",
    "BOLD is smooth over ten seconds and more: masks drawn anew for each segment can be filled in"
    " from the time before and after; the scheme 'tube' leaves no such way.",
    "Head motion and site shape fMRI as traits of people do; a decoded trait is not free of them"
    " unless they were held apart.",
)
STRONGEST = 150
# label and caption of what is drawn on the brain
ON_BRAIN = {
    "r2": ("R²", "How well each region is told by the others in the example."),
    "cls_change": ("change", "How far the summary moves when a region is hidden."),
    "mean_r2_loss": (
        "loss of R²",
        "What the other regions lose in masked R² when a region is hidden.",
    ),
}


def brainmae_results(
    model: BrainMAE,
    data: xr.DataTree | xr.Dataset,
    *,
    run: str | None = None,
    occlude: bool = True,
    n_permutations: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Bring what a pre-trained model has learned into the dataset that ``results.nc`` holds.

    Parameters
    ----------
    model, data
        Fitted; runs, best of people that it was not fitted on.
    run
        Name of the run that is shown as an example; by default the first.
    occlude
        Also hide each region once, the one part that takes time.
    n_permutations, seed
        Of the spatial null.

    Returns
    -------
    xr.Dataset
        The variables of these functions of :mod:`neurodyn.models.brainmae.interpretation`:
        ``embedding_similarity``, ``group_connectivity``, ``connectivity_correlation``,
        ``network_contrast`` (if networks and centroids are known), ``static_attention`` (if the
        variant has it), ``occlusion``; of the example, which the attribute ``run`` names,
        ``reconstruction_example``, and ``cls_attention`` as the mean over heads.

    Raises
    ------
    NotFittedError, DataError, EmptySelectionError, DegenerateInputError
        As these functions.
    """
    from neurodyn.models.brainmae import interpretation as of
    from neurodyn.models.brainmae.context import bold_runs

    example = of.reconstruction_example(model, data, run)
    name = str(example.attrs["run"])
    chosen = bold_runs(data)[name]
    similarity, group = of.embedding_similarity(model), of.group_connectivity(data)
    attention = of.cls_attention(model, chosen)
    named = {"run": ("window", [name] * attention.sizes["window"])}
    parts = [
        example,
        similarity,
        group.sel(roi=similarity["roi"], roi_to=similarity["roi_to"]).drop_vars(["roi", "roi_to"]),
        rec.results({"connectivity_correlation": of.connectivity_correlation(similarity, group)}),
        attention.mean("head").assign_coords(named),
    ]
    if any(model.context_.network) and model.context_.position:
        parts.append(of.network_contrast(similarity, n_permutations=n_permutations, seed=seed))
    if model.config.variant in ("sg", "ag", "position"):
        parts.append(of.static_attention(model))
    if occlude:
        parts.append(of.occlusion(model, data, seed=seed))
    merged = xr.merge(parts, join="exact", compat="no_conflicts", combine_attrs="override")
    return merged.assign_attrs(run=name, segment_duration=attention.attrs["segment_duration"])


def brainmae_sections(run: Run) -> list[Section]:
    """Return the sections for which a run has something to show, in the order of the page."""
    made = (
        _reconstruction(run),
        _embeddings(run),
        _attention(run),
        _time(run),
        _brain(run),
        _decoding(run),
    )
    found = [section for section in made if section is not None]
    if found:
        limits = [*LIMITS, *map(str, run.metrics.get("limits", ()))]
        found.append(Section("Limits", text=limits))
    return found


def _reconstruction(run: Run) -> Section | None:
    rows = list(run.metrics.get("reconstruction", ()))
    validated = any("masked_r2" in row for row in run.history)
    if not rows and not validated and "reconstruction" not in run.results:
        return None
    tables, notes, drawings = [], [], []
    if rows:
        models = list(dict.fromkeys(str(row["model"]) for row in rows))
        found = {(str(r["masking"]), float(r["ratio"]), str(r["model"])): r for r in rows}
        cells = [
            (masking, f"{ratio:.0%}", *(_number(found, masking, ratio, name) for name in models))
            for masking, ratio in dict.fromkeys(key[:2] for key in found)
        ]
        caption = "masked R²: explained share of what is hidden, of people not trained on"
        tables.append(Table(cells, ("masks", "hidden", *models), caption))
        if not _has(rows, "gaussian"):
            notes.append(NO_GAUSSIAN)
    if validated:
        draw = _panel(plots.training_curves, run.history, quantity="masked_r2")
        drawings.append(Drawing(draw, "masked R² in validation over training steps", (6.5, 2.6)))
    if {"bold", "reconstruction", "r2"} <= {*run.results}:
        draw = _panel(plots.reconstruction, run.results)
        caption = (
            f"Run {run.results.attrs.get('run', '')}: three regions, each hidden and told by the"
            " others: the one that is told best, the middle one and the worst."
        )
        drawings.append(Drawing(draw, caption, (6.5, 3.6)))
    title = "What is hidden, told by the rest"
    return Section(title, notes=notes, drawings=drawings, tables=tables)


def _embeddings(run: Run) -> Section | None:
    results = run.results
    if "similarity" not in results:
        return None
    draw = _panel(plots.embedding_matrix, results)
    drawing = Drawing(draw, "Cosines of the embeddings of regions, by network.", (6.4, 4.9))
    meanings = {
        "within": "mean cosine in a network",
        "between": "mean cosine between networks",
        "within_minus_between": "difference",
        "spatial_p_value": "p-value against embeddings as smooth over the brain",
        "silhouette": "silhouette of the networks, from -1 to 1",
        "connectivity_correlation": "correlation with functional connectivity, over pairs",
    }
    known = [name for name in meanings if name in results]
    rows = [(meanings[name], f"{float(results[name]):.3g}") for name in known]
    text = []
    if "within_minus_between" in results:
        text.append(
            f"The cosine of two regions of one network is on average"
            f" {float(results['within_minus_between']):+.2f} above that of regions of two. The"
            " p-value compares this with random embeddings whose smoothness over the brain is the"
            " same: neighbours are alike in any map."
        )
    return Section("Embeddings of regions", text=text, drawings=[drawing], tables=[Table(rows)])


def _attention(run: Run) -> Section | None:
    results = run.results
    if "attention" not in results:
        return None
    tables = []
    if "own_network_mass" in results:
        chance = float(results["own_network_chance"])
        rows = []
        for block in results["block"].values.tolist():
            own = results[["own_network_mass", "asymmetry"]].sel(block=block)
            mass, uneven = own["own_network_mass"], float(own["asymmetry"].mean())
            span = f"{float(mass.min()):.2f} to {float(mass.max()):.2f}"
            times = f"{float(mass.mean()) / chance:.2f}"
            rows.append((block, f"{float(mass.mean()):.2f}", span, times, f"{uneven:.2f}"))
        head = ("block", "to the own network", "over heads", "times chance", "asymmetry")
        caption = f"share of attention; looking at all regions alike gives {chance:.2f}"
        tables.append(Table(rows, head, caption))
    draw = _panel(plots.attention_matrix, results)
    caption = "Attention of each region (row) to each other one in the first block, over chance."
    drawing = Drawing(draw, caption, (6.4, 4.9))
    return Section("Attention between regions", drawings=[drawing], tables=tables)


def _time(run: Run) -> Section | None:
    if "cls_attention" not in run.results:
        return None
    events = run.others.get("stimuli")
    draw = _panel(plots.attention_over_time, run.results, events=events)
    caption = f"Run {run.results.attrs.get('run', '')}: attention of the summary to segments."
    drawing = Drawing(draw, caption, (6.5, 2.6))
    return Section("Attention over time", drawings=[drawing])


def _brain(run: Run) -> Section | None:
    results = run.results
    placed = all(axis in results.coords for axis in "xyz")
    shown = [name for name in ON_BRAIN if name in results]
    if not placed or not (shown or "attention" in results):
        return None
    if not find_spec("nilearn"):
        return Section("On the brain", notes=["For these pictures: pip install 'neurodyn[fmri]'."])
    drawings = []
    for name in shown:
        label, caption = ON_BRAIN[name]
        draw = _panel(plots.glass_brain, results[name], label=label)
        drawings.append(Drawing(draw, caption, (8.0, 2.3)))
    if "attention" in results:
        pairs = results["attention"].isel(block=0).mean("head") * (results.sizes["roi"] - 1)
        draw = _panel(plots.glass_connectome, pairs, n_edges=STRONGEST, label="times chance")
        caption = f"The {STRONGEST} pairs with the most attention in the first block."
        drawings.append(Drawing(draw, caption, (8.0, 2.3)))
    return Section("On the brain", drawings=drawings)


def _decoding(run: Run) -> Section | None:
    rows = list(run.metrics.get("decoding", ()))
    if not rows:
        return None
    tables, drawings = [], []
    for target in dict.fromkeys(str(row["target"]) for row in rows):
        of_target = [row for row in rows if str(row["target"]) == target]
        table = _score_table(of_target, run.model)
        metrics = table["metric"].values.tolist()
        cells = [
            (name, *(_cell(table.sel(model=name, metric=metric)) for metric in metrics))
            for name in table["model"].values.tolist()
        ]
        tables.append(Table(cells, ("model", *metrics), f"{target}: scores and intervals"))
        draw = _panel(plots.scores, table, metrics[0])
        caption = f"{target}: {metrics[0]}; lines are intervals over subjects."
        drawings.append(Drawing(draw, caption, (6.5, 0.9 + 0.32 * len(cells))))
    paired = [
        (
            str(row["target"]),
            f"{row['model']} − {row['reference']}",
            row["metric"],
            f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]",
        )
        for row in run.metrics.get("decoding_differences", ())
    ]
    if paired:
        head = ("target", "difference", "metric", "estimate and interval")
        tables.append(Table(paired, head, "differences, paired by subject"))
    known = _has(rows, "connectivity") or _has(rows, "roi_means")
    notes = [] if known else [NO_CONNECTIVITY]
    return Section("Decoding beside the baselines", notes=notes, drawings=drawings, tables=tables)


def _has(rows: Iterable[Mapping[str, Any]], baseline: str) -> bool:
    return any(row.get("baseline") == baseline for row in rows)


def _number(found: Mapping[Any, Mapping[str, Any]], *key: object) -> str:
    row = found.get(key)
    return "–" if row is None else f"{float(row['masked_r2']):.3f}"


def _cell(cell: xr.Dataset) -> str:
    score, low, high = (float(cell[name]) for name in ("score", "low", "high"))
    if np.isnan(score):
        return "–"
    return f"{score:.3f}" + ("" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]")


def _score_table(rows: Iterable[Mapping[str, Any]], headline: str) -> xr.Dataset:
    """Return rows as scores ``(model, metric)`` in their order, NaN where there is none."""
    columns = ["score", "low", "high"]
    frame = pd.DataFrame(list(rows)).reindex(columns=["model", "metric", *columns])
    frame[columns] = frame[columns].astype(float)
    models, metrics = (frame[name].drop_duplicates().tolist() for name in ("model", "metric"))
    table = frame.set_index(["model", "metric"]).to_xarray().sel(model=models, metric=metrics)
    return table.assign_coords(headline=("model", [name == headline for name in models]))


def _panel(plot: Callable[..., Any], *of: Any, **settings: Any) -> Callable[[Figure], Any]:
    """Return how to fill a figure with the one plot."""
    return lambda figure: plot(*of, ax=figure.add_subplot(), **settings)
