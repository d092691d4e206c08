"""One look for all plots: colours that colour-blind eyes tell apart, light and dark."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure, SubFigure

__all__ = [
    "COLORMAP",
    "axes_or_new",
    "colors_for",
    "figure_or_new",
    "ink",
    "palette",
    "theme",
    "tidy",
]

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette without black and yellow, for light pages."""
COLORS_ON_DARK = ("#56b4e9", "#e69f00", "#2cc295", "#e39bc6", "#f0e442", "#9aa7ff")
# without its ends, which fade into dark and light pages
COLORMAP = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.2, 0.9, 256)))
LIGHT = {"ink": "#20252b", "faint": "#d9dde2"}
DARK = {"ink": "#e6e9ed", "faint": "#3a424c"}
INKED = (
    "text.color",
    "axes.labelcolor",
    "axes.titlecolor",
    "axes.edgecolor",
    "xtick.color",
    "ytick.color",
)
BACKGROUNDS = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")


@contextlib.contextmanager
def theme(*, dark: bool = False) -> Iterator[None]:
    """Draw figures made inside the block for a light or a dark page, on no background.

    Examples
    --------
    >>> with theme(dark=True):
    ...     ink()
    '#e6e9ed'
    """
    colors = DARK if dark else LIGHT
    settings: dict[Any, Any] = {
        **dict.fromkeys(INKED, colors["ink"]),
        **dict.fromkeys(BACKGROUNDS, "none"),
        "grid.color": colors["faint"],
        "font.size": 9.0,
        "axes.titlesize": 9.0,
        "axes.linewidth": 0.8,
        "legend.frameon": False,
        "legend.fontsize": 8.0,
        # the same figure gives the same bytes
        "svg.hashsalt": "neurodyn",
    }
    with mpl.rc_context(settings):
        yield


def ink() -> str:
    """Return the colour of text, in which truth and references are drawn."""
    return str(mpl.rcParams["text.color"])


def palette() -> tuple[str, ...]:
    """Return six colours for a light page, or for a dark one if text is light.

    Examples
    --------
    >>> palette()[0]
    '#0072b2'
    """
    return COLORS_ON_DARK if sum(to_rgb(ink())) > 1.5 else COLORS


def axes_or_new(
    ax: Axes | None, *, size: tuple[float, float] = (5.0, 3.0), projection: str | None = None
) -> Axes:
    """Return ``ax``, or the axes of a new figure of ``size`` inches."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=size, layout="constrained")
    return figure.add_subplot(projection=projection)


def figure_or_new(
    figure: Figure | SubFigure | None, *, size: tuple[float, float]
) -> Figure | SubFigure:
    """Return ``figure``, or a new one of ``size`` inches."""
    if figure is not None:
        return figure
    from matplotlib import pyplot as plt

    return plt.figure(figsize=size, layout="constrained")


def tidy(ax: Axes, *, xlabel: str, ylabel: str) -> None:
    """Label the axes and take away the lines that hold nothing."""
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)


def colors_for(labels: Iterable[object]) -> dict[object, Any]:
    """Return one colour per label, in sorted order: the palette, or a colour map beyond it.

    Examples
    --------
    >>> colors_for(["right", "left"])
    {'left': '#0072b2', 'right': '#d55e00'}
    """
    ordered = sorted(set(labels), key=lambda label: (str(type(label)), cast(Any, label)))
    if len(ordered) <= len(palette()):
        return dict(zip(ordered, palette()))
    shades = COLORMAP(np.linspace(0.0, 1.0, len(ordered)))
    return dict(zip(ordered, map(tuple, shades)))
