"""A Markov chain over partitions whose probability is ``exp(-description length)``.

One step is a Gibbs sweep over the nodes and a few merges or splits of whole blocks, each proposed
by a restricted Gibbs scan and accepted by the rule of Metropolis and Hastings [1]_. A partition
counts once, whatever the labels of its blocks.

References
----------
.. [1] Jain & Neal (2004). A split-merge Markov chain Monte Carlo procedure for the Dirichlet
   process mixture model. Journal of Computational and Graphical Statistics 13, 158-182.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodyn.models.connectome.communities.evidence import Evidence
from neurodyn.models.connectome.communities.labels import largest_first
from neurodyn.models.connectome.communities.partition import (
    ANYWHERE,
    Partition,
    assign,
    description_length,
)
from neurodyn.models.connectome.communities.search import FREE, Moves

__all__ = ["Chain", "gibbs_sweep", "merge_or_split", "sample_chain"]

N_SCANS = 3


class Chain(NamedTuple):
    """Sampled partitions.

    Parameters
    ----------
    community
        Shape ``(draw, roi)``, int64, in each the largest first.
    length
        Description length of each [nats].
    accepted
        Share of merges and splits that were accepted.
    """

    community: NDArray[np.int64]
    length: NDArray[np.float64]
    accepted: float


def sample_chain(
    evidence: Evidence,
    start: Partition,
    rng: np.random.Generator,
    moves: Moves,
    *,
    n_samples: int,
    n_burn: int,
    n_merge_splits: int,
) -> Chain:
    """Draw partitions after ``n_burn`` steps; ``start`` moves along.

    Examples
    --------
    >>> from neurodyn.models.connectome.communities.config import BlockModelConfig
    >>> from neurodyn.models.connectome.communities.evidence import build_evidence
    >>> from neurodyn.models.connectome.communities.graph import read_graph
    >>> from neurodyn.models.connectome.communities.search import choose_moves
    >>> graph = read_graph(np.array([[0, 1, 3], [1, 0, 2], [3, 2, 0]]))
    >>> evidence = build_evidence(graph, "exponential", BlockModelConfig())
    >>> moves = choose_moves("numpy", 3)
    >>> start = moves.make_partition(evidence, np.zeros(3, int))
    >>> number = {"n_samples": 5, "n_burn": 1, "n_merge_splits": 1}
    >>> chain = sample_chain(evidence, start, np.random.default_rng(0), moves, **number)
    >>> chain.community.shape
    (5, 3)
    """
    community = np.empty((n_samples, start.block.size), dtype=np.int64)
    length = np.empty(n_samples)
    n_accepted = 0
    for step in range(-n_burn, n_samples):
        gibbs_sweep(evidence, start, rng, moves)
        for _ in range(n_merge_splits):
            n_accepted += merge_or_split(evidence, start, rng, moves)
        if step >= 0:
            community[step] = largest_first(start.block)
            length[step] = description_length(evidence, start)
    n_proposed = (n_burn + n_samples) * n_merge_splits
    return Chain(community, length, n_accepted / max(n_proposed, 1))


def gibbs_sweep(
    evidence: Evidence, partition: Partition, rng: np.random.Generator, moves: Moves
) -> None:
    """Draw the block of each node, in random order, given those of all others."""
    n_nodes = partition.block.size
    order, draws = rng.permutation(n_nodes), rng.random(n_nodes)
    moves.visit_nodes(evidence, partition, order, draws, FREE, ANYWHERE, False)


def merge_or_split(
    evidence: Evidence, partition: Partition, rng: np.random.Generator, moves: Moves
) -> bool:
    """Propose to merge the blocks of two random nodes, or to split the one that holds both."""
    block = partition.block
    first, second = rng.choice(block.size, 2, replace=False)
    left, right = int(block[first]), int(block[second])
    splits = left == right
    if splits:
        right = int(partition.n_blocks[0])
    others = np.flatnonzero((block == left) | (block == right))
    others = rng.permutation(others[(others != first) & (others != second)])
    trial = _launch(evidence, partition, rng, moves, (first, second), (left, right), others)
    # a merge is as likely as the split that would undo it
    forced = FREE if splits else block[others]
    draws = rng.random(others.size)
    _, log_probability = moves.visit_nodes(
        evidence, trial, others, draws, forced, (left, right), False
    )
    log_ratio = -log_probability if splits else log_probability
    if not splits:
        trial = moves.make_partition(evidence, np.where(block == right, left, block))
    log_ratio += description_length(evidence, partition) - description_length(evidence, trial)
    accepted = bool(np.log(1.0 - rng.random()) < log_ratio)
    if accepted:
        assign(partition, trial)
    return accepted


def _launch(
    evidence: Evidence,
    partition: Partition,
    rng: np.random.Generator,
    moves: Moves,
    anchors: tuple[int, int],
    between: tuple[int, int],
    others: NDArray[np.int64],
) -> Partition:
    """Return a split of two blocks that depends on the anchors and on chance alone."""
    block = partition.block.copy()
    block[list(anchors)] = between
    block[others] = np.where(rng.random(others.size) < 0.5, *between)
    trial = moves.make_partition(evidence, block)
    for _ in range(N_SCANS):
        draws = rng.random(others.size)
        moves.visit_nodes(evidence, trial, others, draws, FREE, between, False)
    return trial
