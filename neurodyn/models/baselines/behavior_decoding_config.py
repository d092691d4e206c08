"""Settings of decoders of behavior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.baselines.lagged_inputs import n_lags
from neurodyn.training.config import TrainingConfig

__all__ = ["GRU_TRAINING", "PENALTIES", "BehaviorDecodingConfig"]

PENALTIES = {
    "ridge": (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0),
    "lasso": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
}
"""What is tried where a configuration names no penalties."""
GRU_TRAINING = TrainingConfig(
    n_steps=1000,
    batch_size=64,
    learning_rate=2e-3,
    weight_decay=1e-2,
    gradient_clip=1.0,
    validate_every=25,
    monitor="mse",
    patience=8,
    progress=False,
)
"""How a GRU is trained: until the mean squared error of held-out blocks grows."""


@dataclass(frozen=True, kw_only=True)
class BehaviorDecodingConfig:
    """Settings of :func:`neurodyn.models.baselines.behavior_decoding.fit_behavior_decoder`.

    Parameters
    ----------
    bin_size
        Width of the bins [s] in which spikes are counted.
    lags
        From when to when around an instant bins are read [s]; as many whole bins as fit, from
        the first lag on. ``(-0.5, 0.0)`` reads the past alone.
    transform
        Of counts: ``"sqrt"``, which makes their noise alike, or ``"none"``.
    kind
        ``"ridge"``, ``"lasso"`` or ``"gru"``.
    penalties
        One of which is chosen for each feature of the behavior, on inner folds of the training
        part: :data:`PENALTIES` if empty. Ridge: on squared weights of counts as they are; the
        behavior is scaled to unit variance, which matters for the lasso. A GRU has none.
    inputs
        ``"spikes"``, ``"stimulus"`` or both.
    stimulus
        Which signal is the stimulus, if there are several.
    n_inner_folds
        Blocks of time on which penalties are chosen; a GRU stops early on one such share.
    hidden_size, dropout, seed
        Of the GRU: units, dropout of its last states, and seed of weights and training.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> BehaviorDecodingConfig(kind="lasso", inputs=("spikes", "stimulus")).bin_size
    0.25
    """

    bin_size: float = 0.25
    lags: tuple[float, float] = (-0.5, 0.5)
    transform: Literal["sqrt", "none"] = "sqrt"
    kind: Literal["ridge", "lasso", "gru"] = "ridge"
    penalties: tuple[float, ...] = ()
    inputs: tuple[str, ...] = ("spikes",)
    stimulus: str | None = None
    n_inner_folds: int = 5
    hidden_size: int = 32
    dropout: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("transform", self.transform, ("sqrt", "none"))
        one_of("kind", self.kind, ("ridge", "lasso", "gru"))
        for name in self.inputs:
            one_of("inputs", name, ("spikes", "stimulus"))
        if not self.inputs or len(set(self.inputs)) < len(self.inputs):
            raise ConfigError("inputs must name each input once", found=self.inputs)
        if not self.bin_size > 0 or n_lags(self.lags, self.bin_size) < 1:
            raise ConfigError(
                "no bin fits into the lags",
                found=f"lags={self.lags}, bin_size={self.bin_size}",
                expected="a bin_size above 0 and lags of at least one bin",
            )
        self._check_choice()
        if self.hidden_size < 1 or not 0.0 <= self.dropout < 1.0:
            raise ConfigError(
                "hidden_size must be positive and dropout in [0, 1)",
                found=f"hidden_size={self.hidden_size}, dropout={self.dropout}",
            )

    def _check_choice(self) -> None:
        if self.n_inner_folds < 2:
            raise ConfigError(
                "there are too few inner folds", found=self.n_inner_folds, expected="2 at least"
            )
        if self.penalties and (self.kind == "gru" or not min(self.penalties) > 0):
            raise ConfigError(
                "penalties do not fit",
                found=f"penalties={self.penalties}, kind={self.kind!r}",
                expected="numbers above 0 of a ridge or lasso; a GRU has none",
            )
