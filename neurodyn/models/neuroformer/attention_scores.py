"""How much predictions of a unit attend to the spikes of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurodyn.models.neuroformer.blocks import Attention, Block, KeysValues
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.pair_totals import PairTotals, block_batches
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT, PAD

__all__ = ["attention_score", "gradient_attention_score"]


class _Call(NamedTuple):
    """One reading of spikes by a block."""

    source: str
    attention: Attention
    read: KeysValues
    # (batch, head, token, read token)
    weights: Tensor
    # 0, added to what the attention gave: its gradient is that of the attention
    added: Tensor

    @property
    def readable(self) -> Tensor:
        """What each token can read, bool (batch or 1, token, read token)."""
        if self.read.known is not None:
            return self.read.known[:, 0].expand(-1, self.weights.shape[2], -1)
        return torch.ones_like(self.weights[:1, 0], dtype=torch.bool).tril()


@torch.no_grad()
def attention_score(
    network: NeuroformerNetwork,
    windows: TokenWindows,
    *,
    n_blocks: int = 50,
    batch_size: int = 64,
) -> PairTotals:
    r"""Return how much predictions of a unit attend to spikes of another, against chance.

    .. math:: s_{ji} = \frac{\sum_{q \to i} \sum_{k \in j} \bar a_{qk}}
        {\sum_{q \to i} \sum_{k \in j} 1 / n_q}

    over the states q that predict spikes of unit i and the spikes k of unit j that they can read,
    n_q tokens in all; attention a is the mean of heads, and blocks that read the window and the
    past are summed. 1 is what attention that knows no units gives.

    Parameters
    ----------
    network, windows
        A network in evaluation mode and what it reads.
    n_blocks, batch_size
        Blocks of consecutive windows that are summed apart; windows that are read at once.

    Returns
    -------
    PairTotals
        Sums of attention, and what uniform attention gives.

    Raises
    ------
    ConfigError
        If the network is in training mode.

    References
    ----------
    Antoniades et al., arXiv 2311.00136, sums attention; dividing by chance is ours: without it
    units that spike often win.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig
    >>> from neurodyn.models.neuroformer.recordings import token_windows
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> spikes = spikes_from_units({"a": [0.21], "b": [0.24]}, observed=[[0.0, 1.0]])
    >>> windows = token_windows(spikes, config)
    >>> network = NeuroformerNetwork(config, windows.sizes()).eval()
    >>> attention_score(network, windows, n_blocks=1).ratio().shape
    (2, 2)
    """
    totals = PairTotals.zeros(n_blocks, network.sizes.n_units)
    for block, batch in block_batches(network, windows, n_blocks, batch_size):
        with _watched(network) as calls:
            network(batch)
        for call in calls:
            chance = call.readable / call.readable.sum(-1, keepdim=True)
            _add(totals, block, batch, call, call.weights.mean(1), chance)
    return totals


def gradient_attention_score(
    network: NeuroformerNetwork,
    windows: TokenWindows,
    *,
    n_blocks: int = 50,
    batch_size: int = 64,
) -> PairTotals:
    r"""Return attention times the gradient of the log-probability by it, a mean over pairs.

    .. math:: s_{ji} = \left\langle \sum_h a_{hqk}
        \frac{\partial \log p}{\partial a_{hqk}} \right\rangle_{q \to i,\, k \in j}

    with p the probability of all spikes of the window; q and k as in :func:`attention_score`, and
    blocks count alike. Above 0 where reading j made the spikes of i likelier.

    Parameters
    ----------
    network, windows, n_blocks, batch_size
        As in :func:`attention_score`.

    Returns
    -------
    PairTotals
        Sums of products, and how many there are.

    Raises
    ------
    ConfigError
        If the network is in training mode.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig
    >>> from neurodyn.models.neuroformer.recordings import token_windows
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> spikes = spikes_from_units({"a": [0.21], "b": [0.24]}, observed=[[0.0, 1.0]])
    >>> windows = token_windows(spikes, config)
    >>> network = NeuroformerNetwork(config, windows.sizes()).eval()
    >>> gradient_attention_score(network, windows, n_blocks=1).ratio().shape
    (2, 2)
    """
    totals = PairTotals.zeros(n_blocks, network.sizes.n_units)
    for block, batch in block_batches(network, windows, n_blocks, batch_size):
        with torch.enable_grad(), _watched(network) as calls:
            tokens = batch["unit"], batch["bin"], batch.get("recorded")
            of_bin, of_unit = network.head.log_prob(network(batch).hidden, *tokens)
            wanted = (of_bin + of_unit)[batch["unit"][:, 1:] >= FIRST_UNIT].sum()
        slopes = torch.autograd.grad(wanted, [call.added for call in calls])
        for call, slope in zip(calls, slopes):
            product = (call.weights * _slope_of_weights(call, slope)).sum(1)
            _add(totals, block, batch, call, product, call.readable.double())
    return totals


def _slope_of_weights(call: _Call, slope: Tensor) -> Tensor:
    """Return the gradient by attention weights, from that by what the attention gave."""
    by_feature: Tensor = slope @ call.attention.mix.weight
    by_head = by_feature.view(*slope.shape[:2], call.attention.n_heads, -1).transpose(1, 2)
    return by_head @ call.read.value.transpose(-1, -2)


@contextmanager
def _watched(network: NeuroformerNetwork) -> Iterator[list[_Call]]:
    """Note how blocks that read the window or the past attend, while the network is called."""
    calls: list[_Call] = []

    def watch(source: str, attention: Attention) -> Any:
        def note(_: Any, given: Any, named: Mapping[str, Any], found: Tensor) -> Tensor:
            with torch.no_grad():
                weights = attention.weights(*given, **named)
            added = torch.zeros_like(found, requires_grad=torch.is_grad_enabled())
            calls.append(_Call(source, attention, given[2], weights, added))
            return found + added

        return attention.register_forward_hook(note, with_kwargs=True)

    handles = [
        watch(source, cast(Block, layer).attention)
        for source, layer in zip(network.config.layers, network.layers)
        if source in ("self", "past")
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _add(
    totals: PairTotals,
    block: int,
    batch: Mapping[str, Tensor],
    call: _Call,
    value: Tensor,
    weight: Tensor,
) -> None:
    """Add values (batch, token, read token) of states that predict spikes and spikes they read."""
    unit_to = batch["unit"][:, 1:, None]
    read = batch["unit"][:, :-1] if call.source == "self" else batch["past_unit"]
    # the past begins with tokens that are no spikes
    unit = functional.pad(read, (value.shape[-1] - read.shape[1], 0), value=PAD)[:, None]
    chosen = (unit >= FIRST_UNIT) & (unit_to >= FIRST_UNIT) & call.readable
    pair = [(x.expand_as(chosen)[chosen] - FIRST_UNIT).cpu().numpy() for x in (unit, unit_to)]
    for sums, part in zip(totals, (value, weight)):
        added = part.detach().expand_as(chosen)[chosen].double().cpu().numpy()
        np.add.at(sums[block], tuple(pair), added)
