"""Rates of units in each bin given the bins before it, while the units before them are silent."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from neurodyn.models.neuroformer.network import NeuroformerNetwork, NeuroformerOutput
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT

__all__ = ["spike_intensity"]

# No count below this is expected, so that a spike is never impossible.
LEAST = 1e-9


def spike_intensity(
    network: NeuroformerNetwork,
    batch: Mapping[str, Tensor],
    output: NeuroformerOutput | None = None,
) -> Tensor:
    r"""Return the intensity of every unit in every bin of windows, given earlier bins.

    The state after the last spike before bin b says with which probability :math:`h_b` a spike
    comes in b, and which unit is the first. In canonical order a unit is the first if those before
    it are silent; of independent Poisson units with means :math:`\lambda` this gives

    .. math:: \lambda_u = -\log\left(1 - \frac{q_u}{1 - \sum_{v < u} q_v}\right), \qquad
        q_u = h_b \, p(u \mid b)

    Without canonical order :math:`\lambda_u = -\log(1 - h_b) \, p(u \mid b)`. These are the mean
    counts as far as units are independent in a bin, without any draw; where units spike together
    the mean is :func:`~neurodyn.models.neuroformer.expected_counts.expected_counts`.

    Parameters
    ----------
    network, batch
        A network and a batch of its windows.
    output
        What the network returned for the batch, if it has been called already.

    Returns
    -------
    Tensor
        float64, (batch, bin, unit).

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4))
    >>> network.set_rates(torch.full((4,), 0.01))
    >>> tokens = {"unit": torch.tensor([[1, 4, 2]]), "bin": torch.tensor([[0, 3, 5]])}
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> spike_intensity(network, {**tokens, **past}).shape
    torch.Size([1, 5, 4])
    """
    output = network(batch) if output is None else output
    occupied, share = _first_spike(network, batch, output)
    if not network.config.canonical:
        return (-torch.log1p(-occupied)[..., None] * share).clamp_min(LEAST)
    first = occupied[..., None] * share
    silent = 1 - first.cumsum(-1) + first
    return -torch.log1p(-(first / silent).clamp(LEAST, 1 - LEAST))


def _first_spike(
    network: NeuroformerNetwork, batch: Mapping[str, Tensor], output: NeuroformerOutput
) -> tuple[Tensor, Tensor]:
    """Return the chance of a spike in each bin (batch, bin), and of units for the first one."""
    n_bins = network.config.n_bins
    unit, bins = batch["unit"], batch["bin"]
    row = torch.arange(len(unit), device=unit.device)[:, None]
    each = torch.arange(n_bins, device=unit.device).expand(len(unit), -1)
    # the last token before each bin; SOS is before all of them
    spike = unit >= FIRST_UNIT
    last = (spike[:, None] & (bins[:, None] < each[..., None])).sum(-1)
    state, last_unit, last_bin = output.hidden[row, last], unit[row, last], bins[row, last]
    of_bin = network.head.bin_log_prob(state, last_bin).double()
    later = each[..., None] > torch.arange(n_bins + 1, device=unit.device)
    reach = of_bin.masked_fill(later, -torch.inf).logsumexp(-1)
    occupied = (of_bin.gather(-1, each[..., None])[..., 0] - reach).exp().clamp_max(1 - LEAST)
    given = (each, last_unit, last_bin, batch.get("recorded"))
    return occupied, network.head.unit_log_prob(state, *given).double().exp()
