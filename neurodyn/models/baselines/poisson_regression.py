"""Ridge-penalised Poisson regression of many units on the same features."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from neurodyn.errors import DataError

__all__ = ["PoissonReadout", "fit_poisson", "log_mean_ratio"]

FloatArray = NDArray[np.float64]
LARGEST_LOG = 20.0
# A unit without a spike has no finite maximum; this share of a spike keeps it finite.
PSEUDO_COUNT = 0.1


class PoissonReadout(NamedTuple):
    """``log expected count = features @ weight + intercept``.

    ``weight`` ``(feature, unit)``, ``intercept`` ``(unit,)``, both float64.
    """

    weight: FloatArray
    intercept: FloatArray

    def log_expected_count(self, features: ArrayLike) -> FloatArray:
        """Return log expected counts ``(..., unit)`` of features ``(..., feature)``."""
        return np.asarray(features) @ self.weight + self.intercept


def fit_poisson(
    features: ArrayLike,
    count: ArrayLike,
    observed: ArrayLike | None = None,
    *,
    penalty: float = 0.0,
    max_iterations: int = 500,
) -> PoissonReadout:
    """Minimise ``mean(exp(eta) - y eta) + penalty / 2 |weight|^2`` for every unit.

    The objective is scikit-learn's ``PoissonRegressor`` (half the mean deviance, intercept free)
    for all units at once, by L-BFGS.

    Parameters
    ----------
    features
        Shape ``(sample, feature)``.
    count
        Counts ``(sample, unit)``.
    observed
        Bool ``(sample, unit)``; where it is False the count is left out.
    penalty
        Weight of the ridge penalty.
    max_iterations
        Of L-BFGS.

    Raises
    ------
    DataError
        If the numbers of samples differ or a feature is not finite.

    Examples
    --------
    >>> readout = fit_poisson([[0.0], [1.0]], [[100.0], [200.0]])
    >>> np.exp(readout.log_expected_count([[0.0], [1.0]])).round().ravel()
    array([100., 200.])
    """
    x, y, weight = _checked(features, count, observed)
    n_features, n_units = x.shape[1], y.shape[1]
    spread = float(np.sqrt(np.mean(x**2))) or 1.0
    x, ridge = x / spread, penalty / spread**2
    n_samples = np.maximum(weight.sum(0), 1.0)
    mean = ((weight * y).sum(0) + PSEUDO_COUNT) / n_samples
    # the pseudo count is spread over the samples in proportion to the mean
    y = weight * y + weight * PSEUDO_COUNT / n_samples

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        beta = flat.reshape(n_features + 1, n_units)
        eta = np.minimum(x @ beta[:-1] + beta[-1], LARGEST_LOG)
        rate = weight * np.exp(eta)
        value = ((rate - y * eta).sum(0) / n_samples).sum() + ridge / 2 * (beta[:-1] ** 2).sum()
        error = (rate - y) / n_samples
        gradient = np.vstack([x.T @ error + ridge * beta[:-1], error.sum(0)])
        return float(value), gradient.ravel()

    start = np.vstack([np.zeros((n_features, n_units)), np.log(mean)])
    options: Any = {"maxiter": max_iterations, "maxcor": 20, "gtol": 1e-6, "ftol": 1e-10}
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    beta = found.x.reshape(start.shape)
    return PoissonReadout(beta[:-1] / spread, beta[-1])


def log_mean_ratio(count: ArrayLike, log_expected: ArrayLike, observed: ArrayLike) -> FloatArray:
    """Return the offset ``(unit,)`` that makes mean expected counts equal mean counts.

    It is the maximum-likelihood intercept of a Poisson model whose other terms are given.

    Parameters
    ----------
    count, log_expected, observed
        Shape ``(sample, unit)``.
    """
    weight = np.asarray(observed, dtype=np.float64)
    total = (weight * np.asarray(count)).sum(0) + PSEUDO_COUNT
    expected = (weight * np.exp(np.asarray(log_expected))).sum(0) + PSEUDO_COUNT
    return np.asarray(np.log(total / expected))


def _checked(
    features: ArrayLike, count: ArrayLike, observed: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    x, y = np.asarray(features, dtype=np.float64), np.asarray(count, dtype=np.float64)
    weight = np.ones_like(y) if observed is None else np.asarray(observed, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or weight.shape != y.shape:
        raise DataError(
            "features and counts do not fit each other",
            found=f"{x.shape}, {y.shape} and mask {weight.shape}",
            expected="(sample, feature), (sample, unit) and the mask of the counts",
        )
    if not np.isfinite(x).all():
        raise DataError("features are not finite", found=f"{int((~np.isfinite(x)).sum())} values")
    return x, y, weight
