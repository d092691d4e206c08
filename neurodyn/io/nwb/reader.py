"""Open and load NWB files through h5py: lazily, one object at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn.errors import CorruptFileError, NeurodynError
from neurodyn.io.children import Child, Select, read_children
from neurodyn.io.containment import BROKEN, place
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.hdf5 import open_hdf5, unchanged
from neurodyn.io.nwb import intervals
from neurodyn.io.nwb.inventory import Entry, inventory
from neurodyn.io.nwb.options import Options
from neurodyn.io.nwb.series import read_series
from neurodyn.io.nwb.session import quick_digest, read_session, require_version, session_span
from neurodyn.io.nwb.sidecar import Sidecar
from neurodyn.io.nwb.spike_faults import Session
from neurodyn.io.nwb.units import read_units

__all__ = ["Reader", "load_nwb", "open_nwb"]

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
        root = Quality(on_bad, lazy=lazy)
        if select is None:
            self._settle_broken(root)
        tree = read_children(
            self._children(),
            self.name,
            select=select,
            on_bad=on_bad,
            lazy=lazy,
            watch=self,
            attrs=self._root_attrs(),
            root=root,
            beside=f"; groups present: {', '.join(sorted(self.file))}",
        )
        if lazy:
            tree.set_close(self.file.close)
        return tree

    def require_unchanged(self) -> None:
        """Raise ``FileError`` if the file is not the one that was opened."""
        unchanged(self.file)

    def _children(self) -> list[Child]:
        n_of_kind = Counter(entry.kind for entry in self.entries)
        return [
            Child(
                f"{entry.kind}/{entry.name}" if n_of_kind[entry.kind] > 1 else entry.kind,
                entry.original_name,
                partial(self._described, entry),
                entry.path,
            )
            for entry in self.entries
        ]

    def _described(self, entry: Entry, quality: Quality) -> xr.Dataset:
        """Read one object, with what the sidecar knows of it."""
        ds = self.read(entry, quality)
        ds.attrs.update(source_path=entry.path, neurodata_type=entry.neurodata_type)
        return self.sidecar.child(entry.path, ds)

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

    def _root_attrs(self) -> dict[str, Any]:
        session = self.sidecar.root(read_session(self.file, self.version))
        attrs = {"source": self.name, **self.digest, **session}
        if self.unread:
            attrs["unread"] = [f"{u.path} ({u.neurodata_type}): {u.reason}" for u in self.unread]
        return attrs


TABLES: dict[str, Callable[[Entry, Quality], xr.Dataset]] = {
    "intervals": intervals.read_intervals,
    "events": intervals.read_events,
    "event_series": intervals.read_event_series,
    "interval_series": intervals.read_interval_series,
}
