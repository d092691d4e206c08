"""Place cells against their equations: fields, gains and theta come back from the spikes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn.datasets.place_cells import PlaceCellsConfig, simulate_place_cells
from neurodyn.datasets.simulation import Simulation, read, write
from neurodyn.errors import ConfigError

TINY = {"n_units": 5, "duration": 20.0}
STEP = 0.01


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_place_cells(n_units=12, duration=900.0)


def track_of(simulation: Simulation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return place and speed in each sample."""
    x, speed = rec.pick(simulation.recording, "behavior", "track")["value"].values.T
    return x, speed


def counts_of(simulation: Simulation) -> NDArray[np.int64]:
    """Count spikes per (sample, unit)."""
    spikes = rec.pick(simulation.recording, "spikes")
    edges = np.arange(simulation.truth.sizes["time"] + 1) * STEP - 1e-9
    return np.stack(
        [
            np.histogram(rec.unit_spike_times(spikes, unit), edges)[0]
            for unit in spikes["unit"].values
        ],
        axis=1,
    )


def test_the_rat_runs_from_end_to_end_and_pauses(simulation: Simulation) -> None:
    x, speed = track_of(simulation)
    assert x.min() == 0.0
    assert x.max() == 200.0
    still = speed == 0.0
    assert np.isin(x[still], [0.0, 200.0]).all()
    starts = np.flatnonzero(np.diff(still.astype(int)) == -1)
    ends = np.append(-1, np.flatnonzero(np.diff(still.astype(int)) == 1))[: starts.size]
    pauses = (starts - ends) * STEP
    assert pauses.min() > 0.99
    assert pauses.mean() == pytest.approx(2.0, abs=0.5)
    # the two ends in turn
    assert np.array_equal(x[starts], np.arange(starts.size) % 2 * 200.0)


def test_speed_is_the_derivative_of_place(simulation: Simulation) -> None:
    x, speed = track_of(simulation)
    assert_allclose(np.abs(np.gradient(x, STEP)), speed, atol=1.0)
    peaks = [part.max() for part in np.split(speed, np.flatnonzero(speed == 0.0)) if part.size > 1]
    assert 30.0 - 0.1 < min(peaks[:-1]) < max(peaks) <= 70.0


def test_heading_is_where_the_rat_goes_or_came_to(simulation: Simulation) -> None:
    x, speed = track_of(simulation)
    heading = simulation.truth["heading"].values
    moved = np.diff(x)
    assert (heading[1:][moved > 1e-6] == "out").all()
    assert (heading[1:][moved < -1e-6] == "back").all()
    started = np.arange(x.size) > np.flatnonzero(speed)[0]
    assert (heading[(speed == 0.0) & (x == 200.0)] == "out").all()
    assert (heading[started & (speed == 0.0) & (x == 0.0)] == "back").all()


def test_rates_follow_their_equation(simulation: Simulation) -> None:
    x, speed = track_of(simulation)
    truth = simulation.truth
    center, width, peak = (truth[name].values for name in ("center", "width", "peak_rate"))
    gain = truth["gain"].sel(direction=truth["heading"]).values
    theta = 1.0 + 0.5 * np.cos(2 * np.pi * 8.0 * (truth["time"].values + STEP / 2))
    common = (0.2 + 0.8 * speed / (speed + 10.0)) * theta
    field = peak * np.exp(-((x[:, None] - center) ** 2) / (2 * width**2))
    assert_allclose(truth["rate"], 0.1 + field * gain * common[:, None], rtol=1e-6)


def test_spikes_are_poisson_with_the_stated_rate(simulation: Simulation) -> None:
    expected = simulation.truth["rate"].values.astype(np.float64) * STEP
    count = counts_of(simulation)
    assert count.sum() == rec.pick(simulation.recording, "spikes").sizes["spike"]
    surprise = (count - expected).sum(axis=0) / np.sqrt(expected.sum(axis=0))
    assert np.abs(surprise).max() < 4.0
    dispersion = ((count - expected) ** 2).sum() / expected.sum()
    assert dispersion == pytest.approx(1.0, abs=0.05)


