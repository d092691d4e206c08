"""To and from the objects of other packages, which are imported only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.errors import DataError, MissingDependencyError, UnsupportedFormatError
from neurodyn.recording import behavior, pick, spikes, spikes_from_units, trials
from neurodyn.transforms.intervals import union
from neurodyn.transforms.observation import observation_intervals, shared_intervals

__all__ = ["from_pynapple", "from_spikeinterface", "to_pynapple"]

NANOSECOND_TICKS = 1e9


def to_pynapple(data: xr.DataTree | xr.Dataset, kind: str = "spikes") -> Any:
    """Return spikes, trials, behavior or counts as a pynapple object.

    Parameters
    ----------
    data
        A recording, or one dataset of kind ``spikes``, ``trials``, ``behavior`` or ``counts``.
    kind
        What to take of a recording.

    Returns
    -------
    pynapple.TsGroup, IntervalSet or TsdFrame
        A ``TsGroup`` numbers units from 0 and keeps ids and columns as metadata. Its time support
        is one for all units: the intervals in which all of them were observed.

    Raises
    ------
    MissingDependencyError
        If pynapple is not installed.
    UnsupportedFormatError
        If pynapple has nothing of that kind.
    """
    nap = _pynapple()
    ds = data if isinstance(data, xr.Dataset) else pick(data, kind)
    convert = {
        "spikes": _to_group,
        "trials": _to_intervals,
        "behavior": _to_frame,
        "counts": _to_count_frame,
    }.get(str(ds.attrs.get("kind")))
    if convert is None:
        raise UnsupportedFormatError(
            "pynapple has no such object",
            found=ds.attrs.get("kind"),
            expected="spikes, trials, behavior or counts (time, unit)",
        )
    return convert(nap, ds)


def from_pynapple(data: Any) -> xr.Dataset:
    """Return the dataset that a pynapple object stands for.

    ``TsGroup`` and ``Ts`` become spikes, an ``IntervalSet`` trials, ``Tsd`` and ``TsdFrame``
    behavior.

    Parameters
    ----------
    data
        A pynapple object; the time support of spikes becomes their observation intervals.

    Raises
    ------
    MissingDependencyError
        If pynapple is not installed.
    UnsupportedFormatError
        For any other object.
    """
    nap = _pynapple()
    if isinstance(data, nap.Ts):
        data = nap.TsGroup({0: data}, time_support=data.time_support)
    if isinstance(data, nap.TsGroup):
        return _from_group(data)
    if isinstance(data, nap.IntervalSet):
        columns = {str(name): np.asarray(data[name]) for name in data.metadata_columns}
        return trials(data.start, data.end, trial=columns.pop("trial", None), columns=columns)
    if isinstance(data, nap.Tsd | nap.TsdFrame):
        features = data.columns if isinstance(data, nap.TsdFrame) else ["0"]
        return behavior(np.asarray(data.values), time=data.t, feature=list(features))
    raise UnsupportedFormatError(
        "no pynapple object that can be converted",
        found=type(data).__name__,
        expected="TsGroup, Ts, IntervalSet, Tsd or TsdFrame",
    )


def from_spikeinterface(
    sorting: Any, *, segment: int | None = None, columns: Sequence[str] | None = None
) -> xr.Dataset:
    """Return the spikes of a SpikeInterface ``BaseSorting``.

    Any object with its methods will do: ``get_unit_ids``, ``get_num_segments``,
    ``get_sampling_frequency`` and ``get_unit_spike_train``; SpikeInterface is not imported.

    Parameters
    ----------
    sorting
        The sorting.
    segment
        Which segment, if there are several: each has its own clock.
    columns
        Properties of units to keep; all one-dimensional ones by default.

    Returns
    -------
    xr.Dataset
        Kind ``spikes``; ``tick_hz`` is the sampling frequency, so binning is exact on samples.

    Raises
    ------
    UnsupportedFormatError
        If methods are missing.
    DataError
        If there are several segments and none is chosen.
    """
    needed = ("get_num_segments", "get_sampling_frequency", "get_unit_ids", "get_unit_spike_train")
    missing = [name for name in needed if not hasattr(sorting, name)]
    if missing:
        raise UnsupportedFormatError(
            "no sorting of SpikeInterface",
            found=f"{type(sorting).__name__} without {', '.join(missing)}",
            expected="a BaseSorting",
        )
    n_segments = int(sorting.get_num_segments())
    if segment is None and n_segments != 1:
        raise DataError(
            "the sorting has several segments, each with a clock of its own",
            found=n_segments,
            hint="choose one: segment=0",
        )
    ids = list(sorting.get_unit_ids())
    trains = [_train(sorting, unit, segment or 0) for unit in ids]
    return spikes(
        np.concatenate([*trains, np.empty(0)]),
        [train.size for train in trains],
        ids,
        unit_columns=_properties(sorting, len(ids), columns),
        tick_hz=float(sorting.get_sampling_frequency()),
        source=type(sorting).__name__,
    )


def _train(sorting: Any, unit: object, segment: int) -> np.ndarray[Any, Any]:
    times = sorting.get_unit_spike_train(unit_id=unit, segment_index=segment, return_times=True)
    return np.asarray(times, dtype=np.float64)


def _properties(
    sorting: Any, n_units: int, columns: Sequence[str] | None
) -> dict[str, np.ndarray[Any, Any]]:
    if not hasattr(sorting, "get_property_keys"):
        return {}
    chosen = list(sorting.get_property_keys()) if columns is None else columns
    found = {str(name): np.asarray(sorting.get_property(name)) for name in chosen}
    return {name: values for name, values in found.items() if values.shape == (n_units,)}


def _pynapple() -> Any:
    try:
        import pynapple
    except ImportError as error:
        raise MissingDependencyError("pynapple", "dev") from error
    return pynapple


def _to_group(nap: Any, ds: xr.Dataset) -> Any:
    ends = np.cumsum(ds["row_size"].values)
    trains = np.split(ds["spike_time"].values, ends[:-1])
    intervals = observation_intervals(ds)
    metadata = {
        str(name): coord.values
        for name, coord in ds.coords.items()
        if coord.dims == ("unit",) and name != "unit"
    }
    group = {number: nap.Ts(train) for number, train in enumerate(trains)}
    settings: dict[str, Any] = {}
    if intervals is not None:
        shared = shared_intervals(intervals)
        if shared is None:
            raise DataError(
                "units were observed at different times; a TsGroup has one time support",
                hint="restrict(...) to intervals in which all units were observed",
            )
        table = union(shared)
        settings["time_support"] = nap.IntervalSet(table[:, 0], table[:, 1])
    return nap.TsGroup(group, metadata={"unit": ds["unit"].values, **metadata}, **settings)


def _from_group(group: Any) -> xr.Dataset:
    table = group.metadata
    columns = {
        str(name): np.asarray(table[name]) for name in group.metadata_columns if name != "rate"
    }
    labels = columns.pop("unit", np.asarray(list(group.keys())))
    support = np.column_stack([group.time_support.start, group.time_support.end])
    return spikes_from_units(
        {str(label): group[key].t for label, key in zip(labels, group.keys())},
        observed=support,
        unit_columns=columns,
        tick_hz=NANOSECOND_TICKS,
    )


def _to_intervals(nap: Any, ds: xr.Dataset) -> Any:
    metadata = {
        str(name): variable.values
        for name, variable in ds.variables.items()
        if variable.dims == ("trial",) and name not in ("start", "stop")
    }
    return nap.IntervalSet(ds["start"].values, ds["stop"].values, metadata=metadata)


def _to_frame(nap: Any, ds: xr.Dataset) -> Any:
    return nap.TsdFrame(t=ds["time"].values, d=ds["value"].values, columns=ds["feature"].values)


def _to_count_frame(nap: Any, ds: xr.Dataset) -> Any:
    if "trial" in ds.dims:
        raise UnsupportedFormatError(
            "pynapple has no counts with trials", expected="counts (time, unit)"
        )
    # pynapple names bins by their centre
    centre = ds["time"].values + ds.attrs["bin_size"] / 2
    return nap.TsdFrame(t=centre, d=ds["count"].values, columns=ds["unit"].values)
