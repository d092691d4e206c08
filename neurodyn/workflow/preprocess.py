"""The same steps over many sessions, here or on a Dask cluster, one netCDF file for each."""

from __future__ import annotations

import hashlib
import inspect
import json
import shlex
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from neurodyn import io, transforms
from neurodyn import recording as rec
from neurodyn.errors import (
    ConfigError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    NeurodynError,
    one_of,
    suggest,
)
from neurodyn.io.faults import OnBad
from neurodyn.provenance import add_history, file_digest
from neurodyn.workflow.plans import setting
from neurodyn.workflow.workers import run_jobs

__all__ = ["STEPS", "SessionJob", "Step", "preprocess", "run_session", "step_of"]

STEPS: dict[str, str | None] = {
    "align": "spikes",
    "bin_spikes": "spikes",
    "decimate": "signal",
    "denoise": "bold",
    "resample_bold": "bold",
    "restrict": None,
    "select_trials": None,
    "select_units": None,
}
"""Verbs of :mod:`neurodyn.transforms` and the kind that each replaces, None: the recording."""
MARK = "preprocessing"
NAMES_OF_DATA = ("data", "recording")


class Step(NamedTuple):
    """One verb of :mod:`neurodyn.transforms` and its arguments."""

    verb: str
    options: Mapping[str, Any]


class SessionJob(NamedTuple):
    """One session, what becomes of it, and where it goes."""

    session: str
    path: Path
    target: Path
    steps: tuple[Step, ...]
    on_bad: OnBad


def preprocess(
    sessions: Sequence[str | Path],
    steps: Sequence[str | Step],
    folder: str | Path,
    *,
    on_bad: OnBad = "raise",
    client: Any = None,
    n_workers: int = 1,
) -> xr.Dataset:
    """Open sessions, apply steps to each, and save each as netCDF.

    A session that was saved before from the same file by the same steps is kept, so an
    interrupted call goes on where it was. One that cannot be used is listed and ends nothing.

    Parameters
    ----------
    sessions
        Files in any format that :func:`neurodyn.io.load` reads, each of one session.
    steps
        In their order, as for :func:`step_of`. What a step makes takes the place of what it was
        made of; the rest of the recording stays.
    folder
        Holds ``<session>.nc``.
    on_bad
        What to do about faults inside a file; ``"raise"`` makes the session a faulty one.
    client, n_workers
        As of :func:`neurodyn.workflow.workers.run_jobs`.

    Returns
    -------
    xr.Dataset
        Kind ``results``, dim ``session``: ``status`` (``done``, ``kept``, ``faulty``), ``fault``
        and ``file``, one of which is empty.

    Raises
    ------
    ConfigError
        If there is nothing to do, names repeat, or a step or its argument is unknown.
    MissingDependencyError
        If several workers are asked for without Dask.

    Examples
    --------
    >>> import tempfile
    >>> spikes = rec.spikes_from_units({"a": [0.01, 0.05]}, observed=[[0.0, 0.1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = rec.save(rec.recording([spikes]), Path(folder) / "monday.nc")
    ...     found = preprocess([session], ["bin_spikes bin_size=0.02"], Path(folder) / "binned")
    >>> found["status"].item()
    'done'
    """
    one_of("on_bad", on_bad, ("raise", "fix", "drop", "warn"))
    known = tuple(_checked(step_of(step) if isinstance(step, str) else step) for step in steps)
    jobs = _jobs(sessions, known, Path(folder).resolve(), on_bad)
    rows = run_jobs(run_session, jobs, client=client, n_workers=n_workers, label="preprocessing")
    names = ("status", "fault", "file")
    table = {name: ("session", [row[name] for row in rows]) for name in names}
    found = rec.results(table, {"session": [job.session for job in jobs]})
    return add_history(found, "preprocess", steps=known)


def step_of(text: str) -> Step:
    """Return a step of a text such as ``align event=go window=[-0.2,0.5] bin_size=0.02``.

    Values are JSON, or text where they are not.

    Raises
    ------
    ConfigError
        If there is no verb, or an argument is not ``key=value``.

    Examples
    --------
    >>> step_of("align event=go window=[-0.2,0.5]")
    Step(verb='align', options={'event': 'go', 'window': [-0.2, 0.5]})
    """
    verb, *rest = shlex.split(text) or [""]
    return Step(verb, {key: _value(value) for key, value in map(setting, rest)})


