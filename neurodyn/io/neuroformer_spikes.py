"""Spikes of Neuroformer's arrays: counts or lists of events, continuous or in trials."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn.errors import DataError, SpikeTimesError, TimebaseError, TrialTableError
from neurodyn.io.neuroformer_arrays import NamedArrays
from neurodyn.io.neuroformer_clock import Clocks, Span, place_trials, spread_counts
from neurodyn.transforms.ticks import NANOSECOND_TICKS, as_rational

__all__ = ["is_continuous", "spans_of", "spikes_of"]

Spikes = tuple[NDArray[np.int64], NDArray[np.float64]]
COUNTS = ("unit", "bin")


def is_continuous(arrays: NamedArrays) -> bool:
    """Tell whether the spikes are of one continuous recording, not of trials.

    Raises
    ------
    DataError
        If there are no spikes, or spikes of two forms.

    Examples
    --------
    >>> is_continuous(NamedArrays({"spikes": [[0]]}, "session.npz"))
    True
    """
    forms = [name for name in ("spikes", "events") if name in arrays]
    forms += ["spikes/<trial>"] if arrays.below("spikes") else []
    if len(forms) != 1:
        raise DataError(
            "layout needs spikes of one form",
            where=arrays.where,
            found=" and ".join(forms) or "none",
            expected="spikes, spikes/<trial> or events",
        )
    return forms == ["spikes"]


def spans_of(arrays: NamedArrays, clocks: Clocks) -> list[Span]:
    """Return where the trials, or the one recording, lie on the clock of the session.

    Raises
    ------
    DataError
        If counts or durations have another form.
    TrialTableError
        If events come without the durations of their trials.

    Examples
    --------
    >>> arrays = NamedArrays({"spikes/a": [[0, 1]], "spikes/b": [[1]]}, "session.npz")
    >>> spans_of(arrays, Clocks(0.5, 20.0, 20.0, gap=1.0))
    [Span(start=0.0, stop=1.0), Span(start=2.0, stop=2.5)]
    """
    bin_size = as_rational(clocks.bin_size)
    if "events" in arrays:
        lengths = _durations(arrays)
    else:
        lengths = [arrays.numbers(name, COUNTS).shape[1] * bin_size for name in _names(arrays)]
    return place_trials(lengths, clocks.bin_size, clocks.gap)


def spikes_of(arrays: NamedArrays, clocks: Clocks, spans: list[Span]) -> xr.Dataset:
    """Return the spikes, observed in the trials or in the intervals.

    Parameters
    ----------
    arrays, clocks
        Of the session.
    spans
        As :func:`spans_of` places them.

    Raises
    ------
    DataError
        If counts are no counts, or units differ between trials.
    SpikeTimesError
        If an event is of no trial or unit, or not in its trial.
    TimebaseError
        If intervals are not in order or outside of the recording.

    Examples
    --------
    >>> arrays = NamedArrays({"spikes": [[0, 1], [2, 0]]}, "session.npz")
    >>> clocks = Clocks(0.5, 20.0, 20.0, gap=1.0)
    >>> spikes_of(arrays, clocks, spans_of(arrays, clocks))["spike_time"].values.tolist()
    [0.75, 0.125, 0.375]
    """
    n_units = _n_units(arrays)
    trials = _events(arrays, spans, n_units) if "events" in arrays else _counted(arrays, clocks)
    units, times = [], []
    for span, (unit, time) in zip(spans, trials):
        units.append(unit)
        times.append(span.start + time)
    unit, time = np.concatenate(units), np.concatenate(times)
    observed = _observed(arrays, clocks, spans)
    return rec.spikes(
        time[np.argsort(unit, kind="stable")],
        np.bincount(unit, minlength=n_units),
        arrays.column("units", n_units, "units") if "units" in arrays else None,
        observed=(*np.tile(observed, (n_units, 1)).T, np.full(n_units, len(observed))),
        tick_hz=_tick_hz(as_rational(clocks.bin_size)),
        time_resolution=clocks.bin_size,
    )


def _tick_hz(bin_size: Fraction) -> float:
    """Return a clock of about a nanosecond on which bins are whole ticks."""
    of_bins = bin_size.denominator
    return of_bins * max(NANOSECOND_TICKS // of_bins, 1.0)


def _names(arrays: NamedArrays) -> list[str]:
    return [f"spikes/{trial}" for trial in arrays.below("spikes")] or ["spikes"]


def _n_units(arrays: NamedArrays) -> int:
    if "events" not in arrays:
        return len(arrays.numbers(_names(arrays)[0], COUNTS))
    if "units" in arrays:
        return arrays.length("units")
    highest = arrays.numbers("events", ("event", 3))[:, 2].max()
    return int(highest) + 1 if np.isfinite(highest) else 0


def _durations(arrays: NamedArrays) -> list[Fraction]:
    if "trials/duration" not in arrays:
        raise TrialTableError(
            "events need the durations of their trials",
            where=arrays.where,
            found="no trials/duration",
            expected="seconds of each trial: silence at its end is data, too",
        )
    found = arrays.numbers("trials/duration", ("trial",))
    if not ((found > 0) & (found < np.inf)).all():
        raise TrialTableError(
            "a trial has no length",
            where=arrays.place("trials/duration"),
            found=f"{found.min()} to {found.max()}",
            expected="finite seconds above 0",
        )
    return [as_rational(float(duration)) for duration in found]


def _counted(arrays: NamedArrays, clocks: Clocks) -> Iterator[Spikes]:
    """Yield unit and time in the trial [s] of the spikes of each trial, sorted by unit."""
    n_units = _n_units(arrays)
    for name in _names(arrays):
        counts = arrays.numbers(name, COUNTS)
        if len(counts) != n_units:
            raise DataError(
                "trials differ in their units",
                where=arrays.place(name),
                found=f"{len(counts)} units",
                expected=f"{n_units}, as in the first trial",
            )
        yield spread_counts(counts, clocks.bin_size, arrays.place(name))


def _events(arrays: NamedArrays, spans: list[Span], n_units: int) -> Iterator[Spikes]:
    """Yield unit and time in the trial [s] of the spikes of each trial, sorted by time."""
    events = arrays.numbers("events", ("event", 3)).astype(np.float64)
    trial, time, unit = events.T
    n_trials = len(spans)
    duration = np.array([span.duration for span in spans])
    of_trial = np.isin(trial, np.arange(n_trials))
    longest = np.where(of_trial, duration[np.where(of_trial, trial, 0).astype(np.int64)], np.inf)
    for fits, what, expected in (
        (of_trial, "a trial that is none", f"0 to {n_trials - 1}"),
        (np.isin(unit, np.arange(n_units)), "a unit that is none", f"0 to {n_units - 1}"),
        ((time >= 0) & (time < longest), "a time outside of its trial", "seconds in the trial"),
    ):
        if not fits.all():
            first = int(np.argmin(fits))
            raise SpikeTimesError(
                f"an event has {what}",
                where=f"{arrays.place('events')}, row {first}",
                found=f"{events[first].tolist()} ({int((~fits).sum())} such rows)",
                expected=expected,
            )
    for number in range(n_trials):
        own = events[trial == number]
        own = own[np.argsort(own[:, 1], kind="stable")]
        yield own[:, 2].astype(np.int64), own[:, 1]


def _observed(arrays: NamedArrays, clocks: Clocks, spans: list[Span]) -> NDArray[np.float64]:
    """Return when the spikes were observed [s], shape ``(interval, 2)``."""
    if "intervals" not in arrays:
        return np.array(spans, np.float64)
    if not is_continuous(arrays):
        raise DataError(
            "trials say already what was observed",
            where=arrays.place("intervals"),
            found="intervals and trials of spikes",
            expected="one of them",
        )
    found = arrays.numbers("intervals", ("interval", 2)).astype(np.float64)
    edges, last = found.ravel(), spans[0].stop + clocks.bin_size
    if not ((np.diff(edges) >= 0).all() and edges[0] >= 0 and edges[-1] <= last):
        raise TimebaseError(
            "intervals are not in order",
            where=arrays.place("intervals"),
            found=f"{len(found)} intervals, {np.min(edges):g} to {np.max(edges):g} s",
            expected=f"start and stop of one after another, in 0 to {spans[0].stop:g} s",
        )
    return found
