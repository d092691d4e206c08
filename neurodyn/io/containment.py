"""Whether a file stays where it was named: its links and storage, looked at, not followed.

Of a folder, no link may lead out. HDF5 opens any file of the machine that an external link,
external raw storage or a virtual dataset names. All three are refused unless the file lies in a
folder that the user allows, and what is reached there is checked in the same way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
from h5py import h5d, h5g, h5l, h5o, h5p

from neurodyn.errors import CorruptFileError, FileError, SizeBudgetError, UnsafeFileError
from neurodyn.io.limits import get_limits

__all__ = [
    "BROKEN",
    "Containment",
    "file_name",
    "place",
    "printable",
    "require_inside",
    "virtual_files",
]

# What h5py raises for damaged structures, depending on where the damage is.
BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError)
SAME_FILE = "."


@dataclass
class Containment:
    """The rule for what files may be reached, and the files already checked against it.

    Parameters
    ----------
    allowed
        Folders, resolved, whose files may be reached.
    folder
        Where the file under check lies.
    visited
        Real paths of files already checked.
    """

    allowed: tuple[Path, ...]
    folder: Path = field(default_factory=Path.cwd)
    visited: set[str] = field(default_factory=set)

    def check(self, file: h5py.File) -> None:
        """Walk all links and dataset headers of a file, reading no data.

        Raises
        ------
        UnsafeFileError
            If anything reaches outside the file and of the allowed folders.
        CorruptFileError
            If a group cannot be listed or a header is damaged.
        SizeBudgetError
            If there are more links than ``set_limits(objects=...)`` allows.
        """
        root = h5g.open(file.id, b"/")
        stack, seen = [(root, "/")], {hash(root)}
        n_objects = 0
        while stack:
            group, path = stack.pop()
            links = _links(group, f"{file_name(file)}:{path}", get_limits().objects - n_objects)
            n_objects += len(links)
            for name, kind in links:
                inner = path + printable(name)
                item = self._check_link(group, name, kind, f"{file_name(file)}:{inner}")
                if isinstance(item, h5g.GroupID) and hash(item) not in seen:
                    seen.add(hash(item))
                    stack.append((item, f"{inner}/"))

    def _check_link(self, group: h5g.GroupID, name: bytes, kind: int, where: str) -> Any:
        """Check one link and return the object that it holds, if it holds one."""
        if kind == h5l.TYPE_EXTERNAL:
            target = os.fsdecode(group.links.get_val(name)[0])
            self._check_file(target, "an external link", where)
        elif kind == h5l.TYPE_HARD:
            item = _header(group, name)
            if isinstance(item, h5d.DatasetID):
                self._check_storage(item, where)
            return item
        elif kind != h5l.TYPE_SOFT:
            raise _unsafe("a link of a user-defined class", where, str(kind))
        return None

    def _check_storage(self, dataset: h5d.DatasetID, where: str) -> None:
        try:
            plist = dataset.get_create_plist()
            count = plist.get_external_count()
            raw = [os.fsdecode(plist.get_external(i)[0]) for i in range(count)]
            virtual = virtual_files(plist)
        except BROKEN as error:
            raise _damaged("header of a dataset is damaged", where, error) from error
        for name in raw:
            self._targets(name, "external raw storage", where)
        for name in virtual:
            self._check_file(name, "a virtual dataset", where)

    def _check_file(self, name: str, what: str, where: str) -> None:
        for path in self._targets(name, what, where):
            if path not in self.visited:
                self.visited.add(path)
                self._check_inside(path, where)

    def _check_inside(self, path: str, where: str) -> None:
        try:
            with h5py.File(path, "r") as file:
                Containment(self.allowed, Path(path).parent, self.visited).check(file)
        except FileError:
            raise
        except BROKEN as error:
            raise _damaged("a linked file cannot be read", f"{where} -> {path}", error) from error

    def _targets(self, name: str, what: str, where: str) -> list[str]:
        """Return the existing files that HDF5 could mean by a name, if all are allowed.

        HDF5 looks in the working folder and in that of the file, and for the bare name of an
        absolute path there as well.
        """
        names, folders = (name, os.path.basename(name)), (Path.cwd(), self.folder)
        found = {os.path.realpath(folder / n) for folder in folders for n in names}
        existing = sorted(path for path in found if os.path.isfile(path))
        inside = all(any(Path(p).is_relative_to(a) for a in self.allowed) for p in existing)
        if not self.allowed or not inside:
            raise _unsafe(what, where, name)
        return existing


def require_inside(path: Path, folder: Path) -> None:
    """Refuse a link out of a folder, which would read a file that nobody named.

    Raises
    ------
    UnsafeFileError
        If the path, its links followed, does not lie in the folder.

    Examples
    --------
    >>> require_inside(Path("plane0/F.npy"), Path("plane0"))
    """
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(os.path.realpath(folder)):
        raise UnsafeFileError(
            "a link reaches outside the folder",
            where=path,
            found=f"a link to {target}",
            expected="a file inside the folder",
            hint="copy the file there, or open the folder that it lies in",
        )


def virtual_files(plist: h5p.PropDCID) -> set[str]:
    """Return the names of other files that a virtual dataset takes its data from."""
    if plist.get_layout() != h5d.VIRTUAL:
        return set()
    count = plist.get_virtual_count()
    return {plist.get_virtual_filename(i) for i in range(count)} - {SAME_FILE}


def file_name(file: h5py.File) -> str:
    """Return the name that a file was opened by."""
    name = file.filename
    return os.fsdecode(name) if isinstance(name, bytes) else str(name)


def place(item: Any) -> str:
    """Return ``file:/path`` of an open HDF5 object, for messages."""
    return f"{file_name(item.file)}:{printable(str(item.name))}"


def printable(text: str | bytes) -> str:
    r"""Return text from a file with control codes escaped, so that it can be shown.

    Examples
    --------
    >>> printable("µV \x1b[2J")
    'µV \\x1b[2J'
    """
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _links(group: h5g.GroupID, where: str, n_left: int) -> list[tuple[bytes, int]]:
    """Return name and class of each link of a group, if there are at most ``n_left``."""
    # A group that cannot be listed may still give single names, an external link among them:
    # the file is refused, not the group skipped.
    try:
        too_many = group.get_num_objs() > n_left
        links = [] if too_many else [(name, group.links.get_info(name).type) for name in group]
    except FileError:
        raise
    except BROKEN as error:
        raise _damaged("group cannot be listed", where, error) from error
    if too_many:
        limit = get_limits().objects
        raise SizeBudgetError(
            "file holds too many objects",
            where=where,
            found=f"more than {limit} links",
            expected=f"at most {limit}",
            hint="set_limits(objects=...) or NEURODYN_LIMIT_OBJECTS",
        )
    return links


def _header(group: h5g.GroupID, name: bytes) -> Any:
    # What cannot be opened here cannot be opened later either; its reader reports it.
    try:
        return h5o.open(group, name)
    except FileError:
        raise
    except BROKEN:
        return None


def _damaged(what: str, where: str, error: Exception) -> CorruptFileError:
    return CorruptFileError(
        what,
        where=where,
        found=printable(str(error)),
        expected="an undamaged HDF5 file",
        hint="get the file again and compare its size and checksum",
    )


def _unsafe(what: str, where: str, name: str) -> UnsafeFileError:
    return UnsafeFileError(
        f"{what} reaches outside the file",
        where=where,
        found=repr(name),
        expected="data inside the file",
        hint="allow_external=[folder] permits the files of a folder that you trust",
    )
