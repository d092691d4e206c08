"""Deconvolved calcium traces as events, each with its amplitude."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DataError
from neurodyn.provenance import add_history
from neurodyn.recording import physical, pick, pick_all, spikes
from neurodyn.recording.validate import validate
from neurodyn.transforms.intervals import Intervals

__all__ = ["calcium_events"]

DECONVOLVED = "deconvolved"
# Median of the absolute value of a standard normal variable.
HALF_NORMAL_MEDIAN = 0.6745
# Frames further apart than this many steps have a gap between them.
GAP = 1.5


def calcium_events(
    recording: xr.DataTree | xr.Dataset, *, threshold: float = 3.0, name: str | None = None
) -> xr.Dataset:
    r"""Return the frames in which deconvolved activity stands out, as spikes with amplitudes.

    A frame with amplitude :math:`a` is an event of its ROI if

    .. math:: a > \theta \, \sigma, \qquad \sigma = \mathrm{median}(a : a > 0) / 0.6745

    As deconvolution gives nothing negative, noise leaves half of a normal distribution, whose
    deviation is :math:`\sigma`; few large events do not move the median. Amplitudes are not turned
    into numbers of spikes, which deconvolution does not know.

    Parameters
    ----------
    recording
        Kind ``signal``, dims ``(time, roi)``: deconvolved amplitudes, 0 or more; NaN where there
        is none. Or a recording of it, such as :func:`neurodyn.io.open` returns of suite2p.
    threshold
        :math:`\theta`; noise exceeds 3 in 0.3 % of its frames. 0 takes every frame above 0.
    name
        Which signal of a recording; ``"deconvolved"`` if there is one of this name.

    Returns
    -------
    xr.Dataset
        Kind ``spikes``: events in the middle of their frames; units are ROIs and have the
        coordinate ``event_threshold``; ``amplitude (spike)`` float32 in units of the signal.
        Gaps of the clock and frames of NaN are not observed.

    Raises
    ------
    ConfigError
        If the threshold is negative or not finite.
    DataError
        If the signal is not deconvolved, as an amplitude is negative, or has several animals.

    References
    ----------
    Quiroga et al., Neural Computation 16, 1661 (2004), for the deviation. Pachitariu et al.,
    Journal of Neuroscience 38, 7976 (2018), for what deconvolution gives.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> trace = [[0.0], [0.1], [0.2], [3.0], [0.1], [0.0]]
    >>> events = calcium_events(signal(trace, sampling_rate=10.0, dim="roi", channel=["7"]))
    >>> events["spike_time"].values.round(2).tolist(), events["amplitude"].values.tolist()
    ([0.35], [3.0])
    """
    if not (np.isfinite(threshold) and threshold >= 0):
        raise ConfigError("threshold must not be negative", found=threshold, expected="0 or more")
    found = _events(_chosen(recording, name), threshold)
    validate(found)
    return add_history(found, "calcium_events", threshold=threshold)


def _events(signal: xr.Dataset, threshold: float) -> xr.Dataset:
    array = physical(signal)
    time, values = array["time"].values.astype(np.float64), array.values
    dim = array.dims[1]
    labels = array.get_index(dim)
    _refuse_negative(values, labels, time)
    level = threshold * np.array([_deviation(trace) for trace in values.T])
    # NaN is above nothing
    unit, frame = np.nonzero((values > level).T)
    columns = {str(k): c.values for k, c in array.coords.items() if c.dims == (dim,) and k != dim}
    step = float(np.median(np.diff(time))) if time.size > 1 else 1 / signal.attrs["sampling_rate"]
    observed = _observed(time, step, np.isfinite(values))
    table = np.concatenate([*observed, np.empty((0, 2))])
    found = spikes(
        time[frame] + step / 2,
        np.bincount(unit, minlength=len(labels)),
        labels.to_numpy(),
        observed=(table[:, 0], table[:, 1], [len(own) for own in observed]),
        unit_columns={**columns, "event_threshold": level},
    )
    if "frame_rate" in signal.attrs:
        # that it is unknown: then times count frames
        found.attrs["frame_rate"] = signal.attrs["frame_rate"]
    amplitude = values[frame, unit].astype(np.float32)
    return found.assign(amplitude=("spike", amplitude, {"units": array.attrs["units"]}))


def _chosen(recording: xr.DataTree | xr.Dataset, name: str | None) -> xr.Dataset:
    if name is None and DECONVOLVED in pick_all(recording, "signal"):
        name = DECONVOLVED
    signal = pick(recording, "signal", name)
    if "animal" in signal["signal"].dims:
        raise DataError(
            "the signal has several animals",
            found=f"{signal.sizes['animal']}",
            expected="dims (time, roi)",
            hint="choose one: signal.sel(animal=...)",
        )
    return signal


def _refuse_negative(values: NDArray[Any], labels: Any, time: NDArray[np.float64]) -> None:
    negative = np.argwhere(values < 0)
    if len(negative):
        frame, unit = negative[0]
        raise DataError(
            "amplitudes are negative: the signal is not deconvolved",
            where=f"roi {labels[unit]}, {time[frame]:g} s",
            found=f"{values[frame, unit]:g} ({len(negative)} such samples)",
            expected="deconvolved activity, 0 or more",
            hint="name='deconvolved', or deconvolve the fluorescence first",
        )


def _deviation(trace: NDArray[Any]) -> float:
    """Return the deviation of the noise of one trace; 0 where it never leaves 0."""
    positive = trace[trace > 0]
    return float(np.median(positive)) / HALF_NORMAL_MEDIAN if positive.size else 0.0


def _observed(time: NDArray[np.float64], step: float, known: NDArray[np.bool_]) -> list[Intervals]:
    """Return the intervals [s] of frames without a gap, one array for each unit."""
    follows = np.diff(time) <= GAP * step
    patterns, number = np.unique(known.T, axis=0, return_inverse=True)
    found = []
    for pattern in patterns:
        joined = pattern[1:] & pattern[:-1] & follows
        begins = pattern & ~np.append(False, joined)
        ends = pattern & ~np.append(joined, False)
        found.append(np.column_stack([time[begins], time[ends] + step]))
    return [found[i] for i in number.ravel()]
