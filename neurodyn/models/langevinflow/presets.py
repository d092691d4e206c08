"""Settings that LangevinFlow is known to work with, by data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from neurodyn.errors import one_of
from neurodyn.models.langevinflow.config import LangevinFlowConfig

__all__ = ["DATASETS", "Preset", "preset"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings of a network and of its training.

    Parameters
    ----------
    model
        Settings of the network.
    training
        Fields of :class:`neurodyn.training.TrainingConfig`.
    """

    model: LangevinFlowConfig
    training: dict[str, Any] = field(default_factory=dict)


_TRAINING: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 3e-3,
    "weight_decay": 0.0,
    "schedule": "cosine",
    "warmup_steps": 50,
    "gradient_clip": 5.0,
    "validate_every": 100,
}

_LARGE: dict[str, Any] = {
    "n_groups": 4,
    "n_sites": 16,
    "encoder_size": 128,
    "decoder": "transformer",
    "decoder_size": 128,
    "feedforward_size": 256,
    "keep_prob": 0.5,
    "dropout": 0.2,
    "beta": 0.2,
}
_FEW_TRIALS: dict[str, Any] = {
    "n_groups": 4,
    "n_sites": 8,
    "encoder_size": 64,
    "step": 0.25,
    "damping": 0.5,
    "decoder": "linear",
    "keep_prob": 0.3,
    "dropout": 0.3,
    "beta": 0.2,
}
_LORENZ: dict[str, Any] = {
    "n_groups": 4,
    "n_sites": 8,
    "encoder_size": 64,
    "decoder": "transformer",
    "decoder_size": 64,
    "feedforward_size": 128,
    "keep_prob": 0.8,
    "dropout": 0.05,
    "beta": 0.05,
}

# All at 20 ms bins. Measured: mc_maze_small, lorenz and lorenz_long; the others extrapolate.
_ELBO: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mc_maze": (_LARGE, {"n_steps": 10_000, "batch_size": 128}),
    "mc_maze_large": (_LARGE | {"dropout": 0.3}, {"n_steps": 4000, "batch_size": 64}),
    "mc_maze_medium": (_FEW_TRIALS | {"n_sites": 16}, {"n_steps": 1500, "batch_size": 64}),
    "mc_maze_small": (_FEW_TRIALS, {"n_steps": 800, "batch_size": 32, "ema_decay": 0.99}),
    "mc_rtt": (_LARGE | {"keep_prob": 0.3}, {"n_steps": 6000, "batch_size": 64}),
    "area2_bump": (_FEW_TRIALS | {"n_sites": 16}, {"n_steps": 2000, "batch_size": 64}),
    "dmfc_rsg": (_LARGE | {"dropout": 0.3}, {"n_steps": 4000, "batch_size": 64}),
    "lorenz": (_LORENZ, {"n_steps": 800, "batch_size": 64}),
    "lorenz_long": (_LORENZ, {"n_steps": 1600, "batch_size": 64, "ema_decay": 0.99}),
}


class _Published(NamedTuple):
    """Settings of the published runs; the smaller mazes and Lorenz follow MC_Maze.

    The published schedule watches a validation score. Where trials are too few to spare some,
    half a cosine takes its place.
    """

    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 2e-5
    damping: float = 0.55
    keep_prob: float = 0.5
    epochs: int = 2000
    steps_per_epoch: int = 9
    size: int = 280
    schedule: str = "plateau"


_PUBLISHED: dict[str, _Published] = {
    "mc_maze": _Published(),
    "mc_maze_large": _Published(steps_per_epoch=2),
    "mc_maze_medium": _Published(steps_per_epoch=1),
    "mc_maze_small": _Published(keep_prob=0.3, steps_per_epoch=1, size=64, schedule="cosine"),
    "mc_rtt": _Published(64, keep_prob=0.3, epochs=6000, steps_per_epoch=17),
    "area2_bump": _Published(32, keep_prob=0.4, steps_per_epoch=12),
    "dmfc_rsg": _Published(64, 1e-3, 1e-5, 0.70, 0.6, 1000, 16),
    "lorenz": _Published(
        128, keep_prob=0.8, epochs=120, steps_per_epoch=10, size=64, schedule="cosine"
    ),
    "lorenz_long": _Published(
        128, keep_prob=0.8, epochs=400, steps_per_epoch=10, size=64, schedule="cosine"
    ),
}

#: Names that :func:`preset` knows.
DATASETS: tuple[str, ...] = tuple(_ELBO)

RAMP_EPOCHS = 500


def preset(dataset: str, *, mode: Literal["elbo", "ccn2025"] = "elbo") -> Preset:
    """Return settings for a data set at 20 ms bins.

    Parameters
    ----------
    dataset
        One of :data:`DATASETS`.
    mode
        The variational model or the published one.

    Raises
    ------
    ConfigError
        For an unknown name.

    Examples
    --------
    >>> preset("mc_maze", mode="ccn2025").model.encoder_size
    280
    """
    one_of("dataset", dataset, DATASETS)
    one_of("mode", mode, ("elbo", "ccn2025"))
    if mode == "ccn2025":
        return _published(_PUBLISHED[dataset])
    model, training = _ELBO[dataset]
    return Preset(model=LangevinFlowConfig(**model), training={**_TRAINING, **training})


def _published(run: _Published) -> Preset:
    model = LangevinFlowConfig(
        mode="ccn2025",
        potential="ccn2025",
        decoder="transformer",
        decoder_input="zvh",
        encoder_size=run.size,
        step=0.01,
        damping=run.damping,
        dropout=0.05,
        keep_prob=run.keep_prob,
        pass_prob=1 - run.keep_prob,
        beta=0.1,
        beta_warmup=min(1.0, RAMP_EPOCHS / run.epochs),
        weight_decay=run.weight_decay,
        n_samples=50,
    )
    training = {
        "n_steps": run.epochs * run.steps_per_epoch,
        "batch_size": run.batch_size,
        "optimizer": "adam",
        "learning_rate": run.learning_rate,
        "schedule": run.schedule,
        "plateau_factor": 0.95,
        "plateau_patience": 10,
        "minimum_learning_rate": 1e-5,
        "validate_every": run.steps_per_epoch,
    }
    return Preset(model=model, training=training)
