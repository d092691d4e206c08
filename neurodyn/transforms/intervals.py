"""Sets of half-open intervals [s]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError

__all__ = ["contains", "difference", "intersection", "union"]

Intervals = NDArray[np.float64]


def union(*intervals: ArrayLike) -> Intervals:
    """Return the union of sets of intervals: sorted, disjoint, touching ones joined.

    Parameters
    ----------
    *intervals
        Half-open intervals [s], each of shape ``(n, 2)``; overlaps are allowed.

    Raises
    ------
    DataError
        If an interval ends before it begins or is not finite at its start.

    Examples
    --------
    >>> union([[0.0, 1.0], [2.0, 3.0]], [[1.0, 1.5]]).tolist()
    [[0.0, 1.5], [2.0, 3.0]]
    """
    table = np.concatenate([_table(part) for part in intervals] or [np.empty((0, 2))])
    table = table[table[:, 1] > table[:, 0]]
    table = table[np.argsort(table[:, 0], kind="stable")]
    if not len(table):
        return table
    reach = np.maximum.accumulate(table[:, 1])
    begins = np.append(True, table[1:, 0] > reach[:-1])
    ends = np.append(begins[1:], True)
    return np.column_stack([table[begins, 0], reach[ends]])


def intersection(first: ArrayLike, second: ArrayLike) -> Intervals:
    """Return what lies in both sets of intervals.

    Parameters
    ----------
    first, second
        Half-open intervals [s], shape ``(n, 2)``.

    Examples
    --------
    >>> intersection([[0.0, 2.0], [3.0, 5.0]], [[1.0, 4.0]]).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    return _where(first, second, lambda a, b: a & b)


def difference(first: ArrayLike, second: ArrayLike) -> Intervals:
    """Return what lies in the first set of intervals and not in the second.

    Parameters
    ----------
    first, second
        Half-open intervals [s], shape ``(n, 2)``.

    Examples
    --------
    >>> difference([[0.0, 5.0]], [[1.0, 2.0]]).tolist()
    [[0.0, 1.0], [2.0, 5.0]]
    """
    return _where(first, second, lambda a, b: a & ~b)


def contains(intervals: Intervals, start: ArrayLike, stop: ArrayLike) -> NDArray[np.bool_]:
    """Say which spans ``[start, stop)`` lie wholly in one interval (a point: ``start == stop``).

    Parameters
    ----------
    intervals
        Sorted and disjoint, shape ``(n, 2)``, as of :func:`union`.
    start, stop
        Times [s], shape ``(span,)``.

    Examples
    --------
    >>> contains(union([[0.0, 1.0]]), [0.0, 0.5, 1.0], [1.0, 1.5, 1.0]).tolist()
    [True, False, False]
    """
    begin, end = np.asarray(start, np.float64), np.asarray(stop, np.float64)
    row = np.searchsorted(intervals[:, 0], begin, side="right") - 1
    limit = intervals[np.maximum(row, 0), 1]
    inside: NDArray[np.bool_] = (row >= 0) & (begin < limit) & (end <= limit)
    return inside


def _table(intervals: ArrayLike) -> Intervals:
    table = np.asarray(intervals, dtype=np.float64).reshape(-1, 2)
    bad = np.flatnonzero(~(table[:, 1] >= table[:, 0]))
    if bad.size:
        raise DataError(
            "an interval is impossible",
            where=f"row {int(bad[0])}",
            found=table[bad[0]].tolist(),
            expected="start <= stop [s], both numbers",
        )
    return table


def _where(
    first: ArrayLike, second: ArrayLike, rule: Callable[..., NDArray[np.bool_]]
) -> Intervals:
    """Cut time at every edge and keep the pieces that ``rule`` wants."""
    sets = [union(first), union(second)]
    edges = np.unique(np.concatenate([part.ravel() for part in sets]))
    if edges.size < 2:
        return np.empty((0, 2))
    left, right = edges[:-1], edges[1:]
    inside = [
        contains(part, left, right) if len(part) else np.zeros(left.size, bool) for part in sets
    ]
    keep = rule(*inside)
    return union(np.column_stack([left[keep], right[keep]]))
