"""Lazy affinities against explicit arrays of all pairs, times and animals."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from neurodyn.errors import ConfigError, DataError, DegenerateInputError, TimebaseError
from neurodyn.recording import bold, signal
from neurodyn.transforms.connectivity import (
    DenseAffinity,
    as_affinity,
    as_traces,
    differential_affinity,
    edge_affinity,
    pair_index,
    pair_matrix,
    pair_vector,
)

RATE, BANDWIDTH = 4.0, 1.0


def traces(seed=0, n_animals=3, n_time=60, n_nodes=6, missing=True):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_animals, n_time, n_nodes)).cumsum(axis=1)
    if missing:
        values[0, :, 1] = values[2, :, 4] = np.nan
    return signal(values, sampling_rate=RATE, dim="roi")


def change_of(data):
    raw = np.nan_to_num(data["signal"].values)
    change = gaussian_filter1d(raw, BANDWIDTH * RATE, axis=1, order=1, mode="nearest")
    scale = np.sqrt((change**2).mean(axis=1, keepdims=True))
    return np.where(scale > 0, change / np.where(scale > 0, scale, 1), 0.0)


def make(data, kind="geometric", smoothing=None, **options):
    return differential_affinity(
        data, kind, bandwidth=BANDWIDTH, smoothing=smoothing, dtype=np.float64, **options
    )


FORMULAS = {
    ("geometric", "same"): lambda a, b: np.sqrt(np.maximum(a * b, 0)),
    ("geometric", "opposite"): lambda a, b: np.sqrt(np.maximum(-a * b, 0)),
    ("product", "same"): lambda a, b: np.maximum(a * b, 0),
    ("product", "opposite"): lambda a, b: np.maximum(-a * b, 0),
    ("rise", "same"): lambda a, b: np.sqrt(np.maximum(a, 0) * np.maximum(b, 0)),
    ("saturating", "same"): lambda a, b: np.sqrt(np.maximum(np.tanh(a / 2) * np.tanh(b / 2), 0)),
}


@pytest.mark.parametrize(("kind", "sign"), FORMULAS)
def test_each_kind_is_its_formula(kind, sign):
    data = traces()
    change = change_of(data)
    first, second = pair_index(6)
    expected = FORMULAS[kind, sign](change[..., first], change[..., second])
    seen = ~np.isnan(data["signal"].values).any(axis=1)
    expected[~np.repeat((seen[:, first] & seen[:, second])[:, None], 60, axis=1)] = np.nan
    np.testing.assert_allclose(make(data, kind, sign=sign).dense(), expected, atol=1e-12)


def test_minimum_is_within_a_level_of_its_formula():
    data = traces(missing=False)
    change = change_of(data)
    first, second = pair_index(6)
    one, other = change[..., first], change[..., second]
    exact = np.where(one * other > 0, np.minimum(np.abs(one), np.abs(other)), 0.0)
    found = make(data, "minimum").dense().values
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.98
    assert ((found > 0) == (exact > 0)).all()
    assert found.mean() == pytest.approx(exact.mean(), rel=0.1)


def explicit(affinity):
    """Affinities (animal, time, pair) with zeros outside the mask."""
    dense = affinity.dense().values
    return np.nan_to_num(dense if dense.ndim == 3 else dense[None])


@pytest.mark.parametrize("smoothing", [None, 0.3, 2.0])
@pytest.mark.parametrize("sign", ["same", "opposite"])
def test_products_equal_those_of_the_stored_tensor(smoothing, sign, rng):
    affinity = make(traces(), smoothing=smoothing, sign=sign)
    tensor = explicit(affinity)
    n_animals, n_time, n_pairs = tensor.shape
    weight = rng.normal(size=(2, n_animals, n_time))
    pair = rng.normal(size=(2, n_pairs))
    for form in (affinity, DenseAffinity.of(affinity)):
        np.testing.assert_allclose(
            form.pairs(weight), np.einsum("wtp,rwt->rp", tensor, weight), atol=1e-10
        )
        np.testing.assert_allclose(
            form.activity(pair), np.einsum("wtp,rp->rwt", tensor, pair), atol=1e-10
        )
        np.testing.assert_allclose(form.norm_squared(), (tensor**2).sum(), rtol=1e-10)
        squares = np.where(form.mask, form.squares(), 0.0)
        np.testing.assert_allclose(squares, (tensor**2).sum(axis=1).T, atol=1e-10)


@pytest.mark.parametrize("smoothing", [None, 1.0])
def test_products_with_node_factors_equal_those_of_the_stored_tensor(smoothing, rng):
    affinity = make(traces(), smoothing=smoothing)
    matrices = pair_matrix(explicit(affinity), 6)
    one, other = rng.random((2, 3, 6))
    weight = rng.random((3, 3, matrices.shape[1]))
    projected = affinity.project(other)
    np.testing.assert_allclose(
        affinity.nodes(projected, other, weight),
        np.einsum("wtij,rj,rwt->ri", matrices, other, weight),
        atol=1e-10,
    )
    np.testing.assert_allclose(
        affinity.quadratic(affinity.project(one), projected, one * other),
        np.einsum("wtij,ri,rj->rwt", matrices, one, other),
        atol=1e-10,
    )


def test_a_narrower_mask_leaves_pairs_out(rng):
    whole = make(traces(missing=False), smoothing=0.5)
    kept = rng.random(whole.mask.shape) < 0.6
    tensor = explicit(whole) * kept.T[:, None, :]
    weight = rng.normal(size=(2, *tensor.shape[:2]))
    part = whole.within(kept)
    np.testing.assert_allclose(
        part.pairs(weight), np.einsum("wtp,rwt->rp", tensor, weight), atol=1e-10
    )
    pair = rng.normal(size=(2, tensor.shape[2]))
    np.testing.assert_allclose(
        part.activity(pair), np.einsum("wtp,rp->rwt", tensor, pair), atol=1e-10
    )
    assert part.norm_squared() == pytest.approx((tensor**2).sum())


def test_smoothing_keeps_a_constant_and_thins_the_clock():
    rng = np.random.default_rng(3)
    data = signal(rng.normal(size=(80, 3)), sampling_rate=RATE, dim="roi")
    smooth = make(data, smoothing=2.0)
    np.testing.assert_allclose(smooth.smoothing.sum(axis=1), 1.0)
    assert smooth.n_time == 10
    np.testing.assert_array_equal(smooth.coords["time"], data["time"][::8])
    plain = make(data).dense().values
    middle = gaussian_filter1d(plain, 2.0 * RATE, axis=0)[40]
    np.testing.assert_allclose(smooth.dense().values[5], middle, rtol=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 100))
def test_labels_follow_their_traces(order, seed):
    data = traces(seed)
    affinity, shuffled = make(data).dense(), make(data.isel(roi=list(order))).dense()
    names = [
        {frozenset(pair) for pair in zip(one["roi_from"].values, one["roi_to"].values)}
        for one in (affinity, shuffled)
    ]
    assert names[0] == names[1]
    by_name = {
        frozenset(pair): shuffled.values[..., index]
        for index, pair in enumerate(zip(shuffled["roi_from"].values, shuffled["roi_to"].values))
    }
    for index, pair in enumerate(zip(affinity["roi_from"].values, affinity["roi_to"].values)):
        np.testing.assert_allclose(affinity.values[..., index], by_name[frozenset(pair)])


def test_silent_traces_are_masked_and_change_nothing_else():
    data = traces(missing=False)
    silent = data.copy(deep=True)
    silent["signal"][1, :, 2] = 7.0
    affinity, without = make(data), make(silent)
    assert without.attrs["quality"] == {"constant_traces": 1}
    first, second = pair_index(6)
    touched = (first == 2) | (second == 2)
    assert not without.mask[touched, 1].any()
    np.testing.assert_array_equal(
        without.dense().values[:, :, ~touched], affinity.dense().values[:, :, ~touched]
    )


def test_interrupted_traces_are_refused_or_dropped():
    data = traces(missing=False)
    data["signal"][1, 10:14, 3] = np.nan
    with pytest.raises(DataError, match=r"1 traces are interrupted \(at animal 1, roi 3\)") as hint:
        make(data)
    assert "4 of 60 samples" in str(hint.value)
    dropped = make(data, on_bad="drop")
    assert dropped.attrs["quality"] == {"interrupted_traces": 1}
    assert dropped.mask[:, 1].sum() == 10
    data["signal"][1, 10, 3] = np.inf
    with pytest.raises(DataError, match="interrupted"):
        make(data, on_bad="drop")


def test_censored_frames_of_fmri_are_missing():
    values = np.random.default_rng(0).normal(size=(20, 3))
    keep = np.arange(20) != 4
    with pytest.raises(DataError, match="3 traces are interrupted"):
        as_traces(bold(values, repetition_time=2.0, keep=keep))


def test_impossible_input_is_refused():
    data = traces()
    with pytest.raises(ConfigError, match="bandwidth must be above 0"):
        differential_affinity(data, bandwidth=0.0)
    with pytest.raises(ConfigError, match="invalid value for kind"):
        differential_affinity(data, "cosine")
    with pytest.raises(ConfigError, match="rises have no opposite"):
        differential_affinity(data, "rise", sign="opposite")
    with pytest.raises(ConfigError, match="traces have other dims"):
        as_traces(data["signal"].isel(time=0))
    with pytest.raises(TimebaseError, match="irregular clock"):
        as_traces(data.isel(time=[0, 1, 2, 7, 8]))
    with pytest.raises(DegenerateInputError, match="fewer than two traces"):
        as_traces(data.isel(roi=[0]))
    with pytest.raises(ConfigError, match="results hold no rates"):
        as_traces(xr.Dataset({"latent": ("time", [0.0])}, attrs={"kind": "results"}))


def test_edges_are_rectified_products_of_z_scores():
    data = traces(n_animals=1, missing=False).isel(animal=0, drop=True)
    values = data["signal"].values
    score = (values - values.mean(axis=0)) / values.std(axis=0)
    first, second = pair_index(6)
    found = edge_affinity(data, smoothing=None, dtype=np.float64).dense()
    assert found.dims == ("time", "pair")
    np.testing.assert_allclose(found, np.maximum(score[:, first] * score[:, second], 0), atol=1e-12)


def test_any_series_of_pairs_is_an_affinity():
    dense = make(traces()).dense()
    taken = as_affinity(dense - 0.5, dtype=np.float64)
    np.testing.assert_allclose(taken.dense(), np.maximum(dense - 0.5, 0))
    np.testing.assert_array_equal(taken.mask, make(traces()).mask)
    with pytest.raises(ConfigError, match="not a series of pairs"):
        as_affinity(dense.drop_vars("roi_to"))
    with pytest.raises(ConfigError, match="not those of an upper triangle"):
        as_affinity(dense.isel(pair=slice(None, None, -1)))
    dense[0, 3, 2] = np.nan
    with pytest.raises(DataError, match="1 pairs are missing for a while"):
        as_affinity(dense)


def test_pairs_and_matrices_are_the_same_thing(rng):
    vector = rng.random((2, 10))
    np.testing.assert_array_equal(pair_vector(pair_matrix(vector, 5)), vector)
    with pytest.raises(DataError, match="not a matrix of pairs"):
        pair_vector(vector)
