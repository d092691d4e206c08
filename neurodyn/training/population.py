"""Many copies of one network, trained side by side in the time of few.

Small networks leave a processor waiting: the work of one step is little, the number of steps is
not. Here the copies share every step. Their weights are stacked, the loss is computed once under
``torch.vmap``, and operations of :mod:`neurodyn.kernels` run all copies in one launch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from neurodyn.errors import ConfigError
from neurodyn.training.config import TrainingConfig
from neurodyn.training.loop import TrainingResult, train
from neurodyn.training.protocols import Batch, Objective, Progress, Source
from neurodyn.training.run_folder import Resume

__all__ = ["Population", "PopulationNetwork", "train_population"]


class Population(NamedTuple):
    """What training a population ends with."""

    #: One for each member, in evaluation mode, with its own best weights.
    networks: list[nn.Module]
    #: Best monitored score of each member, NaN without validation.
    best_scores: list[float]
    #: Batches passed over for each member because its loss or gradient was not finite.
    n_skipped: list[int]
    #: The run as a whole; rows of its history hold ``loss_0``, ``loss_1``, … and scores likewise.
    run: TrainingResult


@dataclass(frozen=True)
class _Members:
    """What a checkpoint of a population is compared by."""

    learning_rate_scales: tuple[float, ...]
    member: Any


class PopulationNetwork(nn.Module):
    """Members of one architecture, their weights stacked; ``forward`` gives all their losses.

    Parameters
    ----------
    networks
        Of the same parameters and settings; they stay as they are.
    scales
        Factor of the learning rate for each member, which the optimizer reads.

    Examples
    --------
    >>> population = PopulationNetwork([nn.Linear(2, 1), nn.Linear(2, 1)], [1.0, 0.5])
    >>> population.weights["weight"].shape, population.member(1).bias.shape
    (torch.Size([2, 1, 2]), torch.Size([1]))
    """

    best_score: Tensor
    n_skipped: Tensor

    def __init__(self, networks: Sequence[nn.Module], scales: Sequence[float]) -> None:
        super().__init__()
        self.step_scales = tuple(scales)
        self.config = _Members(self.step_scales, getattr(networks[0], "config", None))
        # In a tuple, so that its own weights are not among those of the population.
        self._like = (copy.deepcopy(networks[0]),)
        for name, tensor in _stacked([dict(n.named_parameters()) for n in networks]).items():
            self.register_parameter(_key("now", name), nn.Parameter(tensor))
            self.register_buffer(_key("best", name), tensor.clone())
        for name, tensor in _stacked([dict(n.named_buffers()) for n in networks]).items():
            self.register_buffer(_key("now", name), tensor)
            self.register_buffer(_key("best", name), tensor.clone())
        for name, parameter in networks[0].named_parameters():
            getattr(self, _key("now", name)).requires_grad_(parameter.requires_grad)
        self.register_buffer("best_score", torch.full((len(networks),), torch.nan).double())
        self.register_buffer("n_skipped", torch.zeros(len(networks), dtype=torch.int64))

    @property
    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers by the names that they have in a member, dims (member, ...)."""
        return self._tensors("now")

    def member(self, index: int) -> nn.Module:
        """Return a copy of one member as it is now."""
        return self._copy_of("now", index)

    def best_member(self, index: int) -> nn.Module:
        """Return a copy of one member at its best validation, or as it is now without any."""
        return self._copy_of("now" if self.best_score[index].isnan() else "best", index)

    def forward(self, objective: Objective, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return what the objective gives, each entry of dims (member,)."""
        loss = _Loss(self._like[0].train(self.training), objective, progress)
        stacked = {f"network.{name}": tensor for name, tensor in self.weights.items()}

        def of_member(state: dict[str, Tensor]) -> dict[str, Tensor]:
            losses: dict[str, Tensor] = functional_call(loss, state, (batch,))
            return losses

        found: dict[str, Tensor] = torch.vmap(of_member, randomness="different")(stacked)
        return found

    @torch.no_grad()
    def keep_best(self, scores: Sequence[float], mode: str) -> None:
        """Keep the weights of the members whose score is the best so far."""
        best = self._tensors("best")
        for index, (score, known) in enumerate(zip(scores, self.best_score.tolist())):
            better = math.isnan(known) or (score < known if mode == "min" else score > known)
            if better and not math.isnan(score):
                self.best_score[index] = score
                for name, tensor in self.weights.items():
                    best[name][index] = tensor[index]

    def _tensors(self, which: str) -> dict[str, Tensor]:
        start = _key(which, "")
        every = (*self.named_parameters(), *self.named_buffers())
        return {
            name.removeprefix(start).replace("/", "."): tensor
            for name, tensor in every
            if name.startswith(start)
        }

    @torch.no_grad()
    def _copy_of(self, which: str, index: int) -> nn.Module:
        member = copy.deepcopy(self._like[0]).to(self.best_score.device)
        own = {**dict(member.named_parameters()), **dict(member.named_buffers())}
        for name, tensor in self._tensors(which).items():
            own[name].copy_(tensor[index])
        return member.eval()


class _Loss(nn.Module):
    """An objective as the forward pass of a module, which is what can be mapped."""

    def __init__(self, network: nn.Module, objective: Objective, progress: Progress) -> None:
        super().__init__()
        self.network, self.objective, self.progress = network, objective, progress

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.objective.loss(self.network, batch, self.progress)


class _Given(torch.autograd.Function):
    """A scalar 0 whose gradients by some tensors are given."""

    @staticmethod
    def forward(ctx: Any, n_tensors: int, *tensors: Tensor) -> Tensor:
        ctx.save_for_backward(*tensors[n_tensors:])
        return tensors[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, incoming: Tensor) -> Any:
        given = ctx.saved_tensors
        return (None, *(incoming * gradient for gradient in given), *(None for _ in given))


class _EachMember:
    """The objective of a population: every member is clipped, judged and kept by itself."""

    def __init__(self, objective: Objective, training: TrainingConfig) -> None:
        self.objective, self.training = objective, training

    def loss(self, network: nn.Module, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        losses = network(self.objective, batch, progress)
        own = losses["loss"]
        # The value is the mean over members, the gradient that of each member alone.
        finite = torch.isfinite(own.detach())
        mean = torch.where(finite, own.detach(), 0.0).sum() / finite.sum()
        each = {f"{k}_{i}": v.detach() for k, row in losses.items() for i, v in enumerate(row)}
        return {"loss": mean + self._member_gradients(_bare(network), own), **each}

    def _member_gradients(self, population: PopulationNetwork, own: Tensor) -> Tensor:
        """Return 0 whose gradient is each member's own, clipped, and zero if not finite."""
        trained = [p for p in population.parameters() if p.requires_grad]
        found = torch.autograd.grad(own.sum(), trained, allow_unused=True)
        pairs = [(p, g) for p, g in zip(trained, found) if g is not None]
        norm = torch.stack([g.reshape(len(g), -1).norm(dim=1) for _, g in pairs]).norm(dim=0)
        finite = torch.isfinite(norm) & torch.isfinite(own.detach())
        population.n_skipped += ~finite
        limit = self.training.gradient_clip or math.inf
        factor = (limit / (norm + 1e-6)).clamp(max=1.0)

        def clipped(g: Tensor) -> Tensor:
            shape = (-1, *[1] * (g.ndim - 1))
            return torch.where(finite.view(shape), g * factor.view(shape), 0.0)

        tensors = [*(p for p, _ in pairs), *(clipped(g) for _, g in pairs)]
        scalar: Tensor = _Given.apply(len(pairs), *tensors)
        return scalar

    def validate(self, network: nn.Module, source: Source) -> dict[str, float]:
        population, training = _bare(network), self.training
        members = map(population.member, range(len(population.step_scales)))
        scores = [self.objective.validate(member, source) for member in members]
        watched = [score[training.monitor] for score in scores]
        population.keep_best(watched, training.monitor_mode)
        choose = min if training.monitor_mode == "min" else max
        each = {f"{k}_{i}": v for i, score in enumerate(scores) for k, v in score.items()}
        known = [score for score in watched if not math.isnan(score)]
        return {training.monitor: choose(known, default=math.nan), **each}


def train_population(
    networks: Sequence[nn.Module],
    objective: Objective,
    source: Source,
    training: TrainingConfig,
    *,
    learning_rates: Sequence[float] | None = None,
    validation: Source | None = None,
    folder: str | Path | None = None,
    resume: Resume = False,
) -> Population:
    """Train networks of one architecture side by side, by the loop of :func:`train`.

    All members see the same batches in the same order. They differ in their initial weights, in
    the random numbers of dropout and sampling, and in the learning rate; each is clipped by
    itself and keeps the weights of its own best validation. A member whose loss is not finite
    passes over that batch and is counted.

    Parameters
    ----------
    networks, objective, source, validation, folder, resume
        As of :func:`train`; ``networks`` share architecture and settings, and stay as they are.
    training
        Settings of all; ``patience`` watches the best member.
    learning_rates
        One for each member; that of ``training`` if not given.

    Raises
    ------
    ConfigError
        If there are no members, rates do not match them, the architectures differ, or several
        devices are asked for.
    CheckpointError
        As of :func:`train`.
    """
    rates = [training.learning_rate] * len(networks) if learning_rates is None else learning_rates
    _check(networks, rates, training)
    population = PopulationNetwork(networks, [rate / training.learning_rate for rate in rates])
    run = train(
        population,
        _EachMember(objective, training),
        source,
        # Clipping and keeping are done for each member.
        replace(training, gradient_clip=None, keep_best=False),
        validation=validation,
        folder=folder,
        resume=resume,
    )
    chosen = [population.best_member(index) for index in range(len(networks))]
    return Population(chosen, population.best_score.tolist(), population.n_skipped.tolist(), run)


def _check(networks: Sequence[nn.Module], rates: Sequence[float], training: TrainingConfig) -> None:
    if not networks or len(rates) != len(networks):
        raise ConfigError(
            "a population needs members, and a learning rate for each",
            found=f"{len(networks)} networks, {len(rates)} learning rates",
        )
    shapes = [{k: v.shape for k, v in network.state_dict().items()} for network in networks]
    different = [str(i) for i, shape in enumerate(shapes) if shape != shapes[0]]
    if different:
        raise ConfigError(
            "members of a population share one architecture",
            found=f"other parameters than member 0: member {', '.join(different)}",
        )
    if training.n_devices > 1:
        raise ConfigError(
            "a population trains on one device",
            found=f"n_devices={training.n_devices}",
            hint="start one population on each device",
        )


def _bare(network: nn.Module) -> PopulationNetwork:
    """Return the population itself, without the wrapper of training."""
    return cast(PopulationNetwork, getattr(network, "module", network))


def _stacked(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([x[name].detach() for x in states]) for name in states[0]}


def _key(which: str, name: str) -> str:
    """Return a name without dots, which modules do not take."""
    return f"{which}:{name.replace('.', '/')}"
