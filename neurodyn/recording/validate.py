"""Check datasets and recordings against the schema; all faults are named in one raise."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np
import xarray as xr

from neurodyn.errors import SchemaError
from neurodyn.recording.schema import KINDS, KindRule, VariableRule

__all__ = ["faults", "validate"]

SAMPLED = ("signal", "bold", "behavior", "counts")


def faults(data: xr.Dataset | xr.DataTree, *, values: bool = True) -> list[str]:
    """List every fault of a dataset or recording, as text.

    Parameters
    ----------
    data
        One dataset with ``attrs["kind"]``, or a whole recording.
    values
        Also check rules that read data (spike times); ``False`` looks at structure only.

    Examples
    --------
    >>> faults(xr.Dataset(attrs={"kind": "trials"}))[0]
    "variable 'start' is missing"
    """
    if isinstance(data, xr.DataTree):
        return list(_tree_faults(data, values))
    return list(_dataset_faults(data, values))


def validate(data: xr.Dataset | xr.DataTree, *, values: bool = True, where: object = None) -> None:
    """Raise if ``data`` breaks a rule of its kind.

    Raises
    ------
    SchemaError
        Naming all faults at once.

    Examples
    --------
    >>> from neurodyn import recording as build
    >>> validate(build.trials(start=[0.0, 1.0], stop=[0.5, 1.5]))
    """
    found = faults(data, values=values)
    if found:
        raise SchemaError(
            f"{len(found)} fault{'s' * (len(found) > 1)} in the recording",
            where=where,
            found="\n    - " + "\n    - ".join(found),
            expected="the schema of neurodyn.recording.schema",
            hint="build datasets with the functions of neurodyn.recording",
        )


def _tree_faults(tree: xr.DataTree, values: bool) -> Iterator[str]:
    for node in tree.subtree:
        if node.is_leaf and node is not tree:
            for fault in _dataset_faults(node.to_dataset(inherit=False), values):
                yield f"{node.path}: {fault}"
        elif node.coords:
            yield f"{node.path}: inner nodes hold no coordinates, found {list(node.coords)}"
        elif node is not tree and node.data_vars:
            yield f"{node.path}: inner nodes hold no variables, found {list(node.data_vars)}"


def _dataset_faults(ds: xr.Dataset, values: bool) -> Iterator[str]:
    kind = ds.attrs.get("kind")
    if kind not in KINDS:
        yield f"attrs['kind'] is {kind!r}, expected one of {sorted(KINDS)}"
        return
    structure = list(_structure_faults(ds, KINDS[kind]))
    yield from structure
    if structure:
        return
    yield from _label_faults(ds)
    if kind in SAMPLED:
        yield from _clock_faults(ds)
    if kind == "spikes":
        yield from _spike_faults(ds, values)
    if kind == "counts" and not ds.attrs["bin_size"] > 0:
        yield f"attrs['bin_size'] is {ds.attrs['bin_size']}, expected seconds above 0"


def _structure_faults(ds: xr.Dataset, rule: KindRule) -> Iterator[str]:
    for noun, rules, present in (
        ("variable", rule.variables, ds.data_vars),
        ("coordinate", rule.coordinates, ds.coords),
    ):
        for name, variable_rule in rules.items():
            if name in present:
                yield from _variable_faults(noun, name, ds[name], variable_rule)
            elif name in ds.variables:
                yield f"{name!r} must be a {noun}"
            elif variable_rule.required:
                yield f"{noun} {name!r} is missing"
    for name, expected in rule.attrs.items():
        value = ds.attrs.get(name)
        if not isinstance(value, expected):
            yield f"attrs[{name!r}] is {value!r}, expected {expected.__name__}"


def _variable_faults(
    noun: str, name: Hashable, variable: xr.DataArray, rule: VariableRule
) -> Iterator[str]:
    if tuple(variable.dims) not in rule.dims:
        choices = " or ".join(f"({', '.join(dims)})" for dims in rule.dims)
        yield f"{noun} {name!r} has dims ({', '.join(map(str, variable.dims))}), expected {choices}"
    if variable.dtype.kind not in rule.dtype_kinds:
        yield (
            f"{noun} {name!r} has dtype {variable.dtype}, expected one of kind {rule.dtype_kinds!r}"
        )


def _label_faults(ds: xr.Dataset) -> Iterator[str]:
    for name in ("unit", "channel", "roi", "trial", "feature", "animal"):
        if name in ds.indexes and not ds.indexes[name].is_unique:
            index = ds.indexes[name]
            yield f"{name} labels repeat: {sorted(set(index[index.duplicated()].astype(str)))}"


def _clock_faults(ds: xr.Dataset) -> Iterator[str]:
    if "time" not in ds.indexes or not hasattr(ds.indexes["time"], "to_numpy"):
        return
    time = ds.indexes["time"].to_numpy()
    bad = np.flatnonzero(~(np.diff(time) > 0))
    if not np.isfinite(time).all():
        yield f"time is not finite at sample {int(np.flatnonzero(~np.isfinite(time))[0])}"
    elif bad.size:
        first = int(bad[0])
        yield f"time does not increase at sample {first + 1}: {time[first]} then {time[first + 1]}"


def _spike_faults(ds: xr.Dataset, values: bool) -> Iterator[str]:
    row_size = ds["row_size"].values
    n_spikes = ds.sizes["spike"]
    if (row_size < 0).any() or int(row_size.sum()) != n_spikes:
        yield f"row_size sums to {int(row_size.sum())}, expected the {n_spikes} spikes"
        return
    observed = [name for name in ("obs_start", "obs_stop", "obs_row_size") if name in ds]
    if observed and len(observed) < 3:
        yield f"observation intervals need obs_start, obs_stop and obs_row_size, found {observed}"
    elif observed and int(ds["obs_row_size"].sum()) != ds.sizes["obs_interval"]:
        yield "obs_row_size does not sum to the number of observation intervals"
    if values:
        yield from _spike_value_faults(ds, row_size)


def _spike_value_faults(ds: xr.Dataset, row_size: np.ndarray) -> Iterator[str]:
    time = ds["spike_time"].values
    owner = np.repeat(np.arange(row_size.size), row_size)
    finite = np.isfinite(time)
    for unit in np.unique(owner[~finite]):
        yield f"unit {str(ds['unit'].values[unit])!r}: spike times are not finite"
    within = owner[1:] == owner[:-1]
    for unit in np.unique(owner[1:][within & (np.diff(time) < 0)]):
        yield f"unit {str(ds['unit'].values[unit])!r}: spike times are not sorted"
