"""Submissions: all faults at once, nothing half-written."""

import numpy as np
import pytest

from neurodyn.errors import SchemaError
from neurodyn.nlb import (
    check_submission,
    evaluation_tensors,
    read_groups,
    task,
    training_tensors,
    write_submission,
)

from .scored import targets_and_submission


@pytest.fixture
def tensors(clocks):
    clock, declared = clocks("mc_rtt", 20)
    return training_tensors(clock, declared), evaluation_tensors(clock, declared)


@pytest.fixture
def submission(tensors):
    rates = {
        f"{item.prefix}_rates_{group}": np.full((len(item.trial), 30, n_units), 0.4)
        for item in tensors
        for group, n_units in (("heldin", 5), ("heldout", 3))
    }
    return {"mc_rtt_20": rates}


def test_valid_submissions_are_written(tensors, submission, tmp_path):
    path = write_submission(tmp_path / "s.h5", submission, tensors)
    read = read_groups(path)["mc_rtt_20"]
    assert {name: array.dtype for name, array in read.items()} == dict.fromkeys(
        submission["mc_rtt_20"], np.float32
    )
    check_submission({"mc_maze": targets_and_submission(task("mc_maze"))[1]})


def test_all_faults_are_named_and_nothing_is_written(tensors, submission, tmp_path):
    rates = submission["mc_rtt_20"]
    rates["eval_rates_heldin"] = rates["eval_rates_heldin"] / 0.02
    rates["train_rates_heldin"] = np.log(rates["train_rates_heldin"])
    rates["eval_rates_heldout"][0, 0] = np.nan
    rates["train_rates_heldout"] = rates["train_rates_heldout"][:, :-1]
    rates["eval_rates_heldin_forward"] = np.ones(3)
    with pytest.raises(SchemaError) as caught:
        write_submission(tmp_path / "s.h5", {**submission, "mc_rt": {}}, tensors)
    for part in (
        "7 faults in the submission",
        "eval_rates_heldin: expected counts per bin look like rates in spikes/s",
        "train_rates_heldin holds negative values; give counts, not their logarithm",
        "eval_rates_heldout holds 3 values that are NaN or infinite",
        "train_rates_heldout has shape (10, 29, 3), expected (10, 30, 3)",
        "eval_rates_heldout_forward is missing",
        "eval_rates_heldin_forward has shape (3,), expected (6, 10, 5)",
        "mc_rt: no such task (did you mean 'mc_rtt'",
    ):
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_needed_arrays_depend_on_the_task():
    rates = targets_and_submission(task("dmfc_rsg_20"), forward=False)[1]
    check_submission({"dmfc_rsg_20": {k: v for k, v in rates.items() if k.startswith("eval")}})
    with pytest.raises(SchemaError, match="it holds no group"):
        check_submission({})
    with pytest.raises(SchemaError, match=r"1 fault in[\s\S]*eval_rates_heldin is missing"):
        check_submission({"dmfc_rsg_20": {"eval_rates_heldout": rates["eval_rates_heldout"]}})
