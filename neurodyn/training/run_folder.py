"""The files of one run: its checkpoints and its history."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, TypeAlias

from lightning_fabric import Fabric

from neurodyn.errors import CheckpointError
from neurodyn.training.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint, settle
from neurodyn.training.config import TrainingConfig
from neurodyn.training.devices import own_random, random_of_all_devices
from neurodyn.training.history import History, Row, read_history
from neurodyn.training.randomness import restore_random
from neurodyn.training.state import TrainingState

__all__ = ["Resume", "RunFolder"]

_log = logging.getLogger(__name__)
Resume: TypeAlias = Literal["auto"] | bool | None


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

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint of this step, unless there is one."""
        if self.folder is None or self.saved_step == state.step:
            return
        try:
            self._write(state, self.folder)
        except CheckpointError as error:
            if self._training.on_save_error == "raise":
                raise
            _log.warning("training goes on without this checkpoint: %s", error)
            self.notes += (f"step {state.step} was not saved: {error.found}",)

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
        random = random_of_all_devices(self._fabric)
        if self._fabric.is_global_zero:
            try:
                self.history.sync()
            except OSError as error:
                raise CheckpointError(
                    "history cannot be written", where=self._history_path, found=error
                ) from error
            keep = self._training.keep_checkpoints
            save_checkpoint(folder / "state", state.capture(random), keep=keep)
        self.saved_step = state.step

    @property
    def _history_path(self) -> Path:
        return (self.folder or Path()) / "history.jsonl"
