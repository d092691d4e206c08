"""Full tables of scores for labels and numbers predicted of people, with bootstrap intervals.

Subjects are resampled, with all items (runs, windows) of each: items of one subject are not
independent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError, DegenerateInputError, one_of
from neurodyn.metrics.decoding import r2
from neurodyn.metrics.intervals import Interval, trial_interval
from neurodyn.metrics.ranking import area_under_roc

__all__ = [
    "CLASSIFICATION_METRICS",
    "classification_table",
    "paired_classification_difference",
    "regression_table",
]

FloatArray = NDArray[np.float64]
Statistic = Callable[[NDArray[np.int64]], float]

CLASSIFICATION_METRICS = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc")
"""What a table of labels holds."""
MOST_DRAWS = 10_000


def classification_table(
    target: ArrayLike,
    score: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    subject: ArrayLike | None = None,
    threshold: float = 0.0,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return accuracy, balanced accuracy, sensitivity, specificity and AUC with intervals.

    Of two classes sensitivity and specificity are the shares of the positive and of the negative
    class that are found. Of more, both and the AUC are means over the classes, each against all
    others. Ties of scores count half in the AUC.

    Parameters
    ----------
    target
        True labels, shape ``(item,)``.
    score
        Of two classes shape ``(item,)``, the positive one above ``threshold``; else
        ``(item, class)``, the largest wins.
    classes
        Labels in the order of the scores, the negative before the positive; sorted by default.
    subject
        Of each item, shape ``(item,)``; by default each item is a subject.
    threshold
        0 for decision values, 0.5 for probabilities.
    n_resamples, level, seed
        As in :func:`trial_interval`. Resamples that lack a class are drawn again.

    Raises
    ------
    DataError
        If shapes or labels do not fit, or a score is not finite.
    DegenerateInputError
        If a class has no item, or nearly all resamples lack a class.
    ConfigError
        As :func:`trial_interval`.

    Examples
    --------
    >>> table = classification_table(["a", "b", "a", "b"] * 5, [-1.0, 2.0, 1.0, 3.0] * 5)
    >>> table["specificity"].estimate, table["auc"].estimate
    (0.5, 1.0)
    """
    truth, values, n_classes = _labels_and_scores(target, score, classes)
    items = _Subjects(subject, truth, n_classes, seed)
    bootstrap: dict[str, Any] = {"n_resamples": n_resamples, "level": level, "seed": seed}
    scores = {m: _score_of(m, truth, values, threshold) for m in CLASSIFICATION_METRICS}
    return {
        metric: trial_interval(items.statistic(score), items.n, **bootstrap)
        for metric, score in scores.items()
    }


