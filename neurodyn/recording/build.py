"""The only constructors of recordings: arrays in, checked labelled datasets out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError
from neurodyn.recording.schema import SCHEMA_VERSION
from neurodyn.recording.validate import validate

__all__ = [
    "behavior",
    "bold",
    "counts",
    "recording",
    "regular_time",
    "results",
    "signal",
    "spikes",
    "spikes_from_units",
    "trials",
]

NANOSECOND_TICKS = 1e9
LONGEST_PLAIN_INDEX = 2**25
Columns = Mapping[str, ArrayLike]


def spikes(
    spike_time: Any,
    row_size: ArrayLike,
    unit: Sequence[object] | NDArray[Any] | None = None,
    *,
    observed: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    unit_columns: Columns | None = None,
    tick_hz: float = NANOSECOND_TICKS,
    check_values: bool = True,
    **attrs: Any,
) -> xr.Dataset:
    """Build spikes as a CF contiguous ragged array.

    Parameters
    ----------
    spike_time
        Times [s], shape ``(spike,)``, float64: the units one after another, sorted in each.
        An ``xr.Variable`` stays lazy.
    row_size
        Number of spikes of each unit, shape ``(unit,)``.
    unit
        Unit ids, made text; ``"0", "1", …`` if not given.
    observed
        ``(obs_start, obs_stop, obs_row_size)``: half-open intervals [s] in which silence means
        silence, ragged over units like the spikes. ``None``: observed throughout.
    unit_columns
        Further coordinates of ``unit``: area, depth, quality, ``held_out``.
    tick_hz
        Clock of the acquisition system; binning is exact on its ticks.
    check_values
        ``False`` leaves lazy spike times unread.
    **attrs
        Further attributes.

    Returns
    -------
    xr.Dataset
        Kind ``spikes``.

    Raises
    ------
    SchemaError
        Naming all faults.

    Examples
    --------
    >>> ds = spikes([0.1, 0.2, 0.15], row_size=[2, 1], unit=["a", "b"])
    >>> ds.sizes["spike"], ds.sizes["unit"]
    (3, 2)
    """
    sizes = np.asarray(row_size, dtype=np.int64)
    labels = _labels(range(sizes.size) if unit is None else unit)
    variables: dict[str, Any] = {
        "spike_time": _lazy_or_array(spike_time, ("spike",), np.float64),
        "row_size": ("unit", sizes, {"sample_dimension": "spike"}),
    }
    if observed is not None:
        start, stop, obs_row_size = observed
        variables["obs_start"] = ("obs_interval", np.asarray(start, np.float64), {"units": "s"})
        variables["obs_stop"] = ("obs_interval", np.asarray(stop, np.float64), {"units": "s"})
        variables["obs_row_size"] = ("unit", np.asarray(obs_row_size, np.int64))
    ds = xr.Dataset(
        variables,
        coords={"unit": labels, **_columns("unit", unit_columns)},
        attrs={"kind": "spikes", "tick_hz": float(tick_hz), **attrs},
    )
    ds["spike_time"].attrs.setdefault("units", "s")
    validate(ds, values=check_values)
    return ds


def spikes_from_units(
    times: Mapping[Any, ArrayLike] | Sequence[ArrayLike],
    *,
    observed: ArrayLike | None = None,
    **kwargs: Any,
) -> xr.Dataset:
    """Build spikes from one array of times per unit.

    Parameters
    ----------
    times
        Times [s] of each unit, by id or in order.
    observed
        Intervals ``(n, 2)`` [s] that hold for every unit.
    **kwargs
        As in :func:`spikes`.

    Examples
    --------
    >>> spikes_from_units({"a": [0.1, 0.2], "b": []})["row_size"].values.tolist()
    [2, 0]
    """
    by_unit = times if isinstance(times, Mapping) else dict(enumerate(times))
    arrays = [np.asarray(array, dtype=np.float64) for array in by_unit.values()]
    ragged = None
    if observed is not None:
        intervals = np.asarray(observed, dtype=np.float64).reshape(-1, 2)
        repeated = np.tile(intervals, (len(arrays), 1))
        ragged = (repeated[:, 0], repeated[:, 1], np.full(len(arrays), len(intervals)))
    return spikes(
        np.concatenate(arrays) if arrays else np.empty(0),
        [array.size for array in arrays],
        list(by_unit),
        observed=ragged,
        **kwargs,
    )


def counts(
    count: Any,
    *,
    bin_size: float,
    unit: Sequence[object] | NDArray[Any] | None = None,
    start: float = 0.0,
    time: ArrayLike | None = None,
    trial: Sequence[object] | NDArray[Any] | None = None,
    observed: Any = None,
    held_out: ArrayLike | None = None,
    forward: ArrayLike | None = None,
    unit_columns: Columns | None = None,
    trial_columns: Columns | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build binned spike counts.

    Parameters
    ----------
    count
        Counts per bin, shape ``(time, unit)`` or ``(trial, time, unit)``; stored as uint8, as
        uint16 when one exceeds 255.
    bin_size
        Width of the half-open bins [s].
    unit, trial
        Labels; numbered if not given.
    start
        Left edge of the first bin [s].
    time
        Left edges [s], shape ``(time,)``, instead of ``start``.
    observed
        Mask over the dims of ``count`` (or fewer); where it is False the count has no meaning.
    held_out
        Units ``(unit,)`` that a model predicts but never sees.
    forward
        Bins ``(time,)`` after the window that a model predicts but never sees.
    unit_columns, trial_columns
        Further coordinates of ``unit`` and of ``trial``.
    **attrs
        Further attributes.

    Raises
    ------
    SchemaError
        Naming all faults.
    DataError
        If a count is negative, not whole or above 65,535.

    Examples
    --------
    >>> ds = counts([[0, 1], [2, 0]], bin_size=0.02)
    >>> ds["count"].dtype, ds["time"].values.tolist()
    (dtype('uint8'), [0.0, 0.02])
    """
    array = _smallest_counts(np.asarray(count))
    if array.ndim not in (2, 3):
        raise DataError(
            "counts have the wrong number of dims", found=array.shape, expected="2 or 3"
        )
    dims = ("trial", "time", "unit")[-array.ndim :]
    n_time, n_units = array.shape[-2:]
    edges = start + np.arange(n_time) * bin_size if time is None else np.asarray(time, np.float64)
    coords: dict[str, Any] = {
        "time": ("time", edges, {"units": "s"}),
        "unit": _labels(range(n_units) if unit is None else unit),
        **_columns("unit", unit_columns),
    }
    if array.ndim == 3:
        coords["trial"] = _trial_labels(range(array.shape[0]) if trial is None else trial)
        coords.update(_columns("trial", trial_columns))
    if held_out is not None:
        coords["held_out"] = ("unit", np.asarray(held_out, dtype=bool))
    if forward is not None:
        coords["forward"] = ("time", np.asarray(forward, dtype=bool))
    variables: dict[str, Any] = {"count": (dims, array)}
    if observed is not None:
        mask = np.asarray(observed, dtype=bool)
        variables["observed"] = (dims if mask.ndim == array.ndim else dims[: mask.ndim], mask)
    ds = xr.Dataset(variables, coords, {"kind": "counts", "bin_size": float(bin_size), **attrs})
    validate(ds)
    return ds


