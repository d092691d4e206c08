"""Files of Neuroformer's arrays: an ``.npz`` file, or a folder of ``.npy`` files.

The names of the arrays are listed in :mod:`neurodyn.io.neuroformer_arrays`; in a folder
``behavior/speed`` is the file ``behavior/speed.npy``. Pickles, in which such data come, are not
read: :func:`neurodyn.io.unpickle.unpickle_to_arrays` converts them.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.errors import UnsupportedFormatError
from neurodyn.io.arrays import read_npy, read_npz
from neurodyn.io.children import Notes, Select, check_children, read_children
from neurodyn.io.containment import require_inside
from neurodyn.io.faults import Fault, OnBad
from neurodyn.io.neuroformer_arrays import NamedArrays, is_layout
from neurodyn.io.neuroformer_clock import Clocks
from neurodyn.io.neuroformer_layout import NeuroformerLayout
from neurodyn.io.watch import Watch

__all__ = ["check_neuroformer", "is_neuroformer", "load_neuroformer", "open_neuroformer"]

SUFFIX = ".npy"
ZIP_SIGNATURE = b"PK\x03\x04"
SHOWN = 10
NOTES: Notes = {
    "nan_samples": ("note", "samples are NaN", ""),
    "empty_traces": ("warning", "behaviors hold nothing but NaN", ""),
}


def open_neuroformer(
    source: str | Path,
    *,
    bin_size: float | None = None,
    frame_rate: float | None = None,
    behavior_rate: float | None = None,
    gap: float = 1.0,
) -> xr.DataTree:
    """Open files of Neuroformer's arrays as a recording; frames in a folder stay in their file.

    Parameters
    ----------
    source
        An ``.npz`` file or a folder.
    bin_size, frame_rate, behavior_rate, gap
        As in :func:`neurodyn.io.neuroformer_layout.recording_from_dictionary`.

    Returns
    -------
    xr.DataTree
        As that function gives it.

    Raises
    ------
    FileError
        If the file is damaged or not of this layout.
    ConfigError
        If ``bin_size`` is neither given nor in the file.
    """
    reader = _Reader(source, bin_size, frame_rate, behavior_rate, gap)
    return reader.recording(None, "raise", lazy=True)


def load_neuroformer(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    bin_size: float | None = None,
    frame_rate: float | None = None,
    behavior_rate: float | None = None,
    gap: float = 1.0,
) -> xr.DataTree:
    """Read files of Neuroformer's arrays, or parts of them, into memory, and check what is read.

    Parameters
    ----------
    source, bin_size, frame_rate, behavior_rate, gap
        As in :func:`open_neuroformer`.
    select
        ``"spikes"``, ``"behavior/speed"``, several of them or a mapping to columns; default
        everything.
    on_bad
        What to do with faults: ``"raise"``, ``"fix"``, ``"drop"`` or ``"warn"``. Dropped are
        infinite samples of behavior (they become NaN) and parts that cannot be read.

    Raises
    ------
    FileError
        If a file cannot be read or changed meanwhile.
    DataError
        If something selected is faulty and ``on_bad`` does not settle it.
    ConfigError
        If ``bin_size`` is neither given nor in the file.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was dropped or kept although faulty.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "session.npz"
    ...     np.savez(path, spikes=[[0, 1], [2, 0]], bin_size=0.5)
    ...     load_neuroformer(path)["spikes"]["spike_time"].values.tolist()
    [0.75, 0.125, 0.375]
    """
    reader = _Reader(source, bin_size, frame_rate, behavior_rate, gap)
    return reader.recording(select, on_bad, lazy=False)


def check_neuroformer(
    source: str | Path,
    *,
    bin_size: float | None = None,
    frame_rate: float | None = None,
    behavior_rate: float | None = None,
    gap: float = 1.0,
) -> list[Fault]:
    """List all faults of Neuroformer's arrays; parameters as :func:`open_neuroformer`.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    ConfigError
        If ``bin_size`` is neither given nor in the file.
    """
    reader = _Reader(source, bin_size, frame_rate, behavior_rate, gap)
    return check_children(reader.children, str(source), NOTES)


def is_neuroformer(path: Path, head: bytes) -> bool:
    """Tell whether a file or folder holds arrays of this layout, and no others."""
    if path.is_dir():
        # a look at one level first: other folders may be large
        likely = any((path / name).exists() for name in ("spikes.npy", "events.npy", "spikes"))
    else:
        likely = head.startswith(ZIP_SIGNATURE)
    return likely and is_layout(_names(path))


class _Reader:
    """One file or folder and how it is to be read."""

    def __init__(
        self,
        source: str | Path,
        bin_size: float | None,
        frame_rate: float | None,
        behavior_rate: float | None,
        gap: float,
    ) -> None:
        self.source = Path(source)
        if not self.source.exists():
            raise FileNotFoundError(f"no such file: {source}")
        arrays = _StoredArrays(self.source)
        if not is_layout(arrays):
            raise UnsupportedFormatError(
                "file is not in the layout of Neuroformer",
                where=source,
                found=", ".join(list(arrays)[:SHOWN]) or "no arrays",
                expected="spikes, stimulus, behavior/<name>, trials/<column>, ...",
                hint="neurodyn.io.neuroformer_arrays lists all names",
            )
        self.watch = Watch(arrays.paths)
        clocks = Clocks.of(arrays, bin_size, frame_rate, behavior_rate, gap)
        self.children = NeuroformerLayout(NamedArrays(arrays, str(source)), clocks).children()

    def recording(self, select: Select | None, on_bad: OnBad, *, lazy: bool) -> xr.DataTree:
        """Read the selected parts into a recording."""
        return read_children(
            self.children,
            str(self.source),
            select=select,
            on_bad=on_bad,
            lazy=lazy,
            watch=self.watch,
            attrs={"source": self.source.name},
        )


class _StoredArrays(Mapping[str, Any]):
    """Arrays of a file or folder by name, each read once it is asked for."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._names = _names(source)
        self._read: dict[str, np.ndarray[Any, Any]] = {}
        self.paths = [self._path(name) for name in self._names] if source.is_dir() else [source]
        if source.is_dir():
            for path in self.paths:
                require_inside(path, source)

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = (
                read_npy(self._path(name), lazy=True)
                if self._source.is_dir()
                else read_npz(self._source, [name])[name]
            )
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _path(self, name: str) -> Path:
        return self._source / f"{name}{SUFFIX}"


def _names(source: Path) -> dict[str, None]:
    """Return the names of the arrays; trial 2 of a folder before trial 10."""
    if source.is_dir():
        paths = [p for depth in ("*", "*/*", "*/*/*") for p in source.glob(f"{depth}{SUFFIX}")]
        found = [str(p.relative_to(source).with_suffix("").as_posix()) for p in paths]
        return dict.fromkeys(sorted(found, key=_in_numbers))
    try:
        with zipfile.ZipFile(source) as archive:
            return dict.fromkeys(name.removesuffix(SUFFIX) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        # what is damaged is of no format
        return {}


def _in_numbers(name: str) -> list[tuple[int, str]]:
    """Return a key by which numbers in names are sorted as numbers."""
    return [(len(p) if p.isdecimal() else 0, p) for p in re.split(r"([0-9]+)", name)]
