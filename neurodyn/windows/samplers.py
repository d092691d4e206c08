"""In which order windows are seen, exactly resumable at any batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import CheckpointMismatchError, ConfigError

__all__ = ["BatchSampler"]


class BatchSampler:
    """Infinite iterator over batches of window indices, reshuffled in every epoch.

    The order of epoch ``e`` depends on ``(seed, e)`` alone, so a position within it is two
    integers and resuming needs no replay.

    Parameters
    ----------
    n_windows
        How many windows there are.
    batch_size
        Windows per batch; the last batch of an epoch is shorter unless it is dropped.
    seed
        Seed of the order, at least 0.
    shuffle
        Give the windows in random order instead of ascending.
    drop_last
        Leave out the shorter last batch of every epoch.

    Raises
    ------
    ConfigError
        If there are no windows, a batch is larger than the data or the seed is negative.

    Examples
    --------
    >>> sampler = BatchSampler(5, 2, seed=0, shuffle=False)
    >>> [next(sampler).tolist() for _ in range(4)], sampler.epoch
    ([[0, 1], [2, 3], [4], [0, 1]], 1)
    """

    def __init__(
        self,
        n_windows: int,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        if n_windows < 1:
            raise ConfigError("there are no windows to draw from", found=f"n_windows={n_windows}")
        if not 1 <= batch_size <= n_windows:
            raise ConfigError(
                "batch_size does not fit the data",
                found=f"batch_size={batch_size} and {n_windows} windows",
                expected=f"1 to {n_windows} windows per batch",
                hint=f"batch_size={n_windows} takes all windows in every step",
            )
        if seed < 0:
            raise ConfigError("seed must not be negative", found=f"seed={seed}")
        self.n_windows, self.batch_size, self.seed = int(n_windows), int(batch_size), int(seed)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self._epoch, self._position = 0, 0
        self._order = self._draw()

    @property
    def epoch(self) -> int:
        """Epoch of the batch given last, from 0."""
        return self._epoch

    def __len__(self) -> int:
        """Return the batches per epoch."""
        whole, rest = divmod(self.n_windows, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> BatchSampler:
        return self

    def __next__(self) -> NDArray[np.int64]:
        if self._position == len(self):
            self._epoch, self._position = self._epoch + 1, 0
            self._order = self._draw()
        start = self._position * self.batch_size
        self._position += 1
        return self._order[start : start + self.batch_size].copy()

    def state_dict(self) -> dict[str, Any]:
        """Return the position and what it belongs to as plain integers."""
        return {**self._identity(), "epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the batch at which ``state`` was taken.

        Raises
        ------
        CheckpointMismatchError
            If the state was taken from other data, batch size, seed or order, or names an
            impossible position.
        """
        own = self._identity()
        differing = [key for key in own if state.get(key) != own[key]]
        if differing:
            raise CheckpointMismatchError(
                "sampler position belongs to another run",
                found=", ".join(f"{key}={state.get(key)}" for key in differing),
                expected=", ".join(f"{key}={own[key]}" for key in differing),
            )
        epoch, position = int(state.get("epoch", -1)), int(state.get("position", -1))
        if epoch < 0 or not 0 <= position <= len(self):
            raise CheckpointMismatchError(
                "sampler position is impossible",
                found=f"epoch={epoch}, position={position}",
                expected=f"an epoch from 0 and a position of 0 to {len(self)}",
            )
        self._epoch, self._position = epoch, position
        self._order = self._draw()

    def _identity(self) -> dict[str, Any]:
        return {
            "n_windows": self.n_windows,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def _draw(self) -> NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(self.n_windows, dtype=np.int64)
        generator = np.random.default_rng([self.seed, self._epoch])
        return generator.permutation(self.n_windows).astype(np.int64)
