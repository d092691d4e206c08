"""Smoothing against a plain weighted mean, and what it may not look at."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import ConfigError, TimebaseError
from neurodyn.recording import behavior, counts, signal
from neurodyn.transforms import smooth, smoothing_kernel

KERNELS = [
    (kernel, causal) for kernel in ("gaussian", "exponential", "boxcar") for causal in (0, 1)
]


def plain(values, weights, n_past):
    """A weighted mean over what lies inside, one sample after another."""
    result = np.empty(len(values))
    for i in range(len(values)):
        lags = np.arange(-n_past, weights.size - n_past)
        inside = (i + lags >= 0) & (i + lags < len(values))
        result[i] = np.average(values[(i + lags)[inside]], weights=weights[inside])
    return result


@pytest.mark.parametrize(("kernel", "causal"), KERNELS)
@pytest.mark.parametrize("n_time", [1, 2, 7, 200])
def test_smoothing_is_a_weighted_mean(rng, kernel, causal, n_time):
    ds = counts(rng.poisson(3.0, (n_time, 2)), bin_size=0.01)
    weights, n_past = smoothing_kernel(4.0, kernel, causal=bool(causal))
    found = smooth(ds, 0.04, kernel=kernel, causal=bool(causal))["rate"]
    for unit in range(2):
        expected = plain(ds["count"].values[:, unit], weights, n_past) / 0.01
        np.testing.assert_allclose(found.values[:, unit], expected, rtol=1e-12)


@pytest.mark.parametrize(("kernel", "causal"), KERNELS)
def test_kernels_have_mass_one_and_the_right_side(kernel, causal):
    weights, n_past = smoothing_kernel(5.0, kernel, causal=bool(causal))
    assert weights.sum() == pytest.approx(1.0)
    assert weights.size == (n_past + 1 if causal else 2 * n_past + 1)
    lags = np.arange(weights.size) - n_past
    if kernel == "gaussian" and not causal:
        assert np.sqrt((weights * lags**2).sum()) == pytest.approx(5.0, rel=2e-3)
    if kernel == "boxcar":
        assert weights.size == 5


@pytest.mark.parametrize("kernel", ["gaussian", "exponential", "boxcar"])
def test_causal_smoothing_never_sees_the_future(rng, kernel):
    count = rng.poisson(3.0, (50, 2))
    changed = count.copy()
    changed[30:] = 9
    first, second = (
        smooth(counts(c, bin_size=0.01), 0.05, kernel=kernel, causal=True)["rate"].values
        for c in (count, changed)
    )
    np.testing.assert_array_equal(first[:30], second[:30])
    assert (first[30:] != second[30:]).any()


def test_constants_stay_constant_up_to_every_edge():
    mask = np.ones((60, 2), dtype=bool)
    mask[20:23, 0], mask[40, 1] = False, False
    ds = counts(np.full((60, 2), 2), bin_size=0.1, observed=mask)
    found = smooth(ds, 0.7)["rate"].values
    np.testing.assert_allclose(found[mask], 20.0)
    assert np.isnan(found[~mask]).all()


def test_nothing_crosses_a_gap(rng):
    """Each side of a gap (mask, NaN or jump of the clock) is smoothed as if alone."""
    count = rng.poisson(3.0, (60, 1))
    ds = counts(count, bin_size=0.1, observed=np.r_[np.ones(25), 0, np.ones(34)].astype(bool))
    found = smooth(ds, 0.5)["rate"].values
    np.testing.assert_array_equal(found[:25], smooth(ds.isel(time=slice(25)), 0.5)["rate"])
    np.testing.assert_array_equal(found[26:], smooth(ds.isel(time=slice(26, None)), 0.5)["rate"])
    jump = smooth(ds.isel(time=[*range(25), *range(26, 60)]), 0.5)["rate"].values
    np.testing.assert_array_equal(jump, np.delete(found, 25, axis=0))


def test_nothing_crosses_trials(rng):
    ds = counts(
        rng.poisson(3.0, (4, 20, 3)), bin_size=0.1, trial_columns={"condition": list("abab")}
    )
    found = smooth(ds, 0.3)
    assert found["rate"].dims == ("trial", "time", "unit")
    assert found["condition"].values.tolist() == list("abab")
    one = ds.isel(trial=2, drop=True)
    np.testing.assert_array_equal(found["rate"][2], smooth(one, 0.3)["rate"])


def test_behavior_and_signals_keep_their_kind(rng):
    value = rng.normal(size=(30, 2))
    value[10, 0] = np.nan
    track = behavior(value, sampling_rate=10.0, feature=["x", "y"], units="mm")
    found = smooth(track, 0.2)
    assert found.attrs["kind"] == "behavior"
    assert np.isnan(found["value"].values).sum() == 1
    alone = smooth(track.isel(time=slice(10)), 0.2)["value"]
    np.testing.assert_allclose(found["value"][:10, 0], alone[:, 0], rtol=1e-12)
    raw = signal(rng.integers(-9, 9, (30, 2)), sampling_rate=10.0, units="V", scale_factor=0.5)
    found = smooth(raw, 0.2, kernel="boxcar")["signal"]
    assert found.attrs == {"units": "V"}
    expected = (raw["signal"].values[:2].mean(axis=0)) * 0.5
    np.testing.assert_allclose(found[0], expected)


def test_input_is_left_alone(rng):
    ds = counts(rng.poisson(3.0, (20, 3)), bin_size=0.1)
    before = ds.copy(deep=True)
    smooth(ds, 0.3)
    xr.testing.assert_identical(ds, before)


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_widths_are_refused(width):
    with pytest.raises(ConfigError, match="smoothing width must be positive"):
        smooth(counts(np.ones((5, 1)), bin_size=0.1), width)


def test_what_cannot_be_smoothed_is_refused():
    with pytest.raises(ConfigError, match="invalid value for kernel"):
        smooth(counts(np.ones((5, 1)), bin_size=0.1), 0.1, kernel="sinc")
    with pytest.raises(ConfigError, match="invalid value for kind"):
        smooth(xr.Dataset(attrs={"kind": "trials"}), 0.1)
    with pytest.raises(TimebaseError, match="an irregular clock cannot be smoothed"):
        smooth(behavior(np.ones((4, 1)), time=[0.0, 1.0, 1.5, 3.0]), 0.1)
