"""fMRI runs from files of any kind, with the labels of their subjects and their events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodyn import io
from neurodyn import recording as rec
from neurodyn.errors import DataError, EmptySelectionError, TrialTableError, suggest
from neurodyn.io.derivatives import DerivativeRun, find_derivatives, load_confounds
from neurodyn.io.faults import OnBad
from neurodyn.io.sidecars import split_name
from neurodyn.models.brainmae.context import bold_runs

__all__ = ["BoldData", "open_bold", "part_of_runs", "with_events", "with_labels"]

SUBJECT_COLUMNS = ("participant_id", "subject", "FILE_ID", "run_id")
EVENT_COLUMNS = ("onset", "duration")
PARTICIPANTS = "participants.tsv"


@dataclass(frozen=True)
class BoldData:
    """Runs ``/bold/<name>``, their events ``/trials/<name>`` where known, and what was done."""

    recording: xr.DataTree
    notes: tuple[str, ...] = ()


def open_bold(
    paths: str | Path | Sequence[str | Path],
    *,
    labels: str | Path | None = None,
    events: str | Path | None = None,
    strategy: str | None = None,
    on_bad: OnBad = "raise",
    **options: Any,
) -> BoldData:
    """Open fMRI runs of regions.

    Parameters
    ----------
    paths
        Files of any fMRI format; a folder of fMRIPrep or XCP-D derivatives stands for all of its
        runs, with the ``*_events.tsv`` beside them and the ``participants.tsv`` in it.
    labels
        Table of subjects (``participants.tsv``): its columns become attributes of their runs.
    events
        Table of events with ``onset`` and ``duration`` [s] and, for several runs, ``subject`` and
        ``run``.
    strategy
        Of nilearn, for derivatives with confounds: they are regressed out, and frames of much
        motion are censored.
    on_bad
        What to do about faults of the files: ``"raise"``, ``"fix"``, ``"drop"``, ``"warn"``.
    **options
        Of the reader, such as ``atlas`` for images and ``repetition_time``.

    Raises
    ------
    EmptySelectionError, FileError, DataError
        If there is no fMRI; as opening and cleaning do; if two runs have the same name.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else list(map(Path, paths))
    runs: dict[str, xr.Dataset] = {}
    trials: dict[str, xr.Dataset] = {}
    notes: list[str] = []
    for path in files:
        if not path.is_dir():
            loaded = io.load(path, on_bad=on_bad, **options)
            _gather(loaded, path.name.split(".")[0], runs, trials)
            continue
        found = find_derivatives(path)
        for run in found:
            _gather(_derivative(run, strategy, on_bad, options), None, runs, trials)
        notes.append(f"{path.name}: {len(found)} runs of derivatives.")
        people = path / PARTICIPANTS
        labels = people if labels is None and people.is_file() else labels
    if not runs:
        raise EmptySelectionError(
            "no fMRI was given", found=", ".join(file.name for file in files[:5]) or "no file"
        )
    tree = _together(runs, trials)
    if labels is not None:
        tree = with_labels(tree, labels)
    if events is not None:
        tree = with_events(tree, events)
    return BoldData(tree, tuple(notes))


def with_labels(data: xr.DataTree, table: str | Path | pd.DataFrame) -> xr.DataTree:
    """Give runs the columns of a table of subjects as attributes.

    Parameters
    ----------
    data
        Runs with the attribute ``subject``; a run without is looked for by its name.
    table
        Text separated by tabs (``.tsv``) or commas; rows are found by ``participant_id``,
        ``subject`` or ``FILE_ID``, with or without ``sub-``. ``n/a`` is missing.

    Raises
    ------
    DataError
        If the table names no subjects, one twice, or none of a run.

    Examples
    --------
    >>> run = rec.bold(np.zeros((4, 2)), repetition_time=2.0, subject="01")
    >>> table = pd.DataFrame({"participant_id": ["sub-01"], "age": [31]})
    >>> with_labels(rec.recording({"bold": {"a": run}}), table)["bold/a"].attrs["age"]
    31
    """
    frame = _table(table)
    key = next((name for name in SUBJECT_COLUMNS if name in frame.columns), None)
    if key is None:
        raise DataError(
            "the table of labels names no subjects",
            found=", ".join(map(str, frame.columns)),
            expected=f"a column {' or '.join(SUBJECT_COLUMNS)}",
        )
    row_of = {_bare(value): row for row, value in enumerate(frame[key])}
    if len(row_of) < len(frame):
        raise DataError("the table of labels has a subject twice", found=f"column {key}")
    copy = data.copy()
    lacking = []
    for name, node in _runs(copy).items():
        row = row_of.get(_bare(node.attrs.get("subject", name)), row_of.get(_bare(name)))
        if row is None:
            lacking.append(name)
            continue
        values = {str(k): v for k, v in frame.iloc[row].items() if k != key and not pd.isna(v)}
        node.attrs.update({"subject": _bare(frame[key].iloc[row]), **_plain(values)})
    if lacking:
        raise DataError(
            "the table of labels lacks the subjects of some runs",
            found=f"{len(lacking)}: {', '.join(lacking[:5])}",
            expected=f"a row for each, by {key}",
        )
    return copy


