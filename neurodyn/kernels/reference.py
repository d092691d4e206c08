"""The plain versions of all operations: torch under autograd, any floating type, any device."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurodyn.kernels import philox

if TYPE_CHECKING:
    from neurodyn.kernels.coordinated_dropout import Draw
    from neurodyn.kernels.langevin_scan import Physics


def langevin_scan(
    mean: Tensor,
    log_variance: Tensor,
    stiffness: Tensor,
    physics: Physics,
    noise: Tensor | None = None,
    rotation: Tensor | None = None,
    quartic: Tensor | None = None,
    scheme: str = "baoab",
) -> tuple[Tensor, Tensor, Tensor]:
    """Follow Langevin dynamics step by step.

    Parameters
    ----------
    mean, log_variance, stiffness, physics, noise, rotation, quartic, scheme
        As of :func:`neurodyn.kernels.langevin_scan.langevin_scan`, checked.

    Returns
    -------
    position, velocity : Tensor
        Dims (population, batch, draw - 1, latent).
    divergence : Tensor
        Dims (population, batch).

    Examples
    --------
    >>> zero, one = torch.zeros(1, 2, 5, 3), torch.ones(1)
    >>> float(langevin_scan(zero, zero, torch.eye(3)[None], (one,) * 5)[0].abs().sum())
    0.0
    """
    spread, speed, kick, step, persistence = (number[:, None, None] for number in physics)
    draw = mean if noise is None else mean + torch.exp(0.5 * log_variance) * noise

    def force(position: Tensor) -> Tensor:
        linear = -(position @ stiffness)
        return linear if quartic is None else linear - quartic[:, None, None] * position.pow(3)

    position, velocity = spread * draw[:, :, 0], speed * draw[:, :, 1]
    positions, velocities = [position], [velocity]
    for innovation in draw[:, :, 2:].unbind(2):
        if scheme == "euler":
            pushed = velocity + step * force(position)
            position = position + step * velocity
            velocity = persistence * pushed + kick * innovation
        else:
            pushed = velocity + 0.5 * step * force(position)
            turned = pushed if rotation is None else pushed @ rotation.mT
            slowed = persistence * turned + kick * innovation
            position = position + 0.5 * step * (pushed + slowed)
            velocity = slowed + 0.5 * step * force(position)
        positions.append(position)
        velocities.append(velocity)
    divergence = 0.5 * (mean.square() + torch.exp(log_variance) - 1 - log_variance)
    return torch.stack(positions, 2), torch.stack(velocities, 2), divergence.sum((2, 3))


def coordinated_draw(
    seed: Tensor, shape: tuple[int, ...], keep_below: int, pass_below: int
) -> tuple[Tensor, Tensor]:
    """Draw which elements an encoder gets to see and on which it is scored.

    Parameters
    ----------
    seed
        int64, (population,).
    shape
        Dims (batch, time, unit). Element ``e`` takes word ``e % 4`` of Philox's counter ``e // 4``,
        after the fewest rounds.
    keep_below, pass_below
        What a 32-bit number is compared with.

    Returns
    -------
    kept, scored : Tensor
        bool, dims (population, batch, time, unit).

    Examples
    --------
    >>> kept, scored = coordinated_draw(torch.tensor([7]), (1, 2, 2), 2**31, 0)
    >>> kept.flatten().tolist(), bool((scored == ~kept).all())
    ([True, True, True, False], True)
    """
    n_elements = math.prod(shape)
    counter = torch.arange((n_elements + 3) // 4, device=seed.device)
    words = torch.stack(philox.integers(seed[:, None], counter, philox.FEWEST_ROUNDS), -1)
    words = words.flatten(1)[:, :n_elements].unflatten(1, shape)
    kept = words < keep_below
    return kept, ~kept | (words < pass_below)


def dropped_input(
    count: Tensor,
    observed: Tensor | None,
    units: Tensor,
    seed: Tensor | None,
    draw: Draw,
    dtype: torch.dtype,
) -> Tensor:
    """Return counts as an encoder reads them.

    Parameters
    ----------
    count, observed, units, seed, draw, dtype
        As of :func:`neurodyn.kernels.coordinated_dropout.dropped_input`, checked; counts with a
        population axis, no seed if nothing is dropped.

    Returns
    -------
    Tensor
        Dims (population, batch, time read, unit read).

    Examples
    --------
    >>> from neurodyn.kernels.coordinated_dropout import Draw
    >>> count = torch.tensor([[[[3, 4]]]], dtype=torch.uint8)
    >>> dropped_input(count, None, torch.tensor([1]), None, Draw(1), torch.float32)
    tensor([[[[4.]]]])
    """
    value = count.to(torch.promote_types(dtype, torch.float32))
    if observed is not None:
        value = torch.where(observed, value, 0.0)
    if seed is not None:
        kept, _ = coordinated_draw(seed, tuple(count.shape[1:]), draw.keep_below, 0)
        value = torch.where(kept, value * (1 / draw.keep_prob), 0.0)
    return value[:, :, : draw.n_read_time].index_select(3, units).to(dtype)


def poisson_weight(
    weight: Tensor,
    shape: tuple[int, ...],
    held_out: Tensor | None,
    seed: Tensor | None,
    draw: Draw,
) -> Tensor:
    """Return the weight of every element in the likelihood, whether observed or not.

    Parameters
    ----------
    weight, held_out, seed, draw
        As of :func:`neurodyn.kernels.poisson_nll.poisson_nll`, checked; no seed if nothing is
        dropped.
    shape
        Dims (batch, time, unit).

    Returns
    -------
    Tensor
        Broadcasts to (population, batch, time, unit).

    Examples
    --------
    >>> from neurodyn.kernels.coordinated_dropout import Draw
    >>> poisson_weight(torch.ones(1), (1, 1, 1), None, None, Draw(1)).shape
    torch.Size([1, 1, 1, 1])
    """
    if weight.ndim == 1:
        weight = weight[:, None, None, None]
    if seed is None:
        return weight
    _, scored = coordinated_draw(seed, shape, draw.keep_below, draw.pass_below)
    target = torch.arange(shape[1], device=weight.device)[:, None] >= draw.n_read_time
    if held_out is not None:
        target = target | held_out
    return weight * torch.where(target, 1.0, scored * draw.scale)


def poisson_nll(
    log_count: Tensor, count: Tensor, observed: Tensor | None, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted likelihood and the sums of every unit.

    Parameters
    ----------
    log_count, count, observed
        As of :func:`neurodyn.kernels.poisson_nll.poisson_nll`, checked.
    weight
        Broadcasts to ``log_count``.

    Returns
    -------
    nll : Tensor
        Dims (population,).
    sums : Tensor
        float64, dims (population, 4, unit): of rate, count times its logarithm, count and 1.

    Examples
    --------
    >>> zero = torch.zeros(1, 1, 1, 2)
    >>> poisson_nll(zero, zero, None, torch.ones(1, 1, 1, 1))[0]
    tensor([2.])
    """
    log_count = log_count.to(torch.promote_types(log_count.dtype, torch.float32))
    number = count.to(log_count.dtype)
    rate, log_rate = log_count.exp(), number * log_count
    parts = torch.broadcast_tensors(rate, log_rate, number, torch.ones_like(rate))
    if observed is not None:
        parts = tuple(torch.where(observed, part, 0.0) for part in parts)
    nll = (weight * (parts[0] - parts[1])).sum((1, 2, 3))
    sums = torch.stack([part.detach().sum((1, 2), dtype=torch.float64) for part in parts], 1)
    return nll, sums


