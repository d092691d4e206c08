"""Calls of Triton's kernels of attention between ROIs with a learned bias.

What a program has in hand, how the work is shared out among programs, and what is compiled.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.compiler.compiler import max_shared_mem

from neurodyn.kernels.ahead_of_time import AheadOfTime
from neurodyn.kernels.roi_attention_kernels import (
    bias_kernel,
    forward_kernel,
    key_value_kernel,
    query_kernel,
)

__all__ = ["ahead_of_time", "backward", "forward"]


class _Tile(NamedTuple):
    """Queries and keys that a program has in hand at once, and how it is compiled."""

    rows: int
    columns: int
    n_warps: int = 4
    n_stages: int = 2


class _Tiles(NamedTuple):
    """Tiles of the kernels for one type and number of features."""

    forward: _Tile
    query: _Tile
    key_value: _Tile
    bias: _Tile


# By bytes of a number and features: the fastest on an H200 for 16 and 32, as it was measured; for
# 64 what needs no spilling.
_SLIM, _DEEP = _Tile(64, 32, n_stages=2), _Tile(64, 32, n_stages=3)
_TILES = {
    (2, 16): _Tiles(_DEEP, _DEEP, _Tile(32, 64, n_stages=1), _DEEP),
    (2, 32): _Tiles(_DEEP, _DEEP, _Tile(64, 64), _DEEP),
    (2, 64): _Tiles(_DEEP, _DEEP, _Tile(32, 64), _DEEP),
    (4, 16): _Tiles(_DEEP, _SLIM, _Tile(32, 64, n_stages=1), _DEEP),
    (4, 32): _Tiles(_Tile(128, 64, 8), _SLIM, _Tile(32, 128, 8, n_stages=1), _DEEP),
    (4, 64): _Tiles(_SLIM, _SLIM, _Tile(16, 64), _SLIM),
}
# By the same: programs of the gradients of keys and values that have all keys, the fewer first, so
# that they give gradients of queries, too. More features' sums do not fit registers.
_WHOLE = {
    (2, 16): (_Tile(32, 128), _Tile(32, 256)),
    (2, 32): (_Tile(32, 128), _Tile(64, 256, 8)),
    (4, 16): (_Tile(32, 128), _Tile(32, 256, n_stages=1)),
    (4, 32): (_Tile(32, 128), _Tile(32, 256, 8)),
}
# Bytes of shared memory that such a program may take, more than there are before sm_90.
_WHOLE_ROOM = 200 * 1024
# Every sequence reads the bias from the cache, so it is as narrow as what it is added to.
_START = {2: torch.float16, 4: torch.float32}
# What ROIs are padded to: a side of a tile divides it, or holds all keys.
_PADDED = 128
# Programs of the bias's gradient that fill a GPU; beyond, the batch is not split further.
_N_PROGRAMS = 4096

_LOG2_E = math.log2(math.e)


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
    start = _laid(_start(bias, query, mask_diagonal=mask_diagonal), query)
    options = _options(_TILES[_kind(query)].forward, query, present)
    forward_kernel[(n_batch, n_heads * triton.cdiv(n_rois, options["ROWS"]))](
        query, key, value, start, _flags(present, query), mixed, log_sum,
        n_rois, n_features, n_heads, *_strides(query), *_strides(key), *_strides(value),
        *_strides(mixed), *_flag_strides(present), *_start_strides(start), scale * _LOG2_E,
        DEALT=_deals(query), **options,
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
    flags = _flags(present, query)
    strides = tuple(n for x in (query, key, value) for n in _strides(x))
    sizes = (n_rois, n_features, n_heads)
    last = (*_strides(d_mixed), *_flag_strides(present), *_start_strides(start), scale * _LOG2_E)
    tiles, whole, deals = _TILES[_kind(query)], _whole(query), _deals(query)
    if whole is None:
        options = _options(tiles.query, query, present)
        query_kernel[(n_batch, n_heads * triton.cdiv(n_rois, options["ROWS"]))](
            query, key, value, _laid(start, query), flags, mixed, d_mixed, log_sum, d_query, delta,
            *sizes, *strides, *_strides(mixed), *last, DEALT=deals, **options,
        )  # fmt: skip
    across = _laid(start.mT, query)
    options = _options(whole or tiles.key_value, query, present)
    key_value_kernel[(n_batch, n_heads * triton.cdiv(n_rois, options["COLUMNS"]))](
        query, key, value, across, flags, mixed, d_mixed, log_sum, delta, d_query, d_key, d_value,
        *sizes, *strides, *_strides(mixed), *last, WHOLE=whole is not None, DEALT=deals,
        **options,
    )  # fmt: skip
    if bias is None or not learn_bias:
        return d_query, d_key, d_value, None
    options = _options(tiles.bias, query, present)
    n_tiles = triton.cdiv(n_rois, options["ROWS"]) * triton.cdiv(n_rois, options["COLUMNS"])
    n_slice = triton.cdiv(n_batch, max(1, _N_PROGRAMS // (n_heads * n_tiles)))
    n_slices = triton.cdiv(n_batch, n_slice)
    parts = torch.empty((n_slices, *bias.shape), device=bias.device)
    bias_kernel[(n_tiles, n_heads, n_slices)](
        query, key, value, start, flags, d_mixed, log_sum, delta, parts, n_batch, n_slice,
        *sizes, *strides, *last, **options,
    )  # fmt: skip
    return d_query, d_key, d_value, parts.sum(0).to(bias.dtype)


def _whole(query: Tensor) -> _Tile | None:
    """Return the tile of a program that has all keys of a sequence, if there is room for it."""
    fitting = [tile for tile in _WHOLE.get(_kind(query), ()) if tile.columns >= query.shape[2]]
    # a precise product makes three of one, and takes more registers than there are
    if not fitting or _precision(query) == "tf32x3":
        return None
    return fitting[0] if _room(query.device) >= _WHOLE_ROOM else None


def _room(device: torch.device) -> float:
    """Return the bytes of shared memory that a program can have; on a CPU there is no limit."""
    if device.type == "cpu":
        return math.inf
    return float(max_shared_mem(device.index))


def _precision(query: Tensor) -> str:
    precise = query.dtype == torch.float32 and torch.get_float32_matmul_precision() == "highest"
    return "tf32x3" if precise else "tf32"


def _kind(query: Tensor) -> tuple[int, int]:
    """Return bytes of a number and features, as tiles hold them."""
    return query.itemsize, max(16, triton.next_power_of_2(query.shape[3]))


def _deals(query: Tensor) -> bool:
    """Say whether kernels make scores in the order in which a product in tf32 takes them."""
    return query.itemsize == 4 and _precision(query) == "tf32"


def _options(tile: _Tile, query: Tensor, present: Tensor | None) -> dict[str, Any]:
    """Return what a kernel of a call is compiled with."""
    return {
        "ROWS": tile.rows,
        "COLUMNS": tile.columns,
        "FEATURES": _kind(query)[1],
        "PRESENT": present is not None,
        "PRECISION": _precision(query),
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
    start = torch.full(shape, -math.inf, device=query.device, dtype=_START[query.itemsize])
    start[:, :n_rois, :n_rois] = 0.0 if bias is None else bias.float() * _LOG2_E
    if mask_diagonal:
        start.diagonal(dim1=1, dim2=2).fill_(-math.inf)
    return start


def _laid(start: Tensor, query: Tensor) -> Tensor:
    """Return what is added to scores as a kernel reads it: columns adjacent, dealt if it deals."""
    if not _deals(query):
        return start.contiguous()
    dealt: Tensor = start.unflatten(2, (-1, 2, 4)).mT.flatten(2)
    return dealt


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
    """Return what is compiled without a GPU: 400 ROIs, or 100 and 200; a bias and absent ROIs.

    Examples
    --------
    >>> ahead_of_time()[0].name
    'roi_attention forward, 32 features, bf16'
    """
    kernels = {
        "forward": forward_kernel,
        "gradient of queries": query_kernel,
        "gradient of keys and values": key_value_kernel,
        "gradient of the bias": bias_kernel,
    }
    cases = [
        _case(name, kernel, tile, n_features, n_bytes)
        for (n_bytes, n_features), tiles in _TILES.items()
        if n_features != 16
        for (name, kernel), tile in zip(kernels.items(), tiles)
    ]
    whole = [
        _case(f"gradients at once, {n_rois} ROIs", key_value_kernel, tile, 32, n_bytes, n_rois)
        for n_bytes in (2, 4)
        for n_rois, tile in zip((100, 200), _WHOLE[n_bytes, 32])
    ]
    return cases + [case._replace(oldest=90) for case in whole]


def _case(
    name: str, kernel: Any, tile: _Tile, n_features: int, n_bytes: int, n_rois: int = 400
) -> AheadOfTime:
    dtype = {2: "bf16", 4: "fp32"}[n_bytes]
    types = {"present": "*u8", "scale": "fp32"}
    types |= dict.fromkeys(("log_sum", "delta", "d_bias"), "*fp32")
    types |= {"start": "*fp16" if n_bytes == 2 else "*fp32"}
    operands = ("query", "key", "value", "mixed", "d_mixed", "d_query", "d_key", "d_value")
    types |= dict.fromkeys(operands, f"*{dtype}")
    constants: dict[str, Any] = {
        "ROWS": tile.rows, "COLUMNS": tile.columns, "FEATURES": n_features, "PRESENT": True,
        "PRECISION": "tf32", "WHOLE": n_rois < 400, "DEALT": n_bytes == 4,
    }  # fmt: skip
    # Triton sees which strides are multiples of 16 when it compiles for a call; here they are given
    size, n_padded = 8 * n_features, triton.cdiv(n_rois, _PADDED) * _PADDED
    constants |= {"n_features": n_features, "n_heads": 8}
    constants |= {"start_head": n_padded**2, "start_roi": n_padded}
    for name_of in ("query", "key", "value", "mixed", "d"):
        own = {"batch": n_rois * size, "head": n_features, "roi": size}
        constants |= {f"{name_of}_{axis}": stride for axis, stride in own.items()}
    names = kernel.arg_names
    return AheadOfTime(
        f"roi_attention {name}, {n_features} features, {dtype}",
        kernel,
        {n: types.get(n, "i32") for n in names if n not in constants},
        {n: value for n, value in constants.items() if n in names},
        n_warps=tile.n_warps,
        n_stages=tile.n_stages,
    )
