"""Gradients of a recurrent unit's weights from those of its gates, as one Triton kernel.

The gradient of a weight is the product of its gate's gradients with the states that the steps
start from, summed over trials and time. A program takes one member, one gate and one piece of the
rows, and reads both from where the scan left them: the state before a step stands one row aside.
Pieces are summed afterwards, without atomics.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from neurodyn.kernels.ahead_of_time import AheadOfTime

__all__ = ["ahead_of_time", "gradients", "operand"]

# rows of a tile, tiles that a program loads ahead, and fewest tiles of a piece
_ROWS, _N_STAGES, _FEWEST_TILES = 32, 3, 4
# programs that fill a large GPU with up to 64 and with more hidden units
_N_PROGRAMS, _N_LARGE_PROGRAMS = 528, 264


@triton.jit
def operand(x, PRECISION: tl.constexpr):
    """Return an operand of a product in the type that the product takes."""
    return x.to(tl.bfloat16) if PRECISION == "bf16" else x.to(tl.float32)


@triton.jit
def _rounded(x, PRECISION: tl.constexpr):
    """Return an operand; tensor cores cut off what tf32 lacks, and a long sum collects that."""
    x = operand(x, PRECISION)
    if PRECISION == "tf32":
        # in integers, because a compiler sees through differences: 13 bits go
        bits = (x.to(tl.int32, bitcast=True) + 0x1000) & -0x2000
        x = tl.where(x == x, bits.to(tl.float32, bitcast=True), x)
    return x


@triton.jit
def _weights_kernel(
    d_gates, d_part, hidden, initial, partial, n_batch, n_time, n_tiles,
    d_part_p, d_part_b, d_part_t, hidden_p, hidden_b, hidden_t,
    SIZE: tl.constexpr, ROWS: tl.constexpr, TIME_INSIDE: tl.constexpr,
    BIDIRECTIONAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    gate, piece = tl.program_id(0), tl.program_id(1)
    member = tl.program_id(2).to(tl.int64)
    # new comes from its recurrent part alone
    gradients = tl.where(gate < 2, d_gates + gate * SIZE, d_part)
    width = tl.where(gate < 2, 3 * SIZE, SIZE)
    late = BIDIRECTIONAL and member % 2 == 1
    to_before = tl.where(late, 1, -1)
    beginning = tl.where(late, n_time - 1, 0)
    column = tl.arange(0, SIZE)[None, :]
    product = tl.zeros([SIZE, SIZE], tl.float32)
    total = tl.zeros([ROWS, SIZE], tl.float32)
    for tile in range(n_tiles):
        row = (piece * n_tiles + tile) * ROWS + tl.arange(0, ROWS)[:, None]
        inside = row < n_batch * n_time
        if TIME_INSIDE:
            trial, time = (row // n_time).to(tl.int64), row % n_time
        else:
            trial, time = (row % n_batch).to(tl.int64), row // n_batch
        at = member * d_part_p + trial * d_part_b + time.to(tl.int64) * d_part_t
        arriving = tl.load(gradients + at * width + column, mask=inside, other=0.0)
        at = member * hidden_p + trial * hidden_b + (time + to_before).to(tl.int64) * hidden_t
        given = initial + (member * n_batch + trial) * SIZE
        before = tl.where(time == beginning, given, hidden + at * SIZE) + column
        state = _rounded(tl.load(before, mask=inside, other=0.0), PRECISION)
        precision: tl.constexpr = "ieee" if PRECISION == "ieee" else "tf32"
        left = tl.trans(_rounded(arriving, PRECISION))
        product = tl.dot(left, state, product, input_precision=precision)
        total += arriving.to(tl.float32)
    own = (member * tl.num_programs(1) + piece) * 3 * SIZE * (SIZE + 1)
    row = gate * SIZE + tl.arange(0, SIZE)
    tl.store(partial + own + row[:, None] * SIZE + column, product)
    tl.store(partial + own + 3 * SIZE * SIZE + row, tl.sum(total, 0))


def gradients(
    d_gates: Tensor,
    d_part: Tensor,
    hidden: Tensor,
    initial: Tensor,
    bidirectional: bool,
    precision: str,
) -> tuple[Tensor, Tensor]:
    """Sum the gradients of weights and biases over trials and time.

    Parameters
    ----------
    d_gates
        Gradients of reset, update and new, dims (population, batch, time, 3 * hidden).
    d_part
        Of the recurrent part of new, (population, batch, time, hidden). Both are dense, and their
        dims stand in the same order in memory.
    hidden
        States after each step, dims as ``d_part``, rows of whole states.
    initial
        States before the first step, dims (population, batch, hidden).
    bidirectional
        Whether odd members run from the last bin to the first.
    precision
        ``tf32``, ``bf16`` or ``ieee``: what the products round to. Sums are float32.

    Returns
    -------
    d_weight, d_bias : Tensor
        Dims (population, 3 * hidden, hidden) and (population, 3 * hidden), float32.

    Examples
    --------
    >>> shapes = (1, 2, 5, 48), (1, 2, 5, 16), (1, 2, 5, 16), (1, 2, 16)
    >>> ones = [torch.ones(shape, device="cuda") for shape in shapes]  # doctest: +SKIP
    >>> gradients(*ones, False, "ieee")[1].unique()  # doctest: +SKIP
    tensor([10.], device='cuda:0')
    """
    n_population, n_batch, n_time, size = hidden.shape
    n_pieces, n_tiles = _pieces(n_population, n_batch * n_time, size)
    n_weights = 3 * size * size
    partial = torch.empty(
        n_population, n_pieces, n_weights + 3 * size, dtype=torch.float32, device=hidden.device
    )
    with torch.cuda.device_of(hidden):
        _weights_kernel[(3, n_pieces, n_population)](
            d_gates, d_part, hidden, initial.to(hidden.dtype).contiguous(), partial,
            n_batch, n_time, n_tiles, *_strides_in_rows(d_part), *_strides_in_rows(hidden),
            SIZE=size, ROWS=_ROWS, TIME_INSIDE=d_part.stride(1) >= d_part.stride(2),
            BIDIRECTIONAL=bidirectional, PRECISION=precision, num_warps=_n_warps(size),
            num_stages=_N_STAGES,
        )  # fmt: skip
    total = partial.sum(1)
    return total[:, :n_weights].unflatten(1, (3 * size, size)), total[:, n_weights:]


def _pieces(n_population: int, n_rows: int, size: int) -> tuple[int, int]:
    """Return how many pieces the rows make, and the tiles of one."""
    n_tiles = triton.cdiv(n_rows, _ROWS)
    n_programs = _N_PROGRAMS if size <= 64 else _N_LARGE_PROGRAMS
    wanted = max(1, min(n_programs // (3 * n_population), n_tiles // _FEWEST_TILES))
    each = triton.cdiv(n_tiles, wanted)
    return triton.cdiv(n_tiles, each), each


def _strides_in_rows(states: Tensor) -> list[int]:
    """Return strides of member, trial and time; so the kernel knows that rows are aligned."""
    return [stride // states.shape[-1] for stride in states.stride()[:3]]


def _n_warps(size: int) -> int:
    return 4 if size > 64 else 2


def ahead_of_time() -> list[AheadOfTime]:
    """Return the kernel at the sizes that encoders have, for the compile report.

    Examples
    --------
    >>> ahead_of_time()[0].name
    'gru_weights H=64 tf32'
    """
    names = [name for name in _weights_kernel.arg_names if not name.isupper()]
    pointers = ("d_gates", "d_part", "hidden", "initial", "partial")
    signature = {name: "*fp32" if name in pointers else "i32" for name in names}
    cases = []
    for size, precision in ((64, "tf32"), (64, "bf16"), (128, "bf16")):
        constants: dict[str, Any] = {"SIZE": size, "ROWS": _ROWS, "TIME_INSIDE": True}
        constants |= {"BIDIRECTIONAL": True, "PRECISION": precision}
        name = f"gru_weights H={size} {precision}"
        how = (signature, constants, _n_warps(size), _N_STAGES)
        cases.append(AheadOfTime(name, _weights_kernel, *how))
    return cases
