"""Which bins belong to a trial, and what was counted or measured in them.

A window [start, stop) holds the bins whose left edge lies in it: an onset between two edges is
in effect moved to the next edge, and windows of one length always have as many bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from neurodyn.errors import EmptySelectionError, TrialTableError
from neurodyn.nlb.clock import MISSING, Clock
from neurodyn.nlb.tasks import milliseconds

__all__ = [
    "NO_BIN",
    "behavior_in_bins",
    "bins_between",
    "bins_from",
    "counts_in_bins",
    "nanoseconds",
    "refuse_overlap",
    "stop_before_next",
]

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
NO_BIN = -1
"""Place in a window that no bin fills; its value is NaN."""
MICROSECOND = 1000
DECIMATION_ORDER = 500


def nanoseconds(seconds: float) -> int:
    """Return whole milliseconds as nanoseconds."""
    return milliseconds(seconds) * 1_000_000


def bins_from(start: IntArray, n_bins: int, bin_size: float) -> IntArray:
    """Return the ``n_bins`` bins of each window that begins at ``start`` [ns].

    Returns
    -------
    ndarray
        int64 ``(trial, time)``; may lie before or after the clock.
    """
    first = -(-start // nanoseconds(bin_size))
    return first[:, None] + np.arange(n_bins)


def bins_between(start: IntArray, stop: IntArray, bin_size: float) -> list[IntArray]:
    """Return the bins of each window ``[start, stop)`` [ns], of differing numbers."""
    width = nanoseconds(bin_size)
    first, last = -(-start // width), (stop - MICROSECOND) // width
    return [np.arange(begin, end + 1) for begin, end in zip(first, last)]


def stop_before_next(
    clock: Clock, rows: BoolArray, start: IntArray, stop: IntArray, *, overlap: bool
) -> IntArray:
    """Cut windows where the next chosen trial begins, unless they may ``overlap``.

    Parameters
    ----------
    clock
        Gives the starts of all trials.
    rows
        Chosen trials, one for each of ``start`` and ``stop``.
    start, stop
        Windows [ns].
    overlap
        Leave the windows as they are.
    """
    if overlap:
        return stop
    begins = clock.event("start_time")
    following = np.append(begins[1:], MISSING)[rows]
    latest = np.iinfo(np.int64).max
    following = np.where(following == MISSING, latest, following)
    bound = np.append(np.minimum(following, start)[1:], latest)
    return np.where(stop - MICROSECOND > bound, bound, stop)


def refuse_overlap(
    clock: Clock, rows: BoolArray, start: IntArray, stop: IntArray, *, overlap: bool
) -> None:
    """Raise if a window runs into the next chosen trial where it may not.

    Raises
    ------
    TrialTableError
        Naming the trials.
    """
    cut = stop_before_next(clock, rows, start, stop, overlap=overlap) < stop
    if cut.any():
        ids = clock.trials["trial_id"].to_numpy()[rows][cut]
        raise TrialTableError(
            "windows of neighbouring trials overlap",
            found=f"{ids.size} trials: {ids[:10].tolist()}",
            expected="windows that end before the next trial begins",
        )


def counts_in_bins(
    clock: Clock, bins: IntArray, bin_size: float, *, held_out: bool
) -> NDArray[np.float16]:
    """Count the spikes of one group of units in given bins.

    Parameters
    ----------
    clock
        The recording.
    bins
        int64 ``(trial, time)``.
    bin_size
        Width of the bins [s].
    held_out
        Which group of units.

    Returns
    -------
    ndarray
        float16 ``(trial, time, unit)``; NaN where the first millisecond of the bin was not
        observed or the bin is outside the clock.

    Raises
    ------
    EmptySelectionError
        If there are no units of that group.
    """
    n_held_in = len(clock.held_in)
    group = clock.spike_sample[n_held_in:] if held_out else clock.spike_sample[:n_held_in]
    if not group:
        raise EmptySelectionError(
            "the recording has no held-out units",
            hint="files of a test split have none; score against a target file instead",
        )
    step = milliseconds(bin_size)
    inside, index = _inside(bins, clock.n_samples, step)
    known = inside & clock.observed[int(held_out), ::step][index]
    counts = np.full((*bins.shape, len(group)), np.nan, dtype=np.float16)
    n_bins = -(-clock.n_samples // step)
    for column, samples in enumerate(group):
        per_bin = np.bincount(samples // step, minlength=n_bins)
        counts[..., column] = np.where(known, per_bin[index], np.nan)
    return counts


def behavior_in_bins(clock: Clock, bins: Sequence[IntArray], n_bins: int, step: int) -> FloatArray:
    """Take decimated behavior in the bins of each trial, NaN-padded to ``n_bins``.

    Returns
    -------
    ndarray
        float64 ``(trial, time, feature)``.

    Raises
    ------
    EmptySelectionError
        If the recording has no behavior.
    """
    if clock.behavior is None:
        raise EmptySelectionError(
            "the recording lacks the behavior of the task",
            hint="files of a test split have none",
        )
    values = _decimate(clock.behavior, step)
    padded = np.full((len(bins), n_bins), NO_BIN, dtype=np.int64)
    for row, own in zip(padded, bins):
        row[: own.size] = own[:n_bins]
    inside, index = _inside(padded, clock.n_samples, step)
    return np.where(inside[..., None], values[index], np.nan)


def _decimate(values: FloatArray, step: int) -> FloatArray:
    """Low-pass and thin ``(sample, feature)``; gaps are bridged for the filter, then put back."""
    unknown = np.isnan(values)
    if unknown.any():
        values = values.copy()
        position = np.arange(len(values))
        for column, gap in zip(values.T, unknown.T):
            if not gap.all():
                column[gap] = np.interp(position[gap], position[~gap], column[~gap])
    thinned = signal.decimate(values, step, axis=0, n=DECIMATION_ORDER, ftype="fir")
    thinned[unknown[::step]] = np.nan
    return np.asarray(thinned)


def _inside(bins: IntArray, n_samples: int, step: int) -> tuple[BoolArray, IntArray]:
    inside = (bins >= 0) & (bins < -(-n_samples // step))
    return inside, np.where(inside, bins, 0)
