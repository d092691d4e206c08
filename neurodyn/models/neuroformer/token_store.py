"""All spikes of a recording as tokens, made once; any window is one slice of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError, EmptySelectionError, TimebaseError, TrialTableError
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT, SpikeTokenizer
from neurodyn.recording import pick
from neurodyn.transforms.observation import observation_intervals, observed_bins
from neurodyn.transforms.ticks import TickBins

__all__ = ["TokenStore", "amplitudes_of"]

# Short enough that what is made on the way stays in the cache.
SLICE = 1 << 16


class TokenStore:
    """Spikes in canonical order on one axis of bins: compressed sparse rows over bins.

    A *stretch* is a trial, or a recording without interruption. Bins begin anew with every
    stretch; those of all stretches stand one after another. Bins are exact on the ticks of the
    recording's clock.

    Parameters
    ----------
    recording
        Spikes, or a recording that has them.
    tokenizer
        Vocabulary and bins; units of the recording that it lacks are refused.
    stretches
        Begin and end of each stretch [s], shape ``(stretch, 2)``, one after another; whole bins
        of them are used.

    Attributes
    ----------
    bins, unit : ndarray
        Bin on the axis of all stretches, int64, and token, int32, of each spike, ``(spike,)``.
    mark : ndarray or None
        Level of the amplitude of each spike, int32 ``(spike,)``, if the tokenizer has marks.
    offset : ndarray
        First spike of each bin, shape ``(bin + 1,)``, int64.
    first : ndarray
        First bin of each stretch and the number of all bins, shape ``(stretch + 1,)``, int64.
    recorded : ndarray
        Which units of the vocabulary the recording has, bool ``(unit,)``.
    n_outside : int
        Spikes outside of all stretches, which are not used.

    Raises
    ------
    DataError
        For units that the vocabulary lacks, a stretch in which units were not observed, or spikes
        without amplitude where there are marks.
    TrialTableError
        If stretches overlap or end before they begin.
    EmptySelectionError
        If no stretch holds a bin.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.011, 0.5], "b": [0.01, 0.025]})
    >>> tokenizer = SpikeTokenizer(units=("a", "b"), bin_size=0.01, n_bins=2)
    >>> store = TokenStore(spikes, tokenizer, [[0.0, 0.03]])
    >>> store.bins.tolist(), store.unit.tolist(), store.n_outside
    ([1, 1, 2], [3, 4, 4], 1)
    """

    def __init__(
        self,
        recording: xr.DataTree | xr.Dataset,
        tokenizer: SpikeTokenizer,
        stretches: ArrayLike,
    ) -> None:
        spikes = pick(recording, "spikes")
        self.tokenizer = tokenizer
        token = tokenizer.tokens(spikes["unit"].values.tolist())
        self.recorded = np.zeros(tokenizer.n_units, dtype=bool)
        self.recorded[token - FIRST_UNIT] = True
        self.clock = TickBins.of(tokenizer.bin_size, float(spikes.attrs["tick_hz"]))
        self.origin, self.first = self._lay_out(stretches)
        self._refuse_unobserved(spikes)
        column = np.repeat(token - FIRST_UNIT, spikes["row_size"].values)
        self.mark: NDArray[np.int32] | None = None
        if not tokenizer.n_marks:
            code = self._sort(spikes["spike_time"].values, column, tokenizer.n_units)
        else:
            marked = column * tokenizer.n_marks + tokenizer.marks(
                column + FIRST_UNIT, amplitudes_of(spikes)
            )
            n_codes = tokenizer.n_units * tokenizer.n_marks
            code = self._sort(spikes["spike_time"].values, marked, n_codes)
            self.mark = code % np.int32(tokenizer.n_marks)
            code //= np.int32(tokenizer.n_marks)
        self.unit = code + np.int32(FIRST_UNIT)

    @property
    def n_bins(self) -> int:
        """Bins of all stretches."""
        return int(self.first[-1])

    def position(self, time: ArrayLike) -> NDArray[np.float64]:
        """Return where times [s] lie on the axis of bins, a fraction within one; NaN outside.

        Raises
        ------
        TimebaseError
            If a time is not finite.
        """
        ticks = self.clock.sub_ticks(time)
        if not np.isfinite(ticks).all():
            raise TimebaseError("times must be finite", found=f"{(~np.isfinite(ticks)).sum()} not")
        stretch: Any = 0
        if self.origin.size > 1:
            stretch = np.maximum(np.searchsorted(self.origin, ticks, side="right") - 1, 0)
        ticks -= self.origin[stretch]
        ticks /= self.clock.width
        inside = (ticks >= 0) & (ticks < np.diff(self.first)[stretch])
        ticks += self.first[stretch]
        return ticks if inside.all() else np.where(inside, ticks, np.nan)

    def time(self, bins: ArrayLike) -> NDArray[np.float64]:
        """Return the left edges [s] of bins of the axis."""
        chosen = np.asarray(bins, dtype=np.int64)
        stretch = self.stretch(chosen)
        ticks = self.origin[stretch] + (chosen - self.first[stretch]) * float(self.clock.width)
        return np.asarray(ticks / (self.clock.scale * self.clock.tick_hz))

    def stretch(self, bins: ArrayLike) -> NDArray[np.int64]:
        """Return the stretch that each bin belongs to."""
        return np.searchsorted(self.first, np.asarray(bins), side="right").astype(np.int64) - 1

    def expected_counts(self, starts: ArrayLike, length: int) -> NDArray[np.float64]:
        """Return the mean count of each unit in a bin over windows, shape ``(unit,)``.

        Windows begin at bins ``starts``; a bin in several windows counts once. This is the rate
        of the Poisson null, and belongs to training windows.
        """
        inside = np.zeros(self.n_bins + 1, dtype=np.int64)
        np.add.at(inside, np.asarray(starts), 1)
        np.add.at(inside, np.asarray(starts) + length, -1)
        used = np.cumsum(inside)[:-1] > 0
        column = self.unit[used[self.bins]] - FIRST_UNIT
        total = np.bincount(column, minlength=self.tokenizer.n_units)
        return np.asarray(total / max(int(used.sum()), 1), dtype=np.float64)

    def _lay_out(self, stretches: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the origin [sub-ticks] of each stretch and its first bin."""
        table = np.asarray(stretches, dtype=np.float64).reshape(-1, 2)
        wrong = np.flatnonzero(~(table[:, 1] > table[:, 0]))
        if wrong.size:
            raise TrialTableError(
                "a stretch has no length", where=f"stretch {wrong[0]}", found=table[wrong[0]]
            )
        early = np.flatnonzero(table[1:, 0] < table[:-1, 1])
        if early.size:
            raise TrialTableError(
                "stretches overlap or are not in order",
                where=f"stretches {early[0]} and {early[0] + 1}",
                expected="stretches that end before the next begins",
                hint="leave overlapping trials out: the same spikes would be in two of them",
            )
        edges = self.clock.sub_ticks(table)
        n_bins = ((edges[:, 1] - edges[:, 0]) // self.clock.width).astype(np.int64)
        kept = n_bins > 0
        if not kept.any():
            raise EmptySelectionError(
                "no stretch holds a bin",
                found=f"{len(table)} stretches",
                expected=f"one of at least {self.tokenizer.bin_size} s",
            )
        return edges[kept, 0], np.append(0, np.cumsum(n_bins[kept]))

    def _refuse_unobserved(self, spikes: xr.Dataset) -> None:
        intervals = observation_intervals(spikes)
        if intervals is None:
            return
        edges = [np.arange(count, dtype=np.float64) for count in np.diff(self.first)]
        left = np.concatenate([o + e * self.clock.width for o, e in zip(self.origin, edges)])
        for unit, own in zip(spikes["unit"].values, intervals):
            lost = np.flatnonzero(~observed_bins(self.clock, left, own))
            if lost.size:
                raise DataError(
                    "a stretch holds bins in which a unit was not observed",
                    where=f"unit {unit}, stretch {self.stretch(lost[0])}",
                    found=f"{lost.size} bins, the first at {self.time(lost[0]):g} s",
                    expected="stretches inside the observation intervals of all units",
                    hint="cut the stretches, or leave the unit out",
                )

    def _sort(
        self, time: NDArray[np.float64], code: NDArray[np.int64], n_codes: int
    ) -> NDArray[np.int32]:
        """Order spikes by bin, then by code: one sort of whole numbers that hold both.

        The code of a spike says its unit or, with marks, unit and mark; it is returned in order.
        """
        # narrow numbers are sorted in half the time
        narrow = self.n_bins * n_codes < 2**31
        code = code.astype(np.int32 if narrow else np.int64)
        width = code.dtype.type(n_codes)
        parts = [code[:0]]
        for start in range(0, time.size, SLICE):
            position = self.position(time[start : start + SLICE])
            inside = ~np.isnan(position)
            # cut to whole bins: positions are not negative
            bins = position[inside].astype(code.dtype)
            parts.append(bins * width + code[start : start + SLICE][inside])
        key = np.concatenate(parts)
        key.sort()
        bins = key // width
        self.bins = bins.astype(np.int64)
        per_bin = np.bincount(self.bins, minlength=self.n_bins)
        self.offset = np.append(0, np.cumsum(per_bin)).astype(np.int64)
        self.n_outside = int(time.size - key.size)
        return np.asarray(key - bins * width, dtype=np.int32)


def amplitudes_of(spikes: xr.Dataset) -> NDArray[np.float32]:
    """Return the amplitude of each spike, float32 ``(spike,)``.

    Raises
    ------
    DataError
        If spikes have none.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> amplitudes_of(spikes_from_units({"a": [0.5]}).assign(amplitude=("spike", [2.0])))
    array([2.])
    """
    if "amplitude" not in spikes:
        raise DataError(
            "spikes have no amplitude",
            found=", ".join(map(str, spikes.data_vars)),
            expected="a variable amplitude (spike), whose levels are the marks",
            hint="neurodyn.transforms.calcium_events gives it; or n_marks=0",
        )
    return np.asarray(spikes["amplitude"].values)
