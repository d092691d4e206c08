"""Jobs of a search on Ray Tune: this machine's processes, or a cluster that sees the folder.

Ray Tune asks a searcher for what to run next, and the searcher asks the search. Each trial of
Ray is one job, that is one stretch of one of our trials. What a job needs is in the job and in
its run folder, and what came of it goes into the lineage, so nothing that Ray stores is kept: a
worker that dies is started again and goes on from the checkpoint in the run folder, and a search
whose head died is run again by the same command.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from typing import Any

from neurodyn.config import from_dict
from neurodyn.errors import MissingDependencyError, NeurodynError
from neurodyn.workflow.search_control import Controller
from neurodyn.workflow.search_trial import Job, Outcome, run_job

__all__ = ["run_on_ray"]

MOST_DEATHS = 3
QUIET = {
    # Ray tells its makers about its use, unless told not to
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # the last snapshot is thrown away with all others
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
}
STORE_BYTES = 80_000_000


def run_on_ray(
    control: Controller,
    n_workers: int,
    *,
    gpus_per_trial: float = 0.0,
    cluster: str | None = None,
) -> None:
    """Run all jobs on Ray Tune.

    Parameters
    ----------
    control
        Gives the jobs and takes their outcomes.
    n_workers
        Jobs at a time.
    gpus_per_trial
        Share of a GPU that a job takes; 0.25 puts four on each.
    cluster
        Address of a Ray cluster, ``"auto"`` for the one of this machine; without it one is
        started here for the length of the search.

    Raises
    ------
    MissingDependencyError
        Without Ray.
    NeurodynError
        If a job failed for another reason than its settings.
    """
    with _cluster(n_workers, cluster) as ray, tempfile.TemporaryDirectory() as storage:
        tune = ray.tune
        jobs = _jobs(tune, control, n_workers)
        task = tune.with_resources(_task, {"cpu": 1, "gpu": gpus_per_trial})
        tuner = tune.Tuner(
            task,
            tune_config=tune.TuneConfig(search_alg=jobs, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=storage,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=MOST_DEATHS),
            ),
        )
        tuner.fit()
    if jobs.problem is not None:
        raise jobs.problem
    if not jobs.is_over:
        # Ray Tune ends early, and without a word, at Ctrl-C
        raise KeyboardInterrupt


def _task(config: dict[str, Any]) -> dict[str, str]:
    """Run a job in a worker; an exception is no reason to start the worker again."""
    try:
        outcome = run_job(from_dict(Job, config))
    except Exception as error:
        return {"problem": f"{type(error).__name__}: {error}"}
    return {"outcome": json.dumps(asdict(outcome))}


def _jobs(tune: Any, control: Controller, n_workers: int) -> Any:
    """Return what Ray Tune asks for the next job."""
    searcher: Any = tune.search.Searcher

    class Jobs(searcher):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.running: dict[str, Job] = {}
            self.problem: NeurodynError | None = None
            self.is_over = False

        def suggest(self, trial_id: str) -> Any:
            if len(self.running) >= n_workers:
                return None
            job = None if self.problem is not None else control.next_job()
            if job is not None:
                self.running[trial_id] = job
                return asdict(job)
            if self.running:
                return None
            self.is_over = True
            return searcher.FINISHED

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            job, found = self.running.pop(trial_id), result or {}
            if "outcome" in found:
                control.take(job, Outcome(**json.loads(found["outcome"])))
                return
            self.problem = self.problem or NeurodynError(
                "a trial cannot go on",
                where=f"trial {job.trial}",
                found=found.get("problem", f"its worker died more than {MOST_DEATHS} times"),
                hint="the same command goes on where the search was",
            )

        def save(self, checkpoint_path: str) -> None:
            """Save nothing: the lineage has it."""

        def restore(self, checkpoint_path: str) -> None:
            """Restore nothing: the lineage has it."""

    return Jobs()


@contextmanager
def _cluster(n_workers: int, address: str | None) -> Iterator[Any]:
    """Connect to a cluster, or start one, for the length of the block; quietly."""
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    try:
        try:
            ray: Any = import_module("ray")
            import_module("ray.tune")
            import_module("ray.tune.search")
        except ImportError as error:
            raise MissingDependencyError("ray", "sweep") from error
        own = {
            "num_cpus": n_workers,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        }
        started = not ray.is_initialized()
        if started:
            where = own if address is None else {"address": address}
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        try:
            yield ray
        finally:
            if started:
                ray.shutdown()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
