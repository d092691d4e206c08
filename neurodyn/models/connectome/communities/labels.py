"""Labels of communities: numbers from 0, the largest community first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["conclusion", "largest_first"]


def largest_first(block: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the same partition with labels by falling size; of equal sizes the earlier node's.

    Examples
    --------
    >>> largest_first(np.array([7, 3, 3, 9])).tolist()
    [1, 0, 0, 2]
    """
    _, first, index, size = np.unique(
        block, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.lexsort((first, -size))] = np.arange(first.size)
    return rank[index]


def conclusion(community: NDArray[np.integer[Any]]) -> str:
    """Say in words how many communities there are.

    Examples
    --------
    >>> conclusion(np.array([0, 0, 0]))
    'no communities: a single one describes the graph best'
    """
    n_communities = len(np.unique(community))
    if n_communities == 1:
        return "no communities: a single one describes the graph best"
    return f"{n_communities} communities"
