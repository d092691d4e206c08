"""The encoder's input under coordinated dropout: what is dropped here is what is scored later.

Keshtkaran and Pandarinath, NeurIPS 2019.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurodyn.errors import ConfigError
from neurodyn.kernels import reference
from neurodyn.kernels.dispatch import choose

__all__ = ["Draw", "dropped_input"]


class Draw(NamedTuple):
    """Probabilities of coordinated dropout, and the bins that an encoder reads.

    An element has one 32-bit number, which decides both whether it is kept in the input and
    whether it is scored all the same.

    Examples
    --------
    >>> draw = Draw(n_read_time=10, keep_prob=0.5)
    >>> draw.keep_below == 2**31, draw.scale
    (True, 2.0)
    """

    n_read_time: int
    keep_prob: float = 1.0
    pass_prob: float = 0.0

    @property
    def keep_below(self) -> int:
        """Elements whose number is below are kept in the input."""
        return round(self.keep_prob * 2**32)

    @property
    def pass_below(self) -> int:
        """Elements whose number is below are kept and scored as well."""
        return round(self.keep_prob * self.pass_prob * 2**32)

    @property
    def scale(self) -> float:
        """The weight of scored elements that makes the mean weight 1."""
        share = 1 - self.keep_prob * (1 - self.pass_prob)
        return 1 / share if share else 1.0


def dropped_input(
    count: Tensor,
    seed: Tensor | None,
    keep_prob: float,
    *,
    observed: Tensor | None = None,
    units: Tensor | None = None,
    n_read_time: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return what an encoder reads: ``count * kept / keep_prob``, elements dropped at random.

    Element ``e`` of a member's (batch, time, unit) has word ``e % 4`` of the numbers that Philox
    4x32-7 draws from the member's seed at counter ``e // 4``, and is kept if that is below
    ``keep_prob * 2**32``. :func:`neurodyn.kernels.poisson_nll.poisson_nll` with the same seed
    scores what is dropped here.

    Parameters
    ----------
    count
        Counts of any type, (batch, time, unit) if members share them, else with population first.
    seed, keep_prob
        int64, (population,), and the probability that an element is kept, above 0 and up to 1.
    observed
        bool, broadcasts to ``count``; what is not observed is read as 0.
    units, n_read_time, dtype
        Which units are read, int64, (unit read,), and how many of the first bins, all by default;
        type of the result.

    Returns
    -------
    Tensor
        (population, batch, time read, unit read).

    Raises
    ------
    ConfigError
        If shapes, types or probabilities do not fit.

    Examples
    --------
    >>> count = torch.ones(1, 2, 2, dtype=torch.uint8)
    >>> dropped_input(count, torch.tensor([7]), 0.5)
    tensor([[[[2., 2.],
              [2., 0.]]]])
    """
    count = of_members(count)
    draw = checked_draw(count, n_read_time, keep_prob, 0.0, seed)
    if units is None:
        units = torch.arange(count.shape[3], device=count.device)
    _check_units(units)
    observed = None if observed is None else as_flags(observed, count)
    inputs = (count, observed, units, None if keep_prob == 1 else seed, draw, dtype)
    if choose("dropped_input", count.device, obstacle=too_large(count)) == "triton":
        dropped: Tensor = _DroppedInput.apply(*inputs)
        return dropped
    return reference.dropped_input(*inputs)


def _check_units(units: Tensor) -> None:
    if units.ndim != 1 or units.dtype != torch.int64:
        found = f"{units.dtype} {tuple(units.shape)}"
        raise ConfigError("invalid units", found=found, expected="torch.int64 (unit read,)")


def checked_draw(
    count: Tensor, n_read_time: int | None, keep_prob: float, pass_prob: float, seed: Tensor | None
) -> Draw:
    """Return the settings of a draw once they are possible.

    Raises
    ------
    ConfigError
        Naming the first that is not.
    """
    n_members, _, n_time, _ = count.shape
    n_read_time = n_time if n_read_time is None else n_read_time
    if not 0 < keep_prob <= 1:
        raise ConfigError("invalid keep_prob", found=keep_prob, expected="above 0 and up to 1")
    if not 0 <= pass_prob <= 1:
        raise ConfigError("invalid pass_prob", found=pass_prob, expected="from 0 to 1")
    if not 0 <= n_read_time <= n_time:
        raise ConfigError("invalid n_read_time", found=n_read_time, expected=f"from 0 to {n_time}")
    if keep_prob < 1 and seed is None:
        raise ConfigError("dropping needs a seed", hint="seed=torch.tensor([...]), one per member")
    fits = seed is None or (seed.ndim == 1 and n_members in (1, len(seed)))
    if seed is not None and (not fits or seed.dtype != torch.int64):
        found = f"{seed.dtype} {tuple(seed.shape)}"
        raise ConfigError("invalid seed", found=found, expected="torch.int64 (population,)")
    return Draw(n_read_time, keep_prob, pass_prob)


