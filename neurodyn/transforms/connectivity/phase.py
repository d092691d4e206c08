"""Synchrony of instantaneous phases.

Phase-locking value: Lachaux et al., Human Brain Mapping 8 (1999), 194. Phase synchrony at each
time: Glerean et al., Brain Connectivity 2 (2012), 91.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DegenerateInputError
from neurodyn.provenance import add_history
from neurodyn.transforms.connectivity.affinity import pair_vector
from neurodyn.transforms.connectivity.labelled import labelled_results
from neurodyn.transforms.connectivity.traces import Traces, as_traces

__all__ = ["phase_synchrony"]

FloatArray = NDArray[np.float64]
ORDER = 4


def phase_synchrony(
    data: xr.Dataset | xr.DataArray,
    band: tuple[float, float] | None = None,
    *,
    edge: float = 0.0,
    on_bad: Literal["raise", "drop"] = "raise",
) -> xr.Dataset:
    """Return how alike the phases of each pair are, at each time and over all of it.

    The phase ``p_i(t)`` is that of the analytic signal (Hilbert transform of the trace without
    its mean). It means something for narrow bands only: give ``band`` unless the traces are
    filtered already. Phases are wrong near both ends: the cosine of two pure tones can be off by
    anything at the very end, by 0.1 after one period and by 0.03 after four; with a band of two
    octaves by 0.3 and by 0.04. ``edge`` cuts the ends off.

    Parameters
    ----------
    data
        Traces, see :func:`neurodyn.transforms.connectivity.as_traces`, without interruptions.
    band
        Lower and upper bound [Hz] of a Butterworth filter of order 4, run forth and back.
    edge
        What to cut off at both ends after the transform [s].
    on_bad
        Traces that are missing for a while: ``raise``, or ``drop`` them in that animal.

    Returns
    -------
    xr.Dataset
        Kind ``results``, float64, labelled as in :func:`edge_time_series`:
        ``phase_synchrony([animal,] time, pair)``, ``cos(p_i - p_j)``, and
        ``phase_locking_value([animal,] pair)``, ``|mean_t exp(i (p_i - p_j))|``.

    Raises
    ------
    ConfigError
        If the band does not lie between 0 and half the sampling rate, or for another ``edge``.
    DegenerateInputError
        If the traces are shorter than one period of the lower bound or than the edges.
    DataError, TimebaseError
        As :func:`as_traces` does.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> turn = 2 * np.pi * np.arange(100) / 20
    >>> ds = signal(np.stack([np.sin(turn), np.sin(turn + 1)], 1), sampling_rate=10.0, dim="roi")
    >>> phase_synchrony(ds)["phase_synchrony"].values[50].round(3)
    array([0.54])
    """
    traces = as_traces(data, on_bad=on_bad)
    cut = _n_cut(edge, traces)
    values = np.nan_to_num(traces.values)
    values -= values.mean(axis=1, keepdims=True)
    if band is not None:
        values = _band_passed(values, band, traces)
    kept = slice(cut, values.shape[1] - cut)
    found = _synchrony(_phasors(values, traces)[:, kept], traces.time[kept], traces, data)
    found.attrs.update({"edge": edge} if band is None else {"edge": edge, "band": list(band)})
    return add_history(found, "phase_synchrony", band=band, edge=edge, on_bad=on_bad)


def _synchrony(
    phasor: NDArray[np.complex128],
    time: FloatArray,
    traces: Traces,
    data: xr.Dataset | xr.DataArray,
) -> xr.Dataset:
    locking = np.abs(phasor.swapaxes(1, 2) @ phasor.conj()) / phasor.shape[1]
    variables = {
        "phase_synchrony": (("animal", "time", "pair"), _cosines(phasor)),
        "phase_locking_value": (("animal", "pair"), pair_vector(locking)),
    }
    rate = traces.sampling_rate
    return labelled_results(traces, variables, data, time=time, sampling_rate=rate)


def _n_cut(edge: float, traces: Traces) -> int:
    if not (np.isfinite(edge) and edge >= 0):
        raise ConfigError("edge cannot be negative", found=edge, expected="seconds from 0")
    n_time = traces.values.shape[1]
    cut = round(edge * traces.sampling_rate)
    if 2 * cut >= n_time:
        raise DegenerateInputError(
            "nothing is left between the edges",
            found=f"2 x {edge:g} s of {n_time / traces.sampling_rate:g} s",
        )
    return cut


def _band_passed(values: FloatArray, band: tuple[float, float], traces: Traces) -> FloatArray:
    from scipy.signal import butter, sosfiltfilt

    low, high = band
    rate, n_time = traces.sampling_rate, values.shape[1]
    if not 0 < low < high < rate / 2:
        raise ConfigError(
            "band is impossible",
            found=f"{low} to {high} Hz",
            expected=f"0 < low < high < {rate / 2:g} Hz, half the sampling rate",
        )
    sections = butter(ORDER, (low, high), "bandpass", fs=rate, output="sos")
    # as many samples as the filter mirrors at each end
    least = max(3 * (2 * len(sections) + 1), int(np.ceil(rate / low)))
    if n_time <= least:
        raise DegenerateInputError(
            "traces are too short for the band",
            found=f"{n_time} samples, {n_time / rate:g} s",
            expected=f"more than {least} samples, {least / rate:g} s",
            hint="a period of the lower bound and the reach of the filter must fit",
        )
    return np.asarray(sosfiltfilt(sections, values, axis=1), dtype=np.float64)


def _phasors(values: FloatArray, traces: Traces) -> NDArray[np.complex128]:
    """Return ``exp(i phase)``, NaN for traces that cannot be used."""
    from scipy.signal import hilbert

    analytic = hilbert(values, axis=1)
    size = np.abs(analytic)
    usable = (size > 0) & traces.seen[:, None]
    phasor = np.full(analytic.shape, np.nan + 0j)
    np.divide(analytic, size, out=phasor, where=usable)
    return phasor


def _cosines(phasor: NDArray[np.complex128]) -> FloatArray:
    """Return cosines of phase differences, ``(animal, time, pair)``."""
    n_animals, n_time, n_nodes = phasor.shape
    found = np.empty((n_animals, n_time, n_nodes * (n_nodes - 1) // 2))
    for pairs, own in zip(found, phasor):
        start = 0
        for node in range(n_nodes - 1):
            row = pairs[:, start : start + n_nodes - 1 - node]
            np.multiply(own.real[:, node, None], own.real[:, node + 1 :], out=row)
            row += own.imag[:, node, None] * own.imag[:, node + 1 :]
            start += row.shape[1]
    return found
