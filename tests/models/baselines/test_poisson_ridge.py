"""The preconditioned Poisson regression against two slower ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import PoissonRegressor

from neurodyn.errors import ConfigError, DataError
from neurodyn.models.baselines.poisson_regression import fit_poisson
from neurodyn.models.baselines.poisson_ridge import fit_poisson_ridge


@pytest.fixture
def example(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features of unlike scales that follow from one another in part, and three units."""
    base = rng.standard_normal((600, 3))
    x = np.column_stack([base, base[:, 0] + 0.1 * base[:, 1], 50.0 * base[:, 2] + 3.0])
    eta = base @ rng.uniform(-0.6, 0.6, (3, 3)) + np.log([0.05, 0.5, 2.0])
    return x, rng.poisson(np.exp(eta)).astype(float)


@pytest.mark.parametrize("penalty", [1e-3, 0.1])
def test_equals_the_plain_fit_of_scaled_features(
    example: tuple[np.ndarray, np.ndarray], penalty: float
) -> None:
    x, y = example
    scaled = (x - x.mean(0)) / x.std(0)
    plain = fit_poisson(scaled, y, penalty=penalty, max_iterations=5000)
    found = fit_poisson_ridge(x, y, [penalty]).readout
    assert np.allclose(found.log_expected_count(x), plain.log_expected_count(scaled), atol=3e-3)
    assert np.allclose(found.weight * x.std(0)[:, None], plain.weight, atol=3e-3)


def test_equals_scikit_learn(example: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = example
    scaled = (x - x.mean(0)) / x.std(0)
    found = fit_poisson_ridge(x, y, [0.01]).readout.log_expected_count(x)
    for unit in (1, 2):
        oracle = PoissonRegressor(alpha=0.01, tol=1e-8, max_iter=5000).fit(scaled, y[:, unit])
        # a tenth of a spike is spread over the samples here
        assert np.allclose(found[:, unit], np.log(oracle.predict(scaled)), atol=5e-3)


def test_what_was_not_observed_does_not_count(example: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = example
    hidden = y.copy()
    hidden[::4, 1] = np.nan
    found = fit_poisson_ridge(x, hidden, [0.01]).readout
    hidden[::4, 1] = 1000.0
    kept = np.arange(len(x)) % 4 > 0
    # features are scaled by all samples in both
    padded = fit_poisson(
        (x - x.mean(0)) / x.std(0),
        hidden[:, [1]],
        kept[:, None],
        penalty=0.01,
        max_iterations=5000,
    )
    scaled = found.weight[:, [1]] * x.std(0)[:, None]
    assert np.allclose(scaled, padded.weight, atol=3e-3)


def test_noise_gets_the_strong_penalty_and_signal_the_weak_one(rng: np.random.Generator) -> None:
    x = rng.standard_normal((800, 30))
    y = np.column_stack([rng.poisson(0.3, 800), rng.poisson(np.exp(x[:, :8].sum(1) * 0.5))])
    penalty = fit_poisson_ridge(x, y, [1e-4, 1.0]).penalty
    assert penalty.tolist() == [1.0, 1e-4]


def test_silent_units_and_constant_features_stay_finite(rng: np.random.Generator) -> None:
    x = np.column_stack([np.ones(50), rng.standard_normal(50)])
    readout, _ = fit_poisson_ridge(x, np.zeros((50, 1)), [0.01])
    assert readout.weight[0, 0] == 0.0
    assert np.exp(readout.log_expected_count(x)).sum() == pytest.approx(0.1, rel=0.05)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(
        DataError, match=r"features and counts do not fit each other(.|\n)*\(3, 1\)"
    ):
        fit_poisson_ridge(np.ones((3, 1)), np.ones((2, 1)), [0.1])
    with pytest.raises(DataError, match=r"features are not finite(.|\n)*1 values"):
        fit_poisson_ridge([[np.nan], [1.0]], [[1], [0]], [0.1])
    with pytest.raises(ConfigError, match=r"penalties or validation is out of range"):
        fit_poisson_ridge([[0.0], [1.0]], [[1], [0]], [])
