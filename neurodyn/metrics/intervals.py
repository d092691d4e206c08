"""Intervals around scores, by resampling trials with replacement (percentile bootstrap).

Trials are the unit of resampling: bins of one trial are not independent. Paired differences use
the same resampled trials for both models. Every draw comes from an explicit seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.metrics.spikes import LEAST_EXPECTED_COUNT, nll_per_bin

__all__ = ["Interval", "bits_per_spike_interval", "paired_bits_per_spike", "trial_interval"]

FloatArray = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate from all trials and the bounds of its bootstrap interval."""

    estimate: float
    low: float
    high: float
    level: float


def trial_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    n_trials: int,
    *,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap any statistic of trials.

    Parameters
    ----------
    statistic
        Takes trial indices ``(trial,)``, in which trials repeat, and returns a number. For a
        paired difference let it return the difference of two scores on the same trials.
    n_trials
        Number of trials.
    n_resamples
        Number of resampled sets of trials.
    level
        Coverage, between 0 and 1.
    seed
        Of the resampling.

    Raises
    ------
    ConfigError
        If ``level`` or ``n_resamples`` is out of range.
    DegenerateInputError
        With fewer than two trials.

    Examples
    --------
    >>> values = np.arange(10.0)
    >>> interval = trial_interval(lambda trial: values[trial].mean(), 10)
    >>> interval.low < interval.estimate < interval.high
    True
    """
    draws = _draws(n_trials, n_resamples, level, seed)
    estimate = float(statistic(np.arange(n_trials)))
    return _interval(estimate, np.array([statistic(draw) for draw in draws]), level)


def bits_per_spike_interval(
    expected_count: ArrayLike,
    count: ArrayLike,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return bits per spike with its bootstrap interval over trials.

    Parameters
    ----------
    expected_count, count
        Shape ``(trial, time, unit)``, as in :func:`neurodyn.metrics.spikes.bits_per_spike`;
        the null model is computed anew for each resampled set.
    n_resamples, level, seed
        As in :func:`trial_interval`.

    Raises
    ------
    DataError, DegenerateInputError, ConfigError
        As the score and :func:`trial_interval`.

    Examples
    --------
    >>> count = np.random.default_rng(0).poisson(1.0, (20, 5, 2))
    >>> interval = bits_per_spike_interval(np.ones(count.shape), count)
    >>> interval.low <= interval.estimate <= interval.high
    True
    """
    weights = _weights(np.shape(count)[0], n_resamples, level, seed)
    bits = _weighted_bits(expected_count, count, weights)
    return _interval(float(bits[0]), bits[1:], level)


def paired_bits_per_spike(
    first: ArrayLike,
    second: ArrayLike,
    count: ArrayLike,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return bits per spike of ``first`` minus ``second`` on the same trials, with interval.

    Parameters
    ----------
    first, second
        Expected counts per bin of two models, shape ``(trial, time, unit)``.
    count
        Counts of the same shape; NaN where not observed.
    n_resamples, level, seed
        As in :func:`trial_interval`.

    Raises
    ------
    DataError, DegenerateInputError, ConfigError
        As :func:`bits_per_spike_interval`.

    Examples
    --------
    >>> count = np.random.default_rng(0).poisson(1.0, (20, 5, 2))
    >>> paired_bits_per_spike(np.ones(count.shape), np.ones(count.shape), count).estimate
    0.0
    """
    weights = _weights(np.shape(count)[0], n_resamples, level, seed)
    difference = _weighted_bits(first, count, weights) - _weighted_bits(second, count, weights)
    return _interval(float(difference[0]), difference[1:], level)


def _weighted_bits(expected_count: ArrayLike, count: ArrayLike, weights: FloatArray) -> FloatArray:
    """Return bits per spike for each row of trial weights, from sums kept per trial."""
    y = np.asarray(count, dtype=np.float64)
    if y.ndim != 3:
        raise DataError("counts need three dims", found=y.shape, expected="(trial, time, unit)")
    model = weights @ np.nansum(nll_per_bin(expected_count, y), axis=(1, 2))
    # the null's log(y!) terms do not depend on the resampled mean: one number per trial
    ones = np.where(np.isnan(y), np.nan, 1.0)
    constant = weights @ (np.nansum(nll_per_bin(ones, y) - ones, axis=(1, 2)))
    spikes = weights @ np.nansum(y, axis=1)
    observed = weights @ np.nansum(ones, axis=1)
    mean = spikes / np.maximum(observed, 1.0)
    mean = np.where(mean == 0.0, LEAST_EXPECTED_COUNT, mean)
    null = constant + (observed * mean - xlogy(spikes, mean)).sum(axis=1)
    n_spikes = spikes.sum(axis=1)
    if (n_spikes == 0).any():
        raise DegenerateInputError(
            "a resampled set of trials has no spike", hint="too few spikes for an interval"
        )
    return np.asarray((null - model) / n_spikes / np.log(2.0))


def _weights(n_trials: int, n_resamples: int, level: float, seed: int) -> FloatArray:
    """Return how often each trial is drawn; the first row is every trial once."""
    draws = _draws(n_trials, n_resamples, level, seed)
    rows = [np.bincount(draw, minlength=n_trials) for draw in draws]
    return np.vstack([np.ones(n_trials), *rows]).astype(np.float64)


def _draws(n_trials: int, n_resamples: int, level: float, seed: int) -> NDArray[np.int64]:
    if not 0.0 < level < 1.0 or n_resamples < 1:
        raise ConfigError(
            "level or n_resamples is out of range",
            found=f"level={level}, n_resamples={n_resamples}",
            expected="0 < level < 1 and at least one resample",
        )
    if n_trials < 2:
        raise DegenerateInputError("an interval over trials needs two trials", found=n_trials)
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_trials, (n_resamples, n_trials))


def _interval(estimate: float, resampled: FloatArray, level: float) -> Interval:
    low, high = np.quantile(resampled, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(estimate, float(low), float(high), level)
