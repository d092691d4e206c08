"""Read and write the HDF5 files of the benchmark, and those laid out for lfads-torch.

Submission and target files hold one group per task; input files hold arrays at the root, here
under the group name ``""``. All are opened through :func:`neurodyn.io.hdf5.open_hdf5`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurodyn.errors import DataError, FileError, UnsupportedFormatError
from neurodyn.io.hdf5 import open_hdf5, read_array
from neurodyn.nlb.arrays import Array, Role, Tensors
from neurodyn.nlb.tasks import Task
from neurodyn.provenance import atomic_path

__all__ = ["read_groups", "read_tensors", "write_groups"]

Groups = Mapping[str, Mapping[str, Array]]
ROLES: tuple[Role, ...] = ("training", "evaluation", "target")
INPUTS = ("spikes_heldin", "spikes_heldout", "spikes_heldin_forward", "spikes_heldout_forward")


def read_groups(path: str | Path) -> dict[str, dict[str, Array]]:
    """Read all numbers of a file as ``{group: {name: array}}``.

    Parameters
    ----------
    path
        A submission, target or input file; ragged arrays come as objects.

    Raises
    ------
    CorruptFileError, UnsafeFileError, SizeBudgetError
        If the file is damaged, reaches outside itself or is too large.
    UnsupportedFormatError
        If it is nested deeper than the benchmark's files or holds something else than numbers.
    """
    groups: dict[str, dict[str, Array]] = {}
    with open_hdf5(path) as file:
        for name, item in file.items():
            if isinstance(item, h5py.Dataset):
                groups.setdefault("", {})[name] = _numbers(item)
            else:
                groups[name] = {key: _numbers(dataset) for key, dataset in item.items()}
    return groups


def write_groups(path: str | Path, groups: Groups, *, overwrite: bool = False) -> Path:
    """Write ``{group: {name: array}}`` as the benchmark does, atomically.

    Floats become float32, integers int32, ragged integers a variable-length type; all gzip.

    Parameters
    ----------
    path
        File to write.
    groups
        Arrays by group and name; the group ``""`` is the root.
    overwrite
        Replace an existing file.

    Raises
    ------
    FileError
        If the file exists and is not to be replaced.
    DataError
        If an array holds something else than numbers.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_groups(f"{folder}/a.h5", {"mc_rtt": {"eval_rates_heldin": np.ones(2)}})
    ...     read_groups(path)["mc_rtt"]["eval_rates_heldin"]
    array([1., 1.], dtype=float32)
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileError("file exists", where=path, hint="overwrite=True replaces it")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for group, arrays in groups.items():
            node = file.require_group(group) if group else file
            for name, array in arrays.items():
                values = np.asarray(array)
                node.create_dataset(name, data=values, dtype=_stored(values), compression="gzip")
    return path


def read_tensors(path: str | Path, task: Task) -> dict[Role, Tensors]:
    """Read the tensors of a task by role from an input, target or lfads-torch file.

    Trials and units are numbered, as such files do not name them.

    Parameters
    ----------
    path
        An input file (``train_spikes_heldin``, ``eval_spikes_heldin``, …), a target file, or a
        file for lfads-torch (``train_encod_data``, ``valid_recon_data``, …), whose ``valid``
        trials become evaluation and targets.
    task
        Gives bins; numbers of units are taken from the file.

    Raises
    ------
    UnsupportedFormatError
        If nothing in the file belongs to the task.
    SchemaError
        If arrays do not fit together.
    """
    groups = read_groups(path)
    root = groups.get("", {})
    if "train_encod_data" in root:
        return _by_role(_from_lfads(root, task, path), {}, task)
    found = _by_role(root, groups.get(task.name, {}), task)
    if not found:
        raise UnsupportedFormatError(
            f"the file has nothing for {task.name}",
            where=path,
            found=", ".join(sorted({*root, *groups} - {""})) or "nothing",
            expected=f"a group {task.name!r}, or arrays such as train_spikes_heldin",
        )
    return found


