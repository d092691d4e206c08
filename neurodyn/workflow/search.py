"""Search for better settings: random, ASHA or population based, here or on Ray Tune.

The files: ``search_plan`` and ``search_space`` plan the trials, ``search_rules`` decides which one
trains next, ``search_trial`` trains it, ``search_control`` brings them together, ``search_ray``
spreads them over machines, ``search_lineage`` remembers, ``search_table`` sums up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn import recording as rec
from neurodyn.config import to_toml
from neurodyn.errors import NeurodynError
from neurodyn.models import run_folder
from neurodyn.models.base import RunConfig
from neurodyn.models.torch_estimator import TorchEstimator
from neurodyn.provenance import (
    add_history,
    atomic_path,
    file_digest,
    now,
    versions,
    write_json,
)
from neurodyn.report import write_report
from neurodyn.training.lock import run_lock
from neurodyn.workflow.data import Data, open_data
from neurodyn.workflow.search_control import Controller, run_here
from neurodyn.workflow.search_lineage import Lineage, Trial
from neurodyn.workflow.search_plan import SearchPlan, plan_search
from neurodyn.workflow.search_ray import run_on_ray
from neurodyn.workflow.search_table import best_of, table_of
from neurodyn.workflow.search_trial import PARTS, with_settings
from neurodyn.workflow.spike_recordings import open_spikes

__all__ = ["open_named_data", "search"]

BEST, LINEAGE, RESULTS = "best.toml", "lineage.jsonl", run_folder.RESULTS


def search(
    model: TorchEstimator[Any],
    data: xr.DataTree | xr.Dataset,
    folder: str | Path,
    *,
    n_workers: int = 1,
    gpus_per_trial: float = 0.0,
    cluster: str | None = None,
    command: str | None = None,
    **planning: Any,
) -> xr.Dataset:
    """Train an estimator under different settings and rank them by a validation score.

    The first trial is the estimator as it is. A search that was broken off goes on when it is
    called again; one that is complete is only read.

    Parameters
    ----------
    model, data
        The start of the search, and training counts; evaluation data have no place here.
    folder
        Holds ``lineage.jsonl``, a run folder for each trial, and in the end ``results.nc``,
        ``best.toml`` and ``report.html``. All workers have to see it.
    n_workers, gpus_per_trial, cluster
        As in :func:`neurodyn.workflow.search_ray.run_on_ray`; one worker needs no Ray.
    command
        For the report.
    **planning
        ``method``, ``n_trials``, ``training``, ``validation``, ``vary``, ``population`` and
        ``seed`` of :func:`neurodyn.workflow.search_plan.plan_search`.

    Returns
    -------
    xr.Dataset
        As :func:`neurodyn.workflow.search_table.table_of`.

    Raises
    ------
    CheckpointMismatchError
        If the folder holds another search.
    MissingDependencyError
        If Ray is needed and missing.
    NeurodynError
        If a trial cannot go on, or all of them failed; as planning does.
    """
    plan = plan_search(model, data, **planning)
    folder = Path(folder)
    with run_lock(folder), closing(_begun(folder, plan)) as lineage:
        control = Controller(folder, lineage, plan)
        if n_workers == 1 and cluster is None:
            run_here(control)
        else:
            run_on_ray(control, n_workers, gpus_per_trial=gpus_per_trial, cluster=cluster)
        control.finish()
        return _written(folder, plan, lineage.trials, command)


def open_named_data(source: str | Path, **opening: Any) -> Data:
    """Open a recording for fitting and judging; also one that is known by name.

    Parameters
    ----------
    source
        A file, or the name of a data set, which is simulated or read, never downloaded.
    **opening
        Of :func:`neurodyn.workflow.open_data`.

    Raises
    ------
    ConfigError
        For a word that is neither a file nor a data set.
    DataError, FileError
        As opening does.
    """
    if Path(source).exists() or not str(source).isidentifier():
        return open_data(source, **opening)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{source}.nc"
        return open_data(rec.save(open_spikes(source).recording, path), **opening)


def _begun(folder: Path, plan: SearchPlan) -> Lineage:
    """Return the lineage of a search, with its trials planned and its data in the folder."""
    told = {"versions": versions(), "written": now()}
    run_folder.begin(folder)
    lineage = Lineage(folder / LINEAGE, {**plan.about, **told})
    fresh = not lineage.trials
    for name, part in zip(PARTS, plan.parts):
        path = folder / f"{name}.nc"
        if fresh or not path.is_file():
            rec.save(part, path)
    width = len(str(len(plan.settings) - 1))
    for index, settings in enumerate(plan.settings):
        name = f"{index:0{width}d}"
        if name not in lineage.trials:
            _, training = with_settings(plan.model, plan.training, settings)
            group, member = divmod(index, plan.population)
            shared = {"run": f"population_{group}/member_{member}"} if plan.population > 1 else {}
            seed = training.seed
            lineage.record("plan", trial=name, settings=settings, seed=seed, **shared)
    return lineage


def _written(
    folder: Path, plan: SearchPlan, trials: Mapping[str, Trial], command: str | None
) -> xr.Dataset:
    """Write results, the best settings and the report; return the results."""
    mode, monitor = plan.training.monitor_mode, plan.training.monitor
    best = best_of(trials, mode)
    if best is None:
        raise NeurodynError(
            "no trial of the search has a score",
            where=folder / LINEAGE,
            found=next((t.error for t in trials.values() if t.error), "nothing was validated"),
        )
    told = {name: plan.about[name] for name in ("estimator", "method", "seed")}
    table = table_of(trials, plan.space, mode, metric=monitor, **told)
    table = add_history(table, "search", **{**told, "n_trials": len(trials)})
    rec.save(table, folder / RESULTS)
    model, training = with_settings(plan.model, plan.start, best.settings)
    config = RunConfig(estimator=model.name, model=model.config, training=training)
    with atomic_path(folder / BEST) as temporary:
        temporary.write_text(to_toml(config), encoding="utf-8")
    _commit(folder, estimator=model.name, seed=plan.about["seed"], command=command)
    write_report(folder, title=f"{model.name}: search of settings")
    return table


def _commit(folder: Path, **info: Any) -> None:
    """Write the manifest of a search; its trials have their own."""
    names = (LINEAGE, RESULTS, BEST, *(f"{part}.nc" for part in PARTS))
    files = {name: file_digest(folder / name) for name in names}
    known = {name: value for name, value in info.items() if value is not None}
    fresh = {"format": run_folder.FORMAT, "written": now(), "versions": versions()}
    write_json(folder / run_folder.MANIFEST, {**fresh, "files": files, **known})
