"""Recordings cut into training and test parts along their observed time, with a gap between."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import xarray as xr

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.recording import pick
from neurodyn.transforms.intervals import Intervals, difference, intersection, union
from neurodyn.transforms.observation import observation_intervals
from neurodyn.transforms.restriction import restrict

__all__ = ["blocked_folds", "blocked_holdout", "observed_time"]

R = TypeVar("R", xr.DataTree, xr.Dataset)


def observed_time(recording: xr.DataTree | xr.Dataset) -> Intervals:
    """Return the intervals [s] in which all units were observed, shape ``(n, 2)``.

    Where nothing is said of observation: from the first spike to the last.

    Parameters
    ----------
    recording
        Spikes, or a recording that has them.

    Raises
    ------
    EmptySelectionError
        If there are no spikes, or no time at which all units were observed.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> observed_time(spikes_from_units({"a": [0.5]}, observed=[[0.0, 1.0], [2.0, 3.0]])).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    spikes = pick(recording, "spikes")
    intervals = observation_intervals(spikes)
    if intervals is None:
        time = spikes["spike_time"].values
        if not time.size:
            raise EmptySelectionError("there are no spikes and no observation intervals")
        # the last spike lies in the interval
        return np.array([[time.min(), time.max() + 1.0 / float(spikes.attrs["tick_hz"])]])
    found = union(intervals[0])
    for own in intervals[1:]:
        if not np.array_equal(own, found):
            found = intersection(found, own)
    if not len(found):
        raise EmptySelectionError(
            "nothing was observed of all units at once",
            found=f"{spikes.sizes['unit']} units",
            hint="leave units out that were observed at another time",
        )
    return found


def blocked_folds(recording: R, n_folds: int = 5, *, gap: float) -> list[tuple[R, R]]:
    """Cut a recording into folds; each is the test part once, the others the training part.

    The observed time, its intervals joined one after another, is cut into ``n_folds`` blocks of
    equal length. What is closer than ``gap`` to a test block belongs to no part of that fold.

    Parameters
    ----------
    recording
        Spikes, or a recording that has them; other kinds are cut along.
    n_folds
        Number of folds, at least 2.
    gap
        Least distance of training from test time [s]; what a model reads around an instant, its
        past for example.

    Returns
    -------
    list of tuple
        Training and test part of each fold, in order of time, see
        :func:`neurodyn.transforms.restriction.restrict`.

    Raises
    ------
    ConfigError
        If there are fewer than two folds, or the gap is negative or not finite.
    EmptySelectionError
        If nothing was observed, or a training part would be empty.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.5, 6.5]}, observed=[[0.0, 4.0], [6.0, 10.0]])
    >>> train, test = blocked_folds(spikes, 2, gap=3.0)[0]
    >>> observed_time(train).tolist(), observed_time(test).tolist()
    ([[7.0, 10.0]], [[0.0, 4.0]])
    """
    if n_folds < 2:
        raise ConfigError("there are too few folds", found=f"n_folds={n_folds}", expected="2")
    _refuse_gap(gap)
    observed = observed_time(recording)
    edges = np.linspace(0.0, 1.0, n_folds + 1)
    return [_parts(recording, observed, edges[[fold, fold + 1]], gap) for fold in range(n_folds)]


def blocked_holdout(
    recording: R, *, validation: float = 0.2, gap: float, n_blocks: int = 5
) -> tuple[R, R]:
    """Cut a recording into a training and a validation part that is spread over its time.

    The observed time, its intervals joined one after another, is cut into ``n_blocks`` stretches;
    the end of each is for validation, so that slow drifts meet both parts.

    Parameters
    ----------
    recording, gap
        As in :func:`blocked_folds`.
    validation
        Fraction of each stretch.
    n_blocks
        Number of stretches.

    Raises
    ------
    ConfigError
        If the fraction, the gap or the number of blocks is impossible.
    EmptySelectionError
        If nothing was observed, or the training part would be empty.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.5, 6.5]}, observed=[[0.0, 10.0]])
    >>> train, held = blocked_holdout(spikes, gap=0.5, n_blocks=2)
    >>> observed_time(train).tolist(), observed_time(held).tolist()
    ([[0.0, 3.5], [5.5, 8.5]], [[4.0, 5.0], [9.0, 10.0]])
    """
    if not 0.0 < validation < 1.0 or n_blocks < 1:
        raise ConfigError(
            "a blocked holdout is impossible",
            found=f"validation={validation}, n_blocks={n_blocks}",
            expected="a fraction between 0 and 1, at least one block",
        )
    _refuse_gap(gap)
    ends = np.arange(1, n_blocks + 1) / n_blocks
    blocks = np.column_stack([ends - validation / n_blocks, ends])
    return _parts(recording, observed_time(recording), blocks, gap)


def _refuse_gap(gap: float) -> None:
    if not 0.0 <= gap < np.inf:
        raise ConfigError("a gap is impossible", found=f"gap={gap}", expected="seconds from 0")


def _parts(recording: R, observed: Intervals, blocks: Intervals, gap: float) -> tuple[R, R]:
    """Return what is far from blocks, and what is in them, as shares of the observed time."""
    test = _inside(observed, blocks.reshape(-1, 2))
    train = difference(observed, test + np.array([-gap, gap]))
    if not len(train):
        raise EmptySelectionError(
            "the train part of the split is empty",
            found=f"{np.diff(observed).sum():g} s of observed time, gap={gap:g} s",
            expected="observed time further from the test part than the gap",
            hint="give more data, a shorter gap, or other blocks",
        )
    return restrict(recording, train), restrict(recording, test)


def _inside(observed: Intervals, blocks: Intervals) -> Intervals:
    """Return the intervals [s] of blocks, whose edges are shares of the observed time."""
    length = np.diff(observed)[:, 0]
    before = np.cumsum(length) - length
    # rounded: parts that share an edge are to name it alike, in whole nanoseconds
    edges = np.round(blocks * length.sum(), 9)
    parts = [
        np.clip(edges - offset, 0.0, own) + start
        for (start, _), offset, own in zip(observed, before, length)
    ]
    return intersection(np.concatenate(parts), observed)
