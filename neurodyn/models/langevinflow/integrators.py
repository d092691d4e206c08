"""Integrators of underdamped Langevin dynamics ``dz = v dt, dv = (F - g v) dt + noise``."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neurodyn.kernels.langevin_scan import Physics
from neurodyn.models.langevinflow.potentials import Force

__all__ = ["Baoab", "PublishedEuler"]


class Baoab(nn.Module):
    """The BAOAB splitting: kick, drift, exact friction and noise, drift, kick.

    Per transition, with ``c = exp(-damping * step)``::

        v <- v + step/2 F(z);   z <- z + step/2 v
        v <- c R v + sqrt(temperature (1 - c^2)) e,   e ~ N(0, 1)
        z <- z + step/2 v;      v <- v + step/2 F(z)

    ``R`` is the identity or, with ``skew``, a learned rotation of the velocities along each ring
    of sites: it prefers a direction of travel and does no work.

    Parameters
    ----------
    step
        Integration step per bin, in (0, 1).
    damping, temperature
        Friction per unit of time, and variance of the velocity at rest.
    learn
        Whether the three are trained.
    skew
        Shape (group, site) of the rings whose velocities rotate, or nothing.

    References
    ----------
    .. [1] Leimkuhler and Matthews (2013). Rational construction of stochastic numerical methods
       for molecular sampling. Applied Mathematics Research eXpress 2013(1), 34-56.

    Examples
    --------
    >>> flow = Baoab(step=0.5, damping=0.0, temperature=0.0)
    >>> z, v = flow(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1, 4, 2), torch.zeros_like)
    >>> z[0, :, 0].tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """

    def __init__(
        self,
        *,
        step: float = 0.5,
        damping: float = 1.0,
        temperature: float = 1.0,
        learn: bool = True,
        skew: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.raw_step = _scalar(math.log(step / (1 - step)), learn)
        self.log_damping = _scalar(_log(damping), learn and damping > 0)
        self.log_temperature = _scalar(_log(temperature), learn and temperature > 0)
        self.n_sites = skew[1] if skew else 0
        self.turn = nn.Parameter(0.1 * torch.randn(skew[0])) if skew else None

    @property
    def step(self) -> Tensor:
        """Integration step per bin."""
        return torch.sigmoid(self.raw_step)

    @property
    def damping(self) -> Tensor:
        """Friction per unit of time."""
        return torch.exp(self.log_damping)

    @property
    def temperature(self) -> Tensor:
        """Variance of the velocity at rest."""
        return torch.exp(self.log_temperature)

    @property
    def persistence(self) -> Tensor:
        """Share ``c`` of the velocity that friction leaves after one step."""
        return torch.exp(-self.damping * self.step)

    @property
    def kick_size(self) -> Tensor:
        """Standard deviation of the random kick of one step."""
        return torch.sqrt(self.temperature * (1 - self.persistence.square()))

    def physics(self, spread: Tensor) -> Physics:
        """Return the numbers of the dynamics, started at positions of a standard deviation."""
        return Physics(
            spread, torch.sqrt(self.temperature), self.kick_size, self.step, self.persistence
        )

    def rotation(self) -> Tensor | None:
        """Return the rotation of velocities, dims (group, site, site), or nothing."""
        if self.turn is None:
            return None
        forward = torch.eye(self.n_sites, dtype=self.turn.dtype, device=self.turn.device).roll(1, 0)
        generator = self.turn[:, None, None] * (forward - forward.mT)
        rotation: Tensor = torch.linalg.matrix_exp(self.step * generator)
        return rotation

    def forward(
        self, position: Tensor, velocity: Tensor, innovation: Tensor, force: Force
    ) -> tuple[Tensor, Tensor]:
        """Integrate from an initial state through all innovations.

        Parameters
        ----------
        position, velocity
            Initial state, dims (batch, latent).
        innovation
            Standard normal numbers ``e``, dims (batch, transition, latent).
        force
            Function of the position.

        Returns
        -------
        Positions and velocities, dims (batch, transition + 1, latent).
        """
        half, persistence, rotation = self.step / 2, self.persistence, self.rotation()
        positions, velocities = [position], [velocity]
        pull = half * force(position)
        for kick in (self.kick_size * innovation).unbind(1):
            velocity = velocity + pull
            slowed = persistence * (velocity if rotation is None else _turn(rotation, velocity))
            slowed = slowed + kick
            position = position + half * (velocity + slowed)
            # The force at the end of a step is the force at the start of the next one.
            pull = half * force(position)
            velocity = slowed + pull
            positions.append(position)
            velocities.append(velocity)
        return torch.stack(positions, 1), torch.stack(velocities, 1)


class PublishedEuler(nn.Module):
    """The explicit Euler scheme of the published code; nothing of it is learned.

    ``z' = z + step v`` and ``v' = (1 - damping) (v + step F(z)) + sqrt(2 damping) e``: the
    friction acts over a unit time, the motion over ``step``. With ``two_clocks=False`` the
    friction acts over ``step`` as well.

    Parameters
    ----------
    step, damping
        Step of the motion; share of the velocity that is lost per bin.
    two_clocks
        Whether friction and motion have different clocks.

    Examples
    --------
    >>> flow = PublishedEuler(step=0.01, damping=0.55)
    >>> round(flow.loss, 2), round(flow.kick_size, 3)
    (0.55, 1.049)
    """

    def __init__(self, *, step: float, damping: float, two_clocks: bool = True) -> None:
        super().__init__()
        self.step = step
        self.loss = damping if two_clocks else damping * step

    @property
    def kick_size(self) -> float:
        """Standard deviation of the random kick of one step."""
        return math.sqrt(2 * self.loss)

    def physics(self, like: Tensor) -> Physics:
        """Return the numbers of the scheme, of the type and device of a tensor."""
        numbers = (1.0, 1.0, self.kick_size, self.step, 1 - self.loss)
        return Physics(*(like.new_full((), number) for number in numbers))

    def forward(
        self, position: Tensor, velocity: Tensor, innovation: Tensor, force: Force
    ) -> tuple[Tensor, Tensor]:
        """Integrate as :meth:`Baoab.forward` does."""
        kicks = self.kick_size * innovation
        positions, velocities = [position], [velocity]
        for kick in kicks.unbind(1):
            pushed = velocity + self.step * force(position)
            position = position + self.step * velocity
            velocity = (1 - self.loss) * pushed + kick
            positions.append(position)
            velocities.append(velocity)
        return torch.stack(positions, 1), torch.stack(velocities, 1)


def _scalar(value: float, learn: bool) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value), requires_grad=learn)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _turn(rotation: Tensor, velocity: Tensor) -> Tensor:
    rings = velocity.view(*velocity.shape[:-1], *rotation.shape[:2])
    return torch.einsum("gpq,...gq->...gp", rotation, rings).flatten(-2)
