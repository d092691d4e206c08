"""Write a recording as an NWB file by pynwb."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import xarray as xr
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject

from neurodyn.errors import DataError, UnsupportedFormatError
from neurodyn.io.nwb import sidecar
from neurodyn.io.nwb.write_series import add_behavior, add_signal
from neurodyn.io.nwb.write_tables import add_spikes, add_trials
from neurodyn.provenance import atomic_path, versions

__all__ = ["write_nwb"]

# NWB demands a start; a recording without one gets this and is read back without it
NO_START = datetime(1970, 1, 1, tzinfo=UTC)
WRITERS = {
    "spikes": add_spikes,
    "trials": add_trials,
    "behavior": add_behavior,
    "signal": add_signal,
}


def write_nwb(
    recording: xr.DataTree,
    path: str | Path,
    *,
    session_description: str = "recording",
    identifier: str | None = None,
    session_start: datetime | None = None,
) -> Path:
    """Write a recording as an NWB file, atomically.

    Spikes become ``units``, trials ``intervals``, events without duration an ``EventsTable``,
    behavior a series of ``processing/behavior`` and signals acquired series. Labels and
    attributes that NWB has no place for go as JSON to ``scratch/neurodyn``, so that reading the
    file gives the same recording again.

    Parameters
    ----------
    recording
        Children of kind spikes, trials, behavior and signal.
    path
        File to write; an existing one is replaced when the new one is complete.
    session_description, identifier
        What the session was, and a unique text; random if not given.
    session_start
        When the session began; default ``attrs["session_start"]``, else 1970.

    Raises
    ------
    UnsupportedFormatError
        If the recording holds a kind that NWB has no place for; netCDF takes all.
    DataError
        If a child holds variables beyond its schema, or is faulty.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn import io, recording as build
    >>> tree = build.recording([build.spikes_from_units({"7": [0.5, 1.5]})], subject="J")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = io.load(write_nwb(tree, Path(folder) / "session.nwb"))
    >>> again["spikes"]["spike_time"].values.tolist(), again.attrs["subject"]
    ([0.5, 1.5], 'J')
    """
    nwb = _session(recording.attrs, session_description, identifier, session_start)
    paths = {}
    for kind, name, ds in _children(recording):
        paths[WRITERS[kind](nwb, name, ds)] = ds
    text = sidecar.collect(recording, paths)
    nwb.add_scratch(text, name=sidecar.NAME, description="attributes and labels, read by neurodyn")
    # pynwb warns about the ending of a temporary name, so it is given the file itself
    with (
        atomic_path(path) as temporary,
        h5py.File(temporary, "w") as file,
        NWBHDF5IO(file=file, mode="w") as io,
    ):
        io.write(nwb)
    return Path(path)


def _session(
    attrs: Mapping[Any, Any], description: str, identifier: str | None, start: datetime | None
) -> NWBFile:
    nwb = NWBFile(
        session_description=description,
        identifier=identifier or str(uuid.uuid4()),
        session_start_time=start or _start(attrs.get("session_start")),
        session_id=attrs.get("session_id"),
        was_generated_by=[["neurodyn", versions()["neurodyn"]]],
    )
    if attrs.get("subject") or attrs.get("species"):
        nwb.subject = Subject(subject_id=attrs.get("subject"), species=attrs.get("species"))
    return nwb


def _children(recording: xr.DataTree) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Yield kind, name and dataset of each child, after checking that NWB can hold it."""
    for node in recording.leaves:
        if node is recording:
            continue
        ds = node.to_dataset(inherit=False)
        kind, _, address = node.path.strip("/").partition("/")
        if kind not in WRITERS:
            raise UnsupportedFormatError(
                f"NWB has no place for {kind}",
                where=node.path,
                found=kind,
                expected=" or ".join(WRITERS),
                hint="save it as netCDF: neurodyn.save(recording, 'file.nc')",
            )
        if ds.attrs.get("fault"):
            raise DataError(
                "a faulty object cannot be written",
                where=node.path,
                found=ds.attrs["fault"],
                hint="load(select=...) the others, then write them",
            )
        yield kind, address or str(ds.attrs.get("name", "")), ds


def _start(text: str | None) -> datetime:
    if text:
        with contextlib.suppress(ValueError):
            start = datetime.fromisoformat(text)
            return start if start.tzinfo else start.replace(tzinfo=UTC)
    return NO_START
