"""Traces that may be missing for a while, for measures that are taken inside windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DegenerateInputError
from neurodyn.transforms.connectivity.traces import (
    STEP_TOLERANCE,
    Traces,
    as_traces,
    trace_array,
)

__all__ = ["Interrupted", "interrupted_traces", "n_samples"]


@dataclass(frozen=True)
class Interrupted:
    """Traces with what is missing of them.

    Parameters
    ----------
    traces
        Missing samples hold a value of the same trace, which is not to be used. Their clock has
        no gaps; the times are those of ``time``.
    observed
        Shape ``(animal, time, node)``.
    continues
        Shape ``(time,)``: the sample follows the one before without a gap of the clock.
    time
        Times [s], shape ``(time,)``.
    """

    traces: Traces
    observed: NDArray[np.bool_]
    continues: NDArray[np.bool_]
    time: NDArray[np.float64]


def interrupted_traces(data: xr.Dataset | xr.DataArray) -> Interrupted:
    """Return traces of which samples or frames may be missing.

    NaN, bins that were not observed, frames that are not kept and jumps of the clock by whole
    steps are interruptions.

    Parameters
    ----------
    data
        As in :func:`neurodyn.transforms.connectivity.as_traces`.

    Raises
    ------
    ConfigError, TimebaseError, DataError, DegenerateInputError
        As :func:`as_traces`, save for interruptions.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> ds = signal([[0.0, 1.0], [np.nan, 3.0], [2.0, 4.0]], sampling_rate=4.0, dim="roi")
    >>> interrupted_traces(ds).observed[0].tolist()
    [[True, True], [False, True], [True, True]]
    """
    array = trace_array(data)
    if "time" not in array.dims:
        as_traces(array)  # names the dims that are expected
    time = np.asarray(array["time"].values, dtype=np.float64)
    steps = np.diff(time)
    step = float(np.median(steps)) if steps.size else 0.0
    whole = np.rint(steps / step) if step > 0 else np.ones(steps.size)
    if (np.abs(steps - whole * step) <= STEP_TOLERANCE * step).all() and (whole > 1).any():
        # an unbroken clock in its stead: windows keep clear of the jumps by continues
        array = array.assign_coords(time=time[0] + np.arange(time.size) * step)
    missing = array.isnull()
    traces = as_traces(array.where(~missing, array.max("time")))
    order = ("animal", "time", traces.node_dim)
    flags = missing if traces.has_animals else missing.expand_dims("animal")
    observed = ~np.asarray(flags.transpose(*order).values, dtype=bool)
    return Interrupted(traces, observed, np.append(False, whole == 1), time)


def n_samples(name: str, seconds: float, traces: Traces, *, least: int, further: int = 0) -> int:
    """Return how many samples a length [s] stands for; it and ``further`` ones must fit.

    Raises
    ------
    ConfigError
        If the length is not finite, or of fewer samples than ``least``.
    DegenerateInputError
        If it is longer than the traces.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> ds = signal([[0.0, 1.0], [1.0, 3.0], [2.0, 4.0]], sampling_rate=4.0, dim="roi")
    >>> n_samples("window", 0.5, as_traces(ds), least=2)
    2
    """
    rate, total = traces.sampling_rate, traces.values.shape[1]
    count = round(seconds * rate) if np.isfinite(seconds) else 0
    if count < least:
        raise ConfigError(
            f"{name} is too short",
            found=f"{seconds:g} s, {count} samples of {1 / rate:g} s",
            expected=f"at least {least} samples: {name}={least / rate:g}",
        )
    if count + further > total:
        raise DegenerateInputError(
            f"{name} is longer than the traces",
            found=f"{seconds:g} s, {count} samples",
            expected=f"at most {total - further} samples: {(total - further) / rate:g} s",
        )
    return count
