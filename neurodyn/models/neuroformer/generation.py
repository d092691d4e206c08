"""Sampling of windows token by token, with a cache, many rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from neurodyn.errors import ConfigError, TrainingDivergedError
from neurodyn.models.neuroformer.blocks import Context
from neurodyn.models.neuroformer.decoding_cache import DecodingCache
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.tokenizer import EOS, FIRST_UNIT, PAD, SOS

__all__ = [
    "GeneratedTokens",
    "Sampling",
    "TokenDraws",
    "keep_likely",
    "read_windows",
    "sample_windows",
]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn; the temperature acts before what is unlikely is left out.

    Parameters
    ----------
    bin_temperature, unit_temperature, mark_temperature
        Divide the logits; below 1 is less random.
    top_k
        How many of the likeliest bins, of the likeliest units and of the likeliest marks are kept;
        0 keeps all.
    top_p
        Keeps the likeliest until their probability reaches this; 1 keeps all.
    max_spikes
        Most spikes of a window; windows that reach it are reported, not ended.
    capture
        Whether a step is captured as a CUDA graph where windows are generated one after another on
        CUDA; the samples are the same without.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> Sampling(top_p=0.95).unit_temperature
    1.0
    """

    bin_temperature: float = 1.0
    unit_temperature: float = 1.0
    mark_temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_spikes: int = 500
    capture: bool = True

    def __post_init__(self) -> None:
        ranges = {
            "bin_temperature": self.bin_temperature > 0,
            "unit_temperature": self.unit_temperature > 0,
            "mark_temperature": self.mark_temperature > 0,
            "top_k": self.top_k >= 0,
            "top_p": 0 < self.top_p <= 1,
            "max_spikes": self.max_spikes >= 1,
        }
        for name, valid in ranges.items():
            if not valid:
                raise ConfigError(f"invalid value for {name}", found=getattr(self, name))


class GeneratedTokens(NamedTuple):
    """Windows that were drawn.

    Attributes
    ----------
    unit, bin
        SOS, spikes, EOS and padding, int64 (row, token), rows by window, then by sample.
    ended
        Which rows ended by themselves, bool (row,); the others reached ``max_spikes``.
    mark
        Levels of amplitude, int64 (row, token), 0 of what is no spike; None without marks.
    """

    unit: Tensor
    bin: Tensor
    ended: Tensor
    mark: Tensor | None = None


