"""The scan of a gated recurrent unit as one Triton kernel forward and one backward.

A program takes one member of the population and a tile of its batch through all of time: the
weights and the state stay on the chip, and what a step needs from memory is asked for one step
ahead. The forward pass leaves derivatives rather than activations, so that the backward pass needs
neither states nor masks: a step of it is five multiplications and three products of matrices.
Gradients of the weights are summed afterwards (:mod:`neurodyn.kernels.triton_gru_weights`).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from neurodyn.kernels import triton_gru_weights
from neurodyn.kernels.ahead_of_time import AheadOfTime
from neurodyn.kernels.torch_gru_scan import empty_laid_out_as
from neurodyn.kernels.triton_gru_weights import operand

__all__ = ["ahead_of_time", "backward", "forward"]

# rows of the smallest tile of a tensor core
_ROWS = 16


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _dot(x, y, PRECISION: tl.constexpr):
    product = operand(x, PRECISION)
    return tl.dot(product, y, input_precision="ieee" if PRECISION == "ieee" else "tf32")


@triton.jit
def _weights(at, stride, SIZE: tl.constexpr, PRECISION: tl.constexpr):
    """Load reset, update and new; the summed dim goes down and its elements are neighbours."""
    at += tl.arange(0, SIZE)[:, None]
    reset = operand(tl.load(at), PRECISION)
    update = operand(tl.load(at + stride), PRECISION)
    new = operand(tl.load(at + 2 * stride), PRECISION)
    return reset, update, new


@triton.jit
def _load_gates(at, inside, SIZE: tl.constexpr):
    reset = tl.load(at, mask=inside, other=0.0)
    update = tl.load(at + SIZE, mask=inside, other=0.0)
    return reset, update, tl.load(at + 2 * SIZE, mask=inside, other=0.0)


@triton.jit
def _store_gates(at, reset, update, new, inside, SIZE: tl.constexpr):
    tl.store(at, reset, mask=inside)
    tl.store(at + SIZE, update, mask=inside)
    tl.store(at + 2 * SIZE, new, mask=inside)


@triton.jit
def _load_biases(at, SIZE: tl.constexpr):
    reset, update, new = tl.load(at), tl.load(at + SIZE), tl.load(at + 2 * SIZE)
    return reset.to(tl.float32), update.to(tl.float32), new.to(tl.float32)


@triton.jit
def _load_back(d_hidden, carried, slopes, inside, SIZE: tl.constexpr):
    """Load the gradient of a step's state and what to multiply it by."""
    arriving = tl.load(d_hidden, mask=inside, other=0.0)
    kept = tl.load(carried, mask=inside, other=0.0)
    by_reset, by_update, by_new = _load_gates(slopes, inside, SIZE)
    by_part = tl.load(slopes + 3 * SIZE, mask=inside, other=0.0)
    return arriving, kept, by_reset, by_update, by_new, by_part


@triton.jit
def _draw(seed, counter, dropout):
    """Return which of four bins of time are kept, one bit each."""
    a, b, c, d = tl.rand4x(seed, counter)
    bits = (a >= dropout).to(tl.int32) + 2 * (b >= dropout).to(tl.int32)
    return bits + 4 * (c >= dropout).to(tl.int32) + 8 * (d >= dropout).to(tl.int32)


