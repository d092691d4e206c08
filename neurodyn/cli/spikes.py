"""Verbs over a run that models spikes: simulate, decode, connectivity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from neurodyn.cli.output import JSON_OPTION, ON_BAD, OnBad, emit, rows_table, to_text

__all__ = ["connectivity", "decode", "register", "simulate"]

MEASURES = "deletion, deletion_log_rate, attention or gradient_attention."


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    for verb in (simulate, decode, connectivity):
        app.command()(verb)


def simulate(
    run: Path,
    data: Path,
    out: Path = typer.Option(Path("generated.nc"), help="netCDF file to write."),
    samples: int = typer.Option(1, min=1, help="How often to go through the recording."),
    seed: int = typer.Option(0, help="Seed of the draws."),
    past: str = typer.Option("generated", help="What is read: generated or true."),
    burn_in: float = typer.Option(None, help="Generated first and left out [s]."),
    segment: float = typer.Option(None, help="Cut longer stretches, side by side [s]."),
    temperature: float = typer.Option(1.0, help="Below 1 is less random."),
    top_p: float = typer.Option(1.0, help="Keep the likeliest up to this probability."),
    on_bad: OnBad = ON_BAD,
    as_json: bool = JSON_OPTION,
) -> None:
    """Let a fitted model generate spikes through the time of a recording.

    Prints how far they are from the recorded ones, beside two halves of the recording.

    Example: neurodyn simulate run session.nwb --out generated.nc --samples 5
    """
    from neurodyn import workflow
    from neurodyn.errors import one_of
    from neurodyn.models.neuroformer.generation import Sampling

    one_of("past", past, ("generated", "true"))
    chosen: Any = past
    drawn = Sampling(bin_temperature=temperature, unit_temperature=temperature, top_p=top_p)
    found = workflow.simulate_run(
        run,
        workflow.open_spikes(data, on_bad=on_bad),
        out,
        n_samples=samples,
        seed=seed,
        past=chosen,
        burn_in=burn_in,
        segment=segment,
        sampling=drawn,
    )
    _emit(found, "generation", as_json)


def decode(
    run: Path,
    data: Path,
    out: Path = typer.Option(Path("decoded.nc"), help="netCDF file to write."),
    on_bad: OnBad = ON_BAD,
    as_json: bool = JSON_OPTION,
) -> None:
    """Decode behavior by a fitted model, beside ridge regression on folds of the same data.

    Example: neurodyn decode run session.nwb
    """
    from neurodyn import workflow

    found = workflow.decode_run(run, workflow.open_spikes(data, on_bad=on_bad), out)
    _emit(found, "decoding", as_json)


def connectivity(
    run: Path,
    data: Path,
    out: Path = typer.Option(None, help="netCDF file; if not given, run and report get it."),
    measure: str = typer.Option("deletion", help=MEASURES),
    lag: float = typer.Option(None, help="Longest lag [s]: 0.01, or a bin."),
    bootstrap: int = typer.Option(500, min=0, help="Draws for the intervals of scores."),
    truth: Path = typer.Option(None, help="netCDF file with weight (unit, unit_to)."),
    seed: int = typer.Option(0, help="Seed of the draws."),
    on_bad: OnBad = ON_BAD,
    as_json: bool = JSON_OPTION,
) -> None:
    """Infer who drives whom by a fitted model, beside correlations at a lag.

    The truth about a simulated recording is found beside its file.

    Example: neurodyn connectivity run hub_network --measure deletion
    """
    from neurodyn import workflow

    chosen: Any = measure
    found = workflow.connectivity_run(
        run,
        workflow.open_spikes(data, on_bad=on_bad),
        out,
        measure=chosen,
        lag=lag,
        n_bootstrap=bootstrap,
        truth=truth,
        seed=seed,
    )
    _emit(found, "connectivity", as_json)


def _emit(found: Mapping[str, Any], rows: str, as_json: bool) -> None:
    """Print rows of results beside their baselines, what a reader must know, and the files."""
    for note in () if as_json else found["notes"]:
        typer.echo(to_text(f"note: {note}"), err=True)
    tables = [rows_table(found[rows])] if found[rows] else []
    written = [f"wrote {found[name]}" for name in ("file", "report") if name in found]
    emit(found, "\n".join([*tables, *written]), as_json)
