"""The whole way from NWB files through the package's own reader."""

import numpy as np
import pandas as pd
import pytest

from neurodyn import recording as build
from neurodyn.io.nwb import load_nwb, open_nwb
from neurodyn.nlb import evaluation_tensors, from_recording, make_clock, prepare, task

from .nwb import read_session
from .synthetic import TRIALS


@pytest.mark.parametrize("kind", TRIALS)
@pytest.mark.parametrize("read", [load_nwb, open_nwb])
def test_recordings_give_the_clock_of_pynwb(kind, read, files, clocks):
    expected, declared = clocks(kind, 20)
    clock = make_clock([read(path) for path in reversed(files(kind))], declared)
    assert clock.n_samples == expected.n_samples
    assert (clock.held_in, clock.held_out) == (expected.held_in, expected.held_out)
    for own, other in zip(clock.spike_sample, expected.spike_sample, strict=True):
        np.testing.assert_array_equal(own, other)
    np.testing.assert_array_equal(clock.observed, expected.observed)
    if expected.behavior is None:
        assert clock.behavior is None
    else:
        np.testing.assert_array_equal(clock.behavior, expected.behavior)
    pd.testing.assert_frame_equal(clock.trials, expected.trials, check_like=True, check_dtype=False)


@pytest.mark.parametrize("kind", TRIALS)
def test_recordings_give_the_tensors_of_pynwb(kind, files, sessions):
    declared = task(kind, 0.02)
    ours = prepare([load_nwb(path) for path in files(kind)], declared)
    expected = prepare(sessions(kind), declared)
    for own, other in zip(ours, expected):
        assert set(own.arrays) == set(other.arrays)
        for name, array in other.arrays.items():
            if array.dtype == object:
                assert [part.tolist() for part in own.arrays[name]] == [p.tolist() for p in array]
            else:
                np.testing.assert_array_equal(own.arrays[name], array)


@pytest.mark.parametrize("bin_size", [0.005, 0.02])
def test_real_file(bin_size, shared_data):
    path = shared_data / "nlb_mc_maze_small_test" / "sub-Jenkins_ses-small_desc-test_ecephys.nwb"
    declared = task("mc_maze_small", bin_size)
    ours = evaluation_tensors(make_clock(load_nwb(path), declared), declared, "test")
    expected = evaluation_tensors(make_clock(read_session(path), declared), declared, "test")
    assert (ours.held_in, len(ours.held_in)) == (expected.held_in, 107)
    np.testing.assert_array_equal(
        ours.arrays["eval_spikes_heldin"], expected.arrays["eval_spikes_heldin"]
    )
    np.testing.assert_array_equal(ours.trial, expected.trial)


def test_a_file_with_one_series_needs_no_other():
    hand = build.behavior([[1.0, 2.0]], sampling_rate=1.0, name="hand_vel")
    spikes = build.spikes_from_units([[0.1]], observed=[[0.0, 1.0]])
    table = build.trials([0.0], [1.0], columns={"split": ["train"]})
    found = from_recording(build.recording([spikes, table, hand]), "hand_vel")
    assert found.behavior["hand_vel"][1].tolist() == [[1.0, 2.0]]
    assert from_recording(build.recording([spikes, table, hand]), "eye_pos").behavior == {}
