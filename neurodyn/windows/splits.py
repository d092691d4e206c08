"""Splits into training, validation and test sets, without leakage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, DataError, EmptySelectionError, TrialTableError, suggest

__all__ = ["Split", "blocked_split", "check_leakage", "k_fold", "trial_split"]

Index = NDArray[np.int64]


def _nothing() -> Index:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of trials or windows, ascending in each part.

    Parameters
    ----------
    train
        What is learned from, shape ``(trial,)``.
    validation
        What choices are made on; may be empty.
    test
        What is only ever scored; may be empty.
    """

    train: Index
    validation: Index = field(default_factory=_nothing)
    test: Index = field(default_factory=_nothing)

    def parts(self) -> Iterator[tuple[str, Index]]:
        """Give the name and positions of every part."""
        return ((part.name, getattr(self, part.name)) for part in fields(self))


def trial_split(
    data: xr.Dataset,
    *,
    validation: float = 0.2,
    test: float = 0.0,
    stratify: str | None = None,
    seed: int = 0,
) -> Split:
    """Split trials at random.

    Parameters
    ----------
    data
        Counts with trials, or a table of trials; overlapping trials are refused.
    validation, test
        Fractions of the trials.
    stratify
        Coordinate or column, such as ``"condition"``, whose values are spread over all parts
        alike.
    seed
        Seed of the order.

    Raises
    ------
    ConfigError
        If the fractions are impossible.
    EmptySelectionError
        If a wanted part would be empty.
    TrialTableError
        If trials overlap, or there is no column ``stratify``.

    Examples
    --------
    >>> from neurodyn.recording import trials
    >>> split = trial_split(trials(np.arange(10.0), np.arange(10.0) + 1), validation=0.3, seed=1)
    >>> [part.size for _, part in split.parts()]
    [7, 3, 0]
    """
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise ConfigError(
            "fractions of a split are impossible",
            found=f"validation={validation}, test={test}",
            expected="numbers from 0 whose sum is below 1",
        )
    order = _shuffled(data, stratify, seed)
    fractions = [1 - validation - test, validation, test]
    role = _spread(order.size, fractions)
    parts = [np.sort(order[role == number]) for number in range(3)]
    _refuse_empty(parts, fractions, order.size)
    return Split(*parts)


def k_fold(
    data: xr.Dataset, n_folds: int = 5, *, stratify: str | None = None, seed: int = 0
) -> list[Split]:
    """Split trials into folds; each is the test set of one split, the others its training set.

    Parameters
    ----------
    data
        Counts with trials, or a table of trials; overlapping trials are refused.
    n_folds
        Number of folds, at least 2.
    stratify
        Coordinate or column whose values are spread over the folds alike.
    seed
        Seed of the order.

    Raises
    ------
    ConfigError
        If there are fewer than two folds or fewer trials than folds.
    TrialTableError
        If trials overlap, or there is no column ``stratify``.

    Examples
    --------
    >>> from neurodyn.recording import trials
    >>> folds = k_fold(trials(np.arange(10.0), np.arange(10.0) + 1), 5)
    >>> sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(10))
    True
    """
    order = _shuffled(data, stratify, seed)
    if not 2 <= n_folds <= order.size:
        raise ConfigError(
            "n_folds does not fit the trials",
            found=f"{n_folds} folds of {order.size} trials",
            expected=f"2 to {order.size}",
        )
    folds = [np.sort(order[fold::n_folds]) for fold in range(n_folds)]
    return [Split(np.setdiff1d(order, fold), test=fold) for fold in folds]


def blocked_split(
    spans: ArrayLike,
    *,
    validation: float = 0.2,
    test: float = 0.0,
    gap: float = 0.0,
    n_blocks: int = 5,
) -> Split:
    """Split windows of one recording into contiguous blocks with a gap between the parts.

    The recording is cut into ``n_blocks`` stretches of time; the end of each is for validation
    and test, so that slow drifts meet all parts. Windows closer than ``gap`` to a window of
    a later part are left out.

    Parameters
    ----------
    spans
        Begin and end of each window, shape ``(window, 2)``, in any one unit: rows as of
        :meth:`Windows.spans`, or seconds.
    validation, test
        Fractions of each stretch.
    gap
        Least distance between windows of different parts, in the unit of ``spans``.
    n_blocks
        Number of stretches.

    Raises
    ------
    ConfigError
        If the fractions, the gap or the number of blocks is impossible.
    EmptySelectionError
        If a wanted part would be empty.

    Examples
    --------
    >>> start = np.arange(100)
    >>> split = blocked_split(np.column_stack([start, start + 1]), gap=2, n_blocks=1)
    >>> split.train[-1].item(), split.validation[0].item()
    (77, 80)
    """
    table = _spans(spans)
    if not (validation >= 0 and test >= 0 and validation + test < 1) or gap < 0 or n_blocks < 1:
        raise ConfigError(
            "a blocked split is impossible",
            found=f"validation={validation}, test={test}, gap={gap}, n_blocks={n_blocks}",
            expected="fractions whose sum is below 1, a gap from 0, at least one block",
        )
    fractions = [1 - validation - test, validation, test]
    piece = _pieces(table, np.cumsum([0.0, *fractions[:-1]]), gap, n_blocks)
    parts = [np.flatnonzero(piece == number) for number in range(3)]
    _refuse_empty(parts, fractions, len(table))
    split = Split(*parts)
    check_leakage(split, table, gap=gap)
    return split