@triton.jit
def _forward(
    gates, weight, bias, initial, mask, seed, hidden, slopes, carried,
    n_batch, n_time, dropout, scale,
    gates_p, gates_b, gates_t, mask_p, mask_b, mask_t, hidden_p, hidden_b, hidden_t,
    SIZE: tl.constexpr, ROWS: tl.constexpr, MASKED: tl.constexpr, SEEDED: tl.constexpr,
    BIDIRECTIONAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, SIZE)[None, :]
    inside = row < n_batch
    late = BIDIRECTIONAL and member % 2 == 1
    stride = tl.where(late, -1, 1)
    time = tl.where(late, n_time - 1, 0)
    at = weight + member * 3 * SIZE * SIZE + column * SIZE
    w_reset, w_update, w_new = _weights(at, SIZE * SIZE, SIZE, PRECISION)
    b_reset, b_update, b_new = _load_biases(bias + member * 3 * SIZE + column, SIZE)
    at = initial + (member * n_batch + row) * SIZE + column
    state = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    gates += member * gates_p + row * gates_b + column
    hidden += member * hidden_p + row * hidden_b + column
    start = (member * n_batch + row) * n_time * SIZE
    carried += start + column
    slopes += 4 * start + column
    mask += member * mask_p + row * mask_b + column
    if SEEDED:
        key = tl.load(seed + member)
        counter = row * ((n_time + 3) // 4) * SIZE + column
    bits = tl.zeros([ROWS, SIZE], tl.int32)
    to_reset, to_update, to_new = _load_gates(gates + time.to(tl.int64) * gates_t, inside, SIZE)
    for step in range(n_time):
        now = time.to(tl.int64)
        follows = inside & (step + 1 < n_time)
        coming = _load_gates(gates + (now + stride) * gates_t, follows, SIZE)
        if MASKED:
            factor = tl.load(mask + now * mask_t, mask=inside, other=0.0).to(tl.float32)
        if SEEDED:
            if (step == 0) | (time % 4 == tl.where(late, 3, 0)):
                bits = _draw(key, counter + (time // 4) * SIZE, dropout)
            factor = ((bits >> (time % 4)) & 1).to(tl.float32) * scale
        part = _dot(state, w_new, PRECISION) + b_new
        reset = _sigmoid(_dot(state, w_reset, PRECISION) + (b_reset + to_reset.to(tl.float32)))
        update = _sigmoid(_dot(state, w_update, PRECISION) + (b_update + to_update.to(tl.float32)))
        new = 2.0 * _sigmoid(2.0 * (to_new.to(tl.float32) + reset * part)) - 1.0  # tanh
        change = state - new
        state = new + update * change
        by_new = (1.0 - update) * (1.0 - new * new)
        by_update = change * update * (1.0 - update)
        if MASKED or SEEDED:
            state, update = state * factor, update * factor
            by_new, by_update = by_new * factor, by_update * factor
        by_part = by_new * reset
        tl.store(hidden + now * hidden_t, state, mask=inside)
        tl.store(carried + now * SIZE, update, mask=inside)
        into = slopes + now * 4 * SIZE
        _store_gates(into, by_part * part * (1.0 - reset), by_update, by_new, inside, SIZE)
        tl.store(into + 3 * SIZE, by_part, mask=inside)
        to_reset, to_update, to_new = coming
        time += stride


@triton.jit
def _backward(
    d_hidden, weight, slopes, carried, d_gates, d_part, d_initial, n_batch, n_time,
    d_hidden_p, d_hidden_b, d_hidden_t, d_gates_p, d_gates_b, d_gates_t,
    d_part_p, d_part_b, d_part_t,
    SIZE: tl.constexpr, ROWS: tl.constexpr, BIDIRECTIONAL: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, SIZE)[None, :]
    inside = row < n_batch
    late = BIDIRECTIONAL and member % 2 == 1
    # against the direction of the scan
    stride = tl.where(late, 1, -1)
    time = tl.where(late, 0, n_time - 1)
    at = weight + member * 3 * SIZE * SIZE + column * 3 * SIZE
    w_reset, w_update, w_new = _weights(at, SIZE, SIZE, PRECISION)
    start = (member * n_batch + row) * n_time * SIZE
    carried += start + column
    slopes += 4 * start + column
    d_hidden += member * d_hidden_p + row * d_hidden_b + column
    d_gates += member * d_gates_p + row * d_gates_b + column
    d_part += member * d_part_p + row * d_part_b + column
    now = time.to(tl.int64)
    coming = _load_back(
        d_hidden + now * d_hidden_t, carried + now * SIZE, slopes + now * 4 * SIZE, inside, SIZE
    )
    d_state = tl.zeros([ROWS, SIZE], tl.float32)
    for step in range(n_time):
        arriving, kept, by_reset, by_update, by_new, by_part = coming
        now = time.to(tl.int64)
        ahead = now + stride
        coming = _load_back(
            d_hidden + ahead * d_hidden_t,
            carried + ahead * SIZE,
            slopes + ahead * 4 * SIZE,
            inside & (step + 1 < n_time),
            SIZE,
        )
        d_state += arriving.to(tl.float32)
        to_reset = by_reset.to(tl.float32) * d_state
        to_update = by_update.to(tl.float32) * d_state
        to_part = by_part.to(tl.float32) * d_state
        through = _dot(to_part, w_new, PRECISION)
        through += _dot(to_reset, w_reset, PRECISION)
        through += _dot(to_update, w_update, PRECISION)
        to_new = by_new.to(tl.float32) * d_state
        _store_gates(d_gates + now * d_gates_t, to_reset, to_update, to_new, inside, SIZE)
        tl.store(d_part + now * d_part_t, to_part, mask=inside)
        d_state = d_state * kept.to(tl.float32) + through
        time += stride
    tl.store(d_initial + (member * n_batch + row) * SIZE + column, d_state, mask=inside)


def forward(
    gates: Tensor,
    weight: Tensor,
    bias: Tensor,
    initial: Tensor,
    mask: Tensor | None,
    seed: Tensor | None,
    dropout: float,
    bidirectional: bool,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the scan.

    Parameters
    ----------
    gates, weight, bias, initial, mask, seed, dropout, bidirectional
        As of :func:`neurodyn.kernels.gru_scan.gru_scan`, checked.
    precision
        ``tf32``, ``bf16`` or ``ieee``.

    Returns
    -------
    hidden : Tensor
        Dims (population, batch, time, hidden), laid out in memory as the gates.
    slopes, carried : Tensor
        Derivatives of a state by reset, update, new and the recurrent part of new, dims
        (population, batch, time, 4 * hidden), and directly by the state before it, (population,
        batch, time, hidden); type as the gates, for :func:`backward`.

    Examples
    --------
    >>> shapes = (1, 2, 5, 48), (1, 48, 16), (1, 48), (1, 2, 16)
    >>> zeros = [torch.zeros(shape, device="cuda") for shape in shapes]  # doctest: +SKIP
    >>> forward(*zeros, None, None, 0.0, False, "ieee")[0].shape  # doctest: +SKIP
    torch.Size([1, 2, 5, 16])
    """
    gates, mask = _columns_together(gates), _columns_together(mask)
    n_population, n_batch, n_time, _ = gates.shape
    size = weight.shape[-1]
    hidden = empty_laid_out_as(gates, size)
    shape = (n_population, n_batch, n_time)
    slopes = torch.empty(*shape, 4 * size, dtype=gates.dtype, device=gates.device)
    carried = torch.empty(*shape, size, dtype=gates.dtype, device=gates.device)
    with torch.cuda.device_of(gates):
        _forward[(triton.cdiv(n_batch, _ROWS), n_population)](
            gates, weight.contiguous(), bias.contiguous(), initial.contiguous(),
            gates if mask is None else mask, gates if seed is None else seed.contiguous(),
            hidden, slopes, carried, n_batch, n_time, dropout, 1.0 / (1.0 - dropout),
            *gates.stride()[:3], *((0, 0, 0) if mask is None else mask.stride()[:3]),
            *hidden.stride()[:3], SIZE=size, ROWS=_ROWS, MASKED=mask is not None,
            SEEDED=seed is not None, BIDIRECTIONAL=bidirectional, PRECISION=precision,
            num_warps=_n_warps(size), num_stages=1,
        )  # fmt: skip
    return hidden, slopes, carried


def backward(
    d_hidden: Tensor,
    weight: Tensor,
    initial: Tensor,
    hidden: Tensor,
    slopes: Tensor,
    carried: Tensor,
    bidirectional: bool,
    precision: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run the scan backward.

    Parameters
    ----------
    d_hidden
        Gradient of the hidden states, dims (population, batch, time, hidden).
    weight, initial, bidirectional, precision
        As of :func:`forward`.
    hidden, slopes, carried
        What it returned.

    Returns
    -------
    tuple of Tensor
        Gradients of gates (laid out and typed as they), weight, bias and initial.

    Examples
    --------
    >>> shapes = (1, 2, 5, 48), (1, 48, 16), (1, 48), (1, 2, 16)
    >>> zeros = [torch.zeros(shape, device="cuda") for shape in shapes]  # doctest: +SKIP
    >>> found = forward(*zeros, None, None, 0.0, False, "ieee")  # doctest: +SKIP
    >>> given = (torch.ones_like(found[0]), zeros[1], zeros[3])  # doctest: +SKIP
    >>> backward(*given, *found, False, "ieee")[0].shape  # doctest: +SKIP
    torch.Size([1, 2, 5, 48])
    """
    d_hidden = _columns_together(d_hidden)
    n_population, n_batch, n_time, size = hidden.shape
    d_gates, d_part = empty_laid_out_as(hidden, 3 * size), empty_laid_out_as(hidden, size)
    d_initial = torch.empty(n_population, n_batch, size, device=hidden.device)
    with torch.cuda.device_of(hidden):
        _backward[(triton.cdiv(n_batch, _ROWS), n_population)](
            d_hidden, weight.mT.contiguous(), slopes, carried, d_gates, d_part, d_initial,
            n_batch, n_time, *d_hidden.stride()[:3], *d_gates.stride()[:3],
            *d_part.stride()[:3], SIZE=size, ROWS=_ROWS, BIDIRECTIONAL=bidirectional,
            PRECISION=precision, num_warps=_n_warps(size), num_stages=1,
        )  # fmt: skip
    states = (hidden, initial, bidirectional, precision)
    d_weight, d_bias = triton_gru_weights.gradients(d_gates, d_part, *states)
    return d_gates, d_weight, d_bias, d_initial


def _columns_together(tensor: Any) -> Any:
    return tensor if tensor is None or tensor.stride(-1) == 1 else tensor.contiguous()


def _n_warps(size: int) -> int:
    return 8 if size >= 64 else 4


def ahead_of_time() -> list[AheadOfTime]:
    """Return the kernels at the sizes that encoders have, for the compile report.

    Examples
    --------
    >>> ahead_of_time()[0].name
    'gru_scan forward H=64 tf32'
    """
    cases = []
    for size, precision in ((64, "tf32"), (64, "bf16"), (128, "bf16")):
        constants = {
            "SIZE": size,
            "ROWS": _ROWS,
            "BIDIRECTIONAL": True,
            "PRECISION": precision,
        }
        ending, n_warps = f"H={size} {precision}", _n_warps(size)
        for seeded in (False, True):
            known = {**constants, "MASKED": False, "SEEDED": seeded}
            name = f"gru_scan forward {ending}{' seeded' if seeded else ''}"
            cases.append(AheadOfTime(name, _forward, _signature(_forward), known, n_warps))
        name = f"gru_scan backward {ending}"
        cases.append(AheadOfTime(name, _backward, _signature(_backward), constants, n_warps))
    return cases


def _signature(kernel: Any) -> dict[str, str]:
    """Return the types of a kernel's arguments: counts, strides and pointers to float32."""
    types = {"seed": "*i64", "dropout": "fp32", "scale": "fp32"}
    names = [name for name in kernel.arg_names if not name.isupper()]
    whole = ("n_", "_p", "_b", "_t")
    return {
        name: "i32" if name.startswith(whole[0]) or name.endswith(whole[1:]) else "*fp32"
        for name in names
    } | {name: kind for name, kind in types.items() if name in names}
