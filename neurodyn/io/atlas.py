"""Atlases of the brain: label images, probabilistic maps and seeds with a radius."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import (
    AtlasMismatchError,
    ConfigError,
    DataError,
    MissingDependencyError,
    one_of,
)
from neurodyn.io.nifti import NiftiFile, open_nifti
from neurodyn.io.regions import read_regions, region_table

__all__ = ["COORDINATE_ATLASES", "Atlas", "as_atlas", "coordinate_atlas", "read_atlas", "seeds"]

# name: nilearn's function, and the radius [mm] of the seeds where that does not give it
COORDINATE_ATLASES = {
    "power264": ("fetch_coords_power_2011", 5.0),
    "dosenbach160": ("fetch_coords_dosenbach_2010", 5.0),
    "seitzman300": ("fetch_coords_seitzman_2018", None),
}
# a region whose centre is nearer to the midline [mm] may lie on both sides of it
MIDLINE = 5.0
# images are read as float32, which holds every whole number up to here
LARGEST_LABEL = 2**24
SHOWN = 5


@dataclass(frozen=True, eq=False)
class Atlas:
    """Regions of the brain and where they are.

    Parameters
    ----------
    name
        What it is called, for ``attrs["atlas"]``.
    regions
        Coordinates along ``roi``: names, ``label``, and what is known of ``network``,
        ``hemisphere`` and the centres ``x``, ``y``, ``z`` [mm].
    kind
        ``"labels"``: ``image`` int64 ``(x, y, z)`` holds the label of each voxel, 0 for none;
        ``"maps"``: ``image`` float32 ``(x, y, z, roi)`` holds weights;
        ``"seeds"``: spheres of ``radius`` about the centres.
    image, affine
        Voxels, and millimetres from voxels, ``(4, 4)``; None for seeds.
    radius
        Of each seed [mm], shape ``(roi,)``; None for images.
    """

    name: str
    regions: xr.Dataset
    kind: Literal["labels", "maps", "seeds"]
    image: NDArray[Any] | None = None
    affine: NDArray[np.float64] | None = None
    radius: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        return f"<Atlas {self.name}: {self.regions.sizes['roi']} {self.kind}>"


def read_atlas(
    path: str | Path, table: str | Path | xr.Dataset | None = None, *, name: str | None = None
) -> Atlas:
    """Read an atlas from a NIfTI image: labels if it has three axes, maps if it has four.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``.
    table
        Regions: text as :func:`neurodyn.io.regions.read_regions` takes it, or what that gives. A
        row of label 0 is the background. Maps are numbered from 1. Without a table regions are
        named by their labels.
    name
        Default the name of the file.

    Returns
    -------
    Atlas
        Regions in the order of the table, else of their labels. Centres come from the table, else
        from the image; sides from the table, the names, or centres 5 mm or more off the midline.

    Raises
    ------
    FileNotFoundError, FileError
        If a file cannot be read.
    DataError
        If the image holds no labels, or the table does not fit.
    AtlasMismatchError
        If labels of the image are not in the table.

    Examples
    --------
    >>> import tempfile
    >>> import nibabel
    >>> image = nibabel.Nifti1Image(np.array([[[0]], [[7]], [[3]]], np.int16), np.eye(4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nibabel.save(image, Path(folder) / "two.nii")
    ...     atlas = read_atlas(Path(folder) / "two.nii")
    >>> atlas, atlas.regions["roi"].values.tolist(), atlas.regions["x"].values.tolist()
    (<Atlas two: 2 labels>, ['3', '7'], [2.0, 1.0])
    """
    file = open_nifti(path)
    values = file.data()
    regions = read_regions(table) if isinstance(table, str | Path) else table
    name = Path(path).name.split(".")[0] if name is None else name
    if values.ndim == 4:
        regions = _regions_of_maps(values, regions, file)
        return Atlas(name, regions, "maps", values, file.affine)
    image = _labels(values, path)
    return Atlas(name, _regions_of_labels(image, regions, file), "labels", image, file.affine)


def coordinate_atlas(name: str, *, radius: float | None = None) -> Atlas:
    """Return one of the atlases of coordinates that nilearn carries; nothing is downloaded.

    Parameters
    ----------
    name
        ``"power264"`` (Power et al., 2011), ``"dosenbach160"`` (Dosenbach et al., 2010) or
        ``"seitzman300"`` (Seitzman et al., 2020).
    radius
        Of the seeds [mm]; default 5, and for Seitzman 4 or 5 as the authors give it.

    Raises
    ------
    ConfigError
        For another name or an impossible radius.
    MissingDependencyError
        Without nilearn.

    Examples
    --------
    >>> coordinate_atlas("dosenbach160")
    <Atlas dosenbach160: 160 seeds>
    """
    one_of("name", name, COORDINATE_ATLASES)
    try:
        from nilearn import datasets
    except ImportError as error:
        raise MissingDependencyError("nilearn", "fmri") from error
    function, default = COORDINATE_ATLASES[name]
    with warnings.catch_warnings():
        # about table formats of later versions
        warnings.simplefilter("ignore")
        found = getattr(datasets, function)()
    points = found["rois"][["x", "y", "z"]].to_numpy(np.float64)
    columns = {"network": np.asarray(found["networks"], str)} if "networks" in found else {}
    own = found["radius"] if default is None else default
    labels = found.get("labels")
    return seeds(
        points, own if radius is None else radius, roi=labels, name=name, label=None, **columns
    )


def seeds(
    points: ArrayLike,
    radius: ArrayLike,
    *,
    roi: Sequence[object] | None = None,
    label: ArrayLike | None = None,
    name: str = "seeds",
    **columns: ArrayLike,
) -> Atlas:
    """Return an atlas of spheres.

    Parameters
    ----------
    points
        Centres [mm] in the space of the images, shape ``(roi, 3)``.
    radius
        Of the spheres [mm], one or ``(roi,)``.
    roi, label
        Names and numbers; default counted from 1.
    name
        Of the atlas.
    **columns
        What else is known of the regions, such as ``network``.

    Raises
    ------
    ConfigError, DataError
        If the centres are no points, or a radius is not above 0.

    Examples
    --------
    >>> seeds([[-40, -20, 50], [40, -20, 50]], 6.0).regions["hemisphere"].values.tolist()
    ['left', 'right']
    """
    place = np.asarray(points, np.float64)
    if place.ndim != 2 or place.shape[1] != 3 or not len(place) or not np.isfinite(place).all():
        raise DataError(
            "centres of seeds are no points",
            found=f"shape {place.shape}",
            expected="finite numbers (roi, 3) [mm]",
        )
    radii = np.broadcast_to(np.asarray(radius, np.float64), len(place)).copy()
    if not ((radii > 0) & np.isfinite(radii)).all():
        raise ConfigError("radius must be positive", found=radius, expected="above 0 [mm]")
    number = np.arange(1, len(place) + 1) if label is None else label
    names = list(np.asarray(number)) if roi is None else list(roi)
    x, y, z = place.T
    regions = _with_sides(region_table(names, number, **columns, x=x, y=y, z=z))
    return Atlas(name, regions, "seeds", radius=radii)


def as_atlas(atlas: Atlas | str | Path) -> Atlas:
    """Return an atlas given as such, as the path of an image or as a name.

    The table of an image is the ``.tsv`` of the same name beside it, where there is one.

    Raises
    ------
    FileNotFoundError
        If it is neither a known name nor a file.
    FileError, DataError
        As :func:`read_atlas`.

    Examples
    --------
    >>> as_atlas("power264")
    <Atlas power264: 264 seeds>
    """
    if isinstance(atlas, Atlas):
        return atlas
    if atlas in COORDINATE_ATLASES:
        return coordinate_atlas(str(atlas))
    if not Path(atlas).exists():
        known = ", ".join(COORDINATE_ATLASES)
        raise FileNotFoundError(f"no such atlas: {atlas}; known by name: {known}")
    path = Path(atlas)
    table = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".tsv")
    return read_atlas(path, table if table.is_file() else None)


def _labels(values: NDArray[np.float32], path: str | Path) -> NDArray[np.int64]:
    whole = np.isfinite(values) & (values == np.rint(values))
    bad = values[~(whole & (values >= 0) & (values <= LARGEST_LABEL))]
    if bad.size:
        raise DataError(
            "image is none of labels",
            where=path,
            found=f"{bad.size} voxels with other values, such as {bad[0]:g}",
            expected=f"whole numbers from 0, the background, to {LARGEST_LABEL}",
            hint="probabilistic maps have a fourth axis, one map for each region",
        )
    return values.astype(np.int64)


def _regions_of_labels(
    image: NDArray[np.int64], regions: xr.Dataset | None, file: NiftiFile
) -> xr.Dataset:
    present = np.unique(image[image != 0])
    if not present.size:
        raise DataError(
            "image holds no labels", where=file.path, found="zeros", expected="labels above 0"
        )
    if regions is None:
        regions = region_table(present.tolist(), present)
    regions = regions.isel(roi=regions["label"].values != 0)
    strange = np.setdiff1d(present, regions["label"].values)
    if strange.size:
        shown = ", ".join(map(str, strange[:SHOWN])) + (", ..." if strange.size > SHOWN else "")
        raise AtlasMismatchError(
            "labels of the image are not in the table of regions",
            where=file.path,
            found=f"{strange.size} of {present.size} labels: {shown}",
            expected=f"labels of the {regions.sizes['roi']} regions",
            hint="give the table that belongs to this image",
        )
    centres = _label_centres(image, regions["label"].values, file.affine)
    return _with_sides(_with_centres(regions, centres))


def _regions_of_maps(
    maps: NDArray[np.float32], regions: xr.Dataset | None, file: NiftiFile
) -> xr.Dataset:
    numbers = np.arange(1, maps.shape[3] + 1)
    regions = region_table(numbers.tolist(), numbers) if regions is None else regions
    fits = regions.sizes["roi"] == numbers.size
    if not (fits and np.isfinite(maps).all() and maps.any()):
        raise DataError(
            "maps do not fit",
            where=file.path,
            found=f"{numbers.size} maps, {regions.sizes['roi']} regions, "
            f"{int((~np.isfinite(maps)).sum())} voxels that are not finite",
            expected="one row of the table for each map, finite weights that are not all 0",
        )
    return _with_sides(_with_centres(regions, _map_centres(maps, file.affine)))


def _with_centres(regions: xr.Dataset, centres: NDArray[np.float64]) -> xr.Dataset:
    if all(axis in regions.coords for axis in "xyz"):
        return regions
    return regions.assign_coords({a: ("roi", centres[:, i]) for i, a in enumerate("xyz")})


def _with_sides(regions: xr.Dataset) -> xr.Dataset:
    """Tell left from right by the centres where names and table do not."""
    n_rois = regions.sizes["roi"]
    known = regions["hemisphere"].values if "hemisphere" in regions.coords else [""] * n_rois
    by_centre = np.select(
        [regions["x"].values <= -MIDLINE, regions["x"].values >= MIDLINE], ["left", "right"], ""
    )
    sides = [side or other for side, other in zip(known, by_centre.tolist())]
    return regions.assign_coords(hemisphere=("roi", np.array(sides, np.str_)))


def _label_centres(
    image: NDArray[np.int64], labels: NDArray[np.int64], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean position [mm] of each label's voxels, NaN if it has none."""
    voxels = np.argwhere(image)
    place = np.searchsorted(labels, image[tuple(voxels.T)], sorter=np.argsort(labels))
    row = np.argsort(labels)[place]
    weights = np.bincount(row, minlength=labels.size)
    return _centres([np.bincount(row, v, labels.size) for v in voxels.T], weights, affine)


def _map_centres(maps: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centre of mass [mm] of each map, NaN if it is empty."""
    size = np.abs(maps)
    sums = []
    for axis, n in enumerate(maps.shape[:3]):
        others = tuple(a for a in range(3) if a != axis)
        sums.append(np.arange(n) @ size.sum(axis=others, dtype=np.float64))
    return _centres(sums, size.sum(axis=(0, 1, 2), dtype=np.float64), affine)


def _centres(
    sums: Sequence[NDArray[Any]], weights: NDArray[Any], affine: NDArray[np.float64]
) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        voxel = np.stack(sums) / weights
    centres: NDArray[np.float64] = (affine[:3, :3] @ voxel + affine[:3, 3:]).T
    return centres
