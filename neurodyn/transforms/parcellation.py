"""Voxels or vertices averaged over the regions of an atlas; the axis of regions stays whole."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import AtlasMismatchError, ConfigError, DataError
from neurodyn.provenance import add_history
from neurodyn.recording import validate
from neurodyn.recording.labels import as_columns, as_labels

__all__ = ["complete_voxels", "parcellate"]

BACKGROUND = 0
BLOCK_BYTES = 64_000_000
SHOWN = 5


def parcellate(
    data: xr.Dataset,
    label: ArrayLike,
    regions: xr.Dataset | Mapping[str, ArrayLike],
    *,
    minimum_finite: float = 0.5,
) -> xr.Dataset:
    """Average fMRI over regions: the plain mean of each region's voxels in each frame.

    A voxel counts if it is finite in every frame in which anything was measured: voxels that
    come and go would make steps.

    Parameters
    ----------
    data
        Kind ``bold``: ``bold(time, voxel)`` or ``bold(time, vertex)``.
    label
        Region of each voxel, shape ``(voxel,)``, whole numbers; 0 belongs to none.
    regions
        Dataset with dim ``roi``, or columns by name: ``roi`` (names) and ``label`` (the value in
        ``label``), and what else is known of them, such as ``network``, ``hemisphere``, ``x``.
    minimum_finite
        Share of a region's voxels that must count; with fewer the region is NaN.

    Returns
    -------
    xr.Dataset
        Kind ``bold``: ``bold(time, roi)``, float32, one column for each region of ``regions``, in
        order, NaN without voxels. ``coverage(roi)`` is the share of its voxels that count.

    Raises
    ------
    AtlasMismatchError
        If a voxel carries a label that no region has.
    DataError
        If the data are no voxels or vertices, or the labels or regions do not fit.
    ConfigError
        If ``minimum_finite`` is no share.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> voxels = bold([[1, 3, 9], [2, np.nan, 8]], repetition_time=2.0, dim="voxel")
    >>> ds = parcellate(voxels, [7, 7, 0], {"roi": ["V1", "M1"], "label": [7, 8]})
    >>> ds["bold"].values.tolist(), ds["coverage"].values.tolist()
    ([[1.0, nan], [2.0, nan]], [0.5, 0.0])
    """
    if not 0 < minimum_finite <= 1:
        raise ConfigError(
            "minimum_finite must be a share", found=minimum_finite, expected="above 0, up to 1"
        )
    dim = _voxel_dim(data)
    table = _region_table(regions)
    region = _region_of_voxels(np.asarray(label), table["label"].values, data.sizes[dim], dim)
    means, coverage = _regional(data["bold"].transpose("time", dim).values, region, table)
    means[:, coverage < minimum_finite] = np.nan
    result = data.drop_dims(dim).assign_coords({**table.coords, "coverage": ("roi", coverage)})
    result["bold"] = (("time", "roi"), means, data["bold"].attrs)
    validate(result)
    return add_history(result, "parcellate", minimum_finite=minimum_finite)


def complete_voxels(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell the voxels that are finite in every frame in which anything was measured.

    Parameters
    ----------
    values
        Shape ``(time, voxel)``.

    Returns
    -------
    np.ndarray
        Shape ``(voxel,)``; all False if nothing is finite.

    Examples
    --------
    >>> complete_voxels(np.array([[1.0, 1.0], [np.nan, np.nan], [1.0, np.nan]])).tolist()
    [True, False]
    """
    complete = np.ones(values.shape[1], bool)
    any_frame = False
    for block in _blocks(values):
        finite = np.isfinite(block)
        measured = finite.any(axis=1)
        any_frame |= bool(measured.any())
        complete &= finite[measured].all(axis=0)
    return np.asarray(complete & any_frame)


def _voxel_dim(data: xr.Dataset) -> str:
    dims: tuple[Hashable, ...] = data["bold"].dims if "bold" in data else ()
    dim = next((str(dim) for dim in dims if dim in ("voxel", "vertex")), None)
    if data.attrs.get("kind") != "bold" or dim is None:
        raise DataError(
            "data cannot be parcellated",
            found=f"kind {data.attrs.get('kind')!r} with dims {tuple(data.sizes)}",
            expected="kind 'bold' with bold(time, voxel) or bold(time, vertex)",
        )
    return dim


