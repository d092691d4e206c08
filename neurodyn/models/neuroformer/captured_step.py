"""Sampling of windows on CUDA by a step of fixed shapes, captured as a graph and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from neurodyn.errors import ConfigError
from neurodyn.models.neuroformer.blocks import Context, KeysValues
from neurodyn.models.neuroformer.decoding_cache import DecodingCache, FixedKeys
from neurodyn.models.neuroformer.generation import (
    GeneratedTokens,
    Sampling,
    TokenDraws,
    read_windows,
)
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.tokenizer import EOS, PAD, SOS

__all__ = ["CapturedStep"]

#: Tokens between two looks at whether all rows have ended, for which the host waits.
TOKENS_PER_LOOK = 4
#: The fewest tokens, of a past or of the window so far, that a graph is made for.
FEWEST_READ = 32
#: Graphs are kept for so many sizes of batches, those of the oldest are given up first.
MOST_SIZES = 8


class CapturedStep:
    """Samples windows as :func:`~neurodyn.models.neuroformer.generation.sample_windows` does.

    A step draws a token of every row. Its shapes do not depend on what was drawn and the host does
    not wait for it, so that on CUDA it is captured once as a graph, which is replayed for all
    later tokens and windows. For that rows, tokens of the past and tokens so far are rounded up to
    powers of two; each combination has a graph of its own. Rows that end stay in the batch.

    Weights may change between samples, but not where they lie.

    Parameters
    ----------
    network, sampling, generator
        As of :func:`~neurodyn.models.neuroformer.generation.sample_windows`. With
        ``Sampling(capture=False)`` there are no graphs: the same operations run one by one, on any
        device, and with the same seed give the same samples.

    Raises
    ------
    ConfigError
        If graphs are wanted of a network that is not on CUDA.

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4)).eval()
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> step = CapturedStep(network, Sampling(capture=False), torch.manual_seed(0))
    >>> step.sample(past, n_samples=3).unit[:, 0].tolist(), step.backend
    ([1, 1, 1], 'eager')
    """

    def __init__(
        self,
        network: NeuroformerNetwork,
        sampling: Sampling | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        sampling = Sampling() if sampling is None else sampling
        device = network.norm.weight.device
        if sampling.capture and device.type != "cuda":
            raise ConfigError(
                "only steps on CUDA are captured",
                found=f"a network on {device}",
                hint="network.to('cuda'), or Sampling(capture=False)",
            )
        self.network, self.sampling = network, sampling
        with torch.inference_mode(False):
            self._draws = TokenDraws(network, sampling, generator)
        self._rows: dict[tuple[Any, ...], _FixedRows] = {}

    @property
    def backend(self) -> str:
        """How steps run: ``"cuda graph"`` or ``"eager"``."""
        return "cuda graph" if self.sampling.capture else "eager"

    def sample(self, batch: Mapping[str, Tensor], n_samples: int = 1) -> GeneratedTokens:
        """Draw the spikes of windows.

        Parameters
        ----------
        batch, n_samples
            As of :func:`~neurodyn.models.neuroformer.generation.sample_windows`.

        Raises
        ------
        ConfigError, TrainingDivergedError
            If the network is in training mode; if it gives numbers that are not finite.
        """
        n_rows = len(next(iter(batch.values()))) * n_samples
        # tensors of inference mode could not be written later outside of it
        with torch.inference_mode(False), torch.no_grad():
            found = self._filled(batch, n_rows, n_samples).run(n_rows)
        self._draws.check()
        return found

    def _filled(self, batch: Mapping[str, Tensor], n_rows: int, n_samples: int) -> _FixedRows:
        """Return rows of fitting sizes that have read the windows."""
        n_fixed, device = _rounded_up(n_rows), self.network.norm.weight.device
        # rows beyond are those of the last window again, and not looked at
        row = torch.arange(n_fixed, device=device).clamp_max(n_rows - 1)
        contexts, recorded = read_windows(self.network, batch, row // n_samples)
        if "past" in contexts:
            contexts["past"] = _padded(contexts["past"])
        n_tokens = self.sampling.max_spikes + 1
        new = self.network.begin(contexts, n_fixed, n_tokens, recorded)
        shapes = [None if read is None else read.key.shape for read in new.reads]
        size = (n_fixed, recorded is None, *shapes)
        if size not in self._rows:
            if len(self._rows) == MOST_SIZES:
                del self._rows[next(iter(self._rows))]
            self._rows[size] = _FixedRows(self.network, self._draws, new, n_fixed, n_tokens)
        rows = self._rows[size]
        rows.cache.refill(new)
        return rows


class _FixedRows:
    """Rows of a batch in memory that stays where it is, and the graphs that work on it."""

    def __init__(
        self,
        network: NeuroformerNetwork,
        draws: TokenDraws,
        like: DecodingCache,
        n_rows: int,
        n_tokens: int,
    ) -> None:
        self.network, self.draws = network, draws
        weight, n_heads = network.norm.weight, network.config.n_heads
        device, self.n_tokens = weight.device, n_tokens
        self.position = torch.zeros((), dtype=torch.int64, device=device)
        sizes = (n_rows, n_heads, n_tokens, network.config.size // n_heads)
        self.keys = [
            None if grown is None else FixedKeys(*sizes, weight, self.position)
            for grown in like.grown
        ]
        self.cache = DecodingCache(
            [None if read is None else _like(read) for read in like.reads],
            [*self.keys],
            None if like.recorded is None else torch.empty_like(like.recorded),
            self.position,
        )
        # unit, bin and mark
        self.token = torch.zeros((3, n_rows, n_tokens + 1), dtype=torch.int64, device=device)
        self.end = torch.tensor([[EOS], [network.config.n_bins], [0]], device=device)
        self.order = torch.arange(n_tokens, device=device)
        self.alive = torch.zeros(n_rows, dtype=torch.bool, device=device)
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}

    def run(self, n_rows: int) -> GeneratedTokens:
        """Draw the first so many rows."""
        self.token.fill_(PAD)
        self.token[0, :, 0] = SOS
        self.alive.fill_(True)[n_rows:] = False
        for n_drawn in range(1, self.n_tokens + 1):
            self._advance(min(max(FEWEST_READ, _rounded_up(n_drawn)), self.n_tokens))
            if n_drawn % TOKENS_PER_LOOK == 0 and not bool(self.alive.any()):
                break
        token = self.token[:, :n_rows].clone()
        # after as many spikes as there may be only an end has a place
        token[:, :, -1] *= token[0, :, -1] == EOS
        unit, bins, mark = token[:, :, : int((token[0] != PAD).sum(1).max())]
        marked = self.network.head.mark is not None
        return GeneratedTokens(unit, bins, ~self.alive[:n_rows], mark if marked else None)

    def _advance(self, n_read: int) -> None:
        """Draw a token of every row by the graph that reads so many tokens, which may be new."""
        graph = self.graphs.get(n_read)
        if graph is not None:
            graph.replay()
            return
        # as it is, and before a graph of it this readies the libraries
        self._draw(n_read)
        if self.draws.sampling.capture:
            graph = torch.cuda.CUDAGraph()
            if self.draws.generator is not None:
                graph.register_generator_state(self.draws.generator)
            with torch.cuda.graph(graph):
                self._draw(n_read)
            self.graphs[n_read] = graph

    def _draw(self, n_read: int) -> None:
        """Draw a token of every row and write it where the others lie."""
        n_bins = self.network.config.n_bins
        known = (self.order[:n_read] <= self.position)[None, None, None]
        for keys in self.keys:
            if keys is not None:
                keys.known = known
        unit, bins, mark = self.token.index_select(2, self.position)[..., 0]
        hidden = self.network.step(unit, bins, self.cache, mark)
        choice = self.draws.bin(hidden, bins)
        ends = choice == n_bins
        # rows that end are drawn too and not used
        choice = choice.clamp_max(n_bins - 1)
        drawn = self.draws.unit(hidden, choice, unit, bins, self.cache.recorded)
        level = self.draws.mark(hidden, drawn, choice, (unit, bins, mark))
        new = torch.where(ends, self.end, torch.stack([drawn, choice, level]))
        # what is not alive gets 0, which is padding; the step has moved the position on
        self.token.index_copy_(2, self.position, (new * self.alive)[..., None])
        self.alive &= ~ends


def _rounded_up(n: int) -> int:
    """Return the next power of two."""
    return 1 << (n - 1).bit_length()


def _padded(context: Context) -> Context:
    """Return a context with unknown tokens up to a power of two."""
    n_tokens = context.token.shape[1]
    more = max(FEWEST_READ, _rounded_up(n_tokens)) - n_tokens
    token = functional.pad(context.token, (0, 0, 0, more))
    known, time = (functional.pad(x, (0, more)) for x in (context.known, context.time))
    return context._replace(token=token, known=known, time=time)


def _like(read: KeysValues) -> KeysValues:
    """Return memory for other keys and values of these shapes."""
    known = None if read.known is None else torch.empty_like(read.known)
    return KeysValues(torch.empty_like(read.key), torch.empty_like(read.value), known)
