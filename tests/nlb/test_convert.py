"""Tensors to counts and rates to submissions: labels, units of measure, order."""

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import DataError, UnitScaleError
from neurodyn.nlb import (
    counts_for_fit,
    evaluate,
    evaluation_tensors,
    expected_count,
    prepare,
    submission_from,
    to_counts,
    training_tensors,
)
from neurodyn.recording import masked_counts, validate


@pytest.fixture
def made(clocks):
    clock, declared = clocks("mc_maze_small", 20)
    return training_tensors(clock, declared, forward=True), evaluation_tensors(clock, declared)


def rates_for(tensors, *, forward, seed=0):
    """Rates in spikes/s of all units and bins, trials and units in another order."""
    rng = np.random.default_rng(seed)
    task = tensors.task
    units = [*tensors.held_in, *tensors.held_out]
    n_time = task.n_time + (task.n_forward if forward else 0)
    values = rng.gamma(2.0, 10.0, (len(tensors.trial), n_time, len(units)))
    ds = xr.Dataset(
        {"rate": (("trial", "time", "unit"), values)},
        {"trial": tensors.trial, "unit": units},
        {"bin_size": task.bin_size},
    )
    shuffled = ds.isel(trial=rng.permutation(len(tensors.trial)), unit=rng.permutation(len(units)))
    return values, shuffled.transpose("unit", "trial", "time")


def test_training_counts_hold_every_unit_and_bin(made):
    training = made[0]
    data = counts_for_fit(training)
    validate(data)
    assert dict(data.sizes) == {"trial": 12, "time": 45, "unit": 8}
    assert data["count"].dtype == np.uint8
    assert data["unit"].values.tolist() == [*training.held_in, *training.held_out]
    assert data["held_out"].values.tolist() == [False] * 5 + [True] * 3
    assert data["forward"].values.tolist() == [False] * 35 + [True] * 10
    np.testing.assert_allclose(data["time"], -0.25 + 0.02 * np.arange(45))
    assert data.attrs["bin_size"] == 0.02
    assert data.attrs["role"] == "training"
    np.testing.assert_array_equal(data["count"][:, :35, :5], training.arrays["train_spikes_heldin"])
    np.testing.assert_array_equal(
        data["count"][:, 35:, 5:], training.arrays["train_spikes_heldout_forward"]
    )


def test_unobserved_bins_are_masked(made):
    training = made[0]
    spikes = np.array(training.arrays["train_spikes_heldin"])
    spikes[2, 5] = np.nan
    arrays = {**training.arrays, "train_spikes_heldin": spikes}
    data = to_counts(type(training)(**{**vars(training), "arrays": arrays}))
    assert not data["observed"][2, 5, :5].any()
    assert data["observed"][2, 5, 5:].all()
    np.testing.assert_array_equal(masked_counts(data)[:, :35, :5], spikes)


def test_evaluation_counts_hold_what_a_model_may_see(made):
    data = to_counts(made[1])
    assert dict(data.sizes) == {"trial": 6, "time": 35, "unit": 5}
    assert data.attrs["role"] == "evaluation"
    assert set(data["split"].values) == {"val"}


def test_rates_become_expected_counts_in_the_order_of_the_task(made):
    for tensors, forward in zip(made, (False, True)):
        values, shuffled = rates_for(tensors, forward=forward)
        arrays = submission_from(shuffled, tensors)
        prefix = tensors.prefix
        np.testing.assert_allclose(arrays[f"{prefix}_rates_heldin"], values[:, :35, :5] * 0.02)
        np.testing.assert_allclose(arrays[f"{prefix}_rates_heldout"], values[:, :35, 5:] * 0.02)
        assert ("eval_rates_heldin_forward" in arrays) == forward
        logs = xr.Dataset({"log_rate": np.log(shuffled["rate"])})
        for name, array in submission_from(logs, tensors).items():
            np.testing.assert_allclose(array, arrays[name])


def test_forward_bins_of_training_trials_are_left_out(made):
    arrays = submission_from(rates_for(made[0], forward=True)[1], made[0])
    assert set(arrays) == {"train_rates_heldin", "train_rates_heldout"}
    assert arrays["train_rates_heldin"].shape[1] == 35


def test_what_does_not_fit_is_named(made):
    evaluation = made[1]
    rates = rates_for(evaluation, forward=False)[1]
    broken = rates.isel(trial=slice(1, None), unit=slice(2, None), time=slice(30))
    with pytest.raises(DataError) as caught:
        submission_from(broken.assign_attrs(bin_size=0.005), evaluation)
    for part in ("1 trials are missing", "2 units are missing", "30 bins, expected 35 or 45"):
        assert part in str(caught.value)
    assert "bin_size is 0.005 s, expected 0.02 s" in str(caught.value)
    with pytest.raises(UnitScaleError, match=r"must say its unit[\s\S]*expected_count"):
        expected_count(rates.rename(rate="expected_count"), 0.02)


def test_from_recording_to_scores_and_a_better_model_scores_better(sessions, clocks):
    """The whole way with two models: the truth of the tensors, and each unit's mean."""
    declared = clocks("mc_maze_small", 20)[1]
    tensors = prepare(sessions("mc_maze_small"), declared)
    fitted = counts_for_fit(tensors.training)
    mean = fitted["count"].mean(("trial", "time"))
    scores = []
    for weight in (0.0, 0.5):
        submission = {}
        for item in (tensors.training, tensors.evaluation):
            known = np.concatenate(
                [item.arrays[f"{item.prefix}_spikes_{g}"] for g in ("heldin", "heldout")], axis=2
            )
            rate = ((1 - weight) * mean.values + weight * known.astype(float)) / 0.02
            ds = xr.Dataset(
                {"rate": (("trial", "time", "unit"), rate)},
                {"trial": item.trial, "unit": mean["unit"]},
            )
            submission |= submission_from(ds, item)
        result = evaluate(tensors.target.groups(), {declared.name: submission}, exact=False)
        scores.append(result[0]["mc_maze_scaling_20_split"]["[100] co-bps"])
    assert scores[0] == pytest.approx(0.0, abs=0.05)
    assert scores[1] > 0.5
