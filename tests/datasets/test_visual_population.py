"""The visual population against its equations: gains come back, and no frame tells the future."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neurodyn import recording as rec
from neurodyn.datasets.simulation import Simulation, read, write
from neurodyn.datasets.visual_population import (
    VisualPopulationConfig,
    simulate_visual_population,
)
from neurodyn.errors import ConfigError
from neurodyn.models.baselines.poisson_regression import fit_poisson

TINY = {"n_units": 5, "n_repeats": 2, "duration": 1.0}


@pytest.fixture(scope="module")
def plain() -> Simulation:
    """Without refractoriness the model is a Poisson regression of drive and speed."""
    return simulate_visual_population(n_units=6, n_repeats=15, refractoriness=0.0)


def frame_counts(simulation: Simulation) -> np.ndarray:
    """Count spikes per (trial, frame, unit) by the edges of frames."""
    trials, spikes = (rec.pick(simulation.recording, kind) for kind in ("trials", "spikes"))
    edges = trials["start"].values[:, None] + np.arange(simulation.truth.sizes["time"] + 1) * 0.05
    per_unit = [
        np.searchsorted(rec.unit_spike_times(spikes, unit), edges - 1e-9)
        for unit in spikes["unit"].values
    ]
    return np.diff(np.stack(per_unit, axis=-1), axis=1)


def trial_speed(simulation: Simulation) -> np.ndarray:
    """Return running speed ``(trial, frame)``."""
    running = rec.pick(simulation.recording, "behavior", "running")
    start = rec.pick(simulation.recording, "trials")["start"].values
    frame = np.round(start * 20).astype(int)[:, None] + np.arange(simulation.truth.sizes["time"])
    return running["value"].values[frame, 0]


def test_gains_come_back_from_the_spikes(plain: Simulation) -> None:
    truth = plain.truth
    drive = truth["drive"].sel(stimulus=truth["trial_stimulus"]).values
    speed, count = trial_speed(plain) / 10.0, frame_counts(plain)
    for unit in range(6):
        features = np.stack([drive[..., unit].ravel(), speed.ravel()], axis=1)
        readout = fit_poisson(features, count[..., [unit]].reshape(-1, 1))
        expected = np.exp(readout.log_expected_count(features))
        error = np.sqrt(np.linalg.inv(features.T @ (expected * features)).diagonal())
        wanted = np.array([1.0, truth["running_gain"].values[unit]])
        # standard errors without the intercept are too small by up to a half
        assert (np.abs(readout.weight[:, 0] - wanted) < 6 * error + 0.02).all()
        base = np.exp(readout.intercept[0]) / 0.05
        assert base == pytest.approx(truth["base_rate"].values[unit], rel=0.25)


@pytest.mark.parametrize("refractoriness", [0.0, 3.0])
def test_spikes_follow_the_stated_rate(refractoriness: float) -> None:
    simulation = simulate_visual_population(
        n_units=5, n_repeats=4, duration=2.0, refractoriness=refractoriness
    )
    expected = simulation.truth["rate"].values.sum(axis=(0, 1)) * 0.05
    count = frame_counts(simulation).sum(axis=(0, 1))
    assert count.sum() == rec.pick(simulation.recording, "spikes").sizes["spike"]
    assert (np.abs(count - expected) < 4 * np.sqrt(expected)).all()


def test_refractoriness_keeps_spikes_apart(plain: Simulation) -> None:
    apart = simulate_visual_population(n_units=6, n_repeats=15, refractoriness=5.0)

    def share_of_short_intervals(simulation: Simulation) -> float:
        spikes = rec.pick(simulation.recording, "spikes")
        gaps = [np.diff(rec.unit_spike_times(spikes, u)) for u in spikes["unit"].values]
        return float((np.concatenate(gaps) < 0.005).mean())

    assert share_of_short_intervals(apart) < 0.2 * share_of_short_intervals(plain)


def test_drive_is_the_filtered_past_of_the_movie(plain: Simulation) -> None:
    truth = plain.truth
    contrast = truth["movie"].values - 128 / 255
    seen = np.einsum("sfrc,urc->sfu", contrast, truth["receptive_field"].values)
    wanted = np.zeros_like(seen)
    for lag, weight in zip(
        np.round(truth["lag"].values * 20).astype(int), truth["temporal_kernel"]
    ):
        wanted[:, lag:] += float(weight) * seen[:, :-lag]
    drive = truth["drive"].values
    assert np.allclose(drive / drive.std((0, 1)), wanted / wanted.std((0, 1)), atol=1e-5)
    assert np.allclose(drive.std((0, 1)), truth["stimulus_gain"])
    assert (truth["lag"].values > 0).all()
    assert not drive[:, 0].any()


def test_the_screen_shows_the_movie_of_the_trial_and_grey_between() -> None:
    recording, truth = simulate_visual_population(**TINY)
    screen, trials = rec.pick(recording, "signal", "movie"), rec.pick(recording, "trials")
    shown = rec.physical(screen)
    for start, stop, name in zip(trials["start"], trials["stop"], trials["stimulus"].values):
        inside = (screen["time"] >= start - 1e-9) & (screen["time"] < stop - 1e-9)
        movie = truth["movie"].sel(stimulus=name).values.reshape(20, -1)
        assert np.allclose(shown[inside.values], movie)
    inside = np.zeros(screen.sizes["time"], dtype=bool)
    for start in np.round(trials["start"].values * 20).astype(int):
        inside[start : start + 20] = True
    assert (screen["signal"].values[~inside] == 128).all()
    assert screen["row"].values[[0, -1]].tolist() == [0, 15]
    assert screen["column"].values[[0, -1]].tolist() == [0, 27]


def test_trials_hold_every_repeat_of_every_stimulus() -> None:
    recording = simulate_visual_population(n_units=1, n_repeats=5, duration=0.5).recording
    trials = rec.pick(recording, "trials")
    pairs = set(zip(trials["stimulus"].values.tolist(), trials["repeat"].values.tolist()))
    assert len(pairs) == 15
    assert set(trials["repeat"].values[trials["split"].values == "val"]) == {4}
    rec.validate(recording, values=True)


def test_visual_population_through_an_nwb_file_and_back(tmp_path: Path) -> None:
    simulation = simulate_visual_population(**TINY)
    recording, truth = read(write(simulation, tmp_path / "v1.nwb"))
    xr.testing.assert_identical(truth, simulation.truth)
    for kind, names in {
        "spikes": ("spike_time", "row_size", "obs_start"),
        "trials": ("start", "stop", "stimulus", "repeat", "split"),
        "signal": ("signal", "time", "row", "column"),
        "behavior": ("value", "time", "feature", "feature_units"),
    }.items():
        written, back = (rec.pick(tree, kind) for tree in (simulation.recording, recording))
        for name in names:
            assert np.array_equal(written[name], back[name]), (kind, name)
    assert rec.pick(recording, "signal").attrs["height"] == 16


def test_same_seed_same_population() -> None:
    first, second, third = (simulate_visual_population(**TINY, seed=seed) for seed in (3, 3, 4))
    xr.testing.assert_identical(first.truth, second.truth)
    assert first.recording.identical(second.recording)
    assert not first.truth["rate"].equals(third.truth["rate"])


def test_population_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"n_units must be above 0(.|\n)*found: 0"):
        VisualPopulationConfig(n_units=0)
    with pytest.raises(ConfigError, match="height, width, base_rate or seed is out of range"):
        VisualPopulationConfig(height=2)
    with pytest.raises(ConfigError, match="duration is no whole number of steps"):
        simulate_visual_population(duration=1.01)
    with pytest.raises(ConfigError, match=r"unknown key 'repeats'"):
        simulate_visual_population(repeats=3)
