"""Regions that carry no signal: NaN, counted and listed; too many of them are an error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurodyn.errors import AtlasMismatchError, ConfigError
from neurodyn.io.faults import Fault, Quality

__all__ = ["require_rois", "settle_lost_rois"]

SHOWN = 5


def settle_lost_rois(
    data: xr.Dataset, where: object, quality: Quality, *, max_missing_roi: float
) -> xr.Dataset:
    """Return fMRI whose regions without signal are NaN, and say which these are.

    Parameters
    ----------
    data
        Kind ``bold`` over ``roi``, with ``coverage`` where it is known.
    where
        The file, for messages.
    quality
        Counts ``missing_rois`` (no voxel), ``sparse_rois`` (too few voxels) and ``flat_rois`` (a
        constant, which is no signal). Decides on too many that are missing or sparse:
        ``on_bad="warn"`` keeps them as NaN.
    max_missing_roi
        Share of regions that may be missing or sparse.

    Returns
    -------
    xr.Dataset
        On the same axis, with constant regions NaN. ``attrs`` of the names above list the
        regions, as far as there are any.

    Raises
    ------
    AtlasMismatchError
        If more regions are missing or sparse.
    ConfigError
        If ``max_missing_roi`` is no share.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> quality = Quality("raise")
    >>> ds = bold([[1, 5], [2, 5], [3, 5]], repetition_time=2.0, roi=["V1", "M1"])
    >>> ds = settle_lost_rois(ds, "run 1", quality, max_missing_roi=0.1)
    >>> ds["bold"].values[0].tolist(), ds.attrs["flat_rois"], quality.attrs()
    ([1.0, nan], ['M1'], {'quality': {'flat_rois': 1}})
    """
    if not 0 <= max_missing_roi <= 1:
        raise ConfigError(
            "max_missing_roi must be a share", found=max_missing_roi, expected="0 to 1"
        )
    values = data["bold"].transpose("time", "roi").values
    empty = np.isnan(values).all(axis=0)
    coverage = data["coverage"].values if "coverage" in data.coords else np.zeros(empty.size)
    sparse = empty & (coverage > 0)
    # both pass over NaN, and are NaN, hence unequal, where there is nothing else
    flat = np.fmax.reduce(values, axis=0) == np.fmin.reduce(values, axis=0)
    lost = {"missing_rois": empty & ~sparse, "sparse_rois": sparse, "flat_rois": flat}
    names = {kind: data["roi"].values[which].tolist() for kind, which in lost.items()}
    missing = [*names["missing_rois"], *names["sparse_rois"]]
    require_rois(missing, empty.size, where, quality, max_missing_roi=max_missing_roi)
    for kind, listed in names.items():
        quality.note(kind, len(listed))
    data = data.assign_attrs({kind: listed for kind, listed in names.items() if listed})
    return data.assign(bold=data["bold"].where(xr.DataArray(~flat, dims="roi")))


def require_rois(
    missing: Sequence[str], n_rois: int, where: object, quality: Quality, *, max_missing_roi: float
) -> None:
    """Refuse fMRI that lacks too many regions.

    Parameters
    ----------
    missing
        Names of regions without enough voxels.
    n_rois
        Of the atlas.
    where
        The file, for messages.
    quality
        Decides; ``on_bad="warn"`` accepts it.
    max_missing_roi
        Share of regions that may be missing.

    Raises
    ------
    AtlasMismatchError
        If more are missing.
    ConfigError
        If ``max_missing_roi`` is no share.

    Examples
    --------
    >>> require_rois(["V1"], 20, "run 1", Quality("raise"), max_missing_roi=0.1)
    """
    if not 0 <= max_missing_roi <= 1:
        raise ConfigError(
            "max_missing_roi must be a share", found=max_missing_roi, expected="0 to 1"
        )
    if len(missing) <= max_missing_roi * n_rois:
        return
    shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
    error = AtlasMismatchError(
        "regions of the atlas are missing in the image",
        where=where,
        found=f"{len(missing)} of {n_rois} regions without enough voxels: {shown}",
        expected=f"at most {max_missing_roi:g} of them (max_missing_roi)",
        hint="max_missing_roi=1.0 accepts it: the regions become NaN",
    )
    quality.decide(Fault.of("missing_rois", error), n=len(missing), can=("warn",))
