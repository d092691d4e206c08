"""Coordinated dropout: what is seen is never scored."""

from __future__ import annotations

import pytest
import torch

from neurodyn.errors import ConfigError
from neurodyn.windows import coordinated_dropout


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_what_is_kept_is_scaled_and_what_is_dropped_is_scored():
    count = torch.arange(1, 24_001, dtype=torch.float32).reshape(20, 40, 30)
    dropped, scored = coordinated_dropout(count, 0.3, seeded())
    assert torch.equal(dropped[~scored], count[~scored] / 0.3)
    assert (dropped[scored] == 0).all()
    assert abs((~scored).float().mean().item() - 0.3) < 0.01


def test_same_generator_state_same_mask():
    count = torch.ones(2, 5, 3)
    first, again = (coordinated_dropout(count, 0.5, seeded(4)).scored for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, coordinated_dropout(count, 0.5, seeded(5)).scored)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    coordinated_dropout(torch.ones(2, 5, 3), 0.5, seeded())
    assert torch.equal(before, torch.get_rng_state())


def test_unobserved_entries_are_never_scored():
    observed = torch.rand(4, 10, 3, generator=seeded(1)) > 0.4
    for keep_prob in (0.2, 1.0):
        scored = coordinated_dropout(
            torch.ones(4, 10, 3), keep_prob, seeded(), observed=observed
        ).scored
        assert not (scored & ~observed).any()
    assert torch.equal(scored, observed)


def test_keeping_all_scores_all():
    count = torch.ones(2, 5, 3)
    dropped, scored = coordinated_dropout(count, 1.0, seeded())
    assert torch.equal(dropped, count)
    assert scored.all()


@pytest.mark.parametrize("keep_prob", [0.0, -0.1, 1.1, float("nan")])
def test_impossible_probabilities_are_refused(keep_prob):
    with pytest.raises(ConfigError, match="invalid keep_prob"):
        coordinated_dropout(torch.ones(1, 1, 1), keep_prob, seeded())
