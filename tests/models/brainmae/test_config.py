"""Settings of BrainMAE: what is derived, refused, named and written."""

from __future__ import annotations

import pytest

from neurodyn.config import from_toml, to_toml
from neurodyn.errors import ConfigError
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.presets import PRESETS, preset


@pytest.mark.parametrize(
    ("repetition_time", "n_frames"), [(0.75, 20), (1.0, 15), (1.5, 10), (2.5, 6), (0.6, 25)]
)
def test_frames_of_a_segment(repetition_time, n_frames):
    config = BrainMAEConfig(repetition_time=repetition_time)
    assert config.n_frames == n_frames
    assert config.window_duration == 300.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "dg"}, "invalid value for variant"),
        ({"pooling": "mean"}, "'flatten' or 'query'"),
        ({"masking": "random"}, "'segment_roi' or 'tube' or 'network' or 'block_time'"),
        ({"adaptive_bias": "output"}, "invalid value for adaptive_bias"),
        ({"n_blocks": 0}, "invalid value for n_blocks"),
        ({"n_segments": 2.5}, "a whole number, 1 or more"),
        ({"repetition_time": 2.0}, "a multiple of repetition_time=2.0 s"),
        ({"repetition_time": 30.0}, "a multiple of repetition_time=30.0 s"),
        ({"repetition_time": 0.0}, "seconds above 0"),
        ({"segment_duration": -15.0}, "seconds above 0"),
        ({"node_size": 100}, "a multiple of node_heads"),
        ({"state_size": 100}, "a multiple of state_heads"),
        ({"dropout": 1.0}, "from 0, below 1"),
        ({"masked_weight": 1.5}, "from 0 to 1"),
        ({"mask_ratio": (0.8, 0.2)}, "lowest and highest"),
        ({"mask_ratio": (0.0, 1.0)}, "lowest and highest"),
        ({"mask_ratio": (0.5,)}, "lowest and highest"),
        ({"validation_ratio": 0.0}, "above 0, below 1"),
    ],
)
def test_values_outside_their_range_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        BrainMAEConfig(**changes)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_configurations_that_can_be_written(name, tmp_path):
    config = preset(name, variant="ag", mask_ratio=(0.2, 0.5))
    (tmp_path / "config.toml").write_text(to_toml(config), encoding="utf-8")
    assert from_toml(BrainMAEConfig, tmp_path / "config.toml") == config


def test_unknown_presets_are_refused():
    with pytest.raises(ConfigError, match="'tiny' or 'base' or 'large'"):
        preset("huge")


def test_presets_grow():
    sizes = [preset(name).node_size for name in PRESETS]
    assert sizes == [32, 128, 256]
