"""Counts to learn from and to be judged by, made of a recording in any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from neurodyn import io
from neurodyn import recording as rec
from neurodyn.errors import EmptySelectionError, TrialTableError
from neurodyn.models.context import DataContext
from neurodyn.windows.splits import Split, blocked_split, trial_split

__all__ = [
    "Data",
    "Opened",
    "division",
    "hold_out_units",
    "open_counts",
    "open_data",
    "split_trials",
    "with_held_out",
]

OnBad = Literal["raise", "fix", "drop", "warn"]
SHORTEST_WINDOW = 0.1
EVALUATION_SHARE = 0.2
BLOCKS_PER_STRETCH = 20


@dataclass(frozen=True)
class Data:
    """Counts to learn from, counts to be judged by, and what a reader should know about them.

    Parameters
    ----------
    train, evaluation
        Counts ``(trial, time, unit)`` with ``held_out`` units.
    truth
        True ``rate`` ``(trial, time, unit)`` [spikes/s] of the evaluation trials, if known.
    notes
        Sentences for the report.
    """

    train: xr.Dataset
    evaluation: xr.Dataset
    truth: xr.Dataset | None = None
    notes: Sequence[str] = field(default_factory=tuple)


class Opened(NamedTuple):
    """Counts of a recording, and what was done to get them."""

    counts: xr.Dataset
    notes: tuple[str, ...]


def open_counts(
    path: str | Path,
    bin_size: float = 0.02,
    *,
    event: str | None = None,
    window: tuple[float, float] | None = None,
    on_bad: OnBad = "raise",
) -> Opened:
    """Open a recording and bin it on trials, or on blocks if it has none.

    Parameters
    ----------
    path
        A recording in any format that neurodyn reads.
    bin_size
        Width of the bins [s].
    event
        Trial column to align to; the start of the trial if not given.
    window
        Begin and end [s] around the event; the length of the shortest trial if not given.
    on_bad
        What to do about faults: ``"raise"``, ``"fix"``, ``"drop"`` or ``"warn"``.

    Returns
    -------
    Opened
        Counts ``(trial, time, unit)``.

    Raises
    ------
    DataError, FileError
        As opening and binning do.
    """
    from neurodyn.transforms import align, bin_spikes
    from neurodyn.windows import cut_blocks

    recording = io.load(path, on_bad=on_bad)
    kinds = rec.names(recording)
    if "counts" in kinds:
        counts = rec.pick(recording, "counts")
    elif "trials" in kinds:
        trials = rec.pick(recording, "trials", "trials" if "trials" in kinds["trials"] else None)
        span = window or _common_window(trials)
        spikes = rec.pick(recording, "spikes")
        aligned = align(spikes, trials, event or "start", window=span, bin_size=bin_size)
        return Opened(aligned, ())
    else:
        counts = bin_spikes(recording, bin_size)
    if "trial" in counts["count"].dims:
        return Opened(counts, ())
    return Opened(cut_blocks(counts), ("It has no trials: it was cut into blocked windows.",))


def open_data(
    path: str | Path,
    *,
    bin_size: float = 0.02,
    event: str | None = None,
    window: tuple[float, float] | None = None,
    held_out_fraction: float = 0.25,
    seed: int = 0,
    on_bad: OnBad = "raise",
) -> Data:
    """Open a recording as counts, split for fitting and for judging.

    Parameters
    ----------
    path, bin_size, event, window, on_bad
        As in :func:`open_counts`.
    held_out_fraction
        Share of the units to hold out, drawn by ``seed``, where the file names none.
    seed
        Of the held-out units and of the split.

    Returns
    -------
    Data
        Split as :func:`split_trials` does.

    Raises
    ------
    DataError, FileError
        As opening and binning do.
    """
    counts, notes = open_counts(path, bin_size, event=event, window=window, on_bad=on_bad)
    if "held_out" not in counts.coords or not counts["held_out"].any():
        counts = hold_out_units(counts, held_out_fraction, seed)
        chosen = ", ".join(counts["unit"].values[counts["held_out"].values])
        notes = (*notes, f"The file holds out no units; drawn with seed {seed}: {chosen}.")
    train, evaluation = split_trials(counts, seed=seed)
    return Data(train, evaluation, notes=notes)


def hold_out_units(counts: xr.Dataset, fraction: float, seed: int) -> xr.Dataset:
    """Return counts with a share of the units marked ``held_out``.

    Raises
    ------
    EmptySelectionError
        If that leaves no unit to predict from or none to predict.

    Examples
    --------
    >>> counts = rec.counts(np.ones((3, 2, 8)), bin_size=0.1)
    >>> int(hold_out_units(counts, 0.25, seed=0)["held_out"].sum())
    2
    """
    n_units = counts.sizes["unit"]
    n_held_out = round(fraction * n_units)
    if not 0 < n_held_out < n_units:
        raise EmptySelectionError(
            "cannot hold out that share of the units",
            found=f"{fraction} of {n_units} units",
            expected="at least one unit held out and one held in",
        )
    chosen = np.random.default_rng(seed).permutation(n_units)[:n_held_out]
    return counts.assign_coords(held_out=("unit", np.isin(np.arange(n_units), chosen)))


def with_held_out(counts: xr.Dataset, context: DataContext) -> xr.Dataset:
    """Return counts whose ``held_out`` units are those of a fitted model.

    Raises
    ------
    EmptySelectionError
        If a unit of the counts is none of the model's.
    """
    flags = dict(zip(context.unit, context.held_out))
    unknown = [str(unit) for unit in counts["unit"].values if unit not in flags]
    if unknown:
        raise EmptySelectionError(
            "the model does not know these units", found=", ".join(unknown[:10])
        )
    held_out = [flags[unit] for unit in counts["unit"].values]
    return counts.assign_coords(held_out=("unit", np.asarray(held_out)))


def split_trials(counts: xr.Dataset, *, seed: int = 0) -> tuple[xr.Dataset, xr.Dataset]:
    """Return training and evaluation trials.

    The coordinate ``split`` decides where it holds ``train`` and ``val``; else one fifth of the
    trials is drawn, within conditions where there are any. Blocks of a recording without trials
    are split in time, with a block left out between the parts.
    """
    if "split" in counts.coords and {"train", "val"} <= set(counts["split"].values.tolist()):
        names = counts["split"].values
        return counts.isel(trial=names == "train"), counts.isel(trial=names == "val")
    split = division(counts, seed)
    return counts.isel(trial=split.train), counts.isel(trial=split.test)


def division(counts: xr.Dataset, seed: int) -> Split:
    """Return one fifth of the trials as ``test``, as :func:`split_trials` draws them."""
    if "block_start" not in counts.coords:
        stratify = "condition" if "condition" in counts.coords else None
        return trial_split(
            counts, validation=0.0, test=EVALUATION_SHARE, stratify=stratify, seed=seed
        )
    begin = counts["block_start"].values
    length = counts.sizes["time"] * counts.attrs["bin_size"]
    n_stretches = int(np.clip(len(begin) // BLOCKS_PER_STRETCH, 1, 5))
    return blocked_split(
        np.column_stack([begin, begin + length]),
        validation=0.0,
        test=EVALUATION_SHARE,
        gap=length,
        n_blocks=n_stretches,
    )


def _common_window(trials: xr.Dataset) -> tuple[float, float]:
    # to the nanosecond: the difference of two times is not exact, and half a ulp costs a bin
    shortest = round(float((trials["stop"] - trials["start"]).min()), 9)
    if not shortest >= SHORTEST_WINDOW:
        raise TrialTableError(
            "the shortest trial is too short for a common window",
            found=f"{shortest} s",
            expected=f"{SHORTEST_WINDOW} s or more",
            hint="give window=(begin, end) around an event",
        )
    return 0.0, shortest
