"""Brain regions where they are: a number of each, or how pairs are bound, on the glass brain."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import KDTree

from neurodyn.errors import DataError, EmptySelectionError, MissingDependencyError, one_of
from neurodyn.plots.networks import NO_COMMUNITY, community_colors, node_dim, strongest_pairs
from neurodyn.plots.style import COLORMAP, COLORS, axes_or_new, ink, palette

__all__ = ["brain_surface", "diverging", "glass_brain", "glass_connectome"]

SIDES = ("left", "right")
VIEWS = ("lateral", "medial", "dorsal", "ventral", "anterior", "posterior")
# [mm] from a region's centre within which a place of the surface shows its value
REACH = 25.0


def glass_brain(
    values: xr.DataArray,
    *,
    label: str | None = None,
    views: str = "lyrz",
    size: float = 40.0,
    colormap: str | Colormap | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a number of each region as a dot at its centre, seen through the brain.

    Parameters
    ----------
    values
        Dims ``(roi,)``, with MNI centroids ``x``, ``y``, ``z`` [mm] as coordinates. Regions of
        value NaN are left out.
    label
        Of the colour bar; by default the name of the values.
    views, size
        As nilearn's ``display_mode``, ``"lyrz"`` is left, front, right and top; of the dots
        [points squared].
    colormap, ax
        By default with white in the middle if there are values below and above 0; where to draw.

    Raises
    ------
    MissingDependencyError, DataError, EmptySelectionError
        Without nilearn; if centroids are not known; if no value is.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> places = {"x": ("roi", [-40, 40]), "y": ("roi", [0, 0]), "z": ("roi", [20, 20])}
    >>> values = xr.DataArray([0.2, 0.4], dims="roi", coords=places, name="r2")
    >>> axes = glass_brain(values, ax=Figure().add_subplot())
    >>> axes.get_figure().axes[1].get_ylabel()
    'r2'
    """
    plotting = _nilearn()
    places, number = _centroids(values), values.values.astype(np.float64)
    known = np.isfinite(number)
    if not known.any():
        raise EmptySelectionError("no region has a value", found=f"{number.size} regions")
    colors = diverging(number[known], colormap)
    axes = axes_or_new(ax, size=(8.0, 2.3))
    _color_bar(axes, colors, label or str(values.name or ""))
    display = plotting.plot_markers(
        number[known],
        places[known],
        node_size=size,
        node_cmap=colors.cmap,
        node_vmin=colors.norm.vmin,
        node_vmax=colors.norm.vmax,
        alpha=0.9,
        node_kwargs={"edgecolors": ink(), "linewidths": 0.25},
        **_shared(axes, views),
    )
    _finish(display)
    return axes


def glass_connectome(
    matrix: xr.DataArray,
    *,
    n_edges: int = 150,
    label: str | None = None,
    views: str = "lyrz",
    ax: Axes | None = None,
) -> Axes:
    """Draw the strongest pairs of regions as lines, seen through the brain.

    Parameters
    ----------
    matrix
        Dims ``(roi, roi_to)``, with MNI centroids ``x``, ``y``, ``z`` [mm] and, if known,
        ``network`` of ``roi``, which colours the dots. Of a pair the mean of both directions is
        drawn, and only of positive pairs.
    n_edges
        Pairs at most.
    label
        Of the colour bar; by default the name of the matrix.
    views, ax
        As in :func:`glass_brain`.

    Raises
    ------
    MissingDependencyError, DataError
        As :func:`glass_brain`.
    EmptySelectionError
        If no pair is positive, or the matrix has no node dims.
    """
    plotting = _nilearn()
    dim = node_dim(matrix)
    places = _centroids(matrix)
    weights = matrix.transpose(dim, f"{dim}_to").values.astype(np.float64)
    weights = 0.5 * (weights + weights.T)
    pairs, weight = strongest_pairs(weights, n_edges)
    if not len(pairs):
        raise EmptySelectionError("no pair of regions to draw", expected="a weight above zero")
    kept = np.zeros_like(weights)
    kept[pairs[:, 0], pairs[:, 1]] = kept[pairs[:, 1], pairs[:, 0]] = weight
    colors = ScalarMappable(Normalize(float(weight.min()), float(weight.max())), COLORMAP)
    node_color: Any = NO_COMMUNITY
    if "network" in matrix.coords:
        node_color = community_colors(_codes(matrix["network"].values))
    axes = axes_or_new(ax, size=(8.0, 2.3))
    _color_bar(axes, colors, label or str(matrix.name or ""))
    display = plotting.plot_connectome(
        kept,
        places,
        node_color=node_color,
        node_size=12,
        edge_cmap=colors.cmap,
        edge_vmin=colors.norm.vmin,
        edge_vmax=colors.norm.vmax,
        edge_kwargs={"linewidth": 0.9},
        **_shared(axes, views),
    )
    _finish(display)
    return axes