def test_fields_and_gains_come_back_from_the_spikes(simulation: Simulation) -> None:
    x, speed = track_of(simulation)
    truth, count = simulation.truth, counts_of(simulation)
    running = speed > 20.0
    faster = (0.2 + 0.8 * speed / (speed + 10.0))[running, None]
    place = np.digitize(x[running], np.arange(10.0, 200.0, 10.0))
    for direction in ("out", "back"):
        own = truth["heading"].values[running] == direction
        seen = np.stack([np.bincount(place[own], each[own], 20) for each in count[running].T])
        time = np.bincount(place[own], faster[own, 0], 20) * STEP
        field = truth["field"].sel(direction=direction)
        wanted = field.interp(position=np.arange(5.0, 200.0, 10.0)).values
        used = time > 5.0
        assert used.sum() >= 12
        error = (seen / np.maximum(time, STEP) - wanted)[:, used]
        scatter = np.sqrt(np.maximum(wanted, 1.0) / np.maximum(time, STEP))[:, used]
        # fields bend within 10 cm and spikes of no field are on top
        assert (np.abs(error) < 4.5 * scatter + 1.5).all()
        assert (
            np.corrcoef(error.ravel() + wanted[:, used].ravel(), wanted[:, used].ravel())[0, 1]
            > 0.95
        )


def test_theta_shows_in_the_phase_of_spikes() -> None:
    deep, flat = (simulate_place_cells(duration=120.0, theta_depth=depth) for depth in (0.8, 0.0))
    for simulation, expected in ((deep, 0.4), (flat, 0.0)):
        time = rec.pick(simulation.recording, "spikes")["spike_time"].values
        locking = np.exp(2j * np.pi * 8.0 * time).mean()
        assert locking.real == pytest.approx(expected, abs=4 / np.sqrt(time.size))
        assert locking.imag == pytest.approx(0.0, abs=4 / np.sqrt(time.size))


def test_fields_cover_the_track() -> None:
    truth = simulate_place_cells(n_units=50, duration=1.0).truth
    assert np.array_equal(np.sort(truth["center"].values // 4.0), np.arange(50))
    assert (truth["gain"].values.max(axis=0) == 1.0).all()
    assert truth["field"].max() <= 25.0
    alike = simulate_place_cells(direction_selectivity=(0.0, 0.0), duration=1.0).truth
    assert (alike["gain"] == 1.0).all()


def test_same_seed_same_place_cells() -> None:
    first, second, third = (simulate_place_cells(**TINY, seed=seed) for seed in (3, 3, 4))
    xr.testing.assert_identical(first.truth, second.truth)
    assert first.recording.identical(second.recording)
    assert not first.truth["rate"].equals(third.truth["rate"])
    rec.validate(first.recording, values=True)


def test_place_cells_through_an_nwb_file_and_back(tmp_path: Path) -> None:
    simulation = simulate_place_cells(**TINY)
    recording, truth = read(write(simulation, tmp_path / "track.nwb"))
    xr.testing.assert_identical(truth, simulation.truth)
    for kind, names in {
        "spikes": ("spike_time", "row_size", "unit", "obs_start", "obs_stop"),
        "behavior": ("value", "time", "feature", "feature_units"),
    }.items():
        written, back = (rec.pick(tree, kind) for tree in (simulation.recording, recording))
        for name in names:
            assert np.array_equal(written[name], back[name]), (kind, name)


def test_place_cell_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"n_units must be above 0(.|\n)*found: 0"):
        PlaceCellsConfig(n_units=0)
    with pytest.raises(ConfigError, match=r"peak_speed is out of range(.|\n)*0 < low <= high"):
        PlaceCellsConfig(peak_speed=(70.0, 30.0))
    with pytest.raises(ConfigError, match=r"direction_selectivity is out of range(.|\n)*0 to 1"):
        PlaceCellsConfig(direction_selectivity=(0.0, 1.5))
    with pytest.raises(ConfigError, match=r"rest_gain, theta_depth, base_rate(.|\n)*found: 2\.0"):
        PlaceCellsConfig(rest_gain=2.0)
    with pytest.raises(ConfigError, match="duration is no whole number of steps"):
        simulate_place_cells(duration=1.005)
    with pytest.raises(ConfigError, match=r"unknown key 'units'"):
        simulate_place_cells(units=3)