def paired_classification_difference(
    target: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    metric: str = "balanced_accuracy",
    classes: ArrayLike | None = None,
    subject: ArrayLike | None = None,
    threshold: float = 0.0,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return how much better the first scores are than the second, on the same subjects.

    Parameters
    ----------
    target
        True labels, shape ``(item,)``.
    first, second
        Scores of two models for the same items.
    metric
        One of :data:`CLASSIFICATION_METRICS`.
    classes, subject, threshold, n_resamples, level, seed
        As in :func:`classification_table`.

    Raises
    ------
    ConfigError, DataError, DegenerateInputError
        For an unknown metric, and as :func:`classification_table`.

    Examples
    --------
    >>> truth = ["a", "b"] * 10
    >>> paired_classification_difference(truth, [-1.0, 1.0] * 10, [1.0, 1.0] * 10).estimate
    0.5
    """
    one_of("metric", metric, CLASSIFICATION_METRICS)
    truth, a, n_classes = _labels_and_scores(target, first, classes)
    _, b, _ = _labels_and_scores(target, second, classes)
    items = _Subjects(subject, truth, n_classes, seed)
    better = _score_of(metric, truth, a, threshold)
    worse = _score_of(metric, truth, b, threshold)
    return trial_interval(
        items.statistic(lambda index: better(index) - worse(index)),
        items.n,
        n_resamples=n_resamples,
        level=level,
        seed=seed,
    )


def regression_table(
    target: ArrayLike,
    predicted: ArrayLike,
    *,
    subject: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return mean absolute error, R2 and Pearson's r of predicted numbers with intervals.

    Parameters
    ----------
    target, predicted
        Shape ``(item,)``.
    subject, n_resamples, level, seed
        As in :func:`classification_table`.

    Returns
    -------
    dict
        ``mae`` in the unit of the target, ``r2`` and ``pearson_r``; the last is NaN where
        predictions are all equal.

    Raises
    ------
    DataError
        If shapes do not fit or a number is not finite.
    DegenerateInputError
        If all targets are equal.

    Examples
    --------
    >>> regression_table([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0])["mae"].estimate
    0.25
    """
    y, p = np.asarray(target, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1 or not (np.isfinite(y).all() and np.isfinite(p).all()):
        raise DataError(
            "targets and predictions do not fit",
            found=f"shapes {y.shape} and {p.shape}",
            expected="finite numbers, one of each for every item",
        )
    # two classes: what equals the first number, and the rest
    differs = (y != y[:1]).astype(np.int64)
    items = _Subjects(subject, differs, 2, seed)
    metrics: dict[str, Statistic] = {
        "mae": lambda index: float(np.abs(y - p)[index].mean()),
        "r2": lambda index: r2(y[index, None], p[index, None]),
        "pearson_r": lambda index: _correlation(y[index], p[index]),
    }
    return {
        name: trial_interval(
            items.statistic(metric), items.n, n_resamples=n_resamples, level=level, seed=seed
        )
        for name, metric in metrics.items()
    }


class _Subjects:
    """Items of each subject, and resampling that keeps every class."""

    def __init__(
        self, subject: ArrayLike | None, truth: NDArray[np.int64], n_classes: int, seed: int
    ) -> None:
        owner = np.arange(truth.size) if subject is None else np.asarray(subject)
        if owner.shape != truth.shape:
            raise DataError(
                "subjects do not fit the items", found=owner.shape, expected=truth.shape
            )
        names, code = np.unique(owner, return_inverse=True)
        order = np.argsort(code, kind="stable")
        self.items = np.split(order, np.cumsum(np.bincount(code))[:-1])
        self.n, self.seed = int(names.size), seed
        has = np.zeros((self.n, n_classes), dtype=bool)
        has[code, truth] = True
        self.has = has
        if not has.any(axis=0).all():
            raise DegenerateInputError(
                "the true values are all alike" if n_classes == 2 else "a class has no item",
                found=f"{truth.size} items of {int(has.any(axis=0).sum())} classes",
                expected=f"items of {n_classes}",
            )

    def statistic(self, score: Statistic) -> Statistic:
        """Return a score of subjects, in which subjects repeat, from one of items."""
        rng = np.random.default_rng([self.seed, self.n])

        def of_subjects(chosen: NDArray[np.int64]) -> float:
            for _ in range(MOST_DRAWS):
                if self.has[chosen].any(axis=0).all():
                    return score(np.concatenate([self.items[number] for number in chosen]))
                chosen = rng.integers(0, self.n, self.n)
            raise DegenerateInputError(
                "resampled subjects lack a class nearly always", found=f"{self.n} subjects"
            )

        return of_subjects


def _score_of(
    metric: str, truth: NDArray[np.int64], values: FloatArray, threshold: float
) -> Statistic:
    """Return a function of item positions that scores them."""
    binary = values.ndim == 1
    guess = (values > threshold).astype(np.int64) if binary else values.argmax(axis=1)
    columns = values[:, None] if binary else values
    numbers = range(1, 2) if binary else range(values.shape[1])

    def score(index: NDArray[np.int64]) -> float:
        t, g = truth[index], guess[index]
        if metric == "accuracy":
            return float((t == g).mean())
        if metric == "balanced_accuracy":
            return float(np.mean([(g[t == c] == c).mean() for c in np.unique(t)]))
        if metric == "sensitivity":
            return float(np.mean([(g[t == c] == c).mean() for c in numbers]))
        if metric == "specificity":
            return float(np.mean([(g[t != c] != c).mean() for c in numbers]))
        return float(
            np.mean([area_under_roc(t == c, columns[index, 0 if binary else c]) for c in numbers])
        )

    return score


def _correlation(y: FloatArray, p: FloatArray) -> float:
    y, p = y - y.mean(), p - p.mean()
    size = float(np.sqrt((y @ y) * (p @ p)))
    return float(y @ p / size) if size > 0 else float("nan")


def _labels_and_scores(
    target: ArrayLike, score: ArrayLike, classes: ArrayLike | None
) -> tuple[NDArray[np.int64], FloatArray, int]:
    """Return labels as numbers in the order of classes, scores and the number of classes."""
    labels, values = np.asarray(target), np.asarray(score, dtype=np.float64)
    known: NDArray[Any] = np.unique(labels) if classes is None else np.asarray(classes)
    expected = (labels.size,) if known.size == 2 else (labels.size, known.size)
    if labels.ndim != 1 or values.shape != expected or known.size < 2:
        raise DataError(
            "labels and scores do not fit",
            found=f"{labels.shape} labels of {known.size} classes, scores {values.shape}",
            expected="(item,) scores of two classes, (item, class) of more",
        )
    if not np.isfinite(values).all():
        raise DataError("scores are not finite", found=f"{int((~np.isfinite(values)).sum())}")
    same = labels[:, None] == known
    stranger = np.flatnonzero(~same.any(axis=1))
    if stranger.size:
        raise DataError(
            "a label is none of the classes",
            where=f"item {int(stranger[0])}",
            found=labels[stranger[0]],
            expected=", ".join(map(str, known.tolist())),
        )
    return same.argmax(axis=1), values, int(known.size)
