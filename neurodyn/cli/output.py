"""How the command line prints: text for people, JSON for machines, no control codes from files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import typer

__all__ = ["JSON_OPTION", "ON_BAD", "OnBad", "emit", "rows_table", "table", "to_text"]

OnBad = Literal["raise", "fix", "drop", "warn"]
ON_BAD = typer.Option("raise", "--on-bad", help="What to do about faults in the data.")
JSON_OPTION = typer.Option(False, "--json", help="Print JSON for machines.")
FIRST_COLUMNS = (
    *("behavior", "statistic", "measure", "model", "inputs"),
    *("bits_per_spike_given_past", "bits_per_spike", "generated", "ceiling", "r", "r2", "auc"),
)
"""Of tables of results, in this order; the others follow."""


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


def rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of results as a table, numbers with their intervals, nothing where none is.

    Examples
    --------
    >>> rows = [{"model": "a", "r": 0.5, "r_low": 0.25, "r_high": 0.75}, {"model": "b"}]
    >>> print(rows_table(rows))
    model  r
    a      0.500 [0.250, 0.750]
    b
    """
    names = dict.fromkeys(name for row in rows for name in row if name != "baseline")
    places = {name: place for place, name in enumerate(FIRST_COLUMNS)}
    ordered = sorted(names, key=lambda name: places.get(name, len(places)))
    shown = [name for name in ordered if not name.endswith(("_low", "_high"))]
    return table([[_cell(row, name) for name in shown] for row in rows], shown)


def _cell(row: Mapping[str, Any], name: str) -> str:
    value, low, high = (row.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if not isinstance(value, float):
        return "" if value is None else str(value)
    return f"{value:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
