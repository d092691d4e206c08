"""LangevinFlow in its variational mode: inferred forces drive learned Langevin dynamics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurodyn.kernels.langevin_scan import Physics
from neurodyn.models.langevinflow.ccn2025 import PublishedLangevinFlow
from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.decoder import build_decoder
from neurodyn.models.langevinflow.encoder import BidirectionalEncoder
from neurodyn.models.langevinflow.integrators import Baoab
from neurodyn.models.langevinflow.latents import (
    LangevinNetwork,
    Latents,
    Posterior,
    draw_seed,
    normal_divergence,
    scan,
)
from neurodyn.models.langevinflow.potentials import build_potential

__all__ = ["LangevinFlow", "build_network"]


class LangevinFlow(LangevinNetwork):
    """Underdamped Langevin dynamics with a learned potential, an encoder and a decoder.

    The latents of the ELBO are the initial state and the innovations of the dynamics, so the
    path (z, v) is a deterministic function of them. The posterior mean of an innovation is an
    inferred external force; after the last observed bin the prior runs on.

    Parameters
    ----------
    config
        Settings with ``mode="elbo"``.
    n_inputs, n_outputs
        Held-in units that are read, and all units that are predicted.

    Examples
    --------
    >>> network = LangevinFlow(LangevinFlowConfig(n_sites=4), n_inputs=5, n_outputs=7)
    >>> network(torch.zeros(2, 10, 5), n_forward=3).log_expected_count.shape
    torch.Size([2, 13, 7])
    """

    def __init__(self, config: LangevinFlowConfig, n_inputs: int, n_outputs: int) -> None:
        super().__init__(config, n_inputs, n_outputs)
        latent = config.latent_size
        self.encoder = BidirectionalEncoder(n_inputs, config.encoder_size, latent, config.dropout)
        self.potential = build_potential(config)
        self.integrator = Baoab(
            step=config.step,
            damping=config.damping,
            temperature=config.temperature,
            learn=config.learn_physics,
            skew=(config.n_groups, config.n_sites) if config.skew else None,
        )
        self.log_spread = nn.Parameter(torch.zeros(()))
        n_features = 2 * latent
        if config.decoder_input == "zvh":
            n_features += 2 * config.encoder_size
        self.decoder = build_decoder(config, n_features, n_outputs)

    def encode(self, count: Tensor, n_forward: int = 0) -> Posterior:
        """Infer initial state and innovations; counts have dims (batch, time, held-in unit)."""
        posterior: Posterior = self.encoder(count, n_forward)
        return posterior

    def flow(
        self, posterior: Posterior, noise: Tensor | None = None, seed: Tensor | None = None
    ) -> Latents:
        """Integrate one path; ``noise`` (batch, draw, latent) samples it, none means the mean.

        Where the force is a polynomial, ``seed`` (1,) has the noise drawn on the way.
        """
        force, physics = self.potential.polynomial(), self.integrator.physics(self.log_spread.exp())
        if force is None:
            position, velocity = self._steps(posterior, noise, physics)
            divergence = normal_divergence(posterior.mean, posterior.log_variance).sum((1, 2))
        else:
            rings = self.integrator.rotation()
            rotation = None if rings is None else _block_diagonal(rings)
            position, velocity, divergence = scan(
                posterior, physics, force, noise=noise, seed=seed, rotation=rotation
            )
        to_force = physics.kick / physics.step
        inferred = to_force * posterior.mean[:, 2:]
        return Latents(position, velocity, posterior.hidden, inferred, divergence)

    def sample(self, posterior: Posterior, generator: torch.Generator | None = None) -> Latents:
        """Integrate one path that is drawn from the posterior."""
        if posterior.mean.is_cuda and self.config.potential != "mlp":
            return self.flow(posterior, seed=draw_seed(posterior, generator))
        return super().sample(posterior, generator)

    def _steps(
        self, posterior: Posterior, noise: Tensor | None, physics: Physics
    ) -> tuple[Tensor, Tensor]:
        """Integrate step by step under autograd, for a force of any form."""
        draw = posterior.draw(noise)
        position, velocity = physics.spread * draw[:, 0], physics.speed * draw[:, 1]
        path: tuple[Tensor, Tensor] = self.integrator(
            position, velocity, draw[:, 2:], self.potential.bind()
        )
        return path

    def decode(self, latents: Latents) -> Tensor:
        """Return log expected counts, dims (batch, time, unit)."""
        features = [latents.position, latents.velocity]
        if self.config.decoder_input == "zvh":
            features.append(latents.hidden)
        log_count: Tensor = self.decoder(torch.cat(features, -1))
        return log_count

    @torch.no_grad()
    def set_mean_count(self, mean_count: Tensor) -> None:
        """Start the readout at the mean expected count of every unit, dims (unit,)."""
        self.decoder.readout.bias.copy_(torch.log(mean_count.clamp_min(1e-3)))


def _block_diagonal(blocks: Tensor) -> Tensor:
    """Return (block, row, column) as one matrix, zeros outside the blocks."""
    n_blocks, size, _ = blocks.shape
    apart = torch.eye(n_blocks, dtype=blocks.dtype, device=blocks.device)
    return torch.einsum("gh,gpq->gphq", apart, blocks).reshape(n_blocks * size, n_blocks * size)


def build_network(config: LangevinFlowConfig, n_inputs: int, n_outputs: int) -> LangevinNetwork:
    """Return the network of the mode that a configuration names.

    Examples
    --------
    >>> type(build_network(LangevinFlowConfig(), 5, 7)).__name__
    'LangevinFlow'
    """
    kind = LangevinFlow if config.mode == "elbo" else PublishedLangevinFlow
    return kind(config, n_inputs, n_outputs)
