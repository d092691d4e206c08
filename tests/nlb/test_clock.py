"""The one-millisecond clock: truncation, observation, joining of files, damaged input."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import (
    EmptySelectionError,
    SchemaError,
    SpikeTimesError,
    TimebaseError,
    TrialTableError,
)
from neurodyn.nlb import Session, from_recording, make_clock, task
from neurodyn.recording import behavior, recording, signal, spikes, spikes_from_units, trials

MAZE = task("mc_maze_small", 0.02)


def session(times=((0.0105, 0.9), (0.5,)), observed=((0.0, 1.0),), ids=("10", "9"), **changes):
    intervals = np.tile(np.asarray(observed, float), (len(times), 1))
    table = pd.DataFrame(
        {"trial_id": [0], "start_time": [0.0], "stop_time": [1.0], "split": ["train"]}
    )
    values = {
        "spike_time": np.concatenate([np.asarray(t, float) for t in times]),
        "row_size": np.array([len(t) for t in times]),
        "unit": tuple(ids),
        "held_out": np.zeros(len(times), bool),
        "obs_start": intervals[:, 0],
        "obs_stop": intervals[:, 1],
        "obs_row_size": np.full(len(times), len(observed)),
        "trials": table,
    }
    return Session(**{**values, **changes})


def test_units_are_ordered_as_numbers_and_samples_truncated():
    clock = make_clock(session(), MAZE)
    assert clock.held_in == ("9", "10")
    assert [samples.tolist() for samples in clock.spike_sample] == [[500], [10, 900]]
    words = make_clock(session(ids=("b", "a1")), MAZE)
    assert words.held_in == ("a1", "b")


@settings(deadline=None, max_examples=50, derandomize=True)
@given(sample=st.integers(0, 10**7))
def test_spikes_on_a_millisecond_stay_on_it(sample):
    stop = (sample + 1) / 1000
    clock = make_clock(session([[sample / 1000]], [[0.0, stop]], ["0"]), MAZE)
    assert clock.spike_sample[0].tolist() == [sample]


def test_observed_samples_lie_wholly_inside():
    clock = make_clock(session(observed=((0.0105, 0.1), (0.2, 0.9509))), MAZE)
    assert clock.n_samples == 951
    observed = np.flatnonzero(clock.observed[0])
    assert observed.tolist() == [*range(11, 100), *range(200, 950)]
    assert not clock.observed[1].any()
    # the spike at 10.5 ms is not observed
    assert clock.spike_sample[1].tolist() == [900]


def test_files_are_joined_by_name_after_a_gap():
    later = session([[0.25], [0.75]], name="b.nwb")
    earlier = session(observed=((0.0, 1.96),), name="a.nwb")
    clock = make_clock([later, earlier], MAZE)
    # the first file ends at 1.959 s: the next starts at the tenth after 2.009 s
    assert clock.n_samples == 2100 + 1000
    assert clock.spike_sample[1].tolist() == [10, 900, 2350]
    assert clock.trials["trial_id"].tolist() == [0, 1]
    assert clock.event("start_time").tolist() == [0, 2_100_000_000]
    assert not clock.observed[0, 1960:2100].any()


def test_held_out_units_of_one_file_are_unobserved_in_the_other():
    whole = session(held_out=np.array([False, True]), name="b")
    part = session([[0.1]], ids=["10"], name="a")
    clock = make_clock([part, whole], MAZE)
    assert clock.held_out == ("9",)
    assert clock.observed.sum(axis=1).tolist() == [2000, 1000]


def test_damaged_sessions_are_named():
    with pytest.raises(SpikeTimesError, match=r"1 spikes, one at 1\.5 s"):
        make_clock(session([[0.1], [1.5]]), MAZE)
    with pytest.raises(SpikeTimesError, match="outside the observed session"):
        make_clock(session([[-0.1], [0.5]]), MAZE)
    with pytest.raises(SchemaError, match=r"different held-in units[\s\S]*\[1, 2\]"):
        make_clock([session(), session([[0.1]], ids=["10"])], MAZE)
    with pytest.raises(EmptySelectionError, match="no held-in units"):
        make_clock(session(held_out=np.array([True, True])), MAZE)
    with pytest.raises(EmptySelectionError, match="no recording"):
        make_clock([], MAZE)
    silent = session(obs_start=np.empty(0), obs_stop=np.empty(0), obs_row_size=np.zeros(2, int))
    with pytest.raises(EmptySelectionError, match="no observation intervals"):
        make_clock(silent, MAZE)
    with pytest.raises(SchemaError, match=r"sizes over units differ[\s\S]*lacks split"):
        table = session().trials.drop(columns="split")
        replace(session(), unit=("1",), trials=table)
    with pytest.raises(SchemaError, match=r"row_size does not sum[\s\S]*obs_row_size does not"):
        session(spike_time=np.zeros(9), obs_start=np.zeros(9))


def test_behavior_must_be_on_the_clock():
    time = np.array([0.1, 0.2])
    series = {"hand_vel": (time, np.ones((2, 2)))}
    clock = make_clock(session(behavior=series), MAZE)
    assert np.flatnonzero(~np.isnan(clock.behavior[:, 0])).tolist() == [100, 200]
    for wrong in (time + 0.0004, time + 1.0, time - 0.15):
        with pytest.raises(TimebaseError, match="not on the millisecond clock"):
            make_clock(session(behavior={"hand_vel": (wrong, np.ones((2, 2)))}), MAZE)
    with pytest.raises(TrialTableError, match="no column 'go_time'"):
        clock.event("go_time")


def test_from_recording_takes_every_part():
    units = spikes_from_units(
        {"7": [0.1], "8": [0.2]},
        observed=[[0.0, 1.0]],
        unit_columns={"held_out": [False, True]},
    )
    table = trials([0.0], [1.0], trial=[4], columns={"split": ["val"], "move_onset_time": [0.3]})
    moves = behavior([[1.0, 2.0]], time=[0.5])
    made = from_recording(
        recording(
            {
                "spikes": units,
                "trials": {"trials": table, "epochs": table},
                "behavior": {"hand_vel": moves},
            },
            source="a.nwb",
        ),
        "hand_vel",
    )
    assert made.name == "a.nwb"
    assert made.held_out.tolist() == [False, True]
    assert made.trials.iloc[0].to_dict() == {
        "trial_id": 4,
        "start_time": 0.0,
        "stop_time": 1.0,
        "split": "val",
        "move_onset_time": 0.3,
    }
    np.testing.assert_array_equal(made.behavior["hand_vel"][1], [[1.0, 2.0]])


def test_from_recording_needs_observation_and_takes_signals():
    table = trials([0.0], [1.0], trial=["first"], columns={"split": ["val"]})
    bare = spikes([0.1], [1])
    with pytest.raises(EmptySelectionError, match="no observation intervals"):
        from_recording(recording([bare, table]))
    units = spikes_from_units([[0.1]], observed=[[0.0, 1.0]])
    moves = signal([[2, 4]], time=[0.5], scale_factor=0.5)
    tree = recording({"spikes": units, "trials": table, "signal": {"hand_vel": moves}})
    made = from_recording(tree, "hand_vel")
    np.testing.assert_array_equal(made.behavior["hand_vel"][1], [[1.0, 2.0]])
    assert made.trials["trial_id"].tolist() == [0]
    assert from_recording(tree).behavior == {}
