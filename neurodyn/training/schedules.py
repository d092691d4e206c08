"""Learning rates and the score that decides on best weights, plateaus and stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from neurodyn.training.config import TrainingConfig

__all__ = ["Monitor", "learning_rate"]


def learning_rate(training: TrainingConfig, step: int, n_reductions: int = 0) -> float:
    """Return the learning rate of one update; a pure function, so that it resumes exactly.

    Parameters
    ----------
    training
        Schedule, warm-up and limits.
    step
        Updates done before this one.
    n_reductions
        Plateaus met so far.

    Examples
    --------
    >>> training = TrainingConfig(learning_rate=1.0, schedule="cosine", n_steps=10, warmup_steps=2)
    >>> [round(learning_rate(training, step), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    full, floor = training.learning_rate, training.minimum_learning_rate
    if step < training.warmup_steps:
        return full * (step + 1) / training.warmup_steps
    if training.schedule == "cosine":
        done = (step - training.warmup_steps) / (training.n_steps - training.warmup_steps)
        return floor + (full - floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    if training.schedule == "plateau":
        return max(floor, full * training.plateau_factor**n_reductions)
    return full


class Monitor:
    """The best validation score so far and for how long it has not been beaten.

    Parameters
    ----------
    training
        ``monitor_mode``, ``patience`` and ``plateau_patience``.

    Examples
    --------
    >>> monitor = Monitor(TrainingConfig(patience=2))
    >>> [monitor.update(score, step) for step, score in enumerate([3.0, 2.0, 2.5, float("nan")])]
    [True, True, False, False]
    >>> monitor.best_score, monitor.exhausted
    (2.0, True)
    """

    def __init__(self, training: TrainingConfig) -> None:
        self._training = training
        self.best_score: float | None = None
        self.best_step: int | None = None
        self.n_since_best = 0
        self.n_reductions = 0

    def update(self, score: float, step: int) -> bool:
        """Take a new score; return whether it is the best. NaN never is."""
        if self._is_better(score):
            self.best_score, self.best_step, self.n_since_best = score, step, 0
            return True
        self.n_since_best += 1
        if self.n_since_best % self._training.plateau_patience == 0:
            self.n_reductions += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        patience = self._training.patience
        return patience is not None and self.n_since_best >= patience

    def state_dict(self) -> dict[str, Any]:
        """Return the counters as plain numbers."""
        return {
            "best_score": self.best_score,
            "best_step": self.best_step,
            "n_since_best": self.n_since_best,
            "n_reductions": self.n_reductions,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from counters that :meth:`state_dict` gave."""
        self.best_score, self.best_step = state["best_score"], state["best_step"]
        self.n_since_best, self.n_reductions = state["n_since_best"], state["n_reductions"]

    def _is_better(self, score: float) -> bool:
        if math.isnan(score):
            return False
        if self.best_score is None:
            return True
        lower = score < self.best_score
        return lower if self._training.monitor_mode == "min" else score > self.best_score
