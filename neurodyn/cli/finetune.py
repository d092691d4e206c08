"""The verb over labelled fMRI: finetune."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from neurodyn.cli.models import ATLAS, REPETITION_TIME, ROIS, STRATEGY, given
from neurodyn.cli.output import ON_BAD, OnBad, to_text

__all__ = ["finetune", "register"]


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(finetune)


def finetune(
    run: Path,
    data: list[Path],
    target: str = typer.Option(..., help="Column of --labels, or of --events, to decode."),
    labels: Path = typer.Option(None, help="Table of subjects, such as participants.tsv."),
    events: Path = typer.Option(None, help="Table of events; they are decoded, not the runs."),
    regression: bool = typer.Option(False, help="The target is a number, not a class."),
    group: str = typer.Option("subject", help="Kept together in a fold: subject, family, site."),
    folds: int = typer.Option(5, help="Number of folds; 0 leaves out one group at a time."),
    probe_only: bool = typer.Option(False, help="A linear read-out alone; no fine-tuning."),
    lag: float = typer.Option(6.0, help="From an event to the segment that is decoded [s]."),
    folder: Path = typer.Option(Path("decoding"), help="Folder to write."),
    seed: int = typer.Option(0, help="Seed of folds and training."),
    on_bad: OnBad = ON_BAD,
    atlas: str = ATLAS,
    repetition_time: float = REPETITION_TIME,
    rois: Path = ROIS,
    strategy: str = STRATEGY,
) -> None:
    """Decode a label by a pre-trained BrainMAE, beside the baselines on the same folds.

    Example: neurodyn finetune run derivatives --labels participants.tsv --target diagnosis
    """
    from neurodyn import workflow

    opened = workflow.open_bold(
        data,
        labels=labels,
        events=events,
        strategy=strategy,
        on_bad=on_bad,
        **given(atlas, repetition_time, rois),
    )
    for note in opened.notes:
        typer.echo(to_text(f"note: {note}"), err=True)
    decoding = workflow.Decoding(
        target=target,
        examples="runs" if events is None else "events",
        task="regression" if regression else "classification",
        group=group,
        n_folds=folds,
        finetune=not probe_only,
        lag=lag,
        seed=seed,
    )
    command = shlex.join(["neurodyn", *sys.argv[1:]])
    page = workflow.decode(
        opened.recording, run, decoding, folder, notes=opened.notes, command=command
    )
    typer.echo(f"wrote {page}")
