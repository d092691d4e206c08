"""Trials, epochs and events of an NWB file as tables of intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import TrialTableError
from neurodyn.io.containment import place
from neurodyn.io.faults import Fault, Quality
from neurodyn.io.hdf5 import read_array
from neurodyn.io.nwb.clock import read_times
from neurodyn.io.nwb.inventory import Entry
from neurodyn.io.nwb.tables import Table, read_columns

__all__ = ["read_event_series", "read_events", "read_interval_series", "read_intervals"]

OWN_NAMES = {"start", "stop", "trial"}
SHOWN_ROWS = 5
Array = NDArray[Any]


def read_intervals(entry: Entry, quality: Quality) -> xr.Dataset:
    """Read a TimeIntervals table: ``start_time`` and ``stop_time`` become ``start``, ``stop``.

    Raises
    ------
    CorruptFileError
        If start or stop are absent or of another length.
    TrialTableError
        If a row ends before or as it starts, or holds NaN, and the policy does not settle it.
    """
    table = Table(entry.group)
    start, stop = (_times(table, name) for name in ("start_time", "stop_time"))
    names = [n for n in table.column_names if n not in ("start_time", "stop_time")]
    return _checked(_build(table, start, stop, names, quality), place(entry.group), quality)


def read_events(entry: Entry, quality: Quality) -> xr.Dataset:
    """Read an EventsTable: an event without duration stops as it starts."""
    table = Table(entry.group)
    start = _times(table, "timestamp")
    duration = _times(table, "duration") if "duration" in table.group else np.zeros(start.size)
    stop = start + np.where(np.isfinite(duration), duration, 0.0)
    names = [n for n in table.column_names if n not in ("timestamp", "duration")]
    return _build(table, start, stop, names, quality)


def read_event_series(entry: Entry, quality: Quality) -> xr.Dataset:
    """Read a series of events (annotations, licks): each stops as it starts."""
    data = entry.group["data"]
    time = read_times(entry.group, data.shape[0])
    values = read_array(data)
    name = "annotation" if values.dtype.kind == "O" else "value"
    return recording.trials(time, time, columns={name: values})


def read_interval_series(entry: Entry, quality: Quality) -> xr.Dataset:
    """Read an IntervalSeries: positive numbers open an interval, negative ones close it.

    Raises
    ------
    TrialTableError
        If openings and closings of one kind do not alternate.
    """
    codes = read_array(entry.group["data"]).astype(np.int64)
    time = read_times(entry.group, codes.size)
    start, stop, kind = [], [], []
    for code in np.unique(np.abs(codes[codes != 0])):
        opened, closed = time[codes == code], time[codes == -code]
        signs = np.sign(codes[np.abs(codes) == code])
        if opened.size != closed.size or (signs[::2] < 0).any() or (signs[1::2] > 0).any():
            raise TrialTableError(
                "intervals are not opened and closed in turn",
                where=f"{place(entry.group)}, code {code}",
                found=f"{opened.size} openings and {closed.size} closings",
                expected="each opening followed by its closing",
                hint="load(select=...) without it, or on_bad='drop'",
            )
        start.append(opened)
        stop.append(closed)
        kind.append(np.full(opened.size, code))
    if not start:
        return recording.trials([], [], columns={"value": np.empty(0, np.int64)})
    order = np.argsort(np.concatenate(start), kind="stable")
    parts = (np.concatenate(part)[order] for part in (start, stop, kind))
    begin, end, code = parts
    return recording.trials(begin, end, columns={"value": code})


def _times(table: Table, name: str) -> NDArray[np.float64]:
    dataset = table.dataset(name)
    if dataset.shape != (table.n_rows,):
        raise TrialTableError(
            f"column {name!r} has another length than its table",
            where=place(dataset),
            found=f"shape {dataset.shape}",
            expected=f"{table.n_rows} rows",
            hint="load(select=...) without it, or on_bad='drop'",
        )
    return read_array(dataset).astype(np.float64, copy=False)


def _build(
    table: Table, start: Array, stop: Array, names: list[str], quality: Quality
) -> xr.Dataset:
    left = {"trial_name", *table.unread_columns}
    names = [name for name in names if name not in left]
    columns = read_columns(table, "trial", names, quality, taken=set(OWN_NAMES))
    ids: Array | list[str] = table.ids
    named = "trial_name" in table.group
    if named or table.ids.dtype.kind not in "iu" or np.unique(table.ids).size != table.n_rows:
        ids, n_repeated = table.labels("trial_name")
        quality.note("repeated_trial_ids", n_repeated)
    attrs = {"unread_columns": table.unread_columns} if table.unread_columns else {}
    return recording.trials(start, stop, trial=ids, columns=columns, **attrs)


def _checked(trials: xr.Dataset, where: str, quality: Quality) -> xr.Dataset:
    """Settle rows that end before or as they start, or that hold NaN."""
    start, stop = trials["start"].values, trials["stop"].values
    bad = ~(np.isfinite(start) & np.isfinite(stop) & (stop > start))
    if not bad.any():
        return trials
    ids = trials["trial"].values[bad]
    shown = ", ".join(map(str, ids[:SHOWN_ROWS])) + (", ..." if ids.size > SHOWN_ROWS else "")
    pairs = zip(start[bad][:SHOWN_ROWS], stop[bad][:SHOWN_ROWS])
    error = TrialTableError(
        "trials end before or as they start",
        where=f"{where}, trial {shown}",
        found=f"{ids.size} of {start.size} rows: "
        + ", ".join(f"{begin:g} to {end:g} s" for begin, end in pairs),
        expected="finite start < stop [s]",
        hint="load(..., on_bad='drop') leaves these rows out and counts them",
    )
    action = quality.decide(Fault.of("impossible_trials", error), n=int(bad.sum()))
    return trials.isel(trial=~bad) if action == "drop" else trials
