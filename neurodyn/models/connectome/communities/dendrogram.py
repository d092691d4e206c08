"""The order in which communities merge at the least cost: a cheap stand-in for a nested model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodyn.models.connectome.communities.evidence import Evidence
from neurodyn.models.connectome.communities.partition import TIE, description_length
from neurodyn.models.connectome.communities.search import Moves

__all__ = ["COLUMNS", "MergePath", "merge_path"]

FloatArray = NDArray[np.float64]
COLUMNS = ("left", "right", "height", "n_communities")


class MergePath(NamedTuple):
    """Merges of all communities into one.

    Parameters
    ----------
    linkage
        Shape ``(merge, 4)`` as scipy's ``linkage``: the two clusters (communities first, then one
        more for each merge), the height, and the communities in the new cluster. The height is
        the largest lengthening [nats] of the description up to this merge.
    length
        Description length after each merge [nats].
    """

    linkage: FloatArray
    length: FloatArray


def merge_path(evidence: Evidence, block: NDArray[np.integer[Any]], moves: Moves) -> MergePath:
    """Merge the pair of communities that costs least, until one is left.

    Examples
    --------
    >>> from neurodyn.models.connectome.communities.config import BlockModelConfig
    >>> from neurodyn.models.connectome.communities.evidence import build_evidence
    >>> from neurodyn.models.connectome.communities.graph import read_graph
    >>> from neurodyn.models.connectome.communities.search import choose_moves
    >>> graph = read_graph(np.array([[0, 1, 3], [1, 0, 2], [3, 2, 0]]))
    >>> evidence = build_evidence(graph, "exponential", BlockModelConfig())
    >>> path = merge_path(evidence, np.array([0, 0, 1]), choose_moves("numpy", 3))
    >>> path.linkage[:, [0, 1, 3]].tolist()
    [[0.0, 1.0, 2.0]]
    """
    current = moves.make_partition(evidence, block)
    n_communities = int(current.n_blocks[0])
    start = description_length(evidence, current)
    cluster, members = list(range(n_communities)), [1] * n_communities
    linkage = np.zeros((n_communities - 1, 4))
    length = np.zeros(n_communities - 1)
    height = 0.0
    for merge in range(n_communities - 1):
        change = moves.merge_changes(evidence, current)
        a, b = divmod(int(np.argmax(change <= change.min() + TIE)), change.shape[1])
        merged = np.where(current.block == b, a, current.block)
        current = moves.make_partition(evidence, merged)
        length[merge] = description_length(evidence, current)
        height = max(height, length[merge] - start)
        left, right = sorted((cluster[a], cluster.pop(b)))
        members[a] += members.pop(b)
        cluster[a] = n_communities + merge
        linkage[merge] = left, right, height, members[a]
    return MergePath(linkage, length)
