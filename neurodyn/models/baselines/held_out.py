"""Scores of items that were held out, gathered over the splits of a cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError, DegenerateInputError, one_of
from neurodyn.recording import results
from neurodyn.windows.splits import Split
from neurodyn.windows.subject_splits import check_groups

__all__ = ["class_order", "held_out_scores"]

FloatArray = NDArray[np.float64]
Learn = Callable[[NDArray[np.int64], NDArray[np.int64]], FloatArray]


def class_order(target: ArrayLike, positive: Hashable | None = None) -> NDArray[Any]:
    """Return the classes of labels, sorted; of two the positive one comes last.

    Raises
    ------
    ConfigError
        If there is no class ``positive``.
    DegenerateInputError
        With fewer than two classes.
    DataError
        If a positive class is named but there are more than two.

    Examples
    --------
    >>> class_order(["heat", "rating"], positive="heat").tolist()
    ['rating', 'heat']
    """
    classes = np.unique(np.asarray(target))
    if classes.size < 2:
        raise DegenerateInputError("there is one class only", found=classes.tolist())
    if positive is None:
        return classes
    one_of("positive", positive, classes.tolist())
    if classes.size > 2:
        raise DataError("a positive class needs two classes", found=classes.tolist())
    return classes if classes[1] == positive else classes[::-1]


def held_out_scores(
    learn: Learn,
    target: NDArray[Any],
    splits: Sequence[Split],
    items: xr.DataArray,
    *,
    classes: NDArray[Any] | None = None,
) -> xr.Dataset:
    """Train on each split and gather the scores of its test items.

    Parameters
    ----------
    learn
        Takes positions of training and test items; returns scores ``(test[, class])``.
    target
        What is predicted, shape ``(item,)``.
    splits
        Whose test parts do not meet.
    items
        Labels of the items, a coordinate of one dim, with the coordinates that the result keeps;
        a ``subject`` among them is checked against leaks.
    classes
        Of a classification, in the order of the scores; none for a regression.

    Returns
    -------
    xr.Dataset
        Kind ``results``, of the items that a split tests: ``target``; ``score``, of a regression
        the prediction, of two classes a decision value that 0 divides; ``predicted`` class;
        ``fold``, the number of the split. Attribute ``classes``.

    Raises
    ------
    DataError, DegenerateInputError
        If a subject is in both parts or an item is tested twice; if a class has no training item.

    Examples
    --------
    >>> age = np.array([20.0, 30.0, 40.0])
    >>> runs = xr.DataArray(["a", "b", "c"], {"run": ["a", "b", "c"]}, ["run"])
    >>> split = Split(np.array([0, 1]), test=np.array([2]))
    >>> mean_of_training = lambda train, test: np.full(test.size, age[train].mean())
    >>> held_out_scores(mean_of_training, age, [split], runs)["score"].values
    array([25.])
    """
    dim, n_items = items.dims[0], items.size
    several = classes is not None and classes.size > 2
    score = np.full((n_items, len(classes)) if classes is not None and several else n_items, np.nan)
    fold = np.full(n_items, -1, dtype=np.int64)
    groups = {"item": np.arange(n_items)}
    if "subject" in items.coords:
        groups["subject"] = items["subject"].values
    for number, split in enumerate(splits):
        check_groups(split, groups)
        _require_usable(split, fold, target, classes)
        score[split.test] = learn(split.train, split.test)
        fold[split.test] = number
    scored = results({"target": (dim, target), "fold": (dim, fold)})
    scored = scored.assign_coords(items.coords)
    return _with_scores(scored, score, classes).isel({dim: fold >= 0})


def _with_scores(scored: xr.Dataset, score: FloatArray, classes: NDArray[Any] | None) -> xr.Dataset:
    """Add scores, and the class that they mean."""
    dims = (*scored["fold"].dims, "class")[: score.ndim]
    scored = scored.assign(score=(dims, score))
    if classes is None:
        return scored
    best = (score > 0).astype(np.int64) if score.ndim == 1 else score.argmax(axis=1)
    scored["predicted"] = (dims[:1], classes[best])
    if score.ndim == 2:
        scored = scored.assign_coords({"class": classes})
    return scored.assign_attrs(classes=classes.tolist())


def _require_usable(
    split: Split,
    fold: NDArray[np.int64],
    target: NDArray[Any],
    classes: NDArray[Any] | None,
) -> None:
    if classes is not None and not np.isin(classes, target[split.train]).all():
        raise DegenerateInputError("a class has no training item", expected=classes.tolist())
    again = split.test[fold[split.test] >= 0]
    if again.size:
        raise DataError(
            "an item is tested twice",
            found=f"item {int(again[0])}, in splits {int(fold[again[0]])} and another",
            expected="splits whose test parts do not meet",
            hint="score each repetition of a cross-validation by itself",
        )
