"""NumPy's .npy and .npz files, read without pickle and without belief in their headers."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from neurodyn.errors import CorruptFileError, EmptySelectionError, UnsafeFileError, suggest
from neurodyn.io.limits import format_bytes, require_budget

__all__ = ["read_npy", "read_npz"]

Array = np.ndarray[Any, Any]
SUFFIX = ".npy"


class _Header(NamedTuple):
    shape: tuple[int, ...]
    order: Any
    dtype: np.dtype[Any]
    n_bytes: int  # of the data
    offset: int  # where the data begin


def read_npy(path: str | Path, *, lazy: bool = False) -> Array:
    """Read one array from a ``.npy`` file.

    Parameters
    ----------
    path
        The file.
    lazy
        Map the file into memory, read-only, instead of reading it.

    Returns
    -------
    np.ndarray
        With shape and dtype of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UnsafeFileError
        If it holds Python objects, which could run code.
    CorruptFileError
        If it is no ``.npy`` file, or its header and its length disagree.
    SizeBudgetError
        If the array is larger than the memory budget.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "rate.npy", [1.0, 2.0])
    ...     read_npy(Path(folder) / "rate.npy")
    array([1., 2.])
    """
    path = Path(path)
    _require_file(path)
    with path.open("rb") as file:
        header = _read_header(file, str(path), path.stat().st_size)
        if lazy and header.n_bytes:
            return np.memmap(path, header.dtype, "r", header.offset, header.shape, header.order)
        require_budget(header.n_bytes, None, where=path, hint="lazy=True maps the file")
        return _read_data(file, header, str(path))


def read_npz(path: str | Path, select: Iterable[str] | None = None) -> dict[str, Array]:
    """Read the arrays of an ``.npz`` file.

    Parameters
    ----------
    path
        The file.
    select
        Names of the arrays to read; default all. Others are not touched.

    Returns
    -------
    dict of str to np.ndarray
        In the order of the file.

    Raises
    ------
    FileNotFoundError, UnsafeFileError, CorruptFileError
        As :func:`read_npy`.
    SizeBudgetError
        If the arrays together are larger than the memory budget or expand suspiciously.
    EmptySelectionError
        If a selected name is not in the file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder) / "run.npz", rate=[1.0, 2.0], unit=[7, 8])
    ...     read_npz(Path(folder) / "run.npz", ["unit"])
    {'unit': array([7, 8])}
    """
    path = Path(path)
    _require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path, select)
            logical = sum(item.file_size for item in members.values())
            stored = sum(item.compress_size for item in members.values())
            require_budget(logical, stored, where=path, hint="select=[names] reads less")
            return {name: _read_member(archive, members[name], path) for name in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged("not a readable .npz file", path, error) from error


def _members(
    archive: zipfile.ZipFile, path: Path, select: Iterable[str] | None
) -> dict[str, zipfile.ZipInfo]:
    """Return the members to read by array name."""
    found: dict[str, zipfile.ZipInfo] = {}
    for item in archive.infolist():
        name = item.filename.removesuffix(SUFFIX)
        if not item.filename.endswith(SUFFIX) or name in found:
            reason = "appears twice" if name in found else "is no array"
            raise _damaged("not an .npz file", path, f"member {item.filename!r} {reason}")
        found[name] = item
    wanted = list(found) if select is None else list(select)
    for name in wanted:
        if name not in found:
            raise EmptySelectionError(f"no array {name!r}", where=path, hint=suggest(name, found))
    return {name: found[name] for name in found if name in wanted}


def _read_member(archive: zipfile.ZipFile, item: zipfile.ZipInfo, path: Path) -> Array:
    where = f"{path}:{item.filename}"
    with archive.open(item) as file:
        return _read_data(file, _read_header(file, where, item.file_size), where)


def _read_header(file: IO[bytes], where: str, length: int) -> _Header:
    """Read the header and hold it against the length of the file."""
    try:
        version = npy.read_magic(file)
        if version[0] not in (1, 2, 3):
            raise ValueError(f"format version {version[0]}.{version[1]}")
        read = npy.read_array_header_1_0 if version[0] == 1 else npy.read_array_header_2_0
        shape, fortran_order, dtype = read(_in_latin(file) if version[0] == 3 else file)
    except Exception as error:  # numpy uses Python's own parser, which raises what it likes
        raise _damaged("not a .npy file", where, error) from error
    if dtype.hasobject:
        raise UnsafeFileError(
            "file holds Python objects, which could run code",
            where=where,
            found=f"dtype {dtype}",
            expected="numbers, booleans or text of fixed length",
            hint="save the array with a plain dtype",
        )
    n_bytes, offset = math.prod(shape) * dtype.itemsize, file.tell()
    if min(shape, default=0) < 0 or n_bytes != length - offset:
        expected = f"{format_bytes(n_bytes)}, shape {shape} of {dtype}"
        found = f"{length - offset} bytes of data"
        raise _damaged("header and length of the file disagree", where, found, expected)
    return _Header(shape, "F" if fortran_order else "C", dtype, n_bytes, offset)


def _in_latin(file: IO[bytes]) -> IO[bytes]:
    """Return a header of version 3, which is in UTF-8, as one of version 2."""
    length = int.from_bytes(file.read(4), "little")
    text = file.read(length).decode().encode("latin-1", "backslashreplace")
    return io.BytesIO(len(text).to_bytes(4, "little") + text)


def _read_data(file: Any, header: _Header, where: str) -> Array:
    raw = np.empty(header.n_bytes, np.uint8)
    found = file.readinto(raw.data) if header.n_bytes else 0
    if found != header.n_bytes:
        raise _damaged("file ends early", where, f"{found} of {header.n_bytes} bytes")
    if not header.n_bytes:
        return np.empty(header.shape, header.dtype, header.order)
    return raw.view(header.dtype).reshape(header.shape, order=header.order)


def _require_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.is_file():
        raise _damaged("not a regular file", path, "a folder or device")


def _damaged(
    what: str, where: object, found: object, expected: str = "an undamaged file written by numpy"
) -> CorruptFileError:
    hint = "get the file again and compare its size and checksum"
    return CorruptFileError(what, where=where, found=found, expected=expected, hint=hint)
