"""The clock of a table: which column it is, and whether it is regular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DataError, EmptySelectionError, TimebaseError, suggest
from neurodyn.io.faults import Quality

__all__ = ["TableClock", "choose_clock", "read_clock"]

SECONDS = ("time", "time_s", "t")
FRAME = "frame"
REGULAR = 1e-6  # of a step, or seconds
GAP = 1.5  # median steps


class TableClock(NamedTuple):
    """Where the times of a table are: a column of seconds or of frames, or none at all."""

    column: int | None
    seconds_per_unit: float
    known: bool


def choose_clock(
    names: Sequence[str], time: str | None, sampling_rate: float | None, where: object
) -> TableClock:
    """Choose the column of times by the header and the options.

    Raises
    ------
    ConfigError
        If the options are impossible or contradict the header.
    EmptySelectionError
        If there is no column of the name given.
    DataError
        If nothing says when the samples were taken.
    """
    if sampling_rate is not None and not 0 < sampling_rate < np.inf:
        raise ConfigError(
            "sampling_rate must be positive", found=sampling_rate, expected="above 0 [Hz]"
        )
    if time is not None and time not in names:
        raise EmptySelectionError(
            f"table has no column {time!r}", where=where, hint=suggest(time, names)
        )
    first = names[0] if time is None else time
    column = names.index(first)
    seconds = time is not None or first.lower() in SECONDS
    if first.lower() == FRAME:
        return TableClock(column, 1 / (sampling_rate or 1.0), sampling_rate is not None)
    if seconds and sampling_rate is not None:
        raise ConfigError(
            "table has two clocks",
            where=where,
            found=f"column {first!r} and sampling_rate={sampling_rate:g}",
            expected="sampling_rate for tables that count frames or have no times",
            hint="leave sampling_rate out",
        )
    if seconds:
        return TableClock(column, 1.0, True)
    if sampling_rate is None:
        raise DataError(
            "table has no column of times",
            where=where,
            found=f"first column {first!r}",
            expected=f"{', '.join(SECONDS)} [s] or {FRAME}",
            hint="say time='name of the column' or sampling_rate=... [Hz]",
        )
    return TableClock(None, 1 / sampling_rate, True)


def read_clock(
    clock: TableClock,
    values: NDArray[np.float64],
    lines: NDArray[np.int64],
    where: str,
    quality: Quality,
) -> dict[str, Any]:
    """Return the clock as constructors of a recording take it; gaps are counted.

    Parameters
    ----------
    clock
        As :func:`choose_clock` gave it.
    values, lines
        Rows of the table, and the line of each in the file.
    where
        The file.
    quality
        Gets ``gaps``.

    Raises
    ------
    TimebaseError
        If the times are not finite or do not increase.
    """
    if clock.column is None:
        return {"sampling_rate": 1 / clock.seconds_per_unit}
    time = values[:, clock.column] * clock.seconds_per_unit
    _require_increasing(time, lines, where)
    if time.size < 2:
        return {"time": time}
    step = (time[-1] - time[0]) / (time.size - 1)
    off = np.abs(time - (time[0] + step * np.arange(time.size)))
    if off.max() <= REGULAR * max(1.0, step):
        return {"time": time, "sampling_rate": _plain(1 / step, time.size)}
    steps = np.diff(time)
    quality.note("gaps", int(np.count_nonzero(steps > GAP * np.median(steps))))
    return {"time": time}


def _require_increasing(time: NDArray[np.float64], lines: NDArray[np.int64], where: str) -> None:
    finite = np.isfinite(time)
    if not finite.all():
        raise TimebaseError(
            "times are not finite",
            where=f"{where}, line {lines[~finite][0]}",
            found=f"{int((~finite).sum())} of {time.size} are empty, NaN or infinite",
            expected="finite times [s]",
            hint="mend the column of times; it is never guessed",
        )
    bad = np.flatnonzero(~(np.diff(time) > 0))
    if bad.size:
        at = int(bad[0])
        raise TimebaseError(
            "times do not increase",
            where=f"{where}, line {lines[at + 1]}",
            found=f"{time[at + 1]:g} s after {time[at]:g} s ({bad.size} such rows)",
            expected="times that increase from row to row",
            hint="mend the table; the order is never guessed",
        )


def _plain(rate: float, n_samples: int) -> float:
    """Return the rate without the noise of rounded times, if that moves no sample."""
    plain = float(f"{rate:.6g}")
    return plain if abs(rate / plain - 1) * n_samples < 1e-3 else rate
