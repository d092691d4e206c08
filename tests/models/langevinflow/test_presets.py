"""Presets: every one is a valid pair of settings."""

from __future__ import annotations

import pytest

from neurodyn.errors import ConfigError
from neurodyn.models.langevinflow.presets import DATASETS, preset
from neurodyn.training import TrainingConfig


@pytest.mark.parametrize("mode", ["elbo", "ccn2025"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_presets_are_valid(dataset, mode):
    chosen = preset(dataset, mode=mode)
    assert chosen.model.mode == mode
    assert TrainingConfig(**chosen.training).n_steps == chosen.training["n_steps"]


def test_published_settings_of_the_benchmark():
    chosen = preset("dmfc_rsg", mode="ccn2025")
    assert (chosen.model.damping, chosen.model.keep_prob) == (0.7, 0.6)
    assert chosen.training["learning_rate"] == 1e-3
    assert chosen.model.beta_warmup == 0.5


def test_unknown_names():
    with pytest.raises(ConfigError, match="did you mean 'mc_maze"):
        preset("mc_mase")
    with pytest.raises(ConfigError, match="invalid value for mode"):
        preset("mc_maze", mode="vae")
