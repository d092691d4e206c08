"""The global random generators of a run: seeded inside a scope, captured, restored."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurodyn.errors import ConfigError

__all__ = [
    "capture_random",
    "deterministic_kernels",
    "random_scope",
    "restore_random",
    "torch_random",
]

# Networks draw dropout and samples from torch's global generator, and a user's objective may
# draw from Python's or numpy's, so all of them are kept. They are global by their nature;
# numpy's legacy interface is the only one that reaches its global generator.


def capture_random(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators of torch, the device, numpy and Python.

    Parameters
    ----------
    device
        Where the network lives; CUDA and MPS have a generator of their own.

    Examples
    --------
    >>> sorted(capture_random(torch.device("cpu")))
    ['numpy', 'numpy_gauss', 'python', 'python_gauss', 'torch']
    """
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    _, internal, python_gauss = random.getstate()
    return torch_random(device) | {
        "numpy": torch.tensor([*map(int, keys), position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor([gauss], dtype=torch.float64),
        "python": torch.tensor(internal, dtype=torch.int64),
        # An empty tensor stands for None.
        "python_gauss": torch.tensor(
            [] if python_gauss is None else [python_gauss], dtype=torch.float64
        ),
    }


def torch_random(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's generators alone, which takes microseconds."""
    states = {"torch": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = _backend(device).get_rng_state()
    return states


def restore_random(states: dict[str, Tensor], device: torch.device) -> None:
    """Put the generators back into captured states; those without a state stay as they are.

    A state of a device that is not in use is left alone: a run that was saved on a GPU can be
    continued on a CPU, with other random numbers.
    """
    torch.set_rng_state(states["torch"])
    if device.type in states:
        _backend(device).set_rng_state(states[device.type])
    if "numpy" not in states:
        return
    *keys, position, has_gauss = states["numpy"].tolist()
    gauss = states["numpy_gauss"].item()
    np.random.set_state(  # noqa: NPY002
        ("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, gauss)
    )
    python_gauss = states["python_gauss"].tolist()
    random.setstate((3, tuple(states["python"].tolist()), *(python_gauss or [None])))


@contextlib.contextmanager
def random_scope(entropy: Sequence[int], device: torch.device) -> Iterator[None]:
    """Seed all generators for the length of the block; the caller's come back after it.

    Parameters
    ----------
    entropy
        Whole numbers from 0 that name the stream, as ``[seed, rank]``.
    device
        Where the network lives.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> with random_scope([0, 1], torch.device("cpu")):
    ...     _ = torch.rand(3)
    >>> torch.equal(before, torch.get_rng_state())
    True
    """
    before = capture_random(device)
    seeds = [int(word) for word in np.random.SeedSequence(list(entropy)).generate_state(3)]
    try:
        random.seed(seeds[0])
        np.random.seed(seeds[1])  # noqa: NPY002
        torch.manual_seed(seeds[2])
        yield
    finally:
        restore_random(before, device)


@contextlib.contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Make torch use reproducible kernels only, for the length of the block.

    cuBLAS reads its workspace setting from the environment, so that is set as well, and put back.

    Raises
    ------
    ConfigError
        If an operation has no reproducible kernel.
    """
    if not wanted:
        yield
        return
    name = "CUBLAS_WORKSPACE_CONFIG"
    filling: Any = torch.utils.deterministic
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = filling.fill_uninitialized_memory
    added = name not in os.environ
    os.environ.setdefault(name, ":4096:8")
    # not merely with warnings: attention then takes a faster backward pass that is not reproducible
    torch.use_deterministic_algorithms(True)
    # nothing reads memory before it is written, and filling it takes a launch each time
    filling.fill_uninitialized_memory = False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise ConfigError(
            "an operation of this network has no reproducible kernel",
            found=str(error).split(". ")[0],
            hint="TrainingConfig(deterministic=False)",
        ) from error
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        filling.fill_uninitialized_memory = filled
        if added:
            del os.environ[name]


def _backend(device: torch.device) -> Any:
    return getattr(torch, device.type)
