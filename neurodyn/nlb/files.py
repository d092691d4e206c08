"""Read and write the HDF5 files of the benchmark, and those laid out for lfads-torch.

Submission and target files hold one group per task; input files hold arrays at the root, here
under the group name ``""``. All are opened through :func:`neurodyn.io.hdf5.open_hdf5`.
Files that :func:`write_tensors` made also carry the ids of trials and units, as HDF5 attributes,
which other readers of these layouts pass over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

__all__ = ["read_groups", "read_tensors", "write_groups", "write_tensors"]

Groups = Mapping[str, Mapping[str, Array]]
LABELS = ("trial", "held_in", "held_out", "split")
Labels = dict[str, list[Any]]
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


def write_groups(
    path: str | Path,
    groups: Groups,
    *,
    labels: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ``{group: {name: array}}`` as the benchmark does, atomically.

    Floats become float32, integers int32, ragged integers a variable-length type; all gzip.

    Parameters
    ----------
    path
        File to write.
    groups
        Arrays by group and name; the group ``""`` is the root.
    labels
        HDF5 attributes of each group.
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
            node.attrs.update((labels or {}).get(group, {}))
    return path


def write_tensors(path: str | Path, tensors: Sequence[Tensors], *, overwrite: bool = False) -> Path:
    """Write the tensors of one task with the ids of their trials and units.

    Training and evaluation tensors go to the root and targets to the group of the task, as
    nlb_tools has it.

    Parameters
    ----------
    path
        File to write.
    tensors
        Of different roles.
    overwrite
        Replace an existing file.

    Raises
    ------
    FileError, DataError
        As :func:`write_groups`.
    """
    groups: dict[str, dict[str, Array]] = {}
    labels: dict[str, dict[str, Sequence[Any]]] = {}
    for item in tensors:
        group = item.task.name if item.role == "target" else ""
        groups.setdefault(group, {}).update(item.arrays)
        own = {f"{item.role}_{name}": list(getattr(item, name)) for name in LABELS}
        labels.setdefault(group, {}).update({name: ids for name, ids in own.items() if ids})
    return write_groups(path, groups, labels=labels, overwrite=overwrite)


def read_tensors(path: str | Path, task: Task) -> dict[Role, Tensors]:
    """Read the tensors of a task by role from an input, target or lfads-torch file.

    Trials and units are numbered where the file does not name them.

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
    root, group = groups.get("", {}), groups.get(task.name, {})
    if "train_encod_data" in root:
        root = _from_lfads(root, task, path)
    labels = _read_labels(path, task)
    arrays = _by_role(root, group)
    if not arrays:
        raise UnsupportedFormatError(
            f"the file has nothing for {task.name}",
            where=path,
            found=", ".join(sorted({*root, *groups} - {""})) or "nothing",
            expected=f"a group {task.name!r}, or arrays such as train_spikes_heldin",
        )
    return {role: _labelled(task, role, own, labels) for role, own in arrays.items()}


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


def _by_role(root: Mapping[str, Array], group: Mapping[str, Array]) -> dict[Role, dict[str, Array]]:
    """Sort arrays into the roles that they have; what the root holds are inputs first."""
    both = {**group, **root}
    found: dict[Role, dict[str, Array]] = {}
    if "train_spikes_heldin" in both:
        inputs = {f"train_{name}" for name in (*INPUTS, "behavior")}
        found["training"] = {n: a for n, a in both.items() if n in inputs}
    if "eval_spikes_heldin" in both:
        inputs = {"eval_spikes_heldin", "eval_spikes_heldout"}
        found["evaluation"] = {n: a for n, a in both.items() if n in inputs}
    source = group if "eval_behavior" in group else root
    if "eval_behavior" in source:
        inputs = {"eval_spikes_heldin", *(f"train_{name}" for name in INPUTS)}
        found["target"] = {n: a for n, a in source.items() if n not in inputs}
    return found


def _read_labels(path: str | Path, task: Task) -> Labels:
    with open_hdf5(path) as file:
        nodes = [file, *([file[task.name]] if task.name in file else [])]
        found = {name: np.asarray(v).tolist() for node in nodes for name, v in node.attrs.items()}
    return {name: ids for name, ids in found.items() if isinstance(ids, list)}


def _labelled(task: Task, role: Role, arrays: dict[str, Array], labels: Labels) -> Tensors:
    prefix = "train" if role == "training" else "eval"
    spikes = {name: array for name, array in arrays.items() if name.startswith(f"{prefix}_spikes")}
    n_trials = len(next(iter(spikes.values()))) if spikes else 0
    n_held_in, n_held_out = (
        next((array.shape[-1] for name, array in spikes.items() if group in name), 0)
        for group in ("_heldin", "_heldout")
    )
    if not n_held_out and role == "evaluation":
        n_held_out = task.n_held_out
    numbers = [str(number) for number in range(n_held_in + n_held_out)]
    held_in = tuple(labels.get(f"{role}_held_in", numbers[:n_held_in]))
    held_out = tuple(labels.get(f"{role}_held_out", numbers[n_held_in:]))
    return Tensors(
        task=replace(task, n_held_in=len(held_in), n_held_out=len(held_out)),
        role=role,
        arrays=arrays,
        trial=np.asarray(labels.get(f"{role}_trial", range(n_trials)), dtype=np.int64),
        held_in=held_in,
        held_out=held_out,
        split=tuple(labels.get(f"{role}_split", ())),
    )
