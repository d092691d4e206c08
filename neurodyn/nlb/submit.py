"""Check and write submissions. Nothing is uploaded: the public board is closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from neurodyn.errors import DataError, NeurodynError, SchemaError, suggest
from neurodyn.metrics.spikes import check_scale
from neurodyn.nlb.arrays import Array, Tensors
from neurodyn.nlb.files import write_groups
from neurodyn.nlb.tasks import TASKS, Task

__all__ = ["check_submission", "submission_faults", "write_submission"]

KNOWN = tuple(
    f"{prefix}_rates_{group}{suffix}"
    for prefix, suffix in (("train", ""), ("eval", ""), ("eval", "_forward"))
    for group in ("heldin", "heldout")
)


def write_submission(
    path: str | Path,
    submission: Mapping[str, Mapping[str, Array]],
    tensors: Sequence[Tensors] = (),
    *,
    overwrite: bool = False,
) -> Path:
    """Check a submission and write it as HDF5 (float32, gzip), atomically.

    Parameters
    ----------
    path
        File to write.
    submission
        Expected counts per bin by group (``"mc_maze_20"``) and name
        (``"eval_rates_heldout"``).
    tensors
        The tensors predicted from; they fix the numbers of trials and units.
    overwrite
        Replace an existing file.

    Raises
    ------
    SchemaError
        Naming all faults.
    FileError
        If the file exists.
    """
    check_submission(submission, tensors)
    return write_groups(path, submission, overwrite=overwrite)


def check_submission(
    submission: Mapping[str, Mapping[str, Array]], tensors: Sequence[Tensors] = ()
) -> None:
    """Raise if a submission cannot be scored.

    Parameters
    ----------
    submission, tensors
        As in :func:`write_submission`. Without tensors of a group its numbers of units are
        those declared by the task and its numbers of trials are taken as they are.

    Raises
    ------
    SchemaError
        Naming all faults: unknown groups and names, missing arrays, shapes, NaN, negative
        values, rates in spikes/s.
    """
    faults = [] if submission else ["it holds no group"]
    for name, rates in submission.items():
        if name not in TASKS:
            faults.append(f"{name}: no such task ({suggest(name, TASKS)})")
            continue
        own = [item for item in tensors if item.task.name == name]
        task = own[0].task if own else TASKS[name]
        n_trials = {item.prefix: len(item.trial) for item in own}
        found = submission_faults(task, rates, n_trials) + _value_faults(rates)
        faults += [f"{name}: {fault}" for fault in found + _scale_faults(rates, own)]
    if faults:
        raise SchemaError(
            f"{len(faults)} fault{'s' * (len(faults) > 1)} in the submission",
            found="\n    - " + "\n    - ".join(faults),
            expected="expected counts per bin for every trial, bin and unit",
        )


def submission_faults(
    task: Task,
    rates: Mapping[str, Array],
    n_trials: Mapping[str, int],
    *,
    held_in_known: bool = True,
) -> list[str]:
    """List missing, unknown and misshapen arrays of one group.

    Parameters
    ----------
    task
        Gives bins and units.
    rates
        Arrays by name.
    n_trials
        Number of trials for ``"train"`` and ``"eval"``, where known.
    held_in_known
        Also check the number of held-in units.
    """
    needed = ["eval_rates_heldout", "eval_rates_heldin"]
    if task.behavior is not None:
        needed += ["train_rates_heldin", "train_rates_heldout"]
    if any(name.endswith("_forward") for name in rates):
        needed += ["eval_rates_heldin_forward", "eval_rates_heldout_forward"]
    faults = [f"{name} is missing" for name in needed if name not in rates]
    for name, array in rates.items():
        if name not in KNOWN:
            faults.append(f"{name} is unknown ({suggest(name, KNOWN)})")
            continue
        prefix, _, group, *ahead = name.split("_")
        n_units = task.n_held_out if group == "heldout" else task.n_held_in
        if np.ndim(array) == 3 and group == "heldin" and not held_in_known:
            n_units = np.shape(array)[2]
        own = np.shape(array)[0] if np.ndim(array) else 0
        expected = (n_trials.get(prefix, own), task.n_forward if ahead else task.n_time, n_units)
        if np.shape(array) != expected:
            faults.append(f"{name} has shape {np.shape(array)}, expected {expected}")
    return faults


def _value_faults(rates: Mapping[str, Array]) -> list[str]:
    faults = []
    for name, array in rates.items():
        values = np.asarray(array)
        bad = int((~np.isfinite(values)).sum())
        if bad:
            faults.append(f"{name} holds {bad} values that are NaN or infinite")
        if (values < 0).any():
            faults.append(f"{name} holds negative values; give counts, not their logarithm")
    return faults


def _scale_faults(rates: Mapping[str, Array], tensors: Sequence[Tensors]) -> list[str]:
    """Compare the held-in rates with the held-in spikes that they were predicted from."""
    faults = []
    for item in tensors:
        name, spikes = f"{item.prefix}_rates_heldin", f"{item.prefix}_spikes_heldin"
        if name in rates and spikes in item.arrays:
            try:
                check_scale(rates[name], item.arrays[spikes], item.task.bin_size)
            except DataError as error:
                faults.append(f"{name}: {_first_line(error)}")
    return faults


def _first_line(error: NeurodynError) -> str:
    return f"{error.what}: {error.found}"
