"""Spikes of a window as tokens in one canonical order, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.config import from_dict, to_dict
from neurodyn.errors import ConfigError, DataError, suggest
from neurodyn.models.neuroformer.mark_levels import Levels

__all__ = ["EOS", "FIRST_UNIT", "PAD", "SOS", "SpikeTokenizer"]

# Before the units, so that more units move no token.
PAD, SOS, EOS, FIRST_UNIT = 0, 1, 2, 3
SHORTEST_BIN = 1e-3
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SpikeTokenizer:
    """Vocabulary of units and bins, and the order in which spikes of a window stand.

    A spike is a pair (bin, unit). Within a window spikes are ordered by bin, then by unit; a count
    of k gives k equal tokens. This order is a bijection with the counts of the window, so the
    probability of a sequence is that of its counts. A calcium event has a mark besides, the level
    of its amplitude among the events of its unit, which comes last in the order.

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
    mark_edges, mark_values
        Amplitudes between the levels of each unit, one less than levels, and mean amplitude of
        each level: see :func:`~neurodyn.models.neuroformer.mark_levels.mark_levels`. Empty where
        there are no marks.

    Raises
    ------
    ConfigError
        For ids that are no text, repeated or missing, a bin below 1 ms, an impossible size, or
        levels that do not fit units or each other.

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
    mark_edges: Levels = ()
    mark_values: Levels = ()

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
        self._check_marks()

    @property
    def n_marks(self) -> int:
        """Levels of amplitude, 0 where spikes have none."""
        return len(self.mark_values[0]) if self.mark_values else 0

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    @property
    def n_tokens(self) -> int:
        """Units and the three tokens that are no unit."""
        return FIRST_UNIT + self.n_units

    def extend(self, more: Iterable[str] | SpikeTokenizer) -> SpikeTokenizer:
        """Return a tokenizer that knows more units; tokens of those it knows stay the same.

        Parameters
        ----------
        more
            Ids, or a tokenizer, which has the levels of its units too.

        Raises
        ------
        ConfigError
            If units are new and do not have as many levels as the known ones.

        Examples
        --------
        >>> SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=3).extend(["a", "c"]).units
        ('a', 'c')
        """
        ids: tuple[str, ...]
        if isinstance(more, SpikeTokenizer):
            ids, edges, values, n_marks = (
                more.units,
                more.mark_edges,
                more.mark_values,
                more.n_marks,
            )
        else:
            ids, edges, values, n_marks = tuple(more), (), (), 0
        known = set(self.units)

        def of_new(table: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(item for item, unit in zip(table, ids) if unit not in known)

        if of_new(ids) and n_marks != self.n_marks:
            raise ConfigError(
                "more units have other marks",
                found=f"{n_marks} levels",
                expected=f"{self.n_marks} levels",
                hint="extend(tokenizer_for(recording, config)) brings the levels of its units",
            )
        return replace(
            self,
            units=self.units + of_new(ids),
            mark_edges=self.mark_edges + of_new(edges),
            mark_values=self.mark_values + of_new(values),
        )

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

    def marks(self, unit: ArrayLike, amplitude: ArrayLike) -> NDArray[np.int64]:
        """Return the level of the amplitude of each event, int64 (spike,), of unit tokens (spike,).

        Raises
        ------
        ConfigError
            If there are no marks.
        DataError
            If an amplitude is not finite.

        Examples
        --------
        >>> levels = {"mark_edges": ((2.0,),), "mark_values": ((1.2, 4.5),)}
        >>> tokenizer = SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=3, **levels)
        >>> tokenizer.marks([3, 3], [0.5, 7.0]), tokenizer.amplitudes([3, 3], [0, 1])
        (array([0, 1]), array([1.2, 4.5], dtype=float32))
        """
        self._require_marks()
        size = np.asarray(amplitude, dtype=np.float64)
        if not np.isfinite(size).all():
            raise DataError("amplitudes must be finite", found=f"{(~np.isfinite(size)).sum()} not")
        edges = np.asarray(self.mark_edges, dtype=np.float64)
        column = np.asarray(unit, dtype=np.int64) - FIRST_UNIT
        level = np.zeros(size.shape, dtype=np.int64)
        for number in range(self.n_marks - 1):
            level += size > edges[column, number]
        return level

    def amplitudes(self, unit: ArrayLike, mark: ArrayLike) -> NDArray[np.float32]:
        """Return the mean amplitude of levels (spike,) of unit tokens (spike,), float32.

        Raises
        ------
        ConfigError
            If there are no marks.
        """
        self._require_marks()
        values = np.asarray(self.mark_values, dtype=np.float32)
        found: NDArray[np.float32] = values[np.asarray(unit) - FIRST_UNIT, np.asarray(mark)]
        return found

    def _require_marks(self) -> None:
        if not self.n_marks:
            raise ConfigError("the tokenizer has no marks", hint="NeuroformerConfig(n_marks=4)")

    def _check_marks(self) -> None:
        pairs = list(zip(self.mark_edges, self.mark_values))
        wanted = self.n_units if self.mark_edges or self.mark_values else 0
        fits = len(self.mark_edges) == len(self.mark_values) == wanted and all(
            len(values) == self.n_marks > len(edges) == self.n_marks - 1
            and list(edges) == sorted(edges)
            for edges, values in pairs
        )
        if not fits:
            raise ConfigError(
                "levels of amplitude do not fit",
                found=f"edges of {len(self.mark_edges)} units, values of {len(self.mark_values)}",
                expected=f"ascending edges and one value more, of each of {self.n_units} units",
            )

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
