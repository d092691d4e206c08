"""Regional time series of many runs in one HDF5 file.

The layout::

    /                     attrs that all runs share: repetition_time or tr [s], atlas, space, ...
    /roi                  (roi,) names of the regions, and/or
    /roi_label            (roi,) their labels, whole numbers; without either they count from 1
    /runs/<name>          attrs: repetition_time or tr [s], subject, session, task, ...; a name
                          such as sub-01_run-03 tells them too
    /runs/<name>/bold     (roi, time) numbers
    /runs/<name>/keep     (time,) frames that survive censoring; may be absent
    /runs/<name>/<other>  (time,) nuisance series, which become confounds. One of (time - 1,)
                          compares each frame with the one before: its first frame is NaN.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import CorruptFileError, DataError
from neurodyn.io.bold_runs import NOTES, build_run
from neurodyn.io.children import Child, Select, check_children, read_children
from neurodyn.io.confounds import require_frames
from neurodyn.io.containment import printable
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.hdf5 import open_hdf5, read_array, unchanged
from neurodyn.io.lazy import StoredArray, lazy_variable
from neurodyn.io.nwb.naming import attribute, clean_name, unique_name
from neurodyn.io.nwb.session import quick_digest
from neurodyn.io.regions import find_regions, read_regions, region_table
from neurodyn.io.repetition_time import settle_repetition_time
from neurodyn.io.sidecars import run_attrs

__all__ = ["check_bold_hdf5", "is_bold_hdf5", "load_bold_hdf5", "open_bold_hdf5"]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
TIMES = ("repetition_time", "tr")
SHARED = (*TIMES, "atlas", "space", "task", "site")


def open_bold_hdf5(
    source: str | Path,
    *,
    repetition_time: float | None = None,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
) -> xr.DataTree:
    """Open a file of runs as a lazy recording; the layout is that of this module.

    Parameters
    ----------
    source
        The file.
    repetition_time
        TR [s] of all runs; it settles what the file says.
    rois
        Table of regions (:func:`neurodyn.io.regions.read_regions`) with names, networks and
        positions, matched by label or by name.
    max_missing_roi
        Share of regions that may hold no number in a run.

    Returns
    -------
    xr.DataTree
        One child ``/bold/<name>`` for each run, ``/bold`` if there is one only:
        ``bold(time, roi)`` with the attributes of the run.

    Raises
    ------
    FileError, FileNotFoundError
        If the file as a whole cannot be read.
    """
    reader = _Reader(source, repetition_time, rois, max_missing_roi)
    return reader.recording(None, "raise", lazy=True)


def load_bold_hdf5(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    repetition_time: float | None = None,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
) -> xr.DataTree:
    """Read runs of a file, and check them.

    Parameters
    ----------
    source, repetition_time, rois, max_missing_roi
        As in :func:`open_bold_hdf5`.
    select
        Runs by name, ``"bold/sub_01*"``; default all.
    on_bad
        What to do with faults: ``"raise"``, ``"drop"`` (infinite values become NaN, a faulty run
        is left out) or ``"warn"``.

    Raises
    ------
    FileError, FileNotFoundError
        If the file cannot be read, or changed meanwhile.
    EmptySelectionError
        If there is no such run.
    TimebaseError, UnitScaleError
        If the repetition time is unknown or impossible, or a series has another length.
    DataError, AtlasMismatchError
        If values and regions do not fit, or something is faulty and ``on_bad`` does not settle it.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was dropped or kept although faulty.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "runs.h5"
    ...     with h5py.File(path, "w") as file:
    ...         file.attrs["tr"] = 2.0
    ...         file["roi"] = ["V1", "M1"]
    ...         file["runs/rest/bold"] = [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]
    ...     bold = load_bold_hdf5(path)["bold"]
    >>> bold["bold"].sel(roi="M1").values.tolist(), bold["time"].values.tolist()
    ([3.0, 2.0, 1.0], [0.0, 2.0, 4.0])
    """
    reader = _Reader(source, repetition_time, rois, max_missing_roi)
    tree = reader.recording(select, on_bad, lazy=False)
    reader.file.close()
    return tree


def check_bold_hdf5(
    source: str | Path,
    *,
    repetition_time: float | None = None,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
) -> list[Fault]:
    """List all faults of a file; parameters as in :func:`open_bold_hdf5`.

    Raises
    ------
    FileError, FileNotFoundError
        If the file as a whole cannot be read.
    """
    reader = _Reader(source, repetition_time, rois, max_missing_roi)
    with reader.file:
        return check_children(reader.children(), str(source), NOTES)


def is_bold_hdf5(path: str | Path, head: bytes) -> bool:
    """Tell whether a file has the layout of this module."""
    if not head.startswith(HDF5_SIGNATURE):
        return False
    with open_hdf5(path) as file:
        return bool(_runs(file))


class _Reader:
    """One file and how it is to be read."""

    def __init__(
        self,
        source: str | Path,
        repetition_time: float | None,
        rois: str | Path | None,
        max_missing_roi: float,
    ) -> None:
        self.path = Path(source)
        self.repetition_time, self.max_missing_roi = repetition_time, max_missing_roi
        self.table = None if rois is None else read_regions(rois)
        self.file = open_hdf5(self.path)
        self.runs = _runs(self.file)
        if not self.runs:
            found = ", ".join(map(printable, self.file)) or "an empty file"
            self.file.close()
            raise CorruptFileError(
                "file holds no runs",
                where=self.path,
                found=found,
                expected="/runs/<name>/bold of shape (roi, time)",
            )

    def recording(self, select: Select | None, on_bad: OnBad, *, lazy: bool) -> xr.DataTree:
        """Read runs into a recording."""
        tree = read_children(
            self.children(),
            str(self.path),
            select=select,
            on_bad=on_bad,
            lazy=lazy,
            watch=self,
            attrs={"source": self.path.name, "digest": quick_digest(self.path)},
        )
        if lazy:
            tree.set_close(self.file.close)
        return tree

    def require_unchanged(self) -> None:
        """Raise ``FileError`` if the file is not the one that was opened."""
        unchanged(self.file)

    def children(self) -> list[Child]:
        """Return the runs of the file."""
        taken: list[str] = []
        for name in self.runs:
            taken.append(unique_name(printable(name), taken))
        single = len(taken) == 1
        return [
            Child(
                "bold" if single else f"bold/{clean}",
                printable(name),
                partial(self._bold, group),
                f"/runs/{printable(name)}",
            )
            for clean, (name, group) in zip(taken, self.runs.items())
        ]

    def _bold(self, group: h5py.Group, quality: Quality) -> xr.Dataset:
        where = f"{self.path}:{printable(group.name)}"
        stored = group["bold"]
        is_array = isinstance(stored, h5py.Dataset) and stored.dtype.kind in "fiu"
        if not is_array or stored.ndim != 2:
            raise DataError(
                "run holds no time series of regions",
                where=where,
                found=f"bold of shape {getattr(stored, 'shape', None)}",
                expected="numbers of shape (roi, time)",
            )
        n_rois, n_frames = stored.shape
        shared = {n: v for n, v in _plain(self.file).items() if n in SHARED}
        own = _plain(group)
        said = next((level[n] for level in (own, shared) for n in TIMES if n in level), None)
        named = run_attrs(f"{group.name.rpartition('/')[2]}_bold")
        about = {**shared, **named, **own}
        series = _series(group, n_frames, where)
        attrs = {name: value for name, value in about.items() if name not in TIMES}
        attrs.update(source_path=printable(group.name))
        about = {
            "repetition_time": settle_repetition_time(None, said, self.repetition_time, where),
            **series,
            **attrs,
        }
        regions = self._regions(n_rois, where)
        if quality.lazy:
            columns = {str(name): c.values for name, c in regions.coords.items()}
            lazy = lazy_variable(("time", "roi"), StoredArray(stored, transposed=True))
            return recording.bold(lazy, roi=columns.pop("roi"), roi_columns=columns, **about)
        values = np.asarray(read_array(stored)).T
        return build_run(
            values, regions, where, quality, max_missing_roi=self.max_missing_roi, **about
        )

    def _regions(self, n_rois: int, where: str) -> xr.Dataset:
        names, labels = (_column(self.file, name) for name in ("roi", "roi_label"))
        for name, column in (("roi", names), ("roi_label", labels)):
            if column is not None and len(column) != n_rois:
                raise DataError(
                    "run and regions have different lengths",
                    where=where,
                    found=f"{n_rois} rows of bold, {len(column)} of /{name}",
                    expected="bold of shape (roi, time)",
                    hint="a transposed array must be written again",
                )
        if labels is None and names is None:
            labels = np.arange(1, n_rois + 1)
        keys = [str(key) for column in (names, labels) if column is not None for key in column]
        if self.table is not None:
            return self.table.isel(roi=find_regions(keys[:n_rois], self.table, where))
        return region_table(keys[:n_rois], labels)


def _runs(file: h5py.File) -> dict[str, h5py.Group]:
    """Return the groups below ``/runs`` that hold a ``bold``, by name."""
    runs = file.get("runs")
    if not isinstance(runs, h5py.Group):
        return {}
    groups = ((str(name), runs.get(name)) for name in runs)
    return {n: group for n, group in groups if isinstance(group, h5py.Group) and "bold" in group}


def _plain(item: h5py.File | h5py.Group) -> dict[str, Any]:
    """Return the attributes that are single numbers or text, under plain names."""
    read = {clean_name(printable(str(name))): attribute(item, name) for name in item.attrs}
    return {
        n: value
        for n, value in read.items()
        if isinstance(value, str | int | float) and n != "kind"
    }


def _column(file: h5py.File, name: str) -> NDArray[Any] | None:
    item = file.get(name)
    return read_array(item) if isinstance(item, h5py.Dataset) and item.ndim == 1 else None


def _series(group: h5py.Group, n_frames: int, where: str) -> dict[str, Any]:
    """Return ``keep`` and ``confounds`` of a run as :func:`neurodyn.recording.bold` takes them."""
    series: dict[str, Any] = {}
    confounds: dict[str, NDArray[np.float64]] = {}
    for name in sorted(set(group) - {"bold"}):
        item = group[name]
        if not isinstance(item, h5py.Dataset) or item.ndim != 1 or item.dtype.kind not in "fiub":
            continue
        values = np.asarray(read_array(item))
        if name == "keep" and values.size == n_frames:
            series["keep"] = values.astype(bool)
        elif values.size in (n_frames, n_frames - 1):
            padded = np.full(n_frames, np.nan)
            padded[n_frames - values.size :] = values
            confounds[printable(name)] = padded
        else:
            require_frames(name, values.size, n_frames, where)
    if confounds:
        series["confounds"] = confounds
    return series
