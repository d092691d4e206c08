"""Windows over a token store: current and past spikes, stimulus and behavior as tensors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import (
    ConfigError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    one_of,
    suggest,
)
from neurodyn.models.neuroformer.bucket_sampler import LengthBucketSampler
from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
from neurodyn.models.neuroformer.sampled_series import PlacedSeries, SampledSeries
from neurodyn.models.neuroformer.token_store import TokenStore
from neurodyn.models.neuroformer.tokenizer import EOS, SOS

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TokenWindows"]

Boundary = Literal["start", "stop", "next"]


class TokenWindows:
    """Windows of spikes to predict, with what is read to predict them.

    A window and its past lie in one stretch. Windows without a spike are windows too.

    Parameters
    ----------
    store
        Tokens of the recording; its bins are those of ``config``.
    config
        Lengths of window, past and inputs.
    series
        Samples of ``"stimulus"`` and of the behaviors of ``config``, by name.
    step
        Bins from one window to the next; by default a window, so that none overlap.
    starts
        First bin of each window, ``(window,)``, instead of regular ones.
    on_overflow
        What to do with windows of more spikes than the tokenizer's ``max_spikes``: ``"raise"``,
        or ``"drop"`` them and warn. No spike is ever cut off.

    Attributes
    ----------
    starts : ndarray
        First bin of each window, int64.
    n_overflow : int
        Windows that were dropped.
    reach : int
        Bins before the begin of a window that it reads: the past, or longer inputs.

    Raises
    ------
    ConfigError
        If bins, inputs or starts do not fit.
    DataError
        If windows have too many spikes.
    EmptySelectionError
        If there is no window.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
    >>> config = NeuroformerConfig(bin_size=0.01, window=0.05, past=0.1)
    >>> tokenizer = SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=5)
    >>> spikes = spikes_from_units({"a": [0.05, 0.121]})
    >>> windows = TokenWindows(TokenStore(spikes, tokenizer, [[0.0, 0.3]]), config)
    >>> len(windows), windows.gather([0])["unit"].tolist(), windows.gather([0])["bin"].tolist()
    (4, [[1, 3, 2]], [[0, 2, 5]])
    """

    def __init__(
        self,
        store: TokenStore,
        config: NeuroformerConfig,
        series: Mapping[str, SampledSeries] | None = None,
        *,
        step: int | None = None,
        starts: ArrayLike | None = None,
        on_overflow: Literal["raise", "drop"] = "raise",
    ) -> None:
        one_of("on_overflow", on_overflow, ("raise", "drop"))
        tokenizer = store.tokenizer
        own = (tokenizer.n_bins, tokenizer.bin_size, tokenizer.n_marks)
        wanted = (config.n_bins, config.bin_size, config.n_marks)
        if own != wanted:
            said = [f"{n} bins of {size} s, {marks} marks" for n, size, marks in (own, wanted)]
            raise ConfigError(
                "the tokenizer does not fit the configuration", found=said[0], expected=said[1]
            )
        self.store, self.length, self.n_past = store, config.n_bins, config.n_past_bins
        self._place(config, {} if series is None else series)
        found = self._regular(step) if starts is None else self._checked(starts)
        self.starts, self.n_overflow = self._fitting(found, on_overflow)
        inputs = [self.stimulus, *self.behavior.values()]
        reach = [one.reach(self.starts, self.length) for one in inputs if one is not None]
        self.reach = max([self.n_past, *reach])

    def __len__(self) -> int:
        return int(self.starts.size)

    @property
    def n_spikes(self) -> NDArray[np.int64]:
        """Spikes of each window, ``(window,)``."""
        offset = self.store.offset
        return offset[self.starts + self.length] - offset[self.starts]

    @property
    def n_tokens(self) -> NDArray[np.int64]:
        """Tokens of each window and of its past, which its cost follows, ``(window,)``."""
        offset = self.store.offset
        return offset[self.starts + self.length] - offset[self.starts - self.n_past] + 1

    def sizes(self) -> NeuroformerSizes:
        """Return the sizes that a network for these windows has."""
        stimulus: tuple[int, ...] = ()
        if self.stimulus is not None:
            stimulus = (self.stimulus.n_samples, *self.stimulus.values.shape[1:])
        return NeuroformerSizes(
            n_units=self.store.tokenizer.n_units,
            stimulus=stimulus,
            stimulus_step=0.0 if self.stimulus is None else self.stimulus.step,
            behavior={n: p.values.shape[1] for n, p in {**self.behavior, **self.targets}.items()},
        )

    def scales(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return mean and standard deviation of each feature, over what these windows read.

        Keys are ``"stimulus"`` and the names of behaviors; those of training windows standardise
        what the network reads and decodes.
        """
        placed = {**self.targets, **self.behavior}
        if self.stimulus is not None:
            placed["stimulus"] = self.stimulus
        return {name: one.scale(self.starts, self.length) for name, one in placed.items()}

    def time(self) -> NDArray[np.float64]:
        """Return the begin of each window [s]."""
        return self.store.time(self.starts)

    def stretch(self) -> NDArray[np.int64]:
        """Return the stretch, a trial for example, of each window."""
        return self.store.stretch(self.starts)

    def spans(self) -> NDArray[np.int64]:
        """Return first and last bin (exclusive) of each window, stretches ``reach`` bins apart.

        What a window reads of the past never reaches into another stretch.
        """
        start = self.starts + self.stretch() * self.reach
        return np.column_stack([start, start + self.length])

    def take(self, index: ArrayLike) -> TokenWindows:
        """Return windows over the same store (no copy) with only some of the windows.

        Raises
        ------
        EmptySelectionError
            If ``index`` is empty.
        """
        part = object.__new__(TokenWindows)
        part.__dict__.update(self.__dict__)
        part.starts = self.starts[np.asarray(index, dtype=np.int64).reshape(-1)]
        if not part.starts.size:
            raise EmptySelectionError("no window is chosen")
        return part

    def sampler(self, batch_size: int, seed: int) -> LengthBucketSampler:
        """Return batches of windows of similar length, for training."""
        return LengthBucketSampler(self.n_tokens, batch_size, seed)

    def gather(self, index: ArrayLike) -> dict[str, Tensor]:
        """Return some windows as tensors, padded to the longest of them.

        Returns
        -------
        dict
            ``unit``, ``bin`` int64 (batch, token): SOS, spikes, EOS, then padding;
            ``past_unit``, ``past_bin`` (batch, past token): spikes before, bins below 0;
            ``mark``, ``past_mark``, int64 as these, where there are marks, 0 of what is no spike;
            ``recorded`` bool (batch, unit): the units that the recording has, not to be written to;
            ``stimulus``, ``stimulus_time`` [bins], ``stimulus_known``, ``stimulus_row`` (batch,
            sample, ...), and ``input:<name>``, ``input_time:<name>``, ``input_known:<name>`` of
            each behavior that is read; ``target:<name>`` (batch, feature) float32,
            ``target_known:<name>`` (batch,); ``index`` int64 (batch,).
        """
        import torch

        chosen = np.asarray(index, dtype=np.int64).reshape(-1)
        starts = self.starts[chosen]
        batch: dict[str, Any] = {"index": chosen.copy()}
        own, n_spikes = self._spikes(starts, starts + self.length, 2)
        row = np.arange(chosen.size)
        own["unit"][:, 0] = SOS
        own["unit"][row, n_spikes + 1], own["bin"][row, n_spikes + 1] = EOS, self.length
        past, _ = self._spikes(starts - self.n_past, starts, 0)
        past["bin"] -= self.n_past
        batch.update(own)
        batch.update({f"past_{name}": value for name, value in past.items()})
        if self.stimulus is not None:
            names = ["stimulus", "stimulus_time", "stimulus_known", "stimulus_row"]
            batch.update(zip(names, self.stimulus.read(starts, self.length)))
        for name, placed in self.behavior.items():
            names = [f"input:{name}", f"input_time:{name}", f"input_known:{name}"]
            batch.update(zip(names, placed.read(starts, self.length)))
        for name, placed in self.targets.items():
            names = [f"target:{name}", f"target_known:{name}"]
            batch.update(zip(names, placed.last(starts, self._at[name])))
        tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
        recorded = torch.from_numpy(self.store.recorded)
        return {**tensors, "recorded": recorded.expand(chosen.size, -1)}

    def _spikes(
        self, begin: NDArray[np.int64], end: NDArray[np.int64], n_special: int
    ) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
        """Return fields of ragged slices as padded rows, with room for SOS and EOS, and sizes."""
        first = self.store.offset[begin]
        size = self.store.offset[end] - first
        row = np.repeat(np.arange(size.size), size)
        within = np.arange(row.size) - np.repeat(np.cumsum(size) - size, size)
        source = first[row] + within
        column = within + (n_special > 0)
        fields = {"unit": self.store.unit[source], "bin": self.store.bins[source] - begin[row]}
        if self.store.mark is not None:
            fields["mark"] = self.store.mark[source]
        shape = (size.size, int(size.max(initial=0)) + n_special)
        found = {name: np.zeros(shape, dtype=np.int64) for name in fields}
        for name, value in fields.items():
            found[name][row, column] = value
        return found, size

    def _place(self, config: NeuroformerConfig, series: Mapping[str, SampledSeries]) -> None:
        def place(name: str, duration: float, until: Boundary) -> PlacedSeries:
            if name not in series:
                raise ConfigError(
                    f"the data lack {name!r}, which the configuration uses",
                    hint=suggest(name, series),
                )
            return PlacedSeries(series[name], self.store, duration=duration, until=until)

        self.stimulus: PlacedSeries | None = None
        if config.stimulus is not None:
            until: Boundary = "next" if config.quirks.future_frames else config.stimulus.until
            self.stimulus = place("stimulus", config.stimulus.window, until)
        self.behavior = {b.name: place(b.name, b.window, b.until) for b in config.behavior}
        self.targets = {t.name: place(t.name, config.window, "stop") for t in config.targets}
        self._at = {t.name: t.at * self.length for t in config.targets}

    def _regular(self, step: int | None) -> NDArray[np.int64]:
        step = self.length if step is None else step
        if step < 1:
            raise ConfigError("step must be at least one bin", found=f"step={step}")
        first = self.store.first
        found = [
            np.arange(begin + self.n_past, end - self.length + 1, step, dtype=np.int64)
            for begin, end in pairwise(first.tolist())
        ]
        return np.concatenate(found)

    def _checked(self, starts: ArrayLike) -> NDArray[np.int64]:
        found = np.asarray(starts, dtype=np.int64).reshape(-1)
        inside = (found >= self.n_past) & (found + self.length <= self.store.n_bins)
        begin = self.store.stretch(np.where(inside, found - self.n_past, 0))
        inside &= begin == self.store.stretch(np.where(inside, found + self.length - 1, 0))
        bad = np.flatnonzero(~inside)
        if bad.size:
            raise ConfigError(
                "a window or its past reaches out of its stretch",
                where=f"starts[{bad[0]}]",
                found=f"bins {found[bad[0]] - self.n_past} to {found[bad[0]] + self.length}",
                expected=f"inside one stretch, {self.store.n_bins} bins in all",
            )
        return found

    def _fitting(
        self, starts: NDArray[np.int64], on_overflow: str
    ) -> tuple[NDArray[np.int64], int]:
        """Return the windows whose spikes fit and how many do not."""
        if not starts.size:
            raise EmptySelectionError(
                "there are no windows",
                found=f"stretches of up to {np.diff(self.store.first).max()} bins",
                expected=f"past and window, {self.n_past} + {self.length} bins",
            )
        largest = self.store.tokenizer.max_spikes
        n_spikes = self.store.offset[starts + self.length] - self.store.offset[starts]
        over = np.zeros(starts.size, dtype=bool) if largest is None else n_spikes > largest
        n_over = int(over.sum())
        if not n_over:
            return starts, 0
        text = f"{n_over} of {starts.size} windows have more than max_spikes={largest} spikes"
        if on_overflow == "raise" or n_over == starts.size:
            raise DataError(
                text,
                found=f"up to {n_spikes.max()}",
                hint="a larger max_spikes, a shorter window, or on_overflow='drop'",
            )
        warnings.warn(f"{text}: they are left out", DataQualityWarning, stacklevel=3)
        return starts[~over], n_over
