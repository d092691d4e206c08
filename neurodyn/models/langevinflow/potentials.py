"""Potentials U(z) over the latent position and their forces -dU/dz in closed form.

Energies and forces act on the last axis; leading axes are free. ``bind`` prepares what does not
depend on the position once, so that a time loop pays only for what does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.models.langevinflow.config import LangevinFlowConfig

__all__ = ["MlpPotential", "Potential", "PublishedPotential", "RingPotential", "build_potential"]

Force = Callable[[Tensor], Tensor]

# An integration step reaches at most 1 bin and is stable below step x frequency = 2.
MAX_FREQUENCY = 1.8


class Potential(nn.Module):
    """What every potential offers: an energy and a force."""

    def energy(self, position: Tensor) -> Tensor:
        """Return U(z), dims (...), of positions (..., latent)."""
        raise NotImplementedError

    def bind(self) -> Force:
        """Return the force as a function that has prepared all that is constant."""
        raise NotImplementedError

    def force(self, position: Tensor) -> Tensor:
        """Return -dU/dz, dims (..., latent), of positions (..., latent)."""
        return self.bind()(position)

    def polynomial(self) -> tuple[Tensor, Tensor | None] | None:
        """Return S and q of a force ``-z S - q z^3``, nothing for a force of another form."""
        return None


class RingPotential(Potential):
    """Oscillators on rings, coupled to their neighbours: never repelling far from the origin.

    ``U(z) = |K * z|^2 / 2 + w0^2 |z|^2 / 2 + (lambda / 4) sum z^4`` with a circular convolution
    ``K *`` along the sites. It starts as a discrete wave equation. The quadratic part is scaled
    down where its highest frequency would exceed the stable 1.8 rad per unit of time.

    Parameters
    ----------
    n_groups, n_sites
        Fields, and sites of each ring; the position has ``n_groups * n_sites`` entries, sites
        running fastest.
    kernel_size
        Taps of the coupling kernel.
    anharmonic
        Learn ``lambda``; without it the oscillators are harmonic.

    Examples
    --------
    >>> ring = RingPotential(2, 8)
    >>> ring.force(torch.ones(3, 16)).shape
    torch.Size([3, 16])
    """

    def __init__(
        self, n_groups: int, n_sites: int, kernel_size: int = 3, *, anharmonic: bool = False
    ) -> None:
        super().__init__()
        self.n_groups, self.n_sites = n_groups, n_sites
        middle = kernel_size // 2
        kernel = 0.1 * torch.randn(n_groups, n_groups, kernel_size)
        same = torch.arange(n_groups)
        kernel[same, same, middle] += 0.6
        kernel[same, same, min(middle + 1, kernel_size - 1)] -= 0.5
        self.kernel = nn.Parameter(kernel)
        self.log_frequency = nn.Parameter(torch.tensor(math.log(0.3)))
        self.raw_quartic = nn.Parameter(torch.tensor(-3.0)) if anharmonic else None
        site, tap = torch.arange(n_sites), torch.arange(kernel_size) - middle
        reached = (site[None, :, None] + tap[:, None, None]) % n_sites == site
        self.register_buffer("_shift", reached.to(kernel.dtype), persistent=False)

    def quartic(self) -> Tensor | None:
        """Return lambda, from 0, or nothing for harmonic oscillators."""
        return None if self.raw_quartic is None else functional.softplus(self.raw_quartic)

    def squared_frequencies(self) -> Tensor:
        """Return w^2 of every normal mode before scaling, dims (wave, group), ascending.

        ``w^2(k) = eig(K(k)^H K(k)) + w0^2`` with ``K(k)`` the kernel's Fourier series at
        ``k = 2 pi j / n_sites``.
        """
        kernel = self.kernel
        n_taps = kernel.shape[2]
        site = torch.arange(self.n_sites, dtype=kernel.dtype, device=kernel.device)
        tap = torch.arange(n_taps, dtype=kernel.dtype, device=kernel.device) - n_taps // 2
        phase = torch.exp(2j * math.pi / self.n_sites * site[:, None] * tap)
        spectrum = torch.einsum("ijd,kd->kij", torch.complex(kernel, 0 * kernel), phase)
        squared: Tensor = torch.linalg.eigvalsh(spectrum.mH @ spectrum)
        return squared + torch.exp(2 * self.log_frequency)

    def scale(self) -> Tensor:
        """Return the factor, up to 1, that keeps the fastest oscillator integrable."""
        # Constant for the gradient: it only matters at the border of stability.
        with torch.no_grad():
            return (MAX_FREQUENCY**2 / self.squared_frequencies().max()).clamp(max=1.0)

    def stiffness(self) -> Tensor:
        """Return the Hessian at the origin, dims (latent, latent)."""
        shift = cast(Tensor, self._shift).to(self.kernel.dtype)
        coupling = torch.einsum("ijk,kpq->ipjq", self.kernel, shift)
        coupling = coupling.reshape(self.n_groups * self.n_sites, -1)
        own = torch.exp(2 * self.log_frequency).expand(len(coupling))
        return self.scale() * (coupling.mT @ coupling + torch.diag(own))

    def energy(self, position: Tensor) -> Tensor:
        """Return U(z), dims (...)."""
        energy = 0.5 * ((position @ self.stiffness()) * position).sum(-1)
        quartic = self.quartic()
        return energy if quartic is None else energy + 0.25 * quartic * position.pow(4).sum(-1)

    def polynomial(self) -> tuple[Tensor, Tensor | None]:
        """Return the stiffness and lambda."""
        return self.stiffness(), self.quartic()

    def bind(self) -> Force:
        """Return ``z -> -(K^T K + w0^2) z - lambda z^3``."""
        stiffness, quartic = self.polynomial()
        if quartic is None:
            return lambda position: -(position @ stiffness)
        return lambda position: -(position @ stiffness) - quartic * position.pow(3)


class MlpPotential(Potential):
    """A general smooth potential of one hidden layer in a bowl.

    ``U(z) = sum_j a_j log cosh(w_j z + b_j) + w0^2 |z|^2 / 2``; heights ``a_j`` of either sign
    give several wells, the bowl confines them.

    Parameters
    ----------
    size
        Latent dimensions.
    hidden_size
        Hidden units.

    Examples
    --------
    >>> MlpPotential(4, 8).energy(torch.zeros(3, 4)).shape
    torch.Size([3])
    """

    def __init__(self, size: int, hidden_size: int) -> None:
        super().__init__()
        self.inner = nn.Linear(size, hidden_size)
        self.height = nn.Parameter(0.3 * torch.randn(hidden_size))
        self.log_frequency = nn.Parameter(torch.tensor(math.log(0.5)))

    def energy(self, position: Tensor) -> Tensor:
        """Return U(z), dims (...)."""
        field = self.inner(position)
        size = field.abs()
        log_cosh = size + torch.log1p(torch.exp(-2 * size)) - math.log(2.0)
        bowl = 0.5 * torch.exp(2 * self.log_frequency) * position.square().sum(-1)
        wells: Tensor = log_cosh @ self.height
        return wells + bowl

    def bind(self) -> Force:
        """Return ``z -> -sum_j a_j tanh(w_j z + b_j) w_j - w0^2 z``."""
        inner, pull = self.inner, torch.exp(2 * self.log_frequency)
        down = self.height[:, None] * inner.weight
        return lambda position: -(torch.tanh(inner(position)) @ down) - pull * position


class PublishedPotential(Potential):
    """The quadratic form of the published code, which confines nothing.

    Positions are 4 groups of ``latent / 4`` sites. ``U(z)`` sums the Gram matrix between the
    groups convolved with the kernel (zero padding) and the groups; its Hessian has rank
    ``latent / 2`` and eigenvalues of both signs.

    Parameters
    ----------
    size
        Latent dimensions, a multiple of 4.
    zero_kernel, normalised, epsilon
        See :class:`~neurodyn.models.langevinflow.config.PublishedQuirks`.

    Examples
    --------
    >>> PublishedPotential(8).force(torch.ones(8)).shape
    torch.Size([8])
    """

    def __init__(
        self,
        size: int,
        *,
        zero_kernel: bool = True,
        normalised: bool = True,
        epsilon: float = 1e-12,
    ) -> None:
        super().__init__()
        self.n_sites = size // 4
        self.normalised, self.epsilon = normalised, epsilon
        self.kernel = nn.Parameter((0.0 if zero_kernel else 0.1) * torch.randn(4, 4, 3))

    def taps(self) -> Tensor:
        """Return the 12 numbers that the energy depends on, dims (group, tap)."""
        kernel: Tensor = self.kernel
        if self.normalised:
            kernel = functional.normalize(kernel, dim=-1, eps=self.epsilon)
        return kernel.sum(0)

    def energy(self, position: Tensor) -> Tensor:
        """Return U(z) = sum_j (w * z)_j . sum_c s_j,c, dims (...)."""
        grouped = position.view(*position.shape[:-1], 4, self.n_sites)
        convolved = _correlate(grouped, self.taps())
        return torch.sum(convolved.sum(-2) * grouped.sum(-2), -1)

    def polynomial(self) -> tuple[Tensor, None]:
        """Return the Hessian of the quadratic form, dims (latent, latent)."""
        size = 4 * self.n_sites
        identity = torch.eye(size, dtype=self.kernel.dtype, device=self.kernel.device)
        return -self.force(identity), None

    def bind(self) -> Force:
        """Return the force, both halves of the product rule written out."""
        taps = self.taps()

        def force(position: Tensor) -> Tensor:
            grouped = position.view(*position.shape[:-1], 4, self.n_sites)
            summed = grouped.sum(-2, keepdim=True).expand_as(grouped)
            own = _correlate(summed, taps.flip(-1))
            shared = _correlate(grouped, taps).sum(-2, keepdim=True)
            return -(own + shared).flatten(-2)

        return force


def _correlate(grouped: Tensor, taps: Tensor) -> Tensor:
    """Correlate each group (..., group, site) with its three taps, zeros beyond the ends."""
    left, middle, right = taps.unsqueeze(1).unbind(-1)
    padded = functional.pad(grouped, (1, 1))
    return left * padded[..., :-2] + middle * grouped + right * padded[..., 2:]


def build_potential(config: LangevinFlowConfig) -> Potential:
    """Return the potential that a configuration names, freshly initialised."""
    if config.potential == "ring_psd":
        return RingPotential(
            config.n_groups, config.n_sites, config.kernel_size, anharmonic=config.anharmonic
        )
    if config.potential == "mlp":
        return MlpPotential(config.latent_size, config.potential_size)
    quirks = config.quirks
    return PublishedPotential(
        config.latent_size,
        zero_kernel=quirks.zero_kernel,
        normalised=quirks.normalised_kernel,
        epsilon=quirks.kernel_epsilon,
    )
