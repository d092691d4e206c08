"""M/EEG files that mne reads: FIF, EDF, BDF, GDF and BrainVision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn.io.children import Notes, Select, check_children, read_children
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.mne_children import Overlap, meeg_attrs, meeg_children
from neurodyn.io.mne_files import MeegFile, open_meeg_file, retyped
from neurodyn.io.nwb.session import quick_digest
from neurodyn.io.watch import Watch

__all__ = ["check_meeg", "list_faults", "load_meeg", "open_meeg", "read_meeg"]

MEEG_NOTES: Notes = {
    "nan_samples": ("note", "samples are NaN", ""),
    "empty_traces": ("warning", "channels hold nothing but NaN", ""),
    "epochs_dropped_before": ("note", "epochs were dropped before the file was written", ""),
}


def open_meeg(
    source: str | Path,
    *,
    channel_types: Mapping[str, str] | None = None,
    overlap: Overlap = "raise",
) -> xr.DataTree:
    """Open a file of M/EEG as a lazy recording; samples stay in the file.

    Parameters
    ----------
    source
        ``.fif`` (raw data, also split, or epochs), ``.edf``, ``.bdf``, ``.gdf``, or ``.vhdr`` of
        BrainVision with its two other files beside it.
    channel_types
        mne's types by name of channel, such as ``{"VEOG": "eog"}``, where the file does not tell:
        EDF and BrainVision take nearly all for EEG.
    overlap
        Epochs that share samples have no place on the clock of the session: ``"raise"``, or
        ``"lay_out"`` all epochs one after another; ``session_time`` keeps the time of the event.

    Returns
    -------
    xr.DataTree
        ``signal(time, channel)``, float64, in V, T or T/m; one child for each channel type
        (``signal/eeg``, ``signal/meg_mag``, ``signal/meg_grad``, ``signal/eog``, ...), ``signal``
        itself if there is one. Coordinates ``type`` (as mne calls it), ``x``, ``y``, ``z`` [m] in
        ``attrs["coordinate_frame"]``, and ``bad``. ``trials`` are annotations (``description``,
        and ``bad`` for those that begin with BAD) or epochs (``condition``, ``event_time``,
        metadata). Projections are not applied.

        Time is ``raw.times``: 0 at the first sample of raw data. ``attrs["first_time"]`` is what
        ``first_samp`` adds to it. Epochs keep the clock of their events, which includes it.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    ConfigError
        For an unknown channel, type or ``overlap``.
    """
    file = _opened(source, channel_types)
    return read_meeg(file, None, "raise", lazy=True, overlap=overlap)


def load_meeg(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    channel_types: Mapping[str, str] | None = None,
    overlap: Overlap = "raise",
) -> xr.DataTree:
    """Read a file of M/EEG, or parts of it, into memory, and check what is read.

    Parameters
    ----------
    source, channel_types, overlap
        As in :func:`open_meeg`.
    select
        ``"signal/eeg"``, ``"trials"``, wildcards, several of them; default everything.
    on_bad
        What to do with faults. ``"fix"`` numbers channels of one name; ``"drop"`` makes infinite
        samples NaN and leaves out parts that cannot be read; ``"drop"`` and ``"warn"`` read what
        a file that was cut off still holds.

    Raises
    ------
    FileError
        If the file cannot be read, is damaged or cut off, too large, or changed meanwhile.
    DataError
        If something selected is faulty and ``on_bad`` does not settle it, or is not there.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was fixed, dropped or kept although faulty.

    Examples
    --------
    >>> import tempfile
    >>> import mne
    >>> import numpy as np
    >>> info = mne.create_info(["Fz", "Cz"], 100.0, "eeg")
    >>> raw = mne.io.RawArray(np.zeros((2, 50)), info, verbose="ERROR")
    >>> _ = raw.set_annotations(mne.Annotations([0.1], [0.2], ["BAD_blink"]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = raw.save(Path(folder) / "rest_raw.fif", verbose="ERROR")
    ...     tree = load_meeg(Path(folder) / "rest_raw.fif")
    >>> dict(tree["signal"].sizes), tree["trials"]["bad"].values.tolist()
    ({'time': 50, 'channel': 2}, [True])
    """
    file = _opened(source, channel_types)
    return read_meeg(file, select, on_bad, lazy=False, overlap=overlap)


def check_meeg(
    source: str | Path,
    *,
    channel_types: Mapping[str, str] | None = None,
    overlap: Overlap = "raise",
) -> list[Fault]:
    """List all faults of a file of M/EEG, and what mne warns about; as :func:`open_meeg`.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    """
    return list_faults(_opened(source, channel_types), overlap=overlap)


def read_meeg(
    file: MeegFile,
    select: Select | None,
    on_bad: OnBad,
    *,
    lazy: bool,
    overlap: Overlap = "raise",
    **attrs: Any,
) -> xr.DataTree:
    """Read what mne opened into a recording.

    Parameters
    ----------
    file
        Raw data or epochs.
    select, on_bad, overlap
        As in :func:`load_meeg`.
    lazy
        Leave samples where they are.
    **attrs
        Root attributes that are known better than the file says.

    Raises
    ------
    FileError, DataError
        As in :func:`load_meeg`.
    """
    root = Quality(on_bad, lazy=lazy)
    root.note("mne_warnings", len(file.notes))
    digest = {"digest": quick_digest(file.paths[0])} if file.paths else {}
    return read_children(
        meeg_children(file, overlap=overlap),
        str(file.source),
        select=select,
        on_bad=on_bad,
        lazy=lazy,
        watch=Watch(file.paths),
        attrs={"source": file.source.name, **digest, **meeg_attrs(file), **attrs},
        root=root,
    )


def list_faults(file: MeegFile, *, overlap: Overlap = "raise") -> list[Fault]:
    """List all faults of what mne opened, and what it warned about.

    Parameters
    ----------
    file, overlap
        As in :func:`read_meeg`.
    """
    found = check_children(meeg_children(file, overlap=overlap), str(file.source), MEEG_NOTES)
    warned = [Fault("warning", "mne_warning", str(file.source), note) for note in file.notes]
    return [*dict.fromkeys(found), *warned]


def _opened(source: str | Path, channel_types: Mapping[str, str] | None) -> MeegFile:
    file = open_meeg_file(Path(source))
    if channel_types:
        retyped(file, channel_types)
    return file
