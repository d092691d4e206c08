"""Arrays in, a float out: an estimator in the form that scikit-learn's tools take."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from neurodyn.errors import DataError
from neurodyn.models.counts_estimator import CountsEstimator
from neurodyn.recording import counts

__all__ = ["SklearnAdapter", "as_sklearn"]


class SklearnAdapter(BaseEstimator):  # type: ignore[misc]
    """An estimator behind scikit-learn's interface.

    Parameters
    ----------
    estimator
        Its settings are reached as ``estimator__<name>``.
    metric
        What ``score`` returns.
    bin_size
        Width of the bins [s].
    """

    def __init__(
        self, estimator: CountsEstimator[Any], metric: str = "co_bps", bin_size: float = 0.02
    ) -> None:
        self.estimator, self.metric, self.bin_size = estimator, metric, bin_size

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit on held-in counts ``X (trial, time, unit)`` and held-out counts ``y``."""
        self.estimator_ = self.estimator.clone().fit(self._counts(X, y))
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return rates [spikes/s] ``(trial, time, unit)`` of all units, held-in ones first."""
        return np.asarray(self.estimator_.predict(self._counts(X, None))["rate"].values)

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return latents ``(trial, time, factor)``."""
        return np.asarray(self.estimator_.transform(self._counts(X, None))["latent"].values)

    def score(self, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """Return the metric."""
        return float(self.estimator_.score(self._counts(X, y), self.metric)[self.metric])

    def _counts(self, held_in: ArrayLike, held_out: ArrayLike | None) -> xr.Dataset:
        seen = np.asarray(held_in)
        hidden = seen[..., :0] if held_out is None else np.asarray(held_out)
        if seen.ndim != 3 or hidden.shape[:-1] != seen.shape[:-1]:
            raise DataError(
                "arrays do not fit each other",
                found=f"X {seen.shape}, y {hidden.shape}",
                expected="X (trial, time, unit) and y with the same trials and bins",
            )
        return counts(
            np.concatenate([seen, hidden], axis=-1),
            bin_size=self.bin_size,
            held_out=np.arange(seen.shape[-1] + hidden.shape[-1]) >= seen.shape[-1],
        )


def as_sklearn(
    estimator: CountsEstimator[Any], metric: str = "co_bps", *, bin_size: float
) -> SklearnAdapter:
    """Adapt an estimator to scikit-learn's ``cross_val_score``, ``GridSearchCV`` and the like.

    Parameters
    ----------
    estimator
        Any estimator of rates; it stays unfitted, clones of it are fitted.
    metric
        What ``score`` returns.
    bin_size
        Width of the bins of the arrays [s].

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from neurodyn.models.baselines import SmoothingGLM
    >>> count = np.random.default_rng(0).poisson(1.0, (6, 10, 4))
    >>> adapted = as_sklearn(SmoothingGLM(), bin_size=0.02)
    >>> len(cross_val_score(adapted, count[..., :3], count[..., 3:], cv=3))
    3
    """
    return SklearnAdapter(estimator, metric, bin_size)
