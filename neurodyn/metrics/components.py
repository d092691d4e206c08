"""How alike two factorisations are, and over how many entries a factor spreads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError
from neurodyn.metrics.partitions import same_labels

__all__ = ["matched_similarity", "participation_ratio"]

FloatArray = NDArray[np.float64]
Factors = Sequence[ArrayLike] | xr.Dataset


def matched_similarity(first: Factors, second: Factors) -> float:
    """Return how alike two factorisations are, whatever the order of their components.

    Components are matched one to one such that the similarities add up to the most (Hungarian
    method). The similarity of two components is the product over modes of the cosines between
    their factors: scales do not matter, nor signs that cancel. The score is the mean over matched
    pairs, 1 for equal factorisations; a component that is zero is like no other.

    Parameters
    ----------
    first, second
        One array per mode, shape ``(component, ...)``; or datasets, of which all variables
        ``*_factor`` with a dim ``component`` are compared, matched by label. NaN (never seen)
        must be in the same places.

    Raises
    ------
    DataError
        If the modes, shapes, labels or NaN of the two differ.

    Examples
    --------
    >>> pairs, time = np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]])
    >>> round(matched_similarity([pairs, time], [3 * pairs[::-1], time[::-1]]), 12)
    1.0
    """
    from scipy.optimize import linear_sum_assignment

    similarity = np.ones(())
    for name, a, b in _modes(first, second):
        similarity = similarity * _cosines(name, a, b)
    if similarity.ndim != 2:
        raise DataError("there are no factors to compare", expected="one array per mode")
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    return float(similarity[rows, columns].mean())


def participation_ratio(values: ArrayLike) -> FloatArray:
    """Return over how many entries a vector spreads, ``(sum a²)² / sum a⁴``, along the last axis.

    1 for a single entry, ``n`` for ``n`` equal ones; the scale does not matter. NaN entries are
    left out; a vector of zeros has no ratio (NaN).

    Parameters
    ----------
    values
        Shape ``(..., entry)``, such as ``animal_factor(component, animal)``.

    Returns
    -------
    FloatArray
        Shape ``(...,)``.

    Raises
    ------
    DataError
        If a value is infinite, or there is no axis.

    Examples
    --------
    >>> participation_ratio([[1.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    array([1., 3.])
    """
    array = np.abs(np.asarray(values, dtype=np.float64))
    if array.ndim == 0 or np.isinf(array).any():
        raise DataError(
            "a participation ratio needs vectors of finite entries",
            found=f"shape {array.shape}, {int(np.isinf(array).sum())} infinite",
        )
    array = np.nan_to_num(array)
    # relative to the largest entry: powers of tiny or huge values would leave the floats
    largest = array.max(axis=-1, keepdims=True, initial=0.0)
    square = np.divide(array, largest, out=np.zeros_like(array), where=largest > 0) ** 2
    total = (square**2).sum(axis=-1)
    ratio = np.full(total.shape, np.nan)
    np.divide(square.sum(axis=-1) ** 2, total, out=ratio, where=total > 0)
    return ratio


def _modes(first: Factors, second: Factors) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Return name and both factors of each mode."""
    if isinstance(first, xr.Dataset) != isinstance(second, xr.Dataset):
        raise DataError("a dataset cannot be compared with arrays", found=type(second).__name__)
    if isinstance(first, xr.Dataset) and isinstance(second, xr.Dataset):
        names = [
            [str(n) for n, v in ds.items() if str(n).endswith("_factor") and "component" in v.dims]
            for ds in (first, second)
        ]
        if {*names[0]} != {*names[1]}:
            raise DataError("datasets hold other factors", found=names[1], expected=names[0])
        pairs = [(first[n].transpose("component", ...), second[n]) for n in names[0]]
        return [(n, a.values, same_labels(b, a).values) for n, (a, b) in zip(names[0], pairs)]
    if len(first) != len(second):
        raise DataError("factors differ in modes", found=len(second), expected=len(first))
    return [
        (f"mode {n}", np.asarray(a), np.asarray(b)) for n, (a, b) in enumerate(zip(first, second))
    ]


def _cosines(name: str, first: NDArray[Any], second: NDArray[Any]) -> FloatArray:
    """Return the cosine between each component of one and of the other."""
    if first.shape != second.shape or first.ndim < 2 or not first.size:
        raise DataError(
            "factors differ in shape",
            where=name,
            found=second.shape,
            expected=f"{first.shape}, (component, ...)",
        )
    a, b = (np.asarray(f, dtype=np.float64).reshape(len(f), -1) for f in (first, second))
    seen = np.isfinite(a).all(axis=0)
    if not (np.isfinite(a) == seen).all() or not (np.isfinite(b) == seen).all():
        raise DataError(
            "factors are not finite in the same places",
            where=name,
            found=f"{int((~np.isfinite(a)).sum())} and {int((~np.isfinite(b)).sum())} values",
            expected="NaN in the same entries of all components of both",
        )
    a, b = a[:, seen], b[:, seen]
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    cosines = np.zeros(norms.shape)
    np.divide(a @ b.T, norms, out=cosines, where=norms > 0)
    return cosines
