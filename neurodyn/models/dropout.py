"""Dropout that is cheap on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.windows.masks import random_levels

__all__ = ["Dropout", "dropout"]

# How far the shares dropped and kept may be off, relative to each, for numbers of half the size.
TOLERATED = 0.02


class Dropout(nn.Module):
    """:func:`dropout` in training, nothing in evaluation.

    Parameters
    ----------
    share
        Probability of an entry to be dropped.

    Examples
    --------
    >>> import torch
    >>> Dropout(0.5).eval()(torch.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, feature: Tensor) -> Tensor:
        """Return the feature with some entries dropped."""
        return dropout(feature, self.share) if self.training else feature


def dropout(feature: Tensor, share: float) -> Tensor:
    """Return features with a share of them set to 0 at random, and the others larger for it.

    On a CPU torch draws a number of its own for each entry, which takes many times as long as
    the 8 bits that are taken here. They round the share to a multiple of 1/256, or 16 bits to one
    of 1/65536 where the share dropped or that kept would be off by more than 2 % of itself. What is
    kept is scaled by what is really kept, so that means stay exact.

    Parameters
    ----------
    feature
        Any dims.
    share
        Probability of an entry to be dropped, from 0, below 1.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> dropout(torch.ones(6), 0.5)
    tensor([2., 0., 0., 0., 0., 2.])
    """
    if not share:
        return feature
    if not feature.is_cpu:
        return functional.dropout(feature, share)
    coarse = abs(round(256 * share) / 256 - share) <= TOLERATED * min(share, 1 - share)
    dtype, n_levels = (torch.int8, 2**8) if coarse else (torch.int16, 2**16)
    n_dropped = min(round(n_levels * share), n_levels - 1)
    if not n_dropped:
        return feature
    drawn = random_levels(feature.shape, feature.device, dtype=dtype)
    # 0 or 1 without booleans, of which torch makes numbers one after another
    highest = n_dropped - n_levels // 2 - 1
    kept = drawn.clamp(highest, highest + 1).sub_(highest).to(feature.dtype)
    scaled: Tensor = feature * kept.mul_(n_levels / (n_levels - n_dropped))
    return scaled
