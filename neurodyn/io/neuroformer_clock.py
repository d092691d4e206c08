"""When things happened in Neuroformer's arrays: bins, samples and trials in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DataError, TimebaseError
from neurodyn.transforms.ticks import as_rational

__all__ = ["CLOCKS", "Clocks", "Span", "place_trials", "require_span", "spread_counts"]

CLOCKS = ("bin_size", "frame_rate", "behavior_rate")
USUAL_RATE = 20.0
MOST_COUNTS = 65_535
SPARE_SAMPLES = 2
"""By how many samples series of one recording may differ in length, as those of Visnav do."""


class Clocks(NamedTuple):
    """Clocks of one session.

    Parameters
    ----------
    bin_size, gap
        Width of a bin, and what lies between trials [s].
    frame_rate, behavior_rate
        Samples per second [Hz].
    """

    bin_size: float
    frame_rate: float
    behavior_rate: float
    gap: float

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, Any],
        bin_size: float | None,
        frame_rate: float | None,
        behavior_rate: float | None,
        gap: float,
    ) -> Clocks:
        """Return what is said, else what the arrays say, else what is usual.

        Raises
        ------
        ConfigError
            If ``bin_size`` is not known, or a value is out of range.

        Examples
        --------
        >>> Clocks.of({"bin_size": 0.05}, None, None, 100.0, gap=1.0)
        Clocks(bin_size=0.05, frame_rate=20.0, behavior_rate=100.0, gap=1.0)
        """
        said = dict(zip(CLOCKS, (bin_size, frame_rate, behavior_rate)))
        found = {
            name: arrays.get(name, None if name == "bin_size" else USUAL_RATE)
            if value is None
            else value
            for name, value in said.items()
        }
        if found["bin_size"] is None:
            raise ConfigError(
                "bin_size is not known",
                expected="the width of a bin of the counts [s]",
                hint="bin_size=0.01, or an array bin_size beside the spikes",
            )
        if not 0 <= gap < math.inf:
            raise ConfigError("gap must not be negative", found=gap, expected="seconds from 0")
        return cls(**{name: _positive(name, value) for name, value in found.items()}, gap=gap)


class Span(NamedTuple):
    """A trial, or one continuous recording, on the clock of the session.

    Parameters
    ----------
    start, stop
        Begin and end [s].
    """

    start: float
    stop: float

    @property
    def duration(self) -> float:
        """Length [s]."""
        return self.stop - self.start


def place_trials(durations: Sequence[Fraction], bin_size: float, gap: float) -> list[Span]:
    """Return trials one after another, each beginning with a bin.

    Parameters
    ----------
    durations
        Of the trials [s].
    bin_size, gap
        Width of a bin, and what lies between trials at least [s].

    Examples
    --------
    >>> place_trials([Fraction(1), Fraction(1, 2)], bin_size=0.4, gap=0.1)
    [Span(start=0.0, stop=1.0), Span(start=1.2, stop=1.7)]
    """
    step, pause = as_rational(bin_size), as_rational(gap)
    start = Fraction(0)
    found = []
    for duration in durations:
        found.append(Span(float(start), float(start + duration)))
        start = math.ceil((start + duration + pause) / step) * step
    return found


def spread_counts(
    counts: NDArray[Any], bin_size: float, where: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return unit and time [s] of each spike, units one after another.

    A bin of ``k`` spikes has them in the middles of its ``k`` equal parts.

    Parameters
    ----------
    counts
        Shape ``(unit, bin)``.
    bin_size
        Width of a bin [s].
    where
        File and array, for messages.

    Raises
    ------
    DataError
        If a count is negative, not whole or above 65,535.

    Examples
    --------
    >>> unit, time = spread_counts(np.array([[0, 2], [1, 0]]), 0.1, "session")
    >>> unit.tolist(), time.round(3).tolist()
    ([0, 0, 1], [0.125, 0.175, 0.05])
    """
    unit, bins = np.nonzero(counts)
    found = counts[unit, bins]
    bad = np.flatnonzero(~((found > 0) & (found <= MOST_COUNTS) & (found == np.rint(found))))
    if bad.size:
        raise DataError(
            "counts of spikes must be whole numbers from 0",
            where=f"{where}, unit {unit[bad[0]]}, bin {bins[bad[0]]}",
            found=f"{found[bad[0]]} ({bad.size} such bins)",
            expected=f"0 to {MOST_COUNTS:,}",
            hint="traces of calcium are no counts: neurodyn.recording.signal takes them",
        )
    n = found.astype(np.int64)
    place = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    time = (np.repeat(bins, n) + (place + 0.5) / np.repeat(n, n)) * bin_size
    return np.repeat(unit, n), time


def require_span(
    n_samples: int, span: Span, rate: float, where: str, *, longer: bool = False
) -> None:
    """Refuse a series that is not as long as the spikes, give or take two samples.

    Parameters
    ----------
    n_samples
        Of the series.
    span
        When spikes were recorded.
    rate
        Samples per second [Hz].
    where
        File and array, for messages.
    longer
        The series may go on after the spikes.

    Raises
    ------
    TimebaseError
        If it has another length.

    Examples
    --------
    >>> require_span(30_117, Span(0.0, 1505.78), 20.0, "speed")
    """
    wanted = round(span.duration * rate, 6)
    short, long = n_samples < wanted - SPARE_SAMPLES, n_samples > wanted + SPARE_SAMPLES
    if short or (long and not longer):
        raise TimebaseError(
            "series and spikes differ in length",
            where=where,
            found=f"{n_samples} samples at {rate:g} Hz, {n_samples / rate:g} s",
            expected=f"{span.duration:g} s of spikes, {math.ceil(wanted)} samples",
            hint="is bin_size, frame_rate or behavior_rate another one?",
        )


def _positive(name: str, value: Any) -> float:
    array = np.asarray(value)
    number = float(array) if array.ndim == 0 and array.dtype.kind in "iuf" else math.nan
    if not 0 < number < math.inf:
        raise ConfigError(f"{name} must be positive", found=f"{value!s:.50}", expected="above 0")
    return number
