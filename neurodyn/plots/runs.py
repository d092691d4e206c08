"""How a run went: training curves, and its scores beside those of other models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError, suggest
from neurodyn.plots.style import axes_or_new, ink, palette, tidy

__all__ = ["scores", "training_curves"]

SMOOTHING_SHARE = 50


def training_curves(
    history: Iterable[Mapping[str, Any]], *, quantity: str = "loss", ax: Axes | None = None
) -> Axes:
    """Draw a quantity over training steps, each step faintly and its running mean.

    Parameters
    ----------
    history
        Rows of ``history.jsonl``: each has ``step`` and its ``kind``, ``"train"`` or
        ``"validation"``.
    quantity
        ``loss`` or any other number that rows hold.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If no row holds the quantity; lists those that there are.
    """
    rows = [dict(row) for row in history]
    found = [row for row in rows if isinstance(row.get(quantity), int | float)]
    if not found:
        known = {name for row in rows for name in row} - {"step", "kind", "epoch"}
        raise EmptySelectionError(f"no {quantity!r} in the history", hint=suggest(quantity, known))
    axes = axes_or_new(ax)
    for kind, color in (("train", palette()[0]), ("validation", palette()[1])):
        points = [(row["step"], row[quantity]) for row in found if row.get("kind") == kind]
        if points:
            _curve(axes, np.array(points, dtype=np.float64), kind, color)
    axes.margins(x=0.01)
    axes.legend()
    tidy(axes, xlabel="training step", ylabel=quantity.replace("_", " "))
    return axes


def scores(table: xr.Dataset, metric: str, *, ax: Axes | None = None) -> Axes:
    """Draw one score of several models as dots with their intervals, the best on top.

    Parameters
    ----------
    table
        Result with ``score`` and, if known, ``low`` and ``high``, dims ``(model, metric)``;
        the coordinate ``headline(model)`` marks the model that the run is about.
    metric
        Which score; ``attrs["units"]`` of the table may give units by metric.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there is no such metric, or no model has it.
    """
    known = table["metric"].values.tolist()
    if metric not in known:
        raise EmptySelectionError(f"no metric {metric!r}", hint=suggest(metric, known))
    column = table.sel(metric=metric)
    column = column.isel(model=np.flatnonzero(np.isfinite(column["score"].values)))
    if not column.sizes["model"]:
        raise EmptySelectionError(f"no model has a {metric!r}")
    column = column.isel(model=np.argsort(column["score"].values))
    value, names = column["score"].values, column["model"].values.tolist()
    headline = column.coords.get("headline", xr.zeros_like(column["score"], dtype=bool)).values
    axes = axes_or_new(ax, size=(5.0, 0.8 + 0.32 * len(names)))
    colors = [palette()[0] if marked else ink() for marked in headline]
    row = np.arange(len(names))
    if "low" in column and "high" in column:
        axes.hlines(row, column["low"].values, column["high"].values, colors=colors, linewidths=1.6)
    axes.scatter(value, row, color=colors, s=30, zorder=3)
    axes.set_yticks(row, names)
    for label, marked in zip(axes.get_yticklabels(), headline):
        label.set_fontweight("bold" if marked else "normal")
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="x", linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    units = table.attrs.get("units", {}).get(metric)
    tidy(axes, xlabel=f"{metric} [{units}]" if units else metric, ylabel="")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return axes


def _curve(axes: Axes, points: NDArray[np.float64], kind: str, color: str) -> None:
    step, value = points.T
    if kind == "validation" or len(step) < SMOOTHING_SHARE:
        axes.plot(step, value, color=color, linewidth=1.5, label=kind)
        return
    axes.plot(step, value, color=color, linewidth=0.6, alpha=0.3)
    width = len(step) // SMOOTHING_SHARE + 1
    finite = np.isfinite(value)
    window = np.ones(width)
    total = np.convolve(np.where(finite, value, 0.0), window, "valid")
    number = np.convolve(finite.astype(np.float64), window, "valid")
    mean = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
    axes.plot(step[width - 1 :], mean, color=color, linewidth=1.5, label=kind)
