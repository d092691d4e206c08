"""Verbs over models: fit, predict, score, report, demo."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from neurodyn.cli.output import JSON_OPTION, ON_BAD, OnBad, emit

__all__ = ["demo", "fit", "predict", "register", "report", "score"]

FOLDER = typer.Option(Path("run"), help="Run folder to write.")
BIN_SIZE = typer.Option(0.02, help="Bin width [s].")
EVENT = typer.Option(None, help="Trial column to align to.")
WINDOW = typer.Option(None, help="Begin and end [s] around the event.")
CONFIG = typer.Option(None, help="TOML file with the settings.")
SETTINGS = typer.Option([], "--set", help="key=value; training.key=value for the loop.")
SEED = typer.Option(0, help="Seed of held-out units, split and training.")


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    for verb in (fit, predict, score, report, demo):
        app.command()(verb)


def fit(
    model: str,
    data: Path,
    folder: Path = FOLDER,
    preset: str = typer.Option(None, help="Start from the settings known for a data set."),
    config: Path = CONFIG,
    settings: list[str] = SETTINGS,
    bin_size: float = BIN_SIZE,
    event: str = EVENT,
    window: tuple[float, float] = WINDOW,
    seed: int = SEED,
    draws: int = typer.Option(1, help="Settings to try for each model."),
    baselines: bool = typer.Option(True, help="Fit the baselines beside it."),
    resume: bool = typer.Option(False, help="Go on where an interrupted run was."),
    on_bad: OnBad = ON_BAD,
) -> None:
    """Fit a model to a recording beside its baselines, and write a report.

    Example: neurodyn fit langevinflow session.nwb --event go_time --window -0.2 0.5
    """
    from neurodyn import workflow

    opened = workflow.open_data(
        data, bin_size=bin_size, event=event, window=window, seed=seed, on_bad=on_bad
    )
    names = [model, *(workflow.BASELINES if baselines else ())]
    plans = workflow.plan(
        names, preset=preset, config=config, settings=settings, n_draws=draws, seed=seed
    )
    command = shlex.join(["neurodyn", *sys.argv[1:]])
    page = workflow.compare(plans, opened, folder, resume=resume, command=command)
    typer.echo(f"wrote {page}")


def predict(
    run: Path,
    data: Path,
    target: Path = typer.Option(Path("rates.nc"), help="netCDF file to write."),
    event: str = EVENT,
    window: tuple[float, float] = WINDOW,
    on_bad: OnBad = ON_BAD,
) -> None:
    """Infer firing rates of a recording with the model of a run folder.

    Example: neurodyn predict run session.nwb --target rates.nc
    """
    from neurodyn import recording, workflow

    model = workflow.load_model(run)
    counts = workflow.open_counts(
        data, model.context_.bin_size, event=event, window=window, on_bad=on_bad
    ).counts
    typer.echo(f"wrote {recording.save(model.predict(counts), target)}")


def score(
    run: Path,
    data: Path,
    metric: str = typer.Option("co_bps", help="co_bps, fp_bps or held_in_bps."),
    event: str = EVENT,
    window: tuple[float, float] = WINDOW,
    on_bad: OnBad = ON_BAD,
    as_json: bool = JSON_OPTION,
) -> None:
    """Score the model of a run folder on a recording.

    Example: neurodyn score run session.nwb --json
    """
    from neurodyn import workflow

    model = workflow.load_model(run)
    counts = workflow.open_counts(
        data, model.context_.bin_size, event=event, window=window, on_bad=on_bad
    ).counts
    value = float(model.score(workflow.with_held_out(counts, model.context_), metric)[metric])
    emit({metric: value}, f"{metric}: {value:.4f} bits per spike", as_json)


def report(run: Path) -> None:
    """Write the report of a run folder again.

    Example: neurodyn report run
    """
    from neurodyn.models import run_folder
    from neurodyn.report import write_report

    finished = (run / run_folder.MANIFEST).is_file()
    if finished:
        run_folder.read_manifest(run, replaced="report.html")
    typer.echo(f"wrote {write_report(run)}")
    if finished:
        run_folder.commit(run)


def demo(
    folder: Path = typer.Option(Path("demo"), help="Run folder to write."),
    steps: int = typer.Option(None, help="Training steps, instead of the preset's."),
    quick: bool = typer.Option(False, help="A small recording: does it run at all?"),
) -> None:
    """Simulate a Lorenz population as NWB, fit LangevinFlow and its rivals, report.

    Example: neurodyn demo --folder demo
    """
    from neurodyn import workflow

    typer.echo(f"wrote {workflow.demo(folder, n_steps=steps, quick=quick)}")
