"""What both modes of LangevinFlow share: the tensors between their stages and prediction."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from neurodyn.kernels.langevin_scan import Physics, Scheme, langevin_scan
from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.potentials import Potential

__all__ = ["LangevinNetwork", "LangevinOutput", "Latents", "Posterior"]


class Posterior(NamedTuple):
    """Inferred distribution of what drives the dynamics.

    Entry 0 of ``draw`` is the initial position, entry 1 the initial velocity, the others are the
    innovations of the transitions; all in units of their prior standard deviation.
    """

    #: Mean, dims (batch, draw, latent).
    mean: Tensor
    #: Logarithm of the variance, dims (batch, draw, latent).
    log_variance: Tensor
    #: Encoder states, dims (batch, time, hidden), forward bins included.
    hidden: Tensor

    def draw(self, noise: Tensor | None) -> Tensor:
        """Return what standard normal noise of the same dims makes of it; the mean without any."""
        if noise is None:
            return self.mean
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


class Latents(NamedTuple):
    """One path through latent space, dims (batch, time, latent), forward bins included."""

    position: Tensor
    velocity: Tensor
    #: Encoder states, dims (batch, time, hidden).
    hidden: Tensor
    #: Inferred external force of every transition, dims (batch, time - 1, latent).
    force: Tensor
    #: Divergence of the posterior from the prior [nats], dims (batch,).
    divergence: Tensor


class LangevinOutput(NamedTuple):
    """What a forward pass gives."""

    #: Natural logarithm of the expected count per bin, dims (batch, time, unit).
    log_expected_count: Tensor
    latents: Latents


class LangevinNetwork(nn.Module):
    """Encode counts, let the latents flow, decode them: the skeleton of both modes.

    Parameters
    ----------
    config
        Settings.
    n_inputs, n_outputs
        Held-in units that are read, and all units that are predicted.
    """

    potential: Potential

    def __init__(self, config: LangevinFlowConfig, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.config = config
        self.n_inputs, self.n_outputs = n_inputs, n_outputs

    def encode(self, count: Tensor, n_forward: int = 0) -> Posterior:
        """Infer the posterior from held-in counts, dims (batch, time, held-in unit)."""
        raise NotImplementedError

    def flow(self, posterior: Posterior, noise: Tensor | None = None) -> Latents:
        """Follow one path; ``noise`` (batch, draw, latent) samples it, nothing means the mean."""
        raise NotImplementedError

    def sample(self, posterior: Posterior, generator: torch.Generator | None = None) -> Latents:
        """Follow one path that is drawn from the posterior."""
        return self.flow(posterior, draw_noise(posterior, generator))

    def decode(self, latents: Latents) -> Tensor:
        """Return log expected counts, dims (batch, time, unit)."""
        raise NotImplementedError

    def set_mean_count(self, mean_count: Tensor) -> None:
        """Start the readout at the mean expected count of every unit, dims (unit,)."""
        raise NotImplementedError

    def forward(
        self, count: Tensor, n_forward: int = 0, noise: Tensor | None = None
    ) -> LangevinOutput:
        """Sample one path for every trial and decode it.

        Parameters
        ----------
        count
            Held-in counts of the observed bins, dims (batch, time, held-in unit).
        n_forward
            Bins to go on beyond them.
        noise
            Standard normal numbers, dims (batch, draw, latent); drawn when not given.
        """
        posterior = self.encode(count, n_forward)
        latents = self.sample(posterior) if noise is None else self.flow(posterior, noise)
        return LangevinOutput(self.decode(latents), latents)

    @torch.no_grad()
    def predict(
        self,
        count: Tensor,
        n_forward: int = 0,
        n_samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Average the expected counts over posterior samples.

        Parameters
        ----------
        count, n_forward
            As in :meth:`forward`.
        n_samples
            Paths to average, 0 for the single path of the posterior mean; by default as
            configured.
        generator
            Source of the noise.

        Returns
        -------
        Expected counts per bin, dims (batch, time, unit), forward bins last.
        """
        posterior = self.encode(count, n_forward)
        wanted = self.config.n_samples if n_samples is None else n_samples
        if wanted == 0:
            return torch.exp(self.decode(self.flow(posterior)))
        geometric = self.config.mode == "ccn2025" and self.config.quirks.geometric_average
        total = torch.zeros(())
        for _ in range(wanted):
            log_count = self.decode(self.sample(posterior, generator))
            total = total.to(log_count) + (log_count if geometric else torch.exp(log_count))
        return torch.exp(total / wanted) if geometric else total / wanted


def draw_noise(posterior: Posterior, generator: torch.Generator | None = None) -> Tensor:
    """Draw the standard normal numbers that one path takes, dims (batch, draw, latent)."""
    mean = posterior.mean
    return torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)


def scan(
    posterior: Posterior,
    physics: Physics,
    force: tuple[Tensor, Tensor | None],
    *,
    noise: Tensor | None = None,
    seed: Tensor | None = None,
    rotation: Tensor | None = None,
    scheme: Scheme = "baoab",
) -> tuple[Tensor, Tensor, Tensor]:
    """Run :func:`~neurodyn.kernels.langevin_scan.langevin_scan` for one network.

    Parameters
    ----------
    posterior
        What is drawn from.
    physics
        Single numbers.
    force
        S and q of ``-z S - q z^3``.
    noise, seed, rotation, scheme
        As of the scan, without its dim of the population.

    Returns
    -------
    Positions and velocities, dims (batch, time, latent), and the divergence (batch,).
    """
    stiffness, quartic, turned, drawn = (
        None if tensor is None else tensor[None] for tensor in (*force, rotation, noise)
    )
    found = langevin_scan(
        posterior.mean[None],
        posterior.log_variance[None],
        cast(Tensor, stiffness),
        Physics(*(number[None] for number in physics)),
        noise=drawn,
        seed=seed,
        rotation=turned,
        quartic=quartic,
        scheme=scheme,
    )
    # not [0], whose gradient would fill zeros
    position, velocity, divergence = (tensor.squeeze(0) for tensor in found)
    return position, velocity, divergence


def draw_seed(posterior: Posterior, generator: torch.Generator | None = None) -> Tensor:
    """Draw a seed where the posterior is, dims (1,), for noise that the scan makes itself."""
    device = posterior.mean.device
    return torch.randint(2**62, (1,), generator=generator, device=device)


def normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) [nats], element by element.

    Examples
    --------
    >>> float(normal_divergence(torch.tensor(0.0), torch.tensor(0.0)))
    0.0
    """
    return 0.5 * (mean.square() + torch.exp(log_variance) - 1 - log_variance)
