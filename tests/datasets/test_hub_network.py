"""The hub network against its equations and the numbers that it is known for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import roc_auc_score

from neurodyn import recording as rec
from neurodyn.datasets.hub_network import BACKGROUND, HubNetworkConfig, simulate_hub_network
from neurodyn.datasets.simulation import Simulation, read, write
from neurodyn.errors import ConfigError
from neurodyn.transforms.binning import bin_spikes


def lagged_correlation(recording: xr.DataTree, lag: int) -> np.ndarray:
    count = bin_spikes(recording, 0.005)["count"].values.astype(float)
    z = (count - count.mean(0)) / count.std(0)
    return z[: len(z) - lag].T @ z[lag:] / len(z)


def summary(simulation: Simulation) -> dict[str, float]:
    recording, truth = simulation
    spikes, hub = rec.pick(recording, "spikes"), truth["hub"].values
    duration = float(spikes["obs_stop"].max())
    rate = spikes["row_size"].values / duration
    pairs = ~np.eye(hub.size, dtype=bool)
    edge = truth["edge"].values[pairs]
    lagged, plain = (lagged_correlation(recording, lag) for lag in (1, 0))
    strongest = np.argsort(np.where(pairs, lagged, 0.0).sum(1))[-hub.sum() :]
    return {
        "hub": rate[hub].mean(),
        "other": rate[~hub].mean(),
        "per_50_ms": rate.sum() * 0.05,
        "lagged": roc_auc_score(edge, lagged[pairs]),
        "plain": roc_auc_score(edge, plain[pairs]),
        "found": bool(hub[strongest].all()),
    }


def test_plain_hubs_are_found_by_any_lagged_correlation() -> None:
    found = summary(simulate_hub_network(duration=32.0))
    assert found["hub"] == pytest.approx(5.4, abs=0.3)
    assert found["other"] == pytest.approx(4.1, abs=0.2)
    assert found["per_50_ms"] == pytest.approx(12.5, abs=0.6)
    assert found["lagged"] > 0.999
    assert 0.88 < found["plain"] < 0.95
    assert found["found"]


def test_background_wiring_makes_it_harder() -> None:
    found = summary(simulate_hub_network(duration=32.0, **BACKGROUND))
    assert 5.4 < found["hub"] < 7.5
    assert 4.8 < found["other"] < 6.5
    assert 14.0 < found["per_50_ms"] < 19.0
    assert 0.95 < found["lagged"] < 0.99
    assert 0.78 < found["plain"] < 0.86
    assert found["found"]


def test_three_hundred_units() -> None:
    found = summary(simulate_hub_network(n_units=300, hub_weight=0.5, duration=12.0))
    assert found["hub"] == pytest.approx(5.4, abs=0.6)
    assert found["other"] == pytest.approx(3.4, abs=0.2)
    assert found["per_50_ms"] == pytest.approx(51.0, abs=2.5)
    assert found["lagged"] > 0.98


def test_without_noise_it_follows_its_equation() -> None:
    """A charging membrane reaches 1 after ``log(1 - 1/I) / log(a)`` steps, and drives its group."""
    recording, truth = simulate_hub_network(
        n_units=6, n_hubs=2, duration=1.0, noise=0.0, drive=0.0, hub_drive=1.2, hub_weight=1.5
    )
    spikes = rec.pick(recording, "spikes")
    charging = np.ceil(np.log(1 - 1 / 1.2) / np.log(np.exp(-0.1)))
    for unit in spikes["unit"].values:
        times = rec.unit_spike_times(spikes, unit)
        assert np.allclose(np.diff(times), (5 + charging) * 0.001)
        driver = str(truth["driver"].sel(unit=unit).item())
        if driver != unit:
            own = rec.unit_spike_times(spikes, driver)
            followed = own[own < 0.997]
            assert np.isin((followed + 0.002).round(6), times).all()


def test_spread_of_the_potential_shows_in_the_rate_of_crossing() -> None:
    quiet, noisy = (
        simulate_hub_network(n_units=10, n_hubs=1, duration=4.0, hub_weight=0.0, noise=noise)
        for noise in (0.05, 0.25)
    )
    assert rec.pick(quiet.recording, "spikes").sizes["spike"] == 0
    assert rec.pick(noisy.recording, "spikes").sizes["spike"] > 20


def test_wiring_is_what_the_truth_says() -> None:
    truth = simulate_hub_network(duration=0.1, **BACKGROUND).truth
    weight, hub = truth["weight"].values, truth["hub"].values
    driver = np.searchsorted(truth["unit"].values, truth["driver"].values)
    other = np.flatnonzero(~hub)
    assert (weight[driver[other], other] == 0.6).all()
    assert np.array_equal(np.bincount(driver[other], minlength=60)[hub], [19, 19, 19])
    assert np.array_equal(driver[hub], np.flatnonzero(hub))
    n_background = int((weight == 0.3).sum())
    assert n_background == pytest.approx(0.02 * (60 * 59 - 57), abs=4 * np.sqrt(70))
    assert set(np.unique(weight)) == {0.0, 0.3, 0.6}
    assert not np.diag(weight).any()
    assert np.array_equal(truth["edge"].values, weight != 0)


def test_same_seed_same_spikes() -> None:
    first, second, third = (simulate_hub_network(duration=0.5, seed=seed) for seed in (3, 3, 4))
    xr.testing.assert_identical(first.truth, second.truth)
    assert first.recording.identical(second.recording)
    assert not first.truth["weight"].equals(third.truth["weight"])
    rec.validate(first.recording, values=True)


def test_hub_network_through_an_nwb_file_and_back(tmp_path: Path) -> None:
    simulation = simulate_hub_network(n_units=8, n_hubs=2, duration=2.0, **BACKGROUND)
    recording, truth = read(write(simulation, tmp_path / "hubs.nwb"))
    xr.testing.assert_identical(truth, simulation.truth)
    written, back = (rec.pick(tree, "spikes") for tree in (simulation.recording, recording))
    for name in ("spike_time", "row_size", "unit", "role", "obs_start", "obs_stop"):
        assert np.array_equal(written[name], back[name])


def test_hub_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"every hub needs a unit to drive(.|\n)*n_hubs=4"):
        HubNetworkConfig(n_units=6, n_hubs=4)
    with pytest.raises(ConfigError, match=r"background_probability is no probability(.|\n)*1\.5"):
        HubNetworkConfig(background_probability=1.5)
    with pytest.raises(ConfigError, match="noise, time_constant or seed is out of range"):
        HubNetworkConfig(time_constant=0.0)
    with pytest.raises(ConfigError, match="delay is no whole number of steps"):
        simulate_hub_network(duration=0.1, delay=0.0005)
