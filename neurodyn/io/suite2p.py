"""Folders that suite2p writes: one plane's fluorescence, neuropil and deconvolved activity.

``ops.npy`` and ``stat.npy`` are pickles, which could run code: they are never opened. The frame
rate is in there, so it has to be said.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    EmptySelectionError,
    FileError,
    NeurodynError,
    UnsupportedFormatError,
    suggest,
)
from neurodyn.io.arrays import read_npy
from neurodyn.io.children import Child, Notes, Select, check_children, read_children
from neurodyn.io.containment import require_inside
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.lazy import FileArray, lazy_variable
from neurodyn.io.limits import require_budget
from neurodyn.io.samples import counted_in_frames, settle_samples
from neurodyn.io.watch import Watch

__all__ = ["check_suite2p", "is_suite2p", "load_suite2p", "open_suite2p"]

FLUORESCENCE, CELLS = "F.npy", "iscell.npy"
FILES = {"fluorescence": FLUORESCENCE, "neuropil": "Fneu.npy", "deconvolved": "spks.npy"}
PICKLES = ("ops.npy", "stat.npy")
SHOWN = 10
NOTES: Notes = {
    "unknown_frame_rate": ("note", "frame rate is unknown", "say sampling_rate=... [Hz]"),
    "nan_samples": ("note", "samples are NaN", ""),
    "empty_traces": ("warning", "rois hold nothing but NaN", ""),
    "rois_left_out": ("note", "rois are no cells and were left out", ""),
}


def open_suite2p(
    source: str | Path,
    *,
    sampling_rate: float | None = None,
    cells_only: bool = False,
    plane: str | int | None = None,
) -> xr.DataTree:
    """Open a folder of suite2p as a lazy recording; the samples stay in the files.

    Parameters
    ----------
    source
        The folder of one plane (``plane0``), or the one above (``suite2p``).
    sampling_rate
        Frames per second [Hz] of this plane. Without it time counts frames at 1 Hz, and
        ``attrs["frame_rate"]`` says so.
    cells_only
        Leave out what suite2p's classifier takes for no cell.
    plane
        Which one of several: a number, or the name of its folder (``"plane0"``,
        ``"combined"``).

    Returns
    -------
    xr.DataTree
        ``signal/fluorescence``, ``signal/neuropil`` and ``signal/deconvolved``, each ``(time,
        roi)`` with coordinates ``is_cell`` and ``cell_probability``; rois are named by their
        number in suite2p, from 0.

    Raises
    ------
    FileError
        If the folder is none of suite2p's.
    ConfigError, DataError
        If there are several planes, or not the one wanted; lists them.
    """
    reader = _Reader(source, sampling_rate, cells_only, plane)
    return reader.recording(None, "raise", lazy=True)


def load_suite2p(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    sampling_rate: float | None = None,
    cells_only: bool = False,
    plane: str | int | None = None,
) -> xr.DataTree:
    """Read a folder of suite2p, or parts of it, into memory, and check what is read.

    Parameters
    ----------
    source, sampling_rate, cells_only, plane
        As in :func:`open_suite2p`.
    select
        ``"signal/deconvolved"``, wildcards, several of them or a mapping to columns; default
        everything.
    on_bad
        What to do with faults: ``"raise"``, ``"fix"``, ``"drop"`` or ``"warn"``. Dropped are
        infinite samples (they become NaN) and files that cannot be read.

    Raises
    ------
    FileError
        If a file cannot be read, changed meanwhile, or two of them disagree.
    DataError
        If something selected is faulty and ``on_bad`` does not settle it.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was dropped or kept although faulty.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "F.npy", np.ones((3, 20), np.float32))
    ...     np.save(Path(folder) / "iscell.npy", [[1.0, 0.9], [0.0, 0.2], [1.0, 0.6]])
    ...     tree = load_suite2p(folder, sampling_rate=10.0, cells_only=True)
    >>> tree["signal/fluorescence"]["roi"].values.tolist()
    ['0', '2']
    """
    reader = _Reader(source, sampling_rate, cells_only, plane)
    return reader.recording(select, on_bad, lazy=False)


def check_suite2p(
    source: str | Path,
    *,
    sampling_rate: float | None = None,
    cells_only: bool = False,
    plane: str | int | None = None,
) -> list[Fault]:
    """List all faults of a folder of suite2p; parameters as :func:`open_suite2p`.

    Raises
    ------
    FileError
        If the folder is none of suite2p's.
    """
    reader = _Reader(source, sampling_rate, cells_only, plane)
    return check_children(reader.children, str(source), NOTES)


def is_suite2p(path: Path) -> bool:
    """Tell whether a folder is one that suite2p wrote, or holds such planes."""
    return path.is_dir() and ((path / FLUORESCENCE).is_file() or bool(_planes(path)))


class _Reader:
    """One plane's folder and how it is to be read."""

    def __init__(
        self,
        source: str | Path,
        sampling_rate: float | None,
        cells_only: bool,
        plane: str | int | None,
    ) -> None:
        if sampling_rate is not None and not 0 < sampling_rate < np.inf:
            raise ConfigError(
                "sampling_rate must be positive", found=sampling_rate, expected="above 0 [Hz]"
            )
        self.sampling_rate, self.cells_only = sampling_rate, cells_only
        self.source = Path(source)
        self.folder = _plane(self.source, plane)
        present = [f for f in (*FILES.values(), CELLS) if self._path(f).exists()]
        for name in present:
            require_inside(self._path(name), self.folder)
        self.watch = Watch(self._path(name) for name in present)
        self.children = [
            Child(f"signal/{name}", name, self._reading(file))
            for name, file in FILES.items()
            if file in present
        ]

    def recording(self, select: Select | None, on_bad: OnBad, *, lazy: bool) -> xr.DataTree:
        """Read the selected files into a recording."""
        attrs: dict[str, Any] = {"source": self.source.name, "plane": self.folder.name}
        unread = [f"{p}: a pickle, never opened" for p in PICKLES if self._path(p).exists()]
        return read_children(
            self.children,
            str(self.folder),
            select=select,
            on_bad=on_bad,
            lazy=lazy,
            watch=self.watch,
            attrs={**attrs, "unread": unread} if unread else attrs,
        )

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _reading(self, file: str) -> Any:
        return lambda quality: self._signal(file, quality)

    def _signal(self, file: str, quality: Quality) -> xr.Dataset:
        where = str(self._path(file))
        mapped = self._samples(file)
        columns = self._columns(mapped.shape[0], quality)
        rows = np.arange(mapped.shape[0])
        if self.cells_only:
            rows = np.flatnonzero(columns["is_cell"])
            quality.note("rois_left_out", mapped.shape[0] - rows.size)
        labels = [str(row) for row in rows]
        array = _Traces(mapped, rows)
        values = lazy_variable(("time", "roi"), array)
        if not quality.lazy:
            samples = mapped if rows.size == mapped.shape[0] else array.chosen(where)
            named = [f"roi {label}" for label in labels]
            settled = settle_samples(samples, named, where, quality)
            if settled is not samples:
                values = xr.Variable(("time", "roi"), settled.T)
        ds = recording.signal(
            values,
            sampling_rate=self.sampling_rate or 1.0,
            channel=labels,
            dim="roi",
            channel_columns={name: column[rows] for name, column in columns.items()},
            source_path=file,
        )
        return ds if self.sampling_rate else counted_in_frames(ds, quality)

    def _samples(self, file: str) -> NDArray[Any]:
        """Map the samples ``(roi, frame)`` of one file, and hold their shape against F.npy."""
        mapped = read_npy(self._path(file), lazy=True)
        if mapped.ndim != 2 or mapped.dtype.kind not in "fiu":
            raise CorruptFileError(
                "file holds no traces",
                where=self._path(file),
                found=f"shape {mapped.shape} of {mapped.dtype}",
                expected="numbers (roi, frame)",
                hint="load(select=...) the other files, or on_bad='drop'",
            )
        reference = None
        if file != FLUORESCENCE:
            # a damaged F.npy is a fault of its own
            with contextlib.suppress(FileError):
                reference = read_npy(self._path(FLUORESCENCE), lazy=True).shape
        if reference not in (None, mapped.shape):
            raise self._disagree(file, mapped.shape, reference)
        return mapped

    def _columns(self, n_rois: int, quality: Quality) -> dict[str, NDArray[Any]]:
        """Return what suite2p's classifier says about each roi."""
        path = self._path(CELLS)
        if not path.exists() and not self.cells_only:
            return {}
        try:
            return self._cells(n_rois)
        except NeurodynError as error:
            allowed = () if self.cells_only else ("drop",)
            quality.decide(Fault.of("faulty_columns", error), can=allowed)
            return {}

    def _cells(self, n_rois: int) -> dict[str, NDArray[Any]]:
        path = self._path(CELLS)
        if not path.exists():
            raise CorruptFileError(
                "cells_only needs iscell.npy",
                where=self.folder,
                found="no such file",
                expected="the verdict of suite2p's classifier",
                hint="cells_only=False reads all rois",
            )
        found = read_npy(path)
        if found.ndim != 2 or found.shape != (n_rois, 2) or found.dtype.kind not in "fiub":
            raise self._disagree(CELLS, found.shape, (n_rois, 2))
        bad = np.flatnonzero(~np.isin(found[:, 0], (0, 1)))
        if bad.size:
            raise DataError(
                "rois are neither cells nor not",
                where=f"{path}, roi {bad[0]}",
                found=f"{found[bad[0], 0]} ({bad.size} such rois)",
                expected="0 or 1",
                hint="on_bad='drop' reads the traces without is_cell and cell_probability",
            )
        probability = found[:, 1].astype(np.float64)
        return {"is_cell": found[:, 0] == 1, "cell_probability": probability}

    def _disagree(self, file: str, found: Any, expected: Any) -> CorruptFileError:
        return CorruptFileError(
            f"{file} and {FLUORESCENCE} do not belong together",
            where=self._path(file),
            found=f"shape {found}",
            expected=f"shape {expected}, to go with {FLUORESCENCE}",
            hint="copy all files of one run; or load(select=...) the others",
        )


