"""Scores equal to nlb_tools' evaluate, for every dataset, as arrays and as files."""

import copy
import json
import warnings

import numpy as np
import pytest

from neurodyn.errors import (
    ConfigError,
    DataError,
    DataQualityWarning,
    DegenerateInputError,
    EmptySelectionError,
    SchemaError,
    UnitScaleError,
)
from neurodyn.nlb import TASKS, evaluate, psth_r2, speed_correlation, task, write_groups

from .scored import targets_and_submission

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nlb_tools import evaluation as oracle


def assert_same(ours, theirs):
    assert [list(entry) for entry in ours] == [list(entry) for entry in theirs]
    for own, other in zip(ours, theirs):
        for group, scores in other.items():
            assert own[group] == pytest.approx(scores, abs=1e-10)
            assert list(own[group]) == list(scores)
            assert all(type(value) is float for value in own[group].values())


@pytest.mark.parametrize("name", TASKS)
def test_every_task_equals_nlb_tools(name):
    truth, rates = targets_and_submission(TASKS[name])
    expected = oracle.evaluate({name: truth}, {name: copy.deepcopy(rates)})
    for array in (*truth.values(), *rates.values()):
        array.flags.writeable = False
    ours = evaluate({name: truth}, {name: rates})
    assert_same(ours, expected)
    json.dumps(ours, allow_nan=False)


def test_velocity_score_does_not_depend_on_the_unit_of_velocity():
    truth, rates = targets_and_submission(task("area2_bump_20"))
    meters = {n: a / 1000 if n.endswith("behavior") else a for n, a in truth.items()}
    ours, same = (evaluate({"area2_bump_20": t}, {"area2_bump_20": rates}) for t in (truth, meters))
    assert_same(ours, same)


def test_all_tasks_at_once_are_merged_as_nlb_tools_does():
    pairs = {
        name: targets_and_submission(TASKS[name], 1, forward=False)
        for name in ("mc_maze_small_20", "mc_maze_large_20", "mc_rtt_20", "mc_maze_small")
    }
    truth = {name: pair[0] for name, pair in pairs.items()}
    rates = {name: pair[1] for name, pair in pairs.items()}
    ours = evaluate(truth, rates)
    assert_same(ours, oracle.evaluate(truth, copy.deepcopy(rates)))
    assert list(ours[0]) == ["mc_rtt_20_split"]
    assert "[500] co-bps" in ours[2]["mc_maze_scaling_20_split"]


def test_files_give_the_same_as_nlb_tools(tmp_path):
    name = "dmfc_rsg_20"
    truth, rates = targets_and_submission(TASKS[name])
    target = write_groups(tmp_path / "target.h5", {name: truth})
    submission = write_groups(tmp_path / "submission.h5", {name: rates})
    expected = oracle.evaluate(str(target), str(submission))
    assert_same(evaluate(target, str(submission)), expected)


def test_rates_in_hertz_are_refused():
    truth, rates = targets_and_submission(task("mc_rtt"))
    rates["eval_rates_heldout"] = rates["eval_rates_heldout"] / 0.005
    with pytest.raises(UnitScaleError, match=r"mc_rtt[\s\S]*multiply the rates by the bin size"):
        evaluate({"mc_rtt": truth}, {"mc_rtt": rates})


def test_all_faults_are_named_at_once():
    truth, rates = targets_and_submission(task("mc_rtt_20"))
    del rates["train_rates_heldin"], rates["eval_rates_heldin_forward"]
    rates["eval_rates_heldout"] = rates["eval_rates_heldout"][:-1]
    rates["eval_rate_heldout"] = rates["eval_rates_heldout"]
    del truth["eval_behavior"]
    with pytest.raises(SchemaError) as caught:
        evaluate({"mc_rtt_20": truth}, {"mc_rtt_20": rates, "mc_rtt_10": {}, "mc_maze": {}})
    for part in (
        "train_rates_heldin is missing",
        "eval_rates_heldin_forward is missing",
        r"eval_rates_heldout has shape (23, 30, 32), expected (24, 30, 32)",
        "eval_rate_heldout is unknown (did you mean 'eval_rates_heldout'",
        "targets lack eval_behavior",
        "mc_rtt_10: no such task (did you mean 'mc_rtt",
        "mc_maze: the targets have no such group",
    ):
        assert part in str(caught.value)


