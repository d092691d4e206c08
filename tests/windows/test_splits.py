"""Splits: complete, disjoint, balanced, seeded, and free of leakage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import ConfigError, DataError, EmptySelectionError, TrialTableError
from neurodyn.recording import counts, trials
from neurodyn.windows import Split, blocked_split, check_leakage, k_fold, trial_split


def table(n, condition=None):
    start = np.arange(n, dtype=float)
    columns = None if condition is None else {"condition": condition}
    return trials(start, start + 1, columns=columns)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    n=st.integers(5, 200),
    validation=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    seed=st.integers(0, 99),
)
def test_parts_are_disjoint_complete_and_of_the_wanted_size(n, validation, test, seed):
    try:
        split = trial_split(table(n), validation=validation, test=test, seed=seed)
    except EmptySelectionError:
        assert min(validation, test) * n <= 0.5 or n < 8
        return
    together = np.concatenate([part for _, part in split.parts()])
    assert sorted(together.tolist()) == list(range(n))
    assert abs(split.validation.size - validation * n) <= 1
    assert abs(split.test.size - test * n) <= 1
    assert all((np.diff(part) > 0).all() for _, part in split.parts())


def test_same_seed_same_split_other_seed_other_split():
    first, again, other = (trial_split(table(50), seed=seed) for seed in (3, 3, 4))
    assert first.validation.tolist() == again.validation.tolist() != other.validation.tolist()


def test_conditions_are_spread_alike():
    condition = np.repeat(["a", "b", "c", "d"], [40, 40, 20, 20])
    split = trial_split(
        table(120, condition), validation=0.25, test=0.25, stratify="condition", seed=2
    )
    for part, fraction in ((split.train, 0.5), (split.validation, 0.25), (split.test, 0.25)):
        sizes = [np.count_nonzero(condition[part] == c) for c in "abcd"]
        np.testing.assert_allclose(sizes, np.array([40, 40, 20, 20]) * fraction, atol=2)


def test_folds_use_every_trial_once_for_test():
    condition = np.tile(["x", "y"], 23)
    folds = k_fold(table(46, condition), 5, stratify="condition", seed=1)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(46))
    for fold in folds:
        assert np.intersect1d(fold.train, fold.test).size == 0
        assert fold.train.size + fold.test.size == 46
        assert abs(np.mean(condition[fold.test] == "x") - 0.5) < 0.1


def test_numbers_and_missing_values_stratify_too():
    condition = np.array([1.0, np.nan] * 10)
    split = trial_split(table(20, condition), validation=0.2, stratify="condition")
    assert np.isnan(condition[split.validation]).sum() == 2


def test_counts_with_trials_are_split():
    ds = counts(np.zeros((10, 4, 2)), bin_size=0.1, trial_columns={"condition": ["a", "b"] * 5})
    assert trial_split(ds, validation=0.2, stratify="condition").validation.size == 2


def test_an_unknown_column_is_named():
    with pytest.raises(TrialTableError, match="did you mean 'condition'"):
        trial_split(table(10, ["a"] * 10), stratify="conditon")


def test_overlapping_trials_are_refused_in_any_order():
    ds = trials([5.0, 0.0, 0.5], [6.0, 1.0, 1.5], trial=["late", "first", "second"])
    with pytest.raises(TrialTableError, match="first of trials first and second"):
        k_fold(ds, 3)
    inside = trials([0.0, 1.0, 3.0], [10.0, 2.0, 4.0])
    with pytest.raises(TrialTableError, match="2 overlaps"):
        trial_split(inside)


def test_no_trials_are_refused():
    with pytest.raises(TrialTableError, match="no trials to split"):
        trial_split(counts(np.zeros((4, 2)), bin_size=0.1))


@pytest.mark.parametrize(
    "fractions",
    [{"validation": -0.1}, {"validation": 0.6, "test": 0.4}, {"validation": float("nan")}],
)
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(ConfigError, match="fractions of a split are impossible"):
        trial_split(table(10), **fractions)


@pytest.mark.parametrize(
    "make",
    [
        lambda: trial_split(table(3), validation=0.1),
        lambda: trial_split(table(0)),
        lambda: blocked_split([[0, 1], [1, 2]], validation=0.2),
        lambda: blocked_split(np.empty((0, 2))),
    ],
)
def test_empty_parts_are_refused(make):
    with pytest.raises(EmptySelectionError):
        make()


@pytest.mark.parametrize("n_folds", [1, 11])
def test_impossible_folds_are_refused(n_folds):
    with pytest.raises(ConfigError, match="n_folds does not fit"):
        k_fold(table(10), n_folds)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    length=st.integers(1, 20),
    step=st.integers(1, 10),
    gap=st.integers(0, 30),
    n_blocks=st.integers(1, 4),
)
def test_blocked_parts_keep_their_distance(length, step, gap, n_blocks):
    start = np.arange(0, 2000, step)
    spans = np.column_stack([start, start + length])
    split = blocked_split(spans, validation=0.2, test=0.2, gap=gap, n_blocks=n_blocks)
    chosen = {name: np.zeros(3000, dtype=bool) for name, _ in split.parts()}
    for name, part in split.parts():
        for first, last in spans[part]:
            chosen[name][max(first - gap, 0) : last + gap] = True
    for name, part in split.parts():
        for other in chosen:
            if other != name:
                assert not any(chosen[other][a:b].any() for a, b in spans[part])
    # the loss is the gap and a window at each border
    n_borders = 3 * n_blocks
    kept = sum(part.size for _, part in split.parts())
    assert kept >= start.size - n_borders * ((gap + length) / step + 2)


def test_windows_that_begin_at_a_cut_are_kept():
    start = np.arange(0, 700, 7)
    spans = np.column_stack([start, start + 7])
    split = blocked_split(spans, validation=0.3, n_blocks=1)
    assert (split.train.size, split.validation.size) == (70, 30)


def test_leakage_is_named():
    spans = np.array([[0, 10], [5, 15], [30, 40]])
    check_leakage(Split(np.array([0, 1]), test=np.array([2])), spans, gap=15)
    with pytest.raises(DataError, match="train and test leak into each other"):
        check_leakage(Split(np.array([0, 1]), test=np.array([2])), spans, gap=16)
    with pytest.raises(DataError, match=r"window 0 .* and window 1"):
        check_leakage(Split(np.array([0]), np.array([1])), spans)


def test_a_long_window_before_others_is_seen():
    spans = np.array([[0, 100], [1, 2], [50, 60]])
    with pytest.raises(DataError, match="leak"):
        check_leakage(Split(np.array([2]), test=np.array([0, 1])), spans)


def test_the_same_window_in_two_parts_is_leakage():
    with pytest.raises(DataError, match="leak"):
        check_leakage(Split(np.array([0]), test=np.array([0])), [[0, 1]])


@pytest.mark.parametrize("settings", [{"gap": -1}, {"n_blocks": 0}, {"validation": 1.0}])
def test_impossible_blocks_are_refused(settings):
    with pytest.raises(ConfigError, match="blocked split is impossible"):
        blocked_split([[0, 1], [1, 2]], **settings)


def test_windows_without_length_are_refused():
    with pytest.raises(DataError, match="window has no length"):
        blocked_split([[0, 1], [2, 2]])
