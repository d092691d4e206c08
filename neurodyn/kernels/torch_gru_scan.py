"""The scan of a gated recurrent unit in torch, its backward pass written out.

On a CPU a step is made of few calls: seven forward, three backward. All that need not wait for the
step before is done for many steps at once, but not for all: a block of them stays in the cache.
In a block, time runs in the order of the steps. The gates stand as (recurrent part of new, reset,
update, new): the recurrent product concerns the first three, the input the last three, and each
three are one piece of memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["backward", "forward"]

# activations of a block of steps, 1 MB in float32
_BLOCK_ELEMENTS = 2**18


def forward(
    gates: Tensor,
    weight: Tensor,
    bias: Tensor,
    initial: Tensor,
    mask: Tensor | None,
    bidirectional: bool,
) -> tuple[Tensor, Tensor]:
    """Run the scan.

    Parameters
    ----------
    gates, weight, bias, initial, mask, bidirectional
        As of :func:`neurodyn.kernels.gru_scan.gru_scan`, checked.

    Returns
    -------
    hidden : Tensor
        Dims (population, batch, time, hidden), laid out in memory as the gates.
    activations : Tensor
        Dims (population, step, batch, 4 * hidden), float32 or float64, for :func:`backward`.
        In place of new stands sigmoid of twice its argument, half of new + 1.

    Examples
    --------
    >>> zeros = [torch.zeros(s) for s in ((1, 2, 5, 12), (1, 12, 4), (1, 12), (1, 2, 4))]
    >>> forward(*zeros, None, False)[0].shape
    torch.Size([1, 2, 5, 4])
    """
    size, dtype = weight.shape[-1], torch.promote_types(gates.dtype, torch.float32)
    n_population, n_batch, n_steps, _ = gates.shape
    hidden = empty_laid_out_as(gates, size)
    shape = (n_population, n_steps, n_batch, 4 * size)
    activations = torch.empty(shape, dtype=dtype, device=gates.device)
    recurrent = _new_first(weight.to(dtype)).transpose(1, 2)
    into_gates, into_part = bias.to(dtype)[:, None, None].tensor_split([2 * size], -1)
    into_gates = torch.nn.functional.pad(into_gates, (0, size))
    state = initial.to(dtype)
    for start, stop in _blocks(activations):
        block = activations[:, start:stop]
        block[..., :size] = into_part
        entering = _in_steps(gates, start, stop, bidirectional)
        torch.add(entering, into_gates, out=block[..., size:])
        factor = None if mask is None else _in_steps(mask, start, stop, bidirectional).to(dtype)
        states = _scan(block, state, recurrent, factor)
        _out_of_steps(states, hidden, start, stop, bidirectional)
        state = states[:, -1]
    return hidden, activations


def _scan(block: Tensor, state: Tensor, recurrent: Tensor, factor: Tensor | None) -> Tensor:
    """Turn what enters a block of steps into its activations, and return its states."""
    size = state.shape[-1]
    states = torch.empty_like(block[..., :size], memory_format=torch.contiguous_format)
    minus_one, new = states.new_tensor(-1.0), torch.empty_like(state)
    columns = (
        block[..., : 3 * size],
        *block.chunk(4, -1),
        block[..., size : 3 * size],
        states,
    )
    factors = None if factor is None else factor.unbind(1)
    for step, views in enumerate(zip(*(column.unbind(1) for column in columns))):
        products, part, reset, update, half, both, following = views
        products.baddbmm_(state, recurrent)
        both.sigmoid_()
        half.addcmul_(reset, part)
        # sigmoid of twice the argument, four times as fast as tanh
        half.add_(half).sigmoid_()
        torch.add(minus_one, half, alpha=2, out=new)
        torch.lerp(new, state, update, out=following)
        if factors is not None:
            following.mul_(factors[step])
        state = following
    return states


def backward(
    d_hidden: Tensor,
    weight: Tensor,
    initial: Tensor,
    mask: Tensor | None,
    hidden: Tensor,
    activations: Tensor,
    bidirectional: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run the scan backward.

    Parameters
    ----------
    d_hidden
        Gradient of the hidden states, dims (population, batch, time, hidden).
    weight, initial, mask, bidirectional
        As of :func:`forward`.
    hidden, activations
        What it returned.

    Returns
    -------
    tuple of Tensor
        Gradients of gates, weight, bias and initial, in types of their own.

    Examples
    --------
    >>> zeros = [torch.zeros(s) for s in ((1, 2, 5, 12), (1, 12, 4), (1, 12), (1, 2, 4))]
    >>> found = forward(*zeros, None, False)
    >>> ones = torch.ones(1, 2, 5, 4)
    >>> d_gates, *_ = backward(ones, zeros[1], zeros[3], None, *found, False)
    >>> d_gates.shape
    torch.Size([1, 2, 5, 12])
    """
    size, dtype = weight.shape[-1], activations.dtype
    d_gates = empty_laid_out_as(hidden, 3 * size)
    recurrent = _new_first(weight.to(dtype))
    d_recurrent, d_bias = torch.zeros_like(recurrent), recurrent.new_zeros(recurrent.shape[:2])
    d_state = torch.zeros_like(initial, dtype=dtype)
    for start, stop in reversed(list(_blocks(activations))):
        previous = _before(hidden, initial, start, stop, bidirectional).to(dtype)
        arriving = _in_steps(d_hidden, start, stop, bidirectional).to(dtype)
        slopes, carried = _slopes(activations[:, start:stop], previous)
        if mask is not None:
            factor = _in_steps(mask, start, stop, bidirectional).to(dtype)
            slopes.mul_(factor.unsqueeze(-2))
            carried = carried * factor
        d_state = _scan_back(slopes, carried, arriving, d_state, recurrent)
        flat = slopes.flatten(-2)
        _out_of_steps(flat[..., size:], d_gates, start, stop, bidirectional)
        products = flat[..., : 3 * size].flatten(1, 2)
        d_recurrent.baddbmm_(products.transpose(1, 2), previous.flatten(1, 2))
        d_bias += products.sum(1)
    return d_gates, _new_last(d_recurrent), _new_last(d_bias), d_state


