"""Blocks with a gap, trials, and a check that finds every leak."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn.errors import DataError
from neurodyn.models.neuroformer.splits import blocked_split, check_leak, trial_split
from neurodyn.windows.splits import Split

from .simulated import settings, windows


@pytest.mark.parametrize("past", [0.1, 0.4])
def test_blocks_are_as_far_apart_as_windows_read(past):
    source = windows(settings(past=past))
    split = blocked_split(source, test=0.2, n_blocks=2)
    spans = source.spans()
    for name, part in split.parts():
        for other, there in split.parts():
            if name != other:
                gap = spans[part][:, None, 0] - spans[there][None, :, 1]
                back = spans[there][None, :, 0] - spans[part][:, None, 1]
                assert np.maximum(gap, back).min() >= round(past * 100)
    check_leak(source, split)


def test_a_short_gap_is_refused():
    with pytest.raises(DataError, match="the gap is shorter than what windows read"):
        blocked_split(windows(settings()), gap=0.05)
    assert blocked_split(windows(settings()), gap=0.3, n_blocks=1).train.size


def test_the_check_finds_neighbours_and_random_splits():
    source = windows(settings())
    # three windows of 50 ms lie between: 0.15 s, past is 0.1 s
    check_leak(source, Split(np.array([0]), test=np.array([3])))
    with pytest.raises(DataError, match="train and test leak into each other"):
        check_leak(source, Split(np.array([0]), test=np.array([2])))
    order = np.random.default_rng(0).permutation(len(source))
    with pytest.raises(DataError, match="leak into each other"):
        check_leak(source, Split(np.sort(order[:90]), test=np.sort(order[90:])))


def test_neighbours_of_different_trials_do_not_leak():
    source = windows(settings())
    split = trial_split(source, Split(np.array([0]), test=np.array([1])))
    half = len(source) // 2
    assert split.train.tolist() == list(range(half))
    assert split.test.tolist() == list(range(half, 2 * half))
    with pytest.raises(DataError, match="names a stretch that does not exist"):
        trial_split(source, Split(np.array([0]), test=np.array([2])))
