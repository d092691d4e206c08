"""Labels and columns in the one form that storage keeps unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError

__all__ = ["Columns", "as_columns", "as_labels", "as_trial_labels", "as_variable"]

Columns = Mapping[str, ArrayLike]


def as_labels(values: Iterable[object]) -> NDArray[Any]:
    """Return labels as an array of text."""
    return np.array([str(value) for value in values], dtype=np.str_)


def as_trial_labels(values: Iterable[object]) -> NDArray[Any]:
    """Return trial ids: whole numbers stay numbers, all else becomes text."""
    array = np.asarray(list(values))
    return (
        array.astype(np.int64) if array.dtype.kind in "iu" or not array.size else as_labels(array)
    )


def as_columns(dim: str, table: Columns | None) -> dict[str, Any]:
    """Return table columns as variables along ``dim``; further axes get dims of their own."""
    prepared: dict[str, Any] = {}
    for name, values in (table or {}).items():
        if isinstance(values, xr.Variable):
            prepared[name] = values
            continue
        array = np.asarray(values)
        if array.dtype.kind in "OUST":
            array = as_labels(array.ravel()).reshape(array.shape)
        extra = tuple(f"{name}_axis{axis}" for axis in range(1, array.ndim))
        prepared[name] = ((dim, *extra), array)
    return prepared


def as_variable(values: Any, dims: tuple[str, ...], dtype: Any) -> xr.Variable:
    """Return an ``xr.Variable`` as it is (lazy) and anything else as an array with ``dims``."""
    if isinstance(values, xr.Variable):
        return values
    array = np.asarray(values) if dtype is None else np.asarray(values, dtype=dtype)
    if array.ndim != len(dims):
        raise DataError("array has the wrong number of dims", found=array.shape, expected=dims)
    return xr.Variable(dims, array)
