"""Weights between nodes, checked once, with the pairs that were never seen marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import DataError, DegenerateInputError
from neurodyn.recording.labels import as_labels

__all__ = ["WeightedGraph", "Weights", "read_graph"]

FloatArray = NDArray[np.float64]
Weights = xr.DataArray | NDArray[np.floating[Any]]
FEWEST_NODES = 3
# what symmetric arithmetic leaves, as a share of the largest weight
ASYMMETRY = 1e-8


@dataclass(frozen=True)
class WeightedGraph:
    """An undirected graph.

    Parameters
    ----------
    weights
        Shape ``(roi, roi)``, float64, symmetric; 0 on the diagonal and where nothing was seen.
    seen
        Which pairs were seen, shape ``(roi, roi)``; False on the diagonal.
    dim
        Name of the node dim.
    labels
        Names of the nodes, text.
    """

    weights: FloatArray
    seen: NDArray[np.bool_]
    dim: str
    labels: NDArray[np.str_]

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.labels)

    def require_all_seen(self, method: str) -> None:
        """Raise when a method that knows no missing pairs would take them for zeros.

        Raises
        ------
        DataError
            With the number of pairs that were never seen.
        """
        n_missing = int((~self.seen[np.triu_indices(self.n_nodes, 1)]).sum())
        if n_missing:
            raise DataError(
                f"{method} cannot leave out pairs that were never seen",
                found=f"{n_missing} pairs with weight NaN",
                expected="a weight for each pair",
                hint="find_communities leaves them out; weights.fillna(0) takes them for zeros",
            )


def read_graph(weights: Weights, zero_below: float = 0.0) -> WeightedGraph:
    """Check weights and return them as a graph.

    Parameters
    ----------
    weights
        Shape ``(roi, roi_to)``: symmetric and not negative; NaN where a pair was never seen. The
        diagonal is ignored.
    zero_below
        Weights up to this share of the largest become zeros.

    Raises
    ------
    DataError
        If the weights are not square, not symmetric, negative or infinite.
    DegenerateInputError
        With fewer than three nodes or no positive weight.

    Examples
    --------
    >>> graph = read_graph(np.array([[0, 1, 2], [1, 0, np.nan], [2, np.nan, 0]]))
    >>> graph.weights[0].tolist(), graph.seen[1].tolist()
    ([0.0, 1.0, 2.0], [True, False, False])
    """
    values = np.array(weights, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise DataError("weights are not square", found=values.shape, expected="(roi, roi_to)")
    dim, labels = _names(weights, len(values))
    if len(values) < FEWEST_NODES:
        raise DegenerateInputError(
            "too few nodes for communities", found=len(values), expected=f"{FEWEST_NODES} or more"
        )
    np.fill_diagonal(values, 0.0)
    _check_values(values, labels)
    seen = ~np.isnan(values)
    np.fill_diagonal(seen, False)
    values = np.where(seen, (values + values.T) / 2, 0.0)
    if not seen.any() or not values.any():
        raise DegenerateInputError(
            "the graph has no edge",
            found="only zeros" if seen.any() else "no pair that was seen",
            expected="at least one positive weight",
        )
    values[values <= zero_below * values.max()] = 0.0
    return WeightedGraph(values, seen, dim, labels)


def _names(weights: Weights, n_nodes: int) -> tuple[str, NDArray[np.str_]]:
    """Return the node dim and the names of the nodes."""
    if not isinstance(weights, xr.DataArray):
        return "roi", as_labels(range(n_nodes))
    dim, dim_to = map(str, weights.dims)
    labels = [as_labels(weights[name].values) for name in (dim, dim_to) if name in weights.coords]
    if len(labels) == 2 and not np.array_equal(labels[0], labels[1]):
        at = int(np.flatnonzero(labels[0] != labels[1])[0])
        raise DataError(
            "rows and columns have different labels",
            found=f"{str(labels[0][at])!r} and {str(labels[1][at])!r} at position {at}",
            expected=f"the same labels in the same order along {dim} and {dim_to}",
        )
    return dim, labels[0] if labels else as_labels(range(n_nodes))


def _check_values(values: FloatArray, labels: NDArray[np.str_]) -> None:
    for what, bad, expected in (
        ("weights are infinite", np.isinf(values), "finite weights, NaN where never seen"),
        ("weights are negative", values < 0, "weights from 0"),
    ):
        if bad.any():
            raise DataError(
                what,
                where=_pair(bad, labels),
                found=f"{int(bad.sum())} entries, the first is {values[bad][0]:g}",
                expected=expected,
                hint="weights.clip(min=0) drops negative ones" if (values < 0).any() else None,
            )
    largest = np.nanmax(values, initial=0.0)
    one_sided = np.isnan(values) != np.isnan(values.T)
    bad = one_sided | (np.abs(values - values.T) > ASYMMETRY * largest)
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise DataError(
            "weights are not symmetric",
            where=_pair(bad, labels),
            found=f"{values[i, j]:g} and {values[j, i]:g}",
            expected="the same weight in both directions",
            hint="(weights + weights.T) / 2 takes the mean of both",
        )


def _pair(bad: NDArray[np.bool_], labels: NDArray[np.str_]) -> str:
    i, j = np.argwhere(bad)[0]
    return f"pair {str(labels[i])!r}, {str(labels[j])!r}"
