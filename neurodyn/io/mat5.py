"""MATLAB files of version 5 (up to ``-v7``), read without belief in what they declare.

Sizes are held against the budget before anything is expanded, every element against the one
around it, cells against the depth that a reader wants. SciPy's reader does none of this: it
crashes on an unknown type code, allocates what a shape says and follows cells without end.

The format has no index: a compressed variable is expanded from its start each time.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import CorruptFileError, FileError, UnsupportedFormatError
from neurodyn.io.containment import printable
from neurodyn.io.limits import require_budget
from neurodyn.io.mat_structure import DEEPEST, PLAIN, Described, Node, Objects, Values, damaged

__all__ = ["Mat5File"]

HEADER, BLOCK, FIRST_BLOCK = 128, 1 << 16, 512
MOST_AXES, LONGEST_NAME = 32, 256
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
STORED |= {13: "u8"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
KINDS: tuple[str, ...] = ("", "cell", "struct", "object", "char", "sparse", "double", "single")
KINDS += (
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "function",
    "opaque",
)
DTYPES = {"double": "f8", "single": "f4", "logical": "?"}
LOGICAL, COMPLEX, OPAQUE = 0x200, 0x800, 17
BROKEN = (EOFError, zlib.error, ValueError, struct.error)


class _Element(NamedTuple):
    """The tag of an element: its type, its bytes without and with padding, and small data."""

    kind: int
    n_bytes: int
    n_padded: int
    packed: bytes | None


class _Stream:
    """Bytes of one variable, read once from front to end, and never beyond it."""

    def __init__(
        self, file: IO[bytes], n_stored: int, compressed: bool, block: int = BLOCK
    ) -> None:
        self._file, self._left, self._block = file, n_stored, block
        self._inflate = zlib.decompressobj() if compressed else None
        self._ready, self._at = b"", 0
        self.position = 0

    @property
    def compressed(self) -> bool:
        """Whether what is read is expanded."""
        return self._inflate is not None

    def read(self, n: int) -> bytes:
        """Return the next ``n`` bytes."""
        self.position += n
        parts = []
        while n:
            part = self._some(n)
            if not part:
                raise EOFError("ends before its last element")
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def skip(self, n: int) -> None:
        """Pass over the next ``n`` bytes."""
        while n:
            step = min(n, BLOCK)
            self.read(step)
            n -= step

    def finish(self) -> None:
        """Require that nothing is left; a compressed variable proves its checksum here."""
        if self._some(1):
            raise ValueError("more data than the matrix holds")

    def _some(self, n: int) -> bytes:
        if self._inflate is None:
            return self._stored(n)
        while self._at == len(self._ready) and not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._stored(self._block)
            if not data:
                raise EOFError("compressed data end early")
            self._ready, self._at = self._inflate.decompress(data, self._block), 0
        part = self._ready[self._at : self._at + n]
        self._at += len(part)
        return part

    def _stored(self, n: int) -> bytes:
        data = self._file.read(min(n, self._left))
        self._left -= len(data)
        return data


class Mat5File:
    """One MATLAB file of version 5.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    CorruptFileError
        If it is damaged.
    UnsupportedFormatError
        If it is of another version.

    Examples
    --------
    >>> import tempfile
    >>> from scipy.io import savemat
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     savemat(Path(folder) / "a.mat", {"fps": 4.0})
    ...     file = Mat5File(Path(folder) / "a.mat")
    ...     str(file.variables["fps"]), file.value("fps").item()
    ('1x1 double', 4.0)
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self.variables: dict[str, Described] = {}
        self._places: dict[str, tuple[int, int, bool]] = {}
        self._nodes: dict[str, Node] = {}
        with self._path.open("rb") as file:
            self._order = _byte_order(file.read(HEADER), self._path)
            self._list(file)

    def node(self, name: str) -> Node:
        """Return the structure of a variable.

        Raises
        ------
        CorruptFileError
            If the variable is damaged or contradicts itself.
        SizeBudgetError
            If it is larger than the memory budget or expands suspiciously.
        """
        if name not in self._nodes:
            self._nodes[name] = self._parse(name, keep=False)
        return self._nodes[name]

    def value(self, name: str) -> Values:
        """Return what a variable holds; raises as :meth:`node`."""
        return _unwrapped(self._parse(name, keep=True))

    def close(self) -> None:
        """Do nothing: the file is opened for each reading."""

    def _list(self, file: IO[bytes]) -> None:
        """Note name, class, shape and place of each variable."""
        length = self._path.stat().st_size
        objects = Objects(str(self._path))
        while (place := file.tell()) < length:
            objects.add(1)
            try:
                kind, n_stored = struct.unpack(f"{self._order}II", file.read(8))
                if kind not in (MATRIX, COMPRESSED) or place + 8 + n_stored > length:
                    raise ValueError(f"element of type {kind} with {n_stored} bytes")
                compressed = kind == COMPRESSED
                if not compressed:
                    file.seek(place)
                    n_stored += 8
                # no further than the name, so that damage within a variable is its own fault
                stream = _Stream(file, n_stored, compressed, FIRST_BLOCK)
                code, shape, name = self._header(stream, self._matrix_size(stream, n_stored))
            except BROKEN as error:
                raise self._damaged(error, f"byte {place}") from error
            start = place + 8 * compressed
            self._add(name, Described(_kind(code), shape), (start, n_stored, compressed))
            file.seek(start + n_stored)

    def _add(self, name: str, found: Described, place: tuple[int, int, bool]) -> None:
        if name in self.variables:
            raise self._damaged("two variables of this name", name)
        if name:  # the workspace of functions has none
            self.variables[name] = found
            self._places[name] = place

    def _parse(self, name: str, *, keep: bool) -> Node:
        """Walk a variable, after holding its size against the budget; keep its values or not."""
        place, n_stored, compressed = self._places[name]
        where = f"{self._path}:{name}"
        with self._path.open("rb") as file:
            file.seek(place)
            stream = _Stream(file, n_stored, compressed)
            try:
                n_bytes = self._matrix_size(stream, n_stored)
                hint = "read it on a machine with more memory"
                require_budget(n_bytes, n_stored, where=where, hint=hint)
                node = self._matrix(stream, n_bytes, 0, Objects(where), keep)
                stream.finish()
            except FileError:
                raise
            except BROKEN as error:
                raise self._damaged(error, name) from error
        return node

    def _matrix_size(self, stream: _Stream, n_stored: int) -> int:
        kind, n_bytes = struct.unpack(f"{self._order}II", stream.read(8))
        if kind != MATRIX:
            raise ValueError(f"element of type {kind} where a matrix should be")
        if not stream.compressed and n_bytes + 8 != n_stored:
            raise ValueError(f"matrix of {n_bytes} bytes in {n_stored - 8}")
        return int(n_bytes)

    def _header(self, stream: _Stream, n_bytes: int) -> tuple[int, tuple[int, ...], str]:
        """Return class with flags, shape and name of a matrix."""
        end = stream.position + n_bytes
        flags = self._small(stream, UINT32, 8, end).ljust(4, b"\0")
        code = struct.unpack_from(f"{self._order}I", flags)[0] & (LOGICAL | COMPLEX | 0xFF)
        shape: tuple[int, ...] = (1, 1)
        if code != OPAQUE:  # objects of classes have no shape
            dims = self._small(stream, INT32, 4 * MOST_AXES, end)
            shape = struct.unpack(f"{self._order}{len(dims) // 4}i", dims)
            if len(shape) < 2 or min(shape) < 0:
                raise ValueError(f"shape {shape}")
        name = self._small(stream, INT8, LONGEST_NAME, end)
        return code, shape, printable(name)

    def _small(self, stream: _Stream, kind: int, longest: int, end: int) -> bytes:
        element = self._element(stream, end)
        if element.kind != kind or element.n_bytes > longest:
            found = f"element of type {element.kind} with {element.n_bytes} bytes"
            raise ValueError(f"{found}, expected type {kind}")
        return _data(stream, element)

    def _element(self, stream: _Stream, end: int) -> _Element:
        """Read the tag of an element that lies before ``end``."""
        tag = stream.read(8)
        kind, n_bytes = struct.unpack(f"{self._order}II", tag)
        if kind >> 16:
            element = _Element(kind & 0xFFFF, kind >> 16, 0, tag[4:])
            if element.n_bytes > 4:
                raise ValueError(f"small element of {element.n_bytes} bytes")
        else:
            element = _Element(kind, n_bytes, -(-n_bytes // 8) * 8, None)
        if stream.position + element.n_padded > end:
            raise ValueError("element reaches beyond its matrix")
        return element

    def _matrix(
        self, stream: _Stream, n_bytes: int, depth: int, objects: Objects, keep: bool
    ) -> Node:
        """Return the structure of a matrix with all that is in it, and its values if kept."""
        objects.add(1)
        if not n_bytes:
            return Node("double", (0, 0), source=np.empty((0, 0)))
        end = stream.position + n_bytes
        code, shape, _ = self._header(stream, n_bytes)
        kind, n_left = _kind(code), end - stream.position
        n_items: int = math.prod(shape)
        if depth and kind not in PLAIN:
            raise ValueError(f"a {kind} in a cell")
        if kind in PLAIN and n_items > n_left:
            # each element takes a byte at least
            raise ValueError(f"{n_left} bytes of data for shape {shape}")
        items: list[Node] = []
        source = None
        if kind == "cell":
            if depth == DEEPEST and n_items:
                raise ValueError(f"cells within cells, {depth + 1} deep")
            for _ in range(n_items):
                element = self._element(stream, end)
                if element.kind != MATRIX or element.packed is not None:
                    raise ValueError(f"element of type {element.kind} in a cell")
                items.append(self._matrix(stream, element.n_bytes, depth + 1, objects, keep))
        elif kind in PLAIN and keep:
            element = self._element(stream, end)
            source = self._values(kind, shape, element.kind, _data(stream, element))
        while stream.position < end:
            element = self._element(stream, end)
            stream.skip(element.n_padded)
        if stream.position != end:
            raise ValueError("element reaches beyond its matrix")
        return Node(kind, shape, tuple(items), source)

    def _values(
        self, kind: str, shape: tuple[int, ...], stored: int, data: bytes
    ) -> NDArray[Any] | str:
        if stored not in (TEXTS if kind == "char" else STORED):
            raise ValueError(f"{kind} stored as type {stored}")
        if kind == "char":
            ends = {"<": "-le", ">": "-be"}[self._order] if "utf-" in TEXTS[stored] else ""
            coding = TEXTS[stored] + (ends if stored != 16 else "")
            return _lines(data.decode(coding), shape)
        values = np.frombuffer(data, f"{self._order}{STORED[stored]}")
        # MATLAB stores whole numbers in fewer bytes than their class has
        return values.astype(DTYPES.get(kind, kind)).reshape(shape, order="F")

    def _damaged(self, error: object, name: str) -> CorruptFileError:
        found = printable(str(error)) or type(error).__name__
        return damaged(found, f"{self._path}:{name}")


def _byte_order(header: bytes, path: Path) -> str:
    orders = {b"IM": "<", b"MI": ">"}
    if len(header) < HEADER or header[126:] not in orders:
        raise UnsupportedFormatError(
            "not a MATLAB file of version 5",
            where=path,
            found=f"first bytes {header[:8]!r}",
            expected="a file that MATLAB saved with -v6, -v7 or -v7.3",
            hint="save it again with save(..., '-v7')",
        )
    return orders[header[126:]]


def _data(stream: _Stream, element: _Element) -> bytes:
    data = stream.read(element.n_padded) if element.packed is None else element.packed
    return data[: element.n_bytes]


def _kind(code: int) -> str:
    number = code & 0xFF
    kind = (KINDS[number] if number < len(KINDS) else "") or f"class {number}"
    if code & LOGICAL:
        kind = "logical"
    return f"complex {kind}" if code & COMPLEX else kind


def _lines(text: str, shape: tuple[int, ...]) -> str:
    """Return text as it is, or a matrix of letters as lines."""
    if len(shape) == 2 and shape[0] < 2:
        return text
    rows = np.array(list(text), np.str_).reshape(shape, order="F").reshape(shape[0], -1)
    return "\n".join("".join(row) for row in rows)


def _unwrapped(node: Node) -> Values:
    if node.kind == "cell":
        return [_unwrapped(item) for item in node.items]
    if node.kind not in PLAIN:
        raise TypeError(f"a {node.kind} is not read")
    return node.source
