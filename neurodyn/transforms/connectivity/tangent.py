"""Geometric means of covariances and deviations from them, in the affine-invariant metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import DegenerateInputError

__all__ = ["geometric_mean", "tangent_vectors"]

FloatArray = NDArray[np.float64]
TOLERANCE, MOST_ITERATIONS = 1e-9, 200


def geometric_mean(matrices: FloatArray) -> FloatArray:
    """Return the positive definite matrix with the least squared distance to all matrices.

    The distance is ``|| log(G^-1/2 M G^-1/2) ||`` (Frobenius). The mean is where the tangent
    vectors add up to zero; steps along their mean lead there, of the length that suits the
    curvature (Bini and Iannazzo, 2013).

    Parameters
    ----------
    matrices
        Positive definite, shape ``(matrix, node, node)``.

    Raises
    ------
    DegenerateInputError
        If the steps do not settle: matrices that are nearly singular.

    Examples
    --------
    >>> geometric_mean(np.array([np.diag([1.0, 4.0]), np.diag([4.0, 1.0])])).round(6)
    array([[2., 0.],
           [0., 2.]])
    """
    arithmetic = matrices.mean(axis=0)
    root, whitening = _power(arithmetic, 0.5), _power(arithmetic, -0.5)
    # whitened by a mean that is known: traces of unlike scales would cost digits
    whitened = whitening @ matrices @ whitening
    mean, length = np.eye(len(arithmetic)), np.inf
    for _ in range(MOST_ITERATIONS):
        vectors = tangent_vectors(whitened, mean)
        ahead = vectors.mean(axis=0)
        length = float(np.sqrt(np.square(ahead).mean()))
        if length < TOLERANCE:
            found = root @ mean @ root
            return np.asarray(0.5 * (found + found.T))
        spread = np.maximum(0.5 * np.ptp(np.linalg.eigvalsh(vectors), axis=-1), 1e-9)
        step = 2 / (1 + (spread / np.tanh(spread)).mean())
        inner = _power(mean, 0.5)
        mean = inner @ _of_eigenvalues(step * ahead, np.exp) @ inner
        mean = 0.5 * (mean + mean.T)
    raise DegenerateInputError(
        "the geometric mean of the covariances is not found",
        found=f"steps of {length:.3g} after {MOST_ITERATIONS} iterations",
        expected=f"steps below {TOLERANCE:g}",
        hint="shrinkage='ledoit_wolf', or fewer traces",
    )


def tangent_vectors(matrices: FloatArray, mean: FloatArray) -> FloatArray:
    """Return ``log(mean^-1/2 matrix mean^-1/2)`` of each matrix, shape ``(matrix, node, node)``.

    Examples
    --------
    >>> tangent_vectors(np.array([np.diag([1.0, np.e])]), np.eye(2)).tolist()
    [[[0.0, 0.0], [0.0, 1.0]]]
    """
    whitening = _power(mean, -0.5)
    return _of_eigenvalues(whitening @ matrices @ whitening, np.log)


def _power(symmetric: FloatArray, exponent: float) -> FloatArray:
    return _of_eigenvalues(symmetric, lambda value: value**exponent)


def _of_eigenvalues(symmetric: FloatArray, function: Callable[[Any], Any]) -> FloatArray:
    value, vector = np.linalg.eigh(symmetric)
    return np.asarray((vector * function(value)[..., None, :]) @ vector.swapaxes(-1, -2))