def brain_surface(
    values: xr.DataArray,
    *,
    hemisphere: str = "left",
    view: str = "lateral",
    colormap: str | Colormap | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a number of each region on the inflated cortex (fsaverage5, which nilearn carries).

    A place shows the nearest region within 25 mm: a sketch, as only centres of regions are known.
    Deep regions, and those that lie on both sides, are seen better by :func:`glass_brain`.

    Parameters
    ----------
    values, colormap
        As in :func:`glass_brain`.
    hemisphere
        ``"left"`` or ``"right"``.
    view
        ``"lateral"``, ``"medial"``, ``"dorsal"``, ``"ventral"``, ``"anterior"``, ``"posterior"``.
    ax
        Axes with ``projection="3d"``.

    Raises
    ------
    ConfigError, MissingDependencyError, DataError, EmptySelectionError
        For another side or view; as :func:`glass_brain`; if no region lies near that side.
    """
    plotting = _nilearn()
    from nilearn.datasets import load_fsaverage, load_fsaverage_data

    one_of("hemisphere", hemisphere, SIDES)
    one_of("view", view, VIEWS)
    shown = _on_cortex(values, load_fsaverage("fsaverage5")["pial"].parts[hemisphere].coordinates)
    if not np.isfinite(shown).any():
        raise EmptySelectionError(
            "no region with a value lies near this side",
            found=hemisphere,
            hint="glass_brain shows every region",
        )
    colors = diverging(values.values[np.isfinite(values.values)], colormap)
    axes = axes_or_new(ax, size=(3.4, 3.0), projection="3d")
    plotting.plot_surf_stat_map(
        load_fsaverage("fsaverage5")["inflated"].parts[hemisphere],
        shown,
        hemi=hemisphere,
        view=view,
        bg_map=load_fsaverage_data("fsaverage5", data_type="sulcal").data.parts[hemisphere],
        bg_on_data=False,
        cmap=colors.cmap,
        vmin=colors.norm.vmin,
        vmax=colors.norm.vmax,
        colorbar=False,
        axes=axes,
        figure=axes.figure,
    )
    axes.patch.set_visible(False)
    return axes


def diverging(values: NDArray[np.float64], colormap: str | Colormap | None = None) -> Any:
    """Return colours for values: from 0 or the least, or, with both signs, even about 0.

    Examples
    --------
    >>> diverging(np.array([-1.0, 3.0])).get_clim()
    (-3.0, 3.0)
    """
    low, high = float(values.min()), float(values.max())
    if low < 0.0 < high:
        high = max(-low, high)
        return ScalarMappable(Normalize(-high, high), colormap or "RdBu_r")
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return ScalarMappable(Normalize(low, high), colormap or COLORMAP)


def _nilearn() -> Any:
    try:
        from nilearn import plotting
    except ImportError as error:
        raise MissingDependencyError("nilearn", "fmri") from error
    return plotting


def _centroids(values: xr.DataArray) -> NDArray[np.float64]:
    """Return MNI centroids ``(roi, 3)`` [mm]."""
    missing = [axis for axis in "xyz" if axis not in values.coords]
    found = np.empty((0, 3))
    if not missing:
        found = np.stack([values[axis].values.astype(np.float64) for axis in "xyz"], axis=-1)
    if missing or not np.isfinite(found).all():
        raise DataError(
            "it is not known where regions are",
            found=f"no coordinates {', '.join(missing)}" if missing else "centroids that are NaN",
            expected="MNI centroids [mm] as coordinates x, y, z of roi",
        )
    return found


def _on_cortex(values: xr.DataArray, cortex: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the value of the nearest region within reach of each place, NaN without one."""
    known = np.isfinite(values.values.astype(np.float64))
    if not known.any():
        return np.full(len(cortex), np.nan)
    distance, nearest = KDTree(_centroids(values)[known]).query(cortex)
    number = values.values.astype(np.float64)[known]
    found: NDArray[np.float64] = np.where(distance <= REACH, number[nearest], np.nan)
    return found


def _shared(axes: Axes, views: str) -> dict[str, Any]:
    """Return what both pictures tell nilearn; the layout is settled before it takes its place."""
    figure = axes.get_figure(root=True)
    if isinstance(figure, Figure):
        figure.draw_without_rendering()
    return {
        "display_mode": views,
        "axes": axes,
        "figure": figure,
        "annotate": False,
        "black_bg": palette() != COLORS,
        "colorbar": False,
    }


def _finish(display: Any) -> None:
    """Write L and R where both sides are in sight, and let the page be seen behind."""
    display.annotate(positions=False, size=7, color=ink())
    for view in display.axes.values():
        for text in view.ax.texts:
            text.set_bbox(None)
    for background in list(display.frame_axes.images):
        background.remove()


def _color_bar(axes: Axes, colors: Any, label: str) -> None:
    axes.set_axis_off()
    bar = axes.figure.colorbar(colors, ax=axes, shrink=0.75, pad=0.01, label=label)
    bar.outline.set_visible(False)


def _codes(network: NDArray[Any]) -> list[int]:
    """Return numbers of networks in sorted order, -1 for none."""
    known = sorted({str(name) for name in network} - {""})
    return [known.index(str(name)) if str(name) else -1 for name in network]
