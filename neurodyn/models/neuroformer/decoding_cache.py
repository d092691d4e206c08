"""What generation keeps of the tokens so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from neurodyn.models.neuroformer.blocks import GrowingKeys, KeysValues

__all__ = ["DecodingCache", "FixedKeys"]


class FixedKeys(GrowingKeys):
    """Keys and values in memory for all tokens at once, of which a mask says what is read.

    Nothing depends on how many tokens there are but values on the device, so that adding one can be
    captured in a CUDA graph.

    Parameters
    ----------
    n_rows, n_heads, n_tokens, head_size, like
        As of :class:`~neurodyn.models.neuroformer.blocks.GrowingKeys`.
    position
        Tokens so far, int64 (); whoever adds one token to all blocks moves it on.

    Attributes
    ----------
    known
        Which of the first tokens are read, bool (1, 1, 1, token), that at ``position`` included.

    Examples
    --------
    >>> import torch
    >>> keys = FixedKeys(2, 1, 4, 3, torch.zeros(1), torch.tensor(0))
    >>> keys.known = torch.tensor([[[[True, False]]]])
    >>> keys.add(KeysValues(torch.ones(2, 1, 1, 3), torch.ones(2, 1, 1, 3))).key[0, 0, :, 0]
    tensor([1., 0.])
    """

    def __init__(
        self,
        n_rows: int,
        n_heads: int,
        n_tokens: int,
        head_size: int,
        like: Tensor,
        position: Tensor,
    ) -> None:
        super().__init__(n_rows, n_heads, n_tokens, head_size, like)
        # not empty: what is masked has weight 0, which makes no NaN into 0
        self._memory = like.new_zeros(2, n_rows, n_heads, n_tokens, head_size)
        self._position = position
        self.known = position.new_ones((1, 1, 1, n_tokens), dtype=torch.bool)

    def add(self, new: KeysValues) -> KeysValues:
        """Add one token and return all that the mask speaks of."""
        for memory, one in zip(self._memory, new[:2]):
            memory.index_copy_(2, self._position, one)
        key, value = self._memory[:, :, :, : self.known.shape[-1]].unbind(0)
        return KeysValues(key, value, self.known)


@dataclass
class DecodingCache:
    """Keys and values of each block, for rows that all have as many tokens.

    Parameters
    ----------
    reads
        Of blocks that read a context: made once, None for the others.
    grown
        Of blocks of self-attention: grow with every token, None for the others.
    recorded
        Units that can spike, bool (row, unit), or None: all.
    position
        Tokens so far, a number; a tensor () of one where keys are :class:`FixedKeys`.

    Examples
    --------
    >>> DecodingCache(reads=[], grown=[]).position
    0
    """

    reads: list[KeysValues | None]
    grown: list[GrowingKeys | None]
    recorded: Tensor | None = None
    position: int | Tensor = 0

    def select(self, row: Tensor) -> None:
        """Keep only some rows, those that go on."""
        self.reads = [None if read is None else read.select(row) for read in self.reads]
        for keys in self.grown:
            if keys is not None:
                keys.select(row)
        if self.recorded is not None:
            self.recorded = self.recorded[row]

    def branch(self, row: Tensor) -> DecodingCache:
        """Return a copy that goes on from some rows, each as often as it is named."""
        grown = [None if keys is None else keys.branch(row) for keys in self.grown]
        other = DecodingCache(list(self.reads), grown, self.recorded, self.position)
        other.reads = [None if read is None else read.select(row) for read in self.reads]
        other.recorded = None if self.recorded is None else self.recorded[row]
        return other

    def refill(self, other: DecodingCache) -> None:
        """Take what another cache of these shapes reads, in place, and begin anew."""
        pairs = [(self.recorded, other.recorded)]
        for own, new in zip(self.reads, other.reads):
            pairs += zip(own or (), new or ())
        for kept, given in pairs:
            if kept is not None:
                kept.copy_(cast(Tensor, given))
        cast(Tensor, self.position).zero_()
