"""Wide hidden layers a part of the rows at a time, so that a CPU finds them in its cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["in_parts"]

# Hidden units of a part: 1 MB of float32, what a core has for itself.
PART = 2**18


def in_parts(function: Callable[..., Tensor], *rows: Tensor, n_hidden: int) -> Tensor:
    """Apply a function of rows, on a CPU to some of them after another.

    Layers that are wider than what they read and return are bound by memory where all rows go
    through one layer before the next; the result is the same. Gradients go the same way back.

    Parameters
    ----------
    function
        From rows to as many rows, each by itself.
    *rows
        Arguments of the function, all (row, ...) with as many rows.
    n_hidden
        Hidden units that the function makes of each row.

    Returns
    -------
    Tensor
        What the function gives for all rows, (row, ...).

    Examples
    --------
    >>> in_parts(torch.square, torch.tensor([1.0, 2.0, 3.0]), n_hidden=PART)
    tensor([1., 4., 9.])
    """
    size = max(PART // n_hidden, 1)
    if not rows[0].is_cpu or size >= len(rows[0]):
        return function(*rows)
    return torch.cat([function(*part) for part in zip(*(x.split(size) for x in rows))])
