"""What an NWB file holds: a walk over its objects by ``neurodata_type``, reading no data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import h5py
from h5py import h5o

from neurodyn.io.containment import BROKEN, printable
from neurodyn.io.hdf5 import read_array
from neurodyn.io.nwb.naming import attribute, clean_name, unique_name

__all__ = ["Entry", "Unread", "inventory"]

HIDDEN = ("specifications", "general")
# names of modules and types of containers whose series are behavior
BEHAVIOR = {"behavior", "Position", "CompassDirection", "BehavioralTimeSeries"} | {
    "PupilTracking",
    "EyeTracking",
}
EVENT_CONTAINERS = {"BehavioralEvents", "BehavioralEpochs"}


@dataclass(frozen=True)
class Entry:
    """One object that becomes a dataset of the recording."""

    path: str
    neurodata_type: str
    kind: str
    reader: str
    group: h5py.Group
    name: str = ""

    @property
    def original_name(self) -> str:
        """The name that it has in the file."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Unread:
    """One object that is not read, and why."""

    path: str
    neurodata_type: str
    reason: str
    broken: bool = False


def inventory(file: h5py.File) -> tuple[list[Entry], list[Unread]]:
    """List the objects of a file: what is read as which kind, and what is not read.

    Parameters
    ----------
    file
        An open NWB file.

    Returns
    -------
    entries, unread
        Entries have names that are unique within their kind.
    """
    entries: list[Entry] = []
    unread: list[Unread] = []
    for found in _walk(file, "", (), set()):
        if isinstance(found, Unread):
            unread.append(found)
        else:
            entries.append(found)
    return _named(entries), unread


def _walk(
    group: h5py.Group, path: str, parents: tuple[str, ...], seen: set[int]
) -> Iterator[Entry | Unread]:
    for key in sorted(group, key=str):  # names that are no UTF-8 come as bytes
        here = f"{path}/{printable(key)}"
        if not path and key in HIDDEN:
            continue
        try:
            # a soft link shows an object a second time, under another name
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item = group[key]
            if not isinstance(item, h5py.Group):
                continue
            address = h5o.get_info(item.id).addr
            kind = str(attribute(item, "neurodata_type", ""))
            found = _classify(item, here, kind, parents)
        except BROKEN as error:
            yield Unread(here, "", f"cannot be opened: {error}", broken=True)
            continue
        if address in seen:
            continue
        seen.add(address)
        if found is not None:
            yield found
        else:
            yield from _walk(item, here, (*parents, kind, key), seen)


def _classify(
    group: h5py.Group, path: str, neurodata_type: str, parents: tuple[str, ...]
) -> Entry | Unread | None:
    """Return what a group is, None for a container of others."""
    columns = attribute(group, "colnames", ())
    if neurodata_type == "Units" or "spike_times" in group:
        if "spike_times" in group or "spike_times_index" in group or "spike_times" in columns:
            return Entry(path, neurodata_type, "spikes", "units", group)
        return Unread(path, neurodata_type, "table of units without spike_times")
    if neurodata_type == "TimeIntervals" or {"start_time", "stop_time"} <= set(columns):
        return Entry(path, neurodata_type, "trials", "intervals", group)
    if neurodata_type == "EventsTable" or ("timestamp" in group and "colnames" in group.attrs):
        return Entry(path, neurodata_type, "trials", "events", group)
    if "colnames" in group.attrs:
        return Unread(path, neurodata_type, "table without times")
    if _is_series(group, neurodata_type):
        return _classify_series(group, path, neurodata_type, parents)
    return None


def _is_series(group: h5py.Group, neurodata_type: str) -> bool:
    if neurodata_type.endswith("Series") and neurodata_type not in BEHAVIOR:
        return True
    clock = "timestamps" in group or "starting_time" in group
    return clock and "data" in group


def _classify_series(
    group: h5py.Group, path: str, neurodata_type: str, parents: tuple[str, ...]
) -> Entry | Unread:
    external, data = group.get("external_file"), group.get("data")
    if isinstance(external, h5py.Dataset):
        names = ", ".join(repr(printable(str(name))) for name in read_array(external).ravel())
        return Unread(path, neurodata_type, f"frames lie outside the file, not opened: {names}")
    reader, kind = "series", "signal"
    if neurodata_type == "IntervalSeries":
        reader, kind = "interval_series", "trials"
    elif isinstance(data, h5py.Dataset) and (
        data.dtype.kind in "OS" or EVENT_CONTAINERS & set(parents)
    ):
        reader, kind = "event_series", "trials"
    elif isinstance(data, h5py.Dataset) and (
        data.ndim not in (1, 2) or data.dtype.kind not in "fiub"
    ):
        found = f"shape {data.shape} and type {data.dtype}"
        return Unread(path, neurodata_type, f"no numbers over (time, channel): {found}")
    elif neurodata_type == "SpatialSeries" or BEHAVIOR & set(parents):
        kind = "behavior"
    return Entry(path, neurodata_type, kind, reader, group)


def _named(entries: list[Entry]) -> list[Entry]:
    """Give names that are unique within each kind, with the parent's name where needed."""
    taken: dict[str, set[str]] = {}
    named = []
    for entry in entries:
        used = taken.setdefault(entry.kind, set())
        name = clean_name(entry.original_name)
        if name in used:
            name = unique_name("_".join(entry.path.split("/")[-2:]), used)
        used.add(name)
        named.append(replace(entry, name=name))
    return named
