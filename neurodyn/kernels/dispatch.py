"""Which implementation of an operation runs: by device, unless one is asked for."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Literal

import torch

from neurodyn.errors import ConfigError, one_of

__all__ = ["Route", "choose", "forced", "recorded"]

#: ``triton``: kernels for NVIDIA GPUs; ``torch``: torch operations with backward passes written
#: out; ``reference``: the plain version under autograd.
Route = Literal["triton", "torch", "reference"]

_ROUTES = ("triton", "torch", "reference")
_asked: ContextVar[Route | None] = ContextVar("neurodyn_kernels_asked", default=None)
_taken: ContextVar[dict[str, Route] | None] = ContextVar("neurodyn_kernels_taken", default=None)


def choose(operation: str, device: torch.device, *, obstacle: str | None = None) -> Route:
    """Return the route that an operation takes, and keep a note of it.

    Parameters
    ----------
    operation
        Its name.
    device
        Where its tensors are.
    obstacle
        Why Triton cannot serve this call (a size, a type), nothing if it can.

    Raises
    ------
    ConfigError
        If :func:`forced` asks for Triton where it cannot run.

    Examples
    --------
    >>> choose("gru_scan", torch.device("cpu"))
    'torch'
    """
    asked = _asked.get()
    cannot = _without_triton(device) or obstacle
    if asked == "triton" and cannot:
        raise ConfigError(f"{operation} cannot run in Triton", found=cannot, hint="force 'torch'")
    route: Route = asked or ("torch" if cannot else "triton")
    taken = _taken.get()
    if taken is not None:
        taken[operation] = route
    return route


@contextlib.contextmanager
def forced(route: Route) -> Iterator[None]:
    """Make every operation in the block take one route.

    Raises
    ------
    ConfigError
        If there is no such route.

    Examples
    --------
    >>> with forced("reference"):
    ...     choose("gru_scan", torch.device("cpu"))
    'reference'
    """
    one_of("route", route, _ROUTES)
    token = _asked.set(route)
    try:
        yield
    finally:
        _asked.reset(token)


@contextlib.contextmanager
def recorded() -> Iterator[dict[str, Route]]:
    """Give the routes that operations in the block have taken, by name.

    Examples
    --------
    >>> with recorded() as routes:
    ...     _ = choose("gru_scan", torch.device("cpu"))
    >>> routes
    {'gru_scan': 'torch'}
    """
    taken: dict[str, Route] = {}
    token = _taken.set(taken)
    try:
        yield taken
    finally:
        _taken.reset(token)


def _without_triton(device: torch.device) -> str | None:
    """Return why Triton cannot run on a device at all."""
    if not _has_triton():
        return "the package triton is not installed: pip install 'neurodyn[gpu]'"
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if device.type != "cuda" and not (interpreted and _asked.get() == "triton"):
        return f"tensors on {device.type}, Triton needs cuda (or TRITON_INTERPRET=1)"
    return None


@functools.cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
