"""Frames of regions as text: the names of the columns and the numbers below them."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import CorruptFileError
from neurodyn.io.containment import printable
from neurodyn.io.faults import Quality
from neurodyn.io.table_text import read_rows

__all__ = ["read_roi_text"]

WHOLE = re.compile(r"\d+(?:\.0*)?")
SHOWN = 40


def read_roi_text(path: Path, quality: Quality) -> tuple[list[str], NDArray[np.float64]]:
    r"""Return the names of the columns of a table, and its numbers.

    Parameters
    ----------
    path
        ``.csv`` and ``.tsv``, plain or gzip, have a header. Anything else is a ``.1D``: with the
        header ``#1 #2 ...`` of C-PAC, with one of plain names between tabs, or without, where
        columns are counted from 1.
    quality
        Decides on ``unequal_rows`` (a dropped row leaves a frame of NaN) and ``cells_of_text``.

    Returns
    -------
    tuple
        Names, and numbers of shape ``(time, column)``, float64, NaN where none is.

    Raises
    ------
    CorruptFileError
        If there is no header where one must be, or rows have other lengths than it.
    DataError
        If a cell holds text.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rest.1D"
    ...     _ = path.write_text("# by AFNI\n 1.5 2.5\n 0.5 3.5\n")
    ...     read_roi_text(path, Quality("raise"))
    (['1', '2'], array([[1.5, 2.5],
           [0.5, 3.5]]))
    """
    first = _first_line(path)
    endings = path.name.lower().split(".")
    if "csv" in endings or "tsv" in endings:
        delimiter = "\t" if "tsv" in endings else ","
        return _separated(path, delimiter, _header(path, first, delimiter), quality)
    cells = first.split()
    # the header of C-PAC marks each name; in a comment of AFNI the mark stands alone
    names = [printable(cell[1:]) for cell in cells if len(cell) > 1 and cell[0] == "#"]
    if len(names) == len(cells) > 1 and "\t" in first:
        return _separated(path, "\t", names, quality)
    if "\t" in first and cells[0][0] != "#" and not any(map(_is_number, cells)):
        return _separated(path, "\t", _header(path, first, "\t"), quality)
    values = _spaced(path)
    named = len(names) == len(cells) == values.shape[1]
    return names if named else [str(i + 1) for i in range(values.shape[1])], values


def _separated(
    path: Path, delimiter: str, names: list[str], quality: Quality
) -> tuple[list[str], NDArray[np.float64]]:
    rows, lines = read_rows(path, delimiter, names, None, quality)
    values = np.full((int(lines.max(initial=1)) - 1, len(names)), np.nan)
    # a row that was dropped leaves a frame behind: the clock never shifts
    values[lines - 2] = rows
    return names, values


def _spaced(path: Path) -> NDArray[np.float64]:
    try:
        with _opened(path) as file:
            return np.loadtxt(file, comments="#", ndmin=2)
    except ValueError as error:
        raise CorruptFileError(
            "table has no frames of equal length",
            where=path,
            found=printable(str(error)),
            expected="rows of numbers, separated by spaces or tabs",
            hint="save the table again; lines that begin with # are comments",
        ) from error


def _header(path: Path, line: str, delimiter: str) -> list[str]:
    """Return the names of the columns; labels, which are whole numbers, may be names."""
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        cells = []
    names = [printable(cell).strip() for cell in cells]
    numbers = [name for name in names if _is_number(name)]
    labels = len(set(numbers)) == len(numbers) and all(map(WHOLE.fullmatch, numbers))
    if names and all(names) and labels:
        return [name.split(".")[0] if WHOLE.fullmatch(name) else name for name in names]
    raise CorruptFileError(
        "table has no header",
        where=path,
        found=repr(printable(line.rstrip())[:SHOWN]),
        expected="names or labels of the regions first",
        hint="add a line of names, separated as the numbers are",
    )


def _first_line(path: Path) -> str:
    try:
        with _opened(path) as file:
            return file.readline()
    except UnicodeDecodeError as error:
        raise CorruptFileError(
            "table is no text in UTF-8",
            where=path,
            found=f"byte {error.object[error.start]:#04x}",
            expected="a table of numbers with a header",
            hint="save the table again as text in UTF-8",
        ) from error


def _opened(path: Path) -> TextIO:
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    file: TextIO = opener(path, "rt", encoding="utf-8-sig")
    return file


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
