"""Phases of tones whose lags are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, hilbert, sosfiltfilt

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.recording import signal
from neurodyn.transforms.connectivity import pair_matrix
from neurodyn.transforms.connectivity.phase import phase_synchrony

LAGS = np.array([0.0, 0.4, np.pi / 2, np.pi, -2.0])


def traces(values, rate=20.0, **kwargs):
    return signal(np.asarray(values, float), sampling_rate=rate, dim="roi", **kwargs)


def tones(n_periods=20.0, n_time=1000, lags=LAGS):
    turn = 2 * np.pi * n_periods * np.arange(n_time) / n_time
    return np.sin(turn[:, None] - lags) * (1 + np.arange(len(lags))) + 5.0


def expected_cosines(lags=LAGS):
    first, second = np.triu_indices(len(lags), 1)
    return np.cos(lags[first] - lags[second])


def test_whole_periods_have_the_cosine_of_their_lag_everywhere():
    found = phase_synchrony(traces(tones()))
    expected = np.broadcast_to(expected_cosines(), (1000, 10))
    np.testing.assert_allclose(found["phase_synchrony"], expected, atol=1e-9)
    np.testing.assert_allclose(found["phase_locking_value"], 1.0)


def test_equals_the_angles_of_scipy(rng):
    values = rng.normal(size=(2, 200, 4))
    found = phase_synchrony(traces(values))
    angle = np.angle(hilbert(values - values.mean(1, keepdims=True), axis=1))
    first, second = np.triu_indices(4, 1)
    difference = angle[..., first] - angle[..., second]
    np.testing.assert_allclose(found["phase_synchrony"], np.cos(difference), atol=1e-9)
    locking = np.abs(np.exp(1j * difference).mean(axis=1))
    np.testing.assert_allclose(found["phase_locking_value"], locking, atol=1e-9)
    assert found["phase_locking_value"].dims == ("animal", "pair")


@pytest.mark.parametrize("n_periods", [20.3, 20.5, 20.9])
@pytest.mark.parametrize("banded", [False, True])
def test_ends_are_as_wrong_as_documented(n_periods, banded):
    frequency = n_periods / 50.0
    band = (frequency / 2, 2 * frequency) if banded else None
    ds = traces(tones(n_periods))
    error = np.abs(phase_synchrony(ds, band)["phase_synchrony"] - expected_cosines())
    period = int(np.ceil(20.0 / frequency))
    assert error[period:-period].max() < (0.3 if banded else 0.11)
    assert error[4 * period : -4 * period].max() < (0.04 if banded else 0.03)
    edge = 4 / frequency
    cut = phase_synchrony(ds, band, edge=edge)
    assert cut["time"].values[0] == pytest.approx(edge, abs=0.03)
    assert cut["time"].values[-1] == pytest.approx(49.95 - edge, abs=0.03)
    np.testing.assert_allclose(cut["phase_locking_value"], 1.0, atol=1e-3)


def test_the_band_chooses_the_rhythm(rng):
    """Two traces share a slow rhythm at one lag and a fast one at another."""
    slow, fast = tones(20, lags=np.array([0.0, 1.0])), tones(150, lags=np.array([0.0, 2.5]))
    ds = traces(slow + 0.8 * fast + 0.05 * rng.normal(size=slow.shape))
    for band, lag in (((0.2, 0.8), 1.0), ((2.0, 4.5), 2.5)):
        found = phase_synchrony(ds, band, edge=5.0)
        assert found["phase_synchrony"].mean() == pytest.approx(np.cos(lag), abs=0.02)
        assert found["phase_locking_value"].item() > 0.98
        assert found.attrs["band"] == list(band)


def test_band_pass_is_that_of_scipy_and_shifts_nothing(rng):
    values = rng.normal(size=(400, 3))
    sections = butter(4, (1.0, 3.0), "bandpass", fs=20.0, output="sos")
    filtered = sosfiltfilt(sections, values - values.mean(0), axis=0)
    alone = phase_synchrony(traces(values), (1.0, 3.0))["phase_synchrony"]
    angle = np.angle(hilbert(filtered, axis=0))
    first, second = np.triu_indices(3, 1)
    np.testing.assert_allclose(alone, np.cos(angle[:, first] - angle[:, second]), atol=1e-9)


def test_independent_noise_is_not_locked(rng):
    found = phase_synchrony(traces(rng.normal(size=(4000, 4))), (1.0, 4.0))
    assert found["phase_locking_value"].max() < 0.2
    assert abs(found["phase_synchrony"].mean()) < 0.05


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 6))
def test_order_scale_and_shift_of_rois_do_not_matter(seed, n):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(50, n))
    order, scale = rng.permutation(n), rng.uniform(0.1, 9, n)
    first, second = (phase_synchrony(traces(v)) for v in (values, (values * scale + 3)[:, order]))
    for name in ("phase_synchrony", "phase_locking_value"):
        expected = pair_matrix(first[name].values, n)[..., order, :][..., order]
        np.testing.assert_allclose(pair_matrix(second[name].values, n), expected, atol=1e-8)


def test_constant_and_unseen_traces_are_nan(rng):
    values = rng.normal(size=(2, 100, 4))
    values[0, :, 1] = 0.3
    values[1, :, 2] = np.nan
    for band in (None, (1.0, 4.0)):
        found = phase_synchrony(traces(values), band)
        for name in ("phase_synchrony", "phase_locking_value"):
            missing = pair_matrix(np.isnan(found[name].values), 4)
            assert (missing.sum(-1)[0] == [1, 3, 1, 1]).all()
            assert (missing.sum(-1)[1] == [1, 1, 3, 1]).all()
        alone = phase_synchrony(traces(values[0][:, [0, 2, 3]]), band)
        kept = found["phase_locking_value"].isel(animal=0, pair=[1, 2, 5])
        np.testing.assert_allclose(kept.values, alone["phase_locking_value"].values)
    assert found["seen"].values.sum(axis=1).tolist() == [3, 3]
    assert found.attrs["quality"] == {"constant_traces": 1}


def test_interrupted_traces_are_refused_or_dropped(rng):
    values = rng.normal(size=(100, 3))
    values[7, 0] = np.nan
    with pytest.raises(DataError, match="traces are interrupted"):
        phase_synchrony(traces(values))
    found = phase_synchrony(traces(values), on_bad="drop")
    assert np.isnan(found["phase_locking_value"].values).tolist() == [True, True, False]


def test_input_is_left_alone(rng):
    ds = traces(rng.normal(size=(100, 3)))
    before = ds.copy(deep=True)
    phase_synchrony(ds, (1.0, 4.0), edge=1.0)
    xr.testing.assert_identical(ds, before)


def test_faults_are_named(rng):
    ds = traces(rng.normal(size=(100, 3)))
    for band in ((0.0, 4.0), (4.0, 1.0), (1.0, 10.0), (float("nan"), 2.0)):
        with pytest.raises(ConfigError, match=r"band is impossible[\s\S]*high < 10 Hz"):
            phase_synchrony(ds, band)
    with pytest.raises(DegenerateInputError, match=r"too short for the band[\s\S]*more than 200"):
        phase_synchrony(ds, (0.1, 4.0))
    with pytest.raises(DegenerateInputError, match=r"too short for the band[\s\S]*more than 27"):
        phase_synchrony(ds.isel(time=slice(20)), (2.0, 4.0))
    with pytest.raises(ConfigError, match="edge cannot be negative"):
        phase_synchrony(ds, edge=-1.0)
    with pytest.raises(DegenerateInputError, match="nothing is left between the edges"):
        phase_synchrony(ds, edge=2.5)
