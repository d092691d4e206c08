"""Time series on the two cortical surfaces, averaged over the regions of a parcellation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn import recording
from neurodyn.errors import ConfigError, DataError, TimebaseError
from neurodyn.io.bold_runs import NOTES, RunFacts
from neurodyn.io.children import Child, Select, check_children, read_children
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.lost_rois import settle_lost_rois
from neurodyn.io.nwb.session import quick_digest
from neurodyn.io.regions import describe_regions, read_regions, region_table
from neurodyn.io.sidecars import run_attrs
from neurodyn.io.surface_files import SurfaceLabels, both_sides, read_labels, read_series
from neurodyn.io.watch import Watch
from neurodyn.transforms.parcellation import parcellate

__all__ = ["check_surfaces", "load_surfaces", "open_surfaces"]

SIDES = ("left", "right")
Pair = tuple[str | Path, str | Path]
Labels = str | Path | tuple[str | Path | ArrayLike, str | Path | ArrayLike]


def open_surfaces(
    source: str | Path | Pair,
    *,
    labels: Labels | None = None,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
    **facts: Any,
) -> xr.DataTree:
    """Open time series on both surfaces as a recording; the files are read now.

    Parameters
    ----------
    source
        ``.func.gii`` or ``.mgz`` of the left and of the right hemisphere, or one of the two if
        names tell the side (``hemi-L``, ``lh.``, ``.L.``).
    labels
        Regions of the vertices, (left, right) or one of two files in the same way:
        ``.label.gii``, ``.annot``, or arrays of whole numbers, 0 for none. Where both sides use
        the same numbers these are different regions: names end in ``-lh`` and ``-rh``, and the
        numbers of the right side follow those of the left. Without labels an error says so.
    rois
        Table of regions (:func:`neurodyn.io.regions.read_regions`), matched by name, or by
        label where ``labels`` are arrays; the axis is then that of the table.
    max_missing_roi
        Share of regions that may hold no number; they are NaN, coverage 0.
    **facts
        ``repetition_time``, ``sidecar``, ``confounds``, ``keep`` and others, as
        :class:`neurodyn.io.bold_runs.RunFacts` describes them.

    Returns
    -------
    xr.DataTree
        ``bold(time, roi)``, the plain mean over the vertices of each region.

    Raises
    ------
    FileError, FileNotFoundError
        If there is no such file.
    ImageGeometryError
        If it is not clear which side is which.
    """
    return _Reader(source, labels, rois, max_missing_roi, facts).recording(None, "raise", lazy=True)


def load_surfaces(
    source: str | Path | Pair,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    labels: Labels | None = None,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
    **facts: Any,
) -> xr.DataTree:
    """Read time series on both surfaces, and check them.

    Parameters
    ----------
    source, labels, rois, max_missing_roi, **facts
        As in :func:`open_surfaces`.
    select
        Only ``"bold"`` is there.
    on_bad
        What to do with faults: ``"raise"`` or ``"warn"``.

    Raises
    ------
    FileError, FileNotFoundError
        If a file cannot be read, or changed meanwhile.
    ImageGeometryError
        If left and right are swapped.
    TimebaseError, UnitScaleError
        If the sides differ in length or time step, or the repetition time is unknown.
    AtlasMismatchError, DataError
        If labels, regions and vertices do not fit each other.

    Examples
    --------
    >>> import tempfile
    >>> import nibabel
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pair = [Path(folder) / f"{side}.rest.mgz" for side in ("lh", "rh")]
    ...     for path in pair:
    ...         frames = np.array([[1, 2], [3, 4]], np.float32)[:, None, None]
    ...         nibabel.save(nibabel.MGHImage(frames, np.eye(4)), path)
    ...     labels = ([5, 5], [6, 0])
    ...     bold = load_surfaces(pair[0], labels=labels, repetition_time=2.0)["bold"]
    >>> bold["bold"].values.tolist(), bold["hemisphere"].values.tolist()
    ([[2.0, 1.0], [3.0, 2.0]], ['left', 'right'])
    """
    reader = _Reader(source, labels, rois, max_missing_roi, facts)
    return reader.recording(select, on_bad, lazy=False)


def check_surfaces(
    source: str | Path | Pair,
    *,
    labels: Labels | None = None,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
    **facts: Any,
) -> list[Fault]:
    """List all faults of time series on surfaces; parameters as in :func:`open_surfaces`.

    Raises
    ------
    FileError, FileNotFoundError
        If there is no such file.
    """
    reader = _Reader(source, labels, rois, max_missing_roi, facts)
    return check_children([reader.child], str(reader.left), NOTES)


class _Reader:
    """Two time series and how they are to be read."""

    def __init__(
        self,
        source: str | Path | Pair,
        labels: Labels | None,
        rois: str | Path | None,
        max_missing_roi: float,
        facts: dict[str, Any],
    ) -> None:
        left, right = both_sides(source) if isinstance(source, str | Path) else source
        self.left, self.right = Path(left), Path(right)
        for path in (self.left, self.right):
            if not path.exists():
                raise FileNotFoundError(f"no such file: {path}")
        self.labels = both_sides(labels) if isinstance(labels, str | Path) else labels
        self.rois, self.max_missing_roi = rois, max_missing_roi
        self.facts = RunFacts(**facts)
        beside = [Path(f) for f in (*(self.labels or ()), rois) if isinstance(f, str | Path)]
        self.watch = Watch([self.left, self.right, *beside, *self.facts.files])
        self.child = Child("bold", self.left.name.split(".")[0], self._bold)

    def recording(self, select: Select | None, on_bad: OnBad, *, lazy: bool) -> xr.DataTree:
        """Read both sides into a recording."""
        pair = (self.left, self.right)
        return read_children(
            [self.child],
            str(self.left),
            select=select,
            on_bad=on_bad,
            lazy=lazy,
            watch=self.watch,
            attrs={
                "source": ", ".join(path.name for path in pair),
                "digest": ", ".join(map(quick_digest, pair)),
            },
        )

    def _bold(self, quality: Quality) -> xr.Dataset:
        values, repetition_time = self._series()
        region, regions = self._regions([v.shape[1] for v in values])
        vertices = recording.bold(
            np.concatenate(values, axis=1),
            repetition_time=repetition_time,
            dim="vertex",
            **self.facts.series(len(values[0]), self.left),
            **run_attrs(self.left),
        )
        ds = parcellate(vertices, region, regions)
        return settle_lost_rois(ds, self.left, quality, max_missing_roi=self.max_missing_roi)

    def _series(self) -> tuple[list[NDArray[np.float32]], float]:
        paths = (self.left, self.right)
        read = [read_series(path, side) for path, side in zip(paths, SIDES)]
        lengths = [len(one.values) for one in read]
        times = [self.facts.clock(path, one.step) for path, one in zip(paths, read)]
        if lengths[0] != lengths[1] or abs(times[0] - times[1]) > 1e-3:
            raise TimebaseError(
                "left and right are no frames of one run",
                where=f"{self.left}, {self.right}",
                found=" and ".join(f"{n} frames every {s:g} s" for n, s in zip(lengths, times)),
                expected="equal numbers of frames at the same repetition time",
                hint="give the two files of one run",
            )
        return [one.values for one in read], times[0]

    def _regions(self, n_vertices: list[int]) -> tuple[NDArray[np.int64], xr.Dataset]:
        if self.labels is None:
            raise ConfigError(
                "regions of the surfaces are unknown",
                where=self.left,
                found="labels=None",
                expected="labels of the left and of the right vertices",
                hint="say labels=(left, right): .label.gii, .annot or arrays",
            )
        read = [read_labels(source, side) for source, side in zip(self.labels, SIDES)]
        for one, n, side in zip(read, n_vertices, SIDES):
            if one.label.size != n:
                raise DataError(
                    "labels and surface have different numbers of vertices",
                    where=f"{self.left}, {self.right}",
                    found=f"{one.label.size} labels, {n} vertices on the {side}",
                    expected="a label for each vertex",
                    hint="take the labels on the surface of the series, such as fsaverage5",
                )
        region, regions = joined(*read)
        if self.rois is None:
            return region, regions
        table = read_regions(self.rois)
        if any(one.names for one in read):
            return region, describe_regions(regions, table, self.rois)
        return region, table


def joined(left: SurfaceLabels, right: SurfaceLabels) -> tuple[NDArray[np.int64], xr.Dataset]:
    """Return the labels of both sides on one axis of vertices, and their regions.

    Examples
    --------
    >>> left = SurfaceLabels(np.array([0, 1]), {1: "V1"})
    >>> right = SurfaceLabels(np.array([1, 2]), {1: "V1", 2: "M1"})
    >>> region, regions = joined(left, right)
    >>> region.tolist(), regions["roi"].values.tolist()
    ([0, 1, 2, 3], ['V1-lh', 'V1-rh', 'M1-rh'])
    """
    own = [np.unique(one.label[one.label != 0]) for one in (left, right)]
    repeat = np.isin(own[0], own[1]).any()
    shift = int(own[0].max()) if repeat else 0
    label = np.concatenate([left.label, np.where(right.label != 0, right.label + shift, 0)])
    names, values, sides = [], [], []
    for one, keys, side, ending, moved in zip(
        (left, right), own, SIDES, ("-lh", "-rh"), (0, shift)
    ):
        for key in map(int, keys):
            names.append(one.names.get(key, str(key)) + (ending if repeat else ""))
            values.append(key + moved)
            sides.append(side)
    return label, region_table(names, values, hemisphere=sides)
