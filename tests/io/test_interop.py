"""There and back again, for objects of other packages."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import DataError, MissingDependencyError, UnsupportedFormatError
from neurodyn.io.interop import from_pynapple, from_spikeinterface, to_pynapple
from neurodyn.recording import (
    behavior,
    counts,
    recording,
    signal,
    spikes,
    spikes_from_units,
    trials,
    unit_spike_times,
    validate,
)
from neurodyn.transforms import bin_spikes


@pytest.fixture(scope="module")
def nap():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynapple

        return pynapple


@pytest.fixture
def units(rng):
    return spikes_from_units(
        {"u7": np.sort(rng.uniform(0, 9, 40)), "u3": [], "x": np.sort(rng.uniform(0, 9, 10))},
        observed=[[0.0, 4.0], [5.0, 9.0]],
        unit_columns={"area": ["M1", "PMd", "M1"]},
    )


@pytest.mark.filterwarnings("ignore")
def test_spikes_there_and_back(nap, units):
    inside = units["spike_time"].values
    group = to_pynapple(recording([units]))
    assert list(group.keys()) == [0, 1, 2]
    assert group["area"].tolist() == ["M1", "PMd", "M1"]
    assert group.time_support.values.tolist() == [[0.0, 4.0], [5.0, 9.0]]
    back = from_pynapple(group)
    validate(back)
    assert back["unit"].values.tolist() == ["u7", "u3", "x"]
    assert back["area"].values.tolist() == ["M1", "PMd", "M1"]
    # pynapple keeps only what lies in the time support
    kept = inside[(inside < 4.0) | (inside >= 5.0)]
    np.testing.assert_allclose(back["spike_time"], kept)
    binned = bin_spikes(back, 0.5)
    assert binned["observed"].values.tolist() == [True] * 8 + [False] * 2 + [True] * 8


@pytest.mark.filterwarnings("ignore")
def test_one_unit_of_pynapple(nap):
    back = from_pynapple(nap.Ts([0.1, 0.2]))
    assert unit_spike_times(back, "0").tolist() == [0.1, 0.2]


@pytest.mark.filterwarnings("ignore")
def test_spikes_without_intervals(nap):
    group = to_pynapple(spikes_from_units([[0.1, 0.9], [0.5]]))
    assert len(group) == 2
    assert group.time_support.end.tolist() == [0.9]


@pytest.mark.filterwarnings("ignore")
def test_trials_there_and_back(nap):
    table = trials([0.0, 2.0], [1.0, 3.0], columns={"condition": ["l", "r"]})
    intervals = to_pynapple(table)
    back = from_pynapple(intervals)
    assert back["start"].values.tolist() == [0.0, 2.0]
    assert back["condition"].values.tolist() == ["l", "r"]
    assert from_pynapple(nap.IntervalSet(0.0, 1.0)).sizes["trial"] == 1


@pytest.mark.filterwarnings("ignore")
def test_behavior_there_and_back(nap, rng):
    track = behavior(rng.normal(size=(20, 2)), sampling_rate=10.0, feature=["x", "y"])
    back = from_pynapple(to_pynapple(track))
    np.testing.assert_array_equal(back["value"], track["value"])
    np.testing.assert_allclose(back["time"], track["time"])
    assert back["feature"].values.tolist() == ["x", "y"]
    single = from_pynapple(nap.Tsd(t=[0.0, 1.0], d=[3.0, 4.0]))
    assert single["value"].values.ravel().tolist() == [3.0, 4.0]


@pytest.mark.filterwarnings("ignore")
def test_counts_are_equal_to_those_of_pynapple(nap, units):
    whole = units.drop_vars(["obs_start", "obs_stop", "obs_row_size"])
    frame = to_pynapple(bin_spikes(whole, 0.5, start=0.0, stop=9.0))
    expected = to_pynapple(whole).count(0.5, ep=nap.IntervalSet(0.0, 9.0))
    np.testing.assert_array_equal(frame.values, expected.values)
    np.testing.assert_allclose(frame.t, expected.t)


@pytest.mark.filterwarnings("ignore")
def test_what_pynapple_has_not_is_refused(nap):
    with pytest.raises(UnsupportedFormatError, match="pynapple has no such object"):
        to_pynapple(signal(np.zeros((2, 1)), sampling_rate=1.0))
    with pytest.raises(UnsupportedFormatError, match="no counts with trials"):
        to_pynapple(counts(np.zeros((2, 2, 1)), bin_size=0.1))
    with pytest.raises(UnsupportedFormatError, match="no pynapple object"):
        from_pynapple(np.zeros(3))
    own = spikes([0.1, 0.2], [1, 1], observed=([0.0, 0.0], [1.0, 2.0], [1, 1]))
    with pytest.raises(DataError, match="observed at different times"):
        to_pynapple(own)


def test_a_missing_pynapple_is_named(monkeypatch, units):
    monkeypatch.setitem(__import__("sys").modules, "pynapple", None)
    with pytest.raises(MissingDependencyError, match="pynapple is not installed"):
        to_pynapple(units)


class Sorting:
    """The methods of a BaseSorting that matter here."""

    def __init__(self, segments, rate=30_000.0):
        self.segments, self.rate = segments, rate

    def get_num_segments(self):
        return len(self.segments)

    def get_sampling_frequency(self):
        return self.rate

    def get_unit_ids(self):
        return np.array(list(self.segments[0]))

    def get_unit_spike_train(self, unit_id, segment_index, return_times):
        frames = np.asarray(self.segments[segment_index][unit_id])
        return frames / self.rate if return_times else frames


class SortingWithProperties(Sorting):
    def get_property_keys(self):
        return ["quality", "gt_location"]

    def get_property(self, key):
        return np.array(["good", "mua"]) if key == "quality" else np.zeros((2, 3))


def test_a_sorting_becomes_spikes():
    found = from_spikeinterface(Sorting([{"a": [3, 150, 299], "b": [150]}]))
    validate(found)
    assert found.attrs["tick_hz"] == 30_000.0
    assert found["unit"].values.tolist() == ["a", "b"]
    # samples on the edges of 5 ms bins (150 samples) go to the bin that they open
    binned = bin_spikes(found, 0.005)
    assert binned["count"].values.tolist() == [[1, 0], [2, 1]]


def test_properties_of_units_are_kept():
    found = from_spikeinterface(SortingWithProperties([{1: [3], 2: [5]}]))
    assert found["quality"].values.tolist() == ["good", "mua"]
    assert "gt_location" not in found
    assert "quality" not in from_spikeinterface(
        SortingWithProperties([{1: [3], 2: [5]}]), columns=[]
    )


def test_a_segment_must_be_chosen():
    sorting = Sorting([{"a": [30]}, {"a": [60, 90]}])
    with pytest.raises(DataError, match="several segments"):
        from_spikeinterface(sorting)
    assert from_spikeinterface(sorting, segment=1).sizes["spike"] == 2


def test_other_objects_are_refused():
    with pytest.raises(UnsupportedFormatError, match="Dataset without get_num_segments"):
        from_spikeinterface(xr.Dataset())
