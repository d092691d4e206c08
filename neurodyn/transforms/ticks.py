"""Bins on the integer ticks of a clock: edges are exact, whatever the bin width.

A spike belongs to tick ``rint(t * tick_hz)``. Where a bin is no whole number of ticks, ticks are
divided further until its edges are whole *sub-ticks*. All are whole numbers below 2**52, held in
float64 for speed: such numbers are subtracted without error, and the floor of their quotient is
that of integer division, since the distance of a quotient to the next whole number is more
than half the spacing of the floats there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, TimebaseError

__all__ = ["LARGEST", "NANOSECOND_TICKS", "Survey", "TickBins", "as_rational", "seconds_to_ticks"]

NANOSECOND_TICKS = 1e9
LARGEST = 2.0**52
LARGEST_DENOMINATOR = 10**6
SLICE = 1 << 16


def as_rational(value: float) -> Fraction:
    """Return the simple fraction that a float stands for.

    Examples
    --------
    >>> as_rational(0.005), as_rational(1 / 30), as_rational(0.1 + 0.2)
    (Fraction(1, 200), Fraction(1, 30), Fraction(3, 10))
    """
    simple = Fraction(value).limit_denominator(LARGEST_DENOMINATOR)
    if abs(float(simple) - value) <= 4 * np.spacing(abs(value)):
        return simple
    return Fraction(repr(float(value)))


def seconds_to_ticks(time: ArrayLike, tick_hz: float) -> NDArray[np.float64]:
    """Return the nearest ticks of times [s]: whole numbers, as float64.

    Examples
    --------
    >>> seconds_to_ticks([0.1, 0.30000000000000004], 1000.0)
    array([100., 300.])
    """
    ticks = np.asarray(time, dtype=np.float64) * float(as_rational(tick_hz))
    rounded: NDArray[np.float64] = np.rint(ticks)
    return rounded


class Survey(NamedTuple):
    """What was seen on the way from times to bins.

    Parameters
    ----------
    n_descents
        How often a bin is below the one before.
    n_inside
        How many times lie in a bin.
    finite
        Whether all times are finite.
    narrow
        Whether it was seen that no bin holds more than 255 times of a unit.
    """

    n_descents: int
    n_inside: int
    finite: bool
    narrow: bool = False


@dataclass(frozen=True)
class TickBins:
    """Half-open bins ``[origin + k width, origin + (k + 1) width)``, counted in sub-ticks.

    Parameters
    ----------
    tick_hz
        Ticks per second.
    bin_size
        Width of a bin [s].
    scale
        Sub-ticks per tick.
    width
        Sub-ticks per bin.
    """

    tick_hz: float
    bin_size: Fraction
    scale: int
    width: int

    @classmethod
    def of(cls, bin_size: float, tick_hz: float, *, offset: float = 0.0) -> TickBins:
        """Return bins of ``bin_size`` [s] on a clock of ``tick_hz``.

        Sub-ticks are fine enough to hold ``offset`` [s], too.

        Raises
        ------
        ConfigError
            If the bin is not positive or shorter than a tick.

        Examples
        --------
        >>> TickBins.of(0.005, 30000.0).width, TickBins.of(1 / 30, 1000.0).width
        (150, 100)
        """
        if not (np.isfinite(bin_size) and bin_size > 0):
            raise ConfigError("bin_size must be positive", found=bin_size, expected="seconds")
        rate, seconds = as_rational(tick_hz), as_rational(bin_size)
        ticks = seconds * rate
        if ticks < 1:
            raise ConfigError(
                "bin_size is shorter than a tick of the clock",
                found=f"{bin_size} s at {float(rate):g} Hz",
                expected=f"at least {1 / float(rate):g} s",
            )
        scale = math.lcm(ticks.denominator, (as_rational(offset) * rate).denominator)
        return cls(float(rate), seconds, scale, int(ticks * scale))

    def sub_ticks(self, time: ArrayLike) -> NDArray[np.float64]:
        """Return times [s], rounded to ticks, in sub-ticks.

        Raises
        ------
        TimebaseError
            If a time is too far from 0 for exact bins.
        """
        found = seconds_to_ticks(time, self.tick_hz) * self.scale
        if found.size and not np.nanmax(np.abs(found), initial=0.0) < LARGEST:
            raise TimebaseError(
                "times are too large for exact bins",
                found=f"{np.nanmax(np.abs(time)):g} s at {self.scale * self.tick_hz:g} ticks per s",
                expected=f"less than {LARGEST / self.scale / self.tick_hz:g} s",
                hint="subtract the start of the session, or choose a simpler bin_size",
            )
        return found

    def rows(
        self, time: NDArray[Any], origin: float, n_bins: int, out: NDArray[np.int32]
    ) -> Survey:
        """Write the bin of each time into ``out``; -1 before the first, ``n_bins`` after the last.

        Times that are not finite end the work.
        """
        n_descents, n_inside, before = 0, 0, np.int32(-1)
        for part in _slices(time.size):
            found = time[part] * self.tick_hz
            np.rint(found, out=found)
            if not np.isfinite(found.sum()):
                return Survey(n_descents, n_inside, False)
            if self.scale != 1:
                found *= self.scale
            found -= origin
            found /= self.width
            np.floor(found, out=found)
            np.clip(found, -1, n_bins, out=found)
            bins = out[part]
            bins[:] = found
            n_descents += int(np.count_nonzero(bins[1:] < bins[:-1])) + int(bins[0] < before)
            n_inside += bins.size - int(np.count_nonzero((bins < 0) | (bins >= n_bins)))
            before = bins[-1]
        return Survey(n_descents, n_inside, True)

    def time(self, origin: float, n_bins: int) -> NDArray[np.float64]:
        """Return the left edges [s] of the bins."""
        n, d = self.bin_size.numerator, self.bin_size.denominator
        skipped, rest = divmod(int(origin), self.width)
        edges = np.arange(skipped, skipped + n_bins, dtype=np.float64)
        edges *= n
        edges /= d
        return edges + rest / (self.scale * self.tick_hz) if rest else edges


def _slices(size: int) -> Iterator[slice]:
    # short enough that temporaries stay in the cache
    return (slice(start, min(start + SLICE, size)) for start in range(0, size, SLICE))
