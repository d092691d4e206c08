"""Samples that are no numbers: missing ones are counted, infinite ones are a fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import DataError
from neurodyn.io.faults import Fault, Quality

__all__ = ["counted_in_frames", "settle_samples"]

BLOCK_BYTES = 8_000_000
SHOWN = 5


def settle_samples(
    values: NDArray[Any], labels: Sequence[str], where: str, quality: Quality
) -> NDArray[Any]:
    """Return samples with infinite ones settled by the policy, and count what is missing.

    Parameters
    ----------
    values
        Shape ``(trace, sample)``, floats; a mapped file is gone through block by block.
    labels
        Of the traces, for messages.
    where
        File and object.
    quality
        Gets ``nan_samples`` and ``empty_traces``, and decides on ``infinite_samples``: dropped
        ones become NaN.

    Raises
    ------
    DataError
        If samples are infinite and the policy does not settle it.

    Examples
    --------
    >>> quality = Quality("raise")
    >>> _ = settle_samples(np.array([[0.0, np.nan]]), ["AVAL"], "a.csv", quality)
    >>> quality.attrs()
    {'quality': {'nan_samples': 1}}
    """
    n_nan, n_infinite = _counts(values)
    empty = n_nan == values.shape[1]
    quality.note("empty_traces", int(empty.sum()) if values.shape[1] else 0)
    quality.note("nan_samples", int(n_nan[~empty].sum()))
    if not n_infinite.any():
        return values
    bad = np.flatnonzero(n_infinite)
    shown = ", ".join(labels[i] for i in bad[:SHOWN]) + (", ..." if bad.size > SHOWN else "")
    error = DataError(
        "samples are infinite",
        where=f"{where}, {shown}",
        found=f"{int(n_infinite.sum())} infinite samples in {bad.size} of {len(labels)} traces",
        expected="finite samples, or NaN where there is none",
        hint="on_bad='drop' makes them NaN and counts them",
    )
    n = int(n_infinite.sum())
    if quality.decide(Fault.of("infinite_samples", error), n=n) == "drop":
        values = np.where(np.isinf(values), np.nan, values)
    return values


def counted_in_frames(signal: xr.Dataset, quality: Quality) -> xr.Dataset:
    """Return a signal that says that its time counts frames, not seconds.

    Parameters
    ----------
    signal
        On a clock of 1 Hz, because its frame rate is unknown.
    quality
        Gets ``unknown_frame_rate``.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> ds = counted_in_frames(signal([[0.0]], sampling_rate=1.0), Quality("raise"))
    >>> ds.attrs["frame_rate"]
    'unknown: time counts frames at 1 Hz; say sampling_rate=... [Hz] when opening'
    """
    quality.note("unknown_frame_rate", 1)
    said = "unknown: time counts frames at 1 Hz; say sampling_rate=... [Hz] when opening"
    signal = signal.assign_attrs(frame_rate=said)
    signal["time"].attrs["units"] = "frame"
    return signal


def _counts(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of NaN and of infinite samples of each trace."""
    n_traces, n_samples = values.shape
    n_nan, n_infinite = np.zeros(n_traces, np.int64), np.zeros(n_traces, np.int64)
    if values.dtype.kind != "f":
        return n_nan, n_infinite
    step = max(1, BLOCK_BYTES // max(1, n_samples * values.dtype.itemsize))
    for first in range(0, n_traces, step):
        block = values[first : first + step]
        n_nan[first : first + step] = np.isnan(block).sum(axis=1)
        n_infinite[first : first + step] = np.isinf(block).sum(axis=1)
    return n_nan, n_infinite
