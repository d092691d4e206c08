"""Evaluation data are never fitted, whether they are marked or have lost their mark."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import DataError
from neurodyn.nlb import (
    LeakageError,
    counts_for_fit,
    evaluation_tensors,
    refuse_evaluation,
    refuse_overlap,
    target_tensors,
    to_counts,
    training_tensors,
)
from neurodyn.recording import counts


@pytest.fixture
def made(clocks):
    clock, declared = clocks("mc_maze_small", 20)
    return (
        training_tensors(clock, declared, forward=True),
        evaluation_tensors(clock, declared),
        target_tensors(clock, declared, psth=False),
    )


def test_only_training_tensors_can_be_fitted(made):
    training, evaluation, target = made
    data = counts_for_fit(training)
    refuse_evaluation(data)
    assert set(data["split"].values) == {"train"}
    assert not set(data["trial"].values) & set(evaluation.trial)
    for other in (evaluation, target):
        with pytest.raises(LeakageError, match=f"not for fitting[\\s\\S]*role {other.role}"):
            counts_for_fit(other)
    with pytest.raises(LeakageError, match="targets are only for scores"):
        to_counts(target)


def test_marked_data_are_refused(made):
    data = to_counts(made[1])
    for same in (data, data.isel(trial=[0]), data.sel(unit=data["unit"][:2]), data.copy()):
        with pytest.raises(LeakageError, match=r"mc_maze_small_20[\s\S]*role evaluation"):
            refuse_evaluation(same)
    with pytest.raises(LeakageError):
        refuse_evaluation(xr.DataTree.from_dict({"/counts": data}))
    assert issubclass(LeakageError, DataError)


def test_single_marked_trials_are_refused(made):
    data = counts_for_fit(made[0])
    roles = np.full(data.sizes["trial"], "training")
    refuse_evaluation(data.assign_coords(role=("trial", roles)))
    roles[2] = "target"
    with pytest.raises(LeakageError, match="role target"):
        refuse_evaluation(data.assign_coords(role=("trial", roles)))


def test_roles_of_units_are_no_roles_of_data():
    refuse_evaluation(xr.Dataset(coords={"role": ("unit", ["hub", "other"])}))


def test_unmarked_data_pass():
    refuse_evaluation(counts(np.ones((2, 2)), bin_size=0.02))


def test_evaluation_never_carries_what_must_be_predicted(made):
    evaluation = made[1]
    assert "eval_spikes_heldout" in evaluation.arrays
    data = to_counts(evaluation)
    assert not data["held_out"].any()
    assert not data["forward"].any()
    poisoned = {
        **evaluation.arrays,
        "eval_spikes_heldout": evaluation.arrays["eval_spikes_heldout"] + 7,
    }
    xr.testing.assert_identical(to_counts(replace(evaluation, arrays=poisoned)), data)


def test_trials_that_lost_their_role_are_found_by_content(made):
    training, evaluation = counts_for_fit(made[0]), to_counts(made[1])
    refuse_overlap(training, evaluation)
    smuggled = evaluation.isel(trial=[1]).assign_coords(trial=[999])
    smuggled.attrs = {}
    shared = ["count", "observed"]
    cut = training.isel(time=~training["forward"].values).sel(unit=evaluation["unit"].values)
    mixed = xr.concat(
        [cut[shared].drop_vars("split"), smuggled[shared].drop_vars("split")], dim="trial"
    )
    refuse_evaluation(mixed.assign_attrs({}))
    with pytest.raises(LeakageError, match=rf"1 trials[\s\S]*999 = {made[1].trial[1]}"):
        refuse_overlap(mixed, evaluation)


def test_silent_trials_and_foreign_units_are_no_overlap():
    silent = counts(np.zeros((2, 4, 3)), bin_size=0.02)
    refuse_overlap(silent, silent)
    ones = counts(np.ones((2, 4, 3)), bin_size=0.02)
    refuse_overlap(ones, counts(np.ones((2, 4, 1)), bin_size=0.02, unit=["other"]))
    refuse_overlap(ones, counts(np.ones((4, 3)), bin_size=0.02))
    with pytest.raises(LeakageError):
        refuse_overlap(ones, ones)
