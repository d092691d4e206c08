"""Batches of windows of similar length, so that little of a batch is padding."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError
from neurodyn.windows.samplers import BatchSampler

__all__ = ["LengthBucketSampler"]


class LengthBucketSampler(BatchSampler):
    """Batches that are drawn at random in pools and sorted by length in each pool.

    The order of epoch ``e`` depends on ``(seed, e)`` alone, so it resumes as
    :class:`~neurodyn.windows.samplers.BatchSampler` does. Every window is seen once an epoch.

    Parameters
    ----------
    lengths
        Tokens of each window, ``(window,)``.
    batch_size
        Windows of a batch.
    seed
        Seed of the order.
    n_batches
        Batches of a pool: more give less padding and less random batches.

    Raises
    ------
    ConfigError
        As of :class:`~neurodyn.windows.samplers.BatchSampler`, and for an empty pool.

    Examples
    --------
    >>> sampler = LengthBucketSampler([1, 9, 2, 8], 2, seed=0)
    >>> sorted(sorted(next(sampler).tolist()) for _ in range(2))
    [[0, 2], [1, 3]]
    """

    def __init__(
        self, lengths: ArrayLike, batch_size: int, seed: int, *, n_batches: int = 50
    ) -> None:
        if n_batches < 1:
            raise ConfigError("a pool needs a batch", found=f"n_batches={n_batches}")
        self.lengths, self.n_batches = np.asarray(lengths, dtype=np.int64), int(n_batches)
        super().__init__(self.lengths.size, batch_size, seed)

    def _identity(self) -> dict[str, Any]:
        digest = zlib.crc32(self.lengths.tobytes())
        return {**super()._identity(), "n_batches": self.n_batches, "lengths": digest}

    def _draw(self) -> NDArray[np.int64]:
        generator = np.random.default_rng([self.seed, self._epoch])
        order = generator.permutation(self.n_windows)
        pool = np.arange(self.n_windows) // (self.n_batches * self.batch_size)
        # stable: windows of equal length stay in random order
        order = order[np.lexsort((self.lengths[order], pool))]
        n_whole = self.n_windows // self.batch_size
        whole = order[: n_whole * self.batch_size].reshape(n_whole, self.batch_size)
        # the shorter batch stays the last
        rest = order[n_whole * self.batch_size :]
        return np.concatenate([generator.permutation(whole).ravel(), rest]).astype(np.int64)
