"""Codes of times that are made once."""

from __future__ import annotations

import pytest
import torch

from neurodyn.models.neuroformer.config import NeuroformerConfig
from neurodyn.models.neuroformer.embeddings import TokenEmbedding


@pytest.mark.parametrize("time", ["sinusoidal", "rotary", "learnt"])
def test_tokens_have_the_code_of_their_time(time):
    torch.manual_seed(0)
    config = NeuroformerConfig(size=16, n_heads=2, time=time)
    embedding = TokenEmbedding(config, 5)
    bins = torch.arange(-config.n_past_bins, config.n_bins + 1)[None]
    unit = torch.randint(5, bins.shape)
    torch.testing.assert_close(embedding(unit, bins), embedding.unit(unit) + embedding.time(bins))


def test_codes_that_are_learned_have_gradients_and_others_are_no_weights():
    learnt = TokenEmbedding(NeuroformerConfig(size=16, time="learnt"), 5)
    learnt(torch.tensor([[1]]), torch.tensor([[-1]])).sum().backward()
    assert all(p.grad is not None for p in learnt.time.parameters())
    assert "codes" not in TokenEmbedding(NeuroformerConfig(size=16), 5).state_dict()
