"""Correlation in windows against numpy, window by window."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import windows

from neurodyn.errors import ConfigError, DegenerateInputError
from neurodyn.provenance import history
from neurodyn.recording import counts, signal
from neurodyn.transforms.connectivity import pair_matrix
from neurodyn.transforms.connectivity.windowed import sliding_window_correlation

TAPERS = {
    "rectangular": np.ones,
    "gaussian": lambda n: windows.gaussian(n, n / 6),
    "tukey": lambda n: windows.tukey(n, 0.5),
    "hamming": windows.hamming,
}


def traces(values, rate=2.0, **kwargs):
    return signal(np.asarray(values, float), sampling_rate=rate, dim="roi", **kwargs)


def weighted(values, weights):
    """Weighted correlations from numpy's weighted covariance."""
    covariance = np.cov(values, rowvar=False, aweights=weights)
    spread = np.sqrt(np.diag(covariance))
    return covariance / spread / spread[:, None]


def matrices(found, n, name="correlation"):
    return pair_matrix(found[name].values, n)


@pytest.mark.parametrize(("window", "step"), [(3.0, 0.5), (10.0, 3.0), (25.0, 25.0), (50.0, 1.0)])
def test_equals_corrcoef_of_each_window(rng, window, step):
    values = rng.normal(size=(100, 5)) @ rng.normal(size=(5, 5)) + 1e3
    found = sliding_window_correlation(traces(values, start=10.0), window, step)
    n, k = round(2 * window), round(2 * step)
    starts = range(0, 100 - n + 1, k)
    assert found.sizes["time"] == len(starts)
    for row, start in enumerate(starts):
        part = values[start : start + n]
        expected = np.corrcoef(part, rowvar=False) - np.eye(5)
        np.testing.assert_allclose(matrices(found, 5)[row], expected, atol=1e-9)
        assert found["time"][row] == pytest.approx(10.0 + (start + (n - 1) / 2) / 2)
    assert (found.attrs["window"], found.attrs["step"]) == (window, step)


@pytest.mark.parametrize("taper", TAPERS)
@pytest.mark.parametrize("n", [7, 20])
def test_tapers_weight_means_and_covariances(rng, taper, n):
    values = np.cumsum(rng.normal(size=(2, 40, 4)), axis=1)
    found = sliding_window_correlation(traces(values), n / 2, 2.0, taper=taper)
    for animal in range(2):
        for row, start in enumerate(range(0, 41 - n, 4)):
            expected = weighted(values[animal, start : start + n], TAPERS[taper](n))
            result = matrices(found, 4)[animal, row] + np.eye(4)
            np.testing.assert_allclose(result, expected, atol=1e-9)


def test_fisher_z_is_arctanh(rng):
    values = rng.normal(size=(60, 3))
    values[:, 2] = values[:, 0]
    r = sliding_window_correlation(traces(values), 10.0, 5.0)["correlation"]
    z = sliding_window_correlation(traces(values), 10.0, 5.0, fisher_z=True)["fisher_z"]
    np.testing.assert_allclose(np.tanh(z), r, atol=1e-12)
    np.testing.assert_allclose(r[:, 1], 1.0)
    assert (z[:, 1] > 15).all()


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 6), taper=st.sampled_from(sorted(TAPERS)))
def test_order_scale_and_shift_of_rois_do_not_matter(seed, n, taper):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(24, n))
    order, scale, shift = rng.permutation(n), rng.uniform(0.1, 9, n), rng.normal(size=n)
    first, second = (
        matrices(sliding_window_correlation(traces(v), 6.0, 2.0, taper=taper), n)
        for v in (values, values[:, order] * scale[order] + shift[order])
    )
    np.testing.assert_allclose(second, first[:, order][:, :, order], atol=1e-9)


def test_windows_that_touch_missing_samples_are_nan_for_that_trace_alone(rng):
    values = rng.normal(size=(80, 4))
    hole = values.copy()
    hole[40, 2] = np.nan
    whole = sliding_window_correlation(traces(values), 5.0, 1.0)
    found = sliding_window_correlation(traces(hole), 5.0, 1.0)
    starts = np.arange(0, 71, 2)
    touched = (starts <= 40) & (starts + 10 > 40)
    missing = pair_matrix(np.isnan(found["correlation"].values), 4)
    assert (missing[:, 2].sum(-1) == 3 * touched).all()
    assert missing.sum() == 2 * 3 * touched.sum()
    expected = whole["correlation"].where(found["correlation"].notnull())
    np.testing.assert_array_equal(found["correlation"], expected)
    assert found.attrs["quality"] == {"interrupted_windows": int(touched.sum())}
    assert found["seen"].all()


