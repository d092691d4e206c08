"""Recordings of several animals as one signal, matched by the names of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import (
    DataError,
    EmptySelectionError,
    TimebaseError,
    UnitScaleError,
)
from neurodyn.provenance import add_history
from neurodyn.recording import physical, pick
from neurodyn.recording import signal as build_signal

__all__ = ["stack_animals"]


def stack_animals(animals: Mapping[str, xr.DataTree | xr.Dataset]) -> xr.Dataset:
    """Stack the signals of several animals; cells are matched by their names alone.

    Every cell of any animal is kept, in order of first appearance, and is NaN throughout in an
    animal that lacks it. The clocks must be the same to the last digit.

    Parameters
    ----------
    animals
        Recordings or datasets of kind ``signal`` with dims ``(time, roi)`` or ``(time,
        channel)``, by the animal's name, in order.

    Returns
    -------
    xr.Dataset
        Kind ``signal``, dims ``(animal, time, roi)``, in physical units. Columns of the cells
        that all their animals agree on are kept, the others counted in ``attrs["quality"]``.

    Raises
    ------
    EmptySelectionError
        If there is no animal.
    TimebaseError
        If clocks or sampling rates differ.
    UnitScaleError
        If physical units differ.
    DataError
        If names of animals or of cells repeat, cells have none, or dims differ.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> first = signal([[1.0, 2.0]], sampling_rate=4.0, dim="roi", channel=["AVAL", "AVAR"])
    >>> second = signal([[3.0, 4.0]], sampling_rate=4.0, dim="roi", channel=["AVAR", "RIS"])
    >>> both = stack_animals({"worm1": first, "worm2": second})
    >>> both["roi"].values.tolist(), both["signal"].values[:, 0].tolist()
    (['AVAL', 'AVAR', 'RIS'], [[1.0, 2.0, nan], [nan, 3.0, 4.0]])
    """
    parts = _parts(animals)
    first = next(iter(parts.values()))
    dim = _node_dim(parts)
    for name, part in parts.items():
        _require_same_clock(name, first, part)
    units = _units(parts)
    labels = list(dict.fromkeys(str(v) for part in parts.values() for v in part[dim].values))
    columns, n_left_out = _columns(parts, dim, labels)
    attrs: dict[str, Any] = {"quality": {"columns_left_out": n_left_out}} if n_left_out else {}
    if "sampling_rate" in first.attrs:
        attrs["sampling_rate"] = float(first.attrs["sampling_rate"])
    result = build_signal(
        _stacked(parts, dim, labels),
        time=first["time"].values,
        channel=labels,
        animal=list(parts),
        dim=dim,
        units=units,
        channel_columns=columns,
        **attrs,
    )
    return add_history(result, "stack_animals", animals=list(parts))


def _parts(animals: Mapping[str, xr.DataTree | xr.Dataset]) -> dict[str, xr.Dataset]:
    if not animals:
        raise EmptySelectionError("there is no animal to stack")
    names = [str(name) for name in animals]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise DataError("two animals have the same name", found=repr(repeated[0]))
    parts = {name: pick(part, "signal") for name, part in zip(names, animals.values())}
    for name, part in parts.items():
        if "animal" in part.dims:
            raise DataError(
                "signal holds several animals already",
                where=f"animal {name}",
                found=dict(part["signal"].sizes),
                hint="isel(animal=0, drop=True) takes one of them",
            )
    return parts


def _node_dim(parts: Mapping[str, xr.Dataset]) -> str:
    """Return the dim of the cells that all animals have, with names that do not repeat."""
    dims = {
        name: next(str(d) for d in part["signal"].dims if d != "time")
        for name, part in parts.items()
    }
    dim = next(iter(dims.values()))
    for name, part in parts.items():
        if dims[name] != dim:
            raise DataError(
                "animals have different dims",
                where=f"animal {name}",
                found=dims[name],
                expected=dim,
                hint=f"rename({dims[name]}={dim!r})",
            )
        if dim not in part.coords:
            raise DataError(
                f"animals are stacked by label, and {dim!r} has none", where=f"animal {name}"
            )
        labels = part[dim].values.astype(str)
        unique, n = np.unique(labels, return_counts=True)
        if (n > 1).any():
            raise DataError(
                f"labels of {dim} repeat",
                where=f"animal {name}",
                found=", ".join(unique[n > 1][:10]),
            )
    return dim


def _require_same_clock(name: str, first: xr.Dataset, part: xr.Dataset) -> None:
    rates = [ds.attrs.get("sampling_rate") for ds in (first, part)]
    if rates[0] != rates[1]:
        raise TimebaseError(
            "sampling rates differ",
            where=f"animal {name}",
            found=f"{rates[1]} Hz",
            expected=f"{rates[0]} Hz, as in the first animal",
            hint="neurodyn.transforms.resample, after decimate where it is slower",
        )
    own, other = part["time"].values, first["time"].values
    if own.size != other.size:
        raise TimebaseError(
            "clocks are of different length",
            where=f"animal {name}",
            found=f"{own.size} samples",
            expected=f"{other.size} samples, as in the first animal",
            hint="neurodyn.transforms.restrict all to the same interval, or resample",
        )
    difference = float(np.abs(own - other).max(initial=0.0))
    if difference != 0.0:
        raise TimebaseError(
            "clocks differ",
            where=f"animal {name}",
            found=f"up to {difference:.3g} s",
            expected="the times of the first animal",
            hint="neurodyn.transforms.resample moves it to them; match(first, other, "
            f"tolerance={difference:.3g}) takes its times as the same",
        )


def _units(parts: Mapping[str, xr.Dataset]) -> str:
    units = {name: str(part["signal"].attrs.get("units", "")) for name, part in parts.items()}
    first = next(iter(units.values()))
    for name, own in units.items():
        if own != first:
            raise UnitScaleError(
                "physical units differ",
                where=f"animal {name}",
                found=repr(own),
                expected=f"{first!r}, as in the first animal",
                hint="convert the values and set signal.attrs['units']",
            )
    return first


def _stacked(parts: Mapping[str, xr.Dataset], dim: str, labels: list[str]) -> NDArray[Any]:
    """Return values ``(animal, time, label)``, NaN where an animal lacks the label."""
    place = {label: column for column, label in enumerate(labels)}
    arrays = [_physical(part, dim) for part in parts.values()]
    dtype = np.result_type(np.float32, *arrays)
    values = np.full((len(parts), len(arrays[0]), len(labels)), np.nan, dtype)
    for row, part, array in zip(values, parts.values(), arrays):
        row[:, [place[str(label)] for label in part[dim].values]] = array
    return values


def _physical(part: xr.Dataset, dim: str) -> NDArray[Any]:
    """Return values in physical units; those that are so already stay as exact as they are."""
    attrs = part["signal"].attrs
    plain = attrs.get("scale_factor", 1.0) == 1.0 and attrs.get("add_offset", 0.0) == 0.0
    plain = plain and "channel_conversion" not in part
    array = part["signal"] if plain else physical(part, np.float64)
    values: NDArray[Any] = array.transpose("time", dim).values
    return values


def _columns(
    parts: Mapping[str, xr.Dataset], dim: str, labels: list[str]
) -> tuple[dict[str, NDArray[Any]], int]:
    """Return the columns of cells that all animals have and agree on, and how many others."""
    tables = [
        {
            str(name): dict(zip(part[dim].values.astype(str).tolist(), coord.values.tolist()))
            for name, coord in part.coords.items()
            if coord.dims == (dim,) and name not in (dim, "channel_conversion")
        }
        for part in parts.values()
    ]
    every = dict.fromkeys(name for table in tables for name in table)
    found = {}
    for name in every:
        known: dict[str, Any] = {}
        for table in tables:
            own = table.get(name)
            if own is None or any(
                not _equal(known.setdefault(label, v), v) for label, v in own.items()
            ):
                break
        else:
            found[name] = np.array([known[label] for label in labels])
    return found, len(every) - len(found)


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other or (one != one and other != other))
