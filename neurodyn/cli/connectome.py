"""The verb over traces: connectome."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from neurodyn.cli.output import ON_BAD, OnBad, to_text

__all__ = ["connectome", "register"]


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(connectome)


def connectome(
    data: list[Path],
    folder: Path = typer.Option(Path("connectome"), help="Run folder to write."),
    rank: int = typer.Option(None, help="Components (5); the scan in the report helps."),
    bandwidth: float = typer.Option(None, help="Of derivatives [s] (2): the indicator's rise."),
    scan: int = typer.Option(8, help="Highest rank of the scan; 0: no scan."),
    name: str = typer.Option(None, help="Which signal, if a file holds several."),
    sampling_rate: float = typer.Option(None, help="[Hz], for files that do not say."),
    config: Path = typer.Option(None, help="TOML file with the settings."),
    settings: list[str] = typer.Option([], "--set", help="key=value, such as affinity.kind=rise."),
    on_bad: OnBad = ON_BAD,
) -> None:
    """Find which nodes act together, when, and in which animals; one file for each animal.

    Example: neurodyn connectome worm1.nwb worm2.nwb --rank 4 --folder run
    """
    from neurodyn import workflow

    named = {"rank": rank, "affinity.bandwidth": bandwidth}
    given = [f"{key}={value}" for key, value in named.items() if value is not None]
    model = workflow.connectome_model([*given, *settings], config=config, on_bad=on_bad)
    reading = {} if sampling_rate is None else {"sampling_rate": sampling_rate}
    opened = workflow.open_traces(data, name=name, on_bad=on_bad, **reading)
    for note in opened.notes:
        typer.echo(to_text(f"note: {note}"), err=True)
    command = shlex.join(["neurodyn", *sys.argv[1:]])
    page = workflow.connectome(opened, folder, model, ranks=range(1, scan + 1), command=command)
    typer.echo(f"wrote {page}")
