"""The motifs of the calcium simulator against their truth, and through a file and back."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter

from neurodyn import datasets
from neurodyn import recording as rec
from neurodyn.datasets import CalciumMotifsConfig, simulate_calcium_motifs, write_calcium_motifs
from neurodyn.datasets.calcium import MOST_CELLS, cell_names, separate_events
from neurodyn.errors import ConfigError
from neurodyn.transforms import align_stimuli

QUIET: dict[str, Any] = {"noise": 0.0, "private_rate": 0.0}
SMALL: dict[str, Any] = {
    "n_animals": 4,
    "n_cells": 24,
    "onset": 20.0,
    "interval": 40.0,
    "cells_per_stimulus": 5,
    "n_shared_cells": 1,
    "n_spontaneous_cells": 4,
    "n_spontaneous_events": 5,
}
STIMULI = ["butanone", "pentanedione", "NaCl"]


def through(drive: np.ndarray, rise: float = 2.0, decay: float = 4.0) -> np.ndarray:
    """Return drives seen by the indicator, by recursion instead of convolution."""
    slow, fast = np.exp(-0.25 / decay), np.exp(-0.25 / decay - 0.25 / rise)
    found = lfilter([1.0], [1.0, -slow], drive) - lfilter([1.0], [1.0, -fast], drive)
    return found / (1.0 / (1.0 - slow) - 1.0 / (1.0 - fast))


def traces(simulation: datasets.Simulation) -> xr.DataArray:
    return rec.pick(simulation.recording, "signal")["signal"]


def onsets(simulation: datasets.Simulation, animal: str) -> dict[str, float]:
    table = rec.pick(simulation.recording, "trials")
    own = table["animal"].values == animal
    return dict(zip(table["stimulus"].values[own].tolist(), table["start"].values[own].tolist()))


def test_the_layout_is_that_of_the_experiment() -> None:
    recording, truth = simulate_calcium_motifs()
    rec.validate(recording, values=True)
    signal = rec.pick(recording, "signal")
    assert signal["signal"].dims == ("animal", "time", "roi")
    assert dict(signal.sizes) == {"animal": 21, "time": 960, "roi": 60}
    assert signal.attrs["sampling_rate"] == 4.0
    assert np.isfinite(signal["signal"].values).all()
    table = rec.pick(recording, "trials")
    assert table.sizes["trial"] == 63
    assert set(table["start"].values.tolist()) == {60.0, 120.0, 180.0}
    assert np.allclose(table["stop"] - table["start"], 10.0)
    assert truth["motif"].values.tolist() == [*STIMULI, "spontaneous"]
    assert recording.attrs["config"]["n_animals"] == 21


def test_cells_have_names_of_pairs_and_single_ones() -> None:
    names = cell_names(MOST_CELLS)
    assert len(set(names)) == MOST_CELLS == 144
    for n_cells in range(1, MOST_CELLS + 1):
        found = cell_names(n_cells)
        assert len(set(found)) == n_cells
        left = {name[:-1] for name in found if name.endswith("L")}
        assert left == {name[:-1] for name in found if name.endswith("R")}


def test_traces_are_the_sum_of_the_motifs_through_the_indicator() -> None:
    simulation = simulate_calcium_motifs(**SMALL, **QUIET)
    truth = simulation.truth
    drive = xr.dot(truth["gain"], truth["animal_strength"], truth["time_course"], dim="motif")
    expected = through(drive.transpose("animal", "roi", "time").values)
    found = traces(simulation).transpose("animal", "roi", "time").values
    assert np.abs(found - expected).max() < 2e-3
    assert found.max() > 0.2


def test_cells_follow_their_own_motifs_only() -> None:
    simulation = simulate_calcium_motifs()
    truth, found = simulation.truth, traces(simulation)
    drive = truth["time_course"].copy(data=through(truth["time_course"].values))
    found, drive = ((a - a.mean("time")) / a.std("time") for a in (found, drive))
    correlation = xr.dot(found, drive, dim=("animal", "time")) / (21 * 960)
    of_one = truth["member"] & (truth["member"].sum("motif") == 1)
    stimuli = correlation.sel(motif=STIMULI)
    assert float(stimuli.where(of_one).min()) > 0.05
    assert float(stimuli.where(of_one).mean()) > 0.2
    assert float(correlation.where(of_one).sel(motif="spontaneous").mean()) > 0.2
    outside = correlation.where(~truth["member"])
    assert abs(float(outside.mean())) < 0.05
    assert float(outside.max()) < 0.1


def test_members_share_cells_only_where_they_should() -> None:
    truth = simulate_calcium_motifs(n_silent_cells=3).truth
    member = truth["member"].values
    assert member.sum(axis=1).tolist() == [15, 15, 15, 12]
    shared = {pair: int((member[pair[0]] & member[pair[1]]).sum()) for pair in PAIRS}
    assert shared == {(0, 1): 2, (0, 2): 0, (0, 3): 0, (1, 2): 2, (1, 3): 0, (2, 3): 0}
    assert int(truth["silent"].sum()) == 3
    assert not (member & truth["silent"].values).any()
    disjoint = simulate_calcium_motifs(n_shared_cells=0, n_spontaneous_cells=0).truth
    assert disjoint["member"].sum("motif").max() == 1
    assert disjoint["motif"].values.tolist() == STIMULI


PAIRS = list(combinations(range(4), 2))


def test_pairs_are_products_without_a_diagonal() -> None:
    truth = simulate_calcium_motifs(**SMALL).truth
    gain = truth["gain"].values
    for motif in range(4):
        expected = np.outer(gain[motif], gain[motif])
        np.fill_diagonal(expected, 0.0)
        np.testing.assert_array_equal(truth["pair"].values[motif], expected)
    inside = gain[gain > 0]
    assert ((inside >= 0.3) & (inside <= 0.8)).all()


def test_stimuli_come_in_an_order_of_each_animal() -> None:
    simulation = simulate_calcium_motifs()
    truth = simulation.truth
    time = truth["time"].values
    orders = []
    for animal in truth["animal"].values:
        own = onsets(simulation, animal)
        orders.append(tuple(own))
        for stimulus, onset in own.items():
            course = truth["time_course"].sel(motif=stimulus, animal=animal).values
            np.testing.assert_array_equal(course, (time >= onset) & (time < onset + 10.0))
    assert orders[0] == tuple(STIMULI)
    assert len(set(orders)) == 6
    for slot in range(3):
        assert sorted(order[slot] for order in orders) == sorted(STIMULI * 7)
    same = simulate_calcium_motifs(same_order=True)
    assert {tuple(onsets(same, animal)) for animal in truth["animal"].values} == {tuple(STIMULI)}


def test_aligned_animals_agree_and_others_do_not() -> None:
    simulation = simulate_calcium_motifs()
    aligned = rec.pick(align_stimuli(simulation.recording), "signal")
    assert aligned["segment"].values[::240].tolist() == ["before", *STIMULI]
    member = simulation.truth["member"]

    def agreement(values: xr.DataArray) -> float:
        mean = [values.sel(roi=member["roi"][member.sel(motif=m)]).mean("roi") for m in STIMULI]
        each = [np.corrcoef(of_motif.values)[np.triu_indices(21, 1)] for of_motif in mean]
        return float(np.mean(each))

    assert agreement(aligned["signal"]) > 0.45
    assert agreement(traces(simulation)) < 0.2


@pytest.mark.parametrize("times", ["per_animal", "shared"])
def test_time_factors_are_the_aligned_drives(times: str) -> None:
    simulation = simulate_calcium_motifs(**SMALL, spontaneous_times=times)
    truth = simulation.truth
    drive = rec.signal(
        truth["time_course"].transpose("animal", "time", "motif").values,
        sampling_rate=4.0,
        dim="roi",
        channel=truth["motif"].values,
        animal=truth["animal"].values,
    )
    trials = rec.pick(simulation.recording, "trials")
    aligned = align_stimuli(drive, trials, order=STIMULI)["signal"]
    mean = aligned.mean("animal").transpose("roi", "time").values
    norm = np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(truth["time_factor"].values, mean / norm)
    np.testing.assert_array_equal(aligned["time"], truth["time"])
    spread = aligned.std("animal").max("time").values
    assert spread[:3].tolist() == [0.0, 0.0, 0.0]
    assert (spread[3] == 0.0) == (times == "shared")


def test_spontaneous_events_are_counted_and_apart() -> None:
    course = simulate_calcium_motifs().truth["time_course"].sel(motif="spontaneous").values
    steps = np.diff(np.pad(course, ((0, 0), (1, 1))), axis=1)
    assert (steps == 1).sum(axis=1).tolist() == [14] * 21
    assert course.sum(axis=1).tolist() == [14 * 16] * 21
    for onset in (240, 480, 720):
        assert not (course[:, onset - 1] * course[:, onset]).any()


def test_events_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"events do not fit in(.|\n)*29 events(.|\n)*at most 28"):
        simulate_calcium_motifs(n_spontaneous_events=29)
    full = separate_events([0, 10, 13], 13, 2, 2, np.random.default_rng(0))
    assert full.sum() == 4.0


def test_same_seed_same_traces() -> None:
    first, second, third = (simulate_calcium_motifs(**SMALL, seed=seed) for seed in (3, 3, 4))
    xr.testing.assert_identical(first.truth, second.truth)
    assert first.recording.identical(second.recording)
    assert not np.array_equal(first.truth["member"], third.truth["member"])


def test_cells_are_missing_throughout_and_change_nothing_else() -> None:
    whole = simulate_calcium_motifs(n_animals=5)
    simulation = simulate_calcium_motifs(n_animals=5, missing_fraction=0.3)
    seen = simulation.truth["seen"]
    assert seen.sum("roi").values.tolist() == [42] * 5
    assert len({tuple(row) for row in seen.values.tolist()}) == 5
    expected = traces(whole).where(seen).transpose("animal", "time", "roi")
    np.testing.assert_array_equal(traces(simulation), expected)
    assert whole.truth["seen"].all()


def test_silent_cells_are_flat_and_noise_is_as_stated() -> None:
    settings = {"n_silent_cells": 2, "private_rate": 0.0, "noise": 0.2}
    simulation = simulate_calcium_motifs(**SMALL, **settings)
    truth, found = simulation.truth, traces(simulation)
    assert (found.sel(roi=truth["roi"][truth["silent"]]) == 0.0).all()
    idle = ~truth["member"].any("motif") & ~truth["silent"]
    assert int(idle.sum()) == 24 - 13 - 4 - 2
    assert float(found.sel(roi=truth["roi"][idle]).std()) == pytest.approx(0.2, rel=0.02)


def test_private_events_are_shared_with_no_other_cell() -> None:
    simulation = simulate_calcium_motifs(noise=0.0)
    truth = simulation.truth
    idle = truth["roi"][~truth["member"].any("motif")]
    values = traces(simulation).sel(roi=idle).transpose("roi", "animal", "time").values
    correlation = np.corrcoef(values.reshape(idle.size, -1))
    assert np.abs(correlation[np.triu_indices(idle.size, 1)]).max() < 0.15
    # an event lasts 2 s, comes every 30 s and has a mean gain of 1
    assert values.mean() == pytest.approx(2.0 / 30.0, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_animals": 0}, "n_animals must be above 0"),
        ({"noise": -0.1}, "noise must not be negative"),
        ({"decay_time": float("inf")}, "decay_time must be above 0"),
        ({"gain": (0.5, 0.1)}, "gain is no range"),
        ({"missing_fraction": 1.0}, "missing_fraction is out of range"),
        ({"stimuli": ("salt", "salt")}, "stimuli must have names of their own"),
        ({"stimuli": ("spontaneous",)}, "stimuli must have names of their own"),
        ({"stimuli": ()}, "stimuli must have names of their own"),
        ({"stimulus_duration": 70.0}, "a stimulus lasts longer than its interval"),
        ({"n_shared_cells": 8}, "more than half of the cells of a stimulus are shared"),
        ({"n_cells": 50}, r"more cells in motifs than cells(.|\n)*53 of n_cells=50"),
        ({"n_cells": 200}, r"n_cells is out of range(.|\n)*1 to 144"),
        ({"onset": 60.1}, "onset is no whole number of steps"),
        ({"spontaneous_times": "never"}, "spontaneous_times"),
        ({"n_cell": 3}, "did you mean 'n_cells'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate_calcium_motifs(CalciumMotifsConfig(), **settings)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_through_a_neuropal_file_and_back(tmp_path: Path, missing: float) -> None:
    simulation = simulate_calcium_motifs(**SMALL, missing_fraction=missing)
    recording, truth = datasets.read(write_calcium_motifs(simulation, tmp_path / "worms.mat"))
    xr.testing.assert_identical(truth, simulation.truth)
    written, back = (rec.pick(tree, "signal") for tree in (simulation.recording, recording))
    for name in ("signal", "animal", "time", "roi"):
        np.testing.assert_array_equal(back[name], written[name])
    assert back.attrs["sampling_rate"] == 4.0
    tables = [rec.pick(tree, "trials") for tree in (simulation.recording, recording)]
    for name in ("start", "stop", "stimulus", "animal"):
        np.testing.assert_array_equal(tables[1][name], tables[0][name])


def test_through_netcdf_and_back(tmp_path: Path) -> None:
    simulation = simulate_calcium_motifs(**SMALL, missing_fraction=0.4)
    assert rec.load(rec.save(simulation.recording, tmp_path / "worms.nc")).identical(
        simulation.recording
    )


def test_the_registry_makes_them() -> None:
    simulation = datasets.simulate("calcium_motifs", n_animals=2)
    assert simulation.recording.identical(datasets.load_dataset("calcium_motifs", n_animals=2))
    assert datasets.simulate("calcium_events", n_motifs=2).truth.sizes["motif"] == 2
