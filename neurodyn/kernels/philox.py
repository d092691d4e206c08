"""Random numbers from a seed and a counter, the same in torch as inside the Triton kernels.

A kernel that draws its noise need not store it for the backward pass: the same seed and counter
give it again, in any order and on any device. The generator is Philox 4x32-10 [1]_ as
``triton.language`` has it, so ``uniform(seed, offset)`` here is ``tl.rand(seed, offset)`` there.

References
----------
.. [1] Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurodyn.errors import ConfigError

__all__ = ["FEWEST_ROUNDS", "integers", "normal", "normal4", "uniform", "uniform4"]

Four = tuple[Tensor, Tensor, Tensor, Tensor]

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_N_ROUNDS = 10
#: The fewest rounds that pass all tests of randomness in [1]_: three tenths faster.
FEWEST_ROUNDS = 7
# below 2**-31, so that the greatest integer still falls short of 1 after rounding
_UNIFORM_SCALE = 4.6566127342e-10
# Box and Muller's logarithm needs more than 0
_SMALLEST_UNIFORM = 1e-7


def integers(seed: Tensor, offset: Tensor, n_rounds: int = _N_ROUNDS) -> Four:
    """Draw four 32-bit integers for every counter, as ``tl.randint4x``.

    Parameters
    ----------
    seed
        int64, any shape that broadcasts with ``offset``.
    offset
        Counters from 0, int64 (or int32).
    n_rounds
        How often words are mixed, at least ``FEWEST_ROUNDS``.

    Returns
    -------
    tuple of Tensor
        Four int64 tensors of the broadcast shape, from 0 to 2**32 - 1.

    Raises
    ------
    ConfigError
        If seed or offset are not integers.

    Examples
    --------
    >>> zero = torch.tensor(0)
    >>> [hex(int(word)) for word in integers(zero, zero)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    for name, tensor in (("seed", seed), ("offset", offset)):
        if tensor.dtype not in (torch.int64, torch.int32):
            raise ConfigError(f"{name} must be integers", found=tensor.dtype, expected="int64")
    seed, offset = seed.long(), offset.long()
    keys = (seed & _WORD, (seed >> 32) & _WORD)
    c0, c1 = offset & _WORD, (offset >> 32) & _WORD
    c2 = c3 = torch.zeros_like(c0)
    for _ in range(n_rounds):
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high2, low2 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high2 ^ c1 ^ keys[0], low2, high0 ^ c3 ^ keys[1], low0
        keys = ((keys[0] + _KEY_STEPS[0]) & _WORD, (keys[1] + _KEY_STEPS[1]) & _WORD)
    return c0, c1, c2, c3


def uniform4(seed: Tensor, offset: Tensor) -> Four:
    """Draw four uniform numbers in [0, 1) for every counter, as ``tl.rand4x``.

    Parameters
    ----------
    seed, offset
        As of :func:`integers`.

    Returns
    -------
    tuple of Tensor
        Four float32 tensors of the broadcast shape.

    Examples
    --------
    >>> [round(float(u), 4) for u in uniform4(torch.tensor(0), torch.tensor(0))]
    [0.7981, 0.239, 0.5286, 0.789]
    """
    a, b, c, d = integers(seed, offset)
    return _to_uniform(a), _to_uniform(b), _to_uniform(c), _to_uniform(d)


def uniform(seed: Tensor, offset: Tensor) -> Tensor:
    """Draw one uniform number in [0, 1) for every counter, as ``tl.rand``.

    Parameters
    ----------
    seed, offset
        As of :func:`integers`.

    Returns
    -------
    Tensor
        float32, the broadcast shape.

    Examples
    --------
    >>> seeds = torch.tensor([[1], [2]])
    >>> uniform(seeds, torch.arange(3)).shape
    torch.Size([2, 3])
    """
    return _to_uniform(integers(seed, offset)[0])


def normal4(seed: Tensor, offset: Tensor) -> Four:
    """Draw four standard normal numbers for every counter, as ``tl.randn4x``.

    Parameters
    ----------
    seed, offset
        As of :func:`integers`.

    Returns
    -------
    tuple of Tensor
        Four float32 tensors of the broadcast shape, equal to Triton's up to rounding.

    Examples
    --------
    >>> draws = torch.stack(normal4(torch.tensor(3), torch.arange(1000)))
    >>> bool(draws.mean().abs() < 0.1), bool((draws.std() - 1).abs() < 0.1)
    (True, True)
    """
    a, b, c, d = uniform4(seed, offset)
    return *_to_normal(a, b), *_to_normal(c, d)


def normal(seed: Tensor, offset: Tensor) -> Tensor:
    """Draw one standard normal number for every counter, as ``tl.randn``.

    Parameters
    ----------
    seed, offset
        As of :func:`integers`.

    Returns
    -------
    Tensor
        float32, the broadcast shape, equal to Triton's up to rounding.

    Examples
    --------
    >>> normal(torch.tensor(3), torch.arange(4)).dtype
    torch.float32
    """
    first, second, _, _ = integers(seed, offset)
    return _to_normal(_to_uniform(first), _to_uniform(second))[0]


def _multiply(word: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Return the high and low words of a product; halves of words keep it inside int64."""
    low, high = factor * (word & 0xFFFF), factor * (word >> 16)
    upper = high + (low >> 16)
    return upper >> 16, ((upper & 0xFFFF) << 16) | (low & 0xFFFF)


def _to_uniform(word: Tensor) -> Tensor:
    # Triton reads the word as signed and folds the negative half onto the positive one
    folded = torch.where(word > _WORD >> 1, _WORD - word, word)
    return folded.float() * _UNIFORM_SCALE


def _to_normal(radius: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Box and Muller's transform."""
    length = torch.sqrt(-2.0 * torch.log(radius.clamp_min(_SMALLEST_UNIFORM)))
    turn = 2.0 * math.pi * angle
    return length * torch.cos(turn), length * torch.sin(turn)
