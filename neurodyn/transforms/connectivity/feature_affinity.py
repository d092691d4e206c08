"""Affinities that are sums of products of features of the two nodes: no pair is ever stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.transforms.connectivity.affinity import Affinity, pair_index, pair_matrix

__all__ = ["FeatureAffinity"]

Array = NDArray[Any]
PAIRS_AT_ONCE = 2**22


@dataclass(frozen=True, kw_only=True)
class FeatureAffinity(Affinity):
    """``a_ij(t, w) = sum_f sign_f x_fi(t, w) x_fj(t, w)``, then smoothed over time.

    With two features this costs ``4 N T W`` numbers instead of ``N² T W / 2``.

    Parameters
    ----------
    feature
        Shape ``(feature, animal, sample, node)``, zero where a node was not recorded.
    sign
        Shape ``(feature,)``, any real numbers.
    smoothing
        Sparse ``(time, sample)``: the affinity is smoothed and decimated by it; none: unsmoothed.
    """

    feature: Array
    sign: NDArray[np.float64]
    smoothing: Any = None

    @property
    def n_time(self) -> int:
        """Times of the affinity."""
        return int(self.feature.shape[2] if self.smoothing is None else self.smoothing.shape[0])

    def pairs(self, weight: Array) -> Array:
        """Return the contraction over time and animals, see :meth:`Affinity.pairs`."""
        first, second = pair_index(self.n_nodes)
        total = np.zeros((len(weight), first.size), dtype=self.feature.dtype)
        for animal in range(self.n_animals):
            seen = self.mask[:, animal]
            for row, over_time in zip(total, weight[:, animal]):
                graph = self._graph(animal, self._spread(over_time))
                row += graph[first, second] * seen
        return total

    def activity(self, pair: Array) -> Array:
        """Return the contraction over pairs, see :meth:`Affinity.activity`."""
        found = np.empty((len(pair), self.n_animals, self.n_time), dtype=self.feature.dtype)
        for animal in range(self.n_animals):
            matrices = pair_matrix(pair * self.mask[:, animal], self.n_nodes)
            for component, matrix in enumerate(matrices):
                half = self._quadratic(animal, matrix.astype(self.feature.dtype, copy=False))
                found[component, animal] = self._smoothed(half / 2)
        return found

    def squares(self) -> NDArray[np.float64]:
        """Return sums of squares over time, see :meth:`Affinity.squares`."""
        first, second = pair_index(self.n_nodes)
        found = np.zeros((first.size, self.n_animals))
        for animal in range(self.n_animals):
            if self.smoothing is None:
                found[:, animal] = self._cross_products(animal)[first, second]
            else:
                step = max(1, PAIRS_AT_ONCE // max(first.size, 1))
                for start in range(0, self.n_time, step):
                    part = self._block(animal, start, min(start + step, self.n_time))
                    found[:, animal] += np.square(part, dtype=np.float64).sum(axis=0)
        return found

    def block(self, animal: int, start: int, stop: int) -> Array:
        """Return affinities ``(time, pair)``, see :meth:`Affinity.block`."""
        return np.where(self.mask[:, animal], self._block(animal, start, stop), np.nan)

    def project(self, node_factor: Array) -> Array:
        """Return ``sum_i x_fi factor_r(i)``, shape ``(component, feature, animal, sample)``."""
        flat = self.feature.reshape(-1, self.n_nodes)
        return np.asarray(
            (flat @ node_factor.T).T.reshape(len(node_factor), *self.feature.shape[:3])
        )

    def nodes(self, projected: Array, node_factor: Array, weight: Array) -> Array:
        """Return ``sum_jtw a_ij(t, w) factor_r(j) weight_r(w, t)`` over ``j != i``.

        Parameters
        ----------
        projected, node_factor
            :meth:`project` of the factor, and the factor ``(component, node)``.
        weight
            Shape ``(component, animal, time)``.

        Returns
        -------
        Shape ``(component, node)``.
        """
        spread = np.stack([self._spread(row) for row in weight.reshape(-1, self.n_time)])
        spread = spread.reshape(len(weight), self.n_animals, -1)
        signs = self.sign.astype(self.feature.dtype)[:, None, None]
        weighted = (projected * signs * spread[:, None]).reshape(len(weight), -1)
        found = weighted @ self.feature.reshape(-1, self.n_nodes)
        own = spread.reshape(len(weight), -1) @ self._diagonal.reshape(-1, self.n_nodes)
        return np.asarray(found - own * node_factor)

    def quadratic(self, projected: Array, other: Array, product: Array) -> Array:
        """Return ``sum_ij a_ij(t, w) a_r(i) b_r(j)`` over ``i != j``.

        Parameters
        ----------
        projected, other
            :meth:`project` of both factors.
        product
            ``a_r(i) b_r(i)``, shape ``(component, node)``.

        Returns
        -------
        Shape ``(component, animal, time)``.
        """
        signs = self.sign.astype(self.feature.dtype)
        both = np.einsum("rfws,rfws,f->rws", projected, other, signs)
        own = (self._diagonal.reshape(-1, self.n_nodes) @ product.T).T.reshape(both.shape)
        over_time = (both - own).reshape(-1, both.shape[-1])
        found = np.stack([self._smoothed(row) for row in over_time])
        return found.reshape(len(product), self.n_animals, self.n_time)

    @cached_property
    def _diagonal(self) -> Array:
        """What pairs lack: ``sum_f sign_f x_fi²``, shape ``(animal, sample, node)``."""
        return np.asarray(
            sum(float(sign) * np.square(one) for sign, one in zip(self.sign, self.feature))
        )

    def _graph(self, animal: int, weight: Array) -> Array:
        """Return ``sum_s weight(s) a_ij(s)``, shape ``(node, node)``, diagonal meaningless."""
        total = np.zeros((self.n_nodes, self.n_nodes), dtype=self.feature.dtype)
        root = np.sqrt(np.abs(weight))[:, None]
        same_sign = bool((weight >= 0).all())
        for sign, feature in zip(self.sign, self.feature[:, animal]):
            scaled = feature * root
            # one matrix with itself is half the work
            right = scaled if same_sign else scaled * np.sign(weight)[:, None]
            total += float(sign) * (scaled.T @ right)
        return total

    def _quadratic(self, animal: int, matrix: Array) -> Array:
        total = np.zeros(self.feature.shape[2], dtype=self.feature.dtype)
        for sign, feature in zip(self.sign, self.feature[:, animal]):
            total += float(sign) * np.einsum("si,si->s", feature @ matrix, feature)
        return total

    def _cross_products(self, animal: int) -> NDArray[np.float64]:
        """Return ``sum_s a_ij(s)²``, shape ``(node, node)``."""
        total = np.zeros((self.n_nodes, self.n_nodes))
        features = self.feature[:, animal].astype(np.float64)
        for one, other in combinations_with_replacement(range(len(features)), 2):
            product = features[one] * features[other]
            twice = 1.0 if one == other else 2.0
            total += twice * self.sign[one] * self.sign[other] * (product.T @ product)
        return total

    def _block(self, animal: int, start: int, stop: int) -> Array:
        first, second = pair_index(self.n_nodes)
        if self.smoothing is None:
            rows, samples = None, slice(start, stop)
        else:
            rows = self.smoothing[start:stop]
            used = np.unique(rows.indices)
            samples = slice(int(used[0]), int(used[-1]) + 1)
            rows = rows[:, samples]
        part = self.feature[:, animal, samples]
        raw = sum(
            float(sign) * (one[:, first] * one[:, second]) for sign, one in zip(self.sign, part)
        )
        return np.asarray(raw if rows is None else rows @ raw)

    def _spread(self, over_time: Array) -> Array:
        """Return a weight of times as one of samples."""
        over = over_time.astype(self.feature.dtype, copy=False)
        return np.asarray(over if self.smoothing is None else self.smoothing.T @ over)

    def _smoothed(self, over_samples: Array) -> Array:
        return np.asarray(over_samples if self.smoothing is None else self.smoothing @ over_samples)
