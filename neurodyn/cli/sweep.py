"""The verb over many settings: of a connectome over sessions, or of a model that is trained."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from neurodyn.cli.output import JSON_OPTION, ON_BAD, OnBad, emit, table

__all__ = ["register", "sweep"]


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(sweep)


def sweep(
    data: list[Path],
    model: str = typer.Option(None, help="Search its settings (langevinflow, gru)."),
    search: str = typer.Option(None, help="How: random, asha or pbt."),
    trials: int = typer.Option(None, help="How many settings a search tries (16)."),
    steps: int = typer.Option(None, help="Training steps of a trial."),
    seed: int = typer.Option(None, help="Seed of a search and of its training (0)."),
    preset: str = typer.Option(None, help="Start a search from known settings."),
    vary: list[str] = typer.Option([], help="key=value,value; a connectome: all combinations."),
    folder: Path = typer.Option(Path("sweep"), help="Holds a run folder for each fit."),
    workers: int = typer.Option(1, min=1, help="Fits at a time; more need Ray or Dask."),
    gpus_per_trial: float = typer.Option(0.0, min=0.0, help="0.25: four trials on each GPU."),
    population: int = typer.Option(None, help="So many trials train as one (random)."),
    cluster: str = typer.Option(None, help="Address of a Ray cluster that sees the folder."),
    config: Path = typer.Option(None, help="TOML file with the settings that do not vary."),
    settings: list[str] = typer.Option([], "--set", help="key=value, such as affinity.kind=rise."),
    bin_size: float = typer.Option(None, help="Of a search: bin width [s] (0.02)."),
    event: str = typer.Option(None, help="Of a search: trial column to align to."),
    window: tuple[float, float] = typer.Option(None, help="Begin and end [s] around the event."),
    on_bad: OnBad = ON_BAD,
    as_json: bool = JSON_OPTION,
) -> None:
    """Try many settings; goes on where it was if run again.

    With --model the settings of a model that is trained in steps are searched on one recording,
    or on a data set by its name, and judged on a part of its training trials. Without it a
    connectome is fitted to each session, one file each, under each combination of --vary.

    Example: neurodyn sweep lorenz --model langevinflow --search asha --trials 16 --workers 2

    Example: neurodyn sweep a.nwb b.nwb --vary rank=3,4 --vary affinity.bandwidth=1,2 --workers 2
    """
    start = _given(preset=preset, seed=seed, steps=steps)
    opening = _given(bin_size=bin_size, event=event, window=window)
    how = _given(method=search, n_trials=trials, population=population)
    where = _given(cluster=cluster, gpus_per_trial=gpus_per_trial or None)
    if model is None:
        _refuse(start | opening | how | where)
        _sweep_connectomes(data, vary, folder, workers, config, settings, as_json)
        return
    start |= {"config": config, "settings": settings}
    options = {**how, **where, "n_workers": workers}
    rows = _searched(model, data, vary, folder, start, {**opening, "on_bad": on_bad}, options)
    text = table([_cells(row.values()) for row in rows], [*rows[0]])
    page = folder / "report.html"
    emit({"report": page, "trials": rows}, f"{text}\n\nwrote {page}", as_json)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _refuse(options: dict[str, Any]) -> None:
    from neurodyn.errors import ConfigError

    if options:
        raise ConfigError(
            "a sweep of connectomes takes no options of a search",
            found=", ".join(f"{name}={value}" for name, value in options.items()),
            hint="--model langevinflow searches the settings of a model",
        )


def _searched(
    model: str,
    data: list[Path],
    vary: list[str],
    folder: Path,
    start: dict[str, Any],
    opening: dict[str, Any],
    options: dict[str, Any],
) -> list[dict[str, Any]]:
    """Search and return a row for each trial, the best first."""
    from neurodyn import workflow
    from neurodyn.report.sweep import ranked
    from neurodyn.workflow.search import open_named_data, search

    seed, steps = start.pop("seed", 0), start.pop("steps", None)
    if steps is not None:
        start["settings"] = [*start["settings"], f"training.n_steps={steps}"]
    plan = workflow.plan([model], seed=seed, **start)[model]
    opened = open_named_data(workflow.only_file(data, model), seed=seed, **opening)
    estimator: Any = plan.model
    found = search(
        estimator,
        opened.train,
        folder,
        vary=workflow.grid_of(vary) or None,
        seed=seed,
        command=shlex.join(["neurodyn", *sys.argv[1:]]),
        **plan.fit_options,
        **options,
    )
    return ranked(found)


def _sweep_connectomes(
    data: list[Path],
    vary: list[str],
    folder: Path,
    workers: int,
    config: Path | None,
    settings: list[str],
    as_json: bool,
) -> None:
    from neurodyn import workflow

    base = workflow.connectome_model(settings, config=config).config
    found = workflow.sweep(
        data, workflow.grid_of(vary), folder, config=base, n_workers=workers
    ).to_dataframe()
    rows = found.reset_index().to_dict("records")
    shown = [str(name) for name in rows[0] if name != "checkpoint"]
    emit(rows, table([_cells(map(row.get, shown)) for row in rows], shown), as_json)


def _cells(values: Iterable[Any]) -> list[Any]:
    return [f"{value:.4g}" if isinstance(value, float) else value for value in values]
