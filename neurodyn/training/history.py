"""The record of a run: one JSON object per line."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurodyn.errors import CorruptFileError
from neurodyn.provenance import atomic_path

__all__ = ["History", "read_history"]

Row = dict[str, Any]


class History:
    """Rows in memory and, when there is a path, on disk as they come.

    A row that the disk refuses is kept and written with the next one; :meth:`sync` is where a
    disk that stays full is reported, so that a run does not stop over a line of text.

    Parameters
    ----------
    path
        File to hold the rows; whatever it held is replaced. ``None`` keeps them in memory.
    rows
        Rows to begin with.

    Examples
    --------
    >>> history = History(None)
    >>> history.append({"step": 1, "loss": 0.5})
    >>> history.rows
    [{'step': 1, 'loss': 0.5}]
    """

    def __init__(self, path: Path | None, rows: Iterable[Row] = ()) -> None:
        self.rows = list(rows)
        self._descriptor: int | None = None
        self._size, self._pending = 0, b""
        if path is None:
            return
        text = b"".join(map(_encode, self.rows))
        with atomic_path(path) as temporary:
            temporary.write_bytes(text)
        self._descriptor, self._size = os.open(path, os.O_WRONLY), len(text)

    def append(self, row: Row) -> None:
        """Add a row; numbers that are not finite are kept as NaN and written as ``null``."""
        self.rows.append({key: _finite_or_nan(value) for key, value in row.items()})
        if self._descriptor is not None:
            self._pending += _encode(self.rows[-1])
            with contextlib.suppress(OSError):
                self._write()

    def sync(self) -> None:
        """Bring all rows to the disk; raise ``OSError`` when that is not possible."""
        if self._descriptor is not None:
            self._write()
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self) -> None:
        # Written at a known offset: half a line left by a failure is written over.
        while self._pending and self._descriptor is not None:
            done = os.pwrite(self._descriptor, self._pending, self._size)
            self._pending, self._size = self._pending[done:], self._size + done


def read_history(path: Path) -> list[Row]:
    r"""Return the rows of a history file; a last line that is not whole is left out.

    Raises
    ------
    CorruptFileError
        If any other line is no JSON object.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "history.jsonl"
    ...     _ = path.write_text('{"step": 1, "loss": null}\n{"step": 2, "lo')
    ...     read_history(path)
    [{'step': 1, 'loss': nan}]
    """
    *whole, _ = path.read_bytes().split(b"\n")
    return [_decode(line, number, path) for number, line in enumerate(whole, start=1)]


def _encode(row: Row) -> bytes:
    plain = {key: None if _is_nan(value) else value for key, value in row.items()}
    return (json.dumps(plain) + "\n").encode()


def _decode(line: bytes, number: int, path: Path) -> Row:
    try:
        row = json.loads(line)
        return {key: math.nan if value is None else value for key, value in row.items()}
    except (ValueError, AttributeError) as error:
        raise CorruptFileError(
            "history holds a line that is no JSON object",
            where=f"{path}, line {number}",
            found=repr(line[:60].decode(errors="replace")),
            expected="one JSON object per line; only the last line may be cut off",
        ) from error


def _finite_or_nan(value: Any) -> Any:
    return math.nan if isinstance(value, float) and not math.isfinite(value) else value


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
