"""The verb over a trained model and further data: finetune."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from neurodyn.cli.models import (
    ATLAS,
    DECODE,
    REPETITION_TIME,
    ROIS,
    SETTINGS,
    STRATEGY,
    emit_run,
    given,
)
from neurodyn.cli.output import JSON_OPTION, ON_BAD, OnBad, to_text

__all__ = ["finetune", "register"]


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(finetune)


def finetune(
    run: Path,
    data: list[Path],
    target: str = typer.Option(None, help="Column of --labels, or of --events, to decode."),
    labels: Path = typer.Option(None, help="Table of subjects, such as participants.tsv."),
    events: Path = typer.Option(None, help="Table of events; they are decoded, not the runs."),
    regression: bool = typer.Option(False, help="The target is a number, not a class."),
    group: str = typer.Option("subject", help="Kept together in a fold: subject, family, site."),
    folds: int = typer.Option(5, help="Number of folds; 0 leaves out one group at a time."),
    probe_only: bool = typer.Option(False, help="A linear read-out alone; no fine-tuning."),
    lag: float = typer.Option(6.0, help="From an event to the segment that is decoded [s]."),
    folder: Path = typer.Option(None, help="Folder to write (decoding; finetuned)."),
    seed: int = typer.Option(0, help="Seed of folds and training."),
    decode: list[str] = DECODE,
    share: float = typer.Option(1.0, help="Of the training windows (neuroformer)."),
    freeze: list[str] = typer.Option([], help="A part that stays as it is (neuroformer)."),
    settings: list[str] = SETTINGS,
    resume: bool = typer.Option(False, help="Go on where it was interrupted (neuroformer)."),
    baselines: bool = typer.Option(True, help="Fit the baselines beside it (neuroformer)."),
    as_json: bool = JSON_OPTION,
    on_bad: OnBad = ON_BAD,
    atlas: str = ATLAS,
    repetition_time: float = REPETITION_TIME,
    rois: Path = ROIS,
    strategy: str = STRATEGY,
) -> None:
    """Train a model further: to decode a label of fMRI, or on another session of spikes.

    A BrainMAE decodes the --target, beside the baselines on the same folds. A Neuroformer learns
    the session, with its new units, and decodes the behaviors of --decode.

    Example: neurodyn finetune run derivatives --labels participants.tsv --target diagnosis

    Example: neurodyn finetune run day2.nwb --decode speed --share 0.1 --freeze layers
    """
    from neurodyn.models.run_folder import read_manifest

    command = shlex.join(["neurodyn", *sys.argv[1:]])
    if read_manifest(run).get("estimator") == "neuroformer":
        how = {"decode": decode, "share": share, "frozen": freeze, "settings": settings}
        page = _spikes(run, data, on_bad, folder, {**how, "seed": seed}, resume, baselines, command)
    else:
        reading = {"labels": labels, "events": events, "strategy": strategy, "on_bad": on_bad}
        how = {
            "target": target,
            "examples": "runs" if events is None else "events",
            "task": "regression" if regression else "classification",
            "group": group,
            "n_folds": folds,
            "finetune": not probe_only,
            "lag": lag,
            "seed": seed,
        }
        reading |= given(atlas, repetition_time, rois)
        page = _fmri(run, data, reading, folder, how, command)
    emit_run(page, as_json)


def _spikes(
    run: Path,
    data: list[Path],
    on_bad: OnBad,
    folder: Path | None,
    how: dict[str, Any],
    resume: bool,
    baselines: bool,
    command: str,
) -> Path:
    from neurodyn import workflow

    opened = workflow.open_spikes(workflow.only_file(data, "neuroformer"), on_bad=on_bad)
    chosen: dict[str, Any]
    chosen = {name: tuple(v) if isinstance(v, list) else v for name, v in how.items()}
    return workflow.finetune_neuroformer(
        run,
        opened.recording,
        folder or Path("finetuned"),
        workflow.Finetuning(**chosen),
        resume=resume,
        baselines=baselines,
        notes=opened.notes,
        command=command,
    )


def _fmri(
    run: Path,
    data: list[Path],
    reading: dict[str, Any],
    folder: Path | None,
    how: dict[str, Any],
    command: str,
) -> Path:
    from neurodyn import workflow
    from neurodyn.errors import ConfigError

    if how["target"] is None:
        raise ConfigError("there is nothing to decode", expected="--target, a column of labels")
    opened = workflow.open_bold(data, **reading)
    for note in opened.notes:
        typer.echo(to_text(f"note: {note}"), err=True)
    decoding, place = workflow.Decoding(**how), folder or Path("decoding")
    return workflow.decode(
        opened.recording, run, decoding, place, notes=opened.notes, command=command
    )
