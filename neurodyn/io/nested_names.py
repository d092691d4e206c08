"""Dictionaries in dictionaries as one dictionary, keys joined by ``/``; names that are safe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neurodyn.errors import DataError

__all__ = ["joined"]

LARGEST_NUMBER = 10**18
LONGEST_NAME = 200
MOST_LEVELS = 32


def joined(values: Mapping[Any, Any], where: object = None) -> dict[str, Any]:
    """Return what dictionaries in a dictionary hold, by one name each.

    Parameters
    ----------
    values
        Keys are text or whole numbers; what is no dictionary is kept as it is.
    where
        What ``values`` are of, for messages.

    Returns
    -------
    dict
        In the order of ``values``.

    Raises
    ------
    DataError
        If a key is no name of a file (such as ``..``), two names are equal or the nesting has
        more than 32 levels, as that of a dictionary which holds itself.

    Examples
    --------
    >>> joined({"spikes": {0: "a", 1: "b"}, "stimulus": "c"})
    {'spikes/0': 'a', 'spikes/1': 'b', 'stimulus': 'c'}
    """
    found: dict[str, Any] = {}
    for name, value in _walk(values, (), where):
        if name in found:
            raise _unfit("keys of a dictionary have the same name", where, repr(name))
        found[name] = value
    return found


def _walk(
    values: Mapping[Any, Any], above: tuple[str, ...], where: object
) -> Iterator[tuple[str, Any]]:
    if len(above) > MOST_LEVELS:
        raise _unfit("dictionaries are nested too deeply", where, f"{len(above)} levels")
    for key, value in values.items():
        path = (*above, _name(key, where))
        if isinstance(value, Mapping):
            yield from _walk(value, path, where)
        else:
            yield "/".join(path), value


def _name(key: Any, where: object) -> str:
    """Return a key as text, if it is a name that a file in a folder can have."""
    whole = isinstance(key, int | np.integer) and not isinstance(key, bool)
    # str of a number of many thousand digits would be refused by Python itself
    number = str(int(key)) if whole and abs(int(key)) < LARGEST_NUMBER else ""
    name = key if isinstance(key, str) else number
    parts = name.split("/")
    if not name.isprintable() or {"", ".", ".."} & set(parts) or set("\\:") & set(name):
        raise _unfit("key of a dictionary is no name", where, _shown(key))
    if max(len(part.encode("utf-8", "replace")) for part in parts) > LONGEST_NAME:
        raise _unfit("key of a dictionary is too long", where, f"{len(name)} characters")
    return name


def _shown(key: Any) -> str:
    kind = type(key).__name__
    return repr(key[:LONGEST_NAME]) if isinstance(key, str) else f"one of type {kind}"


def _unfit(what: str, where: object, found: str) -> DataError:
    return DataError(
        what,
        where=where,
        found=found,
        expected="text or whole numbers, as names of files",
        hint="rename the keys where the dictionary was made",
    )
