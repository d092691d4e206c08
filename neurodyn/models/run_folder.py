"""A run folder: settings, weights, history and results, and a manifest that is written last.

``manifest.json`` carries the SHA-256 of every other file; a folder without it is incomplete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import CheckpointCorruptError, CheckpointMismatchError
from neurodyn.provenance import atomic_path, file_digest, now, versions, write_json

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Run", "begin", "commit", "read", "record", "replace_finished", "write_arrays"]

FORMAT = 1
CONFIG, WEIGHTS, HISTORY = "config.toml", "model.safetensors", "history.jsonl"
STATE = "state"
RESULTS, METRICS, MANIFEST = "results.nc", "metrics.json", "manifest.json"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """A verified run folder: its manifest, the learned arrays and the text kept with them."""

    folder: Path
    manifest: dict[str, Any]
    arrays: Arrays
    metadata: dict[str, str]


def begin(folder: str | Path) -> Path:
    """Make a folder ready to be written: create it and take its commit mark away."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    return folder


def replace_finished(folder: str | Path) -> None:
    """Make way for a new run where a finished one lies; an unfinished one is left as it is."""
    folder = Path(folder)
    if (folder / MANIFEST).is_file():
        begin(folder)
        shutil.rmtree(folder / STATE, ignore_errors=True)
        (folder / HISTORY).unlink(missing_ok=True)


def write_arrays(folder: Path, arrays: Mapping[str, NDArray[Any]], **metadata: str) -> None:
    """Write learned arrays and some text beside them to ``model.safetensors``, atomically."""
    from safetensors.numpy import save_file

    ready = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(ready, temporary, metadata=metadata)


def commit(folder: str | Path, **info: Any) -> None:
    """Write the manifest: versions, the hash of every file and ``info``.

    What an earlier manifest of the folder said stays unless ``info`` replaces it.
    """
    folder = Path(folder)
    manifest = folder / MANIFEST
    earlier = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    files = {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != manifest and ".tmp-" not in path.name
    }
    fresh = {"format": FORMAT, "written": now(), "versions": versions(), "files": files}
    write_json(manifest, {**earlier, **fresh, **info})


def record(
    folder: str | Path,
    *,
    results: xr.Dataset | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Add results or metrics to a finished run and commit it again.

    Parameters
    ----------
    folder
        A run folder with a manifest.
    results
        Written to ``results.nc``.
    metrics
        Written to ``metrics.json``.

    Raises
    ------
    CheckpointCorruptError
        If the folder is incomplete or damaged.
    """
    from neurodyn.recording import save

    folder = Path(folder)
    read_manifest(folder)
    if results is not None:
        save(results, folder / RESULTS)
    if metrics is not None:
        write_json(folder / METRICS, metrics)
    commit(folder)


def read(folder: str | Path) -> Run:
    """Verify a run folder and read its learned arrays.

    Raises
    ------
    CheckpointCorruptError
        If there is no manifest, a file is missing or a hash disagrees.
    CheckpointMismatchError
        If a later version of the format wrote it.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(folder)
    manifest = read_manifest(folder)
    try:
        with safe_open(folder / WEIGHTS, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise CheckpointCorruptError(
            "cannot read the weights of a run", where=folder / WEIGHTS, found=error
        ) from error
    return Run(folder, manifest, arrays, metadata)


def read_manifest(folder: Path, *, replaced: str | None = None) -> dict[str, Any]:
    """Return the manifest of a run folder after checking every file that it names.

    Parameters
    ----------
    folder
        The run folder.
    replaced
        A file that is about to be written again, and so need not be there.

    Raises
    ------
    CheckpointCorruptError, CheckpointMismatchError
        As :func:`read`.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointCorruptError(
            "not a complete run folder",
            where=folder,
            expected=f"a {MANIFEST}, which is written last",
            hint="fit again with the same folder and resume=True",
        )
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        found, files = int(manifest["format"]), dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointCorruptError("cannot read a manifest", where=path, found=error) from error
    if found > FORMAT:
        raise CheckpointMismatchError(
            "run folder was written by a later neurodyn",
            where=folder,
            found=f"format {found}",
            expected=f"format {FORMAT} or less",
            hint="pip install --upgrade neurodyn",
        )
    damaged = [
        name
        for name, digest in files.items()
        if name != replaced and not _intact(folder / name, digest)
    ]
    if damaged:
        raise CheckpointCorruptError(
            "files of a run are missing or changed since they were written",
            where=folder,
            found=", ".join(damaged),
            expected=f"the files that {MANIFEST} names",
            hint="if a run was being continued here, finish it with resume=True",
        )
    return manifest


def _intact(path: Path, digest: str) -> bool:
    return path.is_file() and file_digest(path) == digest