class _Traces(FileArray):
    """Some rows of a mapped file ``(roi, frame)`` as ``(time, roi)``."""

    def __init__(self, mapped: NDArray[Any], rows: NDArray[np.int64]) -> None:
        self.mapped, self.rows = mapped, rows
        self.shape = (mapped.shape[1], rows.size)
        self.dtype = mapped.dtype.newbyteorder("=")

    def chosen(self, where: str) -> NDArray[Any]:
        """Read the rows, within the budget."""
        n_bytes = self.shape[0] * self.shape[1] * self.dtype.itemsize
        require_budget(n_bytes, None, where=where, hint="load(select=...) reads one file")
        return self.mapped[self.rows]

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        frames, rois = key
        return np.array(self.mapped[:, frames][self.rows[rois]].T, self.dtype)


def _planes(folder: Path) -> list[str]:
    """Return the folders within that hold traces, plane 2 before plane 10."""
    names = [item.name for item in folder.iterdir() if (item / FLUORESCENCE).is_file()]
    return sorted(names, key=lambda name: (len(name), name))


def _plane(source: Path, plane: str | int | None) -> Path:
    """Return the folder of the one plane that is meant."""
    if not source.exists():
        raise FileNotFoundError(f"no such folder: {source}")
    wanted = f"plane{plane}" if isinstance(plane, int) else plane
    if (source / FLUORESCENCE).exists():
        if wanted not in (None, source.name):
            raise _no_plane(wanted, [source.name], source)
        return source
    present = _planes(source) if source.is_dir() else []
    if not present:
        inside = sorted(item.name for item in source.iterdir()) if source.is_dir() else ["a file"]
        raise UnsupportedFormatError(
            "not a folder of suite2p",
            where=source,
            found=", ".join(inside[:SHOWN]) or "an empty folder",
            expected=f"{FLUORESCENCE}, or folders plane0, plane1, ... with it",
            hint="open the folder that suite2p wrote for one plane",
        )
    if wanted is None and len(present) > 1:
        raise DataError(
            "folder holds several planes",
            where=source,
            found=", ".join(present),
            expected="one",
            hint=f"choose one, for example plane={present[0]!r}",
        )
    if wanted not in (None, *present):
        raise _no_plane(wanted, present, source)
    return source / (wanted or present[0])


def _no_plane(wanted: str | None, present: list[str], source: Path) -> EmptySelectionError:
    return EmptySelectionError(
        f"folder has no {wanted}",
        where=source,
        found=", ".join(present),
        hint=suggest(str(wanted), present),
    )
