"""Columns of NWB tables (hdmf DynamicTable): flat, ragged, referring and text ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import CorruptFileError, NeurodynError, SizeBudgetError
from neurodyn.io.containment import BROKEN, place
from neurodyn.io.faults import Fault, Quality
from neurodyn.io.hdf5 import read_array
from neurodyn.io.lazy import faulty_variable
from neurodyn.io.nwb.naming import attribute, unique_labels, unique_name

__all__ = ["Table", "pad_ragged", "read_columns", "row_ends"]

PADDED_ELEMENTS = 2**26
Array = NDArray[Any]


@dataclass(frozen=True)
class Table:
    """A table group of an open file."""

    group: h5py.Group

    @property
    def where(self) -> str:
        """File and path of the table."""
        return place(self.group)

    @property
    def column_names(self) -> list[str]:
        """Names in the order of the file; without ``colnames``, all columns that there are."""
        listed = attribute(self.group, "colnames")
        if listed is not None:
            return [listed] if isinstance(listed, str) else list(listed)
        found = (name for name in self.group if isinstance(self.group.get(name), h5py.Dataset))
        return [name for name in found if name != "id" and not name.endswith("_index")]

    def dataset(self, name: str) -> h5py.Dataset:
        """Return one dataset of the table.

        Raises
        ------
        CorruptFileError
            Naming table and column if it is absent.
        """
        item = self.group.get(name)
        if isinstance(item, h5py.Dataset):
            return item
        raise CorruptFileError(
            f"table {self.group.name} lacks its column {name!r}",
            where=self.where,
            found=", ".join(sorted(self.group)) or "no columns",
            expected=f"a dataset {name!r}, as the table promises",
            hint="on_bad='drop' leaves the column out",
        )

    @property
    def n_rows(self) -> int:
        """Number of rows, by the ids, else by the first column that is there."""
        item = self.group.get("id")
        if isinstance(item, h5py.Dataset) and item.ndim == 1:
            return int(item.shape[0])
        for name in self.column_names:
            item = self.group.get(f"{name}_index", self.group.get(name))
            if isinstance(item, h5py.Dataset) and item.ndim:
                return int(item.shape[0])
        return 0

    @property
    def ids(self) -> Array:
        """The ids of the rows, numbered from 0 if the table has none."""
        item = self.group.get("id")
        return read_array(item) if isinstance(item, h5py.Dataset) else np.arange(self.n_rows)

    def labels(self, column: str) -> tuple[list[str], int]:
        """Return unique labels of the rows, and how many had to be made unique.

        Text of ``column`` is taken where each row has its own; else the ids.
        """
        named = self.group.get(column)
        if isinstance(named, h5py.Dataset) and named.shape == (self.n_rows,):
            texts = read_array(named)
            if texts.dtype.kind == "O" and np.unique(texts.astype(str)).size == self.n_rows:
                return [str(text) for text in texts], 0
        return unique_labels(self.ids.tolist())

    @property
    def unread_columns(self) -> list[str]:
        """Columns that are ragged twice (waveforms): a store of their own, not table columns."""
        return [name for name in self.column_names if f"{name}_index_index" in self.group]

    def is_ragged(self, name: str) -> bool:
        """Say whether a column holds several values a row."""
        return f"{name}_index" in self.group


def row_ends(table: Table, name: str, n_values: int) -> Array:
    """Return the checked ends of the rows of a ragged column, shape ``(row,)``, int64.

    Raises
    ------
    CorruptFileError
        If the index is absent, of the wrong length, decreases, points beyond the values or
        leaves values without an owner.
    """
    index = table.dataset(f"{name}_index")
    ends = read_array(index).astype(np.int64)
    n_rows = table.n_rows if name in table.group and not name.endswith("_index") else ends.size
    expected = f"{n_rows} ends that never decrease, up to {n_values}"
    problem = None
    if ends.ndim != 1 or ends.size != n_rows:
        problem = f"{ends.size} ends for {n_rows} rows"
    elif ends.size and (ends > n_values).any():
        problem = f"index {int(ends.max())} > {n_values}"
    elif ends.size and (np.diff(ends, prepend=0) < 0).any():
        row = int(np.flatnonzero(np.diff(ends, prepend=0) < 0)[0])
        problem = f"index falls to {int(ends[row])} at row {row}"
    elif (int(ends[-1]) if ends.size else 0) != n_values:
        problem = f"{n_values - (int(ends[-1]) if ends.size else 0)} values belong to no row"
    if problem is None:
        return ends
    raise CorruptFileError(
        f"index of column {name!r} does not fit its values",
        where=place(index),
        found=problem,
        expected=expected,
        hint="on_bad='drop' leaves it out; the file must be written again",
    )


def pad_ragged(values: Array, ends: Array) -> tuple[Array, Array]:
    """Return ragged rows as one padded array ``(row, item, ...)`` and their sizes ``(row,)``.

    Padding is NaN, 0, False or empty text; the sizes say what is padding.

    Examples
    --------
    >>> padded, size = pad_ragged(np.array([1.0, 2.0, 3.0]), np.array([2, 3]))
    >>> padded.tolist(), size.tolist()
    ([[1.0, 2.0], [3.0, nan]], [2, 1])
    """
    size = np.diff(ends, prepend=0)
    width = int(size.max()) if size.size else 0
    fill = {"f": np.nan, "O": "", "U": ""}.get(values.dtype.kind, 0)
    padded = np.full((size.size, width, *values.shape[1:]), fill, dtype=values.dtype)
    padded[np.arange(width) < size[:, None]] = values
    return padded, size


def read_columns(
    table: Table, dim: str, names: list[str], quality: Quality, *, taken: set[str]
) -> dict[str, xr.Variable]:
    """Read columns as variables along ``dim``.

    A ragged column becomes a padded variable ``(dim, <name>_item)`` and its ``<name>_size``.
    References become the names of what they refer to. A faulty column follows the policy.

    Parameters
    ----------
    table, dim, names
        The table, the dim of its rows, and the columns to read.
    quality
        The policy; a lazy one lets a faulty column raise when it is touched.
    taken
        Names that columns may not have; grows.
    """
    columns: dict[str, xr.Variable] = {}
    for name in names:
        clean = unique_name(name, taken)
        try:
            parts = list(_column(table, name, clean, dim))
        except NeurodynError as error:
            parts = _faulty_column(table, name, clean, dim, quality, error)
        except BROKEN as error:
            corrupt = CorruptFileError(
                f"column {name!r} cannot be read",
                where=table.where,
                found=error,
                expected="a column of the NWB schema",
                hint="on_bad='drop' leaves it out",
            )
            parts = _faulty_column(table, name, clean, dim, quality, corrupt)
        for part, variable in parts:
            if clean != name:
                variable.attrs["original_name"] = name
            columns[part] = variable
            taken.add(part)
    return columns


def _faulty_column(
    table: Table, name: str, clean: str, dim: str, quality: Quality, error: NeurodynError
) -> list[tuple[str, xr.Variable]]:
    fault = Fault.of("faulty_column", error)
    if quality.lazy:
        quality.faults.append(fault)
        return [(clean, faulty_variable(error, (dim,), (table.n_rows,)))]
    quality.decide(fault)
    return []


def _column(table: Table, name: str, clean: str, dim: str) -> Iterator[tuple[str, xr.Variable]]:
    """Yield the variables of one column."""
    dataset = table.dataset(name)
    ends = row_ends(table, name, dataset.shape[0]) if table.is_ragged(name) else None
    if ends is None and (dataset.ndim == 0 or dataset.shape[0] != table.n_rows):
        raise CorruptFileError(
            f"column {name!r} has another length than its table",
            where=place(dataset),
            found=f"shape {dataset.shape}",
            expected=f"{table.n_rows} rows",
            hint="on_bad='drop' leaves it out",
        )
    if ends is not None:
        _require_paddable(dataset, ends)
    description = attribute(dataset, "description", "")
    attrs = {"description": description} if description else {}
    for suffix, values in _parts(dataset):
        label = f"{clean}{suffix}"
        if ends is None:
            extra = tuple(f"{label}_axis{axis}" for axis in range(1, values.ndim))
            yield label, xr.Variable((dim, *extra), values, attrs)
            continue
        padded, size = pad_ragged(values, ends)
        extra = tuple(f"{label}_axis{axis}" for axis in range(1, values.ndim))
        yield label, xr.Variable((dim, f"{label}_item", *extra), padded, attrs)
        yield f"{label}_size", xr.Variable((dim,), size)


def _require_paddable(dataset: h5py.Dataset, ends: Array) -> None:
    width = int(np.diff(ends, prepend=0).max()) if ends.size else 0
    n_elements = ends.size * width * int(np.prod(dataset.shape[1:]))
    if n_elements > PADDED_ELEMENTS:
        raise SizeBudgetError(
            "ragged column is too large for a table",
            where=place(dataset),
            found=f"{n_elements:,} elements when padded",
            expected=f"at most {PADDED_ELEMENTS:,}",
            hint="on_bad='drop' leaves it out; read it with neurodyn.io.nwb.container",
        )


def _parts(dataset: h5py.Dataset) -> Iterator[tuple[str, Array]]:
    """Yield the values of a column; references to time series give three columns."""
    values = read_array(dataset)
    if values.dtype.names:
        for name in values.dtype.names:
            part = values[name]
            is_reference = part.dtype.kind == "O"
            yield f"_{name}", _referred_names(dataset, part) if is_reference else part
    elif h5py.check_ref_dtype(dataset.dtype) is not None:
        yield "", _referred_names(dataset, values)
    elif dataset.attrs.get("elements") is not None:
        elements = read_array(dataset.file[dataset.attrs["elements"]])
        yield "", _as_text(elements)[values.astype(np.int64)]
    else:
        yield "", _as_text(values) if values.dtype.kind in "OS" else _native(values)


def _referred_names(dataset: h5py.Dataset, references: Array) -> Array:
    names = [
        dataset.file[reference].name.rsplit("/", 1)[-1] if reference else ""
        for reference in references.ravel()
    ]
    return np.array(names, dtype=np.str_).reshape(references.shape)


def _as_text(values: Array) -> Array:
    texts = [
        v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values.ravel()
    ]
    return np.array(texts, dtype=np.str_).reshape(values.shape)


def _native(values: Array) -> Array:
    return values.astype(values.dtype.newbyteorder("="), copy=False)
