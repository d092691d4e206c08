"""Estimators that are trained: a network, an objective, and the loop of neurodyn.training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from neurodyn.kernels.dispatch import recorded
from neurodyn.models.base import C, RunConfig
from neurodyn.models.context import DataContext, TrialCounts
from neurodyn.models.counts_estimator import CountsEstimator
from neurodyn.models.run_folder import Run
from neurodyn.models.trained_network import TrainedNetwork
from neurodyn.training import Objective, TrainingConfig
from neurodyn.training.randomness import random_scope
from neurodyn.training.run_folder import Resume
from neurodyn.windows import Windows

__all__ = ["TorchEstimator", "TrainingParts"]

# Stream of random numbers beside those of training and building.
PREDICT_STREAM = 2
PREDICTED_AT_ONCE = 256


class TrainingParts(NamedTuple):
    """A new network, what it minimises, and the windows it learns from and is judged by."""

    network: nn.Module
    objective: Objective
    source: Windows
    validation: Windows | None


class TorchEstimator(TrainedNetwork[C], CountsEstimator[C]):
    """Base of the estimators of counts with a network.

    A subclass gives :meth:`build_network`, :meth:`objective` and :meth:`infer`. A network with a
    method ``set_mean_count`` is told the mean training count ``(unit,)`` before the first step.
    """

    result_dims: ClassVar[Mapping[str, tuple[str, ...]]] = {"latent": ("trial", "time", "factor")}
    """Variables of ``transform`` and their dims."""

    @abstractmethod
    def build_network(self, config: C, context: DataContext) -> nn.Module:
        """Return a new network; random numbers come from torch's global generator."""

    @abstractmethod
    def objective(self, config: C, context: DataContext) -> Objective:
        """Return what training minimises and how it validates."""

    @abstractmethod
    def infer(self, network: nn.Module, count: Tensor) -> dict[str, Tensor]:
        """Return ``log_expected_count`` and the variables of ``result_dims``.

        Parameters
        ----------
        network
            In evaluation mode, without gradients.
        count
            Held-in counts ``(batch, time, unit)``, float32, 0 where not observed.

        Returns
        -------
        dict
            Tensors ``(batch, time and forward, ...)``.
        """

    def fit(
        self,
        data: xr.DataTree | xr.Dataset,
        *,
        validation: xr.DataTree | xr.Dataset | None = None,
        training: TrainingConfig | None = None,
        resume: Resume = None,
        folder: str | Path | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        data
            Training counts; held-out units and forward bins are targets, never inputs.
        validation
            Counts for the monitored score, which chooses the weights and ends training early.
        training
            Settings of the loop; ``default_training`` if not given. A batch size above the
            number of trials means all trials.
        resume
            ``True`` or ``"auto"`` continues the run in ``folder``.
        folder
            Run folder: checkpoints, history and, in the end, all that :meth:`save` writes.

        Raises
        ------
        LeakageError, DataError, TimebaseError
            As every ``fit``.
        ConfigError, CheckpointError, TrainingDivergedError
            As :func:`neurodyn.training.train`.
        """
        parts = self.training_parts(data, validation, training)
        self._train(
            parts.network,
            parts.objective,
            parts.source,
            validation=parts.validation,
            folder=folder,
            resume=resume,
        )
        self._finish_fit()
        if folder is not None:
            self.save(folder)
        return self

    def predict(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Return rates as every estimator of counts does; ``attrs["backend"]`` says by what."""
        with recorded() as routes:
            found = super().predict(data)
        return _with_backend(found, routes)

    def transform(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Return ``result_dims`` of the data; ``attrs["backend"]`` says by what."""
        with recorded() as routes:
            found = super().transform(data)
        return _with_backend(found, routes)

    def training_parts(
        self,
        data: xr.DataTree | xr.Dataset,
        validation: xr.DataTree | xr.Dataset | None = None,
        training: TrainingConfig | None = None,
    ) -> TrainingParts:
        """Forget an earlier fit and return what :meth:`fit` gives to the training loop.

        Raises
        ------
        LeakageError, DataError, TimebaseError
            As every ``fit``.
        """
        counts = self._begin_fit(data)
        source = Windows(self.context_.target_counts(counts))
        checked = None if validation is None else self._validation_counts(validation)
        network = self._begin_training(training, len(source))
        set_mean_count = getattr(network, "set_mean_count", None)
        if set_mean_count is not None:
            set_mean_count(_mean_count(source))
        objective = self.objective(self.config, self.context_)
        return TrainingParts(
            network, objective, source, None if checked is None else Windows(checked)
        )

    def take_trained(self, network: nn.Module, history: list[dict[str, Any]]) -> None:
        """Take a network that was trained elsewhere, among a population for example."""
        self.network_, self.history_ = network.eval(), history
        self._finish_fit()

    def _build(self) -> nn.Module:
        return self.build_network(self.config, self.context_)

    def _log_expected_count(self, inputs: TrialCounts) -> NDArray[np.float32]:
        return np.concatenate([part["log_expected_count"] for part in self._inferred(inputs)])

    def _latents(self, inputs: TrialCounts) -> dict[str, Any]:
        parts = list(self._inferred(inputs))
        return {
            name: (dims, np.concatenate([part[name] for part in parts]))
            for name, dims in self.result_dims.items()
        }

    def _inferred(self, inputs: TrialCounts) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Infer in batches; each has its own random numbers, the same at every call."""
        device = self.device
        self.network_.eval()
        for start in range(0, len(inputs.count), PREDICTED_AT_ONCE):
            count = torch.from_numpy(inputs.count[start : start + PREDICTED_AT_ONCE]).to(device)
            entropy = [self.training_.seed, PREDICT_STREAM, start]
            with torch.no_grad(), random_scope(entropy, device):
                found = self.infer(self.network_, count)
            yield {name: tensor.float().cpu().numpy() for name, tensor in found.items()}

    def _restore(self, run: Run, settings: RunConfig) -> None:
        CountsEstimator._restore(self, run, settings)
        self._restore_network(run, settings)

    def _provenance(self) -> dict[str, Any]:
        return {**super()._provenance(), "device": str(self.device), "seed": self.training_.seed}


def _with_backend(found: xr.Dataset, routes: Mapping[str, str]) -> xr.Dataset:
    """Note which implementations of which operations ran."""
    if not routes:
        return found
    return found.assign_attrs(backend=", ".join(f"{k} by {v}" for k, v in sorted(routes.items())))


def _mean_count(windows: Windows) -> Tensor:
    """Return mean counts of the observed bins ``(unit,)``, half a spike added to each unit."""
    observed = np.ones((1, 1), bool) if windows.observed is None else windows.observed
    mask = np.broadcast_to(observed, windows.count.shape)
    total = windows.count.sum(0, dtype=np.float64, where=mask)
    mean = (total + 0.5) / (mask.sum(0) + 1.0)
    return torch.from_numpy(mean.astype(np.float32))
