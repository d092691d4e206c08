"""Codes of position and time for transformers, with torch alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["sinusoids"]


def sinusoids(position: Tensor, size: int, *, shortest: float, longest: float) -> Tensor:
    """Return a fixed code of positions by sines and cosines of growing period.

    Parameters
    ----------
    position
        Any dims.
    size
        Features, a new last dimension: the first half are sines, the rest cosines.
    shortest, longest
        Periods between which the others grow geometrically, in the unit of ``position``.

    Examples
    --------
    >>> sinusoids(torch.tensor([[0.0, 15.0]]), 8, shortest=10.0, longest=3000.0).shape
    torch.Size([1, 2, 8])
    """
    half = (size + 1) // 2
    share = torch.arange(half, device=position.device) / max(half - 1, 1)
    rate = 2 * math.pi / shortest * (shortest / longest) ** share
    angle = position[..., None].float() * rate
    return torch.cat([torch.sin(angle), torch.cos(angle)], -1)[..., :size]
