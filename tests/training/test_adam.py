"""Steps of all parameters together are torch's own."""

from __future__ import annotations

import copy

import pytest
import torch

from neurodyn.training import adam

KINDS = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}


def parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 4), (4,), (2, 3)]
    return [torch.nn.Parameter(torch.randn(*s, generator=generator)) for s in shapes]


def built(kind, weights):
    groups = [{"params": weights[:2], "lr": 0.1}, {"params": weights[2:], "weight_decay": 0.3}]
    return kind(groups, lr=0.03, betas=(0.8, 0.95), weight_decay=0.05, fused=True)


def advance(optimizer, weights, steps, without=()):
    """Take steps; in some of them the last parameter gets no gradient."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        if step in without:
            weights[-1].grad = None
        optimizer.step()


@pytest.mark.parametrize("without", [(), (0,), (3,), (2, 5)])
@pytest.mark.parametrize("name", KINDS)
def test_steps_are_those_of_torch(name, without):
    own, others = parameters(), parameters()
    optimizer, other = built(getattr(adam, name), own), built(KINDS[name], others)
    advance(optimizer, own, range(7), without)
    advance(other, others, range(7), without)
    torch.testing.assert_close(own, others, rtol=0, atol=0)
    found, expected = optimizer.state_dict(), other.state_dict()
    torch.testing.assert_close(found["state"], expected["state"], rtol=0, atol=0)


@pytest.mark.parametrize("name", KINDS)
def test_a_state_goes_on_where_it_was_saved(name):
    whole, parts = parameters(), parameters()
    advance(built(getattr(adam, name), whole), whole, range(8))
    first = built(getattr(adam, name), parts)
    advance(first, parts, range(4))
    saved = copy.deepcopy(first.state_dict())
    second = built(getattr(adam, name), parts)
    advance(second, parts, range(0))
    second.load_state_dict(saved)
    advance(second, parts, range(4, 8))
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)


def test_a_rate_may_change_between_steps():
    own, others = parameters(), parameters()
    optimizer, other = built(adam.AdamW, own), built(torch.optim.AdamW, others)
    for step in range(4):
        for one, weights in ((optimizer, own), (other, others)):
            for group in one.param_groups:
                group["lr"] = 0.1 / (step + 1)
            advance(one, weights, [step])
    torch.testing.assert_close(own, others, rtol=0, atol=0)
