"""Whether generated counts are right where the recording is: by window, and averaged over trials.

Unlike :mod:`neurodyn.metrics.generation`, everything here needs generated and recorded trials that
are aligned to the same stimulus.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError, DegenerateInputError
from neurodyn.recording import results

__all__ = ["psth_correlation", "window_f1"]

FloatArray = NDArray[np.float64]


def window_f1(real: ArrayLike, generated: ArrayLike, *, multiset: bool = False) -> xr.Dataset:
    """Return precision, recall and F1 of the units that spike in each window.

    A set holds each unit with a spike once; a multiset holds it as often as it spikes. With ``TP``
    what both hold, ``precision = TP / generated``, ``recall = TP / real`` and ``F1 = 2 TP /
    (generated + real)``. A window or unit that is silent in both has none (NaN).

    Parameters
    ----------
    real, generated
        Counts of aligned windows, shape ``(window, unit)``. Windows of any width: 0.5 s is usual.
    multiset
        Whether spikes count, or units.

    Returns
    -------
    xr.Dataset
        Kind ``results``, float64: ``precision(window)``, ``recall(window)`` and ``f1(window)``;
        ``unit_f1(unit)``, over all windows of a unit; ``pooled_precision``, ``pooled_recall`` and
        ``pooled_f1``, over all windows and units.

    Raises
    ------
    DataError
        If the shapes differ, or counts are negative or not finite.

    Notes
    -----
    The published Neuroformer code gives 1 whenever there are no false positives or no false
    negatives; its numbers cannot be compared with these.

    Examples
    --------
    >>> found = window_f1([[1, 1, 1] + [0] * 7], [[1] * 10])
    >>> found["f1"].values.round(2), found["recall"].values
    (array([0.46]), array([1.]))
    """
    first, second = _aligned(real, generated)
    if not multiset:
        first, second = np.minimum(first, 1.0), np.minimum(second, 1.0)
    both = np.minimum(first, second)

    def scores(axis: int | None) -> tuple[FloatArray, FloatArray, FloatArray]:
        right, wanted, given = (each.sum(axis=axis) for each in (both, first, second))
        return _share(right, given), _share(right, wanted), _share(2 * right, given + wanted)

    of_windows, of_units, pooled = scores(1), scores(0), scores(None)
    names = ("precision", "recall", "f1")
    return results(
        {
            **{name: ("window", score) for name, score in zip(names, of_windows)},
            "unit_f1": ("unit", of_units[2]),
            **{f"pooled_{name}": float(score) for name, score in zip(names, pooled)},
        },
        multiset=multiset,
    )


def psth_correlation(
    real: ArrayLike,
    generated: ArrayLike,
    condition: ArrayLike | None = None,
    generated_condition: ArrayLike | None = None,
) -> xr.Dataset:
    """Return the correlation of trial-averaged counts, and what it were without noise.

    The averages of all conditions are put one after another. The variance over time of an average
    of ``n`` trials holds a share of noise, the mean of ``var / n``; the rest is the reliability.
    ``noise_corrected = correlation / sqrt(reliability * generated_reliability)`` does not depend
    on the number of trials, and may exceed 1.

    Parameters
    ----------
    real, generated
        Counts or rates, shape ``(trial, time, unit)``; at least two trials of each condition.
    condition, generated_condition
        Of each trial, such as the stimulus; the same in both. One for all if not given.

    Returns
    -------
    xr.Dataset
        Kind ``results``, dims ``(unit)``, float64: ``correlation``, NaN for a unit that never
        changes; ``noise_corrected``, NaN where a reliability is not above 0; ``reliability``,
        ``generated_reliability``; ``ceiling``, of a perfect model: ``sqrt(reliability)``.

    Raises
    ------
    DataError
        If shapes or conditions do not fit.
    DegenerateInputError
        If a condition has fewer than two trials.

    References
    ----------
    Sahani and Linden, NIPS 15 (2003); Schoppe et al., Front. Comput. Neurosci. 10 (2016).

    Examples
    --------
    >>> trials = np.tile([[[0.0], [1.0], [3.0]]], (2, 1, 1))
    >>> psth_correlation(trials, 2 * trials)["noise_corrected"].values.round(6)
    array([1.])
    """
    first, second = _aligned_trials(real, generated)
    labels, others = _conditions(condition, first), _conditions(generated_condition, second)
    names = _shared_names(labels, others)
    psth, reliability = _psth(first, labels, names)
    other, other_reliability = _psth(second, others, names)
    correlation = _pearson(psth, other)
    root = np.sqrt(_above_zero(reliability) * _above_zero(other_reliability))
    return results(
        {
            "correlation": ("unit", correlation),
            "noise_corrected": ("unit", correlation / root),
            "reliability": ("unit", reliability),
            "generated_reliability": ("unit", other_reliability),
            "ceiling": ("unit", np.sqrt(np.maximum(reliability, 0.0))),
        }
    )


def _psth(
    values: FloatArray, labels: NDArray[np.generic], names: NDArray[np.generic]
) -> tuple[FloatArray, FloatArray]:
    """Return the averages one after another ``(time, unit)`` and their reliability ``(unit,)``."""
    means, noise = [], []
    for name in names:
        own = values[labels == name]
        if len(own) < 2:
            raise DegenerateInputError(
                "noise cannot be told from one trial",
                where=f"condition {name}",
                found=len(own),
                expected="two trials of each condition at least",
            )
        means.append(own.mean(axis=0))
        noise.append(own.var(axis=0, ddof=1) / len(own))
    psth = np.concatenate(means)
    total, power = psth.var(axis=0, ddof=1), np.concatenate(noise).mean(axis=0)
    return psth, _share(total - power, total)


def _pearson(first: FloatArray, second: FloatArray) -> FloatArray:
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    return _share((a * b).sum(axis=0), np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)))


def _above_zero(values: FloatArray) -> FloatArray:
    return np.asarray(np.where(values > 0, values, np.nan))


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return ``part / whole``, NaN where the whole is 0."""
    empty = np.full(np.shape(whole), np.nan)
    return np.asarray(np.divide(part, whole, out=empty, where=np.asarray(whole) > 0))


