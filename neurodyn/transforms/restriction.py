"""Recordings restricted to intervals of time."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from neurodyn.errors import EmptySelectionError
from neurodyn.provenance import add_history
from neurodyn.transforms.intervals import Intervals, contains, intersection, union
from neurodyn.transforms.observation import (
    observation_intervals,
    observed_bins,
    with_observation,
)
from neurodyn.transforms.ticks import NANOSECOND_TICKS, TickBins

__all__ = ["restrict"]

R = TypeVar("R", xr.DataTree, xr.Dataset)


def restrict(recording: R, intervals: ArrayLike) -> R:
    """Keep what happened inside intervals; time itself does not change.

    Spikes outside are removed and the observation intervals narrowed, so that the rest is
    missing and not silent. Counts keep their regular clock: bins that are not wholly inside are
    marked as not observed, and cut off at both ends. Samples of other series outside are removed
    (the clock then has gaps). Trials remain when they lie wholly inside.

    Parameters
    ----------
    recording
        A recording, or one dataset of any kind with a clock.
    intervals
        Half-open intervals [s], shape ``(n, 2)``.

    Raises
    ------
    EmptySelectionError
        If nothing lies inside.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units, unit_spike_times
    >>> kept = restrict(spikes_from_units({"a": [0.1, 0.5, 0.9]}), [[0.4, 0.9]])
    >>> unit_spike_times(kept, "a"), kept["obs_stop"].item()
    (array([0.5]), 0.9)
    """
    kept = union(intervals)
    if not len(kept):
        raise EmptySelectionError("there is no interval to keep", found=np.asarray(intervals))
    if isinstance(recording, xr.Dataset):
        result = _restrict_dataset(recording, kept)
    else:
        result = recording.copy(deep=False)
        for node in list(result.leaves):
            if node.path != "/":
                node.dataset = _restrict_dataset(node.to_dataset(inherit=False), kept)
    return add_history(result, "restrict", intervals=kept.tolist())


def _restrict_dataset(ds: xr.Dataset, kept: Intervals) -> xr.Dataset:
    kind = ds.attrs.get("kind")
    if kind == "spikes":
        return _restrict_spikes(ds, kept)
    if kind == "counts" and "trial" not in ds["count"].dims:
        return _restrict_counts(ds, kept)
    if kind == "trials":
        inside = contains(kept, ds["start"].values, ds["stop"].values)
        return ds.isel(trial=np.flatnonzero(inside))
    if "time" in ds.dims and kind in ("signal", "bold", "behavior"):
        time = ds["time"].values
        inside = contains(kept, time, time)
        if not inside.any():
            raise EmptySelectionError(f"no sample of {kind} lies in the intervals", found=kept)
        return ds.isel(time=np.flatnonzero(inside))
    return ds


def _restrict_spikes(ds: xr.Dataset, kept: Intervals) -> xr.Dataset:
    ends = np.cumsum(ds["row_size"].values)
    time = np.asarray(ds["spike_time"].values)
    inside = contains(kept, time, time)
    before = np.concatenate([[0], np.cumsum(inside)])
    result = ds.drop_vars(["obs_start", "obs_stop", "obs_row_size"], errors="ignore")
    result = result.isel(spike=np.flatnonzero(inside))
    sizes = np.diff(before[np.concatenate([[0], ends])])
    result["row_size"] = ("unit", sizes, ds["row_size"].attrs)
    observed = observation_intervals(ds)
    if observed is None:
        return with_observation(result, [kept] * ds.sizes["unit"])
    return with_observation(result, [intersection(own, kept) for own in observed])


def _restrict_counts(ds: xr.Dataset, kept: Intervals) -> xr.Dataset:
    bins = TickBins.of(ds.attrs["bin_size"], NANOSECOND_TICKS)
    inside = observed_bins(bins, bins.sub_ticks(ds["time"].values), kept)
    rows = np.flatnonzero(inside)
    if not rows.size:
        raise EmptySelectionError(
            "no bin lies wholly in the intervals",
            found=kept.tolist(),
            expected=f"intervals of at least one bin of {ds.attrs['bin_size']} s",
        )
    span = slice(int(rows[0]), int(rows[-1]) + 1)
    result = ds.isel(time=span)
    if inside[span].all():
        return result
    mask = xr.DataArray(inside[span], dims="time")
    observed = result["observed"] & mask if "observed" in result else mask
    result["observed"] = observed.transpose(*[d for d in ds["count"].dims if d in observed.dims])
    result["count"] = result["count"].where(mask, 0).astype(ds["count"].dtype)
    return result