def check_leakage(split: Split, spans: ArrayLike, *, gap: float = 0.0) -> None:
    """Raise if windows of different parts overlap or are closer than ``gap``.

    Parameters
    ----------
    split
        Positions of windows.
    spans
        Begin and end of each window, shape ``(window, 2)``, in any one unit.
    gap
        Least distance between windows of different parts, in the same unit.

    Raises
    ------
    DataError
        Naming the two parts and windows.

    Examples
    --------
    >>> check_leakage(Split(np.array([0]), test=np.array([1])), [[0, 10], [12, 22]], gap=2)
    """
    table = _spans(spans)
    named = [(name, part) for name, part in split.parts() if part.size]
    for i, (name, part) in enumerate(named):
        for other_name, other in named[i + 1 :]:
            pair = _too_close(table, part, other, gap)
            if pair is not None:
                raise DataError(
                    f"{name} and {other_name} leak into each other",
                    found=f"window {pair[0]} {table[pair[0]].tolist()} and "
                    f"window {pair[1]} {table[pair[1]].tolist()}",
                    expected=f"a distance of at least {gap:g}, no window in both",
                    hint="blocked_split(..., gap=...) leaves out what is between the parts",
                )


def _pieces(
    table: NDArray[np.float64], begins: NDArray[np.float64], gap: float, n_blocks: int
) -> Index:
    """Return the part (0, 1, 2) that holds each window wholly, -1 for those in between."""
    edges = np.linspace(table[:, 0].min(), table[:, 1].max(), n_blocks + 1)
    cuts = edges[:-1, None] + np.diff(edges)[:, None] * begins
    # rounded: a window that begins at a cut is not to fall before it by float noise
    cuts = np.round(np.append(cuts.ravel(), edges[-1]), 9)
    piece = np.searchsorted(cuts, table[:, 0], side="right") - 1
    last = np.append(cuts[1:-1] - gap, np.inf)
    inside = table[:, 1] <= last[np.clip(piece, 0, last.size - 1)]
    return np.where(inside, piece % begins.size, -1)


def _too_close(
    table: NDArray[np.float64], part: Index, other: Index, gap: float
) -> tuple[int, int] | None:
    other = other[np.argsort(table[other, 0], kind="stable")]
    # the furthest end of all windows that begin no later
    reach = np.maximum.accumulate(table[other, 1])
    before = np.searchsorted(table[other, 0], table[part, 1] + gap, side="left") - 1
    close = (before >= 0) & (reach[np.maximum(before, 0)] + gap > table[part, 0])
    if not close.any():
        return None
    first = int(part[np.flatnonzero(close)[0]])
    near = (table[other, 0] < table[first, 1] + gap) & (table[other, 1] + gap > table[first, 0])
    return first, int(other[np.flatnonzero(near)[0]])


def _spans(spans: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    if not len(table):
        raise EmptySelectionError("there is no window to split")
    bad = np.flatnonzero(~(table[:, 1] > table[:, 0]))
    if bad.size:
        raise DataError("a window has no length", where=f"window {bad[0]}", found=table[bad[0]])
    return table


def _shuffled(data: xr.Dataset, stratify: str | None, seed: int) -> Index:
    """Return positions of trials in random order, equal conditions next to each other."""
    _refuse_overlap(data)
    order = np.random.default_rng(seed).permutation(data.sizes["trial"])
    if stratify is None:
        return order
    known = [str(name) for name, variable in data.variables.items() if variable.dims == ("trial",)]
    if stratify not in known:
        raise TrialTableError(f"no column {stratify!r} of trials", hint=suggest(stratify, known))
    # by text: missing values and mixed types stay comparable
    _, group = np.unique(data[stratify].values.astype(str), return_inverse=True)
    return order[np.argsort(group[order], kind="stable")]


def _spread(n: int, fractions: Sequence[float]) -> Index:
    """Give each of ``n`` trials a part, evenly: a run of equal conditions gives its share."""
    role = np.zeros(n, dtype=np.int64)
    for number in (1, 2):
        free = np.flatnonzero(role == 0)
        wanted = round(fractions[number] * n)
        chosen = ((np.arange(wanted) + 0.5) * free.size / max(wanted, 1)).astype(np.int64)
        role[free[chosen]] = number
    return role


def _refuse_overlap(data: xr.Dataset) -> None:
    if "trial" not in data.dims:
        raise TrialTableError(
            "there are no trials to split",
            found=dict(data.sizes),
            hint="cut_blocks first, or blocked_split over windows",
        )
    if "start" not in data.variables or "stop" not in data.variables:
        return
    order = np.argsort(data["start"].values, kind="stable")
    start, stop = data["start"].values[order], data["stop"].values[order]
    reach = np.maximum.accumulate(stop)
    bad = np.flatnonzero(start[1:] < reach[:-1])
    if bad.size:
        labels = data["trial"].values[order]
        raise TrialTableError(
            "overlapping trials cannot be split: the same time would be in two parts",
            found=f"{bad.size} overlaps, first of trials {labels[bad[0]]} and {labels[bad[0] + 1]}",
            expected="trials that end before the next begins",
            hint="leave overlapping trials out, or use blocked_split with a gap",
        )


def _refuse_empty(parts: Sequence[Index], fractions: Sequence[float], n: int) -> None:
    for name, part, fraction in zip(("train", "validation", "test"), parts, fractions):
        if fraction > 0 and not part.size:
            raise EmptySelectionError(
                f"the {name} part of the split is empty",
                found=f"{fraction:.3g} of {n}",
                expected="at least one",
                hint="give more data or a larger fraction",
            )
