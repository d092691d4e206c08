"""Verbs over models: fit, predict, score, report, demo."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from neurodyn.cli.output import JSON_OPTION, ON_BAD, OnBad, emit, rows_table

__all__ = [
    "ATLAS",
    "DECODE",
    "REPETITION_TIME",
    "ROIS",
    "SETTINGS",
    "STRATEGY",
    "demo",
    "emit_run",
    "fit",
    "given",
    "predict",
    "register",
    "report",
    "score",
]

FOLDER = typer.Option(Path("run"), help="Run folder to write.")
BIN_SIZE = typer.Option(None, help="Bin width [s] (0.02; of neuroformer its preset's).")
EVENT = typer.Option(None, help="Trial column to align to.")
WINDOW = typer.Option(None, help="Begin and end [s] around the event.")
CONFIG = typer.Option(None, help="TOML file with the settings.")
SETTINGS = typer.Option([], "--set", help="key=value; training.key=value for the loop.")
DECODE = typer.Option([], help="A behavior to decode (neuroformer).")
SEED = typer.Option(0, help="Seed of held-out units, split and training.")
ATLAS = typer.Option(None, help="Of fMRI images: a label image, or power264 and the like.")
REPETITION_TIME = typer.Option(None, help="[s], of fMRI files that do not say.")
ROIS = typer.Option(None, help="Table of regions: names, networks, MNI centroids.")
STRATEGY = typer.Option(None, help="Of nilearn, to clean derivatives: simple, scrubbing, ...")


def given(atlas: str | None, repetition_time: float | None, rois: Path | None) -> dict[str, Any]:
    """Return the options of an fMRI reader that were given."""
    named = {"atlas": atlas, "repetition_time": repetition_time, "rois": rois}
    return {name: value for name, value in named.items() if value is not None}


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    for verb in (fit, predict, score, report, demo):
        app.command()(verb)


def fit(
    model: str,
    data: list[Path],
    folder: Path = FOLDER,
    preset: str = typer.Option(None, help="Start from the settings known for a data set or size."),
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
    atlas: str = ATLAS,
    repetition_time: float = REPETITION_TIME,
    rois: Path = ROIS,
    strategy: str = STRATEGY,
    decode: list[str] = DECODE,
    read: list[str] = typer.Option([], help="A behavior to read (neuroformer)."),
    stimulus: str = typer.Option(None, help="A signal to read, such as a movie (neuroformer)."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Fit a model to a recording beside its baselines, and write a report.

    Spiking models take one recording; brainmae takes fMRI runs, or a folder of derivatives.
    Neuroformer takes the name of a simulated data set, too.

    Example: neurodyn fit langevinflow session.nwb --event go_time --window -0.2 0.5

    Example: neurodyn fit neuroformer session.nwb --decode speed --set training.n_steps=3000

    Example: neurodyn fit brainmae derivatives --atlas atlas.nii.gz --strategy simple
    """
    from neurodyn.errors import ConfigError

    how = {"preset": preset, "config": config, "settings": settings, "seed": seed}
    run = {"folder": folder, "resume": resume, "command": shlex.join(["neurodyn", *sys.argv[1:]])}
    if model == "neuroformer":
        reads = {"read": read, "decode": decode, "stimulus": stimulus}
        page = _fit_neuroformer(data, on_bad, bin_size, {**how, **reads}, baselines, run)
    elif decode or read or stimulus:
        raise ConfigError(f"{model} takes no --decode, --read or --stimulus")
    elif model == "brainmae":
        reading = {"strategy": strategy, **given(atlas, repetition_time, rois)}
        page = _fit_brainmae(data, on_bad, reading, how, run)
    else:
        opening = {"bin_size": bin_size or 0.02, "event": event, "window": window, "seed": seed}
        page = _fit_counts(model, data, on_bad, opening, {**how, "n_draws": draws}, baselines, run)
    emit_run(page, as_json)


