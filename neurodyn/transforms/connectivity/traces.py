"""Traces of several cells or regions as one array on a regular clock, with what cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DataError, DegenerateInputError, TimebaseError, one_of
from neurodyn.recording import masked_counts, physical

__all__ = ["Traces", "as_traces", "trace_array"]

VARIABLES = {"signal": "signal", "bold": "bold", "counts": "count", "results": "rate"}
NODE_DIMS = ("roi", "unit", "channel", "voxel", "vertex")
STEP_TOLERANCE = 0.1


@dataclass(frozen=True)
class Traces:
    """Traces on a regular clock.

    Parameters
    ----------
    values
        Shape ``(animal, time, node)``, float64; finite where ``seen``, else NaN throughout.
    seen
        Shape ``(animal, node)``: the node was recorded in the animal and is not constant.
    node_dim
        ``"roi"``, ``"unit"``, ``"channel"``, …
    sampling_rate
        [Hz].
    coords
        Coordinates of animals, times and nodes, as the data had them.
    quality
        What was left out, counted.
    has_animals
        Whether the data had a dim of that name; without it there is one animal.
    """

    values: NDArray[np.float64]
    seen: NDArray[np.bool_]
    node_dim: str
    sampling_rate: float
    coords: Mapping[str, Any]
    quality: Mapping[str, int]
    has_animals: bool

    @property
    def time(self) -> NDArray[np.float64]:
        """Times [s], shape ``(time,)``."""
        return np.asarray(self.coords["time"].values, dtype=np.float64)

    @property
    def node(self) -> NDArray[Any]:
        """Labels, shape ``(node,)``."""
        return np.asarray(self.coords[self.node_dim].values)

    @property
    def animal(self) -> NDArray[Any] | None:
        """Labels, shape ``(animal,)``, or nothing where the data had no such dim."""
        return np.asarray(self.coords["animal"].values) if self.has_animals else None


def as_traces(
    data: xr.Dataset | xr.DataArray, *, on_bad: Literal["raise", "drop"] = "raise"
) -> Traces:
    """Return the traces of a dataset as one array, checked.

    Nodes that are NaN throughout an animal were not recorded there. Constant ones carry no
    change and are left out there, counted as ``constant_traces``.

    Parameters
    ----------
    data
        Kind ``signal``, ``bold``, ``counts`` or ``results`` with ``rate``; or an array; dims
        ``([animal,] time, roi)`` or ``unit``, ``channel`` for ``roi``, in any order.
    on_bad
        Nodes that are missing for a while: ``raise``, or ``drop`` them in that animal, counted
        as ``interrupted_traces``.

    Raises
    ------
    ConfigError
        If the dims are others.
    TimebaseError
        If the clock is irregular.
    DataError
        If a trace is interrupted or infinite; names them.
    DegenerateInputError
        If fewer than two traces can be used in every animal.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> traces = as_traces(signal([[0.0, 1.0], [1.0, 3.0]], sampling_rate=4.0, dim="roi"))
    >>> traces.values.shape, traces.sampling_rate, traces.seen.all().item()
    ((1, 2, 2), 4.0, True)
    """
    one_of("on_bad", on_bad, ("raise", "drop"))
    array = trace_array(data)
    node_dim = _node_dim(array)
    has_animals = "animal" in array.dims
    if not has_animals:
        array = array.expand_dims(animal=["0"])
    array = array.transpose("animal", "time", node_dim)
    if node_dim not in array.coords:
        array = array.assign_coords({node_dim: np.arange(array.sizes[node_dim]).astype(str)})
    rate = _sampling_rate(array["time"].values)
    values = np.array(array.values, dtype=np.float64)
    quality: dict[str, int] = {}
    seen = _usable(values, array, node_dim, on_bad, quality)
    if int(seen.sum(axis=1).max(initial=0)) < 2:
        raise DegenerateInputError(
            "fewer than two traces can be used",
            found=f"{int(seen.sum())} usable of {seen.size}, {quality or 'the others are NaN'}",
            expected="two traces that change, in one animal at least",
        )
    values[~seen[:, None, :].repeat(values.shape[1], axis=1)] = np.nan
    coords = {str(name): coord for name, coord in array.coords.items() if coord.dims}
    return Traces(values, seen, node_dim, rate, coords, quality, has_animals)


def _node_dim(array: xr.DataArray) -> str:
    node_dim = next((str(dim) for dim in array.dims if dim in NODE_DIMS), "")
    if not node_dim or {*array.dims} - {"animal"} != {"time", node_dim}:
        raise ConfigError(
            "traces have other dims",
            found=", ".join(map(str, array.dims)),
            expected=f"([animal,] time, node) with a node of {', '.join(NODE_DIMS)}",
        )
    return node_dim


def trace_array(data: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Return the values of traces, NaN where they were not observed or are not to be used.

    Raises
    ------
    ConfigError
        If the dataset is of another kind.
    """
    if isinstance(data, xr.DataArray):
        return data
    kind = str(data.attrs.get("kind"))
    one_of("kind", kind, VARIABLES)
    if kind == "signal":
        return physical(data, np.float64)
    if kind == "counts":
        return masked_counts(data)
    if VARIABLES[kind] not in data:
        raise ConfigError("results hold no rates", found=", ".join(map(str, data.data_vars)))
    array = data[VARIABLES[kind]].astype(np.float64)
    return array.where(data["keep"]) if "keep" in data.coords else array


def _sampling_rate(time: NDArray[Any]) -> float:
    steps = np.diff(time)
    step = float(np.median(steps)) if steps.size else 0.0
    if not step > 0 or (np.abs(steps - step) > STEP_TOLERANCE * step).any():
        raise TimebaseError(
            "an irregular clock has no derivatives and no windows",
            found=f"{time.size} samples, steps of {steps.min(initial=np.inf):g} to"
            f" {steps.max(initial=-np.inf):g} s",
            expected=f"equal steps, within {STEP_TOLERANCE:.0%}",
            hint="neurodyn.transforms.resample(data, times) first",
        )
    return float((time.size - 1) / (time[-1] - time[0]))


def _usable(
    values: NDArray[np.float64],
    array: xr.DataArray,
    node_dim: str,
    on_bad: str,
    quality: dict[str, int],
) -> NDArray[np.bool_]:
    """Return which traces can be used; count those that cannot."""
    finite = np.isfinite(values)
    infinite = np.isinf(values).any(axis=1)
    interrupted = (finite.any(axis=1) & ~finite.all(axis=1)) | infinite
    if interrupted.any() and (on_bad == "raise" or infinite.any()):
        animal, node = np.argwhere(infinite if infinite.any() else interrupted)[0]
        n_bad = int((~finite[animal, :, node]).sum())
        raise DataError(
            f"{int(interrupted.sum())} traces are interrupted",
            where=f"animal {array['animal'].values[animal]},"
            f" {node_dim} {array[node_dim].values[node]}",
            found=f"{n_bad} of {values.shape[1]} samples are not finite",
            expected="finite samples, or NaN throughout for one that was not recorded",
            hint="on_bad='drop' leaves such traces out in their animal; or restrict(...)",
        )
    seen = np.asarray(finite.all(axis=1))
    constant = seen & (np.ptp(np.where(finite, values, 0.0), axis=1) == 0)
    for name, flags in (("interrupted_traces", interrupted), ("constant_traces", constant)):
        if flags.any():
            quality[name] = int(flags.sum())
    return np.asarray(seen & ~constant)
