"""CIFTI-2: time series of grayordinates (``.dtseries.nii``) and of parcels (``.ptseries.nii``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn import recording
from neurodyn.errors import CiftiError
from neurodyn.io.bold_runs import NOTES, RunFacts, build_run
from neurodyn.io.children import Child, Select, check_children
from neurodyn.io.cifti_axes import grayordinates, open_cifti_file, side_of, wrong_axes
from neurodyn.io.dlabel import open_parcellation
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.file_reader import FileReader
from neurodyn.io.lazy import lazy_variable
from neurodyn.io.lost_rois import settle_lost_rois
from neurodyn.io.regions import describe_regions, place_columns, read_regions, region_table
from neurodyn.io.sidecars import run_attrs
from neurodyn.io.watch import Watch
from neurodyn.transforms.parcellation import parcellate

__all__ = ["check_cifti", "load_cifti", "open_cifti"]

SERIES = {("series", "brain models"), ("series", "parcels")}
SHOWN = 5


def open_cifti(
    source: str | Path,
    *,
    dlabel: str | Path | None = None,
    map_name: str | None = None,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
    **facts: Any,
) -> xr.DataTree:
    """Open a CIFTI time series as a recording.

    Parameters
    ----------
    source
        ``.dtseries.nii`` or ``.ptseries.nii``.
    dlabel
        Parcellation (:func:`neurodyn.io.dlabel.read_dlabel`). Vertices are matched by structure
        and number, so that files with and without the medial wall fit; the parcels of a
        ``.ptseries`` by name.
    map_name
        Which map of ``dlabel``, if it holds several.
    rois
        Table of regions (:func:`neurodyn.io.regions.read_regions`) with networks and positions,
        matched by the names of the parcels.
    max_missing_roi
        Share of regions that may hold no number; they are NaN, coverage 0.
    **facts
        ``repetition_time``, ``sidecar``, ``confounds``, ``keep`` and others, as
        :class:`neurodyn.io.bold_runs.RunFacts` describes them.

    Returns
    -------
    xr.DataTree
        ``bold(time, roi)``; of a ``.dtseries`` without ``dlabel`` ``bold(time, vertex)``, left in
        the file, with ``structure`` and ``index`` of each place.

    Raises
    ------
    CiftiError
        If the axes are others than (series, brain models) or (series, parcels).
    FileError
        If the file as a whole cannot be read.
    """
    return _Reader(source, dlabel, map_name, rois, max_missing_roi, facts).recording(
        None, "raise", lazy=True
    )


def load_cifti(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    dlabel: str | Path | None = None,
    map_name: str | None = None,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
    **facts: Any,
) -> xr.DataTree:
    """Read a CIFTI time series, and check it.

    Parameters
    ----------
    source, dlabel, map_name, rois, max_missing_roi, **facts
        As in :func:`open_cifti`.
    select
        Only ``"bold"`` is there.
    on_bad
        What to do with faults: ``"raise"``, ``"drop"`` (infinite values become NaN) or ``"warn"``.

    Raises
    ------
    CiftiError
        If the axes are not those of a time series, or the files do not fit each other.
    FileError
        If a file cannot be read, or changed meanwhile.
    TimebaseError, UnitScaleError
        If the repetition time is unknown, in doubt or impossible, or confounds have another
        length.
    AtlasMismatchError
        If too many regions hold no number, or parcels are no regions of the atlas.
    DataError
        If something is faulty and ``on_bad`` does not settle it.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was dropped or kept although faulty.

    Examples
    --------
    >>> import tempfile
    >>> from nibabel.cifti2 import Cifti2Image, cifti2_axes
    >>> cortex = cifti2_axes.BrainModelAxis.from_mask([True, True], "CORTEX_LEFT")
    >>> parcels = cifti2_axes.ParcelsAxis.from_brain_models([("V1", cortex)])
    >>> series = cifti2_axes.SeriesAxis(0, 0.72, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rest.ptseries.nii"
    ...     Cifti2Image(np.array([[1.0], [2.0]]), (series, parcels)).to_filename(path)
    ...     bold = load_cifti(path)["bold"]
    >>> bold["roi"].values.tolist(), bold["bold"].values.tolist(), bold.attrs["repetition_time"]
    (['V1'], [[1.0], [2.0]], 0.72)
    """
    reader = _Reader(source, dlabel, map_name, rois, max_missing_roi, facts)
    return reader.recording(select, on_bad, lazy=False)


def check_cifti(
    source: str | Path,
    *,
    dlabel: str | Path | None = None,
    map_name: str | None = None,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
    **facts: Any,
) -> list[Fault]:
    """List all faults of a CIFTI time series; parameters as in :func:`open_cifti`.

    Raises
    ------
    FileError, CiftiError
        If the file as a whole cannot be read.
    """
    reader = _Reader(source, dlabel, map_name, rois, max_missing_roi, facts)
    return check_children([reader.child], str(source), NOTES)


class _Reader(FileReader):
    """One time series and how it is to be read."""

    def __init__(
        self,
        source: str | Path,
        dlabel: str | Path | None,
        map_name: str | None,
        rois: str | Path | None,
        max_missing_roi: float,
        facts: dict[str, Any],
    ) -> None:
        self.path = Path(source)
        self.facts = RunFacts(**facts)
        self.dlabel, self.map_name, self.rois = dlabel, map_name, rois
        self.max_missing_roi = max_missing_roi
        self.file = open_cifti_file(self.path)
        if self.file.kinds not in SERIES:
            raise wrong_axes(self.file, "(series, brain models) or (series, parcels)")
        beside = [Path(file) for file in (dlabel, rois) if file is not None]
        self.watch = Watch([self.path, *beside, *self.facts.files])
        self.child = Child("bold", self.path.name.split(".")[0], self._bold)

    def _bold(self, quality: Quality) -> xr.Dataset:
        series, places = self.file.axes
        about: dict[str, Any] = {
            "repetition_time": self._clock(series),
            **self.facts.series(len(series), self.path),
            **run_attrs(self.path),
        }
        if self.file.kinds[1] == "parcels":
            return self._parcels(places, about, quality)
        if self.dlabel is None:
            return self._vertices(places, about)
        return self._parcellated(places, about, quality)

    def _clock(self, series: Any) -> float:
        if series.unit != "SECOND":
            raise CiftiError(
                "series of the file is no time",
                where=self.path,
                found=f"unit {series.unit}, step {series.step:g}",
                expected="unit SECOND",
                hint="write the file with a series of seconds",
            )
        return self.facts.clock(self.path, float(series.step))

    def _vertices(self, places: Any, about: dict[str, Any]) -> xr.Dataset:
        place = grayordinates(self.file, places)
        return recording.bold(
            lazy_variable(("time", "vertex"), self.file.values),
            dim="vertex",
            roi_columns={"structure": place.structure, "index": place.index},
            **about,
        )

    def _parcellated(self, places: Any, about: dict[str, Any], quality: Quality) -> xr.Dataset:
        atlas = open_parcellation(self.dlabel or "", self.map_name)
        where = f"{self.path}, {self.dlabel}"
        column = grayordinates(self.file, places).places_of(atlas.places, where)
        values = self.file.read()[:, column]
        # places of the atlas that the file does not hold count against coverage
        values[:, column < 0] = np.nan
        vertices = recording.bold(values, dim="vertex", **about)
        ds = parcellate(vertices, atlas.region, self._described(atlas.regions))
        return settle_lost_rois(ds, self.path, quality, max_missing_roi=self.max_missing_roi)

    def _parcels(self, parcels: Any, about: dict[str, Any], quality: Quality) -> xr.Dataset:
        names = [str(name) for name in parcels.name]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise CiftiError(
                "parcels have the same name",
                where=self.path,
                found=", ".join(repeated[:SHOWN]),
                expected="a name of its own for each parcel",
            )
        sides = [side_of({str(name) for name in vertices}) for vertices in parcels.vertices]
        values, regions = self.file.read(), region_table(names, hemisphere=sides)
        if self.dlabel is not None:
            atlas = self._described(open_parcellation(self.dlabel, self.map_name).regions)
            values, regions = place_columns(values, names, atlas, self.path)
        elif self.rois is not None:
            values, regions = place_columns(values, names, read_regions(self.rois), self.path)
        return build_run(
            values,
            regions,
            str(self.path),
            quality,
            max_missing_roi=self.max_missing_roi,
            **about,
        )

    def _described(self, regions: xr.Dataset) -> xr.Dataset:
        if self.rois is None:
            return regions
        return describe_regions(regions, read_regions(self.rois), self.rois)
