"""Amplitudes of spikes follow their spikes into an NWB file and out of it."""

from __future__ import annotations

import h5py
import numpy as np
import pynwb
import pytest
import xarray as xr

from neurodyn import io, recording
from neurodyn.errors import DataQualityWarning, SpikeTimesError
from neurodyn.io.nwb.write import write_nwb
from neurodyn.transforms import bin_spikes

TIMES = {"a": [0.1, 0.5, 0.9], "silent": [], "b": [0.2, 0.7]}
AMPLITUDE = np.array([3.0, 1.5, 2.0, 0.5, 4.0], np.float32)


@pytest.fixture
def events():
    spikes = recording.spikes_from_units(TIMES, observed=[[0.0, 1.0]])
    return spikes.assign(amplitude=("spike", AMPLITUDE, {"units": "dF/F0"}))


@pytest.fixture
def path(events, tmp_path):
    return write_nwb(recording.recording([events]), tmp_path / "events.nwb")


def change(path, name, values):
    """Replace a dataset of the units table."""
    with h5py.File(path, "r+") as file:
        attrs = dict(file[f"units/{name}"].attrs)
        del file[f"units/{name}"]
        file[f"units/{name}"] = values
        file[f"units/{name}"].attrs.update(attrs)


def test_they_come_back(events, path):
    found = io.load(path)["spikes"].to_dataset()
    xr.testing.assert_equal(found, events)
    assert found["amplitude"].dtype == np.float32
    assert found["amplitude"].attrs["description"] == "amplitude of each spike [dF/F0]"
    assert "spike_amplitudes" not in found.coords


def test_they_stay_in_the_file_until_they_are_touched(events, path):
    found = io.open(path)["spikes"]
    assert not found["amplitude"].variable._in_memory
    np.testing.assert_array_equal(found["amplitude"][1:4], AMPLITUDE[1:4])
    again = write_nwb(io.open(path), path.with_name("again.nwb"))
    xr.testing.assert_equal(io.load(again)["spikes"].to_dataset(), events)


def test_pynwb_gives_them_by_unit(path):
    with pynwb.NWBHDF5IO(path, "r") as file:
        units = file.read().units
        found = [units["spike_amplitudes"][row].tolist() for row in range(3)]
    assert found == [[3.0, 1.5, 2.0], [], [0.5, 4.0]]


def test_they_follow_spikes_that_are_sorted(path):
    change(path, "spike_times", [0.9, 0.1, 0.5, 0.2, 0.7])
    with pytest.raises(SpikeTimesError, match="not sorted"):
        io.load(path)
    with pytest.warns(DataQualityWarning, match="unsorted spikes: 1 fixed"):
        found = io.load(path, on_bad="fix")["spikes"]
    assert found["spike_time"].values.tolist() == [0.1, 0.5, 0.9, 0.2, 0.7]
    assert found["amplitude"].values.tolist() == [1.5, 2.0, 3.0, 0.5, 4.0]


def test_they_go_with_spikes_that_are_dropped(path):
    change(path, "spike_times", [0.1, np.nan, 0.9, 0.2, 0.7])
    with pytest.warns(DataQualityWarning, match="non finite spikes: 1 dropped"):
        found = io.load(path, on_bad="drop")["spikes"]
    assert found["amplitude"].values.tolist() == [3.0, 2.0, 0.5, 4.0]
    change(path, "spike_times", [0.1, 0.5, 0.9, 0.2, 0.2])
    with pytest.warns(DataQualityWarning, match="duplicate spikes: 1 dropped"):
        found = io.load(path, duplicates="drop")["spikes"]
    assert found["amplitude"].values.tolist() == [3.0, 1.5, 2.0, 0.5]
    assert found["row_size"].values.tolist() == [3, 0, 1]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("spike_amplitudes_index", [2, 3, 5]),
        ("spike_amplitudes", [[1.0]] * 5),
    ],
)
def test_a_column_that_is_not_of_spikes_is_one_of_units(path, name, values):
    change(path, name, values)
    found = io.load(path)["spikes"]
    assert "amplitude" not in found
    assert found["spike_amplitudes"].dims[0] == "unit"


def test_whole_numbers_of_the_other_byte_order(path):
    change(path, "spike_amplitudes", np.arange(5).astype(">i4"))
    for found in (io.load(path), io.open(path)):
        amplitude = found["spikes"]["amplitude"]
        assert amplitude.dtype == np.float64
        assert amplitude.values.tolist() == [0, 1, 2, 3, 4]


def test_binning_does_not_mind(path):
    assert int(bin_spikes(io.load(path), 0.1)["count"].sum()) == 5
