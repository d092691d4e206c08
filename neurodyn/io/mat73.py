"""MATLAB files of version 7.3, which are HDF5: cells are references to datasets of ``/#refs#``."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5o, h5r
from numpy.typing import NDArray

from neurodyn.errors import NeurodynError
from neurodyn.io.containment import BROKEN, printable
from neurodyn.io.hdf5 import open_hdf5, read_array
from neurodyn.io.mat_structure import DEEPEST, PLAIN, Described, Node, Objects, Values, damaged

__all__ = ["Mat73File"]

STORE = "#refs#"
OWN_GROUPS = (STORE, "#subsystem#")
MOST_AXES = 32
STORED = {"cell": "O", "char": "u"}  # dtypes of HDF5; of all others numbers


class Mat73File:
    """One MATLAB file of version 7.3.

    Parameters
    ----------
    path
        The file; it stays open until :meth:`close`.

    Raises
    ------
    FileError
        As :func:`neurodyn.io.hdf5.open_hdf5`.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file = open_hdf5(path)
        self._objects = Objects(str(path))
        self._nodes: dict[str, Node] = {}
        self.variables: dict[str, Described] = {}
        try:
            for name in self._file:
                if name not in OWN_GROUPS:
                    item = self._file.get(name)
                    self.variables[printable(name)] = _described(item)
        except BROKEN as error:
            self._file.close()
            raise damaged(printable(str(error)), str(path)) from error

    def node(self, name: str) -> Node:
        """Return the structure of a variable, from its headers.

        Raises
        ------
        CorruptFileError
            If it is damaged, or refers to what is not there.
        SizeBudgetError
            If its cells hold too many objects.
        """
        if name not in self._nodes:
            where = f"{self._path}:{name}"
            self._objects.add(1)
            try:
                self._nodes[name] = self._node(self._file[name], where, 0)
            except NeurodynError:
                raise
            except BROKEN as error:
                raise damaged(printable(str(error)), where) from error
        return self._nodes[name]

    def value(self, name: str) -> Values:
        """Return what a variable holds.

        Raises
        ------
        FileError
            As :meth:`node`, and as :func:`neurodyn.io.hdf5.read_array`.
        """
        return _value(self.node(name))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _node(self, item: Any, where: str, depth: int) -> Node:
        if not isinstance(item, h5py.Dataset):
            return _plain(Node("struct", (1, 1)), where, depth)
        kind, shape = _described(item)
        if kind != "cell" or 0 in shape:
            return _plain(Node(kind, shape, (), item), where, depth)
        if depth == DEEPEST:
            raise damaged(f"cells within cells, {depth + 1} deep", where)
        self._objects.add(item.size)
        items = [self._node(self._target(r, where), where, depth + 1) for r in _references(item)]
        return Node(kind, shape, tuple(items), item)

    def _target(self, reference: Any, where: str) -> Any:
        """Return the dataset of ``/#refs#`` that a reference leads to, opened by its name.

        What has no name there was not looked at when the file was opened, and HDF5 would search
        the whole file for the name of what a reference opened.
        """
        try:
            address = h5o.get_info(h5r.dereference(reference, self._file.id)).addr
            name = self._names[address]
        except BROKEN as error:
            raise damaged("a cell that refers to nothing in /#refs#", where) from error
        return self._file[STORE][name]

    @cached_property
    def _names(self) -> dict[int, bytes]:
        """Names in ``/#refs#`` by address."""
        store = self._file.get(STORE)
        if not isinstance(store, h5py.Group):
            return {}
        return {h5o.get_info(store.id, name).addr: name for name in store.id}


def _plain(node: Node, where: str, depth: int) -> Node:
    if depth and node.kind not in PLAIN:
        raise damaged(f"a {printable(node.kind)} in a cell", where)
    return node


def _described(item: Any) -> Described:
    if not isinstance(item, h5py.Dataset) or item.shape is None or item.ndim > MOST_AXES:
        return Described("struct", (1, 1))
    kind = item.attrs.get("MATLAB_class", b"")
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    if item.attrs.get("MATLAB_empty", 0):
        return Described(kind, (0, 0))
    if item.dtype.kind not in STORED.get(kind, "fiub") or not kind:
        # complex numbers for one, which MATLAB keeps as pairs
        kind = f"{kind or 'foreign'} of {item.dtype}"
    shape = item.shape[::-1]
    return Described(kind, shape if len(shape) > 1 else (1, *shape))


def _references(cell: h5py.Dataset) -> NDArray[Any]:
    """Return the references of a cell, first axis fastest, as HDF5 keeps them."""
    if h5py.check_ref_dtype(cell.dtype) is not h5py.Reference:  # but text or lists
        raise damaged(f"a cell of {cell.dtype}", f"{cell.file.filename}:{cell.name}")
    return read_array(cell).ravel()


def _value(node: Node) -> Values:
    if node.kind == "cell":
        return [_value(item) for item in node.items]
    if 0 in node.shape or node.source is None:
        return "" if node.kind == "char" else np.empty(node.shape)
    values = read_array(node.source)
    if node.kind == "char":
        return "\n".join(_text(row) for row in np.atleast_2d(values.T))
    return np.atleast_2d(values.T)


def _text(codes: NDArray[Any]) -> str:
    return codes.astype("<u2").tobytes().decode("utf-16-le", "replace")
