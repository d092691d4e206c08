"""What a BrainMAE has learned: matrices by network, attention over time, a run retold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError, suggest
from neurodyn.plots.brains import diverging
from neurodyn.plots.names import SMALL, add_names, name_ticks
from neurodyn.plots.networks import community_colors, known_variable
from neurodyn.plots.shading import Interval, intervals, shade
from neurodyn.plots.style import axes_or_new, ink, palette, tidy

__all__ = ["attention_matrix", "attention_over_time", "embedding_matrix", "reconstruction"]

HIGHEST_PERCENTILE = 99.0
SPACING = 4.5
SHOWN = 3


def embedding_matrix(similarity: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the cosines of embeddings, regions by network.

    Parameters
    ----------
    similarity
        Result with ``similarity (roi, roi_to)``; the coordinate ``network`` of ``roi``, if known,
        orders and names the blocks, regions of none come last. Else regions are named.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there is no such variable.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from neurodyn import recording
    >>> coords = {"roi": ["a", "b", "c"], "network": ("roi", ["x", "y", "x"])}
    >>> matrix = recording.results({"similarity": (("roi", "roi_to"), np.eye(3))}, coords)
    >>> axes = embedding_matrix(matrix, ax=Figure().add_subplot())
    >>> axes.images[0].get_array().shape
    (3, 3)
    """
    matrix = known_variable(similarity, "similarity").transpose("roi", "roi_to")
    return _matrix(matrix, "cosine of embeddings", ax)


def attention_matrix(attention: xr.Dataset, *, block: int = 1, ax: Axes | None = None) -> Axes:
    """Draw the attention of regions (rows) to regions, mean over heads, by network.

    Parameters
    ----------
    attention
        Result with ``attention (block, head, roi, roi_to)``. It is drawn as a multiple of what
        looking at all others alike would give.
    block
        Number of the block, from 1.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there is no such variable or block.
    """
    weights = known_variable(attention, "attention")
    known = weights["block"].values.tolist()
    if block not in known:
        raise EmptySelectionError(f"no block {block}", hint=suggest(str(block), map(str, known)))
    matrix = weights.sel(block=block).mean("head").transpose("roi", "roi_to")
    return _matrix(matrix * (matrix.sizes["roi"] - 1), "attention, times chance", ax)


def attention_over_time(
    attention: xr.Dataset,
    run: str | None = None,
    *,
    events: xr.DataTree | xr.Dataset | Sequence[Interval] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how much the summary of each window attends to its segments, over shaded events.

    Parameters
    ----------
    attention
        Result with ``cls_attention (window, layer, [head,] segment)``, ``run (window)`` and
        ``segment_time (window, segment)`` [s]. The mean over heads of each layer is drawn; where
        windows overlap, the later one hides the end of the earlier.
    run
        Name; by default that of the first window.
    events
        Kind ``trials``, or ``(name, start, stop)`` [s], on the clock of the run.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError, DataError
        If there is no such variable or run; if an event ends before it begins.
    """
    name, chosen = _of_run(known_variable(attention, "cls_attention"), run)
    time = chosen["segment_time"].transpose("window", "segment").values
    # an earlier window ends where the next one begins
    kept = time < np.append(time[1:, 0], np.inf)[:, None]
    step = float(attention.attrs.get("segment_duration", _step(time)))
    edges = np.append(time[kept], time[-1, -1] + step)
    axes = axes_or_new(ax, size=(6.5, 2.4))
    layers = chosen["layer"].values.tolist()
    for number, layer in enumerate(layers):
        last = layer == layers[-1]
        strong = {"linewidth": 1.4} if last else {"linewidth": 0.9, "alpha": 0.4}
        values = chosen.values[:, number][kept]
        line = axes.stairs(values, edges, baseline=None, color=ink(), label=f"layer {layer}")
        line.set(**strong)
    chance = 1.0 / (chosen.sizes["segment"] + 1)
    axes.axhline(chance, color=palette()[1], linewidth=0.9, linestyle=":", label="all alike")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0.0)
    tidy(axes, xlabel=f"time in {name} [s]", ylabel="attention of the summary")
    handles: list[Any] = axes.get_legend_handles_labels()[0]
    if events is not None:
        shade(axes, intervals(events), float(edges[0]), float(edges[-1]))
        told = axes.get_legend()
        handles += [] if told is None else told.legend_handles
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.2,
        ncols=len(handles),
        fontsize=7.0,
    )
    return axes


def reconstruction(
    example: xr.Dataset, *, rois: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a run as it was and as each region is told by the others.

    Parameters
    ----------
    example
        Result with ``bold`` and ``reconstruction (time, roi)``, z-scores, and ``r2 (roi)``.
    rois
        Names of regions; by default the one that is told best, the middle one and the worst.
    ax
        Where to draw; regions one above the other.

    Raises
    ------
    EmptySelectionError
        If there is no such variable or region.
    """
    truth, told, r2 = (known_variable(example, name) for name in ("bold", "reconstruction", "r2"))
    known = [str(name) for name in example["roi"].values]
    if rois is None:
        order = np.argsort(-r2.values)[: int(np.isfinite(r2.values).sum())]
        picked = np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int)
        rois = [known[order[place]] for place in picked]
    unknown = [name for name in rois if name not in known]
    if unknown or not rois:
        name = unknown[0] if unknown else "any"
        raise EmptySelectionError(f"no region {name!r} to draw", hint=suggest(name, known))
    time = example["time"].values
    axes = axes_or_new(ax, size=(6.5, 0.8 + 0.9 * len(rois)))
    offsets = -SPACING * np.arange(len(rois))
    for name, offset in zip(rois, offsets):
        column = known.index(name)
        axes.plot(time, truth.values[:, column] + offset, color=ink(), linewidth=0.8, alpha=0.75)
        axes.plot(time, told.values[:, column] + offset, color=palette()[1], linewidth=1.3)
    axes.lines[0].set_label("measured")
    axes.lines[1].set_label("told by the others")
    labels = [f"{name}\nR² {float(r2.values[known.index(name)]):.2f}" for name in rois]
    axes.set_yticks(offsets, labels, fontsize=7.0)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.0)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)
    tidy(axes, xlabel="time [s]", ylabel="")
    axes.spines["left"].set_visible(False)
    return axes


