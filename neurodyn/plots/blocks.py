"""Matrices in blocks: weights of pairs, borders between communities."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from neurodyn.plots.names import POINTS_PER_INCH, add_names
from neurodyn.plots.networks import community_colors
from neurodyn.plots.style import COLORMAP

__all__ = ["draw_blocks", "draw_matrix"]

HIGHEST_PERCENTILE = 99.0
NUMBER_BELOW = 2.0


def draw_matrix(axes: Axes, weights: NDArray[np.float64]) -> None:
    """Draw weights ``(node, node_to)`` without the diagonal; NaN is left empty."""
    shown = weights.copy()
    np.fill_diagonal(shown, np.nan)
    seen = shown[np.isfinite(shown)]
    top = float(np.percentile(seen, HIGHEST_PERCENTILE)) if seen.size else 0.0
    largest = float(seen.max()) if seen.size else 1.0
    # of a component of few pairs that percentile is zero
    top = top if top > 0.0 else max(largest, np.finfo(float).tiny)
    image = axes.imshow(shown, cmap=COLORMAP, vmin=0.0, vmax=top, interpolation="nearest")
    bar = axes.figure.colorbar(
        image,
        ax=axes,
        label="weight of pair",
        shrink=0.6,
        pad=0.02,
        extend="max" if largest > top else "neither",
    )
    bar.outline.set_visible(False)


def draw_blocks(axes: Axes, community: NDArray[Any]) -> None:
    """Draw borders between communities, and their colours and numbers along two edges.

    Parameters
    ----------
    axes
        Where the matrix is drawn.
    community
        Number of each node in the order of the rows, negative for none.
    """
    n_nodes = len(community)
    ends = np.flatnonzero(np.diff(community)) + 1
    edges = np.concatenate([[0], ends, [n_nodes]]) - 0.5
    near, width = 0.012 * n_nodes, 0.03 * n_nodes
    labels = [int(community[round(low + 0.5)]) for low in edges[:-1]]
    for low, high, color in zip(edges[:-1], edges[1:], community_colors(labels)):
        style: dict[str, Any] = {"facecolor": color, "edgecolor": "none"}
        axes.add_patch(Rectangle((-0.5 - near - width, low), width, high - low, **style))
        axes.add_patch(Rectangle((low, n_nodes - 0.5 + near), high - low, width, **style))
    for edge in edges[1:-1]:
        axes.axhline(edge, color="white", linewidth=0.7)
        axes.axvline(edge, color="white", linewidth=0.7)
    axes.set_xlim(-0.5 - near - width, n_nodes - 0.5)
    axes.set_ylim(n_nodes - 0.5 + near + width, -0.5)
    middles = (edges[:-1] + edges[1:]) / 2.0
    below = np.stack([middles, np.full(len(middles), n_nodes - 0.5 + near + width)], axis=1)
    figure: Any = axes.figure
    add_names(
        axes,
        ["–" if label < 0 else str(label) for label in labels],
        below,
        fontsize=7.0,
        horizontalalignment="center",
        verticalalignment="top",
        transform=axes.transData
        + ScaledTranslation(0.0, -NUMBER_BELOW / POINTS_PER_INCH, figure.dpi_scale_trans),
    )
    axes.set_xlabel("community", labelpad=12.0)
