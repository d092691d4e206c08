"""What a benchmark run consists of."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from benchmarks.gpu.bare import PACKAGE

__all__ = ["Case", "Workload"]


class Workload(NamedTuple):
    """Something that can be run again and again, and the least that it has to do."""

    step: Callable[[], Any]
    #: Bytes to read and write once [bytes].
    n_bytes: float = 0.0
    #: Floating-point operations, two for a multiplication and an addition.
    n_operations: float = 0.0
    #: At which of the measured rates: ``bf16``, ``tf32`` or ``fp32``.
    unit: str = "tf32"
    #: Whether the cache is emptied before each run, for what is bound by memory.
    flush: bool = False


class Case(NamedTuple):
    """One unit of work: one version of one kernel at one size, or a check of its results."""

    kernel: str
    size: str
    #: ``ours``, ``ours graphed`` or a rival; ``check`` compares numbers instead of timing.
    version: str
    #: ``forward`` or ``forward+backward``.
    passes: str
    #: Makes inputs on a device and returns what to run.
    build: Callable[[torch.device], Workload]
    #: Cases run in ascending order of this.
    rank: float
    #: Predicted cost [s], inputs and warm-up included.
    seconds: float
    #: Whether running it once compiles kernels that others need as well.
    compiles: bool = False
    #: Ends of names of modules of ``neurodyn`` whose change makes an old result worthless.
    depends: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What identifies the result."""
        return " | ".join((self.kernel, self.size, self.version, self.passes))

    @property
    def digest(self) -> str:
        """What the code of this repository that it depends on hashes to."""
        return _digest(self.depends)


@functools.cache
def _digest(names: tuple[str, ...]) -> str:
    code = hashlib.sha256()
    for name in names:
        for path in sorted(PACKAGE.rglob(f"*{name}.py")):
            code.update(path.read_bytes())
    return code.hexdigest()[:12]
