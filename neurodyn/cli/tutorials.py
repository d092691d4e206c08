"""Verbs over tutorials: tutorial list, tutorial run."""

from __future__ import annotations

import runpy
from pathlib import Path

import typer

from neurodyn.errors import ConfigError, suggest

__all__ = ["list_all", "register", "run"]

app = typer.Typer(help="Runnable lessons: list them, run one.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the verbs of this file."""
    parent.add_typer(app, name="tutorial")


@app.command("list")
def list_all() -> None:
    """List the tutorials.

    Example: neurodyn tutorial list
    """
    for number, path in _tutorials().items():
        title = path.read_text(encoding="utf-8").split("\n")[1]
        typer.echo(f"{number}  {title}")


@app.command()
def run(number: str) -> None:
    """Run a tutorial; its figures go to the current folder.

    Example: neurodyn tutorial run 01
    """
    known = _tutorials()
    if number not in known:
        raise ConfigError(f"no tutorial {number!r}", hint=suggest(number, known))
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    runpy.run_path(str(known[number]), run_name="__main__")
    for figure in plt.get_fignums():
        name = f"tutorial_{number}_figure_{figure}.png"
        plt.figure(figure).savefig(name, dpi=150)
        typer.echo(f"wrote {name}")
    plt.close("all")


def _tutorials() -> dict[str, Path]:
    from neurodyn.datasets import shipped

    return {path.name[:2]: path for path in sorted(shipped("tutorials").glob("[0-9][0-9]_*.py"))}
