"""Components of a dynamic connectome: their graph, their matrix, and when and in whom they act."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError, one_of, suggest
from neurodyn.plots.blocks import draw_blocks, draw_matrix
from neurodyn.plots.names import SMALL, add_names, name_around, name_ticks
from neurodyn.plots.networks import (
    block_order,
    community_colors,
    diameters,
    draw_edges,
    draw_nodes,
    draw_ring,
    node_dim,
    node_names,
    of_component,
    places_of,
    ring,
    strongest_pairs,
)
from neurodyn.plots.shading import Interval, intervals, segments, shade
from neurodyn.plots.style import axes_or_new, figure_or_new, ink, palette, tidy

__all__ = ["affinity_matrix", "animal_factor", "component_graph", "component_panel", "time_factor"]

MOST_LEVEL_LABEL = 3
MOST_LETTERS_IN_PANEL = 8


def affinity_matrix(
    results: xr.Dataset,
    component: str,
    *,
    order: str | Sequence[str] = "community",
    ax: Axes | None = None,
) -> Axes:
    """Draw how strongly each pair of nodes belongs to a component, block by block.

    Pairs never seen together in an animal (NaN) and the diagonal are left empty. The colours end
    at the 99th percentile.

    Parameters
    ----------
    results
        Result with ``pair_factor``, dims ``(component, roi, roi_to)``, and ``community``, dims
        ``(component, roi)``; nodes may have another dim, as ``unit`` and ``unit_to``.
    component
        Label of the component.
    order
        ``"community"``: communities one after another, set off by lines and coloured at the edge,
        the best connected nodes of each first. ``"given"``: as in the result, for which
        communities are not needed. Or names of nodes, all or some, in the wanted order.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there is no such variable, component or node.
    ConfigError
        For an unknown order.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from neurodyn import recording
    >>> pairs = ("component", "roi", "roi_to"), 1.0 - np.eye(3)[None]
    >>> results = recording.results({"pair_factor": pairs}, {"component": ["1"]})
    >>> axes = affinity_matrix(results, "1", order="given", ax=Figure().add_subplot())
    >>> axes.get_title(loc="left")
    'component 1'
    """
    if isinstance(order, str):
        one_of("order", order, ("community", "given"))
    wanted = ("pair_factor", "community") if order == "community" else ("pair_factor",)
    pair_factor, *rest = of_component(results, component, *wanted)
    weights, names = _weights(pair_factor), node_names(pair_factor, node_dim(pair_factor))
    rows = block_order(weights, rest[0].values) if rest else _rows(order, names)
    axes = axes_or_new(ax, size=(5.2, 4.6))
    draw_matrix(axes, weights[np.ix_(rows, rows)])
    name_ticks(axes.yaxis, [names[row] for row in rows], size=SMALL)
    axes.set_xticks([])
    axes.set_title(f"component {component}", loc="left")
    axes.spines[:].set_visible(False)
    if rest:
        draw_blocks(axes, rest[0].values[rows])
    return axes


def component_graph(
    results: xr.Dataset,
    component: str,
    *,
    positions: Mapping[str, Sequence[float]] | xr.DataArray | None = None,
    n_edges: int = 250,
    names: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw a component as a graph, nodes coloured by community and larger if better connected.

    Without positions nodes stand on a circle, communities side by side with their numbers in the
    ring. Lines inside a community have its colour, lines between communities are grey.

    Parameters
    ----------
    results, component
        As in :func:`affinity_matrix`.
    positions
        Place of each node by name, or an array ``(roi, axis)``, in any unit; the first two axes
        are drawn.
    n_edges
        Draw the strongest pairs, so many at most; never pairs of no weight or never seen (NaN).
    names
        Write the names of nodes, as many as there is room for.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there is no such variable or component, or a node has no position.
    """
    pair_factor, communities = of_component(results, component, "pair_factor", "community")
    dim = node_dim(pair_factor)
    community, labels = communities.values, node_names(pair_factor, dim)
    weights = _weights(pair_factor)
    points = None if positions is None else places_of(positions, dim, labels)
    axes = axes_or_new(ax, size=(4.6, 4.6))
    axes.set_aspect("equal")
    axes.set_axis_off()
    if points is None:
        _draw_on_circle(axes, weights, community, n_edges, labels if names else None)
    else:
        _draw_at(axes, points, weights, community, n_edges, labels if names else None)
    return axes


