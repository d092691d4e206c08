"""What every estimator with a network does: build it from a seed, train it, save and load it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from neurodyn.config import from_dict
from neurodyn.models import run_folder
from neurodyn.models.base import Arrays, C, Estimator, RunConfig
from neurodyn.training import Objective, Source, TrainingConfig, read_history, train
from neurodyn.training.devices import is_first_process
from neurodyn.training.history import History
from neurodyn.training.randomness import random_scope
from neurodyn.training.run_folder import Resume

__all__ = ["TrainedNetwork"]

# Stream of random numbers beside the one of training.
BUILD_STREAM = 1


class TrainedNetwork(Estimator[C]):
    """Base of the estimators with a network, whatever data they take."""

    default_training: ClassVar[TrainingConfig] = TrainingConfig()
    """How ``fit`` trains when it is not told."""
    network_: nn.Module
    training_: TrainingConfig
    history_: list[dict[str, Any]]

    @abstractmethod
    def _build(self) -> nn.Module:
        """Return a new network for the context; random numbers are torch's global ones."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network_.parameters()).device

    def save(self, folder: str | Path) -> Path:
        """Write a run folder; of several processes that trained together the first one does."""
        return super().save(folder) if is_first_process() else Path(folder)

    def _begin_training(self, training: TrainingConfig | None, n_windows: int) -> nn.Module:
        """Settle how to train, and return a new network."""
        settings = training or self.default_training
        self.training_ = replace(settings, batch_size=min(settings.batch_size, n_windows))
        return self._new_network()

    def _train(
        self,
        network: nn.Module,
        objective: Objective,
        source: Source,
        *,
        validation: Source | None,
        folder: str | Path | None,
        resume: Resume,
    ) -> None:
        result = train(
            network,
            objective,
            source,
            self.training_,
            validation=validation,
            folder=folder,
            resume=resume,
        )
        self.network_, self.history_ = result.network, result.history

    def _new_network(self) -> nn.Module:
        with random_scope([self.training_.seed, BUILD_STREAM], torch.device("cpu")):
            return self._build()

    def _arrays(self) -> Arrays:
        state = self.network_.state_dict()
        return {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}

    def _run_config(self) -> RunConfig:
        return RunConfig(estimator=self.name, model=self.config, training=self.training_)

    def _restore_network(self, run: run_folder.Run, settings: RunConfig) -> None:
        """Take back the weights; the context has to be there."""
        self.training_ = from_dict(TrainingConfig, settings.training, where=run_folder.CONFIG)
        self.network_ = self._new_network()
        weights = {name: torch.from_numpy(array) for name, array in run.arrays.items()}
        self.network_.load_state_dict(weights)
        self.network_.eval()
        self.history_ = read_history(run.folder / run_folder.HISTORY)

    def _write_more(self, folder: Path) -> None:
        History(folder / run_folder.HISTORY, self.history_).close()
