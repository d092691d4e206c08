"""Make the benchmark's tensors from a recording, equal to those of nlb_tools 0.0.4.

Two things differ on purpose, in cases where nlb_tools loses trials or stops: a window that runs
off the recording keeps its trial and holds NaN there, and trials without the event that they
are aligned to are named in an error. Behavior is in the physical unit that the recording gives;
nlb_tools takes the file's raw numbers (R² is the same on both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import DataError, one_of
from neurodyn.nlb.arrays import Array, Role, Tensors
from neurodyn.nlb.bins import (
    NO_BIN,
    behavior_in_bins,
    bins_between,
    bins_from,
    counts_in_bins,
    nanoseconds,
    refuse_overlap,
    stop_before_next,
)
from neurodyn.nlb.clock import Clock, make_clock
from neurodyn.nlb.psth import condition_psths
from neurodyn.nlb.session import Session
from neurodyn.nlb.tasks import Task, milliseconds

__all__ = ["Prepared", "evaluation_tensors", "prepare", "target_tensors", "training_tensors"]

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Split = str | Sequence[str]


class Prepared(NamedTuple):
    """All tensors of one task and phase; ``target`` is ``None`` in the test phase."""

    training: Tensors
    evaluation: Tensors
    target: Tensors | None


def prepare(
    data: Session | xr.DataTree | Sequence[Session | xr.DataTree],
    task: Task,
    *,
    phase: str = "val",
    psth: bool = True,
) -> Prepared:
    """Make all tensors of a task.

    Parameters
    ----------
    data
        The recordings of one subject: the train file, and in the test phase the test file too.
    task
        From :func:`neurodyn.nlb.tasks.task`.
    phase
        ``"val"``: train on the train split, evaluate on the val split. ``"test"``: train on both,
        evaluate on the test split, whose targets are not in the recordings.
    psth
        Include condition averages in the targets.

    Raises
    ------
    NeurodynError
        As the makers of the single tensors.
    """
    one_of("phase", phase, ("val", "test"))
    clock = make_clock(data, task)
    train = ("train",) if phase == "val" else ("train", "val")
    target = target_tensors(clock, task, train, "val", psth=psth) if phase == "val" else None
    return Prepared(
        training_tensors(clock, task, train, behavior=True, forward=True),
        evaluation_tensors(clock, task, phase),
        target,
    )


def training_tensors(
    clock: Clock,
    task: Task,
    split: Split = "train",
    *,
    behavior: bool = False,
    forward: bool = False,
    seed: int = 0,
) -> Tensors:
    """Make what a model may be fitted to.

    Parameters
    ----------
    clock
        From :func:`neurodyn.nlb.clock.make_clock`.
    task
        The task.
    split
        ``"train"``, ``"val"`` or both.
    behavior, forward
        Also ``train_behavior`` and the spikes of the forward window.
    seed
        Of the jitter.

    Returns
    -------
    Tensors
        ``train_spikes_heldin``, ``train_spikes_heldout`` float16 ``(trial, time, unit)``, and
        what else was asked for.

    Raises
    ------
    EmptySelectionError, TrialTableError
        If trials, events or units are missing, or windows overlap.
    """
    rows = clock.rows(_known_splits(split, ("train", "val")))
    align = _aligned(clock, task, rows, seed)
    bins = _window(clock, task, rows, align, overlap=task.window_overlap)
    arrays: dict[str, Array] = {
        "train_spikes_heldin": counts_in_bins(clock, bins, task.bin_size, held_out=False),
        "train_spikes_heldout": counts_in_bins(clock, bins, task.bin_size, held_out=True),
    }
    if behavior:
        arrays["train_behavior"] = _behavior(clock, task, rows, overlap=task.window_overlap)
    if forward:
        arrays |= _forward(clock, task, align, "train")
    return _label(clock, task, "training", rows, arrays)


def evaluation_tensors(clock: Clock, task: Task, split: Split = "val", *, seed: int = 0) -> Tensors:
    """Make what a trained model predicts from.

    Parameters
    ----------
    clock, task, seed
        As in :func:`training_tensors`.
    split
        ``"val"`` or ``"test"``; the latter has no ``eval_spikes_heldout``.

    Returns
    -------
    Tensors
        ``eval_spikes_heldin`` and off the test split ``eval_spikes_heldout``.

    Raises
    ------
    EmptySelectionError, TrialTableError
        As :func:`training_tensors`.
    """
    splits = _known_splits(split, ("train", "val", "test"))
    rows = clock.rows(splits)
    bins = _window(
        clock, task, rows, _aligned(clock, task, rows, seed), overlap=task.window_overlap
    )
    arrays: dict[str, Array] = {
        "eval_spikes_heldin": counts_in_bins(clock, bins, task.bin_size, held_out=False)
    }
    if "test" not in splits:
        arrays["eval_spikes_heldout"] = counts_in_bins(clock, bins, task.bin_size, held_out=True)
    return _label(clock, task, "evaluation", rows, arrays)


def target_tensors(
    clock: Clock,
    task: Task,
    train_split: Split = "train",
    eval_split: Split = "val",
    *,
    psth: bool = True,
    seed: int = 0,
) -> Tensors:
    """Make what scores compare predictions with.

    Parameters
    ----------
    clock, task, seed
        As in :func:`training_tensors`.
    train_split, eval_split
        Splits that were trained on and are evaluated.
    psth
        Include ``psth`` and the trials of each condition, if the task has conditions.

    Returns
    -------
    Tensors
        The content of a target file: held-out and forward spikes, behavior of both splits, and
        by task decode masks, PSTHs and jitter.

    Raises
    ------
    EmptySelectionError, TrialTableError
        As :func:`training_tensors`.
    """
    train = clock.rows(_known_splits(train_split, ("train", "val")))
    evaluated = clock.rows(_known_splits(eval_split, ("train", "val")))
    align = _aligned(clock, task, evaluated, seed)
    overlap = task.target_overlap
    if task.target_start is None:
        bins = _window(clock, task, evaluated, align, overlap=overlap)
        spikes: Array = counts_in_bins(clock, bins, task.bin_size, held_out=True)
    else:
        bins = _right_aligned(clock, task, evaluated, seed)
        spikes = counts_in_bins(clock, bins, task.bin_size, held_out=True).astype(np.float64)
    arrays: dict[str, Array] = {
        "eval_spikes_heldout": spikes,
        "train_behavior": _behavior(clock, task, train, overlap=overlap),
        "eval_behavior": _behavior(clock, task, evaluated, overlap=overlap),
        **_forward(clock, task, align, "eval"),
    }
    if task.decode_column is not None:
        arrays["train_decode_mask"] = _decode_mask(clock, task, train)
        arrays["eval_decode_mask"] = _decode_mask(clock, task, evaluated)
    if psth and task.condition_columns:
        found = condition_psths(clock, task, train, evaluated)
        arrays["psth"] = found.psth
        arrays["train_cond_idx"] = found.train_trials
        arrays["eval_cond_idx"] = found.eval_trials
        if task.jitter:
            arrays["train_jitter"] = jitter_bins(clock, task, train, seed)
            arrays["eval_jitter"] = jitter_bins(clock, task, evaluated, seed)
    return _label(clock, task, "target", evaluated, arrays)


def jitter_bins(clock: Clock, task: Task, rows: BoolArray, seed: int) -> IntArray:
    """Draw the delay [bins] of each chosen trial's alignment; zero in the test split.

    It is uniform up to ``task.jitter``, or less so that the produced interval ``tp`` [ms] stays
    inside the window.

    Raises
    ------
    DataError
        If a trial of another split has no ``tp``.
    """
    if not task.jitter:
        return np.zeros(int(rows.sum()), dtype=np.int64)
    trials = clock.trials[rows]
    produced = np.asarray(clock.column("tp")[rows], dtype=np.float64)
    length = milliseconds(task.window[1]) - milliseconds(task.window[0])
    longest = np.clip(length - produced, 0.0, milliseconds(task.jitter))
    longest = np.where(trials["split"] == "test", 0.0, longest)
    if np.isnan(longest).any():
        raise DataError("trials have no produced interval 'tp'", found=int(np.isnan(longest).sum()))
    limit = np.floor((longest / milliseconds(task.bin_size)).round(4))
    # the benchmark fixed its jitter with numpy's legacy generator
    draws = np.random.RandomState(seed).random_sample(limit.size)
    return (draws * limit).round().astype(np.int64)


def _known_splits(split: Split, allowed: tuple[str, ...]) -> tuple[str, ...]:
    splits = (split,) if isinstance(split, str) else tuple(split)
    for name in splits:
        one_of("split", name, allowed)
    return splits


def _aligned(clock: Clock, task: Task, rows: BoolArray, seed: int) -> IntArray:
    delay = jitter_bins(clock, task, rows, seed) * nanoseconds(task.bin_size)
    return clock.event(task.align, rows) + delay


def _window(
    clock: Clock, task: Task, rows: BoolArray, align: IntArray, *, overlap: bool
) -> IntArray:
    start = align + nanoseconds(task.window[0])
    stop = align + nanoseconds(task.window[1])
    refuse_overlap(clock, rows, start, stop, overlap=overlap)
    return bins_from(start, task.n_time, task.bin_size)


def _right_aligned(clock: Clock, task: Task, rows: BoolArray, seed: int) -> IntArray:
    """Place the bins from ``target_start`` to ``align`` at the window's end, less the jitter."""
    start = clock.event(str(task.target_start), rows)
    stop = clock.event(task.align, rows)
    stop = stop_before_next(clock, rows, start, stop, overlap=task.target_overlap)
    delays = jitter_bins(clock, task, rows, seed)
    placed = np.full((start.size, task.n_time), NO_BIN, dtype=np.int64)
    for row, own, delay in zip(placed, bins_between(start, stop, task.bin_size), delays):
        end = task.n_time - delay
        own = own[-end:]
        row[end - own.size : end] = own
    return placed


