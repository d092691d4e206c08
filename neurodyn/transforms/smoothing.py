"""Causal and acausal smoothing that never reaches over a gap or from one trial into another."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, TimebaseError, one_of
from neurodyn.provenance import add_history
from neurodyn.recording import results

__all__ = ["smooth", "smoothing_kernel"]

Kernel = Literal["gaussian", "exponential", "boxcar"]
FloatArray = NDArray[np.float64]

# beyond these many widths the kernels are below 1e-3 of their peak
GAUSSIAN_REACH, EXPONENTIAL_REACH = 4.0, 8.0
SAMPLED = {"counts": "count", "behavior": "value", "signal": "signal", "bold": "bold"}


def smooth(
    data: xr.Dataset, width: float, *, kernel: Kernel = "gaussian", causal: bool = False
) -> xr.Dataset:
    """Smooth counts, behavior or signals in time.

    Every stretch of data between gaps (unobserved bins, NaN, jumps of the clock, ends of trials)
    is smoothed by itself, with the kernel's weights normalised over what lies inside, so that a
    constant stays constant up to the edges.

    Parameters
    ----------
    data
        A dataset of kind ``counts``, ``behavior``, ``signal`` or ``bold``, regular in time.
    width
        Standard deviation of the Gaussian, time constant of the exponential, or full length of
        the boxcar [s].
    kernel
        ``gaussian``, ``exponential`` or ``boxcar``.
    causal
        Use the present and the past only.

    Returns
    -------
    xr.Dataset
        Of counts: kind ``results`` with ``rate`` [spikes/s], NaN where nothing was observed.
        Else a dataset of the same kind with smoothed float64 values in physical units.

    Raises
    ------
    ConfigError
        If the kind, kernel or width is impossible.
    TimebaseError
        If the clock is irregular.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> smooth(counts([[0], [1], [0]], bin_size=0.1), 0.3, kernel="boxcar")["rate"].values.ravel()
    array([5.        , 3.33333333, 5.        ])
    """
    kind = str(data.attrs.get("kind"))
    one_of("kind", kind, SAMPLED)
    step, continues = _clock(data)
    weights, n_past = smoothing_kernel(width / step, kernel, causal=causal)
    array = data[SAMPLED[kind]]
    columns = next(dim for dim in array.dims if dim not in ("trial", "animal", "time"))
    order = [dim for dim in ("trial", "animal", "time", columns) if dim in array.dims]
    raw = _values(data, kind).transpose(*order)
    flat = raw.values.reshape(-1, *raw.shape[-2:])
    smoothed = np.stack([_smooth_columns(trial, continues, weights, n_past) for trial in flat])
    found = raw.copy(data=smoothed.reshape(raw.shape))
    if kind == "counts":
        rate = (found / data.attrs["bin_size"]).assign_attrs(units="spikes/s")
        result = results({"rate": rate}, bin_size=data.attrs["bin_size"])
    else:
        kept = {k: v for k, v in array.attrs.items() if k not in ("scale_factor", "add_offset")}
        found.attrs = kept
        result = data.assign({SAMPLED[kind]: found})
        result = result.drop_vars("channel_conversion", errors="ignore")
    return add_history(result, "smooth", width=width, kernel=kernel, causal=causal)


def smoothing_kernel(
    width: float, kernel: Kernel = "gaussian", *, causal: bool = False
) -> tuple[FloatArray, int]:
    """Return the weights of a kernel and how many samples of the past it uses.

    Parameters
    ----------
    width
        As in :func:`smooth`, in samples.
    kernel
        ``gaussian``, ``exponential`` or ``boxcar``.
    causal
        Use the present and the past only.

    Returns
    -------
    weights, n_past
        Shape ``(lag,)`` from the earliest sample to the latest, of sum 1.

    Raises
    ------
    ConfigError
        If the width is not positive.

    Examples
    --------
    >>> smoothing_kernel(3.0, "boxcar", causal=True)[1]
    2
    """
    one_of("kernel", kernel, ("gaussian", "exponential", "boxcar"))
    if not (np.isfinite(width) and width > 0):
        raise ConfigError("smoothing width must be positive", found=width, expected="seconds")
    if kernel == "boxcar":
        n = max(1, round(width))
        n_past = n - 1 if causal else n // 2
        # centred boxes are of odd length
        weights = np.ones(n if causal else 2 * n_past + 1)
        return weights / weights.sum(), n_past
    reach = GAUSSIAN_REACH if kernel == "gaussian" else EXPONENTIAL_REACH
    # rounded: float noise of the clock is not to lengthen the kernel
    n_past = int(np.ceil(round(reach * width, 6)))
    lag = np.arange(-n_past, 1 if causal else n_past + 1, dtype=np.float64)
    weights = np.exp(-0.5 * (lag / width) ** 2 if kernel == "gaussian" else -np.abs(lag) / width)
    return weights / weights.sum(), n_past


def _clock(data: xr.Dataset) -> tuple[float, NDArray[np.bool_]]:
    """Return the step [s] and whether each sample follows the one before without a gap."""
    time = data["time"].values
    if time.size < 2:
        return float(data.attrs.get("bin_size", 1.0)), np.zeros(time.size, dtype=bool)
    steps = np.diff(time)
    step = float(data.attrs.get("bin_size") or np.median(steps))
    whole = np.rint(steps / step)
    if (np.abs(steps - whole * step) > 0.1 * step).any():
        raise TimebaseError(
            "an irregular clock cannot be smoothed",
            found=f"steps of {steps.min():g} to {steps.max():g} s",
            expected="equal steps, gaps of whole steps",
            hint="resample(...) first",
        )
    return step, np.append(False, whole == 1)


def _values(data: xr.Dataset, kind: str) -> xr.DataArray:
    if kind == "counts":
        # float64 at once: neurodyn.recording.masked_counts gives float32
        values = data["count"].astype(np.float64)
        return values.where(data["observed"]) if "observed" in data else values
    if kind == "signal":
        from neurodyn.recording import physical

        return physical(data, np.float64)
    return data[SAMPLED[kind]].astype(np.float64)


def _smooth_columns(
    values: FloatArray, continues: NDArray[np.bool_], weights: FloatArray, n_past: int
) -> FloatArray:
    """Smooth ``(time, column)``: columns with the same gaps go together."""
    seen = np.isfinite(values)
    result = np.full(values.shape, np.nan)
    patterns, group = np.unique(seen.T, axis=0, return_inverse=True)
    if len(patterns) == 1:
        groups: list[Any] = [slice(None)]
    else:
        groups = [np.flatnonzero(group.ravel() == number) for number in range(len(patterns))]
    for pattern, columns in zip(patterns, groups):
        for start, stop in _stretches(pattern, continues):
            part = values[start:stop, columns]
            result[start:stop, columns] = _convolve(part, weights, n_past)
    return result


def _stretches(seen: NDArray[Any], continues: NDArray[np.bool_]) -> list[tuple[int, int]]:
    begins = seen & ~(np.append(False, seen[:-1]) & continues)
    ends = seen & ~np.append(seen[1:] & continues[1:], False)
    return list(zip(np.flatnonzero(begins).tolist(), (np.flatnonzero(ends) + 1).tolist()))


def _convolve(values: FloatArray, weights: FloatArray, n_past: int) -> FloatArray:
    from scipy.ndimage import correlate1d

    n_future = weights.size - 1 - n_past
    # no weight beyond the stretch itself
    past, future = min(n_past, len(values) - 1), min(n_future, len(values) - 1)
    used = weights[n_past - past : weights.size - n_future + future]
    origin = past - used.size // 2
    ones = np.ones((len(values), 1))
    mass = correlate1d(ones, used, axis=0, mode="constant", origin=origin)
    smoothed = correlate1d(values, used, axis=0, mode="constant", origin=origin)
    return np.asarray(smoothed / mass, dtype=np.float64)
