"""A partition with its block statistics, and the moves that change it, in numpy.

:mod:`neurodyn.models.connectome.communities.fast` does the same with numba. Both take their
random numbers as arguments and settle ties alike, so they give the same partitions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodyn.models.connectome.communities.evidence import BERNOULLI, DEGREE_CORRECTED, Evidence

__all__ = [
    "ANYWHERE",
    "TIE",
    "Partition",
    "assign",
    "block_terms",
    "description_length",
    "fill_partition",
    "make_partition",
    "merge_changes",
    "visit_nodes",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# a smaller gain in nats is rounding, and no reason to move
TIE = 1e-8
# the pair of blocks that stands for all blocks and a new one
ANYWHERE = (-1, -1)


class Partition(NamedTuple):
    """Blocks and what the evidence needs of each pair of them; changed in place.

    Parameters
    ----------
    block
        Block of each node, shape ``(roi,)``: ``0 … n_blocks - 1``, none of them empty.
    n_blocks
        Shape ``(1,)``.
    size
        Nodes of each block; like the following with room for one block more than nodes.
    statistics
        Sums of :attr:`Evidence.pairs` over pairs of nodes, shape ``(block, block, 4)``.
    terms
        Evidence of each pair of blocks.
    """

    block: IntArray
    n_blocks: IntArray
    size: IntArray
    statistics: FloatArray
    terms: FloatArray


def make_partition(evidence: Evidence, block: NDArray[np.integer[Any]]) -> Partition:
    """Return the partition of given blocks, everything computed anew.

    Examples
    --------
    >>> from neurodyn.models.connectome.communities.config import BlockModelConfig
    >>> from neurodyn.models.connectome.communities.evidence import build_evidence
    >>> from neurodyn.models.connectome.communities.graph import read_graph
    >>> graph = read_graph(np.array([[0, 1, 3], [1, 0, 0], [3, 0, 0]]))
    >>> evidence = build_evidence(graph, "exponential", BlockModelConfig())
    >>> make_partition(evidence, np.array([5, 5, 2])).block.tolist()
    [1, 1, 0]
    """
    return fill_partition(evidence, block, _block_sums)


def fill_partition(
    evidence: Evidence,
    block: NDArray[np.integer[Any]],
    block_sums: Callable[[FloatArray, IntArray, int], FloatArray],
) -> Partition:
    """Return the partition of given blocks; ``block_sums`` adds up pairs of nodes by block."""
    label, index = np.unique(block, return_inverse=True)
    n_nodes, n_blocks = len(index), len(label)
    size = np.zeros(n_nodes + 1, dtype=np.int64)
    size[:n_blocks] = np.bincount(index)
    sums = block_sums(evidence.pairs, index, n_blocks)
    # inside a block each pair was met from both of its ends
    sums[range(n_blocks), range(n_blocks)] /= 2
    statistics = np.zeros((n_nodes + 1, n_nodes + 1, 4))
    statistics[:n_blocks, :n_blocks] = sums
    terms = np.zeros((n_nodes + 1, n_nodes + 1))
    terms[:n_blocks, :n_blocks] = block_terms(evidence, sums)
    count = np.array([n_blocks], dtype=np.int64)
    return Partition(index.astype(np.int64), count, size, statistics, terms)


def assign(partition: Partition, other: Partition) -> None:
    """Make ``partition`` equal to ``other``."""
    n_blocks = max(int(partition.n_blocks[0]), int(other.n_blocks[0]))
    partition.block[:] = other.block
    partition.n_blocks[:] = other.n_blocks
    part = slice(n_blocks)
    partition.size[part] = other.size[part]
    partition.statistics[part, part] = other.statistics[part, part]
    partition.terms[part, part] = other.terms[part, part]


def description_length(evidence: Evidence, partition: Partition) -> float:
    """Return the description length [nats]: minus log evidence, minus log prior.

    Examples
    --------
    >>> from neurodyn.models.connectome.communities.config import BlockModelConfig
    >>> from neurodyn.models.connectome.communities.evidence import build_evidence
    >>> from neurodyn.models.connectome.communities.graph import read_graph
    >>> graph = read_graph(np.array([[0, 1, 3], [1, 0, 2], [3, 2, 0]]))
    >>> config = BlockModelConfig(family="exponential", strength_correction=False)
    >>> evidence = build_evidence(graph, "exponential", config)
    >>> halves = make_partition(evidence, np.array([0, 0, 1]))
    >>> one = make_partition(evidence, np.zeros(3, int))
    >>> bool(description_length(evidence, one) < description_length(evidence, halves))
    True
    """
    n_blocks = int(partition.n_blocks[0])
    terms = partition.terms[:n_blocks, :n_blocks]
    evidence_of_pairs = (terms.sum() + np.trace(terms)) / 2
    prior = evidence.log_factorial[partition.size[:n_blocks]].sum() + evidence.count_prior[n_blocks]
    return -float(evidence_of_pairs + prior + evidence.constant)


def block_terms(evidence: Evidence, statistics: FloatArray) -> FloatArray:
    """Return the evidence of pairs of blocks, shape ``(…)``, from statistics ``(…, 4)``."""
    exposure, edge, first, second = (statistics[..., kind] for kind in range(4))
    count = edge.astype(np.int64)
    scale = evidence.base + second - evidence.pull[count] * first**2
    term = evidence.by_count[count] - evidence.shape[count] * np.log(scale)
    if evidence.edges == BERNOULLI:
        pairs = exposure.astype(np.int64)
        term += evidence.log_factorial[pairs - count] - evidence.log_factorial[pairs + 1]
    elif evidence.edges == DEGREE_CORRECTED:
        term -= (1.0 + edge) * np.log(1.0 + exposure)
    return np.asarray(term, dtype=np.float64)


def visit_nodes(
    evidence: Evidence,
    partition: Partition,
    nodes: IntArray,
    draws: FloatArray,
    forced: IntArray,
    between: tuple[int, int],
    greedy: bool,
) -> tuple[int, float]:
    """Take each node out of its block and put it where the description is shortest, or by chance.

    Parameters
    ----------
    evidence, partition
        The graph, and the partition that is changed.
    nodes
        Nodes in the order of their visits.
    draws
        Numbers from [0, 1), one for each visit; unused with ``greedy``.
    forced
        Blocks to choose, one for each visit; empty: free choice.
    between
        The two blocks to choose from, which keep a node at least; ``ANYWHERE``: all blocks and
        a new one.
    greedy
        Choose the best block; else each with its conditional probability.

    Returns
    -------
    int, float
        Nodes that moved, and the log probability of all choices.
    """
    moved, log_probability = 0, 0.0
    anywhere = between[0] < 0
    for visit, node in enumerate(nodes.tolist()):
        before = int(partition.block[node])
        if not anywhere and partition.size[before] == 1:
            continue
        own = _node_statistics(evidence, partition, node)
        stay = _take_out(evidence, partition, node, own)
        n_blocks = int(partition.n_blocks[0])
        choices = np.arange(n_blocks + 1) if anywhere else np.array(between)
        gains, new_terms = _gains(evidence, partition, own, choices)
        if greedy:
            chosen = _best(gains, int(np.flatnonzero(choices == stay)[0]))
        else:
            target = int(np.flatnonzero(choices == forced[visit])[0]) if forced.size else -1
            chosen, log_chosen = _by_chance(gains, draws[visit], target)
            log_probability += log_chosen
        _put_in(partition, node, own, int(choices[chosen]), new_terms[chosen])
        moved += int(choices[chosen]) != stay
    return moved, log_probability


def merge_changes(evidence: Evidence, partition: Partition) -> FloatArray:
    """Return by how much each merge of two blocks lengthens the description [nats].

    Returns
    -------
    ndarray
        Shape ``(block, block)``; infinite unless the first block comes before the second.
    """
    n_blocks = int(partition.n_blocks[0])
    statistics = partition.statistics[:n_blocks, :n_blocks]
    terms = partition.terms[:n_blocks, :n_blocks]
    inner = np.diagonal(statistics).T
    row = terms.sum(axis=1)
    change = np.full((n_blocks, n_blocks), np.inf)
    for a in range(n_blocks - 1):
        later = np.arange(a + 1, n_blocks)
        joined = block_terms(evidence, statistics[a] + statistics[later])
        # columns of the two blocks themselves are not pairs with a third block
        outer = joined.sum(axis=1) - joined[:, a] - joined[range(later.size), later]
        outer -= row[a] + row[later] - terms[a, a] - terms[later, later] - 2 * terms[a, later]
        inside = block_terms(evidence, inner[a] + inner[later] + statistics[a, later])
        inside -= terms[a, a] + terms[later, later] + terms[a, later]
        sizes = partition.size[a] + partition.size[later]
        prior = evidence.log_factorial[sizes] - evidence.log_factorial[partition.size[later]]
        change[a, later] = -(outer + inside + prior - evidence.log_factorial[partition.size[a]])
    fewer = evidence.count_prior[n_blocks - 1] - evidence.count_prior[n_blocks]
    return change - fewer if n_blocks > 1 else change


def _block_sums(pairs: FloatArray, block: IntArray, n_blocks: int) -> FloatArray:
    code = (block[:, np.newaxis] * n_blocks + block).ravel()
    sums = [np.bincount(code, pairs[..., kind].ravel(), n_blocks**2) for kind in range(4)]
    table = np.stack(sums, axis=-1).reshape(n_blocks, n_blocks, 4)
    return np.asarray(table, dtype=np.float64)


def _node_statistics(evidence: Evidence, partition: Partition, node: int) -> FloatArray:
    """Return sums over the pairs of a node with each block, with a row for a new block."""
    n_blocks = int(partition.n_blocks[0])
    own = np.zeros((n_blocks + 1, 4))
    for kind in range(4):
        pairs = evidence.pairs[node, :, kind]
        own[:n_blocks, kind] = np.bincount(partition.block, pairs, minlength=n_blocks)
    return own


def _take_out(evidence: Evidence, partition: Partition, node: int, own: FloatArray) -> int:
    """Take a node out; return the block that it would go back to."""
    block, count, size, statistics, terms = partition
    n_blocks, before = int(count[0]), int(block[node])
    size[before] -= 1
    block[node] = -1
    if size[before]:
        row = statistics[before, :n_blocks]
        row -= own[:n_blocks]
        statistics[:n_blocks, before] = row
        terms[before, :n_blocks] = terms[:n_blocks, before] = block_terms(evidence, row)
        return before
    # the last block takes the label of the empty one
    last = n_blocks - 1
    block[block == last] = before
    size[before], size[last] = size[last], 0
    own[before], own[last] = own[last], 0.0
    for table in (statistics, terms):
        table[before, :n_blocks] = table[last, :n_blocks]
        table[:n_blocks, before] = table[:n_blocks, last]
        table[before, before] = table[last, last]
        table[last, :n_blocks] = table[:n_blocks, last] = 0.0
    count[0] = last
    return last


def _gains(
    evidence: Evidence, partition: Partition, own: FloatArray, choices: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return what each choice adds to evidence and prior, and the terms that it leads to."""
    n_blocks = int(partition.n_blocks[0])
    rows = partition.statistics[choices, :n_blocks] + own[:n_blocks]
    new_terms = block_terms(evidence, rows)
    gains = (new_terms - partition.terms[choices, :n_blocks]).sum(axis=1)
    gains += np.log(partition.size[choices] + 1.0)
    gains += evidence.count_prior[n_blocks + (choices == n_blocks)]
    return gains, new_terms


def _best(gains: FloatArray, stay: int) -> int:
    highest = gains.max() - TIE
    return stay if gains[stay] >= highest else int(np.argmax(gains >= highest))


def _by_chance(gains: FloatArray, draw: float, forced: int) -> tuple[int, float]:
    weight = np.exp(gains - gains.max())
    total = np.cumsum(weight)
    chosen = int(np.argmax(total > draw * total[-1])) if forced < 0 else forced
    return chosen, float(np.log(weight[chosen] / total[-1]))


def _put_in(
    partition: Partition, node: int, own: FloatArray, chosen: int, new_terms: FloatArray
) -> None:
    block, count, size, statistics, terms = partition
    n_blocks = int(count[0])
    block[node] = chosen
    size[chosen] += 1
    row = statistics[chosen, :n_blocks]
    row += own[:n_blocks]
    statistics[:n_blocks, chosen] = row
    terms[chosen, :n_blocks] = terms[:n_blocks, chosen] = new_terms
    if chosen == n_blocks:
        terms[chosen, chosen] = 0.0
        count[0] += 1
