"""Triton kernels of the Poisson likelihood and of the encoder's dropped input.

Memory sets the pace: an element is read and its gradient written once, all else happens between
in few instructions. Some bins of all units (``LANES``, 4 or 8) are taken as one row, so that a row
is a whole number of Philox counters (four numbers each) and starts where wide loads may. A program
owns some columns of these rows and walks down a slice of them. Its columns mean the same units
throughout, which is why their weights and sums stay in registers. Every program writes its own
partial sums.
"""

from __future__ import annotations

import math
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
# Pieces of a row that a program takes at once: one for every thread.
_TILE, _WARPS = 128, 4
# Enough programs to fill a GPU, few enough partial sums; elements that pay for a thread's start.
_N_PROGRAMS, _FEWEST_ELEMENTS = 4096, 32
# Partial sums that are read at once; elements that are multiplied at once, by how many programs.
_SUMMED, _MULTIPLIED, _N_MULTIPLYING = 4096, 2048, 512
_ROUNDS = tl.constexpr(FEWEST_ROUNDS)
_LOG2_E = tl.constexpr(math.log2(math.e))
# The logarithm of a rate of 0, for what does not exist or is not observed.
_NOTHING = tl.constexpr(-1000.0)


@triton.jit
def _place(piece, n_units, n_tiles, ROWS: tl.constexpr, COLUMNS: tl.constexpr, LANES: tl.constexpr):
    """Return a program's first row and columns, and of its first tile what lies where.

    Of elements (row, column and lane): offset in the row, offset from the tile's start. Of pieces
    (row, column): offset.
    """
    n_blocks = tl.cdiv(n_units, COLUMNS)
    first, start = piece // n_blocks * n_tiles * ROWS, piece % n_blocks * COLUMNS
    row, column = tl.arange(0, ROWS)[:, None], start + tl.arange(0, COLUMNS)
    within = (start * LANES + tl.arange(0, COLUMNS * LANES))[None, :]
    return first, column, within, row * (n_units * LANES) + within, row * n_units + column[None, :]


@triton.jit
def _whole(n_elements, WHOLE: tl.constexpr, LANES: tl.constexpr):
    """Return a number in a form that shows when it is a multiple of LANES: loads can be wide."""
    return n_elements // LANES * LANES if WHOLE else n_elements


@triton.jit
def _when(first, within, n_units, n_time, ROWS: tl.constexpr, LANES: tl.constexpr):
    """Return (batch, time) of elements in some rows."""
    flat = LANES * (first + tl.arange(0, ROWS))[:, None] + within // n_units
    return flat // n_time, flat % n_time


@triton.jit
def _further(batch, time, rows, n_time):
    """Go down some rows of (batch, time)."""
    time += rows % n_time
    over = time >= n_time
    return batch + rows // n_time + over.to(tl.int32), tl.where(over, time - n_time, time)


@triton.jit
def _four_words(seed, counter):
    """Draw four numbers, as ``tl.randint4x``, which takes two instructions for a product."""
    first = counter.to(tl.uint32, bitcast=True)
    second, third, fourth = tl.zeros_like(first), tl.zeros_like(first), tl.zeros_like(first)
    low, high = seed.to(tl.uint32), (seed >> 32).to(tl.uint32)
    for _ in tl.static_range(_ROUNDS):
        of_first, of_third = first.to(tl.uint64) * 0xD2511F53, third.to(tl.uint64) * 0xCD9E8D57
        first = (of_third >> 32).to(tl.uint32) ^ second ^ low
        third = (of_first >> 32).to(tl.uint32) ^ fourth ^ high
        second, fourth = of_third.to(tl.uint32), of_first.to(tl.uint32)
        low, high = low + 0x9E3779B9, high + 0xBB67AE85
    return first, second, third, fourth