def _numbers(dataset: Any) -> Array:
    if not isinstance(dataset, h5py.Dataset):
        raise UnsupportedFormatError("groups inside groups", where=dataset.name)
    ragged = h5py.check_vlen_dtype(dataset.dtype)
    if np.dtype(ragged or dataset.dtype).kind not in "biuf":
        raise UnsupportedFormatError(
            "not numbers", where=dataset.name, found=dataset.dtype, expected="numbers"
        )
    return read_array(dataset)


def _stored(values: Array) -> Any:
    if values.dtype.kind not in "biufO" or not all(
        np.asarray(item).dtype.kind in "iu" for item in values.flat if values.dtype == object
    ):
        raise DataError("only numbers and ragged integers can be written", found=values.dtype)
    if values.dtype == object:
        return h5py.vlen_dtype(np.dtype(np.int32))
    return {"f": np.float32, "i": np.int32, "u": np.int32}.get(values.dtype.kind, values.dtype)


def _from_lfads(root: Mapping[str, Array], task: Task, path: str | Path) -> dict[str, Array]:
    """Translate to the benchmark's names; recon arrays hold all units and the forward bins."""
    arrays: dict[str, Array] = {}
    for theirs, ours in (("train", "train"), ("valid", "eval")):
        seen, whole = root.get(f"{theirs}_encod_data"), root.get(f"{theirs}_recon_data")
        if seen is None or whole is None:
            raise UnsupportedFormatError(
                f"{theirs}_encod_data and {theirs}_recon_data belong together", where=path
            )
        n_time, n_held_in = seen.shape[1:]
        arrays[f"{ours}_spikes_heldin"] = seen
        arrays[f"{ours}_spikes_heldout"] = whole[:, :n_time, n_held_in:]
        if whole.shape[1] > n_time:
            arrays[f"{ours}_spikes_heldin_forward"] = whole[:, n_time:, :n_held_in]
            arrays[f"{ours}_spikes_heldout_forward"] = whole[:, n_time:, n_held_in:]
        for name in ("behavior", "cond_idx", "decode_mask", "jitter"):
            if f"{theirs}_{name}" in root:
                arrays[f"{ours}_{name}"] = root[f"{theirs}_{name}"]
    if "psth" in root:
        arrays["psth"] = root["psth"]
    return arrays


def _by_role(
    root: Mapping[str, Array], group: Mapping[str, Array], task: Task
) -> dict[Role, Tensors]:
    """Sort arrays into the roles that they have."""
    training = {
        n: a for n, a in root.items() if n[6:] in (*INPUTS, "behavior") and n[:6] == "train_"
    }
    evaluation = {
        n: a for n, a in root.items() if n in ("eval_spikes_heldin", "eval_spikes_heldout")
    }
    target = dict(group)
    if "eval_behavior" in root:
        kept = {n: a for n, a in root.items() if n[:5] == "eval_" or n == "psth"}
        shared = {n: a for n, a in root.items() if n[:6] == "train_" and n[6:] not in INPUTS}
        target = {n: a for n, a in {**kept, **shared}.items() if n != "eval_spikes_heldin"}
    found: dict[Role, Tensors] = {}
    for role, arrays in zip(ROLES, (training, evaluation, target)):
        if arrays:
            found[role] = _numbered(task, role, arrays)
    return found


def _numbered(task: Task, role: Role, arrays: dict[str, Array]) -> Tensors:
    prefix = "train" if role == "training" else "eval"
    spikes = {name: array for name, array in arrays.items() if name.startswith(f"{prefix}_spikes")}
    n_trials = len(next(iter(spikes.values()))) if spikes else 0
    n_held_in, n_held_out = (
        next((array.shape[-1] for name, array in spikes.items() if group in name), 0)
        for group in ("_heldin", "_heldout")
    )
    if not n_held_out and role == "evaluation":
        n_held_out = task.n_held_out
    units = tuple(map(str, range(n_held_in + n_held_out)))
    return Tensors(
        task=replace(task, n_held_in=n_held_in, n_held_out=n_held_out),
        role=role,
        arrays=arrays,
        trial=np.arange(n_trials),
        held_in=units[:n_held_in],
        held_out=units[n_held_in:],
    )
