"""One partition that stands for many: the one nearest to all in variation of information."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

__all__ = ["co_membership", "mean_variation_of_information"]

IntArray = NDArray[np.integer[Any]]
FloatArray = NDArray[np.float64]


def mean_variation_of_information(candidates: IntArray, partitions: IntArray) -> FloatArray:
    """Return how far each candidate is from a set of partitions, on average [nats].

    The variation of information of two partitions is what each tells that the other does not:
    ``2 H(both) - H(one) - H(other)``.

    Parameters
    ----------
    candidates
        Labels, shape ``(candidate, roi)``.
    partitions
        Labels, shape ``(draw, roi)``.

    References
    ----------
    .. [1] Meila (2007). Comparing clusterings: an information based distance. Journal of
       Multivariate Analysis 98, 873-895.

    Examples
    --------
    >>> one, halves = np.zeros(4, int), np.array([0, 0, 1, 1])
    >>> distance = mean_variation_of_information(np.array([one, halves]), np.array([halves]))
    >>> (distance / np.log(2)).tolist()
    [1.0, 0.0]
    """
    unique, times = np.unique(partitions, axis=0, return_counts=True)
    n_labels = int(unique.max()) + 1
    own = _entropies(unique, n_labels)
    alone = _entropies(candidates, int(candidates.max()) + 1)
    distance = np.empty(len(candidates))
    for index, candidate in enumerate(candidates):
        n_joint = n_labels * (int(candidate.max()) + 1)
        joint = _entropies(candidate * n_labels + unique, n_joint)
        distance[index] = np.average(2 * joint - alone[index] - own, weights=times)
    return distance


def co_membership(partitions: IntArray) -> FloatArray:
    """Return the share of partitions in which two nodes are together, shape ``(roi, roi)``.

    Examples
    --------
    >>> co_membership(np.array([[0, 0, 1], [0, 0, 0]])).tolist()
    [[1.0, 1.0, 0.5], [1.0, 1.0, 0.5], [0.5, 0.5, 1.0]]
    """
    n_nodes = partitions.shape[1]
    together = np.zeros((n_nodes, n_nodes))
    for labels in partitions:
        together += labels[:, np.newaxis] == labels
    return together / len(partitions)


def _entropies(labels: IntArray, n_labels: int) -> FloatArray:
    """Return the entropy of each row of labels ``0 … n_labels - 1`` [nats]."""
    n_rows, n_nodes = labels.shape
    code = labels + n_labels * np.arange(n_rows)[:, np.newaxis]
    count = np.bincount(code.ravel(), minlength=n_rows * n_labels).reshape(n_rows, n_labels)
    return np.asarray(entr(count / n_nodes).sum(axis=1))
