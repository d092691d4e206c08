"""Dropout that is cheap on a CPU."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from neurodyn.windows.masks import LEVELS, random_levels

__all__ = ["Dropout", "dropout"]


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

    On a CPU torch draws a number of its own for each entry, which takes three times as long as
    the 16 bits that are taken here. They round the share to a multiple of 1/65536; what is kept
    is scaled by what is really kept, so that means stay exact.

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
    tensor([0., 0., 2., 2., 0., 0.])
    """
    n_dropped = min(round(share * LEVELS), LEVELS - 1)
    if not n_dropped:
        return feature
    if not feature.is_cpu:
        return functional.dropout(feature, share)
    drawn = random_levels(feature.shape, feature.device)
    # 0 or 1 without booleans, of which torch makes numbers one after another
    highest = n_dropped - LEVELS // 2 - 1
    kept = drawn.clamp(highest, highest + 1).sub_(highest).to(feature.dtype)
    scaled: Tensor = feature * kept.mul_(LEVELS / (LEVELS - n_dropped))
    return scaled