def with_events(data: xr.DataTree, table: str | Path | pd.DataFrame) -> xr.DataTree:
    """Give runs their events, ``/trials/<name>``.

    Parameters
    ----------
    data
        One run, or several with attributes ``subject`` and ``run``.
    table
        Columns ``onset`` and ``duration`` [s] from the first frame, and what else is known of an
        event; with several runs ``subject`` and, where a subject has several, ``run``.

    Raises
    ------
    TrialTableError
        If columns are missing, or a run has no event.

    Examples
    --------
    >>> run = rec.bold(np.zeros((4, 2)), repetition_time=2.0)
    >>> table = pd.DataFrame({"onset": [2.0], "duration": [1.0], "trial_type": ["heat"]})
    >>> with_events(rec.recording({"bold": {"a": run}}), table)["trials/a"]["stop"].values
    array([3.])
    """
    frame = _table(table)
    for column in EVENT_COLUMNS:
        if column not in frame.columns:
            raise TrialTableError(
                f"events have no column {column!r}", hint=suggest(column, map(str, frame.columns))
            )
    runs = bold_runs(data)
    trials = {}
    for name, run in runs.items():
        own = frame if len(runs) == 1 else _own_events(frame, name, run.attrs)
        if own.empty:
            raise TrialTableError(
                f"run {name!r} has no events",
                found=f"subject {run.attrs.get('subject')}, run {run.attrs.get('run')}",
                expected="rows of this subject and run",
            )
        rest = own.drop(columns=[*EVENT_COLUMNS, "subject", "run"], errors="ignore")
        columns = {str(name): _column(values) for name, values in rest.items()}
        onset = own["onset"].to_numpy(float)
        stop = onset + own["duration"].to_numpy(float)
        trials[name] = rec.trials(onset, stop, columns=columns)
    return _together(runs, trials)


def part_of_runs(data: xr.DataTree, names: Sequence[str]) -> xr.DataTree:
    """Return a recording with some of the runs and their events.

    Examples
    --------
    >>> run = rec.bold(np.zeros((4, 2)), repetition_time=2.0)
    >>> both = rec.recording({"bold": {"a": run, "b": run}})
    >>> rec.names(part_of_runs(both, ["b"]))
    {'bold': ['b']}
    """
    runs, tables = bold_runs(data), rec.pick_all(data, "trials")
    trials = {name: tables[name] for name in names if name in tables}
    return _together({name: runs[name] for name in names}, trials)


def _together(runs: Mapping[str, xr.Dataset], trials: Mapping[str, xr.Dataset]) -> xr.DataTree:
    kinds: dict[str, Any] = {"bold": dict(runs)}
    if trials:
        kinds["trials"] = dict(trials)
    return rec.recording(kinds)


def _runs(data: xr.DataTree) -> dict[str, xr.DataTree]:
    """Return the nodes of the runs by name."""
    node = data["bold"]
    return dict(node.children) or {str(node.attrs.get("name", "run")): node}


def _derivative(
    run: DerivativeRun, strategy: str | None, on_bad: OnBad, options: Mapping[str, Any]
) -> xr.DataTree:
    """Load a run of derivatives, clean it if that is asked for, and add its events."""
    from neurodyn.transforms import denoise

    given: dict[str, Any] = dict(options)
    if strategy is not None:
        confounds, keep = load_confounds(run, strategy)  # type: ignore[arg-type]
        series = {str(name): values.to_numpy() for name, values in confounds.items()}
        # derivatives have no value in the first frame
        given |= {"confounds": series, "keep": keep, "fill_first": "zero"}
    bold = rec.pick(io.load(run.path, on_bad=on_bad, **given), "bold")
    if strategy is not None:
        bold = denoise(bold, confounds="*")
    tree = rec.recording({"bold": {_run_name(bold): bold}})
    events = _events_beside(run)
    return tree if events is None else with_events(tree, events)


def _events_beside(run: DerivativeRun) -> Path | None:
    """Return the table of events in the folder of a run whose name says nothing else."""
    for path in sorted(run.path.parent.glob("*_events.tsv")):
        if split_name(path.name).entities.items() <= run.entities.items():
            return path
    return None


def _gather(
    loaded: xr.DataTree,
    stem: str | None,
    runs: dict[str, xr.Dataset],
    trials: dict[str, xr.Dataset],
) -> None:
    """Add the runs of a file, which must have names of their own."""
    kinds = rec.names(loaded)
    for child in kinds.get("bold", []):
        ds = rec.pick(loaded, "bold", child or None)
        name = child or stem or _run_name(ds)
        if name in runs:
            raise DataError("two runs have the same name", found=name, hint="rename a file")
        runs[name] = ds
        if child in kinds.get("trials", []):
            trials[name] = rec.pick(loaded, "trials", child or None)


def _run_name(run: xr.Dataset) -> str:
    """Return ``sub-01_task-rest`` and the like, of what a run says of itself."""
    short = {"subject": "sub", "session": "ses", "task": "task", "run": "run"}
    said = [f"{key}-{run.attrs[name]}" for name, key in short.items() if name in run.attrs]
    return "_".join(said) or str(run.attrs.get("name", "run")).split(".")[0]


def _table(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    text = {name: str for name in (*SUBJECT_COLUMNS, "run")}
    separator = "\t" if path.suffix == ".tsv" else ","
    # words such as "none" are labels here
    return pd.read_csv(
        path, sep=separator, dtype=text, na_values=["n/a", ""], keep_default_na=False
    )


def _own_events(frame: pd.DataFrame, name: str, attrs: Mapping[Any, Any]) -> pd.DataFrame:
    if "subject" not in frame.columns:
        raise TrialTableError(
            "events of several runs need the subject of each",
            found=", ".join(map(str, frame.columns)),
            expected="columns subject and run",
        )
    subject = _bare(attrs.get("subject", name))
    own = frame[[_bare(value) == subject for value in frame["subject"]]]
    if "run" in frame.columns and "run" in attrs:
        own = own[own["run"].astype(str) == str(attrs["run"])]
    return own


def _column(values: pd.Series[Any]) -> Any:
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy()
    return values.fillna("").astype(str).to_numpy(dtype=object)


def _bare(value: object) -> str:
    return str(value).removeprefix("sub-")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