def signal(
    values: Any,
    *,
    time: Any = None,
    sampling_rate: float | None = None,
    start: float = 0.0,
    channel: Sequence[object] | NDArray[Any] | None = None,
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
        Samples, shape ``(time, channel)``, or an ``xr.Variable`` that stays lazy.
    time
        Sample times [s] of an irregular clock; else give ``sampling_rate``.
    sampling_rate
        Samples per second [Hz] of a regular clock that begins at ``start`` [s].
    channel
        Labels along ``dim``.
    dim
        ``"channel"`` or ``"roi"``.
    units
        Physical unit after ``physical = raw * scale_factor + add_offset``.
    channel_columns
        Further coordinates of ``dim``: positions, bad flags, ``channel_conversion``.
    **attrs
        Further attributes.

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
    variable = _lazy_or_array(values, ("time", dim), None)
    variable.attrs.update(units=units, scale_factor=float(scale_factor))
    variable.attrs.update(add_offset=float(add_offset))
    n_time, n_channels = variable.shape
    if sampling_rate is not None:
        attrs["sampling_rate"] = float(sampling_rate)
    labels = _labels(range(n_channels) if channel is None else channel)
    ds = xr.Dataset(
        {"signal": variable},
        {dim: labels, **_columns(dim, channel_columns)},
        {"kind": "signal", **attrs},
    ).assign_coords(_clock(n_time, time, sampling_rate, start))
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
    variable = _lazy_or_array(values, ("time", dim), np.float32)
    n_time, n_rois = variable.shape
    coords: dict[str, Any] = {dim: _labels(range(n_rois) if roi is None else roi)}
    coords.update(_columns(dim, roi_columns))
    variables: dict[str, Any] = {"bold": variable}
    if keep is not None:
        coords["keep"] = ("time", np.asarray(keep, dtype=bool))
    if confounds:
        table = np.column_stack([np.asarray(v, np.float64) for v in confounds.values()])
        variables["confounds"] = (("time", "confound"), table)
        coords["confound"] = _labels(confounds)
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
    variable = _lazy_or_array(values, ("time", "feature"), None)
    n_time, n_features = variable.shape
    names = _labels(range(n_features) if feature is None else feature)
    per_feature = [units] * n_features if isinstance(units, str) else list(units)
    if sampling_rate is not None:
        attrs["sampling_rate"] = float(sampling_rate)
    ds = xr.Dataset(
        {"value": variable},
        {"feature": names, "feature_units": ("feature", _labels(per_feature))},
        {"kind": "behavior", **attrs},
    ).assign_coords(_clock(n_time, time, sampling_rate, start))
    validate(ds)
    return ds


def trials(
    start: ArrayLike,
    stop: ArrayLike,
    *,
    trial: Sequence[object] | NDArray[Any] | None = None,
    columns: Columns | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build a table of trials or other intervals.

    Parameters
    ----------
    start, stop
        Begin and end [s], shape ``(trial,)``; half-open.
    trial
        Ids (integers or text), numbered if not given.
    columns
        Further columns: event times [s], condition, split.
    **attrs
        Further attributes.

    Raises
    ------
    SchemaError
        Naming all faults.

    Examples
    --------
    >>> trials([0.0, 1.0], [0.5, 1.5], columns={"condition": ["left", "right"]}).sizes["trial"]
    2
    """
    begin = np.asarray(start, dtype=np.float64)
    ds = xr.Dataset(
        {
            "start": ("trial", begin, {"units": "s"}),
            "stop": ("trial", np.asarray(stop, dtype=np.float64), {"units": "s"}),
            **_columns("trial", columns),
        },
        {"trial": _trial_labels(range(begin.size) if trial is None else trial)},
        {"kind": "trials", **attrs},
    )
    validate(ds)
    return ds


def results(
    variables: Mapping[str, Any], coords: Mapping[str, Any] | None = None, **attrs: Any
) -> xr.Dataset:
    """Build a result of an estimator or metric, labelled like its input.

    Examples
    --------
    >>> results({"co_bps": 0.3}).attrs["kind"]
    'results'
    """
    return xr.Dataset(variables, coords, {"kind": "results", **attrs})


def recording(
    children: Mapping[str, xr.Dataset | Mapping[str, xr.Dataset]] | Iterable[xr.Dataset],
    *,
    check_values: bool = False,
    **attrs: Any,
) -> xr.DataTree:
    """Assemble datasets into one recording.

    Parameters
    ----------
    children
        Datasets by kind, ``{"spikes": ds}``, or by kind and name,
        ``{"behavior": {"hand": ds}}``; a plain list is placed by ``attrs["kind"]``.
    check_values
        Also check what needs the data to be read.
    **attrs
        Root attributes: subject, species, session_start (ISO 8601), source, digest.

    Raises
    ------
    SchemaError
        Naming all faults.

    Examples
    --------
    >>> tree = recording([trials([0.0], [1.0])], subject="Jenkins")
    >>> list(tree.children)
    ['trials']
    """
    if not isinstance(children, Mapping):
        children = {str(ds.attrs.get("kind")): ds for ds in children}
    nodes: dict[str, xr.Dataset] = {}
    for kind, child in children.items():
        if isinstance(child, xr.Dataset):
            nodes[f"/{kind}"] = child
        else:
            nodes.update({f"/{kind}/{name}": ds for name, ds in child.items()})
    root = xr.Dataset(attrs={"neurodyn_schema": SCHEMA_VERSION, **attrs})
    tree = xr.DataTree.from_dict({"/": root, **nodes})
    validate(tree, values=check_values)
    return tree


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


def _labels(values: Iterable[object]) -> NDArray[Any]:
    """Return labels as text in an object array: the one form that storage keeps unchanged."""
    return np.array([str(value) for value in values], dtype=object)


def _trial_labels(values: Iterable[object]) -> NDArray[Any]:
    array = np.asarray(list(values))
    return array.astype(np.int64) if array.dtype.kind in "iu" or not array.size else _labels(array)


def _columns(dim: str, columns: Columns | None) -> dict[str, Any]:
    prepared: dict[str, Any] = {}
    for name, values in (columns or {}).items():
        if isinstance(values, xr.Variable):
            prepared[name] = values
            continue
        array = np.asarray(values)
        if array.dtype.kind in "OUST":
            array = _labels(array.ravel()).reshape(array.shape)
        extra = tuple(f"{name}_axis{axis}" for axis in range(1, array.ndim))
        prepared[name] = ((dim, *extra), array)
    return prepared


def _lazy_or_array(values: Any, dims: tuple[str, ...], dtype: Any) -> xr.Variable:
    if isinstance(values, xr.Variable):
        return values
    array = np.asarray(values) if dtype is None else np.asarray(values, dtype=dtype)
    if array.ndim != len(dims):
        raise DataError("array has the wrong number of dims", found=array.shape, expected=dims)
    return xr.Variable(dims, array)


def _smallest_counts(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype == np.uint8:
        return array
    if array.size and (
        not np.isfinite(array).all() or (array < 0).any() or (array != np.rint(array)).any()
    ):
        raise DataError(
            "counts must be whole numbers from 0",
            found=f"min {array.min()}, dtype {array.dtype}",
            hint="give missing bins as observed=False, not as NaN",
        )
    highest = int(array.max()) if array.size else 0
    if highest > np.iinfo(np.uint16).max:
        raise DataError("a bin holds too many spikes", found=highest, expected="up to 65,535")
    return array.astype(np.uint8 if highest <= 255 else np.uint16)
