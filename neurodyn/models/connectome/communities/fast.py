"""The moves of :mod:`neurodyn.models.connectome.communities.partition` with numba (``fast``)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neurodyn.models.connectome.communities.evidence import (
    BERNOULLI,
    DEGREE_CORRECTED,
    EDGE,
    EXPOSURE,
    FIRST,
    SECOND,
    Evidence,
)
from neurodyn.models.connectome.communities.partition import TIE, Partition, fill_partition

__all__ = ["make_partition", "merge_changes", "visit_nodes"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def make_partition(evidence: Evidence, block: NDArray[np.integer[Any]]) -> Partition:
    """Do what :func:`neurodyn.models.connectome.communities.partition.make_partition` does."""
    return fill_partition(evidence, block, block_sums)


def visit_nodes(
    evidence: Evidence,
    partition: Partition,
    nodes: IntArray,
    draws: FloatArray,
    forced: IntArray,
    between: tuple[int, int],
    greedy: bool,
) -> tuple[int, float]:
    """Do what :func:`neurodyn.models.connectome.communities.partition.visit_nodes` does."""
    moved, log_probability = visit_kernel(
        evidence, partition, nodes, draws, forced, between[0], between[1], greedy
    )
    return int(moved), float(log_probability)


def merge_changes(evidence: Evidence, partition: Partition) -> FloatArray:
    """Do what :func:`neurodyn.models.connectome.communities.partition.merge_changes` does."""
    return np.asarray(merge_kernel(evidence, partition))


@njit(cache=True)
def block_sums(pairs, block, n_blocks):  # type: ignore[no-untyped-def]
    """Add up the statistics of pairs of nodes by their blocks."""
    sums = np.zeros((n_blocks, n_blocks, 4))
    for node in range(block.size):
        for other in range(block.size):
            for kind in range(4):
                sums[block[node], block[other], kind] += pairs[node, other, kind]
    return sums


@njit(cache=True)
def edge_term(evidence, exposure, edge):  # type: ignore[no-untyped-def]
    """Return the part of the evidence that depends on the number of pairs."""
    if evidence.edges == BERNOULLI:
        pairs = int(exposure)
        free = pairs - int(edge)
        return evidence.log_factorial[free] - evidence.log_factorial[pairs + 1]
    if evidence.edges == DEGREE_CORRECTED:
        return -(1.0 + edge) * math.log(1.0 + exposure)
    return 0.0


@njit(cache=True)
def term(evidence, exposure, edge, first, second):  # type: ignore[no-untyped-def]
    """Return the evidence of a pair of blocks."""
    count = int(edge)
    scale = evidence.base + second - evidence.pull[count] * first * first
    value = evidence.by_count[count] - evidence.shape[count] * math.log(scale)
    return value + edge_term(evidence, exposure, edge)


@njit(cache=True)
def sum_of_pairs(evidence, block, node, own, n_blocks):  # type: ignore[no-untyped-def]
    """Write the sums over the pairs of a node with each block, and a row for a new block."""
    own[: n_blocks + 1] = 0.0
    for other in range(block.size):
        to = block[other]
        for kind in range(4):
            own[to, kind] += evidence.pairs[node, other, kind]


@njit(cache=True)
def take_out(evidence, partition, node, own):  # type: ignore[no-untyped-def]
    """Take a node out; return the block that it would go back to."""
    block, count, size, statistics, terms = partition
    n_blocks, before = count[0], block[node]
    size[before] -= 1
    block[node] = -1
    if size[before]:
        for to in range(n_blocks):
            for kind in range(4):
                statistics[before, to, kind] -= own[to, kind]
                statistics[to, before, kind] = statistics[before, to, kind]
            exposure, edge, first, second = statistics[before, to]
            terms[before, to] = term(evidence, exposure, edge, first, second)
            terms[to, before] = terms[before, to]
        return before
    last = n_blocks - 1
    for other in range(block.size):
        if block[other] == last:
            block[other] = before
    size[before] = size[last]
    size[last] = 0
    own[before] = own[last]
    own[last] = 0.0
    for to in range(n_blocks):
        statistics[before, to] = statistics[last, to]
        terms[before, to] = terms[last, to]
    for to in range(n_blocks):
        statistics[to, before] = statistics[to, last]
        terms[to, before] = terms[to, last]
    statistics[before, before] = statistics[last, last]
    terms[before, before] = terms[last, last]
    for to in range(n_blocks):
        statistics[last, to] = 0.0
        statistics[to, last] = 0.0
        terms[last, to] = 0.0
        terms[to, last] = 0.0
    count[0] = last
    return last


@njit(cache=True)
def gain_of(evidence, partition, own, chosen):  # type: ignore[no-untyped-def]
    """Return what a node adds to evidence and prior when it is put into a block."""
    n_blocks = partition.n_blocks[0]
    gain = 0.0
    for to in range(n_blocks):
        if own[to, EXPOSURE] == 0.0:
            continue
        exposure, edge, first, second = partition.statistics[chosen, to]
        if own[to, EDGE] == 0.0:
            # no new weight: the logarithm of the scale stays
            gain += edge_term(evidence, exposure + own[to, EXPOSURE], edge)
            gain -= edge_term(evidence, exposure, edge)
            continue
        gain -= partition.terms[chosen, to]
        gain += term(
            evidence,
            exposure + own[to, EXPOSURE],
            edge + own[to, EDGE],
            first + own[to, FIRST],
            second + own[to, SECOND],
        )
    gain += math.log(partition.size[chosen] + 1.0)
    return gain + evidence.count_prior[n_blocks + (1 if chosen == n_blocks else 0)]


@njit(cache=True)
def put_in(evidence, partition, node, own, chosen):  # type: ignore[no-untyped-def]
    """Put a node into a block, or into a new one."""
    block, count, size, statistics, terms = partition
    n_blocks = count[0]
    block[node] = chosen
    size[chosen] += 1
    for to in range(n_blocks):
        for kind in range(4):
            statistics[chosen, to, kind] += own[to, kind]
            statistics[to, chosen, kind] = statistics[chosen, to, kind]
        exposure, edge, first, second = statistics[chosen, to]
        terms[chosen, to] = term(evidence, exposure, edge, first, second)
        terms[to, chosen] = terms[chosen, to]
    if chosen == n_blocks:
        terms[chosen, chosen] = 0.0
        count[0] += 1


@njit(cache=True)
def choose(gains, stay, draw, forced, greedy):  # type: ignore[no-untyped-def]
    """Return the place of the chosen gain and its log probability."""
    highest = gains.max()
    if greedy:
        if gains[stay] >= highest - TIE:
            return stay, 0.0
        chosen = 0
        while gains[chosen] < highest - TIE:
            chosen += 1
        return chosen, 0.0
    total = np.cumsum(np.exp(gains - highest))
    chosen = forced
    if forced < 0:
        chosen = 0
        while total[chosen] <= draw * total[-1]:
            chosen += 1
    return chosen, gains[chosen] - highest - math.log(total[-1])


@njit(cache=True)
def visit_kernel(  # type: ignore[no-untyped-def]
    evidence, partition, nodes, draws, forced, left, right, greedy
):
    """Visit the nodes in turn."""
    moved, log_probability = 0, 0.0
    own = np.empty((partition.size.size + 1, 4))
    every = np.empty(partition.size.size + 1)
    for visit in range(nodes.size):
        node = nodes[visit]
        before = partition.block[node]
        if left >= 0 and partition.size[before] == 1:
            continue
        sum_of_pairs(evidence, partition.block, node, own, partition.n_blocks[0])
        stay = take_out(evidence, partition, node, own)
        target = forced[visit] if forced.size else -1
        if left >= 0:
            gains = every[:2]
            gains[0] = gain_of(evidence, partition, own, left)
            gains[1] = gain_of(evidence, partition, own, right)
            target = target if target < 0 else int(target == right)
            place, log_chosen = choose(gains, int(stay == right), draws[visit], target, greedy)
            chosen = right if place else left
        else:
            gains = every[: partition.n_blocks[0] + 1]
            for block in range(gains.size):
                gains[block] = gain_of(evidence, partition, own, block)
            chosen, log_chosen = choose(gains, stay, draws[visit], target, greedy)
        log_probability += log_chosen
        put_in(evidence, partition, node, own, chosen)
        moved += chosen != stay
    return moved, log_probability


@njit(cache=True)
def merge_kernel(evidence, partition):  # type: ignore[no-untyped-def]
    """Return by how much each merge lengthens the description."""
    _, count, size, statistics, terms = partition
    n_blocks = count[0]
    change = np.full((n_blocks, n_blocks), np.inf)
    if n_blocks == 1:
        return change
    log_factorial = evidence.log_factorial
    fewer = evidence.count_prior[n_blocks - 1] - evidence.count_prior[n_blocks]
    for a in range(n_blocks - 1):
        for b in range(a + 1, n_blocks):
            gain = log_factorial[size[a] + size[b]] - log_factorial[size[a]]
            gain += fewer - log_factorial[size[b]]
            for c in range(n_blocks):
                if c != a and c != b:
                    exposure, edge, first, second = statistics[a, c] + statistics[b, c]
                    gain += term(evidence, exposure, edge, first, second)
                    gain -= terms[a, c] + terms[b, c]
            inner = statistics[a, a] + statistics[b, b] + statistics[a, b]
            gain += term(evidence, inner[0], inner[1], inner[2], inner[3])
            change[a, b] = -(gain - terms[a, a] - terms[b, b] - terms[a, b])
    return change
