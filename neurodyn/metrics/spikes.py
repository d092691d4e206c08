"""How well expected counts explain spike counts: Poisson likelihood and bits per spike.

All functions take **expected counts per bin**, never rates in Hz, and compute in float64. A NaN
in ``count`` means not observed and takes its bin out of the score. Arguments are never changed.

Notation: r is an expected count, y a count, the sums run over observed bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from neurodyn.errors import DataError, DegenerateInputError, UnitScaleError

__all__ = [
    "LEAST_EXPECTED_COUNT",
    "bits_per_spike",
    "bits_per_spike_per_unit",
    "check_scale",
    "condition_means",
    "nll_per_bin",
    "null_expected_count",
    "poisson_nll",
]

FloatArray = NDArray[np.float64]
LEAST_EXPECTED_COUNT = 1e-9
"""What an expected count of zero is read as, so that its logarithm exists."""


def poisson_nll(expected_count: ArrayLike, count: ArrayLike) -> float:
    """Return the Poisson negative log-likelihood [nats], summed over observed bins.

    ``sum(r - y log(r) + log(y!))``; r = 0 is read as 1e-9.

    Parameters
    ----------
    expected_count
        Expected counts per bin, any shape, such as ``(trial, time, unit)``.
    count
        Counts of the same shape; NaN where not observed.

    Raises
    ------
    DataError
        If the shapes differ, or an expected count is NaN or negative where the count is observed.

    Examples
    --------
    >>> round(poisson_nll([1.0, 2.0], [1, 0]), 6)
    3.0
    """
    return float(np.sum(nll_per_bin(expected_count, count), where=~np.isnan(_floats(count))))


def bits_per_spike(expected_count: ArrayLike, count: ArrayLike) -> float:
    """Return the likelihood gain over each unit's own mean count, in bits per spike.

    ``(NLL(null) - NLL(r)) / (sum(y) log 2)`` with the null model of
    :func:`null_expected_count`, pooled over units, as the Neural Latents Benchmark does
    (Pei et al. 2021, arXiv:2109.04463, eq. 2).

    Parameters
    ----------
    expected_count
        Expected counts per bin, shape ``(..., unit)``, such as ``(trial, time, unit)``.
    count
        Counts of the same shape; NaN where not observed.

    Raises
    ------
    DataError
        As :func:`poisson_nll`.
    DegenerateInputError
        If there is no spike at all.

    Examples
    --------
    >>> round(bits_per_spike([[0.5], [1.5]], [[0.0], [2.0]]), 3)
    0.585
    """
    y = _floats(count)
    n_spikes = float(np.nansum(y))
    if n_spikes == 0.0:
        raise DegenerateInputError("bits per spike need spikes", found="no observed spike")
    model = poisson_nll(expected_count, y)
    null = poisson_nll(null_expected_count(y), y)
    return float((null - model) / n_spikes / np.log(2.0))


def bits_per_spike_per_unit(expected_count: ArrayLike, count: ArrayLike) -> FloatArray:
    """Return bits per spike of each unit, shape ``(unit,)``; NaN for a unit without spikes.

    Parameters
    ----------
    expected_count, count
        As in :func:`bits_per_spike`.

    Raises
    ------
    DataError
        As :func:`poisson_nll`.

    Examples
    --------
    >>> bits_per_spike_per_unit([[0.5, 1.0], [1.5, 1.0]], [[0.0, 1.0], [2.0, 1.0]]).round(3)
    array([0.585, 0.   ])
    """
    y = _floats(count)
    axes = tuple(range(y.ndim - 1))
    model = np.nansum(nll_per_bin(expected_count, y), axis=axes)
    null = np.nansum(nll_per_bin(null_expected_count(y), y), axis=axes)
    n_spikes = np.nansum(y, axis=axes)
    bits: FloatArray = np.full(n_spikes.shape, np.nan)
    np.divide(null - model, n_spikes * np.log(2.0), out=bits, where=n_spikes > 0)
    return bits


def null_expected_count(count: ArrayLike) -> FloatArray:
    """Return the null model: each unit's mean count over the observed bins, in every bin.

    Parameters
    ----------
    count
        Counts, shape ``(..., unit)``; NaN where not observed.

    Returns
    -------
    ndarray
        float64 of the shape of ``count``; 0 for a unit that was never observed.

    Examples
    --------
    >>> null_expected_count([[0.0], [2.0]]).ravel()
    array([1., 1.])
    """
    y = _floats(count)
    axes = tuple(range(y.ndim - 1))
    n_observed = np.sum(~np.isnan(y), axis=axes)
    mean = np.nansum(y, axis=axes) / np.maximum(n_observed, 1)
    return np.broadcast_to(mean, y.shape).copy()


def nll_per_bin(expected_count: ArrayLike, count: ArrayLike) -> FloatArray:
    """Return the Poisson negative log-likelihood [nats] of each bin; NaN where not observed.

    Raises
    ------
    DataError
        As :func:`poisson_nll`.

    Examples
    --------
    >>> nll_per_bin([1.0, 1.0], [1.0, float("nan")])
    array([ 1., nan])
    """
    r, y = _floats(expected_count), _floats(count)
    observed = ~np.isnan(y)
    _check(r, y, observed)
    r = np.where(r == 0.0, LEAST_EXPECTED_COUNT, r)
    # a NaN in r is allowed where nothing was observed; the product with NaN keeps it out
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(observed, r - y * np.log(r) + gammaln(y + 1.0), np.nan)


def condition_means(
    values: ArrayLike, trials: Sequence[ArrayLike], *, jitter: ArrayLike | None = None
) -> list[FloatArray]:
    """Average trials of each condition, each trial first shifted by its jitter.

    Parameters
    ----------
    values
        Shape ``(trial, time, unit)``.
    trials
        Trial indices of each condition; a condition without trials gives an empty array.
    jitter
        Bins ``(trial,)`` by which a trial is moved later (earlier if negative); the bins left
        open are NaN.

    Returns
    -------
    list of ndarray
        ``(time, unit)`` of each condition, ``(0, unit)`` for an empty one.

    Examples
    --------
    >>> condition_means([[[1.0], [2.0]], [[3.0], [4.0]]], [[0, 1]])[0].ravel()
    array([2., 3.])
    """
    array = _floats(values)
    shift = np.zeros(array.shape[0], np.int64) if jitter is None else np.asarray(jitter, np.int64)
    means = []
    for chosen in trials:
        index = np.asarray(chosen, dtype=np.int64)
        moved = [_later(array[i], int(shift[i])) for i in index]
        means.append(np.mean(moved, axis=0) if moved else array[:0, 0])
    return means


def check_scale(
    expected_count: ArrayLike, count: ArrayLike, bin_size: float, *, where: object = None
) -> None:
    """Raise if expected counts look like rates in spikes/s.

    Parameters
    ----------
    expected_count, count
        Expected and observed counts per bin; only their means are compared.
    bin_size
        Width of the bins [s].
    where
        What to name in the error.

    Raises
    ------
    UnitScaleError
        If the mean is too large by a factor near ``1 / bin_size`` (within a factor of 4).

    Examples
    --------
    >>> check_scale([0.1], [0.0], 0.005)
    """
    mean_count = float(np.nanmean(_floats(count)))
    mean_expected = float(np.nanmean(_floats(expected_count)))
    if mean_count > 0 and 0.25 < mean_expected / mean_count * bin_size < 4.0:
        raise UnitScaleError(
            "expected counts per bin look like rates in spikes/s",
            where=where,
            found=f"mean {mean_expected:.4g} where the mean count is {mean_count:.4g}",
            expected="expected counts per bin",
            hint=f"multiply the rates by the bin size ({bin_size:g} s)",
        )


def _check(r: FloatArray, y: FloatArray, observed: NDArray[np.bool_]) -> None:
    if r.shape != y.shape:
        raise DataError(
            "expected counts and counts differ in shape", found=r.shape, expected=y.shape
        )
    if (y[observed] < 0).any():
        raise DataError("counts are negative", found=f"{int((y[observed] < 0).sum())} bins")
    missing = np.isnan(r) & observed
    if missing.any():
        raise DataError(
            "expected counts are NaN where counts are observed",
            found=f"{int(missing.sum())} of {int(observed.sum())} bins",
            hint="predict every trial, bin and unit that was observed",
        )
    negative = (r < 0) & observed
    if negative.any():
        raise DataError(
            "expected counts are negative",
            found=f"{int(negative.sum())} bins, lowest {float(r[negative].min()):.4g}",
            hint="give expected counts, not their logarithm",
        )


def _later(trial: FloatArray, shift: int) -> FloatArray:
    if shift == 0:
        return trial
    moved = np.full_like(trial, np.nan)
    if shift > 0:
        moved[shift:] = trial[:-shift]
    else:
        moved[:shift] = trial[-shift:]
    return moved


def _floats(values: ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=np.float64)
