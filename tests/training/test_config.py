"""Fault K19: settings that cannot work are refused before any work."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from neurodyn.config import from_dict, to_dict
from neurodyn.errors import ConfigError
from neurodyn.training.config import TrainingConfig


def test_it_survives_the_way_through_a_dictionary():
    training = TrainingConfig(ema_decay=0.99, betas=(0.8, 0.9), patience=3)
    assert from_dict(TrainingConfig, to_dict(training)) == training


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("learning_rate", 0.0, r"learning_rate(.|\n)*a number in \(0, inf\)"),
        ("learning_rate", -1e-3, "found: -0.001"),
        ("learning_rate", math.nan, "found: nan"),
        ("learning_rate", math.inf, "found: inf"),
        ("learning_rate", "0.1", "found: '0.1'"),
        ("weight_decay", -1.0, r"\[0, inf\)"),
        ("gradient_clip", 0.0, "or None"),
        ("ema_decay", 1.0, r"\(0, 1\) or None"),
        ("plateau_factor", 1.5, "plateau_factor"),
        ("betas", (0.9, 1.0), r"betas\[1\]"),
        ("betas", (0.9,), "betas are two numbers"),
        ("n_steps", 0, "a whole number from 1"),
        ("n_steps", 10.0, "found: 10.0"),
        ("batch_size", True, "found: True"),
        ("seed", -1, "a whole number from 0"),
        ("patience", 0, "from 1 or None"),
        ("optimizer", "adma", "did you mean 'adam'"),
        ("precision", "16", "bf16-mixed"),
        ("monitor_mode", "down", "'min' or 'max'"),
        ("warmup_steps", 1000, "fewer than n_steps"),
        ("minimum_learning_rate", 1.0, "must not exceed learning_rate"),
    ],
)
def test_values_out_of_range_are_refused(field, value, message):
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**{field: value})


def test_the_configuration_and_the_package_do_not_import_torch():
    code = (
        "import sys, neurodyn.training, neurodyn.training.config as c; c.TrainingConfig();"
        "sys.exit('torch' in sys.modules or 'lightning_fabric' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_gives_its_names_on_first_use():
    import neurodyn.training as training

    assert {"TrainingConfig", "train", "Progress", "read_history"} <= set(dir(training))
    assert training.TrainingConfig is TrainingConfig
    assert callable(training.train)
