"""Partitions against scikit-learn, arithmetic by hand and permuted labels."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.metrics import f1_score

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.metrics import (
    adjusted_mutual_information,
    adjusted_rand_index,
    best_match_f1,
    normalised_mutual_information,
    variation_of_information,
)

SCORES = {
    normalised_mutual_information: oracle.normalized_mutual_info_score,
    adjusted_mutual_information: oracle.adjusted_mutual_info_score,
    adjusted_rand_index: oracle.adjusted_rand_score,
}
ALL = [*SCORES, variation_of_information]
ROIS = ["AVA", "AVB", "RIM", "AIB", "SMDV"]


def entropy(counts):
    share = np.asarray(counts)[np.asarray(counts) > 0] / np.sum(counts)
    return -(share * np.log(share)).sum()


def partition(labels, rois=ROIS):
    return xr.DataArray(np.asarray(labels), {"roi": list(rois)}, ["roi"])


@pytest.mark.parametrize("score", SCORES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("n_communities", [1, 2, 5, 40])
def test_equals_scikit_learn(rng, score, n_communities):
    u, v = rng.integers(0, n_communities, (2, 40))
    v[:20] = u[:20]
    assert score(u, v) == pytest.approx(SCORES[score](u, v), abs=1e-12)
    assert score(u, u) == pytest.approx(1.0)


def test_mutual_information_is_that_of_the_table_of_counts():
    table = np.array([[3, 1], [0, 4]])
    u, v = (np.repeat(side, table.ravel()) for side in ([0, 0, 1, 1], [0, 1, 0, 1]))
    h_u, h_v, h_uv = entropy([4, 4]), entropy([3, 5]), entropy([3, 1, 4])
    shared = h_u + h_v - h_uv
    assert normalised_mutual_information(u, v) == pytest.approx(2 * shared / (h_u + h_v))
    assert variation_of_information(u, v) == pytest.approx(2 * h_uv - h_u - h_v)


def test_variation_of_information_by_hand():
    assert variation_of_information([0, 0, 1, 1], [5, 5, 2, 2]) == 0.0
    assert variation_of_information([0] * 8, range(8)) == pytest.approx(np.log(8))
    # one node of four moves: 1/2 H(1/2, 1/2) on one side, 3/4 H(1/3, 2/3) on the other
    expected = 0.5 * np.log(2) + 0.75 * entropy([1, 2])
    assert variation_of_information(list("aabb"), list("aaab")) == pytest.approx(expected)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), k=st.integers(1, 6))
def test_variation_of_information_is_a_metric(seed, n, k):
    u, v, w = np.random.default_rng(seed).integers(0, k, (3, n))
    direct = variation_of_information(u, w)
    assert direct == pytest.approx(variation_of_information(w, u))
    assert 0.0 <= direct <= np.log(n) + 1e-12
    detour = variation_of_information(u, v) + variation_of_information(v, w)
    assert direct <= detour + 1e-12


@settings(deadline=None, max_examples=30, derandomize=True)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("score", ALL, ids=lambda f: f.__name__)
def test_names_of_communities_and_order_of_nodes_do_not_matter(score, seed):
    rng = np.random.default_rng(seed)
    u, v = rng.integers(0, 4, (2, 12))
    names = np.array(list("xyzw"))[rng.permutation(4)]
    order = rng.permutation(12)
    rois = np.array([f"cell {n}" for n in range(12)])
    expected = score(u, v)
    assert score(names[u], v) == pytest.approx(expected, abs=1e-12)
    found = score(partition(u, rois), partition(v[order], rois[order]))
    assert found == pytest.approx(expected, abs=1e-12)


def test_chance_agreement_is_zero_once_corrected(rng):
    draws = [rng.integers(0, 6, (2, 30)) for _ in range(300)]
    for score in (adjusted_mutual_information, adjusted_rand_index):
        assert abs(np.mean([score(*draw) for draw in draws])) < 0.02
    assert np.mean([normalised_mutual_information(*draw) for draw in draws]) > 0.2


@pytest.mark.parametrize("score", ALL, ids=lambda f: f.__name__)
def test_nodes_outside_are_refused_or_left_out_of_both(score):
    u, v = np.array([0, 0, 1, 1, -1]), np.array([2.0, 2.0, np.nan, 3.0, 3.0])
    with pytest.raises(DataError, match=r"in no community[\s\S]*2 of 5 nodes[\s\S]*exclude"):
        score(u, v)
    kept = score([0, 0, 1], [2, 2, 3])
    assert score(u, v, unassigned="exclude") == pytest.approx(kept)
    text = np.array(["a", "a", None, "b", "b"], dtype=object)
    assert score(u, text, unassigned="exclude") == pytest.approx(kept)
    with pytest.raises(DegenerateInputError, match="no node is in a community of both"):
        score([-1, 0], [0, -1], unassigned="exclude")
    with pytest.raises(ConfigError, match="invalid value for unassigned"):
        score(u, v, unassigned="drop")


def test_what_does_not_match_by_label_is_refused():
    u = partition([0, 0, 1, 1, 1])
    with pytest.raises(DataError, match=r"labels of roi differ[\s\S]*AVE, SMDV"):
        adjusted_rand_index(u, partition([0, 0, 1, 1, 1], [*ROIS[:4], "AVE"]))
    with pytest.raises(DataError, match=r"labels of roi differ[\s\S]*SMDV"):
        adjusted_rand_index(u, u[:4])
    with pytest.raises(DataError, match="some repeat"):
        adjusted_rand_index(u, xr.concat([u, u], "roi"))
    with pytest.raises(DataError, match="labels cannot be matched with positions"):
        adjusted_rand_index(u, u.values)
    with pytest.raises(DataError, match="arrays differ in dims"):
        adjusted_rand_index(u, u.rename(roi="unit"))
    with pytest.raises(DataError, match=r"not of the same nodes[\s\S]*\(5,\) and \(4,\)"):
        adjusted_rand_index(u.values, u.values[:4])
    with pytest.raises(DataError, match=r"not of the same nodes[\s\S]*select one partition"):
        adjusted_rand_index(np.zeros((2, 5)), np.zeros((2, 5)))


def test_best_match_is_the_best_f1_of_scikit_learn(rng):
    found = rng.integers(0, 5, 60)
    mask = rng.random((4, 60)) < 0.3
    expected = [max(f1_score(row, found == label) for label in range(5)) for row in mask]
    np.testing.assert_allclose(best_match_f1(found, mask), expected)
    listed = {f"set {n}": np.flatnonzero(row) for n, row in enumerate(mask)}
    np.testing.assert_array_equal(best_match_f1(found, listed), best_match_f1(found, mask))


def test_best_match_looks_through_all_partitions_and_skips_nodes_outside():
    found = xr.DataArray(
        [[0, 0, 0, 1, 1], [-1, -1, 0, 0, 0], [-1] * 5],
        {"component": ["1", "2", "3"], "roi": ROIS},
        ["component", "roi"],
    )
    true = {"a": ["AVA", "AVB"], "b": ["SMDV", "AIB", "RIM"]}
    np.testing.assert_allclose(best_match_f1(found, true), [0.8, 1.0])
    mask = xr.DataArray([[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]], {"roi": ROIS}, ["set", "roi"]) == 1
    np.testing.assert_allclose(best_match_f1(found, mask[:, ::-1]), [0.8, 1.0])
    np.testing.assert_array_equal(best_match_f1([-1, -1], {"a": [0]}), [0.0])


def test_best_match_names_its_faults():
    found = partition([0, 0, 1, 1, 1])
    with pytest.raises(DataError, match=r"a member of 'a' is no node[\s\S]*did you mean 'AVA'"):
        best_match_f1(found, {"a": ["AVAX"]})
    with pytest.raises(DegenerateInputError, match=r"no members[\s\S]*found: b"):
        best_match_f1(found, {"a": ["AVA"], "b": []})
    with pytest.raises(DataError, match="labels cannot be matched with positions"):
        best_match_f1(found, np.ones((1, 5), dtype=bool))
    for wrong in (np.ones((2, 4), dtype=bool), np.ones((2, 5)), np.ones(5, dtype=bool)):
        with pytest.raises(DataError, match=r"true sets do not fit[\s\S]*\(set, 5 nodes\)"):
            best_match_f1(found.values, wrong)
