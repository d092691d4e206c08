"""Verbs over named data sets: datasets list, datasets fetch."""

from __future__ import annotations

from pathlib import Path

import typer

from neurodyn.cli.output import JSON_OPTION, emit, table

__all__ = ["app", "fetch", "list_all"]

app = typer.Typer(help="Named data sets: list them, fetch one.", no_args_is_help=True)


@app.command("list")
def list_all(as_json: bool = JSON_OPTION) -> None:
    """List the named data sets with kind, size and licence.

    Example: neurodyn datasets list
    """
    from neurodyn import config, datasets

    found = [datasets.dataset_info(name) for name in datasets.list_datasets()]
    rows = [(info.name, info.kind, info.licence, info.title) for info in found]
    text = table(rows, ("name", "kind", "licence", "what it is"))
    emit([config.to_dict(info) for info in found], text, as_json)


@app.command()
def fetch(
    name: str,
    folder: Path = typer.Option(None, help="Where to put it; a cache folder if not given."),
) -> None:
    """Download a data set, resuming and checking it; prints licence and citation first.

    Example: neurodyn datasets fetch mc_maze_small
    """
    from neurodyn import datasets

    info = datasets.dataset_info(name)
    typer.echo(f"{info.name}: {info.title}\nlicence: {info.licence}\ncite: {info.citation}")
    for path in datasets.fetch(name, folder):
        typer.echo(f"fetched {path}")
