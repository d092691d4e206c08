"""Count events per row and unit, time-major, without large temporaries.

Two routes give equal counts: scipy (a compressed matrix per tile of rows) and numba (the ``fast``
extra). Measured by ``benchmarks/binning.py``.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import DataError, MissingDependencyError, one_of

__all__ = ["Route", "choose_route", "count_rows"]

Route = Literal["auto", "numpy", "numba"]
Counts = NDArray[np.unsignedinteger[Any]]
Rows = NDArray[np.int32]

# below this, loading numba takes longer than it saves
MANY_EVENTS = 10_000_000
# 8192 rows of some hundred units stay in the second-level cache
TILE = 8192


def choose_route(route: Route, n_events: int) -> Literal["numpy", "numba"]:
    """Return the route to take.

    Raises
    ------
    MissingDependencyError
        If numba is asked for and not installed.

    Examples
    --------
    >>> choose_route("auto", n_events=1000)
    'numpy'
    """
    one_of("route", route, ("auto", "numpy", "numba"))
    installed = find_spec("numba") is not None
    if route == "numba" and not installed:
        raise MissingDependencyError("numba", "fast")
    if route == "numba" or (route == "auto" and installed and n_events >= MANY_EVENTS):
        return "numba"
    return "numpy"


def count_rows(
    rows: Rows,
    row_size: NDArray[np.integer[Any]],
    n_rows: int,
    *,
    route: Route = "auto",
    narrow: bool = False,
) -> Counts:
    """Count how often each row occurs in each unit.

    Parameters
    ----------
    rows
        Row of each event, shape ``(spike,)``: the units one after another, ascending in each.
        Rows outside ``0 … n_rows - 1`` are left out.
    row_size
        Events of each unit, shape ``(unit,)``.
    n_rows
        Rows to count.
    route
        ``numpy``, ``numba``, or ``auto``: numba where it is installed and saves time.
    narrow
        It is known that no count exceeds 255.

    Returns
    -------
    ndarray
        Shape ``(row, unit)``, uint8, or uint16 when a count exceeds 255.

    Raises
    ------
    DataError
        If a count exceeds 65,535.

    Examples
    --------
    >>> count_rows(np.array([0, 0, 2, 1], "i4"), np.array([3, 1]), 3).tolist()
    [[2, 0], [0, 1], [1, 0]]
    """
    ends = np.concatenate([[0], np.cumsum(row_size)])
    if choose_route(route, rows.size) == "numba":
        from neurodyn.transforms.fast_counting import fill_tiles
    else:
        fill_tiles = _fill_tiles
    dtype = np.uint8 if narrow else _smallest_dtype(rows, ends, n_rows)
    # each tile is cleared while it is in the cache
    counts: Counts = np.empty((n_rows, ends.size - 1), dtype=dtype)
    fill_tiles(rows, ends, counts)
    return counts


def _smallest_dtype(rows: Rows, ends: NDArray[np.int64], n_rows: int) -> type[np.unsignedinteger]:
    for dtype in (np.uint8, np.uint16):
        highest = np.iinfo(dtype).max
        if not _has_run(rows, ends, n_rows, highest + 1):
            return dtype
    raise DataError(
        "a bin holds too many spikes",
        found=f"more than {highest:,}",
        expected=f"up to {highest:,}",
        hint="choose a smaller bin_size",
    )


def _has_run(rows: Rows, ends: NDArray[np.int64], n_rows: int, length: int) -> bool:
    """Say whether a unit has ``length`` events in one row: events ascend, so they are adjacent."""
    step = 1 << 17
    for start in range(0, rows.size - length + 1, step):
        first = rows[start : start + step + length - 1]
        same = start + np.flatnonzero(first[length - 1 :] == first[: first.size - length + 1])
        if same.size:
            same = same[(rows[same] >= 0) & (rows[same] < n_rows)]
            last = same + length - 1
            if (np.searchsorted(ends, same, "right") == np.searchsorted(ends, last, "right")).any():
                return True
    return False


def _fill_tiles(rows: Rows, ends: NDArray[np.int64], counts: Counts) -> None:
    """Write the counts of the events, one tile of rows at a time."""
    from scipy.sparse import csc_array

    n_rows, n_units = counts.shape
    edges = np.append(np.arange(0, n_rows, TILE), n_rows)
    # (unit, edge): the first event of each unit at or after each edge
    cuts = np.empty((n_units, edges.size), dtype=np.int64)
    for unit, (start, stop) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist())):
        cuts[unit] = start + np.searchsorted(rows[start:stop], edges)
    for tile in range(edges.size - 1):
        first, last = cuts[:, tile], cuts[:, tile + 1]
        parts = [rows[a:b] for a, b in zip(first.tolist(), last.tolist())]
        index = np.concatenate(parts, dtype=np.int32) if parts else np.empty(0, np.int32)
        index -= np.int32(edges[tile])
        pointer = np.concatenate([[0], np.cumsum(last - first)]).astype(np.int32)
        ones = np.ones(index.size, dtype=counts.dtype)
        target = counts[edges[tile] : edges[tile + 1]]
        # clears the target, then sums what is there several times
        csc_array((ones, index, pointer), shape=target.shape).toarray(out=target)
