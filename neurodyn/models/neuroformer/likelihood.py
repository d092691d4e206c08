"""Log-likelihood of windows under the network and under a Poisson null."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from neurodyn.models.neuroformer.network import NeuroformerNetwork, NeuroformerOutput
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT

__all__ = ["poisson_log_likelihood", "token_log_likelihood"]

# Expected counts of units that were silent in training.
LOWEST_RATE = 1e-9


def token_log_likelihood(
    network: NeuroformerNetwork,
    batch: Mapping[str, Tensor],
    output: NeuroformerOutput | None = None,
) -> Tensor:
    r"""Return the log-probability of each window's tokens with their end (batch,) [nat].

    .. math:: \log p(w) = \sum_k \log p(b_k \mid \cdot) + \log p(u_k \mid b_k, \cdot)
        + \log p(\mathrm{end} \mid \cdot)

    In canonical order and support this is the log-probability of the window's counts.

    Parameters
    ----------
    network, batch
        A network and a batch of its windows.
    output
        What the network returned for the batch, if it has been called already.

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4))
    >>> tokens = {"unit": torch.tensor([[1, 4, 2]]), "bin": torch.tensor([[0, 3, 5]])}
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> token_log_likelihood(network, {**tokens, **past}).shape
    torch.Size([1])
    """
    output = network(batch) if output is None else output
    of_bin, of_unit = network.head.log_prob(
        output.hidden, batch["unit"], batch["bin"], batch.get("recorded")
    )
    return (of_bin + of_unit).sum(1)


def poisson_log_likelihood(
    unit: Tensor, bins: Tensor, expected: Tensor, n_bins: int, recorded: Tensor | None = None
) -> Tensor:
    r"""Return the log-likelihood of each window's counts at constant rates, (batch,) [nat].

    .. math:: \log p(w) = \sum_{b,u} k_{b,u} \log \lambda_u - \lambda_u - \log k_{b,u}!

    Parameters
    ----------
    unit, bins
        Tokens of windows, (batch, token).
    expected
        Mean count of each unit in a bin, (unit,), of training windows; at least 1e-9 is used.
    n_bins
        Bins of a window.
    recorded
        Units that the recording has, bool (batch, unit); all if not given.

    Examples
    --------
    >>> unit, bins = torch.tensor([[1, 3, 3, 2]]), torch.tensor([[0, 1, 1, 2]])
    >>> value = poisson_log_likelihood(unit, bins, torch.tensor([0.5]), 2)
    >>> torch.allclose(value, torch.distributions.Poisson(0.5).log_prob(
    ...     torch.tensor([0.0, 2.0])).double().sum())
    True
    """
    rate = expected.double().clamp_min(LOWEST_RATE)
    spike = unit >= FIRST_UNIT
    column = torch.where(spike, unit - FIRST_UNIT, 0)
    found = torch.where(spike, rate.log()[column], 0.0).sum(1)
    present = torch.ones_like(rate)[None] if recorded is None else recorded.double()
    found = found - n_bins * (present * rate).sum(1)
    # log k! of every count: equal tokens have equal keys
    row = torch.arange(len(unit), device=unit.device)[:, None].expand_as(unit)
    key = (row * n_bins + torch.where(spike, bins, 0)) * len(rate) + column
    distinct, count = torch.unique(key[spike], return_counts=True)
    window = distinct // (n_bins * len(rate))
    return found.index_add(0, window, torch.lgamma(count.double() + 1), alpha=-1)
