"""Masks that keep a model from copying its input: coordinated dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from neurodyn.errors import ConfigError

__all__ = ["LEVELS", "DroppedInput", "coordinated_dropout", "random_levels"]

# Values of a random number of 16 bits; probabilities are rounded to a multiple of their inverse.
LEVELS = 2**16


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
    The share that is really kept is ``keep_prob`` rounded to a multiple of 1/65536.
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
    level = min(max(round(keep_prob * LEVELS), 1), LEVELS - 1) - LEVELS // 2
    kept = random_levels(count.shape, count.device, generator) < level
    scored = ~kept if observed is None else ~kept & observed
    return DroppedInput(count * kept / keep_prob, scored)


def random_levels(
    shape: Sequence[int],
    device: torch.device,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.int16,
) -> Tensor:
    """Draw random numbers of few bits, many at once: a third of the time of as many floats.

    Parameters
    ----------
    shape, device
        Of the result.
    generator
        Source of randomness; torch's own if not given.
    dtype
        Of the result too: int16, each of the ``LEVELS`` values alike, or int8, of its 256.

    Examples
    --------
    >>> random_levels((2, 3), torch.device("cpu")).dtype
    torch.int16
    """
    n_numbers = math.prod(shape)
    n_words = -(-n_numbers * dtype.itemsize // torch.int64.itemsize)
    # functional, so that it can be mapped over a population
    words = torch.randint(-(2**63), 2**63 - 1, (n_words,), generator=generator, device=device)
    return words.view(dtype)[:n_numbers].view(shape)
