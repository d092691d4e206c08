"""Stimuli as shaded intervals under a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from neurodyn.errors import DataError
from neurodyn.plots.style import colors_for, ink
from neurodyn.recording import pick

__all__ = ["Interval", "intervals", "segments", "shade"]

Interval = tuple[str, float, float]
"""Name, start and stop [s]."""

SEVERAL = "differs by animal"
LETTER_POINTS = 4.0


def intervals(
    stimuli: xr.DataTree | xr.Dataset | Sequence[Interval],
) -> list[Interval]:
    """Return intervals in time, those that animals share once."""
    if isinstance(stimuli, xr.DataTree | xr.Dataset):
        table = pick(stimuli, "trials")
        column = next((name for name in ("stimulus", "condition") if name in table), None)
        names = table[column].values if column else np.full(table.sizes["trial"], "stimulus")
        rows = list(zip(map(str, names), table["start"].values, table["stop"].values))
    else:
        rows = [(str(name), float(start), float(stop)) for name, start, stop in stimuli]
    found: dict[tuple[float, float], set[str]] = {}
    for name, start, stop in rows:
        if not start <= stop:
            raise DataError("a stimulus ends before it begins", found=(name, start, stop))
        found.setdefault((float(start), float(stop)), set()).add(name)
    return [
        (names.pop() if len(names) == 1 else SEVERAL, *span)
        for span, names in sorted(found.items(), key=lambda item: item[0])
    ]


def segments(curve: xr.DataArray, time: NDArray[np.float64], step: float) -> list[Interval]:
    """Return runs of one segment; those without a name are not shaded."""
    if "segment" not in curve.coords:
        return []
    labels = np.array([str(label) for label in curve["segment"].values], dtype=object)
    begins = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])
    edges = np.append(time[begins], time[-1] + step)
    runs = zip(labels[begins], edges[:-1], edges[1:])
    return [(str(name), float(start), float(stop)) for name, start, stop in runs if name]


def shade(axes: Axes, shades: Sequence[Interval], first: float, last: float) -> None:
    """Shade intervals that are in sight, one colour per name, with a legend above."""
    seen = [shade for shade in shades if shade[1] < last and shade[2] > first]
    if not seen:
        return
    colors: dict[object, Any] = colors_for({name for name, *_ in seen} - {SEVERAL})
    colors[SEVERAL] = ink()
    for name, start, stop in seen:
        alpha = 0.12 if name == SEVERAL else 0.35
        span = (max(start, first), min(stop, last))
        axes.axvspan(*span, color=colors[name], alpha=alpha, linewidth=0)
    shown = list(dict.fromkeys(name for name, *_ in seen))
    handles = [
        Patch(color=colors[name], alpha=0.12 if name == SEVERAL else 0.35, label=name, linewidth=0)
        for name in shown
    ]
    letters = sum(len(name) + 5 for name in shown)
    figure: Any = axes.figure
    points = axes.get_window_extent().width * 72.0 / figure.dpi
    rows = int(np.ceil(letters * LETTER_POINTS / max(points, 1.0)))
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=max(1, int(np.ceil(len(shown) / rows))),
        borderaxespad=0.2,
        fontsize=7.0,
        handlelength=1.0,
        columnspacing=1.0,
    )
