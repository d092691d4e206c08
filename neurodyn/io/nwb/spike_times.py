"""Spike times: check on first read, and the policy applied to what is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodyn.io.faults import Quality
from neurodyn.io.hdf5 import read_array
from neurodyn.io.lazy import FileArray
from neurodyn.io.nwb.spike_faults import Ends, Finding, Session, SpikeTrains, Times, find_faults

__all__ = ["SpikeTimes", "clean_spikes", "count_outside"]


class SpikeTimes(FileArray):
    """Lazy spike times [s], shape ``(spike,)``, checked as a whole when first touched.

    Parameters
    ----------
    dataset
        The flat spike times in the file.
    scale
        Seconds per unit of the file's numbers.
    trains
        Ends, labels and place of the spikes; its times are ignored.
    session
        As in :func:`neurodyn.io.nwb.spike_faults.find_faults`.
    """

    def __init__(
        self, dataset: h5py.Dataset, scale: float, trains: SpikeTrains, session: Session | None
    ) -> None:
        self.dataset, self.scale = dataset, scale
        self.trains, self.session = trains, session
        self.shape, self.dtype = dataset.shape, np.dtype(np.float64)
        self._checked = False

    def read(self) -> Times:
        """Read all times without any check."""
        return self._seconds(read_array(self.dataset))

    def _read(self, key: tuple[Any, ...]) -> Times:
        if self._checked:
            return self._seconds(read_array(self.dataset, key))
        times = self.read()
        for finding in find_faults(replace(self.trains, times=times), self.session):
            raise finding.fault.raised()
        self._checked = True
        return np.asarray(times[key])

    def _seconds(self, raw: NDArray[Any]) -> Times:
        times = raw.astype(np.float64, copy=False)
        return times if self.scale == 1 else times * self.scale


def clean_spikes(
    trains: SpikeTrains,
    session: Session | None,
    quality: Quality,
    *,
    drop_duplicates: bool = False,
) -> tuple[SpikeTrains, NDArray[np.bool_]]:
    """Apply the policy to spike times.

    Parameters
    ----------
    trains
        The spikes as they are in the file.
    session
        As in :func:`neurodyn.io.nwb.spike_faults.find_faults`.
    quality
        The policy; counts what is done.
    drop_duplicates
        Keep one of several spikes of a unit at exactly the same time.

    Returns
    -------
    trains, kept
        Clean spikes of all units, and which units ``(unit,)`` remain: a dropped unit is empty.

    Raises
    ------
    SpikeTimesError, UnitScaleError
        What the policy does not settle.
    """
    kept = np.ones(trains.ends.size, dtype=bool)
    settled: set[str] = set()
    while findings := [f for f in find_faults(trains, session) if f.fault.code not in settled]:
        settled.add(findings[0].fault.code)
        trains = _settle(findings[0], trains, kept, quality)
    if trains.times.size:
        quality.note("negative_spikes", int(np.count_nonzero(trains.times < 0)))
    if trains.is_clean():
        return trains, kept
    same = trains.pairs(np.equal)
    if not drop_duplicates:
        quality.note("duplicate_spikes", int(same.sum()))
    elif same.any():
        quality.counts["duplicate_spikes_dropped"] += int(same.sum())
        quality.done["duplicate_spikes_dropped"] += int(same.sum())
        trains = _without(trains, same)
    return trains, kept


def count_outside(trains: SpikeTrains, start: Times, stop: Times, n_intervals: Ends) -> int:
    """Count the spikes that lie in no half-open observation interval of their unit.

    Parameters
    ----------
    trains
        Sorted spikes.
    start, stop
        Intervals [s], one unit after another.
    n_intervals
        Intervals of each unit, shape ``(unit,)``.
    """
    inside, spike, interval = 0, 0, 0
    for size, n in zip(trains.sizes.tolist(), n_intervals.tolist()):
        own = trains.times[spike : spike + size]
        order = np.argsort(start[interval : interval + n], kind="stable")
        begin = start[interval : interval + n][order]
        end = stop[interval : interval + n][order]
        # where intervals overlap a spike must not count twice
        begin[1:] = np.maximum(begin[1:], np.maximum.accumulate(end)[:-1])
        counted = np.searchsorted(own, end) - np.searchsorted(own, begin)
        inside += int(np.maximum(counted, 0).sum())
        spike, interval = spike + size, interval + n
    return int(trains.times.size) - inside


def _settle(
    finding: Finding, trains: SpikeTrains, kept: NDArray[np.bool_], quality: Quality
) -> SpikeTrains:
    """Do what the policy says about one finding; marks the units that it drops."""
    can = {"spikes": ("drop", "warn"), "order": ("fix", "drop", "warn"), "all": ("warn",)}
    action = quality.decide(
        finding.fault, n=finding.spikes.size, can=can.get(finding.scope, ("drop", "warn"))
    )
    if action == "warn":
        return trains
    bad = np.zeros(trains.times.size, dtype=bool)
    bad[finding.spikes] = True
    if finding.scope == "spikes":
        return _without(trains, bad)
    units = np.unique(trains.owners(finding.spikes))
    if action == "fix":
        return _sorted(trains, units)
    kept[units] = False
    return _without(trains, np.repeat(~kept, trains.sizes))


def _without(trains: SpikeTrains, bad: NDArray[np.bool_]) -> SpikeTrains:
    removed = np.concatenate([[0], np.cumsum(bad)])
    row = None if trains.row is None else trains.row[~bad]
    return replace(
        trains, times=trains.times[~bad], ends=trains.ends - removed[trains.ends], row=row
    )


def _sorted(trains: SpikeTrains, units: NDArray[np.int64]) -> SpikeTrains:
    times, row = trains.times.copy(), None if trains.row is None else trains.row.copy()
    for unit in units:
        end = int(trains.ends[unit])
        own = slice(end - int(trains.sizes[unit]), end)
        if row is None:
            times[own].sort()
        else:
            order = np.argsort(times[own], kind="stable")
            times[own], row[own] = times[own][order], row[own][order]
    return replace(trains, times=times, row=row)
