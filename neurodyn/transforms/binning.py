"""Spikes to counts in equal bins, on integer ticks."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DataQualityWarning, EmptySelectionError, SpikeTimesError
from neurodyn.provenance import add_history
from neurodyn.recording import counts, pick
from neurodyn.transforms.counting import Counts, Route, choose_route, count_rows
from neurodyn.transforms.intervals import Intervals
from neurodyn.transforms.observation import (
    observation_intervals,
    observed_bins,
    shared_intervals,
)
from neurodyn.transforms.ticks import Survey, TickBins

__all__ = ["bin_spikes", "unit_columns", "warn_if_coarse"]

MOST_BINS = 2**31 - 2


def bin_spikes(
    recording: xr.DataTree | xr.Dataset,
    bin_size: float,
    *,
    start: float | None = None,
    stop: float | None = None,
    route: Route = "auto",
    name: str | None = None,
) -> xr.Dataset:
    """Count spikes in half-open bins ``[start + k bin_size, start + (k + 1) bin_size)``.

    Times become ticks ``rint(t * tick_hz)`` of the recording's clock first, and bins are exact on
    those. A bin is observed only when it lies wholly inside an observation interval of the unit
    (intervals that touch count as one); elsewhere the stored 0 has no meaning. Units that share
    their intervals share one mask ``(time)``.

    Parameters
    ----------
    recording
        A recording or its spikes.
    bin_size
        Width of a bin [s], at least one tick.
    start, stop
        What to bin [s], rounded to ticks; a last bin that would reach beyond ``stop`` is left
        out. By default from the first observation (0 s, or the first spike if that is earlier,
        where no intervals are known) in multiples of ``bin_size``, to the last one (the bin of
        the last spike).
    route
        ``numpy``, ``numba`` (the ``fast`` extra) or ``auto``; the counts are equal and
        ``attrs["backend"]`` says which it was.
    name
        Which spikes, if the recording has several.

    Returns
    -------
    xr.Dataset
        Kind ``counts``: ``count(time, unit)`` uint8, or uint16 when a bin exceeds 255, and
        ``observed`` where there are intervals; ``attrs["quality"]`` counts the spikes that
        were not counted.

    Raises
    ------
    ConfigError
        If ``bin_size`` is not positive, shorter than a tick or longer than what is binned.
    SpikeTimesError
        If spike times are not finite or not sorted.
    DataError
        If a bin holds more than 65,535 spikes.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.01, 0.02, 0.05], "b": [0.03]})
    >>> bin_spikes(spikes, 0.02)["count"].values.tolist()
    [[1, 0], [1, 1], [1, 0]]
    """
    spikes = pick(recording, "spikes", name)
    result = _bin(spikes, TickBins.of(bin_size, spikes.attrs["tick_hz"]), start, stop, route)
    return add_history(result, "bin_spikes", bin_size=bin_size, start=start, stop=stop)


def unit_columns(ds: xr.Dataset) -> dict[str, xr.Variable]:
    """Return the coordinates along ``unit`` other than the labels."""
    return {
        str(name): coord.variable
        for name, coord in ds.coords.items()
        if coord.dims[:1] == ("unit",) and name != "unit"
    }


def warn_if_coarse(spikes: xr.Dataset, time: NDArray[np.float64], bin_size: float) -> None:
    """Warn where times kept in single precision are too coarse for the bins.

    Parameters
    ----------
    spikes
        Kind ``spikes``; ``attrs["stored_dtype"]`` says how the file held the times.
    time
        Spike times [s].
    bin_size
        Width of a bin [s].
    """
    if spikes.attrs.get("stored_dtype") != "float32" or not time.size:
        return
    step = float(np.spacing(np.float32(np.abs(time).max())))
    if step > bin_size / 10:
        warnings.warn(
            f"spike times were stored as float32: they are {step:.2g} s apart late in the "
            f"session, more than a tenth of the bins of {bin_size} s",
            DataQualityWarning,
            stacklevel=3,
        )


def _bin(
    spikes: xr.Dataset, bins: TickBins, start: float | None, stop: float | None, route: Route
) -> xr.Dataset:
    row_size = spikes["row_size"].values
    if not row_size.size:
        raise EmptySelectionError("there are no units to bin")
    intervals = observation_intervals(spikes)
    time = np.ascontiguousarray(spikes["spike_time"].values, dtype=np.float64)
    warn_if_coarse(spikes, time, float(bins.bin_size))
    origin, n_bins = _extent(bins, time, row_size, intervals, (start, stop))
    backend = choose_route(route, time.size)
    rows, seen = _rows(bins, time, spikes, origin, n_bins, backend)
    count = count_rows(rows, row_size, n_bins, route=backend, narrow=seen.narrow)
    # a quarter of the peak, before the labels are made
    del time, rows
    quality = {"spikes_outside_window": spikes.sizes["spike"] - seen.n_inside}
    mask = None
    if intervals is not None:
        mask = _observed(bins, origin, n_bins, intervals)
        quality["spikes_unobserved"] = _clear(count, mask)
    return counts(
        count,
        bin_size=float(bins.bin_size),
        unit=spikes["unit"].values,
        time=bins.time(origin, n_bins),
        observed=mask,
        unit_columns=unit_columns(spikes),
        tick_hz=spikes.attrs["tick_hz"],
        backend=backend,
        **quality_attrs(quality),
    )


def quality_attrs(counted: dict[str, int]) -> dict[str, Any]:
    """Return the attribute ``quality`` of what was counted, if anything was."""
    found = {what: n for what, n in counted.items() if n}
    return {"quality": found} if found else {}


def _extent(
    bins: TickBins,
    time: NDArray[np.float64],
    row_size: NDArray[Any],
    intervals: list[Intervals] | None,
    window: tuple[float | None, float | None],
) -> tuple[int, int]:
    """Return the origin in sub-ticks and the number of bins."""
    start, stop = window
    first, last, beyond = 0.0, 0.0, 0
    if intervals is not None and any(len(own) for own in intervals):
        table = np.concatenate(intervals)
        first, last = float(table[:, 0].min()), float(table[:, 1].max())
    elif start is None or stop is None:
        first, last = _first_and_last(time, row_size)
        # the bin of the last spike is binned too
        beyond = bins.width if stop is None else 0
    edges = bins.sub_ticks([first if start is None else start, last if stop is None else stop])
    begin, end = int(edges[0]), int(edges[1]) + beyond
    if start is None:
        begin -= begin % bins.width
    n_bins = (end - begin) // bins.width
    if not 0 < n_bins <= MOST_BINS:
        raise ConfigError(
            "bin_size does not fit the span to bin",
            found=f"{n_bins} bins of {float(bins.bin_size):g} s",
            expected="at least one whole bin between start and stop",
        )
    return begin, n_bins


def _first_and_last(time: NDArray[np.float64], row_size: NDArray[Any]) -> tuple[float, float]:
    ends = np.cumsum(row_size)
    filled = row_size > 0
    outer = time[np.concatenate([(ends - row_size)[filled], ends[filled] - 1])]
    outer = outer[np.isfinite(outer)]
    if not outer.size:
        raise EmptySelectionError(
            "there is no spike to tell what to bin", expected="start and stop, or a spike"
        )
    return min(0.0, float(outer.min())), float(outer.max())


def _rows(
    bins: TickBins,
    time: NDArray[np.float64],
    spikes: xr.Dataset,
    origin: int,
    n_bins: int,
    backend: Literal["numpy", "numba"],
) -> tuple[NDArray[np.int32], Survey]:
    """Return the bin of each spike and what was seen; raise where that makes no sense."""
    rows = np.empty(time.size, dtype=np.int32)
    if backend == "numba":
        from neurodyn.transforms import fast_counting

        seen = fast_counting.rows(bins, time, origin, n_bins, rows)
    else:
        seen = bins.rows(time, origin, n_bins, rows)
    starts = np.cumsum(spikes["row_size"].values)[:-1]
    starts = np.unique(starts[(starts > 0) & (starts < rows.size)])
    between = int(np.count_nonzero(rows[starts] < rows[starts - 1]))
    if not seen.finite or seen.n_descents != between:
        raise SpikeTimesError(
            "spike times are not sorted" if seen.finite else "spike times are not finite",
            where=spikes.attrs.get("source_path"),
            expected="finite times that never decrease within a unit",
            hint="load(on_bad='fix') sorts them and counts the change",
        )
    return rows, seen


def _observed(
    bins: TickBins, origin: int, n_bins: int, intervals: list[Intervals]
) -> NDArray[np.bool_]:
    """Return the mask ``(time,)`` if units share their intervals, else ``(time, unit)``."""
    left = origin + np.arange(n_bins, dtype=np.float64) * bins.width
    shared = shared_intervals(intervals)
    if shared is not None:
        return observed_bins(bins, left, shared)
    mask = np.empty((n_bins, len(intervals)), dtype=bool)
    groups: dict[bytes, list[int]] = {}
    for unit, own in enumerate(intervals):
        groups.setdefault(own.tobytes(), []).append(unit)
    for units in groups.values():
        mask[:, units] = observed_bins(bins, left, intervals[units[0]])[:, None]
    return mask


def _clear(count: Counts, observed: NDArray[np.bool_]) -> int:
    """Set counts of unobserved bins to 0; return how many spikes that were."""
    n_spikes, step = 0, 1 << 16
    for start in range(0, count.shape[0], step):
        hidden = ~observed[start : start + step]
        if hidden.any():
            part = count[start : start + step]
            n_spikes += int(part[hidden].sum(dtype=np.int64))
            part[hidden] = 0
    return n_spikes
