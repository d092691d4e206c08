"""The formats that can be opened, and the dispatch between their readers.

A reader is named as ``"module:function"`` and imported when a file of its format is opened.
Further formats are added with :func:`register`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn.errors import CorruptFileError, UnsupportedFormatError
from neurodyn.io.faults import OnBad
from neurodyn.io.remote import is_remote, open_remote

__all__ = [
    "FORMATS",
    "Format",
    "import_function",
    "load",
    "open",
    "recognise",
    "register",
    "resolve",
]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
Select = str | Sequence[str] | Mapping[str, Sequence[str] | None]


@dataclass(frozen=True)
class Format:
    """One file format.

    Parameters
    ----------
    name
        What users call it.
    suffixes
        Endings of file names, ``".nwb"``; none for a folder that its content tells.
    opener, loader
        ``"module:function"``: ``opener(source, **options)`` gives a lazy recording,
        ``loader(source, select, on_bad, **options)`` one in memory.
    recognises
        Tells from the first bytes and the path whether a file of unknown ending is of this
        format; a folder has no bytes.
    checker
        ``checker(source)`` lists all faults, for :func:`neurodyn.io.doctor.check`.
    """

    name: str
    suffixes: tuple[str, ...]
    opener: str
    loader: str
    recognises: Callable[[Path, bytes], bool] = lambda path, head: False
    checker: str | None = None


FORMATS: dict[str, Format] = {}


def register(new: Format) -> None:
    """Add a format, or replace the one of the same name."""
    FORMATS[new.name] = new


def open(source: Any, **options: Any) -> xr.DataTree:
    """Open a file as a recording, without reading its data.

    Parameters
    ----------
    source
        A path or an ``https`` address.
    **options
        As the reader of the format takes them: for NWB :func:`neurodyn.io.nwb.open_nwb`.

    Returns
    -------
    xr.DataTree
        A lazy recording that lists everything in the file. Touching the data of a faulty object
        raises that fault's error; the others are not affected.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileError
        If the file as a whole cannot be read, or is of an unknown format.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn import recording
    >>> trials = recording.recording([recording.trials([0.0], [1.0])])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(recording.describe(open(recording.save(trials, Path(folder) / "a.nc"))))
    recording
      trials   1 trial: start, stop
    """
    format, source = resolve(source, options)
    tree: xr.DataTree = import_function(format.opener)(source, **options)
    return tree


def load(
    source: Any, select: Select | None = None, on_bad: OnBad = "raise", **options: Any
) -> xr.DataTree:
    """Read a file, or parts of it, into memory; what is selected is checked.

    Parameters
    ----------
    source
        A path or an ``https`` address.
    select
        Kinds (``"spikes"``), children (``"behavior/hand"``, wildcards allowed), several of
        them, or a mapping from these to the wanted columns. Default everything.
    on_bad
        What becomes of faults: ``"raise"``, ``"fix"`` where there is one right answer,
        ``"drop"`` the smallest thing that is wrong, or ``"warn"`` and keep it. What was done is
        counted in ``attrs["quality"]``.
    **options
        As the reader of the format takes them: for NWB :func:`neurodyn.io.nwb.load_nwb`.

    Raises
    ------
    FileError
        If the file cannot be read.
    DataError
        If something selected is faulty, or is not there.

    Warns
    -----
    DataQualityWarning
        Once for each cause.
    """
    format, source = resolve(source, options)
    tree: xr.DataTree = import_function(format.loader)(source, select, on_bad, **options)
    return tree


def recognise(path: str | Path) -> Format:
    """Return the format of a file, by its ending, else by its content.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptFileError
        If it is an empty file, or a folder of no known format.
    UnsupportedFormatError
        If it is of no known format; lists those that are.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".nwb") as file:
    ...     recognise(file.name).name
    'NWB'
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    named = _by_ending(path.name.lower())
    head = _head(path)
    if named:
        return next((f for f in named[1:] if f.recognises(path, head)), named[0])
    for format in FORMATS.values():
        if (head or path.is_dir()) and format.recognises(path, head):
            return format
    if not head:
        found = "an empty file" if path.is_file() else "a folder"
        raise CorruptFileError("not a file of data", where=path, found=found, expected=_known())
    raise UnsupportedFormatError(
        "file is of no known format",
        where=path,
        found=f"ending {path.suffix!r}, first bytes {head[:8]!r}",
        expected=_known(),
        hint="convert it to NWB",
    )


def resolve(source: Any, options: dict[str, Any]) -> tuple[Format, Any]:
    """Return the format and what its reader takes; only NWB is read over the network.

    A table without times of its own is one of fMRI, if a repetition time is given.
    """
    if is_remote(source):
        return FORMATS["NWB"], open_remote(str(source), options.pop("policy", None))
    if hasattr(source, "read"):
        return FORMATS["NWB"], source
    format = recognise(source)
    if format.name == "table of traces" and "repetition_time" in options:
        format = FORMATS["fMRI ROI table"]
    return format, Path(source)


def _by_ending(name: str) -> list[Format]:
    """Return the formats that share the longest ending of a name."""
    fits = {
        format.name: max((len(end) for end in format.suffixes if name.endswith(end)), default=0)
        for format in FORMATS.values()
    }
    longest = max(fits.values())
    return [FORMATS[key] for key, length in fits.items() if length == longest > 0]


def _known() -> str:
    return ", ".join(f"{f.name} ({' '.join(f.suffixes) or 'a folder'})" for f in FORMATS.values())


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(1024)


