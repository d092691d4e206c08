"""Amplitudes of events as levels: quantiles of each unit's own events."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError, EmptySelectionError

__all__ = ["Levels", "mark_levels"]

Levels = tuple[tuple[float, ...], ...]


def mark_levels(amplitude: ArrayLike, row_size: ArrayLike, n_marks: int) -> tuple[Levels, Levels]:
    """Return the edges between levels and the mean amplitude of each level, for each unit.

    Levels are quantiles, so that each holds as many events of the unit as another, up to ties. A
    unit without events has the levels of all events together; the value of a level without
    events, which ties leave, is an edge of it.

    Parameters
    ----------
    amplitude
        Of the events, one unit after another, ``(spike,)``.
    row_size
        Events of each unit, ``(unit,)``.
    n_marks
        Levels, 1 or more.

    Returns
    -------
    edges, values
        ``n_marks - 1`` and ``n_marks`` amplitudes of each unit.

    Raises
    ------
    DataError
        If an amplitude is not finite.
    EmptySelectionError
        If there are no events.

    Examples
    --------
    >>> mark_levels([1.0, 2.0, 3.0, 4.0], [4], 2)
    (((2.5,),), ((1.5, 3.5),))
    """
    everything = np.asarray(amplitude, dtype=np.float64)
    if not everything.size:
        raise EmptySelectionError("there are no events whose amplitudes could be marks")
    if not np.isfinite(everything).all():
        raise DataError(
            "amplitudes must be finite", found=f"{(~np.isfinite(everything)).sum()} not"
        )
    pooled = _levels(everything, n_marks)
    own = np.split(everything, np.cumsum(row_size)[:-1])
    found = [_levels(part, n_marks) if part.size else pooled for part in own]
    edges, values = zip(*found)
    return edges, values


def _levels(
    amplitude: NDArray[np.float64], n_marks: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    edges = np.quantile(amplitude, np.arange(1, n_marks) / n_marks)
    level = np.searchsorted(edges, amplitude)
    total = np.bincount(level, amplitude, n_marks)
    size = np.bincount(level, minlength=n_marks)
    empty = np.append(edges[:1], edges) if n_marks > 1 else amplitude[:1]
    values = np.where(size > 0, total / np.maximum(size, 1), empty)
    return tuple(edges.tolist()), tuple(values.tolist())
