"""The clock of a time series: a rate, or timestamps that are checked and classified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import CorruptFileError, TimebaseError
from neurodyn.io.containment import place
from neurodyn.io.hdf5 import read_array
from neurodyn.io.nwb.naming import attribute

__all__ = ["Clock", "read_clock", "read_times"]

REGULAR = 0.1  # samples that a timestamp may lie off a regular clock
GAP = 1.5  # usual steps; a longer one is a gap
MOSTLY = 0.9  # steps that must be usual for there to be a usual step


@dataclass(frozen=True)
class Clock:
    """When the samples of a series were taken [s].

    Parameters
    ----------
    start, sampling_rate
        First sample [s] and rate [Hz] of a regular clock; the rate is None for an irregular one.
    time
        Timestamps [s] of an irregular clock.
    n_gaps
        Steps longer than 1.5 median steps where nearly all are about one, or longer than
        ``max_gap``.
    """

    start: float
    sampling_rate: float | None
    time: NDArray[np.float64] | None = None
    n_gaps: int = 0

    def times(self, n_samples: int) -> NDArray[np.float64]:
        """Return the time [s] of each sample."""
        if self.time is not None:
            return self.time
        return self.start + np.arange(n_samples) / np.float64(self.sampling_rate)

    @property
    def arguments(self) -> dict[str, Any]:
        """The clock as constructors of a recording take it."""
        if self.sampling_rate is None:
            return {"time": self.time}
        return {"sampling_rate": self.sampling_rate, "start": self.start}


def read_clock(group: h5py.Group, n_samples: int, *, max_gap: float | None = None) -> Clock:
    """Read the clock of a TimeSeries group.

    Timestamps within 0.1 sample of a regular clock give a regular clock.

    Parameters
    ----------
    group
        The series.
    n_samples
        Samples of its data.
    max_gap
        Longest step [s] between timestamps that is no gap; default 1.5 median steps.

    Raises
    ------
    TimebaseError
        If there is no clock, or it is not finite, not increasing, of another length than the
        data, or its rate is not positive.
    """
    stamps = group.get("timestamps")
    if isinstance(stamps, h5py.Dataset):
        return _from_timestamps(stamps, n_samples, max_gap)
    start = group.get("starting_time")
    if not isinstance(start, h5py.Dataset):
        raise TimebaseError(
            "time series has no clock",
            where=place(group),
            found=", ".join(sorted(group)),
            expected="timestamps, or starting_time with a rate",
            hint="load(select=...) without it, or on_bad='drop'",
        )
    rate, first = attribute(start, "rate"), read_array(start).reshape(-1)
    usable = isinstance(rate, int | float) and np.isfinite(rate) and rate > 0
    usable = usable and np.isfinite(n_samples / rate)
    if not usable or first.size != 1 or not np.isfinite(first[0]):
        raise TimebaseError(
            "clock of a time series is impossible",
            where=place(start),
            found=f"rate {rate} Hz, start {first.tolist()}",
            expected="a finite start [s] and a rate above 0 Hz",
            hint="load(select=...) without it, or on_bad='drop'",
        )
    return Clock(float(first[0]), float(rate))


def read_times(group: h5py.Group, n_events: int) -> NDArray[np.float64]:
    """Return the times [s] of events, which may coincide, shape ``(n_events,)``.

    Raises
    ------
    TimebaseError
        If they are not finite, decrease, or are of another number than the events.
    """
    stamps = group.get("timestamps")
    if not isinstance(stamps, h5py.Dataset):
        return read_clock(group, n_events).times(n_events)
    return _timestamps(stamps, n_events, strictly=False)


def _timestamps(
    stamps: h5py.Dataset, n_samples: int, *, strictly: bool = True
) -> NDArray[np.float64]:
    if stamps.shape != (n_samples,):
        raise TimebaseError(
            "data and timestamps have different lengths",
            where=place(stamps.parent),
            found=f"{n_samples} samples of data, timestamps of shape {stamps.shape}",
            expected="one timestamp for each sample",
            hint="load(select=...) without it, or on_bad='drop'",
        )
    if stamps.dtype.kind not in "fiu":
        raise CorruptFileError(
            "timestamps are no numbers", where=place(stamps), found=stamps.dtype, expected="floats"
        )
    time = read_array(stamps).astype(np.float64, copy=False)
    _require_increasing(time, place(stamps), strictly)
    return time


def _from_timestamps(stamps: h5py.Dataset, n_samples: int, max_gap: float | None) -> Clock:
    time = _timestamps(stamps, n_samples)
    if n_samples < 2:
        return Clock(float(time[0]) if n_samples else 0.0, None, time)
    step = (time[-1] - time[0]) / (n_samples - 1)
    off = time - (time[0] + step * np.arange(n_samples))
    if np.abs(off).max() < REGULAR * step:
        return Clock(float(time[0]), _plain_rate(1.0 / step, n_samples))
    return Clock(float(time[0]), None, time, _n_gaps(np.diff(time), max_gap))


def _n_gaps(steps: NDArray[np.float64], max_gap: float | None) -> int:
    """Count steps that are too long; a clock without a usual step has none by default."""
    usual = float(np.median(steps))
    if max_gap is not None:
        return int(np.count_nonzero(steps > max_gap))
    is_usual = np.abs(steps - usual) < (GAP - 1) * usual
    return int(np.count_nonzero(steps > GAP * usual)) if is_usual.mean() > MOSTLY else 0


def _plain_rate(rate: float, n_samples: int) -> float:
    """Return the rate without the noise of float timestamps, if that moves no sample."""
    plain = float(f"{rate:.6g}")
    return plain if abs(rate / plain - 1) * n_samples < 1e-3 else rate


def _require_increasing(time: NDArray[np.float64], where: str, strictly: bool) -> None:
    finite = np.isfinite(time)
    if not finite.all():
        first = int(np.flatnonzero(~finite)[0])
        raise TimebaseError(
            "timestamps are not finite",
            where=f"{where}, sample {first}",
            found=f"{np.count_nonzero(~finite)} of {time.size} are NaN or infinite",
            expected="finite times [s]",
            hint="load(select=...) without it, or on_bad='drop'",
        )
    compare = np.less_equal if strictly else np.less
    bad = np.flatnonzero(compare(time[1:], time[:-1]))
    if bad.size:
        at = int(bad[0])
        raise TimebaseError(
            "timestamps do not increase",
            where=f"{where}, sample {at + 1}",
            found=f"a jump of {time[at + 1] - time[at]:g} s from {time[at]:g} s "
            f"({bad.size} such step{'s' * (bad.size > 1)})",
            expected="times that increase from sample to sample",
            hint="the order is never guessed: load(select=...) without it, or on_bad='drop'",
        )
