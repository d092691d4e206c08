"""Gated recurrent units over time, with dropout of the state that enters the next step.

With ``W`` and ``b`` the recurrent weight and bias, ``g`` what the input gives, ``h`` the state and
``m`` its mask, a step is that of ``torch.nn.GRU`` [1]_, the reset gate after the product::

    r = sigmoid(g_r + W_r h + b_r)         u = sigmoid(g_u + W_u h + b_u)
    n = tanh(g_n + r * (W_n h + b_n))      h <- m * ((1 - u) * n + u * h)

References
----------
.. [1] Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from neurodyn.errors import ConfigError, one_of
from neurodyn.kernels import philox, reference, torch_gru_scan
from neurodyn.kernels.dispatch import choose
from neurodyn.kernels.mapped import fold_into_population

__all__ = ["dropout_mask", "gru_scan"]

Precision = Literal["auto", "tf32", "bf16", "ieee"]

_PRECISIONS = ("auto", "tf32", "bf16", "ieee")
#: Sizes of the hidden state that fit the tensor cores' tiles and a multiprocessor's registers.
TRITON_SIZES = (16, 32, 64, 128)


def gru_scan(
    gates: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    initial: Tensor | None = None,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    mask: Tensor | None = None,
    bidirectional: bool = False,
    precision: Precision = "auto",
) -> Tensor:
    """Run many gated recurrent units over time, a step as the module's equations say.

    Parameters
    ----------
    gates
        ``W_ih x + b_ih`` of reset, update and new, dims (population, batch, time, 3 * hidden).
    weight, bias
        ``W_hh``, dims (population, 3 * hidden, hidden), and ``b_hh``, (population, 3 * hidden).
    initial
        State before the first step, dims (population, batch, hidden), else 0.
    dropout
        Probability to drop a unit of the state, for the output and the next step alike.
    seed
        int64, dims (population,): what the units are drawn from, the same ones on every route.
    mask
        Instead: what states are multiplied by, 0 or 1 / (1 - dropout), a constant without
        gradient; dims (population, batch, time, hidden).
    bidirectional
        Members come in pairs, and the second of each runs from the last bin to the first.
    precision
        What the Triton kernels round the operands of products to; sums are float32. ``auto`` is
        ``tf32``, and ``bf16`` for more than 64 hidden units. Other routes round nothing.

    Returns
    -------
    Tensor
        Hidden states, dims (population, batch, time, hidden), type as the gates.

    Raises
    ------
    ConfigError
        If shapes do not fit, or dropout comes without a seed or with a mask.

    Examples
    --------
    >>> gates, weight = torch.zeros(2, 3, 10, 12), torch.zeros(2, 12, 4)
    >>> gru_scan(gates, weight, torch.zeros(2, 12), bidirectional=True).shape
    torch.Size([2, 3, 10, 4])
    """
    _check_shapes(gates, weight, bias, initial, mask)
    _check_options(gates, dropout, seed, mask, bidirectional, precision)
    if initial is None:
        initial = gates.new_zeros(*gates.shape[:2], weight.shape[-1])
    drawn = (dropout, seed) if dropout > 0.0 else (0.0, None)
    return _routed((gates, weight, bias, initial, mask), *drawn, bidirectional, precision)


def _routed(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None],
    dropout: float,
    seed: Tensor | None,
    bidirectional: bool,
    precision: str,
) -> Tensor:
    gates, weight, bias, initial, mask = inputs
    size = weight.shape[-1]
    if precision == "auto":
        precision = "tf32" if size <= 64 else "bf16"
    route = choose("gru_scan", gates.device, obstacle=_obstacle(gates, weight, precision))
    if route == "triton":
        return _scan(*inputs, seed, (dropout, bidirectional, precision))
    if seed is not None:
        mask = dropout_mask(seed, dropout, gates.shape[1], gates.shape[2], size)
    if route == "reference":
        return reference.gru_scan(gates, weight, bias, initial, mask, bidirectional)
    return _scan(gates, weight, bias, initial, mask, None, (0.0, bidirectional, None))


def dropout_mask(seed: Tensor, dropout: float, n_batch: int, n_time: int, n_hidden: int) -> Tensor:
    """Return the mask that :func:`gru_scan` draws from a seed.

    One counter serves four bins of time: ``(batch * ceil(n_time / 4) + time // 4) * n_hidden +
    hidden``, and ``time % 4`` says which of its four numbers.

    Parameters
    ----------
    seed
        int64, dims (population,).
    dropout
        Probability of 0.
    n_batch, n_time, n_hidden
        Sizes.

    Returns
    -------
    Tensor
        0 or 1 / (1 - dropout), float32, dims (population, batch, time, hidden).

    Examples
    --------
    >>> mask = dropout_mask(torch.tensor([1, 2]), 0.5, 3, 10, 4)
    >>> mask.shape, mask.unique().tolist()
    (torch.Size([2, 3, 10, 4]), [0.0, 2.0])
    """
    n_quads = -(-n_time // 4)
    counter = torch.arange(n_batch * n_quads * n_hidden, device=seed.device)
    draws = torch.stack(philox.uniform4(seed.unsqueeze(-1), counter), -1)
    draws = draws.view(-1, n_batch, n_quads, n_hidden, 4).transpose(-1, -2)
    kept = draws.flatten(2, 3)[:, :, :n_time] >= dropout
    return kept / (1.0 - dropout)


def _check_shapes(
    gates: Tensor, weight: Tensor, bias: Tensor, initial: Tensor | None, mask: Tensor | None
) -> None:
    if gates.ndim != 4 or weight.ndim != 3 or min(gates.shape) < 1:
        raise ConfigError(
            "gates or weight of gru_scan have no such shape",
            found=f"gates {tuple(gates.shape)}, weight {tuple(weight.shape)}",
            expected="(population, batch, time, 3 * hidden) and (population, 3 * hidden, hidden)",
        )
    n_population, n_batch, n_time, _ = gates.shape
    size = weight.shape[-1]
    expected = {
        "gates": (gates, (n_population, n_batch, n_time, 3 * size)),
        "weight": (weight, (n_population, 3 * size, size)),
        "bias": (bias, (n_population, 3 * size)),
        "initial": (initial, (n_population, n_batch, size)),
        "mask": (mask, (n_population, n_batch, n_time, size)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ConfigError(
                f"{name} of gru_scan does not fit", found=tuple(tensor.shape), expected=shape
            )
        if tensor is not None and not tensor.is_floating_point():
            raise ConfigError(f"{name} of gru_scan must be floating", found=tensor.dtype)


def _check_options(
    gates: Tensor,
    dropout: float,
    seed: Tensor | None,
    mask: Tensor | None,
    bidirectional: bool,
    precision: str,
) -> None:
    one_of("precision", precision, _PRECISIONS)
    if not 0.0 <= dropout < 1.0:
        raise ConfigError("invalid dropout", found=dropout, expected="0 to below 1")
    if dropout > 0.0 and (seed is None) == (mask is None):
        raise ConfigError(
            "dropout of gru_scan needs either a seed or a mask",
            found="both" if seed is not None else "neither",
            hint="seed: an int64 tensor, one for each of the population",
        )
    if seed is not None and (tuple(seed.shape) != gates.shape[:1] or seed.dtype != torch.int64):
        raise ConfigError(
            "seed of gru_scan does not fit",
            found=f"{seed.dtype} {tuple(seed.shape)}",
            expected=f"torch.int64 {tuple(gates.shape[:1])}",
        )
    if bidirectional and gates.shape[0] % 2:
        raise ConfigError(
            "bidirectional members come in pairs", found=gates.shape[0], expected="an even number"
        )


def _obstacle(gates: Tensor, weight: Tensor, precision: str) -> str | None:
    """Return why the Triton kernels cannot serve this call."""
    size = weight.shape[-1]
    if size not in TRITON_SIZES:
        return f"hidden size {size}, the kernels have {TRITON_SIZES}"
    if size > 64 and precision != "bf16":
        return f"the weights of hidden size {size} fit a multiprocessor in precision bf16 only"
    if torch.float64 in (gates.dtype, weight.dtype):
        return "float64, the kernels compute in float32"
    return None


Options = tuple[float, bool, str | None]


def _scan(*inputs: Any) -> Tensor:
    hidden: Tensor = _Scan.apply(*inputs)[0]
    return hidden


class _Scan(torch.autograd.Function):
    """Hidden states and what the backward pass needs; in torch if there is no precision."""

    @staticmethod
    def forward(
        gates: Tensor,
        weight: Tensor,
        bias: Tensor,
        initial: Tensor,
        mask: Tensor | None,
        seed: Tensor | None,
        options: Options,
    ) -> tuple[Tensor, ...]:
        dropout, bidirectional, precision = options
        known = (gates, weight, bias, initial, mask)
        if precision is None:
            return torch_gru_scan.forward(*known, bidirectional)
        from neurodyn.kernels import triton_gru_scan

        return triton_gru_scan.forward(*known, seed, dropout, bidirectional, precision)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, weight, bias, initial, mask, _, ctx.options = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(weight, initial, mask, *output)
        ctx.types = weight.dtype, bias.dtype, initial.dtype

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        if gradients[0] is None:
            return (None,) * 7
        known = (ctx.options, gradients[0], *ctx.saved_tensors)
        found = _ScanBack.apply(*known)
        parameters = [found[1 + i].to(dtype) for i, dtype in enumerate(ctx.types)]
        return found[0], *parameters, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        return fold_into_population(_Scan.apply, info.batch_size, in_dims, inputs)


class _ScanBack(torch.autograd.Function):
    """Gradients of the scan: an operation, so that under vmap they too are one launch."""

    @staticmethod
    def forward(
        options: Options,
        d_hidden: Tensor,
        weight: Tensor,
        initial: Tensor,
        mask: Tensor | None,
        *found: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        _, bidirectional, precision = options
        hidden, *saved = found
        if precision is None:
            (activations,) = saved
            return torch_gru_scan.backward(
                d_hidden, weight, initial, mask, hidden, activations, bidirectional
            )
        from neurodyn.kernels import triton_gru_scan

        slopes, carried = saved
        return triton_gru_scan.backward(
            d_hidden, weight, initial, hidden, slopes, carried, bidirectional, precision
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise ConfigError(
            "gru_scan has no second derivative", hint="dispatch.forced('reference') has one"
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> Any:
        return fold_into_population(_ScanBack.apply, info.batch_size, in_dims, inputs)
