"""Attention in training on a CPU: few operations, and gradients written by hand.

Heads of a small network are so small that each operation costs more than its arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from neurodyn.models.dropout import dropout
from neurodyn.models.neuroformer.packing import Packing

__all__ = ["attention_weights", "dropped_attention", "join_heads", "split_heads"]

# Numbers that a CPU takes at once.
VECTOR = 16


def split_heads(
    feature: Tensor, n_heads: int, n_parts: int = 1, packing: Packing | None = None
) -> tuple[Tensor, ...]:
    """Return features by head, (batch, head, token, feature), contiguous, of each part.

    Parameters
    ----------
    feature
        Parts side by side, (batch, token, part x feature), or packed, (token, part x feature).
    n_heads, n_parts
        Heads of a part, and parts: 2 of keys and values.
    packing
        Of features that are packed; what is padded is 0.

    Examples
    --------
    >>> key, value = split_heads(torch.arange(8.0).view(1, 2, 4), 2, 2)
    >>> key.tolist(), value.tolist()
    ([[[[0.0], [4.0]], [[1.0], [5.0]]]], [[[[2.0], [6.0]], [[3.0], [7.0]]]])
    """
    parts: tuple[Tensor, ...] = _SplitHeads.apply(feature, n_heads, n_parts, packing)
    return parts


def join_heads(mixed: Tensor, packing: Packing | None = None) -> Tensor:
    """Return features (batch, token, feature) or packed, of those by head: as before the split.

    Parameters
    ----------
    mixed
        Features of one part, (batch, head, token, feature).
    packing
        Of features that are to be packed.

    Examples
    --------
    >>> feature = torch.randn(3, 5, 8)
    >>> join_heads(*split_heads(feature, 2)).equal(feature)
    True
    """
    joined: Tensor = _JoinHeads.apply(mixed, packing)
    return joined


def dropped_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, share: float
) -> Tensor:
    r"""Return what queries find, a share of the weights set to 0 at random.

    .. math:: D \circ \mathrm{softmax}(q k^\top / \sqrt{n} + b) \, v, \qquad
        D_{ij} \in \{0, 1 / (1 - p)\}

    Parameters
    ----------
    query, key, value
        Features of n numbers by head, (batch, head, token, feature), on a CPU.
    bias
        Added to scores, -inf where nothing is read; broadcasts to (batch x head, token, key).
    share
        Probability p that a weight is dropped.

    Examples
    --------
    >>> one = torch.ones(1, 1, 2, 4)
    >>> dropped_attention(one, one, one, torch.zeros(()), 0.0).equal(one)
    True
    """
    found: Tensor = _DroppedAttention.apply(query, key, value, bias, share)
    return found


def attention_weights(query: Tensor, key: Tensor, bias: Tensor) -> Tensor:
    """Return weights (row, token, key) of queries and keys (row, token or key, feature)."""
    score = torch.baddbmm(bias, query, key.mT, alpha=query.shape[-1] ** -0.5)
    if key.shape[1] >= VECTOR or score.requires_grad:
        return score.softmax(-1)
    # torch's softmax goes through a last dimension that is shorter than a vector one by one
    score.sub_(score.amax(-1, keepdim=True)).exp_()
    return score.div_(score.sum(-1, keepdim=True))


class _SplitHeads(Function):
    @staticmethod
    def forward(
        ctx: Any, feature: Tensor, n_heads: int, n_parts: int, packing: Packing | None
    ) -> tuple[Tensor, ...]:
        padded = feature if packing is None else packing.pad(feature)
        n_rows, n_tokens, _ = padded.shape
        ctx.packing = packing
        parts = padded.view(n_rows, n_tokens, n_parts, n_heads, -1).permute(2, 0, 3, 1, 4)
        return parts.contiguous().unbind(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        n_rows, n_heads, n_tokens, size = slopes[0].shape
        found = slopes[0].new_empty(n_rows, n_tokens, len(slopes), n_heads, size)
        for part, slope in zip(found.unbind(2), slopes):
            part.copy_(slope.transpose(1, 2))
        joined = found.flatten(2)
        return joined if ctx.packing is None else ctx.packing.pack(joined), None, None, None


class _JoinHeads(Function):
    @staticmethod
    def forward(ctx: Any, mixed: Tensor, packing: Packing | None) -> Tensor:
        ctx.packing, ctx.n_heads = packing, mixed.shape[1]
        joined = mixed.transpose(1, 2).flatten(2)
        return joined if packing is None else packing.pack(joined)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        padded = slope if ctx.packing is None else ctx.packing.pad(slope)
        by_head = padded.unflatten(2, (ctx.n_heads, -1)).transpose(1, 2)
        return by_head.contiguous(), None


class _DroppedAttention(Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, share: float
    ) -> Tensor:
        rows = query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
        ctx.shape, ctx.share = query.shape, share
        with torch.autocast("cpu", enabled=False):
            weights = attention_weights(rows[0], rows[1], bias.to(query.dtype))
            kept = dropout(weights.new_ones(()).expand(weights.shape), share) if share else None
            ctx.save_for_backward(*rows, weights, kept)
            dropped = weights if kept is None else weights * kept
            return torch.bmm(dropped, rows[2]).view(query.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:
        query, key, value, weights, kept = ctx.saved_tensors
        slope = slope.reshape(query.shape)
        scale = query.shape[-1] ** -0.5
        dropped = weights if kept is None else weights * kept
        by_value = torch.bmm(dropped.mT, slope)
        by_weights = torch.bmm(slope, value.mT)
        if kept is not None:
            by_weights.mul_(kept)
        by_score = by_weights.mul_(weights)
        by_score.addcmul_(weights, by_score.sum(-1, keepdim=True), value=-1)
        by_query = torch.baddbmm(query, by_score, key, beta=0, alpha=scale)
        by_key = torch.baddbmm(key, by_score.mT, query, beta=0, alpha=scale)
        batch, keys = ctx.shape[:2], key.shape[1:]
        shaped = [x.view(*batch, *keys) for x in (by_key, by_value)]
        return by_query.view(ctx.shape), *shaped, None, None
