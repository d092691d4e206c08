"""The declared tasks against nlb_tools' own table and the published shapes."""

import warnings

import pytest

from neurodyn.errors import ConfigError
from neurodyn.nlb import DATASETS, TASKS, task
from neurodyn.nlb.tasks import milliseconds

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nlb_tools.make_tensors import PARAMS

SHAPES = {
    "mc_maze": (1721, 574, 574, 137, 45, 140, 35),
    "mc_rtt": (810, 270, 272, 98, 32, 120, 30),
    "area2_bump": (272, 92, 98, 49, 16, 120, 30),
    "dmfc_rsg": (None, None, 283, 40, 14, 300, 75),
    "mc_maze_large": (375, 125, 100, 122, 40, 140, 35),
    "mc_maze_medium": (188, 62, 100, 114, 38, 140, 35),
    "mc_maze_small": (75, 25, 100, 107, 35, 140, 35),
}


def test_there_are_fourteen():
    assert tuple(SHAPES) == DATASETS
    assert len(TASKS) == 14
    assert {name for name, declared in TASKS.items() if declared.bin_size == 0.02} == {
        f"{name}_20" for name in SHAPES
    }


@pytest.mark.parametrize("dataset", SHAPES)
def test_shapes_are_the_published_ones(dataset):
    fine, coarse = task(dataset), task(dataset, 0.02)
    sizes = (fine.n_train, fine.n_validation, fine.n_test, fine.n_held_in, fine.n_held_out)
    assert (*sizes, fine.n_time, coarse.n_time) == SHAPES[dataset]
    assert (fine.n_forward, coarse.n_forward) == (40, 10)
    assert fine.n_units == fine.n_held_in + fine.n_held_out


@pytest.mark.parametrize("dataset", SHAPES)
def test_parameters_are_those_of_nlb_tools(dataset):
    declared, params = task(dataset), PARAMS[dataset]
    inputs, targets = params["make_params"], params["eval_make_params"]
    assert declared.align == inputs["align_field"]
    assert tuple(map(milliseconds, declared.window)) == inputs["align_range"]
    assert declared.window_overlap == inputs.get("allow_overlap", False)
    assert declared.target_overlap == targets.get("allow_overlap", False)
    assert declared.target_start == targets.get("start_field")
    assert milliseconds(declared.forward) == params["fp_len"]
    assert milliseconds(declared.lag) == params.get("lag", 0)
    behavior = declared.behavior or list(declared.behavior_columns)
    assert behavior == params["behavior_field"]
    psth = params.get("psth_params", {"cond_fields": [], "kern_sd": 0})
    assert list(declared.condition_columns) == psth["cond_fields"]
    assert milliseconds(declared.psth_sd) == psth["kern_sd"]
    assert bool(declared.jitter) == ("jitter" in params)
    assert bool(declared.decode_column) == ("decode_masks" in params)
    assert bool(declared.outlier_column) == ("behavior_mask" in params)


def test_lookup():
    assert task("mc_rtt", 0.02) is task("mc_rtt_20") is TASKS["mc_rtt_20"]
    assert task("mc_rtt", 0.005) is task("mc_rtt")
    with pytest.raises(ConfigError, match="did you mean 'mc_maze"):
        task("mc_mase")
    with pytest.raises(ConfigError, match=r"mc_rtt, 0\.01"):
        task("mc_rtt", 0.01)
    with pytest.raises(ConfigError, match=r"mc_rtt_20, 0\.005"):
        task("mc_rtt_20", 0.005)
