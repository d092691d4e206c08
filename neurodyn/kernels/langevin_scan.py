"""Langevin dynamics driven by a normal posterior: draw, integrate, measure the divergence.

With ``d = mean + exp(log_variance / 2) noise`` a path starts at ``z = spread d[0]``,
``v = speed d[1]`` and is kicked by ``e[t] = d[2 + t]``. With ``F(z) = -z S - q z^3`` a transition
is, in the BAOAB scheme [1]_::

    v <- v + step/2 F(z);   z <- z + step/2 v
    v <- persistence v R^T + kick e
    z <- z + step/2 v;      v <- v + step/2 F(z)

and in the Euler scheme ``z' = z + step v``, ``v' = persistence (v + step F(z)) + kick e``.

References
----------
.. [1] Leimkuhler and Matthews (2013). Rational construction of stochastic numerical methods for
   molecular sampling. Applied Mathematics Research eXpress 2013(1), 34-56.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from neurodyn.errors import ConfigError, one_of
from neurodyn.kernels import reference
from neurodyn.kernels.dispatch import choose
from neurodyn.kernels.mapped import fold_into_population
from neurodyn.kernels.philox import normal

__all__ = ["Physics", "Scheme", "Terms", "langevin_scan"]

Scheme = Literal["baoab", "euler"]

# What the Triton kernels keep on the chip, and what their counters of the noise count.
LARGEST_LATENT, LARGEST_ROTATING = 128, 64
MOST_COUNTERS = 2**31 - 1


class Physics(NamedTuple):
    """The numbers of the dynamics, each of dims (population,).

    Examples
    --------
    >>> Physics(*torch.ones(5, 2)).step
    tensor([1., 1.])
    """

    #: Standard deviation of the initial position.
    spread: Tensor
    #: Standard deviation of the initial velocity.
    speed: Tensor
    #: Standard deviation of the random kick of one transition.
    kick: Tensor
    #: Integration step, above 0.
    step: Tensor
    #: Share of the velocity that friction leaves after one transition.
    persistence: Tensor


class Terms(NamedTuple):
    """What a transition consists of.

    Examples
    --------
    >>> Terms("baoab").quartic
    False
    """

    scheme: Scheme
    #: Whether the force has a cubic part.
    quartic: bool = False


def langevin_scan(
    mean: Tensor,
    log_variance: Tensor,
    stiffness: Tensor,
    physics: Physics,
    *,
    noise: Tensor | None = None,
    seed: Tensor | None = None,
    rotation: Tensor | None = None,
    quartic: Tensor | None = None,
    scheme: Scheme = "baoab",
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw initial state and innovations from a posterior and follow their path, as said above.

    Parameters
    ----------
    mean, log_variance
        Of the posterior, dims (population, batch, draw, latent), at least two draws.
    stiffness
        ``S``, dims (population, latent, latent).
    physics
        The numbers, dims (population,).
    noise
        Standard normal numbers like ``mean``; gets no gradient.
    seed
        int64, dims (population,): draw the noise; element ``i`` of a member, counted in (batch,
        draw, latent), is ``philox.normal(seed, i)``. Without noise and seed the mean moves.
    rotation
        ``R``, dims (population, latent, latent), with ``baoab``; nothing for the identity.
    quartic
        ``q``, dims (population,), nothing for a linear force.
    scheme
        ``"baoab"`` or ``"euler"``.

    Returns
    -------
    position, velocity : Tensor
        Dims (population, batch, draw - 1, latent), at least float32.
    divergence : Tensor
        KL(posterior || N(0, 1)) [nats], summed over draws and latents, dims (population, batch).

    Raises
    ------
    ConfigError
        If shapes do not fit, or options exclude one another.

    Examples
    --------
    >>> still, physics = torch.zeros(1, 2, 5, 3), Physics(*torch.full((5, 1), 0.5))
    >>> position, _, divergence = langevin_scan(still, still, torch.eye(3)[None], physics)
    >>> position.shape, divergence.tolist()
    (torch.Size([1, 2, 4, 3]), [[0.0, 0.0]])
    """
    _check(mean, log_variance, stiffness, physics, noise, seed, rotation, quartic, scheme)
    route = choose("langevin_scan", mean.device, obstacle=_obstacle(mean, rotation))
    posterior = mean, log_variance, noise, seed
    if route != "triton":
        posterior = _with_noise(*posterior)
    return _run(route, posterior, stiffness, physics, rotation, quartic, scheme)


Posterior = tuple[Tensor, Tensor, Tensor | None, Tensor | None]


def _with_noise(
    mean: Tensor, log_variance: Tensor, noise: Tensor | None, seed: Tensor | None
) -> Posterior:
    """Draw the noise if a seed is given, and bring all to the type of the computation."""
    dtype = torch.promote_types(mean.dtype, torch.float32)
    if seed is not None:
        counter = torch.arange(mean[0].numel(), device=mean.device)
        noise = normal(seed[:, None], counter).view(mean.shape)
    return mean.to(dtype), log_variance.to(dtype), None if noise is None else noise.to(dtype), None


