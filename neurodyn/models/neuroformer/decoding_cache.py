"""What generation keeps of the tokens so far."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from neurodyn.models.neuroformer.blocks import GrowingKeys, KeysValues

__all__ = ["DecodingCache"]


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
        Tokens so far.

    Examples
    --------
    >>> DecodingCache(reads=[], grown=[]).position
    0
    """

    reads: list[KeysValues | None]
    grown: list[GrowingKeys | None]
    recorded: Tensor | None = None
    position: int = 0

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
