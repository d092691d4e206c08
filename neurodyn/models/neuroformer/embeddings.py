"""Spikes as features: one embedding of units, a code of time and one of order."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.models.neuroformer.config import NeuroformerConfig
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT
from neurodyn.models.sinusoids import sinusoids

__all__ = ["OrderCode", "TimeCode", "TokenEmbedding", "look_up", "rotation_rates"]

SHORTEST_PERIOD = 2.0
# Of positions in a sequence, whose length has no bound.
LONGEST_ORDER = 1000.0
# Positions whose waves are made once.
N_KEPT = 256


def look_up(table: nn.Embedding, index: Tensor) -> Tensor:
    """Return rows of a table (..., feature) by their numbers (...), as the table itself does.

    Examples
    --------
    >>> look_up(nn.Embedding(3, 4), torch.tensor([[0, 2]])).shape
    torch.Size([1, 2, 4])
    """
    if not index.is_cpu:
        found: Tensor = table(index)
        return found
    # on a CPU its gradient takes half of the time
    return table.weight.index_select(0, index.flatten()).view(*index.shape, table.embedding_dim)


def rotation_rates(config: NeuroformerConfig) -> Tensor | None:
    """Return the angles per bin of rotary times (pair,), None where time enters otherwise.

    Examples
    --------
    >>> rotation_rates(NeuroformerConfig(time="rotary")).shape
    torch.Size([16])
    """
    if config.time != "rotary":
        return None
    n_pairs = config.size // config.n_heads // 2
    share = torch.arange(n_pairs) / max(n_pairs - 1, 1)
    return 2 * math.pi / SHORTEST_PERIOD * (SHORTEST_PERIOD / _longest(config)) ** share


def _longest(config: NeuroformerConfig) -> float:
    return 4.0 * (config.n_bins + config.n_past_bins)


class TimeCode(nn.Module):
    """A code of times from the begin of the window [bins], negative before it.

    Parameters
    ----------
    config
        Settings; with rotary times the code is 0.

    Examples
    --------
    >>> TimeCode(NeuroformerConfig(size=16, time="learnt"))(torch.tensor([[-1.0, 0.0]])).shape
    torch.Size([1, 2, 16])
    """

    def __init__(self, config: NeuroformerConfig) -> None:
        super().__init__()
        self.size, self.kind = config.size, config.time
        self.longest, self.unit = _longest(config), float(config.n_bins)
        if self.kind == "learnt":
            self.perceptron = nn.Sequential(
                nn.Linear(1, self.size // 2), nn.GELU(), nn.Linear(self.size // 2, self.size)
            )

    def forward(self, time: Tensor) -> Tensor:
        """Return codes, a new last dimension."""
        if self.kind == "learnt":
            code: Tensor = self.perceptron(time[..., None].float() / self.unit)
            return code
        if self.kind == "rotary":
            return torch.zeros((*time.shape, self.size), device=time.device)
        return sinusoids(time, self.size, shortest=SHORTEST_PERIOD, longest=self.longest)


class OrderCode(nn.Module):
    """A learned mixture of waves of the position in the sequence; 0 before training.

    Examples
    --------
    >>> OrderCode(8)(0, 3).abs().max().item()
    0.0
    """

    codes: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mix = nn.Linear(size, size, bias=False)
        nn.init.zeros_(self.mix.weight)
        self.register_buffer("codes", self._waves(torch.arange(N_KEPT)), persistent=False)

    def forward(self, first: int | Tensor, n_tokens: int) -> Tensor:
        """Return codes (position, feature) of positions from the first on."""
        if isinstance(first, int) and first + n_tokens <= N_KEPT:
            waves = self.codes[first : first + n_tokens]
        else:
            waves = self._waves(first + torch.arange(n_tokens, device=self.codes.device))
        code: Tensor = self.mix(waves)
        return code

    def _waves(self, position: Tensor) -> Tensor:
        size = self.mix.in_features
        return sinusoids(position, size, shortest=SHORTEST_PERIOD, longest=LONGEST_ORDER)


class TokenEmbedding(nn.Module):
    """Features of spikes; window and past share the embedding of units.

    Parameters
    ----------
    config
        Settings.
    n_tokens
        Size of the vocabulary.

    Examples
    --------
    >>> embedding = TokenEmbedding(NeuroformerConfig(size=16), 5)
    >>> embedding(torch.tensor([[1, 3]]), torch.tensor([[0, 2]])).shape
    torch.Size([1, 2, 16])
    """

    codes: Tensor | None

    def __init__(self, config: NeuroformerConfig, n_tokens: int) -> None:
        super().__init__()
        self.unit = nn.Embedding(n_tokens, config.size)
        # as large as the waves of the time code
        nn.init.normal_(self.unit.weight, std=0.7)
        self.time = TimeCode(config)
        # of all times that spikes have: codes that nothing is learned of are made once
        bins = torch.arange(-config.n_past_bins, config.n_bins + 1)
        self.first_bin = -config.n_past_bins
        codes = None if config.time == "learnt" else self.time(bins)
        self.register_buffer("codes", codes, persistent=False)
        self.order = OrderCode(config.size) if config.order else None
        self.mark = nn.Embedding(config.n_marks, config.size) if config.n_marks else None

    def forward(
        self,
        unit: Tensor,
        bins: Tensor,
        first: int | Tensor | None = None,
        mark: Tensor | None = None,
    ) -> Tensor:
        """Return features (batch, token, feature).

        Parameters
        ----------
        unit, bins
            Tokens and bins, (batch, token).
        first
            Position of the first token in its sequence, a number or a tensor () of one; None for
            spikes of the past, which have no position.
        mark
            Levels of amplitude (batch, token), where the configuration has marks.
        """
        if self.codes is None:
            code = self.time(bins)
        else:
            code = functional.embedding(bins - self.first_bin, self.codes)
        token: Tensor = look_up(self.unit, unit) + code
        if self.mark is not None:
            spike = (unit >= FIRST_UNIT)[..., None]
            token = token + self.mark(cast(Tensor, mark)) * spike
        if first is None or self.order is None:
            return token
        placed: Tensor = token + self.order(first, unit.shape[1])
        return placed
