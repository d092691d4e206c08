"""The verb over sessions and settings: sweep."""

from __future__ import annotations

from pathlib import Path

import typer

from neurodyn.cli.output import JSON_OPTION, emit, table

__all__ = ["register", "sweep"]


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(sweep)


def sweep(
    data: list[Path],
    vary: list[str] = typer.Option([], help="key=value,value: all combinations are fitted."),
    folder: Path = typer.Option(Path("sweep"), help="Holds a run folder for each fit."),
    workers: int = typer.Option(1, min=1, help="Processes; more than one need Dask."),
    config: Path = typer.Option(None, help="TOML file with the settings that do not vary."),
    settings: list[str] = typer.Option([], "--set", help="key=value, such as affinity.kind=rise."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Fit a connectome to each session, one file each, under each setting; goes on if run again.

    Example: neurodyn sweep a.nwb b.nwb --vary rank=3,4 --vary affinity.bandwidth=1,2 --workers 2
    """
    from neurodyn import workflow

    base = workflow.connectome_model(settings, config=config).config
    found = workflow.sweep(
        data, workflow.grid_of(vary), folder, config=base, n_workers=workers
    ).to_dataframe()
    rows = found.reset_index().to_dict("records")
    shown = [str(name) for name in rows[0] if name != "checkpoint"]
    cells = [
        [f"{v:.4g}" if isinstance(v, float) else v for v in map(row.get, shown)] for row in rows
    ]
    emit(rows, table(cells, shown), as_json)