def of_members(count: Tensor) -> Tensor:
    """Return counts with a first axis, of 1 where members share them.

    Raises
    ------
    ConfigError
        If they have other dims than (batch, time, unit), with or without population.
    """
    if count.ndim == 3:
        count = count[None]
    if count.ndim != 4 or 0 in count.shape:
        raise ConfigError(
            "invalid count", found=tuple(count.shape), expected="([population,] batch, time, unit)"
        )
    return (count[:1] if count.stride(0) == 0 else count).contiguous()


def as_flags(observed: Tensor, count: Tensor) -> Tensor:
    """Return ``observed`` for every element, with a first axis of 1 where members share it.

    Raises
    ------
    ConfigError
        If it is not bool or does not broadcast.
    """
    fits = all(a in (1, b) for a, b in zip(reversed(observed.shape[-3:]), reversed(count.shape)))
    if observed.dtype != torch.bool or observed.ndim > 4 or not fits:
        raise ConfigError(
            "invalid observed",
            found=f"{observed.dtype} {tuple(observed.shape)}",
            expected=f"torch.bool that broadcasts to {tuple(count.shape)}",
        )
    n_members = len(observed) if observed.ndim == 4 else 1
    return of_members(observed.expand(n_members, *count.shape[1:]))


def too_large(count: Tensor) -> str | None:
    """Return why Triton cannot count a member's elements, nothing if it can."""
    n_elements = count[0].numel()
    return f"{n_elements} elements per member, at most 2**32" if n_elements > 2**32 else None


def members_of(tensor: Tensor, dim: int | None) -> int:
    """Return the size of the first axis beside the one that vmap maps over."""
    return tensor.shape[1 if dim == 0 else 0]


def folded(
    tensor: Tensor | None, dim: int | None, n_mapped: int, n_members: int, *, share: bool = True
) -> Tensor | None:
    """Put an axis that vmap maps over into the population axis, as the slower part of it.

    Parameters
    ----------
    tensor
        (population, ...), or (1, ...) where members share it.
    dim
        The mapped axis, none if all share the tensor.
    n_mapped, n_members
        Sizes of the mapped and of the population axis.
    share
        Whether a tensor that all share may stay one.
    """
    if tensor is None or (share and dim is None and len(tensor) == 1):
        return tensor
    tensor = tensor[None] if dim is None else tensor.movedim(dim, 0)
    return tensor.expand(n_mapped, n_members, *tensor.shape[2:]).flatten(0, 1).contiguous()


class _DroppedInput(torch.autograd.Function):
    """The kernel, with its rule for vmap. Counts have no gradient."""

    @staticmethod
    def forward(
        count: Tensor,
        observed: Tensor | None,
        units: Tensor,
        seed: Tensor | None,
        draw: Draw,
        dtype: torch.dtype,
    ) -> Tensor:
        from neurodyn.kernels import triton_poisson_nll

        return triton_poisson_nll.dropped_input(count, observed, units, seed, draw, dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[None, ...]:
        return (None,) * 6

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> tuple[Tensor, int]:
        count, observed, units, seed, draw, dtype = inputs
        n_members = members_of(count, in_dims[0])
        if seed is not None:
            n_members = max(n_members, members_of(seed, in_dims[3]))
        count, observed = (
            folded(x, dim, info.batch_size, n_members) for x, dim in zip((count, observed), in_dims)
        )
        seed = folded(seed, in_dims[3], info.batch_size, n_members, share=False)
        dropped = _DroppedInput.apply(count, observed, units, seed, draw, dtype)
        return dropped.unflatten(0, (info.batch_size, n_members)), 0
