"""Spikes of rows that are generated side by side, between tokens that were drawn and a past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT

__all__ = ["SpikesOfRows"]

Ints = NDArray[np.int64]


class SpikesOfRows(NamedTuple):
    """A flat table of spikes of many rows.

    Attributes
    ----------
    row
        Of each spike, int64 (spike,).
    field
        What a batch tells of a spike, ``unit`` and ``bin`` at least, int64 (spike,) each.

    Examples
    --------
    >>> tokens = {"unit": torch.tensor([[1, 4, 3, 2]]), "bin": torch.tensor([[0, 1, 1, 5]])}
    >>> spikes = SpikesOfRows.of(tokens, np.array([7])).moved(-5)
    >>> spikes.as_past(np.array([6, 7]))["past_unit"].tolist()
    [[0, 0], [3, 4]]
    """

    row: Ints
    field: dict[str, Ints]

    @classmethod
    def of(cls, tokens: Mapping[str, Tensor], row: Ints) -> SpikesOfRows:
        """Return the spikes of padded tokens (row, token) of rows of these numbers."""
        table = {name: value.cpu().numpy() for name, value in tokens.items()}
        spike = table["unit"] >= FIRST_UNIT
        field = {name: value[spike] for name, value in table.items()}
        return cls(row[np.nonzero(spike)[0]], field)

    def take(self, chosen: NDArray[Any]) -> SpikesOfRows:
        """Return some of the spikes."""
        return SpikesOfRows(self.row[chosen], {name: x[chosen] for name, x in self.field.items()})

    def joined(self, other: SpikesOfRows) -> SpikesOfRows:
        """Return these spikes and others."""
        both = {name: np.concatenate([x, other.field[name]]) for name, x in self.field.items()}
        return SpikesOfRows(np.concatenate([self.row, other.row]), both)

    def moved(self, bins: Ints | int) -> SpikesOfRows:
        """Return the spikes some bins later."""
        return self._replace(field={**self.field, "bin": self.field["bin"] + bins})

    def as_past(self, row: Ints) -> dict[str, Tensor]:
        """Return ``past_unit``, ``past_bin`` and so on of rows, padded.

        Spikes are in the canonical order of a store, whatever the order of generation was. Row
        numbers (row,) increase, and all spikes are of one of them.
        """
        further = [name for name in self.field if name not in ("bin", "unit")]
        keys = [self.field[name] for name in (*further, "unit", "bin")]
        ordered = self.take(np.lexsort([*keys, self.row]))
        place = np.searchsorted(row, ordered.row)
        size = np.bincount(place, minlength=row.size)
        column = np.arange(place.size) - np.repeat(np.cumsum(size) - size, size)
        padded = {}
        for name, value in ordered.field.items():
            table = np.zeros((row.size, int(size.max(initial=0))), dtype=np.int64)
            table[place, column] = value
            padded[f"past_{name}"] = torch.from_numpy(table)
        return padded
