"""NeuroPAL files of whole-brain calcium imaging: MATLAB, many worms, cells known by name.

The layout of ``Head_Activity_OH16230.mat`` and its siblings (Yemini et al. 2021, Cell 184:272):
``traces{cell}`` holds one trace for each file (worm), or all left ones and then all right ones;
an empty one means that the cell was not seen there. ``stims(file, slot)`` says which stimulus a
worm got in which slot of ``stim_times``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import DataError, UnsupportedFormatError, one_of
from neurodyn.io.children import Child, Notes, Select, check_children, read_children
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.lazy import FileArray, lazy_variable
from neurodyn.io.limits import require_budget
from neurodyn.io.mat import open_mat
from neurodyn.io.mat_structure import NUMBERS, MatFile, described
from neurodyn.io.neuropal_fields import (
    Roi,
    animal_labels,
    numbers,
    read_rate,
    read_rois,
    read_trials,
    require,
)
from neurodyn.io.neuropal_write import write_neuropal
from neurodyn.io.nwb.session import quick_digest
from neurodyn.io.samples import settle_samples
from neurodyn.io.watch import Watch

__all__ = ["check_neuropal", "load_neuropal", "open_neuropal", "write_neuropal"]

Series = Literal["traces", "norm_traces", "max_traces"]
UNITS = {"traces": "dF/F0", "norm_traces": "a.u.", "max_traces": "dF/F0"}
STIMULI = ("stim_names", "stim_times", "stims")
USED = {"fps", "files", "neurons", "is_L", "is_AWCL_OFF", *STIMULI}
NOTES: Notes = {
    "repeated_animals": ("warning", "file names are repeated and were numbered", ""),
    "unseen_traces": ("note", "traces are empty: the cell was not seen in the animal", ""),
    "short_animals": (
        "note",
        "animals have fewer frames than the longest; their ends are NaN",
        "common_time=True keeps the frames that all have",
    ),
    "empty_traces": ("warning", "traces hold nothing but NaN", "an unseen cell should be empty"),
    "nan_samples": ("note", "samples are NaN in traces that are there", ""),
    "slots_without_stimulus": ("note", "slots without a stimulus", ""),
}


def open_neuropal(
    source: str | Path, *, traces: Series = "traces", common_time: bool = False
) -> xr.DataTree:
    """Open a NeuroPAL file as a lazy recording; each touch of the traces reads them anew.

    Parameters
    ----------
    source
        A MATLAB file, of version 5 (``-v7``) or 7.3.
    traces
        Which field becomes the signal: ``"traces"`` (dF/F0), ``"norm_traces"``, or
        ``"max_traces"`` where that holds series.
    common_time
        Keep the frames that all animals have; else shorter ones end in NaN.

    Returns
    -------
    xr.DataTree
        ``signal(animal, time, roi)``, NaN where a cell was not seen, with coordinates ``cell``,
        ``side`` (``"L"``, ``"R"``, ``""``) and ``n_frames(animal)``; and ``trials`` with columns
        ``stimulus`` and ``animal``. Root ``attrs["unread"]`` names the other fields.

    Raises
    ------
    FileError
        If the file as a whole cannot be read, or is no NeuroPAL file.
    """
    reader = _Reader(source, traces, common_time)
    try:
        tree = reader.recording(None, "raise", lazy=True)
    except BaseException:
        reader.file.close()
        raise
    tree.set_close(reader.file.close)
    return tree


def load_neuropal(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    traces: Series = "traces",
    common_time: bool = False,
) -> xr.DataTree:
    """Read a NeuroPAL file, or parts of it, into memory, and check what is read.

    Parameters
    ----------
    source, traces, common_time
        As in :func:`open_neuropal`.
    select
        ``"signal"``, ``"trials"``, several of them or a mapping to columns; default everything.
    on_bad
        What to do with faults: ``"raise"``, ``"fix"``, ``"drop"`` or ``"warn"``. Dropped are
        single traces (they become NaN), cells of which nothing can be told, and rows of trials.

    Raises
    ------
    FileError
        If the file cannot be read, changed meanwhile, or lacks a field.
    DataError
        If something selected is faulty and ``on_bad`` does not settle it.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was dropped or kept although faulty.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn import recording as build
    >>> trace = np.sin(np.arange(40.0))[None, :, None]
    >>> worms = build.signal(trace * [1, 2], sampling_rate=4.0, dim="roi", animal=["w1"],
    ...                      channel=["AVAL", "AVAR"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_neuropal(build.recording([worms]), Path(folder) / "worms.mat")
    ...     print(build.describe(load_neuropal(path)))
    recording  source=worms.mat
      signal   1 animal, 40 times, 2 rois: signal (4 Hz)
    """
    reader = _Reader(source, traces, common_time)
    try:
        return reader.recording(select, on_bad, lazy=False)
    finally:
        reader.file.close()


def check_neuropal(
    source: str | Path, *, traces: Series = "traces", common_time: bool = False
) -> list[Fault]:
    """List all faults of a NeuroPAL file; parameters as :func:`open_neuropal`.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    """
    reader = _Reader(source, traces, common_time)
    try:
        return check_children(reader.children, str(source), NOTES)
    finally:
        reader.file.close()


class _Reader:
    """One open NeuroPAL file and how it is to be read."""

    def __init__(self, source: str | Path, traces: str, common_time: bool) -> None:
        one_of("traces", traces, UNITS)
        self.path, self.field, self.common_time = Path(source), traces, common_time
        self.watch = Watch([source])
        self.file = open_mat(source)
        try:
            self._require_layout()
        except BaseException:
            self.file.close()
            raise
        self.children = [Child("signal", traces, self._signal)]
        shapes = [
            self.file.variables[name].shape for name in STIMULI if name in self.file.variables
        ]
        if any(0 not in shape for shape in shapes):
            self.children.append(Child("trials", "stims", self._trials))

    def recording(self, select: Select | None, on_bad: OnBad, *, lazy: bool) -> xr.DataTree:
        """Read the selected fields into a recording."""
        attrs = {
            "source": self.path.name,
            "digest": quick_digest(self.path),
            "unread": [f"{name}: {self._reason(name)}" for name in self._unread()],
        }
        return read_children(
            self.children,
            str(self.path),
            select=select,
            on_bad=on_bad,
            lazy=lazy,
            watch=self.watch,
            attrs={name: value for name, value in attrs.items() if value},
        )

    def _require_layout(self) -> None:
        present = self.file.variables
        if "neurons" not in present or not any(name in present for name in UNITS):
            raise UnsupportedFormatError(
                "MATLAB file is not of the NeuroPAL layout",
                where=self.path,
                found="variables " + (", ".join(described(present)) or "none"),
                expected=f"fps, files, neurons, traces, {', '.join(STIMULI)}",
                hint="build a recording of your arrays: neurodyn.recording.signal(...)",
            )

    def _unread(self) -> list[str]:
        return [name for name in self.file.variables if name not in USED | {self.field}]

    def _reason(self, name: str) -> str:
        return f"other traces, traces={name!r}" if name in UNITS else "not part of a recording"

    def _signal(self, quality: Quality) -> xr.Dataset:
        where = str(self.path)
        require(self.file, where, "fps", "files", "neurons", self.field)
        self._require_series()
        rate = read_rate(self.file, where)
        animals = animal_labels(self.file, where, quality)
        rois = read_rois(self.file, where, self.field, len(animals), quality)
        n_frames = _lengths(rois, animals, f"{where}:{self.field}", quality)
        counts = n_frames.max(axis=1, initial=0)
        n_time = int(counts.max(initial=0))
        if self.common_time:
            n_time = int(counts[counts > 0].min(initial=n_time))
        else:
            quality.note("short_animals", int(((counts < n_time) & (counts > 0)).sum()))
        quality.note("unseen_traces", int((n_frames == 0).sum()))
        array = _TraceArray(self.file, self.field, rois, n_frames, n_time)
        values = lazy_variable(("animal", "time", "roi"), array)
        if not quality.lazy:
            require_budget(array.n_bytes, None, where=f"{where}:{self.field}")
            dense = _settled(array, animals, f"{where}:{self.field}", quality)
            values = xr.Variable(values.dims, dense)
        ds = recording.signal(
            values,
            sampling_rate=rate,
            channel=[roi.label for roi in rois],
            animal=animals,
            dim="roi",
            units=UNITS[self.field],
            channel_columns={
                "cell": np.array([roi.cell for roi in rois], np.str_),
                "side": np.array([roi.side for roi in rois], np.str_),
            },
            source_path=self.field,
        )
        return ds.assign_coords(self._animal_columns(np.minimum(counts, n_time)))

    def _animal_columns(self, n_frames: NDArray[np.int64]) -> dict[str, Any]:
        columns: dict[str, Any] = {"n_frames": ("animal", n_frames)}
        flags = self.file.variables.get("is_AWCL_OFF")
        if flags and flags.kind in NUMBERS and sorted(flags.shape) == [1, n_frames.size]:
            found = numbers(self.file, str(self.path), "is_AWCL_OFF").ravel()
            columns["is_AWCL_OFF"] = ("animal", found)
        return columns

    def _require_series(self) -> None:
        items = self.file.node(self.field).items
        sizes = [entry.size for item in items for entry in item.items]
        plain = bool(items) and all(item.kind in NUMBERS for item in items)
        if plain or max(sizes, default=0) == 1:
            raise DataError(
                f"{self.field} holds single numbers, no series",
                where=f"{self.path}:{self.field}",
                found=f"{items[0].size} numbers for the first cell",
                expected="for each cell a cell of traces",
                hint="traces='traces' or traces='norm_traces'",
            )

    def _trials(self, quality: Quality) -> xr.Dataset:
        return read_trials(self.file, str(self.path), quality).assign_attrs(source_path="stims")


class _TraceArray(FileArray):
    """The traces of all animals, ``(animal, time, roi)``, NaN where a cell was not seen."""

    def __init__(
        self, file: MatFile, field: str, rois: list[Roi], n_frames: NDArray[np.int64], n_time: int
    ) -> None:
        self.file, self.field, self.rois, self.n_frames = file, field, rois, n_frames
        self.shape = (n_frames.shape[0], n_time, len(rois))
        kinds = {entry.kind for roi in rois for entry in roi.entries if entry.size}
        self.dtype = np.dtype(np.float32 if kinds == {"single"} else np.float64)

    @property
    def n_bytes(self) -> int:
        """Bytes of all traces in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def dense(self) -> NDArray[Any]:
        """Read all traces."""
        values = self.file.value(self.field)
        dense = np.full(self.shape, np.nan, self.dtype)
        for column, roi in enumerate(self.rois):
            for animal in np.flatnonzero(self.n_frames[:, column]):
                trace = np.ravel(values[roi.row][roi.first + animal])[: self.shape[1]]
                dense[animal, : trace.size, column] = trace
        return dense

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        require_budget(self.n_bytes, None, where=self.field)
        values = self.dense()
        # one axis after the other, since NumPy would move the axes of several indexers
        for axis in reversed(range(values.ndim)):
            values = values[(slice(None),) * axis + (key[axis],)]
        return values


def _lengths(
    rois: list[Roi], animals: list[str], where: str, quality: Quality
) -> NDArray[np.int64]:
    """Return the frames of each trace, ``(animal, roi)``, 0 where there is none."""
    sizes = np.array([[e.size for e in roi.entries] for roi in rois], np.int64)
    sizes = sizes.reshape(len(rois), len(animals)).T
    is_series = [[_is_series(entry) for entry in roi.entries] for roi in rois]
    series = np.array(is_series, bool).reshape(len(rois), len(animals)).T
    usual = np.array([_most_common(row[ok & (row > 0)]) for row, ok in zip(sizes, series)])
    bad = (sizes > 0) & (~series | (sizes != usual[:, None]))
    if bad.any():
        animal, roi = np.argwhere(bad)[0]
        entry = rois[roi].entries[animal]
        error = DataError(
            "traces of one animal have different lengths"
            if series[animal, roi]
            else "trace is no series of numbers",
            where=f"{where}, cell {rois[roi].label}, animal {animals[animal]}",
            found=f"{'x'.join(map(str, entry.shape))} {entry.kind} ({int(bad.sum())} such traces)",
            expected=f"{usual[animal]} frames, as its other traces",
            hint="on_bad='drop' takes such traces for not seen and counts them",
        )
        quality.decide(Fault.of("unequal_traces", error), n=int(bad.sum()), can=("drop",))
    return np.where(bad, 0, sizes)


def _is_series(entry: Any) -> bool:
    return entry.kind in NUMBERS and len(entry.shape) == 2 and (1 in entry.shape or not entry.size)


def _most_common(sizes: NDArray[np.int64]) -> int:
    """Return the length that most traces have, the longest of several."""
    counted = Counter(sizes.tolist())
    return max(counted, key=lambda size: (counted[size], size), default=0)


def _settled(array: _TraceArray, animals: list[str], where: str, quality: Quality) -> NDArray[Any]:
    """Return all traces with infinite samples settled and missing ones counted."""
    dense = array.dense()
    for index, animal in enumerate(animals):
        n_frames = array.n_frames[index]
        seen = np.flatnonzero(n_frames)
        stop = int(n_frames.max(initial=0))
        labels = [f"cell {array.rois[i].label}" for i in seen]
        place = f"{where}, animal {animal}"
        # NumPy puts the axis of a list before that of a slice: (trace, sample)
        dense[index, :stop, seen] = settle_samples(
            dense[index, :stop, seen], labels, place, quality
        )
    return dense
