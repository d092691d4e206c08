"""Keep recordings and results as netCDF4 files, without loss, through h5netcdf.

Attributes that netCDF cannot hold (None, bool, lists, mappings, numpy scalars and arrays) are
kept as marked JSON text. Numbers carry a checksum (fletcher32), so damage is noticed on read.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.errors import CorruptFileError, UnsupportedFormatError
from neurodyn.provenance import atomic_path
from neurodyn.recording.schema import SCHEMA_VERSION

__all__ = ["decode_attr", "encode_attr", "load", "save"]

MARK = "json:"


def save(data: xr.DataTree | xr.Dataset, path: str | Path) -> Path:
    """Write a recording or one dataset to netCDF4, atomically.

    Parameters
    ----------
    data
        A recording, or a single dataset such as a result.
    path
        File to write; an existing file is replaced only when the new one is complete.

    Returns
    -------
    Path
        The path written.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn import recording as build
    >>> ds = build.trials([0.0], [1.0], note=None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(ds, Path(folder) / "trials.nc")).attrs
    {'kind': 'trials', 'note': None}
    """
    path = Path(path)
    tree = xr.DataTree.from_dict({"/": data}) if isinstance(data, xr.Dataset) else data
    encoding: dict[str, dict[Hashable, Any]] = {}
    nodes: dict[str, xr.Dataset] = {}
    for node in tree.subtree:
        # what another file's storage left in .encoding would change ours
        ds = node.to_dataset(inherit=False).drop_encoding()
        encoding[node.path] = {name: _storage(ds[name]) for name in ds.variables}
        nodes[node.path] = _map_attrs(ds, encode_attr)
    with atomic_path(path) as temporary:
        xr.DataTree.from_dict(nodes).to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
    return path


def load(path: str | Path, *, lazy: bool = False) -> Any:
    """Read what :func:`save` wrote.

    Parameters
    ----------
    path
        A netCDF4 file.
    lazy
        Leave the data on disk until they are used; the file stays open.

    Returns
    -------
    xr.DataTree or xr.Dataset
        As it was saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptFileError
        If it is no netCDF4 file or damaged.
    UnsupportedFormatError
        If a later version of neurodyn wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        result = _read(path, lazy)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise CorruptFileError("cannot read a netCDF4 file", where=path, found=error) from error
    version = result.attrs.get("neurodyn_schema", SCHEMA_VERSION)
    if version > SCHEMA_VERSION:
        raise UnsupportedFormatError(
            "file was written by a later neurodyn",
            where=path,
            found=f"schema {version}",
            expected=f"schema {SCHEMA_VERSION} or less",
            hint="pip install --upgrade neurodyn",
        )
    return result if "neurodyn_schema" in result.attrs else result.to_dataset()


def _read(path: Path, lazy: bool) -> xr.DataTree:
    tree = xr.open_datatree(
        path, engine="h5netcdf", mask_and_scale=False, decode_times=False, decode_timedelta=False
    )
    try:
        if not lazy:
            tree.load()
        nodes = {
            node.path: _map_attrs(node.to_dataset(inherit=False).drop_encoding(), decode_attr)
            for node in tree.subtree
        }
        return xr.DataTree.from_dict(nodes)
    finally:
        if not lazy:
            tree.close()


def encode_attr(value: Any) -> Any:
    """Return an attribute in a form that netCDF holds; :func:`decode_attr` undoes it.

    Examples
    --------
    >>> encode_attr(None)
    'json:null'
    """
    plain_text = isinstance(value, str) and value and not value.startswith(MARK)
    if (plain_text and "\x00" not in value) or type(value) in (int, float):
        fits = not isinstance(value, int) or -(2**63) <= value < 2**63
        if fits:
            return value
    return MARK + json.dumps(_tagged(value))


def decode_attr(value: Any) -> Any:
    """Return an attribute as it was before :func:`encode_attr`."""
    if isinstance(value, str) and value.startswith(MARK):
        return _untagged(json.loads(value[len(MARK) :]))
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    return value.item() if isinstance(value, np.generic) else value


def _tagged(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        items = [_tagged(item) for item in array.ravel().tolist()]
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {"__numpy__": kind, "dtype": array.dtype.str, "shape": array.shape, "items": items}
    if isinstance(value, complex):
        return {"__complex__": [value.real, value.imag]}
    if isinstance(value, tuple):
        return {"__tuple__": [_tagged(item) for item in value]}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, dict):
        return {"__dict__": [[_tagged(k), _tagged(v)] for k, v in value.items()]}
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__numpy__" in value:
        items = [_untagged(item) for item in value["items"]]
        array = np.array(items, dtype=np.dtype(value["dtype"])).reshape(value["shape"])
        return array if value["__numpy__"] == "array" else array[()]
    if "__complex__" in value:
        return complex(*value["__complex__"])
    if "__tuple__" in value:
        return tuple(_untagged(item) for item in value["__tuple__"])
    return {_untagged(k): _untagged(v) for k, v in value["__dict__"]}


def _map_attrs(ds: xr.Dataset, convert: Any) -> xr.Dataset:
    result = ds.copy(deep=False)
    result.attrs = {key: convert(item) for key, item in ds.attrs.items()}
    for name in result.variables:
        attrs = ds.variables[name].attrs
        result.variables[name].attrs = {key: convert(item) for key, item in attrs.items()}
    return result


def _storage(variable: xr.DataArray) -> dict[str, Any]:
    """Compress and checksum numbers; text and empty arrays go as they are."""
    if variable.dtype.kind not in "biufc" or variable.size == 0 or variable.ndim == 0:
        return {} if variable.dtype.kind in "OUST" else {"_FillValue": None}
    return {"_FillValue": None, "zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True}
