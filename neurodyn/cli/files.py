"""Verbs over files: info, check, convert."""

from __future__ import annotations

from pathlib import Path

import typer

from neurodyn.cli.output import JSON_OPTION, ON_BAD, OnBad, emit, table

__all__ = ["check", "convert", "info", "register"]


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    for verb in (info, check, convert):
        app.command()(verb)


def info(path: Path, as_json: bool = JSON_OPTION) -> None:
    """Say what a recording holds, without reading its data.

    Example: neurodyn info session.nwb
    """
    from neurodyn import io
    from neurodyn import recording as rec

    recording = io.open(path)
    values = {
        "attrs": dict(recording.attrs),
        "children": {
            f"{kind}/{name}".rstrip("/"): {
                "sizes": dict(rec.pick(recording, kind, name).sizes),
                "fault": rec.pick(recording, kind, name).attrs.get("fault"),
            }
            for kind, names in rec.names(recording).items()
            for name in names
        },
    }
    emit(values, rec.describe(recording), as_json)


def check(path: Path, as_json: bool = JSON_OPTION) -> None:
    """List every fault of a file with its place and remedy; exit 3 if there is an error.

    Example: neurodyn check session.nwb
    """
    from neurodyn.io.doctor import check as find_faults

    faults = find_faults(path)
    rows = [(fault.severity, fault.where, fault.message, fault.hint or "") for fault in faults]
    head = ("severity", "where", "fault", "to go on")
    values = [dict(zip(("severity", "where", "message", "hint"), row)) for row in rows]
    emit(values, table(rows, head) if rows else f"{path}: no faults found", as_json)
    if any(fault.severity == "error" for fault in faults):
        raise typer.Exit(3)


def convert(source: Path, target: Path, on_bad: OnBad = ON_BAD) -> None:
    """Convert a recording to netCDF (.nc) or NWB (.nwb).

    Example: neurodyn convert session.nwb session.nc
    """
    from neurodyn.io.convert import convert as convert_file

    typer.echo(f"wrote {convert_file(source, target, on_bad=on_bad)}")
