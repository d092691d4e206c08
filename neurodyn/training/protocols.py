"""What the loop asks of a model and of data: two small protocols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neurodyn.windows.samplers import BatchSampler

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Batch", "Objective", "OrderedSource", "Progress", "Source"]

Batch: TypeAlias = "dict[str, Tensor]"


@dataclass(frozen=True)
class Progress:
    """Where training stands, for schedules that a loss contains.

    Parameters
    ----------
    step
        Updates done before this one.
    n_steps
        Updates in all.
    epoch
        Passes over the data done before this one.

    Examples
    --------
    >>> Progress(step=50, n_steps=200, epoch=1).fraction
    0.25
    """

    step: int
    n_steps: int
    epoch: int

    @property
    def fraction(self) -> float:
        """Share of the training that is done, 0 to 1."""
        return self.step / self.n_steps


class Source(Protocol):
    """Windows of data; the same index gives the same tensors at every call."""

    def __len__(self) -> int:
        """Return how many windows there are."""
        ...

    def gather(self, index: NDArray[np.int64]) -> Batch:
        """Return the windows ``index`` as tensors whose first dimension is the batch."""
        ...


@runtime_checkable
class OrderedSource(Source, Protocol):
    """Windows that say themselves in which order they are seen."""

    def sampler(self, batch_size: int, seed: int) -> BatchSampler:
        """Return the order of the windows in training."""
        ...


class Objective(Protocol):
    """What a model minimises and how it is judged.

    An objective remembers nothing between calls: what changes during training belongs to the
    network's parameters and buffers or follows from ``progress``, or resuming is not exact.
    """

    def loss(self, network: nn.Module, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return scalars, means over the batch; ``"loss"`` is minimised, all are recorded."""
        ...

    def validate(self, network: nn.Module, source: Source) -> dict[str, float]:
        """Return scores of the network, which is in evaluation mode and without gradients."""
        ...
