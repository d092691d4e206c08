"""What is in a MATLAB file: the class and shape of each variable, cells opened up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from neurodyn.errors import CorruptFileError, SizeBudgetError
from neurodyn.io.limits import get_limits

__all__ = [
    "DEEPEST",
    "NUMBERS",
    "PLAIN",
    "Described",
    "MatFile",
    "Node",
    "Objects",
    "Values",
    "damaged",
    "described",
]

# a variable that is a cell of cells of arrays; deeper nesting is what no reader here wants, and
# would let a file exhaust the stack
DEEPEST = 2
INTEGERS = {f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)}
NUMBERS = {"double", "single", "logical", *INTEGERS}
PLAIN = {"cell", "char", *NUMBERS}
Values = Any  # an array, text, or for a cell a list of Values in MATLAB's order


@dataclass(frozen=True)
class Node:
    """One value of a MATLAB file, not read yet.

    Parameters
    ----------
    kind
        MATLAB's class: ``double``, ``char``, ``cell``, ``struct``, …
    shape
        As MATLAB shows it.
    items
        Of a cell, first axis fastest.
    source
        Where a reader finds the value.
    """

    kind: str
    shape: tuple[int, ...]
    items: tuple[Node, ...] = ()
    source: Any = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class Described(NamedTuple):
    """Class and shape of a variable that was not opened up."""

    kind: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {self.kind}"


class MatFile(Protocol):
    """An open MATLAB file of either kind."""

    variables: dict[str, Described]

    def node(self, name: str) -> Node:
        """Return the structure of a variable."""
        ...

    def value(self, name: str) -> Values:
        """Return what a variable holds."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Objects:
    """Counts the values of one file against ``set_limits(objects=...)``."""

    def __init__(self, where: str) -> None:
        self._where, self._n = where, 0

    def add(self, n: int) -> None:
        """Count ``n`` more, before they are read.

        Raises
        ------
        SizeBudgetError
            If there are too many.
        """
        self._n += n
        limit = get_limits().objects
        if self._n > limit:
            raise SizeBudgetError(
                "file holds too many objects",
                where=self._where,
                found=f"more than {limit} values in cells",
                expected=f"at most {limit}",
                hint="set_limits(objects=...) or NEURODYN_LIMIT_OBJECTS",
            )


def damaged(found: object, where: str) -> CorruptFileError:
    """Return the error of a MATLAB file that cannot be read."""
    return CorruptFileError(
        "MATLAB file cannot be read",
        where=where,
        found=found,
        expected="an undamaged file written by MATLAB or SciPy",
        hint="get the file again and compare its size and checksum",
    )


def described(variables: dict[str, Described]) -> Iterator[str]:
    """Yield ``name (109x1 cell)`` for each variable."""
    for name, variable in variables.items():
        yield f"{name} ({variable})"
