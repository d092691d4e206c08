"""Triton kernels of the Langevin scan: two launches forward, two backward.

The scan itself is a chain of steps that few programs walk, so a step's latency is all that counts;
random numbers, exponentials and divergence need no chain and are done by one kernel over all
elements before it (forward) or after it (backward). A program of the scan keeps the states of a
batch tile and the stiffness on the chip and loads what the next step needs while it computes one.

Between the kernels, dims are (population, time, batch, latent): what a program reads in one step is
one piece of memory. Nothing is added atomically: each program writes its own partial sums.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from neurodyn.kernels.ahead_of_time import AheadOfTime
from neurodyn.kernels.langevin_scan import MOST_COUNTERS, Terms
from neurodyn.kernels.torch_gru_scan import empty_laid_out_as

__all__ = ["ahead_of_time", "backward", "forward"]

# What the noise of a draw comes from.
_NONE, _GIVEN, _SEED = 0, 1, 2
# Elements per program of the draw, and trials per program of the scan: a tensor core's rows.
_BLOCK, _BLOCK_BATCH = 1024, 16


@triton.jit
def _load(at, inside):
    return tl.load(at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _at(start, member, trial, draw, latent, p, b, t):
    """Point to draws and latents of a trial, by strides of member, trial and draw."""
    return start + member * p + trial * b + (draw * t + latent)


@triton.jit
def _sample(
    mean, log_variance, noise, seed, n_batch, n_draws, mean_p, mean_b, mean_t,
    LATENT: tl.constexpr, SOURCE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Return mean, standard deviation, deviation from the mean and place of some elements."""
    within = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    member = (tl.program_id(1) // n_batch).to(tl.int64)
    trial = (tl.program_id(1) % n_batch).to(tl.int64)
    draw, latent = within // LATENT, within % LATENT
    inside = within < n_draws * LATENT
    mean = _at(mean, member, trial, draw, latent, mean_p, mean_b, mean_t)
    log_variance = _at(log_variance, member, trial, draw, latent, mean_p, mean_b, mean_t)
    centre, half = _load(mean, inside), 0.5 * _load(log_variance, inside)
    spread = tl.exp(half)
    away = tl.zeros([BLOCK], tl.float32)
    if SOURCE == 1:
        start = tl.program_id(1).to(tl.int64) * n_draws * LATENT
        away = spread * _load(noise + start + within, inside)
    if SOURCE == 2:
        counter = (tl.program_id(1) % n_batch) * n_draws * LATENT + within
        away = spread * tl.randn(tl.load(seed + member), counter)
    return centre, half, spread, away, (member, trial, draw, latent), inside


@triton.jit
def _store_sums(partial, own, first, second, third):
    """Store three sums of a program."""
    tl.store(partial + 3 * own, tl.sum(first))
    tl.store(partial + 3 * own + 1, tl.sum(second))
    tl.store(partial + 3 * own + 2, tl.sum(third))


@triton.jit
def _draw_kernel(
    mean, log_variance, noise, seed, draws, divergence, n_batch, n_draws, mean_p, mean_b, mean_t,
    LATENT: tl.constexpr, SOURCE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    centre, half, spread, away, place, inside = _sample(
        mean, log_variance, noise, seed, n_batch, n_draws, mean_p, mean_b, mean_t,
        LATENT, SOURCE, BLOCK,
    )  # fmt: skip
    draws = _at(draws, *place, n_draws * n_batch * LATENT, LATENT, n_batch * LATENT)
    tl.store(draws, centre + away, mask=inside)
    nats = 0.5 * (centre * centre + spread * spread - 1.0) - half
    own = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    tl.store(divergence + own, tl.sum(tl.where(inside, nats, 0.0)))


@triton.jit
def _draw_backward_kernel(
    mean, log_variance, noise, seed, physics, d_draws, d_divergence, d_mean, d_log_variance,
    partial, n_batch, n_draws, mean_p, mean_b, mean_t, d_mean_p, d_mean_b, d_mean_t,
    LATENT: tl.constexpr, SOURCE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    centre, _, spread, away, place, inside = _sample(
        mean, log_variance, noise, seed, n_batch, n_draws, mean_p, mean_b, mean_t,
        LATENT, SOURCE, BLOCK,
    )  # fmt: skip
    member, _, draw, _ = place
    scale = tl.load(physics + member * 6 + tl.minimum(draw, 2))
    d_draws = _at(d_draws, *place, n_draws * n_batch * LATENT, LATENT, n_batch * LATENT)
    arriving = _load(d_draws, inside)
    nats = tl.load(d_divergence + tl.program_id(1))
    by_draw = scale * arriving
    d_mean = _at(d_mean, *place, d_mean_p, d_mean_b, d_mean_t)
    tl.store(d_mean, by_draw + nats * centre, mask=inside)
    widened = by_draw * away + nats * (spread * spread - 1.0)
    d_log_variance = _at(d_log_variance, *place, d_mean_p, d_mean_b, d_mean_t)
    tl.store(d_log_variance, 0.5 * widened, mask=inside)
    product = tl.where(inside, (centre + away) * arriving, 0.0)
    by_spread, by_speed = tl.where(draw == 0, product, 0.0), tl.where(draw == 1, product, 0.0)
    by_kick = tl.where(draw > 1, product, 0.0)
    own = tl.program_id(1).to(tl.int64) * tl.num_programs(0) + tl.program_id(0)
    _store_sums(partial, own, by_spread, by_speed, by_kick)


@triton.jit
def _matrix(
    start, row_stride, column_stride, LATENT: tl.constexpr, BLOCK_LATENT: tl.constexpr
):  # fmt: skip
    """Load a member's matrix, zeros beyond its latents."""
    row, column = tl.arange(0, BLOCK_LATENT)[:, None], tl.arange(0, BLOCK_LATENT)[None, :]
    at = start + tl.program_id(1).to(tl.int64) * LATENT * LATENT
    inside = (row < LATENT) & (column < LATENT)
    return _load(at + row * row_stride + column * column_stride, inside)


@triton.jit
def _tile(n_batch, BLOCK_BATCH: tl.constexpr, LATENT: tl.constexpr, BLOCK_LATENT: tl.constexpr):
    """Return trials, latents, and which of them exist."""
    trial = (tl.program_id(0) * BLOCK_BATCH + tl.arange(0, BLOCK_BATCH))[:, None]
    latent = tl.arange(0, BLOCK_LATENT)[None, :]
    return trial, latent, (trial < n_batch) & (latent < LATENT)


@triton.jit
def _scan_kernel(
    draws, stiffness, rotation, physics, positions, velocities, pulls, n_batch, n_times,
    LATENT: tl.constexpr, ROTATES: tl.constexpr, QUARTIC: tl.constexpr, EULER: tl.constexpr,
    BLOCK_LATENT: tl.constexpr, BLOCK_BATCH: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    trial, latent, inside = _tile(n_batch, BLOCK_BATCH, LATENT, BLOCK_LATENT)
    numbers = physics + member * 6
    kick, keep = tl.load(numbers + 2), tl.load(numbers + 4)
    reach = tl.load(numbers + 3) * (1.0 if EULER else 0.5)
    cubic = reach * tl.load(numbers + 5)
    force = -reach * _matrix(stiffness, LATENT, 1, LATENT, BLOCK_LATENT)
    if ROTATES:
        turn = keep * _matrix(rotation, 1, LATENT, LATENT, BLOCK_LATENT)
    every, tile = n_batch * LATENT, trial * LATENT + latent
    coming = draws + member * (n_times + 1) * every + tile
    z = tl.load(numbers) * _load(coming, inside)
    v = tl.load(numbers + 1) * _load(coming + every, inside)
    coming += 2 * every
    e = _load(coming, inside & (n_times > 1))
    to = member * n_times * every + tile
    for t in range(n_times):
        # one step ahead: it arrives while the products are computed
        coming += every
        e_next = _load(coming, inside & (t + 2 < n_times))
        pull = tl.dot(z, force, input_precision="tf32x3")
        if QUARTIC:
            pull -= cubic * z * z * z
        if not EULER:
            v += tl.where(t > 0, pull, 0.0)
        tl.store(positions + to, z, mask=inside)
        tl.store(velocities + to, v, mask=inside)
        tl.store(pulls + to, pull, mask=inside)
        to += every
        u = v + pull
        if ROTATES:  # noqa: SIM108
            w = tl.dot(u, turn, input_precision="tf32x3") + kick * e
        else:
            w = keep * u + kick * e
        if EULER:
            z += reach * v
        else:
            z += reach * (u + w)
        v, e = w, e_next


@triton.jit
def _scan_backward_kernel(
    stiffness, rotation, physics, positions, velocities, pulls, d_position, d_velocity,
    d_draws, d_forces, partial, n_batch, n_times,
    z_member, z_trial, z_time, z_latent, v_member, v_trial, v_time, v_latent,
    LATENT: tl.constexpr, ROTATES: tl.constexpr, QUARTIC: tl.constexpr, EULER: tl.constexpr,
    BLOCK_LATENT: tl.constexpr, BLOCK_BATCH: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    trial, latent, inside = _tile(n_batch, BLOCK_BATCH, LATENT, BLOCK_LATENT)
    step, keep = tl.load(physics + member * 6 + 3), tl.load(physics + member * 6 + 4)
    reach = step * (1.0 if EULER else 0.5)
    quartic, per_reach = tl.load(physics + member * 6 + 5), 1.0 / reach
    force = -reach * _matrix(stiffness, 1, LATENT, LATENT, BLOCK_LATENT)
    if ROTATES:
        turn = _matrix(rotation, LATENT, 1, LATENT, BLOCK_LATENT)
    every, tile = n_batch * LATENT, trial * LATENT + latent
    at = (member * n_times + n_times - 1) * every + tile
    d_position += member * z_member + trial.to(tl.int64) * z_trial + latent * z_latent
    d_velocity += member * v_member + trial.to(tl.int64) * v_trial + latent * v_latent
    d_draws += (member * (n_times + 1) + n_times) * every + tile
    by_z, by_v = _load(d_position, inside), _load(d_velocity, inside)
    v, pull = _load(velocities + at, inside), _load(pulls + at, inside)
    onto_z = tl.zeros([BLOCK_BATCH, BLOCK_LATENT], tl.float32)
    onto_v, onto_u, by_step, by_keep, by_cube = onto_z, onto_z, onto_z, onto_z, onto_z
    for back in range(n_times):
        # the states before this transition are used last, or in the next turn
        further, before = back + 1 < n_times, inside & (back + 1 < n_times)
        d_position -= z_time
        d_velocity -= v_time
        by_z_before, by_v_before = _load(d_position, before), _load(d_velocity, before)
        v_before = _load(velocities + at - every, before)
        pull_before = _load(pulls + at - every, before)
        d_v = by_v + onto_u + onto_v
        d_force = onto_u if EULER else onto_u + tl.where(further, d_v, 0.0)
        d_z = onto_z + by_z + tl.dot(d_force, force, input_precision="tf32x3")
        if QUARTIC:
            z = _load(positions + at, inside)
            d_z -= 3.0 * reach * quartic * z * z * d_force
            by_cube -= z * z * z * d_force
        by_step += d_force * pull * per_reach
        moved = tl.where(further, reach, 0.0) * d_z
        d_w = d_v if EULER else d_v + moved
        tl.store(d_forces + at, -reach * d_force, mask=inside)
        tl.store(d_draws, d_w, mask=inside)
        turned = tl.dot(d_w, turn, input_precision="tf32x3") if ROTATES else d_w
        u = v_before + pull_before
        by_keep += u * turned
        if EULER:
            by_step += d_z * v_before
            onto_u, onto_v = keep * turned, moved
        else:
            by_step += tl.where(further, d_z * (u + v - pull), 0.0)
            onto_u = keep * turned + moved
        onto_z, by_z, by_v, v, pull = d_z, by_z_before, by_v_before, v_before, pull_before
        at -= every
        d_draws -= every
    tl.store(d_draws, onto_z, mask=inside)
    by_step = by_step * (1.0 if EULER else 0.5)
    own = member * tl.num_programs(0) + tl.program_id(0)
    _store_sums(partial, own, by_step, by_keep, reach * by_cube)


def forward(
    terms: Terms,
    mean: Tensor,
    log_variance: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    stiffness: Tensor,
    rotation: Tensor | None,
    physics: Tensor,
) -> tuple[Tensor, ...]:
    """Run the scan.

    Parameters
    ----------
    terms
        Scheme, and whether the force has a cubic part.
    mean, log_variance, noise, seed, stiffness, rotation
        As of :func:`neurodyn.kernels.langevin_scan.langevin_scan`.
    physics
        Spread, speed, kick, step, persistence and quartic, dims (population, 6).

    Returns
    -------
    position, velocity : Tensor
        Dims (population, batch, draw - 1, latent), float32.
    divergence : Tensor
        Dims (population, batch).
    pull : Tensor
        Changes of velocity by the force over the first kick, for :func:`backward`.
    """
    n_population, n_batch, n_draws, latent = mean.shape
    given, strides, grid, sizes = _sampled(mean, log_variance, noise, seed)
    draws = _empty(mean, n_population, n_draws, n_batch, latent)
    divergence = _empty(mean, n_population, n_batch, grid[0])
    _draw_kernel[grid](*given, draws, divergence, n_batch, n_draws, *strides, **sizes)
    position, velocity, pull = (
        _empty(mean, n_population, n_draws - 1, n_batch, latent) for _ in range(3)
    )
    matrices = _matrices(stiffness, rotation)
    _scan_kernel[triton.cdiv(n_batch, _BLOCK_BATCH), n_population](
        draws, *matrices, physics.contiguous(), position, velocity, pull, n_batch, n_draws - 1,
        **_constants(terms, latent, rotation is not None), num_warps=_n_warps(latent),
    )  # fmt: skip
    position, velocity, pull = (t.transpose(1, 2) for t in (position, velocity, pull))
    return position, velocity, divergence.sum(2), pull


def backward(
    terms: Terms,
    mean: Tensor,
    log_variance: Tensor,
    noise: Tensor | None,
    seed: Tensor | None,
    stiffness: Tensor,
    rotation: Tensor | None,
    physics: Tensor,
    position: Tensor,
    velocity: Tensor,
    pull: Tensor,
    d_position: Tensor,
    d_velocity: Tensor,
    d_divergence: Tensor,
) -> tuple[Tensor, ...]:
    """Return the gradients.

    Parameters
    ----------
    terms, mean, log_variance, noise, seed, stiffness, rotation, physics
        As of :func:`forward`.
    position, velocity, pull
        What it gave; and ``d_position``, ``d_velocity``, ``d_divergence``, the gradients by it.

    Returns
    -------
    tuple of Tensor
        Gradients by mean, log-variance, stiffness, physics and, if there is one, rotation.
    """
    n_population, n_batch, n_draws, latent = mean.shape
    states = [t.transpose(1, 2).contiguous() for t in (position, velocity, pull)]
    physics = physics.contiguous()
    d_draws = _empty(mean, n_population, n_draws, n_batch, latent)
    d_forces = _empty(mean, n_population, n_draws - 1, n_batch, latent)
    tiles = triton.cdiv(n_batch, _BLOCK_BATCH)
    late = _empty(mean, n_population, tiles, 3)
    _scan_backward_kernel[tiles, n_population](
        *_matrices(stiffness, rotation), physics, *states,
        d_position[:, :, -1], d_velocity[:, :, -1], d_draws, d_forces, late,
        n_batch, n_draws - 1, *d_position.stride(), *d_velocity.stride(),
        **_constants(terms, latent, rotation is not None), num_warps=_n_warps(latent),
    )  # fmt: skip
    given, strides, grid, sizes = _sampled(mean, log_variance, noise, seed)
    d_mean, d_log_variance = (empty_laid_out_as(given[0], latent, t.dtype) for t in given[:2])
    early = _empty(mean, n_population, n_batch * grid[0], 3)
    _draw_backward_kernel[grid](
        *given, physics, d_draws, d_divergence.contiguous(), d_mean, d_log_variance, early,
        n_batch, n_draws, *strides, *d_mean.stride()[:3], **sizes,
    )  # fmt: skip
    d_physics = torch.cat([early.sum(1), late.sum(1)], 1)
    d_stiffness = _outer(states[0], d_forces)
    if rotation is None:
        return d_mean, d_log_variance, d_stiffness, d_physics
    pushed = (states[1] + states[2])[:, :-1]
    d_rotation = physics[:, 4, None, None] * _outer(d_draws[:, 2:], pushed)
    return d_mean, d_log_variance, d_stiffness, d_physics, d_rotation


def _sampled(
    mean: Tensor, log_variance: Tensor, noise: Tensor | None, seed: Tensor | None
) -> tuple[tuple[Tensor, ...], tuple[int, ...], tuple[int, int], dict[str, int]]:
    """Return tensors, strides, grid and constants of the kernels over all draws."""
    n_population, n_batch, n_draws, latent = mean.shape
    source = _GIVEN if noise is not None else _NONE if seed is None else _SEED
    # two halves of one tensor are read where they stand, by offsets of 32 bits within a trial
    alike = mean.stride() == log_variance.stride() and mean.stride(3) == 1
    if not alike or max(mean.numel(), n_draws * mean.stride(2)) > MOST_COUNTERS:
        mean, log_variance = mean.contiguous(), log_variance.contiguous()
    drawn = (mean if t is None else t.contiguous() for t in (noise, seed))
    grid = (triton.cdiv(n_draws * latent, _BLOCK), n_population * n_batch)
    sizes = {"LATENT": latent, "SOURCE": source, "BLOCK": _BLOCK}
    return (mean, log_variance, *drawn), mean.stride()[:3], grid, sizes


def _matrices(stiffness: Tensor, rotation: Tensor | None) -> tuple[Tensor, Tensor]:
    return stiffness.contiguous(), (stiffness if rotation is None else rotation).contiguous()


def _constants(terms: Terms, latent: int, rotates: bool) -> dict[str, Any]:
    return {
        "LATENT": latent,
        "ROTATES": rotates,
        "QUARTIC": terms.quartic,
        "EULER": terms.scheme == "euler",
        "BLOCK_LATENT": max(16, triton.next_power_of_2(latent)),
        "BLOCK_BATCH": _BLOCK_BATCH,
    }


def _n_warps(latent: int) -> int:
    return 4 if latent <= 32 else 8


def _empty(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device=like.device)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Sum products of latents over time and batch, dims (population, latent, latent)."""
    # a product per time, not one long one: many programs instead of one
    return torch.matmul(a.mT, b).sum(1)


def ahead_of_time() -> list[AheadOfTime]:
    """Return the kernels at representative sizes, for compilation without a GPU.

    Examples
    --------
    >>> ahead_of_time()[0].name
    'langevin_scan draw D=64'
    """
    draw = ["mean", "log_variance", "noise"]
    sample = dict.fromkeys(draw, "*fp32") | {"seed": "*i64"}
    counts = dict.fromkeys(["n_batch", "n_draws", "mean_p", "mean_b", "mean_t"], "i32")
    sizes = {"LATENT": 64, "SOURCE": _SEED, "BLOCK": _BLOCK}
    results = dict.fromkeys(["draws", "divergence"], "*fp32")
    gradients = dict.fromkeys(
        ["physics", "d_draws", "d_divergence", "d_mean", "d_log_variance", "partial"], "*fp32"
    ) | dict.fromkeys(["d_mean_p", "d_mean_b", "d_mean_t"], "i32")
    entries = [
        AheadOfTime("langevin_scan draw D=64", _draw_kernel, sample | results | counts, sizes),
        AheadOfTime(
            "langevin_scan draw backward D=64",
            _draw_backward_kernel,
            sample | gradients | counts,
            sizes,
        ),
    ]
    for latent, rotates in ((32, False), (32, True), (64, False), (64, True), (128, False)):
        entries += _scans_ahead_of_time(latent, rotates)
    return entries


def _scans_ahead_of_time(latent: int, rotates: bool) -> list[AheadOfTime]:
    constants = _constants(Terms("baoab", quartic=True), latent, rotates)
    label = f"D={latent}" + (" rotating" if rotates else "")
    given = ["stiffness", "rotation", "physics", "positions", "velocities", "pulls"]
    gradients = ["d_position", "d_velocity", "d_draws", "d_forces", "partial"]
    strides = [f"{of}_{axis}" for of in "zv" for axis in ("member", "trial", "time", "latent")]
    counts = dict.fromkeys(["n_batch", "n_times"], "i32")
    forth = dict.fromkeys(["draws", *given], "*fp32") | counts
    back = dict.fromkeys(given + gradients, "*fp32") | counts | dict.fromkeys(strides, "i32")
    sizes = (constants, _n_warps(latent))
    return [
        AheadOfTime(f"langevin_scan {name} {label}", kernel, signature, *sizes)
        for name, kernel, signature in (
            ("forward", _scan_kernel, forth),
            ("backward", _scan_backward_kernel, back),
        )
    ]
