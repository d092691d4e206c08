"""fMRI series at another repetition time."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import sparse

from neurodyn.errors import DataError, TimebaseError
from neurodyn.provenance import add_history

__all__ = ["resample_bold"]

# a new frame needs this share of the weight that a whole series would give it
LEAST_WEIGHT = 0.5
SAME = 1e-9


def resample_bold(data: xr.Dataset, repetition_time: float) -> xr.Dataset:
    """Bring fMRI to another repetition time.

    A new frame at ``t`` is the weighted mean of the frames around it, with weights
    ``max(0, 1 - |t - t_i| / width)`` and the longer of both repetition times as ``width``. To a
    faster clock that is linear interpolation; to a slower one it is a low-pass filter, whose
    amplitude is ``sinc(f * width)**2``, so that cardiac and respiratory cycles do not come back
    as slow ones. Frames that were censored (``keep`` False) and missing values have no weight.

    Parameters
    ----------
    data
        Kind ``bold``, dims ``(time, roi)``, regular clock.
    repetition_time
        Wanted time between frames [s].

    Returns
    -------
    xr.Dataset
        Kind ``bold`` without confounds, whose clock is gone; NaN where less than half of the
        weight is left, and ``keep`` False where that is so for all regions. As it is if it has
        this repetition time already.

    Raises
    ------
    DataError
        If the data are no fMRI of regions.
    TimebaseError
        If the repetition time is not above 0, or the clock is not regular.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> fast = bold([[0.0], [1.0], [2.0], [3.0]], repetition_time=2.0)
    >>> resample_bold(fast, 1.0)["bold"].values.ravel().tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    """
    _require_regions(data)
    own = float(data.attrs["repetition_time"])
    if not (np.isfinite(repetition_time) and repetition_time > 0):
        raise TimebaseError("repetition time must be above 0 s", found=repetition_time)
    if abs(own - repetition_time) <= SAME * own:
        return data
    time = data["time"].values
    _require_regular(time, own)
    # to the nanosecond: seconds are not exact
    n_new = int(np.floor(round((time[-1] - time[0]) / repetition_time, 9))) + 1
    wanted = time[0] + repetition_time * np.arange(n_new)
    values = data["bold"].transpose("time", "roi").values.astype(np.float64)
    kept = np.isfinite(values)
    if "keep" in data.coords:
        kept &= data["keep"].values[:, None]
    weight = _weights(time, wanted, max(own, repetition_time))
    found = _weighted_mean(weight, values, kept)
    result = data.drop_dims("time").assign_coords(time=("time", wanted, {"units": "s"}))
    result["bold"] = (("time", "roi"), found.astype(np.float32), data["bold"].attrs)
    if "keep" in data.coords:
        result = result.assign_coords(keep=("time", np.isfinite(found).any(axis=1)))
    result.attrs["repetition_time"] = float(repetition_time)
    return add_history(result, "resample_bold", repetition_time=repetition_time)


def _require_regions(data: xr.Dataset) -> None:
    if data.attrs.get("kind") != "bold" or "roi" not in data["bold"].dims:
        raise DataError(
            "only fMRI of regions is brought to another repetition time",
            found=f"kind {data.attrs.get('kind')!r}, dims {tuple(data.dims)}",
            expected="kind 'bold', dims (time, roi)",
            hint="parcellate(data, ...) first",
        )


def _require_regular(time: NDArray[np.float64], step: float) -> None:
    off = np.flatnonzero(np.abs(np.diff(time) - step) > 1e-3 * step)
    if off.size:
        raise TimebaseError(
            "the clock of the fMRI is not regular",
            found=f"a step of {np.diff(time)[off[0]]:g} s after {time[off[0]]:g} s",
            expected=f"frames every {step:g} s",
            hint="mark lost frames with keep=False instead of leaving them out",
        )


def _weights(
    time: NDArray[np.float64], wanted: NDArray[np.float64], width: float
) -> sparse.csr_array:
    """Return the weight of each frame in each new frame, shape ``(wanted, time)``."""
    first = np.searchsorted(time, wanted - width, side="right")
    last = np.searchsorted(time, wanted + width, side="left")
    n = last - first
    row = np.repeat(np.arange(wanted.size), n)
    column = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)
    weight = 1 - np.abs(wanted[row] - time[column]) / width
    return sparse.csr_array((weight, (row, column)), shape=(wanted.size, time.size))


def _weighted_mean(
    weight: sparse.csr_array, values: NDArray[np.float64], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    total = weight.sum(axis=1)[:, None]
    left = weight @ kept.astype(np.float64)
    summed = weight @ np.where(kept, values, 0.0)
    enough = left >= LEAST_WEIGHT * total
    return np.where(enough, summed / np.where(enough, left, 1.0), np.nan)
