"""Time series of an NWB file as signals and behavior; the samples stay in the file."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import CorruptFileError, DataError, TimebaseError
from neurodyn.io.containment import place
from neurodyn.io.faults import Fault, Quality
from neurodyn.io.hdf5 import read_array
from neurodyn.io.lazy import StoredArray, lazy_variable
from neurodyn.io.nwb.clock import Clock, read_clock
from neurodyn.io.nwb.inventory import Entry
from neurodyn.io.nwb.naming import attribute, scalar_text, unique_labels
from neurodyn.io.nwb.options import Options
from neurodyn.io.nwb.regions import region_labels

__all__ = ["read_series"]

SPACE = ("x", "y", "z")


def read_series(entry: Entry, options: Options, quality: Quality) -> xr.Dataset:
    """Read a time series: kind ``behavior`` in its unit, any other as a raw ``signal``.

    Raises
    ------
    CorruptFileError
        If it has no data.
    TimebaseError
        If its clock is impossible, or its axes are swapped and the policy does not settle it.
    DataError
        If its conversion is not a number above 0.
    """
    group = entry.group
    data = group.get("data")
    if not isinstance(data, h5py.Dataset):
        raise CorruptFileError(
            "time series has no data",
            where=place(group),
            found=", ".join(sorted(group)) or "nothing",
            expected="a dataset 'data'",
            hint="load(select=...) without it, or on_bad='drop'",
        )
    transposed = _is_transposed(group, data, quality)
    shape = data.shape[::-1] if transposed else data.shape
    clock = read_clock(group, shape[0], max_gap=options.max_gap)
    quality.note("gaps", clock.n_gaps)
    attrs = _attrs(group)
    n_columns = shape[1] if len(shape) == 2 else 1
    scale, offset = _conversion(data)
    if entry.kind == "behavior":
        raw = (scale, offset) == (1.0, 0.0)
        values = StoredArray(
            data, transposed=transposed, scale=None if raw else scale, offset=offset
        )
        return recording.behavior(
            lazy_variable(("time", "feature"), values),
            feature=_features(entry, n_columns),
            units=str(attribute(data, "unit", "")),
            **clock.arguments,
            **attrs,
        )
    return _signal(data, StoredArray(data, transposed=transposed), clock, scale, offset, attrs)


def _signal(
    data: h5py.Dataset,
    values: StoredArray,
    clock: Clock,
    scale: float,
    offset: float,
    attrs: dict[str, Any],
) -> xr.Dataset:
    n_columns = values.shape[1]
    group = data.parent
    region = _region(group)
    dim = "roi" if "rois" in group else "channel"
    labels: list[Any] = list(range(n_columns))
    columns: dict[str, NDArray[Any]] = {}
    if region is not None and region.shape == (n_columns,):
        labels, columns = region_labels(region)
    channel_conversion = _channel_conversion(group, n_columns)
    if channel_conversion is not None:
        columns["channel_conversion"] = channel_conversion
    return recording.signal(
        lazy_variable(("time", dim), values),
        channel=unique_labels(labels)[0],
        dim=dim,
        units=str(attribute(data, "unit", "")),
        scale_factor=scale,
        add_offset=offset,
        channel_columns=columns,
        **clock.arguments,
        **attrs,
    )


def _attrs(group: h5py.Group) -> dict[str, Any]:
    attrs = {}
    for name in ("description", "comments"):
        text = str(attribute(group, name, ""))
        if text and text not in ("no description", "no comments"):
            attrs[name] = text
    frame = scalar_text(group, "reference_frame")
    return attrs if frame in ("", "unknown") else {**attrs, "reference_frame": frame}


def _features(entry: Entry, n_columns: int) -> list[str]:
    if n_columns == 1:
        return [entry.original_name]
    if entry.neurodata_type == "SpatialSeries" and n_columns <= len(SPACE):
        return list(SPACE[:n_columns])
    return [str(column) for column in range(n_columns)]


def _conversion(data: h5py.Dataset) -> tuple[float, float]:
    scale, offset = attribute(data, "conversion", 1.0), attribute(data, "offset", 0.0)
    numbers = isinstance(scale, int | float) and isinstance(offset, int | float)
    if not numbers or not np.isfinite([scale, offset]).all() or scale == 0:
        raise DataError(
            "conversion of a time series is impossible",
            where=place(data),
            found=f"conversion {scale}, offset {offset}",
            expected="finite numbers, conversion other than 0",
            hint="load(select=...) without it, or on_bad='drop'",
        )
    return float(scale), float(offset)


def _channel_conversion(group: h5py.Group, n_columns: int) -> NDArray[np.float64] | None:
    dataset = group.get("channel_conversion")
    if not isinstance(dataset, h5py.Dataset):
        return None
    values = read_array(dataset).astype(np.float64)
    if values.shape != (n_columns,):
        raise CorruptFileError(
            "channel_conversion does not fit the channels",
            where=place(dataset),
            found=f"shape {values.shape}",
            expected=f"({n_columns},)",
            hint="load(select=...) without it, or on_bad='drop'",
        )
    return values


def _region(group: h5py.Group) -> h5py.Dataset | None:
    region = group.get("electrodes", group.get("rois"))
    return region if isinstance(region, h5py.Dataset) and region.ndim == 1 else None


def _is_transposed(group: h5py.Group, data: h5py.Dataset, quality: Quality) -> bool:
    """Say whether axes are to be swapped; NWB wants time first, files do not always obey."""
    if data.ndim != 2:
        return False
    first, second = data.shape
    region, stamps = _region(group), group.get("timestamps")
    n_stamps = stamps.shape[0] if isinstance(stamps, h5py.Dataset) and stamps.ndim else None
    by_region = region is not None and region.shape[0] == first != second
    by_clock = n_stamps == second != first
    if not (by_region or by_clock):
        if region is None and n_stamps is None and 1 < first < second / 10:
            quality.suspect("possibly_transposed_series")
        return False
    what = f"{first} electrodes or rois" if by_region else f"{second} timestamps"
    error = TimebaseError(
        "data of a time series are transposed",
        where=place(data),
        found=f"shape {data.shape} with {what}",
        expected="(time, channel)",
        hint="on_bad='fix' swaps the axes",
    )
    action = quality.decide(Fault.of("transposed_series", error), can=("fix", "warn"))
    return action == "fix"
