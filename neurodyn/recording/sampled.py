"""Constructors of sampled series: signals, fMRI and behavior, each on its own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError
from neurodyn.recording.labels import Columns, as_columns, as_labels, as_variable
from neurodyn.recording.validate import validate

__all__ = ["behavior", "bold", "regular_time", "signal"]

LONGEST_PLAIN_INDEX = 2**25


def signal(
    values: Any,
    *,
    time: Any = None,
    sampling_rate: float | None = None,
    start: float = 0.0,
    channel: Sequence[object] | NDArray[Any] | None = None,
    animal: Sequence[object] | NDArray[Any] | None = None,
    dim: str = "channel",
    units: str = "",
    scale_factor: float = 1.0,
    add_offset: float = 0.0,
    channel_columns: Columns | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build a sampled signal (LFP, EEG, MEG, ECoG, calcium); raw numbers stay raw and lazy.

    Parameters
    ----------
    values
        Samples, shape ``([animal,] time, channel)``; an ``xr.Variable`` stays lazy.
    time
        Sample times [s] of an irregular clock; else give ``sampling_rate``.
    sampling_rate
        Samples per second [Hz] of a regular clock that begins at ``start`` [s].
    channel, animal
        Labels along ``dim`` and of the animals; numbered if not given.
    dim
        ``"channel"`` or ``"roi"``.
    units
        Physical unit after ``physical = raw * scale_factor + add_offset``.
    channel_columns, **attrs
        Further coordinates of ``dim`` (positions, bad flags, ``channel_conversion``), attributes.

    Raises
    ------
    SchemaError
        Naming all faults.

    Examples
    --------
    >>> ds = signal(np.zeros((3, 2), "i2"), sampling_rate=1000.0, units="V", scale_factor=1e-6)
    >>> ds["signal"].dtype, ds["time"].values[-1].item()
    (dtype('int16'), 0.002)
    """
    series = as_variable(values, _series_dims(values, dim), None)
    series.attrs.update(units=units, scale_factor=float(scale_factor))
    series.attrs.update(add_offset=float(add_offset))
    n_time, n_channels = series.shape[-2:]
    if sampling_rate is not None:
        attrs["sampling_rate"] = float(sampling_rate)
    ids = as_labels(range(n_channels) if channel is None else channel)
    coords: dict[str, Any] = {dim: ids, **as_columns(dim, channel_columns)}
    if "animal" in series.dims:
        coords["animal"] = as_labels(range(series.sizes["animal"]) if animal is None else animal)
    ds = xr.Dataset({"signal": series}, coords, {"kind": "signal", **attrs})
    ds = ds.assign_coords(_clock(n_time, time, sampling_rate, start))
    validate(ds)
    return ds


