"""Factor analysis or principal components of smoothed counts, and Poisson regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import ConfigError
from neurodyn.models.baselines.factor_regression import (
    FactorRegression,
    Projection,
    principal_axes,
    smoothed,
)
from neurodyn.models.context import TrialCounts

__all__ = ["FactorGLM", "FactorGLMConfig"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FactorGLMConfig:
    """Settings of :class:`FactorGLM`.

    Parameters
    ----------
    method
        ``"factor_analysis"``: private noise for every unit; ``"pca"``: none.
    n_factors
        Number of factors; held-in units bound it.
    width
        Standard deviation of the Gaussian kernel over time [s].
    penalty
        Ridge penalty of the regression.
    forward_decay
        Time constant [s] with which factors decay in forward bins.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> FactorGLMConfig().method
    'factor_analysis'
    """

    method: Literal["factor_analysis", "pca"] = "factor_analysis"
    n_factors: int = 16
    width: float = 0.08
    penalty: float = 0.01
    forward_decay: float = 0.2

    def __post_init__(self) -> None:
        if self.width < 0 or self.penalty < 0 or self.forward_decay <= 0 or self.n_factors < 1:
            raise ConfigError(
                "width and penalty must not be negative, forward_decay and n_factors positive",
                found=f"width={self.width}, penalty={self.penalty},"
                f" forward_decay={self.forward_decay}, n_factors={self.n_factors}",
            )


class FactorGLM(FactorRegression[FactorGLMConfig]):
    """Factors of square roots of smoothed held-in counts, Poisson regression of every unit.

    The two-stage form of Gaussian-process factor analysis.

    References
    ----------
    .. [1] Yu et al. (2009). Gaussian-process factor analysis for low-dimensional single-trial
       analysis of neural population activity. J Neurophysiol 102, section "Two-stage methods".

    Examples
    --------
    >>> from neurodyn import recording
    >>> count = np.random.default_rng(0).poisson(1.0, (4, 10, 3))
    >>> counts = recording.counts(count, bin_size=0.02, held_out=[False, False, True])
    >>> FactorGLM(n_factors=2).fit(counts).transform(counts)["latent"].shape
    (4, 10, 2)
    """

    name = "factor_glm"
    config_class = FactorGLMConfig
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {
        "method": ("factor_analysis", "pca"),
        "n_factors": (6, 8, 12, 16, 20, 24),
        "width": (0.04, 0.06, 0.08, 0.1, 0.13),
        "penalty": (1e-3, 3e-3, 1e-2, 2e-2, 5e-2),
    }

    def _features(self, inputs: TrialCounts) -> FloatArray:
        return smoothed(inputs, self.config.width, self.context_.bin_size, "sqrt")

    def _find_projection(self, features: FloatArray) -> Projection:
        n_factors = min(self.config.n_factors, features.shape[1])
        if self.config.method == "pca":
            return principal_axes(features, n_factors)
        return _factor_posterior(features, n_factors)

    @property
    def _penalty(self) -> float:
        return self.config.penalty

    @property
    def _forward_decay(self) -> float:
        return self.config.forward_decay


def _factor_posterior(features: FloatArray, n_factors: int) -> Projection:
    """Return the posterior mean of the factors as a projection (Yu et al. 2009, eq. 4)."""
    from sklearn.decomposition import FactorAnalysis

    found = FactorAnalysis(n_factors, svd_method="lapack", max_iter=2000).fit(features)
    loading = found.components_
    scaled = loading / np.maximum(found.noise_variance_, 1e-9)
    posterior = np.linalg.inv(np.eye(n_factors) + scaled @ loading.T)
    return Projection(found.mean_, scaled.T @ posterior)
