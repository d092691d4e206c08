"""Unpacking of zip and tar archives that come from elsewhere.

An archive is taken as a whole or not at all: one name that leads outside, one link, device,
encrypted or doubled member, and nothing of it stays on disk.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, Self, cast

from neurodyn.errors import CorruptFileError, FileError, SizeBudgetError, UnsafeFileError
from neurodyn.io.limits import (
    RATIO_FREE_BYTES,
    format_bytes,
    get_limits,
    parse_bytes,
    require_writable,
)

__all__ = ["extract_archive"]

PIECE = 1 << 20
DRIVE = re.compile(r"^[A-Za-z]:")
DECOMPRESSORS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
LARGEST_EXTENSION = 1 << 20
BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError)


class _Member(NamedTuple):
    name: str
    kind: str  # "file", "folder" or what makes it unwelcome
    content: IO[bytes] | None


def extract_archive(
    path: str | Path,
    folder: str | Path,
    *,
    max_bytes: float | str = "20 GB",
    max_file_bytes: float | str = "20 GB",
) -> list[Path]:
    """Unpack a zip or tar archive into a new folder.

    Parameters
    ----------
    path
        A ``.zip``, ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz`` file, told by content.
    folder
        Where to put the members; must not exist yet or be empty.
    max_bytes, max_file_bytes
        Limits on what all members and one member may unpack to.

    Returns
    -------
    list of Path
        The files, in the order of the archive.

    Raises
    ------
    UnsafeFileError
        If a member has an absolute name, one with ``..`` or a doubled one, is a link or device,
        or is encrypted. Names it; nothing is left on disk.
    SizeBudgetError
        If the members are larger than the limits, expand suspiciously or are too many.
    CorruptFileError
        If the archive is damaged or is none.
    FileError
        If the folder holds something or cannot be written.
    """
    path, folder = Path(path), Path(folder)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    _require_free(folder)
    unpacked = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        budget = _Budget(path, parse_bytes(max_bytes), parse_bytes(max_file_bytes))
        names = [_unpack(member, unpacked, budget) for member in _members(path, budget)]
        if folder.is_dir():
            folder.rmdir()
        os.replace(unpacked, folder)
    except FileError:
        raise
    except (*BROKEN, NotImplementedError, RuntimeError, ValueError) as error:
        raise _damaged(path, error) from error
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return [folder / name for name in names if name is not None]


def _require_free(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        raise FileError(
            "folder is not empty",
            where=folder,
            found="files",
            expected="a new or empty folder",
            hint="choose another folder",
        )
    require_writable(folder.parent)


def _damaged(path: Path, found: object) -> CorruptFileError:
    return CorruptFileError(
        "archive cannot be read",
        where=path,
        found=found,
        expected="an undamaged zip or tar archive",
        hint="get the file again and compare its size and checksum",
    )


class _Budget:
    """Counts what comes out of an archive, and the names already given."""

    def __init__(self, path: Path, total: int, single: int) -> None:
        self.path, self._total, self._single = path, total, single
        self._stored = max(path.stat().st_size, 1)
        self._limits = get_limits()
        self._names: set[str] = set()
        self._n_bytes = 0

    def claim(self, member: _Member) -> PurePosixPath:
        """Return the relative path of a member, if it is a safe and new one."""
        name = PurePosixPath(member.name)
        reason = _fault(member.name) or (
            "" if member.kind in ("file", "folder") else f"is {member.kind}"
        )
        # file systems that fold case or normalise would let one member overwrite another
        key = unicodedata.normalize("NFC", str(name)).casefold()
        if not reason and key in self._names and member.kind == "file":
            reason = "appears twice"
        self._names.add(key)
        if reason:
            raise UnsafeFileError(
                "archive holds an unsafe member",
                where=self.path,
                found=f"{member.name!r} {reason}",
                expected="files and folders with relative names",
                hint="nothing was unpacked; do not trust this archive",
            )
        if len(self._names) > self._limits.objects:
            raise self._exceeded(f"more than {self._limits.objects} members")
        return name

    def spend(self, n_bytes: int, of_file: int) -> None:
        """Count ``n_bytes`` more, ``of_file`` of them in the present member."""
        self._n_bytes += n_bytes
        if of_file > self._single:
            raise self._exceeded(f"a member above {format_bytes(self._single)}")
        self.require_total(self._n_bytes)

    def require_total(self, n_bytes: int) -> None:
        """Refuse a total that is above the limit or out of proportion to the archive."""
        if n_bytes > self._total:
            raise self._exceeded(f"more than {format_bytes(self._total)}")
        if n_bytes > max(RATIO_FREE_BYTES, self._limits.file_ratio * self._stored):
            raise self._exceeded(f"more than {self._limits.file_ratio:g} times its own size")

    def _exceeded(self, found: str) -> SizeBudgetError:
        return SizeBudgetError(
            "archive unpacks to too much",
            where=self.path,
            found=found,
            expected="an archive within the limits",
            hint="max_bytes=, max_file_bytes= or set_limits(file_ratio=..., objects=...)",
        )


class _Metered(io.RawIOBase):
    """A decompressed stream that stops when more comes than the budget allows."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        super().__init__()
        self._stream, self._budget, self._n_bytes = stream, budget, 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._n_bytes += len(data)
        self._budget.require_total(self._n_bytes)
        return data


class _Header(tarfile.TarInfo):
    """A header of tar, where a long name must not be a long read into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in EXTENSIONS and header.size > LARGEST_EXTENSION:
            raise tarfile.TarError(f"extended header of {format_bytes(header.size)}")
        return header


def _members(path: Path, budget: _Budget) -> Iterator[_Member]:
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        if start.startswith(b"PK"):
            yield from _zip_members(file)
            return
        unpack = next((opener for magic, opener in DECOMPRESSORS if start.startswith(magic)), None)
        stream = cast(IO[bytes], file if unpack is None else unpack(file, "rb"))
        metered = cast(Any, _Metered(stream, budget))
        with tarfile.open(fileobj=metered, mode="r|", tarinfo=_Header) as archive:
            for item in archive:
                kind = "file" if item.isreg() else "folder" if item.isdir() else "a link or device"
                yield _Member(item.name, kind, archive.extractfile(item) if item.isreg() else None)


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for item in archive.infolist():
            name = item.orig_filename  # zipfile cuts .filename at a NUL character
            mode = item.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                yield _Member(name, "a link or device", None)
            elif item.flag_bits & 1:
                yield _Member(name, "encrypted", None)
            elif item.is_dir():
                yield _Member(name, "folder", None)
            else:
                with archive.open(item) as content:
                    yield _Member(name, "file", content)


def _fault(name: str) -> str:
    parts = name.split("/")
    if not name or name.startswith("/") or DRIVE.match(name):
        return "is an absolute path"
    if ".." in parts or "\\" in name:
        return "leads elsewhere"
    if not name.isprintable() or any(len(part.encode()) > 255 for part in parts):
        return "is no printable name"
    return ""


def _unpack(member: _Member, folder: Path, budget: _Budget) -> PurePosixPath | None:
    """Write one member and return its relative path if it is a file."""
    name = budget.claim(member)
    target = folder / name
    if member.content is None:
        target.mkdir(parents=True, exist_ok=True)
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    n_bytes = 0
    with target.open("xb") as file:
        while piece := member.content.read(PIECE):
            n_bytes += len(piece)
            budget.spend(len(piece), n_bytes)
            file.write(piece)
    return name
