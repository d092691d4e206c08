"""The affinity of all pairs of nodes at all times, as a linear map that need not be stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import DataError

__all__ = ["Affinity", "pair_coords", "pair_index", "pair_matrix", "pair_vector"]

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Affinity(ABC):
    """Non-negative affinities ``a_p(t, w)`` of pairs ``p = (i, j), i < j``, times and animals.

    Factorisation needs two products only, :meth:`pairs` and :meth:`activity`; they are adjoint.
    Both skip pairs that ``mask`` leaves out.

    Parameters
    ----------
    mask
        Shape ``(pair, animal)``: both nodes of the pair were recorded in the animal.
    node_dim
        ``"roi"``, ``"unit"``, ….
    coords
        Coordinates of nodes, times (those of the affinity) and animals.
    has_animals
        Whether results have a dim ``animal``.
    attrs
        How the affinity was made.
    """

    mask: NDArray[np.bool_]
    node_dim: str
    coords: Mapping[str, Any]
    has_animals: bool
    attrs: Mapping[str, Any]

    @abstractmethod
    def pairs(self, weight: Array) -> Array:
        """Return ``sum_tw a_p(t, w) weight_r(w, t)``, shape ``(component, pair)``.

        Parameters
        ----------
        weight
            Shape ``(component, animal, time)``.
        """

    @abstractmethod
    def activity(self, pair: Array) -> Array:
        """Return ``sum_p a_p(t, w) pair_r(p)``, shape ``(component, animal, time)``.

        Parameters
        ----------
        pair
            Shape ``(component, pair)``.
        """

    @abstractmethod
    def squares(self) -> NDArray[np.float64]:
        """Return ``sum_t a_p(t, w)²``, shape ``(pair, animal)``, of all pairs, masked or not."""

    @abstractmethod
    def block(self, animal: int, start: int, stop: int) -> Array:
        """Return affinities of one animal, shape ``(time, pair)``, NaN outside the mask."""

    @property
    @abstractmethod
    def n_time(self) -> int:
        """Times of the affinity."""

    @property
    def n_nodes(self) -> int:
        """Nodes."""
        return int(self.coords[self.node_dim].size)

    @property
    def n_animals(self) -> int:
        """Animals."""
        return int(self.mask.shape[1])

    def norm_squared(self) -> float:
        """Return the sum of all squared affinities inside the mask, accumulated in float64."""
        return float(self.squares()[self.mask].sum())

    def within(self, mask: NDArray[np.bool_]) -> Self:
        """Return the affinity of fewer pairs: those that ``mask (pair, animal)`` keeps too."""
        return replace(self, mask=self.mask & mask)

    def dense(self) -> xr.DataArray:
        """Return all affinities, dims ``([animal,] time, pair)``, NaN outside the mask."""
        stacked = [self.block(animal, 0, self.n_time) for animal in range(self.n_animals)]
        kept = {
            name: coord for name, coord in self.coords.items() if self.node_dim not in coord.dims
        }
        array = xr.DataArray(
            np.stack(stacked),
            dims=("animal", "time", "pair"),
            coords={**kept, **pair_coords(self.coords[self.node_dim].values, self.node_dim)},
            name="affinity",
            attrs=dict(self.attrs),
        )
        return array if self.has_animals else array.isel(animal=0, drop=True)


def pair_index(n_nodes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the nodes of each pair: the upper triangle without its diagonal, row by row.

    Examples
    --------
    >>> [index.tolist() for index in pair_index(3)]
    [[0, 0, 1], [1, 2, 2]]
    """
    first, second = np.triu_indices(n_nodes, 1)
    return first, second


def pair_coords(labels: Array, node_dim: str) -> dict[str, Any]:
    """Return the labels of the nodes of each pair as coordinates of ``pair``.

    Examples
    --------
    >>> list(pair_coords(np.array(["a", "b"]), "roi"))
    ['roi_from', 'roi_to']
    """
    first, second = pair_index(labels.size)
    names = f"{node_dim}_from", f"{node_dim}_to"
    return {name: ("pair", labels[index]) for name, index in zip(names, (first, second))}


def pair_matrix(values: Array, n_nodes: int) -> Array:
    """Return values ``(…, pair)`` as symmetric matrices ``(…, node, node)`` with zero diagonal.

    Examples
    --------
    >>> pair_matrix(np.array([1.0, 2.0, 3.0]), 3)[2]
    array([2., 3., 0.])
    """
    first, second = pair_index(n_nodes)
    matrix = np.zeros((*values.shape[:-1], n_nodes, n_nodes), dtype=values.dtype)
    matrix[..., first, second] = matrix[..., second, first] = values
    return matrix


def pair_vector(matrix: Array) -> Array:
    """Return the upper triangle of matrices ``(…, node, node)``, shape ``(…, pair)``.

    Raises
    ------
    DataError
        If the last two axes differ.

    Examples
    --------
    >>> pair_vector(np.arange(9).reshape(3, 3)).tolist()
    [1, 2, 5]
    """
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise DataError("not a matrix of pairs", found=matrix.shape, expected="(…, node, node)")
    first, second = pair_index(matrix.shape[-1])
    return np.asarray(matrix[..., first, second])
