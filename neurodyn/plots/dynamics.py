"""What a model found: latent trajectories and the dispersion relation of its oscillators."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, StrMethodFormatter
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError, suggest
from neurodyn.plots.style import COLORMAP, axes_or_new, colors_for, ink, palette, tidy

__all__ = ["dispersion", "latents"]

OVERDAMPED = 0.5


def latents(
    results: xr.Dataset,
    *,
    variable: str = "latent",
    by: str | None = "condition",
    factors: tuple[str, str, str] | None = None,
    most_lines: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """Draw latent trajectories in three dimensions, one line per condition or trial.

    Parameters
    ----------
    results
        Result with ``variable``, dims ``(trial, time, factor)``.
    variable
        Which states.
    by
        Trial coordinate whose trials are averaged and share a colour; every trial by itself if
        ``None`` or absent.
    factors
        Three factors to draw; if not given and there are more, their three principal axes, with
        the share of the variance that each explains.
    most_lines
        Draw no more than these, evenly chosen; the title then says so.
    ax
        Three-dimensional axes to draw into.

    Raises
    ------
    EmptySelectionError
        If there is no such variable or factor, or fewer than three factors.
    """
    if variable not in results:
        raise EmptySelectionError(
            f"no variable {variable!r}", hint=suggest(variable, map(str, results))
        )
    states = results[variable].transpose("trial", "time", "factor")
    group = results[by].values if by in results.coords else np.arange(states.sizes["trial"])
    every = sorted(set(group.tolist()))
    kept = np.unique(
        np.linspace(0, len(every) - 1, min(most_lines, len(every))).round().astype(int)
    )
    colors = colors_for([every[index] for index in kept])
    means = np.stack([states.values[group == label].mean(axis=0) for label in colors])
    points, labels = _three_axes(means, states["factor"].values, factors)
    axes: Any = axes_or_new(ax, size=(4.6, 4.2), projection="3d")
    for line, (label, color) in zip(points, colors.items()):
        axes.plot(*line.T, color=color, linewidth=1.0, alpha=0.9, label=str(label))
        axes.scatter(*line[:1].T, color=[color], s=10, depthshade=False)
    for axis, label in zip((axes.xaxis, axes.yaxis, axes.zaxis), labels):
        axis.set_label_text(label)
        axis.set_pane_color((0.0, 0.0, 0.0, 0.0))
        axis.set_ticklabels([])
        axis.labelpad = -8
    if len(kept) < len(every):
        axes.set_title(f"{len(kept)} of {len(every)} {f'{by}s' if by else 'trials'}", loc="left")
    elif 1 < len(every) <= len(palette()):
        axes.legend(title=by)
    return axes  # type: ignore[no-any-return]


def dispersion(results: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the dispersion relation of learned oscillators, coloured by their quality factor.

    Parameters
    ----------
    results
        Result with ``frequency`` and ``quality`` (angular frequency over damping), dims
        ``(wave_number, mode)``. Modes of quality below 0.5 do not oscillate and are drawn hollow.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If one of the variables is missing.
    """
    for name in ("frequency", "quality"):
        if name not in results:
            raise EmptySelectionError(
                f"no variable {name!r}", hint=suggest(name, map(str, results))
            )
    frequency = results["frequency"].transpose("wave_number", "mode")
    quality = results["quality"].transpose("wave_number", "mode").values
    wave_number = results["wave_number"].values
    axes = axes_or_new(ax)
    for mode in frequency.values.T:
        axes.plot(wave_number, mode, color=ink(), alpha=0.3, linewidth=0.8, zorder=1)
    scale = mpl.colors.LogNorm(max(quality.min(), 1e-3), max(quality.max(), 1e-3) * (1.0 + 1e-9))
    colors = COLORMAP(scale(quality.ravel()))
    faces = np.where((quality.ravel() >= OVERDAMPED)[:, None], colors, 0.0)
    axes.scatter(
        np.repeat(wave_number, frequency.shape[1]),
        frequency.values.ravel(),
        s=22,
        facecolors=faces,
        edgecolors=colors,
        linewidths=1.0,
        zorder=2,
    )
    bar = axes.figure.colorbar(
        mpl.cm.ScalarMappable(scale, COLORMAP),
        ax=axes,
        label="quality factor Q",
        pad=0.02,
        ticks=LogLocator(subs=(1.0, 2.0, 5.0)),
        format=StrMethodFormatter("{x:g}"),
    )
    bar.outline.set_visible(False)
    bar.minorticks_off()
    axes.set_ylim(bottom=0.0)
    tidy(
        axes,
        xlabel=f"wave number k [{results['wave_number'].attrs.get('units', 'rad/site')}]",
        ylabel=f"frequency [{frequency.attrs.get('units', 'Hz')}]",
    )
    return axes


def _three_axes(
    means: NDArray[Any], names: NDArray[Any], factors: tuple[str, str, str] | None
) -> tuple[NDArray[Any], list[str]]:
    """Return trajectories (line, time, 3) and what their axes are."""
    labels = [str(name) for name in names]
    if factors is not None:
        unknown = [name for name in factors if name not in labels]
        if unknown:
            raise EmptySelectionError(f"no factor {unknown[0]!r}", hint=suggest(unknown[0], labels))
        chosen = [labels.index(name) for name in factors]
        return means[..., chosen], [f"factor {name}" for name in factors]
    if len(labels) < 3:
        raise EmptySelectionError("a trajectory in space needs three factors", found=len(labels))
    if len(labels) == 3:
        return means, [f"factor {name}" for name in labels]
    flat = means.reshape(-1, len(labels)).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    share = sizes**2 / max((sizes**2).sum(), np.finfo(float).tiny)
    points = (centred @ directions[:3].T).reshape(*means.shape[:-1], 3)
    return points, [f"PC {axis + 1} ({share[axis]:.0%})" for axis in range(3)]
