"""Smoothing, factors and regression: against analytic truths, scikit-learn and a real recording."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.decomposition import PCA, FactorAnalysis

from neurodyn import recording
from neurodyn.errors import ConfigError
from neurodyn.models import cross_validate
from neurodyn.models.baselines import FactorGLM, SmoothingGLM
from neurodyn.models.baselines.factor_glm import _factor_posterior
from neurodyn.models.baselines.factor_regression import principal_axes, smoothed
from neurodyn.models.context import TrialCounts
from neurodyn.windows.splits import k_fold


def trial_counts(count, observed=None):
    count = np.asarray(count, dtype=np.float32)
    mask = np.ones(count.shape, bool) if observed is None else observed
    return TrialCounts(np.where(mask, count, 0).astype(np.float32), mask)


def test_smoothing_is_a_gaussian_away_from_the_ends(rng):
    count = rng.poisson(2.0, (2, 60, 3))
    found = smoothed(trial_counts(count), 0.05, 0.02, "linear")
    expected = gaussian_filter1d(count.astype(float), 2.5, axis=1)
    np.testing.assert_allclose(found[:, 15:-15], expected[:, 15:-15], rtol=1e-6)


def test_a_constant_stays_constant_at_ends_and_gaps():
    observed = np.ones((1, 20, 1), bool)
    observed[0, 8:11] = False
    found = smoothed(trial_counts(np.full((1, 20, 1), 3), observed), 0.04, 0.02, "linear")
    np.testing.assert_allclose(found, 3.0)


@pytest.mark.parametrize(
    ("compression", "expected"), [("linear", 4.0), ("sqrt", 2.0), ("log", np.log(4.01))]
)
def test_compression(compression, expected):
    found = smoothed(trial_counts(np.full((1, 3, 1), 4)), 0.0, 0.02, compression)
    np.testing.assert_allclose(found, expected)


def test_principal_axes_are_those_of_scikit_learn(rng):
    features = rng.normal(size=(200, 5)) * [5, 3, 2, 1, 0.5]
    found = principal_axes(features, 3)
    oracle = PCA(3).fit(features)
    factors = found(features)
    unscaled = factors * np.sqrt(oracle.explained_variance_.mean() * 199 / 200)
    np.testing.assert_allclose(np.abs(unscaled), np.abs(oracle.transform(features)), rtol=1e-6)
    assert np.mean(factors**2) == pytest.approx(1.0)
    assert principal_axes(features, 0).axes.shape == (5, 5)
    assert principal_axes(features, 99).axes.shape == (5, 5)


def test_constant_features_give_finite_axes():
    assert np.isfinite(principal_axes(np.ones((10, 2)), 1)(np.ones((10, 2)))).all()


def test_factor_posterior_is_that_of_scikit_learn(rng):
    features = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(300, 6))
    oracle = FactorAnalysis(2, svd_method="lapack", max_iter=2000).fit(features)
    found = _factor_posterior(features, 2)(features)
    np.testing.assert_allclose(found, oracle.transform(features), atol=1e-8)


def rhythmic(rng, n_trials=40, gain=1.0):
    """Counts of 10 units that share one slow signal; half of the units are held out."""
    phase = rng.uniform(0, 2 * np.pi, (n_trials, 1, 1))
    signal = np.sin(0.3 * np.arange(40)[:, None] + phase)
    loading = np.linspace(-1, 1, 10) * gain
    rate = np.exp(signal * loading)
    counts = recording.counts(
        rng.poisson(rate),
        bin_size=0.02,
        held_out=np.arange(10) % 2 == 1,
        forward=np.arange(40) >= 35,
    )
    return counts, rate


@pytest.mark.parametrize(
    "model",
    [
        SmoothingGLM(width=0.05, n_components=2, penalty=1e-3),
        FactorGLM(width=0.05, n_factors=2, penalty=1e-3),
        FactorGLM(width=0.05, n_factors=2, penalty=1e-3, method="pca"),
    ],
    ids=["smoothing", "factor analysis", "pca"],
)
def test_rates_of_a_shared_signal_are_recovered(rng, model):
    counts, rate = rhythmic(rng)
    fitted = model.clone().fit(counts.isel(trial=slice(30)))
    test = counts.isel(trial=slice(30, None))
    expected = fitted.predict(test)["rate"].values * 0.02
    log_error = np.log(expected[:, :35, 1::2]) - np.log(rate[30:, :35, 1::2])
    assert np.mean(log_error**2) < 0.35 * np.mean(np.log(rate[30:]) ** 2)
    assert float(fitted.score(test)["co_bps"]) > 0.05


def test_without_a_signal_nothing_is_gained(rng):
    counts, _ = rhythmic(rng, gain=0.0)
    fitted = SmoothingGLM(penalty=0.5).fit(counts.isel(trial=slice(30)))
    assert abs(float(fitted.score(counts.isel(trial=slice(30, None)))["co_bps"])) < 0.03


def test_forward_bins_return_to_the_mean(rng):
    counts, _ = rhythmic(rng)
    slow = SmoothingGLM(forward_decay=1e6).fit(counts).predict(counts)["log_rate"]
    fast = SmoothingGLM(forward_decay=1e-6).fit(counts).predict(counts)["log_rate"]
    assert float(fast.isel(time=slice(35, None)).std("trial").max()) < 1e-5
    held = slow.isel(time=slice(35, None)) - slow.isel(time=34)
    assert float(held.std(("trial", "time")).max()) < 1e-5
    mean = counts["count"].isel(time=slice(35, None)).mean(("trial", "time"))
    rates = np.exp(fast.isel(time=slice(35, None))).mean(("trial", "time"))
    np.testing.assert_allclose(rates * 0.02, mean, rtol=0.02)


@pytest.mark.parametrize("value", [{"n_factors": 0}, {"width": -0.1}, {"method": "ica"}])
def test_impossible_settings_are_refused(value):
    with pytest.raises(ConfigError):
        FactorGLM(**value)


@pytest.mark.shared_data
def test_a_real_recording_is_predicted_as_well_as_measured(shared_data):
    path = shared_data / "nlb_mc_maze_small_test" / "mc_maze_small_test_cosmoothing.h5"
    with h5py.File(path) as file:
        group = file["mc_maze_small_20"]
        held_in, held_out = group["eval_spikes_heldin"][:80], group["eval_spikes_heldout"][:]
    counts = recording.counts(
        np.concatenate([held_in, held_out], -1),
        bin_size=0.02,
        held_out=np.arange(142) >= 107,
    )
    found = cross_validate(SmoothingGLM(), counts, k_fold(counts, 5, seed=0))
    assert float(found["pooled"]) > 0.19
