"""How many components a tensor of affinities has: errors, stability and spectrum by rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from neurodyn.errors import ConfigError
from neurodyn.plots.networks import known_variable
from neurodyn.plots.style import axes_or_new, figure_or_new, ink, palette, tidy

__all__ = ["rank_scan", "restart_errors"]

STABLE = 0.9
LEAST_SPAN = 0.02
MOST_TICKS = 10


def rank_scan(
    scan: xr.Dataset,
    *,
    figure: Figure | SubFigure | None = None,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes, Axes]:
    """Draw a scan over ranks in three panels: errors, similarity of restarts, nuclear curve.

    Parameters
    ----------
    scan
        Result with ``error``, dims ``(rank, restart)``, ``restart_similarity(rank)``,
        ``nuclear(rank)`` and, if known, ``held_out_error(rank)``. Ranks whose restarts agree less
        than 0.9 are drawn hollow.
    figure
        Empty figure or part of one to fill; best with ``layout="constrained"``.
    axes
        Three axes to draw into instead.

    Returns
    -------
    tuple
        Axes of errors, similarity and nuclear curve.

    Raises
    ------
    EmptySelectionError
        If a variable is missing.
    ConfigError
        If ``axes`` are not three.
    """
    similarity = known_variable(scan, "restart_similarity")
    nuclear = known_variable(scan, "nuclear")
    if axes is None:
        axes = figure_or_new(figure, size=(8.0, 2.5)).subplots(1, 3).tolist()
    if len(axes) != 3:
        raise ConfigError("a rank scan has three panels", found=f"{len(axes)} axes", expected=3)
    errors, stability, spectrum = axes
    restart_errors(scan, ax=errors)
    rank = scan["rank"].values
    stability.axhline(STABLE, color=ink(), linewidth=0.8, linestyle=(0, (4, 3)))
    _curve(stability, rank, similarity.values, similarity.values >= STABLE)
    stability.set_ylim(min(0.0, float(np.nan_to_num(similarity.values).min())), 1.03)
    tidy(stability, xlabel="rank", ylabel="restart similarity")
    _curve(spectrum, rank, nuclear.values, np.ones(len(rank), dtype=bool))
    tidy(spectrum, xlabel="rank", ylabel="nuclear curve")
    for panel in (stability, spectrum):
        _whole_ticks(panel, rank)
    return errors, stability, spectrum


def restart_errors(results: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the relative error of every restart.

    Parameters
    ----------
    results
        Of a scan over ranks: ``error``, dims ``(rank, restart)``, is drawn over rank, and
        ``held_out_error(rank)`` if known. Of one factorisation: ``restart_error(restart)`` is
        drawn from the best to the worst, hollow where ``restart_similarity(restart)`` to the
        best is below 0.9.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If the result has neither ``error`` nor ``restart_error``.
    """
    if "restart_error" in results:
        return _sorted_errors(results, axes_or_new(ax, size=(3.2, 2.6)))
    error = known_variable(results, "error").transpose("rank", "restart")
    axes = axes_or_new(ax, size=(3.2, 2.6))
    rank, values = error["rank"].values, error.values
    axes.plot(rank, np.nanmin(values, axis=1), color=palette()[0], linewidth=1.2, zorder=1)
    style: dict[str, Any] = {"color": palette()[0], "alpha": 0.55, "linewidths": 0}
    axes.scatter(np.repeat(rank, values.shape[1]), values.ravel(), s=14, label="restarts", **style)
    if "held_out_error" in results and results["held_out_error"].notnull().any():
        held_out = results["held_out_error"].values
        style = {"color": palette()[1], "linewidth": 1.2, "marker": "s", "markersize": 4}
        axes.plot(rank, held_out, label="held out", **style)
        axes.legend()
    _whole_ticks(axes, rank)
    tidy(axes, xlabel="rank", ylabel="relative error")
    return axes


def _sorted_errors(results: xr.Dataset, axes: Axes) -> Axes:
    order = np.argsort(results["restart_error"].values)
    same = np.ones(len(order), dtype=bool)
    if "restart_similarity" in results:
        same = results["restart_similarity"].values[order] >= STABLE
    place = np.arange(1, len(order) + 1)
    _curve(axes, place, results["restart_error"].values[order], same)
    _whole_ticks(axes, place)
    # differences of a hundredth or less are not blown up
    low, high = axes.get_ylim()
    spare = max(0.0, LEAST_SPAN * high - (high - low)) / 2.0
    axes.set_ylim(low - spare, high + spare)
    axes.ticklabel_format(axis="y", useOffset=False)
    tidy(axes, xlabel="restart, best first", ylabel="relative error")
    return axes


def _curve(axes: Axes, rank: NDArray[Any], values: NDArray[Any], filled: NDArray[np.bool_]) -> None:
    color = palette()[0]
    axes.plot(rank, values, color=color, linewidth=1.2, zorder=1)
    axes.scatter(
        rank,
        values,
        s=22,
        facecolors=[color if full else "none" for full in filled],
        edgecolors=color,
        linewidths=1.2,
        zorder=2,
    )


def _whole_ticks(axes: Axes, place: NDArray[Any]) -> None:
    if len(place) <= MOST_TICKS:
        axes.set_xticks(place)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