def import_function(name: str) -> Callable[..., Any]:
    """Return the function that ``"module:function"`` names."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


def _is_mat(path: Path, head: bytes) -> bool:
    from neurodyn.io.mat import is_mat

    return is_mat(head)


def _is_suite2p(path: Path, head: bytes) -> bool:
    if head:
        return False
    from neurodyn.io.suite2p import is_suite2p

    return is_suite2p(path)


def _is_fmri(path: Path, head: bytes) -> bool:
    from neurodyn.io.fmri import is_fmri

    return is_fmri(path, head)


def _is_bold_hdf5(path: Path, head: bytes) -> bool:
    if not head.startswith(HDF5_SIGNATURE):
        return False
    from neurodyn.io.bold_hdf5 import is_bold_hdf5

    return is_bold_hdf5(path, head)


def _is_meeg(path: Path, head: bytes) -> bool:
    from neurodyn.io.mne_files import is_meeg

    return is_meeg(path, head)


def _is_roi_table(path: Path, head: bytes) -> bool:
    from neurodyn.io.roi_tables import is_roi_table

    return is_roi_table(path)


def _is_neuroformer(path: Path, head: bytes) -> bool:
    from neurodyn.io.neuroformer_files import is_neuroformer

    return is_neuroformer(path, head)


def _has_root_attr(path: Path, head: bytes, name: str) -> bool:
    if not head.startswith(HDF5_SIGNATURE):
        return False
    from neurodyn.io.hdf5 import open_hdf5

    with open_hdf5(path) as file:
        return name in file.attrs


register(
    Format(
        "NWB",
        (".nwb",),
        "neurodyn.io.nwb:open_nwb",
        "neurodyn.io.nwb:load_nwb",
        lambda path, head: _has_root_attr(path, head, "nwb_version"),
        "neurodyn.io.nwb.check:check_nwb",
    )
)
register(
    Format(
        "neurodyn netCDF",
        (".nc",),
        "neurodyn.io.netcdf:open_netcdf",
        "neurodyn.io.netcdf:load_netcdf",
        lambda path, head: _has_root_attr(path, head, "neurodyn_schema"),
        "neurodyn.io.netcdf:check_netcdf",
    )
)
register(
    Format(
        "NWB-Zarr",
        (".zarr",),
        "neurodyn.io.nwb.zarr:open_zarr",
        "neurodyn.io.nwb.zarr:load_zarr",
        checker="neurodyn.io.nwb.zarr:check_zarr",
    )
)
register(
    Format(
        "NeuroPAL",
        (".mat",),
        "neurodyn.io.neuropal:open_neuropal",
        "neurodyn.io.neuropal:load_neuropal",
        _is_mat,
        "neurodyn.io.neuropal:check_neuropal",
    )
)
register(
    Format(
        "table of traces",
        (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
        "neurodyn.io.tables:open_table",
        "neurodyn.io.tables:load_table",
        checker="neurodyn.io.tables:check_table",
    )
)
register(
    Format(
        "suite2p",
        (),
        "neurodyn.io.suite2p:open_suite2p",
        "neurodyn.io.suite2p:load_suite2p",
        _is_suite2p,
        "neurodyn.io.suite2p:check_suite2p",
    )
)
register(
    Format(
        "CIFTI",
        (".dtseries.nii", ".ptseries.nii"),
        "neurodyn.io.cifti:open_cifti",
        "neurodyn.io.cifti:load_cifti",
        checker="neurodyn.io.cifti:check_cifti",
    )
)
register(
    Format(
        "fMRI surfaces",
        (".func.gii",),
        "neurodyn.io.surfaces:open_surfaces",
        "neurodyn.io.surfaces:load_surfaces",
        checker="neurodyn.io.surfaces:check_surfaces",
    )
)
register(
    Format(
        "fMRI volumes",
        (".nii", ".nii.gz"),
        "neurodyn.io.fmri:open_fmri",
        "neurodyn.io.fmri:load_fmri",
        _is_fmri,
        "neurodyn.io.fmri:check_fmri",
    )
)
register(
    Format(
        "fMRI runs (HDF5)",
        (),
        "neurodyn.io.bold_hdf5:open_bold_hdf5",
        "neurodyn.io.bold_hdf5:load_bold_hdf5",
        _is_bold_hdf5,
        "neurodyn.io.bold_hdf5:check_bold_hdf5",
    )
)
register(
    Format(
        "fMRI ROI table",
        (".1d", ".1d.gz", ".tsv", ".csv", ".tsv.gz", ".csv.gz"),
        "neurodyn.io.roi_tables:open_roi_table",
        "neurodyn.io.roi_tables:load_roi_table",
        _is_roi_table,
        "neurodyn.io.roi_tables:check_roi_table",
    )
)
register(
    Format(
        "M/EEG",
        (".fif", ".edf", ".bdf", ".gdf", ".vhdr"),
        "neurodyn.io.mne:open_meeg",
        "neurodyn.io.mne:load_meeg",
        _is_meeg,
        "neurodyn.io.mne:check_meeg",
    )
)
register(
    Format(
        "Neuroformer arrays",
        (),
        "neurodyn.io.neuroformer_files:open_neuroformer",
        "neurodyn.io.neuroformer_files:load_neuroformer",
        _is_neuroformer,
        "neurodyn.io.neuroformer_files:check_neuroformer",
    )
)
