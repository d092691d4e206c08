"""Correlation in sliding windows."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, one_of
from neurodyn.provenance import add_history
from neurodyn.transforms.connectivity.affinity import pair_vector
from neurodyn.transforms.connectivity.interrupted import Interrupted, interrupted_traces, n_samples
from neurodyn.transforms.connectivity.labelled import labelled_results

__all__ = ["Taper", "sliding_window_correlation"]

FloatArray = NDArray[np.float64]
PAIR_DIMS = ("animal", "time", "pair")
Taper = Literal["rectangular", "gaussian", "tukey", "hamming"]
LEAST_SAMPLES = 3
# the standard deviation of the Gaussian taper and the tapered part of Tukey's, in windows
GAUSSIAN_WIDTH, TUKEY_PART = 1 / 6, 0.5


def sliding_window_correlation(
    data: xr.Dataset | xr.DataArray,
    window: float,
    step: float,
    *,
    taper: Taper = "rectangular",
    fisher_z: bool = False,
) -> xr.Dataset:
    """Return Pearson's correlation of each pair in sliding windows.

    A taper weights means, variances and covariances. Correlations of few samples vary widely
    without any change of coupling: compare with a stationary null.

    Parameters
    ----------
    data
        Traces, see :func:`neurodyn.transforms.connectivity.as_traces`; they may be interrupted.
    window, step
        Length of the windows, and from one to the next [s]; rounded to samples.
    taper
        ``rectangular``; ``gaussian`` with a standard deviation of a sixth of the window;
        ``tukey``, of which the outer quarters fall off to zero; ``hamming``.
    fisher_z
        Give ``arctanh(r)`` instead of ``r``; infinite where a pair is equal.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``correlation([animal,] time, pair)`` or ``fisher_z``, float64, labelled
        as in :func:`edge_time_series`; ``time`` is the middle between the first and the last
        sample. NaN for a trace where the window touches a gap or the trace is constant in it;
        ``attrs["quality"]`` counts both (``interrupted_windows``, ``constant_windows``).

    Raises
    ------
    ConfigError, DegenerateInputError
        For a window of fewer than three samples or longer than the traces; for another taper.
    DataError, TimebaseError
        As :func:`as_traces`, save for interruptions.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> ds = signal([[0, 0], [1, 1], [2, 2], [3, 1], [4, 0]], sampling_rate=1.0, dim="roi")
    >>> sliding_window_correlation(ds, window=3.0, step=2.0)["correlation"].values.ravel()
    array([ 1., -1.])
    """
    parts = interrupted_traces(data)
    length = n_samples("window", window, parts.traces, least=LEAST_SAMPLES)
    stride = n_samples("step", step, parts.traces, least=1)
    correlation, quality = _windows(parts, stride, _weights(length, taper))
    variables = _fisher(correlation) if fisher_z else {"correlation": (PAIR_DIMS, correlation)}
    time = 0.5 * (parts.time[: 1 - length : stride] + parts.time[length - 1 :: stride])
    found = labelled_results(parts.traces, variables, data, time=time, quality=quality)
    rate = parts.traces.sampling_rate
    found.attrs.update(window=length / rate, step=stride / rate, taper=taper)
    asked = {"window": window, "window_step": step, "taper": taper, "fisher_z": fisher_z}
    return add_history(found, "sliding_window_correlation", **asked)


def _windows(
    parts: Interrupted, stride: int, weights: FloatArray
) -> tuple[FloatArray, dict[str, int]]:
    """Return correlations ``(animal, window, pair)``, and how often a trace has none."""
    length, traces = weights.size, parts.traces
    starts = range(0, len(parts.time) - length + 1, stride)
    joined = [parts.continues[start + 1 : start + length].all() for start in starts]
    shape = (len(traces.values), len(starts), traces.node.size)
    correlation = np.empty((*shape[:2], shape[2] * (shape[2] - 1) // 2))
    whole, varies = np.empty(shape, dtype=bool), np.empty(shape, dtype=bool)
    for animal, (values, observed) in enumerate(zip(traces.values, parts.observed)):
        for row, start in enumerate(starts):
            inside = slice(start, start + length)
            usable = joined[row] & observed[inside].all(axis=0)
            matrix, varies[animal, row] = _correlation(values[inside], weights)
            matrix[~usable] = matrix[:, ~usable] = np.nan
            correlation[animal, row], whole[animal, row] = pair_vector(matrix), usable
    seen = traces.seen[:, None]
    flags = {"interrupted_windows": seen & ~whole, "constant_windows": seen & whole & ~varies}
    return correlation, {name: int(flag.sum()) for name, flag in flags.items() if flag.any()}


def _weights(length: int, taper: Taper) -> FloatArray:
    """Return the weights of the samples of a window, of sum 1."""
    from scipy.signal import windows

    one_of("taper", taper, ("rectangular", "gaussian", "tukey", "hamming"))
    if taper == "rectangular":
        weights = np.ones(length)
    elif taper == "gaussian":
        weights = windows.gaussian(length, GAUSSIAN_WIDTH * length)
    elif taper == "tukey":
        weights = windows.tukey(length, TUKEY_PART)
    else:
        weights = windows.hamming(length)
    if np.count_nonzero(weights) < LEAST_SAMPLES:
        raise ConfigError(
            "window is too short for its taper",
            found=f"{np.count_nonzero(weights)} of {length} samples have a weight",
            expected=f"at least {LEAST_SAMPLES}",
        )
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _correlation(values: FloatArray, weights: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return weighted correlations ``(node, node)`` and which nodes vary; NaN where not."""
    # by its extremes: the variance of a constant need not be 0 in floats
    varies = np.ptp(values[weights > 0], axis=0) > 0
    centred = values - weights @ values
    centred -= weights @ centred
    scaled = np.sqrt(weights)[:, None] * np.where(varies, centred, np.nan)
    scaled /= np.sqrt(np.square(scaled).sum(axis=0))
    filled = np.nan_to_num(scaled)
    matrix = np.clip(filled.T @ filled, -1.0, 1.0)
    matrix[~varies] = matrix[:, ~varies] = np.nan
    return matrix, varies


def _fisher(correlation: FloatArray) -> dict[str, tuple[tuple[str, ...], FloatArray]]:
    with np.errstate(divide="ignore"):
        return {"fisher_z": (PAIR_DIMS, np.arctanh(correlation))}
