"""What remains of each kind, and that silence is not mistaken for absence."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import EmptySelectionError
from neurodyn.provenance import history
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
from neurodyn.transforms import bin_spikes, restrict


@pytest.fixture
def session(rng):
    units = {name: np.sort(rng.uniform(0, 10, 200)) for name in "ab"}
    return recording(
        {
            "spikes": spikes_from_units(units, unit_columns={"area": ["M1", "PMd"]}),
            "trials": trials([0.0, 2.0, 4.0], [1.0, 3.5, 6.0], trial=["x", "y", "z"]),
            "behavior": {
                "hand": behavior(np.arange(100.0), sampling_rate=10.0, feature=["x"]),
                "eye": behavior(np.arange(10.0), sampling_rate=1.0, feature=["x"]),
            },
            "signal": signal(np.zeros((1000, 2)), sampling_rate=100.0),
            "counts": counts(np.ones((100, 2)), bin_size=0.1),
        },
        subject="J",
    )


KEPT = [[2.0, 3.5], [5.0, 6.05]]


def test_every_kind_is_restricted(session):
    found = restrict(session, KEPT)
    validate(found)
    before = unit_spike_times(session["spikes"].to_dataset(), "b")
    expected = before[((before >= 2) & (before < 3.5)) | ((before >= 5) & (before < 6.05))]
    np.testing.assert_array_equal(unit_spike_times(found["spikes"].to_dataset(), "b"), expected)
    assert found["trials"]["trial"].values.tolist() == ["y"]
    assert found["behavior/hand"]["value"].values.ravel().tolist() == [
        *range(20, 35),
        *range(50, 61),
    ]
    assert found["behavior/eye"]["value"].values.ravel().tolist() == [2, 3, 5, 6]
    assert found["signal"].sizes["time"] == 255
    assert found.attrs["subject"] == "J"
    assert history(found)[-1]["step"] == "restrict"


def test_spikes_are_missing_outside_and_not_silent(session):
    found = restrict(session, KEPT)["spikes"].to_dataset()
    assert found["obs_row_size"].values.tolist() == [2, 2]
    binned = bin_spikes(found, 0.1)
    assert binned["observed"].sum() == 25
    assert not binned["observed"].sel(time=4.0, method="nearest")
    assert found["area"].values.tolist() == ["M1", "PMd"]


def test_observation_intervals_are_narrowed():
    ds = spikes(
        [0.1, 1.5, 0.5],
        [2, 1],
        observed=([0.0, 1.0, 0.4], [0.6, 2.0, 0.9], [2, 1]),
        unit=["a", "b"],
    )
    found = restrict(ds, [[0.5, 1.6]])
    table = np.column_stack([found["obs_start"], found["obs_stop"]])
    assert table.tolist() == [[0.5, 0.6], [1.0, 1.6], [0.5, 0.9]]
    assert found["obs_row_size"].values.tolist() == [2, 1]
    assert found["row_size"].values.tolist() == [1, 1]


def test_counts_keep_a_regular_clock(session):
    found = restrict(session["counts"].to_dataset(), KEPT)
    assert found["time"].values[0] == 2.0
    np.testing.assert_allclose(np.diff(found["time"]), 0.1)
    assert found.sizes["time"] == 40
    assert np.flatnonzero(~found["observed"].values).tolist() == list(range(15, 30))
    assert (found["count"].values[15:30] == 0).all()
    assert found["count"].dtype == np.uint8


def test_counts_within_one_interval_need_no_mask(session):
    found = restrict(session["counts"].to_dataset(), [[1.0, 2.0]])
    assert found.sizes["time"] == 10
    assert "observed" not in found


def test_masks_of_counts_are_joined(rng):
    mask = rng.random((100, 2)) > 0.2
    ds = counts(np.ones((100, 2)), bin_size=0.1, observed=mask)
    found = restrict(ds, KEPT)
    assert found["observed"].dims == ("time", "unit")
    assert (found["observed"].values[:15] == mask[20:35]).all()
    assert not found["observed"].values[15:30].any()


def test_aligned_counts_and_results_are_left_as_they_are():
    ds = counts(np.ones((2, 3, 1)), bin_size=0.1)
    xr.testing.assert_equal(restrict(ds, KEPT), ds)


def test_input_is_left_alone(session):
    before = session.copy(deep=True)
    restrict(session, KEPT)
    xr.testing.assert_identical(session, before)


@pytest.mark.parametrize("kind", ["counts", "signal"])
def test_nothing_left_is_refused(session, kind):
    with pytest.raises(EmptySelectionError, match="lie"):
        restrict(session[kind].to_dataset(), [[50.0, 60.0]])
    with pytest.raises(EmptySelectionError, match="no interval to keep"):
        restrict(session[kind].to_dataset(), [[1.0, 1.0]])


def test_amplitudes_follow_their_spikes():
    ds = spikes_from_units({"a": [0.1, 0.3], "b": [0.2], "c": [0.4, 0.5]})
    ds = ds.assign(amplitude=("spike", ds["spike_time"].values * 10))
    found = restrict(ds, [[0.15, 0.45]])
    np.testing.assert_allclose(found["amplitude"], [3.0, 2.0, 4.0])
    np.testing.assert_allclose(found["amplitude"], found["spike_time"] * 10)