def _matrix(matrix: xr.DataArray, label: str, ax: Axes | None) -> Axes:
    """Draw a matrix without its diagonal, regions by network."""
    weights = matrix.values.astype(np.float64).copy()
    np.fill_diagonal(weights, np.nan)
    network = np.array([""] * len(weights))
    if "network" in matrix.coords:
        network = matrix["network"].values.astype(str)
    order = np.lexsort((network, network == ""))
    axes = axes_or_new(ax, size=(5.4, 4.4))
    seen = np.abs(weights[np.isfinite(weights)])
    top = float(np.percentile(seen, HIGHEST_PERCENTILE)) if seen.size else 1.0
    # the few largest do not set the colours of all others
    colors = diverging(np.clip(np.append(weights[np.isfinite(weights)], 0.0), -top, top))
    image = axes.imshow(
        weights[np.ix_(order, order)], cmap=colors.cmap, norm=colors.norm, interpolation="nearest"
    )
    extend = "both" if colors.norm.vmin < 0 else "max"
    bar = axes.figure.colorbar(image, ax=axes, label=label, shrink=0.6, pad=0.02, extend=extend)
    bar.outline.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    if (network != "").any():
        _name_blocks(axes, network[order])
    else:
        name_ticks(axes.yaxis, [str(name) for name in matrix["roi"].values], size=SMALL)
    return axes


def _name_blocks(axes: Axes, network: NDArray[Any]) -> None:
    """Draw borders between networks, their colours along the left edge, and their names."""
    n_rois = len(network)
    begins = np.append(0, np.flatnonzero(network[1:] != network[:-1]) + 1)
    ends = np.append(begins[1:], n_rois)
    names = network[begins].tolist()
    numbers = [number if name else -1 for number, name in enumerate(names)]
    near, width = 0.012 * n_rois, 0.03 * n_rois
    for low, high, color in zip(begins, ends, community_colors(numbers)):
        style: dict[str, Any] = {"facecolor": color, "edgecolor": "none"}
        axes.add_patch(Rectangle((-0.5 - near - width, low - 0.5), width, high - low, **style))
    for edge in ends[:-1] - 0.5:
        axes.axhline(edge, color="white", linewidth=0.7)
        axes.axvline(edge, color="white", linewidth=0.7)
    axes.set_xlim(-0.5 - near - width, n_rois - 0.5)
    middles = (begins + ends - 1) / 2.0
    left = np.full(len(middles), -0.5 - 2.0 * near - width)
    add_names(
        axes,
        [name or "none" for name in names],
        np.stack([left, middles], axis=1),
        fontsize=7.0,
        horizontalalignment="right",
        verticalalignment="center",
    )


def _of_run(weights: xr.DataArray, run: str | None) -> tuple[str, xr.DataArray]:
    """Return the name of the run and its attention ``(window, layer, segment)``."""
    names = [str(name) for name in weights["run"].values]
    name = names[0] if run is None else str(run)
    if name not in names:
        raise EmptySelectionError(f"no run {name!r}", hint=suggest(name, set(names)))
    chosen = weights.isel(window=[row for row, of in enumerate(names) if of == name])
    if "head" in chosen.dims:
        chosen = chosen.mean("head")
    return name, chosen.transpose("window", "layer", "segment")


def _step(time: NDArray[np.float64]) -> float:
    """Return the time between segments, or 1 s where there is one alone."""
    return float(time[0, 1] - time[0, 0]) if time.shape[1] > 1 else 1.0
