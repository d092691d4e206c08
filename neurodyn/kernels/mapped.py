"""What ``torch.vmap`` adds to an operation that has an axis for many models: a longer axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

__all__ = ["fold_into_population"]


def fold_into_population(
    apply: Callable[..., tuple[Tensor, ...]],
    n_mapped: int,
    in_dims: tuple[int | None, ...],
    arguments: tuple[Any, ...],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Run an operation once for a mapped axis and its own leading population together.

    Parameters
    ----------
    apply
        Takes tensors that lead with the population, and other things; gives such tensors.
    n_mapped, in_dims, arguments
        Of a ``vmap`` rule: size of the mapped axis, where each argument has it, the arguments.

    Returns
    -------
    The outputs with the mapped axis in front, and where it is: 0 for all of them.

    Examples
    --------
    >>> import torch
    >>> found, dims = fold_into_population(lambda x: (2 * x,), 3, (1,), (torch.ones(2, 3, 4),))
    >>> found[0].shape, dims
    (torch.Size([3, 2, 4]), (0,))
    """

    def fold(argument: Any, dim: int | None) -> Any:
        if not isinstance(argument, Tensor):
            return argument
        if dim is None:
            return argument.expand(n_mapped, *argument.shape).flatten(0, 1)
        return argument.movedim(dim, 0).flatten(0, 1)

    outputs = apply(*map(fold, arguments, in_dims))
    return tuple(out.unflatten(0, (n_mapped, -1)) for out in outputs), (0,) * len(outputs)
