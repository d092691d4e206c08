"""Constructors of spikes, counts, trials and recordings: arrays in, checked datasets out.

Sampled series are built in :mod:`neurodyn.recording.sampled`; nothing else makes recordings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError
from neurodyn.recording.labels import Columns, as_columns, as_labels, as_trial_labels, as_variable
from neurodyn.recording.schema import SCHEMA_VERSION
from neurodyn.recording.validate import validate

__all__ = [
    "counts",
    "recording",
    "results",
    "spikes",
    "spikes_from_units",
    "trials",
]

NANOSECOND_TICKS = 1e9


def spikes(
    spike_time: Any,
    row_size: ArrayLike,
    unit: Sequence[object] | NDArray[Any] | None = None,
    *,
    observed: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    unit_columns: Columns | None = None,
    tick_hz: float = NANOSECOND_TICKS,
    check_values: bool = True,
    **attrs: Any,
) -> xr.Dataset:
    """Build spikes as a CF contiguous ragged array.

    Parameters
    ----------
    spike_time
        Times [s], shape ``(spike,)``, float64: the units one after another, sorted in each.
        An ``xr.Variable`` stays lazy.
    row_size
        Number of spikes of each unit, shape ``(unit,)``.
    unit
        Unit ids, made text; ``"0", "1", …`` if not given.
    observed
        ``(obs_start, obs_stop, obs_row_size)``: half-open intervals [s] in which silence means
        silence, ragged over units like the spikes. ``None``: observed throughout.
    unit_columns
        Further coordinates of ``unit``: area, depth, quality, ``held_out``.
    tick_hz
        Clock of the acquisition system; binning is exact on its ticks.
    check_values, **attrs
        ``False`` leaves lazy spike times unread; further attributes.

    Raises
    ------
    SchemaError
        Naming all faults.

    Examples
    --------
    >>> ds = spikes([0.1, 0.2, 0.15], row_size=[2, 1], unit=["a", "b"])
    >>> ds.sizes["spike"], ds.sizes["unit"]
    (3, 2)
    """
    sizes = np.asarray(row_size, dtype=np.int64)
    ids = as_labels(range(sizes.size) if unit is None else unit)
    variables: dict[str, Any] = {
        "spike_time": as_variable(spike_time, ("spike",), np.float64),
        "row_size": ("unit", sizes, {"sample_dimension": "spike"}),
        **_observation(observed),
    }
    ds = xr.Dataset(
        variables,
        coords={"unit": ids, **as_columns("unit", unit_columns)},
        attrs={"kind": "spikes", "tick_hz": float(tick_hz), **attrs},
    )
    ds["spike_time"].attrs.setdefault("units", "s")
    validate(ds, values=check_values)
    return ds


def spikes_from_units(
    times: Mapping[Any, ArrayLike] | Sequence[ArrayLike],
    *,
    observed: ArrayLike | None = None,
    **kwargs: Any,
) -> xr.Dataset:
    """Build spikes from one array of times per unit.

    Parameters
    ----------
    times
        Times [s] of each unit, by id or in order.
    observed
        Intervals ``(n, 2)`` [s] that hold for every unit.
    **kwargs
        As in :func:`spikes`.

    Examples
    --------
    >>> spikes_from_units({"a": [0.1, 0.2], "b": []})["row_size"].values.tolist()
    [2, 0]
    """
    by_unit = times if isinstance(times, Mapping) else dict(enumerate(times))
    arrays = [np.asarray(array, dtype=np.float64) for array in by_unit.values()]
    ragged = None
    if observed is not None:
        intervals = np.asarray(observed, dtype=np.float64).reshape(-1, 2)
        repeated = np.tile(intervals, (len(arrays), 1))
        ragged = (repeated[:, 0], repeated[:, 1], np.full(len(arrays), len(intervals)))
    return spikes(
        np.concatenate(arrays) if arrays else np.empty(0),
        [array.size for array in arrays],
        list(by_unit),
        observed=ragged,
        **kwargs,
    )


def counts(
    count: Any,
    *,
    bin_size: float,
    unit: Sequence[object] | NDArray[Any] | None = None,
    start: float = 0.0,
    time: ArrayLike | None = None,
    trial: Sequence[object] | NDArray[Any] | None = None,
    observed: Any = None,
    held_out: ArrayLike | None = None,
    forward: ArrayLike | None = None,
    unit_columns: Columns | None = None,
    trial_columns: Columns | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build binned spike counts.

    Parameters
    ----------
    count
        Counts per bin, shape ``(time, unit)`` or ``(trial, time, unit)``; stored as uint8, as
        uint16 when one exceeds 255.
    bin_size, start
        Width of the half-open bins and left edge of the first [s].
    time
        Left edges [s], shape ``(time,)``, instead of ``start``.
    unit, trial
        Labels; numbered if not given.
    observed
        Mask over (some of) the dims of ``count``; where it is False the count has no meaning.
    held_out, forward
        Units ``(unit,)`` and later bins ``(time,)`` that a model predicts but never sees.
    unit_columns, trial_columns, **attrs
        Further coordinates of ``unit`` and of ``trial``, and attributes.

    Raises
    ------
    SchemaError, DataError
        Naming all faults; if a count is negative, not whole or above 65,535.

    Examples
    --------
    >>> ds = counts([[0, 1], [2, 0]], bin_size=0.02)
    >>> ds["count"].dtype, ds["time"].values.tolist()
    (dtype('uint8'), [0.0, 0.02])
    """
    array = _smallest_counts(np.asarray(count))
    dims = ("trial", "time", "unit")[-array.ndim :]
    edges = start + np.arange(array.shape[-2]) * bin_size if time is None else time
    flags = {"held_out": ("unit", held_out), "forward": ("time", forward)}
    coords = {
        "time": ("time", np.asarray(edges, np.float64), {"units": "s"}),
        "unit": as_labels(range(array.shape[-1]) if unit is None else unit),
        **as_columns("unit", unit_columns),
        **{name: (dim, np.asarray(f, bool)) for name, (dim, f) in flags.items() if f is not None},
    }
    if array.ndim == 3:
        coords["trial"] = as_trial_labels(range(array.shape[0]) if trial is None else trial)
        coords.update(as_columns("trial", trial_columns))
    return _checked_counts(array, dims, observed, coords, bin_size=float(bin_size), **attrs)


