"""Tensors equal to those of nlb_tools, bit by bit, and the cases where ours differ on purpose."""

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest

from neurodyn.errors import (
    ConfigError,
    DataError,
    EmptySelectionError,
    SchemaError,
    TrialTableError,
)
from neurodyn.nlb import (
    Tensors,
    evaluation_tensors,
    make_clock,
    prepare,
    target_tensors,
    task,
    training_tensors,
)

from .nwb import read_session
from .oracle import nlb_tools
from .synthetic import TRIALS, write

KINDS = tuple(TRIALS)


def assert_equal(ours, theirs):
    assert set(ours.arrays) == set(theirs)
    for name, expected in theirs.items():
        array = ours.arrays[name]
        assert array.dtype == expected.dtype, name
        if expected.dtype == object:
            assert len(array) == len(expected)
            for own, other in zip(array, expected):
                np.testing.assert_array_equal(own, other.astype(int), err_msg=name)
        else:
            np.testing.assert_array_equal(array, expected, err_msg=name)


@pytest.mark.parametrize("bin_ms", [5, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_nlb_tools_bit_by_bit(kind, bin_ms, files, clocks):
    clock, declared = clocks(kind, bin_ms)
    with nlb_tools() as (make, dataset_class):
        theirs = dataset_class(str(files(kind)[0].parent), "")
        theirs.resample(bin_ms)
        options = {"save_file": False, "seed": 3}
        expected = [
            make.make_train_input_tensors(
                theirs, kind, include_behavior=True, include_forward_pred=True, **options
            ),
            make.make_train_input_tensors(theirs, kind, ["train", "val"], **options),
            make.make_eval_input_tensors(theirs, kind, "val", **options),
            make.make_eval_input_tensors(theirs, kind, "test", **options),
            make.make_eval_target_tensors(theirs, kind, include_psth=True, **options),
        ]
    assert_equal(
        training_tensors(clock, declared, behavior=True, forward=True, seed=3), expected[0]
    )
    assert_equal(training_tensors(clock, declared, ("train", "val"), seed=3), expected[1])
    assert_equal(evaluation_tensors(clock, declared, "val", seed=3), expected[2])
    assert_equal(evaluation_tensors(clock, declared, "test", seed=3), expected[3])
    assert set(expected[4]) == {declared.name}
    assert_equal(target_tensors(clock, declared, seed=3), expected[4][declared.name])


def test_single_file_equals_nlb_tools(files):
    path = files("mc_maze_small")[1]
    declared = task("mc_maze_small", 0.02)
    clock = make_clock(read_session(path), declared)
    with nlb_tools() as (make, dataset_class):
        theirs = dataset_class(str(path), "")
        theirs.resample(20)
        inputs = make.make_train_input_tensors(theirs, "mc_maze_small", save_file=False)
        targets = make.make_eval_target_tensors(
            theirs, "mc_maze_small", "train", ["val"], include_psth=True, save_file=False
        )
    assert_equal(training_tensors(clock, declared), inputs)
    assert_equal(target_tensors(clock, declared), targets[declared.name])


@pytest.mark.parametrize("kind", ["area2_bump", "dmfc_rsg"])
def test_gapless_file_equals_nlb_tools(kind, tmp_path):
    """Without a gap nlb_tools smooths in another precision."""
    path = write(tmp_path, kind, gapless=True)[1]
    declared = task(kind, 0.02)
    with nlb_tools() as (make, dataset_class):
        theirs = dataset_class(str(path), "")
        theirs.resample(20)
        targets = make.make_eval_target_tensors(theirs, kind, include_psth=True, save_file=False)
    made = target_tensors(make_clock(read_session(path), declared), declared)
    assert_equal(made, targets[declared.name])


@pytest.mark.parametrize("bin_ms", [5, 20])
def test_real_file_equals_nlb_tools_and_its_known_tensor(bin_ms, shared_data):
    folder = shared_data / "nlb_mc_maze_small_test"
    path = folder / "sub-Jenkins_ses-small_desc-test_ecephys.nwb"
    declared = task("mc_maze_small", bin_ms / 1000)
    made = evaluation_tensors(make_clock(read_session(path), declared), declared, "test")
    with nlb_tools() as (make, dataset_class):
        theirs = dataset_class(str(path), "")
        theirs.resample(bin_ms)
        expected = make.make_eval_input_tensors(theirs, "mc_maze_small", "test", save_file=False)
    assert_equal(made, expected)
    with h5py.File(folder / "mc_maze_small_test_cosmoothing.h5") as file:
        known = file[declared.name]["eval_spikes_heldin"][()]
    np.testing.assert_array_equal(made.arrays["eval_spikes_heldin"], known)
    assert known.sum() == 32897


def test_prepare_gives_what_a_phase_needs(sessions):
    declared = task("mc_maze_small", 0.02)
    training, evaluation, target = prepare(sessions("mc_maze_small"), declared)
    assert (training.role, evaluation.role, target.role) == ("training", "evaluation", "target")
    assert not set(training.trial) & set(evaluation.trial)
    np.testing.assert_array_equal(evaluation.trial, target.trial)
    assert "psth" in target.arrays
    later = prepare(sessions("mc_maze_small"), declared, phase="test")
    assert later.target is None
    assert set(later.training.split) == {"train", "val"}
    assert set(later.evaluation.split) == {"test"}
    assert "eval_spikes_heldout" not in later.evaluation.arrays


def test_coarse_bins_are_sums_of_fine_ones(clocks):
    fine = training_tensors(*clocks("mc_rtt", 5)).arrays["train_spikes_heldin"]
    coarse = training_tensors(*clocks("mc_rtt", 20)).arrays["train_spikes_heldin"]
    np.testing.assert_array_equal(fine.reshape(len(fine), 30, 4, -1).sum(axis=2), coarse)


def test_forward_window_off_the_end_keeps_the_trial(clocks):
    """nlb_tools loses such a trial in one array and keeps it in the other."""
    clock, declared = clocks("mc_rtt", 20)
    table = clock.trials.copy()
    table.loc[table.index[-1], "split"] = "val"
    made = target_tensors(replace(clock, trials=table), declared)
    last = made.arrays["eval_spikes_heldin_forward"][-1]
    assert len(made.arrays["eval_spikes_heldin_forward"]) == len(made.arrays["eval_spikes_heldout"])
    assert np.isnan(last).all()
    assert not np.isnan(made.arrays["eval_spikes_heldout"]).any()


def test_unobserved_window_is_nan_in_place(clocks):
    clock, declared = clocks("mc_rtt", 20)
    table = clock.trials.copy()
    gap = table.index[-11]
    table.loc[gap, ["start_time", "split"]] = [
        table["start_time"][gap] + pd.Timedelta("0.5s"),
        "train",
    ]
    spikes = training_tensors(replace(clock, trials=table), declared).arrays["train_spikes_heldin"]
    empty = np.isnan(spikes).all(axis=2)
    assert 0 < empty.sum() < spikes.shape[1]
    assert np.isnan(spikes[empty]).all()


def test_trials_without_their_event_are_named(clocks):
    clock, declared = clocks("area2_bump", 20)
    table = clock.trials.copy()
    chosen = table.index[table["split"] == "none"][0]
    table.loc[chosen, "split"] = "train"
    name = rf"no 'move_onset_time'[\s\S]*\[{table['trial_id'][chosen]}\]"
    with pytest.raises(TrialTableError, match=name):
        training_tensors(replace(clock, trials=table), declared)


def test_overlapping_windows_are_named(clocks):
    clock, declared = clocks("area2_bump", 20)
    rows = np.flatnonzero(clock.rows("train"))
    table = clock.trials.copy()
    moved = table["move_onset_time"][rows[0]] + pd.Timedelta("0.2s")
    table.loc[table.index[rows[1]], ["start_time", "move_onset_time"]] = moved
    crowded = replace(clock, trials=table)
    with pytest.raises(TrialTableError, match="windows of neighbouring trials overlap"):
        training_tensors(crowded, declared)
    target_tensors(crowded, declared, psth=False)


def test_jitter_follows_its_seed_and_needs_tp(clocks):
    clock, declared = clocks("dmfc_rsg", 5)
    first, same, other = (
        target_tensors(clock, declared, seed=seed).arrays["train_jitter"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
    assert first.max() > 0
    table = clock.trials.assign(tp=np.nan)
    with pytest.raises(DataError, match="no produced interval 'tp'"):
        training_tensors(replace(clock, trials=table), declared)


def test_what_is_missing_is_named(clocks, sessions):
    clock, declared = clocks("mc_maze_small", 20)
    with pytest.raises(ConfigError, match="invalid value for split"):
        training_tensors(clock, declared, "test")
    with pytest.raises(ConfigError, match="invalid value for phase"):
        prepare(sessions("mc_maze_small"), declared, phase="train")
    alone = make_clock(sessions("mc_maze_small")[0], declared)
    with pytest.raises(EmptySelectionError, match=r"no trial of split train[\s\S]*test"):
        training_tensors(alone, declared)
    table = alone.trials.assign(split="train")
    with pytest.raises(EmptySelectionError, match="no held-out units"):
        training_tensors(replace(alone, trials=table), declared)
    with pytest.raises(EmptySelectionError, match="lacks the behavior"):
        training_tensors(replace(clock, behavior=None), declared, behavior=True)
    with pytest.raises(TrialTableError, match="no column 'trial_type'"):
        target_tensors(replace(clock, trials=clock.trials.drop(columns="trial_type")), declared)
    table = clock.trials.assign(trial_type=np.nan)
    with pytest.raises(EmptySelectionError, match="no condition has trials"):
        target_tensors(replace(clock, trials=table), declared)


def test_conditions_without_usable_trials_are_left_out(clocks):
    clock, declared = clocks("dmfc_rsg", 20)
    whole = target_tensors(clock, declared).arrays
    table = clock.trials.copy()
    first = (table["ts"] == 480.0) & (table["is_eye"] == 0)
    table.loc[first, "is_outlier"] = 1
    reduced = target_tensors(replace(clock, trials=table), declared).arrays
    assert len(reduced["psth"]) == len(whole["psth"]) - 1
    np.testing.assert_array_equal(reduced["psth"], whole["psth"][1:])


def test_tensors_are_read_only_and_checked(clocks):
    made = training_tensors(*clocks("mc_rtt", 20))
    with pytest.raises(ValueError, match="read-only"):
        made.arrays["train_spikes_heldin"][0] = 0
    with pytest.raises(
        SchemaError, match=r"train_spikes_heldin has shape .* expected \(2, 30, 5\)"
    ):
        replace(made, trial=made.trial[:2])
    with pytest.raises(ConfigError, match="role"):
        Tensors(made.task, "validation", {}, made.trial)
    assert set(made.groups()) == {"mc_rtt_20"}
