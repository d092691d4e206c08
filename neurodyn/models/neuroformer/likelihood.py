"""Log-likelihood of windows under the network and under Poisson rates."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from neurodyn.models.neuroformer.network import NeuroformerNetwork, NeuroformerOutput
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT

__all__ = [
    "mark_log_likelihood",
    "poisson_log_likelihood",
    "token_log_likelihood",
    "uniform_mark_log_likelihood",
]

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

    In canonical order and support this is the log-probability of the window's counts. With marks
    it has a third part, :func:`mark_log_likelihood`, and is that of counts and marks.

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
    packing = output.packing
    of_bin, of_unit = network.head.log_prob(
        output.state, batch["unit"], batch["bin"], batch.get("recorded"), packing
    )
    each = of_bin + of_unit
    if packing is None:
        found = each.sum(1)
    else:
        found = each.new_zeros(packing.n_rows).index_add(0, packing.row, each)
    return (
        found if network.head.mark is None else found + mark_log_likelihood(network, batch, output)
    )


def mark_log_likelihood(
    network: NeuroformerNetwork,
    batch: Mapping[str, Tensor],
    output: NeuroformerOutput | None = None,
) -> Tensor:
    r"""Return the log-probability of each window's marks given bins and units, (batch,) [nat].

    .. math:: \sum_k \log p(m_k \mid b_k, u_k, \cdot)

    It is 0 without marks. States know the marks of earlier spikes, so that what is left of
    :func:`token_log_likelihood` is the log-probability of counts given those.

    Parameters
    ----------
    network, batch, output
        As of :func:`token_log_likelihood`.

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> config = NeuroformerConfig(size=16, n_heads=2, n_marks=4)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4))
    >>> tokens = {"unit": torch.tensor([[1, 4, 2]]), "bin": torch.tensor([[0, 3, 5]])}
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> marks = {"mark": torch.tensor([[0, 2, 0]]), "past_mark": torch.tensor([[1]])}
    >>> mark_log_likelihood(network, {**tokens, **past, **marks}).exp()
    tensor([0.2...], grad_fn=<ExpBackward0>)
    """
    if network.head.mark is None:
        return torch.zeros(len(batch["unit"]), device=batch["unit"].device)
    output = network(batch) if output is None else output
    tokens = (batch["unit"], batch["bin"], batch["mark"])
    found: Tensor = network.head.mark.log_prob(output.hidden, *tokens).sum(1)
    return found


def uniform_mark_log_likelihood(
    unit: Tensor, bins: Tensor, mark: Tensor, n_marks: int, n_bins: int
) -> Tensor:
    r"""Return the log-probability of marks that are independent and uniform, (batch,) [nat].

    Marks of spikes that share bin and unit have no order, as counts have none:

    .. math:: \sum_{b,u} \log \frac{k_{b,u}!}{\prod_m k_{b,u,m}!} - k_{b,u} \log n

    Parameters
    ----------
    unit, bins, mark
        Tokens of windows, (batch, token).
    n_marks, n_bins
        Levels, and bins of a window.

    Examples
    --------
    >>> unit, bins = torch.tensor([[1, 3, 3, 2]]), torch.tensor([[0, 1, 1, 2]])
    >>> uniform_mark_log_likelihood(unit, bins, torch.tensor([[0, 0, 1, 0]]), 2, 2).exp()
    tensor([0.5000], dtype=torch.float64)
    """
    # a Poisson process for each mark, against their sum
    n_units = max(int(unit.max()) - FIRST_UNIT + 1, 1)
    rate = torch.ones(n_units, device=unit.device)
    each = (rate / n_marks).repeat_interleave(n_marks)
    code = torch.where(unit >= FIRST_UNIT, FIRST_UNIT + (unit - FIRST_UNIT) * n_marks + mark, unit)
    apart = poisson_log_likelihood(code, bins, each, n_bins)
    return apart - poisson_log_likelihood(unit, bins, rate, n_bins)


def poisson_log_likelihood(
    unit: Tensor, bins: Tensor, expected: Tensor, n_bins: int, recorded: Tensor | None = None
) -> Tensor:
    r"""Return the log-likelihood of each window's counts, (batch,) float64 [nat].

    .. math:: \log p(w) = \sum_{b,u} k_{b,u} \log \lambda_{b,u} - \lambda_{b,u} - \log k_{b,u}!

    Parameters
    ----------
    unit, bins
        Tokens of windows, (batch, token).
    expected
        Mean count of each unit in a bin, at least 1e-9 is used: constant rates (unit,), those of
        training windows for the null; or of each window and bin, (batch, bin, unit).
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
    n_units = expected.shape[-1]
    # a view: constant rates take no more memory
    rate = expected.double().clamp_min(LOWEST_RATE).expand(len(unit), n_bins, n_units)
    spike = unit >= FIRST_UNIT
    row = torch.arange(len(unit), device=unit.device)[:, None].expand_as(unit)
    column, each = torch.where(spike, unit - FIRST_UNIT, 0), torch.where(spike, bins, 0)
    found = torch.where(spike, rate[row, each, column].log(), 0.0).sum(1)
    total = rate.sum(1)
    found = found - (total if recorded is None else total * recorded).sum(1)
    # log k! of every count: equal tokens have equal keys
    key = (row * n_bins + each) * n_units + column
    distinct, count = torch.unique(key[spike], return_counts=True)
    window = distinct // (n_bins * n_units)
    return found.index_add(0, window, torch.lgamma(count.double() + 1), alpha=-1)
