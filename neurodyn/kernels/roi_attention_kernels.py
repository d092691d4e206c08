"""What runs on a GPU for attention between ROIs with a learned bias: Triton's kernels.

The forward pass keeps the logarithm of each row's sum; the backward kernels make scores again
from it. Each owns what it adds up, in registers and in a fixed order: gradients of queries (one
tile of rows), of keys and values (one tile of columns), and of the bias (one tile of rows and
columns, over a slice of the batch). Where all keys of a sequence fit one program, that of keys
and values meets every score of a query and gives the gradients of queries, too.

Sequences run fastest through the grid, so that programs at work together read the same tile of
the bias, and find it in the cache.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

__all__ = ["bias_kernel", "forward_kernel", "key_value_kernel", "query_kernel"]

_LN_2 = tl.constexpr(math.log(2.0))


@triton.jit
def _load(pointer, roi, feature, stride, n_rois, n_features):
    """Load a tile (roi, feature) of one sequence and head; 0 outside."""
    inside = (roi < n_rois)[:, None] & (feature < n_features)[None, :]
    return tl.load(pointer + (roi[:, None] * stride + feature[None, :]), mask=inside, other=0.0)


@triton.jit
def _store(pointer, value, roi, feature, stride, n_rois, n_features):
    inside = (roi < n_rois)[:, None] & (feature < n_features)[None, :]
    at = pointer + (roi[:, None] * stride + feature[None, :])
    tl.store(at, value.to(pointer.dtype.element_ty), mask=inside)


@triton.jit
def _store_turned(pointer, value, roi, feature, stride, n_rois, n_features):
    """Store a tile as features down and ROIs across.

    Addresses that are not those of a load lie behind a transposition for the compiler, which then
    shares a product out among warps by itself and not as the products of what was loaded.
    """
    inside = (feature < n_features)[:, None] & (roi < n_rois)[None, :]
    at = pointer + (roi[None, :] * stride + feature[:, None])
    tl.store(at, tl.trans(value).to(pointer.dtype.element_ty), mask=inside)


@triton.jit
def _dealt(roi, DEALT: tl.constexpr):
    """Put ROIs in the order 0 4 1 5 2 6 3 7 of every eight, if they are to be DEALT.

    A thread holds two neighbouring columns of a product, but needs the first and the fifth of
    eight of a factor in tf32. Of a product with dealt columns it holds what it needs for the next.
    """
    if DEALT:
        roi = (roi & -8) | ((roi & 1) << 2) | ((roi & 7) >> 1)
    return roi


@triton.jit
def _gathered(tile, DOWN: tl.constexpr, ACROSS: tl.constexpr, DEALT: tl.constexpr):
    """Name dealt columns in the order of ROIs again, which moves nothing between threads."""
    if DEALT:
        tile = tile.reshape(DOWN, ACROSS // 8, 4, 2).permute(0, 1, 3, 2).reshape(DOWN, ACROSS)
    return tile


@triton.jit
def _kept(present, roi, n_rois):
    return tl.load(present + roi, mask=roi < n_rois, other=0) != 0


@triton.jit
def _scores(
    q, k, start, start_roi, row, place, present, column, n_rois, scale,
    PRESENT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Score a tile of queries and keys, minus infinity where nobody may look."""
    score = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    score += tl.load(start + (row[:, None] * start_roi + place[None, :]))
    if PRESENT:
        score = tl.where(_kept(present, column, n_rois)[None, :], score, float("-inf"))
    return score


