"""Masks that keep a model from copying its input: coordinated dropout."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from neurodyn.errors import ConfigError

__all__ = ["DroppedInput", "coordinated_dropout"]


class DroppedInput(NamedTuple):
    """Input with entries dropped, and the entries on which the model is scored."""

    input: Tensor
    scored: Tensor


def coordinated_dropout(
    count: Tensor,
    keep_prob: float,
    generator: torch.Generator | None = None,
    *,
    observed: Tensor | None = None,
) -> DroppedInput:
    """Drop entries at random and score the model on the dropped ones only.

    What is kept is scaled by ``1 / keep_prob``, so that the expected input stays the same.
    With ``keep_prob=1`` nothing is dropped and everything observed is scored.

    Parameters
    ----------
    count
        Shape ``(batch, time, unit)``, float.
    keep_prob
        Probability that an entry is kept in the input, above 0 and up to 1.
    generator
        Source of randomness, on the device of ``count``; torch's own, which the training loop
        seeds and stores, if not given.
    observed
        Shape of ``count``, bool: other entries are never scored.

    Returns
    -------
    DroppedInput
        ``input``, as ``count``; ``scored``, bool, as ``count``.

    Raises
    ------
    ConfigError
        If ``keep_prob`` is no such probability.

    References
    ----------
    Keshtkaran and Pandarinath, NeurIPS 2019: coordinated dropout.

    Examples
    --------
    >>> dropped = coordinated_dropout(torch.ones(1, 4, 2), 0.5, torch.Generator().manual_seed(0))
    >>> bool(((dropped.input == 0) == dropped.scored).all()), dropped.input.max().item()
    (True, 2.0)
    """
    if not 0.0 < keep_prob <= 1.0:
        raise ConfigError("invalid keep_prob", found=keep_prob, expected="above 0 and up to 1")
    if keep_prob == 1.0:
        scored = torch.ones_like(count, dtype=torch.bool) if observed is None else observed
        return DroppedInput(count, scored)
    kept = torch.rand(count.shape, generator=generator, device=count.device) < keep_prob
    scored = ~kept if observed is None else ~kept & observed
    return DroppedInput(count * kept / keep_prob, scored)
