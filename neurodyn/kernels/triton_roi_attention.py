"""Triton kernels of attention between ROIs with a learned bias, without any stored scores.

The forward pass keeps the logarithm of each row's sum; the backward kernels make scores again
from it. Three of them each own what they add up, in registers and in a fixed order: gradients of
queries (one tile of rows), of keys and values (one tile of columns), and of the bias (one tile of
rows and columns, over a slice of the batch).

Sequences run fastest through the grid, so that programs at work together read the same tile of
the bias, and find it in the cache.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from neurodyn.kernels.ahead_of_time import AheadOfTime

__all__ = ["ahead_of_time", "backward", "forward"]


class _Tile(NamedTuple):
    """Queries and keys that a program has in hand at once, and how it is compiled."""

    rows: int
    columns: int
    n_warps: int = 4
    n_stages: int = 2


# By kernel and bytes of a number: the fastest on a GPU among those that need no spilling.
_TILES = {
    "forward": {2: _Tile(64, 64, n_stages=3), 4: _Tile(64, 32)},
    "query": {2: _Tile(64, 32), 4: _Tile(64, 32)},
    "key_value": {2: _Tile(32, 64), 4: _Tile(32, 64)},
    "bias": {2: _Tile(64, 32), 4: _Tile(64, 32)},
}
# Every sequence reads the bias from the cache, so it is as narrow as what it is added to.
_START = {2: torch.float16, 4: torch.float32}
# What ROIs are padded to: the largest side of a tile.
_PADDED = 128
# Programs of the bias's gradient that fill a GPU; beyond, the batch is not split further.
_N_PROGRAMS = 4096

_LOG2_E = math.log2(math.e)
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
def _kept(present, roi, n_rois):
    return tl.load(present + roi, mask=roi < n_rois, other=0) != 0


@triton.jit
def _forward_kernel(
    query, key, value, start, present, mixed, log_sum, n_rois, n_features, n_heads,
    query_batch, query_head, query_roi, key_batch, key_head, key_roi,
    value_batch, value_head, value_roi, mixed_batch, mixed_head, mixed_roi,
    present_batch, present_head, start_head, start_roi, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, PRESENT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
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
        column = first + tl.arange(0, COLUMNS)
        k = _load(key, column, feature, key_roi, n_rois, n_features)
        v = _load(value, column, feature, value_roi, n_rois, n_features)
        score = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        score += tl.load(start + (row[:, None] * start_roi + column[None, :]))
        if PRESENT:
            score = tl.where(_kept(present, column, n_rois)[None, :], score, float("-inf"))
        higher = tl.maximum(highest, tl.max(score, axis=1))
        # a row that has not met an allowed key yet stays at 0, not at inf - inf
        pivot = tl.where(higher == float("-inf"), 0.0, higher)
        weight = tl.exp2(score - pivot[:, None])
        fade = tl.exp2(highest - pivot)
        total = total * fade + tl.sum(weight, axis=1)
        sums = sums * fade[:, None]
        sums = tl.dot(weight.to(v.dtype), v, sums, input_precision=PRECISION)
        highest = higher
    empty = total == 0.0
    sums = sums / tl.where(empty, 1.0, total)[:, None]
    mixed += batch * mixed_batch + head * mixed_head
    _store(mixed, sums, row, feature, mixed_roi, n_rois, n_features)
    # plus infinity gives such a row weights of 0 in the backward pass
    log_total = tl.where(empty, float("inf"), highest + tl.log2(tl.where(empty, 1.0, total)))
    tl.store(log_sum + (batch * n_heads + head) * n_rois + row, log_total, mask=row < n_rois)


@triton.jit
def _query_kernel(
    query, key, value, start, present, mixed, d_mixed, log_sum, d_query, delta,
    n_rois, n_features, n_heads,
    query_batch, query_head, query_roi, key_batch, key_head, key_roi,
    value_batch, value_head, value_roi, mixed_batch, mixed_head, mixed_roi,
    d_batch, d_head, d_roi, present_batch, present_head, start_head, start_roi, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, PRESENT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
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
        column = first + tl.arange(0, COLUMNS)
        k = _load(key, column, feature, key_roi, n_rois, n_features)
        v = _load(value, column, feature, value_roi, n_rois, n_features)
        score = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        score += tl.load(start + (row[:, None] * start_roi + column[None, :]))
        if PRESENT:
            score = tl.where(_kept(present, column, n_rois)[None, :], score, float("-inf"))
        weight = tl.exp2(score - log_total[:, None])
        d_weight = tl.dot(d_out, tl.trans(v), input_precision=PRECISION)
        d_score = weight * (d_weight - shared[:, None])
        d_q = tl.dot(d_score.to(k.dtype), k, d_q, input_precision=PRECISION)
    _store(d_query + own, d_q * (scale * _LN_2), row, feature, mixed_roi, n_rois, n_features)


@triton.jit
def _key_value_kernel(
    query, key, value, start, present, d_mixed, log_sum, delta, d_key, d_value,
    n_rois, n_features, n_heads,
    query_batch, query_head, query_roi, key_batch, key_head, key_roi,
    value_batch, value_head, value_roi, mixed_batch, mixed_head, mixed_roi,
    d_batch, d_head, d_roi, present_batch, present_head, start_head, start_roi, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, PRESENT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    batch = tl.program_id(0).to(tl.int64)
    head = (tl.program_id(1) % n_heads).to(tl.int64)
    column = (tl.program_id(1) // n_heads) * COLUMNS + tl.arange(0, COLUMNS)
    feature = tl.arange(0, FEATURES)
    query += batch * query_batch + head * query_head
    d_mixed += batch * d_batch + head * d_head
    start += head * start_head
    line = (batch * n_heads + head) * n_rois
    key += batch * key_batch + head * key_head
    value += batch * value_batch + head * value_head
    k = _load(key, column, feature, key_roi, n_rois, n_features)
    v = _load(value, column, feature, value_roi, n_rois, n_features)
    present += batch * present_batch + head * present_head
    d_k = tl.zeros([COLUMNS, FEATURES], tl.float32)
    d_v = tl.zeros([COLUMNS, FEATURES], tl.float32)
    for first in range(0, n_rois, ROWS):
        row = first + tl.arange(0, ROWS)
        q = _load(query, row, feature, query_roi, n_rois, n_features)
        d_out = _load(d_mixed, row, feature, d_roi, n_rois, n_features)
        log_total = tl.load(log_sum + line + row, mask=row < n_rois, other=float("inf"))
        shared = tl.load(delta + line + row, mask=row < n_rois, other=0.0)
        # keys down and queries across, as the products below need them; so lies ``start``
        score = tl.dot(k, tl.trans(q), input_precision=PRECISION) * scale
        score += tl.load(start + (column[:, None] * start_roi + row[None, :]))
        weight = tl.exp2(score - log_total[None, :])
        if PRESENT:
            weight = tl.where(_kept(present, column, n_rois)[:, None], weight, 0.0)
        d_v = tl.dot(weight.to(d_out.dtype), d_out, d_v, input_precision=PRECISION)
        d_weight = tl.dot(v, tl.trans(d_out), input_precision=PRECISION)
        d_score = weight * (d_weight - shared[None, :])
        d_k = tl.dot(d_score.to(q.dtype), q, d_k, input_precision=PRECISION)
    own = batch * mixed_batch + head * mixed_head
    _store(d_key + own, d_k * (scale * _LN_2), column, feature, mixed_roi, n_rois, n_features)
    _store(d_value + own, d_v, column, feature, mixed_roi, n_rois, n_features)


@triton.jit
def _bias_kernel(
    query, key, value, start, present, d_mixed, log_sum, delta, d_bias,
    n_batch, n_slice, n_rois, n_features, n_heads,
    query_batch, query_head, query_roi, key_batch, key_head, key_roi,
    value_batch, value_head, value_roi, d_batch, d_head, d_roi,
    present_batch, present_head, start_head, start_roi, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FEATURES: tl.constexpr, PRESENT: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
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
    """Return mixed values and the logarithm of each row's sum.

    Parameters
    ----------
    query, key, value, start, present, scale, mask_diagonal
        As of :func:`neurodyn.kernels.roi_attention.roi_attention`, checked; ``present`` (batch,
        head, roi).

    Returns
    -------
    mixed, log_sum : Tensor
        (batch, head, roi, feature), heads of a ROI adjacent in memory; (batch, head, roi),
        float32, plus infinity for rows without an allowed key.
    """
    query, key, value = (_adjacent(x) for x in (query, key, value))
    n_batch, n_heads, n_rois, n_features = query.shape
    mixed = _empty_like(query)
    log_sum = torch.empty(query.shape[:3], device=query.device)
    start = _start(bias, query, mask_diagonal=mask_diagonal)
    options = _options("forward", query, present)
    _forward_kernel[(n_batch, n_heads * triton.cdiv(n_rois, options["ROWS"]))](
        query, key, value, start, _flags(present, query), mixed, log_sum,
        n_rois, n_features, n_heads, *_strides(query), *_strides(key), *_strides(value),
        *_strides(mixed), *_flag_strides(present), *_start_strides(start), scale * _LOG2_E,
        **options,
    )  # fmt: skip
    return mixed, log_sum


def backward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    present: Tensor | None,
    mixed: Tensor,
    log_sum: Tensor,
    d_mixed: Tensor,
    scale: float,
    *,
    mask_diagonal: bool,
    learn_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return gradients of queries, keys, values and, if it is learned, of the bias."""
    query, key, value, d_mixed = (_adjacent(x) for x in (query, key, value, d_mixed))
    n_batch, n_heads, n_rois, n_features = query.shape
    d_query, d_key, d_value = (_empty_like(query) for _ in range(3))
    delta = torch.empty(query.shape[:3], device=query.device)
    start = _start(bias, query, mask_diagonal=mask_diagonal)
    across = start.mT.contiguous()
    flags = _flags(present, query)
    strides = tuple(n for x in (query, key, value) for n in _strides(x))
    sizes = (n_rois, n_features, n_heads)
    last = (*_strides(d_mixed), *_flag_strides(present), *_start_strides(start), scale * _LOG2_E)
    options = _options("query", query, present)
    _query_kernel[(n_batch, n_heads * triton.cdiv(n_rois, options["ROWS"]))](
        query, key, value, start, flags, mixed, d_mixed, log_sum, d_query, delta,
        *sizes, *strides, *_strides(mixed), *last, **options,
    )  # fmt: skip
    options = _options("key_value", query, present)
    _key_value_kernel[(n_batch, n_heads * triton.cdiv(n_rois, options["COLUMNS"]))](
        query, key, value, across, flags, d_mixed, log_sum, delta, d_key, d_value,
        *sizes, *strides, *_strides(mixed), *last, **options,
    )  # fmt: skip
    if bias is None or not learn_bias:
        return d_query, d_key, d_value, None
    options = _options("bias", query, present)
    n_tiles = triton.cdiv(n_rois, options["ROWS"]) * triton.cdiv(n_rois, options["COLUMNS"])
    n_slice = triton.cdiv(n_batch, max(1, _N_PROGRAMS // (n_heads * n_tiles)))
    n_slices = triton.cdiv(n_batch, n_slice)
    parts = torch.empty((n_slices, *bias.shape), device=bias.device)
    _bias_kernel[(n_tiles, n_heads, n_slices)](
        query, key, value, start, flags, d_mixed, log_sum, delta, parts, n_batch, n_slice,
        *sizes, *strides, *last, **options,
    )  # fmt: skip
    return d_query, d_key, d_value, parts.sum(0).to(bias.dtype)


def _options(kernel: str, query: Tensor, present: Tensor | None) -> dict[str, Any]:
    """Return what a kernel of a call is compiled with."""
    precise = query.dtype == torch.float32 and torch.get_float32_matmul_precision() == "highest"
    tile = _TILES[kernel][query.dtype.itemsize]
    return {
        "ROWS": tile.rows,
        "COLUMNS": tile.columns,
        "FEATURES": max(16, triton.next_power_of_2(query.shape[3])),
        "PRESENT": present is not None,
        "PRECISION": "tf32x3" if precise else "tf32",
        "num_warps": tile.n_warps,
        "num_stages": tile.n_stages,
    }


def _empty_like(query: Tensor) -> Tensor:
    n_batch, n_heads, n_rois, n_features = query.shape
    shape = (n_batch, n_rois, n_heads, n_features)
    return torch.empty(shape, device=query.device, dtype=query.dtype).transpose(1, 2)


def _start(bias: Tensor | None, query: Tensor, *, mask_diagonal: bool) -> Tensor:
    """Return what is added to scores, (head or 1, roi, roi), both padded to whole tiles.

    In units of base 2, as the exponentials are; minus infinity where nobody may look.
    """
    n_rois = query.shape[2]
    n_padded = triton.cdiv(n_rois, _PADDED) * _PADDED
    shape = (1 if bias is None else len(bias), n_padded, n_padded)
    start = torch.full(shape, -math.inf, device=query.device, dtype=_START[query.dtype.itemsize])
    start[:, :n_rois, :n_rois] = 0.0 if bias is None else bias.float() * _LOG2_E
    if mask_diagonal:
        start.diagonal(dim1=1, dim2=2).fill_(-math.inf)
    return start


def _adjacent(tensor: Tensor) -> Tensor:
    """Return a tensor whose features follow one another in memory."""
    return tensor if tensor.stride(3) == 1 else tensor.contiguous()


def _flags(present: Tensor | None, other: Tensor) -> Tensor:
    return other if present is None else present.view(torch.uint8)


def _strides(tensor: Tensor) -> tuple[int, int, int]:
    return tensor.stride(0), tensor.stride(1), tensor.stride(2)


def _flag_strides(present: Tensor | None) -> tuple[int, int]:
    if present is None:
        return 0, 0
    return present.stride(0), present.stride(1)


def _start_strides(start: Tensor) -> tuple[int, int]:
    return start.stride(0) if len(start) > 1 else 0, start.stride(1)


def ahead_of_time() -> list[AheadOfTime]:
    """Return what is compiled without a GPU: 400 ROIs, a bias and absent ROIs.

    Examples
    --------
    >>> ahead_of_time()[0].name
    'roi_attention forward, 32 features, bf16'
    """
    kernels = {
        "forward": ("forward", _forward_kernel),
        "gradient of queries": ("query", _query_kernel),
        "gradient of keys and values": ("key_value", _key_value_kernel),
        "gradient of the bias": ("bias", _bias_kernel),
    }
    return [
        _case(f"roi_attention {name}, {n_features} features, {dtype}", *kernel, n_features, dtype)
        for dtype, n_features in (("bf16", 32), ("bf16", 64), ("fp32", 32), ("fp32", 64))
        for name, kernel in kernels.items()
    ]


def _case(name: str, tiled: str, kernel: Any, n_features: int, dtype: str) -> AheadOfTime:
    types = {"present": "*u8", "scale": "fp32"}
    types |= dict.fromkeys(("log_sum", "delta", "d_bias"), "*fp32")
    types |= {"start": "*fp16" if dtype == "bf16" else "*fp32"}
    operands = ("query", "key", "value", "mixed", "d_mixed", "d_query", "d_key", "d_value")
    types |= dict.fromkeys(operands, f"*{dtype}")
    tile = _TILES[tiled][2 if dtype == "bf16" else 4]
    constants: dict[str, Any] = {
        "ROWS": tile.rows, "COLUMNS": tile.columns,
        "FEATURES": n_features, "PRESENT": True, "PRECISION": "tf32",
    }  # fmt: skip
    # Triton sees which strides are multiples of 16 when it compiles for a call; here they are given
    n_rois, size = 400, 8 * n_features
    constants |= {"n_features": n_features, "n_heads": 8, "start_head": 512 * 512, "start_roi": 512}
    for name_of in ("query", "key", "value", "mixed", "d"):
        own = {"batch": n_rois * size, "head": n_features, "roi": size}
        constants |= {f"{name_of}_{axis}": stride for axis, stride in own.items()}
    names = kernel.arg_names
    return AheadOfTime(
        name,
        kernel,
        {n: types.get(n, "i32") for n in names if n not in constants},
        {n: value for n, value in constants.items() if n in names},
        n_warps=tile.n_warps,
        n_stages=tile.n_stages,
    )
