"""Smoothing and Poisson regression: the first thing that every latent model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import ConfigError
from neurodyn.models.baselines.factor_regression import (
    Compression,
    FactorRegression,
    Projection,
    principal_axes,
    smoothed,
)
from neurodyn.models.context import TrialCounts

__all__ = ["SmoothingGLM", "SmoothingGLMConfig"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SmoothingGLMConfig:
    """Settings of :class:`SmoothingGLM`.

    Parameters
    ----------
    width
        Standard deviation of the Gaussian kernel [s].
    compression
        What is done to smoothed counts: ``"sqrt"``, ``"log"`` or ``"linear"``.
    n_components
        Principal components that the regression sees; 0 keeps all.
    penalty
        Ridge penalty of the regression.
    forward_decay
        Time constant [s] with which the prediction of forward bins returns to the mean.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> SmoothingGLMConfig(width=0.05).compression
    'sqrt'
    """

    width: float = 0.08
    compression: Compression = "sqrt"
    n_components: int = 20
    penalty: float = 0.01
    forward_decay: float = 0.2

    def __post_init__(self) -> None:
        if self.width < 0 or self.penalty < 0 or self.forward_decay <= 0:
            raise ConfigError(
                "width and penalty must not be negative, forward_decay must be positive",
                found=f"width={self.width}, penalty={self.penalty},"
                f" forward_decay={self.forward_decay}",
            )
        if self.n_components < 0:
            raise ConfigError("n_components must be 0 (all) or more", found=self.n_components)


class SmoothingGLM(FactorRegression[SmoothingGLMConfig]):
    """Smoothed held-in counts, their principal components, Poisson regression of every unit.

    With ``compression="log"`` and ``n_components=0`` it is the smoothing baseline of the
    Neural Latents Benchmark; fewer components and a square root do better on small data.

    References
    ----------
    .. [1] Pei et al. (2021). Neural Latents Benchmark '21. arXiv:2109.04463.

    Examples
    --------
    >>> from neurodyn import recording
    >>> count = np.random.default_rng(0).poisson(1.0, (4, 10, 3))
    >>> counts = recording.counts(count, bin_size=0.02, held_out=[False, False, True])
    >>> SmoothingGLM(width=0.05).fit(counts).predict(counts)["rate"].shape
    (4, 10, 3)
    """

    name = "smoothing_glm"
    config_class = SmoothingGLMConfig
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "width": (0.04, 0.06, 0.08, 0.1, 0.13),
        "compression": ("sqrt", "log", "linear"),
        "n_components": (8, 12, 16, 20, 24, 32, 0),
        "penalty": (1e-3, 3e-3, 1e-2, 2e-2, 5e-2),
    }

    def _features(self, inputs: TrialCounts) -> FloatArray:
        return smoothed(inputs, self.config.width, self.context_.bin_size, self.config.compression)

    def _find_projection(self, features: FloatArray) -> Projection:
        return principal_axes(features, self.config.n_components)

    @property
    def _penalty(self) -> float:
        return self.config.penalty

    @property
    def _forward_decay(self) -> float:
        return self.config.forward_decay
