"""Nodes, communities and edges as they are drawn in every picture of a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb, to_rgba
from matplotlib.patches import Wedge
from matplotlib.path import Path
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError, suggest
from neurodyn.plots.names import add_names
from neurodyn.plots.style import COLORS, ink, palette

__all__ = [
    "NO_COMMUNITY",
    "Ring",
    "block_order",
    "color_on",
    "community_colors",
    "diameters",
    "draw_edges",
    "draw_nodes",
    "draw_ring",
    "known_variable",
    "node_dim",
    "node_names",
    "of_component",
    "places_of",
    "ring",
    "strongest_pairs",
]

NO_COMMUNITY = "#9098a1"
# together with the palette ten colours, the next always far from those before it for normal,
# red-blind, green-blind and blue-blind eyes
MORE_COLORS = ("#712609", "#a1c671", "#42394c", "#e3b3b3")
MORE_COLORS_ON_DARK = ("#7b7b2f", "#c6f697", "#b355a1", "#398471")
BRIGHT = 0.42
GAP = 1.4
RING_INNER, RING_OUTER = 1.04, 1.15
NUMBER_ROOM = 0.12


def known_variable(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Return a variable of a result.

    Raises
    ------
    EmptySelectionError
        If there is none of that name; lists those that there are.
    """
    if name not in ds:
        raise EmptySelectionError(f"no variable {name!r}", hint=suggest(name, map(str, ds)))
    return ds[name]


def of_component(results: xr.Dataset, component: str, *variables: str) -> list[xr.DataArray]:
    """Return variables of one component.

    Raises
    ------
    EmptySelectionError
        If there is no such variable or component.
    """
    found = [known_variable(results, name) for name in variables]
    labels = [str(label) for label in known_variable(results, "component").values]
    if str(component) not in labels:
        hint = suggest(str(component), labels)
        raise EmptySelectionError(f"no component {component!r}", hint=hint)
    return [values.isel(component=labels.index(str(component))) for values in found]


def node_dim(matrix: xr.DataArray) -> str:
    """Return the dim of the nodes, ``roi`` of ``(…, roi, roi_to)``.

    Raises
    ------
    EmptySelectionError
        If no two dims belong together so.

    Examples
    --------
    >>> node_dim(xr.DataArray(np.eye(2), dims=("unit", "unit_to")))
    'unit'
    """
    for dim in map(str, matrix.dims):
        if f"{dim}_to" in matrix.dims:
            return dim
    raise EmptySelectionError(
        "the matrix has no node dims", found=matrix.dims, expected="dims such as ('roi', 'roi_to')"
    )


def node_names(values: xr.DataArray, dim: str) -> list[str]:
    """Return the names of nodes, numbered if they have none."""
    return [str(name) for name in values[dim].values]


def community_colors(community: Iterable[int]) -> list[str]:
    """Return the colour of each community number; negative ones, of no community, are grey.

    There are ten colours, then the same nearer to the page, then they begin anew: numbers beside
    them tell communities apart.

    Examples
    --------
    >>> community_colors([0, 1, 10, -1])
    ['#0072b2', '#d55e00', '#80b8d8', '#9098a1']
    """
    light = palette() == COLORS
    strong = palette() + (MORE_COLORS if light else MORE_COLORS_ON_DARK)
    page = np.full(3, 1.0 if light else 0.0)
    pale = [to_hex(0.5 * (np.array(to_rgb(color)) + page)) for color in strong]
    colors = (*strong, *pale)
    return [NO_COMMUNITY if label < 0 else colors[label % len(colors)] for label in community]


def color_on(fill: str) -> str:
    """Return black or white, whichever is read better on a colour."""
    return "black" if np.dot(to_rgb(fill), (0.299, 0.587, 0.114)) > BRIGHT else "white"


def block_order(weights: NDArray[Any], community: NDArray[Any]) -> NDArray[np.int64]:
    """Return nodes by community, within it the best connected first; those of none come last.

    Parameters
    ----------
    weights
        ``(node, node_to)``; NaN where a pair was never seen.
    community
        Number of each node, negative for none.

    Examples
    --------
    >>> block_order(np.ones((3, 3)), np.array([1, -1, 0])).tolist()
    [2, 0, 1]
    """
    inside = (community[:, None] == community[None, :]) & np.isfinite(weights)
    degree = np.where(inside, weights, 0.0).sum(axis=1)
    last = np.where(community < 0, np.iinfo(np.int64).max, community)
    return np.lexsort((-degree, last)).astype(np.int64)


