"""Configurations: ranges and the way through a dictionary."""

from __future__ import annotations

import pytest

from neurodyn.config import from_dict, to_dict
from neurodyn.errors import ConfigError
from neurodyn.models.langevinflow.config import LangevinFlowConfig, PublishedQuirks


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "vae"),
        ("potential", "none"),
        ("decoder", "mlp"),
        ("decoder_input", "h"),
        ("n_groups", 0),
        ("encoder_size", 2.5),
        ("dropout", 1.0),
        ("pass_prob", -0.1),
        ("keep_prob", 0.0),
        ("beta", -1.0),
        ("beta_warmup", 1.5),
        ("step", 1.0),
        ("damping", -1.0),
        ("n_samples", -1),
        ("decoder_size", 65),
    ],
)
def test_values_outside_their_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"invalid value for {name}"):
        LangevinFlowConfig(**{name: value})


def test_published_groups_need_a_multiple_of_four():
    with pytest.raises(ConfigError, match="encoder_size"):
        LangevinFlowConfig(mode="ccn2025", encoder_size=30)
    with pytest.raises(ConfigError, match="n_groups"):
        LangevinFlowConfig(potential="ccn2025", n_groups=3, n_sites=3)


def test_round_trip_with_quirks():
    config = LangevinFlowConfig(mode="ccn2025", quirks=PublishedQuirks(lagged_input=False))
    assert from_dict(LangevinFlowConfig, to_dict(config)) == config
