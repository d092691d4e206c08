"""NWB files in Zarr folders, through hdmf-zarr (extra ``nwb-zarr``).

The folder is checked first, then copied to a temporary HDF5 file by hdmf's own export, and that
is read as any NWB file. The copy takes the space of the uncompressed data while it is open.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.errors import (
    CorruptFileError,
    MissingDependencyError,
    NeurodynError,
    SizeBudgetError,
    UnsafeFileError,
)
from neurodyn.io.faults import Fault
from neurodyn.io.limits import get_limits, require_budget, require_writable
from neurodyn.io.nwb.check import check_nwb
from neurodyn.io.nwb.reader import load_nwb, open_nwb
from neurodyn.io.nwb.zarr_objects import decode_objects

__all__ = ["check_zarr", "load_zarr", "open_zarr", "zarr_as_hdf5"]

METADATA = {".zarray", ".zattrs", ".zgroup", ".zmetadata"}
LARGEST_METADATA = 64 << 20
CODECS = {"blosc", "zlib", "gzip", "bz2", "lzma", "zstd", "lz4", "shuffle", "delta"} | {
    "vlen-utf8",
    "vlen-bytes",
    "vlen-array",
    "json2",
    "pickle",  # read by decode_objects
}


def open_zarr(source: str | Path, **options: Any) -> xr.DataTree:
    """Open an NWB-Zarr folder as a lazy recording; see :func:`neurodyn.io.nwb.open_nwb`."""
    with zarr_as_hdf5(source) as copy:
        tree = open_nwb(copy, **options)
    tree.attrs["source"] = Path(source).name
    return tree


def load_zarr(
    source: str | Path, select: Any = None, on_bad: Any = "raise", **options: Any
) -> xr.DataTree:
    """Read an NWB-Zarr folder into memory; see :func:`neurodyn.io.nwb.load_nwb`."""
    with zarr_as_hdf5(source) as copy:
        tree = load_nwb(copy, select, on_bad, **options)
    tree.attrs["source"] = Path(source).name
    return tree


def check_zarr(source: str | Path, **options: Any) -> list[Fault]:
    """List all faults of an NWB-Zarr folder; see :func:`neurodyn.io.nwb.check.check_nwb`."""
    with zarr_as_hdf5(source) as copy:
        return check_nwb(copy, **options)


@contextlib.contextmanager
def zarr_as_hdf5(source: str | Path) -> Iterator[Path]:
    """Give an HDF5 copy of an NWB-Zarr folder; it is removed when the block ends.

    A file that was opened in the block stays readable until it is closed.

    Raises
    ------
    MissingDependencyError
        If hdmf-zarr is not installed.
    CorruptFileError
        If the folder is no NWB-Zarr file, or a damaged one.
    UnsafeFileError
        If it reaches outside itself or needs code to be read.
    SizeBudgetError
        If an array is larger than the memory budget or there are too many.
    """
    source = Path(source)
    n_bytes = require_contained(source)
    with tempfile.TemporaryDirectory(prefix="neurodyn-") as folder:
        require_writable(folder, n_bytes)
        copy = Path(folder) / f"{source.name}.h5"
        try:
            _export(source, copy)
        except Exception as error:  # hdmf and zarr raise of many kinds for a damaged folder
            raise _innermost(error, source) from error
        yield copy


def require_contained(source: Path) -> int:
    """Check all metadata of a Zarr folder and return the bytes that its arrays hold.

    Raises
    ------
    FileError
        As :func:`zarr_as_hdf5`.
    """
    if not source.exists():
        raise FileNotFoundError(f"no such folder: {source}")
    if not (source / ".zgroup").is_file():
        raise _damaged(source, "no .zgroup")
    n_bytes = n_objects = 0
    for folder, names, files in os.walk(source):
        for name in (*names, *files):
            if os.path.islink(os.path.join(folder, name)):
                raise _unsafe(f"{folder}/{name}", "a symbolic link")
        for name in METADATA.intersection(files):
            n_bytes += _check(_read_json(Path(folder) / name), f"{folder}/{name}")
        n_objects += len(names)
        if n_objects > get_limits().objects:
            limit = get_limits().objects
            raise SizeBudgetError(
                "folder holds too many objects",
                where=source,
                found=f"more than {limit}",
                expected=f"at most {limit}",
                hint="set_limits(objects=...) or NEURODYN_LIMIT_OBJECTS",
            )
    return n_bytes


def _check(value: Any, where: str) -> int:
    """Check one piece of JSON with all that is in it, and return the bytes of its arrays."""
    if isinstance(value, list):
        return sum(_check(item, where) for item in value)
    if not isinstance(value, dict):
        return 0
    if "path" in value and value.get("source", ".") not in (".", None):
        raise _unsafe(where, f"a link to {value['source']!r}")
    n_bytes = _check_array(value, where) if "chunks" in value and "dtype" in value else 0
    return n_bytes + sum(_check(item, where) for item in value.values())


def _check_array(array: dict[str, Any], where: str) -> int:
    for codec in (array.get("compressor"), *(array.get("filters") or [])):
        name = codec.get("id") if isinstance(codec, dict) else codec
        if codec is not None and name not in CODECS:
            raise _unsafe(where, f"codec {name!r}")
    try:
        width = 8 if array["dtype"] == "|O" else np.dtype(_dtype(array["dtype"])).itemsize
        n_bytes, chunk = (math.prod(map(int, array[key])) * width for key in ("shape", "chunks"))
    except (TypeError, ValueError, KeyError) as error:
        raise _damaged(Path(where), error) from error
    require_budget(max(n_bytes, chunk), None, where=where)
    return n_bytes


def _dtype(value: Any) -> Any:
    return [tuple(field) for field in value] if isinstance(value, list) else value


def _read_json(path: Path) -> Any:
    if path.stat().st_size > LARGEST_METADATA:
        raise _damaged(path, "metadata above 64 MB")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error


def _innermost(error: BaseException, source: Path) -> NeurodynError:
    """Return our own error that zarr or hdmf has wrapped, else the first cause as damage."""
    while not isinstance(error, NeurodynError) and (error.__cause__ or error.__context__):
        error = error.__cause__ or error.__context__ or error
    return error if isinstance(error, NeurodynError) else _damaged(source, repr(error))


def _export(source: Path, copy: Path) -> None:
    try:
        from hdmf_zarr.nwb import NWBZarrIO
    except ImportError as error:
        raise MissingDependencyError("hdmf-zarr", "nwb-zarr") from error
    from pynwb import NWBHDF5IO

    with _without_pickle(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pynwb, about what our own reader looks at again
        with NWBZarrIO(str(source), "r") as zarr, NWBHDF5IO(str(copy), "w") as hdf5:
            hdf5.export(src_io=zarr, write_args={"link_data": False})


@contextlib.contextmanager
def _without_pickle() -> Iterator[None]:
    """Let numcodecs take :func:`decode_objects` for its pickle codec."""
    registry = importlib.import_module("numcodecs.registry").codec_registry
    codec = importlib.import_module("numcodecs.abc").Codec
    before = registry.get("pickle")
    members = {"codec_id": "pickle", "__init__": _ignore_settings}
    members |= {"decode": _decode, "encode": _refuse_to_write}
    registry["pickle"] = type("PlainObjects", (codec,), members)
    try:
        yield
    finally:
        registry["pickle"] = before


def _ignore_settings(codec: Any, **settings: Any) -> None:
    """Take the protocol that a pickle codec is made with."""


def _refuse_to_write(codec: Any, values: Any) -> bytes:
    raise NotImplementedError("references are only read here")


def _decode(codec: Any, data: Any, out: Any = None) -> Any:
    """Decode one chunk for numcodecs, as references of hdmf-zarr."""
    values = decode_objects(bytes(data))
    if not isinstance(values, np.ndarray):
        return values
    reference = importlib.import_module("hdmf_zarr.utils").ZarrReference
    for name in values.dtype.names or (None,):
        column = values if name is None else values[name]
        for index in np.ndindex(column.shape if column.dtype == object else 0):
            value: Any = column[index]
            if isinstance(value, dict):
                _check(value, "a reference")
                column[index] = reference(**value)
    if out is not None:
        out[...] = values
        return out
    return values


def _damaged(source: Path, found: object) -> CorruptFileError:
    return CorruptFileError(
        "Zarr folder cannot be read",
        where=source,
        found=found,
        expected="an NWB file in Zarr 2 format, as hdmf-zarr writes it",
        hint="write it again with hdmf-zarr, or as HDF5",
    )


def _unsafe(where: str, found: str) -> UnsafeFileError:
    return UnsafeFileError(
        "Zarr folder reaches outside itself or needs unknown code",
        where=where,
        found=found,
        expected="data inside the folder, in common codecs",
        hint="copy the file with hdmf-zarr's export, which takes linked data along",
    )
