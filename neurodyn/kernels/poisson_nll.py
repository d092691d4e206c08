"""The Poisson likelihood of counts under coordinated dropout, with its gradient in one pass."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurodyn.errors import ConfigError
from neurodyn.kernels import reference
from neurodyn.kernels.coordinated_dropout import (
    Draw,
    as_flags,
    checked_draw,
    folded,
    members_of,
    of_members,
    too_large,
)
from neurodyn.kernels.dispatch import Route, choose

__all__ = ["PoissonStatistics", "poisson_nll"]


class PoissonStatistics(NamedTuple):
    """Sums over batch and time of every unit's observed elements, float64, (population, unit).

    They do not depend on what is scored or weighted, and have no gradient.

    Examples
    --------
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> PoissonStatistics(2 * one, 0 * one, 2 * one, 2 * one).bits_per_spike()
    tensor([0.], dtype=torch.float64)
    """

    #: Sum of expected counts.
    rate: Tensor
    #: Sum of count times log expected count.
    log_rate: Tensor
    #: Sum of counts.
    n_spikes: Tensor
    #: Number of elements.
    n_observed: Tensor

    def bits_per_spike(self, units: Tensor | None = None) -> Tensor:
        """Return the gain over each unit's mean rate [bits per spike], (population,).

        NaN without any spike. The score of the Neural Latents Benchmark.

        Parameters
        ----------
        units
            Which units are scored, an index or bool; all if not given.
        """
        chosen = self if units is None else PoissonStatistics(*(x[:, units] for x in self))
        rate, log_rate, n_spikes, n_observed = chosen
        # a unit's mean predicts as many counts as there are, and is silent about silent units
        of_mean = n_spikes - torch.xlogy(n_spikes, n_spikes / n_observed.clamp(min=1))
        return (of_mean - (rate - log_rate)).sum(1) / (n_spikes.sum(1) * math.log(2))


class _Made(NamedTuple):
    """What a pass makes beside the sum, and by which route."""

    gradient: bool
    statistics: bool
    route: Route


def poisson_nll(
    log_count: Tensor,
    count: Tensor,
    *,
    observed: Tensor | None = None,
    seed: Tensor | None = None,
    keep_prob: float = 1.0,
    pass_prob: float = 0.0,
    n_read_time: int | None = None,
    held_out: Tensor | None = None,
    weight: Tensor | None = None,
    statistics: bool = True,
) -> tuple[Tensor, PoissonStatistics | None]:
    r"""Return the Poisson likelihood under coordinated dropout (Keshtkaran, Pandarinath 2019).

    .. math:: \sum w \, (e^{\ell} - n \ell), \qquad
        w = \text{scored} / (1 - k (1 - p)) \text{ where the encoder reads, else } 1

    Of what the encoder reads, coordinated dropout keeps a share *k*, ``keep_prob``, in the input.
    It scores the others and a share *p*, ``pass_prob``, of those kept. The seed gives
    :func:`neurodyn.kernels.coordinated_dropout.dropped_input` the same elements.

    Parameters
    ----------
    log_count
        Logarithm of expected counts, (population, batch, time, unit).
    count, observed
        Of any type, bytes best, as ``log_count`` or without population if members share them;
        bool that broadcasts to it, where elements count at all.
    seed, keep_prob, pass_prob
        int64, (population,), and probabilities. With ``keep_prob=1`` everything is scored.
    n_read_time, held_out
        How many bins the encoder reads, all by default; units that it does not, bool, (unit,).
    weight, statistics
        Multiplies: (population,), or what broadcasts to ``count``, such as a mask drawn elsewhere.
        With a loss's whole scale in it the gradient is ready at once; whether sums are made.

    Returns
    -------
    nll, statistics
        Sum of each member [nats], (population,), float32 (float64 of float64); sums of its units.

    Raises
    ------
    ConfigError
        If shapes, types or probabilities do not fit.

    Examples
    --------
    >>> nll, sums = poisson_nll(torch.zeros(1, 1, 3, 2), torch.ones(1, 3, 2, dtype=torch.uint8))
    >>> nll, sums.n_spikes
    (tensor([6.]), tensor([[3., 3.]], dtype=torch.float64))
    """
    count = of_members(count)
    _check(log_count, count, seed, held_out)
    draw = checked_draw(count, n_read_time, keep_prob, pass_prob, seed)
    observed = None if observed is None else as_flags(observed, count)
    inputs = (log_count, count, observed, _as_weight(weight, log_count), held_out, seed)
    nll, sums = _summed(*inputs, draw, statistics)
    return nll, PoissonStatistics(*sums.unbind(1)) if statistics else None


def _summed(
    log_count: Tensor,
    count: Tensor,
    observed: Tensor | None,
    weight: Tensor | None,
    held_out: Tensor | None,
    seed: Tensor | None,
    draw: Draw,
    statistics: bool,
) -> tuple[Tensor, Tensor]:
    """Return the sum of every member and the sums of its units, by the route of the device."""
    if draw.keep_prob == 1:
        held_out = seed = None
    route = choose("poisson_nll", log_count.device, obstacle=_obstacle(log_count))
    if route == "reference":
        weight = _of_elements(log_count, count, weight, held_out, seed, draw)
        return reference.poisson_nll(log_count, count, observed, weight)
    made = _Made(torch.is_grad_enabled(), statistics, route)
    inputs = (log_count.contiguous(), count, observed, weight, held_out, seed)
    nll, _, sums = _PoissonNll.apply(*inputs, draw, made)
    return nll, sums


def _check(log_count: Tensor, count: Tensor, seed: Tensor | None, held_out: Tensor | None) -> None:
    n_members = len(log_count) if log_count.ndim else 0
    if log_count.shape[1:] != count.shape[1:] or len(count) not in (1, n_members):
        raise ConfigError(
            "log_count and count do not fit",
            found=f"{tuple(log_count.shape)} and {tuple(count.shape)}",
            expected="(population, batch, time, unit), of count with or without population",
        )
    if not log_count.is_floating_point():
        raise ConfigError("log_count must be floating", found=log_count.dtype)
    if seed is not None and seed.shape != (n_members,):
        raise ConfigError("invalid seed", found=tuple(seed.shape), expected=f"({n_members},)")
    if held_out is not None and (held_out.dtype != torch.bool or held_out.shape != count.shape[3:]):
        found = f"{held_out.dtype} {tuple(held_out.shape)}"
        raise ConfigError("invalid held_out", found=found, expected="torch.bool (unit,)")


def _as_weight(weight: Tensor | None, log_count: Tensor) -> Tensor | None:
    """Return weights of members, or of elements with a first axis of 1 where they share them."""
    if weight is None:
        return None
    wide = torch.promote_types(log_count.dtype, torch.float32)
    if weight.shape == log_count.shape[:1]:
        return weight.to(wide).contiguous()
    shape = tuple(log_count.shape)
    if weight.ndim > 4 or not all(a in (1, b) for a, b in zip(weight.shape[::-1], shape[::-1])):
        raise ConfigError(
            "invalid weight",
            found=tuple(weight.shape),
            expected=f"({shape[0]},), or what broadcasts to {shape}",
        )
    n_members = len(weight) if weight.ndim == 4 else 1
    return weight.to(wide).expand(n_members, *shape[1:]).contiguous()


def _of_elements(
    log_count: Tensor,
    count: Tensor,
    weight: Tensor | None,
    held_out: Tensor | None,
    seed: Tensor | None,
    draw: Draw,
) -> Tensor:
    """Return the weight of every element, for what has no kernel that draws it again."""
    if weight is None:
        wide = torch.promote_types(log_count.dtype, torch.float32)
        weight = log_count.new_ones(len(log_count), dtype=wide)
    return reference.poisson_weight(weight, tuple(count.shape[1:]), held_out, seed, draw)


def _obstacle(log_count: Tensor) -> str | None:
    if log_count.dtype == torch.float64:
        return "float64"
    return too_large(log_count)


class _PoissonNll(torch.autograd.Function):
    """The sum of every member and, as more outputs, what else the pass made."""

    @staticmethod
    def forward(
        log_count: Tensor,
        count: Tensor,
        observed: Tensor | None,
        weight: Tensor | None,
        held_out: Tensor | None,
        seed: Tensor | None,
        draw: Draw,
        made: _Made,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if made.route == "triton":
            from neurodyn.kernels import triton_poisson_nll

            return triton_poisson_nll.poisson_nll(
                log_count,
                count,
                observed,
                weight,
                held_out,
                seed,
                draw,
                gradient=made.gradient,
                statistics=made.statistics,
            )
        weight = _of_elements(log_count, count, weight, held_out, seed, draw)
        return _in_torch(log_count, count, observed, weight, made)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, slope, sums = output
        ctx.mark_non_differentiable(slope, sums)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(slope)
        # The kernel scales the saved gradient where it lies, which can be done once.
        ctx.in_place, ctx.spent = inputs[-1].route == "triton", False

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
        factor, (slope,) = incoming[0], ctx.saved_tensors
        if factor is None:
            return (None,) * 8
        if not ctx.in_place:
            slope = (slope * factor[:, None, None, None]).to(slope.dtype)
            return slope, *(None,) * 7
        if ctx.spent:
            raise ConfigError(
                "this likelihood has been differentiated already",
                hint="call poisson_nll again, or take its gradient once",
            )
        ctx.spent = True
        return _Multiplied.apply(slope, factor), *(None,) * 7

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        log_count, count, observed, weight, held_out, seed, draw, made = inputs
        if in_dims[4] is not None:
            raise ConfigError("held_out must be the same for all members")
        n_mapped, n_members = info.batch_size, members_of(log_count, in_dims[0])
        log_count, weight, seed = (
            folded(x, dim, n_mapped, n_members, share=False)
            for x, dim in ((log_count, in_dims[0]), (weight, in_dims[3]), (seed, in_dims[5]))
        )
        count, observed = (
            folded(x, dim, n_mapped, n_members)
            for x, dim in ((count, in_dims[1]), (observed, in_dims[2]))
        )
        made_all = _PoissonNll.apply(log_count, count, observed, weight, held_out, seed, draw, made)
        return tuple(_unfolded(x, n_mapped) for x in made_all), (0, 0, 0)


class _Multiplied(torch.autograd.Function):
    """A saved gradient times a number per member, by a kernel that changes it."""

    @staticmethod
    def forward(slope: Tensor, factor: Tensor) -> Tensor:
        from neurodyn.kernels import triton_poisson_nll

        triton_poisson_nll.multiply_in_place(slope, factor)
        return slope.detach()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[None, None]:
        return None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, slope: Tensor, factor: Tensor) -> tuple[Tensor, int]:
        n_members = members_of(slope, in_dims[0])
        folded_inputs = (
            folded(x, dim, info.batch_size, n_members, share=False)
            for x, dim in zip((slope, factor), in_dims)
        )
        return _unfolded(_Multiplied.apply(*folded_inputs), info.batch_size), 0


def _in_torch(
    log_count: Tensor, count: Tensor, observed: Tensor | None, weight: Tensor, made: _Made
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the kernel does. Less memory is touched than under autograd."""
    x = log_count.to(torch.promote_types(log_count.dtype, torch.float32))
    number = count.to(x.dtype)
    rate = x.exp()
    sums = x.new_empty(0)
    if made.statistics:
        log_rate = number * x
        parts = torch.broadcast_tensors(rate, log_rate, number, x.new_ones(()))
        if observed is not None:
            parts = tuple(torch.where(observed, part, 0.0) for part in parts)
        sums = torch.stack([part.sum((1, 2), dtype=torch.float64) for part in parts], 1)
    if observed is not None:
        weight = torch.where(observed, weight, 0.0)
    element = torch.addcmul(rate, number, x, value=-1).mul_(weight)
    slope = x.new_empty(0)
    if made.gradient:
        slope = rate.sub_(number).mul_(weight).to(log_count.dtype)
    return element.sum((1, 2, 3)), slope, sums


def _unfolded(tensor: Tensor, n_mapped: int) -> Tensor:
    return tensor.unflatten(0, (n_mapped, -1)) if tensor.numel() else tensor.expand(n_mapped, 0)