def _fit_neuroformer(
    data: list[Path],
    on_bad: OnBad,
    bin_size: float | None,
    how: dict[str, Any],
    baselines: bool,
    run: dict[str, Any],
) -> Path:
    from neurodyn import workflow

    opened = workflow.open_spikes(workflow.only_file(data, "neuroformer"), on_bad=on_bad)
    width = [] if bin_size is None else [f"bin_size={bin_size}"]
    settings = [*width, *how.pop("settings")]
    plan = workflow.neuroformer_plan(settings, data=opened.recording, **how)
    recording, notes = opened.recording, opened.notes
    return workflow.fit_neuroformer(recording, plan=plan, baselines=baselines, notes=notes, **run)


def _fit_brainmae(
    data: list[Path],
    on_bad: OnBad,
    reading: dict[str, Any],
    how: dict[str, Any],
    run: dict[str, Any],
) -> Path:
    from neurodyn import workflow

    opened = workflow.open_bold(data, on_bad=on_bad, **reading)
    plan = workflow.brainmae_plan(**how)
    return workflow.pretrain(opened.recording, plan=plan, notes=opened.notes, **run)


def _fit_counts(
    model: str,
    data: list[Path],
    on_bad: OnBad,
    opening: dict[str, Any],
    how: dict[str, Any],
    baselines: bool,
    run: dict[str, Any],
) -> Path:
    from neurodyn import workflow

    counts = workflow.open_data(workflow.only_file(data, model), on_bad=on_bad, **opening)
    plans = workflow.plan([model, *(workflow.BASELINES if baselines else ())], **how)
    return workflow.compare(plans, counts, **run)


def emit_run(page: Path, as_json: bool) -> None:
    """Print where a report is, and the results of its run beside those of the baselines."""
    from neurodyn.models.run_folder import METRICS

    metrics = json.loads((page.parent / METRICS).read_text(encoding="utf-8"))
    rows = [metrics.get(name) for name in ("likelihood", "generation", "decoding")]
    # of another kind of model, whose rows the report shows
    tables = [rows_table(own) for own in rows if own and "likelihood" in metrics]
    emit({"report": page, **metrics}, "\n\n".join([*tables, f"wrote {page}"]), as_json)


def predict(
    run: Path,
    data: list[Path],
    target: Path = typer.Option(Path("predicted.nc"), help="netCDF file to write."),
    event: str = EVENT,
    window: tuple[float, float] = WINDOW,
    on_bad: OnBad = ON_BAD,
    atlas: str = ATLAS,
    repetition_time: float = REPETITION_TIME,
    rois: Path = ROIS,
) -> None:
    """Apply the model of a run folder: firing rates, or fMRI told from the other regions.

    Example: neurodyn predict run session.nwb --target rates.nc
    """
    from neurodyn import recording, workflow
    from neurodyn.models import registry

    model: Any = registry.load(run)
    source: Any = workflow.inputs_for(
        model,
        data,
        event=event,
        window=window,
        on_bad=on_bad,
        **given(atlas, repetition_time, rois),
    )
    typer.echo(f"wrote {recording.save(model.predict(source), target)}")


def score(
    run: Path,
    data: list[Path],
    metric: str = typer.Option(None, help="co_bps, held_in_bps; bits_per_spike; masked_r2; ..."),
    event: str = EVENT,
    window: tuple[float, float] = WINDOW,
    on_bad: OnBad = ON_BAD,
    atlas: str = ATLAS,
    repetition_time: float = REPETITION_TIME,
    rois: Path = ROIS,
    as_json: bool = JSON_OPTION,
) -> None:
    """Score the model of a run folder on recordings.

    Example: neurodyn score run session.nwb --json
    """
    from neurodyn import workflow
    from neurodyn.models import registry

    model: Any = registry.load(run)
    source: Any = workflow.inputs_for(
        model,
        data,
        event=event,
        window=window,
        on_bad=on_bad,
        **given(atlas, repetition_time, rois),
    )
    if model.data_kind == "counts":
        source = workflow.with_held_out(source, model.context_)
    found = model.score(source) if metric is None else model.score(source, metric)
    values = {str(name): float(v) for name, v in found.data_vars.items() if v.ndim == 0}
    lines = [
        f"{name}: {value:.4f} {found[name].attrs.get('units', '')}".rstrip()
        for name, value in values.items()
    ]
    emit(values, "\n".join(lines), as_json)


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
