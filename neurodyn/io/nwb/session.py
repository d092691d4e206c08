"""Session and subject of an NWB file: the little that a recording carries on."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurodyn.errors import CorruptFileError, DataQualityWarning, UnsupportedFormatError
from neurodyn.io.containment import BROKEN, file_name, printable
from neurodyn.io.hdf5 import read_array
from neurodyn.io.nwb.inventory import Entry
from neurodyn.io.nwb.naming import attribute, scalar_text
from neurodyn.io.nwb.spike_faults import Session

__all__ = ["quick_digest", "read_session", "require_version", "session_span"]

KNOWN_MAJOR = 2
END_BYTES = 65_536


def require_version(file: h5py.File) -> str:
    """Return the NWB version of a file.

    Raises
    ------
    UnsupportedFormatError
        If the file states no version, or one before 2.

    Warns
    -----
    DataQualityWarning
        If the version is later than any that is known.
    """
    try:
        version = str(attribute(file, "nwb_version", "")).removeprefix("NWB-")
    except BROKEN as error:
        raise CorruptFileError(
            "attributes of the file are damaged",
            where=file_name(file),
            found=printable(str(error)),
            expected="an undamaged HDF5 file",
            hint="get the file again and compare its size and checksum",
        ) from error
    major = version.split(".")[0]
    if not major.isdigit() or int(major) < KNOWN_MAJOR:
        raise UnsupportedFormatError(
            "file states no NWB version that can be read",
            where=file_name(file),
            found=f"nwb_version {version!r}" if version else "no attribute nwb_version",
            expected="version 2.x",
            hint="write it again with a current pynwb or MatNWB",
        )
    if int(major) > KNOWN_MAJOR:
        warnings.warn(
            f"{Path(file_name(file)).name}: NWB version {version} is later than the known "
            f"{KNOWN_MAJOR}.x; it is read as far as its objects look familiar",
            DataQualityWarning,
            stacklevel=4,
        )
    return version


def read_session(file: h5py.File, version: str) -> dict[str, Any]:
    """Return root attributes: ids of subject and session, species, start; nothing personal.

    Parameters
    ----------
    file
        An open NWB file.
    version
        Its NWB version.
    """
    texts = {
        "subject": "general/subject/subject_id",
        "species": "general/subject/species",
        "session_id": "general/session_id",
        "session_start": "session_start_time",
    }
    attrs: dict[str, Any] = {}
    for name, path in texts.items():
        with contextlib.suppress(*BROKEN):
            if text := scalar_text(file, path):
                attrs[name] = text
    return {**attrs, "nwb_version": version}


def quick_digest(path: Path) -> str:
    """Return a digest of size, time of change and both ends of a file: cheap, to key caches."""
    stat = path.stat()
    digest = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as file:
        digest.update(file.read(END_BYTES))
        file.seek(max(0, stat.st_size - END_BYTES))
        digest.update(file.read(END_BYTES))
    return f"quick:{digest.hexdigest()}"


def session_span(file: h5py.File, entries: list[Entry]) -> Session:
    """Return when the session ran [s], as far as trials and series tell.

    Reads the trial times and the last timestamp of each series, nothing else.
    """
    stops: list[float] = []
    for entry in entries:
        with contextlib.suppress(*BROKEN, AttributeError):
            stops.extend(_ends(entry))
    usable = [stop for stop in stops if np.isfinite(stop) and stop > 0]
    stop = max(usable, default=None)
    start = _start(file)
    if start is None and stop is not None:
        start = -stop
    return Session(start, stop)


def _ends(entry: Entry) -> list[float]:
    group = entry.group
    if entry.reader == "intervals":
        times = read_array(group["stop_time"]).astype(np.float64)
        return [float(time) for time in times[np.isfinite(times)]]
    if entry.reader != "series":
        return []
    stamps, data = group.get("timestamps"), group.get("data")
    if isinstance(stamps, h5py.Dataset):
        return [float(read_array(stamps, -1))] if stamps.size else []
    if not isinstance(data, h5py.Dataset):
        return []
    start, rate = group["starting_time"], attribute(group["starting_time"], "rate")
    longest = max(data.shape) if data.ndim else 0
    return [float(read_array(start)) + longest / rate] if rate > 0 else []


def _start(file: h5py.File) -> float | None:
    """Return the session start if the clock is set to zero later, else None."""
    texts = (scalar_text(file, n) for n in ("session_start_time", "timestamps_reference_time"))
    try:
        begin, reference = map(datetime.fromisoformat, texts)
        seconds = (begin - reference).total_seconds()
    except (ValueError, TypeError, *BROKEN):
        return None
    return seconds if seconds < 0 else None
