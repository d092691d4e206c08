"""Poisson likelihood and bits per spike against nlb_tools, its golden numbers and by hand."""

import json
import warnings

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.stats import poisson

from neurodyn.errors import DataError, DegenerateInputError, UnitScaleError
from neurodyn.metrics import (
    bits_per_spike,
    bits_per_spike_per_unit,
    condition_means,
    null_expected_count,
    poisson_nll,
)
from neurodyn.metrics.spikes import check_scale
from neurodyn.nlb.tasks import TASKS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nlb_tools import evaluation as oracle


@pytest.fixture
def golden():
    """The random arrays of the golden values."""
    rng = np.random.default_rng(0)
    spikes = rng.poisson(0.3, (6, 20, 4)).astype(float)
    return rng.gamma(2.0, 0.15, (6, 20, 4)), spikes


def test_golden_values(golden):
    rates, spikes = golden
    assert spikes.sum() == 155
    assert poisson_nll(rates, spikes) == pytest.approx(377.8460887468857, abs=1e-10)
    assert bits_per_spike(rates, spikes) == pytest.approx(-0.31078845194929683, abs=1e-12)
    spikes[:, :5] = np.nan
    assert bits_per_spike(rates, spikes) == pytest.approx(-0.3059365501102385, abs=1e-12)


def test_nll_is_the_log_of_the_poisson_distribution(golden):
    rates, spikes = golden
    assert poisson_nll(rates, spikes) == pytest.approx(-poisson.logpmf(spikes, rates).sum())


@pytest.mark.parametrize("name", TASKS)
def test_equals_nlb_tools_at_every_shape(name):
    task = TASKS[name]
    rng = np.random.default_rng(len(name))
    shape = (4, task.n_time, task.n_units)
    rates = rng.gamma(2.0, 2.0 * task.bin_size, shape)
    spikes = rng.poisson(rates).astype(float)
    spikes[..., 0] = 0.0
    rates[0, 0] = 0.0
    for masked in (False, True):
        if masked:
            spikes[rng.random(shape) < 0.2] = np.nan
            rates = np.where(np.isnan(spikes) & (rng.random(shape) < 0.5), np.nan, rates)
        expected = oracle.bits_per_spike(rates.copy(), spikes)
        assert bits_per_spike(rates, spikes) == pytest.approx(expected, abs=1e-10)
        nll = oracle.neg_log_likelihood(rates.copy(), spikes)
        assert poisson_nll(rates, spikes) == pytest.approx(nll, rel=1e-12)


def test_real_recording_has_its_golden_values(shared_data):
    folder = shared_data / "nlb_mc_maze_small_test"
    golden = json.loads((folder / "golden_nlb_tools_0.0.4.json").read_text())
    with h5py.File(folder / "mc_maze_small_test_cosmoothing.h5") as file:
        group = file["mc_maze_small_20"]
        spikes = group["eval_spikes_heldout"][()].astype(float)
        assert group["eval_spikes_heldin"][()].sum() == golden["sum_heldin_spikes"]
    assert spikes.sum() == golden["sum_heldout_spikes"]
    train, held = spikes[:40], spikes[40:]
    flat = np.broadcast_to(train.mean(axis=(0, 1)), held.shape)
    psth = np.broadcast_to(train.mean(axis=0), held.shape)
    smooth = gaussian_filter1d(psth, 2.5, axis=1)
    for name, rates in (
        ("co_bps_constant_rate_from_trials_0_39_on_40_79", flat),
        ("co_bps_raw_time_psth_clip1e-3", np.clip(psth, 1e-3, None)),
        ("co_bps_time_psth_gauss_sd2.5bins_clip1e-3", np.clip(smooth, 1e-3, None)),
    ):
        assert bits_per_spike(rates, held) == pytest.approx(golden[name], abs=1e-10)
        assert bits_per_spike(rates, held) == pytest.approx(
            oracle.bits_per_spike(np.array(rates), held), abs=1e-10
        )


