"""Arrays that stay in the file until they are touched."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from neurodyn.errors import NeurodynError
from neurodyn.io.hdf5 import read_array

__all__ = ["FaultyArray", "FileArray", "StoredArray", "faulty_variable", "lazy_variable"]


class FileArray(BackendArray):
    """A read-only view into an open file; subclasses give ``shape``, ``dtype`` and ``_read``."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER_1VECTOR
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def __deepcopy__(self, memo: dict[int, Any]) -> FileArray:
        # what is in the file cannot be changed through a view, so a copy may share it
        return self

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        raise NotImplementedError


class StoredArray(FileArray):
    """A dataset of one or two axes as a lazy array ``(time, column)``.

    Parameters
    ----------
    dataset
        Shape ``(time,)`` or ``(time, column)``.
    transposed
        The file holds ``(column, time)``.
    scale, offset
        Values become float64 ``raw * scale + offset``; ``scale=None`` leaves them raw.
    """

    def __init__(
        self,
        dataset: h5py.Dataset,
        *,
        transposed: bool = False,
        scale: float | None = None,
        offset: float = 0.0,
    ) -> None:
        self.dataset, self.transposed = dataset, transposed
        self.scale, self.offset = scale, offset
        shape = dataset.shape[::-1] if transposed else dataset.shape
        self.shape = (*shape, 1) if len(shape) == 1 else shape
        # numbers of the other byte order come out in this machine's
        raw = dataset.dtype.newbyteorder("=")
        self.dtype = raw if scale is None else np.dtype(np.float64)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        if self.dataset.ndim == 1:
            values = np.asarray(read_array(self.dataset, (key[0],)))[..., None][..., key[1]]
        elif self.transposed:
            values = np.transpose(read_array(self.dataset, key[::-1]))
        else:
            values = read_array(self.dataset, key)
        values = np.asarray(values).astype(self.dtype, copy=False)
        return values if self.scale is None else values * self.scale + self.offset


class FaultyArray(FileArray):
    """Stands for an array that cannot be read: touching it raises its error.

    Parameters
    ----------
    error
        What to raise.
    shape, dtype
        What the array pretends to be.
    """

    def __init__(self, error: NeurodynError, shape: tuple[int, ...], dtype: Any) -> None:
        self.error, self.shape, self.dtype = error, shape, np.dtype(dtype)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        raise self.error


def lazy_variable(dims: tuple[str, ...], array: BackendArray, **attrs: Any) -> xr.Variable:
    """Return a variable that reads ``array`` each time it is touched.

    Nothing is kept: a recording stays small until ``load`` puts its data into memory.
    """
    return xr.Variable(dims, indexing.LazilyIndexedArray(array), attrs)


def faulty_variable(
    error: NeurodynError, dims: tuple[str, ...], shape: tuple[int, ...], dtype: Any = np.float64
) -> xr.Variable:
    """Return a variable that raises ``error`` when it is touched."""
    return xr.Variable(dims, indexing.LazilyIndexedArray(FaultyArray(error, shape, dtype)))
