"""One device or several: each takes its part of the same batch, and all decide alike."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from numpy.typing import NDArray
from torch import Tensor

from neurodyn.errors import ConfigError
from neurodyn.training.config import TrainingConfig
from neurodyn.training.randomness import capture_random
from neurodyn.training.sharding import shard

__all__ = [
    "any_signal",
    "end_helpers",
    "is_first_process",
    "is_sharded",
    "mean_over_devices",
    "own_part",
    "own_random",
    "random_of_all_devices",
    "scores_of_first_device",
    "start_fabric",
]


def start_fabric(training: TrainingConfig) -> Fabric:
    """Return Fabric on the devices that the configuration asks for.

    Processes that ``torchrun`` or ``srun`` started are taken as they are. Without them several
    devices start the script once more for each of them.

    Raises
    ------
    ConfigError
        If this machine has fewer devices, or others than ``n_devices`` processes were started.
    """
    n_processes, n_machines = _started()
    alone = training.n_devices == 1
    if n_processes not in (1, training.n_devices) and not (alone and _is_together()):
        raise ConfigError(
            "n_devices is not the number of processes that were started",
            found=f"n_devices={training.n_devices}, {n_processes} processes",
            expected="one process per device, over all machines",
            hint=f"n_devices={n_processes} (--set training.n_devices={n_processes})",
        )
    outside = n_processes > 1 and not alone
    n_here = training.n_devices // (n_machines if outside else 1)
    device = _kind_of_device(training.device, n_here)
    fabric = Fabric(
        accelerator=device,
        devices=n_here,
        num_nodes=n_machines if outside else 1,
        strategy=_strategy(training),
        precision=training.precision,
        # a job on a cluster may hold more tasks than this training asks for
        plugins=None if outside else LightningEnvironment(),
    )
    if not alone:
        with _quiet(logging.getLogger("lightning_fabric")):
            fabric.launch()
    return fabric


def is_sharded(training: TrainingConfig) -> bool:
    """Say whether each device holds only a part of the network."""
    return training.strategy == "fsdp" and training.n_devices > 1


def is_first_process() -> bool:
    """Say whether this process is the one that writes: the only one, or the first of several.

    Examples
    --------
    >>> is_first_process()
    True
    """
    return not _is_together() or torch.distributed.get_rank() == 0


def end_helpers() -> None:
    """End the processes that only helped to train; what follows is the work of the first.

    Raises
    ------
    SystemExit
        In every process but the first, with exit code 0.
    """
    if not is_first_process():
        raise SystemExit(0)


def _started() -> tuple[int, int]:
    """Return how many processes were started from outside, and on how many machines."""
    if TorchElasticEnvironment.detect():
        n_processes = int(os.environ["WORLD_SIZE"])
        return n_processes, n_processes // int(os.environ["LOCAL_WORLD_SIZE"])
    # of a step, which srun starts; a job that runs one process may have more tasks, too
    if "SLURM_STEP_NUM_TASKS" in os.environ and SLURMEnvironment.detect():
        n_processes = int(os.environ["SLURM_STEP_NUM_TASKS"])
        return n_processes, int(os.environ["SLURM_STEP_NUM_NODES"])
    return 1, 1


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep a logger's notices off the terminal for the length of the block; warnings stay."""
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _is_together() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _kind_of_device(wanted: str, n_devices: int) -> str:
    available = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": n_devices,
    }
    if wanted == "auto":
        wanted = next(name for name in ("cuda", "mps", "cpu") if available[name])
    if available[wanted] < n_devices:
        raise ConfigError(
            "not enough devices",
            found=f"{available[wanted]} of kind {wanted!r}",
            expected=f"n_devices={n_devices}",
            hint="device='cpu' always works",
        )
    return wanted


def _strategy(training: TrainingConfig) -> str | Strategy:
    if is_sharded(training):
        n_devices = training.n_devices
        return ModelParallelStrategy(shard, data_parallel_size=n_devices, tensor_parallel_size=1)
    return "auto" if training.n_devices == 1 else "ddp"


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
    values = torch.stack([value.detach().float() for value in losses.values()])
    if fabric.world_size > 1:
        values = values.to(fabric.device) * share
        values = cast(Tensor, fabric.all_reduce(values, reduce_op="mean"))
    return dict(zip(losses, values.tolist(), strict=True))


def scores_of_first_device(fabric: Fabric, scores: Mapping[str, float]) -> dict[str, float]:
    """Return the first device's scores on every device, so that all decide alike."""
    values = {name: float(value) for name, value in scores.items()}
    if fabric.world_size == 1:
        return values
    own = torch.tensor(list(values.values()), dtype=torch.float64, device=fabric.device)
    return dict(zip(values, _of_all_devices(fabric, own)[0].tolist(), strict=True))


def random_of_all_devices(fabric: Fabric) -> dict[str, Tensor]:
    """Return the random states of all devices, named ``<rank>/<generator>``."""
    own = capture_random(fabric.device)
    if fabric.world_size == 1:
        return {f"0/{name}": state for name, state in own.items()}
    return {
        f"{rank}/{name}": state.cpu()
        for name, own_state in own.items()
        for rank, state in enumerate(_of_all_devices(fabric, own_state.to(fabric.device)))
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
    return int(max(_of_all_devices(fabric, own)))


def _of_all_devices(fabric: Fabric, own: Tensor) -> list[Tensor]:
    """Return the tensors of all devices, equal in shape and dtype, in the order of ranks."""
    found = [torch.empty_like(own) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(found, own.contiguous())
    return found