def test_arguments_stay_as_they_are(golden):
    rates, spikes = golden
    rates[0] = 0.0
    before = rates.copy(), spikes.copy()
    rates.flags.writeable = spikes.flags.writeable = False
    bits_per_spike(rates, spikes)
    bits_per_spike_per_unit(rates, spikes)
    np.testing.assert_array_equal(rates, before[0])
    np.testing.assert_array_equal(spikes, before[1])


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_pooled_bits_are_the_mean_of_units_weighted_by_their_spikes(seed):
    rng = np.random.default_rng(seed)
    spikes = rng.poisson(0.5, (3, 6, 4)).astype(float)
    spikes[rng.random(spikes.shape) < 0.1] = np.nan
    spikes[0, 0] = 1.0
    rates = rng.gamma(2.0, 0.3, spikes.shape)
    n_spikes = np.nansum(spikes, axis=(0, 1))
    pooled = np.average(bits_per_spike_per_unit(rates, spikes), weights=n_spikes)
    assert bits_per_spike(rates, spikes) == pytest.approx(pooled, abs=1e-12)


def test_null_model_scores_zero_and_silent_units_cost_nothing(golden):
    rates, spikes = golden
    assert bits_per_spike(null_expected_count(spikes), spikes) == 0.0
    spikes[..., 0] = 0.0
    silent = null_expected_count(spikes)
    assert (silent[..., 0] == 0).all()
    assert np.isnan(bits_per_spike_per_unit(rates, spikes)[0])
    assert bits_per_spike(silent, spikes) == 0.0


def test_unit_never_observed_is_left_out(golden):
    rates, spikes = golden
    spikes[..., 1] = np.nan
    kept = [0, 2, 3]
    alone = bits_per_spike(rates[..., kept], spikes[..., kept])
    assert bits_per_spike(rates, spikes) == pytest.approx(alone)
    assert (null_expected_count(spikes)[..., 1] == 0).all()


def test_faults_are_named(golden):
    rates, spikes = golden
    with pytest.raises(DataError, match=r"differ in shape[\s\S]*\(6, 20, 3\)"):
        bits_per_spike(rates[..., :3], spikes)
    with pytest.raises(DegenerateInputError, match="need spikes"):
        bits_per_spike(rates, np.zeros_like(spikes))
    broken = rates.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(DataError, match=r"NaN where counts are observed[\s\S]*1 of 480"):
        poisson_nll(broken, spikes)
    with pytest.raises(DataError, match=r"expected counts are negative[\s\S]*logarithm"):
        poisson_nll(np.log(rates), spikes)
    with pytest.raises(DataError, match="counts are negative"):
        poisson_nll(rates, spikes - 1)


@pytest.mark.parametrize("bin_size", [0.005, 0.02])
def test_rates_in_hertz_are_refused(bin_size):
    rng = np.random.default_rng(1)
    expected = rng.gamma(2.0, 2.0 * bin_size, (5, 50, 6))
    spikes = rng.poisson(expected)
    check_scale(expected, spikes, bin_size)
    check_scale(expected * 5, spikes, bin_size)
    check_scale(expected, np.zeros_like(spikes), bin_size)
    with pytest.raises(UnitScaleError, match=r"look like rates in spikes/s[\s\S]*multiply"):
        check_scale(expected / bin_size, spikes, bin_size)


def test_condition_means_shift_trials_by_their_jitter():
    values = np.arange(24.0).reshape(3, 4, 2)
    late, early, none = condition_means(values, [[0], [1], []], jitter=[1, -2, 0])
    np.testing.assert_array_equal(late[1:], values[0, :-1])
    assert np.isnan(late[0]).all()
    np.testing.assert_array_equal(early[:2], values[1, 2:])
    assert np.isnan(early[2:]).all()
    assert none.shape == (0, 2)
    np.testing.assert_array_equal(condition_means(values, [[0, 2]])[0], values[[0, 2]].mean(0))
