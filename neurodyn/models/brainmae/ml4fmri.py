"""BrainMAE as a model of ml4fmri, which compares classifiers of fMRI by cross-validation."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from neurodyn.config import assign
from neurodyn.errors import ConfigError, DataError, MissingDependencyError
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.context import RoiContext, run_windows
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.finetune_config import FinetuneConfig
from neurodyn.models.brainmae.finetune_network import FinetuneNetwork
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.recording import bold

__all__ = ["Ml4fmriModel", "ml4fmri_model"]

NAMES = ("bold", "observed", "time")


class Ml4fmriModel(nn.Module):
    """A fine-tuned BrainMAE with the methods that ml4fmri calls; see :func:`ml4fmri_model`.

    Parameters
    ----------
    input_size
        Regions.
    output_size
        Classes.

    Raises
    ------
    ConfigError
        If the pre-trained model has another number of regions.
    """

    repetition_time: ClassVar[float]
    decoding: ClassVar[FinetuneConfig]
    pretrained: ClassVar[BrainMAE | None] = None
    lr: ClassVar[float] = 1e-3

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        config = self._network_config()
        encoder = BrainMAENetwork(config, input_size, config.n_frames)
        if self.pretrained is not None:
            if self.pretrained.context_.n_rois != input_size:
                raise ConfigError(
                    "pre-trained model has other regions than the data",
                    found=f"{self.pretrained.context_.n_rois} regions",
                    expected=f"{input_size}, in the order of the data",
                )
            encoder.load_state_dict(self.pretrained.network_.state_dict())
        self.network = FinetuneNetwork(self.decoding, encoder, output_size)

    @classmethod
    def _network_config(cls) -> BrainMAEConfig:
        return cls.decoding.network if cls.pretrained is None else cls.pretrained.config

    @classmethod
    def prepare_dataloader(
        cls, data: ArrayLike, labels: ArrayLike, batch_size: int = 16, shuffle: bool = True
    ) -> DataLoader[tuple[Tensor, ...]]:
        """Return batches of the windows of samples and of their labels.

        Parameters
        ----------
        data
            Series, shape ``(sample, time, roi)``; NaN where unknown.
        labels
            Class numbers, shape ``(sample,)``.

        Raises
        ------
        DataError
            If so much is missing of some samples that they have fewer windows than others.
        """
        values, config = np.asarray(data, np.float32), cls._network_config()
        step, names = cls.repetition_time, list(map(str, range(values.shape[2])))
        runs = {
            f"sample{i}": bold(v, repetition_time=step, roi=names) for i, v in enumerate(values)
        }
        windows = run_windows(runs, RoiContext.of(runs), config)
        counts = np.bincount(windows.run, minlength=len(values))
        if counts.min() != counts.max():
            raise DataError(
                "samples have different numbers of windows",
                found=f"{counts.min()} to {counts.max()}",
                expected="the same frames in all samples",
                hint="leave out samples of which more than half of a window is missing",
            )
        batch = windows.gather(np.arange(len(windows)))
        shape = (len(values), counts[0])
        tensors = [batch[name].reshape(*shape, *batch[name].shape[1:]) for name in NAMES]
        target = torch.as_tensor(np.asarray(labels), dtype=torch.int64)
        return DataLoader(TensorDataset(*tensors, target), batch_size, shuffle=shuffle)

    def forward(
        self, bold: Tensor, observed: Tensor, time: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits, means over windows, and what the loss needs.

        Parameters
        ----------
        bold, observed
            Dims ``(batch, window, segment, roi, frame)``.
        time
            Dims ``(batch, window, segment)``.
        """
        flat = {n: v.flatten(0, 1) for n, v in zip(NAMES, (bold, observed, time))}
        logits = self.network(flat).view(*bold.shape[:2], -1).mean(dim=1)
        return logits, {"logits": logits}

    def compute_loss(
        self, loss_load: dict[str, Tensor], targets: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the cross-entropy, for the gradient and for the log."""
        loss = F.cross_entropy(loss_load["logits"], targets)
        return loss, {"CE_loss": float(loss.detach())}

    def handle_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Any]]:
        """Return the loss of a batch, and losses, probabilities and labels for the log."""
        logits, load = self(*batch[:-1])
        loss, log = self.compute_loss(load, batch[-1])
        probability = logits.detach().softmax(dim=1).cpu().numpy()
        return loss, {**log, "y_prob": probability, "y_true": batch[-1].cpu().numpy()}

    def get_optimizer(self, lr: float | None = None) -> torch.optim.Optimizer:
        """Return AdamW, slower in the encoder than in the head, as ``FinetuneConfig`` says."""
        rate = self.lr if lr is None else lr
        groups = [
            {"params": [parameter], "lr": rate * self.network.learning_rate_scale(name)}
            for name, parameter in self.network.named_parameters()
            if parameter.requires_grad
        ]
        return torch.optim.AdamW(groups, lr=rate, weight_decay=0.05)

    def train_model(
        self,
        train_loader: DataLoader[Any],
        val_loader: DataLoader[Any],
        test_loader: DataLoader[Any],
        **options: Any,
    ) -> Any:
        """Train by the loop of ml4fmri, which keeps the weights of the best validation.

        Raises
        ------
        MissingDependencyError
            Without ml4fmri.
        """
        try:
            models = importlib.import_module("ml4fmri.models")
        except ImportError as error:
            raise MissingDependencyError("ml4fmri", "benchmarks") from error
        return models.BasicTrainer(self, train_loader, val_loader, test_loader, **options).run()


def ml4fmri_model(
    repetition_time: float, config: FinetuneConfig | None = None, **settings: Any
) -> type[Ml4fmriModel]:
    """Return a class for ``ml4fmri.cvbench(..., custom_models=...)``.

    Parameters
    ----------
    repetition_time
        TR of the data [s], which ml4fmri does not ask for.
    config
        How to fine-tune; ``pretrained`` names a run folder of :class:`neurodyn.models.BrainMAE`,
        whose regions must be in the order of the data.
    **settings
        Single settings, such as ``pretrained="runs/brainmae"``.

    Returns
    -------
    type
        Named ``BrainMAE``, as it stands in the tables of ml4fmri.

    Raises
    ------
    ConfigError
        For an unknown setting or another task than classification.
    CheckpointError
        If there is no such run.

    Examples
    --------
    >>> small = {"node_size": 8, "node_heads": 2, "state_size": 16, "state_heads": 2}
    >>> model = ml4fmri_model(2.0, network=BrainMAEConfig(n_segments=2, **small))
    >>> loader = model.prepare_dataloader(np.random.rand(4, 30, 5), [0, 1, 0, 1])
    >>> *windows, label = next(iter(loader))
    >>> model(input_size=5, output_size=2)(*windows)[0].shape
    torch.Size([4, 2])
    """
    chosen = assign(config or FinetuneConfig(), settings)
    if chosen.task != "classification":
        raise ConfigError("ml4fmri compares classifiers", found=f"task={chosen.task!r}")
    start = BrainMAE.load(chosen.pretrained) if chosen.pretrained else None
    members = {"repetition_time": repetition_time, "decoding": chosen, "pretrained": start}
    return cast(type[Ml4fmriModel], type("BrainMAE", (Ml4fmriModel,), members))