def gru_scan(
    gates: Tensor,
    weight: Tensor,
    bias: Tensor,
    initial: Tensor,
    mask: Tensor | None,
    bidirectional: bool,
) -> Tensor:
    """Run gated recurrent units over time, step by step.

    Parameters
    ----------
    gates, weight, bias, initial, mask, bidirectional
        As of :func:`neurodyn.kernels.gru_scan.gru_scan`.

    Returns
    -------
    Tensor
        Hidden states, dims (population, batch, time, hidden), type as the gates.

    Examples
    --------
    >>> zeros = [torch.zeros(s) for s in ((1, 2, 5, 12), (1, 12, 4), (1, 12), (1, 2, 4))]
    >>> gru_scan(*zeros, None, False).shape
    torch.Size([1, 2, 5, 4])
    """
    dtype, gates = gates.dtype, gates.to(torch.promote_types(gates.dtype, weight.dtype))
    weight, bias = weight.to(gates.dtype), bias.to(gates.dtype)
    states = []
    for member in range(len(gates)):
        state, found = initial[member].to(gates.dtype), []
        backwards = bidirectional and member % 2 == 1
        times = range(gates.shape[2])
        for time in reversed(times) if backwards else times:
            in_reset, in_update, in_new = gates[member, :, time].chunk(3, -1)
            products = state @ weight[member].mT + bias[member]
            of_reset, of_update, of_new = products.chunk(3, -1)
            update = torch.sigmoid(in_update + of_update)
            new = torch.tanh(in_new + torch.sigmoid(in_reset + of_reset) * of_new)
            state = (1 - update) * new + update * state
            if mask is not None:
                state = state * mask[member, :, time].to(gates.dtype)
            found.append(state)
        states.append(torch.stack(found[::-1] if backwards else found, 1))
    return torch.stack(states).to(dtype)


def roi_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    present: Tensor | None,
    scale: float,
    mask_diagonal: bool,
) -> Tensor:
    """Mix values by a softmax of all scores.

    Parameters
    ----------
    query, key, value, bias, present, scale, mask_diagonal
        As of :func:`neurodyn.kernels.roi_attention.roi_attention`, checked; ``present`` (batch,
        head, roi).

    Returns
    -------
    Tensor
        As ``value``.

    Examples
    --------
    >>> value = torch.tensor([[[[1.0], [2.0]]]])
    >>> roi_attention(value, value, value, None, None, 1.0, True).flatten()
    tensor([2., 1.])
    """
    score = (scale * query) @ key.mT
    if bias is not None:
        score = score + bias
    if mask_diagonal:
        diagonal = torch.eye(score.shape[-1], dtype=torch.bool, device=score.device)
        score = score.masked_fill(diagonal, -torch.inf)
    if present is not None:
        score = score.masked_fill(~present[:, :, None], -torch.inf)
    empty = (score == -torch.inf).all(-1, keepdim=True)
    weight = score.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0)
    return weight.to(value.dtype) @ value
