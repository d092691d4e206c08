"""The same settings over many sessions, here or on a Dask cluster, one run folder for each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from neurodyn.config import assign, uid
from neurodyn.errors import ConfigError
from neurodyn.models.connectome import ConnectomeConfig, DynamicConnectome
from neurodyn.models.connectome.estimator import traces_digest
from neurodyn.models.run_folder import MANIFEST
from neurodyn.provenance import add_history
from neurodyn.recording import results
from neurodyn.training.display import tracked
from neurodyn.workflow.traces import open_traces

__all__ = ["Job", "run_job", "sweep"]

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
        ``dask.distributed.Client``; none: here, one after another, with the same result.

    Returns
    -------
    xr.Dataset
        Kind ``results``, dims ``(session, setting)``: ``variance_explained``, relative ``error``
        of the factorisation, mean ``restart_similarity`` to the best restart, mean
        ``n_communities``, ``checkpoint``; the values of the grid as coordinates of ``setting``.

    Raises
    ------
    ConfigError
        If there is nothing to do, a setting is unknown, or two sessions have one name.
    """
    names = [Path(session).name.split(".")[0] for session in sessions]
    if not names or len({*names}) < len(names) or not all(map(len, grid.values())):
        raise ConfigError(
            "a sweep needs sessions of different names and values of each setting",
            found=f"{len(names)} sessions, {len({*names})} names, {dict(grid)}",
        )
    settings = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    configs = [assign(config or ConnectomeConfig(), one) for one in settings]
    jobs = [
        Job(name, Path(path).resolve(), one, Path(folder).resolve() / name / uid(one))
        for name, path in zip(names, sessions)
        for one in configs
    ]
    if client is None:
        rows = [run_job(job) for job in tracked(jobs, "fitting")]
    else:
        rows = client.gather(client.map(run_job, jobs, pure=False))
    return add_history(_table(rows, names, settings, configs), "sweep", grid=dict(grid))


def run_job(job: Job) -> dict[str, Any]:
    """Fit one session under one setting, or read what was fitted; return its scores."""
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
            "restart_similarity": float(components["restart_similarity"].mean()),
            "n_communities": float(components["n_communities"].mean()),
            "checkpoint": model.arrays_digest_,
        }


def _finished(job: Job, digest: str) -> DynamicConnectome | None:
    """Return what was fitted to the same data before."""
    if not (job.folder / MANIFEST).is_file():
        return None
    model = DynamicConnectome.load(job.folder)
    return model if model.data_["digest"] == digest else None


def _table(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    settings: Sequence[Mapping[str, Any]],
    configs: Sequence[ConnectomeConfig],
) -> xr.Dataset:
    shape, dims = (len(names), len(settings)), ("session", "setting")
    variables = {
        name: (dims, np.array([row[name] for row in rows]).reshape(shape))
        for name in (*SCORES, "checkpoint")
    }
    varied = {
        name.replace(".", "_"): ("setting", np.array([one[name] for one in settings]))
        for name in settings[0]
    }
    coords = {"session": list(names), "setting": [uid(one) for one in configs], **varied}
    return results(variables, coords)
