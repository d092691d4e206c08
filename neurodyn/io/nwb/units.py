"""The units table of an NWB file as spikes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    EmptySelectionError,
    NeurodynError,
)
from neurodyn.io.containment import place
from neurodyn.io.faults import Fault, Quality
from neurodyn.io.hdf5 import read_array
from neurodyn.io.lazy import faulty_variable, lazy_variable
from neurodyn.io.nwb.inventory import Entry
from neurodyn.io.nwb.naming import attribute
from neurodyn.io.nwb.options import Options
from neurodyn.io.nwb.regions import unit_electrodes
from neurodyn.io.nwb.spike_amplitudes import SpikeAmplitudes
from neurodyn.io.nwb.spike_faults import Session, SpikeTrains
from neurodyn.io.nwb.spike_times import SpikeTimes, clean_spikes, count_outside
from neurodyn.io.nwb.tables import Table, read_columns, row_ends

__all__ = ["read_units"]

NANOSECOND_TICKS = 1e9
OWN_NAMES = {"unit", "spike", "spike_time", "amplitude", "row_size", "obs_interval"} | {
    "obs_start",
    "obs_stop",
    "obs_row_size",
    "held_out",
}
HELD_OUT = ("heldout", "held_out")
AREA_ALIASES = ("brain_area", "brain_region", "region", "location")
NOT_COLUMNS = ("spike_times", "obs_intervals", "unit_name")


class Observation(NamedTuple):
    """Observation intervals [s] of all units, ragged over units."""

    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    n_intervals: NDArray[np.int64]

    def of(self, kept: NDArray[np.bool_]) -> Observation:
        """Return the intervals of the units that are kept."""
        own = np.repeat(kept, self.n_intervals)
        return Observation(self.start[own], self.stop[own], self.n_intervals[kept])


def read_units(entry: Entry, session: Session, options: Options, quality: Quality) -> xr.Dataset:
    """Read a units table.

    With a lazy ``quality`` the spike times stay in the file and are checked when first read;
    else they are read, checked and settled by the policy.

    Parameters
    ----------
    entry
        The table.
    session
        When the session ran, to recognise wrong time units.
    options
        How spike times are to be read.
    quality
        The policy.

    Returns
    -------
    xr.Dataset
        Kind ``spikes``.

    Raises
    ------
    CorruptFileError
        If spike times or their index are absent or contradict each other.
    EmptySelectionError
        If no unit has a spike.
    SpikeTimesError, UnitScaleError
        If spike times are impossible and the policy does not settle it.
    """
    table = Table(entry.group)
    flat = table.dataset("spike_times")
    observed = _observation(table)
    trains = _unread_trains(table, flat, quality)
    checked = None if options.spike_time_unit else _with_observation(session, observed)
    times = SpikeTimes(flat, _seconds_per_number(flat, options), trains, checked)
    amplitude = SpikeAmplitudes.of(table, trains.ends)
    columns = _columns(table, quality, [] if amplitude is None else [SpikeAmplitudes.COLUMN])
    if quality.lazy:
        found = _spikes(
            lazy_variable(("spike",), times, units="s"), trains, observed, columns, flat
        )
        return found if amplitude is None else found.assign(amplitude=amplitude.unread())
    drop = options.duplicates == "drop"
    row = None if amplitude is None else np.arange(flat.shape[0])
    trains, kept = clean_spikes(
        replace(trains, times=times.read(), row=row), checked, quality, drop_duplicates=drop
    )
    if not kept.all():
        trains = trains.of(kept)
        observed = None if observed is None else observed.of(kept)
        columns = {name: column.isel(unit=kept) for name, column in columns.items()}
    if observed is not None:
        outside = count_outside(trains, observed.start, observed.stop, observed.n_intervals)
        quality.note("spikes_outside_observation", outside)
    spike_time = xr.Variable(("spike",), trains.times, {"units": "s"})
    found = _spikes(spike_time, trains, observed, columns, flat)
    return found if amplitude is None else found.assign(amplitude=amplitude.at(trains.row))


def _spikes(
    spike_time: xr.Variable,
    trains: SpikeTrains,
    observed: Observation | None,
    columns: dict[str, xr.Variable],
    flat: h5py.Dataset,
) -> xr.Dataset:
    attrs: dict[str, Any] = {}
    if unread := Table(flat.parent).unread_columns:
        attrs["unread_columns"] = unread
    if flat.dtype.kind == "f" and flat.dtype.itemsize < 8:
        # late in a session such times are coarse; binning looks at this
        attrs["stored_dtype"] = str(flat.dtype)
    return recording.spikes(
        spike_time,
        trains.sizes,
        trains.labels,
        observed=observed,
        unit_columns=columns,
        tick_hz=_tick_hz(flat),
        check_values=False,
        **attrs,
    )


def _unread_trains(table: Table, flat: h5py.Dataset, quality: Quality) -> SpikeTrains:
    """Return ends and labels of the units; the times themselves are left in the file."""
    if flat.ndim != 1 or flat.dtype.kind not in "fiu":
        raise CorruptFileError(
            "spike times are no list of numbers",
            where=place(flat),
            found=f"shape {flat.shape}, type {flat.dtype}",
            expected="numbers of shape (spike,)",
        )
    ends = row_ends(table, "spike_times", flat.shape[0])
    if not flat.shape[0]:
        raise EmptySelectionError(
            "file has no spikes",
            where=table.where,
            found=f"{ends.size} units, 0 spikes; groups present: {', '.join(table.group.file)}",
            expected="at least one spike",
            hint="load(select=...) another object; on_bad='drop' leaves the units out",
        )
    labels, n_repeated = table.labels("unit_name")
    quality.note("repeated_unit_ids", n_repeated)
    return SpikeTrains(np.empty(0), ends, labels, table.where)


def _observation(table: Table) -> Observation | None:
    if "obs_intervals" not in table.column_names and "obs_intervals" not in table.group:
        return None
    dataset = table.dataset("obs_intervals")
    if dataset.ndim != 2 or dataset.shape[1] != 2:
        raise CorruptFileError(
            "observation intervals have the wrong shape",
            where=place(dataset),
            found=dataset.shape,
            expected="(interval, 2)",
        )
    ends = row_ends(table, "obs_intervals", dataset.shape[0])
    intervals = read_array(dataset).astype(np.float64, copy=False)
    bad = ~(intervals[:, 1] >= intervals[:, 0])
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataError(
            "observation intervals are impossible",
            where=f"{place(dataset)}, row {first}",
            found=f"{int(bad.sum())} intervals that end before they start or hold NaN",
            expected="finite start <= stop [s]",
            hint="the file must be written again",
        )
    return Observation(intervals[:, 0], intervals[:, 1], np.diff(ends, prepend=0))


def _with_observation(session: Session, observed: Observation | None) -> Session:
    if observed is None or not observed.stop.size:
        return session
    return Session(session.start, max(session.stop or 0.0, float(observed.stop.max())))


def _columns(table: Table, quality: Quality, left_out: list[str]) -> dict[str, xr.Variable]:
    """Read the coordinates of ``unit``: all columns, ``held_out``, area and position."""
    left = {*NOT_COLUMNS, *left_out, *table.unread_columns}
    names = [name for name in table.column_names if name not in left]
    held = [name for name in names if name in HELD_OUT]
    rest = [name for name in names if name not in HELD_OUT]
    columns = read_columns(table, "unit", rest, quality, taken=set(OWN_NAMES))
    for variable in read_columns(table, "unit", held[:1], quality, taken=set()).values():
        columns["held_out"] = variable.astype(bool)
    if "electrodes" in rest and "electrodes" in table.group:
        columns |= _electrode_columns(table, columns, quality)
    area = next((name for name in AREA_ALIASES if name in columns), None)
    if area and "area" not in columns:
        columns["area"] = columns[area].copy()
    return columns


def _electrode_columns(
    table: Table, taken: dict[str, xr.Variable], quality: Quality
) -> dict[str, xr.Variable]:
    region = table.dataset("electrodes")
    try:
        ends = (
            row_ends(table, "electrodes", region.shape[0])
            if table.is_ragged("electrodes")
            else None
        )
        found = unit_electrodes(region, ends)
    except NeurodynError as error:
        fault = Fault.of("faulty_column", error)
        if quality.lazy:
            quality.faults.append(fault)
            return {"area": faulty_variable(error, ("unit",), (table.n_rows,), "U1")}
        quality.decide(fault)
        return {}
    return {n: xr.Variable(("unit",), v) for n, v in found.items() if n not in taken}


def _tick_hz(flat: h5py.Dataset) -> float:
    resolution = attribute(flat, "resolution")
    if not isinstance(resolution, int | float) or not 0 < resolution < np.inf:
        return NANOSECOND_TICKS
    rate = 1.0 / resolution
    # clocks run at whole numbers of Hz: 1 / 1e-9 is not quite 1e9 in floats
    return float(round(rate)) if abs(rate - round(rate)) < 1e-9 * rate else rate


def _seconds_per_number(flat: h5py.Dataset, options: Options) -> float:
    if options.spike_time_unit == "ms":
        return 1e-3
    if options.spike_time_unit != "samples":
        return 1.0
    rate = options.sampling_rate or _tick_hz(flat)
    if rate == NANOSECOND_TICKS:
        raise ConfigError(
            "spike times in samples need a sampling rate",
            where=place(flat),
            found="no sampling_rate, and no resolution in the file",
            expected="sampling_rate=<Hz>",
        )
    return 1.0 / rate