@triton.jit
def _words(seed, group, LANES: tl.constexpr):
    """Draw a number for every element of pieces (row, column): lane k has word k % 4."""
    # the last of joined axes runs fastest
    if LANES == 4:
        first, second, third, fourth = _four_words(seed, group)
        words = tl.join(tl.join(first, third), tl.join(second, fourth))
    else:
        first, second, third, fourth = _four_words(seed, 2 * group)
        fifth, sixth, seventh, eighth = _four_words(seed, 2 * group + 1)
        even = tl.join(tl.join(first, fifth), tl.join(third, seventh))
        words = tl.join(even, tl.join(tl.join(second, sixth), tl.join(fourth, eighth)))
    return tl.reshape(words, [group.shape[0], group.shape[1] * LANES])


@triton.jit
def _flags(flag, column, n_units, LANES: tl.constexpr):
    """Read a flag of the unit of every element in some columns of a row."""
    # lane by lane: a wide load has a layout of its own, to which the compiler would move all else
    unit, bits = column * LANES % n_units, tl.zeros_like(column)
    for lane in tl.static_range(LANES):
        bits |= (tl.load(flag + unit) != 0).to(tl.int32) << lane
        unit = tl.where(unit + 1 < n_units, unit + 1, 0)
    bits = bits[:, None] >> tl.arange(0, LANES)[None, :]
    return tl.reshape(bits, [1, column.shape[0] * LANES]) & 1 != 0


@triton.jit
def _scored(words, pass_below, n_lost, PASSES: tl.constexpr):
    """Say what is scored: all but words of a range, whose start is taken to 0."""
    if PASSES:
        words -= tl.cast(pass_below, tl.uint32, bitcast=True)
    return words >= tl.cast(n_lost, tl.uint32, bitcast=True)


@triton.jit
def _store_statistics(at, within, width, rates, log_rates, counts, n_seen):
    """Store sums over rows."""
    at, exists = at + within, within < width
    tl.store(at, tl.sum(rates, axis=0, keep_dims=True), mask=exists)
    tl.store(at + width, tl.sum(log_rates, axis=0, keep_dims=True), mask=exists)
    tl.store(at + 2 * width, tl.sum(counts, axis=0, keep_dims=True), mask=exists)
    tl.store(at + 3 * width, tl.sum(n_seen, axis=0, keep_dims=True), mask=exists)


