"""The published LangevinFlow (CCN 2025), its peculiarities as switches.

The data reach the decoder through the encoder states; positions and velocities are drawn from
the prior's transitions, started at an inferred state. See
:class:`~neurodyn.models.langevinflow.config.PublishedQuirks`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.kernels.gru_scan import gru_scan
from neurodyn.kernels.langevin_scan import LARGEST_LATENT
from neurodyn.models.dropout import dropout
from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.integrators import PublishedEuler
from neurodyn.models.langevinflow.latents import (
    LangevinNetwork,
    Latents,
    Posterior,
    normal_divergence,
    scan,
)
from neurodyn.models.langevinflow.potentials import build_potential

__all__ = ["PublishedLangevinFlow"]

PRIOR_VARIANCE = 0.1
DECODER_HEADS, DECODER_FEEDFORWARD = 2, 512


class PublishedLangevinFlow(LangevinNetwork):
    """GRU encoder, autonomous Langevin latents, one post-norm transformer layer on [z, v, h].

    Parameters
    ----------
    config
        Settings with ``mode="ccn2025"``.
    n_inputs, n_outputs
        Held-in units that are read, and all units that are predicted.

    References
    ----------
    .. [1] Song, Keller, Yue, Perona and Welling (2025). Langevin Flows for modeling neural
       latent dynamics. CCN, arXiv:2507.11531; transition density, eq. 17.

    Examples
    --------
    >>> config = LangevinFlowConfig(mode="ccn2025", potential="ccn2025", encoder_size=280)
    >>> network = PublishedLangevinFlow(config, n_inputs=137, n_outputs=182)
    >>> sum(p.numel() for p in network.parameters())
    4510422
    """

    def __init__(self, config: LangevinFlowConfig, n_inputs: int, n_outputs: int) -> None:
        super().__init__(config, n_inputs, n_outputs)
        size, quirks = config.encoder_size, config.quirks
        self.cell = nn.GRUCell(n_inputs, size)
        self.initial = nn.Linear(size, 4 * size)
        self.potential = build_potential(config)
        self.integrator = PublishedEuler(
            step=config.step, damping=config.damping, two_clocks=quirks.two_clocks
        )
        self.layer = nn.TransformerEncoderLayer(
            3 * size, DECODER_HEADS, DECODER_FEEDFORWARD, config.dropout, batch_first=True
        )
        self.readout = nn.Linear(3 * size, n_outputs)
        if quirks.scaled_initialisation:
            self._scale_weights()

    @torch.no_grad()
    def _scale_weights(self) -> None:
        layer = self.layer
        for weight in (layer.linear1.weight, layer.linear2.weight, layer.self_attn.out_proj.weight):
            weight.mul_(0.67 * 3**-0.25)

    def encode(self, count: Tensor, n_forward: int = 0) -> Posterior:
        """Infer the initial state; counts have dims (batch, time, held-in unit)."""
        hidden = self._hidden(count, n_forward)
        quirks = self.config.quirks
        source = hidden[:, 0 if quirks.first_bin_posterior else count.shape[1] - 1]
        position, velocity, position_spread, velocity_spread = self.initial(source).chunk(4, -1)
        rest = source.new_zeros(len(count), hidden.shape[1] - 1, source.shape[-1])
        mean = torch.cat([position[:, None], velocity[:, None], rest], 1)
        spread = torch.cat([position_spread[:, None], velocity_spread[:, None], rest], 1)
        return Posterior(mean, spread, hidden)

    def _hidden(self, count: Tensor, n_forward: int) -> Tensor:
        """Run the encoder, dims (batch, time, hidden); bins beyond the data repeat the last."""
        cell, quirks, n_time = self.cell, self.config.quirks, count.shape[1]
        read = torch.arange(n_time, device=count.device) - int(quirks.lagged_input)
        order = torch.cat([read.clamp_min(0), read.new_full((n_forward,), n_time - 1)])
        # Time leads in memory, because the scan takes all trials of a bin at once.
        bins_first = count.transpose(0, 1).contiguous()
        gates = functional.linear(bins_first, cell.weight_ih, cell.bias_ih)[order]
        share = self.config.dropout if self.training else 0.0
        drops = self._recurrent_dropout(gates, share) if quirks.recurrent_dropout else {}
        hidden: Tensor = gru_scan(
            gates.transpose(0, 1)[None], cell.weight_hh[None], cell.bias_hh[None], **drops
        ).squeeze(0)
        return hidden if quirks.recurrent_dropout else dropout(hidden, share)

    def _recurrent_dropout(self, gates: Tensor, share: float) -> dict[str, Any]:
        """Return what the scan drops of its states: a seed on a GPU, else the mask itself."""
        if gates.is_cuda:
            return {"dropout": share, "seed": torch.randint(2**62, (1,), device=gates.device)}
        ones = gates.new_ones(1, gates.shape[1], gates.shape[0], self.cell.hidden_size)
        return {"mask": dropout(ones, share)}

    def flow(self, posterior: Posterior, noise: Tensor | None = None) -> Latents:
        """Follow the prior from the inferred state; no noise means the mean path."""
        position, velocity = self._path(posterior, noise)
        start = normal_divergence(posterior.mean[:, :2], posterior.log_variance[:, :2])
        divergence = start.sum((1, 2)) + self._step_divergence(position, velocity)
        force = torch.zeros_like(posterior.mean[:, 2:])
        return Latents(position, velocity, posterior.hidden, force, divergence)

    def _path(self, posterior: Posterior, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        force = self.potential.polynomial()
        if force is not None and posterior.mean.shape[-1] <= LARGEST_LATENT:
            physics = self.integrator.physics(posterior.mean)
            return scan(posterior, physics, force, noise=noise, scheme="euler")[:2]
        draw = posterior.draw(noise)
        path: tuple[Tensor, Tensor] = self.integrator(
            draw[:, 0], draw[:, 1], draw[:, 2:], self.potential.bind()
        )
        return path

    def _step_divergence(self, position: Tensor, velocity: Tensor) -> Tensor:
        """Divergence of the transitions from velocities N(0, 0.1) [nats], dims (batch,)."""
        variance = self.integrator.kick_size**2
        if self.config.quirks.sample_divergence:
            # The published code hands over the sample as mean and the variance as logarithm.
            mean, log_variance = velocity[:, 1:], variance
        else:
            push = self.integrator.step * self.potential.force(position[:, :-1])
            mean = (1 - self.integrator.loss) * (velocity[:, :-1] + push)
            log_variance = math.log(variance)
        constant = math.log(PRIOR_VARIANCE) - log_variance - 1
        scaled = (mean.square() + math.exp(log_variance)) / PRIOR_VARIANCE
        return 0.5 * (scaled + constant).sum((1, 2))

    def decode(self, latents: Latents) -> Tensor:
        """Return log expected counts, dims (batch, time, unit)."""
        token = torch.cat([latents.position, latents.velocity, latents.hidden], -1)
        log_count: Tensor = self.readout(self.layer(token))
        return log_count

    def set_mean_count(self, mean_count: Tensor) -> None:
        """Leave the readout as it is: the published model starts from random weights."""
