"""Behavior and signals as NWB time series."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from pynwb import NWBFile, TimeSeries
from pynwb.behavior import SpatialSeries
from pynwb.ecephys import ElectricalSeries

from neurodyn.errors import DataError, UnsupportedFormatError
from neurodyn.io.nwb.write_tables import module

__all__ = ["add_behavior", "add_signal"]

SPACE = ("x", "y", "z")
VOLTS = ("V", "volt", "volts")


def add_behavior(nwb: NWBFile, name: str, ds: xr.Dataset) -> str:
    """Add behavior to ``processing/behavior``; returns its path in the file."""
    name = name or "behavior"
    features = ds["feature"].values.tolist()
    units = sorted(set(ds["feature_units"].values.tolist())) if "feature_units" in ds else []
    in_space = tuple(features) == SPACE[: len(features)] and len(features) > 1
    settings = _settings(name, ds, "value", ", ".join(map(str, features)))
    settings["unit"] = units[0] if len(units) == 1 and units[0] else "n.a."
    if in_space:
        frame = str(ds.attrs.get("reference_frame", "unknown"))
        series = SpatialSeries(**settings, reference_frame=frame)
    else:
        series = TimeSeries(**settings)
    module(nwb, "behavior", "behavior of the subject").add(series)
    return f"/processing/behavior/{name}"


def add_signal(nwb: NWBFile, name: str, ds: xr.Dataset) -> str:
    """Add a signal to the acquired series; returns its path in the file.

    One in volts over channels becomes an ``ElectricalSeries`` with a table of electrodes.

    Raises
    ------
    UnsupportedFormatError
        If it is a signal of several animals: an NWB file is about one.
    """
    name = name or "signal"
    raw = ds["signal"]
    _require_one_animal(name, raw)
    dim = str(raw.dims[1])
    settings = _settings(name, ds, "signal", f"{raw.sizes[dim]} {dim}s")
    settings["conversion"] = float(raw.attrs.get("scale_factor", 1.0))
    settings["offset"] = float(raw.attrs.get("add_offset", 0.0))
    if dim == "channel" and raw.attrs.get("units") in VOLTS:
        if "channel_conversion" in ds.coords:
            settings["channel_conversion"] = ds["channel_conversion"].values
        series = ElectricalSeries(**settings, electrodes=_electrodes(nwb, name, ds))
    else:
        series = TimeSeries(**settings, unit=raw.attrs.get("units") or "n.a.")
    nwb.add_acquisition(series)
    return f"/acquisition/{name}"


def _require_one_animal(name: str, signal: xr.DataArray) -> None:
    if "animal" in signal.dims:
        raise UnsupportedFormatError(
            "an NWB file holds one animal",
            where=name,
            found=f"a signal of {signal.sizes['animal']} animals",
            expected="dims (time, roi) or (time, channel)",
            hint="save it as netCDF: neurodyn.save(recording, 'file.nc'); or write a file for each"
            " animal, with signal.isel(animal=0, drop=True)",
        )


def _settings(name: str, ds: xr.Dataset, variable: str, columns: str) -> dict[str, Any]:
    extra = [str(other) for other in ds.data_vars if other != variable]
    if extra:
        raise DataError(
            "NWB has no place for further variables of a series",
            where=name,
            found=", ".join(extra),
            expected=variable,
            hint="save the recording as netCDF: neurodyn.save(recording, 'file.nc')",
        )
    settings: dict[str, Any] = {
        "name": name,
        "data": ds[variable].values,
        "description": str(ds.attrs.get("description", f"columns: {columns}")),
    }
    if "comments" in ds.attrs:
        settings["comments"] = str(ds.attrs["comments"])
    if "sampling_rate" in ds.attrs and ds.sizes["time"]:
        start = float(ds["time"][0])
        return {**settings, "starting_time": start, "rate": float(ds.attrs["sampling_rate"])}
    return {**settings, "timestamps": ds["time"].values}


def _electrodes(nwb: NWBFile, name: str, ds: xr.Dataset) -> Any:
    """Add a row of the electrode table for each channel, and return the region of them."""
    if "electrodes" not in nwb.devices:
        nwb.create_device(name="electrodes", description="electrodes of the recording")
    areas = _column(ds, "area", "unknown")
    group = nwb.create_electrode_group(
        name=name,
        description=f"channels of {name}",
        location=", ".join(dict.fromkeys(areas)),
        device=nwb.devices["electrodes"],
    )
    first = len(nwb.electrodes) if nwb.electrodes is not None else 0
    positions = [_column(ds, axis, np.nan) for axis in SPACE]
    for area, x, y, z in zip(areas, *positions):
        nwb.add_electrode(location=str(area), group=group, x=float(x), y=float(y), z=float(z))
    rows = list(range(first, first + ds.sizes["channel"]))
    return nwb.create_electrode_table_region(region=rows, description=f"channels of {name}")


def _column(ds: xr.Dataset, name: str, default: Any) -> list[Any]:
    if name in ds.coords and ds[name].dims == ("channel",):
        return list(ds[name].values.tolist())
    return [default] * int(ds.sizes["channel"])
