"""Checkpoints as folders of safetensors and JSON that survive a crash at any instant.

::

    state/
        latest                     name of the newest committed checkpoint
        step-00000100/
            tensors.safetensors    weights, optimizer, averages, random states
            state.json             counters, configuration, what the checkpoint belongs to
            manifest.json          length and SHA-256 of both; written last: the commit mark

A folder without a manifest is a save that never finished and counts for nothing, unless
``latest`` names it: then a finished one was damaged.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from neurodyn.errors import CheckpointCorruptError, CheckpointError
from neurodyn.provenance import atomic_path

__all__ = [
    "Checkpoint",
    "load_checkpoint",
    "newest_checkpoint",
    "save_checkpoint",
    "settle",
]

_TENSORS, _STATE, _MANIFEST, _LATEST = (
    "tensors.safetensors",
    "state.json",
    "manifest.json",
    "latest",
)
_NAME = re.compile(r"step-(\d{8,})")
_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to continue.

    Parameters
    ----------
    step
        Updates done.
    tensors
        Named tensors on the CPU, none sharing memory with another.
    state
        Anything that JSON holds.
    """

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint, commit it, then delete all but the newest ``keep``.

    Each file is written beside its final name, read back, flushed, renamed and its folder
    flushed, so an older checkpoint stays whole until the new one is committed.

    Returns
    -------
    Path
        The folder of the checkpoint.

    Raises
    ------
    CheckpointError
        If the system refuses any part of it; what was not committed is removed.
    """
    place = folder / _name(checkpoint.step)
    files = {
        _TENSORS: safetensors.torch.save(checkpoint.tensors),
        _STATE: _encode(checkpoint.state),
    }
    manifest = {"files": {name: _entry(data) for name, data in files.items()}}
    committed = False
    try:
        _remove(place)
        place.mkdir()
        for name, data in files.items():
            _write(place / name, data)
        _write(place / _MANIFEST, _encode(manifest))
        committed = True
        _write(folder / _LATEST, place.name.encode())
    except OSError as error:
        if not committed:
            with contextlib.suppress(OSError):
                _remove(place)
        raise CheckpointError(
            f"checkpoint of step {checkpoint.step} cannot be saved",
            where=place,
            found=error,
            expected="a writable folder with enough space",
            hint="earlier checkpoints are untouched: free some space and resume",
        ) from error
    _prune(folder, keep)
    return place


def load_checkpoint(folder: Path, step: int) -> Checkpoint:
    """Read one checkpoint after checking every byte of it against its manifest.

    Raises
    ------
    CheckpointCorruptError
        If a file is missing or is not what was written.
    """
    place = folder / _name(step)
    try:
        entries = json.loads((place / _MANIFEST).read_bytes())["files"]
        data = {name: (place / name).read_bytes() for name in (_TENSORS, _STATE)}
        for name, content in data.items():
            if _entry(content) != entries[name]:
                raise _corrupt(place, f"{name} is not what its manifest says")
        tensors = safetensors.torch.load(data[_TENSORS])
        return Checkpoint(step, tensors, json.loads(data[_STATE]))
    except CheckpointCorruptError:
        raise
    except FileNotFoundError as error:
        raise _corrupt(place, f"{Path(error.filename).name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise _corrupt(place, f"{type(error).__name__}: {error}") from error


def newest_checkpoint(
    folder: Path, *, fallback: bool = False
) -> tuple[Checkpoint | None, dict[int, str]]:
    """Load the newest checkpoint of a run; nothing on disk is changed.

    Parameters
    ----------
    folder
        The run's folder of checkpoints.
    fallback
        Go back to the newest whole checkpoint when newer ones are damaged.

    Returns
    -------
    tuple
        The checkpoint, or ``None`` if there is none, and what is wrong with each of the newer
        ones by step.

    Raises
    ------
    CheckpointCorruptError
        If the newest checkpoint is damaged and ``fallback`` is not asked for, or all are.
    """
    damaged: dict[int, str] = {}
    newest: CheckpointCorruptError | None = None
    for step in sorted(_known_steps(folder, fallback), reverse=True):
        try:
            return load_checkpoint(folder, step), damaged
        except CheckpointCorruptError as error:
            if not fallback:
                raise
            newest = newest or error
            damaged[step] = str(error.found)
    if newest is not None:
        raise newest
    return None, damaged


def settle(folder: Path, step: int, damaged: Iterable[int], *, keep: int) -> None:
    """Make a loaded checkpoint the newest one and finish what a killed save left undone.

    A damaged checkpoint is kept under the name ``corrupt-step-…``, where nothing meets it again.

    Raises
    ------
    CheckpointError
        If the folder cannot be written to.
    """
    try:
        for bad in damaged:
            place, aside = folder / _name(bad), folder / f"corrupt-{_name(bad)}"
            if place.exists():
                shutil.rmtree(aside, ignore_errors=True)
                os.replace(place, aside)
        _write(folder / _LATEST, _name(step).encode())
    except OSError as error:
        raise CheckpointError("run folder cannot be used", where=folder, found=error) from error
    _prune(folder, keep)


def _known_steps(folder: Path, fallback: bool) -> set[int]:
    """Return the steps that were committed, on the word of a manifest or of ``latest``."""
    steps = _committed_steps(folder)
    latest = folder / _LATEST
    if latest.exists():
        text = latest.read_bytes().decode(errors="replace")
        if match := _NAME.fullmatch(text):
            steps.add(int(match[1]))
        elif not fallback:
            raise _corrupt(latest, f"{text[:40]!r} names no checkpoint")
    return steps


def _committed_steps(folder: Path) -> set[int]:
    return {
        int(match[1])
        for path in folder.glob("step-*")
        if (match := _NAME.fullmatch(path.name)) and (path / _MANIFEST).exists()
    }


def _prune(folder: Path, keep: int) -> None:
    """Delete old checkpoints and what killed saves left; failing to is no harm."""
    places = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    kept = {_name(step) for step in sorted(_committed_steps(folder))[-keep:]}
    with contextlib.suppress(OSError):
        for place in places:
            if place.name not in kept:
                _remove(place)
        for leftover in folder.glob("*.tmp-*"):
            leftover.unlink()


def _remove(place: Path) -> None:
    """Delete a checkpoint, its commit mark first, so that no half of it is ever loaded."""
    (place / _MANIFEST).unlink(missing_ok=True)
    if place.exists():
        shutil.rmtree(place)


def _write(path: Path, data: bytes) -> None:
    """Write a file durably and atomically; raise when it does not read back the same."""
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest[:_CHUNK_BYTES]) :]
        finally:
            os.close(descriptor)
        if _entry(temporary.read_bytes()) != _entry(data):
            raise OSError(errno.EIO, "what was written does not read back", str(path))


def _entry(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _encode(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _corrupt(place: Path, found: str) -> CheckpointCorruptError:
    return CheckpointCorruptError(
        "checkpoint is damaged",
        where=place,
        found=found,
        expected="files as they were written",
        hint="resume='auto' goes back to the newest whole checkpoint",
    )
