"""fMRI as NIfTI volumes, averaged over the regions of an atlas as the file is read.

The axis of regions is always that of the atlas: what the image does not show of it is NaN.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import ConfigError, DataError
from neurodyn.io.atlas import COORDINATE_ATLASES, Atlas, as_atlas
from neurodyn.io.bold_runs import NOTES, RunFacts
from neurodyn.io.children import Child, Notes, Select, check_children
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.file_reader import FileReader
from neurodyn.io.lazy import FileArray, lazy_variable
from neurodyn.io.limits import require_budget
from neurodyn.io.lost_rois import require_rois, settle_lost_rois
from neurodyn.io.nifti import NiftiFile, is_nifti, open_nifti
from neurodyn.io.repetition_time import in_seconds
from neurodyn.io.sidecars import run_attrs, sidecar_paths
from neurodyn.io.voxel_grid import (
    Grid,
    Placement,
    count_labels,
    orientation,
    place_atlas,
    require_same_sides,
)
from neurodyn.io.watch import Watch
from neurodyn.transforms.parcellation import complete_voxels, parcellate

__all__ = ["check_fmri", "is_fmri", "load_fmri", "open_fmri"]

FMRI_NOTES: Notes = {
    **NOTES,
    "unscaled": ("note", "image has no scl_slope, taken as 1", ""),
    "unknown_space": ("warning", "image does not say which space its affine leads to", ""),
}


def open_fmri(
    source: str | Path,
    *,
    atlas: Atlas | str | Path | None = None,
    max_missing_roi: float = 0.1,
    minimum_finite: float = 0.5,
    allow_flip: bool = False,
    **facts: Any,
) -> xr.DataTree:
    """Open fMRI volumes as a lazy recording: headers and atlas are read, volumes are not.

    Parameters
    ----------
    source
        ``.nii`` or ``.nii.gz``, ``(x, y, z, time)``, in the space of the atlas.
    atlas
        What :func:`neurodyn.io.atlas.read_atlas` gives, the path of an image, or one of the names
        that :func:`neurodyn.io.atlas.coordinate_atlas` knows. Without one an error says so.
    max_missing_roi
        Share of regions that may lack voxels; 1.0 accepts any number. They are NaN.
    minimum_finite
        Share of a region's voxels within the image that must be finite; with fewer it is NaN.
    allow_flip
        Image and atlas may differ in orientation: both affines are known to be right.
    **facts
        ``repetition_time``, ``sidecar``, ``confounds``, ``keep`` and others, as
        :class:`neurodyn.io.bold_runs.RunFacts` describes them. JSON files that belong to the
        image by BIDS are found by themselves.

    Returns
    -------
    xr.DataTree
        ``bold(time, roi)``, float32: of label images and seeds the mean over the voxels of each
        region (:func:`neurodyn.transforms.parcellation.parcellate`), of maps the least-squares
        weights as in nilearn's ``NiftiMapsMasker``. ``coverage`` is the share of a region's
        voxels, counted on a grid of the image's spacing without bounds, that lie within the image;
        once loaded, that are finite in all frames too. Constant regions are NaN once loaded.

    Raises
    ------
    FileError
        If the file as a whole, or the atlas, cannot be read.
    """
    return _Reader(source, atlas, max_missing_roi, minimum_finite, allow_flip, facts).recording(
        None, "raise", lazy=True
    )


def load_fmri(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    atlas: Atlas | str | Path | None = None,
    max_missing_roi: float = 0.1,
    minimum_finite: float = 0.5,
    allow_flip: bool = False,
    **facts: Any,
) -> xr.DataTree:
    """Read fMRI volumes over the regions of an atlas, and check them.

    Only voxels of regions are kept, one volume after another. Regions without any voxel, with too
    few finite ones or with a constant signal are NaN, counted in ``attrs["quality"]`` and listed
    in ``attrs`` ``"missing_rois"``, ``"sparse_rois"`` and ``"flat_rois"``.

    Parameters
    ----------
    source, atlas, max_missing_roi, minimum_finite, allow_flip, **facts
        As in :func:`open_fmri`.
    select
        Only ``"bold"`` is there.
    on_bad
        ``"warn"`` keeps a run that lacks too many regions; ``"drop"`` leaves a faulty run out.

    Raises
    ------
    FileError
        If a file cannot be read, is damaged, too large, or changed meanwhile.
    TimebaseError, UnitScaleError
        If the repetition time is unknown or impossible, or confounds have another length.
    ImageGeometryError
        If image and atlas do not overlap, or their left and right run opposite ways.
    AtlasMismatchError
        If more than ``max_missing_roi`` of the regions lack voxels.
    DataError
        If the image is no series, or confounds are not finite.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was dropped or kept although faulty.

    Examples
    --------
    >>> import tempfile
    >>> import nibabel
    >>> from neurodyn.io.atlas import seeds
    >>> values = np.arange(48, dtype=np.int16).reshape(2, 2, 4, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rest.nii.gz"
    ...     nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    ...     tree = load_fmri(path, atlas=seeds([[0, 0, 1]], 0.5), repetition_time=2.0)
    >>> tree["bold"]["bold"].values.ravel().tolist(), tree["bold"]["coverage"].item()
    ([3.0, 4.0, 5.0], 1.0)
    """
    return _Reader(source, atlas, max_missing_roi, minimum_finite, allow_flip, facts).recording(
        select, on_bad, lazy=False
    )


def check_fmri(
    source: str | Path,
    *,
    atlas: Atlas | str | Path | None = None,
    max_missing_roi: float = 0.1,
    minimum_finite: float = 0.5,
    allow_flip: bool = False,
    **facts: Any,
) -> list[Fault]:
    """List all faults of fMRI volumes; parameters as in :func:`open_fmri`.

    Raises
    ------
    FileError
        If the file as a whole, or the atlas, cannot be read.
    """
    reader = _Reader(source, atlas, max_missing_roi, minimum_finite, allow_flip, facts)
    return check_children([reader.child], str(source), FMRI_NOTES)


def is_fmri(path: Path, head: bytes) -> bool:
    """Tell from the first bytes whether a file is a NIfTI image in one piece."""
    return path.is_file() and is_nifti(head)


class _Reader(FileReader):
    """One image, an atlas and what the caller says of the run."""

    def __init__(
        self,
        source: str | Path,
        atlas: Atlas | str | Path | None,
        max_missing_roi: float,
        minimum_finite: float,
        allow_flip: bool,
        facts: dict[str, Any],
    ) -> None:
        if atlas is None:
            raise ConfigError(
                "volumes need an atlas",
                where=source,
                found="no atlas",
                expected=f"an atlas, the path of a label image, or {', '.join(COORDINATE_ATLASES)}",
                hint="atlas=...; neurodyn.io.atlas.read_atlas(image, table) adds names",
            )
        if not 0 < minimum_finite <= 1:
            raise ConfigError(
                "minimum_finite must be a share", found=minimum_finite, expected="above 0, up to 1"
            )
        self.path, self.facts = Path(source), RunFacts(**facts)
        self.max_missing_roi, self.minimum_finite = max_missing_roi, minimum_finite
        self.allow_flip = allow_flip
        self.file = open_nifti(self.path)
        self.atlas = as_atlas(atlas)
        beside = sidecar_paths(self.path) if self.facts.repetition_time is None else []
        self.watch = Watch([self.path, *self.facts.files, *beside])
        self.child = Child("bold", self.path.name.split(".")[0], self._run)

    def _run(self, quality: Quality) -> xr.Dataset:
        where = str(self.path)
        file = self.file
        if file.n_frames < 2:
            raise DataError(
                "image is no series",
                where=where,
                found=f"shape {file.shape}",
                expected="(x, y, z, time) with two frames or more",
            )
        step = self._repetition_time()
        require_same_sides(self.atlas, file.affine, where, allow_flip=self.allow_flip)
        nx, ny, nz = file.shape[:3]
        placement = place_atlas(self.atlas, Grid((nx, ny, nz), file.affine), where)
        quality.note("unscaled", not file.is_scaled)
        quality.note("unknown_space", not file.has_space)
        series = _RegionSeries(file, self.atlas, placement, self.minimum_finite)
        if quality.lazy:
            names = self.atlas.regions["roi"].values[series.within == 0].tolist()
            require_rois(
                names, series.shape[1], where, quality, max_missing_roi=self.max_missing_roi
            )
            return self._dataset(series.lazy(), series.within, step)
        ds = self._dataset(*series.means_and_coverage, step)
        return settle_lost_rois(ds, where, quality, max_missing_roi=self.max_missing_roi)

    def _dataset(self, values: Any, coverage: NDArray[np.float64], step: float) -> xr.Dataset:
        regions = self.atlas.regions
        columns = {str(name): c.values for name, c in regions.coords.items() if name != "roi"}
        attrs: dict[str, Any] = {**run_attrs(self.path), "atlas": self.atlas.name}
        attrs["orientation"] = orientation(self.file.affine)
        if self.atlas.affine is not None:
            attrs["atlas_orientation"] = orientation(self.atlas.affine)
        return recording.bold(
            values,
            repetition_time=step,
            roi=regions["roi"].values,
            roi_columns={**columns, "coverage": coverage},
            **self.facts.series(self.file.n_frames, str(self.path)),
            **attrs,
        )

    def _repetition_time(self) -> float:
        header = None
        if self.facts.repetition_time is None:
            header = in_seconds(self.file.step, self.file.time_unit, self.path)
        return self.facts.clock(self.path, header)


class _RegionSeries(FileArray):
    """The series of all regions, float32 ``(time, roi)``, read when they are touched."""

    def __init__(
        self, file: NiftiFile, atlas: Atlas, placement: Placement, minimum_finite: float
    ) -> None:
        self.file, self.atlas, self.placement = file, atlas, placement
        self.minimum_finite = minimum_finite
        self.shape = (file.n_frames, atlas.regions.sizes["roi"])
        self.dtype = np.dtype(np.float32)

    @cached_property
    def within(self) -> NDArray[np.float64]:
        """Share of each region, ``(roi,)``, that lies within the image."""
        return self._coverage(np.ones(self.placement.voxel.size, bool))

    @cached_property
    def means_and_coverage(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Series ``(time, roi)`` and the share of each region that is within and finite."""
        voxels = self._voxels()
        if self.placement.weight is not None:
            return self._unmixed(voxels, complete_voxels(voxels))
        data = recording.bold(voxels, repetition_time=1.0, dim="voxel")
        regions = parcellate(
            data, self.placement.label, self.atlas.regions, minimum_finite=self.minimum_finite
        )
        return regions["bold"].values, regions["coverage"].values * self.within

    def lazy(self) -> xr.Variable:
        """Return the series as a variable that is read when it is touched."""
        return lazy_variable(("time", "roi"), self)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        series: NDArray[np.float32] = self.means_and_coverage[0][key[0]][:, key[1]]
        return series

    def _voxels(self) -> NDArray[np.float32]:
        """Read the voxels of regions, ``(time, voxel)``."""
        n_bytes = 4 * self.file.n_frames * self.placement.voxel.size
        require_budget(n_bytes, None, where=self.file.path)
        voxels = np.empty((self.file.n_frames, self.placement.voxel.size), np.float32)
        for row, frame in zip(voxels, self.file.frames(), strict=True):
            row[:] = frame.ravel(order="F")[self.placement.voxel]
        return voxels

    def _coverage(self, used: NDArray[np.bool_]) -> NDArray[np.float64]:
        label, weight, total = self.placement.label, self.placement.weight, self.placement.total
        if weight is not None:
            found = np.abs(weight[used]).sum(axis=0, dtype=np.float64)
        else:
            found = count_labels(label[used], self.atlas.regions["label"].values)
        # resampled weights may exceed the volume that they stand for
        return np.asarray(np.minimum(found / np.where(total > 0, total, 1), 1.0))

    def _unmixed(
        self, voxels: NDArray[np.float32], used: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the weights of maps that fit the voxels best, as nilearn does, and coverage."""
        coverage = self._coverage(used)
        mapped = coverage > 0
        series = np.full(self.shape, np.nan, np.float32)
        if mapped.any():
            frames = np.isfinite(voxels[:, used]).all(axis=1)
            design = np.asarray(self.placement.weight)[used][:, mapped].astype(np.float64)
            target = voxels[frames][:, used].T.astype(np.float64)
            series[np.ix_(frames, mapped)] = np.linalg.lstsq(design, target)[0].T
        # the others need the sparse maps beside them in the fit, but these are not to be trusted
        series[:, coverage < self.minimum_finite * self.within] = np.nan
        return series, coverage
