"""References into other tables: electrodes of units and channels, rois of a segmentation."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import CorruptFileError
from neurodyn.io.containment import place
from neurodyn.io.faults import Quality
from neurodyn.io.hdf5 import read_array
from neurodyn.io.nwb.naming import attribute
from neurodyn.io.nwb.tables import Table, read_columns

__all__ = ["electrode_columns", "referred_rows", "referred_table", "unit_electrodes"]

ELECTRODES = "general/extracellular_ephys/electrodes"
POSITION = ("x", "y", "z")
Array = NDArray[Any]


def referred_table(region: h5py.Dataset) -> Table | None:
    """Return the table that a DynamicTableRegion points into."""
    reference = region.attrs.get("table")
    if isinstance(reference, h5py.Reference) and reference:
        return Table(region.file[reference])
    fallback = region.file.get(ELECTRODES)
    return Table(fallback) if isinstance(fallback, h5py.Group) else None


def referred_rows(region: h5py.Dataset, table: Table) -> NDArray[np.int64]:
    """Return the checked rows that a region points at, shape ``(n,)``.

    Raises
    ------
    CorruptFileError
        If a row is not in the table.
    """
    rows = read_array(region).astype(np.int64)
    outside = (rows < 0) | (rows >= table.n_rows)
    if outside.any():
        raise CorruptFileError(
            "reference to a row that does not exist",
            where=place(region),
            found=f"row {int(rows[outside][0])} ({int(outside.sum())} such references)",
            expected=f"rows 0 to {table.n_rows - 1} of {table.group.name}",
            hint="on_bad='drop' leaves the column out",
        )
    return rows


def electrode_columns(table: Table, rows: NDArray[np.int64]) -> dict[str, Array]:
    """Return area, group and position of the given electrodes, as far as the table has them."""
    wanted = {"location": "area", "group_name": "group", **{axis: axis for axis in POSITION}}
    present = [name for name in wanted if name in table.group]
    # what is wrong with a column of electrodes must not take their signals with it
    quality = Quality("drop")
    read = read_columns(table, "electrode", present, quality, taken=set())
    columns = {}
    for name, variable in read.items():
        values = variable.values[rows]
        if values.dtype.kind != "f" or np.isfinite(values).any():
            columns[wanted[name]] = values
    return columns


def unit_electrodes(region: h5py.Dataset, ends: NDArray[np.int64] | None) -> dict[str, Array]:
    """Return ``area`` and mean position of each unit from its electrodes.

    Parameters
    ----------
    region
        The electrodes column of the units.
    ends
        End of the electrodes of each unit; None for one electrode per unit.

    Returns
    -------
    dict
        Columns of shape ``(unit,)``; several areas of one unit are joined by ``+``, a unit
        without electrodes has empty text and NaN.

    Raises
    ------
    CorruptFileError
        If an electrode is not in the table.
    """
    table = referred_table(region)
    if table is None:
        return {}
    rows = referred_rows(region, table)
    ends = np.arange(1, rows.size + 1) if ends is None else ends
    size = np.diff(ends, prepend=0)
    per_electrode = electrode_columns(table, rows)
    columns: dict[str, Array] = {}
    for name, values in per_electrode.items():
        if (size == 1).all():
            columns[name] = values
        elif values.dtype.kind == "f":
            columns[name] = _means(values, ends, size)
        else:
            groups = np.split(values, ends[:-1])
            columns[name] = np.array(["+".join(dict.fromkeys(g.tolist())) for g in groups])
    return columns


def _means(values: Array, ends: NDArray[np.int64], size: NDArray[np.int64]) -> Array:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    with np.errstate(invalid="ignore"):
        return np.asarray((sums[ends] - sums[ends - size]) / np.where(size > 0, size, np.nan))


def region_labels(region: h5py.Dataset) -> tuple[list[Any], dict[str, Array]]:
    """Return ids and electrode columns of what a region points at."""
    table = referred_table(region)
    if table is None:
        return list(range(region.shape[0])), {}
    rows = referred_rows(region, table)
    is_electrodes = str(attribute(table.group, "neurodata_type")) != "PlaneSegmentation"
    return table.ids[rows].tolist(), electrode_columns(table, rows) if is_electrodes else {}
