"""M/EEG in a BIDS data set, read by mne-bids: its tables say more than the files themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn.errors import (
    ConfigError,
    DataError,
    EmptySelectionError,
    MissingDependencyError,
    UnsupportedFormatError,
    one_of,
)
from neurodyn.io.children import Select
from neurodyn.io.faults import Fault, OnBad
from neurodyn.io.mne import list_faults, read_meeg
from neurodyn.io.mne_files import ENDINGS, MeegFile, open_meeg_file, quietly, unreadable
from neurodyn.io.sidecars import run_attrs, split_name

__all__ = ["check_meeg_bids", "find_meeg_runs", "load_meeg_bids", "open_meeg_bids"]

DATATYPES = ("eeg", "meg", "ieeg")
ENTITIES = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}
DESCRIPTION = "dataset_description.json"
SHOWN = 10


def open_meeg_bids(source: str | Path, **entities: str | None) -> xr.DataTree:
    """Open one run of a BIDS data set as a lazy recording; needs mne-bids.

    Parameters
    ----------
    source
        The folder of the data set (with ``dataset_description.json``), or a file of M/EEG in it.
    **entities
        ``subject``, ``session``, ``task``, ``run``, ``datatype`` ("eeg", "meg", "ieeg"): as many
        as single out one run.

    Returns
    -------
    xr.DataTree
        As :func:`neurodyn.io.mne.open_meeg` describes it. ``trials`` are the rows of
        ``events.tsv`` with their further columns; channel types, and ``bad`` for the status
        ``bad``, are those of ``channels.tsv``. Root attributes name the entities.

    Raises
    ------
    MissingDependencyError
        If mne-bids is not installed.
    FileError
        If the run cannot be read.
    ConfigError, EmptySelectionError, DataError
        If an entity is unknown, or none or several runs are meant; lists them.
    """
    file, attrs = _opened(source, entities)
    return read_meeg(file, None, "raise", lazy=True, **attrs)


def load_meeg_bids(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    **entities: str | None,
) -> xr.DataTree:
    """Read one run of a BIDS data set, or parts of it, into memory; needs mne-bids.

    Parameters
    ----------
    source, **entities
        As in :func:`open_meeg_bids`.
    select, on_bad
        As in :func:`neurodyn.io.mne.load_meeg`.

    Raises
    ------
    MissingDependencyError, FileError, DataError, ConfigError
        As in :func:`open_meeg_bids` and :func:`neurodyn.io.mne.load_meeg`.
    """
    file, attrs = _opened(source, entities)
    return read_meeg(file, select, on_bad, lazy=False, **attrs)


def check_meeg_bids(source: str | Path, **entities: str | None) -> list[Fault]:
    """List all faults of one run of a BIDS data set; parameters as :func:`open_meeg_bids`.

    Raises
    ------
    MissingDependencyError, FileError, DataError, ConfigError
        As in :func:`open_meeg_bids`.
    """
    return list_faults(_opened(source, entities)[0])


def find_meeg_runs(root: str | Path, **entities: str | None) -> list[Path]:
    """Return the files of M/EEG in a BIDS data set, by their names alone.

    Parameters
    ----------
    root
        Folder of the data set.
    **entities
        As in :func:`open_meeg_bids`; those that are not given match everything.

    Raises
    ------
    ConfigError
        For an unknown entity.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     folder = Path(root) / "sub-01" / "eeg"
    ...     folder.mkdir(parents=True)
    ...     for run in (1, 2):
    ...         (folder / f"sub-01_task-rest_run-{run}_eeg.edf").touch()
    ...     [path.name for path in find_meeg_runs(root, run="2")]
    ['sub-01_task-rest_run-2_eeg.edf']
    """
    for name in entities:
        one_of("entity", name, [*ENTITIES, "datatype"])
    wanted = {ENTITIES.get(k, k): str(v) for k, v in entities.items() if v is not None}
    datatype = wanted.pop("datatype", None)
    found = []
    for path in sorted(Path(root).glob("sub-*/**/*")):
        folder = path.parent.name
        is_run = folder in DATATYPES and path.name.endswith(ENDINGS) and path.is_file()
        if not is_run or datatype not in (None, folder):
            continue
        said = split_name(path.name)
        # further parts of a split recording come with the first
        if said.entities.get("split", "01").lstrip("0") != "1" or said.suffix != folder:
            continue
        if all(said.entities.get(key) == value for key, value in wanted.items()):
            found.append(path)
    return found


def _opened(source: str | Path, entities: dict[str, str | None]) -> tuple[MeegFile, dict[str, Any]]:
    try:
        import mne_bids  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise MissingDependencyError("mne-bids", "bids") from error

    path = _run(Path(source), entities)
    # its signature, companions and faults, before anyone trusts its tables
    file = open_meeg_file(path)
    file.notes.clear()
    with quietly(file.notes):
        try:
            file.instance = mne_bids.read_raw_bids(
                mne_bids.get_bids_path_from_fname(path), verbose="WARNING"
            )
        except Exception as error:
            raise unreadable(path, error) from error
    tables = path.parent.glob(f"{path.stem.rpartition('_')[0]}_*.[tj]s*")
    file.paths.extend(table for table in sorted(tables) if table not in file.paths)
    return file, {**run_attrs(path), "datatype": path.parent.name}


def _run(source: Path, entities: dict[str, str | None]) -> Path:
    """Return the file of the one run that is meant."""
    if not source.exists():
        raise FileNotFoundError(f"no such file or folder: {source}")
    if source.is_file():
        if any(value is not None for value in entities.values()):
            raise ConfigError(
                "entities choose among the files of a folder",
                where=source,
                found=f"a file, and {', '.join(entities)}",
                hint="give one of the two",
            )
        return source
    if not (source / DESCRIPTION).is_file():
        raise UnsupportedFormatError(
            "not the folder of a BIDS data set",
            where=source,
            found=f"no {DESCRIPTION}",
            expected=f"{DESCRIPTION} beside the folders sub-*",
        )
    matching = find_meeg_runs(source, **entities)
    if len(matching) == 1:
        return matching[0]
    present = matching or find_meeg_runs(source)
    shown = [str(path.relative_to(source)) for path in present[:SHOWN]]
    listed = ", ".join(shown) + (", ..." if len(present) > SHOWN else "")
    if not matching:
        raise EmptySelectionError(
            "data set has no such run of M/EEG",
            where=source,
            found=listed or "no file of M/EEG",
            expected=", ".join(f"{k}={v!r}" for k, v in entities.items() if v is not None),
        )
    raise DataError(
        "data set has several runs of M/EEG",
        where=source,
        found=listed,
        expected="one",
        hint="single one out: subject=..., session=..., task=..., run=..., datatype=...",
    )
