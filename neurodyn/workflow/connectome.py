"""A dynamic connectome from files to a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.config import assign, from_toml
from neurodyn.errors import ConfigError, DegenerateInputError
from neurodyn.io.faults import OnBad
from neurodyn.models.base import RunConfig
from neurodyn.models.connectome import (
    ConnectomeConfig,
    DynamicConnectome,
    attribute,
    rank_scan,
    stages,
)
from neurodyn.models.connectome.assembly import node_dim_of
from neurodyn.workflow.finish import finish, write_beside
from neurodyn.workflow.plans import setting
from neurodyn.workflow.traces import TraceData

__all__ = ["connectome", "connectome_model", "stage_windows"]

N_STAGES = 4
RANKS = tuple(range(1, 9))


def connectome(
    data: TraceData,
    folder: str | Path,
    model: DynamicConnectome | None = None,
    *,
    ranks: Sequence[int] = RANKS,
    title: str | None = None,
    command: str | None = None,
) -> Path:
    """Fit a dynamic connectome, attribute it to stimuli, follow it over stages, report.

    Parameters
    ----------
    data
        Traces and stimuli, see :func:`open_traces`.
    folder
        Run folder. ``results.nc`` holds components, communities and attribution,
        ``rank_scan.nc`` the scan, ``stages.nc`` the graphs of the stages, ``stimuli.nc`` the
        stimuli.
    model
        Settings; the defaults if not given.
    ranks
        For the scan beside it; empty: no scan.
    title, command
        For the report.

    Returns
    -------
    Path
        ``report.html``.

    Raises
    ------
    DataError
        If traces or stimuli cannot be used.
    """
    fitted = (model or DynamicConnectome()).clone().fit(data.traces)
    seed = fitted.config.factorisation.seed
    components, notes = _attributed(fitted.components_, data.stimuli)
    others = {
        "rank_scan": rank_scan(fitted.affinity(data.traces), ranks, seed=seed) if ranks else None,
        "stages": stages(components, stage_windows(components, data.stimuli)),
        "stimuli": data.stimuli,
    }
    explained = float(fitted.score(data.traces)["variance_explained"])
    folder = fitted.save(folder)
    write_beside(folder, others)
    row = {"model": "connectome", "metric": "variance_explained", "score": explained}
    metrics = {"headline": "connectome", "scores": [row], "notes": [*_notes(data, fitted), *notes]}
    return finish(folder, components, metrics, title=title, command=command)


def _attributed(components: xr.Dataset, stimuli: xr.Dataset | None) -> tuple[xr.Dataset, list[str]]:
    """Return components with what the stimuli explain of them, or why that cannot be told."""
    if stimuli is None:
        return components, []
    try:
        found = attribute(components, stimuli)
    except DegenerateInputError as error:
        return components, [f"Stimuli were not attributed: {error.what}, {error.found}."]
    return components.merge(found, join="exact", combine_attrs="override"), []


def connectome_model(
    settings: Iterable[str] = (), *, config: str | Path | None = None, on_bad: OnBad = "raise"
) -> DynamicConnectome:
    """Return an unfitted connectome from a file of settings and from ``key=value``.

    Parameters
    ----------
    settings
        Such as ``affinity.bandwidth=1.0``; they go before the file.
    config
        ``config.toml`` of a run folder.
    on_bad
        ``drop`` leaves traces out that are missing for a while; anything else refuses them.

    Raises
    ------
    ConfigError
        For an unknown setting, or a file about another model.

    Examples
    --------
    >>> connectome_model(["rank=4"])
    DynamicConnectome(rank=4)
    """
    start = ConnectomeConfig()
    if config is not None:
        run = from_toml(RunConfig, config)
        if run.estimator != DynamicConnectome.name:
            raise ConfigError("the file is about another model", where=config, found=run.estimator)
        start = assign(start, run.model)
    chosen = dict(setting(text) for text in settings)
    policy = {"on_bad": "drop"} if on_bad == "drop" else {}
    return DynamicConnectome(assign(start, {**policy, **chosen}))


def stage_windows(
    components: xr.Dataset, stimuli: xr.Dataset | None
) -> list[tuple[str, float, float]]:
    """Return the stages of an experiment: segments, else stimuli and what precedes, else quarters.

    Examples
    --------
    >>> from neurodyn.recording import results
    >>> components = results({}, {"time": np.arange(8.0)})
    >>> stage_windows(components, None)[0]
    ('0 to 2 s', 0.0, 2.0)
    """
    time = components["time"].values
    step = float(np.median(np.diff(time)))
    end = float(time[-1]) + step
    if "segment" in components.coords:
        names = components["segment"].values
        starts = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
        edges = [*time[starts].tolist(), end]
        labels = [str(names[index]) for index in starts]
    elif stimuli is not None:
        first = stimuli.isel(trial=np.unique(stimuli["start"].values, return_index=True)[1])
        begins = first["start"].values.tolist()
        edges = [float(time[0]), *begins, end]
        labels = ["before", *map(str, first["stimulus"].values)]
    else:
        edges = np.linspace(float(time[0]), end, N_STAGES + 1).tolist()
        labels = [f"{a:g} to {b:g} s" for a, b in zip(np.round(edges, 1), np.round(edges[1:], 1))]
    found = list(zip(labels, edges[:-1], edges[1:]))
    return [stage for stage in found if ((time >= stage[1]) & (time < stage[2])).any()]


def _notes(data: TraceData, fitted: DynamicConnectome) -> list[str]:
    dim = node_dim_of(fitted.components_)
    notes: list[Any] = [*data.notes]
    for name, number in fitted.data_.get("quality", {}).items():
        notes.append(f"{name.replace('_', ' ')}: {number}, left out in their animal.")
    n_unseen = int(fitted.components_["pair_factor"].isnull().any("component").sum()) // 2
    if n_unseen:
        notes.append(f"{n_unseen} pairs of {dim} have no data in any animal: they are missing.")
    alone = (fitted.components_["community"] < 0).all("component").values
    if alone.any():
        names = ", ".join(map(str, fitted.components_[dim].values[alone]))
        notes.append(f"in no community, as no animal has data of a pair of it: {names}.")
    notes.append(
        f"The number of components, {fitted.config.rank}, was given, not found: the rank scan"
        " shows what speaks for each."
    )
    return notes
