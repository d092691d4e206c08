"""Who drives whom: inferred couplings beside the true ones, and how well they find the edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from neurodyn.errors import DataError, EmptySelectionError
from neurodyn.metrics.connectivity import edge_auc
from neurodyn.plots.names import SMALL, name_ticks
from neurodyn.plots.networks import known_variable
from neurodyn.plots.style import axes_or_new, figure_or_new, ink, palette, tidy

__all__ = ["coupling_matrix", "coupling_roc"]

FloatArray = NDArray[np.float64]
NO_SCORE = "#9098a1"
HIGHEST_PERCENTILE = 99.0
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1, 1)))


def coupling_matrix(
    couplings: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    figure: Figure | SubFigure | None = None,
) -> tuple[Axes, ...]:
    """Draw scores from unit (rows) to unit (columns), beside the true weights if they are known.

    Units stand in the order of their mean score to others, the strongest first. The colours end
    at the 99th percentile; the diagonal and pairs without a score are left empty.

    Parameters
    ----------
    couplings
        Result with ``score (unit, unit_to)``; of several measures, the first of ``measure``.
    truth
        Result with ``weight (unit, unit_to)`` of at least these units.
    figure
        Empty figure or part of one to fill; best with ``layout="constrained"``.

    Returns
    -------
    tuple
        Axes of the scores and, if given, of the truth.

    Raises
    ------
    EmptySelectionError
        If there is no such variable, no score, or the truth lacks a unit.

    Examples
    --------
    >>> from neurodyn import recording
    >>> pairs = {"unit": ["a", "b"], "unit_to": ["a", "b"]}
    >>> score = np.array([[np.nan, 0.1], [0.8, np.nan]])
    >>> found = recording.results({"score": (("unit", "unit_to"), score)}, pairs)
    >>> (axes,) = coupling_matrix(found, figure=Figure())
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['b', 'a']
    """
    measure, score = _measures(couplings)[0]
    strength = score.mean("unit_to").fillna(-np.inf).values
    order = np.argsort(-strength, kind="stable")
    names = [str(score["unit"].values[row]) for row in order]
    panels = [(score, measure.replace("_", " ") or "score")]
    if truth is not None:
        panels.append((_true_weights(truth, score), "true weight"))
    whole = figure_or_new(figure, size=(4.2 * len(panels), 3.6))
    axes = whole.subplots(1, len(panels), squeeze=False)[0]
    for panel, (values, label) in zip(axes, panels):
        _draw(panel, values.values[np.ix_(order, order)], names, label)
    axes[0].set_ylabel("from unit")
    return tuple(axes)


def coupling_roc(couplings: xr.Dataset, truth: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw which share of the true edges is found over which share of the other pairs.

    Parameters
    ----------
    couplings
        Result with ``score ([measure,] unit, unit_to)``: one curve for each measure. Pairs of a
        unit with itself, and pairs whose score is NaN, are left out.
    truth
        Result with ``weight (unit, unit_to)`` of at least these units; edges are what is not 0.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there is no such variable, no score, or the truth lacks a unit.
    DataError, DegenerateInputError
        As :func:`neurodyn.metrics.connectivity.edge_auc`.

    Examples
    --------
    >>> from neurodyn import recording
    >>> pairs = {"unit": ["a", "b"], "unit_to": ["a", "b"]}
    >>> matrix = ("unit", "unit_to"), np.array([[0.0, 0.9], [0.2, 0.0]])
    >>> found = recording.results({"score": matrix}, pairs, measure="deletion")
    >>> truth = recording.results({"weight": (matrix[0], [[0, 1], [0, 0]])}, pairs)
    >>> axes = coupling_roc(found, truth, ax=Figure().add_subplot())
    >>> axes.get_legend().get_texts()[0].get_text()
    'deletion: AUC 1.00'
    """
    curves = []
    for measure, score in _measures(couplings):
        edge = _true_weights(truth, score).values != 0.0
        auc = edge_auc(score.values, edge)
        pairs = np.isfinite(score.values) & ~np.eye(len(edge), dtype=bool)
        label = f"{measure.replace('_', ' ') or 'score'}: AUC {auc:.2f}"
        curves.append((label, *_roc(score.values[pairs], edge[pairs])))
    axes = axes_or_new(ax, size=(4.2, 3.6))
    axes.plot([0.0, 1.0], [0.0, 1.0], color=ink(), linewidth=0.8, linestyle=":")
    for number, (label, false, true) in enumerate(curves):
        style = {"color": palette()[number % 6], "linestyle": DASHES[number % len(DASHES)]}
        axes.plot(false, true, linewidth=1.6, label=label, **style)
    axes.set(xlim=(-0.01, 1.0), ylim=(0.0, 1.01), aspect="equal")
    axes.legend(loc="lower right")
    tidy(axes, xlabel="share of other pairs", ylabel="share of edges found")
    return axes


def _measures(couplings: xr.Dataset) -> list[tuple[str, xr.DataArray]]:
    """Return scores ``(unit, unit_to)`` without their diagonal, by the name of their measure."""
    score = known_variable(couplings, "score")
    if "measure" in score.dims:
        named = [(str(name), score.sel(measure=name)) for name in score["measure"].values]
    else:
        named = [(str(couplings.attrs.get("measure", "")), score)]
    found = []
    for name, values in named:
        matrix = values.transpose("unit", "unit_to").astype(np.float64)
        if not np.array_equal(matrix["unit"].values, matrix["unit_to"].values):
            raise DataError("couplings need the same units in rows and columns", where=name)
        found.append((name, matrix.where(matrix["unit"] != matrix["unit_to"])))
    if not found or not np.isfinite(found[0][1].values).any():
        raise EmptySelectionError("no pair of units has a score")
    return found


def _true_weights(truth: xr.Dataset, score: xr.DataArray) -> xr.DataArray:
    """Return the weights of the units that have scores, in their order."""
    weight = known_variable(truth, "weight").transpose("unit", "unit_to")
    unit = score["unit"].values
    missing = sorted(set(unit.tolist()) - set(weight["unit"].values.tolist()))
    if missing:
        raise EmptySelectionError(
            "the truth lacks units that have scores", found=", ".join(map(str, missing[:8]))
        )
    chosen = weight.sel(unit=unit, unit_to=unit).astype(np.float64)
    return chosen.where(chosen["unit"] != chosen["unit_to"])


def _draw(panel: Axes, values: FloatArray, names: list[str], label: str) -> None:
    seen = values[np.isfinite(values)]
    # the few largest do not set the colours of all others
    top = float(np.percentile(np.abs(seen), HIGHEST_PERCENTILE)) or float(np.abs(seen).max())
    image = panel.imshow(values, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")
    # what is left empty differs from no coupling, which is white
    panel.set_facecolor(NO_SCORE)
    figure: Any = panel.figure
    bar = figure.colorbar(image, ax=panel, label=label, shrink=0.7, pad=0.02)
    bar.outline.set_visible(False)
    panel.spines[:].set_visible(False)
    name_ticks(panel.yaxis, names, size=SMALL)
    name_ticks(panel.xaxis, names, size=SMALL, upright=True)
    panel.set_xlabel("to unit")


def _roc(score: FloatArray, edge: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Return the shares of other pairs and of edges above falling thresholds, ties together."""
    order = np.argsort(-score, kind="stable")
    falls = np.append(np.flatnonzero(np.diff(score[order])), score.size - 1)
    false, true = (np.cumsum(which[order])[falls] / which.sum() for which in (~edge, edge))
    return np.insert(false, 0, 0.0), np.insert(true, 0, 0.0)
