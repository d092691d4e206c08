"""Non-negative factorisation of affinities by hierarchical alternating least squares (HALS)."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn.transforms.connectivity import Affinity, FeatureAffinity

__all__ = [
    "Factors",
    "Model",
    "NeuronModel",
    "PairModel",
    "descend",
    "initial",
    "update",
    "update_columns",
]

Array = NDArray[Any]
INNER_SWEEPS = 2


class Factors(NamedTuple):
    """Non-negative factors, components first: of nodes or pairs, of times, of animals."""

    node: tuple[Array, ...]
    """One array ``(component, pair)``, or two ``(component, node)`` in neuron mode."""
    time: Array
    animal: Array


class Model(Protocol):
    """One way to factorise: what a sweep does and what is left unexplained."""

    norm_squared: float

    def start(self, rank: int, rng: Generator) -> Factors:
        """Return random factors."""

    def sweep(self, factors: Factors) -> tuple[Factors, float]:
        """Update all factors once; return them and the residual sum of squares."""


class PairModel:
    """``a_p(t, w) ~ sum_r pair_rp time_rt animal_rw``, with exact masks.

    Pairs that an animal lacks are no data there: each pair, and each animal, has Gram matrices
    of its own, which do not depend on time.

    Parameters
    ----------
    affinity
        Of any form.

    References
    ----------
    Cichocki and Phan, IEICE Trans. Fundamentals E92-A (2009): HALS.
    """

    def __init__(self, affinity: Affinity) -> None:
        self.affinity = affinity
        self.norm_squared = affinity.norm_squared()
        self._mask = affinity.mask.T.astype(np.float64)
        self._complete = bool(affinity.mask.all())

    def start(self, rank: int, rng: Generator) -> Factors:
        """Return uniform random factors, scaled to the size of the data."""
        n_animals, n_pairs = self._mask.shape
        sizes = (n_pairs, self.affinity.n_time, n_animals)
        pair, time, animal = initial(sizes, rank, self.norm_squared, rng)
        # what no data reach keeps its start, so that is 0
        return Factors((pair * self._mask.any(axis=0),), time, animal * self._mask.any(axis=1))

    def sweep(self, factors: Factors) -> tuple[Factors, float]:
        """Update pairs, times and animals; two passes over the data."""
        (pair,), time, animal = factors
        weight = animal[:, :, None] * time[:, None, :]
        pair = self._update_pairs(pair, time, animal, self.affinity.pairs(weight))
        activity = self.affinity.activity(pair).astype(np.float64)
        grams = _grams(pair, self._mask, self._complete)
        time, animal, residual = _update_courses(self.norm_squared, activity, grams, time, animal)
        return Factors((pair,), time, animal), residual

    def residual(self, factors: Factors) -> float:
        """Return the residual sum of squares of given factors."""
        (pair,), time, animal = factors
        over_time = np.einsum("rwt,rt->rw", self.affinity.activity(pair).astype(float), time)
        of_time = _grams(pair, self._mask, self._complete) * (time @ time.T)
        return _residual(self.norm_squared, over_time, of_time, animal)

    def _update_pairs(self, pair: Array, time: Array, animal: Array, target: Array) -> Array:
        of_time = time @ time.T
        if self._complete:
            return update(pair, target, of_time * (animal @ animal.T))
        pair = pair.copy()
        for _ in range(INNER_SWEEPS):
            for row in range(len(pair)):
                # the Gram row of every pair: over the animals in which it was seen
                overlap = (animal * animal[row]) @ self._mask
                gram = of_time[row][:, None] * overlap
                seen = gram[row] > 0
                step = np.divide(
                    target[row] - (gram * pair).sum(axis=0),
                    gram[row],
                    out=np.zeros(pair.shape[1]),
                    where=seen,
                )
                pair[row] = np.maximum(pair[row] + step, 0.0) * seen
        return pair


class NeuronModel:
    """``a_ij(t, w) ~ sum_r first_ri second_rj time_rt animal_rw`` over all ``i, j``.

    The diagonal counts as zeros, as it does where the tensor is stored. Nothing of size
    ``N² T`` is made. Nodes that an animal lacks are no data there.

    Parameters
    ----------
    affinity
        With all pairs of the nodes that an animal has.
    """

    def __init__(self, affinity: FeatureAffinity) -> None:
        self.affinity = affinity
        self.norm_squared = 2 * affinity.norm_squared()
        self._seen = (affinity.feature != 0).any(axis=(0, 2)).astype(np.float64)
        self._complete = bool(self._seen.all())

    def start(self, rank: int, rng: Generator) -> Factors:
        """Return uniform random factors, scaled to the size of the data."""
        affinity = self.affinity
        sizes = (affinity.n_nodes, affinity.n_nodes, affinity.n_time, affinity.n_animals)
        first, _, time, animal = initial(sizes, rank, self.norm_squared, rng)
        # equal beginnings: the tensor is symmetric
        first = first * self._seen.any(axis=0)
        return Factors((first, first), time, animal * (self._seen.sum(axis=1) > 1))

    def sweep(self, factors: Factors) -> tuple[Factors, float]:
        """Update both node factors, times and animals."""
        (first, second), time, animal = factors
        affinity, dtype = self.affinity, self.affinity.feature.dtype
        weight = (animal[:, :, None] * time[:, None, :]).astype(dtype)
        of_weight = (time @ time.T)[None] * np.einsum("rw,sw->wrs", animal, animal)
        projected = affinity.project(second.astype(dtype))
        target = affinity.nodes(projected, second.astype(dtype), weight)
        first = self._update_nodes(first, target, second, of_weight)
        projected_first = affinity.project(first.astype(dtype))
        target = affinity.nodes(projected_first, first.astype(dtype), weight)
        second = self._update_nodes(second, target, first, of_weight)
        projected = affinity.project(second.astype(dtype))
        product = (first * second).astype(dtype)
        activity = affinity.quadratic(projected_first, projected, product).astype(np.float64)
        grams = self._grams(first) * self._grams(second)
        time, animal, residual = _update_courses(self.norm_squared, activity, grams, time, animal)
        return Factors((first, second), time, animal), residual

    def _update_nodes(self, own: Array, target: Array, other: Array, of_weight: Array) -> Array:
        grams = self._grams(other) * of_weight
        if self._complete:
            return update(own, target, grams.sum(axis=0))
        by_node = np.einsum("wrs,wi->irs", grams, self._seen)
        return update_columns(own, target, by_node)

    def _grams(self, factor: Array) -> Array:
        return _grams(factor, self._seen, self._complete)


def initial(
    sizes: tuple[int, ...], rank: int, norm_squared: float, rng: Generator
) -> tuple[Array, ...]:
    """Return uniform random factors ``(component, size)`` whose model has the norm of the data."""
    factors = [rng.random((rank, size)) for size in sizes]
    gram = np.ones((rank, rank))
    for factor in factors:
        gram *= factor @ factor.T
    scale = (norm_squared / gram.sum()) ** (0.5 / len(factors)) if norm_squared else 1.0
    return tuple(factor * scale for factor in factors)


def update(factor: Array, target: Array, gram: Array) -> Array:
    """Return ``factor (component, n)`` after rows in turn took their best non-negative values.

    Examples
    --------
    >>> update(np.zeros((1, 2)), np.array([[2.0, -1.0]]), np.array([[4.0]]))
    array([[0.5, 0. ]])
    """
    factor = factor.copy()
    for _ in range(INNER_SWEEPS):
        for row, (wanted, overlap) in enumerate(zip(target, gram)):
            if overlap[row] > 0:
                step = (wanted - overlap @ factor) / overlap[row]
                np.maximum(factor[row] + step, 0.0, out=factor[row])
    return factor


def update_columns(factor: Array, target: Array, grams: Array) -> Array:
    """Do what :func:`update` does where each column has a Gram matrix of its own.

    Examples
    --------
    >>> update_columns(np.zeros((1, 2)), np.array([[2.0, 3.0]]), np.array([[[4.0]], [[0.0]]]))
    array([[0.5, 0. ]])
    """
    factor = factor.copy()
    for _ in range(INNER_SWEEPS):
        for row in range(len(factor)):
            own = grams[:, row, row]
            rest = np.einsum("ws,sw->w", grams[:, row], factor)
            step = np.divide(target[row] - rest, own, out=np.zeros_like(own), where=own > 0)
            factor[row] = np.maximum(factor[row] + step, 0.0)
    return factor


def _grams(factor: Array, mask: Array, complete: bool) -> Array:
    """Return ``sum_i mask_wi factor_ri factor_si``, shape ``(animal, component, component)``."""
    if complete:
        return np.broadcast_to(factor @ factor.T, (len(mask), len(factor), len(factor)))
    return np.stack([(factor * seen) @ factor.T for seen in mask])


def _update_courses(
    norm_squared: float, activity: Array, grams: Array, time: Array, animal: Array
) -> tuple[Array, Array, float]:
    """Update times, then animals, with the graphs held fixed; return them and the residual."""
    gram = np.einsum("wrs,rw,sw->rs", grams, animal, animal)
    time = update(time, np.einsum("rwt,rw->rt", activity, animal), gram)
    over_time = np.einsum("rwt,rt->rw", activity, time)
    of_time = grams * (time @ time.T)
    animal = update_columns(animal, over_time, of_time)
    return time, animal, _residual(norm_squared, over_time, of_time, animal)


def _residual(norm_squared: float, target: Array, grams: Array, animal: Array) -> float:
    """Return ``|X - X'|²`` from ``target = <X, …>`` and the Gram matrices of the animals."""
    model = sum(float(one @ gram @ one) for one, gram in zip(animal.T, grams))
    # rounding can leave less than nothing
    return max(norm_squared - 2 * float((target * animal).sum()) + model, 0.0)


def descend(
    model: Model, rank: int, rng: Generator, *, n_sweeps: int, tolerance: float, patience: int = 10
) -> tuple[Factors, list[float]]:
    """Sweep from a random start until the relative error falls by less than ``tolerance``.

    Parameters
    ----------
    model
        :class:`PairModel` or :class:`NeuronModel`.
    rank
        Components.
    rng
        Of the start.
    n_sweeps
        At most.
    tolerance, patience
        Stop when the error fell by less than ``tolerance`` over ``patience`` sweeps.

    Returns
    -------
    factors, errors
        ``sqrt(residual / norm)`` after each sweep.
    """
    factors = model.start(rank, rng)
    errors: list[float] = []
    for _ in range(n_sweeps):
        factors, residual = model.sweep(factors)
        errors.append(float(np.sqrt(residual / model.norm_squared)))
        if len(errors) > patience and errors[-patience - 1] - errors[-1] < tolerance:
            break
    return factors, errors
