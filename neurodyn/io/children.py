"""A recording from a file: its parts chosen, read one by one, their faults settled.

One set of rules for every format: what is selected is checked, a faulty part is listed when the
file is opened and raises when it is loaded, and what a policy did is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import numpy as np
import xarray as xr

from neurodyn import recording
from neurodyn.errors import EmptySelectionError, NeurodynError, TrialTableError, suggest
from neurodyn.io.faults import Fault, OnBad, Quality, Severity, announce
from neurodyn.io.lazy import faulty_variable
from neurodyn.io.limits import require_budget
from neurodyn.recording.schema import rule_for

__all__ = ["Child", "Notes", "Select", "Watched", "check_children", "read_children"]

Select = str | Sequence[str] | Mapping[str, Sequence[str] | None]
Notes = Mapping[str, tuple[Severity, str, str]]


class Watched(Protocol):
    """A file that can tell whether it changed since it was opened."""

    def require_unchanged(self) -> None:
        """Raise ``FileError`` if it did."""
        ...


@dataclass(frozen=True)
class Child:
    """One part of a file.

    Parameters
    ----------
    address
        Kind, or ``kind/name`` where a file holds several of a kind.
    name
        What the file calls it.
    read
        Reads it; counts what it accepts, and decides on faults, through the quality given.
        With ``quality.lazy`` the values may stay in the file.
    path
        Where it is inside the file, by which it can be selected too.
    """

    address: str
    name: str
    read: Callable[[Quality], xr.Dataset]
    path: str = ""

    @property
    def kind(self) -> str:
        """Kind of the dataset."""
        return self.address.partition("/")[0]


def read_children(
    children: Sequence[Child],
    where: str,
    *,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    lazy: bool,
    watch: Watched,
    attrs: Mapping[str, Any],
    root: Quality | None = None,
    beside: str = "",
) -> xr.DataTree:
    """Read the selected parts of a file into a recording.

    Parameters
    ----------
    children
        All that the file holds.
    where
        The file, for messages.
    select, on_bad
        As in :func:`neurodyn.io.load`.
    lazy
        Raise nothing about parts, and leave values in the file where the reader can.
    watch
        Of the file.
    attrs
        Root attributes.
    root
        What was done already about the file as a whole.
    beside
        What else the file holds, for the message that something is not there.

    Raises
    ------
    EmptySelectionError, TrialTableError
        If there is no such part or column; lists what there is.
    NeurodynError
        The fault of a part that the policy does not settle.
    """
    root = Quality(on_bad, lazy=lazy) if root is None else root
    qualities = [root]
    nodes: dict[str, xr.Dataset] = {}
    for child, columns in _chosen(children, select, where, beside):
        quality = Quality(on_bad, lazy=lazy)
        qualities.append(quality)
        ds = _read(child, quality, root)
        if ds is None:
            continue
        if columns is not None:
            ds = _narrowed(ds, columns, f"{where}:{child.path or child.name}")
        if not lazy and "fault" not in ds.attrs:
            require_budget(ds.nbytes, None, where=f"{where}:{child.path or child.name}")
            ds = ds.load()
        nodes[child.address] = ds
    tree = _tree(nodes, {**attrs, **root.attrs()})
    if not lazy:
        watch.require_unchanged()
        announce(qualities, str(attrs.get("source", where)))
    return tree


def check_children(children: Sequence[Child], where: str, notes: Notes) -> list[Fault]:
    """List all faults of a file.

    Parameters
    ----------
    children
        All that the file holds.
    where
        The file.
    notes
        Severity, text and hint of what reading counts without objecting to it, by its code.
    """
    found: list[Fault] = []
    for child in children:
        quality = Quality("warn")
        place = f"{where}:{child.name}"
        try:
            child.read(quality)
        except NeurodynError as error:
            found.append(Fault.of(f"faulty_{child.kind}", error))
        found.extend(quality.faults)
        for code, n in quality.counts.items():
            if code in notes:
                severity, text, hint = notes[code]
                message = f"{n} {text}" if n > 1 else text
                found.append(Fault(severity, code, place, message, hint))
    return found


def _read(child: Child, quality: Quality, root: Quality) -> xr.Dataset | None:
    """Read one part; None if the policy drops it."""
    try:
        ds = child.read(quality)
    except NeurodynError as error:
        fault = Fault.of(f"faulty_{child.kind}", error)
        if root.lazy:
            return _placeholder(child, fault)
        if root.on_bad == "warn":
            root.decide(fault)
            return _placeholder(child, fault)
        root.decide(fault, can=("drop",))
        return None
    return ds.assign_attrs(name=child.name, **quality.attrs())


def _chosen(
    children: Sequence[Child], select: Select | None, where: str, beside: str
) -> Iterator[tuple[Child, Sequence[str] | None]]:
    if select is None:
        yield from ((child, None) for child in children)
        return
    wanted = {select: None} if isinstance(select, str) else select
    pairs = wanted.items() if isinstance(wanted, Mapping) else ((item, None) for item in wanted)
    chosen: dict[str, tuple[Child, Sequence[str] | None]] = {}
    for pattern, columns in pairs:
        found = [child for child in children if _matches(child, pattern)]
        if not found:
            raise _nothing_selected(pattern, children, where, beside)
        chosen.update({child.address: (child, columns) for child in found})
    yield from chosen.values()


def _matches(child: Child, pattern: str) -> bool:
    names = (child.kind, child.address, f"{child.kind}/{child.name}", child.path)
    return any(fnmatchcase(name, pattern) for name in names)


def _nothing_selected(
    pattern: str, children: Sequence[Child], where: str, beside: str
) -> NeurodynError:
    kind = TrialTableError if pattern.startswith("trials") else EmptySelectionError
    present = sorted(child.address for child in children)
    return kind(
        f"file has no {pattern}",
        where=where,
        found=(", ".join(present) or "nothing readable") + beside,
        expected=f"an object that {pattern!r} selects",
        hint=suggest(pattern, present),
    )


def _narrowed(ds: xr.Dataset, columns: Sequence[str], where: str) -> xr.Dataset:
    """Return a dataset with the wanted columns and what its kind requires."""
    kind = ds.attrs["kind"]
    known = [str(name) for name in ds.variables]
    for column in columns:
        if column not in known:
            error = TrialTableError if kind == "trials" else EmptySelectionError
            raise error(
                f"{kind} have no column {column!r}",
                where=where,
                found=", ".join(known),
                expected="one of its columns",
                hint=suggest(column, known),
            )
    rule = rule_for(kind)
    required = {*rule.variables, *rule.coordinates, *columns}
    required |= {f"{column}_size" for column in columns}
    return ds.drop_vars([name for name in known if name not in required])


def _placeholder(child: Child, fault: Fault) -> xr.Dataset:
    """Return an empty dataset of the right kind whose data raise when touched."""
    error = fault.raised()

    def data(*dims: str) -> xr.Variable:
        return faulty_variable(error, dims, (0,) * len(dims))

    attrs: dict[str, Any] = {"name": child.name, "fault": fault.message}
    if child.path:
        attrs["source_path"] = child.path
    time = np.empty(0)
    if child.kind == "spikes":
        return recording.spikes(data("spike"), [], [], check_values=False, **attrs)
    if child.kind == "behavior":
        return recording.behavior(data("time", "feature"), time=time, **attrs)
    if child.kind == "signal":
        return recording.signal(data("time", "channel"), time=time, **attrs)
    if child.kind == "bold":
        empty = recording.bold(data("time", "roi"), repetition_time=1.0, **attrs)
        return empty.assign_attrs(repetition_time=np.nan)
    return recording.trials([], [], **attrs).assign(start=data("trial"), stop=data("trial"))


def _tree(nodes: Mapping[str, xr.Dataset], attrs: dict[str, Any]) -> xr.DataTree:
    children: dict[str, Any] = {}
    for address, ds in nodes.items():
        kind, _, name = address.partition("/")
        if name:
            children.setdefault(kind, {})[name] = ds
        else:
            children[kind] = ds
    return recording.recording(children, **attrs)
