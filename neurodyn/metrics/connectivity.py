"""How well scores of pairs of units find the directed edges of a known network.

Scores and edges are matrices ``(unit, unit_to)``, from row to column, higher for a surer edge.
Pairs of a unit with itself, and pairs whose score is NaN, are left out. Intervals resample pairs,
or the units that edges lead to with all pairs into each: those pairs share the spikes of a unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError, DegenerateInputError, one_of
from neurodyn.metrics.intervals import Interval, trial_interval
from neurodyn.metrics.ranking import area_under_roc
from neurodyn.recording import results

__all__ = [
    "connectivity_table",
    "direction_accuracy",
    "edge_auc",
    "edge_average_precision",
    "hub_recall",
]

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]
Statistic = Callable[[NDArray[np.int64]], float]


def edge_auc(score: ArrayLike, edge: ArrayLike) -> float:
    """Return the chance that an edge scores above a pair without one (ties count half).

    Parameters
    ----------
    score
        Shape ``(unit, unit_to)``; NaN where there is none.
    edge
        Whether there is an edge, same shape.

    Raises
    ------
    DataError
        If the shapes differ or are not square, or a score is infinite.
    DegenerateInputError
        If no pair with a score is an edge, or all are.

    Examples
    --------
    >>> edge_auc([[0.0, 0.9], [0.2, 0.0]], [[False, True], [False, False]])
    1.0
    """
    score, edge = _checked(score, edge)
    pairs = _scored(score)
    return _auc(score[pairs], edge[pairs])


def edge_average_precision(score: ArrayLike, edge: ArrayLike) -> float:
    """Return the area under the curve of precision over recall, as average precision.

    ``sum_n (R_n - R_(n-1)) P_n`` over falling thresholds; pairs of equal score fall together. Of
    scores without information it is the share of pairs that are edges.

    Parameters
    ----------
    score, edge
        As in :func:`edge_auc`.

    Raises
    ------
    DataError, DegenerateInputError
        As :func:`edge_auc`.

    Examples
    --------
    >>> edge_average_precision([[0.0, 0.1], [0.2, 0.0]], [[False, True], [False, False]])
    0.5
    """
    score, edge = _checked(score, edge)
    pairs = _scored(score)
    return _average_precision(score[pairs], edge[pairs])


def direction_accuracy(score: ArrayLike, edge: ArrayLike) -> float:
    """Return the chance that an edge scores above the pair the other way round.

    ``P(score[j, i] > score[i, j] | edge j -> i, no edge i -> j)``; ties count half.

    Parameters
    ----------
    score, edge
        As in :func:`edge_auc`.

    Raises
    ------
    DataError
        As :func:`edge_auc`.
    DegenerateInputError
        If there is no edge in one direction only that has both scores.

    Examples
    --------
    >>> direction_accuracy([[0.0, 0.9], [0.2, 0.0]], [[False, True], [False, False]])
    1.0
    """
    score, edge = _checked(score, edge)
    return _mean_right(score, *_one_way(score, edge))


def hub_recall(score: ArrayLike, hub: ArrayLike) -> float:
    """Return which share of the hubs is among as many units of the strongest output.

    The output of a unit is the mean of its scores to others. With ``H`` hubs this is recall@H;
    units that tie for the last places count in part.

    Parameters
    ----------
    score
        As in :func:`edge_auc`.
    hub
        Whether a unit is a hub, shape ``(unit,)``.

    Raises
    ------
    DataError
        If the shapes do not fit.
    DegenerateInputError
        If there is no hub.

    Examples
    --------
    >>> hub_recall([[0.0, 0.9], [0.2, 0.0]], [True, False])
    1.0
    """
    score, _ = _checked(score, np.zeros(np.shape(score), dtype=bool))
    hubs = _hubs(score, hub)
    return _recall(score, hubs, np.arange(len(score)))


def connectivity_table(
    score: ArrayLike,
    edge: ArrayLike,
    hub: ArrayLike | None = None,
    *,
    resample: Literal["units", "pairs"] = "units",
    n_resamples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Return all scores of a connectivity estimate with bootstrap intervals.

    Parameters
    ----------
    score, edge, hub
        As in :func:`edge_auc` and :func:`hub_recall`.
    resample
        ``units``: those that edges lead to, each with all pairs into it; ``pairs``: each by
        itself, narrower. Hubs are always scored on resampled units.
    n_resamples, level, seed
        As in :func:`neurodyn.metrics.intervals.trial_interval`.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``value``, ``low`` and ``high (metric)`` of ``auc``,
        ``average_precision``, ``direction_accuracy`` and, with ``hub``, ``hub_recall``;
        ``n_edges()``; ``edge_share()``, the average precision of scores without information.

    Raises
    ------
    ConfigError, DataError, DegenerateInputError
        For another ``resample``; as the scores; also if resampled pairs hold no edge.

    Examples
    --------
    >>> edge = np.zeros((6, 6), dtype=bool)
    >>> edge[0, 1:] = True
    >>> table = connectivity_table(edge + 0.0, edge, edge.any(axis=1), n_resamples=20)
    >>> table["value"].values.tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    one_of("resample", resample, ("units", "pairs"))
    score, edge = _checked(score, edge)
    hubs = None if hub is None else _hubs(score, hub)

    def interval(statistic: Statistic, n_drawn: int) -> Interval:
        return trial_interval(statistic, n_drawn, n_resamples=n_resamples, level=level, seed=seed)

    found = {
        name: interval(statistic, n_drawn)
        for name, (statistic, n_drawn) in _statistics(score, edge, hubs, resample).items()
    }
    bounds = np.array([each[:3] for each in found.values()]).T
    variables: dict[str, Any] = {
        name: ("metric", values) for name, values in zip(("value", "low", "high"), bounds)
    }
    is_edge = edge[_scored(score)]
    variables |= {"n_edges": ((), int(is_edge.sum())), "edge_share": ((), float(is_edge.mean()))}
    return results(variables, {"metric": list(found)}, level=level)


def _statistics(
    score: FloatArray, edge: Mask, hubs: Mask | None, resample: str
) -> dict[str, tuple[Statistic, int]]:
    """Return each score as a function of what is drawn, and from how many it is drawn."""
    pairs, (source, target) = np.argwhere(_scored(score)).T, _one_way(score, edge)
    by_unit, n_units = resample == "units", len(score)

    def of_pairs(drawn: NDArray[np.int64]) -> tuple[FloatArray, Mask]:
        chosen = pairs[:, _into(pairs[1], drawn, n_units) if by_unit else drawn]
        return score[tuple(chosen)], edge[tuple(chosen)]

    def right(drawn: NDArray[np.int64]) -> float:
        chosen = _into(target, drawn, n_units) if by_unit else drawn
        return _mean_right(score, source[chosen], target[chosen])

    n_pairs, n_edges = (n_units, n_units) if by_unit else (pairs.shape[1], source.size)
    found: dict[str, tuple[Statistic, int]] = {
        "auc": (lambda drawn: _auc(*of_pairs(drawn)), n_pairs),
        "average_precision": (lambda drawn: _average_precision(*of_pairs(drawn)), n_pairs),
        "direction_accuracy": (right, n_edges),
    }
    if hubs is not None:
        found["hub_recall"] = (lambda drawn: _recall(score, hubs, drawn), n_units)
    return found


def _auc(score: FloatArray, edge: Mask) -> float:
    n_edges = int(edge.sum())
    _check_both(n_edges, edge.size - n_edges)
    return area_under_roc(edge, score)


def _average_precision(score: FloatArray, edge: Mask) -> float:
    n_edges = int(edge.sum())
    _check_both(n_edges, edge.size - n_edges)
    order = np.argsort(-score, kind="stable")
    falls = np.append(np.flatnonzero(np.diff(score[order])), score.size - 1)
    hits = np.cumsum(edge[order])[falls]
    return float((np.diff(hits, prepend=0) * hits / (falls + 1)).sum() / n_edges)


def _mean_right(score: FloatArray, source: NDArray[np.int64], target: NDArray[np.int64]) -> float:
    if not source.size:
        raise DegenerateInputError(
            "direction needs an edge in one direction only", found="none that has both scores"
        )
    there, back = score[source, target], score[target, source]
    return float(np.mean((there > back) + 0.5 * (there == back)))


def _recall(score: FloatArray, hub: Mask, target: NDArray[np.int64]) -> float:
    known = np.where(np.eye(len(score), dtype=bool), np.nan, score)[:, target]
    n_known = np.isfinite(known).sum(axis=1)
    total = np.nansum(known, axis=1)
    strength = np.where(n_known > 0, total / np.maximum(n_known, 1), -np.inf)
    n_hubs = int(hub.sum())
    last = np.sort(strength)[-n_hubs]
    above, tied = strength > last, strength == last
    share = (n_hubs - above.sum()) / tied.sum()
    return float(((above & hub).sum() + share * (tied & hub).sum()) / n_hubs)


def _into(target: NDArray[np.int64], drawn: NDArray[np.int64], n_units: int) -> NDArray[np.int64]:
    """Return the pairs into the drawn units, as often as each was drawn."""
    times = np.bincount(drawn, minlength=n_units)
    return np.repeat(np.arange(target.size), times[target])


def _one_way(score: FloatArray, edge: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    scored = _scored(score)
    source, target = np.nonzero(edge & ~edge.T & scored & scored.T)
    return source, target


def _scored(score: FloatArray) -> Mask:
    return ~np.isnan(score) & ~np.eye(len(score), dtype=bool)


def _hubs(score: FloatArray, hub: ArrayLike) -> Mask:
    hubs = np.asarray(hub, dtype=bool)
    if hubs.shape != (len(score),):
        raise DataError("hubs do not fit the units", found=hubs.shape, expected=(len(score),))
    if not hubs.any():
        raise DegenerateInputError("there is no hub to find", expected="one hub at least")
    return hubs


def _check_both(n_edges: int, n_others: int) -> None:
    if not n_edges or not n_others:
        raise DegenerateInputError(
            "a score of edges needs pairs with and without one",
            found=f"{n_edges} edges and {n_others} other pairs",
        )


def _checked(score: ArrayLike, edge: ArrayLike) -> tuple[FloatArray, Mask]:
    values, truth = np.asarray(score, dtype=np.float64), np.asarray(edge, dtype=bool)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or truth.shape != values.shape:
        raise DataError(
            "scores and edges do not fit each other",
            found=f"{values.shape} and {truth.shape}",
            expected="two matrices (unit, unit_to)",
        )
    if np.isinf(values).any():
        raise DataError("scores are infinite", found=f"{int(np.isinf(values).sum())} pairs")
    return values, truth
