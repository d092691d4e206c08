"""How communities change over the stages of an experiment: a strip of graphs, an alluvial flow."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError
from neurodyn.plots.names import add_names
from neurodyn.plots.networks import (
    color_on,
    community_colors,
    diameters,
    draw_edges,
    draw_nodes,
    draw_ring,
    known_variable,
    node_dim,
    ring,
    strongest_pairs,
)
from neurodyn.plots.style import axes_or_new, figure_or_new

__all__ = ["alluvial", "graph_strip"]

MOST_PER_ROW = 6
NONE = -1
BLOCK_WIDTH = 0.34
GAP_SHARE = 0.03
WRAPPED_LETTERS = 14


def graph_strip(
    stages: xr.Dataset, *, n_edges: int = 120, figure: Figure | SubFigure | None = None
) -> tuple[Axes, ...]:
    """Draw the graph of each stage of an experiment, side by side, nodes in the same places.

    Nodes stand on a circle in the order of their communities in the first stage, then the second
    and so on. Widths of lines and the least weight that is drawn are the same in all graphs, so a
    stage in which little happens has few lines.

    Parameters
    ----------
    stages
        Result with ``expected_affinity``, dims ``(stage, roi, roi_to)``, and ``stage_community``,
        dims ``(stage, roi)``, -1 for nodes in no community of an active component.
    n_edges
        Number of lines per stage, on average.
    figure
        Empty figure or part of one to fill; best with ``layout="constrained"``.

    Returns
    -------
    tuple
        Axes of each stage.

    Raises
    ------
    EmptySelectionError
        If a variable is missing or there is no stage.
    """
    affinity = known_variable(stages, "expected_affinity")
    dim = node_dim(affinity)
    weights = affinity.transpose("stage", dim, f"{dim}_to").values.astype(np.float64)
    community, names, _ = _communities(stages)
    n_rows = -(-len(names) // MOST_PER_ROW)
    n_columns = min(len(names), MOST_PER_ROW)
    whole = figure_or_new(figure, size=(1.9 * n_columns, 2.1 * n_rows))
    grid = whole.subplots(n_rows, n_columns, squeeze=False).ravel()
    last_if_none = np.where(community < 0, np.iinfo(np.int64).max, community)
    order = np.lexsort(last_if_none[::-1])
    places = ring(np.zeros(community.shape[1], np.int64), order)
    least, largest = _common_scale(weights, n_edges * len(names))
    for axes, name, matrix, labels in zip(grid, names, weights, community):
        pairs, weight = strongest_pairs(np.where(matrix >= least, matrix, 0.0), matrix.size)
        draw_edges(axes, places.points, pairs, weight, labels, largest=largest, widest=1.2)
        draw_nodes(axes, places.points, diameters(matrix, places.spacing), labels)
        draw_ring(axes, places, labels, numbers=False)
        axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), title=name)
        axes.set_aspect("equal")
    for axes in grid:
        axes.set_axis_off()
    for axes in grid[len(names) :]:
        axes.remove()
    return tuple(grid[: len(names)])


def alluvial(stages: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how nodes flow between the communities of successive stages.

    A block is a community, as high as it has nodes, with its number (or name) and its size where
    there is room; nodes in no community of a stage form a grey block below. A ribbon is as high as
    the number of nodes that go from one block to the next. Communities are stacked such that
    ribbons cross little.

    Parameters
    ----------
    stages
        Result with ``stage_community``, dims ``(stage, roi)``, -1 for nodes in no community of an
        active component; ``attrs["community_name"]`` may name the communities.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If the variable is missing or there is no stage.
    """
    community, names, titles = _communities(stages)
    columns = _stacked(community)
    axes = axes_or_new(ax, size=(0.8 + 1.3 * len(names), 3.6))
    for place, (before, after) in enumerate(pairwise(columns)):
        _draw_ribbons(axes, place, before, after)
    for place, column in enumerate(columns):
        _draw_blocks(axes, place, column)
    _label_blocks(axes, columns, titles)
    axes.set_xticks(range(len(names)), [_wrapped(name) for name in names])
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.5 * BLOCK_WIDTH - 0.03, len(names) - 1 + 0.5 * BLOCK_WIDTH + 0.03)
    ends = [edge for column in columns for block in column for edge in (block.top, block.bottom)]
    axes.set_ylim(max(ends), min(ends))
    return axes


@dataclass(frozen=True)
class _Block:
    """A community of one stage: its nodes in the order of their places, and its upper edge."""

    label: int
    nodes: NDArray[np.int64]
    top: float

    @property
    def bottom(self) -> float:
        return self.top + len(self.nodes)


