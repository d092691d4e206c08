"""Real recordings: a benchmark file with every column, and one with hardly any."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn import io, recording


@pytest.fixture
def benchmark(shared_data):
    return next((shared_data / "nlb_mc_maze_small_test").glob("*.nwb"))


def test_benchmark_file_opens_lazily_with_everything(benchmark):
    tree = io.open(benchmark)
    spikes = recording.pick(tree, "spikes")
    assert (spikes.sizes["unit"], spikes.sizes["spike"]) == (107, 32_897)
    assert not spikes["held_out"].any()
    # its electrode numbers restart for M1: a fault of this data set that nlb/ knows about
    assert set(spikes["area"].values) == {"PMd"}
    assert not spikes["spike_time"].variable._in_memory
    trials = recording.pick(tree, "trials")
    np.testing.assert_allclose(trials["move_onset_time"] - trials["start"], 0.25, atol=1e-3)
    assert tree.attrs["subject"] == "Jenkins"
    assert tree.attrs["source"] == benchmark.name


def test_file_without_optional_columns(shared_data):
    tree = io.load(shared_data / "nwb_small_units" / "A8604-211122.nwb")
    spikes = tree["spikes"]
    assert spikes["row_size"].values.tolist() == [11_020, 4_690, 5_644]
    assert spikes["unit"].values.tolist() == ["6", "191", "206"]
    assert "obs_start" not in spikes
    assert recording.faults(tree) == []
