"""Spikes with what goes with them, from a file or by the name of a data set, and their parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import datasets, io
from neurodyn import recording as rec
from neurodyn.errors import NeurodynError
from neurodyn.io.faults import OnBad
from neurodyn.models.neuroformer.config import NeuroformerConfig
from neurodyn.models.neuroformer.recordings import token_windows
from neurodyn.transforms.restriction import restrict
from neurodyn.windows.splits import trial_split
from neurodyn.windows.time_folds import blocked_holdout, observed_time

__all__ = ["Parts", "SpikeData", "held_out_part", "open_spikes", "reason", "trials_of"]

SPLIT = ("train", "val")
HELD_OUT_SHARE = 0.2
MOST_BLOCKS = 5
READS_PER_BLOCK = 20
"""A held-out block is at least so many times as long as what a window reads and predicts."""


@dataclass(frozen=True)
class SpikeData:
    """A recording of spikes, the truth about it if it was simulated, and what was done."""

    recording: xr.DataTree
    truth: xr.Dataset | None = None
    notes: tuple[str, ...] = ()


class Parts(NamedTuple):
    """A training part, a held-out part, and how they were made, in a sentence."""

    train: xr.DataTree
    held_out: xr.DataTree
    said: str


def open_spikes(source: str | Path, *, on_bad: OnBad = "raise") -> SpikeData:
    """Open a recording of spikes.

    Parameters
    ----------
    source
        A file of any format that has spikes; or the name of a data set, which is simulated or
        read, never downloaded. The truth about a simulated file is looked for beside it, at
        :func:`neurodyn.datasets.truth_path`.
    on_bad
        What to do about faults of a file: ``"raise"``, ``"fix"``, ``"drop"`` or ``"warn"``.

    Raises
    ------
    FileError, DataError
        As opening does; if there are no spikes.
    ConfigError
        For a word that is neither a file nor a data set.

    Examples
    --------
    >>> open_spikes("grasshopper").recording["spikes"].sizes["unit"]
    1
    """
    name = str(source)
    truth: xr.Dataset | None = None
    if not Path(source).exists() and name.isidentifier():
        if datasets.dataset_info(name).kind == "simulated":
            recording, truth = datasets.simulate(name)
        else:
            recording = datasets.load_dataset(name)
    else:
        recording = io.load(source, on_bad=on_bad)
        beside = datasets.truth_path(source)
        truth = rec.load(beside) if beside.is_file() else None
    rec.pick(recording, "spikes")
    return SpikeData(recording, truth)


def held_out_part(recording: xr.DataTree, config: NeuroformerConfig, *, seed: int = 0) -> Parts:
    """Return training and held-out parts of a recording, further apart than windows read.

    Trials whose column ``split`` holds ``train`` and ``val`` are divided by it, and what lies
    between trials is not used. Else, where windows lie in trials, a fifth of them is drawn, alike
    of every stimulus or condition. Else blocks of time are held out, a fifth in all, with a gap.

    Parameters
    ----------
    recording
        Spikes and what the settings read; other kinds of data are left out of the parts.
    config
        Settings of the model.
    seed
        Of trials that are drawn.

    Raises
    ------
    DataError, EmptySelectionError
        If there are too few data, or not what the settings read.

    Examples
    --------
    >>> spikes = rec.spikes_from_units({"a": [0.5]}, observed=[[0.0, 100.0]])
    >>> parts = held_out_part(rec.recording([spikes]), NeuroformerConfig())
    >>> observed_time(parts.held_out).round(2).tolist()[0]
    [16.0, 20.0]
    """
    recording = _used(recording, config)
    trials = trials_of(recording)
    if trials is not None and "split" in trials:
        names = trials["split"].values
        if {*SPLIT} <= set(names.tolist()):
            train, test = (_in_trials(recording, trials, names == name) for name in SPLIT)
            return Parts(train, test, "The trials are divided as their column split says.")
    if trials is not None and config.stretches == "trials":
        column = next((name for name in ("stimulus", "condition") if name in trials), None)
        split = trial_split(trials, validation=HELD_OUT_SHARE, stratify=column, seed=seed)
        train = _in_trials(recording, trials, split.train)
        test = _in_trials(recording, trials, split.validation)
        said = f"A fifth of the trials was drawn with seed {seed} and held out."
        return Parts(train, test, said)
    windows = token_windows(recording, config)
    gap = windows.reach * config.bin_size
    held = HELD_OUT_SHARE * float(np.diff(observed_time(recording)).sum())
    n_blocks = int(np.clip(held / (READS_PER_BLOCK * (gap + config.window)), 1, MOST_BLOCKS))
    train, test = blocked_holdout(recording, validation=HELD_OUT_SHARE, gap=gap, n_blocks=n_blocks)
    blocks = "a block" if n_blocks == 1 else f"{n_blocks} blocks"
    said = f"A fifth of the time was held out, in {blocks} with gaps of {gap:g} s."
    return Parts(train, test, said)


def trials_of(recording: xr.DataTree) -> xr.Dataset | None:
    """Return the table of trials, the one called ``trials`` of several, or None.

    Examples
    --------
    >>> trials_of(rec.recording([rec.trials([0.0], [1.0])])).sizes["trial"]
    1
    """
    tables = rec.pick_all(recording, "trials")
    found = next(iter(tables.values())) if len(tables) == 1 else tables.get("trials")
    return found if found is not None and found.sizes["trial"] else None


def reason(error: NeurodynError) -> str:
    """Say in half a sentence why something cannot be had.

    Examples
    --------
    >>> reason(NeurodynError("too few bins", found=1))
    'too few bins (1)'
    """
    return error.what if error.found is None else f"{error.what} ({error.found})"


def _used(recording: xr.DataTree, config: NeuroformerConfig) -> xr.DataTree:
    """Return a recording without series that are not read: they may lie elsewhere in time."""
    kept = {
        "spikes": True,
        "trials": True,
        "signal": config.stimulus is not None,
        "behavior": bool(config.behavior or config.targets),
    }
    return recording.drop_nodes([kind for kind in recording.children if not kept.get(kind)])


def _in_trials(
    recording: xr.DataTree, trials: xr.Dataset, chosen: NDArray[np.generic]
) -> xr.DataTree:
    own = trials.isel(trial=chosen)
    return restrict(recording, np.column_stack([own["start"].values, own["stop"].values]))
