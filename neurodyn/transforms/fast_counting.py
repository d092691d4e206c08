"""Counting with numba (the ``fast`` extra), on several threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neurodyn.transforms.ticks import LARGEST, TickBins

__all__ = ["fill_tiles", "rows"]

# time-major tiles of 2048 rows stay in the second-level cache; measured best of 256 … 8192
TILE = 2048
MOST_THREADS = 4


@njit(nogil=True, cache=True)
def bin_kernel(time, tick_hz, scale, origin, width, n_bins, out):  # type: ignore[no-untyped-def]
    """Write the bin of each time; return the number of descents and a sum that shows NaN."""
    total = 0.0
    n_descents = 0
    for i in range(time.size):
        ticks = np.rint(time[i] * tick_hz)
        total += ticks
        ticks = min(max(ticks, -LARGEST), LARGEST)
        found = np.floor((ticks * scale - origin) / width)
        out[i] = np.int32(min(max(found, -1.0), n_bins))
    for i in range(1, time.size):
        n_descents += out[i] < out[i - 1]
    return n_descents, total


@njit(nogil=True, cache=True)
def fill_kernel(rows, ends, counts, first, last, tile):  # type: ignore[no-untyped-def]
    """Add the events of rows ``first … last - 1`` to ``counts``, tile by tile."""
    n_units = counts.shape[1]
    cursor = np.empty(n_units, np.int64)
    for unit in range(n_units):
        own = rows[ends[unit] : ends[unit + 1]]
        cursor[unit] = ends[unit] + np.searchsorted(own, first)
    for start in range(first, last, tile):
        stop = min(start + tile, last)
        for unit in range(n_units):
            i = cursor[unit]
            end = ends[unit + 1]
            while i < end and rows[i] < stop:
                counts[rows[i], unit] += 1
                i += 1
            cursor[unit] = i


def rows(
    bins: TickBins, time: NDArray[Any], origin: float, n_bins: int, out: NDArray[np.int32]
) -> tuple[int, bool]:
    """Do what :meth:`neurodyn.transforms.ticks.TickBins.rows` does."""
    args = (bins.tick_hz, float(bins.scale), float(origin), float(bins.width), float(n_bins))

    def work(start: int, stop: int) -> tuple[int, float]:
        n_descents, total = bin_kernel(time[start:stop], *args, out[start:stop])
        return int(n_descents), float(total)

    found = _parallel(work, time.size)
    seams = [start for start, _ in _parts(time.size) if start]
    n_descents = sum(n for n, _ in found) + sum(int(out[i] < out[i - 1]) for i in seams)
    return n_descents, bool(np.isfinite(sum(total for _, total in found)))


def fill_tiles(rows: NDArray[np.int32], ends: NDArray[np.int64], counts: NDArray[Any]) -> None:
    """Add events to ``counts``, shape ``(row, unit)``; see :mod:`neurodyn.transforms.counting`."""

    def work(start: int, stop: int) -> None:
        fill_kernel(rows, ends, counts, start, stop, TILE)

    _parallel(work, counts.shape[0])


def _parallel(work: Callable[[int, int], Any], size: int) -> list[Any]:
    parts = _parts(size)
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(lambda part: work(*part), parts))


def _parts(size: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, size, min(os.cpu_count() or 1, MOST_THREADS) + 1).astype(int).tolist()
    return list(pairwise(edges))