def test_groups_without_targets():
    truth, rates = targets_and_submission(task("mc_rtt_20"), forward=False)
    both = {"mc_rtt_20": rates, "mc_maze": rates}
    alone = evaluate({"mc_rtt_20": truth}, {"mc_rtt_20": rates})
    assert evaluate({"mc_rtt_20": truth}, both, on_bad="drop") == alone
    with pytest.warns(DataQualityWarning, match="no targets for mc_maze"):
        assert evaluate({"mc_rtt_20": truth}, both, on_bad="warn") == alone
    with pytest.raises(SchemaError, match="nothing to score"):
        evaluate({}, {"mc_maze": rates}, on_bad="drop")
    with pytest.raises(ConfigError, match="on_bad"):
        evaluate({}, {}, on_bad="fix")
    truth["eval_spikes_heldout"] = truth["eval_spikes_heldout"][0]
    with pytest.raises(SchemaError, match="of the targets has shape"):
        evaluate({"mc_rtt_20": truth}, {"mc_rtt_20": rates})


def test_nan_rates_are_named():
    truth, rates = targets_and_submission(task("mc_maze_20"))
    for name, fault in (
        ("eval_rates_heldout", "NaN where counts are observed"),
        ("train_rates_heldout", "training inputs are NaN where outputs are known"),
        ("eval_rates_heldin", "evaluation inputs are NaN where outputs are known"),
        ("eval_rates_heldin_forward", "NaN where counts are observed"),
    ):
        broken = {**rates, name: rates[name].copy()}
        broken[name][3, -1, 0] = np.nan
        with pytest.raises(DataError, match=fault):
            evaluate({"mc_maze_20": truth}, {"mc_maze_20": broken})


def test_constant_psth_is_exact_or_guarded():
    truth, rates = targets_and_submission(task("mc_maze_20"))
    every = np.concatenate([rates["eval_rates_heldin"], rates["eval_rates_heldout"]], axis=-1)
    noise = 1e-12 * np.random.default_rng(0).normal(size=truth["psth"][..., 1].shape)
    truth["psth"][..., 1] = np.where(np.isnan(truth["psth"][..., 1]), np.nan, 0.1 + noise)
    arguments = truth["psth"], every, truth["eval_cond_idx"]
    with pytest.warns(DataQualityWarning, match="of 1 of 182 units is constant"):
        exact = psth_r2(every, truth["psth"], truth["eval_cond_idx"])
    assert exact == pytest.approx(oracle.eval_psth(*arguments), rel=1e-10)
    assert exact < -1e10
    kept = np.arange(182) != 1
    guarded = evaluate({"mc_maze_20": truth}, {"mc_maze_20": rates}, exact=False)
    others = psth_r2(every[..., kept], truth["psth"][..., kept], truth["eval_cond_idx"])
    assert guarded[0]["mc_maze_20_split"]["psth R2"] == pytest.approx(others, abs=1e-12)


def test_psth_faults_are_named():
    truth, rates = targets_and_submission(task("mc_maze_20"))
    every = np.concatenate([rates["eval_rates_heldin"], rates["eval_rates_heldout"]], axis=-1)
    with pytest.raises(EmptySelectionError, match="no condition of the PSTH has a trial"):
        psth_r2(every, truth["psth"], [[], [], [], []])
    with pytest.raises(DataError, match="NaN where the PSTH is known"):
        psth_r2(every, truth["psth"], truth["eval_cond_idx"], jitter=np.full(24, 2))


def test_speed_correlation_of_a_known_speed():
    produced = np.array([600.0, 700.0, 800.0, 900.0])
    speed = 1000.0 / produced
    rates = np.cumsum(np.tile(speed[:, None, None], (1, 10, 1)), axis=1)
    spikes = np.zeros((4, 10, 1))
    behavior = np.column_stack([np.zeros((4, 4)), produced])
    expected = np.corrcoef(speed, produced)[0, 1]
    assert speed_correlation(spikes, rates, behavior) == pytest.approx(expected)
    assert np.isnan(speed_correlation(spikes, np.ones((4, 10, 1)), behavior))


def test_speed_correlation_faults_are_named():
    spikes, rates = np.zeros((4, 10, 1)), np.ones((4, 10, 2))
    behavior = np.column_stack([np.zeros((4, 4)), np.arange(4.0)])
    behavior[3, 0] = 1.0
    with pytest.raises(DegenerateInputError, match="a condition has a single trial"):
        speed_correlation(spikes, rates, behavior)
    with pytest.raises(DegenerateInputError, match="no trial has behavior"):
        speed_correlation(spikes, rates, np.full((4, 5), np.nan))
    rates[1, 5] = np.nan
    with pytest.raises(DataError, match=r"trial 1[\s\S]*10 bins, 1 of them NaN"):
        speed_correlation(spikes, rates, behavior[[0, 0, 0, 0]])
