"""Counts around an event of every trial."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import (
    ConfigError,
    DataQualityWarning,
    EmptySelectionError,
    SpikeTimesError,
    TrialTableError,
    one_of,
    suggest,
)
from neurodyn.provenance import add_history
from neurodyn.recording import counts, names, pick
from neurodyn.transforms.binning import quality_attrs, unit_columns, warn_if_coarse
from neurodyn.transforms.counting import Route, choose_route, count_rows
from neurodyn.transforms.observation import (
    observation_intervals,
    observed_bins,
    shared_intervals,
)
from neurodyn.transforms.ticks import NANOSECOND_TICKS, TickBins, as_rational

__all__ = ["align"]

OnBad = Literal["raise", "fix", "drop", "warn"]
OWN_NAMES = ("trial", "time", "unit", "count", "observed", "event_time", "forward", "held_out")


@dataclass(frozen=True, eq=False)
class Aligned:
    """Counts ``(trial, time, unit)``, their mask over the leading dims, and how they were made."""

    count: NDArray[Any]
    observed: NDArray[np.bool_] | None
    attrs: dict[str, Any]


def align(
    data: xr.DataTree | xr.Dataset,
    trials: xr.DataTree | xr.Dataset | None = None,
    event: str = "start",
    *,
    window: tuple[float, float],
    bin_size: float | None = None,
    on_bad: OnBad = "fix",
    route: Route = "auto",
) -> xr.Dataset:
    """Count spikes in bins around an event of each trial.

    Spikes are binned exactly from each event; counts from the first whole bin in the window on.

    Parameters
    ----------
    data
        Spikes, counts ``(time, unit)``, or a recording with either (spikes are preferred).
    trials
        Table of trials, by default that of the recording; they come out in order of start.
    event
        Column with the event's time [s]: ``start``, ``stop``, ``move_onset_time`` …
    window
        Begin and end [s] from the event; a last partial bin is left out.
    bin_size
        Width of a bin [s]; known of counts.
    on_bad
        Trials of which a part was not observed: ``fix`` keeps them with those bins marked,
        ``warn`` says so too, ``drop`` leaves them out, ``raise`` names them. Trials without
        the event or any observed bin are left out in any case but ``raise``.
    route
        As in :func:`neurodyn.transforms.bin_spikes`.

    Returns
    -------
    xr.Dataset
        Kind ``counts``, dims ``(trial, time, unit)``; ``time`` [s] from ``event_time(trial)``
        [s]; the columns of the trials are coordinates.

    Raises
    ------
    TrialTableError
        If there are no trials or no such event, or by ``on_bad="raise"``.
    ConfigError
        If window and bin size do not fit.
    EmptySelectionError
        If no trial is left.
    """
    one_of("on_bad", on_bad, ("raise", "fix", "drop", "warn"))
    source = _source(data)
    size = _bin_size(source, bin_size)
    table, quality = _ordered(_trial_table(data, trials))
    table = _with_event(table, event, on_bad, quality)
    times = table[event].values.astype(np.float64)
    cut = _cut_spikes if source.attrs["kind"] == "spikes" else _cut_counts
    aligned = cut(source, times, window[0], size, _n_time(window, size), route)
    kept = _settle(aligned.observed, table, on_bad, quality)
    result = _build(aligned, source, table, times, kept, (window[0], size))
    result.attrs.update(quality_attrs(quality), event=event)
    return add_history(result, "align", event=event, window=list(window), bin_size=size)


def _source(data: xr.DataTree | xr.Dataset) -> xr.Dataset:
    if isinstance(data, xr.DataTree):
        return pick(data, "counts" if "spikes" not in names(data) else "spikes")
    kind = "counts" if data.attrs.get("kind") == "counts" else "spikes"
    source = pick(data, kind)
    if "trial" in source.dims:
        raise ConfigError("the counts are aligned already", found=dict(source.sizes))
    return source


def _trial_table(
    data: xr.DataTree | xr.Dataset, trials: xr.DataTree | xr.Dataset | None
) -> xr.Dataset:
    where = data if trials is None else trials
    if isinstance(where, xr.DataTree):
        if "trials" not in where.children:
            raise TrialTableError(
                "the recording has no table of trials",
                where=where.attrs.get("source"),
                found=", ".join(where.children) or "nothing",
                hint="give a table: neurodyn.recording.trials(start, stop)",
            )
        return pick(where, "trials")
    if where.attrs.get("kind") != "trials":
        raise TrialTableError("trials are needed to align", found=where.attrs.get("kind"))
    return where


def _ordered(table: xr.Dataset) -> tuple[xr.Dataset, dict[str, int]]:
    start = table["start"].values
    order = np.argsort(start, kind="stable")
    table = table.isel(trial=order)
    reach = np.fmax.accumulate(table["stop"].values) if start.size else start
    return table, {
        "trials_reordered": int(np.count_nonzero(order != np.arange(order.size))),
        "trials_overlapping": int(np.count_nonzero(table["start"].values[1:] < reach[:-1])),
    }


def _with_event(
    table: xr.Dataset, event: str, on_bad: OnBad, quality: dict[str, int]
) -> xr.Dataset:
    """Return the trials that have the event."""
    known = [str(n) for n, v in table.variables.items() if v.dims == ("trial",) and n != "trial"]
    if event not in known:
        raise TrialTableError(f"no column {event!r} in the trials", hint=suggest(event, known))
    if table[event].dtype.kind not in "fiu":
        raise TrialTableError(
            f"column {event!r} holds no times", found=table[event].dtype, expected="seconds"
        )
    present = np.isfinite(table[event].values)
    if on_bad == "raise" and not present.all():
        _refuse(table, ~present, f"trials without the event {event!r}")
    quality["trials_without_event"] = int((~present).sum())
    if not present.any():
        raise EmptySelectionError(f"no trial has the event {event!r}", found=present.size)
    return table.isel(trial=np.flatnonzero(present))


def _bin_size(source: xr.Dataset, bin_size: float | None) -> float:
    wanted = source.attrs.get("bin_size") if bin_size is None else bin_size
    if wanted is None:
        raise ConfigError("bin_size is needed to align spikes", expected="seconds")
    own = source.attrs.get("bin_size", wanted)
    if not np.isclose(own, wanted, rtol=1e-9):
        raise ConfigError(
            "counts cannot be aligned in other bins",
            found=f"bin_size={bin_size} s and counts in bins of {own} s",
            hint="align the spikes instead",
        )
    return float(wanted)


def _n_time(window: tuple[float, float], bin_size: float) -> int:
    begin, end = window
    if not (np.isfinite([begin, end]).all() and bin_size > 0 and np.isfinite(bin_size)):
        raise ConfigError("window and bin_size must be finite", found=f"{window}, {bin_size}")
    n_time = (as_rational(end) - as_rational(begin)) // as_rational(bin_size)
    if n_time < 1:
        raise ConfigError(
            "window and bin_size do not fit",
            found=f"window={window} s, bin_size={bin_size} s",
            expected="a window of at least one bin",
        )
    return int(n_time)


def _cut_spikes(
    spikes: xr.Dataset,
    times: NDArray[np.float64],
    begin: float,
    bin_size: float,
    n_time: int,
    route: Route,
) -> Aligned:
    bins = TickBins.of(bin_size, spikes.attrs["tick_hz"], offset=begin)
    origins = bins.sub_ticks(times) + float(
        as_rational(begin) * as_rational(bins.tick_hz) * bins.scale
    )
    spike_time = spikes["spike_time"].values
    warn_if_coarse(spikes, spike_time, bin_size)
    ends = np.cumsum(spikes["row_size"].values)
    rows = [_rows_of_unit(bins, own, origins, n_time) for own in np.split(spike_time, ends[:-1])]
    sizes = np.array([own.size for own in rows], dtype=np.int64)
    flat = np.concatenate([*rows, np.empty(0, np.int32)])
    backend = choose_route(route, flat.size)
    count = count_rows(flat, sizes, origins.size * n_time, route=backend)
    count = count.reshape(origins.size, n_time, -1)
    intervals, observed = observation_intervals(spikes), None
    if intervals is not None:
        left = origins[:, None] + np.arange(n_time) * bins.width
        shared = shared_intervals(intervals)
        observed = (
            np.stack([observed_bins(bins, left, own) for own in intervals], axis=-1)
            if shared is None
            else observed_bins(bins, left, shared)
        )
        count[~observed] = 0
    return Aligned(count, observed, {"backend": backend, "tick_hz": spikes.attrs["tick_hz"]})


def _rows_of_unit(
    bins: TickBins, time: NDArray[np.float64], origins: NDArray[np.float64], n_time: int
) -> NDArray[np.int32]:
    """Return ``trial * n_time + bin`` of each spike in a window; windows may overlap."""
    ticks = bins.sub_ticks(time)
    if not (np.diff(ticks) >= 0).all() or not np.isfinite(ticks[-1:]).all():
        raise SpikeTimesError("spike times are not sorted or not finite")
    first = np.searchsorted(ticks, origins)
    sizes = np.searchsorted(ticks, origins + n_time * bins.width) - first
    trial = np.repeat(np.arange(origins.size), sizes)
    skipped = np.concatenate([[0], np.cumsum(sizes)[:-1]])[: origins.size]
    spike = np.arange(trial.size) + np.repeat(first - skipped, sizes)
    bin_index = np.floor((ticks[spike] - origins[trial]) / bins.width)
    return np.asarray(trial * n_time + bin_index, dtype=np.int32)


def _cut_counts(
    source: xr.Dataset,
    times: NDArray[np.float64],
    begin: float,
    bin_size: float,
    n_time: int,
    route: Route,
) -> Aligned:
    bins = TickBins.of(bin_size, NANOSECOND_TICKS, offset=begin)
    ticks = bins.sub_ticks(source["time"].values)
    place = np.rint((ticks - ticks[0]) / bins.width).astype(np.int64)
    # which row of the counts holds a place of the regular clock; -1: none
    row_at = np.full(int(place[-1]) + 1, -1, dtype=np.int64)
    row_at[place] = np.arange(place.size)
    offset = float(as_rational(begin) * as_rational(bins.tick_hz) * bins.scale)
    first = np.ceil((bins.sub_ticks(times) + offset - ticks[0]) / bins.width).astype(np.int64)
    wanted = first[:, None] + np.arange(n_time)
    inside = (wanted >= 0) & (wanted < row_at.size)
    rows = np.where(inside, row_at[np.clip(wanted, 0, row_at.size - 1)], -1)
    observed = rows >= 0
    if "observed" in source:
        order = [dim for dim in ("time", "unit") if dim in source["observed"].dims]
        mask = source["observed"].transpose(*order).values[rows]
        observed = mask & (observed if mask.ndim == 2 else observed[..., None])
    count = source["count"].transpose("time", "unit").values[rows]
    count[~observed] = 0
    kept = {name: source.attrs[name] for name in ("tick_hz", "backend") if name in source.attrs}
    return Aligned(count, observed, kept)


def _settle(
    observed: NDArray[np.bool_] | None, table: xr.Dataset, on_bad: OnBad, quality: dict[str, int]
) -> NDArray[np.bool_]:
    """Return which trials stay, and count what was found."""
    if observed is None:
        return np.ones(table.sizes["trial"], dtype=bool)
    seen: NDArray[np.bool_] = np.asarray(observed if observed.ndim == 2 else observed.any(axis=-1))
    partly: NDArray[np.bool_] = np.asarray(~seen.all(axis=1))
    if on_bad == "raise" and partly.any():
        _refuse(table, partly, "trials reach beyond what was observed")
    kept: NDArray[np.bool_] = np.asarray(~partly if on_bad == "drop" else seen.any(axis=1))
    quality["trials_left_out"] = int((~kept).sum())
    quality["trials_padded"] = int((partly & kept).sum())
    quality["bins_padded"] = int((~seen[kept]).sum())
    if on_bad == "warn" and partly.any():
        warnings.warn(
            f"{int(partly.sum())} of {partly.size} trials reach beyond what was observed",
            DataQualityWarning,
            stacklevel=3,
        )
    return kept


def _refuse(table: xr.Dataset, bad: NDArray[np.bool_], what: str) -> None:
    ids = table["trial"].values[bad].tolist()
    raise TrialTableError(
        what,
        found=f"{len(ids)} of {bad.size} trials: {', '.join(map(str, ids[:10]))}",
        hint="on_bad='fix' marks their bins as not observed, on_bad='drop' leaves them out",
    )


def _build(
    aligned: Aligned,
    source: xr.Dataset,
    table: xr.Dataset,
    times: NDArray[np.float64],
    kept: NDArray[np.bool_],
    grid: tuple[float, float],
) -> xr.Dataset:
    if not kept.any():
        raise EmptySelectionError("no trial has an observed bin around the event")
    begin, bin_size = grid
    chosen = table.isel(trial=np.flatnonzero(kept))
    columns = {
        f"trial_{name}" if name in OWN_NAMES else str(name): variable
        for name, variable in chosen.variables.items()
        if variable.dims[:1] == ("trial",) and name != "trial"
    }
    columns["event_time"] = xr.Variable(("trial",), times[kept], {"units": "s"})
    exact = [as_rational(begin) + k * as_rational(bin_size) for k in range(aligned.count.shape[1])]
    return counts(
        aligned.count if kept.all() else aligned.count[kept],
        bin_size=bin_size,
        unit=source["unit"].values,
        time=[float(edge) for edge in exact],
        trial=chosen["trial"].values,
        observed=None if aligned.observed is None else aligned.observed[kept],
        unit_columns=unit_columns(source),
        trial_columns=columns,
        **aligned.attrs,
    )
