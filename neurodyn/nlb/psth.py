"""Condition averages of smoothed spikes, the truth that psth R² compares with.

Each unit is smoothed with a Gaussian at 1 ms within each observed stretch, binned by summing, and
averaged over all trials of a condition that the phase uses, the evaluated ones included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import signal

from neurodyn.errors import EmptySelectionError
from neurodyn.nlb.bins import bins_between, nanoseconds, stop_before_next
from neurodyn.nlb.clock import MISSING, Clock
from neurodyn.nlb.tasks import Task, milliseconds

__all__ = ["ConditionPsths", "condition_psths"]

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
SHORTEST = 0.8
"""Trials below this part of their condition's mean length are left out."""


class ConditionPsths(NamedTuple):
    """Averages ``(condition, time, unit)`` and the trials of each condition in both splits."""

    psth: FloatArray
    train_trials: NDArray[np.object_]
    eval_trials: NDArray[np.object_]
    conditions: list[tuple[object, ...]]


class _Condition(NamedTuple):
    bins: list[IntArray]
    offset: IntArray
    rows: IntArray
    shortest: int


def condition_psths(
    clock: Clock, task: Task, train: BoolArray, evaluated: BoolArray
) -> ConditionPsths:
    """Average smoothed spikes over the trials of each condition.

    Parameters
    ----------
    clock
        The recording.
    task
        With ``condition_columns`` and ``psth_sd``.
    train, evaluated
        The trials of the phase.

    Returns
    -------
    ConditionPsths
        Expected counts per bin, float64; NaN where a condition has no data. Trial indices count
        within the split. Conditions are sorted.

    Raises
    ------
    EmptySelectionError
        If no condition has trials.
    """
    columns = list(task.condition_columns)
    table = pd.DataFrame({name: clock.column(name) for name in columns})
    used = train | evaluated
    skipped = np.zeros(used.size, dtype=bool)
    if task.outlier_column is not None:
        skipped = np.asarray(clock.column(task.outlier_column) == 1, dtype=bool)
    labels = sorted(table[used].dropna().drop_duplicates().itertuples(index=False, name=None))
    found = {}
    for label in labels:
        members = np.asarray((table == list(label)).all(axis=1)) & used & ~skipped
        condition = _condition(clock, task, members) if members.any() else None
        if condition is not None:
            found[label] = condition
    if not found:
        raise EmptySelectionError("no condition has trials", where=task.name, found=columns)
    means = _means(clock, task, list(found.values()))
    return ConditionPsths(
        np.stack([_fit(mean, task) for mean in means]),
        _positions(found.values(), train),
        _positions(found.values(), evaluated),
        list(found),
    )


def _condition(clock: Clock, task: Task, members: BoolArray) -> _Condition | None:
    """Return the bins of a condition's trials and where they lie relative to the alignment."""
    align = clock.event(task.align)[members]
    if task.target_start is None:
        start, stop = align + nanoseconds(task.window[0]), align + nanoseconds(task.window[1])
    else:
        start, stop = clock.event(task.target_start)[members], align
    stop = stop_before_next(clock, members, start, stop, overlap=False)
    happened = (align != MISSING) & (start != MISSING)
    n_bins = -(-clock.n_samples // milliseconds(task.bin_size))
    origin = -(-align // nanoseconds(task.bin_size))
    bins, offsets, rows = [], [], []
    for row, own, zero, known in zip(
        np.flatnonzero(members), bins_between(start, stop, task.bin_size), origin, happened
    ):
        own = own[(own >= 0) & (own < n_bins)]
        if known and own.size:
            bins.append(own)
            offsets.append(own - zero)
            rows.append(row)
    if not bins:
        return None
    lengths = np.array([own.size for own in bins])
    kept = np.flatnonzero(lengths >= SHORTEST * lengths.mean())
    return _Condition(
        [bins[i] for i in kept],
        np.concatenate([offsets[i] for i in kept]),
        np.array([rows[i] for i in kept]),
        int(lengths[kept].min()),
    )


def _means(clock: Clock, task: Task, conditions: list[_Condition]) -> list[FloatArray]:
    flat = np.concatenate([own for condition in conditions for own in condition.bins])
    values = np.empty((flat.size, len(clock.spike_sample)))
    for column in range(values.shape[1]):
        values[:, column] = _smoothed(clock, task, column)[flat]
    means, first = [], 0
    for condition in conditions:
        part = pd.DataFrame(values[first : first + condition.offset.size])
        first += condition.offset.size
        mean = part.groupby(condition.offset).mean().to_numpy()
        front = task.target_start is not None
        means.append(mean[-condition.shortest :] if front else mean[: condition.shortest])
    return means


def _smoothed(clock: Clock, task: Task, column: int) -> FloatArray:
    """Return one unit's smoothed expected counts per bin, NaN where it was not observed."""
    observed = clock.observed[int(column >= len(clock.held_in))]
    width = milliseconds(task.psth_sd)
    kernel = signal.windows.gaussian(6 * width, width, sym=True)
    kernel /= kernel.sum()
    # nlb_tools smooths 16-bit floats, and the Fourier method rounds such input to 32 bits
    counts = np.bincount(clock.spike_sample[column], minlength=clock.n_samples).astype(np.float16)
    step = milliseconds(task.bin_size)
    if observed.all():
        smooth = signal.convolve(counts.astype(np.float64), kernel, "same")
    else:
        smooth = np.zeros(clock.n_samples)
        edges = np.flatnonzero(np.diff(observed, prepend=False, append=False)).reshape(-1, 2)
        for start, stop in edges:
            if counts[start:stop].any():
                smooth[start:stop] = signal.convolve(counts[start:stop], kernel, "same")
        smooth[smooth < 0] = 0.0
    padded = np.append(smooth, np.zeros(-clock.n_samples % step))
    binned = padded.reshape(-1, step).sum(axis=1)
    return np.where(observed[::step], binned, np.nan)


def _fit(mean: FloatArray, task: Task) -> FloatArray:
    """Cut or NaN-pad an average to the length of the window, at the end that is not aligned."""
    front = task.target_start is not None
    mean = mean[-task.n_time :] if front else mean[: task.n_time]
    fitted = np.full((task.n_time, mean.shape[1]), np.nan)
    place = slice(task.n_time - len(mean), None) if front else slice(None, len(mean))
    fitted[place] = mean
    return fitted


def _positions(conditions: Iterable[_Condition], split: BoolArray) -> NDArray[np.object_]:
    position = np.cumsum(split) - 1
    chosen: list[IntArray] = [
        position[condition.rows[split[condition.rows]]] for condition in conditions
    ]
    trials = np.empty(len(chosen), dtype=object)
    trials[:] = chosen
    return trials
