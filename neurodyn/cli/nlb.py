"""Verbs of the Neural Latents Benchmark: nlb prepare, nlb submit, nlb score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from neurodyn.cli.output import JSON_OPTION, emit

__all__ = ["app", "prepare", "score", "submit"]

app = typer.Typer(help="Neural Latents Benchmark: tensors, submission, scores.")


@app.command()
def prepare(
    task: str,
    files: list[Path],
    folder: Path = typer.Option(Path("."), help="Where to write the HDF5 files."),
    phase: str = typer.Option("val", help="val or test."),
) -> None:
    """Make the tensors of a task from its NWB files.

    Example: neurodyn nlb prepare mc_maze_small_20 sub-Jenkins_ses-small_desc-train.nwb
    """
    from neurodyn import io, nlb

    recordings = [io.load(path) for path in sorted(files)]
    prepared = nlb.prepare(recordings, nlb.task(task), phase=phase)
    folder.mkdir(parents=True, exist_ok=True)
    for part in prepared:
        if part is not None:
            path = folder / f"{task}_{phase}_{part.role}.h5"
            typer.echo(f"wrote {nlb.write_tensors(path, [part], overwrite=True)}")


@app.command()
def submit(
    run: Path,
    task: str,
    training: Path,
    evaluation: Path,
    target: Path = typer.Option(Path("submission.h5"), help="HDF5 file to write."),
) -> None:
    """Predict with a run's model and write a checked submission file; uploads nothing.

    Example: neurodyn nlb submit run mc_maze_20 training.h5 evaluation.h5
    """
    from neurodyn import nlb, workflow

    declared, model = nlb.task(task), workflow.load_model(run)
    parts = [
        nlb.read_tensors(training, declared)["training"],
        nlb.read_tensors(evaluation, declared)["evaluation"],
    ]
    rates: dict[str, Any] = {}
    for part in parts:
        rates.update(nlb.submission_from(model.predict(nlb.to_counts(part)), part))
    path = nlb.write_submission(target, {declared.name: rates}, parts, overwrite=True)
    typer.echo(f"wrote {path}; nothing was uploaded: the public board closed in January 2026")


@app.command()
def score(
    submission: Path,
    targets: Path = typer.Option(..., help="Target file, made by prepare or published."),
    exact: bool = typer.Option(True, help="psth R2 as nlb_tools; --no-exact guards it."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Score a submission file exactly as nlb_tools.

    Example: neurodyn nlb score submission.h5 --targets mc_maze_20_val_target.h5
    """
    from neurodyn import nlb

    found = nlb.evaluate(targets, submission, exact=exact)
    lines = [
        f"{split}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        for group in found
        for split, scores in group.items()
    ]
    emit(found, "\n".join(lines), as_json)