def _slopes(block: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
    """Return derivatives of the next state by the four arguments, and by the state itself."""
    part, reset, update, half = block.chunk(4, -1)
    slopes = torch.empty(
        *previous.shape[:-1], 4, previous.shape[-1], dtype=block.dtype, device=block.device
    )
    by_part, by_reset, by_update, by_new = slopes.unbind(-2)
    rest = 1 - update
    # 1 - new ** 2 = 4 half (1 - half)
    torch.addcmul(half, half, half, value=-1, out=by_new)
    by_new.mul_(rest).mul_(4)
    torch.mul(by_new, reset, out=by_part)
    torch.mul(by_part, part, out=by_reset)
    torch.addcmul(by_reset, by_reset, reset, value=-1, out=by_reset)
    torch.sub(previous, half, alpha=2, out=by_update)
    by_update.add_(1).mul_(rest).mul_(update)
    return slopes, update


def _scan_back(
    slopes: Tensor, carried: Tensor, arriving: Tensor, d_state: Tensor, recurrent: Tensor
) -> Tensor:
    """Turn slopes into gradients in place, and return the gradient of the state before."""
    products = slopes.flatten(-2)[..., : recurrent.shape[1]]
    columns = (slopes, products, carried, arriving)
    d_state = d_state + arriving[:, -1]
    views = list(zip(*(column.unbind(1) for column in columns)))
    for step in range(len(views) - 1, -1, -1):
        slope, product, kept, _ = views[step]
        slope.mul_(d_state.unsqueeze(-2))
        d_state = torch.addcmul(views[step - 1][3], d_state, kept) if step else d_state * kept
        d_state.baddbmm_(product, recurrent)
    return d_state


def _blocks(activations: Tensor) -> Iterator[tuple[int, int]]:
    """Yield first step and end of blocks that fit into the cache."""
    n_population, n_steps, n_batch, width = activations.shape
    length = max(1, _BLOCK_ELEMENTS // max(1, n_population * n_batch * width))
    for start in range(0, n_steps, length):
        yield start, min(start + length, n_steps)


def _in_steps(tensor: Tensor, start: int, stop: int, bidirectional: bool) -> Tensor:
    """Return (population, batch, time, ...) for some steps as (population, step, batch, ...)."""
    steps = tensor.transpose(1, 2)
    if not bidirectional:
        return steps[:, start:stop]
    n_time = steps.shape[1]
    late = steps[1::2, n_time - stop : n_time - start].flip(1)
    return torch.stack([steps[::2, start:stop], late], 1).flatten(0, 1)


def _out_of_steps(block: Tensor, into: Tensor, start: int, stop: int, bidirectional: bool) -> None:
    """Write the reverse of :func:`_in_steps`."""
    steps = into.transpose(1, 2)
    if not bidirectional:
        steps[:, start:stop] = block
        return
    n_time = steps.shape[1]
    steps[::2, start:stop] = block[::2]
    steps[1::2, n_time - stop : n_time - start] = block[1::2].flip(1)


def _before(hidden: Tensor, initial: Tensor, start: int, stop: int, bidirectional: bool) -> Tensor:
    """Return the states that some steps start from, dims (population, step, batch, hidden)."""
    if start:
        return _in_steps(hidden, start - 1, stop - 1, bidirectional)
    first = initial.to(hidden.dtype).unsqueeze(1)
    return torch.cat([first, _in_steps(hidden, 0, stop - 1, bidirectional)], 1)


def empty_laid_out_as(tensor: Tensor, size: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return an empty tensor with another last size, its dims in memory ordered as before."""
    order = sorted(range(3), key=tensor.stride, reverse=True)
    shape = [tensor.shape[dim] for dim in order]
    empty = torch.empty(*shape, size, dtype=dtype or tensor.dtype, device=tensor.device)
    return empty.permute(*(order.index(dim) for dim in range(3)), 3)


def _new_first(blocks: Tensor) -> Tensor:
    """Reorder (reset, update, new) along dim 1 to (new, reset, update)."""
    return blocks.roll(blocks.shape[1] // 3, 1)


def _new_last(blocks: Tensor) -> Tensor:
    """Undo :func:`_new_first`."""
    return blocks.roll(-(blocks.shape[1] // 3), 1)
