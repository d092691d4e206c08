"""Generation of window after window, each of which reads what was generated before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.neuroformer.captured_step import CapturedStep
from neurodyn.models.neuroformer.generation import GeneratedTokens, Sampling, sample_windows
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.spikes_of_rows import SpikesOfRows
from neurodyn.training.display import tracked

__all__ = ["DivergenceWatch", "FreeRun", "FreeRunning", "Reader", "cut_segments", "free_run"]

Ints = NDArray[np.int64]
#: From first bins of windows, (window,), to what they read, as a batch of as many rows.
Reader = Callable[[Ints], Mapping[str, Tensor]]
Draw = Callable[[Mapping[str, Tensor]], GeneratedTokens]


@dataclass(frozen=True, kw_only=True)
class DivergenceWatch:
    """When a row that runs freely is stopped.

    Parameters
    ----------
    most_spikes
        Most spikes of a training window: a window of more than ``limit`` times as many stops its
        row. If not given, only ``Sampling.max_spikes`` bounds a window.
    longest_silence
        Longest time without a spike in training data [bins]: a row that is silent for more than
        ``limit`` times as long, and for longer than it remembers, is stopped. If not given,
        silence stops no row.
    limit
        The factor, 1 or more.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> DivergenceWatch(most_spikes=5).bound(Sampling()).max_spikes
    15
    """

    most_spikes: int | None = None
    longest_silence: int | None = None
    limit: float = 3.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.limit >= 1):
            raise ConfigError("invalid value for limit", found=self.limit, expected="1 or more")
        for name in ("most_spikes", "longest_silence"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(f"invalid value for {name}", found=value, expected="0 or more")

    def bound(self, sampling: Sampling) -> Sampling:
        """Return settings under which no window gets more spikes than this allows."""
        if self.most_spikes is None:
            return sampling
        most = max(1, math.ceil(self.limit * self.most_spikes))
        return replace(sampling, max_spikes=min(sampling.max_spikes, most))

    def silence(self, memory: int) -> float:
        """Return the longest silence [bins] of rows that remember ``memory`` bins."""
        if self.longest_silence is None:
            return math.inf
        return max(self.limit * self.longest_silence, float(memory))


@dataclass(frozen=True, kw_only=True)
class FreeRunning:
    """How windows are generated one after another.

    Parameters
    ----------
    n_samples
        Samples of each segment.
    past
        ``"generated"``: a window reads the spikes that were generated before it, and recorded
        ones only as far as its past reaches before the begin of the segment. ``"true"``: every
        window reads the recorded past.
    sampling, watch
        How tokens are drawn, and when a row (a sample of a segment) is stopped.
    batch_size
        Most rows that are generated at once; at least all samples of one segment are.
    seed
        Of all draws.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> FreeRunning(n_samples=4).past
    'generated'
    """

    n_samples: int = 1
    past: Literal["generated", "true"] = "generated"
    sampling: Sampling = field(default_factory=Sampling)
    watch: DivergenceWatch = field(default_factory=DivergenceWatch)
    batch_size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("past", self.past, ("generated", "true"))
        for name in ("n_samples", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"invalid value for {name}", found=getattr(self, name), expected="1 or more"
                )


class FreeRun(NamedTuple):
    """What was generated; burn-in and what was stopped are left out.

    Attributes
    ----------
    segment, sample
        Where each spike belongs, int64 (spike,).
    bin, unit
        Bin on the axis of the segments, and token, int64 (spike,), in the order of generation.
    begin
        First bin of each segment that counts, int64 (segment,).
    stop
        The bin after the last that counts, int64 (segment, sample).
    diverged, silent
        Rows that were stopped for too many spikes or for none, bool (segment, sample).
    mark
        Of each spike, where the network has marks, int64 (spike,).
    backend
        How steps ran: ``"cuda graph"`` or ``"eager"``.
    """

    segment: Ints
    sample: Ints
    bin: Ints
    unit: Ints
    begin: Ints
    stop: Ints
    diverged: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    mark: Ints | None = None
    backend: str = "eager"


def cut_segments(
    first: Ints, n_windows: Ints, n_bins: int, *, n_burn: int = 0, n_kept: int | None = None
) -> Ints:
    """Return segments that are generated side by side and together fill their stretches.

    Parameters
    ----------
    first, n_windows
        First bin of the first window of each stretch, and windows that fit, (stretch,).
    n_bins
        Bins of a window.
    n_burn
        Windows before each segment that are generated and do not count. A segment within a
        stretch burns in on what the one before it fills.
    n_kept
        Most windows of a segment that count; those of a stretch if not given.

    Returns
    -------
    ndarray
        First bin, first bin that counts and the bin after the last, int64 (segment, 3). Stretches
        that are no longer than the burn-in have none.

    Examples
    --------
    >>> cut_segments(np.array([10]), np.array([6]), 5, n_burn=1, n_kept=3).tolist()
    [[10, 15, 30], [25, 30, 40]]
    """
    found = []
    for begin, n in zip(first.tolist(), n_windows.tolist()):
        for kept in range(n_burn, n, max(1, n - n_burn) if n_kept is None else n_kept):
            stop = n if n_kept is None else min(n, kept + n_kept)
            found.append([begin + x * n_bins for x in (kept - n_burn, kept, stop)])
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def free_run(
    network: NeuroformerNetwork,
    read: Reader,
    segments: Ints,
    settings: FreeRunning | None = None,
    *,
    progress: bool = True,
) -> FreeRun:
    """Generate segments window by window, segments and samples side by side.

    Parameters
    ----------
    network
        In evaluation mode.
    read
        Gives what windows read. Of ``past="generated"`` its past is used for the first window of
        a segment alone.
    segments
        As of :func:`cut_segments`.
    settings
        How to generate.
    progress
        Whether a terminal shows a bar.

    Raises
    ------
    ConfigError
        If the network is in training mode.

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4)).eval()
    >>> silence = lambda starts: dict.fromkeys(
    ...     ("past_unit", "past_bin"), torch.zeros(len(starts), 0, dtype=torch.int64)
    ... )
    >>> free_run(network, silence, np.array([[0, 5, 20]]), FreeRunning(n_samples=2)).stop.tolist()
    [[20, 20]]
    """
    settings = FreeRunning() if settings is None else settings
    generator = torch.Generator(network.norm.weight.device).manual_seed(settings.seed)
    at_once = max(1, settings.batch_size // settings.n_samples)
    parts = [segments[at : at + at_once] for at in range(0, len(segments), at_once)]
    sampling = settings.watch.bound(settings.sampling)
    draw: Draw = partial(sample_windows, network, sampling=sampling, generator=generator)
    backend = "eager"
    if network.norm.weight.is_cuda:
        step = CapturedStep(network, sampling, generator)
        draw, backend = step.sample, step.backend
    walks = [_Walk(network, read, part, settings, draw) for part in parts]
    steps = [(walk, number) for walk in walks for number in range(walk.n_steps)]
    for walk, number in tracked(steps, "generating", shown=progress):
        walk.step(number)
    return _joined(walks, segments, settings.n_samples, at_once)._replace(backend=backend)


class _Walk:
    """Rows, of which number ``segment * n_samples + sample`` is a sample of a segment."""

    def __init__(
        self,
        network: NeuroformerNetwork,
        read: Reader,
        segments: Ints,
        settings: FreeRunning,
        draw: Draw,
    ) -> None:
        self.network, self.read, self.draw = network, read, draw
        self.n_bins, self.n_past = network.config.n_bins, network.config.n_past_bins
        self.free = settings.past == "generated"
        self.longest_silence = settings.watch.silence(self.n_bins + self.n_past)
        n_samples = settings.n_samples
        self.first, self.begin, self.stop = np.repeat(segments, n_samples, axis=0).T.copy()
        self.n_steps = int((self.stop - self.first).max(initial=0)) // self.n_bins
        self.row = np.arange(self.first.size)
        self.quiet = np.zeros_like(self.row)
        self.diverged = np.zeros(self.row.size, dtype=bool)
        self.silent = np.zeros_like(self.diverged)
        self.memory: SpikesOfRows | None = None
        self.found: list[SpikesOfRows] = []

    def step(self, number: int) -> None:
        """Generate a window of each row that still runs."""
        offset = number * self.n_bins
        self.row = self.row[self.first[self.row] + offset < self.stop[self.row]]
        if not self.row.size:
            return
        start = self.first[self.row] + offset
        with torch.inference_mode():
            drawn = self.draw(self._batch(start))
        new = SpikesOfRows.of(_fields(drawn), self.row)
        self._watch(new, drawn.ended.cpu().numpy(), start)
        new = new.take((self.stop > self.first + offset)[new.row])
        self.found.append(new.moved(self.first[new.row] + offset))
        if self.memory is not None:
            self.memory = self._remember(self.memory.joined(new), offset + self.n_bins)

    def _batch(self, start: Ints) -> dict[str, Tensor]:
        """Return what rows read; what windows share is read once."""
        distinct, number = np.unique(start, return_inverse=True)
        index = torch.from_numpy(number.reshape(-1))
        batch = {name: value[index] for name, value in self.read(distinct).items()}
        if self.free:
            if self.memory is None:
                names = [name for name in ("bin", "unit", "mark") if f"past_{name}" in batch]
                own = {name: batch[f"past_{name}"] for name in names}
                self.memory = SpikesOfRows.of(own, self.row)
            batch |= self.memory.as_past(self.row)
        device = self.network.norm.weight.device
        return {name: value.to(device) for name, value in batch.items()}

    def _watch(self, new: SpikesOfRows, ended: NDArray[np.bool_], start: Ints) -> None:
        """Stop rows before the window in which they went astray."""
        last = np.full(self.first.size, -1)
        np.maximum.at(last, new.row, new.field["bin"])
        own = last[self.row]
        silence = np.where(own < 0, self.quiet[self.row] + self.n_bins, self.n_bins - 1 - own)
        self.quiet[self.row] = silence
        self.diverged[self.row] = ~ended
        self.silent[self.row] = ended & (silence > self.longest_silence)
        astray = (self.diverged | self.silent)[self.row]
        self.stop[self.row[astray]] = start[astray]

    def _remember(self, spikes: SpikesOfRows, offset: int) -> SpikesOfRows:
        """Return the spikes that the windows at ``offset`` may read, in bins from their begin."""
        moved = spikes.moved(-self.n_bins)
        goes_on = (self.stop > self.first + offset)[moved.row]
        return moved.take(goes_on & (moved.field["bin"] >= -self.n_past))


def _fields(drawn: GeneratedTokens) -> dict[str, Tensor]:
    """Return the tokens of drawn windows, without what is said of whole windows."""
    fields = drawn._asdict()
    return {name: value for name, value in fields.items() if value is not None and name != "ended"}


def _joined(walks: list[_Walk], segments: Ints, n_samples: int, at_once: int) -> FreeRun:
    """Return what all rows generated after the burn-in."""
    parts = []
    for number, walk in enumerate(walks):
        for spikes in walk.found:
            counted = spikes.take(spikes.field["bin"] >= walk.begin[spikes.row])
            parts.append(counted._replace(row=counted.row + number * at_once * n_samples))
    row = _concatenated([part.row for part in parts])
    field = {
        name: _concatenated([part.field[name] for part in parts])
        for name in (parts[0].field if parts else ("bin", "unit"))
    }
    stop, diverged, silent = (
        np.concatenate([getattr(walk, name) for walk in walks]).reshape(-1, n_samples)
        for name in ("stop", "diverged", "silent")
    )
    return FreeRun(
        segment=row // n_samples,
        sample=row % n_samples,
        bin=field["bin"],
        unit=field["unit"],
        begin=segments[:, 1],
        stop=np.maximum(stop, segments[:, 1:2]),
        diverged=diverged,
        silent=silent,
        mark=field.get("mark"),
    )


def _concatenated(parts: list[Ints]) -> Ints:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])
