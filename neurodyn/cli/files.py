"""Verbs over files: info, check, convert, unpickle."""

from __future__ import annotations

from pathlib import Path

import typer

from neurodyn.cli.output import JSON_OPTION, ON_BAD, OnBad, emit, table, to_text

__all__ = ["check", "convert", "info", "register", "unpickle"]


def register(app: typer.Typer) -> None:
    """Add the verbs of this file."""
    for verb in (info, check, convert, unpickle):
        app.command()(verb)


def info(source: str, as_json: bool = JSON_OPTION) -> None:
    """Say what a recording holds, without reading its data.

    Example: neurodyn info session.nwb
    """
    from neurodyn import io
    from neurodyn import recording as rec
    from neurodyn.io.doctor import inspect

    if not as_json:
        typer.echo(to_text(inspect(source, isolate=True)))
        return
    recording = io.open(source)
    children = {
        f"{kind}/{name}".rstrip("/"): rec.pick(recording, kind, name)
        for kind, names in rec.names(recording).items()
        for name in names
    }
    found = {
        name: {"sizes": dict(ds.sizes), "fault": ds.attrs.get("fault")}
        for name, ds in children.items()
    }
    emit({"attrs": dict(recording.attrs), "children": found}, "", True)


def check(source: str, as_json: bool = JSON_OPTION) -> None:
    """List every fault of a file with its place and remedy.

    Ends with 3 if there is an error, with 4 if the file cannot be read at all.

    Example: neurodyn check session.nwb
    """
    from neurodyn.io.doctor import check as find_faults

    faults = find_faults(source, isolate=True)
    columns = ("severity", "code", "where", "message", "hint")
    rows = [tuple(getattr(fault, name) or "" for name in columns) for fault in faults]
    head = ("severity", "code", "where", "fault", "to go on")
    text = table(rows, head) if rows else f"{source}: no faults found"
    emit([dict(zip(columns, row)) for row in rows], text, as_json)
    if any(fault.code == "unreadable_file" for fault in faults):
        raise typer.Exit(4)
    if any(fault.severity == "error" for fault in faults):
        raise typer.Exit(3)


def convert(source: Path, target: Path, on_bad: OnBad = ON_BAD) -> None:
    """Convert a recording to netCDF (.nc) or NWB (.nwb).

    Example: neurodyn convert session.nwb session.nc
    """
    from neurodyn.io.convert import convert as convert_file

    typer.echo(f"wrote {convert_file(source, target, on_bad=on_bad)}")


def unpickle(source: Path, target: Path, as_json: bool = JSON_OPTION) -> None:
    """Convert a pickle of arrays to .npz, .npy or a folder, in a sandbox.

    Nothing in the pickle is run; ends with 4 if it asks for anything but arrays, numbers, text,
    lists and dictionaries.

    Example: neurodyn unpickle spikes.pkl session.npz
    """
    from neurodyn.io.unpickle import unpickle_to_arrays

    found = unpickle_to_arrays(source, target)
    rows = [(name, " x ".join(map(str, shape)) or "1") for name, shape in found.shapes.items()]
    rows += [(name, "left out: nothing in it") for name in found.left_out]
    values = {"target": found.path, "shapes": found.shapes, "left_out": found.left_out}
    emit(values, f"wrote {found.path}\n{table(rows, ('array', 'shape'))}", as_json)
