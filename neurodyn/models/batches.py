"""All windows of a source, in order, as batches on the device of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["WindowSource", "batches"]


class WindowSource(Protocol):
    """Windows that are gathered by number."""

    def __len__(self) -> int:
        """Return how many windows there are."""
        ...

    def gather(self, index: NDArray[np.int64]) -> Mapping[str, Tensor]:
        """Return the windows ``index`` as tensors."""
        ...


def batches(source: WindowSource, network: nn.Module, size: int) -> Iterator[dict[str, Tensor]]:
    """Give all windows in order, ``size`` at once, where the parameters of a network are.

    Examples
    --------
    >>> import torch
    >>> class Numbers(list):
    ...     def gather(self, index):
    ...         return {"x": torch.tensor([self[i] for i in index])}
    >>> [batch["x"].tolist() for batch in batches(Numbers([5, 6, 7]), nn.Linear(1, 1), 2)]
    [[5, 6], [7]]
    """
    device = next(network.parameters()).device
    for start in range(0, len(source), size):
        index = np.arange(start, min(start + size, len(source)), dtype=np.int64)
        yield {name: value.to(device) for name, value in source.gather(index).items()}
