"""Bootstrap intervals: exact resampling, coverage, pairing and seeds."""

import numpy as np
import pytest

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.metrics import (
    bits_per_spike,
    bits_per_spike_interval,
    paired_bits_per_spike,
    trial_interval,
)


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    rates = rng.gamma(2.0, 0.2, (30, 10, 4))
    spikes = rng.poisson(rates).astype(float)
    spikes[rng.random(spikes.shape) < 0.1] = np.nan
    spikes[..., 3] = 0.0
    return rates, spikes


def test_fast_interval_equals_scoring_every_resample(data):
    rates, spikes = data
    slow = trial_interval(
        lambda trial: bits_per_spike(rates[trial], spikes[trial]), 30, n_resamples=50, seed=3
    )
    fast = bits_per_spike_interval(rates, spikes, n_resamples=50, seed=3)
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_fast_paired_difference_equals_scoring_every_resample(data):
    rates, spikes = data
    other = np.full_like(rates, 0.4)

    def difference(trial):
        y = spikes[trial]
        return bits_per_spike(rates[trial], y) - bits_per_spike(other[trial], y)

    slow = trial_interval(difference, 30, n_resamples=50, seed=3)
    fast = paired_bits_per_spike(rates, other, spikes, n_resamples=50, seed=3)
    np.testing.assert_allclose(fast, slow, atol=1e-12)
    assert fast.low > 0


def test_pairing_narrows_the_difference(data):
    rates, spikes = data
    alone = bits_per_spike_interval(rates, spikes)
    paired = paired_bits_per_spike(rates, rates * 1.02, spikes)
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_seed_decides_the_draws(data):
    rates, spikes = data
    same = [bits_per_spike_interval(rates, spikes, seed=1) for _ in range(2)]
    assert same[0] == same[1]
    assert bits_per_spike_interval(rates, spikes, seed=2) != same[0]


def test_interval_covers_a_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        values = rng.normal(size=40)
        low, high = trial_interval(
            lambda trial, values=values: values[trial].mean(), 40, n_resamples=200, seed=seed
        )[1:3]
        covered += low <= 0.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_faults_are_named(data):
    rates, spikes = data
    with pytest.raises(ConfigError, match=r"level=1\.5"):
        bits_per_spike_interval(rates, spikes, level=1.5)
    with pytest.raises(DegenerateInputError, match="two trials"):
        bits_per_spike_interval(rates[:1], spikes[:1])
    with pytest.raises(DataError, match="three dims"):
        bits_per_spike_interval(rates[0], spikes[0])
    rare = np.zeros_like(spikes)
    rare[0, 0, 0] = 1.0
    with pytest.raises(DegenerateInputError, match="resampled set of trials has no spike"):
        bits_per_spike_interval(rates, rare)
