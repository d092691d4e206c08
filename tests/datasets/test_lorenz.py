"""The Lorenz session against the published recipe and its measured statistics."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn import recording as rec
from neurodyn.datasets.lorenz import TEXTBOOK, LorenzConfig, lorenz_states, simulate_lorenz

# of one session of this recipe, made by another program with another random stream
PUBLISHED = {"mean": 0.2297, "truth": 0.2428, "r2": 0.937, "slowest": 5.9, "fastest": 19.2}


def statistics(seed: int) -> dict[str, float]:
    """Statistics of the exact expectation; one repeat has the same ones as 24."""
    truth = simulate_lorenz(seed=seed, n_repeats=1).truth
    expected = truth["rate"].values.reshape(-1, 29).astype(np.float64) * 0.02
    legacy = truth["unsaturated_rate"].values.reshape(-1, 29).astype(np.float64) * 0.02
    residual = ((legacy - expected) ** 2).sum(axis=0)
    r2 = 1.0 - residual / ((legacy - legacy.mean(axis=0)) ** 2).sum(axis=0)
    hertz = expected.mean(axis=0) / 0.02
    return {
        "mean": expected.mean(),
        "truth": legacy.mean(),
        "r2": r2.mean(),
        "slowest": hertz.min(),
        "fastest": hertz.max(),
    }


def test_statistics_are_those_of_the_recipe() -> None:
    rows = [statistics(seed) for seed in range(1, 31)]
    for name, published in PUBLISHED.items():
        values = np.array([row[name] for row in rows])
        assert values.min() <= published <= values.max(), name
        assert abs(published - values.mean()) < 2.5 * values.std(ddof=1), name


def test_the_full_session() -> None:
    recording, truth = simulate_lorenz()
    spikes = rec.pick(recording, "spikes")
    assert dict(truth["rate"].sizes) == {"trial": 1560, "time": 50, "unit": 29}
    per_bin = spikes.sizes["spike"] / truth["rate"].size
    assert per_bin == pytest.approx(float(truth["rate"].mean()) * 0.02, rel=0.01)
    assert per_bin == pytest.approx(PUBLISHED["mean"], rel=0.1)
    assert float(truth["rate"].max()) * 0.02 < 20.0
    assert 50.0 < float(truth["unsaturated_rate"].max()) * 0.02 < 200.0


def test_states_follow_the_equations() -> None:
    for include_minus_y in (False, True):
        config = LorenzConfig(n_conditions=3, include_minus_y=include_minus_y)
        states = lorenz_states(config, 50, np.random.default_rng(0))
        x, y, z = states[:, :-1].transpose(2, 0, 1)
        change = np.diff(states, axis=1) / 0.006
        assert np.allclose(change[..., 0], 10.0 * (y - x))
        assert np.allclose(change[..., 1], x * (28.0 - z) - include_minus_y * y)
        assert np.allclose(change[..., 2], x * y - 8.0 / 3.0 * z)


def test_the_published_system_stays_bounded() -> None:
    states = lorenz_states(LorenzConfig(), 1000, np.random.default_rng(1))
    assert np.abs(states).max() < 60.0


def test_the_textbook_runs_on_its_attractor() -> None:
    config = LorenzConfig(**TEXTBOOK, n_conditions=20)
    states = lorenz_states(config, 1000, np.random.default_rng(1))
    assert 20.0 < states[..., 2].mean() < 27.0
    truth = simulate_lorenz(config).truth
    assert abs(truth["latent"]).max() <= 1.0 + 1e-6
    # scaled by the largest absolute value no unit saturates
    assert float(truth["unsaturated_rate"].max()) < 1000.0


def test_latents_and_rates_obey_the_readout() -> None:
    truth = simulate_lorenz(n_repeats=1, bin_size=0.001, n_conditions=10).truth
    latent = truth["latent"].values.reshape(-1, 3)
    assert np.allclose(truth["latent"].max("time"), 1.0, atol=1e-6)
    log_rate = np.log(truth["unsaturated_rate"].values.reshape(-1, 29) / 5.0)
    weight, *_ = np.linalg.lstsq(latent, log_rate, rcond=None)
    assert np.abs(latent @ weight - log_rate).max() < 1e-4
    assert ((np.abs(weight) > 1.0 - 1e-4) & (np.abs(weight) < 2.0 + 1e-4)).all()
    assert (np.diff(weight, axis=1) >= 0.0).all()
    expected = -np.expm1(-truth["unsaturated_rate"].values * 0.001) / 0.001
    assert np.allclose(truth["rate"].values, expected, rtol=1e-5)
