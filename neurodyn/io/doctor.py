"""Say what is wrong with a file before it is used."""

from __future__ import annotations

import warnings
from typing import Any

from neurodyn.errors import DataQualityWarning, NeurodynError
from neurodyn.io.faults import Fault
from neurodyn.io.formats import import_function, resolve

__all__ = ["Fault", "check"]

ORDER = {"error": 0, "warning": 1, "note": 2}


def check(source: Any, **options: Any) -> list[Fault]:
    """List all faults of a file; reads all of its data.

    Nothing is raised about the content of the file: a file that cannot be read at all has one
    fault.

    Parameters
    ----------
    source
        A path or an ``https`` address.
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
            format, source = resolve(source, options)
            if format.checker is not None:
                found = import_function(format.checker)(source, **options)
        except NeurodynError as error:
            found = [Fault.of("unreadable_file", error)]
    for warning in caught:
        if issubclass(warning.category, DataQualityWarning):
            found.append(Fault("warning", "doubtful_data", str(source), str(warning.message)))
    return sorted(found, key=lambda fault: ORDER[fault.severity])
