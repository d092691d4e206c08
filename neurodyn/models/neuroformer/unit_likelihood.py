"""The log-likelihood of a window, taken apart into units and bins."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from neurodyn.models.neuroformer.network import NeuroformerNetwork, NeuroformerOutput
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT, PAD

__all__ = ["unit_log_likelihood"]

# No spike and no silence is less likely than this.
LEAST = 1e-9


def unit_log_likelihood(
    network: NeuroformerNetwork,
    batch: Mapping[str, Tensor],
    output: NeuroformerOutput | None = None,
) -> Tensor:
    r"""Return the log-likelihood of each unit's count in each bin, given all that goes before.

    A window in canonical order asks of each bin and unit in turn whether the next spike is there.
    It is, if it is not before, with probability

    .. math:: c_{b,u} = \frac{p(b, u)}{p(\mathrm{end}) + \sum_{(b', u') \ge (b, u)} p(b', u')}

    of which each spike adds :math:`\log c` and each silence :math:`\log(1 - c)`. Their sum is the
    log-likelihood of the window, or of its order being canonical where the network does not know.

    Parameters
    ----------
    network, batch
        A network and a batch of its windows.
    output
        What the network returned for the batch, if it has been called already.

    Returns
    -------
    Tensor
        float64, (batch, bin, unit) [nat].

    Examples
    --------
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> network = NeuroformerNetwork(config, NeuroformerSizes(n_units=4))
    >>> tokens = {"unit": torch.tensor([[1, 4, 2]]), "bin": torch.tensor([[0, 3, 5]])}
    >>> past = {"past_unit": torch.tensor([[3]]), "past_bin": torch.tensor([[-2]])}
    >>> unit_log_likelihood(network, {**tokens, **past}).shape
    torch.Size([1, 5, 4])
    """
    output = network(batch) if output is None else output
    n_bins, n_units = network.config.n_bins, network.sizes.n_units
    unit, bins = batch["unit"], batch["bin"]
    each = torch.arange(n_bins, device=unit.device)
    asked = (each >= bins[:, :-1, None]) & (each <= bins[:, 1:, None])
    row, token, now = torch.nonzero(asked & (unit[:, 1:] != PAD)[..., None]).T
    last, coming = (
        (unit[row, token], bins[row, token]),
        (unit[row, token + 1], bins[row, token + 1]),
    )
    column = FIRST_UNIT + torch.arange(n_units, device=unit.device)
    # between the last spike, which may come again, and the coming one
    here = (now == last[1])[:, None], (now == coming[1])[:, None]
    between = ~(here[0] & (column < last[0][:, None])) & ~(here[1] & (column > coming[0][:, None]))
    chance = _chances(network, batch, output, row, token, now)
    spike = here[1] & (column == coming[0][:, None])
    value = torch.where(spike, chance.log(), torch.log1p(-chance)) * between
    found: Tensor = value.new_zeros(len(unit), n_bins, n_units)
    return found.index_put_((row, now), value, accumulate=True)


def _chances(
    network: NeuroformerNetwork,
    batch: Mapping[str, Tensor],
    output: NeuroformerOutput,
    row: Tensor,
    token: Tensor,
    now: Tensor,
) -> Tensor:
    """Return the probability that the next spike is of a unit and now, if it is not before."""
    last_unit, last_bin = batch["unit"][:, :-1], batch["bin"][:, :-1]
    of_bin = network.head.bin_log_prob(output.hidden, last_bin).double()
    later = of_bin.flip(-1).logcumsumexp(-1).flip(-1)
    occupied = (of_bin - later)[row, token, now].exp()[:, None]
    recorded = batch.get("recorded")
    given = (now, last_unit[row, token], last_bin[row, token])
    share = network.head.unit_log_prob(
        output.hidden[row, token], *given, None if recorded is None else recorded[row]
    )
    first = occupied * share.double().exp()
    not_before = 1 - occupied + first.flip(-1).cumsum(-1).flip(-1)
    chance: Tensor = first / not_before.clamp_min(LEAST)
    return chance.clamp(LEAST, 1 - LEAST)