def _region_table(regions: xr.Dataset | Mapping[str, ArrayLike]) -> xr.Dataset:
    """Return the columns of regions as coordinates along ``roi``."""
    if isinstance(regions, xr.Dataset):
        columns: dict[str, Any] = {
            str(name): variable.values
            for name, variable in regions.variables.items()
            if variable.dims == ("roi",)
        }
    else:
        columns = {name: np.asarray(values) for name, values in regions.items()}
    missing = [name for name in ("roi", "label") if name not in columns]
    if missing:
        raise DataError(
            f"regions have no column {missing[0]!r}",
            found=", ".join(columns) or "no column",
            expected="'roi' (names) and 'label' (the values of the labels)",
        )
    names, labels = as_labels(columns.pop("roi")), np.asarray(columns.pop("label"))
    _require_unique("names", names)
    _require_unique("labels", labels)
    if labels.dtype.kind not in "iu" or (labels == BACKGROUND).any():
        raise DataError(
            "labels of regions must be whole numbers other than 0",
            found=f"{labels.dtype} {labels[:SHOWN].tolist()}",
            expected="integers; 0 is the background",
        )
    return xr.Dataset(coords={"roi": names, "label": ("roi", labels), **as_columns("roi", columns)})


def _require_unique(what: str, values: NDArray[Any]) -> None:
    unique, counts = np.unique(values, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{what} of regions repeat",
            found=", ".join(map(str, unique[counts > 1][:SHOWN])),
            expected="each region once",
        )


def _region_of_voxels(
    label: NDArray[Any], known: NDArray[Any], n_voxels: int, dim: str
) -> NDArray[np.int64]:
    """Return the row of each voxel's region; -1 for the background."""
    if label.shape != (n_voxels,) or label.dtype.kind not in "iu":
        raise DataError(
            f"there must be one label for each {dim}",
            found=f"shape {label.shape} of {label.dtype}",
            expected=f"shape ({n_voxels},) of integers",
        )
    values, place = np.unique(label, return_inverse=True)
    row_of = {int(value): row for row, value in enumerate(known)}
    strange = [int(v) for v in values if v != BACKGROUND and int(v) not in row_of]
    if strange:
        shown = ", ".join(map(str, strange[:SHOWN])) + (", ..." if len(strange) > SHOWN else "")
        raise AtlasMismatchError(
            "labels belong to no region",
            found=f"{len(strange)} of them: {shown}",
            expected=f"0, or a label of the {known.size} regions",
            hint="add them to the regions, or set them to 0",
        )
    rows = np.array([row_of.get(int(value), -1) for value in values], np.int64)
    result: NDArray[np.int64] = rows[place]
    return result


def _regional(
    values: NDArray[Any], region: NDArray[np.int64], table: xr.Dataset
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return means ``(time, roi)`` over the voxels that count, and their share of each region."""
    n_rois = table.sizes["roi"]
    used = complete_voxels(values) & (region >= 0)
    n_voxels = np.bincount(region[region >= 0], minlength=n_rois)
    n_used = np.bincount(region[used], minlength=n_rois)
    coverage = n_used / np.maximum(n_voxels, 1)
    means = np.full((values.shape[0], n_rois), np.nan, np.float32)
    present = np.flatnonzero(n_used)
    if not present.size:
        return means, coverage
    order = np.flatnonzero(used)[np.argsort(region[used], kind="stable")]
    first = np.cumsum(n_used[present]) - n_used[present]
    start = 0
    for block in _blocks(values):
        sums = np.add.reduceat(block[:, order], first, axis=1, dtype=np.float64)
        means[start : start + len(block), present] = sums / n_used[present]
        start += len(block)
    return means, coverage


def _blocks(values: NDArray[Any]) -> list[NDArray[Any]]:
    """Return views of some frames each, so that copies of them stay small."""
    n_frames = max(1, BLOCK_BYTES // max(1, values.shape[1] * values.itemsize))
    return [values[start : start + n_frames] for start in range(0, len(values), n_frames)]
