"""Everything that a run has to remember, and its way into a checkpoint and back."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurodyn.config import to_dict
from neurodyn.errors import CheckpointMismatchError
from neurodyn.provenance import versions
from neurodyn.training import adam
from neurodyn.training.averaging import WeightAverage
from neurodyn.training.checkpoint import Checkpoint
from neurodyn.training.config import TrainingConfig
from neurodyn.training.devices import is_sharded
from neurodyn.training.protocols import OrderedSource, Source
from neurodyn.training.schedules import Monitor
from neurodyn.training.sharding import as_sharded, load_whole, whole
from neurodyn.windows.samplers import BatchSampler

__all__ = ["TrainingState", "build_optimizer", "fingerprint", "under_other_settings"]

_log = logging.getLogger(__name__)
_FORMAT = 1
_SAMPLED_WINDOWS = 16
# Settings that may differ when a run is continued: they decide how long, where and how
# visibly it runs.
_FREE = frozenset(
    {
        "n_steps",
        "patience",
        "device",
        "strategy",
        "checkpoint_every",
        "keep_checkpoints",
        "on_save_error",
        "max_skipped",
        "progress",
    }
)


class TrainingState:
    """Network, optimizer, position in the data, scores and averages of one run.

    Parameters
    ----------
    network
        On the device where it is trained; not a wrapper.
    optimizer
        Over the parameters of ``network`` that are trained, in their order.
    training
        Settings.
    source
        Training windows; their fingerprint ties a checkpoint to the data.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        training: TrainingConfig,
        source: Source,
    ) -> None:
        self.network, self.optimizer = network, optimizer
        if isinstance(source, OrderedSource):
            self.sampler = source.sampler(training.batch_size, training.seed)
        else:
            self.sampler = BatchSampler(len(source), training.batch_size, training.seed)
        self.monitor = Monitor(training)
        decay = training.ema_decay
        self.average = None if decay is None else WeightAverage(network, decay)
        self.best: dict[str, Tensor] | None = None
        self.step = 0
        self.n_skipped = 0
        self._identity = _identity(network, training, source)
        self._versions = versions()

    def keep_as_best(self) -> None:
        """Take a copy of the weights that the network holds now."""
        self.best = _copy(self.network.state_dict())

    def load_final_weights(self) -> None:
        """Give the network the best weights, else their average, else leave it its own."""
        if self.best is not None:
            load_whole(self.network, self.best)
        elif self.average is not None:
            self.average.copy_to_network(self.average.weights)

    def capture(self, random: Mapping[str, Tensor]) -> Checkpoint:
        """Return a checkpoint of this instant with the given random states.

        All devices have to ask together, because parts of sharded tensors are brought together.
        """
        optimizer = {
            f"{name}/{key}": value
            for name, values in self._optimizer_states().items()
            for key, value in values.items()
        }
        parts = {
            "network": self.network.state_dict(),
            "optimizer": optimizer,
            "average": {} if self.average is None else self.average.weights,
            "best": self.best or {},
            "random": random,
        }
        tensors = {
            f"{part}/{name}": tensor
            for part, values in parts.items()
            for name, tensor in _copy(values).items()
        }
        state = {
            **self._identity,
            "step": self.step,
            "n_skipped": self.n_skipped,
            "sampler": self.sampler.state_dict(),
            "monitor": self.monitor.state_dict(),
            "average_updates": 0 if self.average is None else self.average.n_updates,
            "versions": self._versions,
        }
        return Checkpoint(self.step, tensors, state)

    def restore(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Continue from a checkpoint; return its random states.

        Raises
        ------
        CheckpointMismatchError
            If it was written by another network, configuration or format, or on other data.
        """
        state = checkpoint.state
        _refuse_differences(state, self._identity)
        if state["versions"] != self._versions:
            _log.warning("the checkpoint was written by other versions: %s", state["versions"])
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in checkpoint.tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = tensor
        load_whole(self.network, parts["network"])
        self._restore_optimizer(parts.get("optimizer", {}))
        if self.average is not None:
            for name, weight in self.average.weights.items():
                weight.copy_(as_sharded(parts["average"][name], weight))
            self.average.n_updates = state["average_updates"]
        self.best = parts.get("best")
        self.step, self.n_skipped = state["step"], state["n_skipped"]
        self.sampler.load_state_dict(state["sampler"])
        self.monitor.load_state_dict(state["monitor"])
        return parts["random"]

    def _trained_names(self) -> list[str]:
        return [name for group in _groups(self.network).values() for name in group]

    def _optimizer_states(self) -> dict[str, dict[str, Tensor]]:
        states = self.optimizer.state_dict()["state"]
        return {name: states.get(i, {}) for i, name in enumerate(self._trained_names())}

    def _restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        names, parameters = self._trained_names(), dict(self.network.named_parameters())
        position = {name: i for i, name in enumerate(names)}
        states: dict[int, dict[str, Tensor]] = {}
        for path, tensor in tensors.items():
            name, _, key = path.rpartition("/")
            # a moment lies where its parameter does, a counter lies everywhere
            moment = tensor.shape == parameters[name].shape
            value = as_sharded(tensor, parameters[name]) if moment else tensor
            states.setdefault(position[name], {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})


def build_optimizer(network: nn.Module, training: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimizer that the configuration names, over all trained parameters.

    A network with a method ``learning_rate_scale(name)`` has the rate multiplied by what it
    returns for the name of a parameter; one with ``step_scales``, a number for each entry of the
    first dim of all its parameters, has their steps multiplied by it.
    """
    library: Any = torch.optim if is_sharded(training) else adam
    build = library.Adam if training.optimizer == "adam" else library.AdamW
    groups = [
        {"params": list(parameters.values()), "scale": scale}
        for scale, parameters in _groups(network).items()
    ]
    optimizer: torch.optim.Optimizer = build(
        groups,
        lr=training.learning_rate,
        betas=training.betas,
        weight_decay=training.weight_decay,
        # one pass over each parameter instead of one for each operation
        fused=True,
    )
    scales: Sequence[float] = getattr(network, "step_scales", ())
    if any(scale != 1 for scale in scales):
        _scale_steps(optimizer, scales)
    return optimizer


def _scale_steps(optimizer: torch.optim.Optimizer, scales: Sequence[float]) -> None:
    """Multiply the steps of entries of the first dim, as a learning rate of their own would."""
    before: list[Tensor] = []

    def parameters() -> Iterator[Tensor]:
        return (p for group in optimizer.param_groups for p in group["params"])

    def remember(*_: Any) -> None:
        before[:] = [p.detach().clone() for p in parameters()]

    @torch.no_grad()
    def scale(*_: Any) -> None:
        for old, new in zip(before, parameters()):
            factor = old.new_tensor(scales).view(-1, *[1] * (old.ndim - 1))
            new.copy_(torch.lerp(old, new, factor))

    optimizer.register_step_pre_hook(remember)
    optimizer.register_step_post_hook(scale)


def _groups(network: nn.Module) -> dict[float, dict[str, nn.Parameter]]:
    """Return the trained parameters by name, in groups of one scale of the learning rate."""
    scale_of: Callable[[str], float] = getattr(network, "learning_rate_scale", lambda name: 1.0)
    groups: dict[float, dict[str, nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(scale_of(name), {})[name] = parameter
    return groups


def fingerprint(source: Source) -> str:
    """Return a hash of the number of windows and of up to 16 of them, evenly spread.

    Other data are told apart without reading all of them; a change confined to other windows
    is not seen.
    """
    n_windows = len(source)
    spread = np.linspace(0, n_windows - 1, min(n_windows, _SAMPLED_WINDOWS))
    digest = hashlib.sha256(str(n_windows).encode())
    for name, tensor in sorted(source.gather(np.unique(spread.astype(np.int64))).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def under_other_settings(
    checkpoint: Checkpoint, training: TrainingConfig, config: Any = None
) -> Checkpoint:
    """Return a checkpoint as one that a run with other settings may continue from.

    It stays tied to its data and to the shapes of its weights; batch size and seed, which the
    position in the data depends on, stay what they were.

    Parameters
    ----------
    checkpoint
        Of the run that is left.
    training
        Settings of the run that goes on from it.
    config
        Settings of its network, where the network has some.
    """
    kept = {name: checkpoint.state["training"][name] for name in ("batch_size", "seed")}
    changed: dict[str, Any] = {"training": {**_tied(training), **kept}}
    if is_dataclass(config) and checkpoint.state["settings"]:
        changed["settings"] = to_dict(config)
    return replace(checkpoint, state={**checkpoint.state, **changed})


def _tied(training: TrainingConfig) -> dict[str, Any]:
    """Return the settings in which a checkpoint and its run agree."""
    return {key: value for key, value in to_dict(training).items() if key not in _FREE}


def _identity(network: nn.Module, training: TrainingConfig, source: Source) -> dict[str, Any]:
    weights = {
        name: f"{tuple(tensor.shape)} {tensor.dtype}"
        for name, tensor in network.state_dict().items()
    }
    # what a loss weighs and drops shows in no tensor
    config = getattr(network, "config", None)
    return {
        "format": _FORMAT,
        "data": fingerprint(source),
        "network": weights,
        "settings": to_dict(config) if is_dataclass(config) else {},
        "training": _tied(training),
    }


def _refuse_differences(found: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise with every entry in which a checkpoint and this run differ."""
    flat_found, flat_own = _flatten(found, own), _flatten(own, own)
    names = sorted(key for key in flat_found | flat_own if flat_found.get(key) != flat_own.get(key))
    if names:
        raise CheckpointMismatchError(
            "checkpoint belongs to another run",
            found="; ".join(f"{name}: {flat_found.get(name, 'absent')}" for name in names),
            expected="; ".join(f"{name}: {flat_own.get(name, 'absent')}" for name in names),
            hint="resume with the network, data and settings of the run, or use another folder",
        )


def _flatten(values: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key in keys:
        value = values.get(key)
        if isinstance(value, Mapping):
            flat.update({f"{key} {name}": item for name, item in value.items()})
        else:
            flat[key] = value
    return flat


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU that share no memory, as safetensors asks for."""
    # sharded tensors are brought together in the same order on all devices
    return {
        name: whole(tensor.detach()).to("cpu", copy=True).contiguous()
        for name, tensor in sorted(tensors.items())
    }
