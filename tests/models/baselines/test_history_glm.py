"""The history GLM: known couplings come back, scores are exact, the present is never seen."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from neurodyn.errors import ConfigError, DataError, DegenerateInputError, EmptySelectionError
from neurodyn.models.baselines.history_glm import (
    HistoryGLM,
    HistoryGLMConfig,
    fit_history_glm,
    predict_history_glm,
    score_history_glm,
)
from neurodyn.models.baselines.history_glm_dynamics import coupling_filters, sample_history_glm
from neurodyn.models.baselines.spike_history import raised_cosines, spike_history
from neurodyn.recording import counts

BIN = 0.025


def truth() -> HistoryGLM:
    """Unit 0 excites 1, 1 holds back 2, and every unit holds back itself."""
    basis = raised_cosines(4, 2)
    weight = np.zeros((3, 2, 3))
    weight[range(3), 0, range(3)] = -1.0
    weight[0, :, 1] = 1.5, 0.5
    weight[1, :, 2] = -1.0, -1.0
    return HistoryGLM(
        weight,
        np.log([0.4, 0.2, 0.5]),
        basis,
        np.zeros(3),
        np.ones(3),
        np.full(3, 30.0),
        np.array(["a", "b", "c"]),
        BIN,
    )


@pytest.fixture(scope="module")
def sampled() -> xr.Dataset:
    return sample_history_glm(truth(), 6000, seed=1)


@pytest.fixture(scope="module")
def fitted(sampled: xr.Dataset) -> HistoryGLM:
    return fit_history_glm(sampled, range(4500), history=0.1, n_bases=2)


def test_couplings_come_back(fitted: HistoryGLM) -> None:
    long = sample_history_glm(truth(), 20000, seed=2)
    free = fit_history_glm(long, history=0.1, n_bases=2, penalties=(1e-5,))
    # neighbouring bases trade weight: what they add up to is better known than each
    assert np.abs(free.weight - truth().weight).max() < 0.5
    assert np.abs(free.weight.sum(axis=1) - truth().weight.sum(axis=1)).max() < 0.3
    assert np.abs(free.intercept - truth().intercept).max() < 0.15
    found = coupling_filters(fitted)
    wanted = coupling_filters(truth())
    assert np.abs(found["filter"] - wanted["filter"]).max() < 0.3
    assert (
        found["score"].sel(unit="a", unit_to="b")
        > 1.0
        > 0.5
        > found["score"].sel(unit="b", unit_to="a")
    )
    assert np.isnan(np.diag(found["score"])).all()
    assert np.allclose(found["lag"], [0.025, 0.05, 0.075, 0.1])


def test_score_is_the_exact_likelihood_over_that_of_training_rates(
    sampled: xr.Dataset, fitted: HistoryGLM
) -> None:
    test = np.arange(4500, 6000)
    count = sampled["count"].values.astype(float)
    expected = predict_history_glm(fitted, sampled)["rate"].values[test] * BIN
    null = (count[:4500].sum(0) + 0.1) / 4500
    gain = poisson.logpmf(count[test], expected) - poisson.logpmf(count[test], null)
    found = score_history_glm(fitted, sampled, test)
    spikes = count[test].sum(0)
    assert found["bits_per_spike"].item() == pytest.approx(gain.sum() / spikes.sum() / np.log(2))
    assert np.allclose(found["unit_bits_per_spike"], gain.sum(0) / spikes / np.log(2))
    assert found["n_spikes"].values.tolist() == spikes.tolist()
    ideal = score_history_glm(
        HistoryGLM(**{**vars(truth()), "null_expected_count": null}), sampled, test
    )
    assert 0.03 < found["bits_per_spike"].item() < ideal["bits_per_spike"].item() + 0.01
    assert found["bits_per_spike"].item() > 0.8 * ideal["bits_per_spike"].item()


def test_independent_spikes_hold_nothing_to_learn(rng: np.random.Generator) -> None:
    data = counts(rng.poisson(0.3, (3000, 3)), bin_size=BIN)
    model = fit_history_glm(data, range(2000), history=0.1)
    bits = score_history_glm(model, data, range(2000, 3000))["bits_per_spike"].item()
    assert -0.03 < bits < 0.01


def test_without_coupling_units_see_themselves_alone(sampled: xr.Dataset) -> None:
    short = sampled.isel(time=slice(1500))
    model = fit_history_glm(short, history=0.1, n_bases=2, coupling=False)
    others = ~np.eye(3, dtype=bool)
    assert (model.weight.transpose(0, 2, 1)[others] == 0).all()
    assert (model.weight[range(3), 0, range(3)] < -0.1).all()


def test_bins_that_were_not_observed_are_no_targets(rng: np.random.Generator) -> None:
    count = rng.poisson(0.5, (400, 2))
    seen = np.ones(400, dtype=bool)
    seen[100:150] = False
    other = count.copy()
    other[100:150] = 9
    first, second = (
        fit_history_glm(counts(own, bin_size=BIN, observed=seen), history=0.05, penalties=(0.01,))
        for own in (count, other)
    )
    assert np.array_equal(first.weight, second.weight)
    assert np.allclose(first.null_expected_count, (count[seen].sum(0) + 0.1) / 350)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.integers(0, 2**31 - 1), st.integers(0, 19))
def test_the_present_and_the_future_are_never_seen(seed: int, now: int) -> None:
    rng = np.random.default_rng(seed)
    count = rng.poisson(1.0, (20, 2)).astype(float)
    changed = count.copy()
    changed[now:] = rng.poisson(5.0, (20 - now, 2))
    basis = raised_cosines(5, 3)
    assert np.array_equal(
        spike_history(count, basis)[: now + 1], spike_history(changed, basis)[: now + 1]
    )


def test_history_is_a_convolution(rng: np.random.Generator) -> None:
    count, basis = rng.poisson(1.0, (30, 2)).astype(float), raised_cosines(6, 3)
    found = spike_history(count, basis).reshape(30, 2, 3)
    for unit in range(2):
        for k in range(3):
            wanted = np.convolve(count[:, unit], np.append(0.0, basis[:, k]))[:30]
            assert np.allclose(found[:, unit, k], wanted)


@pytest.mark.parametrize(("n_lags", "n_bases"), [(10, 4), (3, 5), (1, 1), (8, 1)])
def test_cosines_are_averages_over_ever_longer_pasts(n_lags: int, n_bases: int) -> None:
    basis = raised_cosines(n_lags, n_bases)
    assert basis.shape == (n_lags, min(n_lags, n_bases))
    assert np.allclose(basis.sum(0), 1.0)
    assert (basis >= 0).all()
    assert (np.diff(np.arange(n_lags) @ basis) > 0).all()


def test_samples_have_the_rate_that_the_model_predicts(sampled: xr.Dataset) -> None:
    expected = predict_history_glm(truth(), sampled)["rate"].values.sum(0) * BIN
    total = sampled["count"].values.sum(0)
    assert (np.abs(total - expected) < 4 * np.sqrt(expected)).all()
    assert sampled.identical(sample_history_glm(truth(), 6000, seed=1))


def test_excitation_without_end_is_held_and_told() -> None:
    wild = truth()
    wild.weight[0, :, 0] = 5.0
    held = sample_history_glm(wild, 100, seed=0)
    assert held.attrs["quality"]["held_at_largest"] > 0
    assert held["count"].max() < 60


def test_a_past_unlike_any_in_training_is_no_explosion(rng: np.random.Generator) -> None:
    count = rng.poisson(0.3, (600, 2))
    count[1:, 1] += count[:-1, 0]
    count[500, 0] = 60
    data = counts(count, bin_size=BIN)
    model = fit_history_glm(data, range(450), history=0.1, penalties=(1e-4,))
    rate = predict_history_glm(model, data)["rate"].values * BIN
    assert rate[501, 1] == pytest.approx(count[:450, 1].max())
    assert score_history_glm(model, data, range(450, 600))["bits_per_spike"].item() > -1.0


def test_refuses_what_does_not_fit(sampled: xr.Dataset, fitted: HistoryGLM) -> None:
    short = sampled.isel(time=slice(50))
    with pytest.raises(ConfigError, match=r"history and n_bases must be above 0"):
        HistoryGLMConfig(history=0.0)
    with pytest.raises(ConfigError, match=r"penalties or validation is out of range"):
        HistoryGLMConfig(penalties=())
    with pytest.raises(DataError, match=r"counts in one row of time(.|\n)*'trial'"):
        fit_history_glm(counts(np.ones((2, 3, 1), int), bin_size=BIN))
    with pytest.raises(DataError, match=r"chosen bins do not fit the counts(.|\n)*50 bins"):
        fit_history_glm(short, [50])
    with pytest.raises(EmptySelectionError, match="no observed bins to train on"):
        fit_history_glm(short, [])
    with pytest.raises(DataError, match="units are not those of the model"):
        predict_history_glm(fitted, short.isel(unit=slice(2)))
    with pytest.raises(DataError, match=r"bin size is not that of the model(.|\n)*0\.05 s"):
        predict_history_glm(fitted, counts(short["count"].values, bin_size=0.05, unit=list("abc")))
    silent = counts(np.zeros((9, 3), int), bin_size=BIN, unit=list("abc"))
    with pytest.raises(DegenerateInputError, match="bits per spike need spikes"):
        score_history_glm(fitted, silent)
