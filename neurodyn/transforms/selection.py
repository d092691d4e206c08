"""Units and trials chosen by a query on their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, EmptySelectionError, TrialTableError, suggest
from neurodyn.provenance import add_history
from neurodyn.transforms.observation import observation_intervals, with_observation

__all__ = ["select_trials", "select_units"]

R = TypeVar("R", xr.DataTree, xr.Dataset)
Query = str | Sequence[object]


def select_units(recording: R, query: Query) -> R:
    """Keep some units.

    Parameters
    ----------
    recording
        A recording, or one dataset with units.
    query
        A condition on the labels and columns of units, such as ``"area == 'M1' and not
        held_out"`` (pandas' ``query`` without ``@``), or the labels to keep, in their order.

    Raises
    ------
    EmptySelectionError
        If no unit is left, or there is none of that label.
    ConfigError
        If the query cannot be understood.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> ds = spikes_from_units({"a": [0.1], "b": [0.2]}, unit_columns={"area": ["M1", "PMd"]})
    >>> select_units(ds, "area == 'PMd'")["unit"].values.tolist()
    ['b']
    """
    return add_history(_select(recording, "unit", query), "select_units", query=query)


def select_trials(recording: R, query: Query) -> R:
    """Keep some trials of the table and of all data aligned to trials.

    Parameters
    ----------
    recording
        A recording, or one dataset with trials.
    query
        A condition on the ids and columns of trials, such as ``"condition == 'left' and stop -
        start > 0.5"``, or the ids to keep, in their order.

    Raises
    ------
    EmptySelectionError
        If no trial is left, or there is none of that id.
    ConfigError
        If the query cannot be understood.
    TrialTableError
        If there are no trials.

    Examples
    --------
    >>> from neurodyn.recording import trials
    >>> table = trials([0.0, 1.0], [0.4, 2.0])
    >>> select_trials(table, "stop - start > 0.5")["trial"].values.tolist()
    [1]
    """
    return add_history(_select(recording, "trial", query), "select_trials", query=query)


def _select(recording: R, dim: str, query: Query) -> R:
    if isinstance(recording, xr.Dataset):
        return _select_dataset(recording, dim, query)
    result = recording.copy(deep=False)
    nodes = [node for node in result.leaves if dim in node.dims]
    if not nodes:
        raise _missing(dim, ", ".join(recording.children) or "nothing")
    for node in nodes:
        node.dataset = _select_dataset(node.to_dataset(inherit=False), dim, query)
    return result


def _missing(dim: str, found: object) -> EmptySelectionError | TrialTableError:
    error = TrialTableError if dim == "trial" else EmptySelectionError
    return error(f"there are no {dim}s to select", found=found)


def _select_dataset(ds: xr.Dataset, dim: str, query: Query) -> xr.Dataset:
    if dim not in ds.dims:
        raise _missing(dim, dict(ds.sizes))
    chosen = _by_query(ds, dim, query) if isinstance(query, str) else _by_label(ds, dim, query)
    if not chosen.size:
        raise EmptySelectionError(
            f"no {dim} is left", found=f"{query!r} holds for none of {ds.sizes[dim]}"
        )
    if dim == "unit" and "row_size" in ds:
        return _take_units(ds, chosen)
    return ds.isel({dim: chosen})


def _by_label(ds: xr.Dataset, dim: str, wanted: Sequence[object]) -> NDArray[np.int64]:
    place = {str(label): row for row, label in enumerate(ds[dim].values.tolist())}
    for label in wanted:
        if str(label) not in place:
            raise EmptySelectionError(f"no {dim} {label!r}", hint=suggest(str(label), place))
    return np.array([place[str(label)] for label in wanted], dtype=np.int64)


def _by_query(ds: xr.Dataset, dim: str, query: str) -> NDArray[np.int64]:
    columns = {str(name): v.values for name, v in ds.variables.items() if v.dims == (dim,)}
    if "@" in query or "__" in query:
        # pandas would reach for Python variables and their attributes
        raise ConfigError("a query may hold no '@' and no '__'", found=repr(query))
    table = pd.DataFrame({name: _native(values) for name, values in columns.items()})
    try:
        mask = table.eval(query, engine="python")
    except Exception as error:
        # pandas raises nearly anything for a query that it cannot read
        raise ConfigError(
            "the query cannot be understood",
            found=f"{query!r}: {error}",
            expected=f"a condition on columns of {dim}s",
            hint=suggest(query.split(" ")[0], columns),
        ) from error
    if not isinstance(mask, pd.Series) or mask.dtype != bool:
        raise ConfigError(
            "the query is no condition", found=repr(query), expected="true or false per " + dim
        )
    return np.flatnonzero(mask.to_numpy())


def _native(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return values.astype(object) if values.dtype.kind in "UT" else values


def _take_units(ds: xr.Dataset, chosen: NDArray[np.int64]) -> xr.Dataset:
    """Take units of a ragged array together with their spikes and intervals."""
    sizes = ds["row_size"].values
    starts = np.cumsum(sizes) - sizes
    spike = _ranges(starts[chosen], sizes[chosen])
    observed = observation_intervals(ds)
    ragged = ("obs_start", "obs_stop", "obs_row_size")
    result = ds.drop_vars(ragged, errors="ignore").isel(unit=chosen, spike=spike)
    if observed is None:
        return result
    return with_observation(result, [observed[unit] for unit in chosen])


def _ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``start … start + size - 1`` of every part, one after another."""
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    first: NDArray[np.int64] = np.repeat(starts - before, sizes)
    return first + np.arange(first.size)
