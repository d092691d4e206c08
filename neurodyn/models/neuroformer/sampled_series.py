"""A stimulus or behavior on its own clock, and the samples that a window may read of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import DataError, EmptySelectionError, TimebaseError
from neurodyn.models.neuroformer.token_store import TokenStore

__all__ = ["PlacedSeries", "SampledSeries"]

# From the begin of a window to the boundary of what it reads.
LENGTHS = {"start": 0, "stop": 1, "next": 2}


@dataclass(frozen=True, eq=False)
class SampledSeries:
    """Samples of a stimulus or of a behavior.

    Parameters
    ----------
    values
        Frames ``(row, channel, height, width)`` or features ``(row, feature)``; NaN where unknown.
    time
        Onset of each sample [s], increasing, shape ``(sample,)``.
    row
        Row of ``values`` that each sample shows, shape ``(sample,)``, so that a movie which is
        shown in every trial is held once; the samples one after another if not given.

    Raises
    ------
    TimebaseError
        If times are not finite, do not increase or are not as many as samples.
    DataError
        If there is no feature axis or a row does not exist.

    Examples
    --------
    >>> SampledSeries(np.zeros((4, 2)), np.arange(4) * 0.05).step
    0.05
    """

    values: NDArray[Any]
    time: NDArray[np.float64]
    row: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n_samples = len(self.values) if self.row is None else len(self.row)
        if self.time.shape != (n_samples,) or n_samples < 2:
            raise TimebaseError(
                "times do not fit the samples",
                found=f"{self.time.shape} times, {n_samples} samples",
                expected="one time for each of at least 2 samples",
            )
        falls = np.flatnonzero(~(np.diff(self.time) > 0))
        if falls.size or not np.isfinite(self.time).all():
            raise TimebaseError(
                "times of samples do not increase",
                where=f"sample {falls[0] + 1}" if falls.size else None,
                expected="finite, increasing seconds",
            )
        if self.values.ndim < 2:
            raise DataError(
                "samples have no feature axis", found=self.values.shape, hint="values[:, None]"
            )
        if self.row is not None and (self.row.min() < 0 or self.row.max() >= len(self.values)):
            raise DataError(
                "samples show rows that do not exist",
                found=f"{self.row.min()} to {self.row.max()}",
                expected=f"0 to {len(self.values) - 1}",
            )

    @property
    def step(self) -> float:
        """Median distance of samples [s]."""
        return float(np.median(np.diff(self.time)))


class PlacedSeries:
    """Samples on the axis of bins of a store; those outside of its stretches are not used.

    A window reads the last samples whose onset is before a boundary, its begin or its end. The
    comparison is one of whole ticks, and samples of another stretch are never read.

    Parameters
    ----------
    series
        The samples.
    store
        Where spikes and stretches are.
    duration
        Length of what is read [s].
    until
        The boundary: ``"start"`` or ``"stop"`` of the window, or that of the one after it,
        ``"next"``, which no prediction may read: a published quirk.

    Raises
    ------
    EmptySelectionError
        If no sample lies in a stretch.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
    >>> tokenizer = SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=2)
    >>> store = TokenStore(spikes_from_units({"a": [0.5]}), tokenizer, [[0.0, 1.0]])
    >>> series = SampledSeries(np.zeros((20, 1)), np.arange(20) * 0.05)
    >>> placed = PlacedSeries(series, store, duration=0.1, until="start")
    >>> placed.samples(np.array([10]), 2)[0].tolist()
    [[0, 1]]
    """

    def __init__(
        self,
        series: SampledSeries,
        store: TokenStore,
        *,
        duration: float,
        until: Literal["start", "stop", "next"] = "start",
    ) -> None:
        position = store.position(series.time)
        inside = np.flatnonzero(~np.isnan(position))
        if not inside.size:
            raise EmptySelectionError(
                "no sample lies in a stretch",
                found=f"{series.time[0]:g} to {series.time[-1]:g} s",
                hint="spikes and samples are to be on one clock",
            )
        row = inside if series.row is None else series.row[inside]
        # a row more, which stands for samples that do not exist
        self.row = np.append(row.astype(np.int64), -1)
        self.position = np.append(position[inside], np.inf)
        self.values, self.step, self.until = series.values, series.step, until
        self.n_samples = max(1, math.ceil(round(duration / series.step, 6)))
        self._first_of_stretch = np.searchsorted(self.position, store.first[:-1], side="left")
        self._store = store

    def samples(
        self, starts: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return positions of samples of windows and which exist, ``(window, sample)``."""
        stretch = self._store.stretch(starts)
        boundary = starts + LENGTHS[self.until] * length
        # after its end there is nothing of a stretch
        boundary = np.minimum(boundary, self._store.first[stretch + 1])
        stop = np.searchsorted(self.position, boundary, side="left")
        found = stop[:, None] + np.arange(-self.n_samples, 0)
        exists = found >= self._first_of_stretch[stretch][:, None]
        return np.where(exists, found, -1), exists

    def read(
        self, starts: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
        """Return what windows read.

        Returns
        -------
        tuple
            Values ``(window, sample, ...)``, 0 where unknown; time of the samples from the
            window's begin [bins], known or not, and row of the values, -1 where there is none, all
            ``(window, sample)``.
        """
        found, exists = self.samples(starts, length)
        row = self.row[found]
        values = self.values[np.maximum(row, 0)].astype(np.float32)
        known = exists & np.isfinite(values).reshape(*found.shape, -1).all(-1)
        values[~known] = 0.0
        time = np.where(exists, self.position[found] - starts[:, None], 0.0).astype(np.float32)
        return values, time, known, np.where(known, row, -1)

    def last(
        self, starts: NDArray[np.int64], length: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the last sample in ``length`` bins from each start, and whether it exists.

        Values have the shape ``(window, feature)``.
        """
        found = np.searchsorted(self.position, starts + length, side="left") - 1
        exists = (found >= 0) & (self.position[found] >= starts)
        values = self.values[np.maximum(self.row[found], 0)].astype(np.float32)
        known = exists & np.isfinite(values).reshape(len(values), -1).all(-1)
        values[~known] = 0.0
        return values, known

    def scale(
        self, starts: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of each feature or channel over what windows read.

        A feature that never changes has the deviation 1.
        """
        found, exists = self.samples(starts, length)
        row = np.unique(self.row[found[exists]])
        mean, square, n_known = np.zeros((3, self.values.shape[1]))
        for part in np.array_split(row, max(1, row.size // 1000)):
            values = self.values[part].astype(np.float64)
            others = tuple(axis for axis in range(values.ndim) if axis != 1)
            known = np.isfinite(values)
            values = np.where(known, values, 0.0)
            n_known += known.sum(axis=others)
            mean += values.sum(axis=others)
            square += (values**2).sum(axis=others)
        n_known = np.maximum(n_known, 1)
        mean /= n_known
        deviation = np.sqrt(np.maximum(square / n_known - mean**2, 0.0))
        return mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)

    def reach(self, starts: NDArray[np.int64], length: int) -> int:
        """Return how many bins before the begin of a window samples are read at most."""
        found, exists = self.samples(starts, length)
        back = np.where(exists, starts[:, None] - self.position[found], 0.0)
        return max(0, math.ceil(float(back.max(initial=0.0))))
