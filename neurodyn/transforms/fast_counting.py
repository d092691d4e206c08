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

from neurodyn.transforms.ticks import Survey, TickBins

__all__ = ["fill_tiles", "rows"]

# time-major tiles of 2048 rows stay in the second-level cache; measured best of 256 … 8192
TILE = 2048
MOST_THREADS = 4
BLOCK = 16_384
# a bin with more than 255 spikes holds the same as the 255th spike before
FAR = 255


@njit(nogil=True, cache=True)
def bin_kernel(time, tick_hz, scale, origin, width, n_bins, out):  # type: ignore[no-untyped-def]
    """Write the bin of each time; count descents, times in a bin, not finite, and far repeats."""
    n_descents = n_inside = n_bad = n_far = 0
    before = -1
    # plain loops over short slices: the compiler turns each into vector instructions
    for start in range(0, time.size, BLOCK):
        part = time[start : start + BLOCK]
        bins = out[start : start + BLOCK]
        for i in range(part.size):
            found = np.floor((np.rint(part[i] * tick_hz) * scale - origin) / width)
            bins[i] = np.int32(min(max(found, -1.0), n_bins))
        for i in range(part.size):
            n_bad += (part[i] - part[i]) != 0.0
        for i in range(part.size):
            n_inside += (bins[i] >= 0) & (bins[i] < n_bins)
        for i in range(1, part.size):
            n_descents += bins[i] < bins[i - 1]
        late = out[max(start, FAR) : start + BLOCK]
        early = out[max(start - FAR, 0) : start + BLOCK]
        for i in range(late.size):
            n_far += late[i] == early[i]
        n_descents += bins[0] < before
        before = bins[-1]
    return n_descents, n_inside, n_bad, n_far


@njit(nogil=True, cache=True)
def fill_kernel(rows, ends, counts, first, last, tile):  # type: ignore[no-untyped-def]
    """Write the counts of rows ``first … last - 1``, tile by tile."""
    n_units = counts.shape[1]
    cursor = np.empty(n_units, np.int64)
    for unit in range(n_units):
        own = rows[ends[unit] : ends[unit + 1]]
        cursor[unit] = ends[unit] + np.searchsorted(own, first)
    for start in range(first, last, tile):
        stop = min(start + tile, last)
        part = counts[start:stop]
        part[:] = 0
        for unit in range(n_units):
            own = rows[cursor[unit] : ends[unit + 1]]
            i = 0
            while i < own.size and own[i] < stop:
                # unsigned: no test for indices that count from the end
                part[np.uint32(own[i] - start), np.uint32(unit)] += 1
                i += 1
            cursor[unit] += i


def rows(
    bins: TickBins, time: NDArray[Any], origin: float, n_bins: int, out: NDArray[np.int32]
) -> Survey:
    """Do what :meth:`neurodyn.transforms.ticks.TickBins.rows` does."""
    args = (bins.tick_hz, float(bins.scale), float(origin), float(bins.width), float(n_bins))

    def work(start: int, stop: int) -> tuple[int, ...]:
        return tuple(map(int, bin_kernel(time[start:stop], *args, out[start:stop])))

    n_descents, n_inside, n_bad, n_far = map(sum, zip(*_parallel(work, time.size)))
    for seam in {start for start, _ in _parts(time.size) if 0 < start < time.size}:
        n_descents += int(out[seam] < out[seam - 1])
        around = out[max(seam - FAR, 0) : seam + FAR]
        n_far += int(np.count_nonzero(around[FAR:] == around[:-FAR]))
    return Survey(n_descents, n_inside, not n_bad, narrow=not n_far)


def fill_tiles(rows: NDArray[np.int32], ends: NDArray[np.int64], counts: NDArray[Any]) -> None:
    """Write ``counts``, shape ``(row, unit)``; see :mod:`neurodyn.transforms.counting`."""

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
