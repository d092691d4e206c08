"""How well scores put one kind of item before another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["area_under_roc"]


def area_under_roc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve: the share of pairs in the right order, ties half.

    Parameters
    ----------
    positive, score
        Shape ``(item,)``; items of both kinds.

    Examples
    --------
    >>> area_under_roc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    n_positive = int(positive.sum())
    rank = rankdata(score)[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(rank / (n_positive * (positive.size - n_positive)))
