"""What happened in bins around instants: counts of units, means of a stimulus."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError
from neurodyn.recording import pick
from neurodyn.recording.access import physical
from neurodyn.transforms.intervals import contains, union
from neurodyn.transforms.ticks import TickBins
from neurodyn.windows.time_folds import observed_time

__all__ = ["SPIKES", "lagged_counts", "lagged_inputs", "lagged_stimulus", "n_lags"]

FloatArray = NDArray[np.float64]
SPIKES = "spikes:"
"""What labels of counts begin with; those of the rest begin with ``stimulus:``."""
LONGEST_SHOWN = 2.0
"""Of the median step: a sample lasts to the next one, or so long where that is further away."""
LEAST_SHOWN = 0.5
"""Share of a bin in which the stimulus has to be known."""


def n_lags(lags: tuple[float, float], bin_size: float) -> int:
    """Return how many whole bins fit between two lags [s].

    Examples
    --------
    >>> n_lags((-0.5, 0.5), 0.25)
    4
    """
    # rounded: float noise is not to cost a bin
    return int(np.floor(round((lags[1] - lags[0]) / bin_size, 6)))


def lagged_inputs(
    recording: xr.DataTree | xr.Dataset,
    time: FloatArray,
    inputs: tuple[str, ...],
    *,
    bin_size: float,
    lags: tuple[float, float],
    root: bool = True,
    stimulus: str | None = None,
) -> tuple[FloatArray, list[str]]:
    """Return counts, a stimulus, or both side by side.

    Parameters
    ----------
    recording, time, bin_size, lags
        As in :func:`lagged_counts`.
    inputs
        ``"spikes"``, ``"stimulus"``, in the order wanted.
    root
        Take the square roots of counts.
    stimulus
        Which signal, if there are several.

    Returns
    -------
    values, labels
        Shape ``(instant, lag, input)``, NaN where :func:`lagged_counts` is NaN, whatever is
        read: the same instants count for all; ``"spikes:<unit>"`` or ``"stimulus:<channel>"``.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.3, 0.4, 0.5]}, observed=[[0.0, 1.0]])
    >>> lagged_inputs(spikes, np.array([0.5]), ("spikes",), bin_size=0.5, lags=(-0.5, 0.0))
    (array([[[1.41421356]]]), ['spikes:a'])
    """
    spikes = pick(recording, "spikes")
    counts = lagged_counts(spikes, time, bin_size=bin_size, lags=lags)
    parts, labels = [], []
    for name in inputs:
        if name == "spikes":
            parts.append(np.sqrt(counts) if root else counts)
            labels += [f"{SPIKES}{unit}" for unit in spikes["unit"].values]
        else:
            means, channels = lagged_stimulus(
                recording, time, bin_size=bin_size, lags=lags, name=stimulus
            )
            means[np.isnan(counts[:, 0, 0])] = np.nan
            parts.append(means)
            labels += [f"stimulus:{channel}" for channel in channels]
    return np.concatenate(parts, axis=2), labels


def lagged_counts(
    recording: xr.DataTree | xr.Dataset,
    time: FloatArray,
    *,
    bin_size: float,
    lags: tuple[float, float],
) -> FloatArray:
    """Count the spikes of each unit in bins that begin at ``time + lag``.

    Parameters
    ----------
    recording
        Spikes, or a recording that has them.
    time
        Instants [s], shape ``(instant,)``; edges are exact on the ticks of the clock.
    bin_size, lags
        Width of the bins and from when to when they lie around an instant [s].

    Returns
    -------
    ndarray
        Shape ``(instant, lag, unit)``, float64; all NaN at instants whose bins do not lie inside
        one interval in which all units were observed.

    Raises
    ------
    EmptySelectionError
        If there are no spikes.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.3, 0.4, 0.5]}, observed=[[0.0, 1.0]])
    >>> lagged_counts(spikes, np.array([0.5]), bin_size=0.2, lags=(-0.4, 0.2))[0].ravel()
    array([0., 2., 1.])
    """
    spikes = pick(recording, "spikes")
    clock = TickBins.of(bin_size, float(spikes.attrs["tick_hz"]))
    begin = clock.sub_ticks(time) + clock.sub_ticks(lags[0])
    edges = begin[:, None] + np.arange(n_lags(lags, bin_size) + 1) * float(clock.width)
    position = np.split(
        clock.sub_ticks(spikes["spike_time"].values), np.cumsum(spikes["row_size"].values)[:-1]
    )
    counts = [np.diff(np.searchsorted(own, edges, side="left"), axis=1) for own in position]
    found = np.stack(counts, axis=2).astype(np.float64)
    observed = union(clock.sub_ticks(observed_time(spikes)))
    found[~contains(observed, edges[:, 0], edges[:, -1])] = np.nan
    return found


def lagged_stimulus(
    recording: xr.DataTree | xr.Dataset,
    time: FloatArray,
    *,
    bin_size: float,
    lags: tuple[float, float],
    name: str | None = None,
) -> tuple[FloatArray, list[str]]:
    """Return the mean of each channel of a stimulus in bins that begin at ``time + lag``.

    Each sample is shown until the next one; the mean is over what is known in the bin.

    Parameters
    ----------
    recording
        A signal, or a recording that has one.
    time, bin_size, lags
        As in :func:`lagged_counts`.
    name
        Which signal, if there are several.

    Returns
    -------
    means, labels
        Shape ``(instant, lag, channel)``, float64, NaN where less than half of the bin is known;
        labels of the channels.

    Raises
    ------
    EmptySelectionError
        If there is no signal.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> shown = signal([[0.0], [4.0], [8.0]], sampling_rate=10.0)
    >>> means, _ = lagged_stimulus(shown, np.array([0.15]), bin_size=0.1, lags=(0.0, 0.1))
    >>> round(means.item(), 6)
    6.0
    """
    array = physical(pick(recording, "signal", name), np.float64)
    if "animal" in array.dims or array.sizes["time"] < 2:
        raise EmptySelectionError(
            "the signal is no stimulus",
            found=f"dims {dict(array.sizes)}",
            expected="one record of at least two samples",
        )
    array = array.transpose("time", ...)
    clock, values = array["time"].values, array.values
    known = np.isfinite(values).all(axis=1)
    steps = np.diff(clock)
    shown = np.minimum(np.append(steps, np.inf), LONGEST_SHOWN * np.median(steps))
    columns = np.column_stack([np.where(known[:, None], values, 0.0), known])
    edges = time[:, None] + lags[0] + np.arange(n_lags(lags, bin_size) + 1) * bin_size
    total = np.diff(_integral(columns, clock, shown, edges), axis=1)
    seconds = total[..., -1:]
    enough = seconds >= LEAST_SHOWN * bin_size * (1 - 1e-9)
    means = total[..., :-1] / np.where(enough, seconds, np.nan)
    return means, [str(label) for label in array[array.dims[1]].values]


def _integral(
    columns: FloatArray, clock: FloatArray, shown: FloatArray, until: FloatArray
) -> FloatArray:
    """Return the integrals of steps over time up to given times, ``(*until, column)``."""
    before = np.concatenate([np.zeros((1, columns.shape[1])), columns * shown[:, None]])
    np.cumsum(before, axis=0, out=before)
    last = np.searchsorted(clock, until, side="right") - 1
    row = np.maximum(last, 0)
    part = np.clip(until - clock[row], 0.0, shown[row])[..., None]
    return np.asarray(before[row] + columns[row] * part)
