"""How the command line prints: text for people, JSON for machines, no control codes from files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import typer

__all__ = ["JSON_OPTION", "ON_BAD", "OnBad", "emit", "table", "to_text"]

OnBad = Literal["raise", "fix", "drop", "warn"]
ON_BAD = typer.Option("raise", "--on-bad", help="What to do about faults in the data.")
JSON_OPTION = typer.Option(False, "--json", help="Print JSON for machines.")


def to_text(value: object) -> str:
    r"""Return text without terminal control codes.

    Examples
    --------
    >>> to_text("unit\x1b[31m 7")
    'unit\\x1b[31m 7'
    """
    return "".join(
        char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in str(value)
    )


def emit(values: Any, text: str, as_json: bool) -> None:
    """Print ``values`` as JSON, or the ``text``."""
    typer.echo(json.dumps(values, default=_plain, indent=1) if as_json else to_text(text))


def table(rows: Iterable[Sequence[object]], head: Sequence[str]) -> str:
    """Return rows as aligned columns.

    Examples
    --------
    >>> print(table([("a", 1), ("bb", 20)], ("name", "n")))
    name  n
    a     1
    bb    20
    """
    lines = [tuple(map(str, head)), *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
