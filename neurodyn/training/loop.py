"""The training loop: one for all models, resumable to the bit."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from neurodyn.errors import ConfigError, TrainingDivergedError, one_of, suggest
from neurodyn.training.config import TrainingConfig
from neurodyn.training.devices import (
    any_signal,
    is_sharded,
    mean_over_devices,
    own_part,
    scores_of_first_device,
    start_fabric,
)
from neurodyn.training.display import progress_bar
from neurodyn.training.divergence import first_nonfinite
from neurodyn.training.history import Row
from neurodyn.training.lock import run_lock
from neurodyn.training.protocols import Batch, Objective, Progress, Source
from neurodyn.training.randomness import (
    deterministic_kernels,
    random_scope,
    restore_random,
    torch_random,
)
from neurodyn.training.run_folder import Resume, RunFolder
from neurodyn.training.schedules import learning_rate
from neurodyn.training.sharding import whole
from neurodyn.training.signals import StopRequest, TrainingInterrupted, stop_on_signals
from neurodyn.training.state import TrainingState, build_optimizer

__all__ = ["TrainingResult", "train"]

_log = logging.getLogger(__name__)
# Streams of random numbers beside one another under the same seed.
_TRAINING, _VALIDATION = 0, 1


@dataclass(frozen=True)
class TrainingResult:
    """What a run ended with.

    Parameters
    ----------
    network
        The network that was given, on the training device and in evaluation mode, with the
        best weights (or their moving average, or the last ones).
    step, epoch
        Updates and whole passes done.
    stopped
        Why it ended.
    best_step, best_score
        Where the monitored score was best; ``None`` without validation.
    n_skipped
        Batches passed over because the loss or gradient was not finite.
    history
        One row per update and per validation, as in ``history.jsonl``.
    resumed_from
        Step of the checkpoint that the run continued from.
    notes
        What a reader of the result has to know, a damaged checkpoint for example.
    """

    network: nn.Module
    step: int
    epoch: int
    stopped: Literal["n_steps", "patience"]
    best_step: int | None
    best_score: float | None
    n_skipped: int
    history: list[Row]
    resumed_from: int | None
    notes: tuple[str, ...]


def train(
    network: nn.Module,
    objective: Objective,
    source: Source,
    training: TrainingConfig,
    *,
    validation: Source | None = None,
    folder: str | Path | None = None,
    resume: Resume = False,
) -> TrainingResult:
    """Minimise an objective; the network is trained in place and ends with its best weights.

    The same seed, machine and thread count give the same bits, interrupted or not. SIGTERM and
    Ctrl-C finish the step, save and raise :class:`TrainingInterrupted`.

    Parameters
    ----------
    network, objective, source
        What is trained, what on, and what is minimised.
    training
        Settings.
    validation
        Windows for the monitored score; without them the last weights are returned.
    folder
        Run folder for checkpoints and ``history.jsonl``; without it nothing is written.
    resume
        ``True`` continues from the newest checkpoint and refuses a damaged one, ``"auto"``
        goes back to the newest whole one, or starts when there is none.

    Raises
    ------
    ConfigError
        If settings, data and device do not fit each other.
    CheckpointError
        If the folder is unusable, in use or holds another run.
    TrainingDivergedError
        If the loss or gradient is not finite, more often than ``max_skipped``.
    """
    _check(training, validation, folder, resume)
    fabric = start_fabric(training)
    with contextlib.ExitStack() as stack:
        place = None if folder is None else Path(folder)
        if place is not None and fabric.is_global_zero:
            stack.enter_context(run_lock(place))
        on_gpu = fabric.device.type == "cuda"
        stack.enter_context(deterministic_kernels(training.deterministic and on_gpu))
        entropy = [training.seed, _TRAINING, fabric.global_rank]
        stack.enter_context(random_scope(entropy, fabric.device))
        stop = stack.enter_context(stop_on_signals())
        files = stack.enter_context(contextlib.closing(RunFolder(place, training, fabric)))
        run = _Run(fabric, network, objective, source, training, validation, files)
        files.begin(run.state, resume)
        return run.until_done(stop)


class _Run:
    """One call of :func:`train`: its parts and its steps."""

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        objective: Objective,
        source: Source,
        training: TrainingConfig,
        validation: Source | None,
        files: RunFolder,
    ) -> None:
        self.fabric, self.objective, self.training = fabric, objective, training
        self.source, self.validation, self.files = source, validation, files
        self.network = network
        if is_sharded(training):
            # parts of a network are of no use afterwards: a copy is taken apart
            network = copy.deepcopy(network)
            self.module: Any = fabric.setup_module(network)
            optimizer = build_optimizer(network, training)
            self.optimizer: Any = fabric.setup_optimizers(optimizer)
        else:
            optimizer = build_optimizer(network, training)
            self.module, self.optimizer = fabric.setup(network, optimizer)
            if training.n_devices == 1 and training.precision == "32-true":
                # Fabric's would look through every batch for numbers to convert
                self.module, self.optimizer = network, optimizer
        self.state = TrainingState(network, optimizer, training, source)
        self._trained = [p for group in optimizer.param_groups for p in group["params"]]

    def until_done(self, stop: StopRequest) -> TrainingResult:
        """Take steps until they are done, patience ends or a signal comes."""
        state, training = self.state, self.training
        shown = training.progress and self.fabric.is_global_zero
        self.module.train()
        with progress_bar(training.n_steps, state.step, shown=shown) as draw:
            while not self._is_done():
                loss = self.take_step()
                if state.step % training.validate_every == 0 or state.step == training.n_steps:
                    self.validate()
                draw(state.step, loss, state.monitor.best_score)
                stopped = any_signal(self.fabric, stop.number)
                if stopped or self._is_done() or state.step % training.checkpoint_every == 0:
                    self.files.save(state)
                if stopped:
                    message = f"stopped after step {state.step}; {self.files.describe()}"
                    raise TrainingInterrupted(stopped, message)
        return self._result()

    def take_step(self) -> float:
        """Draw a batch, compute its gradient, update the weights and return the loss."""
        state, training, fabric = self.state, self.training, self.fabric
        index = next(state.sampler)
        progress = Progress(state.step, training.n_steps, state.sampler.epoch)
        rate = learning_rate(training, state.step, state.monitor.n_reductions)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        random = torch_random(fabric.device)
        part, share = own_part(fabric, index)
        batch = {name: x.to(fabric.device) for name, x in self.source.gather(part).items()}
        losses = self.objective.loss(self.module, batch, progress)
        fabric.backward(losses["loss"] if share == 1 else losses["loss"] * share)
        values = mean_over_devices(fabric, losses, share)
        values["gradient_norm"] = self._clip_gradient()
        if math.isfinite(values["loss"]) and math.isfinite(values["gradient_norm"]):
            self.optimizer.step()
            if state.average is not None:
                state.average.update()
        else:
            self._skip_or_raise(index, batch, progress, random, values)
        for parameter in self._trained:
            parameter.grad = None
        state.step += 1
        row = {"kind": "train", "step": state.step, "epoch": progress.epoch, "learning_rate": rate}
        self.files.history.append(row | values)
        return values["loss"]

    def validate(self) -> None:
        """Score the network (its moving average, if there is one) and keep it if it is best.

        Random numbers come from a stream of their own, so that how often a run validates does
        not change what it learns.
        """
        if self.validation is None:
            return
        state, training = self.state, self.training
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(random_scope([training.seed, _VALIDATION], self.fabric.device))
            stack.enter_context(_evaluating(self.module))
            if state.average is not None:
                stack.enter_context(state.average.applied())
            scores = self.objective.validate(self.module, self.validation)
            scores = scores_of_first_device(self.fabric, scores)
            if training.monitor not in scores:
                raise ConfigError(
                    f"the objective gives no score {training.monitor!r} to monitor",
                    hint=suggest(training.monitor, scores),
                )
            if state.monitor.update(scores[training.monitor], state.step) and training.keep_best:
                state.keep_as_best()
        row = {"kind": "validation", "step": state.step, "epoch": state.sampler.epoch}
        self.files.history.append(row | scores)

    @torch.no_grad()
    def _clip_gradient(self) -> float:
        """Clip the gradient where that is asked for; return its norm before."""
        limit = self.training.gradient_clip or math.inf
        if is_sharded(self.training):
            norm = self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=limit, error_if_nonfinite=False
            )
            return math.nan if norm is None else float(whole(norm))
        # As torch does, but what is short enough is not multiplied by 1.
        gradients = [p.grad for p in self._trained if p.grad is not None]
        size = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))
        if size > limit:
            torch._foreach_mul_(gradients, limit / (size + 1e-6))
        return size

    def _skip_or_raise(
        self,
        index: NDArray[np.int64],
        batch: Batch,
        progress: Progress,
        random: dict[str, Tensor],
        values: Mapping[str, float],
    ) -> None:
        """Count a batch whose loss or gradient is not finite, or explain it and stop."""
        state = self.state
        if state.n_skipped < self.training.max_skipped:
            state.n_skipped += 1
            _log.warning("skipped the batch of step %d: loss %s", state.step + 1, values["loss"])
            return
        restore_random(random, self.fabric.device)
        culprit = first_nonfinite(
            state.network, batch, lambda: self.objective.loss(self.module, batch, progress)
        )
        windows = ", ".join(map(str, index[:16])) + (", …" if len(index) > 16 else "")
        raise TrainingDivergedError(
            "the loss or its gradient is not finite",
            where=f"step {state.step + 1}, windows {windows}",
            found=f"loss {values['loss']}, gradient norm {values['gradient_norm']}; "
            f"first not finite: {culprit}",
            expected="finite numbers",
            hint="lower learning_rate, set gradient_clip, or allow max_skipped; "
            + self.files.describe(),
        )

    def _is_done(self) -> bool:
        return self.state.step >= self.training.n_steps or self.state.monitor.exhausted

    def _result(self) -> TrainingResult:
        state, files = self.state, self.files
        state.load_final_weights()
        if self.network is not state.network:
            weights = {name: whole(part) for name, part in state.network.state_dict().items()}
            self.network.to(self.fabric.device).load_state_dict(weights)
        self.network.eval()
        position = state.sampler.state_dict()
        return TrainingResult(
            network=self.network,
            step=state.step,
            epoch=position["epoch"] + (position["position"] == len(state.sampler)),
            stopped="n_steps" if state.step >= self.training.n_steps else "patience",
            best_step=state.monitor.best_step,
            best_score=state.monitor.best_score,
            n_skipped=state.n_skipped,
            history=files.history.rows,
            resumed_from=files.resumed_from,
            notes=files.notes,
        )


def _check(
    training: TrainingConfig,
    validation: Source | None,
    folder: str | Path | None,
    resume: Resume,
) -> None:
    """Refuse what does not fit together, before any work."""
    if validation is None and (training.patience is not None or training.schedule == "plateau"):
        raise ConfigError(
            "patience and schedule='plateau' watch a validation score",
            found="no validation windows",
            hint="pass validation=, or patience=None and another schedule",
        )
    if validation is not None and len(validation) == 0:
        raise ConfigError("there are no validation windows", found="len(validation)=0")
    one_of("resume", resume, (False, True, "auto", None))
    if resume and folder is None:
        raise ConfigError("resume needs the run folder", hint="pass folder=")


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for the length of the block."""
    module.eval()
    try:
        yield
    finally:
        module.train()
