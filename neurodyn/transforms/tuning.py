"""Tuning curves: firing rate against behavior, divided by the time spent there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, EmptySelectionError, TimebaseError, suggest
from neurodyn.provenance import add_history
from neurodyn.recording import names, pick, results
from neurodyn.transforms.intervals import Intervals, contains, union
from neurodyn.transforms.observation import observation_intervals

__all__ = ["tuning_curves"]

FloatArray = NDArray[np.float64]
Bins = int | Sequence[int] | Sequence[Sequence[float]] | Sequence[FloatArray]
SPIKES_PER_S = {"units": "spikes/s"}
OWN_NAMES = ("unit", "time", "rate", "occupancy")


def tuning_curves(
    data: xr.DataTree | xr.Dataset,
    behavior: xr.Dataset,
    features: str | Sequence[str] | None = None,
    *,
    bins: Bins = 20,
    limits: Sequence[tuple[float, float]] | None = None,
) -> xr.Dataset:
    """Return the firing rate of each unit as a function of one or two features of behavior.

    A spike (or a bin of counts, by its centre) takes the feature's nearest sample. Only what was
    observed of a unit, and samples without NaN, count as time spent. The rates are those of
    ``pynapple.compute_tuning_curves``.

    Parameters
    ----------
    data
        Spikes, counts ``(time, unit)``, or a recording with either (spikes are preferred).
    behavior
        Kind ``behavior``, ``value(time, feature)``.
    features
        Labels of one or two features; all by default.
    bins
        Number of bins, for all or for each feature; or the edges for each feature.
    limits
        Lowest and highest value of each feature, where ``bins`` are numbers.

    Returns
    -------
    xr.Dataset
        ``rate`` [spikes/s], NaN where no time was spent, and ``occupancy`` [s] with dims
        ``(unit, <feature>, …)``.

    Raises
    ------
    ConfigError
        If there is no such feature, or more than two.
    EmptySelectionError
        If behavior and spikes have no time in common.

    Examples
    --------
    >>> from neurodyn.recording import behavior, spikes_from_units
    >>> place = behavior([0.0, 0.0, 1.0, 1.0], sampling_rate=1.0, feature=["x"])
    >>> tuning_curves(spikes_from_units([[2.1, 2.9]]), place, bins=2)["rate"].values.tolist()
    [[0.0, 1.0]]
    """
    chosen = _features(behavior, features)
    source = _source(data)
    time = behavior["time"].values
    value = behavior["value"].sel(feature=chosen).transpose("time", "feature").values
    edges = _edges(value.astype(np.float64), bins, limits)
    of_kind = _of_counts if source.attrs["kind"] == "counts" else _of_spikes
    total, occupancy = of_kind(source, time, value.astype(np.float64), edges)
    rate = _divide(total, occupancy)
    dims = ("unit", *chosen)
    curves = {"rate": (dims, rate, SPIKES_PER_S), "occupancy": (dims, occupancy, {"units": "s"})}
    centres = {name: edge[:-1] + np.diff(edge) / 2 for name, edge in zip(chosen, edges)}
    result = results(curves, {"unit": source["unit"].values, **centres})
    return add_history(result, "tuning_curves", features=chosen)


def _divide(total: FloatArray, occupancy: FloatArray) -> FloatArray:
    if not occupancy.any():
        raise EmptySelectionError("behavior and spikes have no time in common")
    rate: FloatArray = np.full(total.shape, np.nan)
    np.divide(total, occupancy, out=rate, where=occupancy > 0)
    return rate


def _source(data: xr.DataTree | xr.Dataset) -> xr.Dataset:
    held = names(data) if isinstance(data, xr.DataTree) else [data.attrs.get("kind")]
    return pick(data, "counts" if "counts" in held and "spikes" not in held else "spikes")


def _features(behavior: xr.Dataset, features: str | Sequence[str] | None) -> list[str]:
    known = [str(label) for label in behavior["feature"].values]
    chosen = [features] if isinstance(features, str) else list(features or known)
    for name in chosen:
        if name not in known:
            raise ConfigError(f"no feature {name!r}", hint=suggest(name, known))
    if not 1 <= len(chosen) <= 2 or len(set(chosen)) < len(chosen) or set(chosen) & set(OWN_NAMES):
        raise ConfigError(
            "tuning curves take one or two features",
            found=", ".join(chosen),
            expected=f"different features, none called {' or '.join(OWN_NAMES)}",
            hint=f"features=... of {', '.join(known)}",
        )
    return chosen


def _edges(
    value: FloatArray, bins: Bins, limits: Sequence[tuple[float, float]] | None
) -> list[FloatArray]:
    known = value[np.isfinite(value).all(axis=1)]
    if not len(known):
        raise EmptySelectionError("the features hold no number")
    try:
        _, edges = np.histogramdd(known, bins=bins, range=limits)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            "bins or limits do not fit the features",
            found=f"bins={bins!r}, limits={limits!r}: {error}",
            expected=f"one number, or one entry for each of {value.shape[1]} features",
        ) from error
    return [np.asarray(edge, dtype=np.float64) for edge in edges]


def _of_spikes(
    spikes: xr.Dataset, time: FloatArray, value: FloatArray, edges: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    step = _step(time)
    intervals = observation_intervals(spikes)
    ends = np.cumsum(spikes["row_size"].values)
    trains = np.split(spikes["spike_time"].values, ends[:-1])
    total, occupancy = [], []
    for unit, train in enumerate(trains):
        seen = None if intervals is None else union(intervals[unit])
        sample, _ = _nearest(time, train[_inside(train, seen)], step)
        total.append(_histogram(value[sample], edges))
        occupancy.append(_histogram(value[_inside(time, seen)], edges) * step)
    return np.stack(total), np.stack(occupancy)


def _of_counts(
    counts: xr.Dataset, time: FloatArray, value: FloatArray, edges: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    bin_size = counts.attrs["bin_size"]
    centre = counts["time"].values + bin_size / 2
    # a bin takes a sample that lies within it, or within a step of the behavior
    sample, row = _nearest(time, centre, max(_step(time), bin_size / 2))
    count = counts["count"].transpose("time", "unit").values[row].astype(np.float64)
    mask = np.ones(count.shape, dtype=bool)
    if "observed" in counts:
        full = counts["observed"].broadcast_like(counts["count"]).transpose("time", "unit")
        mask = full.values[row]
    total, occupancy = [], []
    for unit in range(count.shape[1]):
        seen = mask[:, unit]
        total.append(_histogram(value[sample[seen]], edges, count[seen, unit]))
        occupancy.append(_histogram(value[sample[seen]], edges) * bin_size)
    return np.stack(total), np.stack(occupancy)


def _inside(time: FloatArray, intervals: Intervals | None) -> NDArray[np.bool_]:
    if intervals is None:
        return np.ones(time.size, dtype=bool)
    if not len(intervals):
        return np.zeros(time.size, dtype=bool)
    return contains(intervals, time, time)


def _step(time: FloatArray) -> float:
    if time.size < 2:
        raise TimebaseError("behavior of one sample tells no duration", found=time.size)
    return float(np.median(np.diff(time)))


def _nearest(
    time: FloatArray, wanted: FloatArray, reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return nearest samples of those times that lie between samples, and which those are."""
    row = np.flatnonzero((wanted >= time[0]) & (wanted <= time[-1]))
    right = np.clip(np.searchsorted(time, wanted[row]), 1, time.size - 1)
    nearer_left = wanted[row] - time[right - 1] <= time[right] - wanted[row]
    sample = np.where(nearer_left, right - 1, right)
    close = np.abs(time[sample] - wanted[row]) <= reach
    return sample[close], row[close]


def _histogram(
    value: FloatArray, edges: list[FloatArray], weights: FloatArray | None = None
) -> FloatArray:
    known = np.isfinite(value).all(axis=1)
    weights = None if weights is None else weights[known]
    return np.asarray(np.histogramdd(value[known], bins=edges, weights=weights)[0])
