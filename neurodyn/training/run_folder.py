"""The files of one run: its checkpoints and its history; pauses, and runs that fork off."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lightning_fabric import Fabric

from neurodyn.errors import CheckpointError
from neurodyn.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
    settle,
)
from neurodyn.training.config import TrainingConfig
from neurodyn.training.devices import own_random, random_of_all_devices
from neurodyn.training.history import History, Row, read_history
from neurodyn.training.randomness import restore_random
from neurodyn.training.state import TrainingState, under_other_settings

__all__ = ["Resume", "RunFolder", "TrainingPaused", "fork", "paused_at"]

_log = logging.getLogger(__name__)
Resume: TypeAlias = Literal["auto"] | bool | None
_pause: ContextVar[int | None] = ContextVar("pause", default=None)


class TrainingPaused(Exception):
    """Training stopped where :func:`paused_at` says; its checkpoint is on disk."""


@contextlib.contextmanager
def paused_at(step: int) -> Iterator[None]:
    """Stop the training in this block at its first checkpoint from a step on.

    Training raises :class:`TrainingPaused`, unless it is done; resumed, it ends as if it had
    never paused. Runs without a folder have no checkpoints and do not pause.

    Parameters
    ----------
    step
        Updates after which to stop, best a multiple of ``checkpoint_every``.

    Examples
    --------
    >>> with paused_at(100):
    ...     pass
    """
    token = _pause.set(step)
    try:
        yield
    finally:
        _pause.reset(token)


def fork(
    donor: Path, folder: Path, step: int, training: TrainingConfig, config: Any = None
) -> None:
    """Begin a run with a checkpoint of another one, to be resumed under other settings.

    Weights, optimizer, best weights, random states, position in the data and history are the
    donor's. The new folder appears whole or not at all.

    Parameters
    ----------
    donor, step
        Folder of a run, and the step of one of its checkpoints.
    folder
        Of the new run; there is none yet.
    training
        Settings of the new run; batch size and seed are the donor's.
    config
        Settings of its network, a dataclass, if networks of this kind have any.

    Raises
    ------
    CheckpointCorruptError
        If there is no such checkpoint, or it is damaged.
    CheckpointError
        If the folder exists or cannot be written.
    """
    if folder.exists():
        raise CheckpointError("folder holds a run already", where=folder)
    checkpoint = load_checkpoint(donor / "state", step)
    fresh = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    try:
        (fresh / "state").mkdir(parents=True)
        shutil.copyfile(donor / "history.jsonl", fresh / "history.jsonl")
        changed = under_other_settings(checkpoint, training, config)
        save_checkpoint(fresh / "state", changed, keep=1)
        os.replace(fresh, folder)
    except OSError as error:
        raise CheckpointError("cannot fork a run", where=folder, found=error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


class RunFolder:
    """Where a run is kept; without a folder only its history is, in memory.

    With several devices all of them read, and the first one writes.

    Parameters
    ----------
    folder
        Exists and is held by this process.
    training
        How many checkpoints to keep and what to do when one cannot be written.
    fabric
        The devices.
    """

    def __init__(self, folder: Path | None, training: TrainingConfig, fabric: Fabric) -> None:
        self.folder, self._training, self._fabric = folder, training, fabric
        self.history = History(None)
        self.notes: tuple[str, ...] = ()
        self.resumed_from: int | None = None
        self.saved_step: int | None = None

    def begin(self, state: TrainingState, resume: Resume) -> None:
        """Bring ``state`` to the newest checkpoint, or save its start as the first one.

        That first save finds out an unusable folder before any training.

        Raises
        ------
        CheckpointError
            If the folder is unusable, holds a run that is not to be resumed, or none that is.
        """
        if self.folder is None:
            return
        checkpoint = self._find(self.folder / "state", resume)
        rows: list[Row] = []
        if checkpoint is not None:
            random = state.restore(checkpoint)
            restore_random(own_random(self._fabric, random), self._fabric.device)
            self.resumed_from = self.saved_step = state.step
            rows = self._rows_until(state.step)
        for note in self.notes:
            _log.warning(note)
        if self._fabric.is_global_zero:
            self._open(self.folder, rows)
        if checkpoint is None:
            self._write(state, self.folder)
        self._pause_if_asked(state.step)

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint of this step, unless there is one.

        Raises
        ------
        CheckpointError
            If it cannot be written and the settings do not say to go on.
        TrainingPaused
            If this is where :func:`paused_at` says.
        """
        if self.folder is None:
            return
        if self.saved_step != state.step:
            self._save(state, self.folder)
        self._pause_if_asked(state.step)

    def _save(self, state: TrainingState, folder: Path) -> None:
        try:
            self._write(state, folder)
        except CheckpointError as error:
            if self._training.on_save_error == "raise":
                raise
            _log.warning("training goes on without this checkpoint: %s", error)
            self.notes += (f"step {state.step} was not saved: {error.found}",)

    def _pause_if_asked(self, step: int) -> None:
        pause = _pause.get()
        if pause is not None and pause <= step < self._training.n_steps:
            raise TrainingPaused(f"paused after step {step}; {self.describe()}")

    def close(self) -> None:
        """Close the history file."""
        self.history.close()

    def describe(self) -> str:
        """Say what is on disk."""
        if self.folder is None:
            return "nothing is saved, because the run has no folder"
        return f"the checkpoint of step {self.saved_step} is in {self.folder}"

    def _find(self, states: Path, resume: Resume) -> Checkpoint | None:
        if not resume and (states.exists() or self._history_path.exists()):
            raise CheckpointError(
                "folder holds a run already",
                where=self.folder,
                hint="resume=True continues it; another folder starts a new one",
            )
        # The first device puts damaged checkpoints aside; only then may the others look.
        self._fabric.barrier()
        checkpoint = None
        if self._fabric.is_global_zero:
            checkpoint, damaged = newest_checkpoint(states, fallback=resume == "auto")
            if checkpoint is not None:
                keep = self._training.keep_checkpoints
                settle(states, checkpoint.step, damaged, keep=keep)
                self.notes = tuple(
                    f"checkpoint of step {bad} is damaged ({why}): "
                    f"went back to step {checkpoint.step}"
                    for bad, why in damaged.items()
                )
        self._fabric.barrier()
        if not self._fabric.is_global_zero:
            checkpoint, _ = newest_checkpoint(states)
        if resume is True and checkpoint is None:
            raise CheckpointError(
                "there is no checkpoint to resume from",
                where=states,
                hint="resume='auto' starts when there is none",
            )
        return checkpoint

    def _rows_until(self, step: int) -> list[Row]:
        if not self._history_path.exists():
            return []
        return [row for row in read_history(self._history_path) if row["step"] <= step]

    def _open(self, folder: Path, rows: list[Row]) -> None:
        try:
            (folder / "state").mkdir(exist_ok=True)
            for leftover in folder.glob(f"{self._history_path.name}.tmp-*"):
                leftover.unlink()
            self.history = History(self._history_path, rows)
        except OSError as error:
            raise CheckpointError(
                "run folder cannot be used", where=folder, found=error, expected="a writable folder"
            ) from error

    def _write(self, state: TrainingState, folder: Path) -> None:
        checkpoint = state.capture(random_of_all_devices(self._fabric))
        if self._fabric.is_global_zero:
            try:
                self.history.sync()
            except OSError as error:
                raise CheckpointError(
                    "history cannot be written", where=self._history_path, found=error
                ) from error
            keep = self._training.keep_checkpoints
            save_checkpoint(folder / "state", checkpoint, keep=keep)
        self.saved_step = state.step

    @property
    def _history_path(self) -> Path:
        return (self.folder or Path()) / "history.jsonl"
