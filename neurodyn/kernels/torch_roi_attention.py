"""Attention between ROIs on a CPU: few sequences at a time, so that their scores stay in cache.

Scores are made again in the backward pass, which costs less than to write them to memory and to
read them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["backward", "forward"]

# Scores at once: 1 MB in float32.
_N_SCORES = 2**18


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    present: Tensor | None,
    scale: float,
    *,
    mask_diagonal: bool,
) -> tuple[Tensor, Tensor]:
    """Return mixed values, and nothing else that the backward pass needs.

    Parameters
    ----------
    query, key, value, bias, present, scale, mask_diagonal
        As of :func:`neurodyn.kernels.roi_attention.roi_attention`, checked; ``present`` (batch,
        head, roi).

    Returns
    -------
    mixed, nothing : Tensor
        (batch, head, roi, feature), heads of a ROI adjacent in memory; an empty tensor.
    """
    mixed = _empty_like(query)
    start = _start(query, bias, mask_diagonal=mask_diagonal)
    for part, weight in _weights(query, key, start, present, scale):
        wide = _wide(value[part], weight)
        mixed[part] = (weight @ wide).unflatten(0, (-1, query.shape[1]))
    return mixed, query.new_empty(0)


def backward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    present: Tensor | None,
    mixed: Tensor,
    nothing: Tensor,
    d_mixed: Tensor,
    scale: float,
    *,
    mask_diagonal: bool,
    learn_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return gradients of queries, keys, values and, if it is learned, of the bias."""
    n_heads = query.shape[1]
    d_query, d_key, d_value = (_empty_like(query) for _ in range(3))
    start = _start(query, bias, mask_diagonal=mask_diagonal)
    d_bias = None if bias is None or not learn_bias else torch.zeros_like(start)
    for part, weight in _weights(query, key, start, present, scale):
        q, k, v, d_out = (_wide(x[part], weight) for x in (query, key, value, d_mixed))
        d_score = torch.ops.aten._softmax_backward_data(d_out @ v.mT, weight, -1, weight.dtype)
        d_value[part] = (weight.mT @ d_out).unflatten(0, (-1, n_heads))
        d_query[part] = (d_score @ k).mul_(scale).unflatten(0, (-1, n_heads))
        d_key[part] = (d_score.mT @ q).mul_(scale).unflatten(0, (-1, n_heads))
        if d_bias is not None:
            d_bias += d_score.unflatten(0, (-1, n_heads)).sum(0)
    if bias is not None and d_bias is not None:
        d_bias = d_bias.to(bias.dtype)
    return d_query, d_key, d_value, d_bias


class _Part(NamedTuple):
    """Some sequences and their weights (sequence and head, roi, roi)."""

    sequences: slice
    weight: Tensor


def _weights(
    query: Tensor, key: Tensor, start: Tensor, present: Tensor | None, scale: float
) -> Iterator[_Part]:
    """Yield weights of few sequences after one another, in memory that is used again."""
    n_batch, n_heads = query.shape[:2]
    n_each = min(max(1, _N_SCORES // start.numel()), n_batch)
    added = start.repeat(n_each, 1, 1)
    score, weight = torch.empty_like(added), torch.empty_like(added)
    for first in range(0, n_batch, n_each):
        part = slice(first, min(first + n_each, n_batch))
        n_rows = (part.stop - first) * n_heads
        own, weights = score[:n_rows], weight[:n_rows]
        q, k = _wide(query[part], own), _wide(key[part], own)
        torch.baddbmm(added[:n_rows], q, k.mT, alpha=scale, out=own)
        if present is not None:
            absent = ~present[part].flatten(0, 1)[:, None]
            own.masked_fill_(absent, -torch.inf)
        torch.softmax(own, -1, out=weights)
        # what a row without an allowed key gives
        if weights[..., 0].isnan().any():
            weights.masked_fill_((own == -torch.inf).all(-1, keepdim=True), 0.0)
        yield _Part(part, weights)


def _start(query: Tensor, bias: Tensor | None, *, mask_diagonal: bool) -> Tensor:
    """Return what is added to scores, (head, roi, roi); minus infinity where nobody may look."""
    n_heads, n_rois = query.shape[1:3]
    wide = torch.promote_types(query.dtype, torch.float32)
    start = torch.zeros((n_heads, n_rois, n_rois), dtype=wide, device=query.device)
    if bias is not None:
        start += bias
    if mask_diagonal:
        start.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    return start


def _wide(part: Tensor, like: Tensor) -> Tensor:
    """Return (sequence and head, roi, feature) in the precision of scores."""
    return part.flatten(0, 1).to(like.dtype)


def _empty_like(query: Tensor) -> Tensor:
    n_batch, n_heads, n_rois, n_features = query.shape
    shape = (n_batch, n_rois, n_heads, n_features)
    return torch.empty(shape, device=query.device, dtype=query.dtype).transpose(1, 2)
