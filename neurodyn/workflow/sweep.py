"""The same settings over many sessions, here or on a Dask cluster, one run folder for each."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from neurodyn.config import assign, uid
from neurodyn.errors import ConfigError, NeurodynError
from neurodyn.models.connectome import ConnectomeConfig, DynamicConnectome
from neurodyn.models.connectome.estimator import traces_digest
from neurodyn.models.run_folder import MANIFEST
from neurodyn.provenance import add_history
from neurodyn.recording import results
from neurodyn.workflow.plans import setting
from neurodyn.workflow.traces import open_traces
from neurodyn.workflow.workers import run_jobs

__all__ = ["Job", "grid_of", "run_job", "sweep"]

SCORES = ("variance_explained", "error", "restart_similarity", "n_communities")


class Job(NamedTuple):
    """One session under one setting, and where its run goes."""

    session: str
    path: Path
    config: ConnectomeConfig
    folder: Path


def sweep(
    sessions: Sequence[str | Path],
    grid: Mapping[str, Sequence[Any]],
    folder: str | Path,
    *,
    config: ConnectomeConfig | None = None,
    client: Any = None,
    n_workers: int = 1,
) -> xr.Dataset:
    """Fit a connectome to every session under every combination of settings.

    A finished run of the same session and settings is not fitted again, so a sweep that was
    interrupted goes on where it was.

    Parameters
    ----------
    sessions
        Files, each of one session.
    grid
        Values by setting: ``{"rank": [3, 4], "affinity.bandwidth": [1.0, 2.0]}``.
    folder
        Holds ``<session>/<setting>`` run folders.
    config
        Settings that do not vary.
    client
        ``dask.distributed.Client`` of a cluster that sees the files; the result is the same.
    n_workers
        Without a client: processes here, by Dask if more than one.

    Returns
    -------
    xr.Dataset
        Kind ``results``, dims ``(session, setting)``: ``variance_explained``, relative ``error``
        of the factorisation, ``restart_similarity``, mean over the other restarts with the best,
        mean ``n_communities``, ``checkpoint``; the values of the grid as coordinates of
        ``setting``.

    Raises
    ------
    ConfigError
        If there is nothing to do, a setting is unknown, or names or settings repeat.
    MissingDependencyError
        If several workers are asked for without Dask.
    DataError, FileError
        If a session cannot be used; names it. Finished runs stay.
    """
    names = [Path(session).name.split(".")[0] for session in sessions]
    combinations = (dict(zip(grid, values)) for values in itertools.product(*grid.values()))
    configs = [assign(config or ConnectomeConfig(), one) for one in combinations]
    _require_different(names, configs, grid)
    paths, whole = [Path(session).resolve() for session in sessions], Path(folder).resolve()
    pairs = itertools.product(zip(names, paths), configs)
    jobs = [Job(name, path, one, whole / name / uid(one)) for (name, path), one in pairs]
    rows = run_jobs(run_job, jobs, client=client, n_workers=n_workers, label="fitting")
    return add_history(_table(rows, names, list(grid), configs), "sweep", grid=dict(grid))


def _require_different(
    names: Sequence[str], configs: Sequence[ConnectomeConfig], grid: Mapping[str, Sequence[Any]]
) -> None:
    if not names or not configs or len({*names}) < len(names):
        raise ConfigError(
            "a sweep needs sessions of different names and values of each setting",
            found=f"{len(names)} sessions, {len({*names})} names, {dict(grid)}",
        )
    if len({*map(uid, configs)}) < len(configs):
        raise ConfigError("a sweep has the same settings twice", found=dict(grid))


def grid_of(texts: Iterable[str]) -> dict[str, list[str]]:
    """Return values by setting, of texts such as ``rank=3,4``.

    Raises
    ------
    ConfigError
        If a text is something else.

    Examples
    --------
    >>> grid_of(["rank=3,4", "affinity.bandwidth=1", "rank=5"])
    {'rank': ['3', '4', '5'], 'affinity.bandwidth': ['1']}
    """
    grid: dict[str, list[str]] = {}
    for key, values in map(setting, texts):
        grid.setdefault(key, []).extend(value.strip() for value in values.split(","))
    return grid


def run_job(job: Job) -> dict[str, Any]:
    """Fit one session under one setting, or read what was fitted; return its scores.

    Raises
    ------
    DataError, FileError
        If the session cannot be used; names it.
    """
    try:
        return _scores(job)
    except NeurodynError as error:
        place = f"session {job.session}"
        error.where = place if error.where is None else f"{place}, {error.where}"
        raise


def _scores(job: Job) -> dict[str, Any]:
    # the same number of threads everywhere: sums come out in the same order
    with threadpool_limits(1):
        data = open_traces(job.path).traces
        model = _finished(job, traces_digest(data))
        if model is None:
            model = DynamicConnectome(job.config).fit(data, progress=False)
            model.save(job.folder)
        components = model.components_
        return {
            "variance_explained": float(model.score(data)["variance_explained"]),
            "error": float(components.attrs["error"]),
            "restart_similarity": _agreement(components),
            "n_communities": float(components["n_communities"].mean()),
            "checkpoint": model.arrays_digest_,
        }


def _agreement(components: xr.Dataset) -> float:
    """Return how alike the other restarts are to the best, NaN where there are none."""
    others = components["restart_similarity"].drop_isel(restart=components.attrs["best_restart"])
    return float(others.mean())


def _finished(job: Job, digest: str) -> DynamicConnectome | None:
    """Return what was fitted to the same data before."""
    if not (job.folder / MANIFEST).is_file():
        return None
    model = DynamicConnectome.load(job.folder)
    return model if model.data_["digest"] == digest else None


def _table(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    varied: Sequence[str],
    configs: Sequence[ConnectomeConfig],
) -> xr.Dataset:
    shape, dims = (len(names), len(configs)), ("session", "setting")
    variables = {
        name: (dims, np.array([row[name] for row in rows]).reshape(shape))
        for name in (*SCORES, "checkpoint")
    }
    columns = {}
    for name in varied:
        values = np.array([functools.reduce(getattr, name.split("."), one) for one in configs])
        # None among numbers
        text = values.dtype == object
        columns[name.replace(".", "_")] = ("setting", values.astype(str) if text else values)
    coords = {"session": list(names), "setting": [uid(one) for one in configs]}
    return results(variables, {**coords, **columns})
