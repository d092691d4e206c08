"""The one door through which every HDF5 file is opened and its numbers are read.

HDF5 follows links into any file of the machine, and a kilobyte can declare a petabyte.
:func:`open_hdf5` refuses the first, :func:`read_array` the second, before a byte of data is read.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5o

from neurodyn.errors import CorruptFileError, DataQualityWarning, FileError, NeurodynError
from neurodyn.io.containment import BROKEN, Containment, file_name, place, printable, virtual_files
from neurodyn.io.limits import format_bytes, require_budget

__all__ = ["open_hdf5", "read_array", "unchanged"]

REMEMBERED = 4096
WARNED = -1


class _Opened(NamedTuple):
    path: Path
    state: tuple[int, ...] | None


# Keyed by the serial number that HDF5 gives to each opening, which every object of a file tells.
_opened: dict[int, _Opened] = {}
_looked_for_gaps: dict[tuple[int, int], None] = {}


def open_hdf5(source: Any, *, allow_external: Sequence[str | Path] = ()) -> h5py.File:
    """Open an HDF5 file for reading, after checking that it stays within itself.

    All links and dataset headers are visited; no data are read.

    Parameters
    ----------
    source
        A path, or a seekable binary file object such as :func:`neurodyn.io.remote.open_remote`
        gives.
    allow_external
        Folders whose files may be reached through external links, external raw storage and
        virtual datasets. What they reach is checked in the same way.

    Returns
    -------
    h5py.File
        Open for reading; the caller closes it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptFileError
        If it is no HDF5 file, or a truncated or damaged one.
    UnsafeFileError
        If it reaches for data outside itself and of ``allow_external``.
    SizeBudgetError
        If it holds more objects than ``set_limits(objects=...)`` allows.

    Examples
    --------
    >>> import io
    >>> storage = io.BytesIO()
    >>> with h5py.File(storage, "w") as file:
    ...     file["rate"] = [1.0, 2.0]
    >>> with open_hdf5(storage) as file:
    ...     read_array(file["rate"])
    array([1., 2.])
    """
    path = None if hasattr(source, "read") else Path(source)
    opened = None if path is None else _Opened(path, _require_file(path))
    file = _open(source if path is None else path)
    try:
        rule = Containment(tuple(Path(os.path.realpath(folder)) for folder in allow_external))
        if path is not None:
            rule.folder = Path(os.path.realpath(path)).parent
            rule.visited.add(os.path.realpath(path))
        rule.check(file)
        if opened is not None:
            _opened.setdefault(h5o.get_info(file.id).fileno, opened)
            _forget_oldest(_opened)
    except BaseException as error:
        where = file_name(file)
        file.close()
        if isinstance(error, BROKEN) and not isinstance(error, NeurodynError):
            raise _unreadable("damaged HDF5 file", where, str(error)) from error
        raise
    return file


def read_array(dataset: h5py.Dataset, selection: Any = ()) -> np.ndarray[Any, Any]:
    """Read a dataset or a part of it, within the limits and with damage named.

    Parameters
    ----------
    dataset
        A dataset of a file that :func:`open_hdf5` gave.
    selection
        Index, slice, list, mask or a tuple of them, as h5py takes it; default everything.

    Returns
    -------
    np.ndarray
        With the dtype of the dataset; text comes as ``str`` objects.

    Raises
    ------
    SizeBudgetError
        Before the read, if it would take more memory than the budget or expands suspiciously.
    CorruptFileError
        If the data are damaged; names the dataset and, where it has them, the chunk.
    NetworkError
        If a remote file cannot be read.
    IndexError, TypeError
        If the selection does not fit the dataset.

    Warns
    -----
    DataQualityWarning
        Once per file, if parts of a dataset were never written and read as fill value.
    """
    where = place(dataset)
    try:
        dtype = dataset.dtype
        if dataset.shape is None:
            return np.empty(0, dtype)
        folder = Path(os.path.realpath(file_name(dataset.file))).parent
        _require_sources(dataset, folder, where)
    except FileError:
        raise
    except BROKEN as error:
        raise _damaged(error, where) from error
    _require_size(dataset, selection, where)
    _warn_of_gaps(dataset, where)
    try:
        if dataset.external:
            return np.array(_read_raw(dataset, folder)[selection])
        text = h5py.check_string_dtype(dtype) is not None
        return np.asarray((dataset.asstr() if text else dataset)[selection])
    except FileError:
        raise
    except (OSError, EOFError, RuntimeError, UnicodeDecodeError, MemoryError) as error:
        raise _damaged(error, where, _damaged_chunk(dataset)) from error


def unchanged(file: h5py.File | h5py.Group | h5py.Dataset) -> bool:
    """Check that the file behind an open HDF5 object is still the one that was opened.

    Parameters
    ----------
    file
        A file, group or dataset that came from :func:`open_hdf5`.

    Returns
    -------
    bool
        Always True; also for files that are not on a local disk (a remote file checks each
        range that it gets).

    Raises
    ------
    FileError
        If the file was replaced, removed, appended to or written to since.
    """
    opened = _opened.get(h5o.get_info(file.id).fileno)
    if opened is not None and _state(opened.path) != opened.state:
        raise FileError(
            "file changed while it was being read",
            where=opened.path,
            found="another size, time or file" if opened.path.exists() else "no such file",
            expected="a file at rest",
            hint="wait until it is complete, then read it again",
        )
    return True


def _require_file(path: Path) -> tuple[int, ...] | None:
    """Refuse what cannot be a file of data, and return how the file stands now."""
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise _unreadable("not an HDF5 file", path, kind)
    if path.stat().st_size == 0:
        raise _unreadable("file is empty", path, "0 bytes")
    return _state(path)


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _forget_oldest(entries: dict[Any, Any]) -> None:
    while len(entries) > REMEMBERED:
        entries.pop(next(iter(entries)))


def _open(source: Any) -> h5py.File:
    try:
        return h5py.File(source, "r")
    except (FileError, PermissionError):
        raise
    except BlockingIOError as error:
        raise FileError(
            "file is locked",
            where=source,
            found=error,
            expected="no other program writing to it",
            hint="close the writer; on file systems without locks set HDF5_USE_FILE_LOCKING=FALSE",
        ) from error
    except BROKEN as error:
        where = getattr(source, "name", source)
        raise _unreadable("not a readable HDF5 file", where, str(error)) from error


def _unreadable(what: str, where: object, found: str) -> CorruptFileError:
    return CorruptFileError(
        what,
        where=where,
        found=printable(found),
        expected="a complete HDF5 file",
        hint="get the file again and compare its size and checksum",
    )


def _damaged(
    error: Exception, where: str, chunk: tuple[int, ...] | None = None
) -> CorruptFileError:
    return CorruptFileError(
        "data cannot be read",
        where=where if chunk is None else f"{where}, chunk {chunk}",
        found=printable(str(error)),
        expected="undamaged data",
        hint="get the file again; other objects of it may be readable",
    )


def _damaged_chunk(dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """Return the offset of the first chunk that cannot be read."""
    if dataset.chunks is None:
        return None
    for chunk in dataset.iter_chunks():
        try:
            dataset[chunk]
        except (OSError, RuntimeError):
            return tuple(part.start for part in chunk)
    return None


def _require_sources(dataset: h5py.Dataset, folder: Path, where: str) -> None:
    """Refuse a virtual dataset that lacks a source, for which HDF5 would give fill values."""
    sources = virtual_files(dataset.id.get_create_plist())
    # a name with % stands for a series of files, where gaps are part of the format
    missing = sorted(n for n in sources if "%" not in n and not (folder / n).is_file())
    if missing:
        raise CorruptFileError(
            "source of a virtual dataset is missing",
            where=where,
            found=f"no file {', '.join(map(repr, missing))}",
            expected=f"the source files in {folder}",
            hint="copy the source files there; other objects of the file may be readable",
        )


def _read_raw(dataset: h5py.Dataset, folder: Path) -> np.ndarray[Any, Any]:
    """Map external raw storage; HDF5 itself would look for it in the working folder."""
    parts = []
    for name, offset, size in dataset.external:
        path = folder / os.fsdecode(name)
        length = min(size, path.stat().st_size - offset)
        parts.append(np.memmap(path, np.uint8, "r", offset, (length,)))
    raw: np.ndarray[Any, Any] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    n_bytes = dataset.size * dataset.dtype.itemsize
    if raw.size < n_bytes:
        raise EOFError(f"external raw storage holds {raw.size} of {n_bytes} bytes")
    return np.ndarray(dataset.shape, dataset.dtype, raw[:n_bytes])


def _require_size(dataset: h5py.Dataset, selection: Any, where: str) -> None:
    width = dataset.dtype.itemsize
    whole = math.prod(dataset.shape) * width
    logical = math.prod(_selected_shape(dataset.shape, selection)) * width
    if dataset.chunks is not None and logical:
        # a chunk is always expanded as a whole
        logical = max(logical, math.prod(dataset.chunks) * width)
    stored = None
    if not dataset.is_virtual and not dataset.external and whole:
        stored = math.ceil(dataset.id.get_storage_size() * min(1.0, logical / whole))
    hint = f"read slices of its shape {dataset.shape}"
    require_budget(logical, stored, where=where, hint=hint)


def _selected_shape(shape: tuple[int, ...], selection: Any) -> tuple[int, ...]:
    """Return the shape that a selection has, without making any array of that size."""
    items = list(selection) if isinstance(selection, tuple) else [selection]
    if any(item is Ellipsis for item in items):
        at = next(i for i, item in enumerate(items) if item is Ellipsis)
        items[at : at + 1] = [slice(None)] * (len(shape) - len(items) + 1)
    sizes: list[int] = []
    rest = list(shape)
    for item in items:
        if isinstance(item, slice):
            sizes.append(len(range(*item.indices(rest.pop(0)))))
        elif np.ndim(item) == 0:
            rest.pop(0)
        else:
            mask = np.asarray(item)
            del rest[: mask.ndim if mask.dtype == bool else 1]
            sizes.append(int(np.count_nonzero(mask)) if mask.dtype == bool else mask.size)
    return (*sizes, *rest)


def _warn_of_gaps(dataset: h5py.Dataset, where: str) -> None:
    info = h5o.get_info(dataset.id)
    if (info.fileno, info.addr) in _looked_for_gaps:
        return
    _looked_for_gaps[info.fileno, info.addr] = None
    _forget_oldest(_looked_for_gaps)
    if (info.fileno, WARNED) in _looked_for_gaps or not _has_gaps(dataset):
        return
    _looked_for_gaps[info.fileno, WARNED] = None
    stored, expected = dataset.id.get_storage_size(), dataset.size * dataset.dtype.itemsize
    warnings.warn(
        f"parts of {where} were never written and read as fill value: storage {stored} of "
        f"{expected} bytes ({format_bytes(expected)}) allocated",
        DataQualityWarning,
        stacklevel=3,
    )


def _has_gaps(dataset: h5py.Dataset) -> bool:
    if not dataset.size or dataset.is_virtual or dataset.external:
        return False
    if dataset.chunks is None or not dataset.id.get_storage_size():
        return not dataset.id.get_storage_size()
    grid = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks))
    return bool(dataset.id.get_num_chunks() < grid)
