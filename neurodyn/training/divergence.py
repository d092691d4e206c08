"""Where numbers stopped being finite; looked for only after they have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from neurodyn.training.protocols import Batch

__all__ = ["first_nonfinite"]


def first_nonfinite(network: nn.Module, batch: Batch, forward: Callable[[], object]) -> str:
    """Name the first thing that is not finite: input, parameter, module output or gradient.

    Parameters
    ----------
    network
        The network whose loss or gradient is not finite.
    batch
        What it was given.
    forward
        Computes the loss again, with the same random numbers.

    Examples
    --------
    >>> network = nn.Linear(1, 1)
    >>> first_nonfinite(network, {"count": torch.tensor([torch.nan])}, lambda: None)
    "input batch['count']"
    """
    for name, tensor in batch.items():
        if not _is_finite(tensor):
            return f"input batch[{name!r}]"
    for name, parameter in network.named_parameters():
        if not _is_finite(parameter):
            return f"parameter {name!r}"
    outputs = _nonfinite_outputs(network, forward)
    if outputs:
        return outputs[0]
    gradients = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and not _is_finite(parameter.grad)
    ]
    return f"gradient of {gradients[0]!r}" if gradients else "the loss itself"


def _nonfinite_outputs(network: nn.Module, forward: Callable[[], object]) -> list[str]:
    """Return the modules with an output that is not finite, in order of their completion."""
    found: list[str] = []

    def check(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not _is_finite(output):
            found.append(f"module {name or 'network'!r} ({type(module).__name__})")

    hooks = [
        module.register_forward_hook(functools.partial(check, name))
        for name, module in network.named_modules()
    ]
    try:
        with torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))
