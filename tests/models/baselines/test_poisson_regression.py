from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import PoissonRegressor

from neurodyn.errors import DataError
from neurodyn.models.baselines.poisson_regression import fit_poisson, log_mean_ratio


def example(rng, n_samples=400, n_features=3, n_units=2):
    features = rng.normal(size=(n_samples, n_features))
    weight = rng.normal(scale=0.4, size=(n_features, n_units))
    return features, rng.poisson(np.exp(features @ weight + 0.5)), weight


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 2.0])
def test_equal_to_scikit_learn(rng, penalty, monkeypatch):
    monkeypatch.setattr("neurodyn.models.baselines.poisson_regression.PSEUDO_COUNT", 0.0)
    features, count, _ = example(rng)
    found = fit_poisson(features, count, penalty=penalty)
    for unit in range(2):
        oracle = PoissonRegressor(alpha=penalty, tol=1e-9, max_iter=2000)
        oracle.fit(features, count[:, unit])
        np.testing.assert_allclose(found.weight[:, unit], oracle.coef_, atol=2e-5)
        assert found.intercept[unit] == pytest.approx(oracle.intercept_, abs=2e-5)


def test_true_weights_are_found(rng):
    features, count, weight = example(rng, n_samples=20_000)
    found = fit_poisson(features, count)
    np.testing.assert_allclose(found.weight, weight, atol=0.03)
    np.testing.assert_allclose(found.intercept, 0.5, atol=0.03)


@settings(deadline=None, max_examples=10, derandomize=True)
@given(st.floats(0.01, 100.0))
def test_scaled_features_give_the_same_prediction_without_penalty(scale):
    features, count, _ = example(np.random.default_rng(0), n_samples=100)
    one = fit_poisson(features, count).log_expected_count(features)
    other = fit_poisson(features * scale, count).log_expected_count(features * scale)
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_unobserved_samples_are_as_if_absent(rng):
    features, count, _ = example(rng)
    observed = rng.random(count.shape) < 0.6
    found = fit_poisson(features, np.where(observed, count, 999), observed, penalty=0.01)
    for unit in range(2):
        part = observed[:, unit]
        alone = fit_poisson(features[part], count[part][:, [unit]], penalty=0.01)
        np.testing.assert_allclose(found.weight[:, unit], alone.weight[:, 0], atol=1e-4)


def test_a_silent_or_unobserved_unit_stays_finite(rng):
    features, count, _ = example(rng)
    count[:, 0] = 0
    found = fit_poisson(features, count, np.stack([np.ones(400), np.zeros(400)], 1))
    assert np.isfinite(found.weight).all()
    assert np.isfinite(found.intercept).all()
    assert (np.exp(found.log_expected_count(features))[:, 0] < 0.02).all()


def test_offsets_match_the_mean(rng):
    count, log_expected = rng.poisson(3.0, (50, 2)), rng.normal(size=(50, 2))
    observed = np.ones(count.shape)
    offset = log_mean_ratio(count, log_expected, observed)
    np.testing.assert_allclose(np.exp(log_expected + offset).sum(0), count.sum(0), rtol=0.01)


@pytest.mark.parametrize(
    ("features", "count", "message"),
    [
        (np.zeros((3, 1)), np.zeros((4, 1)), "do not fit"),
        (np.zeros(3), np.zeros((3, 1)), "do not fit"),
        (np.full((3, 1), np.nan), np.zeros((3, 1)), "not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(features, count, message):
    with pytest.raises(DataError, match=message):
        fit_poisson(features, count)