@triton.jit
def forward_kernel(
    query, key, value, start, present, mixed, log_sum, n_rois, n_features, n_heads,
    query_batch, query_head, query_roi, key_batch, key_head, key_roi,
    value_batch, value_head, value_roi, mixed_batch, mixed_head, mixed_roi,
    present_batch, present_head, start_head, start_roi, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, PRESENT: tl.constexpr,
    PRECISION: tl.constexpr, DEALT: tl.constexpr,
):  # fmt: skip
    """Mix values for one tile of queries, over all keys."""
    batch = tl.program_id(0).to(tl.int64)
    head = (tl.program_id(1) % n_heads).to(tl.int64)
    row = (tl.program_id(1) // n_heads) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, FEATURES)
    key += batch * key_batch + head * key_head
    value += batch * value_batch + head * value_head
    start += head * start_head
    present += batch * present_batch + head * present_head
    query += batch * query_batch + head * query_head
    q = _load(query, row, feature, query_roi, n_rois, n_features)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    sums = tl.zeros([ROWS, FEATURES], tl.float32)
    for first in range(0, n_rois, COLUMNS):
        place = first + tl.arange(0, COLUMNS)
        column = _dealt(place, DEALT)
        k = _load(key, column, feature, key_roi, n_rois, n_features)
        v = _load(value, place, feature, value_roi, n_rois, n_features)
        score = _scores(
            q, k, start, start_roi, row, place, present, column, n_rois, scale, PRESENT, PRECISION
        )  # fmt: skip
        higher = tl.maximum(highest, tl.max(score, axis=1))
        # a row that has not met an allowed key yet stays at 0, not at inf - inf
        pivot = tl.where(higher == float("-inf"), 0.0, higher)
        weight = tl.exp2(score - pivot[:, None])
        fade = tl.exp2(highest - pivot)
        total = total * fade + tl.sum(weight, axis=1)
        sums = sums * fade[:, None]
        gathered = _gathered(weight.to(v.dtype), ROWS, COLUMNS, DEALT)
        sums = tl.dot(gathered, v, sums, input_precision=PRECISION)
        highest = higher
    empty = total == 0.0
    sums = sums / tl.where(empty, 1.0, total)[:, None]
    mixed += batch * mixed_batch + head * mixed_head
    _store(mixed, sums, row, feature, mixed_roi, n_rois, n_features)
    # plus infinity gives such a row weights of 0 in the backward pass
    log_total = tl.where(empty, float("inf"), highest + tl.log2(tl.where(empty, 1.0, total)))
    tl.store(log_sum + (batch * n_heads + head) * n_rois + row, log_total, mask=row < n_rois)


@triton.jit
def query_kernel(
    query, key, value, start, present, mixed, d_mixed, log_sum, d_query, delta,
    n_rois, n_features, n_heads,
    query_batch, query_head, query_roi, key_batch, key_head, key_roi,
    value_batch, value_head, value_roi, mixed_batch, mixed_head, mixed_roi,
    d_batch, d_head, d_roi, present_batch, present_head, start_head, start_roi, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, PRESENT: tl.constexpr,
    PRECISION: tl.constexpr, DEALT: tl.constexpr,
):  # fmt: skip
    """Give gradients of one tile of queries, and what the other backward kernels share."""
    batch = tl.program_id(0).to(tl.int64)
    head = (tl.program_id(1) % n_heads).to(tl.int64)
    row = (tl.program_id(1) // n_heads) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, FEATURES)
    key += batch * key_batch + head * key_head
    value += batch * value_batch + head * value_head
    start += head * start_head
    present += batch * present_batch + head * present_head
    query += batch * query_batch + head * query_head
    own = batch * mixed_batch + head * mixed_head
    q = _load(query, row, feature, query_roi, n_rois, n_features)
    out = _load(mixed + own, row, feature, mixed_roi, n_rois, n_features)
    d_mixed += batch * d_batch + head * d_head
    d_out = _load(d_mixed, row, feature, d_roi, n_rois, n_features)
    # what every score's gradient has in common; the other kernels read it
    shared = tl.sum(out.to(tl.float32) * d_out.to(tl.float32), axis=1)
    line = (batch * n_heads + head) * n_rois + row
    tl.store(delta + line, shared, mask=row < n_rois)
    log_total = tl.load(log_sum + line, mask=row < n_rois, other=float("inf"))
    d_q = tl.zeros([ROWS, FEATURES], tl.float32)
    for first in range(0, n_rois, COLUMNS):
        place = first + tl.arange(0, COLUMNS)
        column = _dealt(place, DEALT)
        k = _load(key, column, feature, key_roi, n_rois, n_features)
        v = _load(value, column, feature, value_roi, n_rois, n_features)
        score = _scores(
            q, k, start, start_roi, row, place, present, column, n_rois, scale, PRESENT, PRECISION
        )  # fmt: skip
        weight = tl.exp2(score - log_total[:, None])
        d_weight = tl.dot(d_out, tl.trans(v), input_precision=PRECISION)
        d_score = weight * (d_weight - shared[:, None])
        gathered = _gathered(d_score.to(k.dtype), ROWS, COLUMNS, DEALT)
        k = _load(key, place, feature, key_roi, n_rois, n_features) if DEALT else k
        d_q = tl.dot(gathered, k, d_q, input_precision=PRECISION)
    _store(d_query + own, d_q * (scale * _LN_2), row, feature, mixed_roi, n_rois, n_features)


@triton.jit
def key_value_kernel(
    query, key, value, start, present, mixed, d_mixed, log_sum, delta, d_query, d_key, d_value,
    n_rois, n_features, n_heads,
    query_batch, query_head, query_roi, key_batch, key_head, key_roi,
    value_batch, value_head, value_roi, mixed_batch, mixed_head, mixed_roi,
    d_batch, d_head, d_roi, present_batch, present_head, start_head, start_roi, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, PRESENT: tl.constexpr,
    PRECISION: tl.constexpr, WHOLE: tl.constexpr, DEALT: tl.constexpr,
):  # fmt: skip
    """Give gradients of one tile of keys and values; of all queries, too, if it is the WHOLE."""
    batch = tl.program_id(0).to(tl.int64)
    head = (tl.program_id(1) % n_heads).to(tl.int64)
    column = (tl.program_id(1) // n_heads) * COLUMNS + tl.arange(0, COLUMNS)
    feature = tl.arange(0, FEATURES)
    query += batch * query_batch + head * query_head
    d_mixed += batch * d_batch + head * d_head
    start += head * start_head
    line = (batch * n_heads + head) * n_rois
    own = batch * mixed_batch + head * mixed_head
    key += batch * key_batch + head * key_head
    value += batch * value_batch + head * value_head
    k = _load(key, column, feature, key_roi, n_rois, n_features)
    v = _load(value, column, feature, value_roi, n_rois, n_features)
    present += batch * present_batch + head * present_head
    d_k = tl.zeros([COLUMNS, FEATURES], tl.float32)
    d_v = tl.zeros([COLUMNS, FEATURES], tl.float32)
    for first in range(0, n_rois, ROWS):
        place = first + tl.arange(0, ROWS)
        row = _dealt(place, DEALT)
        q = _load(query, row, feature, query_roi, n_rois, n_features)
        d_out = _load(d_mixed, row, feature, d_roi, n_rois, n_features)
        q_gathered, d_out_gathered = q, d_out
        if DEALT:
            q_gathered = _load(query, place, feature, query_roi, n_rois, n_features)
            d_out_gathered = _load(d_mixed, place, feature, d_roi, n_rois, n_features)
        log_total = tl.load(log_sum + line + row, mask=row < n_rois, other=float("inf"))
        if WHOLE:
            out = _load(mixed + own, row, feature, mixed_roi, n_rois, n_features)
            shared = tl.sum(out.to(tl.float32) * d_out.to(tl.float32), axis=1)
            tl.store(delta + line + row, shared, mask=row < n_rois)
        else:
            shared = tl.load(delta + line + row, mask=row < n_rois, other=0.0)
        # keys down and queries across, as the products below need them; so lies ``start``
        score = tl.dot(k, tl.trans(q), input_precision=PRECISION) * scale
        score += tl.load(start + (column[:, None] * start_roi + place[None, :]))
        weight = tl.exp2(score - log_total[None, :])
        if PRESENT:
            weight = tl.where(_kept(present, column, n_rois)[:, None], weight, 0.0)
        gathered = _gathered(weight.to(d_out.dtype), COLUMNS, ROWS, DEALT)
        d_v = tl.dot(gathered, d_out_gathered, d_v, input_precision=PRECISION)
        d_weight = tl.dot(v, tl.trans(d_out), input_precision=PRECISION)
        d_score = (weight * (d_weight - shared[None, :])).to(q.dtype)
        d_score = _gathered(d_score, COLUMNS, ROWS, DEALT)
        d_k = tl.dot(d_score, q_gathered, d_k, input_precision=PRECISION)
        if WHOLE:
            d_q = tl.dot(tl.trans(d_score), k, input_precision=PRECISION) * (scale * _LN_2)
            _store_turned(d_query + own, d_q, place, feature, mixed_roi, n_rois, n_features)
    _store(d_key + own, d_k * (scale * _LN_2), column, feature, mixed_roi, n_rois, n_features)
    _store(d_value + own, d_v, column, feature, mixed_roi, n_rois, n_features)


@triton.jit
def bias_kernel(
    query, key, value, start, present, d_mixed, log_sum, delta, d_bias,
    n_batch, n_slice, n_rois, n_features, n_heads,
    query_batch, query_head, query_roi, key_batch, key_head, key_roi,
    value_batch, value_head, value_roi, d_batch, d_head, d_roi,
    present_batch, present_head, start_head, start_roi, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, PRESENT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum the gradient of one tile of the bias over a slice of the batch."""
    n_across = tl.cdiv(n_rois, COLUMNS)
    row = (tl.program_id(0) // n_across) * ROWS + tl.arange(0, ROWS)
    column = (tl.program_id(0) % n_across) * COLUMNS + tl.arange(0, COLUMNS)
    head, piece = tl.program_id(1).to(tl.int64), tl.program_id(2)
    feature = tl.arange(0, FEATURES)
    first = (piece * n_slice).to(tl.int64)
    query += head * query_head + first * query_batch
    key += head * key_head + first * key_batch
    value += head * value_head + first * value_batch
    d_mixed += head * d_head + first * d_batch
    present += head * present_head + first * present_batch
    line = (first * n_heads + head) * n_rois
    log_sum += line
    delta += line
    start += head * start_head
    added = tl.load(start + (row[:, None] * start_roi + column[None, :]))
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for _ in range(tl.minimum(n_slice, n_batch - piece * n_slice)):
        q = _load(query, row, feature, query_roi, n_rois, n_features)
        k = _load(key, column, feature, key_roi, n_rois, n_features)
        v = _load(value, column, feature, value_roi, n_rois, n_features)
        d_out = _load(d_mixed, row, feature, d_roi, n_rois, n_features)
        log_total = tl.load(log_sum + row, mask=row < n_rois, other=float("inf"))
        shared = tl.load(delta + row, mask=row < n_rois, other=0.0)
        score = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale + added
        weight = tl.exp2(score - log_total[:, None])
        if PRESENT:
            weight = tl.where(_kept(present, column, n_rois)[None, :], weight, 0.0)
        d_weight = tl.dot(d_out, tl.trans(v), input_precision=PRECISION)
        total += weight * (d_weight - shared[:, None])
        query += query_batch
        key += key_batch
        value += value_batch
        d_mixed += d_batch
        present += present_batch
        log_sum += n_heads * n_rois
        delta += n_heads * n_rois
    own = (piece.to(tl.int64) * n_heads + head) * n_rois * n_rois
    inside = (row < n_rois)[:, None] & (column < n_rois)[None, :]
    tl.store(d_bias + own + row[:, None] * n_rois + column[None, :], total, mask=inside)