def _conditions(condition: ArrayLike | None, values: FloatArray) -> NDArray[np.generic]:
    labels = np.zeros(len(values), dtype=np.int64) if condition is None else np.asarray(condition)
    if labels.shape != (len(values),):
        raise DataError(
            "conditions do not fit the trials", found=labels.shape, expected=(len(values),)
        )
    return labels


def _aligned(real: ArrayLike, generated: ArrayLike) -> tuple[FloatArray, FloatArray]:
    first, second = np.asarray(real, dtype=np.float64), np.asarray(generated, dtype=np.float64)
    if first.ndim != 2 or first.shape != second.shape:
        raise DataError(
            "real and generated counts do not fit each other",
            found=f"{first.shape} and {second.shape}",
            expected="two arrays (window, unit)",
        )
    both = np.stack([first, second])
    if not np.isfinite(both).all() or (both < 0).any():
        raise DataError("counts are negative or not finite", found=f"lowest {np.nanmin(both):g}")
    return first, second


def _aligned_trials(real: ArrayLike, generated: ArrayLike) -> tuple[FloatArray, FloatArray]:
    first, second = np.asarray(real, dtype=np.float64), np.asarray(generated, dtype=np.float64)
    if first.ndim != 3 or second.ndim != 3 or first.shape[1:] != second.shape[1:]:
        raise DataError(
            "real and generated trials do not fit each other",
            found=f"{first.shape} and {second.shape}",
            expected="(trial, time, unit), with the same bins and units",
        )
    for name, values in (("real", first), ("generated", second)):
        if not np.isfinite(values).all():
            raise DataError(
                f"{name} counts are not finite", found=int((~np.isfinite(values)).sum())
            )
    return first, second


def _shared_names(labels: NDArray[np.generic], others: NDArray[np.generic]) -> NDArray[np.generic]:
    names = np.unique(labels)
    if not np.array_equal(names, np.unique(others)):
        raise DataError(
            "real and generated conditions differ",
            found=", ".join(map(str, np.unique(others))),
            expected=", ".join(map(str, names)),
        )
    return names
