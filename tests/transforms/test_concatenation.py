"""Sessions in a row: identity of units, clocks, masks."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn.errors import ConfigError, DataError, EmptySelectionError
from neurodyn.recording import (
    behavior,
    recording,
    signal,
    spikes_from_units,
    trials,
    unit_spike_times,
    validate,
)
from neurodyn.transforms import align, bin_spikes, concatenate_sessions, select_units


def session(rng, names, length, observed=True, **columns):
    times = {name: np.sort(rng.uniform(0, length, 100)).round(4) for name in names}
    return recording(
        {
            "spikes": spikes_from_units(
                times,
                observed=[[0.0, length]] if observed else None,
                unit_columns={"area": ["M1"] * len(names), **columns},
            ),
            "trials": trials(
                [1.0, 3.0],
                [2.0, 4.0],
                columns={"go_time": [1.2, 3.3], "speed": [7.0, 8.0], "condition": ["l", "r"]},
            ),
            "behavior": {
                "hand": behavior(
                    np.column_stack([np.arange(10), -np.arange(10)]),
                    sampling_rate=2.0,
                    feature=["x", "y"],
                )
            },
        }
    )


@pytest.fixture
def days(rng):
    return {"mon": session(rng, ["1", "2"], 9.5), "tue": session(rng, ["2", "3", "1"], 7.0)}


def test_units_keep_their_identity_and_are_seen_in_their_session_only(days):
    found = concatenate_sessions(days, gap=2.0)
    validate(found)
    units = found["spikes"].to_dataset()
    assert units["unit"].values.tolist() == ["mon/1", "mon/2", "tue/2", "tue/3", "tue/1"]
    assert units["session"].values.tolist() == ["mon", "mon", "tue", "tue", "tue"]
    offset = found.attrs["session_offset"]
    assert offset == {"mon": 0.0, "tue": 12.0}
    np.testing.assert_allclose(
        unit_spike_times(units, "tue/1"),
        12.0 + unit_spike_times(days["tue"]["spikes"].to_dataset(), "1"),
    )
    binned = bin_spikes(found, 0.5)
    seen = binned["observed"].sum("time").values
    assert seen.tolist() == [19, 19, 14, 14, 14]
    assert (binned["count"].where(~binned["observed"], 0) == 0).all()


def test_binning_the_whole_is_binning_the_parts(days):
    found = bin_spikes(concatenate_sessions(days), 0.02)
    for name, offset in (("mon", 0.0), ("tue", 11.0)):
        own = bin_spikes(days[name], 0.02)
        part = select_units(found, f"session == '{name}'")
        start = round(offset / 0.02)
        np.testing.assert_array_equal(
            part["count"].values[start : start + own.sizes["time"]], own["count"].values
        )


def test_trials_and_behavior_follow(days):
    found = concatenate_sessions(days)
    table = found["trials"]
    assert table["trial"].values.tolist() == ["mon/0", "mon/1", "tue/0", "tue/1"]
    np.testing.assert_allclose(table["start"], [1.0, 3.0, 12.0, 14.0])
    np.testing.assert_allclose(table["go_time"], [1.2, 3.3, 12.2, 14.3])
    assert table["speed"].values.tolist() == [7.0, 8.0, 7.0, 8.0]
    hand = found["behavior/hand"]
    assert hand["time"].values[10] == 11.0
    assert hand["value"].sel(feature="y").values[-1] == -9
    aligned = align(found, event="go_time", window=(-0.2, 0.4), bin_size=0.02)
    assert (
        aligned["observed"].sel(unit="mon/1").any("time").values.tolist()
        == [True, True] + [False] * 2
    )


def test_features_are_joined_by_label(days):
    days["tue"]["behavior/hand"] = days["tue"]["behavior/hand"].to_dataset().isel(feature=[1, 0])
    hand = concatenate_sessions(days)["behavior/hand"]
    assert hand["value"].sel(feature="y").values[-1] == -9


def test_sessions_without_intervals_were_observed_throughout(rng):
    found = concatenate_sessions({"a": session(rng, ["1"], 5.0, observed=False)})
    assert found["spikes"]["obs_stop"].values.tolist() == [5.0]


def test_negative_times_move_the_next_session(rng):
    early = recording([spikes_from_units([[-2.5, 1.0]], observed=[[-3.0, 2.0]])])
    found = concatenate_sessions({"a": early, "b": early}, gap=1.0)
    assert found["spikes"]["spike_time"].values.tolist() == [-2.5, 1.0, 3.5, 7.0]


def test_columns_of_some_sessions_are_left_out_and_counted(rng):
    found = concatenate_sessions(
        {"a": session(rng, ["1"], 5.0, depth=[3.0]), "b": session(rng, ["1"], 5.0)}
    )
    assert "depth" not in found["spikes"]
    assert found["spikes"].attrs["quality"] == {"columns_left_out": 1}


def test_what_cannot_be_joined_is_refused(rng, days):
    with pytest.raises(EmptySelectionError, match="no session to join"):
        concatenate_sessions({})
    with pytest.raises(ConfigError, match="gap between sessions must not be negative"):
        concatenate_sessions(days, gap=-1.0)
    with pytest.raises(ConfigError, match="names of sessions hold no slash"):
        concatenate_sessions({"a/b": days["mon"]})
    with pytest.raises(EmptySelectionError, match="no spikes"):
        concatenate_sessions({"a": recording([trials([0.0], [1.0])])})


def test_other_kinds_clocks_and_features_are_refused(rng, days):
    lfp = recording(
        [days["mon"]["spikes"].to_dataset(), signal(np.zeros((3, 1)), sampling_rate=1.0)]
    )
    with pytest.raises(DataError, match=r"cannot be joined[\s\S]*signal"):
        concatenate_sessions({"a": lfp})
    only = recording([days["mon"]["spikes"].to_dataset()])
    with pytest.raises(DataError, match=r"cannot be joined[\s\S]*behavior, trials"):
        concatenate_sessions({"a": only, "b": days["tue"]})
    slow = recording([spikes_from_units([[0.5]], tick_hz=1000.0)])
    with pytest.raises(DataError, match="different clocks"):
        concatenate_sessions({"a": only, "b": slow})
    one, other = (
        recording(
            {
                "spikes": only["spikes"].to_dataset(),
                "behavior": {name: behavior(np.zeros((2, 1)), sampling_rate=1.0, feature=[label])},
            }
        )
        for name, label in (("hand", "x"), ("hand", "y"))
    )
    with pytest.raises(DataError, match="features of behavior differ"):
        concatenate_sessions({"a": one, "b": other})
    with pytest.raises(DataError, match="sessions hold different behavior"):
        concatenate_sessions(
            {
                "a": one,
                "b": recording(
                    {
                        "spikes": only["spikes"].to_dataset(),
                        "behavior": {"eye": behavior(np.zeros((2, 1)), sampling_rate=1.0)},
                    }
                ),
            }
        )


def with_amplitude(day, units="dF/F0"):
    spikes = day["spikes"].to_dataset()
    size = np.arange(spikes.sizes["spike"]) + spikes["spike_time"].values
    other = day.copy()
    other["spikes"].dataset = spikes.assign(amplitude=("spike", size, {"units": units}))
    return other


def test_amplitudes_follow_their_spikes(days):
    marked = {name: with_amplitude(day) for name, day in days.items()}
    found = concatenate_sessions(marked)["spikes"].to_dataset()
    validate(found)
    assert found["amplitude"].attrs["units"] == "dF/F0"
    for name, day in marked.items():
        part = select_units(found, f"session == '{name}'")
        np.testing.assert_array_equal(part["amplitude"], day["spikes"]["amplitude"])


def test_amplitudes_that_not_all_sessions_have_are_left_out_and_counted(days):
    some = {"mon": with_amplitude(days["mon"]), "tue": days["tue"]}
    found = concatenate_sessions(some)["spikes"]
    assert "amplitude" not in found
    assert found.attrs["quality"] == {"columns_left_out": 1}


def test_amplitudes_of_different_units_are_refused(days):
    mixed = {"mon": with_amplitude(days["mon"]), "tue": with_amplitude(days["tue"], "")}
    with pytest.raises(DataError, match=r"(?s)different units.*'mon': 'dF/F0'.*drop_vars"):
        concatenate_sessions(mixed)
