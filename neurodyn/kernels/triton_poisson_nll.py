"""Triton kernels of the Poisson likelihood and of the encoder's dropped input.

Memory sets the pace: an element is read and its gradient written once, all else happens between.
Four bins of all units are taken as one row, so that a row is a whole number of Philox counters
(four numbers each) and starts where wide loads may. A program owns some columns of these rows and
walks down a slice of them. Its columns mean the same units throughout, which is why sums for each
unit stay in registers until the end. Every program writes its own partial sums.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from neurodyn.kernels.ahead_of_time import AheadOfTime
from neurodyn.kernels.coordinated_dropout import Draw
from neurodyn.kernels.philox import FEWEST_ROUNDS

__all__ = ["ahead_of_time", "dropped_input", "multiply_in_place", "poisson_nll"]

_N_STATISTICS = 4
# Counters that a program takes at once: one for every thread.
_TILE, _WARPS = 128, 4
# Enough programs to fill a GPU, few enough partial sums.
_N_PROGRAMS, _FEWEST_TILES = 4096, 4
_MULTIPLIED = 4096
_ROUNDS = tl.constexpr(FEWEST_ROUNDS)


@triton.jit
def _place(piece, n_units, n_time, n_tiles, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return a program's columns and first row, and its first counters and elements.

    Of elements: offset from the tile's start, offset in the row, batch, time.
    """
    n_blocks = tl.cdiv(n_units, COLUMNS)
    column = (piece % n_blocks) * COLUMNS + tl.arange(0, COLUMNS)
    first = (piece // n_blocks) * n_tiles * ROWS
    row, lane = tl.arange(0, ROWS), tl.arange(0, 4)[None, None, :]
    tile = row[:, None] * n_units + column[None, :]
    within = column[None, :, None] * 4 + lane
    flat = 4 * (first + row)[:, None, None] + within // n_units
    return column, first, tile, tile[:, :, None] * 4 + lane, within, flat // n_time, flat % n_time


@triton.jit
def _stride(n_elements, WHOLE: tl.constexpr):
    """Return how far apart members are, in a form that shows when it is a multiple of 4."""
    return n_elements // 4 * 4 if WHOLE else n_elements


@triton.jit
def _inside(group, column, n_units, n_elements, WHOLE: tl.constexpr):
    """Say which elements (row, column, lane) of counters (row, column) exist."""
    n_groups = ((n_elements + 3) // 4).to(tl.int32)
    inside = ((column < n_units)[None, :] & (group < n_groups))[:, :, None]
    lane = tl.arange(0, 4)[None, None, :]
    if WHOLE:
        # the same for all four, which keeps loads wide
        return inside & (lane < 4)
    n_rest = (n_elements - 4 * (n_groups.to(tl.int64) - 1)).to(tl.int32)
    return inside & ((group < n_groups - 1)[:, :, None] | (lane < n_rest))


@triton.jit
def _further(batch, time, rows, n_time):
    """Go down some rows of (batch, time)."""
    time += rows % n_time
    over = time >= n_time
    return batch + rows // n_time + over.to(tl.int32), tl.where(over, time - n_time, time)


@triton.jit
def _words(seed, group):
    """Draw numbers (row, column, lane) for counters (row, column): lane k is word k."""
    first, second, third, fourth = tl.randint4x(seed, group, n_rounds=_ROUNDS)
    # the last of joined axes runs fastest
    pairs = tl.join(tl.join(first, third), tl.join(second, fourth))
    return tl.reshape(pairs, [group.shape[0], group.shape[1], 4])


@triton.jit
def _drawn_weight(words, keep_below, pass_below, scale, PASSES: tl.constexpr):
    """Weight what the encoder does not see, or sees and is scored on all the same."""
    scored = words >= tl.cast(keep_below, tl.uint32, bitcast=True)
    if PASSES:
        scored |= words < tl.cast(pass_below, tl.uint32, bitcast=True)
    return tl.where(scored, scale, 0.0)


@triton.jit
def _store_statistic(at, column, n_units, value):
    """Store sums (row, column, lane) over rows."""
    lane = tl.arange(0, 4)[None, :]
    exists = (column < n_units)[:, None] & (lane < 4)
    tl.store(at + column[:, None] * 4 + lane, tl.sum(value, axis=0), mask=exists)


@triton.jit(do_not_specialize=["keep_below", "pass_below"])
def _nll_kernel(
    log_count, count, observed, weight, held_out, seed, gradient, nll, statistics,
    n_units, n_time, n_read_time, n_elements, count_stride, observed_stride, weight_stride,
    n_tiles, keep_below, pass_below, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DROPPED: tl.constexpr, HELD_OUT: tl.constexpr,
    OBSERVED: tl.constexpr, WEIGHT: tl.constexpr, WHOLE: tl.constexpr, GRADIENT: tl.constexpr,
    STATISTICS: tl.constexpr, FORWARD: tl.constexpr, PASSES: tl.constexpr,
):  # fmt: skip
    piece, member = tl.program_id(0), tl.program_id(1).to(tl.int64)
    column, first, tile, element, within, batch, time = _place(
        piece, n_units, n_time, n_tiles, ROWS, COLUMNS
    )
    log_count += member * _stride(n_elements, WHOLE)
    gradient += member * _stride(n_elements, WHOLE)
    count += member * _stride(count_stride, WHOLE)
    observed += member * _stride(observed_stride, WHOLE)
    weight += member * (_stride(weight_stride, WHOLE) if WEIGHT else weight_stride)
    key = tl.load(seed + member) if DROPPED else 0
    only_target = tl.load(held_out + within % n_units) != 0 if HELD_OUT else within < 0
    member_weight = tl.load(weight).to(tl.float32)
    total, rates = tl.zeros([ROWS, COLUMNS], tl.float32), tl.zeros([ROWS, COLUMNS, 4], tl.float32)
    log_rates, counts, n_seen = rates, rates, rates
    for index in range(n_tiles):
        group = (first + index * ROWS) * n_units + tile
        inside = _inside(group, column, n_units, n_elements, WHOLE)
        base = (first + index * ROWS).to(tl.int64) * n_units * 4
        x = tl.load(log_count + base + element, mask=inside, other=0.0).to(tl.float32)
        n = tl.load(count + base + element, mask=inside, other=0).to(tl.float32)
        factor = tl.where(inside, member_weight, 0.0)
        if WEIGHT:
            factor = tl.load(weight + base + element, mask=inside, other=0.0).to(tl.float32)
        if DROPPED:
            drawn = _drawn_weight(_words(key, group), keep_below, pass_below, scale, PASSES)
            certain = only_target
            if FORWARD:
                certain = only_target | (time >= n_read_time)
                batch, time = _further(batch, time, 4 * ROWS, n_time)
            factor *= tl.where(certain, 1.0, drawn)
        seen = inside
        if OBSERVED:
            seen = inside & (tl.load(observed + base + element, mask=inside, other=0) != 0)
        rate, log_rate = tl.exp(x), n * x
        total += tl.sum(tl.where(seen, factor * (rate - log_rate), 0.0), axis=2)
        if GRADIENT:
            slope = tl.where(seen, factor * (rate - n), 0.0)
            tl.store(gradient + base + element, slope.to(gradient.dtype.element_ty), mask=inside)
        if STATISTICS:
            rates += tl.where(seen, rate, 0.0)
            log_rates += tl.where(seen, log_rate, 0.0)
            counts += tl.where(seen, n, 0.0)
            n_seen += seen.to(tl.float32)
    tl.store(nll + member * tl.num_programs(0) + piece, tl.sum(tl.sum(total, axis=1), axis=0))
    if STATISTICS:
        n_blocks = tl.cdiv(n_units, COLUMNS)
        part = member * (tl.num_programs(0) // n_blocks) + piece // n_blocks
        at = statistics + part * 16 * n_units
        _store_statistic(at, column, n_units, rates)
        _store_statistic(at + 4 * n_units, column, n_units, log_rates)
        _store_statistic(at + 8 * n_units, column, n_units, counts)
        _store_statistic(at + 12 * n_units, column, n_units, n_seen)


@triton.jit(do_not_specialize=["keep_below"])
def _input_kernel(
    count, observed, column_of_unit, seed, dropped,
    n_units, n_time, n_read_time, n_read_units, n_elements, count_stride, observed_stride,
    n_tiles, keep_below, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DROPPED: tl.constexpr, OBSERVED: tl.constexpr,
    WHOLE: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    column, first, tile, element, within, batch, time = _place(
        tl.program_id(0), n_units, n_time, n_tiles, ROWS, COLUMNS
    )
    place = tl.load(column_of_unit + within % n_units)
    dropped += member * (n_elements // n_units // n_time) * n_read_time * n_read_units
    count += member * _stride(count_stride, WHOLE)
    observed += member * _stride(observed_stride, WHOLE)
    key = tl.load(seed + member) if DROPPED else 0
    for index in range(n_tiles):
        group = (first + index * ROWS) * n_units + tile
        inside = _inside(group, column, n_units, n_elements, WHOLE)
        base = (first + index * ROWS).to(tl.int64) * n_units * 4
        value = tl.load(count + base + element, mask=inside, other=0).to(tl.float32)
        if OBSERVED:
            seen = tl.load(observed + base + element, mask=inside, other=0) != 0
            value = tl.where(seen, value, 0.0)
        if DROPPED:
            kept = _words(key, group) < tl.cast(keep_below, tl.uint32, bitcast=True)
            value = tl.where(kept, value * scale, 0.0)
        read = inside & (place >= 0) & (time < n_read_time)
        at = dropped + (batch.to(tl.int64) * n_read_time + time) * n_read_units + place
        tl.store(at, value.to(dropped.dtype.element_ty), mask=read)
        batch, time = _further(batch, time, 4 * ROWS, n_time)


@triton.jit
def _multiply_kernel(value, factor, n_elements, BLOCK: tl.constexpr):
    member = tl.program_id(1).to(tl.int64)
    by = tl.load(factor + member).to(tl.float32)
    # a loss that is the sum itself asks for nothing, and then nothing is read
    if by != 1.0:
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = at < n_elements
        value += member * n_elements
        old = tl.load(value + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(value + at, (old * by).to(value.dtype.element_ty), mask=inside)


class _Plan(NamedTuple):
    """How the elements of one member are shared out."""

    rows: int
    columns: int
    n_blocks: int
    n_slices: int
    n_tiles: int

    @property
    def n_pieces(self) -> int:
        return self.n_blocks * self.n_slices


def _plan(n_members: int, n_batch: int, n_time: int, n_units: int) -> _Plan:
    """Share out, by sizes alone, so that sums are the same on every device."""
    # the widest that leaves few lanes idle
    padded = {width: triton.cdiv(n_units, width) * width for width in (128, 64, 32, 16, 8)}
    columns = next(width for width in padded if padded[width] <= 1.15 * min(padded.values()))
    rows, n_blocks = _TILE // columns, triton.cdiv(n_units, columns)
    n_tiles = triton.cdiv(triton.cdiv(n_batch * n_time, 4), rows)
    n_slices = min(
        max(_N_PROGRAMS // (n_blocks * n_members), 1), triton.cdiv(n_tiles, _FEWEST_TILES)
    )
    each = triton.cdiv(n_tiles, n_slices)
    return _Plan(rows, columns, n_blocks, triton.cdiv(n_tiles, each), each)


def poisson_nll(
    log_count: Tensor,
    count: Tensor,
    observed: Tensor | None,
    weight: Tensor,
    held_out: Tensor | None,
    seed: Tensor | None,
    draw: Draw,
    *,
    gradient: bool,
    statistics: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sum, its gradient and the sums of every unit.

    Parameters
    ----------
    log_count, count, observed, weight, held_out, seed, draw
        As :func:`neurodyn.kernels.poisson_nll.poisson_nll` has arranged them: contiguous, those
        that members share with a first axis of 1, ``weight`` per member or per element.
    gradient, statistics
        Whether they are made; empty otherwise.
    """
    n_members, n_batch, n_time, n_units = log_count.shape
    n_elements = log_count[0].numel()
    plan = _plan(n_members, n_batch, n_time, n_units)
    nll = torch.empty((n_members, plan.n_pieces), device=log_count.device)
    slope = torch.empty(log_count.shape if gradient else 0, **_like(log_count))
    shape = (n_members, plan.n_slices, _N_STATISTICS, 4, n_units) if statistics else (0,)
    sums = torch.empty(shape, device=log_count.device)
    _nll_kernel[(plan.n_pieces, n_members)](
        log_count, count, _bytes(observed, nll), weight, _bytes(held_out, nll), _or(seed, nll),
        slope, nll, sums, n_units, n_time, draw.n_read_time, n_elements, _apart(count),
        _apart(observed), _apart(weight), plan.n_tiles, _signed(draw.keep_below),
        _signed(draw.pass_below), draw.scale,
        ROWS=plan.rows, COLUMNS=plan.columns, DROPPED=seed is not None,
        HELD_OUT=held_out is not None, OBSERVED=observed is not None, WEIGHT=weight.ndim > 1,
        WHOLE=n_elements % 4 == 0, GRADIENT=gradient, STATISTICS=statistics,
        FORWARD=draw.n_read_time < n_time, PASSES=draw.pass_below > 0, num_warps=_WARPS,
    )  # fmt: skip
    total = nll.sum(1, dtype=torch.float64).to(torch.float32)
    if statistics:
        sums = sums.sum((1, 3), dtype=torch.float64)
    return total, slope, sums


def dropped_input(
    count: Tensor,
    observed: Tensor | None,
    units: Tensor,
    seed: Tensor | None,
    draw: Draw,
    dtype: torch.dtype,
) -> Tensor:
    """Return the encoder's input (population, batch, time read, unit read).

    Parameters
    ----------
    count, observed, seed, draw
        As of :func:`poisson_nll`.
    units
        Indices of the units that are read.
    dtype
        Of the result.
    """
    n_members, n_batch, n_time, n_units = count.shape
    if seed is not None:
        n_members = len(seed)
    n_read_units = len(units)
    places = torch.arange(n_read_units, device=count.device, dtype=torch.int32)
    column_of_unit = places.new_full((n_units,), -1).index_copy_(0, units, places)
    n_elements = count[0].numel()
    plan = _plan(n_members, n_batch, n_time, n_units)
    shape = (n_members, n_batch, draw.n_read_time, n_read_units)
    dropped = torch.empty(shape, device=count.device, dtype=dtype)
    _input_kernel[(plan.n_pieces, n_members)](
        count, _bytes(observed, count), column_of_unit, _or(seed, count), dropped,
        n_units, n_time, draw.n_read_time, n_read_units, n_elements, _apart(count),
        _apart(observed), plan.n_tiles, _signed(draw.keep_below), 1 / draw.keep_prob,
        ROWS=plan.rows, COLUMNS=plan.columns, DROPPED=seed is not None,
        OBSERVED=observed is not None, WHOLE=n_elements % 4 == 0, num_warps=_WARPS,
    )  # fmt: skip
    return dropped


def multiply_in_place(value: Tensor, factor: Tensor) -> None:
    """Multiply every member's elements by its factor; by 1 costs no memory traffic."""
    n_elements = value[0].numel()
    grid = (triton.cdiv(n_elements, _MULTIPLIED), len(value))
    _multiply_kernel[grid](value, factor.contiguous(), n_elements, BLOCK=_MULTIPLIED)


def _like(tensor: Tensor) -> dict[str, Any]:
    return {"device": tensor.device, "dtype": tensor.dtype}


def _or(tensor: Tensor | None, other: Tensor) -> Tensor:
    """Return something to point at where a kernel will not look."""
    return other if tensor is None else tensor


def _bytes(flags: Tensor | None, other: Tensor) -> Tensor:
    return other if flags is None else flags.view(torch.uint8)


def _apart(tensor: Tensor | None) -> int:
    """Return how far apart members are, 0 where they share."""
    return 0 if tensor is None or len(tensor) == 1 else tensor[0].numel()


def _signed(threshold: int) -> int:
    """Return the int32 of the same bits."""
    threshold = min(threshold, 2**32 - 1)
    return threshold - 2**32 if threshold >= 2**31 else threshold


def ahead_of_time() -> list[AheadOfTime]:
    """Return what is compiled without a GPU: 182 units, counts as bytes.

    Examples
    --------
    >>> [case.n_warps for case in ahead_of_time()]
    [4, 4, 4, 4, 4]
    """
    return [
        _nll_case("training, float32", "fp32", statistics=False),
        _nll_case("training, bfloat16", "bf16", statistics=False),
        _nll_case("with statistics", "fp32", statistics=True),
        AheadOfTime(
            "dropped_input",
            _input_kernel,
            _signature(_input_kernel, _POINTERS | {"dropped": "*fp32"}),
            {
                "ROWS": _TILE // 64,
                "COLUMNS": 64,
                "DROPPED": True,
                "OBSERVED": False,
                "WHOLE": True,
            },
        ),
        AheadOfTime(
            "poisson_nll scaling of the gradient",
            _multiply_kernel,
            _signature(_multiply_kernel, {"value": "*fp32", "factor": "*fp32"}),
            {"BLOCK": _MULTIPLIED},
        ),
    ]


_POINTERS = {
    "count": "*u8", "observed": "*u8", "held_out": "*u8", "column_of_unit": "*i32",
    "seed": "*i64", "weight": "*fp32", "nll": "*fp32", "statistics": "*fp32", "scale": "fp32",
}  # fmt: skip


def _nll_case(name: str, dtype: str, *, statistics: bool) -> AheadOfTime:
    types = _POINTERS | {"log_count": f"*{dtype}", "gradient": f"*{dtype}"}
    constants = {
        "ROWS": _TILE // 64, "COLUMNS": 64, "DROPPED": True, "HELD_OUT": True, "OBSERVED": False,
        "WEIGHT": False, "WHOLE": True, "GRADIENT": True, "STATISTICS": statistics,
        "FORWARD": True, "PASSES": True,
    }  # fmt: skip
    name = f"poisson_nll {name}"
    return AheadOfTime(name, _nll_kernel, _signature(_nll_kernel, types), constants)


def _signature(kernel: Any, types: dict[str, str]) -> dict[str, str]:
    """Return types of run-time arguments: sizes are 32-bit integers."""
    names = [name for name in kernel.arg_names if not name.isupper()]
    return {name: types.get(name, "i32") for name in names}
