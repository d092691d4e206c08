"""Attention between ROIs against straight formulas, and the matrix that is kept."""

from __future__ import annotations

import math

import pytest
import torch

from neurodyn.models.brainmae.attention import AdaptiveAttention, StaticAttention
from neurodyn.models.brainmae.pooling import QueryPooling

N_SEQUENCES, N_ROIS, SIZE, N_HEADS = 6, 7, 12, 3


@pytest.fixture
def node():
    return torch.randn(N_SEQUENCES, N_ROIS, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def embedding():
    return torch.randn(N_ROIS, SIZE, generator=torch.Generator().manual_seed(1))


def present():
    kept = torch.rand(N_SEQUENCES, N_ROIS, generator=torch.Generator().manual_seed(2)) < 0.6
    kept[0], kept[1] = True, False
    kept[2] = torch.arange(N_ROIS) == 3
    return kept


def built(kind, **settings):
    torch.manual_seed(3)
    return kind(SIZE, N_HEADS, **settings)


def by_hand(value, score, mix, kept, self_loops):
    """Attend sequence by sequence and head by head; a ROI without any key gets nothing."""
    mixed = torch.zeros(N_SEQUENCES, N_ROIS, SIZE)
    width = SIZE // N_HEADS
    for k in range(N_SEQUENCES):
        for head in range(N_HEADS):
            for i in range(N_ROIS):
                keys = [j for j in range(N_ROIS) if kept[k, j] and (self_loops or i != j)]
                if keys:
                    weight = score[k, head, i, keys].softmax(-1)
                    part = slice(head * width, (head + 1) * width)
                    mixed[k, i, part] = weight @ value[k, keys, part]
    return mix(mixed)


def heads(feature):
    return feature.unflatten(-1, (N_HEADS, -1)).transpose(-3, -2)


@pytest.mark.parametrize("self_loops", [False, True])
def test_rows_of_the_static_matrix_add_up_to_one(embedding, self_loops):
    weights = built(StaticAttention, self_loops=self_loops).weights(embedding)
    torch.testing.assert_close(weights.sum(-1), torch.ones(N_HEADS, N_ROIS))
    diagonal = weights.diagonal(dim1=-2, dim2=-1)
    assert (diagonal > 0).all() if self_loops else (diagonal == 0).all()


@pytest.mark.parametrize("self_loops", [False, True])
@pytest.mark.parametrize("kept", [None, present()])
def test_one_shared_product_equals_attention_by_sequence(node, embedding, kept, self_loops):
    attention = built(StaticAttention, self_loops=self_loops)
    query, key = attention.query_key(attention.norm(embedding)).chunk(2, -1)
    score = heads(query) @ heads(key).mT / math.sqrt(SIZE // N_HEADS)
    everything = torch.ones(N_SEQUENCES, N_ROIS, dtype=torch.bool)
    expected = by_hand(
        attention.value(node),
        score.expand(N_SEQUENCES, -1, -1, -1),
        attention.mix,
        everything if kept is None else kept,
        self_loops,
    )
    torch.testing.assert_close(attention(node, embedding, kept), expected)


@pytest.mark.parametrize("self_loops", [False, True])
@pytest.mark.parametrize("bias", ["input", "embedding", "pair", None])
@pytest.mark.parametrize("kept", [None, present()])
def test_adaptive_attention_equals_its_formula(node, embedding, kept, bias, self_loops):
    attention = built(AdaptiveAttention, bias=bias, self_loops=self_loops, n_rois=N_ROIS)
    read = node + embedding if bias == "input" else node
    query, key = attention.query_key(read).chunk(2, -1)
    score = heads(query) @ heads(key).mT / math.sqrt(SIZE // N_HEADS)
    if bias == "embedding":
        query, key = attention.embedding_query_key(embedding).chunk(2, -1)
        score = score + heads(query) @ heads(key).mT / math.sqrt(SIZE // N_HEADS)
    if bias == "pair":
        torch.nn.init.normal_(attention.pair_bias)
        score = score + attention.pair_bias
    everything = torch.ones(N_SEQUENCES, N_ROIS, dtype=torch.bool)
    expected = by_hand(
        attention.value(node),
        score,
        attention.mix,
        everything if kept is None else kept,
        self_loops,
    )
    torch.testing.assert_close(attention(node, embedding, kept), expected)


@pytest.mark.parametrize("kind", [StaticAttention, AdaptiveAttention])
def test_gradients_are_finite_where_nothing_is_present(node, embedding, kind):
    attention = built(kind)
    attention(node.requires_grad_(), embedding, present()).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in attention.parameters())
    assert node.grad.isfinite().all()


@torch.no_grad()
def test_the_kept_matrix_is_used_and_equals_a_new_one(node, embedding):
    attention = built(StaticAttention).eval()
    first = attention(node, embedding)
    calls = []
    original, attention.weights = attention.weights, lambda e: calls.append(1) or original(e)
    torch.testing.assert_close(attention(node, embedding), first, rtol=0, atol=0)
    assert calls == []
    attention.train().eval()
    torch.testing.assert_close(attention(node, embedding), first, rtol=0, atol=0)
    assert calls == [1]


def update(attention, embedding):
    optimizer = torch.optim.SGD([*attention.parameters(), embedding], 0.5)
    with torch.enable_grad():
        attention.weights(embedding).square().sum().backward()
    optimizer.step()


def other_weights(attention, embedding):
    state = {k: v + 0.3 * torch.randn_like(v) for k, v in attention.state_dict().items()}
    attention.load_state_dict(state)


def other_embedding(attention, embedding):
    embedding.data = embedding.data + torch.randn_like(embedding)


@pytest.mark.parametrize("change", [update, other_weights, other_embedding])
def test_the_kept_matrix_is_dropped_when_a_parameter_changes(node, embedding, change):
    attention = built(StaticAttention).eval()
    embedding = torch.nn.Parameter(embedding)
    with torch.no_grad():
        before = attention(node, embedding)
        change(attention, embedding)
        after = attention(node, embedding)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(attention(node, embedding), after)


def test_nothing_is_kept_where_gradients_are_needed(node, embedding):
    attention = built(StaticAttention).eval()
    embedding.requires_grad_()
    for _ in range(2):
        (gradient,) = torch.autograd.grad(attention(node, embedding).square().sum(), embedding)
        assert gradient.abs().sum() > 0
    assert "_kept" not in attention.state_dict()


def test_the_matrix_is_in_full_precision_under_autocast(embedding):
    attention = built(StaticAttention)
    expected = attention.weights(embedding)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(attention.weights(embedding), expected, rtol=0, atol=0)


def test_pooled_averages_are_over_what_is_present(node, embedding):
    torch.manual_seed(0)
    pooling = QueryPooling(4, SIZE, 5, 6)
    kept = present()
    weight = pooling.weights(embedding)
    torch.testing.assert_close(weight.sum(-1), torch.ones(4))
    read = pooling.read(pooling.norm(node))
    for k in range(N_SEQUENCES):
        share = weight * kept[k]
        share = share / share.sum(-1, keepdim=True) if kept[k].any() else share
        expected = pooling.project((share @ read[k]).flatten())
        torch.testing.assert_close(pooling(node, embedding, kept)[k], expected)
