"""Matrices of whole traces against nilearn, scikit-learn and numpy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from neurodyn.errors import ConfigError, DataError, DataQualityWarning, DegenerateInputError
from neurodyn.provenance import history
from neurodyn.recording import bold, signal
from neurodyn.transforms.connectivity import tangent
from neurodyn.transforms.connectivity.static import static_connectivity
from neurodyn.transforms.connectivity.tangent import geometric_mean, tangent_vectors

KINDS = {
    "pearson": "correlation",
    "partial": "partial correlation",
    "covariance": "covariance",
    "precision": "precision",
    "tangent": "tangent",
}
NOT_TANGENT = [kind for kind in KINDS if kind != "tangent"]


def traces(values, **kwargs):
    values = np.asarray(values, dtype=np.float64)
    names = [f"region {n}" for n in range(values.shape[-1])]
    return signal(values, sampling_rate=0.5, dim="roi", channel=names, **kwargs)


def mixed(rng, *shape):
    """Traces that share some of their noise, of each animal in its own way."""
    common = rng.normal(size=(shape[-1], shape[-1]))
    own = common + 0.5 * rng.normal(size=(*shape[:-2], shape[-1], shape[-1]))
    return rng.normal(size=shape) @ own + 3.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shrinkage", ["ledoit_wolf", None])
def test_equals_nilearn(rng, kind, shrinkage):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connectome = pytest.importorskip("nilearn.connectome")
        values = mixed(rng, 6, 80, 7)
        estimator = LedoitWolf() if shrinkage else EmpiricalCovariance()
        oracle = connectome.ConnectivityMeasure(estimator, kind=KINDS[kind])
        expected = oracle.fit_transform(list(values))
    found = static_connectivity(traces(values), kind, shrinkage=shrinkage)
    assert found["connectivity"].dims == ("animal", "roi", "roi_to")
    # nilearn stops its geometric mean earlier
    tolerance = 1e-4 if kind == "tangent" else 1e-9
    np.testing.assert_allclose(found["connectivity"], expected, rtol=tolerance, atol=tolerance)
    if kind == "tangent":
        np.testing.assert_allclose(found["geometric_mean"], oracle.mean_, rtol=1e-4, atol=1e-4)
    if shrinkage and kind != "pearson":
        shares = [LedoitWolf().fit(own).shrinkage_ for own in values]
        np.testing.assert_allclose(found["shrinkage"], shares, rtol=1e-9)


def test_plain_correlations_are_those_of_numpy(rng):
    values = mixed(rng, 60, 5)
    for n_time in (60, 6):
        found = static_connectivity(traces(values[:n_time]), shrinkage=None)["connectivity"]
        expected = np.corrcoef(values[:n_time], rowvar=False)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert found.dims == ("roi", "roi_to")
        assert (np.diag(found) == 1.0).all()


def test_partial_correlation_is_of_residuals(rng):
    values = mixed(rng, 90, 4)
    found = static_connectivity(traces(values), "partial", shrinkage=None)["connectivity"]
    for i in range(4):
        for j in range(i):
            rest = np.delete(values, (i, j), axis=1)
            design = np.column_stack([rest, np.ones(90)])
            left = values[:, [i, j]] - design @ np.linalg.lstsq(design, values[:, [i, j]])[0]
            expected = np.corrcoef(left, rowvar=False)[0, 1]
            assert found.values[i, j] == pytest.approx(expected, abs=1e-10)


def test_precision_survives_scales_that_differ_by_far(rng):
    values, scale = rng.normal(size=(200, 4)), np.array([1e-9, 1.0, 1e4, 1e9])
    found = static_connectivity(traces(values * scale), "precision", shrinkage=None)
    expected = np.linalg.inv(np.cov(values, rowvar=False, ddof=0))
    scaled = found["connectivity"].values * scale * scale[:, None]
    np.testing.assert_allclose(scaled, expected, rtol=1e-10)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 6))
@pytest.mark.parametrize("kind", KINDS)
def test_order_of_rois_does_not_matter(kind, seed, n):
    rng = np.random.default_rng(seed)
    ds = traces(mixed(rng, 3, 30, n))
    found = static_connectivity(ds, kind)["connectivity"]
    shuffled = static_connectivity(ds.isel(roi=rng.permutation(n)), kind)["connectivity"]
    again = shuffled.sel(roi=found["roi"].values, roi_to=found["roi_to"].values)
    np.testing.assert_allclose(again, found, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found, found.transpose("animal", "roi_to", "roi"), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_constant_and_unseen_traces_are_nan_never_zero(rng, kind):
    values = mixed(rng, 3, 40, 5)
    values[0, :, 1] = 2.0
    values[1, :, 3] = np.nan
    found = static_connectivity(traces(values), kind)
    assert np.argwhere(~found["seen"].values).tolist() == [[0, 1], [1, 3]]
    assert found.attrs["quality"] == {"constant_traces": 1}
    usable = found["seen"].values
    if kind == "tangent":
        usable = np.tile(usable.all(axis=0), (3, 1))
    finite = np.isfinite(found["connectivity"].values)
    np.testing.assert_array_equal(finite, usable[:, :, None] & usable[:, None, :])
    if kind != "tangent":
        alone = static_connectivity(traces(values[0][:, [0, 2, 3, 4]]), kind)["connectivity"]
        kept = found["connectivity"].isel(animal=0, roi=[0, 2, 3, 4], roi_to=[0, 2, 3, 4])
        np.testing.assert_array_equal(kept.values, alone.values)


def test_an_animal_without_traces_is_nan(rng):
    values = mixed(rng, 2, 40, 3)
    values[1] = np.nan
    found = static_connectivity(traces(values), "partial")
    assert np.isnan(found["connectivity"][1]).all()
    assert np.isfinite(found["connectivity"][0]).all()
    assert np.isnan(found["shrinkage"][1])


@pytest.mark.parametrize("kind", KINDS)
def test_few_samples_without_shrinkage(rng, kind):
    ds = traces(mixed(rng, 3, 8, 8), animal=["w1", "w2", "w3"])
    assert np.isfinite(static_connectivity(ds, kind)["connectivity"]).all()
    if kind in ("pearson", "covariance"):
        fault = r"8 samples of 8 traces[\s\S]*ledoit_wolf"
        with pytest.warns(DataQualityWarning, match=fault) as caught:
            static_connectivity(ds, kind, shrinkage=None)
        assert {warning.filename for warning in caught} == {__file__}
        return
    fault = rf"no {kind} connectivity[\s\S]*w1[\s\S]*8 samples of 8 traces[\s\S]*ledoit_wolf"
    with pytest.raises(DegenerateInputError, match=fault):
        static_connectivity(ds, kind, shrinkage=None)


def test_traces_that_follow_from_others_are_named(rng):
    values = mixed(rng, 50, 4)
    values[:, 3] = 2 * values[:, 1] + 1
    fault = r"no inverse[\s\S]*region 1 and region 3, \|r\| = 1\.0[\s\S]*leave the repeated"
    with pytest.raises(DegenerateInputError, match=fault):
        static_connectivity(traces(values), "partial", shrinkage=None)
    values[:, 3] = values[:, 0] + values[:, 1] + values[:, 2]
    with pytest.raises(DegenerateInputError, match=r"no inverse[\s\S]*sums of others"):
        static_connectivity(traces(values), "precision", shrinkage=None)
    assert np.isfinite(static_connectivity(traces(values), "partial")["connectivity"]).all()
    plain = static_connectivity(traces(values), shrinkage=None)
    assert np.isfinite(plain["connectivity"]).all()


def test_geometric_mean_of_matrices_that_commute_is_that_of_eigenvalues(rng):
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    values = rng.uniform(0.1, 10, (5, 4))
    matrices = np.stack([basis * row @ basis.T for row in values])
    expected = basis * np.exp(np.log(values).mean(0)) @ basis.T
    np.testing.assert_allclose(geometric_mean(matrices), expected, rtol=1e-8, atol=1e-8)
    single = geometric_mean(matrices[:1])
    np.testing.assert_allclose(single, matrices[0], rtol=1e-8, atol=1e-10)


def test_geometric_mean_is_where_tangents_add_up_to_zero_and_moves_with_its_matrices(rng):
    # nearly singular, where plain unit steps take thousands
    matrices = np.stack([np.cov(rng.normal(size=(5, 4)), rowvar=False) for _ in range(8)])
    mean = geometric_mean(matrices)
    np.testing.assert_allclose(tangent_vectors(matrices, mean).sum(0), 0.0, atol=1e-6)
    change = rng.normal(size=(4, 4))
    moved = geometric_mean(change @ matrices @ change.T)
    np.testing.assert_allclose(moved, change @ mean @ change.T, rtol=1e-6, atol=1e-8)
    inverse = geometric_mean(np.linalg.inv(matrices))
    np.testing.assert_allclose(inverse @ mean, np.eye(4), atol=1e-6)


def test_a_mean_that_is_not_found_is_an_error(rng, monkeypatch):
    monkeypatch.setattr(tangent, "MOST_ITERATIONS", 1)
    with pytest.raises(DegenerateInputError, match=r"geometric mean[\s\S]*after 1 iterations"):
        static_connectivity(traces(mixed(rng, 3, 40, 4)), "tangent")


def test_tangents_need_animals_and_traces_in_common(rng):
    values = mixed(rng, 3, 40, 3)
    with pytest.raises(DegenerateInputError, match=r"mean over animals[\s\S]*1 animals"):
        static_connectivity(traces(values[0]), "tangent")
    values[0, :, 0] = values[1, :, 1] = np.nan
    with pytest.raises(DegenerateInputError, match=r"mean over animals[\s\S]*1 traces"):
        static_connectivity(traces(values), "tangent")


def test_what_the_results_say(rng):
    scan = bold(mixed(rng, 40, 3), repetition_time=2.0, roi_columns={"network": list("aab")})
    found = static_connectivity(scan, "partial")
    assert found.attrs["kind"] == "results"
    assert found.attrs["measure"] == "partial"
    assert found["network"].dims == ("roi",)
    assert history(found)[-1]["parameters"] == {
        "kind": "partial",
        "shrinkage": "ledoit_wolf",
        "on_bad": "raise",
    }
    volts = traces(mixed(rng, 40, 3), units="V")
    units = [
        static_connectivity(volts, kind)["connectivity"].attrs["units"] for kind in NOT_TANGENT
    ]
    assert units == ["", "", "(V)^2", "(V)^-2"]


def test_input_is_left_alone_and_faults_are_named(rng):
    ds = traces(mixed(rng, 40, 3))
    before = ds.copy(deep=True)
    static_connectivity(ds, "precision")
    xr.testing.assert_identical(ds, before)
    with pytest.raises(ConfigError, match="invalid value for kind"):
        static_connectivity(ds, "spearman")
    with pytest.raises(ConfigError, match="invalid value for shrinkage"):
        static_connectivity(ds, shrinkage="oas")
    ds["signal"][3, 1] = np.nan
    with pytest.raises(DataError, match="traces are interrupted"):
        static_connectivity(ds)
    dropped = static_connectivity(ds, on_bad="drop")["connectivity"]
    assert np.isnan(dropped.values[1]).all()
