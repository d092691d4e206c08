"""How well inferred rates follow the true ones, where the truth is known (simulations)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError
from neurodyn.metrics.decoding import r2_per_output

__all__ = ["rate_r2", "rate_r2_per_unit"]

FloatArray = NDArray[np.float64]


def rate_r2_per_unit(expected_count: ArrayLike, true_expected_count: ArrayLike) -> FloatArray:
    """Return R² of each unit over all trials and bins, shape ``(unit,)``.

    Parameters
    ----------
    expected_count, true_expected_count
        Inferred and exact expected counts per bin (or both as rates), shape ``(..., unit)``.

    Raises
    ------
    DataError
        If the shapes differ or a value is not finite.

    Examples
    --------
    >>> truth = np.array([[0.1, 0.2], [0.3, 0.4]])
    >>> rate_r2_per_unit(truth + [0.0, 0.1], truth)
    array([1., 0.])
    """
    inferred = np.asarray(expected_count, dtype=np.float64)
    truth = np.asarray(true_expected_count, dtype=np.float64)
    if inferred.shape != truth.shape or truth.ndim < 2:
        raise DataError(
            "inferred and true rates differ in shape", found=inferred.shape, expected=truth.shape
        )
    n_units = truth.shape[-1]
    return r2_per_output(truth.reshape(-1, n_units), inferred.reshape(-1, n_units))


def rate_r2(expected_count: ArrayLike, true_expected_count: ArrayLike) -> float:
    """Return the mean over units of :func:`rate_r2_per_unit`, each unit with the same weight.

    Examples
    --------
    >>> rate_r2([[0.1], [0.3]], [[0.1], [0.3]])
    1.0
    """
    return float(rate_r2_per_unit(expected_count, true_expected_count).mean())
