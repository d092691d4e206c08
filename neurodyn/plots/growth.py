"""How a measured cost grows with size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from neurodyn.errors import EmptySelectionError, suggest
from neurodyn.plots.style import axes_or_new, colors_for, tidy

__all__ = ["growth"]


def growth(
    table: Iterable[Mapping[str, Any]],
    x: str,
    y: str,
    group: str | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw a cost against size on logarithmic axes with a power law fitted to each group.

    Parameters
    ----------
    table
        Rows of measurements; rows without both numbers, or where one is not above zero, are left
        out.
    x, y, group
        Columns of size, of cost, and of what is measured; one group of all if not given.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If no row holds both numbers, or there is no such column of groups.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> rows = [{"n_units": n, "seconds": 2e-6 * n**2, "method": "dense"} for n in (10, 100)]
    >>> axes = growth(rows, "n_units", "seconds", "method", ax=Figure().add_subplot())
    >>> axes.get_legend().get_texts()[0].get_text()
    'dense, grows as $x^{2.00}$'
    """
    rows = [dict(row) for row in table]
    known = {str(name) for row in rows for name in row}
    for column in (x, y, *([group] if group is not None else [])):
        if column not in known:
            hint = suggest(column, known)
            raise EmptySelectionError(f"no column {column!r} in the table", hint=hint)
    rows = [row for row in rows if _positive(row.get(x)) and _positive(row.get(y))]
    if not rows:
        raise EmptySelectionError(f"no row has both {x!r} and {y!r}", expected="numbers above 0")
    axes = axes_or_new(ax, size=(4.4, 3.2))
    axes.set(xscale="log", yscale="log")
    of_row = ["" if group is None else str(row.get(group)) for row in rows]
    for label, color in colors_for(of_row).items():
        points = [(row[x], row[y]) for row, of in zip(rows, of_row) if of == label]
        _draw(axes, np.array(sorted(points), dtype=np.float64), str(label), color)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    sizes = np.unique([float(row[x]) for row in rows])
    if len(sizes) <= 8:
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.xaxis.set_minor_formatter(NullFormatter())
    tidy(axes, xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    return axes


def _draw(axes: Axes, points: Any, label: str, color: Any) -> None:
    size, cost = points.T
    if len(np.unique(size)) > 1:
        exponent, offset = np.polyfit(np.log(size), np.log(cost), 1)
        ends = np.array([size.min(), size.max()])
        axes.plot(
            ends, np.exp(offset) * ends**exponent, color=color, linewidth=1.2, alpha=0.7, zorder=1
        )
        law = f"grows as $x^{{{exponent:.2f}}}$"
        label = f"{label}, {law}" if label else law
    axes.scatter(size, cost, s=22, color=color, zorder=2, label=label or None)


def _positive(value: object) -> bool:
    return isinstance(value, int | float | np.number) and 0.0 < float(value) < np.inf