def test_windows_never_cross_a_jump_of_the_clock(rng):
    ds = traces(rng.normal(size=(80, 3)))
    jump = ds.isel(time=[*range(40), *range(45, 80)])
    found = sliding_window_correlation(jump, 5.0, 0.5)
    missing = np.isnan(found["correlation"].values)
    assert np.flatnonzero(missing.all(axis=1)).tolist() == list(range(31, 40))
    assert missing.sum() == 9 * 3
    whole = sliding_window_correlation(ds, 5.0, 0.5)
    kept = found.isel(time=~missing[:, 0])
    np.testing.assert_allclose(kept["correlation"], whole["correlation"].sel(time=kept["time"]))
    assert found.attrs["quality"] == {"interrupted_windows": 27}


def test_constant_and_unseen_traces_are_nan_never_zero(rng):
    values = rng.normal(size=(2, 40, 4))
    values[0, :, 1] = 0.1
    values[1, :, 3] = np.nan
    values[1, 10:30, 0] = 1 / 3
    found = sliding_window_correlation(traces(values), 5.0, 1.0)
    assert found["seen"].values.tolist() == [[True, False, True, True], [True, True, True, False]]
    missing = pair_matrix(np.isnan(found["correlation"].values), 4)
    assert missing[0, :, 1].sum(-1).tolist() == [3] * 16
    assert missing[1, :, 3].sum(-1).tolist() == [3] * 16
    starts = np.arange(0, 31, 2)
    constant = (starts >= 10) & (starts <= 20)
    assert missing[1, :, 0, 1].tolist() == constant.tolist()
    assert found.attrs["quality"] == {"constant_traces": 1, "constant_windows": constant.sum()}
    values[0, :, 1] = rng.normal(size=40)
    whole = sliding_window_correlation(traces(values[0]), 5.0, 1.0)["correlation"]
    kept = found["correlation"].isel(animal=0, pair=[1, 2, 5])
    np.testing.assert_array_equal(kept.values, whole.isel(pair=[1, 2, 5]).values)


def test_counts_that_were_not_observed_are_missing(rng):
    mask = np.arange(60) != 30
    ds = counts(rng.poisson(5.0, (60, 3)), bin_size=0.5, observed=mask)
    found = sliding_window_correlation(ds, 5.0, 5.0)
    assert (
        np.isnan(found["correlation"].values).all(axis=1).tolist()
        == [False] * 3 + [True] + [False] * 2
    )
    assert found["correlation"].dims == ("time", "pair")
    assert history(found)[-1]["parameters"]["window"] == 5.0


def test_input_is_left_alone(rng):
    ds = traces(rng.normal(size=(30, 3)))
    ds["signal"][3, 1] = np.nan
    before = ds.copy(deep=True)
    sliding_window_correlation(ds, 5.0, 1.0)
    xr.testing.assert_identical(ds, before)


def test_faults_are_named(rng):
    ds = traces(rng.normal(size=(30, 3)))
    with pytest.raises(ConfigError, match=r"window is too short[\s\S]*1 s, 2 samples"):
        sliding_window_correlation(ds, 1.0, 1.0)
    with pytest.raises(ConfigError, match=r"step is too short[\s\S]*step=0\.5"):
        sliding_window_correlation(ds, 5.0, 0.0)
    with pytest.raises(DegenerateInputError, match=r"window is longer[\s\S]*at most 30 samples"):
        sliding_window_correlation(ds, 20.0, 1.0)
    with pytest.raises(ConfigError, match="invalid value for taper"):
        sliding_window_correlation(ds, 5.0, 1.0, taper="hann")
    with pytest.raises(ConfigError, match=r"too short for its taper[\s\S]*2 of 4 samples"):
        sliding_window_correlation(ds, 2.0, 1.0, taper="tukey")
