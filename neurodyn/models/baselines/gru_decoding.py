"""A small recurrent network that reads lagged inputs and gives a behavior."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from neurodyn.models.baselines.linear_decoding import far_from
from neurodyn.models.batches import batches
from neurodyn.training import Batch, Progress, Source, TrainingConfig, train
from neurodyn.training.randomness import random_scope

__all__ = ["GRUReadout", "GRUReadoutNetwork", "fit_gru_readout"]

FloatArray = NDArray[np.float64]
N_STRETCHES = 5
"""Of the training time; the end of each is held out."""
BUILD_STREAM = 2
AT_ONCE = 4096


class GRUReadoutNetwork(nn.Module):
    """One bidirectional layer over the lags; its last states give the behavior.

    Parameters
    ----------
    n_inputs, n_features
        Of the inputs ``(batch, lag, input)`` and of the behavior ``(batch, feature)``.
    hidden_size, dropout
        Units per direction, and dropout of their last states.

    Examples
    --------
    >>> GRUReadoutNetwork(2, 1, hidden_size=8, dropout=0.0)(torch.zeros(5, 3, 2)).shape
    torch.Size([5, 1])
    """

    def __init__(self, n_inputs: int, n_features: int, *, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(n_inputs, hidden_size, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(2 * hidden_size, n_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the behavior, ``(batch, feature)``."""
        _, last = self.gru(inputs)
        found: Tensor = self.readout(self.dropout(torch.cat([last[0], last[1]], dim=1)))
        return found


@dataclass(frozen=True, eq=False)
class GRUReadout:
    """A trained network, and the step whose weights it has."""

    network: nn.Module
    best_step: int | None

    def predict(self, inputs: FloatArray) -> FloatArray:
        """Return the behavior, ``(instant, feature)``, of inputs ``(instant, lag, input)``."""
        with torch.no_grad():
            parts = torch.split(torch.from_numpy(inputs).float(), AT_ONCE)
            return np.concatenate([self.network(part).double().numpy() for part in parts])


@dataclass(frozen=True, eq=False)
class Instants:
    """Inputs and behavior at instants, as the training loop asks for them."""

    inputs: Tensor
    target: Tensor

    @classmethod
    def of(cls, inputs: FloatArray, target: FloatArray, chosen: NDArray[np.int64]) -> Instants:
        """Return chosen instants as float32."""
        return cls(*(torch.from_numpy(array[chosen]).float() for array in (inputs, target)))

    def __len__(self) -> int:
        """Return how many instants there are."""
        return len(self.inputs)

    def gather(self, index: NDArray[np.int64]) -> Batch:
        """Return some instants."""
        chosen = torch.from_numpy(np.asarray(index))
        return {"inputs": self.inputs[chosen], "target": self.target[chosen]}


class SquaredError:
    """Mean squared error over instants and features."""

    def loss(self, network: nn.Module, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return the error of a batch."""
        return {"loss": F.mse_loss(network(batch["inputs"]), batch["target"])}

    def validate(self, network: nn.Module, source: Source) -> dict[str, float]:
        """Return the error ``mse`` of all instants."""
        total = 0.0
        for batch in batches(source, network, AT_ONCE):
            error = F.mse_loss(network(batch["inputs"]), batch["target"])
            total += float(error) * len(batch["target"])
        return {"mse": total / len(source)}


def fit_gru_readout(
    inputs: FloatArray,
    target: FloatArray,
    time: FloatArray,
    *,
    hidden_size: int,
    dropout: float,
    validation: float,
    reach: float,
    training: TrainingConfig,
) -> GRUReadout:
    """Train a network; its weights are those of the least error on held-out blocks of time.

    Parameters
    ----------
    inputs, target
        Shapes ``(instant, lag, input)`` and ``(instant, feature)``, scaled, in order of time.
    time
        Instants [s].
    hidden_size, dropout
        As of :class:`GRUReadoutNetwork`.
    validation
        Share of the instants that is held out, the end of each of five stretches.
    reach
        Instants closer than this [s] to a held-out one are not learned from.
    training
        Settings that monitor ``mse``; the seed is also that of the first weights.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 2, 3))
    >>> settings = {"hidden_size": 4, "dropout": 0.0, "validation": 0.2, "reach": 1.0}
    >>> training = TrainingConfig(n_steps=2, monitor="mse", progress=False)
    >>> readout = fit_gru_readout(x, x[:, 0, :1], np.arange(100.0), training=training, **settings)
    >>> readout.predict(x).shape
    (100, 1)
    """
    held = np.concatenate(
        [
            stretch[len(stretch) - max(1, round(validation * len(stretch))) :]
            for stretch in np.array_split(np.arange(len(time)), N_STRETCHES)
        ]
    )
    learned = far_from(time, held, reach)
    with random_scope([training.seed, BUILD_STREAM], torch.device("cpu")):
        sizes = {"hidden_size": hidden_size, "dropout": dropout}
        network = GRUReadoutNetwork(inputs.shape[2], target.shape[1], **sizes)  # type: ignore[arg-type]
    done = train(
        network,
        SquaredError(),
        Instants.of(inputs, target, learned),
        replace(training, batch_size=min(training.batch_size, len(learned))),
        validation=Instants.of(inputs, target, held),
    )
    return GRUReadout(done.network.cpu(), done.best_step)