def bold(
    values: Any,
    *,
    repetition_time: float,
    roi: Sequence[object] | NDArray[Any] | None = None,
    start: float = 0.0,
    keep: ArrayLike | None = None,
    confounds: Mapping[str, ArrayLike] | None = None,
    dim: str = "roi",
    roi_columns: Columns | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build fMRI time series, shape ``(time, roi)`` (or ``voxel``, ``vertex``), float32.

    Parameters
    ----------
    values
        Signal, shape ``(time, roi)``.
    repetition_time
        TR [s].
    keep
        Frames ``(time,)`` that survive censoring.
    confounds
        Nuisance series by name, each ``(time,)``.
    roi, dim, roi_columns
        Labels, the name of their dim and further coordinates of it.
    **attrs
        Further attributes: atlas, space.

    Raises
    ------
    SchemaError
        Naming all faults.

    Examples
    --------
    >>> bold(np.zeros((4, 2)), repetition_time=2.0)["time"].values.tolist()
    [0.0, 2.0, 4.0, 6.0]
    """
    series = as_variable(values, ("time", dim), np.float32)
    n_time, n_rois = series.shape
    coords: dict[str, Any] = {dim: as_labels(range(n_rois) if roi is None else roi)}
    coords.update(as_columns(dim, roi_columns))
    variables: dict[str, Any] = {"bold": series}
    if keep is not None:
        coords["keep"] = ("time", np.asarray(keep, dtype=bool))
    if confounds:
        table = np.column_stack([np.asarray(v, np.float64) for v in confounds.values()])
        variables["confounds"] = (("time", "confound"), table)
        coords["confound"] = as_labels(confounds)
    ds = xr.Dataset(
        variables, coords, {"kind": "bold", "repetition_time": float(repetition_time), **attrs}
    ).assign_coords(_clock(n_time, None, 1.0 / repetition_time, start))
    validate(ds)
    return ds


def behavior(
    values: Any,
    *,
    time: Any = None,
    sampling_rate: float | None = None,
    start: float = 0.0,
    feature: Sequence[object] | NDArray[Any] | None = None,
    units: str | Sequence[str] = "",
    **attrs: Any,
) -> xr.Dataset:
    """Build a behavioral series ``value(time, feature)`` on its own clock.

    Parameters
    ----------
    values
        Shape ``(time, feature)``, or ``(time,)`` for one feature.
    time, sampling_rate, start
        The clock, as in :func:`signal`.
    feature
        Labels such as ``["x", "y"]``.
    units
        Physical unit, one for all or one per feature.
    **attrs
        Further attributes.

    Raises
    ------
    SchemaError
        Naming all faults.

    Examples
    --------
    >>> behavior([[0.0, 1.0]], sampling_rate=100.0, feature=["x", "y"]).sizes["feature"]
    2
    """
    if not isinstance(values, xr.Variable):
        values = np.asarray(values)
        values = values[:, None] if values.ndim == 1 else values
    series = as_variable(values, ("time", "feature"), None)
    n_time, n_features = series.shape
    names = as_labels(range(n_features) if feature is None else feature)
    per_feature = [units] * n_features if isinstance(units, str) else list(units)
    if sampling_rate is not None:
        attrs["sampling_rate"] = float(sampling_rate)
    ds = xr.Dataset(
        {"value": series},
        {"feature": names, "feature_units": ("feature", as_labels(per_feature))},
        {"kind": "behavior", **attrs},
    ).assign_coords(_clock(n_time, time, sampling_rate, start))
    validate(ds)
    return ds


def regular_time(n_samples: int, sampling_rate: float, start: float = 0.0) -> xr.Coordinates:
    """Return the time coordinate [s] of a regular clock.

    Clocks beyond 2**25 samples become a lazy ``RangeIndex``: select with ``method="nearest"``.

    Examples
    --------
    >>> regular_time(3, 10.0)["time"].values.tolist()
    [0.0, 0.1, 0.2]
    """
    if n_samples <= LONGEST_PLAIN_INDEX:
        time = start + np.arange(n_samples) / sampling_rate
        return xr.Coordinates({"time": ("time", time, {"units": "s"})})
    from xarray.indexes import RangeIndex

    stop = start + n_samples / sampling_rate
    index = RangeIndex.linspace(start, stop, n_samples, endpoint=False, dim="time")
    return xr.Coordinates.from_xindex(index)


def _series_dims(values: Any, dim: str) -> tuple[str, ...]:
    return ("animal", "time", dim) if np.ndim(values) == 3 else ("time", dim)


def _clock(n_samples: int, time: Any, sampling_rate: float | None, start: float) -> xr.Coordinates:
    if time is not None:
        return xr.Coordinates({"time": ("time", np.asarray(time, np.float64), {"units": "s"})})
    if sampling_rate is None or not np.isfinite(sampling_rate) or sampling_rate <= 0:
        raise DataError(
            "a sampled series needs a clock",
            found=f"sampling_rate={sampling_rate}",
            expected="time [s], or sampling_rate above 0 [Hz]",
        )
    return regular_time(n_samples, sampling_rate, start)
