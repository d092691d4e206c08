"""Spikes of a window as tokens in one canonical order, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.config import from_dict, to_dict
from neurodyn.errors import ConfigError, DataError, suggest

__all__ = ["EOS", "FIRST_UNIT", "PAD", "SOS", "SpikeTokenizer"]

# Before the units, so that more units move no token.
PAD, SOS, EOS, FIRST_UNIT = 0, 1, 2, 3
SHORTEST_BIN = 1e-3


@dataclass(frozen=True, kw_only=True)
class SpikeTokenizer:
    """Vocabulary of units and bins, and the order in which spikes of a window stand.

    A spike is a pair (bin, unit). Within a window spikes are ordered by bin, then by unit; a count
    of k gives k equal tokens. This order is a bijection with the counts of the window, so the
    probability of a sequence is that of its counts.

    Parameters
    ----------
    units
        Ids of the units, text, each once; the token of unit ``i`` is ``FIRST_UNIT + i``.
    bin_size
        Resolution [s], at least 1 ms.
    n_bins
        Bins of a window; the token ``n_bins`` ends it.
    max_spikes
        Most spikes that a window may have; none if not given.

    Raises
    ------
    ConfigError
        For ids that are no text, repeated or missing, a bin below 1 ms or an impossible size.

    Examples
    --------
    >>> tokenizer = SpikeTokenizer(units=("a", "b"), bin_size=0.01, n_bins=3)
    >>> bins, unit = tokenizer.encode([[0, 1], [0, 0], [2, 0]])
    >>> bins.tolist(), unit.tolist()
    ([0, 2, 2], [4, 3, 3])
    """

    units: tuple[str, ...]
    bin_size: float
    n_bins: int
    max_spikes: int | None = None

    def __post_init__(self) -> None:
        if not self.units or not all(isinstance(unit, str) for unit in self.units):
            raise ConfigError("units must have ids", found=self.units[:5], expected="text")
        if len(set(self.units)) < len(self.units):
            twice = sorted({unit for unit in self.units if self.units.count(unit) > 1})
            raise ConfigError(
                "units are repeated", found=", ".join(twice[:5]), expected="each once"
            )
        if not self.bin_size >= SHORTEST_BIN * (1 - 1e-9):
            raise ConfigError(
                "bin_size is too short for tokens",
                found=f"{self.bin_size} s",
                expected=f"at least {SHORTEST_BIN} s",
            )
        if self.n_bins < 1 or (self.max_spikes is not None and self.max_spikes < 1):
            raise ConfigError(
                "sizes of a tokenizer are impossible",
                found=f"n_bins={self.n_bins}, max_spikes={self.max_spikes}",
                expected="1 or more",
            )

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    @property
    def n_tokens(self) -> int:
        """Units and the three tokens that are no unit."""
        return FIRST_UNIT + self.n_units

    def extend(self, units: Iterable[str]) -> SpikeTokenizer:
        """Return a tokenizer that knows more units; tokens of those it knows stay the same.

        Examples
        --------
        >>> SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=3).extend(["a", "c"]).units
        ('a', 'c')
        """
        known = set(self.units)
        return replace(self, units=self.units + tuple(u for u in units if u not in known))

    def tokens(self, units: Iterable[str]) -> NDArray[np.int64]:
        """Return the tokens of unit ids, int64.

        Raises
        ------
        DataError
            For units that the vocabulary lacks.

        Examples
        --------
        >>> SpikeTokenizer(units=("a", "b"), bin_size=0.01, n_bins=3).tokens(["b"])
        array([4])
        """
        table = {unit: FIRST_UNIT + number for number, unit in enumerate(self.units)}
        wanted = [str(unit) for unit in units]
        missing = [unit for unit in wanted if unit not in table]
        if missing:
            raise DataError(
                "units are not in the vocabulary",
                found=f"{len(missing)} of {len(wanted)}: {', '.join(missing[:5])}",
                expected=f"units of {self.n_units} known ones",
                hint=f"extend() adds units; {suggest(missing[0], self.units[:20])}",
            )
        return np.array([table[unit] for unit in wanted], dtype=np.int64)

    def encode(self, count: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return bins and unit tokens of the spikes of one window, without SOS and EOS.

        Parameters
        ----------
        count
            Whole numbers, dims ``(bin, unit)``.

        Raises
        ------
        DataError
            If the shape is another, a count is negative or not whole, or there are more than
            ``max_spikes`` spikes; none is ever cut off.
        """
        table = np.asarray(count)
        if table.shape != (self.n_bins, self.n_units):
            raise DataError(
                "counts do not fit the tokenizer",
                found=table.shape,
                expected=f"({self.n_bins} bins, {self.n_units} units)",
            )
        whole = table.astype(np.int64)
        if (whole < 0).any() or (whole != table).any():
            raise DataError("counts must be whole numbers, 0 or more")
        n_spikes = int(whole.sum())
        if self.max_spikes is not None and n_spikes > self.max_spikes:
            raise DataError(
                "a window has more spikes than fit",
                found=n_spikes,
                expected=f"at most max_spikes={self.max_spikes}",
                hint="choose a shorter window or a larger max_spikes",
            )
        bins, unit = np.nonzero(whole)
        repeats = whole[bins, unit]
        return np.repeat(bins, repeats), FIRST_UNIT + np.repeat(unit, repeats)

    def decode(self, bins: ArrayLike, unit: ArrayLike) -> NDArray[np.int64]:
        """Return the counts ``(bin, unit)`` of tokens in any order, without SOS, EOS and PAD.

        Raises
        ------
        DataError
            If a token is no spike.

        Examples
        --------
        >>> SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=2).decode([1, 1], [3, 3]).tolist()
        [[0], [2]]
        """
        rows = np.asarray(bins, dtype=np.int64).reshape(-1)
        columns = np.asarray(unit, dtype=np.int64).reshape(-1) - FIRST_UNIT
        bad = rows.size != columns.size or bool(
            ((rows < 0) | (rows >= self.n_bins) | (columns < 0) | (columns >= self.n_units)).any()
        )
        if bad:
            raise DataError(
                "tokens are not spikes of a window",
                expected=f"as many bins below {self.n_bins} as units from {FIRST_UNIT} below"
                f" {self.n_tokens}",
            )
        table = np.zeros((self.n_bins, self.n_units), dtype=np.int64)
        np.add.at(table, (rows, columns), 1)
        return table

    def to_json(self) -> str:
        """Return the tokenizer as JSON text.

        Examples
        --------
        >>> tokenizer = SpikeTokenizer(units=("a", "b"), bin_size=0.01, n_bins=3)
        >>> SpikeTokenizer.from_json(tokenizer.to_json()) == tokenizer
        True
        """
        return json.dumps(to_dict(self))

    @classmethod
    def from_json(cls, text: str) -> SpikeTokenizer:
        """Return the tokenizer that :meth:`to_json` wrote.

        Raises
        ------
        ConfigError
            If the text is not that of a tokenizer.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError("not the JSON text of a tokenizer", found=error) from error
        if not isinstance(values, dict):
            raise ConfigError("not the JSON text of a tokenizer", found=type(values).__name__)
        return from_dict(cls, values)
