"""The Langevin scan in torch, its backward pass written out.

With ``u``, the velocity after the first kick of a transition, BAOAB reads
``z' = z + u drift + kick step/2 e``, ``u' = u keep + kick e + step F(z')``; the Euler scheme has
the same form with ``u = v`` and the force at ``z``. On a CPU the time goes into the number of calls
per step, four forward and six backward, and into the number of times that all steps pass through
memory, so results are written where they stay and sums are taken as dot products.
Inside, dims are (population, time, batch, latent): a step is one piece of memory.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from neurodyn.kernels.langevin_scan import Terms

__all__ = ["backward", "forward"]

# Multiplies states: one number, one per member (population, 1, 1), or matrices from the right.
Factor = float | Tensor


class _Transition(NamedTuple):
    #: Velocity to velocity and to position.
    keep: Factor
    drift: Factor
    #: Position to the kick of a whole step: of the position, and of its cube.
    force: Tensor
    cubic: Factor | None
    #: Half a step; nothing for a scheme that does not halve its kicks.
    half: Factor | None

    def transposed(self) -> _Transition:
        """Return what multiplies gradients."""
        keep, drift = (f if isinstance(f, float) else f.mT for f in (self.keep, self.drift))
        return _Transition(keep, drift, self.force.mT, self.cubic, self.half)


def forward(
    terms: Terms,
    mean: Tensor,
    log_variance: Tensor,
    noise: Tensor | None,
    seed: None,
    stiffness: Tensor,
    rotation: Tensor | None,
    physics: Tensor,
) -> tuple[Tensor, ...]:
    """Run the scan.

    Parameters
    ----------
    terms
        Scheme, and whether the force has a cubic part.
    mean, log_variance, noise, stiffness, rotation
        As of :func:`neurodyn.kernels.langevin_scan.langevin_scan`, of one type.
    seed
        Nothing: noise has been drawn before.
    physics
        Spread, speed, kick, step, persistence and quartic, dims (population, 6).

    Returns
    -------
    position, velocity : Tensor
        Dims (population, batch, draw - 1, latent).
    divergence : Tensor
        Dims (population, batch).
    pushed, draw, deviation : Tensor
        Velocities after the first kick, draws and standard deviations, for :func:`backward`.

    Examples
    --------
    >>> zero, eye = torch.zeros(1, 2, 5, 3), torch.eye(3)[None]
    >>> forward(Terms("baoab"), zero, zero, None, None, eye, None, torch.ones(1, 6))[0].shape
    torch.Size([1, 2, 4, 3])
    """
    spread, speed, kick, *_ = physics[..., None, None].unbind(1)
    deviation = torch.mul(log_variance, 0.5).exp_()
    excess = torch.addcmul(log_variance, deviation, deviation, value=-1).sum((2, 3))
    excess += mean[0, 0].numel()
    divergence = 0.5 * (torch.linalg.vector_norm(mean, dim=(2, 3)).square() - excess)
    draw = _empty(mean.transpose(1, 2))
    if noise is None:
        draw.copy_(mean.transpose(1, 2))
    else:
        first, second, third = (t.transpose(1, 2) for t in (mean, deviation, noise))
        torch.addcmul(first, second, third, out=draw)
    position, pushed = _empty(draw[:, 1:]), _empty(draw[:, 1:])
    torch.mul(draw[:, 0], spread, out=position[:, 0])
    torch.mul(draw[:, 1], speed, out=pushed[:, 0])
    torch.mul(draw[:, 2:], kick[:, None], out=pushed[:, 1:])
    velocity = _integrate(position, pushed, _transition(terms, stiffness, rotation, physics))
    position, velocity, pushed, draw = (
        t.transpose(1, 2) for t in (position, velocity, pushed, draw)
    )
    return position, velocity, divergence, pushed, draw, deviation


def backward(
    terms: Terms,
    mean: Tensor,
    log_variance: Tensor,
    noise: Tensor | None,
    seed: None,
    stiffness: Tensor,
    rotation: Tensor | None,
    physics: Tensor,
    position: Tensor,
    velocity: Tensor,
    pushed: Tensor,
    draw: Tensor,
    deviation: Tensor,
    d_position: Tensor,
    d_velocity: Tensor,
    d_divergence: Tensor,
) -> tuple[Tensor, ...]:
    """Return the gradients.

    Parameters
    ----------
    terms, mean, log_variance, noise, seed, stiffness, rotation, physics
        As of :func:`forward`.
    position, velocity, pushed, draw, deviation
        What it gave.
    d_position, d_velocity, d_divergence
        Gradients by its results.

    Returns
    -------
    tuple of Tensor
        Gradients by mean, log-variance, stiffness and physics, and by the rotation if there is
        one.
    """
    transition = _transition(terms, stiffness, rotation, physics)
    draw, pushed, position = (t.transpose(1, 2) for t in (draw, pushed, position))
    arriving = (d_position.transpose(1, 2), d_velocity.transpose(1, 2))
    by_place, by_pushed, by_force = _return(position, arriving, transition)
    # by what the draws add: to position and velocity at first, then to the velocities
    by_draw = _empty(draw)
    by_draw[:, 0], by_draw[:, 1] = by_place[:, 0], by_pushed[:, 0]
    half = 0.0 if transition.half is None else transition.half
    _plus(by_pushed[:, 1:], by_place[:, 1:], half, by_draw[:, 2:])
    d_physics, d_stiffness, *d_rotation = _by_parameters(
        (position, pushed[:, :-1], draw[:, 2:]),
        (by_force, by_place[:, 1:], by_draw[:, 2:]),
        (terms, stiffness, rotation, physics),
    )
    for i in range(2):
        d_physics[:, i] = _inner(by_draw[:, i], draw[:, i])
        by_draw[:, i] *= physics[:, i, None, None]
    by_draw[:, 2:] *= physics[:, 2, None, None, None]
    by_draw, by_divergence = by_draw.transpose(1, 2), d_divergence[..., None, None]
    d_mean = torch.addcmul(by_draw, mean, by_divergence)
    d_log_variance = torch.mul(deviation, deviation).sub_(1).mul_(0.5 * by_divergence)
    if noise is not None:
        d_log_variance.addcmul_(by_draw, draw.transpose(1, 2) - mean, value=0.5)
    return d_mean, d_log_variance, d_stiffness, d_physics, *d_rotation


def _transition(
    terms: Terms, stiffness: Tensor, rotation: Tensor | None, physics: Tensor
) -> _Transition:
    step, keep, quartic = physics[:, 3:, None, None].unbind(1)
    euler = terms.scheme == "euler"
    reach, half = (keep * step, None) if euler else (step, 0.5 * step)
    drift = step if half is None else half * (1 + keep)
    if rotation is not None:
        keep = keep * rotation.mT
        same = torch.eye(keep.shape[-1], dtype=keep.dtype, device=keep.device)
        drift = 0.5 * step * (same + keep)
    return _Transition(
        _number(keep),
        _number(drift),
        -reach * stiffness,
        _number(-reach * quartic) if terms.quartic else None,
        None if half is None else _number(half),
    )


def _number(factor: Tensor) -> Factor:
    """Return a single number as such where that is cheaper."""
    return float(factor) if factor.numel() == 1 and factor.device.type == "cpu" else factor


def _integrate(position: Tensor, pushed: Tensor, transition: _Transition) -> Tensor:
    """Fill positions and pushed velocities, which come with initial states and kicks.

    Returns velocities. All have dims (population, time, batch, latent).
    """
    keep, drift, half = transition.keep, transition.drift, transition.half
    (place, *places), (speed, *speeds) = position.unbind(1), pushed.unbind(1)
    if half is not None:
        _add_force(speed, place, transition, speed, share=0.5)
    for next_place, next_speed in zip(places, speeds, strict=True):
        if half is None:
            _plus(place, speed, drift, next_place)
        else:
            _plus(place, next_speed, half, next_place)
            _plus(next_place, speed, drift, next_place)
        _plus(next_speed, speed, keep, next_speed)
        _add_force(next_speed, place if half is None else next_place, transition, next_speed)
        place, speed = next_place, next_speed
    if half is None:
        return pushed.clone()
    velocity = _empty(pushed)
    # without the first half of the kick of the next transition
    over_time = pushed.flatten(1, 2), position.flatten(1, 2)
    _add_force(*over_time, transition, velocity.flatten(1, 2), share=-0.5)
    return velocity


def _return(
    position: Tensor, arriving: tuple[Tensor, Tensor], transition: _Transition
) -> tuple[Tensor, Tensor, Tensor]:
    """Go back through time: gradients by position, pushed velocity and the kicks of whole steps.

    ``arriving`` are the gradients by position and velocity. With dims as in :func:`_integrate`.
    """
    keep, drift, force, cubic, half = transition.transposed()
    curvature = None if cubic is None else (3 * position.square()).unbind(1)
    by_place, by_speed, by_force = (_empty(position) for _ in range(3))
    places, speeds, kicks = by_place.unbind(1), by_speed.unbind(1), by_force.unbind(1)
    to_places, to_speeds = arriving[0].unbind(1), arriving[1].unbind(1)
    for t in reversed(range(len(places))):
        place, speed, kick = places[t], speeds[t], kicks[t]
        if t + 1 == len(places):
            place.copy_(to_places[t])
            speed.copy_(to_speeds[t])
        else:
            torch.add(to_places[t], places[t + 1], out=place)
            _plus(to_speeds[t], speeds[t + 1], keep, speed)
            _plus(speed, places[t + 1], drift, speed)
        if half is not None:
            # half of it is not in the velocity, and of the first kick that half is all there is
            torch.sub(speed, to_speeds[t], alpha=0.5 if t else 1.0, out=kick)
            if not t:
                kick.mul_(0.5)
        elif t + 1 == len(places):
            kick.zero_()
        else:
            kick.copy_(speeds[t + 1])
        torch.baddbmm(place, kick, force, out=place)
        if curvature is not None and cubic is not None:
            _plus(place, curvature[t] * kick, cubic, place)
    return by_place, by_speed, by_force


def _by_parameters(
    states: tuple[Tensor, Tensor, Tensor],
    by: tuple[Tensor, Tensor, Tensor],
    parameters: tuple[Terms, Tensor, Tensor | None, Tensor],
) -> tuple[Tensor, ...]:
    """Sum the gradients of all transitions by physics, stiffness and rotation."""
    (place, pushed, innovation), (by_force, by_place, by_kicked) = states, by
    terms, stiffness, rotation, physics = parameters
    _, _, kick, step, persistence, quartic = physics.unbind(1)
    outer = _outer(place, by_force)
    pulled = -(stiffness * outer).sum((1, 2))
    by_quartic = torch.zeros_like(step)
    if terms.quartic:
        by_quartic = -_inner(place.pow(3), by_force)
        pulled = pulled + quartic * by_quartic
    d_kick, moved = _inner(by_kicked, innovation), _inner(by_place, pushed)
    d_rotation = []
    if terms.scheme == "euler":
        reach = persistence * step
        d_step = moved + persistence * pulled
        d_persistence = _inner(by_kicked, pushed) + step * pulled
    else:
        reach, turned = step, moved
        if rotation is None:
            d_persistence = _inner(by_kicked, pushed)
        else:
            d_turn = _outer(by_kicked, pushed)
            d_rotation = [persistence[:, None, None] * d_turn]
            d_persistence = (rotation * d_turn).sum((1, 2))
            turned = (rotation * _outer(by_place, pushed)).sum((1, 2))
        coasted = moved + persistence * turned + kick * _inner(by_place, innovation)
        d_step = 0.5 * coasted + pulled
    unset = torch.zeros_like(step)
    numbers = [unset, unset, d_kick, d_step, d_persistence, reach * by_quartic]
    return torch.stack(numbers, 1), -reach[:, None, None] * outer, *d_rotation


def _plus(target: Tensor, source: Tensor, factor: Factor, out: Tensor) -> None:
    """Write ``target`` plus ``source`` times a factor, to ``target`` itself if that is ``out``."""
    if isinstance(factor, float):
        torch.add(target, source, alpha=factor, out=out)
    elif factor.shape[-1] == 1:
        torch.addcmul(target, source, factor.view(-1, *(1,) * (source.ndim - 1)), out=out)
    else:
        torch.baddbmm(target, source, factor, out=out)


def _add_force(
    target: Tensor, position: Tensor, transition: _Transition, out: Tensor, share: float = 1.0
) -> None:
    """Write ``target`` plus a share of the kick at some positions."""
    torch.baddbmm(target, position, transition.force, alpha=share, out=out)
    if transition.cubic is not None:
        _plus(out, position.pow(3).mul_(share), transition.cubic, out)


def _empty(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device=like.device)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Sum products over all but the population."""
    return torch.bmm(a.flatten(1).unsqueeze(1), b.flatten(1).unsqueeze(2)).flatten()


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Sum products of latents over time and batch, dims (population, latent, latent)."""
    return torch.bmm(a.flatten(1, 2).mT, b.flatten(1, 2))
