"""One trial of a search: a stretch of training in its own run folder, on whatever machine."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
import xarray as xr
from threadpoolctl import threadpool_limits

from neurodyn import recording as rec
from neurodyn.config import assign, from_dict
from neurodyn.errors import CheckpointError, ConfigError, TrainingDivergedError
from neurodyn.models import registry
from neurodyn.models.population import fit_population
from neurodyn.models.torch_estimator import TorchEstimator
from neurodyn.training import TrainingConfig, read_history
from neurodyn.training.lock import run_lock
from neurodyn.training.run_folder import TrainingPaused, paused_at

__all__ = ["PARTS", "Job", "Outcome", "home_of", "run_job", "with_settings"]

PARTS = ("train", "validation")
# of a process that was killed and has not gone yet
SECONDS_TO_GO = 60.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A stretch of a trial, complete in itself: what any machine needs that sees the folder.

    Parameters
    ----------
    folder
        Of the search; holds the data and the run folders.
    digest
        Of the data.
    trial, run, until
        Which trial, the name of its run folder, and the step up to which to train.
    estimator, model, training
        Its name, its settings and how it is trained.
    members
        Of several trials that train side by side as a population: in what each differs from
        ``training``; ``trial`` is the first of them.
    """

    folder: str
    digest: str
    trial: str
    run: str
    until: int
    estimator: str
    model: dict[str, Any]
    training: dict[str, Any]
    members: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended, and all validation scores of the run so far.

    Parameters
    ----------
    status
        ``paused`` where it was to pause, ``finished``, or ``failed`` by its settings.
    scores
        Step and score of each validation, for each trial of the job.
    error
        Why it failed.
    """

    status: Literal["paused", "finished", "failed"]
    scores: list[list[tuple[int, float]]] = field(default_factory=list)
    error: str = ""


def run_job(job: Job) -> Outcome:
    """Train a trial up to a step, from wherever its run folder is.

    On one thread, so that the result is the same on every machine of a kind.

    Raises
    ------
    CheckpointError
        If the run folder cannot be used.
    DataError
        If the data cannot be.
    """
    folder, home = Path(job.folder), home_of(job.folder, job.run)
    train, validation = _parts(folder, job.digest)
    cls = cast(type[TorchEstimator[Any]], registry.get(job.estimator))
    _wait_until_free(home)
    status: Literal["paused", "finished", "failed"] = "finished"
    error = ""
    try:
        model = cls(from_dict(cls.config_class, job.model))
        training = from_dict(TrainingConfig, job.training)
        with _one_thread(), paused_at(job.until):
            data: Any = {"validation": validation, "training": training}
            if job.members:
                fit_population(model, train, job.members, folder=home, resume="auto", **data)
            else:
                model.fit(train, folder=home, resume="auto", **data)
    except TrainingPaused:
        status = "paused"
    except (TrainingDivergedError, ConfigError, torch.OutOfMemoryError) as problem:
        status, error = "failed", str(problem)
    names = [f"_{index}" for index in range(len(job.members))] or [""]
    scores = [_scores(home, job.training["monitor"] + name) for name in names]
    return Outcome(status=status, scores=scores, error=error)


def home_of(folder: str | Path, run: str) -> Path:
    """Return the run folder of a trial.

    Examples
    --------
    >>> home_of("sweep", "03").as_posix()
    'sweep/trials/03'
    """
    return Path(folder) / "trials" / run


def with_settings(
    model: TorchEstimator[Any], training: TrainingConfig, settings: Mapping[str, Any]
) -> tuple[TorchEstimator[Any], TrainingConfig]:
    """Return an estimator and its training with some settings; ``training__…`` for the latter.

    Raises
    ------
    ConfigError
        For an unknown setting or a value that does not fit.
    """
    dotted = {name.replace("__", "."): value for name, value in settings.items()}
    own = {name: v for name, v in dotted.items() if not name.startswith("training.")}
    loop = {name.removeprefix("training."): dotted[name] for name in dotted.keys() - own.keys()}
    return type(model)(assign(model.config, own)), assign(training, loop)


@functools.lru_cache(maxsize=1)
def _parts(folder: Path, digest: str) -> tuple[xr.Dataset, xr.Dataset]:
    """Return training and validation counts; the digest tells data of one folder apart."""
    train, validation = (rec.load(folder / f"{part}.nc") for part in PARTS)
    return cast(xr.Dataset, train), cast(xr.Dataset, validation)


def _scores(home: Path, monitor: str) -> list[tuple[int, float]]:
    path = home / "history.jsonl"
    rows = read_history(path) if path.exists() else []
    return [(row["step"], row[monitor]) for row in rows if row["kind"] == "validation"]


def _wait_until_free(home: Path) -> None:
    """Wait for a process that is being killed to let go of a run folder."""
    begun = time.monotonic()
    while (home / "run.lock").exists() and time.monotonic() < begun + SECONDS_TO_GO:
        try:
            with run_lock(home):
                return
        except CheckpointError:
            time.sleep(0.2)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
