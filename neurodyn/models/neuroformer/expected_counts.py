"""Counts that the network expects in each bin given the bins before it, and nothing of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from neurodyn.errors import ConfigError
from neurodyn.models.neuroformer.decoding_cache import DecodingCache
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT

__all__ = ["expected_counts"]

# No count below this is expected, so that a spike is never impossible.
LEAST = 1e-9
# Spikes of one bin that a draw follows at most.
MOST_SPIKES = 64
GOLDEN = (math.sqrt(5) - 1) / 2


@torch.no_grad()
def expected_counts(
    network: NeuroformerNetwork,
    batch: Mapping[str, Tensor],
    *,
    n_samples: int = 16,
) -> Tensor:
    r"""Return the mean count of every unit in every bin of windows, given earlier bins alone.

    Spikes of a bin depend on each other, so that the mean is one over what the network would
    generate in bin b from the spikes before it, :math:`w_{<b}`. Draws are followed to the end of
    the bin; at each step the probability of every next spike counts, not the one that is drawn:

    .. math:: E[k_{b,u} \mid w_{<b}] = E \sum_j p(b_j = b, u_j = u \mid w_{<b}, s_1 \dots s_{j-1})

    The likelihood of independent Poisson counts with these means conditions nothing on the bin
    itself, as that of a regression on the past does. Draws come from a fixed low-discrepancy
    sequence, so that the means of a bin depend on nothing but what is before it; few draws make
    them coarse, which costs likelihood.

    Parameters
    ----------
    network, batch
        A network in evaluation mode and a batch of its windows.
    n_samples
        Draws of each bin.

    Returns
    -------
    Tensor
        float64, (batch, bin, unit).

    Raises
    ------
    ConfigError
        If the network is in training mode.

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4)).eval()
    >>> network.set_rates(torch.full((4,), 0.01))
    >>> tokens = {"unit": torch.tensor([[1, 4, 2]]), "bin": torch.tensor([[0, 3, 5]])}
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> expected_counts(network, {**tokens, **past}).shape
    torch.Size([1, 5, 4])
    """
    if network.training:
        raise ConfigError("the network is in training mode", hint="network.eval()")
    return _Means(network, batch, n_samples).run()


class _Rows(NamedTuple):
    """Bins of windows that are followed, and the last spike before them."""

    row: Tensor
    """Window, (row,)."""
    bins: Tensor
    """The bin whose counts are wanted."""
    sample: Tensor
    """Number of the draw."""
    last_unit: Tensor
    last_bin: Tensor
    last_mark: Tensor
    hidden: Tensor
    """State after the last spike, (row, feature)."""

    def take(self, chosen: Tensor) -> _Rows:
        return _Rows(*(value[chosen] for value in self))


class _Means:
    """Sums over draws; a cache for the recorded spikes, and branches of it for drawn ones."""

    def __init__(
        self, network: NeuroformerNetwork, batch: Mapping[str, Tensor], n_samples: int
    ) -> None:
        self.network, self.n_samples = network, n_samples
        self.unit, self.bins = batch["unit"], batch["bin"]
        self.mark = batch.get("mark", torch.zeros_like(self.unit))
        n_rows, n_tokens = self.unit.shape
        self.cache = network.begin(
            network.contexts(batch), n_rows, n_tokens + MOST_SPIKES, batch.get("recorded")
        )
        self.points = _latin_hypercube(n_samples, 2 * MOST_SPIKES).to(self.unit.device)
        shape = (n_rows, network.config.n_bins, network.sizes.n_units)
        self.found = torch.zeros(shape, dtype=torch.float64, device=self.unit.device)

    def run(self) -> Tensor:
        each = torch.arange(self.found.shape[1], device=self.unit.device)
        # the last token before each bin; SOS is before all of them
        earlier = self.bins[:, None] < each[:, None]
        last = ((self.unit >= FIRST_UNIT)[:, None] & earlier).sum(-1)
        for position in range(int(last.max()) + 1):
            unit, bins, mark = (x[:, position] for x in (self.unit, self.bins, self.mark))
            hidden = self.network.step(unit, bins, self.cache, mark)
            row, wanted = torch.nonzero(last == position, as_tuple=True)
            spike = (unit[row], bins[row], mark[row], hidden[row])
            self._follow(self.cache.branch(row), _Rows(row, wanted, torch.zeros_like(row), *spike))
        return self.found.clamp_min(LEAST)

    def _follow(self, cache: DecodingCache, rows: _Rows) -> None:
        """Add the chance of each next spike, until all draws have left their bin."""
        weight, n_samples = 1.0, self.n_samples
        for depth in range(MOST_SPIKES):
            if not rows.row.numel():
                return
            chance = self._chances(rows, cache.recorded)
            self.found.index_put_((rows.row, rows.bins), weight * chance, accumulate=True)
            sample = rows.sample[:, None]
            if depth == 0:
                # all draws share what is before the bin
                sample = torch.arange(n_samples, device=chance.device).repeat(len(chance), 1)
            # turned from bin to bin, or a chance below half a step would never be drawn
            turn = rows.bins[:, None] * GOLDEN
            point = torch.frac(self.points[sample, depth] + turn)
            drawn = torch.searchsorted(chance.cumsum(-1), point, right=True)
            kept, column = torch.nonzero(drawn < chance.shape[-1], as_tuple=True)
            rows = rows.take(kept)._replace(sample=sample[kept, column])
            cache.select(kept)
            rows = self._step(cache, rows, FIRST_UNIT + drawn[kept, column], depth)
            weight = 1.0 / n_samples

    def _step(self, cache: DecodingCache, rows: _Rows, spike: Tensor, depth: int) -> _Rows:
        """Return rows after a drawn spike more."""
        mark = torch.zeros_like(spike)
        if self.network.head.mark is not None:
            previous = (rows.last_unit, rows.last_bin, rows.last_mark)
            level = self.network.head.mark(rows.hidden, spike, rows.bins, previous).exp()
            point = self.points[rows.sample, MOST_SPIKES + depth, None].to(level)
            drawn = torch.searchsorted(level.cumsum(-1), point, right=True)[:, 0]
            mark = drawn.clamp_max(level.shape[-1] - 1)
        hidden = self.network.step(spike, rows.bins, cache, mark)
        return rows._replace(last_unit=spike, last_bin=rows.bins, last_mark=mark, hidden=hidden)

    def _chances(self, rows: _Rows, recorded: Tensor | None) -> Tensor:
        """Return the probability that the next spike is in the bin, by unit, (row, unit)."""
        head, n_bins = self.network.head, self.network.config.n_bins
        of_bin = head.bin_log_prob(rows.hidden, rows.last_bin).double()
        gone = torch.arange(n_bins + 1, device=of_bin.device) < rows.bins[:, None]
        reached = of_bin.masked_fill(gone, -torch.inf).logsumexp(-1)
        in_bin = of_bin.gather(-1, rows.bins[:, None])[:, 0] - reached
        before = (rows.last_unit, rows.last_bin, recorded)
        of_unit = head.unit_log_prob(rows.hidden, rows.bins, *before).double()
        return (in_bin[:, None] + of_unit).exp()


def _latin_hypercube(n_samples: int, n_dims: int) -> Tensor:
    """Return points (sample, dim) in (0, 1), each column spread evenly, in an order of its own."""
    generator = torch.Generator().manual_seed(0)
    order = torch.rand((n_samples, n_dims), generator=generator, dtype=torch.float64).argsort(0)
    return (order + 0.5) / n_samples
