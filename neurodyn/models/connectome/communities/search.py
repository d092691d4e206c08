"""Search for the partition with the shortest description: sweeps, merges and splits."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import MissingDependencyError, one_of
from neurodyn.models.connectome.communities import partition as plain
from neurodyn.models.connectome.communities.config import BlockModelConfig
from neurodyn.models.connectome.communities.evidence import Evidence
from neurodyn.models.connectome.communities.partition import (
    ANYWHERE,
    TIE,
    Partition,
    assign,
    description_length,
)
from neurodyn.models.connectome.communities.splitting import leading_half, random_half

__all__ = ["Moves", "Route", "choose_moves", "improve", "search"]

IntArray = NDArray[np.int64]
Route = Literal["auto", "numpy", "numba"]
# below this, loading numba takes longer than it saves
MANY_NODES = 50
START_BLOCKS = (1, 2, 4, 8, 12)
# greedy sweeps end by themselves after a few
MOST_SWEEPS = 1000
SMALLEST_TO_SPLIT = 4
FREE = np.zeros(0, dtype=np.int64)


class Moves(NamedTuple):
    """The functions of :mod:`~neurodyn.models.connectome.communities.partition`, either route."""

    make_partition: Callable[..., Partition]
    visit_nodes: Callable[..., tuple[int, float]]
    merge_changes: Callable[[Evidence, Partition], NDArray[np.float64]]


def choose_moves(route: Route, n_nodes: int) -> Moves:
    """Return the moves of a route; ``"auto"``: numba where it is installed and saves time.

    Raises
    ------
    MissingDependencyError
        If numba is asked for and not installed.

    Examples
    --------
    >>> choose_moves("auto", n_nodes=10).visit_nodes.__module__
    'neurodyn.models.connectome.communities.partition'
    """
    one_of("route", route, ("auto", "numpy", "numba"))
    installed = find_spec("numba") is not None
    if route == "numba" and not installed:
        raise MissingDependencyError("numba", "fast")
    if route == "numba" or (route == "auto" and installed and n_nodes >= MANY_NODES):
        from neurodyn.models.connectome.communities import fast

        return Moves(fast.make_partition, fast.visit_nodes, fast.merge_changes)
    return Moves(plain.make_partition, plain.visit_nodes, plain.merge_changes)


def search(
    evidence: Evidence,
    config: BlockModelConfig,
    rng: np.random.Generator,
    moves: Moves,
    restarts: range,
) -> Partition:
    """Return the best partition of several searches.

    Parameters
    ----------
    evidence, config
        The graph and the settings.
    rng
        Of all draws.
    moves
        See :func:`choose_moves`.
    restarts
        Each starts from a random partition into 1, 2, 4, 8, 12 blocks in turn.

    Examples
    --------
    >>> from neurodyn.models.connectome.communities.evidence import build_evidence
    >>> from neurodyn.models.connectome.communities.graph import read_graph
    >>> graph = read_graph(np.kron(np.eye(2), np.ones((6, 6))) + np.eye(12))
    >>> config = BlockModelConfig()
    >>> evidence = build_evidence(graph, "exponential", config)
    >>> moves = choose_moves("numpy", 12)
    >>> search(evidence, config, np.random.default_rng(0), moves, range(2)).n_blocks.tolist()
    [2]
    """
    best, shortest = None, np.inf
    n_nodes = len(evidence.pairs)
    for restart in restarts:
        n_blocks = START_BLOCKS[restart % len(START_BLOCKS)]
        found = moves.make_partition(evidence, rng.integers(n_blocks, size=n_nodes))
        length = improve(evidence, found, config, rng, moves)
        if best is None or length < shortest - TIE:
            best, shortest = found, length
    return best if best is not None else moves.make_partition(evidence, np.zeros(n_nodes, np.int64))


def improve(
    evidence: Evidence,
    partition: Partition,
    config: BlockModelConfig,
    rng: np.random.Generator,
    moves: Moves,
) -> float:
    """Sweep, merge and split until nothing shortens the description; return its length [nats]."""
    _sweep(evidence, partition, rng, moves)
    whole: set[bytes] = set()
    for _ in range(config.max_rounds):
        merged = _merge(evidence, partition, rng, moves)
        if not _split(evidence, partition, config.n_splits, rng, moves, whole) and not merged:
            break
    return description_length(evidence, partition)


def _sweep(
    evidence: Evidence,
    partition: Partition,
    rng: np.random.Generator,
    moves: Moves,
    nodes: IntArray | None = None,
    between: tuple[int, int] = ANYWHERE,
) -> None:
    """Move each node to its best block, in random order, until all stay."""
    nodes = np.arange(len(partition.block)) if nodes is None else nodes
    no_draws = np.zeros(nodes.size)
    for _ in range(MOST_SWEEPS):
        order = rng.permutation(nodes)
        moved, _ = moves.visit_nodes(evidence, partition, order, no_draws, FREE, between, True)
        if not moved:
            break


def _merge(
    evidence: Evidence, partition: Partition, rng: np.random.Generator, moves: Moves
) -> bool:
    """Merge the best pair of blocks as long as that pays."""
    merged = False
    while partition.n_blocks[0] > 1:
        change = moves.merge_changes(evidence, partition)
        # equal within rounding: the first, on either route
        first = int(np.argmax(change <= change.min() + TIE))
        left, right = divmod(first, change.shape[1])
        if change[left, right] > -TIE:
            break
        block = np.where(partition.block == right, left, partition.block)
        assign(partition, moves.make_partition(evidence, block))
        _sweep(evidence, partition, rng, moves)
        merged = True
    return merged


def _split(
    evidence: Evidence,
    partition: Partition,
    n_splits: int,
    rng: np.random.Generator,
    moves: Moves,
    whole: set[bytes],
) -> bool:
    """Halve blocks, let their nodes settle, and keep what shortens the description.

    The first try cuts along the leading direction, the others at random. Blocks that no try could
    split join ``whole`` and are not tried again.
    """
    split = False
    for target in range(int(partition.n_blocks[0])):
        members = np.flatnonzero(partition.block == target)
        if members.size < SMALLEST_TO_SPLIT or members.tobytes() in whole:
            continue
        for attempt in range(n_splits):
            new = int(partition.n_blocks[0])
            block = partition.block.copy()
            if attempt:
                block[random_half(members, rng)] = new
            else:
                block[leading_half(evidence, partition, members, rng)] = new
            trial = moves.make_partition(evidence, block)
            _sweep(evidence, trial, rng, moves, members, (target, new))
            _sweep(evidence, trial, rng, moves)
            gain = description_length(evidence, partition) - description_length(evidence, trial)
            if gain > TIE:
                assign(partition, trial)
                split = True
                break
        else:
            whole.add(members.tobytes())
    return split
