"""Text of a table: opened within limits, its header and its rows of numbers."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TextIO

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import CorruptFileError, DataError
from neurodyn.io.containment import printable
from neurodyn.io.faults import Fault, Quality
from neurodyn.io.limits import require_budget

__all__ = ["read_header", "read_rows", "require_text"]

GZIP = b"\x1f\x8b"
LONGEST_LINE, BLOCK_BYTES, BLOCK_ROWS, SHOWN = 1 << 24, 1 << 20, 4096, 40
Numbers = NDArray[np.float64]
Lines = NDArray[np.int64]


def require_text(path: Path) -> None:
    """Refuse what cannot be a table, and one that expands too far; packed text is expanded once.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptFileError
        If it is no file, empty, or its compression is damaged.
    SizeBudgetError
        If it is larger than the memory budget or expands suspiciously.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.is_file() or not path.stat().st_size:
        raise _damaged("not a table", path, "an empty file" if path.is_file() else "a folder")
    stored = path.stat().st_size
    hint = "cut the table into parts"
    if not _is_packed(path):
        require_budget(stored, stored, where=path, hint=hint)
        return
    n_bytes = 0
    with _readable(path), _opened(path) as file:
        while block := file.read(BLOCK_BYTES):
            n_bytes += len(block)
            require_budget(n_bytes, stored, where=path, hint=hint)


def read_header(path: Path, delimiter: str) -> list[str]:
    """Return the names of the columns.

    Raises
    ------
    CorruptFileError
        If the first line is no header, or the file no text in UTF-8.
    """
    with _text(path) as file:
        line = _line(file, path)
    try:
        names = [printable(name).strip() for name in next(csv.reader([line], delimiter=delimiter))]
    except (csv.Error, StopIteration) as error:
        raise _damaged("table has no header", path, error or "an empty line") from error
    numbers = sum(_is_number(name) for name in names)
    if not any(names) or numbers > len(names) / 2:
        raise _damaged(
            "table has no header", path, repr(line.rstrip()[:SHOWN]), "names of columns first"
        )
    return names


def read_rows(
    path: Path, delimiter: str, names: Sequence[str], clock: int | None, quality: Quality
) -> tuple[Numbers, Lines]:
    """Return the numbers below the header, ``(row, column)``, and the line of each row.

    Parameters
    ----------
    path, delimiter
        The file.
    names
        Of all columns.
    clock
        The column of times: a row without a time is dropped as a whole.
    quality
        Decides on ``unequal_rows`` and ``cells_of_text``.

    Raises
    ------
    CorruptFileError
        If a row has another number of cells than the header.
    DataError
        If a cell holds text.
    SizeBudgetError
        If the numbers do not fit into the memory budget.
    """
    values: list[Numbers] = []
    lines: list[Lines] = []
    n_rows = 0
    with _text(path) as file:
        _line(file, path)
        rows = _rows(file, path)
        while block := list(islice(rows, BLOCK_ROWS)):
            n_rows += len(block)
            require_budget(n_rows * len(names) * 8, None, where=path)
            found = _fast(block, delimiter, len(names))
            if found is None:
                found, kept = _careful(block, delimiter, path, names, clock, quality)
            else:
                kept = np.array([number for number, _ in block])
            values.append(found)
            lines.append(kept)
    empty = np.empty((0, len(names)))
    return np.concatenate([empty, *values]), np.concatenate([np.empty(0, np.int64), *lines])


def _rows(file: TextIO, path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line below the header; empty ones at the end are none."""
    empty: list[int] = []
    number = 1
    while line := _line(file, path):
        number += 1
        line = line.rstrip("\n")
        if not line.strip(" "):
            empty.append(number)
            continue
        yield from ((skipped, "") for skipped in empty)
        empty.clear()
        yield number, line


def _fast(block: Iterable[tuple[int, str]], delimiter: str, n_columns: int) -> Numbers | None:
    """Return the numbers of rows that hold nothing else, None if any holds something else."""
    lines = [line for _, line in block]
    if not all(lines):
        return None
    try:
        found = np.loadtxt(lines, delimiter=delimiter, comments=None, quotechar='"', ndmin=2)
    except ValueError:
        return None
    return found if found.shape == (len(lines), n_columns) else None


def _careful(
    block: Iterable[tuple[int, str]],
    delimiter: str,
    path: Path,
    names: Sequence[str],
    clock: int | None,
    quality: Quality,
) -> tuple[Numbers, Lines]:
    """Return the numbers of rows and their lines, cell by cell, with faults settled."""
    values, kept = [], []
    for number, line in block:
        cells = _cells(line, delimiter)
        if len(cells) != len(names):
            error = _damaged(
                "row has another number of cells than the header",
                f"{path}, line {number}",
                f"{len(cells)} cells",
                f"{len(names)} cells",
                "on_bad='drop' leaves such rows out and counts them",
            )
            quality.decide(Fault.of("unequal_rows", error), can=("drop",))
            continue
        row = [_number(cell) for cell in cells]
        for column, value in enumerate(row):
            if value is None:
                where = f"{path}, line {number}, column {names[column]!r}"
                text = _no_number(cells[column], where)
                quality.decide(Fault.of("cells_of_text", text), can=("drop",))
        if clock is None or row[clock] is not None:
            values.append([np.nan if value is None else value for value in row])
            kept.append(number)
    shape = (len(values), len(names))
    return np.array(values, np.float64).reshape(shape), np.array(kept, np.int64)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def _number(cell: str) -> float | None:
    """Return the number in a cell, NaN for an empty one or ``n/a``, None for text."""
    cell = cell.strip()
    if cell in ("", "n/a"):
        return np.nan
    # Python's own numbers may have underscores, and digits of any script
    return float(cell) if cell.isascii() and "_" not in cell and _is_number(cell) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _no_number(cell: str, where: str) -> DataError:
    return DataError(
        "cell of a table holds text",
        where=where,
        found=repr(printable(cell)[:SHOWN]),
        expected="a number with a decimal point, NaN or nothing",
        hint="on_bad='drop' makes such cells NaN and counts them",
    )


def _line(file: TextIO, path: Path) -> str:
    line = file.readline(LONGEST_LINE)
    if len(line) == LONGEST_LINE:
        raise _damaged("not a table", path, f"a line of more than {LONGEST_LINE} characters")
    return line


@contextlib.contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with _readable(path), _opened(path) as binary:
        # what wrote the table may have marked it as UTF-8
        yield io.TextIOWrapper(binary, encoding="utf-8-sig")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with gzip.open(path) if _is_packed(path) else path.open("rb") as file:
        yield file  # type: ignore[misc]


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what damaged compression or text raises into our error."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged("compressed table is damaged", path, error) from error
    except UnicodeDecodeError as error:
        raise _damaged(
            "table is no text in UTF-8", path, f"byte {error.object[error.start]:#04x}"
        ) from error


def _damaged(
    what: str,
    where: object,
    found: object,
    expected: str = "a table of text with a header",
    hint: str = "get the file again, or save the table again as text in UTF-8",
) -> CorruptFileError:
    return CorruptFileError(what, where=where, found=found, expected=expected, hint=hint)
