"""Splits of runs or windows that keep a subject, family or site in one part, and refuse a leak."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, DataError
from neurodyn.windows.splits import Split

__all__ = ["check_groups", "grouped_k_fold", "leave_group_out"]

Index = NDArray[np.int64]
SHOWN = 5


def grouped_k_fold(
    groups: ArrayLike, n_folds: int = 5, *, stratify: ArrayLike | None = None, seed: int = 0
) -> list[Split]:
    """Split items into folds; all items of a group are in the same one.

    Groups are dealt in random order, large ones first, each to the fold that has the smallest
    share of what the group brings (of each stratum), of equal ones to the fold with the fewest
    items. Where every group is one item, strata differ by at most one item between folds.

    Parameters
    ----------
    groups
        Subject, family or site of each item, shape ``(item,)``.
    n_folds
        Number of folds, at least 2; each is the test set of one split.
    stratify
        Label of each item, such as site and diagnosis joined, whose values are spread over the
        folds alike.
    seed
        Seed of the order.

    Raises
    ------
    ConfigError
        If there are fewer groups than folds, or fewer than two folds.
    DataError
        If a label is missing or ``stratify`` is of another length.

    Examples
    --------
    >>> folds = grouped_k_fold(["ann", "ann", "bob", "cleo"], 3)
    >>> sorted(fold.test.tolist() for fold in folds)
    [[0, 1], [2], [3]]
    """
    group, names = _codes(groups, "groups")
    if not 2 <= n_folds <= len(names):
        raise ConfigError(
            "n_folds does not fit the groups",
            found=f"{n_folds} folds of {len(names)} groups",
            expected=f"2 to {len(names)}",
        )
    stratum = np.zeros_like(group) if stratify is None else _codes(stratify, "stratify")[0]
    if stratum.size != group.size:
        raise DataError("labels differ in number", found=stratum.size, expected=group.size)
    content = np.zeros((len(names), int(stratum.max()) + 1))
    np.add.at(content, (group, stratum), 1.0)
    fold = _dealt(content, n_folds, seed)[group]
    return [_held_out(fold == number) for number in range(n_folds)]


def leave_group_out(groups: ArrayLike) -> dict[str, Split]:
    """Return one split for each group, by its name: it is the test set, all others train.

    Parameters
    ----------
    groups
        Site or subject of each item, shape ``(item,)``.

    Raises
    ------
    ConfigError
        If there is one group only.
    DataError
        If a label is missing.

    Examples
    --------
    >>> leave_group_out(["Oslo", "Pisa", "Oslo"])["Oslo"].test
    array([0, 2])
    """
    group, names = _codes(groups, "groups")
    if len(names) < 2:
        raise ConfigError("there is one group only", found=names[0], expected="two at least")
    return {name: _held_out(group == number) for number, name in enumerate(names)}


def check_groups(split: Split, groups: ArrayLike | Mapping[str, ArrayLike]) -> None:
    """Raise if a group is in two parts of a split.

    Parameters
    ----------
    split
        Positions of items.
    groups
        Group of each item, shape ``(item,)``; several groupings by name, such as
        ``{"subject": ..., "family": ...}``, are all checked.

    Raises
    ------
    DataError
        Naming the grouping, the groups and the two parts; or if a label is missing, or a position
        is not among the items.

    Examples
    --------
    >>> split = Split(np.array([0, 1]), test=np.array([2]))
    >>> check_groups(split, {"subject": ["ann", "ann", "bob"]})
    """
    named = groups if isinstance(groups, Mapping) else {"group": groups}
    for noun, labels in named.items():
        group, names = _codes(labels, noun)
        seen: dict[str, NDArray[np.int64]] = {}
        for part, items in split.parts():
            _require_positions(items, group.size, part)
            seen[part] = np.unique(group[items])
            for other in list(seen)[:-1]:
                shared = np.intersect1d(seen[other], seen[part])
                if shared.size:
                    raise _leak(noun, [names[number] for number in shared], other, part)


def _leak(noun: str, names: list[str], first: str, second: str) -> DataError:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return DataError(
        f"{noun} in both {first} and {second}: what is tested was learned from",
        found=f"{noun} {', '.join(names[:SHOWN])}{more}",
        expected=f"every {noun} in one part",
        hint=f"grouped_k_fold(groups, ...) or leave_group_out(groups), groups by {noun}",
    )


def _dealt(content: NDArray[np.float64], n_folds: int, seed: int) -> Index:
    """Return the fold of each group, from its items in each stratum ``(group, stratum)``."""
    order = np.random.default_rng(seed).permutation(len(content))
    order = order[np.argsort(-content.sum(axis=1)[order], kind="stable")]
    share = content / content.sum(axis=0)
    held = np.zeros((n_folds, content.shape[1]))
    fold = np.empty(len(content), dtype=np.int64)
    for number in order.tolist():
        crowding = np.round(held @ share[number], 9)
        fold[number] = np.lexsort((held.sum(axis=1), crowding))[0]
        held[fold[number]] += content[number]
    return fold


def _held_out(test: NDArray[np.bool_]) -> Split:
    return Split(np.flatnonzero(~test), test=np.flatnonzero(test))


def _codes(labels: ArrayLike, noun: str) -> tuple[Index, list[str]]:
    """Return labels as numbers, and the names of the numbers in order."""
    array = np.asarray(labels)
    if array.ndim != 1 or not array.size:
        raise DataError(f"{noun} must be a list", found=f"shape {array.shape}", expected="(item,)")
    missing = np.flatnonzero(np.asarray(pd.isna(array)) | (array.astype(str) == ""))
    if missing.size:
        raise DataError(
            f"{noun} of some items is not known, so a leak could not be seen",
            found=f"{missing.size} items, first {missing[0]}",
            expected="a label for each",
        )
    names, codes = np.unique(array.astype(str), return_inverse=True)
    return codes.astype(np.int64), names.tolist()


def _require_positions(items: Index, n: int, part: str) -> None:
    outside = items[(items < 0) | (items >= n)]
    if outside.size:
        raise DataError(
            f"{part} names items that do not exist",
            found=f"position {int(outside[0])}",
            expected=f"0 to {n - 1}",
        )
