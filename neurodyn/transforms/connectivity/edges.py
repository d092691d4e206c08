"""Measures of each pair at each time: edge time series and coupled derivatives."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.provenance import add_history
from neurodyn.transforms.connectivity.interrupted import Interrupted, interrupted_traces, n_samples
from neurodyn.transforms.connectivity.labelled import labelled_results
from neurodyn.transforms.connectivity.traces import as_traces

__all__ = ["edge_time_series", "multiplication_of_temporal_derivatives"]

FloatArray = NDArray[np.float64]
PAIR_DIMS = ("animal", "time", "pair")


def edge_time_series(
    data: xr.Dataset | xr.DataArray, *, on_bad: Literal["raise", "drop"] = "raise"
) -> xr.Dataset:
    """Return the products of z-scored traces, for each pair at each time.

    ``e_ij(t) = z_i(t) z_j(t)``; its mean over time is Pearson's correlation of the pair, exactly
    (z-scores are by the standard deviation over ``n``, not ``n - 1``). It is not rectified.

    Parameters
    ----------
    data
        Traces, see :func:`neurodyn.transforms.connectivity.as_traces`.
    on_bad
        Traces that are missing for a while: ``raise``, or ``drop`` them in that animal.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``edge_time_series([animal,] time, pair)``, float64, with the labels
        ``roi_from`` and ``roi_to`` of each pair (upper triangle, row by row); NaN for pairs with
        a trace that is constant or was not recorded; ``seen([animal,] roi)`` tells those.

    Raises
    ------
    ConfigError, DataError, TimebaseError, DegenerateInputError
        As :func:`as_traces` does.

    References
    ----------
    Faskowitz et al., Nature Neuroscience 23 (2020), 1644.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> ds = signal([[0.0, 1.0], [1.0, 3.0], [2.0, 2.0]], sampling_rate=4.0, dim="roi")
    >>> edges = edge_time_series(ds)["edge_time_series"]
    >>> edges.dims, edges.mean().round(3).item()
    (('time', 'pair'), 0.5)
    """
    traces = as_traces(data, on_bad=on_bad)
    centred = traces.values - traces.values.mean(axis=1, keepdims=True)
    score = centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True))
    found = labelled_results(
        traces,
        {"edge_time_series": (PAIR_DIMS, _products(score))},
        data,
        sampling_rate=traces.sampling_rate,
    )
    return add_history(found, "edge_time_series", on_bad=on_bad)


def multiplication_of_temporal_derivatives(
    data: xr.Dataset | xr.DataArray, window: float
) -> xr.Dataset:
    """Return the products of standardised differences, averaged in a moving window (MTD).

    ``c_ij(t) = d_i(t) d_j(t) / (sd(d_i) sd(d_j))`` with ``d(t) = x(t) - x(t - 1)`` and standard
    deviations over the whole trace, then the plain mean over the window. Differences are not
    centred. The nearest relative of the differential affinity, with sign.

    Parameters
    ----------
    data
        Traces, see :func:`neurodyn.transforms.connectivity.as_traces`; they may be interrupted.
    window
        Length of the moving average [s]: so many differences, at least one.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``multiplication_of_temporal_derivatives([animal,] time, pair)``,
        float64, labelled as in :func:`edge_time_series`. Only whole windows; ``time`` is the
        centre of the window. A window that touches a gap is NaN for the traces concerned, and
        counted in ``attrs["quality"]`` as ``interrupted_windows``; a trace of which all
        differences are equal is NaN throughout (``straight_traces``).

    Raises
    ------
    ConfigError
        If the window is shorter than a sample, or the dims are others.
    DataError, TimebaseError, DegenerateInputError
        As :func:`as_traces`, save for interruptions; if no whole window fits.

    References
    ----------
    Shine et al., NeuroImage 122 (2015), 399.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> ds = signal([[0, 0], [1, 2], [1, 2], [2, 4]], sampling_rate=1.0, dim="roi")
    >>> found = multiplication_of_temporal_derivatives(ds, 2.0)
    >>> found["multiplication_of_temporal_derivatives"].values.ravel()
    array([2.25, 2.25])
    """
    parts = interrupted_traces(data)
    traces = parts.traces
    length = n_samples("window", window, traces, least=1, further=1)
    scaled, quality = _scaled_differences(parts, length)
    found = labelled_results(
        traces,
        {"multiplication_of_temporal_derivatives": (PAIR_DIMS, _products(scaled, length))},
        data,
        time=0.5 * (parts.time[:-length] + parts.time[length:]),
        quality=quality,
        sampling_rate=traces.sampling_rate,
        window=length / traces.sampling_rate,
    )
    return add_history(found, "multiplication_of_temporal_derivatives", window=window)


def _scaled_differences(parts: Interrupted, length: int) -> tuple[FloatArray, dict[str, int]]:
    """Return differences over their standard deviations, NaN at gaps, and what is left out."""
    values, seen = parts.traces.values, parts.traces.seen
    known = parts.observed[:, 1:] & parts.observed[:, :-1] & parts.continues[1:, None]
    difference = np.where(known, np.diff(values, axis=1), np.nan)
    spread = _standard_deviation(difference)
    # the differences of a straight line vary by rounding alone
    rounding = 16 * np.finfo(np.float64).eps * np.abs(values).max(axis=1, keepdims=True)
    changes = spread > rounding
    scaled = np.divide(difference, spread, out=np.full_like(difference, np.nan), where=changes)
    broken = np.stack([_moving_sum(~own, length) > 0 for own in known])
    flags = {
        "interrupted_windows": broken & seen[:, None],
        "straight_traces": ~changes[:, 0] & seen,
    }
    return scaled, {name: int(flag.sum()) for name, flag in flags.items() if flag.any()}


def _products(values: FloatArray, length: int = 1) -> FloatArray:
    """Return products of all pairs ``(animal, time, pair)``, averaged over ``length`` samples.

    Whatever is NaN in a window makes it NaN, and no window next to it.
    """
    n_animals, n_time, n_nodes = values.shape
    found = np.empty((n_animals, n_time - length + 1, n_nodes * (n_nodes - 1) // 2))
    for pairs, own in zip(found, values):
        filled, missing = np.nan_to_num(own), _moving_sum(np.isnan(own), length) > 0
        start = 0
        # row by row of the triangle: nothing of the size of the result is made beside it
        for node in range(n_nodes - 1):
            row = pairs[:, start : start + n_nodes - 1 - node]
            row[:] = _moving_sum(filled[:, node, None] * filled[:, node + 1 :], length) / length
            row[missing[:, node, None] | missing[:, node + 1 :]] = np.nan
            start += row.shape[1]
    return found


def _moving_sum(values: NDArray[np.float64] | NDArray[np.bool_], length: int) -> FloatArray:
    """Return sums of ``length`` samples along the first axis."""
    if length == 1:
        return values.astype(np.float64)
    total = np.cumsum(values, axis=0, dtype=np.float64)
    total[length:] -= total[:-length].copy()
    return total[length - 1 :]


def _standard_deviation(values: FloatArray) -> FloatArray:
    """Return standard deviations along the second axis of what is not NaN, 0 where all is."""
    known = np.isfinite(values)
    n_known = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, values, 0.0).sum(axis=1, keepdims=True) / n_known
    square = np.where(known, np.square(values - mean), 0.0).sum(axis=1, keepdims=True)
    return np.asarray(np.sqrt(square / n_known))
