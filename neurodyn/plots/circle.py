"""The connectivity circle of mne-connectivity, for components and other matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DataError, EmptySelectionError, MissingDependencyError
from neurodyn.plots.names import name_around
from neurodyn.plots.networks import (
    Ring,
    block_order,
    community_colors,
    node_dim,
    node_names,
    of_component,
    ring,
    strongest_pairs,
)
from neurodyn.plots.style import COLORMAP, axes_or_new, ink

__all__ = ["connectivity_circle"]

NAME_RADIUS = 10.4


def connectivity_circle(
    results: xr.Dataset | xr.DataArray,
    component: str | None = None,
    *,
    n_edges: int = 250,
    colormap: str | Colormap = COLORMAP,
    ax: Axes | None = None,
) -> Axes:
    """Draw a component, or any symmetric matrix of nodes, as the circle of mne-connectivity.

    Parameters
    ----------
    results
        Result with ``pair_factor``, dims ``(component, roi, roi_to)``, and, if known,
        ``community(component, roi)``; or a matrix ``(roi, roi_to)``, whose coordinate
        ``community(roi)`` does the same.
    component
        Label of the component of a result.
    n_edges
        Draw the strongest pairs, so many at most; never pairs of no weight or never seen (NaN).
    colormap
        Of the lines, from zero to the largest weight.
    ax
        Polar axes to draw into.

    Raises
    ------
    MissingDependencyError
        If mne-connectivity is not installed.
    EmptySelectionError
        If there is no such variable or component, or no pair has a weight.
    ConfigError
        If ``ax`` are not polar axes, or the component of a result is not said.
    DataError
        If it is no square matrix.
    """
    draw = _mne_circle()
    weights, community, names = _matrix(results, component)
    pairs, weight = strongest_pairs(weights, n_edges)
    if not len(pairs):
        raise EmptySelectionError("no pair of nodes to draw", expected="a weight above zero")
    if ax is not None and ax.name != "polar":
        raise ConfigError(
            "a circle needs polar axes", found=ax.name, hint="figure.add_subplot(polar=True)"
        )
    axes = axes_or_new(ax, size=(5.2, 5.0), projection="polar")
    order = block_order(weights, community)
    places = ring(community, order)
    _draw_circle(draw, axes, places, pairs, weight, community, colormap)
    name_around(axes, [names[node] for node in order], places.angles[order], radius=NAME_RADIUS)
    _color_bar(axes, colormap, float(weight.max()))
    return axes


def _draw_circle(
    draw: Callable[..., Any],
    axes: Axes,
    places: Ring,
    pairs: NDArray[np.int64],
    weight: NDArray[np.float64],
    community: NDArray[np.int64],
    colormap: str | Colormap,
) -> None:
    """Draw all but names and colour bar."""
    draw(
        weight,
        [""] * len(community),
        indices=(pairs[:, 0], pairs[:, 1]),
        node_angles=np.rad2deg(places.angles),
        node_width=np.rad2deg(places.spacing),
        node_colors=community_colors(community.tolist()),
        node_edgecolor="none",
        node_linewidth=0.0,
        facecolor="none",
        textcolor=ink(),
        linewidth=0.9,
        colormap=colormap,
        vmin=0.0,
        vmax=float(weight.max()),
        colorbar=False,
        padding=1.0,
        ax=axes,
        interactive=False,
        show=False,
    )
    # empty; names that do not cover one another follow
    for text in list(axes.texts):
        text.remove()


def _mne_circle() -> Callable[..., Any]:
    try:
        from mne_connectivity.viz import (  # type: ignore[import-untyped, unused-ignore]
            plot_connectivity_circle,
        )
    except ImportError as error:
        raise MissingDependencyError("mne-connectivity", "connectome") from error
    draw: Callable[..., Any] = plot_connectivity_circle
    return draw


def _matrix(
    results: xr.Dataset | xr.DataArray, component: str | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Return weights ``(node, node_to)``, communities (one of all if unknown) and names."""
    if isinstance(results, xr.DataArray):
        values = results
        known = "community" in results.coords
        communities = results["community"] if known else None
    else:
        if component is None:
            raise ConfigError("which component to draw is not said", expected="component='1'")
        (values,) = of_component(results, component, "pair_factor")
        known = "community" in results
        communities = of_component(results, component, "community")[0] if known else None
    dim = node_dim(values)
    if values.ndim != 2 or values.sizes[dim] != values.sizes[f"{dim}_to"]:
        raise DataError(
            "not a square matrix of nodes", found=dict(values.sizes), expected=f"{dim}, {dim}_to"
        )
    weights = values.transpose(dim, f"{dim}_to").values.astype(np.float64)
    labels = np.zeros(len(weights)) if communities is None else communities.values
    return weights, labels.astype(np.int64), node_names(values, dim)


def _color_bar(axes: Axes, colormap: str | Colormap, largest: float) -> None:
    colors = ScalarMappable(Normalize(0.0, largest), colormap)
    bar = axes.figure.colorbar(colors, ax=axes, shrink=0.4, pad=0.04, label="weight of pair")
    bar.outline.set_visible(False)
