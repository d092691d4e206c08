"""What a pickle may consist of: stand-ins for numpy's objects, and their way to plain arrays.

A pickle asks for functions by name. None that it asks for is ever resolved: for the few names
that arrays and dictionaries need, it gets functions of this file, which look at their arguments
and make nothing but data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import (
    CorruptFileError,
    SizeBudgetError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io.limits import format_bytes

__all__ = ["ALLOWED", "Budget", "Function", "as_arrays"]

PLAIN_DTYPE = re.compile(r"[biufcSUO][0-9]{0,9}")
BYTE_ORDERS = ("<", ">", "=", "|")
MOST_LEVELS = 32
WHOLE, REAL, TEXT, OTHER = "whole", "real", "text", "other"
BYTES_OF_A_VALUE = 16


class Function:
    """A function that a pickle may call; nothing of it can be changed or looked at from there."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        """Return data."""
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        """Refuse to be changed."""
        raise _abuse("a state for a function", "a state for an array")


class _Dtype:
    """Stands for ``numpy.dtype``: numbers and text without fields."""

    def __init__(self, name: Any, *flags: Any) -> None:
        name = name.decode("latin-1") if isinstance(name, bytes) else name
        if not isinstance(name, str) or not PLAIN_DTYPE.fullmatch(name):
            raise UnsupportedFormatError(
                "pickle holds an array of records, dates or objects",
                found=f"dtype {name[:50]!r}" if isinstance(name, str) else type(name).__name__,
                expected="numbers, booleans or text",
                hint="save the array with a plain dtype",
            )
        self.plain = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 4 else None
        order = order.decode("latin-1") if isinstance(order, bytes) else order
        if order not in BYTE_ORDERS or any(item is not None for item in state[2:5]):
            raise _abuse("a dtype of an unknown form", "a byte order and no fields")
        self.plain = self.plain.newbyteorder(cast(Any, order))


class _Array:
    """Stands for ``numpy.ndarray``; ``value`` is an array, or the objects that it holds."""

    value: Any = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise _abuse("an array of an unknown form", "shape, dtype, order and data")
        shape, dtype, fortran_order, data = state[-4:]
        self.value = _filled(data, dtype, shape, "F" if fortran_order is True else "C")


NDARRAY = Function(lambda *arguments: _refuse("numpy.ndarray called", "as a type only"))


def _reconstruct(kind: Any, shape: Any = None, code: Any = None) -> _Array:
    """Return an array without content yet; the shape that is asked for here is not made."""
    if kind is not NDARRAY:
        raise _abuse("_reconstruct of another type", "numpy.ndarray")
    return _Array()


def _from_buffer(
    data: Any, dtype: Any, shape: Any, order: Any = "C", axis_order: Any = None
) -> _Array:
    if order not in ("C", "F", "K"):
        raise _abuse("_frombuffer in an unknown order", "C, F or K")
    array = _Array()
    array.value = _filled(data, dtype, shape, "F" if order == "F" else "C")
    if axis_order is not None:
        array.value = np.transpose(array.value, axis_order)
    return array


def _scalar(dtype: Any, data: Any) -> Any:
    """Return a numpy scalar, which unlike an array may be a key."""
    found = _filled(data, dtype, (), "C")
    return found[()] if isinstance(found, np.ndarray) else None


def _filled(data: Any, dtype: Any, shape: Any, order: Literal["C", "F"]) -> Any:
    """Return an array of the data, once shape, dtype and length agree; or its objects."""
    if isinstance(data, str):
        data = _encode(data, "latin1")
    sizes = shape if isinstance(shape, tuple) else (shape,)
    whole = all(isinstance(size, int) and size >= 0 for size in sizes)
    if not isinstance(dtype, _Dtype) or not whole or len(sizes) > MOST_LEVELS:
        raise _abuse("an array of an unknown form", "whole numbers for a shape, and a dtype")
    if dtype.plain.hasobject:
        if not isinstance(data, list) or len(sizes) > 1 or len(data) != math.prod(sizes):
            raise _abuse("an array of objects with other data than its objects", "one axis")
        return data if sizes else data[0]
    n_bytes = math.prod(sizes) * dtype.plain.itemsize
    if not isinstance(data, bytes | bytearray) or len(data) != n_bytes:
        found = f"{len(data)} bytes" if isinstance(data, bytes | bytearray) else type(data).__name__
        raise CorruptFileError(
            "length of an array does not fit its shape", found=found, expected=f"{n_bytes} bytes"
        )
    if not n_bytes:
        return np.zeros(sizes, dtype.plain)
    return np.frombuffer(data, dtype.plain).reshape(sizes, order=order)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Return the bytes that old protocols write as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _abuse("_codecs.encode to another encoding", "latin1")
    return text.encode("latin-1")


def _bytearray(data: Any = b"") -> bytearray:
    if not isinstance(data, bytes):
        raise _abuse("bytearray of something else", "bytes")
    return bytearray(data)


def _complex(real: Any, imaginary: Any) -> complex:
    if not all(isinstance(part, float) for part in (real, imaginary)):
        raise _abuse("complex of something else", "two numbers")
    return complex(real, imaginary)


def _dictionary(*arguments: Any) -> dict[Any, Any]:
    """Return a plain dictionary for an ordered one, or for one with defaults."""
    pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
    return dict(pairs)


def _refuse(found: str, expected: str) -> Any:
    raise _abuse(found, expected)


_CONTAINER = Function(lambda *arguments: _refuse("a container called", "as a default only"))
_OF_MODULE: dict[str, dict[str, Any]] = {
    "numpy": {"ndarray": NDARRAY, "dtype": Function(_Dtype)},
    "numpy.core.multiarray": {"_reconstruct": Function(_reconstruct), "scalar": Function(_scalar)},
    "numpy.core.numeric": {"_frombuffer": Function(_from_buffer)},
    "_codecs": {"encode": Function(_encode)},
    "collections": dict.fromkeys(("OrderedDict", "defaultdict"), Function(_dictionary)),
    "builtins": {
        "bytearray": Function(_bytearray),
        # how old protocols write no bytes at all
        "bytes": Function(lambda: b""),
        "complex": Function(_complex),
        **dict.fromkeys(("dict", "list", "tuple", "set", "int", "float"), _CONTAINER),
    },
}
_OTHER_NAMES = {
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
    "__builtin__": "builtins",
}
ALLOWED: dict[tuple[str, str], Function] = {
    (module, name): function
    for module in (*_OF_MODULE, *_OTHER_NAMES)
    for name, function in _OF_MODULE[_OTHER_NAMES.get(module, module)].items()
}
"""What stands for the names that arrays and dictionaries need; no other name is allowed."""


class Budget:
    """Counts what values turn into: a few bytes that name one another can stand for many.

    Parameters
    ----------
    n_bytes, n_objects
        How much is allowed.
    """

    def __init__(self, n_bytes: int, n_objects: int) -> None:
        self._limits = (n_bytes, n_objects)
        self._n_bytes = self._n_objects = 0

    def spend(self, n_bytes: int = 0, n_objects: int = 1) -> None:
        """Count more.

        Raises
        ------
        SizeBudgetError
            If it is too much.
        """
        self._n_bytes += n_bytes
        self._n_objects += n_objects
        most_bytes, most_objects = self._limits
        if self._n_bytes > most_bytes or self._n_objects > most_objects:
            raise SizeBudgetError(
                "pickle turns into too much",
                found=f"more than {format_bytes(most_bytes)} or {most_objects} objects",
                hint="set_limits(memory=..., objects=...) if the file can be trusted",
            )


def as_arrays(value: Any, budget: Budget, left_out: list[str], name: str = "") -> Any:
    """Return plain arrays for what a pickle held.

    Parameters
    ----------
    value
        Data that :data:`ALLOWED` makes.
    budget
        Counts them.
    left_out
        Gets the names of values that are ``None`` or empty dictionaries.
    name
        Of the value, keys joined by ``/``.

    Returns
    -------
    np.ndarray, dict or None
        Lists of numbers or of text become arrays, if all have one length; other lists become
        dictionaries by position. ``None`` if the value is left out.

    Raises
    ------
    UnsupportedFormatError
        If a value is no array, number, text, list or dictionary.
    SizeBudgetError
        If they become too much.

    Examples
    --------
    >>> as_arrays({"a": [1, 2], "b": [[1], [2, 3]]}, Budget(10**6, 100), [])
    {'a': array([1, 2]), 'b': {0: array([1]), 1: array([2, 3])}}
    """
    budget.spend()
    if name.count("/") > MOST_LEVELS:
        raise _odd(name, "values nested in more than 32 levels")
    if isinstance(value, _Array):
        return as_arrays(value.value, budget, left_out, name)
    if isinstance(value, np.ndarray):
        budget.spend(value.nbytes)
        return value
    if isinstance(value, bool | int | float | complex | str | np.generic):
        return _array(value, budget, name)
    if isinstance(value, list | tuple):
        array = _array(value, budget, name)
        if array is not None:
            return array
        value = dict(enumerate(value))
    if value is None or value == {}:
        left_out.append(name)
        return None
    if not isinstance(value, dict):
        raise _odd(name, f"a value of type {type(value).__name__.lstrip('_')}")
    found = {
        key: as_arrays(item, budget, left_out, f"{name}/{_short(key)}" if name else _short(key))
        for key, item in value.items()
    }
    return {key: item for key, item in found.items() if item is not None}


def _array(value: Any, budget: Budget, name: str) -> NDArray[Any] | None:
    """Return numbers or text as an array; None for a list that is no regular array of them."""
    kinds = _kinds([value], budget, name)
    if OTHER in kinds:
        return None
    if len(kinds & {WHOLE, REAL}) and TEXT in kinds:
        raise _odd(name, "a list of numbers and text")
    try:
        array = np.array(value)
    except ValueError:
        # lists of unequal lengths
        return None
    if array.dtype.hasobject or (array.dtype.kind in "fc" and kinds == {WHOLE}):
        raise _odd(name, "whole numbers of more than 64 bits")
    budget.spend(array.nbytes)
    return array


def _kinds(values: Iterable[Any], budget: Budget, name: str, level: int = 0) -> set[str]:
    """Return what kinds of values are in lists of lists."""
    if level > MOST_LEVELS:
        raise _odd(name, f"lists in more than {MOST_LEVELS} levels")
    found: set[str] = set()
    for value in values:
        budget.spend(BYTES_OF_A_VALUE, n_objects=0)
        if isinstance(value, list | tuple):
            found |= _kinds(value, budget, name, level + 1)
        elif isinstance(value, str):
            found.add(TEXT)
        elif isinstance(value, bool | int | np.bool_ | np.integer):
            found.add(WHOLE)
        else:
            found.add(REAL if isinstance(value, float | complex | np.number) else OTHER)
        if OTHER in found:
            break
    return found


def _short(key: Any) -> str:
    """Return a key for messages, whatever it is."""
    if isinstance(key, str):
        return key[:50]
    return str(key) if isinstance(key, int) and abs(key) < 10**18 else "?"


def _abuse(found: str, expected: str) -> UnsafeFileError:
    return UnsafeFileError(
        "pickle calls a function as no array does",
        found=found,
        expected=expected,
        hint="do not trust this file",
    )


def _odd(name: str, found: str) -> UnsupportedFormatError:
    return UnsupportedFormatError(
        "pickle holds something that does not become arrays",
        where=name or None,
        found=found,
        expected="arrays, numbers, text, and lists and dictionaries of them",
        hint="save the arrays by numpy.savez where the file was made",
    )
