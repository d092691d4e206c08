"""Keys that grow, and dropout."""

from __future__ import annotations

import pytest
import torch

from neurodyn.models.neuroformer import blocks
from neurodyn.models.neuroformer.blocks import (
    FIRST_CAPACITY,
    Block,
    Context,
    GrowingKeys,
    KeysValues,
)


def added(n_tokens, n_rows=3):
    shape = (n_rows, 2, n_tokens, 4)
    return KeysValues(torch.randn(shape), torch.randn(shape))


def test_keys_that_grow_are_those_that_were_added():
    torch.manual_seed(0)
    n_tokens = 3 * FIRST_CAPACITY
    keys, parts = GrowingKeys(3, 2, n_tokens, 4, torch.zeros(1)), []
    for _ in range(n_tokens):
        parts.append(added(1))
        found = keys.add(parts[-1])
        assert found.key.equal(torch.cat([part.key for part in parts], 2))
        assert found.value.equal(torch.cat([part.value for part in parts], 2))
    assert keys.n_filled == n_tokens


def test_many_keys_may_come_at_once():
    keys, new = GrowingKeys(3, 2, 40, 4, torch.zeros(1)), added(33)
    assert keys.add(new).value.equal(new.value)


def test_branches_of_keys_grow_apart():
    keys, first = GrowingKeys(3, 2, 9, 4, torch.zeros(1)), added(2)
    keys.add(first)
    branch = keys.branch(torch.tensor([2, 2]))
    own, other = added(1), added(1, n_rows=2)
    assert branch.add(other).key.equal(torch.cat([first.key[[2, 2]], other.key], 2))
    keys.select(torch.tensor([0, 1]))
    rest = KeysValues(own.key[:2], own.value[:2])
    assert keys.add(rest).key.equal(torch.cat([first.key[:2], rest.key], 2))


def test_rows_of_keys_are_chosen_and_shared_ones_stay():
    new = added(5)
    keys = KeysValues(new.key.transpose(2, 3), new.value, torch.rand(3, 1, 1, 5) > 0.5)
    row = torch.tensor([2, 0, 2])
    found = keys.select(row)
    assert all(part.equal(whole[row]) for part, whole in zip(found, keys))
    assert found.key.is_contiguous()
    shared = KeysValues(new.key[:1], new.value[:1])
    assert shared.select(row) is shared


def test_dropout_is_of_training_alone_and_keeps_the_mean():
    torch.manual_seed(0)
    block, plain = Block(8, 2, 16, 0.25), Block(8, 2, 16)
    plain.load_state_dict(block.state_dict())
    token, time = torch.randn(1, 5, 8), torch.zeros(1, 5)
    assert block.eval()(token, time).equal(plain.eval()(token, time))
    # what attention adds, of very many rows
    many = token.expand(5_000, -1, -1)
    read = block.attention.project(token, time).select(torch.zeros(5_000, dtype=torch.int64))
    expected = block.attention(token, time, block.attention.project(token, time))
    drawn = block.train().attention(many, time.expand(5_000, -1), read)
    assert drawn[:, 0].std() > 0.01
    torch.testing.assert_close(drawn.mean(0), expected[0], atol=0.03, rtol=0)


@pytest.mark.parametrize("vector", [1, 16])
def test_dropout_with_masks_is_attention_when_little_is_dropped(monkeypatch, vector):
    """Where weights are dropped they are made by hand: masked and causal as in evaluation."""
    monkeypatch.setattr(blocks, "VECTOR", vector)
    torch.manual_seed(0)
    block = Block(8, 2, 16, 1e-9)
    token, time = torch.randn(2, 5, 8), torch.arange(5.0).expand(2, 5)
    known = torch.tensor([[True, True, False, True, False], [True, False, False, False, False]])
    read = block.read(Context(torch.randn(2, 5, 8), known, time))
    for given, causal in ((read, False), (None, True)):
        trained = block.train()(token, time, given, causal=causal)
        torch.testing.assert_close(trained, block.eval()(token, time, given, causal=causal))


@pytest.mark.parametrize("n_tokens", [3, blocks.VECTOR, blocks.VECTOR + 1])
def test_weights_read_neither_later_tokens_nor_unknown_ones(n_tokens):
    attention = blocks.Attention(8, 2)
    token, time = torch.randn(2, n_tokens, 8), torch.zeros(2, n_tokens)
    known = torch.arange(n_tokens) < torch.tensor([[n_tokens], [1]])
    read = attention.project(token, time, known)
    found = attention.weights(token, time, read, causal=True)
    assert found.shape == (2, 2, n_tokens, n_tokens)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 2, n_tokens))
    assert not found.triu(1).any()
    assert not found[1, ..., 1:].any()
