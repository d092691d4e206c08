"""What NWB has no place for: attributes and labels of a recording, as JSON in ``/scratch``."""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np
import xarray as xr

from neurodyn.io.containment import BROKEN
from neurodyn.io.nwb.naming import scalar_text
from neurodyn.recording import validate
from neurodyn.recording.store import decode_attr, encode_attr

__all__ = ["NAME", "Sidecar", "collect"]

NAME = "neurodyn"
LARGEST = 10_000_000
# said by the file itself, or true of one file only
OWN_ATTRS = {"kind", "tick_hz", "name", "source_path", "neurodata_type", "quality", "fault"} | {
    "sampling_rate",
    "stored_dtype",
    "description",
    "comments",
}
OWN_ROOT = {"neurodyn_schema", "source", "digest", "nwb_version", "unread", "quality"}
SESSION = ("subject", "species", "session_id", "session_start")
LABELLED = {"signal": ("channel", "roi"), "behavior": ("feature",)}


class Sidecar:
    """The JSON of one file; empty if the file has none, or none that can be read."""

    def __init__(self, file: h5py.File) -> None:
        self.content: dict[str, Any] = {}
        try:
            text = scalar_text(file, f"scratch/{NAME}") if "scratch" in file else ""
            content = json.loads(text) if 0 < len(text) < LARGEST else {}
            if isinstance(content, dict):
                self.content = content
        except (*BROKEN, RecursionError):
            return

    def root(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return root attributes with what the sidecar adds; without what NWB demanded."""
        given = self.content.get("given", SESSION)
        kept = {name: v for name, v in attrs.items() if name not in SESSION or name in given}
        try:
            return {**kept, **_decoded(self.content["root"], OWN_ROOT | set(SESSION))}
        except (*BROKEN, AttributeError):
            return attrs

    def child(self, path: str, ds: xr.Dataset) -> xr.Dataset:
        """Return a child with the attributes and labels that the sidecar has for it.

        Labels that do not fit are passed over: the file itself says enough.
        """
        try:
            content = self.content["children"][path]
            changed = ds.assign_attrs(_decoded(content["attrs"], OWN_ATTRS))
            changed = _relabelled(changed, content) if "dim" in content else changed
            validate(changed, values=False)
        except (*BROKEN, AttributeError, IndexError):
            return ds
        return changed


def collect(recording: xr.DataTree, paths: dict[str, xr.Dataset]) -> str:
    """Return the JSON for a recording.

    Parameters
    ----------
    recording
        For the root attributes.
    paths
        Children by their path in the NWB file.
    """
    extra = {k: v for k, v in recording.attrs.items() if k not in OWN_ROOT | set(SESSION)}
    given = [name for name in SESSION if recording.attrs.get(name)]
    children = {path: _of_child(ds) for path, ds in paths.items()}
    return json.dumps({"given": given, "root": _encoded(extra), "children": children})


def _of_child(ds: xr.Dataset) -> dict[str, Any]:
    content: dict[str, Any] = {
        "attrs": _encoded({k: v for k, v in ds.attrs.items() if k not in OWN_ATTRS})
    }
    dim = next((str(dim) for dim in LABELLED.get(ds.attrs["kind"], ()) if dim in ds.dims), None)
    if dim is None:
        return content
    coords = {
        str(name): encode_attr(np.asarray(coord.values))
        for name, coord in ds.coords.items()
        if coord.dims == (dim,)
    }
    return {**content, "dim": dim, "coords": coords}


def _relabelled(ds: xr.Dataset, content: dict[str, Any]) -> xr.Dataset:
    """Return a series with the labels of the sidecar instead of those that NWB could hold."""
    (old,) = (dim for dim in ds.dims if dim in LABELLED[ds.attrs["kind"]])
    new = str(content["dim"])
    coords = {name: (new, decode_attr(values)) for name, values in content["coords"].items()}
    ds = ds.drop_vars([name for name, coord in ds.coords.items() if coord.dims == (old,)])
    return (ds if old == new else ds.rename({old: new})).assign_coords(coords)


def _encoded(attrs: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): encode_attr(value) for name, value in attrs.items()}


def _decoded(attrs: dict[str, Any], reserved: set[str]) -> dict[str, Any]:
    return {name: decode_attr(v) for name, v in attrs.items() if name not in reserved}
