"""How to train: one frozen configuration, checked before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from neurodyn.errors import ConfigError, one_of

__all__ = ["TrainingConfig"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adam", "adamw"),
    "schedule": ("constant", "cosine", "plateau"),
    "precision": ("32-true", "bf16-mixed"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "strategy": ("ddp", "fsdp"),
    "monitor_mode": ("min", "max"),
    "on_save_error": ("raise", "warn"),
}
# Smallest value, and whether None is allowed.
_WHOLE: dict[str, tuple[int, bool]] = {
    "n_steps": (1, False),
    "batch_size": (1, False),
    "warmup_steps": (0, False),
    "plateau_patience": (1, False),
    "n_devices": (1, False),
    "seed": (0, False),
    "validate_every": (1, False),
    "patience": (1, True),
    "checkpoint_every": (1, False),
    "keep_checkpoints": (1, False),
    "max_skipped": (0, False),
}
# Range, which of its ends belong to it, and whether None is allowed.
_REAL: dict[str, tuple[float, float, str, bool]] = {
    "learning_rate": (0.0, math.inf, "()", False),
    "minimum_learning_rate": (0.0, math.inf, "[)", False),
    "weight_decay": (0.0, math.inf, "[)", False),
    "gradient_clip": (0.0, math.inf, "()", True),
    "ema_decay": (0.0, 1.0, "()", True),
    "plateau_factor": (0.0, 1.0, "()", False),
}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of one training run; they say nothing about the model or the data.

    Parameters
    ----------
    n_steps, batch_size
        Optimizer updates, and windows per update over all devices together.
    optimizer, learning_rate, weight_decay, betas
        Adam (decay added to the gradient) or AdamW (decoupled decay); all parameters decay.
    schedule, warmup_steps, minimum_learning_rate
        Linear warm-up, then constant, half a cosine down to the minimum at ``n_steps``, or
        constant and reduced on a plateau of the monitored score.
    plateau_patience, plateau_factor
        After this many validations without improvement the rate is multiplied by the factor.
    gradient_clip
        Largest global 2-norm of the gradient; ``None`` never clips.
    ema_decay
        Decay per update of a moving average of the weights; when set, the average is what is
        validated, kept and returned.
    precision, device, n_devices
        ``"bf16-mixed"`` computes the network's forward pass in bfloat16; several devices, over
        all machines together, train data-parallel.
    strategy
        Of several devices: each holds the whole network (``"ddp"``), or its part of the weights,
        gradients and moments of the optimizer between two uses (``"fsdp"``).
    deterministic
        On CUDA run reproducible kernels only, which are slower; CPU always is reproducible.
    seed
        Seed of batch order, dropout and sampling.
    validate_every, monitor, monitor_mode, patience, keep_best
        Every so many steps validate; the score named ``monitor`` decides on the best weights,
        and training stops after ``patience`` validations without a better one.
    checkpoint_every, keep_checkpoints, on_save_error
        Every so many steps save; keep the newest ones; raise when a save fails, or warn and go
        on with the last good one.
    max_skipped
        Batches with a loss or gradient that is not finite to pass over before giving up.
    progress
        Show a progress bar on a terminal.

    Raises
    ------
    ConfigError
        For a value outside its range, or warm-up that is longer than training.

    Examples
    --------
    >>> TrainingConfig(n_steps=200, learning_rate=3e-3).schedule
    'constant'
    """

    n_steps: int = 1000
    batch_size: int = 32
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    warmup_steps: int = 0
    minimum_learning_rate: float = 0.0
    plateau_patience: int = 5
    plateau_factor: float = 0.5
    gradient_clip: float | None = None
    ema_decay: float | None = None
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    n_devices: int = 1
    strategy: Literal["ddp", "fsdp"] = "ddp"
    deterministic: bool = True
    seed: int = 0
    validate_every: int = 100
    monitor: str = "nll"
    monitor_mode: Literal["min", "max"] = "min"
    patience: int | None = None
    keep_best: bool = True
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    on_save_error: Literal["raise", "warn"] = "raise"
    max_skipped: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            one_of(name, getattr(self, name), choices)
        for name, (smallest, optional) in _WHOLE.items():
            _check_whole(name, getattr(self, name), smallest, optional)
        for name, (low, high, ends, optional) in _REAL.items():
            _check_real(name, getattr(self, name), low, high, ends, optional)
        if len(self.betas) != 2:
            raise ConfigError("betas are two numbers", found=repr(self.betas))
        for index, beta in enumerate(self.betas):
            _check_real(f"betas[{index}]", beta, 0.0, 1.0, "[)", False)
        if self.warmup_steps >= self.n_steps:
            raise ConfigError(
                "warmup_steps must be fewer than n_steps",
                found=f"warmup_steps={self.warmup_steps}, n_steps={self.n_steps}",
            )
        if self.minimum_learning_rate > self.learning_rate:
            raise ConfigError(
                "minimum_learning_rate must not exceed learning_rate",
                found=f"{self.minimum_learning_rate} > {self.learning_rate}",
            )


def _check_whole(name: str, value: Any, smallest: int, optional: bool) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise ConfigError(
            f"invalid value for {name}",
            found=repr(value),
            expected=f"a whole number from {smallest}{' or None' if optional else ''}",
        )


def _check_real(name: str, value: Any, low: float, high: float, ends: str, optional: bool) -> None:
    if value is None and optional:
        return
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    # NaN fails both comparisons, infinity the second one.
    if not fits or not (value > low or (value == low and ends[0] == "[")) or not value < high:
        raise ConfigError(
            f"invalid value for {name}",
            found=repr(value),
            expected=f"a number in {ends[0]}{low:g}, {high:g}{ends[1]}"
            f"{' or None' if optional else ''}",
        )
