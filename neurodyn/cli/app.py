"""The command and its verbs, how errors become exit codes, and what to do first."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from neurodyn._version import __version__
from neurodyn.cli import (
    connectome,
    data,
    files,
    finetune,
    models,
    nlb,
    preprocess,
    spikes,
    sweep,
    tutorials,
)
from neurodyn.cli.output import to_text
from neurodyn.errors import (
    CheckpointMismatchError,
    ConfigError,
    FileError,
    MissingDependencyError,
    NeurodynError,
    SizeBudgetError,
    TrainingDivergedError,
)

__all__ = ["app", "exit_code", "main"]

FIRST_STEPS = """neurodyn {version}: what dynamics produced this recording?

  neurodyn demo                              simulate, fit, score and report in a few minutes
  neurodyn info SESSION.nwb                  what is in a file, without reading the data
  neurodyn check SESSION.nwb                 every fault of it, and what to do about it
  neurodyn fit langevinflow SESSION.nwb      fit a model beside its baselines; writes a report
  neurodyn fit neuroformer SESSION.nwb       learn to generate its spikes, and decode behavior
  neurodyn simulate RUN SESSION.nwb          let the model go on by itself
  neurodyn fit brainmae RUNS                 learn brain states from fMRI, without labels
  neurodyn finetune RUN RUNS --target AGE    decode labels from them, beside the baselines
  neurodyn connectome TRACES.nwb             who acts together, when, in which animals
  neurodyn tutorial list                     runnable lessons

neurodyn --help lists all verbs; every verb has --help with an example."""

app = typer.Typer(
    name="neurodyn",
    help="From a neural recording to the dynamics that produced it.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (files, preprocess, models, finetune, spikes, connectome, sweep, tutorials):
    module.register(app)
app.add_typer(data.app, name="datasets")
app.add_typer(nlb.app, name="nlb")


@app.callback(invoke_without_command=True)
def start(context: typer.Context, version: bool = typer.Option(False, "--version")) -> None:
    """From a neural recording to the dynamics that produced it."""
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(FIRST_STEPS.format(version=__version__))


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error: 2 usage, 3 bad data, 4 file, 5 diverged, 6 over budget.

    Examples
    --------
    >>> exit_code(SizeBudgetError("too large")), exit_code(ConfigError("unknown key"))
    (6, 2)
    """
    if isinstance(error, SizeBudgetError):
        return 6
    if isinstance(error, TrainingDivergedError):
        return 5
    if isinstance(
        error, ConfigError | MissingDependencyError | CheckpointMismatchError | FileNotFoundError
    ):
        return 2
    if isinstance(error, FileError):
        return 4
    return 3


def main() -> NoReturn:
    """Run the command line; errors are printed without a traceback."""
    try:
        app()
    except (NeurodynError, FileNotFoundError, IsADirectoryError) as error:
        typer.echo(f"{type(error).__name__}: {to_text(error)}", err=True)
        sys.exit(exit_code(error))
    sys.exit(0)