def run_session(job: SessionJob) -> dict[str, str]:
    """Preprocess one session, or find that it is done; return its row of the table."""
    row = {"status": "done", "fault": "", "file": str(job.target)}
    try:
        mark = _mark(job)
        if _mark_of(job.target) == mark:
            return row | {"status": "kept"}
        with warnings.catch_warnings():
            # what was fixed or dropped is counted in the file
            warnings.simplefilter("ignore", DataQualityWarning)
            recording = io.load(job.path, on_bad=job.on_bad)
            for step in job.steps:
                recording = _apply(recording, step)
            recording.attrs[MARK] = mark
            rec.save(recording, job.target)
    except (NeurodynError, OSError) as error:
        return {"status": "faulty", "fault": str(error), "file": ""}
    return row


def _jobs(
    sessions: Sequence[str | Path], steps: tuple[Step, ...], folder: Path, on_bad: OnBad
) -> list[SessionJob]:
    """Return what to do; make the folder."""
    names = [Path(session).name.split(".")[0] for session in sessions]
    if not names or len({*names}) < len(names):
        raise ConfigError(
            "sessions need different names",
            found=f"{len(names)} sessions, {len({*names})} names",
            expected="one file of its own name for each session",
        )
    paths = [Path(session).resolve() for session in sessions]
    jobs = [
        SessionJob(name, path, folder / f"{name}.nc", steps, on_bad)
        for name, path in zip(names, paths)
    ]
    clash = [job.session for job in jobs if job.target == job.path]
    if clash:
        raise ConfigError(
            "sessions would be overwritten",
            where=folder,
            found=", ".join(clash[:10]),
            expected="another folder than that of the sessions",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return jobs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _checked(step: Step) -> Step:
    one_of("step", step.verb, STEPS)
    takes = inspect.signature(getattr(transforms, step.verb)).parameters
    for name in step.options:
        if name not in takes or name in NAMES_OF_DATA:
            known = [other for other in takes if other not in NAMES_OF_DATA]
            raise ConfigError(f"{step.verb} takes no {name!r}", hint=suggest(name, known))
    return step


def _apply(recording: xr.DataTree, step: Step) -> xr.DataTree:
    """Return the recording after a step."""
    verb, kind = getattr(transforms, step.verb), STEPS[step.verb]
    if kind is None:
        found: xr.DataTree = verb(recording, **step.options)
        return found
    sources = rec.pick_all(recording, kind)
    if not sources:
        raise EmptySelectionError(
            f"the recording has no {kind}",
            where=recording.attrs.get("source"),
            found=", ".join(recording.children) or "nothing",
            expected=f"{kind}, for {step.verb}",
        )
    more = (rec.pick(recording, "trials"),) if step.verb == "align" else ()
    made = {name: verb(source, *more, **step.options) for name, source in sources.items()}
    becomes = str(next(iter(made.values())).attrs["kind"])
    others = [other for other in recording.children if other != kind]
    if becomes in others:
        raise DataError(
            f"the recording has {becomes} already",
            where=recording.attrs.get("source"),
            hint=f"without {step.verb}, they are saved as they are",
        )
    kept = {other: rec.pick_all(recording, other) for other in others}
    attrs = {str(key): value for key, value in recording.attrs.items() if key != "neurodyn_schema"}
    children = {name: found.get("", found) for name, found in {**kept, becomes: made}.items()}
    return rec.recording(children, **attrs)


def _mark(job: SessionJob) -> dict[str, str]:
    """Return what tells whether a saved file is of this session and these steps."""
    settings = json.dumps([job.on_bad, job.steps], sort_keys=True)
    steps = hashlib.sha256(settings.encode()).hexdigest()[:12]
    return {"source": file_digest(job.path), "steps": steps}


def _mark_of(path: Path) -> dict[str, str] | None:
    """Return the mark of a saved file, None where there is none or it cannot be read."""
    try:
        with rec.load(path, lazy=True) as saved:
            mark: dict[str, str] | None = saved.attrs.get(MARK)
            return mark
    except (FileNotFoundError, NeurodynError):
        return None
