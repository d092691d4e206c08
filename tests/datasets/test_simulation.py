"""Sessions: layout, splits, spikes against rates, and the way through an NWB file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn import recording as rec
from neurodyn.datasets.lorenz import simulate_lorenz
from neurodyn.datasets.simulation import (
    Process,
    SessionConfig,
    Simulation,
    assemble,
    read,
    steps_in,
    truth_path,
    write,
)
from neurodyn.errors import ConfigError

SMALL = {"n_conditions": 5, "n_repeats": 6, "n_units": 8}


def counts_of(simulation: Simulation) -> np.ndarray:
    """Count spikes per (trial, bin, unit) by comparing each time with every bin's edges."""
    truth, trials = simulation.truth, rec.pick(simulation.recording, "trials")
    spikes = rec.pick(simulation.recording, "spikes")
    width = truth.attrs["bin_size"]
    edges = trials["start"].values[:, None] + np.arange(truth.sizes["time"] + 1) * width
    per_unit = [
        np.searchsorted(rec.unit_spike_times(spikes, unit), edges - 1e-9)
        for unit in spikes["unit"].values
    ]
    return np.diff(np.stack(per_unit, axis=-1), axis=1)


def test_a_session_is_a_valid_recording_with_gaps() -> None:
    recording, truth = simulate_lorenz(**SMALL)
    rec.validate(recording, values=True)
    trials, spikes = rec.pick(recording, "trials"), rec.pick(recording, "spikes")
    assert np.allclose(np.diff(trials["start"]), 1.2)
    assert np.array_equal(spikes["obs_start"].values[:30], trials["start"].values)
    assert (spikes["obs_row_size"] == 30).all()
    within = [
        ((times[:, None] >= trials["start"].values) & (times[:, None] < trials["stop"].values))
        for times in (rec.unit_spike_times(spikes, unit) for unit in spikes["unit"].values)
    ]
    assert np.concatenate(within).any(axis=1).all()
    latent = rec.pick(recording, "behavior", "latent")
    assert np.array_equal(latent["value"].values.reshape(30, 50, 3), truth["latent"].values)
    assert recording.attrs["config"]["n_conditions"] == 5


def test_split_within_condition_is_four_to_one() -> None:
    trials = rec.pick(simulate_lorenz(n_units=1).recording, "trials")
    validation = trials["split"].values == "val"
    assert validation.sum() == 312
    assert validation.size == 1560
    of_condition = (trials["split"] == "val").groupby(trials["condition"]).sum()
    assert set(of_condition.values.tolist()) == {4, 5}


def test_unseen_conditions_are_whole_and_change_nothing_else() -> None:
    within, unseen = (
        simulate_lorenz(**SMALL, split=split) for split in ("within_condition", "unseen_conditions")
    )
    trials = rec.pick(unseen.recording, "trials")
    fraction = (trials["split"] == "val").groupby(trials["condition"]).mean().values
    assert sorted(fraction.tolist()) == [0.0, 0.0, 0.0, 0.0, 1.0]
    xr.testing.assert_equal(
        rec.pick(within.recording, "spikes"), rec.pick(unseen.recording, "spikes")
    )


def test_held_out_units_are_a_seeded_quarter() -> None:
    spikes = rec.pick(simulate_lorenz(n_conditions=2, n_repeats=2).recording, "spikes")
    other = rec.pick(simulate_lorenz(n_conditions=2, n_repeats=2, seed=2).recording, "spikes")
    assert int(spikes["held_out"].sum()) == 7
    assert not np.array_equal(spikes["held_out"], other["held_out"])


def test_same_seed_same_session() -> None:
    first, second, third = (simulate_lorenz(**SMALL, seed=seed) for seed in (3, 3, 4))
    xr.testing.assert_identical(first.truth, second.truth)
    assert first.recording.identical(second.recording)
    assert not first.truth["rate"].equals(third.truth["rate"])


@pytest.mark.parametrize("emission", ["bernoulli", "poisson"])
def test_spikes_follow_the_stated_expectation(emission: str) -> None:
    rate = np.linspace(5.0, 400.0, 2 * 100 * 3).reshape(2, 100, 3)
    process = Process(rate, rate, 0.002, emission)  # type: ignore[arg-type]
    config = SessionConfig(
        n_conditions=2, n_repeats=400, n_units=3, duration=0.2, bin_size=0.02, gap=0.05
    )
    simulation = assemble(process, config, seed=1)
    counts = counts_of(simulation)
    truth = simulation.truth
    expected = truth["rate"].values * 0.02
    first = truth["condition"].values == "0"
    z = (counts[first].mean(axis=0) - expected[first][0]) / np.sqrt(expected[first][0] / 400)
    assert np.abs(z).max() < 4.0
    saturates = bool((truth["rate"] < 0.9 * truth["unsaturated_rate"]).any())
    assert saturates == (emission == "bernoulli")
    assert np.allclose(
        truth["unsaturated_rate"].isel(trial=first.argmax()),
        rate[0].reshape(10, 10, 3).mean(axis=1),
        rtol=1e-6,
    )


@settings(deadline=None, max_examples=10, derandomize=True)
@given(st.integers(0, 2**31 - 1), st.sampled_from([0.0, 0.05, 0.3]))
def test_no_spike_is_lost_or_moved_between_bins(seed: int, gap: float) -> None:
    process = Process(np.full((1, 20, 2), 300.0), np.zeros((1, 20, 1)), 0.01, "bernoulli")
    config = SessionConfig(n_conditions=1, n_repeats=7, n_units=2, duration=0.2, gap=gap)
    simulation = assemble(process, config, seed)
    counts = counts_of(simulation)
    assert counts.sum() == rec.pick(simulation.recording, "spikes").sizes["spike"]
    assert counts.max() <= 2


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"n_units must be above 0(.|\n)*found: 0"):
        SessionConfig(n_units=0)
    with pytest.raises(ConfigError, match=r"held_out_fraction, gap or seed is out of range"):
        SessionConfig(held_out_fraction=1.0)
    with pytest.raises(ConfigError, match=r"bin_size is no whole number of steps(.|\n)*0\.0205"):
        simulate_lorenz(**SMALL, bin_size=0.0205)
    with pytest.raises(ConfigError, match=r"unknown key 'n_unit'(.|\n)*did you mean 'n_units'"):
        simulate_lorenz(n_unit=3)
    assert steps_in("duration", 1.0, 0.001) == 1000


def test_through_an_nwb_file_and_back(tmp_path: Path) -> None:
    simulation = simulate_lorenz(**SMALL)
    path = write(simulation, tmp_path / "lorenz.nwb")
    assert truth_path(path).is_file()
    recording, truth = read(path)
    xr.testing.assert_identical(truth, simulation.truth)
    written, back = (rec.pick(tree, "spikes") for tree in (simulation.recording, recording))
    assert np.array_equal(written["spike_time"], back["spike_time"])
    assert np.array_equal(written["row_size"], back["row_size"])
    assert np.array_equal(written["held_out"], back["held_out"])
    assert np.array_equal(written["obs_start"], back["obs_start"])
    trials = rec.pick(recording, "trials")
    for name in ("start", "stop", "condition", "split"):
        assert np.array_equal(trials[name], rec.pick(simulation.recording, "trials")[name])
    latent = rec.pick(recording, "behavior")
    assert np.array_equal(latent["value"].values.reshape(30, 50, 3), truth["latent"].values)
