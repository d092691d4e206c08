"""The verb over many sessions: preprocess."""

from __future__ import annotations

from pathlib import Path

import typer

from neurodyn.cli.output import JSON_OPTION, ON_BAD, OnBad, emit, table

__all__ = ["preprocess", "register"]


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(preprocess)


def preprocess(
    data: list[Path],
    step: list[str] = typer.Option([], help="A verb and its key=value arguments; in their order."),
    folder: Path = typer.Option(Path("preprocessed"), help="Holds a netCDF file per session."),
    workers: int = typer.Option(1, min=1, help="Processes; more than one need Dask."),
    on_bad: OnBad = ON_BAD,
    as_json: bool = JSON_OPTION,
) -> None:
    """Apply the same steps to each session, one file each; goes on if run again.

    Ends with 3 if a session could not be used; the others are done.

    Example: neurodyn preprocess a.nwb b.nwb --step "bin_spikes bin_size=0.02" --workers 2
    """
    from neurodyn import workflow

    found = workflow.preprocess(data, step, folder, on_bad=on_bad, n_workers=workers)
    rows = found.to_dataframe().reset_index().to_dict("records")
    shown = ("session", "status", "fault")
    cells = [[str(row[name]).partition("\n")[0] for name in shown] for row in rows]
    emit(rows, table(cells, shown), as_json)
    if (found["status"] == "faulty").any():
        raise typer.Exit(3)
