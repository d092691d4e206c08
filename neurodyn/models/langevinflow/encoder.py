"""The encoder of the variational mode: counts to initial state and innovations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.kernels.gru_scan import gru_scan
from neurodyn.models.dropout import Dropout
from neurodyn.models.langevinflow.latents import Posterior

__all__ = ["BidirectionalEncoder"]

# A posterior that starts tighter than the prior lets gradients through before noise drowns them.
INITIAL_LOG_VARIANCE = -1.0


class BidirectionalEncoder(nn.Module):
    """A bidirectional GRU with linear heads.

    The two final states give q(z_0, v_0); the states at bin ``t`` give the innovation of the
    transition into bin ``t``. Bins beyond the data take the prior.

    Parameters
    ----------
    n_inputs, hidden_size
        Held-in units; GRU units per direction.
    latent_size
        Position dimensions.
    dropout
        Dropout of the encoder states.

    Examples
    --------
    >>> posterior = BidirectionalEncoder(5, 8, 3)(torch.zeros(2, 10, 5), n_forward=4)
    >>> posterior.mean.shape
    torch.Size([2, 15, 3])
    """

    def __init__(
        self, n_inputs: int, hidden_size: int, latent_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.recurrent = nn.GRU(n_inputs, hidden_size, batch_first=True, bidirectional=True)
        self.initial = nn.Linear(2 * hidden_size, 4 * latent_size)
        self.innovation = nn.Linear(2 * hidden_size, 2 * latent_size)
        self.dropout = Dropout(dropout)
        with torch.no_grad():
            for head in (self.initial, self.innovation):
                head.weight.mul_(0.5)
                head.bias.zero_()
                head.bias[head.out_features // 2 :] = INITIAL_LOG_VARIANCE

    def forward(self, count: Tensor, n_forward: int = 0) -> Posterior:
        """Return the posterior given counts, dims (batch, time, held-in unit)."""
        forth, back = self._states(count)
        hidden = self.dropout(torch.cat([forth, back], -1))
        ends = self.dropout(torch.cat([forth[:, -1], back[:, 0]], -1))
        batch = len(count)
        initial_mean, initial_spread = self.initial(ends).chunk(2, -1)
        later_mean, later_spread = self.innovation(hidden[:, 1:]).chunk(2, -1)
        beyond = count.new_zeros(batch, n_forward, later_mean.shape[-1])
        mean = torch.cat([initial_mean.view(batch, 2, -1), later_mean, beyond], 1)
        spread = torch.cat([initial_spread.view(batch, 2, -1), later_spread, beyond], 1)
        held = hidden[:, -1:].expand(-1, n_forward, -1)
        return Posterior(mean, spread, torch.cat([hidden, held], 1))

    def _states(self, count: Tensor) -> Tensor:
        """Return the states of both directions, dims (direction, batch, time, hidden)."""
        entering, recurrent, entering_bias, recurrent_bias = (
            torch.stack([getattr(self.recurrent, f"{name}_l0{end}") for end in ("", "_reverse")])
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        # Columns of ones: one for the bias, more until rows are aligned for the product.
        n_more = 8 - count.shape[-1] % 8
        weight = torch.cat([entering, entering_bias.unsqueeze(-1)], -1).flatten(0, 1)
        # Time leads in memory, because the scan takes all trials of a bin at once.
        bins_first = functional.pad(count.transpose(0, 1), (0, n_more), value=1.0)
        gates = functional.linear(bins_first, functional.pad(weight, (0, n_more - 1)))
        gates = gates.view(*gates.shape[:2], 2, -1).permute(2, 1, 0, 3)
        return gru_scan(gates, recurrent, recurrent_bias, bidirectional=True)
