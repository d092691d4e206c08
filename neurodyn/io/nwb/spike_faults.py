"""What can be wrong with spike times: every finding says which spikes or units it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import SpikeTimesError, UnitScaleError
from neurodyn.io.faults import Fault

__all__ = ["Finding", "Session", "SpikeTrains", "find_faults"]

BLOCK = 32_768  # spikes; what a block needs stays in the processor's cache
ENOUGH_SPIKES = 20
SLOW_RATE = 0.05
LONG_SPAN = 20.0
KNOWN_RATES = (1000, 10_000, 20_000, 24_414, 25_000, 30_000, 32_000, 40_000)
Times = NDArray[np.float64]
Ends = NDArray[np.int64]


@dataclass(frozen=True)
class Session:
    """When a session ran [s], as far as the other objects of the file tell; else None."""

    start: float | None = None
    stop: float | None = None


@dataclass(frozen=True)
class SpikeTrains:
    """Spike times [s], shape ``(spike,)``, one unit after another, and what they are of.

    Parameters
    ----------
    times, ends
        The times, and the index after the last spike of each unit, shape ``(unit,)``.
    labels
        Unit ids.
    where
        File and object, for messages.
    row
        Where each spike is in the file, shape ``(spike,)``, if more is to be read of it.
    """

    times: Times
    ends: Ends
    labels: Sequence[str]
    where: str
    row: NDArray[np.int64] | None = None

    @property
    def sizes(self) -> Ends:
        """Spikes of each unit, shape ``(unit,)``."""
        return np.diff(self.ends, prepend=0)

    def of(self, kept: NDArray[np.bool_]) -> SpikeTrains:
        """Return the trains without units that are not kept; those must be empty."""
        labels = [label for label, keep in zip(self.labels, kept) if keep]
        return replace(self, ends=self.ends[kept], labels=labels)

    def owners(self, spikes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the units that own the spikes at these positions."""
        return np.searchsorted(self.ends, spikes, side="right").astype(np.int64)

    def first_spikes(self) -> NDArray[np.int64]:
        """Return the positions, above 0, where another unit begins."""
        inner = (self.ends > 0) & (self.ends < self.times.size)
        return np.unique(self.ends[inner])

    def pairs(self, compare: np.ufunc) -> NDArray[np.bool_]:
        """Mark the spikes that compare so with the one before them in the same unit."""
        marked = np.zeros(self.times.size, dtype=bool)
        compare(self.times[1:], self.times[:-1], out=marked[1:])
        marked[self.first_spikes()] = False
        return marked

    def outer_times(self) -> Times:
        """Return the first and last time of every unit, the extremes of clean spikes."""
        begins = self.first_spikes()
        outer = np.concatenate([[0], begins, begins - 1, [self.times.size - 1]])
        return np.asarray(self.times[outer])

    def is_clean(self) -> bool:
        """Say whether all times are finite and strictly increase within every unit.

        One pass in blocks that makes no array of the size of the spikes. NaN compares as not
        greater; between finite ends a strictly increasing unit is finite.
        """
        times, begins = self.times, self.first_spikes()
        if not times.size:
            return True
        if not np.isfinite(self.outer_times()).all():
            return False
        steps_up = 0
        for start in range(0, times.size, BLOCK):
            block = times[start : start + BLOCK + 1]
            steps_up += int(np.count_nonzero(block[1:] > block[:-1]))
        between = int(np.count_nonzero(times[begins] > times[begins - 1]))
        return steps_up - between == times.size - 1 - begins.size


@dataclass(frozen=True)
class Finding:
    """A fault, the spikes that it is about, and what the smallest wrong thing is."""

    fault: Fault
    spikes: NDArray[np.int64]
    scope: Literal["spikes", "order", "units", "all"]


def find_faults(trains: SpikeTrains, session: Session | None) -> list[Finding]:
    """List the faults of spike times, one for each kind.

    Parameters
    ----------
    trains
        The spikes.
    session
        What the times are held against to find wrong time units; None takes them at their word.
    """
    clean = trains.is_clean()
    if not clean and not np.isfinite(trains.times).all():
        return [_not_finite(trains)]
    # the ends of the units tell the span of clean spikes without another look at all of them
    outer = trains.outer_times() if clean and trains.times.size else trains.times
    findings = list(_wrong_scale(trains, session, outer)) if session else []
    if not clean:
        findings.extend(_unsorted(trains))
    if session and not findings:
        findings.extend(_before_session(trains, session))
    return findings


def _and_others(units: NDArray[np.int64]) -> str:
    n = np.unique(units).size - 1
    return f" (and in {n} more unit{'s' * (n > 1)})" if n else ""


def _not_finite(trains: SpikeTrains) -> Finding:
    bad = np.flatnonzero(~np.isfinite(trains.times))
    owners = trains.owners(bad)
    unit = int(owners[0])
    own = bad[owners == unit]
    n_nan = int(np.isnan(trains.times[own]).sum())
    kinds = [f"{n} {kind}" for n, kind in ((n_nan, "NaN"), (own.size - n_nan, "infinite")) if n]
    size, label = int(trains.sizes[unit]), trains.labels[unit]
    first = int(own[0]) - int(trains.ends[unit]) + size
    error = SpikeTimesError(
        "spike times are not finite",
        where=f"{trains.where}, unit {label}, spike {first}",
        found=f"{' and '.join(kinds)} of {size} in unit {label}{_and_others(owners)}",
        expected="finite times [s]",
        hint="on_bad='drop' leaves these spikes out and counts them",
    )
    return Finding(Fault.of("non_finite_spikes", error), bad, "spikes")


