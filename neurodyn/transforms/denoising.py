"""Nuisance signals and slow or fast fluctuations taken out of fMRI, in one step."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import (
    ConfigError,
    DataError,
    DegenerateInputError,
    EmptySelectionError,
    MissingDependencyError,
    TimebaseError,
    one_of,
    suggest,
)
from neurodyn.provenance import add_history
from neurodyn.recording import validate

__all__ = ["denoise"]

FloatArray = NDArray[np.float64]

# frames that nilearn's filter (fifth order, run both ways) needs, by its number of cut-offs
SHORTEST = {0: 0, 1: 19, 2: 34}
SHOWN = 5


def denoise(
    data: xr.Dataset,
    *,
    confounds: str | Sequence[str] | None = None,
    high_pass: float | None = None,
    low_pass: float | None = None,
    detrend: bool = True,
    standardize: bool = False,
    fill_first: Literal["zero"] | None = None,
) -> xr.Dataset:
    """Detrend, filter and regress out confounds as one projection, through nilearn.

    The confounds are filtered as the data are, so that regression brings back nothing of what
    the filter took away (Lindquist et al., 2019). Frames that ``keep`` drops are bridged by a
    cubic spline, filtered over, and left out of the regression.

    Parameters
    ----------
    data
        Kind ``bold`` on a regular clock, with ``keep`` and ``confounds`` where known.
    confounds
        Names to regress out, wildcards allowed: ``"trans_*"``, ``"*"`` for all. Default none.
    high_pass, low_pass
        Cut-off frequencies [Hz] of a Butterworth filter of order 5, run both ways.
    detrend
        Take out mean and line; without a filter, as if kept frames followed each other (nilearn).
    standardize
        Bring each region to mean 0 and variance 1 over the kept frames.
    fill_first
        ``"zero"`` takes the first frame of confounds as 0 where it is NaN, as in derivatives.

    Returns
    -------
    xr.Dataset
        On the same axes, float32, ``keep`` and confounds unchanged. NaN in frames that ``keep``
        drops, and for regions that are missing or constant (counted in ``attrs["quality"]``).

    Raises
    ------
    ConfigError, DataError, EmptySelectionError, TimebaseError
        If the filter is impossible; confounds or parts of a region are not finite in kept
        frames; there is no such confound or no frame kept; or frames are missing.
    DegenerateInputError
        If the frames are too few for the filter or the confounds.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> ds = bold([[5], [6], [9], [8], [5]], repetition_time=2.0, keep=[1, 1, 0, 1, 1])
    >>> denoise(ds)["bold"].values.ravel().round(1)
    array([-0.7,  0.1,  nan,  1.9, -1.3], dtype=float32)
    """
    one_of("fill_first", fill_first, ("zero", None))
    series = _series(data)
    keep = _kept(data, series)
    names, nuisance = _confounds(data, confounds, keep, fill_first)
    options = {"high_pass": high_pass, "low_pass": low_pass, "detrend": detrend}
    result = _denoised(data, series, keep, nuisance, standardize=standardize, **options)
    return add_history(result, "denoise", confounds=names, standardize=standardize, **options)


def _denoised(
    data: xr.Dataset,
    series: FloatArray,
    keep: NDArray[np.bool_],
    nuisance: FloatArray | None,
    *,
    high_pass: float | None,
    low_pass: float | None,
    **options: Any,
) -> xr.Dataset:
    step = float(data.attrs["repetition_time"])
    _require_filter(high_pass, low_pass, step)
    n_confounds = 0 if nuisance is None else nuisance.shape[1]
    _require_enough(keep, n_confounds, n_cuts=2 - [high_pass, low_pass].count(None))
    options["standardize"] = "zscore_sample" if options["standardize"] else None
    present = np.isfinite(series[keep]).all(axis=0)
    flat = present & (np.ptp(series[keep], axis=0) == 0)
    chosen = present & ~flat
    cleaned = np.full(series.shape, np.nan)
    if chosen.any():
        kept = np.flatnonzero(keep)
        cleaned[np.ix_(keep, chosen)] = _clean(
            series[:, chosen],
            nuisance,
            kept,
            t_r=step,
            high_pass=high_pass,
            low_pass=low_pass,
            **options,
        )
    result = data.assign(bold=(data["bold"].dims, cleaned.astype(np.float32), data["bold"].attrs))
    if flat.any():
        result.attrs["quality"] = {**data.attrs.get("quality", {}), "flat_rois": int(flat.sum())}
    validate(result)
    return result


def _series(data: xr.Dataset) -> FloatArray:
    """Return the series ``(time, column)``, on a clock that is regular."""
    if data.attrs.get("kind") != "bold":
        raise DataError(
            "only fMRI can be denoised", found=data.attrs.get("kind"), expected="kind 'bold'"
        )
    step = float(data.attrs["repetition_time"])
    steps = np.diff(data["time"].values)
    bad = np.flatnonzero(np.abs(steps - step) > 1e-3 * step)
    if bad.size:
        raise TimebaseError(
            "frames do not follow each other by the repetition time",
            where=f"frame {bad[0] + 1}",
            found=f"a step of {steps[bad[0]]:g} s",
            expected=f"{step:g} s",
            hint="denoise whole runs, before frames are cut out",
        )
    return np.asarray(data["bold"].values, np.float64)


def _kept(data: xr.Dataset, series: FloatArray) -> NDArray[np.bool_]:
    """Tell the frames that are kept; in these a region is there as a whole or not at all."""
    keep = np.ones(len(series), bool) if "keep" not in data.coords else data["keep"].values
    if not keep.any():
        raise EmptySelectionError("no frame is kept", found=f"{keep.size} frames, all dropped")
    finite = np.isfinite(series[keep])
    broken = np.flatnonzero(finite.any(axis=0) & ~finite.all(axis=0))
    if broken.size:
        dim = data["bold"].dims[1]
        labels = data[dim].values[broken] if dim in data.coords else broken
        raise DataError(
            "samples of kept frames are not finite",
            where=f"{dim} {', '.join(map(str, labels[:SHOWN]))}",
            found=f"{int((~finite[:, broken]).sum())} samples in {broken.size} columns",
            expected="columns that are finite, or NaN throughout",
            hint="set keep to False in these frames, or the whole columns to NaN",
        )
    return np.asarray(keep, bool)


def _require_filter(high_pass: float | None, low_pass: float | None, step: float) -> None:
    highest = 0.5 / step
    cuts = [cut for cut in (high_pass, low_pass) if cut is not None]
    if any(not 0 < cut < highest for cut in cuts) or (len(cuts) == 2 and cuts[0] >= cuts[1]):
        raise ConfigError(
            "filter is impossible",
            found=f"high_pass={high_pass}, low_pass={low_pass} [Hz]",
            expected=f"0 < high_pass < low_pass < {highest:g} Hz, half of the rate of frames",
        )


def _confounds(
    data: xr.Dataset,
    wanted: str | Sequence[str] | None,
    keep: NDArray[np.bool_],
    fill_first: str | None,
) -> tuple[list[str], FloatArray | None]:
    """Return the chosen confounds, by name and ``(time, confound)``."""
    known = [str(n) for n in data["confound"].values] if "confounds" in data else []
    chosen: dict[str, int] = {}
    for pattern in [wanted] if isinstance(wanted, str) else wanted or []:
        found = {n: place for place, n in enumerate(known) if fnmatchcase(n, pattern)}
        if not found:
            raise EmptySelectionError(
                f"there is no confound {pattern!r}",
                found=", ".join(known) or "data without confounds",
                hint=suggest(pattern, known),
            )
        chosen.update(found)
    if not chosen:
        return [], None
    table = np.array(data["confounds"].values[:, list(chosen.values())], np.float64)
    if fill_first == "zero":
        table[0] = np.nan_to_num(table[0], nan=0.0)
    bad = ~np.isfinite(table[keep])
    if bad.any():
        names = [list(chosen)[column] for column in np.unique(bad.nonzero()[1])]
        frames = np.flatnonzero(keep)[bad.nonzero()[0]]
        raise DataError(
            "confounds are not finite",
            where=", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else ""),
            found=f"{int(bad.sum())} values, first in frame {frames[0]}",
            expected="a number in every frame that is kept",
            hint="fill_first='zero' where only the first frame is missing; or keep=False there",
        )
    return list(chosen), table


def _require_enough(keep: NDArray[np.bool_], n_confounds: int, *, n_cuts: int) -> None:
    places = np.flatnonzero(keep)
    span = int(places[-1] - places[0] + 1)
    if places.size > n_confounds + 2 and span >= SHORTEST[n_cuts]:
        return
    raise DegenerateInputError(
        "frames are too few",
        found=f"{places.size} kept frames over a span of {span}, {n_confounds} confounds",
        expected=f"more than {n_confounds + 2} frames, over a span of {SHORTEST[n_cuts]} or more",
        hint="fewer confounds, or no filter",
    )


def _clean(
    series: FloatArray, nuisance: FloatArray | None, kept: NDArray[np.int64], **options: Any
) -> FloatArray:
    """Return the cleaned kept frames.

    Dropped frames are bridged here, and those before the first and after the last kept one cut
    off: nilearn 0.14 leaves out dropped frames whose mirror image in time is dropped as well.
    """
    try:
        from nilearn.signal import clean
    except ImportError as error:
        raise MissingDependencyError("nilearn", "fmri") from error
    inside = slice(int(kept[0]), int(kept[-1]) + 1)
    mask = None if kept.size == kept[-1] - kept[0] + 1 else kept - kept[0]
    cleaned: FloatArray = clean(
        _bridged(series, kept)[inside],
        confounds=None if nuisance is None else _bridged(nuisance, kept)[inside],
        sample_mask=mask,
        extrapolate=False,
        **options,
    )
    return cleaned


def _bridged(values: FloatArray, kept: NDArray[np.int64]) -> FloatArray:
    """Replace dropped frames between kept ones by a cubic spline."""
    from scipy.interpolate import CubicSpline

    inner = np.setdiff1d(np.arange(kept[0], kept[-1]), kept)
    if not inner.size:
        return values
    bridged = values.copy()
    bridged[inner] = CubicSpline(kept, values[kept])(inner)
    return bridged