def strongest_pairs(weights: NDArray[Any], n_pairs: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pairs of largest weight ``(pair, 2)``, weakest first, and their weights.

    Pairs of no weight and pairs never seen (NaN) are none.

    Examples
    --------
    >>> pairs, weight = strongest_pairs(np.array([[0, 3, 0], [3, 0, 1], [0, 1, 0]]), 5)
    >>> pairs.tolist(), weight.tolist()
    ([[1, 2], [0, 1]], [1, 3])
    """
    rows, columns = np.triu_indices(len(weights), 1)
    values = weights[rows, columns]
    order = np.argsort(np.where(values > 0.0, values, 0.0), kind="stable")
    kept = order[max(0, order.size - n_pairs) :]
    kept = kept[values[kept] > 0.0]
    return np.stack([rows[kept], columns[kept]], axis=1), values[kept]


@dataclass(frozen=True)
class Ring:
    """Places of nodes on a circle, clockwise from the top, with gaps between communities."""

    angles: NDArray[np.float64]
    """Of each node [rad], counter-clockwise from the right, in the order of the nodes."""
    spacing: float
    """Between neighbours [rad]."""

    @property
    def points(self) -> NDArray[np.float64]:
        """Places ``(node, 2)`` on the unit circle."""
        return np.stack([np.cos(self.angles), np.sin(self.angles)], axis=1)


def ring(community: NDArray[Any], order: NDArray[Any]) -> Ring:
    """Return places of nodes in an order, with gaps where the community changes.

    Parameters
    ----------
    community
        Number of each node.
    order
        Nodes from the top clockwise.
    """
    labels = community[order]
    changes = np.concatenate([[0], np.cumsum(labels[1:] != labels[:-1])]).astype(np.float64)
    n_gaps = changes[-1] + (changes[-1] > 0)
    spacing = 2.0 * np.pi / (len(order) + GAP * n_gaps)
    turned = (np.arange(len(order)) + 0.5 + GAP * (changes + 0.5 * (n_gaps > 0))) * spacing
    angles = np.empty(len(order))
    angles[order] = np.pi / 2.0 - turned
    return Ring(angles % (2.0 * np.pi), spacing)


def draw_edges(
    axes: Axes,
    points: NDArray[Any],
    pairs: NDArray[Any],
    weight: NDArray[Any],
    community: NDArray[Any],
    *,
    largest: float | None = None,
    widest: float = 2.0,
    bend: bool = True,
) -> PathCollection:
    """Draw pairs as lines, the stronger the wider; inside a community in its colour.

    Parameters
    ----------
    axes, points
        Where to draw, and the places of the nodes ``(node, 2)``.
    pairs, weight, community
        What :func:`strongest_pairs` returns, and the number of each node.
    largest
        Weight of the widest line; the largest of these if not given.
    widest
        Its width in points.
    bend
        Bend lines towards the middle of the unit circle.
    """
    begin, end = points[pairs[:, 0]], points[pairs[:, 1]]
    length = np.linalg.norm(end - begin, axis=1, keepdims=True)
    control = (begin + end) / 2.0 * (1.0 - 0.8 * np.minimum(length, 1.0) if bend else 1.0)
    codes = [Path.MOVETO, Path.CURVE3, Path.CURVE3]
    paths = [Path(np.stack(three), codes) for three in zip(begin, control, end)]
    top = (weight.max() if weight.size else 1.0) if largest is None else largest
    share = np.clip(weight / max(float(top), np.finfo(float).tiny), 0.0, 1.0)
    first, second = community[pairs[:, 0]], community[pairs[:, 1]]
    inside = (first == second) & (first >= 0)
    fills = [ink() if not same else color for same, color in zip(inside, community_colors(first))]
    colors = [
        to_rgba(fill, (0.35 + 0.55 * part) if same else (0.08 + 0.27 * part))
        for fill, part, same in zip(fills, share, inside)
    ]
    # lines between communities lie under those inside one
    stack = np.lexsort((share, inside))
    collection = PathCollection(
        [paths[index] for index in stack],
        facecolors="none",
        edgecolors=[colors[index] for index in stack],
        linewidths=widest * (0.25 + 0.75 * share[stack]),
        capstyle="round",
        zorder=1,
    )
    axes.add_collection(collection, autolim=False)
    return collection


def draw_nodes(
    axes: Axes, points: NDArray[Any], diameter: NDArray[Any], community: NDArray[Any]
) -> EllipseCollection:
    """Draw nodes as discs whose diameter is in data units: they never grow into one another."""
    collection = EllipseCollection(
        diameter,
        diameter,
        np.zeros(len(points)),
        units="xy",
        offsets=points,
        offset_transform=axes.transData,
        facecolors=community_colors(community),
        edgecolors="none",
        zorder=2,
    )
    axes.add_collection(collection, autolim=False)
    return collection


def draw_ring(axes: Axes, places: Ring, community: NDArray[Any], *, numbers: bool = True) -> None:
    """Draw an arc around the nodes of each community, with its number.

    Parameters
    ----------
    axes, places, community
        Where to draw, the places of the nodes, and the number of each.
    numbers
        Write the numbers of communities into their arcs.
    """
    middles, labels, rooms = [], [], []
    for arc in _arcs(places, community):
        label = int(community[arc[0]])
        clockwise = (np.pi / 2.0 - places.angles[arc]) % (2.0 * np.pi)
        first, last = clockwise.min(), clockwise.max()
        edges = np.rad2deg(np.pi / 2.0 - np.array([last, first])) + np.rad2deg(
            places.spacing * np.array([-0.5, 0.5])
        )
        axes.add_patch(
            Wedge(
                (0.0, 0.0),
                RING_OUTER,
                edges[0],
                edges[1],
                width=RING_OUTER - RING_INNER,
                facecolor=community_colors([label])[0],
                edgecolor="none",
            )
        )
        middles.append(np.pi / 2.0 - (first + last) / 2.0)
        labels.append(label)
        chord = float(last - first + places.spacing)
        rooms.append((min(max(chord, NUMBER_ROOM), 1.4 * NUMBER_ROOM), NUMBER_ROOM))
    if not numbers or not labels:
        return
    radius = (RING_INNER + RING_OUTER) / 2.0
    add_names(
        axes,
        ["–" if label < 0 else str(label) for label in labels],
        radius * np.stack([np.cos(middles), np.sin(middles)], axis=1),
        colors=[color_on(color) for color in community_colors(labels)],
        rooms=rooms,
        fontsize=6.0,
        fontweight="bold",
        horizontalalignment="center",
        verticalalignment="center",
    )


def _arcs(places: Ring, community: NDArray[Any]) -> list[NDArray[np.int64]]:
    """Return the nodes of each community around the circle; one may have several arcs."""
    clockwise = (np.pi / 2.0 - places.angles) % (2.0 * np.pi)
    order = np.argsort(clockwise)
    labels = community[order]
    return np.split(order, np.flatnonzero(labels[1:] != labels[:-1]) + 1)


def diameters(weights: NDArray[Any], spacing: float) -> NDArray[np.float64]:
    """Return diameters below ``spacing``, their area growing with the node's summed weight."""
    degree = np.nansum(np.where(np.eye(len(weights), dtype=bool), 0.0, weights), axis=1)
    share = degree / max(float(degree.max()), np.finfo(float).tiny)
    diameter: NDArray[np.float64] = spacing * np.sqrt(0.15 + 0.75 * share)
    return diameter


def places_of(
    positions: Mapping[str, Sequence[float]] | xr.DataArray, dim: str, names: Sequence[str]
) -> NDArray[np.float64]:
    """Return given places of nodes ``(node, 2)`` by their names.

    Raises
    ------
    EmptySelectionError
        If a node has no place.
    """
    if isinstance(positions, xr.DataArray):
        table = positions.transpose(dim, ...)
        positions = dict(zip(node_names(table, dim), table.values))
    missing = [name for name in names if name not in positions]
    if missing:
        raise EmptySelectionError(
            f"no position of {missing[0]!r}",
            found=f"{len(missing)} of {len(names)} nodes without one",
            hint=suggest(missing[0], positions),
        )
    return np.array([tuple(positions[name])[:2] for name in names], dtype=np.float64)
