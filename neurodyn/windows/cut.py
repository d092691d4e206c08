"""A recording without trials, cut into blocks that look like trials."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.provenance import add_history
from neurodyn.recording import counts as build_counts
from neurodyn.recording import pick
from neurodyn.transforms.binning import unit_columns

__all__ = ["cut_blocks"]

DEFAULT_BINS = 100


def cut_blocks(
    recording: xr.DataTree | xr.Dataset,
    length: float | None = None,
    gap: float = 0.0,
    *,
    least_observed: float = 0.5,
) -> xr.Dataset:
    """Cut counts ``(time, unit)`` into blocks ``(trial, time, unit)`` of equal length.

    Blocks never reach over a gap of the clock; those with too little observed are left out.

    Parameters
    ----------
    recording
        Counts without trials, or a recording that has them.
    length
        Length of a block [s]; by default 100 bins, or all there is if that is less.
    gap
        Time [s] left out between blocks, so that neighbours share no fast dynamics.
    least_observed
        Least fraction of a block's bins and units that must have been observed.

    Returns
    -------
    xr.Dataset
        Kind ``counts``, dims ``(trial, time, unit)``; ``time`` [s] from ``block_start(trial)``
        [s]. ``attrs["quality"]`` counts the bins in no block and the blocks left out.

    Raises
    ------
    ConfigError
        If length or gap is impossible.
    EmptySelectionError
        If no block is left.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> blocks = cut_blocks(counts(np.ones((10, 2)), bin_size=0.1), length=0.3, gap=0.1)
    >>> blocks["block_start"].values.tolist(), blocks.attrs["quality"]["bins_left_out"]
    ([0.0, 0.4], 4)
    """
    counts = pick(recording, "counts")
    if "trial" in counts["count"].dims:
        raise ConfigError("the counts have trials already", expected="counts (time, unit)")
    n_length, n_gap = _bins(counts, length, gap)
    starts = _starts(counts, n_length, n_gap)
    kept = starts[_fraction_observed(counts, starts, n_length) >= least_observed]
    if not kept.size:
        raise EmptySelectionError(
            "no block is left",
            found=f"{starts.size} blocks of {n_length} bins in {counts.sizes['time']} bins",
            expected=f"at least one block with {least_observed:.0%} observed",
            hint="choose a shorter length or a lower least_observed",
        )
    result = _blocks(counts, kept, n_length)
    result.attrs["quality"]["blocks_left_out"] = int(starts.size - kept.size)
    return add_history(result, "cut_blocks", length=length, gap=gap)


def _bins(counts: xr.Dataset, length: float | None, gap: float) -> tuple[int, int]:
    bin_size, n_time = counts.attrs["bin_size"], counts.sizes["time"]
    n_length = min(DEFAULT_BINS, n_time) if length is None else round(length / bin_size)
    if not 1 <= n_length <= n_time:
        raise ConfigError(
            "the length of a block does not fit the recording",
            found=f"length={length} s",
            expected=f"{bin_size:g} to {n_time * bin_size:g} s",
        )
    if not (np.isfinite(gap) and gap >= 0):
        raise ConfigError("the gap between blocks must not be negative", found=f"gap={gap} s")
    # half a bin of gap is a bin
    return n_length, int(np.ceil(round(gap / bin_size, 6)))


def _starts(counts: xr.Dataset, n_length: int, n_gap: int) -> NDArray[np.int64]:
    """Return the first bin of each block, stretch by stretch of the regular clock."""
    time, bin_size = counts["time"].values, counts.attrs["bin_size"]
    breaks = np.flatnonzero(np.abs(np.diff(time) - bin_size) > bin_size / 2) + 1
    seen = _seen(counts)
    starts = []
    for first, stop in zip([0, *breaks.tolist()], [*breaks.tolist(), time.size]):
        observed = np.flatnonzero(seen[first:stop])
        begin = first + int(observed[0]) if observed.size else stop
        starts.append(np.arange(begin, stop - n_length + 1, n_length + n_gap))
    return np.concatenate(starts).astype(np.int64)


def _seen(counts: xr.Dataset) -> NDArray[np.float64]:
    """Return the fraction of units that were observed in each bin."""
    if "observed" not in counts:
        return np.ones(counts.sizes["time"])
    mask = counts["observed"]
    fraction = mask.mean("unit") if "unit" in mask.dims else mask
    return np.asarray(fraction.values, dtype=np.float64)


def _fraction_observed(
    counts: xr.Dataset, starts: NDArray[np.int64], n_length: int
) -> NDArray[np.float64]:
    total = np.concatenate([[0.0], np.cumsum(_seen(counts))])
    fraction: NDArray[np.float64] = (total[starts + n_length] - total[starts]) / n_length
    return fraction


def _blocks(counts: xr.Dataset, starts: NDArray[np.int64], n_length: int) -> xr.Dataset:
    rows = starts[:, None] + np.arange(n_length)
    observed = None
    if "observed" in counts:
        order = [dim for dim in ("time", "unit") if dim in counts["observed"].dims]
        observed = counts["observed"].transpose(*order).values[rows]
    attrs = {k: v for k, v in counts.attrs.items() if k not in ("kind", "bin_size")}
    left_out = int(counts.sizes["time"] - rows.size)
    attrs["quality"] = {**attrs.get("quality", {}), "bins_left_out": left_out}
    return build_counts(
        counts["count"].transpose("time", "unit").values[rows],
        bin_size=counts.attrs["bin_size"],
        unit=counts["unit"].values,
        observed=observed,
        unit_columns=unit_columns(counts),
        trial_columns={"block_start": counts["time"].values[starts]},
        **attrs,
    )
