"""What a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurodyn.plots import Drawing

__all__ = ["Section", "Table"]


@dataclass(frozen=True)
class Table:
    """A table: the first cell of each row names it; ``marked`` rows stand out."""

    rows: Sequence[Sequence[object]]
    head: Sequence[str] = ()
    caption: str = ""
    marked: Sequence[int] = ()


@dataclass(frozen=True)
class Section:
    """One section of the page; all text is escaped."""

    title: str
    text: Sequence[str] = ()
    notes: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    code: Sequence[tuple[str, str]] = ()
    open: bool = False
