"""Say what is in a file and what is wrong with it, before it is used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurodyn.errors import DataQualityWarning, NeurodynError
from neurodyn.io import formats
from neurodyn.io.faults import Fault
from neurodyn.io.isolate import run_isolated
from neurodyn.io.remote import is_remote
from neurodyn.recording import describe

__all__ = ["Fault", "check", "inspect"]

ORDER = {"error": 0, "warning": 1, "note": 2}
SHOWN = ("severity", "code", "where", "message", "hint")
SECONDS = 120.0


def check(source: Any, *, isolate: bool = False, **options: Any) -> list[Fault]:
    """List all faults of a file; reads all of its data.

    Nothing is raised about the content of the file: a file that cannot be read at all has one
    fault.

    Parameters
    ----------
    source
        A path or an ``https`` address.
    isolate
        Read in a child process, which a damaged file may crash.
    **options
        As :func:`neurodyn.io.open` takes them.

    Returns
    -------
    list of Fault
        Errors first, then warnings, then notes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".nwb") as file:
    ...     [(fault.severity, fault.code) for fault in check(file.name)]
    [('error', 'unreadable_file')]
    """
    found: list[Fault] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            rows = _run(_rows, source, options, isolate=isolate)
            found = [Fault(**row) for row in rows]
        except NeurodynError as error:
            found = [Fault.of("unreadable_file", error)]
    for warning in caught:
        if issubclass(warning.category, DataQualityWarning):
            found.append(Fault("warning", "doubtful_data", str(source), str(warning.message)))
    return sorted(found, key=lambda fault: ORDER[fault.severity])


def inspect(source: Any, *, isolate: bool = False, **options: Any) -> str:
    """Say in a few lines what a file holds, without reading its data.

    Parameters
    ----------
    source, isolate, **options
        As :func:`check`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileError
        If the file as a whole cannot be read; also if reading it crashed the child process.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn import recording as build
    >>> tree = build.recording([build.trials([0.0], [1.0])])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(inspect(build.save(tree, Path(folder) / "a.nc")))
    recording
      trials   1 trial: start, stop
    """
    return str(_run(_text, source, options, isolate=isolate))


def _run(
    function: Callable[..., Any], source: Any, options: dict[str, Any], *, isolate: bool
) -> Any:
    if not isolate:
        return function(source, options)
    # the child works in the same folder, but must not take a path for an address
    place = source if is_remote(source) else str(Path(source))
    return run_isolated(function, place, options, seconds=SECONDS)


def _rows(source: Any, options: dict[str, Any]) -> list[dict[str, str]]:
    """Return faults as JSON: what a child process can hand over."""
    format, source = formats.resolve(source, options)
    if format.checker is None:
        return []
    faults = formats.import_function(format.checker)(source, **options)
    return [{name: getattr(fault, name) for name in SHOWN} for fault in faults]


def _text(source: Any, options: dict[str, Any]) -> str:
    tree = formats.open(source, **options)
    lines = [describe(tree), *(f"  not read: {line}" for line in tree.attrs.get("unread", ()))]
    tree.close()
    return "\n".join(lines)
