"""An affinity of which every number is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from neurodyn.errors import ConfigError, DataError
from neurodyn.transforms.connectivity.affinity import Affinity, pair_index

__all__ = ["DenseAffinity", "as_affinity"]

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class DenseAffinity(Affinity):
    """Affinities held in memory.

    Parameters
    ----------
    values
        Shape ``(animal, time, pair)``, finite, at least 0, zero outside the mask.
    """

    values: Array

    @classmethod
    def of(cls, affinity: Affinity) -> Self:
        """Store an affinity of any form."""
        stacked = [
            np.nan_to_num(affinity.block(animal, 0, affinity.n_time), copy=False)
            for animal in range(affinity.n_animals)
        ]
        return cls(
            values=np.stack(stacked),
            mask=affinity.mask,
            node_dim=affinity.node_dim,
            coords=affinity.coords,
            has_animals=affinity.has_animals,
            attrs=affinity.attrs,
        )

    @property
    def n_time(self) -> int:
        """Times of the affinity."""
        return int(self.values.shape[1])

    def pairs(self, weight: Array) -> Array:
        """Return the contraction over time and animals, see :meth:`Affinity.pairs`."""
        total = np.zeros((len(weight), self.values.shape[2]), dtype=self.values.dtype)
        for animal, values in enumerate(self.values):
            over_time = weight[:, animal].astype(values.dtype, copy=False)
            total += (over_time @ values) * self.mask[:, animal]
        return total

    def activity(self, pair: Array) -> Array:
        """Return the contraction over pairs, see :meth:`Affinity.activity`."""
        weight = pair.astype(self.values.dtype, copy=False)
        found = [
            (values @ (weight * self.mask[:, animal]).T).T
            for animal, values in enumerate(self.values)
        ]
        return np.stack(found, axis=1)

    def squares(self) -> NDArray[np.float64]:
        """Return sums of squares over time, see :meth:`Affinity.squares`."""
        total = np.einsum("wtp,wtp->pw", self.values, self.values, dtype=np.float64)
        return np.asarray(total, dtype=np.float64)

    def block(self, animal: int, start: int, stop: int) -> Array:
        """Return affinities ``(time, pair)``, see :meth:`Affinity.block`."""
        return np.where(self.mask[:, animal], self.values[animal, start:stop], np.nan)


def as_affinity(
    edges: xr.DataArray, node_dim: str = "roi", *, dtype: DTypeLike = np.float32
) -> DenseAffinity:
    """Take any series of pairs as an affinity; what is below 0 counts as none.

    So windowed correlations and every other measure can be factorised too.

    Parameters
    ----------
    edges
        Dims ``([animal,] time, pair)`` with the pairs of ``n`` nodes row by row, labelled by
        ``roi_from`` and ``roi_to``; a pair that an animal lacks is NaN throughout.
    node_dim
        ``"roi"``, ``"unit"``, … as in the names of the labels.
    dtype
        In which it is stored.

    Raises
    ------
    ConfigError
        If dims or labels are others.
    DataError
        If a pair is NaN for a while only.

    Examples
    --------
    >>> labels = {"roi_from": ("pair", ["a", "a", "b"]), "roi_to": ("pair", ["b", "c", "c"])}
    >>> edges = xr.DataArray([[0.5, -0.2, 0.1]], dims=("time", "pair"), coords=labels)
    >>> as_affinity(edges.assign_coords(time=[0.0]), dtype=float).values.ravel().tolist()
    [0.5, 0.0, 0.1]
    """
    has_animals = "animal" in edges.dims
    array = edges if has_animals else edges.expand_dims(animal=["0"])
    names = f"{node_dim}_from", f"{node_dim}_to"
    if {*array.dims} != {"animal", "time", "pair"} or not {*names} <= {*array.coords}:
        raise ConfigError(
            "not a series of pairs",
            found=f"dims {', '.join(map(str, edges.dims))},"
            f" coordinates {', '.join(map(str, edges.coords))}",
            expected=f"dims ([animal,] time, pair), coordinates {' and '.join(names)}",
        )
    array = array.transpose("animal", "time", "pair")
    nodes = _nodes(array[names[0]].values, array[names[1]].values)
    values = np.array(array.values, dtype=dtype)
    finite = np.isfinite(values)
    mask = finite.all(axis=1)
    _refuse_interrupted(finite, array["animal"].values)
    coords = {str(n): c for n, c in array.coords.items() if c.dims and "pair" not in c.dims}
    return DenseAffinity(
        values=np.where(mask[:, None], np.maximum(values, 0, where=finite, out=values), 0),
        mask=mask.T.copy(),
        node_dim=node_dim,
        coords={**coords, node_dim: xr.DataArray(nodes, dims=node_dim)},
        has_animals=has_animals,
        attrs=dict(edges.attrs),
    )


def _refuse_interrupted(finite: NDArray[np.bool_], animals: Array) -> None:
    partly = finite.any(axis=1) & ~finite.all(axis=1)
    if partly.any():
        animal, pair = np.argwhere(partly)[0]
        raise DataError(
            f"{int(partly.sum())} pairs are missing for a while",
            where=f"animal {animals[animal]}, pair {pair}",
            found=f"{int((~finite[animal, :, pair]).sum())} of {finite.shape[1]} times",
            expected="finite affinities, or NaN throughout",
        )


def _nodes(first: Array, second: Array) -> Array:
    """Return the labels of the nodes of all pairs, in order."""
    nodes = np.append(first[:1], second[: np.count_nonzero(first == first[0])])
    rows, columns = pair_index(nodes.size)
    if rows.size != first.size or (nodes[rows] != first).any() or (nodes[columns] != second).any():
        raise ConfigError(
            "pairs are not those of an upper triangle, row by row",
            found=f"{first.size} pairs, {nodes.size} nodes with the first one",
            expected=f"{rows.size} pairs",
        )
    return nodes