def _behavior(clock: Clock, task: Task, rows: BoolArray, *, overlap: bool) -> Array:
    if task.behavior is None:
        columns = [clock.column(name)[rows] for name in task.behavior_columns]
        values = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
        if task.outlier_column is not None:
            values[~np.asarray(clock.column(task.outlier_column)[rows] == 0, bool)] = np.nan
        return values
    align = clock.event(task.align, rows)
    start = align + nanoseconds(task.window[0] + task.lag)
    stop = align + nanoseconds(task.window[1] + task.lag)
    stop = stop_before_next(clock, rows, start, stop, overlap=overlap)
    bins = bins_between(start, stop, task.bin_size)
    return behavior_in_bins(clock, bins, task.n_time, milliseconds(task.bin_size))


def _forward(clock: Clock, task: Task, align: IntArray, prefix: str) -> dict[str, Array]:
    start = align + nanoseconds(task.window[1])
    bins = bins_from(start, task.n_forward, task.bin_size)
    return {
        f"{prefix}_spikes_{group}_forward": counts_in_bins(
            clock, bins, task.bin_size, held_out=group == "heldout"
        )
        for group in ("heldin", "heldout")
    }


def _decode_mask(clock: Clock, task: Task, rows: BoolArray) -> Array:
    values = clock.column(str(task.decode_column))[rows]
    return np.stack([np.asarray(values == value, dtype=bool) for value in (0, 1)], axis=1)


def _label(
    clock: Clock, task: Task, role: Role, rows: BoolArray, arrays: dict[str, Array]
) -> Tensors:
    chosen = clock.trials[rows]
    return Tensors(
        task=replace(task, n_held_in=len(clock.held_in), n_held_out=len(clock.held_out)),
        role=role,
        arrays=arrays,
        trial=chosen["trial_id"].to_numpy().astype(np.int64),
        held_in=clock.held_in,
        held_out=clock.held_out,
        split=tuple(map(str, chosen["split"])),
    )
