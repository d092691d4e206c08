"""Spikes and trials as NWB tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from hdmf.common import VectorData, VectorIndex
from numpy.typing import NDArray
from pynwb import NWBFile
from pynwb.epoch import TimeIntervals
from pynwb.event import DurationVectorData, EventsTable, TimestampVectorData
from pynwb.misc import Units

from neurodyn.errors import DataError
from neurodyn.io.nwb.spike_amplitudes import SpikeAmplitudes

__all__ = ["LABEL_COLUMNS", "add_spikes", "add_trials", "module"]

LABEL_COLUMNS = {"unit": "unit_name", "trial": "trial_name"}
# these names stand for references in NWB; a recording holds what they refer to
RENAMED = {
    "held_out": "heldout",
    "electrodes": "electrode_rows",
    "electrode_group": "electrode_group_name",
}


def add_spikes(nwb: NWBFile, name: str, ds: xr.Dataset) -> str:
    """Add spikes as a table of units; returns its path in the file."""
    ends = np.cumsum(ds["row_size"].values)
    columns = _ragged("spike_times", ds["spike_time"].values, ends)
    if "amplitude" in ds:
        columns += _ragged(
            SpikeAmplitudes.COLUMN, ds["amplitude"].values, ends, _description(ds["amplitude"])
        )
    if "obs_start" in ds:
        intervals = np.stack([ds["obs_start"].values, ds["obs_stop"].values], axis=1)
        columns += _ragged("obs_intervals", intervals, np.cumsum(ds["obs_row_size"].values))
    ids, labels = _ids(ds["unit"].values, "unit")
    columns += labels
    for coordinate in ds.coords.values():
        if coordinate.name != "unit" and coordinate.dims[:1] == ("unit",):
            columns += _columns(coordinate, ds, "unit")
    table_name = "units" if name in ("", "units") or nwb.units else name
    description = ds.attrs.get("description", "units and their spikes")
    units = Units(name=table_name, description=description, columns=columns, id=ids)
    units.resolution = 1.0 / ds.attrs["tick_hz"]
    if table_name == "units":
        nwb.units = units
        return "/units"
    module(nwb, "ecephys", "spikes of several sortings").add(units)
    return f"/processing/ecephys/{table_name}"


def add_trials(nwb: NWBFile, name: str, ds: xr.Dataset) -> str:
    """Add trials as a table of intervals, or of events; returns its path in the file."""
    start, stop = ds["start"].values, ds["stop"].values
    if not (np.isfinite(start) & np.isfinite(stop) & (stop >= start)).all():
        raise DataError(
            "intervals are impossible",
            where=f"trials/{name}",
            found=f"{np.count_nonzero(~(stop >= start))} rows that end before they start, or NaN",
            expected="finite start <= stop [s]",
        )
    ids, columns = _ids(ds["trial"].values, "trial")
    for variable in ds.variables:
        if variable not in ("start", "stop", "trial"):
            columns += _columns(ds[variable], ds, "trial")
    table_name = name or "trials"
    settings = {
        "name": table_name,
        "description": str(ds.attrs.get("description", "intervals of the session")),
        "id": ids,
    }
    if (stop == start).any():
        times = [
            TimestampVectorData(name="timestamp", description="start [s]", data=start),
            DurationVectorData(name="duration", description="duration [s]", data=stop - start),
        ]
        nwb.add_events_table(EventsTable(**settings, columns=times + columns))
        return f"/events/{table_name}"
    times = [
        VectorData(name="start_time", description="start [s]", data=start),
        VectorData(name="stop_time", description="stop [s]", data=stop),
    ]
    table = TimeIntervals(**settings, columns=times + columns)
    if table_name in ("trials", "epochs", "invalid_times"):
        setattr(nwb, table_name, table)
    else:
        nwb.add_time_intervals(table)
    return f"/intervals/{table_name}"


def module(nwb: NWBFile, name: str, description: str) -> Any:
    """Return a processing module, made if it is not there."""
    if name not in nwb.processing:
        nwb.create_processing_module(name=name, description=description)
    return nwb.processing[name]


def _ids(labels: NDArray[Any], dim: str) -> tuple[NDArray[np.int64], list[VectorData]]:
    """Return whole-number ids, and a column of labels where labels are other text."""
    texts = [str(label) for label in labels]
    if all(text.isdecimal() and str(int(text)) == text and len(text) < 19 for text in texts):
        if dim == "unit" or labels.dtype.kind in "iu":
            return np.array(texts, dtype=np.int64), []
    elif labels.dtype.kind in "iu":
        return labels.astype(np.int64), []
    name = LABEL_COLUMNS[dim]
    return np.arange(len(texts)), [VectorData(name=name, description=f"{dim} label", data=texts)]


def _columns(variable: xr.DataArray, ds: xr.Dataset, dim: str) -> list[VectorData]:
    """Return the NWB columns of one variable; the sizes of ragged ones go with their values."""
    name = str(variable.name)
    if name.endswith("_size") and f"{name.removesuffix('_size')}_item" in ds.dims:
        return []
    written = RENAMED.get(name, variable.attrs.get("original_name", name))
    description = str(variable.attrs.get("description", "")) or name
    values = variable.values
    if variable.dims[1:2] != (f"{name}_item",):
        return [VectorData(name=written, description=description, data=_plain(values))]
    size = ds[f"{name}_size"].values
    flat = values[np.arange(values.shape[1]) < size[:, None]]
    return _ragged(written, _plain(flat), np.cumsum(size), description)


def _description(amplitude: xr.DataArray) -> str:
    units = amplitude.attrs.get("units")
    said = str(amplitude.attrs.get("description", "amplitude of each spike"))
    return f"{said} [{units}]" if units else said


def _ragged(
    name: str, values: Any, ends: NDArray[np.int64], description: str = ""
) -> list[VectorData]:
    data = VectorData(name=name, description=description or name.replace("_", " "), data=values)
    return [data, VectorIndex(name=f"{name}_index", target=data, data=ends)]


def _plain(values: NDArray[Any]) -> Any:
    """Return values as hdmf writes them: text as a list of str, or an array of objects."""
    return values.astype(object) if values.dtype.kind in "UT" else values
