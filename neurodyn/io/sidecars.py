"""Names of BIDS files taken apart, and what JSON files beside and above a file say about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from neurodyn.errors import CorruptFileError, TimebaseError
from neurodyn.io.limits import require_budget

__all__ = [
    "FileName",
    "run_attrs",
    "sidecar_paths",
    "sidecar_repetition_time",
    "sidecar_values",
    "split_name",
]

# what a recording says of a run, and the entity that says it in the name of its file
RUN_ATTRS = {
    "subject": "sub",
    "session": "ses",
    "task": "task",
    "run": "run",
    "space": "space",
    "atlas": "seg",
}
# XCP-D before 0.7 and its likes
OLDER = {"atlas": "atlas"}


class FileName(NamedTuple):
    """The parts of a file name.

    Parameters
    ----------
    entities
        ``{"sub": "01", "task": "rest"}``; empty if the name is not made of entities.
    suffix
        What stands behind them, ``"bold"``; the whole stem if there are none.
    ending
        From the first full stop on, ``".nii.gz"``.
    """

    entities: dict[str, str]
    suffix: str
    ending: str


def split_name(name: str) -> FileName:
    """Take the name of a BIDS file apart.

    Examples
    --------
    >>> split_name("sub-01_task-rest_desc-preproc_bold.nii.gz")
    FileName(entities={'sub': '01', 'task': 'rest', 'desc': 'preproc'}, suffix='bold', ending='.nii.gz')
    >>> split_name("NYU_0050952_rois.1D").suffix
    'NYU_0050952_rois'
    """  # noqa: E501
    stem, dot, rest = name.partition(".")
    *parts, suffix = stem.split("_")
    pairs = [part.partition("-") for part in parts]
    if all(key and value for key, _, value in pairs):
        return FileName({key: value for key, _, value in pairs}, suffix, dot + rest)
    return FileName({}, stem, dot + rest)


def run_attrs(path: str | Path) -> dict[str, Any]:
    """Return subject, session, task, run, space and atlas, as far as a file name tells them.

    Examples
    --------
    >>> run_attrs("sub-01_task-rest_seg-4S156Parcels_stat-mean_timeseries.tsv")
    {'subject': '01', 'task': 'rest', 'atlas': '4S156Parcels'}
    """
    entities = split_name(Path(path).name).entities
    found = {name: entities.get(entity) for name, entity in RUN_ATTRS.items()}
    found["atlas"] = found["atlas"] or entities.get(OLDER["atlas"])
    return {name: value for name, value in found.items() if value}


def sidecar_paths(source: str | Path) -> list[Path]:
    """Return the JSON files that describe a file, the least specific first.

    By the inheritance principle of BIDS these are the ones in its folder and in the folders
    above up to the data set, of the same suffix, with no entity that the file has not. A name
    without entities has the JSON file of its own name beside it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     func = Path(folder) / "sub-01" / "func"
    ...     func.mkdir(parents=True)
    ...     for path in (Path(folder) / "task-rest_bold.json", func / "sub-01_task-rest_bold.json"):
    ...         _ = path.write_text("{}")
    ...     [path.name for path in sidecar_paths(func / "sub-01_task-rest_bold.nii.gz")]
    ['task-rest_bold.json', 'sub-01_task-rest_bold.json']
    """
    path = Path(source).absolute()
    own = split_name(path.name)
    found: list[tuple[int, int, Path]] = []
    for height, folder in enumerate(_folders(path.parent)):
        for candidate in folder.glob("*.json"):
            name = split_name(candidate.name)
            if name.suffix == own.suffix and name.entities.items() <= own.entities.items():
                found.append((-height, len(name.entities), candidate))
    return [candidate for _, _, candidate in sorted(found)]


def sidecar_values(source: str | Path, sidecar: str | Path | None = None) -> dict[str, Any]:
    """Return what the JSON files of a file say, the more specific ones last.

    Parameters
    ----------
    source
        The file that they describe.
    sidecar
        The one JSON file to read instead.

    Raises
    ------
    FileNotFoundError
        If there is no such ``sidecar``.
    CorruptFileError
        If one of them is no JSON object.
    """
    merged: dict[str, Any] = {}
    for path in sidecar_paths(source) if sidecar is None else [Path(sidecar)]:
        merged.update(_read_object(path))
    return merged


def sidecar_repetition_time(source: str | Path, sidecar: str | Path | None = None) -> float | None:
    """Return ``RepetitionTime`` [s] of the JSON files of a file, None if none says it.

    Parameters
    ----------
    source, sidecar
        As in :func:`sidecar_values`.

    Raises
    ------
    CorruptFileError
        If a JSON file cannot be read.
    TimebaseError
        If it says something else than a number.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "rest.json").write_text('{"RepetitionTime": 0.72}')
    ...     sidecar_repetition_time(Path(folder) / "rest.tsv")
    0.72
    """
    value = sidecar_values(source, sidecar).get("RepetitionTime")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TimebaseError(
            "RepetitionTime of a sidecar is no number",
            where=sidecar or sidecar_paths(source)[-1],
            found=repr(value),
            expected="seconds",
            hint="correct the sidecar, or say repetition_time=... [s]",
        )
    return None if value is None else float(value)


def _folders(folder: Path) -> Iterator[Path]:
    """Yield a folder and those above it, up to the one that holds the subjects."""
    yield folder
    if folder.name.startswith(("sub-", "ses-")) or folder.parent.name.startswith(("sub-", "ses-")):
        yield from _folders(folder.parent)


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    n_bytes = path.stat().st_size
    # numbers and text become Python objects, some ten times as large
    require_budget(10 * n_bytes, None, where=path)
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _no_object(path, error) from error
    if not isinstance(found, dict):
        raise _no_object(path, f"a {type(found).__name__}")
    return found


def _no_object(path: Path, found: object) -> CorruptFileError:
    return CorruptFileError(
        "sidecar cannot be read",
        where=path,
        found=found,
        expected="a JSON object in UTF-8",
        hint="correct or remove it, or name another one with sidecar=...",
    )
