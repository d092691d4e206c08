"""Evidence of the weights between two communities, in closed form, and the prior of partitions.

Every family integrates its parameters out and ends in one shape, which is what makes the search
fast. With ``m`` edges between two communities and sums ``first`` and ``second`` over them::

    evidence = by_count[m] - shape[m] * log(base + second - pull[m] * first ** 2)

The part of the edges adds ``log B(m + 1, n - m + 1)`` for ``n`` pairs, or, corrected for degrees,
``- (1 + m) * log(1 + exposure)``. Terms that no partition changes (Jacobians among them) are kept
in ``constant``, so that families compare.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

from neurodyn.errors import DegenerateInputError
from neurodyn.models.connectome.communities.config import BlockModelConfig, Family
from neurodyn.models.connectome.communities.graph import WeightedGraph

__all__ = [
    "BERNOULLI",
    "DEGREE_CORRECTED",
    "UNINFORMATIVE",
    "Evidence",
    "build_evidence",
    "strengths",
]

FloatArray = NDArray[np.float64]
UNINFORMATIVE, BERNOULLI, DEGREE_CORRECTED = 0, 1, 2
EXPOSURE, EDGE, FIRST, SECOND = range(4)
# normal-inverse-gamma prior of log weights: pairs that the mean and the variance are worth
MEAN_PAIRS, VARIANCE_SHAPE = 0.1, 1.5
# variance of log weights under which they are all the same number
NO_VARIANCE = 1e-12


class Evidence(NamedTuple):
    """What the search needs to know of a graph and a family; plain arrays, for compiled code.

    Parameters
    ----------
    pairs
        Additive statistics of each pair of nodes, shape ``(roi, roi, 4)``: exposure (1 where the
        pair was seen, or the expected number of edges), edge (0 or 1), first and second sum.
    by_count, shape, pull
        By number of edges; see the module.
    base
        Scale of the prior.
    edges
        ``UNINFORMATIVE``, ``BERNOULLI`` or ``DEGREE_CORRECTED``.
    log_factorial
        Of whole numbers.
    count_prior
        Log probability of the sizes given the number of communities, by that number.
    constant
        What no partition changes.
    """

    pairs: FloatArray
    by_count: FloatArray
    shape: FloatArray
    pull: FloatArray
    base: float
    edges: int
    log_factorial: FloatArray
    count_prior: FloatArray
    constant: float


class _Weights(NamedTuple):
    """The part of one family."""

    first: FloatArray
    second: FloatArray
    by_count: FloatArray
    shape: FloatArray
    pull: FloatArray
    base: float
    constant: float


def strengths(graph: WeightedGraph) -> FloatArray:
    """Return the mean positive weight of each node over that of all; 1 for a node without edges.

    Examples
    --------
    >>> from neurodyn.models.connectome.communities.graph import read_graph
    >>> strengths(read_graph(np.array([[0, 1, 3], [1, 0, 0], [3, 0, 0]]))).tolist()
    [1.0, 0.5, 1.5]
    """
    degree = (graph.weights > 0).sum(axis=1)
    mean = graph.weights.sum(axis=1) / np.maximum(degree, 1)
    overall = graph.weights.sum() / degree.sum()
    return np.where(degree > 0, mean / overall, 1.0)


def build_evidence(graph: WeightedGraph, family: Family, config: BlockModelConfig) -> Evidence:
    """Prepare a graph for a family.

    Raises
    ------
    DegenerateInputError
        If all weights are equal and the family is log-normal, whose density then is infinite.

    Examples
    --------
    >>> from neurodyn.models.connectome.communities.graph import read_graph
    >>> graph = read_graph(np.array([[0, 1, 3], [1, 0, 0], [3, 0, 0]]))
    >>> build_evidence(graph, "exponential", BlockModelConfig()).pairs.shape
    (3, 3, 4)
    """
    weights = graph.weights
    constant = 0.0
    if config.strength_correction:
        both = np.multiply.outer(strengths(graph), strengths(graph))
        weights = weights / both
        # the density of the weights as they were given
        constant -= float(np.log(both[np.triu(graph.weights) > 0]).sum())
    edge = weights > 0
    n_pairs = int(graph.seen.sum()) // 2
    count = np.arange(int(edge.sum()) // 2 + 1, dtype=np.float64)
    part = _lognormal(weights, count) if family == "lognormal" else None
    if part is None:
        nu = config.gamma_shape if family == "gamma" else 1.0
        part = _gamma(weights, count, nu)
    edges, exposure, by_edges, edge_constant = _edges(graph, edge, count, n_pairs, config)
    log_factorial = gammaln(np.arange(max(n_pairs, graph.n_nodes) + 2) + 1.0)
    return Evidence(
        np.stack([exposure, edge, part.first, part.second], axis=-1),
        part.by_count + by_edges,
        part.shape,
        part.pull,
        part.base,
        edges,
        log_factorial,
        _count_prior(graph.n_nodes),
        constant + part.constant + edge_constant - gammaln(graph.n_nodes + 1.0),
    )


def _gamma(weights: FloatArray, count: FloatArray, nu: float) -> _Weights:
    """Gamma of fixed shape, its rate integrated over an exponential prior; 1 is exponential."""
    positive = weights[np.triu(weights) > 0]
    base = float(positive.mean()) / nu
    shape = 1.0 + nu * count
    by_count = np.log(base) + gammaln(shape) - count * gammaln(nu)
    constant = (nu - 1.0) * float(np.log(positive).sum())
    zero = np.zeros_like(weights)
    return _Weights(zero, weights, by_count, shape, np.zeros_like(count), base, constant)


def _lognormal(weights: FloatArray, count: FloatArray) -> _Weights:
    """Log-normal, mean and variance integrated over a normal-inverse-gamma prior."""
    upper = np.log(weights[np.triu(weights) > 0])
    variance = float(upper.var())
    if variance < NO_VARIANCE:
        raise DegenerateInputError(
            "equal weights have no log-normal distribution",
            found=f"{upper.size} edges of one weight",
            hint="family='exponential' leaves the communities to the edges",
        )
    # from the mean of the prior: small numbers, and the term of the mean drops out
    first = np.log(weights, out=np.full_like(weights, upper.mean()), where=weights > 0)
    first -= upper.mean()
    base = variance / 2
    shape = VARIANCE_SHAPE + count / 2
    by_count = gammaln(shape) - gammaln(VARIANCE_SHAPE) + VARIANCE_SHAPE * np.log(base)
    by_count += np.log(MEAN_PAIRS / (MEAN_PAIRS + count)) / 2 - count / 2 * np.log(2 * np.pi)
    pull = 0.5 / (MEAN_PAIRS + count)
    return _Weights(first, first**2 / 2, by_count, shape, pull, base, -float(upper.sum()))


def _edges(
    graph: WeightedGraph,
    edge: NDArray[np.bool_],
    count: FloatArray,
    n_pairs: int,
    config: BlockModelConfig,
) -> tuple[int, FloatArray, FloatArray, float]:
    """Return the kind of the edge part, the exposure of pairs, its table and its constant."""
    seen = graph.seen.astype(np.float64)
    if count.size - 1 == n_pairs:
        return UNINFORMATIVE, seen, np.zeros_like(count), 0.0
    if config.edges == "uniform":
        constant = float(betaln(count[-1] + 1.0, n_pairs - count[-1] + 1.0))
        return UNINFORMATIVE, seen, np.zeros_like(count), constant
    if config.edges == "bernoulli":
        return BERNOULLI, seen, gammaln(count + 1.0), 0.0
    degree = edge.sum(axis=1)
    exposure = seen * np.multiply.outer(degree, degree) / degree.sum()
    constant = float(np.log(exposure[np.triu(edge)]).sum())
    return DEGREE_CORRECTED, exposure, gammaln(count + 1.0), constant


def _count_prior(n_nodes: int) -> FloatArray:
    """Return the log prior of ``0 … n_nodes`` communities: any number, then any sizes."""
    number = np.arange(1, n_nodes + 1)
    choices = gammaln(n_nodes) - gammaln(number) - gammaln(n_nodes - number + 1)
    prior: FloatArray = np.concatenate([[-np.inf], -choices - np.log(n_nodes)])
    return prior
