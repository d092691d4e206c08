"""Our own netCDF files behind the common front door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn.errors import EmptySelectionError, suggest
from neurodyn.io.faults import Fault, OnBad
from neurodyn.io.hdf5 import open_hdf5
from neurodyn.recording import faults, store, validate

__all__ = ["check_netcdf", "load_netcdf", "open_netcdf"]


def open_netcdf(path: str | Path) -> xr.DataTree:
    """Open a netCDF file of ours lazily, as :func:`neurodyn.recording.load` does."""
    _require_contained(path)
    return _as_tree(store.load(path, lazy=True))


def load_netcdf(path: str | Path, select: Any = None, on_bad: OnBad = "raise") -> xr.DataTree:
    """Read a netCDF file of ours, or parts of it, and validate them.

    Parameters
    ----------
    path
        The file.
    select
        Kinds or children, one or several; default everything.
    on_bad
        Only ``"raise"`` has an effect: our own files are written valid.

    Raises
    ------
    EmptySelectionError
        If there is nothing of that kind or name.
    SchemaError
        If something in the file breaks a rule of its kind.
    """
    _require_contained(path)
    tree = _as_tree(store.load(path))
    if select is not None:
        wanted = [select] if isinstance(select, str) else list(select)
        known = [node.path.strip("/") for node in tree.subtree if node.is_leaf]
        chosen = [k for k in known if any(k == w or k.startswith(f"{w}/") for w in wanted)]
        if not chosen:
            raise EmptySelectionError(
                f"file has no {', '.join(wanted)}", where=path, hint=suggest(wanted[0], known)
            )
        nodes = {
            node.path: node.to_dataset(inherit=False)
            for node in tree.subtree
            if node.path.strip("/") in chosen
        }
        tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=tree.attrs), **nodes})
    if on_bad == "raise":
        validate(tree, where=path)
    return tree


def check_netcdf(path: str | Path) -> list[Fault]:
    """List what in a netCDF file of ours breaks a rule of its kind."""
    _require_contained(path)
    tree = _as_tree(store.load(path))
    return [Fault("error", "schema", str(path), text) for text in faults(tree)]


def _require_contained(path: str | Path) -> None:
    """Refuse a file that reaches outside itself, which netCDF would follow."""
    open_hdf5(path).close()


def _as_tree(data: Any) -> xr.DataTree:
    """Return a single dataset (a result) as a recording of one child."""
    if isinstance(data, xr.DataTree):
        return data
    kind = str(data.attrs.get("kind", "results"))
    return xr.DataTree.from_dict({f"/{kind}": data})
