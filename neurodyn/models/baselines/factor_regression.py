"""What the two linear baselines share: smooth, project to factors, regress every unit."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from neurodyn.models.base import Arrays, C, RunConfig
from neurodyn.models.baselines.poisson_regression import (
    PoissonReadout,
    fit_poisson,
    log_mean_ratio,
)
from neurodyn.models.context import TrialCounts
from neurodyn.models.counts_estimator import CountsEstimator
from neurodyn.models.run_folder import Run

__all__ = ["Compression", "FactorRegression", "Projection", "principal_axes", "smoothed"]

FloatArray = NDArray[np.float64]
Compression = Literal["sqrt", "log", "linear"]
SMALLEST_COVERAGE = 1e-3


class Projection(NamedTuple):
    """``factors = (features - mean) @ axes``; ``mean (unit,)``, ``axes (unit, factor)``."""

    mean: FloatArray
    axes: FloatArray

    def __call__(self, features: FloatArray) -> FloatArray:
        """Return factors ``(..., factor)``."""
        return np.asarray((features - self.mean) @ self.axes)


class FactorRegression(CountsEstimator[C]):
    """Smoothed held-in counts, linear factors of them, Poisson regression of every unit.

    Forward bins continue the factors of the last bin, which decay to their mean; each unit's
    mean count in the forward bins is matched.
    """

    @abstractmethod
    def _features(self, inputs: TrialCounts) -> FloatArray:
        """Return features ``(trial, time, unit)`` of the held-in units."""

    @abstractmethod
    def _find_projection(self, features: FloatArray) -> Projection:
        """Return the projection learned from features ``(sample, unit)``."""

    @property
    @abstractmethod
    def _penalty(self) -> float: ...

    @property
    @abstractmethod
    def _forward_decay(self) -> float:
        """Time constant [s] with which factors decay in forward bins."""

    def fit(self, data: xr.DataTree | xr.Dataset, *, validation: Any = None) -> Self:
        """Find factors of the held-in units and regress every unit on them.

        Parameters and errors are those of :meth:`CountsEstimator.fit`; ``validation`` is only
        checked.
        """
        counts = self._begin_fit(data)
        if validation is not None:
            self._validation_counts(validation)
        self._learn(self.context_.inputs(counts), self.context_.targets(counts))
        self._finish_fit()
        return self

    def _learn(self, inputs: TrialCounts, targets: TrialCounts) -> None:
        features = self._features(inputs)
        self.projection_ = self._find_projection(features.reshape(-1, features.shape[-1]))
        factors = self.projection_(features)
        n_time, n_units = self.context_.n_time, self.context_.n_units
        self.readout_ = fit_poisson(
            factors.reshape(-1, factors.shape[-1]),
            targets.count[:, :n_time].reshape(-1, n_units),
            targets.observed[:, :n_time].reshape(-1, n_units),
            penalty=self._penalty,
        )
        self.forward_offset_ = np.zeros(n_units)
        if self.context_.n_forward:
            ahead = self.readout_.log_expected_count(self._continued(factors))
            self.forward_offset_ = log_mean_ratio(
                targets.count[:, n_time:].reshape(-1, n_units),
                ahead.reshape(-1, n_units),
                targets.observed[:, n_time:].reshape(-1, n_units),
            )

    def _log_expected_count(self, inputs: TrialCounts) -> FloatArray:
        factors = self.projection_(self._features(inputs))
        seen = self.readout_.log_expected_count(factors)
        ahead = self.readout_.log_expected_count(self._continued(factors))
        return np.concatenate([seen, ahead + self.forward_offset_], axis=1)

    def _latents(self, inputs: TrialCounts) -> dict[str, Any]:
        factors = self.projection_(self._features(inputs))
        both = np.concatenate([factors, self._continued(factors)], axis=1)
        return {"latent": (("trial", "time", "factor"), both.astype(np.float32))}

    def _continued(self, factors: FloatArray) -> FloatArray:
        """Return factors ``(trial, forward, factor)`` of the forward bins."""
        elapsed = self.context_.bin_size * np.arange(1, self.context_.n_forward + 1)
        decay: FloatArray = np.exp(-elapsed / self._forward_decay)[:, None]
        return decay * factors[:, -1:]

    def _arrays(self) -> Arrays:
        return {
            "projection.mean": self.projection_.mean,
            "projection.axes": self.projection_.axes,
            "readout.weight": self.readout_.weight,
            "readout.intercept": self.readout_.intercept,
            "forward_offset": self.forward_offset_,
        }

    def _restore(self, run: Run, settings: RunConfig) -> None:
        super()._restore(run, settings)
        arrays = run.arrays
        self.projection_ = Projection(arrays["projection.mean"], arrays["projection.axes"])
        self.readout_ = PoissonReadout(arrays["readout.weight"], arrays["readout.intercept"])
        self.forward_offset_ = arrays["forward_offset"]


def smoothed(
    inputs: TrialCounts, width: float, bin_size: float, compression: Compression
) -> FloatArray:
    """Return counts smoothed over time by a Gaussian and compressed, ``(trial, time, unit)``.

    The kernel is normalised over the observed bins of the trial, so neither the ends of a trial
    nor gaps pull rates down.

    Parameters
    ----------
    inputs
        Counts and mask.
    width
        Standard deviation of the kernel [s]; 0 does not smooth.
    bin_size
        Width of the bins [s].
    compression
        ``"sqrt"``, ``"log"`` (of expected count + 1e-2) or ``"linear"``.
    """
    mass = inputs.observed.astype(np.float64)
    total = inputs.count.astype(np.float64)
    if width > 0:
        total, mass = (
            gaussian_filter1d(values, width / bin_size, axis=1, mode="constant")
            for values in (total, mass)
        )
    mean = total / np.maximum(mass, SMALLEST_COVERAGE)
    if compression == "sqrt":
        return np.sqrt(mean)
    return np.log(mean + 1e-2) if compression == "log" else mean


def principal_axes(features: FloatArray, n_components: int) -> Projection:
    """Return the leading principal axes; all factors share one scale, with mean square 1.

    Parameters
    ----------
    features
        Shape ``(sample, unit)``.
    n_components
        How many; 0 keeps all, more than there are too.

    Examples
    --------
    >>> axes = principal_axes(np.array([[0.0, 0.0], [2.0, 0.0]]), 1).axes
    >>> np.abs(axes).ravel().tolist()
    [1.0, 0.0]
    """
    mean = features.mean(0)
    covariance = np.cov(features.T, bias=True).reshape(len(mean), len(mean))
    variance, vectors = np.linalg.eigh(covariance)
    chosen = np.argsort(variance)[::-1][: n_components or None]
    scale = np.sqrt(max(float(variance[chosen].mean()), np.finfo(np.float64).tiny))
    # the sign of an eigenvector is arbitrary: the largest entry is made positive
    axes = vectors[:, chosen]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return Projection(mean, axes / scale)
