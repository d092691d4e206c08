"""The network of oscillators: its exact truth against long courses, and its way through a file."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from scipy.linalg import expm

from neurodyn import recording as rec
from neurodyn.datasets import truth_path
from neurodyn.datasets.linear_oscillators import (
    band_coherence,
    coupled_oscillators,
    oscillator_course,
    phase_locking_of_coherence,
    stationary_covariance,
)
from neurodyn.datasets.oscillating_network import (
    simulate_oscillating_network,
    write_oscillating_network,
)
from neurodyn.errors import ConfigError
from neurodyn.io.mne import load_meeg

PULL = 12.0 * (np.ones((3, 3)) - np.eye(3))
COUPLED = coupled_oscillators([10.0] * 3, 5.0, PULL)


def test_covariance_of_interchangeable_oscillators():
    found = stationary_covariance(COUPLED)
    # the mean of all forgets at 5, each difference at 5 + 3 * 12
    mean, difference = 1 / (2 * 5.0), 1 / (2 * 41.0)
    expected = (mean - difference) / (mean + 2 * difference)
    np.testing.assert_allclose(np.diag(found), 1.0, atol=1e-12)
    np.testing.assert_allclose(found[0, 1:], expected, atol=1e-12)


def test_course_has_the_covariance_and_dynamics(rng):
    step = 0.005
    course = oscillator_course({"a": COUPLED}, [("a", 200_000)], step, rng)
    now = course.T @ course.conj() / len(course)
    np.testing.assert_allclose(now, stationary_covariance(COUPLED), atol=0.03)
    later = course[8:].T @ course[:-8].conj() / (len(course) - 8)
    np.testing.assert_allclose(later @ np.linalg.inv(now), expm(COUPLED * 8 * step), atol=0.03)


def test_a_change_of_state_leaves_no_jump(rng):
    matrices = {"alone": coupled_oscillators([10.0] * 3, 5.0, 0 * PULL), "coupled": COUPLED}
    pieces = [("alone", 100), ("coupled", 100)] * 300
    course = oscillator_course(matrices, pieces, 0.002, rng)
    size = np.abs(np.diff(course, axis=0)).mean(axis=1)
    edges = np.arange(99, len(size), 100)
    usual = np.delete(size, edges).mean()
    assert 0.8 < size[edges].mean() / usual < 1.25
    # 0.2 s are enough to be half way there, and power stays 1 all along
    np.testing.assert_allclose((np.abs(course) ** 2).mean(), 1.0, atol=0.1)


def test_coherence_of_a_band_against_a_filtered_course(rng):
    from scipy.fft import fft, fftfreq, ifft

    step, band = 0.005, (8.0, 12.0)
    course = oscillator_course({"a": COUPLED}, [("a", 200_000)], step, rng)
    frequency = fftfreq(len(course), step)[:, None]
    inside = (frequency > band[0]) & (frequency < band[1])
    filtered = ifft(fft(course, axis=0) * inside, axis=0)
    covariance = filtered.T @ filtered.conj()
    found = np.abs(covariance) / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)).real)
    expected = band_coherence(COUPLED, band)
    np.testing.assert_allclose(found, expected, atol=0.02)
    phase = filtered / np.abs(filtered)
    locking = np.abs(phase.T @ phase.conj()) / len(phase)
    np.testing.assert_allclose(locking, phase_locking_of_coherence(expected), atol=0.02)
    # over all frequencies it is that of the stationary covariance
    wide = band_coherence(COUPLED, (-500.0, 500.0))
    np.testing.assert_allclose(wide, np.abs(stationary_covariance(COUPLED)), atol=0.01)


@pytest.fixture(scope="module")
def simulation():
    return simulate_oscillating_network(seed=3)


def test_sensors_see_the_sources_through_the_forward_matrix(simulation):
    recording, truth = simulation
    eeg = recording["signal/eeg"]
    clean = truth["source"].values.astype(np.float64) @ truth["forward"].values.T
    left = eeg["signal"].values - clean
    quiet = np.ones(eeg.sizes["time"], bool)
    for start in recording["trials"]["start"].values[recording["trials"]["bad"].values]:
        quiet &= np.abs(eeg["time"].values - start - 0.2) > 0.2 + 1e-9
    noise = left[quiet].std(axis=0)
    expected = np.where(eeg["bad"].values, 30e-6, 1e-6)
    np.testing.assert_allclose(noise, expected, rtol=0.05)
    np.testing.assert_allclose(truth["source"].std("time"), 1e-7, rtol=0.05)
    np.testing.assert_allclose(truth["forward"].sum("channel"), 0.0, atol=1e-6)
    # each source is strongest at the sensor above it
    above = truth["channel"].values[np.abs(truth["forward"]).argmax("channel").values]
    assert above.tolist() == ["F3", "Fz", "F4", "P3", "Pz", "P4"]


def test_blinks_are_marked_and_keep_away_from_trials(simulation):
    trials = simulation.recording["trials"]
    bad = trials["bad"].values
    assert bad.sum() == 8
    called = trials["description"].values[~bad]
    assert sorted(set(called)) == ["frontal", "parietal"]
    assert (called == "frontal").sum() == (called == "parietal").sum() == 20
    starts, stops = trials["start"].values, trials["stop"].values
    assert (starts[1:] - stops[:-1]).min() >= 0.5 - 1e-9
    eog = simulation.recording["signal/eog"]
    high = eog["time"].values[eog["signal"].values[:, 0] > 50e-6]
    inside = [((start < high) & (high < stop)).any() for start, stop in zip(starts, stops)]
    assert inside == bad.tolist()


def test_truth_of_the_states(simulation):
    truth = simulation.truth
    np.testing.assert_allclose(truth["decay"].sel(state="rest"), 5.0)
    np.testing.assert_allclose(truth["decay"].sel(state="frontal"), [5, 5, 5, 5, 35, 35])
    rest = truth["frequency"].sel(state="rest").values
    np.testing.assert_allclose(rest, [10.0, 10.0, 10.0, 11.0, 11.0, 11.0])
    locking = truth["phase_locking_value"]
    same = truth["module"].values == truth["module"].rename(roi="roi_to").values[:, None]
    for state in ("frontal", "parietal"):
        inside = same & (truth["module"].values == state)
        np.fill_diagonal(inside, False)
        assert (locking.sel(state=state).values[inside] > 0.7).all()
        outside = ~inside & ~np.eye(6, dtype=bool)
        np.testing.assert_allclose(locking.sel(state=state).values[outside], 0.0, atol=1e-12)


def test_it_comes_back_from_a_file(simulation, tmp_path):
    path = write_oscillating_network(simulation, tmp_path / "network_raw.fif")
    found, truth = load_meeg(path), rec.load(truth_path(path))
    assert truth.identical(simulation.truth)
    for name in ("eeg", "eog"):
        made, read = simulation.recording[f"signal/{name}"], found[f"signal/{name}"]
        np.testing.assert_allclose(read["signal"], made["signal"], rtol=1e-6)
        np.testing.assert_allclose(read["time"], made["time"], atol=1e-9)
        assert read["channel"].values.tolist() == made["channel"].values.tolist()
        assert read["bad"].values.tolist() == made["bad"].values.tolist()
    np.testing.assert_allclose(found["signal/eeg"]["x"], simulation.recording["signal/eeg"]["x"])
    made, read = simulation.recording["trials"], found["trials"]
    assert read["description"].values.tolist() == made["description"].values.tolist()
    np.testing.assert_allclose(read["start"], made["start"], atol=1e-3)
    np.testing.assert_array_equal(read["bad"], made["bad"])
    start = simulation.recording.attrs["session_start"]
    assert found.attrs["session_start"] == start
    # mne has no objection either
    raw = mne.io.read_raw_fif(path, verbose="ERROR")
    assert raw.info["bads"] == ["T7"]


def test_the_seed_decides():
    first = simulate_oscillating_network(n_trials=2, n_blinks=1)
    again = simulate_oscillating_network(n_trials=2, n_blinks=1)
    other = simulate_oscillating_network(n_trials=2, n_blinks=1, seed=2)
    assert first.recording.identical(again.recording)
    assert first.truth.identical(again.truth)
    assert not first.truth.identical(other.truth)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": 0.0}, "noise must be above 0"),
        ({"n_trials": 3}, "even number"),
        ({"gap": 1.0}, r"blinks do not fit[\s\S]*1\.4 s"),
        ({"n_trials": 2, "n_blinks": 3}, "at most one in each gap"),
        ({"frequency": (10.0, 20.0)}, "within the band"),
        ({"band": (7.0, 120.0)}, "below 100 Hz"),
        ({"n_trial": 4}, "did you mean 'n_trials'"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        simulate_oscillating_network(**settings)
