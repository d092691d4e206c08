"""Tensors of a benchmark task: named arrays, what they are labelled with and what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import SchemaError, one_of
from neurodyn.nlb.tasks import Task

__all__ = ["Array", "Role", "Tensors"]

Array = NDArray[Any]
Role = Literal["training", "evaluation", "target"]
ROLES = ("training", "evaluation", "target")


@dataclass(frozen=True)
class Tensors:
    """Arrays of one task under the benchmark's names, read-only.

    Attributes
    ----------
    task
        The task they were made for.
    role
        ``training`` (models may fit them), ``evaluation`` (models may only predict from them) or
        ``target`` (only scores may see them).
    arrays
        Such as ``train_spikes_heldin`` ``(trial, time, unit)``: spikes per bin, NaN where
        nothing was observed.
    trial
        Ids of the trials along the first dim (of the evaluated trials in targets).
    held_in, held_out
        Ids of the units along the last dims.

    Raises
    ------
    SchemaError
        If arrays and labels do not fit together; names all faults.
    """

    task: Task
    role: Role
    arrays: Mapping[str, Array]
    trial: NDArray[np.int64]
    held_in: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    split: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        one_of("role", self.role, ROLES)
        faults = list(self._faults())
        if faults:
            raise SchemaError(
                "tensors and their labels do not fit", where=self.task.name, found="; ".join(faults)
            )
        views = {name: np.asarray(array).view() for name, array in self.arrays.items()}
        for view in views.values():
            view.flags.writeable = False
        object.__setattr__(self, "arrays", MappingProxyType(views))

    @property
    def prefix(self) -> str:
        """First part of the names of per-trial arrays: ``train`` or ``eval``."""
        return "train" if self.role == "training" else "eval"

    def groups(self) -> dict[str, dict[str, Array]]:
        """Return the arrays under the name of the task, as target and submission files have it."""
        return {self.task.name: dict(self.arrays)}

    def _faults(self) -> list[str]:
        sizes = {"_heldin": self.held_in, "_heldout": self.held_out}
        found = []
        for name, array in self.arrays.items():
            if not name.startswith(f"{self.prefix}_spikes"):
                continue
            group = "_heldout" if "_heldout" in name else "_heldin"
            n_time = self.task.n_forward if name.endswith("_forward") else self.task.n_time
            expected = (len(self.trial), n_time, len(sizes[group]))
            if array.shape != expected:
                found.append(f"{name} has shape {array.shape}, expected {expected}")
        return found