@triton.jit(do_not_specialize=["pass_below", "n_lost"])
def _nll_kernel(
    log_count, count, observed, weight, held_out, seed, gradient, nll, statistics,
    n_units, n_time, n_read_time, n_elements, count_stride, observed_stride, weight_stride,
    n_tiles, pass_below, n_lost, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, LANES: tl.constexpr, DROPPED: tl.constexpr,
    HELD_OUT: tl.constexpr, OBSERVED: tl.constexpr, WEIGHT_DIMS: tl.constexpr,
    WHOLE: tl.constexpr, GRADIENT: tl.constexpr, STATISTICS: tl.constexpr, FORWARD: tl.constexpr,
    PASSES: tl.constexpr,
):  # fmt: skip
    piece, member = tl.program_id(0), tl.program_id(1).to(tl.int64)
    first, column, within, element, group = _place(piece, n_units, n_tiles, ROWS, COLUMNS, LANES)
    base, step = first.to(tl.int64) * n_units * LANES, ROWS * n_units * LANES
    n_left = _whole(n_elements, WHOLE, LANES) - base
    log_count += member * _whole(n_elements, WHOLE, LANES) + base
    gradient += member * _whole(n_elements, WHOLE, LANES) + base
    count += member * _whole(count_stride, WHOLE, LANES) + base
    observed += member * _whole(observed_stride, WHOLE, LANES) + base
    everywhere = tl.load(weight + member).to(tl.float32) if WEIGHT_DIMS == 1 else 1.0
    weight += member * _whole(weight_stride, WHOLE, LANES) + base
    only_target = _flags(held_out, column, n_units, LANES) if HELD_OUT else within < 0
    key = tl.load(seed + member) if DROPPED else 0
    batch, time = _when(first, within, n_units, n_time, ROWS, LANES)
    total = tl.zeros([ROWS, COLUMNS * LANES], tl.float32)
    rates, log_rates, counts, n_seen = total, total, total, total
    for index in range(n_tiles):
        inside = (within < n_units * LANES) & (element < n_left)
        x = tl.load(log_count + element, mask=inside, other=_NOTHING).to(tl.float32)
        n = tl.load(count + element, mask=inside, other=0).to(tl.float32)
        seen = inside
        if OBSERVED:
            seen = tl.load(observed + element, mask=inside, other=0) != 0
            x, n = tl.where(seen, x, _NOTHING), tl.where(seen, n, 0.0)
        factor = everywhere
        if DROPPED:
            words = _words(key, (first + index * ROWS) * n_units + group, LANES)
            certain, scored = only_target, _scored(words, pass_below, n_lost, PASSES)
            if FORWARD:
                certain = only_target | (time >= n_read_time)
                batch, time = _further(batch, time, LANES * ROWS, n_time)
            factor = tl.where(certain, everywhere, tl.where(scored, everywhere * scale, 0.0))
        if WEIGHT_DIMS > 1:
            factor *= tl.load(weight + element, mask=inside, other=0.0).to(tl.float32)
        # a power of 2 is one instruction
        rate, log_rate = tl.exp2(x * _LOG2_E), n * x
        total += factor * (rate - log_rate)
        if GRADIENT:
            slope = (factor * (rate - n)).to(gradient.dtype.element_ty)
            tl.store(gradient + element, slope, mask=inside)
        if STATISTICS:
            rates, log_rates, counts = rates + rate, log_rates + log_rate, counts + n
            n_seen += seen.to(tl.float32)
        log_count, count, gradient = log_count + step, count + step, gradient + step
        observed, weight, n_left = observed + step, weight + step, n_left - step
    tl.store(nll + member * tl.num_programs(0) + piece, tl.sum(tl.sum(total, axis=1), axis=0))
    if STATISTICS:
        n_blocks = tl.cdiv(n_units, COLUMNS)
        part = member * (tl.num_programs(0) // n_blocks) + piece // n_blocks
        statistics += part * 4 * n_units * LANES
        _store_statistics(statistics, within, n_units * LANES, rates, log_rates, counts, n_seen)


@triton.jit(do_not_specialize=["keep_below"])
def _input_kernel(
    count, observed, column_of_unit, seed, dropped,
    n_units, n_time, n_read_time, n_read_units, n_elements, count_stride, observed_stride,
    n_tiles, keep_below, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, LANES: tl.constexpr, DROPPED: tl.constexpr,
    OBSERVED: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    piece, member = tl.program_id(0), tl.program_id(1).to(tl.int64)
    first, _, within, element, group = _place(piece, n_units, n_tiles, ROWS, COLUMNS, LANES)
    base, step = first.to(tl.int64) * n_units * LANES, ROWS * n_units * LANES
    n_left = _whole(n_elements, WHOLE, LANES) - base
    batch, time = _when(first, within, n_units, n_time, ROWS, LANES)
    width, n_batch = n_units * LANES, n_elements // n_units // n_time
    place = tl.load(column_of_unit + within % n_units, mask=within < width, other=-1)
    dropped += member * n_batch * n_read_time * n_read_units
    count += member * _whole(count_stride, WHOLE, LANES) + base
    observed += member * _whole(observed_stride, WHOLE, LANES) + base
    key = tl.load(seed + member) if DROPPED else 0
    for index in range(n_tiles):
        inside = (within < width) & (element < n_left)
        value = tl.load(count + element, mask=inside, other=0).to(tl.float32)
        if OBSERVED:
            seen = tl.load(observed + element, mask=inside, other=0) != 0
            value = tl.where(seen, value, 0.0)
        if DROPPED:
            words = _words(key, (first + index * ROWS) * n_units + group, LANES)
            kept = words < tl.cast(keep_below, tl.uint32, bitcast=True)
            value = tl.where(kept, value * scale, 0.0)
        read = (place >= 0) & (time < n_read_time) & (batch < n_batch)
        at = dropped + (batch.to(tl.int64) * n_read_time + time) * n_read_units + place
        tl.store(at, value.to(dropped.dtype.element_ty), mask=read)
        batch, time = _further(batch, time, LANES * ROWS, n_time)
        count, observed, n_left = count + step, observed + step, n_left - step


@triton.jit
def _sum_kernel(part, total, n_parts, BLOCK: tl.constexpr):
    member = tl.program_id(0).to(tl.int64)
    part += member * n_parts
    sums = tl.zeros([BLOCK], tl.float64)
    for start in range(0, n_parts, BLOCK):
        at = start + tl.arange(0, BLOCK)
        sums += tl.load(part + at, mask=at < n_parts, other=0.0)
    tl.store(total + member, tl.sum(sums, axis=0).to(tl.float32))


@triton.jit
def _multiply_kernel(value, factor, n_elements, BLOCK: tl.constexpr):
    member = tl.program_id(1).to(tl.int64)
    by = tl.load(factor + member).to(tl.float32)
    # a loss that is the sum itself asks for nothing, and then nothing is read
    if by != 1.0:
        value += member * n_elements
        first, step = tl.program_id(0).to(tl.int64) * BLOCK, tl.num_programs(0) * BLOCK
        for start in range(first, n_elements, step):
            at = start + tl.arange(0, BLOCK)
            old = tl.load(value + at, mask=at < n_elements, other=0.0).to(tl.float32)
            new = (old * by).to(value.dtype.element_ty)
            tl.store(value + at, new, mask=at < n_elements)


class _Plan(NamedTuple):
    """How the elements of one member are shared out."""

    rows: int
    columns: int
    lanes: int
    n_blocks: int
    n_slices: int
    n_tiles: int

    @property
    def n_pieces(self) -> int:
        return self.n_blocks * self.n_slices


def _plan(n_members: int, n_batch: int, n_time: int, n_units: int, lanes: int = 4) -> _Plan:
    """Share out, by sizes alone, so that sums are the same on every device."""
    # the widest that leaves few lanes idle
    padded = {width: triton.cdiv(n_units, width) * width for width in (64, 32, 16, 8)}
    columns = next(width for width in padded if padded[width] <= 1.15 * min(padded.values()))
    rows, n_blocks = _TILE // columns, triton.cdiv(n_units, columns)
    n_tiles = triton.cdiv(triton.cdiv(n_batch * n_time, lanes), rows)
    most = triton.cdiv(n_tiles * lanes, _FEWEST_ELEMENTS)
    n_slices = min(max(_N_PROGRAMS // (n_blocks * n_members), 1), most)
    each = triton.cdiv(n_tiles, n_slices)
    return _Plan(rows, columns, lanes, n_blocks, triton.cdiv(n_tiles, each), each)


def poisson_nll(
    log_count: Tensor,
    count: Tensor,
    observed: Tensor | None,
    weight: Tensor | None,
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
    # 16 bytes at once, unless there are too many sums for the registers
    wide = log_count.itemsize == 2 and n_elements % 8 == 0 and not statistics
    plan = _plan(n_members, n_batch, n_time, n_units, lanes=8 if wide else 4)
    nll = torch.empty((n_members, plan.n_pieces), device=log_count.device)
    total = torch.empty(n_members, device=log_count.device)
    slope = torch.empty(log_count.shape if gradient else 0, **_like(log_count))
    shape = (n_members, plan.n_slices, _N_STATISTICS, plan.lanes, n_units) if statistics else (0,)
    sums = torch.empty(shape, device=log_count.device)
    _nll_kernel[(plan.n_pieces, n_members)](
        log_count, count, _bytes(observed, nll), _or(weight, nll), _bytes(held_out, nll),
        _or(seed, nll), slope, nll, sums, n_units, n_time, draw.n_read_time, n_elements,
        _apart(count), _apart(observed), _apart(weight), plan.n_tiles, _signed(draw.pass_below),
        _signed(draw.keep_below - draw.pass_below), draw.scale,
        ROWS=plan.rows, COLUMNS=plan.columns, LANES=plan.lanes, DROPPED=seed is not None,
        HELD_OUT=held_out is not None, OBSERVED=observed is not None,
        WEIGHT_DIMS=0 if weight is None else weight.ndim, WHOLE=n_elements % plan.lanes == 0,
        GRADIENT=gradient, STATISTICS=statistics, FORWARD=draw.n_read_time < n_time,
        PASSES=draw.pass_below > 0, num_warps=_WARPS,
    )  # fmt: skip
    _sum_kernel[(n_members,)](nll, total, plan.n_pieces, BLOCK=_SUMMED, num_warps=2 * _WARPS)
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
        ROWS=plan.rows, COLUMNS=plan.columns, LANES=plan.lanes, DROPPED=seed is not None,
        OBSERVED=observed is not None, WHOLE=n_elements % plan.lanes == 0, num_warps=_WARPS,
    )  # fmt: skip
    return dropped


def multiply_in_place(value: Tensor, factor: Tensor) -> None:
    """Multiply every member's elements by its factor; by 1 costs no memory traffic."""
    n_elements = value[0].numel()
    most = max(_N_MULTIPLYING // len(value), 1)
    grid = (min(triton.cdiv(n_elements, _MULTIPLIED), most), len(value))
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
    [4, 4, 4, 4, 8, 4]
    """
    return [
        _nll_case("training, float32", "fp32", statistics=False),
        _nll_case("training, bfloat16", "bf16", statistics=False),
        _nll_case("with statistics", "fp32", statistics=True),
        AheadOfTime(
            "dropped_input",
            _input_kernel,
            _signature(_input_kernel, _POINTERS | {"dropped": "*fp32"}),
            _SHAPE | {"LANES": 4, "DROPPED": True, "OBSERVED": False, "WHOLE": True},
        ),
        AheadOfTime(
            "poisson_nll sum of a member",
            _sum_kernel,
            _signature(_sum_kernel, {"part": "*fp32", "total": "*fp32"}),
            {"BLOCK": _SUMMED},
            2 * _WARPS,
        ),
        AheadOfTime(
            "poisson_nll scaling of the gradient",
            _multiply_kernel,
            _signature(_multiply_kernel, {"value": "*fp32", "factor": "*fp32"}),
            {"BLOCK": _MULTIPLIED},
        ),
    ]


_SHAPE = {"ROWS": _TILE // 64, "COLUMNS": 64}
_POINTERS = {
    "count": "*u8", "observed": "*u8", "held_out": "*u8", "column_of_unit": "*i32",
    "seed": "*i64", "weight": "*fp32", "nll": "*fp32", "statistics": "*fp32", "scale": "fp32",
}  # fmt: skip


def _nll_case(name: str, dtype: str, *, statistics: bool) -> AheadOfTime:
    types = _POINTERS | {"log_count": f"*{dtype}", "gradient": f"*{dtype}"}
    constants = {
        "LANES": 8 if dtype == "bf16" else 4, "DROPPED": True, "HELD_OUT": True,
        "OBSERVED": False, "WEIGHT_DIMS": 0, "WHOLE": True, "GRADIENT": True,
        "STATISTICS": statistics, "FORWARD": statistics, "PASSES": statistics,
    }  # fmt: skip
    name = f"poisson_nll {name}"
    return AheadOfTime(name, _nll_kernel, _signature(_nll_kernel, types), _SHAPE | constants)


def _signature(kernel: Any, types: dict[str, str]) -> dict[str, str]:
    """Return types of run-time arguments: sizes are 32-bit integers."""
    names = [name for name in kernel.arg_names if not name.isupper()]
    return {name: types.get(name, "i32") for name in names}
