"""A column of a units table that holds an amplitude for each spike."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.io.containment import BROKEN
from neurodyn.io.hdf5 import read_array
from neurodyn.io.lazy import FileArray, lazy_variable
from neurodyn.io.nwb.naming import attribute
from neurodyn.io.nwb.tables import Table

__all__ = ["SpikeAmplitudes"]


class SpikeAmplitudes(FileArray):
    """Amplitudes ``(spike,)`` that stay in the file; whole numbers become float64.

    Parameters
    ----------
    dataset
        The flat column.
    """

    COLUMN = "spike_amplitudes"
    """Its name in the file."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset, self.shape = dataset, dataset.shape
        floats = dataset.dtype.kind == "f"
        self.dtype = dataset.dtype.newbyteorder("=") if floats else np.dtype(np.float64)
        description = attribute(dataset, "description", "")
        self._attrs = {"description": description} if description else {}

    @classmethod
    def of(cls, table: Table, ends: NDArray[np.int64]) -> SpikeAmplitudes | None:
        """Return the column if it holds a number for each spike; any other is one of the units.

        Parameters
        ----------
        table
            A units table.
        ends
            The index after the last spike of each unit, ``(unit,)``.
        """
        flat, index = (table.group.get(f"{cls.COLUMN}{suffix}") for suffix in ("", "_index"))
        if not (isinstance(flat, h5py.Dataset) and isinstance(index, h5py.Dataset)):
            return None
        numbers = flat.ndim == 1 and flat.dtype.kind in "fiu" and index.shape == ends.shape
        if not numbers or flat.shape[0] != (ends[-1] if ends.size else 0):
            return None
        try:
            same = np.array_equal(read_array(index), ends)
        except BROKEN:
            return None
        return cls(flat) if same else None

    def unread(self) -> xr.Variable:
        """Return the amplitudes as a variable that reads them when it is touched."""
        return lazy_variable(("spike",), self, **self._attrs)

    def at(self, row: NDArray[np.int64] | None) -> xr.Variable:
        """Return the amplitudes of the spikes at these rows of the file; of all if not given."""
        values = read_array(self.dataset).astype(self.dtype, copy=False)
        return xr.Variable(("spike",), values if row is None else values[row], self._attrs)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        return np.asarray(read_array(self.dataset, key)).astype(self.dtype, copy=False)