def trials(
    start: ArrayLike,
    stop: ArrayLike,
    *,
    trial: Sequence[object] | NDArray[Any] | None = None,
    columns: Columns | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build a table of trials or other intervals.

    Parameters
    ----------
    start, stop
        Begin and end [s], shape ``(trial,)``; half-open.
    trial
        Ids (integers or text), numbered if not given.
    columns
        Further columns: event times [s], condition, split.
    **attrs
        Further attributes.

    Raises
    ------
    SchemaError
        Naming all faults.

    Examples
    --------
    >>> trials([0.0, 1.0], [0.5, 1.5], columns={"condition": ["left", "right"]}).sizes["trial"]
    2
    """
    begin = np.asarray(start, dtype=np.float64)
    ds = xr.Dataset(
        {
            "start": ("trial", begin, {"units": "s"}),
            "stop": ("trial", np.asarray(stop, dtype=np.float64), {"units": "s"}),
            **as_columns("trial", columns),
        },
        {"trial": as_trial_labels(range(begin.size) if trial is None else trial)},
        {"kind": "trials", **attrs},
    )
    validate(ds)
    return ds


def results(
    variables: Mapping[str, Any], coords: Mapping[str, Any] | None = None, **attrs: Any
) -> xr.Dataset:
    """Build a result of an estimator or metric, labelled like its input.

    Examples
    --------
    >>> results({"co_bps": 0.3}).attrs["kind"]
    'results'
    """
    return xr.Dataset(variables, coords, {"kind": "results", **attrs})


def recording(
    children: Mapping[str, xr.Dataset | Mapping[str, xr.Dataset]] | Iterable[xr.Dataset],
    *,
    check_values: bool = False,
    **attrs: Any,
) -> xr.DataTree:
    """Assemble datasets into one recording.

    Parameters
    ----------
    children
        Datasets by kind, ``{"spikes": ds}``, or by kind and name,
        ``{"behavior": {"hand": ds}}``; a plain list is placed by ``attrs["kind"]``.
    check_values
        Also check what needs the data to be read.
    **attrs
        Root attributes: subject, species, session_start (ISO 8601), source, digest.

    Raises
    ------
    SchemaError
        Naming all faults.

    Examples
    --------
    >>> tree = recording([trials([0.0], [1.0])], subject="Jenkins")
    >>> list(tree.children)
    ['trials']
    """
    if not isinstance(children, Mapping):
        children = {str(ds.attrs.get("kind")): ds for ds in children}
    nodes: dict[str, xr.Dataset] = {}
    for kind, child in children.items():
        if isinstance(child, xr.Dataset):
            nodes[f"/{kind}"] = child
        else:
            nodes.update({f"/{kind}/{name}": ds for name, ds in child.items()})
    root = xr.Dataset(attrs={"neurodyn_schema": SCHEMA_VERSION, **attrs})
    tree = xr.DataTree.from_dict({"/": root, **nodes})
    validate(tree, values=check_values)
    return tree


def _observation(observed: tuple[ArrayLike, ArrayLike, ArrayLike] | None) -> dict[str, Any]:
    if observed is None:
        return {}
    start, stop, row_size = observed
    return {
        "obs_start": ("obs_interval", np.asarray(start, np.float64), {"units": "s"}),
        "obs_stop": ("obs_interval", np.asarray(stop, np.float64), {"units": "s"}),
        "obs_row_size": ("unit", np.asarray(row_size, np.int64)),
    }


def _checked_counts(
    array: NDArray[Any], dims: tuple[str, ...], observed: Any, coords: dict[str, Any], **attrs: Any
) -> xr.Dataset:
    variables: dict[str, Any] = {"count": (dims, array)}
    if observed is not None:
        mask = np.asarray(observed, dtype=bool)
        variables["observed"] = (dims if mask.ndim == array.ndim else dims[: mask.ndim], mask)
    ds = xr.Dataset(variables, coords, {"kind": "counts", **attrs})
    validate(ds)
    return ds


def _smallest_counts(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim not in (2, 3):
        raise DataError(
            "counts have the wrong number of dims", found=array.shape, expected="2 or 3"
        )
    if array.dtype == np.uint8:
        return array
    if array.size and (
        not np.isfinite(array).all() or (array < 0).any() or (array != np.rint(array)).any()
    ):
        raise DataError(
            "counts must be whole numbers from 0",
            found=f"min {array.min()}, dtype {array.dtype}",
            hint="give missing bins as observed=False, not as NaN",
        )
    highest = int(array.max()) if array.size else 0
    if highest > np.iinfo(np.uint16).max:
        raise DataError("a bin holds too many spikes", found=highest, expected="up to 65,535")
    return array.astype(np.uint8 if highest <= 255 else np.uint16)
