"""The network and the objective of fine-tuning."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from neurodyn.models.brainmae.examples import Examples
from neurodyn.models.brainmae.features import window_features
from neurodyn.models.brainmae.finetune_config import FinetuneConfig
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.training import Batch, Progress, Source

__all__ = ["DecodingObjective", "FinetuneNetwork", "LabelledWindows"]

# what stands for a hidden region: nothing is hidden in decoding
MASK = "encoder.encoder.hidden"


class FinetuneNetwork(nn.Module):
    """An encoder and a linear head on its features.

    Parameters
    ----------
    config
        Settings.
    encoder
        Its decoder is left out.
    n_outputs
        Classes, or 1.
    """

    def __init__(self, config: FinetuneConfig, encoder: BrainMAENetwork, n_outputs: int) -> None:
        super().__init__()
        self.encoder, self.config = encoder, config
        encoder.decoder = nn.Identity()  # type: ignore[assignment]
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * encoder.config.state_size, n_outputs)
        for name, parameter in self.named_parameters():
            parameter.requires_grad = self.learning_rate_scale(name) > 0 and name != MASK

    def forward(self, batch: Batch) -> Tensor:
        """Return logits or standardised numbers, dims ``(batch, output)``."""
        found: Tensor = self.head(self.dropout(window_features(self.encoder, batch)))
        return found

    def learning_rate_scale(self, name: str) -> float:
        """Return the share of the learning rate that a parameter has; see ``FinetuneConfig``."""
        if not name.startswith("encoder."):
            return 1.0
        below = self._layers_above(name.removeprefix("encoder."))
        return self.config.encoder_scale * self.config.layer_decay**below

    def _layers_above(self, name: str) -> int:
        """Return how many layers of the encoder come after that of a parameter."""
        number = next((int(part) for part in name.split(".") if part.isdigit()), 0)
        sizes = self.encoder.config
        if name.startswith("context."):
            return sizes.n_encoder_layers - 1 - number
        if name.startswith("encoder."):
            return sizes.n_encoder_layers + sizes.n_blocks - number
        return sizes.n_encoder_layers


class LabelledWindows(NamedTuple):
    """Windows of examples with the code of their label."""

    examples: Examples
    code: NDArray[Any]

    def __len__(self) -> int:
        return len(self.examples.windows)

    def gather(self, index: NDArray[np.int64]) -> Batch:
        """Return windows with ``target (batch,)``."""
        target = self.code[self.examples.example[index]]
        return {**self.examples.windows.gather(index), "target": torch.from_numpy(target)}


class DecodingObjective:
    """Cross-entropy of classes, squared error of numbers.

    Parameters
    ----------
    is_classification
        Which.
    """

    def __init__(self, is_classification: bool) -> None:
        self.is_classification = is_classification

    def loss(self, network: nn.Module, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return the mean loss over windows [nats, or variances]."""
        return {"loss": self._loss(network(batch), batch["target"])}

    def validate(self, network: nn.Module, source: Source) -> dict[str, float]:
        """Return the mean ``loss`` over windows."""
        device = next(network.parameters()).device
        batch = source.gather(np.arange(len(source)))
        batch = {name: value.to(device) for name, value in batch.items()}
        return {"loss": float(self._loss(network(batch), batch["target"]))}

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        if self.is_classification:
            return F.cross_entropy(output, target)
        return F.mse_loss(output[:, 0], target)
