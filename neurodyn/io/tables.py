"""Tables of named traces as text: ``.csv``, ``.tsv``, plain or gzip; times first, then traces.

Text has no index, so a table is read when it is opened.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import CorruptFileError, DataError, EmptySelectionError
from neurodyn.io.children import Child, Notes, Select, check_children
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.file_reader import FileReader
from neurodyn.io.nwb.naming import unique_labels
from neurodyn.io.samples import counted_in_frames, settle_samples
from neurodyn.io.table_clock import choose_clock, read_clock
from neurodyn.io.table_text import read_header, read_rows, require_text
from neurodyn.io.watch import Watch

__all__ = ["check_table", "load_table", "open_table"]

# as they stand in a printable header
DELIMITERS = {";": "semicolons", "\\t": "tabs", ",": "commas"}
NOTES: Notes = {
    "unknown_frame_rate": ("note", "frame rate is unknown", "say sampling_rate=... [Hz]"),
    "gaps": ("note", "gaps: steps of more than 1.5 medians", ""),
    "nan_samples": ("note", "samples are missing", ""),
    "empty_traces": ("warning", "traces hold no number", ""),
}


def open_table(
    source: str | Path, *, time: str | None = None, sampling_rate: float | None = None
) -> xr.DataTree:
    """Open a table of traces as a recording; the text is read now, its faults raise later.

    Parameters
    ----------
    source
        Text in UTF-8, one row for each sample, separated by commas (``.csv``) or tabs
        (``.tsv``), plain or gzip, with a header.
    time
        Column of the sample times [s]; default the first one, if it is called ``time``,
        ``time_s``, ``t`` or ``frame``.
    sampling_rate
        Frames per second [Hz], where the column counts frames or there is no column of times.

    Returns
    -------
    xr.DataTree
        ``signal(time, roi)``, float64, NaN where a cell is empty or says NaN. ``sampling_rate``
        is among its attributes if the clock is regular within 1e-6.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    ConfigError, DataError
        If the options do not fit the header, or nothing says when the samples were taken.
    """
    return _Reader(source, time, sampling_rate).recording(None, "raise", lazy=True)


def load_table(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    time: str | None = None,
    sampling_rate: float | None = None,
) -> xr.DataTree:
    r"""Read a table of traces, and check it.

    Parameters
    ----------
    source, time, sampling_rate
        As in :func:`open_table`.
    select
        Only ``"signal"`` is there.
    on_bad
        What to do with faults: ``"raise"``, ``"fix"``, ``"drop"`` or ``"warn"``. Dropped are
        rows of another length, columns without a name of their own, and text and infinities in
        cells of numbers (they become NaN).

    Raises
    ------
    FileError
        If the file cannot be read, or changed meanwhile.
    DataError
        If something is faulty and ``on_bad`` does not settle it.
    TimebaseError
        If the times are not finite or do not increase; they are never sorted.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was dropped or kept although faulty.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "worm.csv"
    ...     _ = path.write_text("time_s,AVAL,AVAR\n0.0,1.5,\n0.5,2.5,3.5\n")
    ...     signal = load_table(path)["signal"]
    >>> signal["signal"].values.tolist(), signal.attrs["sampling_rate"]
    ([[1.5, nan], [2.5, 3.5]], 2.0)
    """
    return _Reader(source, time, sampling_rate).recording(select, on_bad, lazy=False)


def check_table(
    source: str | Path, *, time: str | None = None, sampling_rate: float | None = None
) -> list[Fault]:
    """List all faults of a table; parameters as :func:`open_table`.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    """
    reader = _Reader(source, time, sampling_rate)
    return check_children([reader.child], str(source), NOTES)


class _Reader(FileReader):
    """One table and how it is to be read."""

    def __init__(self, source: str | Path, time: str | None, sampling_rate: float | None) -> None:
        self.path = Path(source)
        self.watch = Watch([source])
        endings = self.path.name.lower().split(".")[-2:]
        self.delimiter = "\t" if "tsv" in endings else ","
        require_text(self.path)
        self.names = read_header(self.path, self.delimiter)
        self._require_columns()
        self.clock = choose_clock(self.names, time, sampling_rate, self.path)
        self.child = Child("signal", self.path.name.split(".")[0], self._signal)

    def _require_columns(self) -> None:
        if len(self.names) > 1:
            return
        other = next((text for d, text in DELIMITERS.items() if d in self.names[0]), None)
        wanted = "commas" if self.delimiter == "," else "tabs"
        raise CorruptFileError(
            "table has one column only",
            where=self.path,
            found=f"columns separated by {other}" if other else f"column {self.names[0]!r}",
            expected=f"times and traces, separated by {wanted}",
            hint="save the table with commas and decimal points as .csv, or with tabs as .tsv",
        )

    def _signal(self, quality: Quality) -> xr.Dataset:
        where = str(self.path)
        labels = self._labels(quality)
        values, lines = read_rows(self.path, self.delimiter, self.names, self.clock.column, quality)
        if not len(values):
            raise EmptySelectionError(
                "table has no rows", where=where, found="a header", expected="rows of numbers"
            )
        clock = read_clock(self.clock, values, lines, where, quality)
        names = list(labels.values())
        traces: NDArray[Any] = values[:, list(labels)].T
        traces = settle_samples(traces, [f"column {n!r}" for n in names], where, quality)
        ds = recording.signal(np.ascontiguousarray(traces.T), channel=names, dim="roi", **clock)
        return ds if self.clock.known else counted_in_frames(ds, quality)

    def _labels(self, quality: Quality) -> dict[int, str]:
        """Return the label of each column of traces, by its place."""
        named = {c: name for c, name in enumerate(self.names) if c != self.clock.column}
        unnamed = [column for column, name in named.items() if not name]
        if unnamed:
            error = self._fault("columns have no name", f"column {unnamed[0] + 1}", len(unnamed))
            quality.decide(Fault.of("unnamed_columns", error), n=len(unnamed), can=("drop",))
            named = {column: name for column, name in named.items() if name}
        n_of_name = Counter(named.values())
        repeated = [name for name, n in n_of_name.items() if n > 1]
        if not repeated:
            return named
        n = len(named) - len(n_of_name)
        error = self._fault("columns have the same name", f"column {repeated[0]!r}", n)
        if quality.decide(Fault.of("repeated_columns", error), n=n) == "drop":
            first = {name: column for column, name in reversed(named.items())}
            return {column: name for column, name in named.items() if first[name] == column}
        return dict(zip(named, unique_labels(list(named.values()))[0]))

    def _fault(self, what: str, column: str, n: int) -> DataError:
        return DataError(
            what,
            where=f"{self.path}, {column}",
            found=f"{n} such column{'s' * (n > 1)}",
            expected="a name of its own for each column",
            hint="on_bad='drop' leaves them out (of equal ones all but the first)",
        )
