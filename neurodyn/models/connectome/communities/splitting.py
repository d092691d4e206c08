"""Where to cut a block in two: along the direction in which its nodes differ most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodyn.models.connectome.communities.evidence import (
    EDGE,
    EXPOSURE,
    FIRST,
    SECOND,
    Evidence,
)
from neurodyn.models.connectome.communities.partition import Partition

__all__ = ["leading_half", "random_half"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
N_ITERATIONS = 40


def random_half(members: IntArray, rng: np.random.Generator) -> IntArray:
    """Return a random half of the members of a block.

    Examples
    --------
    >>> random_half(np.arange(5), np.random.default_rng(0)).size
    2
    """
    return rng.permutation(members)[: members.size // 2]


def leading_half(
    evidence: Evidence, partition: Partition, members: IntArray, rng: np.random.Generator
) -> IntArray:
    """Return the members on one side of the leading direction of what the blocks leave over.

    Just above the threshold of detectability a random half leads a greedy search back to one
    block, while this direction already tells most nodes apart. A random half is returned when
    there is nothing to tell.

    Examples
    --------
    >>> from neurodyn.models.connectome.communities.config import BlockModelConfig
    >>> from neurodyn.models.connectome.communities.evidence import build_evidence
    >>> from neurodyn.models.connectome.communities.graph import read_graph
    >>> from neurodyn.models.connectome.communities.partition import make_partition
    >>> graph = read_graph(np.kron(np.eye(2), np.ones((3, 3))) + 1.0)
    >>> evidence = build_evidence(graph, "exponential", BlockModelConfig())
    >>> whole = make_partition(evidence, np.zeros(6, int))
    >>> half = leading_half(evidence, whole, np.arange(6), np.random.default_rng(0))
    >>> half.tolist() in ([0, 1, 2], [3, 4, 5])
    True
    """
    residuals = _residuals(evidence, partition, members)
    # a node's own norm says nothing about its likeness to others
    norm = np.einsum("ij,ij->i", residuals, residuals)
    norm -= norm.mean()
    direction = rng.standard_normal(members.size)
    for _ in range(N_ITERATIONS):
        # without BLAS, whose threads take longer to start than this takes
        along = np.einsum("ij,i->j", residuals, direction)
        direction = np.einsum("ij,j->i", residuals, along) - norm * direction
        length = np.linalg.norm(direction)
        if not length:
            return random_half(members, rng)
        direction /= length
    half = members[direction > 0]
    return half if 0 < half.size < members.size else random_half(members, rng)


def _residuals(evidence: Evidence, partition: Partition, members: IntArray) -> FloatArray:
    """Return edges and weights of the members, less their mean over the other node's block."""
    pairs = evidence.pairs[members]
    weight = FIRST if pairs[..., FIRST].any() else SECOND
    parts = []
    for kind, of in ((EDGE, EXPOSURE), (weight, EDGE)):
        value, exposure = pairs[..., kind], pairs[..., of]
        total = np.bincount(partition.block, value.sum(axis=0))
        number = np.bincount(partition.block, exposure.sum(axis=0))
        mean = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
        residual = value - mean[partition.block] * exposure
        scale = residual.std()
        if scale > np.finfo(float).eps * np.abs(value).max(initial=0.0):
            parts.append(residual / scale)
    return np.concatenate(parts, axis=1) if parts else np.zeros((members.size, 1))
