"""One device or several: each takes its part of the same batch, and all decide alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from neurodyn.errors import ConfigError
from neurodyn.training.config import TrainingConfig
from neurodyn.training.randomness import capture_random

__all__ = [
    "any_signal",
    "mean_over_devices",
    "own_part",
    "own_random",
    "random_of_all_devices",
    "scores_of_first_device",
    "start_fabric",
]


def start_fabric(training: TrainingConfig) -> Fabric:
    """Return Fabric on the devices that the configuration asks for.

    With several devices this starts the script once more for each of them.

    Raises
    ------
    ConfigError
        If this machine has fewer of them.
    """
    available = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": training.n_devices,
    }
    device: str = training.device
    if device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if available[name])
    if available[device] < training.n_devices:
        raise ConfigError(
            "not enough devices",
            found=f"{available[device]} of kind {device!r}",
            expected=f"n_devices={training.n_devices}",
            hint="device='cpu' always works",
        )
    fabric = Fabric(
        accelerator=device,
        devices=training.n_devices,
        strategy="ddp" if training.n_devices > 1 else "auto",
        precision=training.precision,
    )
    if training.n_devices > 1:
        fabric.launch()
    return fabric


def own_part(fabric: Fabric, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
    """Return this device's windows and the weight of their mean in the mean over devices.

    A device left without windows takes one at weight zero, because all have to take part in
    the exchange of gradients.
    """
    part = np.array_split(index, fabric.world_size)[fabric.global_rank]
    share = len(part) * fabric.world_size / len(index)
    return (part if len(part) else index[:1]), share


def mean_over_devices(
    fabric: Fabric, losses: Mapping[str, Tensor], share: float
) -> dict[str, float]:
    """Return scalars averaged over the whole batch, the same on every device."""
    values = torch.stack(
        [value.detach().to(fabric.device, torch.float32) * share for value in losses.values()]
    )
    if fabric.world_size > 1:
        values = cast(Tensor, fabric.all_reduce(values, reduce_op="mean"))
    return dict(zip(losses, values.tolist(), strict=True))


def scores_of_first_device(fabric: Fabric, scores: Mapping[str, float]) -> dict[str, float]:
    """Return the first device's scores on every device, so that all decide alike."""
    values = {name: float(value) for name, value in scores.items()}
    if fabric.world_size == 1:
        return values
    own = torch.tensor(list(values.values()), dtype=torch.float64, device=fabric.device)
    return dict(zip(values, cast(Tensor, fabric.all_gather(own))[0].tolist(), strict=True))


def random_of_all_devices(fabric: Fabric) -> dict[str, Tensor]:
    """Return the random states of all devices, named ``<rank>/<generator>``."""
    own = capture_random(fabric.device)
    if fabric.world_size == 1:
        return {f"0/{name}": state for name, state in own.items()}
    gathered = cast(dict[str, Tensor], fabric.all_gather(fabric.to_device(own)))
    return {
        f"{rank}/{name}": states[rank].cpu()
        for name, states in gathered.items()
        for rank in range(fabric.world_size)
    }


def own_random(fabric: Fabric, states: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return this device's part of what :func:`random_of_all_devices` gave."""
    prefix = f"{fabric.global_rank}/"
    return {k.removeprefix(prefix): v for k, v in states.items() if k.startswith(prefix)}


def any_signal(fabric: Fabric, number: int | None) -> int:
    """Return a signal that any device has received, 0 if none has."""
    if fabric.world_size == 1:
        return number or 0
    own = torch.tensor(number or 0, device=fabric.device)
    return int(cast(Tensor, fabric.all_gather(own)).max())
