"""Objects in NWB-Zarr files: read from the stream that pickle wrote, without pickle.

hdmf-zarr keeps references between objects as pickled arrays, and unpickling a foreign file can
run any code. Here the stream is taken apart by :mod:`pickletools`, which runs nothing, and only
what such an array is made of is put together: text, numbers, lists, and references.
"""

from __future__ import annotations

import pickletools
from typing import Any

import numpy as np

from neurodyn.errors import UnsafeFileError

__all__ = ["decode_objects"]

Array = np.ndarray[Any, Any]
MARK = object()
LITERALS = (
    {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
    | {"BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "INT", "LONG", "FLOAT", "UNICODE"}
)  # fmt: skip
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
IGNORED = {"PROTO", "FRAME"}
REBUILD = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
REFERENCE = ("hdmf_zarr.utils", "ZarrReference")
DTYPE = ("numpy", "dtype")
NAMES = REBUILD | {REFERENCE, DTYPE, ("numpy", "ndarray")}


class _Dtype:
    """A dtype that the stream makes and then gives fields and byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        self.dtype: np.dtype[Any] = np.dtype(code)

    def fill(self, state: Any) -> None:
        _, order, _, names, fields, size, *_ = state
        if names is None:
            self.dtype = self.dtype.newbyteorder(order if order in ("<", ">") else "|")
            return
        formats, offsets = zip(*((fields[name][0].dtype, fields[name][1]) for name in names))
        parts = {"names": names, "formats": formats, "offsets": offsets, "itemsize": size}
        self.dtype = np.dtype(parts)  # type: ignore[call-overload]


class _Array:
    """An array that the stream makes empty and then fills."""

    def __init__(self) -> None:
        self.array: Array = np.empty(0)

    def fill(self, state: Any) -> None:
        _, shape, dtype, fortran_order, values = state
        if isinstance(values, bytes):
            flat = np.frombuffer(values, dtype.dtype)
        else:
            flat = np.empty(len(values), dtype.dtype)
            flat[:] = values
        self.array = flat.reshape(shape, order="F" if fortran_order else "C")


def decode_objects(data: bytes) -> Any:
    r"""Return the array, list, text or number that a pickle stream describes.

    Parameters
    ----------
    data
        What ``pickle.dumps`` made of an array of text, numbers and references.

    Returns
    -------
    Any
        References are plain dictionaries.

    Raises
    ------
    UnsafeFileError
        If the stream names anything else, or is damaged.

    Examples
    --------
    >>> decode_objects(b"\x80\x04]\x94(K\x01\x8c\x01ae.")
    [1, 'a']
    """
    try:
        return _Machine().run(data)
    except UnsafeFileError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise _refused(f"a damaged stream: {error}") from error


class _Machine:
    """The stack and the memory that a stream works on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name in LITERALS:
                self.stack.append(argument)
            elif name in CONSTANTS:
                self.stack.append(CONSTANTS[name])
            elif name == "STOP":
                return _finished(self.stack.pop())
            elif name not in IGNORED:
                step = getattr(self, f"_{name.lower()}", None)
                if step is None:
                    raise _refused(f"instruction {name}")
                step(argument)
        raise _refused("a stream without end")

    def _mark(self, _: Any) -> None:
        self.stack.append(MARK)

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _binput(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _binget(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _long_binput, _long_binget = _binput, _binget

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _tuple_of(self, n_items: int) -> None:
        self.stack[-n_items:] = [tuple(self.stack[-n_items:])]

    def _tuple1(self, _: Any) -> None:
        self._tuple_of(1)

    def _tuple2(self, _: Any) -> None:
        self._tuple_of(2)

    def _tuple3(self, _: Any) -> None:
        self._tuple_of(3)

    def _append(self, _: Any) -> None:
        item = self.stack.pop()
        self.stack[-1].append(item)

    def _appends(self, _: Any) -> None:
        items = self._since_mark()
        self.stack[-1].extend(items)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][key] = value

    def _setitems(self, _: Any) -> None:
        items = self._since_mark()
        self.stack[-1].update(zip(items[::2], items[1::2]))

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(_known((module, name)))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_known((module, name)))

    def _reduce(self, _: Any) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if name == REFERENCE:
            self.stack.append({})
        elif name == DTYPE:
            self.stack.append(_Dtype(*arguments))
        elif name in REBUILD:
            self.stack.append(_Array())
        else:
            raise _refused(f"a call of {name}")

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        self.stack[-1].fill(state)


def _known(name: tuple[str, str]) -> tuple[str, str]:
    if name not in NAMES:
        raise _refused(".".join(map(str, name)))
    return name


def _finished(value: Any) -> Any:
    return value.array if isinstance(value, _Array) else value


def _refused(found: str) -> UnsafeFileError:
    return UnsafeFileError(
        "pickled object is not one that NWB uses",
        where="a Zarr array",
        found=found,
        expected="an array of text, numbers or references",
        hint="write the file again with object_codec_class=numcodecs.JSON, or as HDF5",
    )