def _unsorted(trains: SpikeTrains) -> Iterator[Finding]:
    """Yield what is unsorted; units whose clock starts again are told apart."""
    falls = np.flatnonzero(trains.pairs(np.less))
    owners = trains.owners(falls)
    again = np.zeros(falls.size, dtype=bool)
    for unit in np.unique(owners):
        again[owners == unit] = _restarts(trains, falls[owners == unit], int(unit))
    if not again.all():
        hint = "on_bad='fix' sorts them and counts the change"
        yield _order_finding(trains, falls[~again], "unsorted_spikes", "order", hint)
    if again.any():
        hint = (
            "split the recordings and add their start times; on_bad='drop' leaves the unit out "
            "(sorting would interleave the recordings)"
        )
        yield _order_finding(trains, falls[again], "restarting_spikes", "units", hint)


def _order_finding(
    trains: SpikeTrains,
    falls: NDArray[np.int64],
    code: str,
    scope: Literal["order", "units"],
    hint: str,
) -> Finding:
    owners = trains.owners(falls)
    unit = int(owners[0])
    own = falls[owners == unit]
    drop = float((trains.times[own - 1] - trains.times[own]).max())
    restart = f"; possible concatenated recordings (one drop of {drop:g} s)"
    first = int(own[0] - trains.ends[unit] + trains.sizes[unit])
    error = SpikeTimesError(
        f"spike times are not sorted{restart if scope == 'units' else ''}",
        where=f"{trains.where}, unit {trains.labels[unit]}, spike {first}",
        found=f"{own.size} drop{'s' * (own.size > 1)}, the largest of {drop:g} s"
        f"{_and_others(owners)}",
        expected="times that never decrease within a unit",
        hint=hint,
    )
    return Finding(Fault.of(code, error), falls, scope)


def _restarts(trains: SpikeTrains, falls: NDArray[np.int64], unit: int) -> bool:
    """Say whether a unit is made of few long sorted runs that begin anew."""
    end = int(trains.ends[unit])
    begin = end - int(trains.sizes[unit])
    runs = np.diff(np.concatenate([[begin], falls, [end]]))
    if falls.size > 10 or runs.min() < 5:
        return False
    own = trains.times[begin:end]
    drop = (trains.times[falls - 1] - trains.times[falls]).max()
    return bool(drop >= 0.5 * (own.max() - own.min()))


def _wrong_scale(trains: SpikeTrains, session: Session, outer: Times) -> Iterator[Finding]:
    """Yield a finding if whole numbers or far too slow rates speak for another time unit."""
    times = trains.times
    if times.size < ENOUGH_SPIKES:
        return
    highest = float(outer.max())
    span = highest - float(outer.min())
    stop = session.stop if session.stop and session.stop > 0 else None
    too_long = stop is not None and span > LONG_SPAN * stop
    if span <= 0 or not (too_long or stop is None):
        return
    sizes = trains.sizes
    rate = float(np.median(sizes[sizes > 0])) / span
    whole = _all_whole(times)
    if not whole and not (too_long and rate < SLOW_RATE):
        return
    known = f"the session ends at {stop:g} s" if stop else "the length of the session is unknown"
    found = f"{'whole numbers' if whole else 'times'} up to {highest:g}, median rate {rate:.3g} Hz"
    likely = min(KNOWN_RATES, key=lambda r: abs(np.log(r * stop / highest))) if stop else 30_000
    samples = whole and likely != KNOWN_RATES[0]
    error = UnitScaleError(
        f"spike times look like {'sample indices' if samples else 'milliseconds'}, not seconds",
        where=trains.where,
        found=f"{found}, although {known}",
        expected="seconds",
        hint=(
            f"spike_time_unit='samples', sampling_rate={likely} (the likely rate)"
            if samples
            else "spike_time_unit='ms'"
        )
        + "; spike_time_unit='s' takes them as they are",
    )
    yield Finding(Fault.of("spike_time_scale", error), np.arange(times.size), "all")


def _all_whole(times: Times) -> bool:
    if (times[:ENOUGH_SPIKES] % 1).any():
        return False
    return not any((times[i : i + BLOCK] % 1).any() for i in range(0, times.size, BLOCK))


def _before_session(trains: SpikeTrains, session: Session) -> Iterator[Finding]:
    if session.start is None or not trains.times.size or trains.times.min() >= session.start:
        return
    early = np.flatnonzero(trains.times < session.start)
    owners = trains.owners(early)
    error = SpikeTimesError(
        "spikes lie before the session",
        where=f"{trains.where}, unit {trains.labels[int(owners[0])]}",
        found=f"{early.size} spikes, the first at {float(trains.times.min()):g} s",
        expected=f"times from {session.start:g} s on",
        hint="on_bad='drop' leaves them out, on_bad='warn' keeps them",
    )
    yield Finding(Fault.of("early_spikes", error), early, "spikes")
