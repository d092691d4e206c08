"""Attention between brain regions with a learned bias, of which no scores are stored."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurodyn.errors import ConfigError
from neurodyn.kernels import reference, torch_roi_attention
from neurodyn.kernels.dispatch import Route, choose

__all__ = ["roi_attention"]

_MOST_FEATURES = 64
_TYPES = (torch.float32, torch.bfloat16, torch.float16)


class _Settings(NamedTuple):
    """What does not change within a call."""

    scale: float
    mask_diagonal: bool
    route: Route

    @property
    def kernels(self) -> ModuleType:
        if self.route == "triton":
            from neurodyn.kernels import triton_roi_attention

            return triton_roi_attention
        return torch_roi_attention


def roi_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    *,
    mask_diagonal: bool = True,
    present: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    r"""Mix the values of ROIs by a softmax over similarity and a learned bias.

    .. math:: y_i = \sum_j A_{ij} v_j, \qquad
        A_{ij} = \frac{\exp(s\, q_i \cdot k_j + b_{ij})}{\sum_{j' \text{ allowed}} \exp(\ldots)}

    A ROI without any allowed key gets 0 and passes no gradient on. Scores are not stored but made
    again in the backward pass; the bias's gradient is summed in a fixed order. Under
    :func:`torch.func.vmap` members become heads. ``torch.get_float32_matmul_precision`` holds.

    Parameters
    ----------
    query, key, value
        (batch, head, roi, feature), all of one type.
    bias
        (head, roi, roi it attends to), of any floating type; minus infinity forbids.
    mask_diagonal
        No ROI attends to itself.
    present, scale
        Which ROIs may be attended to, bool, (batch, roi), all by default; of products, one over
        the root of the number of features by default.

    Returns
    -------
    Tensor
        As ``value``; heads of a ROI adjacent: ``mixed.transpose(1, 2).flatten(2)`` is a view.

    Raises
    ------
    ConfigError
        If shapes or types do not fit.

    References
    ----------
    Yang et al., arXiv 2406.17086; Dao et al., NeurIPS 2022: attention without stored scores.

    Examples
    --------
    >>> value = torch.tensor([[[[1.0], [2.0]]]])
    >>> roi_attention(value, value, value, torch.zeros(1, 2, 2)).flatten()
    tensor([2., 1.])
    """
    _check(query, key, value, bias, present)
    scale = 1 / math.sqrt(query.shape[3]) if scale is None else scale
    route = choose("roi_attention", query.device, obstacle=_obstacle(query))
    flags = present if present is None else present[:, None].expand(-1, query.shape[1], -1)
    if route == "reference":
        return reference.roi_attention(query, key, value, bias, flags, scale, mask_diagonal)
    tensors = (query, key, value, bias, flags)
    mixed: Tensor = _Attention.apply(*tensors, _Settings(scale, mask_diagonal, route))[0]
    return mixed


def _check(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, present: Tensor | None
) -> None:
    shapes, types = ([getattr(x, of) for x in (query, key, value)] for of in ("shape", "dtype"))
    if query.ndim != 4 or 0 in query.shape or len(set(shapes)) > 1 or len(set(types)) > 1:
        raise ConfigError(
            "query, key and value do not fit",
            found=", ".join(f"{t} {tuple(s)}" for t, s in zip(types, shapes)),
            expected="(batch, head, roi, feature), all of one shape and type",
        )
    n_batch, n_heads, n_rois, _ = query.shape
    if bias is not None and bias.shape != (n_heads, n_rois, n_rois):
        expected = f"(head, roi, roi), here {(n_heads, n_rois, n_rois)}"
        raise ConfigError("invalid bias", found=tuple(bias.shape), expected=expected)
    if present is not None and (present.dtype != torch.bool or present.shape != (n_batch, n_rois)):
        found, expected = f"{present.dtype} {tuple(present.shape)}", f"bool {(n_batch, n_rois)}"
        raise ConfigError("invalid present", found=found, expected=expected)


def _obstacle(query: Tensor) -> str | None:
    if query.dtype not in _TYPES:
        return f"{query.dtype}"
    n_features = query.shape[3]
    if n_features > _MOST_FEATURES:
        return f"{n_features} features per head, at most {_MOST_FEATURES}"
    return None


class _Attention(torch.autograd.Function):
    """Mixed values, and what the backward pass needs to make scores again."""

    @staticmethod
    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        present: Tensor | None,
        settings: _Settings,
    ) -> tuple[Tensor, Tensor]:
        mixed: tuple[Tensor, Tensor] = settings.kernels.forward(
            query, key, value, bias, present, settings.scale, mask_diagonal=settings.mask_diagonal
        )
        return mixed

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *tensors, ctx.settings = inputs
        mixed, log_sum = output
        ctx.mark_non_differentiable(log_sum)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, mixed, log_sum)

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
        if incoming[0] is None:
            return (None,) * 6
        learn_bias = bool(ctx.needs_input_grad[3])
        inputs = (*ctx.saved_tensors, incoming[0], ctx.settings, learn_bias)
        *gradients, d_bias = _AttentionBackward.apply(*inputs)
        return *gradients, d_bias if learn_bias else None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        mixed, log_sum = _Attention.apply(*_as_heads(inputs, in_dims, info.batch_size))
        # there is no sum to give back where a route needs none
        log_sum = log_sum if log_sum.numel() else log_sum.expand(1, info.batch_size, 0)
        return tuple(_as_members(x, info.batch_size) for x in (mixed, log_sum)), (1, 1)


class _AttentionBackward(torch.autograd.Function):
    """Gradients, as an operation that vmap can map as well."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        *tensors, settings, learn_bias = inputs
        *gradients, d_bias = settings.kernels.backward(
            *tensors,
            settings.scale,
            mask_diagonal=settings.mask_diagonal,
            learn_bias=learn_bias,
        )
        return *gradients, tensors[0].new_empty(0) if d_bias is None else d_bias

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: gradients are not differentiated again."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        *gradients, d_bias = _AttentionBackward.apply(*_as_heads(inputs, in_dims, info.batch_size))
        members = [_as_members(x, info.batch_size) for x in gradients]
        if d_bias.numel():
            return (*members, d_bias.unflatten(0, (info.batch_size, -1))), (1, 1, 1, 0)
        return (*members, d_bias.expand(info.batch_size, 0)), (1, 1, 1, 0)


def _as_heads(inputs: tuple[Any, ...], in_dims: tuple[Any, ...], n_mapped: int) -> list[Any]:
    """Make a mapped axis the slower part of the heads; the bias is the fourth and has no batch."""
    return [
        _folded(x, dim, n_mapped, 0 if place == 3 else 1) if isinstance(x, Tensor) else x
        for place, (x, dim) in enumerate(zip(inputs, in_dims))
    ]


def _folded(tensor: Tensor, dim: int | None, n_mapped: int, axis: int) -> Tensor:
    if dim is not None:
        return tensor.movedim(dim, axis).flatten(axis, axis + 1)
    shape = list(tensor.shape)
    shape.insert(axis, n_mapped)
    return tensor.unsqueeze(axis).expand(shape).flatten(axis, axis + 1)


def _as_members(tensor: Tensor, n_mapped: int) -> Tensor:
    members: Tensor = tensor.unflatten(1, (n_mapped, -1))
    return members
