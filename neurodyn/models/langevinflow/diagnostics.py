"""What a fitted LangevinFlow says about itself: where information flows, waves, autonomy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from neurodyn.errors import ConfigError
from neurodyn.models.langevinflow.latents import LangevinNetwork, Latents
from neurodyn.models.langevinflow.objective import poisson_nll
from neurodyn.models.langevinflow.potentials import RingPotential

__all__ = [
    "PARTS",
    "Dispersion",
    "autonomous_rollout",
    "dispersion",
    "energy",
    "shuffle_costs",
    "shuffled_predictions",
]

#: The combinations of latents whose worth is measured.
PARTS: dict[str, tuple[str, ...]] = {
    "z": ("position",),
    "v": ("velocity",),
    "h": ("hidden",),
    "zv": ("position", "velocity"),
}


class Dispersion(NamedTuple):
    """Normal modes of coupled oscillators, in units of one bin; dims (wave, group)."""

    #: Wave number [rad per site], dims (wave,).
    wave_number: Tensor
    #: Angular frequency [rad per bin], ascending along group.
    frequency: Tensor
    #: Frequency over wave number [sites per bin]; infinite at wave number 0.
    phase_velocity: Tensor
    #: Slope of the frequency over the wave number [sites per bin].
    group_velocity: Tensor
    #: Frequency over damping: oscillations before friction stops one.
    quality: Tensor


@torch.no_grad()
def shuffled_predictions(
    network: LangevinNetwork,
    count: Tensor,
    n_forward: int = 0,
    *,
    seed: int = 0,
    parts: Mapping[str, Sequence[str]] = PARTS,
) -> dict[str, Tensor]:
    """Predict from latents of which one part at a time comes from other trials.

    A model that uses a part gets worse when it is exchanged; one that ignores it does not.

    Parameters
    ----------
    network
        A fitted network in evaluation mode.
    count
        Held-in counts, dims (batch, time, held-in unit), at least two trials.
    n_forward
        Bins to go on.
    seed
        Of the samples and the exchange, which leaves no trial in its place.
    parts
        Name to fields of the latents that are exchanged together.

    Returns
    -------
    Expected counts (batch, time, unit) under ``"intact"`` and under each name of ``parts``.

    Raises
    ------
    ConfigError
        For a single trial, which nothing can be exchanged with.
    """
    if len(count) < 2:
        raise ConfigError("a shuffle needs at least two trials", found=len(count))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(count), generator=generator)
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    posterior = network.encode(count, n_forward)
    n_samples = max(1, network.config.n_samples)
    totals: dict[str, Tensor] = {}
    for _ in range(n_samples):
        noise = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
        latents = network.flow(posterior, noise)
        for name, fields in {"intact": (), **parts}.items():
            moved = {field: getattr(latents, field)[partner] for field in fields}
            rate = torch.exp(network.decode(latents._replace(**moved))) / n_samples
            totals[name] = totals[name] + rate if name in totals else rate
    return totals


def shuffle_costs(predictions: Mapping[str, Tensor], target: Tensor) -> dict[str, float]:
    """Return what each exchange costs [nats per element of the target].

    Parameters
    ----------
    predictions
        As :func:`shuffled_predictions` gives them.
    target
        Counts of all units, dims (batch, time, unit).

    Examples
    --------
    >>> rate = torch.ones(2, 3, 1)
    >>> shuffle_costs({"intact": rate, "z": rate}, rate)
    {'z': 0.0}
    """
    nll = {name: float(poisson_nll(rate, target).mean()) for name, rate in predictions.items()}
    return {name: value - nll["intact"] for name, value in nll.items() if name != "intact"}


@torch.no_grad()
def autonomous_rollout(network: LangevinNetwork, count: Tensor, n_forward: int = 0) -> Tensor:
    """Predict from the inferred initial state alone, all innovations at zero.

    Says how much of the activity the learned dynamics produce by themselves.

    Parameters
    ----------
    network, count, n_forward
        As for :func:`shuffled_predictions`.

    Returns
    -------
    Expected counts, dims (batch, time, unit).
    """
    posterior = network.encode(count, n_forward)
    mean = posterior.mean.clone()
    mean[:, 2:] = 0
    return torch.exp(network.decode(network.flow(posterior._replace(mean=mean))))


@torch.no_grad()
def energy(network: LangevinNetwork, latents: Latents) -> Tensor:
    """Return potential plus kinetic energy along paths, dims (batch, time)."""
    kinetic: Tensor = 0.5 * latents.velocity.square().sum(-1)
    return network.potential.energy(latents.position) + kinetic


@torch.no_grad()
def dispersion(potential: RingPotential, *, step: float, damping: float) -> Dispersion:
    """Return frequencies, velocities and quality of the oscillators' normal modes.

    Parameters
    ----------
    potential
        A ring potential; a quartic term is left out (small oscillations).
    step
        Integration step per bin, which turns units of time into bins.
    damping
        Friction per unit of time.

    Examples
    --------
    >>> dispersion(RingPotential(2, 8), step=0.5, damping=1.0).frequency.shape
    torch.Size([8, 2])
    """
    frequency = torch.sqrt(potential.scale() * potential.squared_frequencies())
    wave = 2 * math.pi * torch.fft.fftfreq(potential.n_sites, dtype=frequency.dtype)
    spacing = 2 * math.pi / potential.n_sites
    slope = (frequency.roll(-1, 0) - frequency.roll(1, 0)) / (2 * spacing)
    phase = frequency / wave.abs()[:, None]
    return Dispersion(wave, step * frequency, step * phase, step * slope, frequency / damping)
