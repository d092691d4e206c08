"""Measures of traces as results with the labels of the traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from neurodyn.recording import results
from neurodyn.transforms.connectivity.affinity import pair_coords
from neurodyn.transforms.connectivity.traces import Traces

__all__ = ["labelled_results"]


def labelled_results(
    traces: Traces,
    variables: Mapping[str, tuple[Any, ...]],
    data: xr.Dataset | xr.DataArray,
    *,
    time: NDArray[Any] | None = None,
    quality: Mapping[str, int] | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """Build results with ``seen`` and the coordinates of the traces that belong to their dims.

    Parameters
    ----------
    traces
        What was measured.
    variables
        Dims, values and perhaps attributes by name. A dim ``animal`` of one is dropped if the
        data have none.
    data
        The input, of which history and quality go on.
    time
        Times [s] of the results; those of the traces if not given.
    quality
        Further counts of what was left out.
    **attrs
        Attributes.

    Examples
    --------
    >>> import numpy as np
    >>> from neurodyn.recording import signal
    >>> from neurodyn.transforms.connectivity import as_traces
    >>> ds = signal([[0.0, 1.0], [1.0, 3.0]], sampling_rate=4.0, dim="roi", channel=["a", "b"])
    >>> found = labelled_results(as_traces(ds), {"r": (("animal", "pair"), np.ones((1, 1)))}, ds)
    >>> found["r"].dims, found["roi_to"].values.tolist()
    (('pair',), ['b'])
    """
    node = traces.node_dim
    seen = {"seen": (("animal", node), traces.seen)}
    used = {dim for variable in variables.values() for dim in variable[0]}
    kept = {"animal", node} | ({"time"} if time is None and "time" in used else set())
    coords: dict[str, Any] = {n: c.variable for n, c in traces.coords.items() if {*c.dims} <= kept}
    if time is not None:
        coords["time"] = ("time", time, {"units": "s"})
    if "pair" in used:
        coords.update(pair_coords(traces.node, node))
    if f"{node}_to" in used:
        coords[f"{node}_to"] = (f"{node}_to", traces.node)
    found = results({**variables, **seen}, coords, **attrs)
    counted = {**data.attrs.get("quality", {}), **traces.quality, **(quality or {})}
    if counted:
        found.attrs["quality"] = counted
    if "history" in data.attrs:
        found.attrs["history"] = data.attrs["history"]
    return found if traces.has_animals else found.isel(animal=0, drop=True)