def _run(
    route: str,
    posterior: Posterior,
    stiffness: Tensor,
    physics: Physics,
    rotation: Tensor | None,
    quartic: Tensor | None,
    scheme: Scheme,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take a route, with parameters of the type of the computation."""
    dtype = torch.promote_types(posterior[0].dtype, torch.float32)
    stiffness, *numbers = (tensor.to(dtype) for tensor in (stiffness, *physics))
    rotation, quartic = (None if t is None else t.to(dtype) for t in (rotation, quartic))
    if route == "reference":
        mean, log_variance, noise, _ = posterior
        moving = (stiffness, Physics(*numbers), noise, rotation, quartic, scheme)
        with torch.autocast(mean.device.type, enabled=False):
            return reference.langevin_scan(mean, log_variance, *moving)
    packed = [*numbers, torch.zeros_like(numbers[0]) if quartic is None else quartic]
    scan: Any = _Scan.apply
    position, velocity, divergence, *_ = scan(
        route,
        Terms(scheme, quartic is not None),
        *posterior,
        stiffness,
        rotation,
        torch.stack(packed, 1),
    )
    return position, velocity, divergence


class _Scan(torch.autograd.Function):
    """One route's pair of passes as one differentiable operation.

    Besides the three results it gives what the route keeps for its backward pass.
    """

    @staticmethod
    def forward(route: str, terms: Terms, *tensors: Any) -> tuple[Tensor, ...]:
        with torch.autocast(tensors[0].device.type, enabled=False):
            results: tuple[Tensor, ...] = _engine(route).forward(terms, *tensors)
        return results

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.route, ctx.terms, *tensors = inputs
        position, velocity, _, *kept = output
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, position, velocity, *kept)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        position = ctx.saved_tensors[7]
        shapes = (position.shape, position.shape, position.shape[:2])
        arriving = (
            position.new_zeros(shape) if gradient is None else gradient
            for gradient, shape in zip(gradients, shapes, strict=False)
        )
        scan: Any = _ScanBackward.apply
        d_mean, d_log_variance, d_stiffness, d_physics, *d_rotation = scan(
            ctx.route, ctx.terms, *ctx.saved_tensors, *arriving
        )
        turned = d_rotation[0] if d_rotation else None
        return None, None, d_mean, d_log_variance, None, None, d_stiffness, turned, d_physics

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return fold_into_population(_Scan.apply, info.batch_size, in_dims, arguments)


class _ScanBackward(torch.autograd.Function):
    """The backward pass as an operation of its own, so that it too folds mapped axes."""

    @staticmethod
    def forward(route: str, terms: Terms, *tensors: Any) -> tuple[Tensor, ...]:
        with torch.autocast(tensors[0].device.type, enabled=False):
            gradients: tuple[Tensor, ...] = _engine(route).backward(terms, *tensors)
        return gradients

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise ConfigError(
            "langevin_scan has no second derivative on this route",
            hint="with neurodyn.kernels.dispatch.forced('reference'): ...",
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return fold_into_population(_ScanBackward.apply, info.batch_size, in_dims, arguments)


def _engine(route: str) -> Any:
    """Return the module that computes a route; Triton's only where it is taken."""
    return importlib.import_module(f"neurodyn.kernels.{route}_langevin_scan")


def _obstacle(mean: Tensor, rotation: Tensor | None) -> str | None:
    """Return why the Triton kernels cannot serve tensors like these."""
    largest = LARGEST_LATENT if rotation is None else LARGEST_ROTATING
    if mean.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"{mean.dtype}, the kernels take float32, bfloat16 and float16"
    if mean.shape[-1] > largest:
        return f"{mean.shape[-1]} latents, a multiprocessor holds the matrices of {largest}"
    if mean[0].numel() > MOST_COUNTERS:
        return f"{mean[0].numel()} elements per member, the kernels count to {MOST_COUNTERS}"
    return None


def _check(
    mean: Tensor,
    log_variance: Tensor,
    stiffness: Tensor,
    physics: Physics,
    noise: Tensor | None,
    seed: Tensor | None,
    rotation: Tensor | None,
    quartic: Tensor | None,
    scheme: str,
) -> None:
    one_of("scheme", scheme, ("baoab", "euler"))
    if mean.ndim != 4 or mean.shape[2] < 2:
        raise ConfigError(
            "mean has the wrong shape",
            where="langevin_scan",
            found=tuple(mean.shape),
            expected="(population, batch, draw, latent), 2 draws or more",
        )
    n_population, latent = mean.shape[0], mean.shape[3]
    square, single = (n_population, latent, latent), (n_population,)
    named = {"log_variance": (log_variance, tuple(mean.shape)), "noise": (noise, tuple(mean.shape))}
    named |= {"stiffness": (stiffness, square), "rotation": (rotation, square)}
    named |= {"seed": (seed, single), "quartic": (quartic, single)}
    named |= {f"physics.{name}": (number, single) for name, number in physics._asdict().items()}
    for name, (tensor, shape) in named.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ConfigError(
                f"{name} does not fit mean",
                where="langevin_scan",
                found=tuple(tensor.shape),
                expected=shape,
            )
    if noise is not None and seed is not None:
        raise ConfigError("noise and seed are both given", where="langevin_scan", expected="one")
    if seed is not None and seed.dtype != torch.int64:
        raise ConfigError("seed must be integers", found=seed.dtype, expected="int64")
    if rotation is not None and scheme == "euler":
        raise ConfigError(
            "the euler scheme has no rotation", where="langevin_scan", hint="scheme='baoab'"
        )
