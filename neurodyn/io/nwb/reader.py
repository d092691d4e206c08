"""Open and load NWB files through h5py: lazily, one object at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn import recording
from neurodyn.errors import (
    CorruptFileError,
    EmptySelectionError,
    NeurodynError,
    TrialTableError,
    suggest,
)
from neurodyn.io.containment import BROKEN, place
from neurodyn.io.faults import Fault, OnBad, Quality, announce
from neurodyn.io.hdf5 import open_hdf5, unchanged
from neurodyn.io.lazy import faulty_variable
from neurodyn.io.nwb import intervals
from neurodyn.io.nwb.inventory import Entry, inventory
from neurodyn.io.nwb.options import Options
from neurodyn.io.nwb.series import read_series
from neurodyn.io.nwb.session import quick_digest, read_session, require_version, session_span
from neurodyn.io.nwb.sidecar import Sidecar
from neurodyn.io.nwb.spike_faults import Session
from neurodyn.io.nwb.units import read_units
from neurodyn.recording.schema import rule_for

__all__ = ["Reader", "load_nwb", "open_nwb"]

Select = str | Sequence[str] | Mapping[str, Sequence[str] | None]
HINT = "load(select=...) other objects, or on_bad='drop'"


def open_nwb(
    source: Any,
    *,
    select: Select | None = None,
    allow_external: Sequence[str | Path] = (),
    **options: Any,
) -> xr.DataTree:
    """Open an NWB file as a lazy recording; the data stay in the file until they are touched.

    Each touch reads anew; ``tree[...].load()``, or :func:`load_nwb`, puts data into memory.

    Parameters
    ----------
    source
        A path, or a seekable binary file object.
    select
        What to list, as in :func:`load_nwb`; default everything.
    allow_external
        Folders that the file may reach into, as in :func:`neurodyn.io.hdf5.open_hdf5`.
    **options
        As in :class:`neurodyn.io.nwb.options.Options`.

    Returns
    -------
    xr.DataTree
        A recording. A faulty object is listed too: ``attrs["fault"]`` says what is wrong and
        touching its data raises. Root ``attrs["unread"]`` names the objects that are not read.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    """
    reader = Reader(source, allow_external, Options(**options))
    try:
        return reader.recording(select, lazy=True)
    except BaseException:
        reader.file.close()
        raise


def load_nwb(
    source: Any,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    allow_external: Sequence[str | Path] = (),
    **options: Any,
) -> xr.DataTree:
    """Read an NWB file, or parts of it, into memory, and check what is read.

    Parameters
    ----------
    source
        A path, or a seekable binary file object.
    select
        Kinds (``"spikes"``), children (``"behavior/hand"``, with wildcards), several of them,
        or a mapping from these to the wanted columns (None: all). Default everything.
    on_bad
        What to do with faults: ``"raise"``, ``"fix"``, ``"drop"`` or ``"warn"``.
    allow_external, **options
        As in :func:`open_nwb`.

    Returns
    -------
    xr.DataTree
        A recording; what was fixed or dropped is counted in ``attrs["quality"]`` of each child,
        and of the root for whole objects.

    Raises
    ------
    FileError
        If the file cannot be read, or changed meanwhile.
    DataError
        If something selected is faulty and ``on_bad`` does not settle it.
    EmptySelectionError, TrialTableError
        If there is no such object or column.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was fixed, dropped or kept although faulty.
    """
    reader = Reader(source, allow_external, Options(**options))
    try:
        return reader.recording(select, lazy=False, on_bad=on_bad)
    finally:
        reader.file.close()


class Reader:
    """One open NWB file, its inventory, and what was done about its faults.

    Parameters
    ----------
    source, allow_external
        As in :func:`open_nwb`.
    options
        How the file is to be read.
    """

    def __init__(self, source: Any, allow_external: Sequence[str | Path], options: Options) -> None:
        self.file = open_hdf5(source, allow_external=allow_external)
        self.options = options
        self.qualities: list[Quality] = []
        try:
            self.version = require_version(self.file)
            self.entries, self.unread = inventory(self.file)
        except BaseException:
            self.file.close()
            raise
        self.sidecar = Sidecar(self.file)
        self.name = Path(str(getattr(source, "name", source))).name
        self.digest = {} if hasattr(source, "read") else {"digest": quick_digest(Path(source))}

    @cached_property
    def session(self) -> Session:
        """When the session ran; read when spikes are first held against it."""
        return session_span(self.file, self.entries)

    def recording(
        self, select: Select | None, *, lazy: bool, on_bad: OnBad = "raise"
    ) -> xr.DataTree:
        """Read the selected objects into a recording."""
        chosen = choose(self.entries, select, self.name, list(self.file))
        root = Quality(on_bad, lazy=lazy)
        self.qualities.append(root)
        if select is None:
            self._settle_broken(root)
        nodes: dict[str, xr.Dataset] = {}
        for address, (entry, columns) in chosen.items():
            child = self._child(entry, root)
            if child is not None:
                nodes[address] = child if columns is None else _narrowed(child, columns, entry)
        tree = _tree(nodes, self._root_attrs(root))
        if lazy:
            tree.set_close(self.file.close)
        else:
            for node in tree.leaves:
                if "fault" not in node.attrs:
                    node.load()
            unchanged(self.file)
            announce(self.qualities, self.name)
        return tree

    def _child(self, entry: Entry, root: Quality) -> xr.Dataset | None:
        """Read one object; None if the policy drops it."""
        quality = Quality(root.on_bad, lazy=root.lazy)
        self.qualities.append(quality)
        try:
            child = self.read(entry, quality)
        except NeurodynError as error:
            fault = Fault.of(f"faulty_{entry.kind}", error)
            if root.lazy:
                return _placeholder(entry, fault)
            if root.on_bad == "warn":
                root.decide(fault)
                return _placeholder(entry, fault)
            root.decide(fault, can=("drop",))
            return None
        child.attrs.update(
            name=entry.original_name, source_path=entry.path, neurodata_type=entry.neurodata_type
        )
        child.attrs.update(quality.attrs())
        return self.sidecar.child(entry.path, child)

    def read(self, entry: Entry, quality: Quality) -> xr.Dataset:
        """Read one object.

        Raises
        ------
        NeurodynError
            If it is faulty and the policy does not settle it; nothing else is raised.
        """
        try:
            if entry.reader == "units":
                return read_units(entry, self.session, self.options, quality)
            if entry.reader == "series":
                return read_series(entry, self.options, quality)
            return TABLES[entry.reader](entry, quality)
        except NeurodynError:
            raise
        except (*BROKEN, AttributeError, IndexError, OverflowError) as error:
            raise CorruptFileError(
                f"{entry.neurodata_type or 'object'} cannot be read",
                where=place(entry.group),
                found=f"{type(error).__name__}: {error}",
                expected="an object of the NWB schema",
                hint=HINT,
            ) from error

    def _settle_broken(self, root: Quality) -> None:
        for item in self.unread:
            if item.broken and not root.lazy:
                error = CorruptFileError(
                    "object cannot be opened",
                    where=f"{self.name}:{item.path}",
                    found=item.reason,
                    expected="an object of the NWB schema",
                    hint=HINT,
                )
                root.decide(Fault.of("broken_object", error))

    def _root_attrs(self, root: Quality) -> dict[str, Any]:
        session = self.sidecar.root(read_session(self.file, self.version))
        attrs = {"source": self.name, **self.digest, **session}
        if self.unread:
            attrs["unread"] = [f"{u.path} ({u.neurodata_type}): {u.reason}" for u in self.unread]
        return {**attrs, **root.attrs()}


TABLES: dict[str, Callable[[Entry, Quality], xr.Dataset]] = {
    "intervals": intervals.read_intervals,
    "events": intervals.read_events,
    "event_series": intervals.read_event_series,
    "interval_series": intervals.read_interval_series,
}


def choose(
    entries: list[Entry], select: Select | None, source: str, groups: list[str]
) -> dict[str, tuple[Entry, Sequence[str] | None]]:
    """Return the selected entries by their address in the recording, with wanted columns.

    Raises
    ------
    EmptySelectionError, TrialTableError
        If something selected is not there; lists what there is.
    """
    n_of_kind = {kind: sum(e.kind == kind for e in entries) for kind in {e.kind for e in entries}}
    by_address = {f"{e.kind}/{e.name}" if n_of_kind[e.kind] > 1 else e.kind: e for e in entries}
    if select is None:
        return {address: (entry, None) for address, entry in by_address.items()}
    wanted = {select: None} if isinstance(select, str) else select
    pairs = wanted.items() if isinstance(wanted, Mapping) else ((item, None) for item in wanted)
    chosen: dict[str, tuple[Entry, Sequence[str] | None]] = {}
    for pattern, columns in pairs:
        found = {a: e for a, e in by_address.items() if _matches(e, a, pattern)}
        if not found:
            raise _nothing_selected(pattern, by_address, source, groups)
        chosen.update({address: (entry, columns) for address, entry in found.items()})
    return chosen


def _matches(entry: Entry, address: str, pattern: str) -> bool:
    names = (entry.kind, address, f"{entry.kind}/{entry.name}", entry.path)
    return any(fnmatchcase(name, pattern) for name in names)


def _nothing_selected(
    pattern: str, by_address: Mapping[str, Entry], source: str, groups: list[str]
) -> NeurodynError:
    kind = TrialTableError if pattern.startswith("trials") else EmptySelectionError
    noun = pattern if pattern in ("spikes", "trials", "signal", "behavior") else repr(pattern)
    present = ", ".join(sorted(by_address)) or "nothing readable"
    return kind(
        f"file has no {noun}",
        where=source,
        found=f"{present}; groups present: {', '.join(sorted(groups))}",
        expected=f"an object that {pattern!r} selects",
        hint=suggest(pattern, by_address),
    )


def _narrowed(child: xr.Dataset, columns: Sequence[str], entry: Entry) -> xr.Dataset:
    """Return a child with the wanted columns and what its kind requires."""
    rule = rule_for(entry.kind)
    known = [str(name) for name in child.variables]
    for column in columns:
        if column not in known:
            error = TrialTableError if entry.kind == "trials" else EmptySelectionError
            raise error(
                f"{entry.kind} have no column {column!r}",
                where=place(entry.group),
                found=", ".join(known),
                expected="one of its columns",
                hint=suggest(column, known),
            )
    required = set(rule.variables) | set(rule.coordinates) | set(columns)
    required |= {f"{column}_size" for column in columns}
    return child.drop_vars([name for name in child.variables if name not in required])


def _placeholder(entry: Entry, fault: Fault) -> xr.Dataset:
    """Return an empty dataset of the right kind whose data raise when touched."""
    error = fault.raised()

    def data(*dims: str) -> xr.Variable:
        return faulty_variable(error, dims, (0,) * len(dims))

    attrs: dict[str, Any] = {"name": entry.original_name, "source_path": entry.path}
    attrs["fault"] = fault.message
    time = np.empty(0)
    if entry.kind == "spikes":
        return recording.spikes(data("spike"), [], [], check_values=False, **attrs)
    if entry.kind == "behavior":
        return recording.behavior(data("time", "feature"), time=time, **attrs)
    if entry.kind == "signal":
        return recording.signal(data("time", "channel"), time=time, **attrs)
    return recording.trials([], [], **attrs).assign(start=data("trial"), stop=data("trial"))


def _tree(nodes: dict[str, xr.Dataset], attrs: dict[str, Any]) -> xr.DataTree:
    children: dict[str, Any] = {}
    for address, child in nodes.items():
        kind, _, name = address.partition("/")
        if name:
            children.setdefault(kind, {})[name] = child
        else:
            children[kind] = child
    return recording.recording(children, **attrs)
