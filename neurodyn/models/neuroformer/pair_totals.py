"""Sums over pairs of units, kept apart by blocks of windows, so that a bootstrap is a product."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from neurodyn.errors import ConfigError, DegenerateInputError
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.token_windows import TokenWindows

__all__ = ["PairTotals", "block_batches"]

FloatArray = NDArray[np.float64]


class PairTotals(NamedTuple):
    """What a score of pairs of units is a ratio of, float64 ``(block, unit, unit_to)``.

    Attributes
    ----------
    total
        Sum of what is averaged.
    weight
        What it is divided by: a number of cases, or the sum that chance gives.

    Examples
    --------
    >>> totals = PairTotals.zeros(2, 2)
    >>> totals.total[:, 0, 1] = [1.0, 4.0]
    >>> totals.weight[:, 0, 1] = 1.0
    >>> totals.ratio()[0].tolist()
    [nan, 2.5]
    """

    total: FloatArray
    weight: FloatArray

    @classmethod
    def zeros(cls, n_blocks: int, n_units: int) -> PairTotals:
        """Return sums of nothing."""
        shape = (n_blocks, n_units, n_units)
        return cls(np.zeros(shape), np.zeros(shape))

    def ratio(self) -> FloatArray:
        """Return the score over all blocks ``(unit, unit_to)``, NaN without a case."""
        return _ratio(self.total.sum(axis=0), self.weight.sum(axis=0))

    def interval(self, n_resamples: int, *, level: float, seed: int) -> FloatArray:
        """Return bounds of scores over blocks drawn with replacement ``(bound, unit, unit_to)``.

        NaN where a draw has no case of a pair.

        Raises
        ------
        DegenerateInputError
            With fewer than two blocks.
        """
        n_blocks = len(self.total)
        if n_blocks < 2:
            raise DegenerateInputError(
                "an interval needs two blocks of windows", found=n_blocks, hint="n_bootstrap=0"
            )
        rng = np.random.default_rng(seed)
        chance = np.full(n_blocks, 1.0 / n_blocks)
        times = rng.multinomial(n_blocks, chance, n_resamples).astype(np.float64)
        bounds = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
        # one unit at a time: all pairs of all draws at once would be large
        each = zip(self.total.swapaxes(0, 1), self.weight.swapaxes(0, 1))
        found = [np.quantile(_ratio(times @ t, times @ w), bounds, axis=0) for t, w in each]
        return np.stack(found, axis=1)


def block_batches(
    network: NeuroformerNetwork, windows: TokenWindows, n_blocks: int, batch_size: int
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Give all windows in batches of consecutive ones, with the block that each belongs to.

    Raises
    ------
    ConfigError
        If the network is in training mode.
    """
    if network.training:
        raise ConfigError("the network is in training mode", hint="network.eval()")
    device = network.norm.weight.device
    for block, part in enumerate(np.array_split(np.arange(len(windows)), n_blocks)):
        for start in range(0, part.size, batch_size):
            batch = windows.gather(part[start : start + batch_size])
            yield block, {name: value.to(device) for name, value in batch.items()}


def _ratio(total: FloatArray, weight: FloatArray) -> FloatArray:
    found = np.full(total.shape, np.nan)
    np.divide(total, weight, out=found, where=weight > 0)
    return found