def time_factor(
    results: xr.Dataset,
    component: str,
    *,
    stimuli: xr.DataTree | xr.Dataset | Sequence[Interval] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw when a component acts, over shaded stimuli.

    Parameters
    ----------
    results
        Result with ``time_factor``, dims ``(component, time)``. If its ``time`` has the text
        coordinate ``segment``, as after alignment by identity of stimulus, segments are shaded
        unless ``stimuli`` are given.
    component
        Label of the component.
    stimuli
        Kind ``trials`` with a column ``stimulus`` (else ``condition``), or
        ``(name, start, stop)`` [s]. Where animals got different stimuli at the same time, the
        shade is grey.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there is no such variable or component.
    DataError
        If a stimulus ends before it begins.
    """
    (curve,) = of_component(results, component, "time_factor")
    time, value = curve["time"].values.astype(np.float64), curve.values
    step = time[1] - time[0] if time.size > 1 else 1.0
    shades = intervals(stimuli) if stimuli is not None else segments(curve, time, step)
    axes = axes_or_new(ax, size=(5.0, 2.4))
    shade(axes, shades, time[0], time[-1])
    axes.plot(time, value, color=ink(), linewidth=1.1)
    axes.set_xlim(time[0], time[-1] if time.size > 1 else time[0] + step)
    axes.set_ylim(bottom=0.0)
    tidy(axes, xlabel="time [s]", ylabel=f"time factor {component}")
    return axes


def animal_factor(results: xr.Dataset, component: str, *, ax: Axes | None = None) -> Axes:
    """Draw how much of a component each animal has, animals sorted by label.

    Parameters
    ----------
    results
        Result with ``animal_factor``, dims ``(component, animal)``; its ``participation``, if
        there is one, is told in the title: the number of animals that share the component.
    component
        Label of the component.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there is no such variable or component.
    """
    (factor,) = of_component(results, component, "animal_factor")
    labels = node_names(factor, "animal")
    order = sorted(range(len(labels)), key=lambda index: _in_counting_order(labels[index]))
    axes = axes_or_new(ax, size=(4.0, 2.4))
    axes.bar(np.arange(len(order)), factor.values[order], width=0.75, color=palette()[0])
    shown = [labels[index] for index in order]
    upright = max(map(len, shown)) > MOST_LEVEL_LABEL
    name_ticks(axes.xaxis, shown, size=7.0 if len(shown) < 30 else SMALL, upright=upright)
    # a single bar is not as wide as the page
    axes.set_xlim(min(-0.6, len(order) / 2.0 - 2.5), max(len(order) - 0.4, len(order) / 2.0 + 1.5))
    if "participation" in results and len(order) > 1:
        (shared,) = of_component(results, component, "participation")
        axes.set_title(f"shared by {float(shared):.1f} of {len(order)}", loc="left")
    tidy(axes, xlabel="animal", ylabel=f"animal factor {component}")
    return axes


def component_panel(
    results: xr.Dataset,
    component: str,
    *,
    stimuli: xr.DataTree | xr.Dataset | Sequence[Interval] | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Axes, Axes, Axes]:
    """Draw a component in one row: its graph, when it acts and in which animals.

    Names of nodes longer than eight letters are left out.

    Parameters
    ----------
    results, component, stimuli
        As in :func:`component_graph`, :func:`time_factor` and :func:`animal_factor`.
    figure
        Empty figure or part of one to fill; best with ``layout="constrained"``.

    Returns
    -------
    tuple
        Axes of the graph, the time factor and the animal factor.

    Raises
    ------
    EmptySelectionError
        If there is no such variable or component.
    """
    of_component(results, component, "pair_factor", "community", "time_factor", "animal_factor")
    whole = figure_or_new(figure, size=(9.0, 2.9))
    graph, time, animals = whole.subplots(1, 3, width_ratios=(1.25, 1.7, 1.0))
    node_labels = node_names(results["pair_factor"], node_dim(results["pair_factor"]))
    short = max(map(len, node_labels)) <= MOST_LETTERS_IN_PANEL
    component_graph(results, component, names=short, ax=graph)
    time_factor(results, component, stimuli=stimuli, ax=time)
    animal_factor(results, component, ax=animals)
    time.set_ylabel("time factor")
    animals.set_ylabel("animal factor")
    whole.suptitle(_headline(results, component), x=0.01, horizontalalignment="left", fontsize=9.0)
    return graph, time, animals


def _headline(results: xr.Dataset, component: str) -> str:
    """Return what is said of a component above its panel."""
    (community,) = of_component(results, component, "community")
    n_communities = len(set(community.values[community.values >= 0].tolist()))
    parts = [
        f"component {component}",
        f"{n_communities} communities" if n_communities > 1 else "no communities",
    ]
    if "family" in results and n_communities > 1:
        (family,) = of_component(results, component, "family")
        parts.append(f"{family.item()} weights")
    return ", ".join(parts)


def _rows(order: str | Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    if isinstance(order, str):
        return np.arange(len(names))
    unknown = [name for name in order if name not in names]
    if unknown:
        raise EmptySelectionError(f"no node {unknown[0]!r}", hint=suggest(unknown[0], names))
    return np.array([names.index(name) for name in order], dtype=np.int64)


def _weights(pair_factor: xr.DataArray) -> NDArray[np.float64]:
    dim = node_dim(pair_factor)
    return np.asarray(pair_factor.transpose(dim, f"{dim}_to").values, dtype=np.float64)


def _draw_on_circle(
    axes: Axes,
    weights: NDArray[np.float64],
    community: NDArray[Any],
    n_edges: int,
    names: Sequence[str] | None,
) -> None:
    order = block_order(weights, community)
    places = ring(community, order)
    pairs, weight = strongest_pairs(weights, n_edges)
    draw_edges(axes, places.points, pairs, weight, community, widest=_widest_line(axes))
    draw_nodes(axes, places.points, diameters(weights, places.spacing), community)
    draw_ring(axes, places, community)
    if names is not None:
        name_around(axes, [names[node] for node in order], places.angles[order], radius=1.18)
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2))


def _draw_at(
    axes: Axes,
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    community: NDArray[Any],
    n_edges: int,
    names: Sequence[str] | None,
) -> None:
    diameter = diameters(weights, _frame(axes, points))
    pairs, weight = strongest_pairs(weights, n_edges)
    widest = _widest_line(axes)
    draw_edges(axes, points, pairs, weight, community, widest=widest, bend=False)
    draw_nodes(axes, points, diameter, community)
    if names is not None:
        _name_below(axes, names, points, diameter, np.nansum(weights, axis=1))
    _community_legend(axes, community)


def _widest_line(axes: Axes) -> float:
    """Return a width in points that suits the size of the axes."""
    figure: Any = axes.figure
    inches = axes.get_window_extent().width / figure.dpi
    return float(np.clip(0.45 * inches, 0.6, 2.0))


def _name_below(
    axes: Axes,
    names: Sequence[str],
    points: NDArray[np.float64],
    diameter: NDArray[np.float64],
    degree: NDArray[np.float64],
) -> None:
    """Write names below nodes, those of the best connected first."""
    strong = np.argsort(-degree, kind="stable")
    below = np.stack([points[:, 0], points[:, 1] - 0.55 * diameter], axis=1)
    add_names(
        axes,
        [names[node] for node in strong],
        below[strong],
        fontsize=SMALL,
        horizontalalignment="center",
        verticalalignment="top",
    )


def _frame(axes: Axes, points: NDArray[np.float64]) -> float:
    """Set limits around given places and return how far apart nodes are, about."""
    low, high = points.min(axis=0), points.max(axis=0)
    sides = np.maximum(high - low, (high - low).max() / len(points))
    # all in one place: any size will do
    spacing = 0.4 * np.sqrt(sides.prod() / len(points)) or 1.0
    axes.set(xlim=(low[0] - spacing, high[0] + spacing), ylim=(low[1] - spacing, high[1] + spacing))
    return float(spacing)


def _community_legend(axes: Axes, community: NDArray[Any]) -> None:
    labels, sizes = np.unique(community, return_counts=True)
    handles = [
        Patch(color=color, label=f"{'none' if label < 0 else label} ({size})")
        for label, size, color in zip(labels, sizes, community_colors(labels))
    ]
    axes.legend(
        handles=handles,
        title="community (nodes)",
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        handlelength=0.9,
        handleheight=0.9,
    )


def _in_counting_order(label: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``worm 2`` before ``worm 10``."""
    parts = re.split(r"(\d+)", label)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