def keep_likely(log_prob: Tensor, *, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Return log-probabilities (row, choice) with -inf for what is too unlikely, row by row.

    Parameters
    ----------
    log_prob
        Log-probabilities, (row, choice).
    top_k, top_p
        As of :class:`Sampling`; the likeliest choice always stays.

    Examples
    --------
    >>> keep_likely(torch.tensor([[0.5, 0.3, 0.2]]).log(), top_p=0.6).exp()
    tensor([[0.5000, 0.3000, 0.0000]])
    """
    if not 0 < top_k < log_prob.shape[-1] and top_p >= 1:
        return log_prob
    ordered, choice = log_prob.sort(-1, descending=True)
    probability = ordered.exp()
    # what is likelier reaches top_p already
    drop = probability.cumsum(-1) - probability >= top_p
    if top_k:
        drop |= torch.arange(drop.shape[-1], device=drop.device) >= top_k
    drop[:, 0] = False
    return log_prob.masked_fill(torch.zeros_like(drop).scatter(-1, choice, drop), -torch.inf)


@torch.no_grad()
def sample_windows(
    network: NeuroformerNetwork,
    batch: Mapping[str, Tensor],
    *,
    n_samples: int = 1,
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
) -> GeneratedTokens:
    """Draw the spikes of windows, given what is before them.

    Past, stimulus and behavior are encoded once for each window, a stimulus once for all windows
    that share it; rows that end are taken out of the batch, half of it at a time. The window's own
    spikes in ``batch`` are not read.

    Parameters
    ----------
    network
        A network in evaluation mode.
    batch
        What is read of each window.
    n_samples
        Draws of each window.
    sampling
        Temperature and limits.
    generator
        Source of randomness, on the network's device.

    Raises
    ------
    ConfigError
        If the network is in training mode.
    TrainingDivergedError
        If the network gives numbers that are not finite.

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4)).eval()
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> drawn = sample_windows(network, past, n_samples=3, generator=torch.manual_seed(0))
    >>> drawn.unit[:, 0].tolist(), drawn.ended.tolist()
    ([1, 1, 1], [True, True, True])
    """
    sampling = Sampling() if sampling is None else sampling
    n_windows = len(next(iter(batch.values())))
    window = torch.arange(n_windows, device=network.norm.weight.device)
    contexts, recorded = read_windows(network, batch, window.repeat_interleave(n_samples))
    n_rows, n_tokens = n_windows * n_samples, sampling.max_spikes + 1
    cache = network.begin(contexts, n_rows, n_tokens, recorded)
    return _Rows(network, cache, n_rows, n_tokens, TokenDraws(network, sampling, generator)).run()


def read_windows(
    network: NeuroformerNetwork, batch: Mapping[str, Tensor], window: Tensor
) -> tuple[dict[str, Context], Tensor | None]:
    """Return what rows read, held once for each window, and which units can spike in each row.

    Parameters
    ----------
    network, batch
        As of :func:`sample_windows`.
    window
        Window of each row, int64 (row,).

    Raises
    ------
    ConfigError
        If the network is in training mode.

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4)).eval()
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> read_windows(network, past, torch.tensor([0, 0, 0]))[0]["past"].row
    tensor([0, 0, 0])
    """
    if network.training:
        raise ConfigError("the network is in training mode", hint="network.eval()")
    contexts = {
        name: context._replace(row=window if context.row is None else context.row[window])
        for name, context in network.contexts(batch).items()
    }
    recorded = batch.get("recorded")
    return contexts, None if recorded is None else recorded[window]


class TokenDraws:
    """Draws bins, units and marks from what the heads of a network say of states.

    Nothing here waits for the device but :meth:`check`.

    Parameters
    ----------
    network, sampling, generator
        As of :func:`sample_windows`.

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> network = NeuroformerNetwork(NeuroformerConfig(size=16), NeuroformerSizes(n_units=4))
    >>> draws = TokenDraws(network, Sampling(top_k=1), None)
    >>> draws.bin(torch.zeros(2, 16), torch.tensor([0, 3])).tolist()
    [0, 3]
    """

    def __init__(
        self,
        network: NeuroformerNetwork,
        sampling: Sampling,
        generator: torch.Generator | None,
    ) -> None:
        self.head, self.sampling, self.generator = network.head, sampling, generator
        self._valid = torch.ones((), dtype=torch.bool, device=network.norm.weight.device)

    def bin(self, hidden: Tensor, previous_bin: Tensor) -> Tensor:
        """Return a bin or the end (row,) for states (row, feature)."""
        temperature = self.sampling.bin_temperature
        return self._draw(self.head.bin_log_prob(hidden, previous_bin, temperature))

    def unit(
        self,
        hidden: Tensor,
        bins: Tensor,
        unit: Tensor,
        previous_bin: Tensor,
        recorded: Tensor | None,
    ) -> Tensor:
        """Return a unit's token (row,) given its bin, and unit and bin of the spike before."""
        given = (bins, unit, previous_bin, recorded)
        log_prob = self.head.unit_log_prob(hidden, *given, self.sampling.unit_temperature)
        return FIRST_UNIT + self._draw(log_prob)

    def mark(
        self, hidden: Tensor, unit: Tensor, bins: Tensor, previous: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        """Return a mark (row,) of a spike, given the one before; 0 where there are no marks."""
        if self.head.mark is None:
            return torch.zeros_like(unit)
        temperature = self.sampling.mark_temperature
        return self._draw(self.head.mark(hidden, unit, bins, previous, temperature))

    def check(self) -> None:
        """Raise if anything was drawn from what were no probabilities.

        Raises
        ------
        TrainingDivergedError
            If the heads gave numbers that are not finite.
        """
        if not bool(self._valid):
            raise TrainingDivergedError(
                "the network gives no probabilities of the next token",
                found="numbers that are not finite",
                hint="look at weights and inputs",
            )

    def _draw(self, log_prob: Tensor) -> Tensor:
        kept = keep_likely(log_prob, top_k=self.sampling.top_k, top_p=self.sampling.top_p)
        # torch.multinomial draws the same, but the host waits for its checks
        clock = torch.empty_like(kept).exponential_(generator=self.generator)
        most, choice = (kept.exp() / clock).max(-1)
        self._valid &= (most > 0).all()
        return choice


class _Rows:
    """Rows that are drawn; those that ended leave the batch when they are half of it."""

    def __init__(
        self,
        network: NeuroformerNetwork,
        cache: DecodingCache,
        n_rows: int,
        n_tokens: int,
        draws: TokenDraws,
    ) -> None:
        self.network, self.cache, self.n_tokens = network, cache, n_tokens
        self.draws = draws
        device = network.norm.weight.device
        self.unit = torch.zeros((n_rows, n_tokens + 1), dtype=torch.int64, device=device)
        self.bins, self.mark = torch.zeros_like(self.unit), torch.zeros_like(self.unit)
        self.unit[:, 0] = SOS
        # rows of the result that the cache holds, and which of them go on
        self.row = torch.arange(n_rows, device=device)
        self.alive = torch.ones(n_rows, dtype=torch.bool, device=device)
        self.ended = torch.zeros_like(self.alive)

    def run(self) -> GeneratedTokens:
        for position in range(1, self.n_tokens + 1):
            tokens = (self.unit, self.bins, self.mark)
            unit, bins, mark = (x[self.row, position - 1] for x in tokens)
            hidden = self.network.step(unit, bins, self.cache, mark)
            choice = self.draws.bin(hidden, bins)
            self._end(choice, position)
            if position == self.n_tokens or not bool(self.alive.any()):
                break
            kept = self._compact()
            hidden, choice, unit, bins, mark = (x[kept] for x in (hidden, choice, unit, bins, mark))
            # rows that ended are drawn too and not used
            choice = choice.clamp_max(self.network.config.n_bins - 1)
            drawn = self.draws.unit(hidden, choice, unit, bins, self.cache.recorded)
            row = self.row[self.alive]
            self.bins[row, position] = choice[self.alive]
            self.unit[row, position] = drawn[self.alive]
            if self.network.head.mark is not None:
                level = self.draws.mark(hidden, drawn, choice, (unit, bins, mark))
                self.mark[row, position] = level[self.alive]
        return self._found()

    def _found(self) -> GeneratedTokens:
        self.draws.check()
        longest = int((self.unit != PAD).sum(1).max())
        unit, bins, mark = (x[:, :longest] for x in (self.unit, self.bins, self.mark))
        marked = self.network.head.mark is not None
        return GeneratedTokens(unit, bins, self.ended, mark if marked else None)

    def _end(self, choice: Tensor, position: int) -> None:
        n_bins = self.network.config.n_bins
        row = self.row[self.alive & (choice == n_bins)]
        self.bins[row, position], self.unit[row, position] = n_bins, EOS
        self.ended[row] = True
        self.alive = ~self.ended[self.row]

    def _compact(self) -> Tensor:
        """Return which rows of the cache stay: as copying costs, few at a time do not leave."""
        kept = torch.nonzero(self.alive)[:, 0]
        if 2 * kept.numel() > self.alive.numel():
            return torch.arange(self.alive.numel(), device=kept.device)
        self.cache.select(kept)
        self.row, self.alive = self.row[kept], self.alive[kept]
        return kept
