"""Series on another clock, and arrays matched by exact labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, DataError, TimebaseError, one_of
from neurodyn.provenance import add_history
from neurodyn.recording import behavior as build_behavior
from neurodyn.recording import physical
from neurodyn.recording import signal as build_signal

__all__ = ["decimate", "match", "resample"]

FloatArray = NDArray[np.float64]
KINDS = ("behavior", "signal")


def resample(
    data: xr.Dataset,
    time: ArrayLike,
    *,
    max_gap: float | None = None,
    on_bad: Literal["raise", "fix"] = "raise",
) -> xr.Dataset:
    """Interpolate behavior or a signal linearly at other times.

    Nothing is interpolated over a gap: a step of the clock beyond ``max_gap``, or NaN. Nothing
    is extrapolated.

    Parameters
    ----------
    data
        A dataset of kind ``behavior`` or ``signal``.
    time
        Increasing times [s], shape ``(time,)``: the bins of counts, for example. A clock slower
        than the data's needs :func:`decimate` first, or what is too fast appears as slow.
    max_gap
        Longest step [s] to interpolate over; by default 1.5 times the median step.
    on_bad
        Times in a gap or outside: ``raise``, or ``fix``: NaN, counted in ``attrs["quality"]``.

    Returns
    -------
    xr.Dataset
        Of the same kind, float64 in physical units.

    Raises
    ------
    TimebaseError
        If a time lies in a gap or outside, or the times do not increase.

    Examples
    --------
    >>> from neurodyn.recording import behavior
    >>> track = behavior([0.0, 1.0, 2.0], sampling_rate=10.0, feature=["x"])
    >>> resample(track, [0.05, 0.15])["value"].values.ravel()
    array([0.5, 1.5])
    """
    one_of("on_bad", on_bad, ("raise", "fix"))
    wanted = np.asarray(time, dtype=np.float64).reshape(-1)
    if not (np.isfinite(wanted).all() and (np.diff(wanted) > 0).all()):
        raise TimebaseError("times to resample at must be finite and increase")
    own = data["time"].values
    if own.size < 2:
        raise TimebaseError("a series of one sample cannot be resampled", found=own.size)
    limit = 1.5 * float(np.median(np.diff(own))) if max_gap is None else max_gap
    found = _interpolate(own, _values(data), wanted, limit)
    bad = np.isnan(found).any(axis=1)
    if on_bad == "raise":
        _refuse_gaps(own, wanted[bad], limit)
    result = _rebuild(data, found, wanted)
    if bad.any():
        result.attrs["quality"] = {**data.attrs.get("quality", {}), "times_in_gaps": int(bad.sum())}
    return add_history(result, "resample", n_time=wanted.size, max_gap=max_gap)


def decimate(data: xr.Dataset, factor: int) -> xr.Dataset:
    """Keep every ``factor``-th sample after a zero-phase anti-alias filter (FIR).

    Parameters
    ----------
    data
        A dataset of kind ``behavior`` or ``signal`` on a regular clock without gaps.
    factor
        How many times slower the new clock is.

    Raises
    ------
    ConfigError
        If the factor is impossible.
    TimebaseError
        If the clock is irregular or has gaps, or values are missing.

    Examples
    --------
    >>> from neurodyn.recording import behavior
    >>> slow = decimate(behavior(np.ones((200, 1)), sampling_rate=100.0), 4)
    >>> slow.sizes["time"], slow.attrs["sampling_rate"]
    (50, 25.0)
    """
    from scipy.signal import decimate as decimated

    if isinstance(factor, bool) or int(factor) != factor or factor < 1:
        raise ConfigError("factor must be a whole number from 1", found=factor)
    time = data["time"].values
    steps = np.diff(time)
    step = float(np.median(steps)) if steps.size else 1.0
    values = _values(data)
    jump = steps.size and np.abs(steps - step).max() > 0.1 * step
    if jump or not np.isfinite(values).all():
        raise TimebaseError(
            "a series with gaps cannot be filtered",
            found=f"steps up to {steps.max(initial=0):g} s, {int(np.isnan(values).sum())} NaN",
            expected=f"equal steps of {step:g} s and no NaN",
            hint="restrict to a stretch without gaps, or resample",
        )
    if factor == 1:
        found = values
    else:
        # odd reflection at both ends instead of zeros: constants and lines stay what they are
        n = 20 * factor
        padded = np.pad(values, ((n, n), (0, 0)), mode="reflect", reflect_type="odd")
        found = decimated(padded, factor, ftype="fir", axis=0, zero_phase=True)
        found = found[n // factor :][: -(-len(values) // factor)]
    result = _rebuild(data, found, time[::factor])
    if "sampling_rate" in data.attrs:
        result.attrs["sampling_rate"] = data.attrs["sampling_rate"] / factor
    return add_history(result, "decimate", factor=factor)


def match(
    first: xr.Dataset, second: xr.Dataset, dim: str = "time", *, tolerance: float = 0.0
) -> tuple[xr.Dataset, xr.Dataset]:
    """Match two datasets along a dim by label, and refuse what does not match.

    Clocks must agree sample by sample; the second takes the labels of the first. Other labels
    (units, channels, regions) must be the same set; the second takes the order of the first.

    Parameters
    ----------
    first, second
        Datasets with labels along ``dim``.
    dim
        ``time``, ``unit``, ``channel``, ``roi``, ``feature`` or ``trial``.
    tolerance
        Largest difference [s] that still counts as the same time.

    Raises
    ------
    TimebaseError
        If the clocks differ; names the largest difference.
    DataError
        If labels are missing in one of the datasets, or there are no labels.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> a = counts([[1, 2]], bin_size=0.1, unit=["x", "y"])
    >>> b = counts([[3, 4]], bin_size=0.1, unit=["y", "x"])
    >>> match(a, b, "unit")[1]["count"].values.tolist()
    [[4, 3]]
    """
    for ds in (first, second):
        if dim not in ds.coords:
            raise DataError(
                f"arrays are matched by label, and {dim!r} has none", found=dict(ds.sizes)
            )
    if dim == "time":
        return first, _match_time(first, second, tolerance)
    own, other = first[dim].values.tolist(), second[dim].values.tolist()
    missing = sorted({*map(str, own)} ^ {*map(str, other)})
    if missing or len(own) != len(other):
        raise DataError(
            f"labels of {dim} differ",
            found=f"{len(missing)} labels only in one: {', '.join(missing[:10])}",
            expected="the same labels in both",
            hint=f"select the {dim}s that both have first",
        )
    place = {str(label): row for row, label in enumerate(other)}
    return first, second.isel({dim: [place[str(label)] for label in own]})


def _match_time(first: xr.Dataset, second: xr.Dataset, tolerance: float) -> xr.Dataset:
    own, other = first["time"].values, second["time"].values
    if own.size != other.size:
        raise TimebaseError(
            "clocks are of different length",
            found=f"{own.size} and {other.size} samples",
            hint="restrict both to the same interval, or resample one to the other",
        )
    difference = float(np.abs(own - other).max(initial=0.0))
    if difference > tolerance:
        raise TimebaseError(
            "clocks differ",
            found=f"up to {difference:.3g} s",
            expected=f"at most tolerance={tolerance:g} s",
            hint=f"tolerance={difference:.3g} takes them as the same, resample moves one",
        )
    return second.assign_coords(time=first["time"])


def _values(data: xr.Dataset) -> FloatArray:
    kind = data.attrs.get("kind")
    one_of("kind", kind, KINDS)
    array = physical(data) if kind == "signal" else data["value"]
    values: FloatArray = array.transpose("time", ...).values.astype(np.float64)
    return values


def _interpolate(
    own: FloatArray, values: FloatArray, wanted: FloatArray, limit: float
) -> FloatArray:
    right = np.clip(np.searchsorted(own, wanted), 1, own.size - 1)
    left = right - 1
    step = own[right] - own[left]
    weight = ((wanted - own[left]) / step)[:, None]
    # a sample itself needs no neighbour
    found = np.where(
        weight == 0, values[left], (1 - weight) * values[left] + weight * values[right]
    )
    found = np.where(weight == 1, values[right], found)
    on_sample = (weight[:, 0] == 0) | (weight[:, 0] == 1)
    outside = (wanted < own[0]) | (wanted > own[-1])
    found[outside | ((step > limit) & ~on_sample)] = np.nan
    return found


def _refuse_gaps(own: FloatArray, bad: FloatArray, limit: float) -> None:
    if bad.size:
        raise TimebaseError(
            "times lie in a gap of the data or outside of them",
            found=f"{bad.size} times, the first at {bad[0]:g} s",
            expected=f"times from {own[0]:g} to {own[-1]:g} s, not in steps above {limit:g} s",
            hint="on_bad='fix' gives NaN there and counts them",
        )


def _rebuild(data: xr.Dataset, values: FloatArray, time: FloatArray) -> xr.Dataset:
    attrs = {k: v for k, v in data.attrs.items() if k not in ("kind", "sampling_rate")}
    if data.attrs["kind"] == "behavior":
        return build_behavior(
            values,
            time=time,
            feature=data["feature"].values,
            units=data["feature_units"].values.tolist() if "feature_units" in data else "",
            **attrs,
        )
    dim = next(str(d) for d in data["signal"].dims if d != "time")
    columns = {
        str(name): coord.variable
        for name, coord in data.coords.items()
        if coord.dims == (dim,) and name not in (dim, "channel_conversion")
    }
    return build_signal(
        values,
        time=time,
        channel=data[dim].values,
        dim=dim,
        units=data["signal"].attrs.get("units", ""),
        channel_columns=columns,
        **attrs,
    )
