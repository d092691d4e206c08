"""Splits by group: complete, disjoint, balanced, seeded, and refusing a leak by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import ConfigError, DataError
from neurodyn.windows.splits import Split
from neurodyn.windows.subject_splits import check_groups, grouped_k_fold, leave_group_out


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    groups=st.lists(st.integers(0, 15), min_size=12, max_size=80),
    n_folds=st.integers(2, 5),
    seed=st.integers(0, 50),
)
def test_folds_are_complete_and_no_group_is_in_two_parts(groups, n_folds, seed):
    if len(set(groups)) < n_folds:
        with pytest.raises(ConfigError, match="n_folds does not fit the groups"):
            grouped_k_fold(groups, n_folds, seed=seed)
        return
    folds = grouped_k_fold(groups, n_folds, seed=seed)
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(len(groups)))
    largest = max(groups.count(group) for group in groups)
    sizes = [fold.test.size for fold in folds]
    # large groups first, each to the emptiest fold
    assert max(sizes) - min(sizes) <= largest
    for fold in folds:
        check_groups(fold, groups)
        assert fold.train.size + fold.test.size == len(groups)
        assert (np.diff(fold.train) > 0).all()


def test_single_items_are_spread_within_one_of_each_stratum(rng):
    stratum = rng.choice(["a", "b", "c", "d"], size=203, p=[0.6, 0.3, 0.08, 0.02])
    folds = grouped_k_fold(np.arange(203), 5, stratify=stratum, seed=4)
    for label in "abcd":
        counts = [np.count_nonzero(stratum[fold.test] == label) for fold in folds]
        assert max(counts) - min(counts) <= 1
    sizes = [fold.test.size for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_groups_of_mixed_labels_are_balanced_as_far_as_they_can():
    # 30 subjects of two runs up and down, 10 with one run up
    subject = [*np.repeat(np.arange(30), 2), *range(30, 40)]
    label = [*["up", "down"] * 30, *["up"] * 10]
    for fold in grouped_k_fold(subject, 5, stratify=label, seed=0):
        test = np.array(label)[fold.test].tolist()
        assert (test.count("up"), test.count("down")) == (8, 6)


def test_same_seed_same_folds_other_seed_other_folds():
    first, again, other = (
        [fold.test.tolist() for fold in grouped_k_fold(range(40), 4, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_each_site_is_left_out_once():
    site = ["b", "a", "b", "c"]
    splits = leave_group_out(site)
    assert {name: split.test.tolist() for name, split in splits.items()} == {
        "a": [1],
        "b": [0, 2],
        "c": [3],
    }
    assert splits["a"].train.tolist() == [0, 2, 3]
    with pytest.raises(ConfigError, match="one group only"):
        leave_group_out(["x", "x"])


def test_a_leak_names_the_family_and_the_parts():
    split = Split(np.array([0, 1]), np.array([2]), np.array([3]))
    subject, family = ["s1", "s2", "s3", "s4"], ["Ek", "Li", "Oz", "Li"]
    check_groups(split, {"subject": subject})
    with pytest.raises(
        DataError, match=r"family in both train and test(.|\n)*family Li\n(.|\n)*groups by family"
    ):
        check_groups(split, {"subject": subject, "family": family})
    with pytest.raises(DataError, match="group in both validation and test"):
        check_groups(split, ["a", "b", "c", "c"])


def test_many_shared_groups_are_counted():
    split = Split(np.arange(8), test=np.arange(8))
    with pytest.raises(DataError, match="subject 0, 1, 2, 3, 4 and 3 more"):
        check_groups(split, {"subject": range(8)})


def test_unknown_labels_and_positions_are_refused():
    split = Split(np.array([0]), test=np.array([1]))
    for labels in (["a", ""], ["a", None], [1.0, np.nan]):
        with pytest.raises(DataError, match="is not known, so a leak could not be seen"):
            check_groups(split, {"family": labels})
    with pytest.raises(DataError, match="test names items that do not exist"):
        check_groups(Split(np.array([0]), test=np.array([7])), ["a", "b"])
    with pytest.raises(DataError, match="labels differ in number"):
        grouped_k_fold(["a", "b"], 2, stratify=["x"])
    with pytest.raises(DataError, match="groups must be a list"):
        grouped_k_fold([["a"], ["b"]], 2)
