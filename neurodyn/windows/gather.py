"""Batches of windows as tensors, made where the counts live."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["CountTensors"]


class CountTensors:
    """Counts and their mask on a device, given out as windows.

    Parameters
    ----------
    count
        Shape ``(row, unit)``, uint8 or uint16; shared with the tensor on a CPU. A tensor stays
        where it is if it is on ``device``.
    observed
        Shape ``(row, unit)`` or ``(row, 1)``, or None: all are observed.
    length
        Rows of a window.
    device
        Where to put them.
    """

    def __init__(
        self,
        count: NDArray[np.unsignedinteger] | Tensor,
        observed: NDArray[np.bool_] | Tensor | None,
        length: int,
        device: str | torch.device,
    ) -> None:
        self.n_units = count.shape[1]
        self.length = length
        self.count = _shared(count).to(device)
        self.observed = None if observed is None else _shared(observed).to(device)

    def gather(self, index: NDArray[np.int64], starts: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return windows; see :meth:`neurodyn.windows.index.Windows.gather`."""
        size = (index.size, self.length, self.n_units)
        count = torch.empty(size, dtype=torch.float32, device=self.count.device)
        self._fill(count, self.count, starts)
        if self.observed is None:
            observed = torch.ones((1, 1, 1), dtype=torch.bool, device=count.device).expand(size)
        else:
            observed = torch.empty(
                (*size[:2], self.observed.shape[1]), dtype=torch.bool, device=count.device
            )
            self._fill(observed, self.observed, starts)
            count.masked_fill_(~observed, 0.0)
            observed = observed.expand(size)
        return {
            "count": count,
            "observed": observed,
            "index": torch.from_numpy(index.copy()).to(count.device),
        }

    def _fill(self, target: Tensor, source: Tensor, starts: NDArray[np.int64]) -> None:
        if target.device.type == "cpu":
            # one pass per window: copy and cast at once
            for window, start in enumerate(starts.tolist()):
                target[window].copy_(source[start : start + self.length])
            return
        n_columns = source.shape[1]
        windows = source.as_strided(
            (source.shape[0] - self.length + 1, self.length, n_columns), (n_columns, n_columns, 1)
        )
        target.copy_(windows[torch.from_numpy(starts).to(target.device)])


def _shared(values: NDArray[np.generic] | Tensor) -> Tensor:
    """Return a tensor on the same memory, where torch can hold the type and write to it."""
    if isinstance(values, Tensor):
        return values
    # torch indexes few unsigned types, and warns of read-only memory
    plain = values.astype(np.int32) if values.dtype == np.uint16 else values
    return torch.from_numpy(plain if plain.flags.writeable else plain.copy())
