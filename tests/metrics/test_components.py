"""Factorisations against all permutations, and the spread of vectors."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import DataError
from neurodyn.metrics import matched_similarity, participation_ratio


def factors(rng, rank=4):
    return [rng.random((rank, n)) for n in (15, 40, 3)]


def brute_force(first, second):
    """The best mean over all permutations, cosine by cosine."""
    rank = len(first[0])

    def alike(i, j):
        each = [a[i] @ b[j] / np.sqrt(a[i] @ a[i] * (b[j] @ b[j])) for a, b in zip(first, second)]
        return np.prod(each)

    return max(
        np.mean([alike(i, j) for i, j in enumerate(order)]) for order in permutations(range(rank))
    )


@settings(deadline=None, max_examples=30, derandomize=True)
@given(seed=st.integers(0, 10**6), rank=st.integers(1, 5))
def test_equals_the_best_permutation(seed, rank):
    rng = np.random.default_rng(seed)
    a, b = factors(rng, rank), factors(rng, rank)
    assert matched_similarity(a, b) == pytest.approx(brute_force(a, b))
    assert matched_similarity(b, a) == pytest.approx(matched_similarity(a, b))


def test_order_scale_and_cancelling_signs_do_not_matter(rng):
    a = factors(rng)
    order, scale = [2, 0, 3, 1], rng.uniform(0.1, 9, (3, 4, 1))
    b = [factor[order] * s for factor, s in zip(a, scale)]
    assert matched_similarity(a, b) == pytest.approx(1.0)
    assert matched_similarity(a, [-b[0], -b[1], b[2]]) == pytest.approx(1.0)
    assert matched_similarity(a, [-b[0], b[1], b[2]]) < 0


def test_a_dead_component_is_like_no_other(rng):
    a = factors(rng)
    b = [factor.copy() for factor in a]
    b[1][2] = 0.0
    assert matched_similarity(a, b) == pytest.approx(0.75)
    assert matched_similarity([np.eye(3)], [np.eye(3)]) == 1.0


def dataset(rng, rank=3):
    pair = rng.random((rank, 5, 5))
    pair += pair.transpose(0, 2, 1)
    pair[:, range(5), range(5)] = 0.0
    rois = [f"r{n}" for n in range(5)]
    return xr.Dataset(
        {
            "pair_factor": (("component", "roi", "roi_to"), pair),
            "time_factor": (("component", "time"), rng.random((rank, 7))),
            "strength": ("component", rng.random(rank)),
        },
        {"component": list("123"), "roi": rois, "roi_to": rois, "time": np.arange(7) / 4},
    )


def test_datasets_are_matched_by_label_but_not_by_component(rng):
    a, b = dataset(rng), dataset(rng)
    upper = np.triu_indices(5, 1)
    plain = [
        [ds["pair_factor"].values[:, upper[0], upper[1]], ds["time_factor"].values] for ds in (a, b)
    ]
    assert matched_similarity(a, b) == pytest.approx(brute_force(*plain))
    shuffled = b.isel(component=[1, 2, 0], roi=[4, 2, 0, 1, 3], roi_to=[1, 0, 4, 2, 3])
    shuffled = shuffled.transpose("time", "roi_to", "roi", "component")
    assert matched_similarity(a, shuffled) == pytest.approx(matched_similarity(a, b))
    for ds in (a, b):
        ds["pair_factor"][:, 0, 3] = np.nan
        ds["pair_factor"][:, 3, 0] = np.nan
    kept = [[pairs[:, upper[1] * 5 + upper[0] != 15], time] for pairs, time in plain]
    assert matched_similarity(a, b) == pytest.approx(brute_force(*kept))


def test_factors_that_do_not_fit_are_refused(rng):
    a, ds = factors(rng), dataset(rng)
    with pytest.raises(DataError, match=r"differ in shape \(at mode 1\)[\s\S]*\(3, 40\)"):
        matched_similarity(a, [a[0], a[1][:3], a[2]])
    with pytest.raises(DataError, match="factors differ in modes"):
        matched_similarity(a, a[:2])
    with pytest.raises(DataError, match="there are no factors"):
        matched_similarity([], [])
    with pytest.raises(DataError, match="datasets hold other factors"):
        matched_similarity(ds, ds.drop_vars("time_factor"))
    with pytest.raises(DataError, match="a dataset cannot be compared with arrays"):
        matched_similarity(ds, a)
    with pytest.raises(DataError, match=r"labels of roi differ[\s\S]*r4, x"):
        matched_similarity(ds, ds.assign_coords(roi=["r0", "r1", "r2", "r3", "x"]))
    hole = [factor.copy() for factor in a]
    hole[0][1, 2] = np.nan
    with pytest.raises(DataError, match=r"not finite in the same places \(at mode 0\)"):
        matched_similarity(a, hole)
    with pytest.raises(DataError, match="not finite in the same places"):
        matched_similarity(hole, hole)


@pytest.mark.parametrize("scale", [1e-200, 1.0, -1e200])
def test_participation_counts_equal_entries(scale):
    values = np.zeros((5, 5))
    for n in range(5):
        values[n, : n + 1] = scale
    np.testing.assert_allclose(participation_ratio(values), [1, 2, 3, 4, 5])


def test_participation_by_hand_and_what_is_left_out():
    assert participation_ratio([1.0, 2.0]) == pytest.approx(25 / 17)
    assert participation_ratio([1.0, np.nan, 2.0]) == pytest.approx(25 / 17)
    assert np.isnan(participation_ratio(np.zeros(3)))
    np.testing.assert_array_equal(participation_ratio(np.empty((2, 0))), [np.nan, np.nan])
    with pytest.raises(DataError, match=r"vectors of finite entries[\s\S]*1 infinite"):
        participation_ratio([1.0, np.inf])
    with pytest.raises(DataError, match="vectors of finite entries"):
        participation_ratio(1.0)