def _communities(stages: xr.Dataset) -> tuple[NDArray[np.int64], list[str], list[str]]:
    """Return communities ``(stage, node)``, the names of stages and those of communities.

    Communities that occur are numbered anew, from 0 for the one of most nodes in all stages, so
    that none of the large ones have a colour in common.
    """
    values = known_variable(stages, "stage_community").transpose("stage", ...)
    if not values.size:
        raise EmptySelectionError("no stages to draw", found=dict(values.sizes))
    names = [str(name) for name in values["stage"].values]
    community = np.where(values.values < 0, NONE, values.values).astype(np.int64)
    found, sizes = np.unique(community[community >= 0], return_counts=True)
    found = found[np.argsort(-sizes, kind="stable")]
    known = list(stages.attrs.get("community_name", ()))
    titles = [known[label] if label < len(known) else str(label) for label in found]
    number_of = {NONE: NONE, **{label: number for number, label in enumerate(found.tolist())}}
    numbers = [[number_of[label] for label in row] for row in community.tolist()]
    return np.array(numbers, dtype=np.int64), names, titles


def _common_scale(weights: NDArray[np.float64], n_edges: int) -> tuple[float, float]:
    """Return the least weight among the ``n_edges`` largest of all stages, and the largest."""
    rows, columns = np.triu_indices(weights.shape[-1], 1)
    values = weights[:, rows, columns]
    values = np.sort(values[values > 0.0])
    if not values.size:
        return np.inf, 1.0
    return float(values[-min(n_edges, values.size)]), float(values[-1])


def _stacked(community: NDArray[np.int64]) -> list[list[_Block]]:
    """Return the blocks of each stage from the top, ordered by where their nodes come from."""
    n_nodes = community.shape[1]
    gap = GAP_SHARE * n_nodes
    place = np.zeros(n_nodes)
    columns: list[list[_Block]] = []
    for stage, labels in enumerate(community):
        found = np.unique(labels)
        mean_place = [place[labels == label].mean() if stage else label for label in found]
        keys = sorted(zip(found < 0, mean_place, found.tolist()))
        height = n_nodes + gap * (len(keys) - 1)
        column, top = [], -height / 2.0
        for _, _, label in keys:
            nodes = np.flatnonzero(labels == label)
            # nodes of a block keep the order in which they come, so ribbons do not cross inside
            nodes = nodes[np.argsort(place[nodes], kind="stable")]
            column.append(_Block(label, nodes, top))
            top += len(nodes) + gap
        for block in column:
            place[block.nodes] = block.top + np.arange(len(block.nodes))
        columns.append(column)
    return columns


def _draw_ribbons(axes: Axes, place: int, before: list[_Block], after: list[_Block]) -> None:
    left, right = place + BLOCK_WIDTH / 2.0, place + 1 - BLOCK_WIDTH / 2.0
    filled = {block.label: block.top for block in after}
    for source in before:
        begin = source.top
        for target in after:
            size = int(np.isin(source.nodes, target.nodes).sum())
            if not size:
                continue
            end = filled[target.label]
            axes.add_patch(
                PathPatch(
                    _ribbon((left, begin), (right, end), size),
                    facecolor=community_colors([source.label])[0],
                    edgecolor="none",
                    alpha=0.25 if source.label < 0 else 0.45,
                )
            )
            begin += size
            filled[target.label] += size


def _ribbon(begin: tuple[float, float], end: tuple[float, float], size: int) -> Path:
    """Return a ribbon ``size`` high between two upper corners, level at both ends."""
    (left, top_left), (right, top_right) = begin, end
    middle = (left + right) / 2.0
    points = [
        (left, top_left),
        (middle, top_left),
        (middle, top_right),
        (right, top_right),
        (right, top_right + size),
        (middle, top_right + size),
        (middle, top_left + size),
        (left, top_left + size),
        (left, top_left),
    ]
    curve = [Path.CURVE4] * 3
    return Path(points, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])


def _draw_blocks(axes: Axes, place: int, column: list[_Block]) -> None:
    for block in column:
        axes.add_patch(
            Rectangle(
                (place - BLOCK_WIDTH / 2.0, block.top),
                BLOCK_WIDTH,
                len(block.nodes),
                facecolor=community_colors([block.label])[0],
                edgecolor="none",
            )
        )


def _label_blocks(axes: Axes, columns: list[list[_Block]], titles: list[str]) -> None:
    placed = [(place, block) for place, column in enumerate(columns) for block in column]
    style: dict[str, Any] = {"horizontalalignment": "center", "fontsize": 6.0}
    add_names(
        axes,
        [
            f"{'none' if block.label < 0 else titles[block.label]} ({len(block.nodes)})"
            for _, block in placed
        ],
        np.array([(place, (block.top + block.bottom) / 2.0) for place, block in placed]),
        colors=[color_on(community_colors([block.label])[0]) for _, block in placed],
        rooms=[(1.1 * BLOCK_WIDTH, 1.2 * len(block.nodes)) for _, block in placed],
        verticalalignment="center_baseline",
        **style,
    )


def _wrapped(name: str) -> str:
    """Return a name in lines of about equal length."""
    lines: list[str] = []
    for word in name.split():
        if lines and len(lines[-1]) + len(word) < WRAPPED_LETTERS:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
