"""Tensors of which each device holds a part: brought together for a file, taken apart again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor

from neurodyn.errors import ConfigError

__all__ = ["as_sharded", "load_whole", "shard", "whole"]


def shard(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Leave each device its part of all parameters; the forward pass brings them together.

    Raises
    ------
    ConfigError
        If this network, or this PyTorch, cannot be sharded.
    """
    try:
        from torch.distributed.fsdp import fully_shard

        fully_shard(network, mesh=mesh["data_parallel"])
    except (ImportError, ValueError) as error:
        raise ConfigError(
            "this network cannot be sharded",
            where=f"{type(network).__name__}, PyTorch {torch.__version__}",
            found=error,
            hint="strategy='ddp' keeps the whole network on each device",
        ) from error
    return network


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor; where it is sharded, all devices have to ask together.

    Examples
    --------
    >>> whole(torch.ones(2))
    tensor([1., 1.])
    """
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def as_sharded(values: Tensor, target: Tensor) -> Tensor:
    """Return whole values as ``target`` is: this device's part of them where it is sharded."""
    if not isinstance(target, DTensor):
        return values
    values, mesh = values.to(target.device), target.device_mesh
    # every device has the values, so none has to send them
    return distribute_tensor(values, mesh, target.placements, src_data_rank=None)


def load_whole(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a network, sharded or not, the weights of a whole one."""
    own = network.state_dict()
    network.load_state_dict({name: as_sharded(value, own[name]) for name, value in weights.items()})
