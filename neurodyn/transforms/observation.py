"""Observation intervals of spikes, and the bins that lie wholly inside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.transforms.intervals import Intervals, union
from neurodyn.transforms.ticks import TickBins

__all__ = ["observation_intervals", "observed_bins", "shared_intervals", "with_observation"]


def observation_intervals(spikes: xr.Dataset) -> list[Intervals] | None:
    """Return the observation intervals [s] of each unit, ``(n, 2)``, or None if there are none.

    Parameters
    ----------
    spikes
        Kind ``spikes``.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> observation_intervals(spikes_from_units({"a": [0.5]}, observed=[[0.0, 1.0]]))
    [array([[0., 1.]])]
    """
    if "obs_start" not in spikes:
        return None
    table = np.column_stack([spikes["obs_start"].values, spikes["obs_stop"].values])
    return np.split(table, np.cumsum(spikes["obs_row_size"].values)[:-1])


def shared_intervals(intervals: Sequence[Intervals]) -> Intervals | None:
    """Return the intervals if all units have the same, else None."""
    first = intervals[0]
    return first if all(np.array_equal(first, other) for other in intervals[1:]) else None


def with_observation(spikes: xr.Dataset, intervals: Sequence[Intervals]) -> xr.Dataset:
    """Return spikes with other observation intervals, one array ``(n, 2)`` [s] per unit."""
    table = np.concatenate([*intervals, np.empty((0, 2))])
    return spikes.assign(
        obs_start=("obs_interval", table[:, 0], {"units": "s"}),
        obs_stop=("obs_interval", table[:, 1], {"units": "s"}),
        obs_row_size=("unit", np.array([len(own) for own in intervals], dtype=np.int64)),
    )


def observed_bins(
    bins: TickBins, left: NDArray[np.float64], intervals: Intervals
) -> NDArray[np.bool_]:
    """Say which bins lie wholly inside one interval, touching intervals joined.

    Parameters
    ----------
    bins
        The clock.
    left
        Left edges in sub-ticks, any shape; NaN is never observed.
    intervals
        Half-open intervals [s], shape ``(n, 2)``.

    Examples
    --------
    >>> bins = TickBins.of(0.1, 1000.0)
    >>> observed_bins(bins, np.array([0.0, 100.0]), np.array([[0.05, 0.2]])).tolist()
    [False, True]
    """
    edges = union(bins.sub_ticks(np.clip(intervals, *_reach(bins))))
    if not len(edges):
        return np.zeros(left.shape, dtype=bool)
    row = np.searchsorted(edges[:, 0], left, side="right") - 1
    inside = (row >= 0) & (left + bins.width <= edges[np.maximum(row, 0), 1])
    return np.asarray(inside)


def _reach(bins: TickBins) -> tuple[float, float]:
    """Return the span of time that ticks can hold; an open interval may reach to infinity."""
    last = 2.0**51 / bins.scale / bins.tick_hz
    return -last, last
