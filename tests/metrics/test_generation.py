"""Statistics of spikes against numpy, scipy and processes whose statistics are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import entropy

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.metrics.generation import compare_generated, spike_statistics
from neurodyn.recording import counts, recording, spikes_from_units

ERRORS = (
    "rate_error",
    "correlation_rmse",
    "isi_mean_error",
    "isi_sd_error",
    "population_kl",
    "autocorrelation_rmse",
)


def poisson_counts(rate: list[float], seed: int, n_bins: int = 3000) -> xr.Dataset:
    count = np.random.default_rng(seed).poisson(np.array(rate) * 0.02, (n_bins, len(rate)))
    return counts(count, bin_size=0.02)


def test_equal_recordings_have_no_error() -> None:
    spikes = spikes_from_units({"a": [0.1, 0.2, 0.5], "b": [0.15, 0.3]}, observed=[[0.0, 1.0]])
    for data in (poisson_counts([5.0, 9.0, 2.0], 0), spikes):
        found = compare_generated(data, data)
        assert all(found[name].item() == 0.0 for name in ERRORS)
        assert found["rate_ratio"].item() == 1.0


def test_two_draws_of_one_process_are_close_and_another_process_is_not() -> None:
    real, same, fast = (
        poisson_counts(rate, seed)
        for seed, rate in enumerate(([5.0, 9.0, 6.0], [5.0, 9.0, 6.0], [10.0, 18.0, 12.0]))
    )
    close, far = compare_generated(real, same), compare_generated(real, fast)
    assert close["rate_error"].item() < 0.15
    assert close["correlation_rmse"].item() < 0.05
    assert close["population_kl"].item() < 0.01
    assert far["rate_error"].item() == pytest.approx(1.0, abs=0.15)
    assert far["rate_ratio"].item() == pytest.approx(2.0, abs=0.15)
    assert far["population_kl"].item() > 0.05
    # intervals of a Poisson process: mean and sd are 1 / rate
    halved = np.mean([1 / 10, 1 / 18, 1 / 12])
    assert far["isi_mean_error"].item() == pytest.approx(halved, rel=0.15)


def test_statistics_of_counts_are_those_of_numpy(rng: np.random.Generator) -> None:
    count = rng.poisson(0.4, (400, 3)) + rng.poisson(0.4, (400, 1))
    found = spike_statistics(counts(count, bin_size=0.02), max_lag=0.06)
    assert np.allclose(found["rate"], count.mean(0) / 0.02)
    wanted = np.corrcoef(count.T)
    np.fill_diagonal(wanted, np.nan)
    assert np.allclose(found["correlation"], wanted, equal_nan=True)
    assert np.array_equal(found["population_bins"], np.bincount(count.sum(1)))
    centred = count - count.mean(0)
    for lag in (1, 2, 3):
        product = (centred[lag:] * centred[:-lag]).mean(0) / count.var(0)
        assert np.allclose(found["autocorrelation"][:, lag - 1], product)
    gaps = np.diff(np.repeat(np.arange(400), count[:, 0])) * 0.02
    assert found["isi_mean"].values[0] == pytest.approx(gaps.mean())
    assert found["isi_sd"].values[0] == pytest.approx(gaps.std())


def test_intervals_of_spikes_are_exact_and_never_span_a_pause() -> None:
    times = np.concatenate([np.arange(0.005, 1.0, 0.013), np.arange(5.005, 6.0, 0.013)])
    spikes = spikes_from_units([times, [0.5]], observed=[[0.0, 1.0], [5.0, 6.0]])
    found = spike_statistics(spikes)
    assert found["isi_mean"].values[0] == pytest.approx(0.013)
    assert found["isi_sd"].values[0] == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(found["isi_mean"].values[1])
    assert found["rate"].values[0] == pytest.approx(times.size / 2.0)
    assert found["population_bins"].values.sum() == 100
    without = spike_statistics(spikes_from_units([times, [0.5]]))
    assert without["isi_mean"].values[0] == pytest.approx(np.diff(times).mean())


def test_intervals_of_counts_stay_in_their_trial_and_observed_stretch() -> None:
    count = np.zeros((2, 10, 1), dtype=int)
    count[:, [1, 3, 5, 9]] = 1
    found = spike_statistics(counts(count, bin_size=0.1))
    assert found["isi_mean"].item() == pytest.approx(np.mean([0.2, 0.2, 0.4]))
    observed = np.ones(10, dtype=bool)
    observed[7] = False
    found = spike_statistics(counts(count[0], bin_size=0.1, observed=observed))
    assert found["isi_mean"].item() == pytest.approx(0.2)
    assert found["rate"].item() == pytest.approx(4 / 0.9)


def test_autocorrelation_stays_within_trials() -> None:
    # within a trial every unit alternates; across the border it would repeat
    count = np.tile([[1], [0], [0], [1], [0], [1]], (50, 1)).reshape(100, 3, 1)
    found = spike_statistics(counts(count, bin_size=0.1), max_lag=0.1)
    centred = count - count.mean()
    wanted = (centred[:, 1:] * centred[:, :-1]).mean() / count.var()
    assert found["autocorrelation"].item() == pytest.approx(wanted)


def test_divergence_of_population_counts_is_that_of_scipy() -> None:
    real, other = poisson_counts([5.0, 9.0], 0, 500), poisson_counts([9.0, 9.0], 1, 500)
    both = [np.bincount(ds["count"].values.sum(1), minlength=9) for ds in (real, other)]
    shown = (both[0] + both[1]) > 0
    wanted = entropy(both[0][shown] + 0.5, both[1][shown] + 0.5)
    assert compare_generated(real, other)["population_kl"].item() == pytest.approx(wanted)


def test_bursts_show_in_intervals_and_autocorrelation() -> None:
    rng = np.random.default_rng(2)
    real = poisson_counts([10.0], 0)
    bursts = np.repeat(rng.poisson(np.where(rng.random((600, 1)) < 0.2, 1.0, 0.0)), 5, axis=0)
    found = compare_generated(real, counts(bursts, bin_size=0.02), max_lag=0.1)
    ceiling = compare_generated(real, poisson_counts([10.0], 1), max_lag=0.1)
    for name in ("isi_sd_error", "autocorrelation_rmse"):
        assert found[name].item() > 4 * ceiling[name].item()


def test_spikes_and_counts_can_be_compared() -> None:
    spikes = spikes_from_units({"0": [0.1, 0.2, 0.5, 0.55]}, observed=[[0.0, 1.0]])
    tree = recording([spikes])
    count = spike_statistics(tree, bin_size=0.05)
    assert count.attrs["bin_size"] == 0.05
    binned = counts(np.eye(1, 20, 4, dtype=int).T, bin_size=0.05)
    found = compare_generated(tree, binned, max_lag=0.1)
    assert found.attrs["bin_size"] == 0.05
    assert found["rate_ratio"].item() == pytest.approx(0.25)
    assert np.isnan(found["isi_mean_error"].item())
    assert found["n_compared"].sel(statistic="isi_mean_error").item() == 0


def test_refuses_what_cannot_be_compared() -> None:
    data = poisson_counts([5.0, 9.0], 0, 50)
    with pytest.raises(DataError, match=r"units differ(.|\n)*1 units(.|\n)*the 2 units"):
        compare_generated(data, data.isel(unit=[0]))
    with pytest.raises(DataError, match=r"bins differ(.|\n)*0\.1 s(.|\n)*0\.02 s"):
        compare_generated(data, counts(data["count"].values, bin_size=0.1))
    with pytest.raises(ConfigError, match="counts have bins of their own"):
        spike_statistics(data, bin_size=0.05)
    with pytest.raises(ConfigError, match=r"max_lag is below a bin(.|\n)*0\.02 s or more"):
        spike_statistics(data, max_lag=0.01)
    with pytest.raises(DegenerateInputError, match="too few bins for statistics"):
        spike_statistics(data.isel(time=[0]))
    silent = counts(np.zeros((50, 2), int), bin_size=0.02)
    with pytest.raises(DegenerateInputError, match="no real spike"):
        compare_generated(silent, data)
