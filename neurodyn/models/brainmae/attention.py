"""Attention between brain regions: one shared matrix, or one for every segment."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.kernels.roi_attention import roi_attention

__all__ = ["AdaptiveAttention", "StaticAttention", "mix_shared"]


def mix_shared(value: Tensor, attention: Tensor, present: Tensor | None = None) -> Tensor:
    """Mix ROIs of all sequences by one attention matrix, as one product for each head.

    Parameters
    ----------
    value
        Values with features first, those of a head together, (feature, sequence, roi).
    attention
        Weights whose rows add up to 1, (head, roi, roi it attends to).
    present
        Which ROIs exist, bool (sequence, roi); all of them if not given. Weights are divided by
        their sum over those that exist, which equals a softmax over them; without any, 0.

    Returns
    -------
    Tensor
        As ``value``.

    Examples
    --------
    >>> swap = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> mix_shared(torch.tensor([[[3.0, 5.0]]]), swap)
    tensor([[[5., 3.]]])
    """
    n_heads, n_rois, _ = attention.shape
    if present is None:
        return (value.reshape(n_heads, -1, n_rois) @ attention.mT).view(value.shape)
    mixed = (value * present).view(n_heads, -1, n_rois) @ attention.mT
    mass = present.to(attention.dtype) @ attention.mT
    mixed = mixed.view(n_heads, -1, *present.shape)
    return (mixed / mass.clamp_min(torch.finfo(mass.dtype).tiny)[:, None]).view(value.shape)


class StaticAttention(nn.Module):
    r"""Attention whose weights come from the ROI embeddings alone.

    .. math:: A_{ij} = \frac{\exp(q_i \cdot k_j / \sqrt{d_h})}{\sum_{j' \ne i} \exp(\ldots)},
        \quad q_i = W_q\,LN(e_i), \; k_j = W_k\,LN(e_j), \quad A_{ii} = 0

    The matrix is the same for all segments and subjects, so mixing is one product of it with the
    values of all sequences side by side. In evaluation without gradients it is kept until a
    parameter changes.

    Parameters
    ----------
    size, n_heads
        Features of a ROI and of its embedding, a multiple of the heads.
    self_loops
        Keeps the diagonal.

    References
    ----------
    Yang et al., arXiv 2406.17086: static graph attention.

    Examples
    --------
    >>> attention = StaticAttention(8, 2)
    >>> attention.weights(torch.randn(5, 8)).sum(-1).allclose(torch.ones(2, 5))
    True
    """

    def __init__(self, size: int, n_heads: int, *, self_loops: bool = False) -> None:
        super().__init__()
        self.n_heads, self.self_loops = n_heads, self_loops
        self.norm = nn.LayerNorm(size)
        # Without biases: that of a key shifts all scores of a row alike and is never learned.
        self.query_key = nn.Linear(size, 2 * size, bias=False)
        self.value = nn.Linear(size, size, bias=False)
        self.mix = nn.Linear(size, size)
        self._kept: tuple[tuple[tuple[int, int], ...], Tensor] | None = None

    def weights(self, embedding: Tensor) -> Tensor:
        """Return attention (head, roi, roi it attends to) of embeddings (roi, feature)."""
        # In full precision whatever the rest runs in: small, and shared by everything.
        with torch.autocast(embedding.device.type, enabled=False):
            query, key = self.query_key(self.norm(embedding)).chunk(2, -1)
            query, key = (x.unflatten(-1, (self.n_heads, -1)).transpose(0, 1) for x in (query, key))
            start = query.new_zeros(len(embedding), len(embedding))
            if not self.self_loops:
                start = start.fill_diagonal_(-torch.inf)
            scale = 1 / math.sqrt(query.shape[-1])
            return torch.baddbmm(start, query, key.mT, alpha=scale).softmax(-1)

    def forward(self, node: Tensor, embedding: Tensor, present: Tensor | None = None) -> Tensor:
        """Mix ROIs.

        Parameters
        ----------
        node
            Features, (sequence, roi, feature).
        embedding
            ROI embeddings, (roi, feature).
        present
            Which ROIs exist, bool (sequence, roi); all of them if not given.
        """
        size = node.shape[-1]
        # Features first, so that heads are rows of one matrix and nothing has to be copied.
        value = self.value.weight @ node.reshape(-1, size).mT
        value = value.view(size, *node.shape[:-1])
        mixed = mix_shared(value, self._weights(embedding), present)
        return functional.linear(mixed.view(size, -1).mT, self.mix.weight, self.mix.bias).view(
            node.shape
        )

    def train(self, mode: bool = True) -> StaticAttention:
        """Set the mode and forget the kept matrix."""
        self._kept = None
        return super().train(mode)

    def _weights(self, embedding: Tensor) -> Tensor:
        if self.training or torch.is_grad_enabled():
            return self.weights(embedding)
        sources = (embedding, *self.norm.parameters(), self.query_key.weight)
        stamp = tuple((tensor.data_ptr(), tensor._version) for tensor in sources)
        if self._kept is None or self._kept[0] != stamp:
            self._kept = stamp, self.weights(embedding)
        return self._kept[1]


class AdaptiveAttention(nn.Module):
    """Attention whose weights come from the signal, with or without the ROI embeddings.

    Parameters
    ----------
    size, n_heads
        Features of a ROI and of its embedding, a multiple of the heads.
    bias
        How embeddings enter. ``"input"``: queries and keys are made of node plus embedding.
        ``"embedding"``: their scaled similarity under maps of its own is added to the scores,
        by concatenation to queries and keys, so no bias tensor is made. ``"pair"``: not at all,
        but every head learns a number for each pair of ROIs. ``None``: not at all.
    self_loops
        Keeps the diagonal.
    n_rois
        ROIs, for a bias of pairs.

    References
    ----------
    Yang et al., arXiv 2406.17086: adaptive graph attention; its details are ours.

    Examples
    --------
    >>> attention = AdaptiveAttention(8, 2)
    >>> attention(torch.randn(3, 5, 8), torch.randn(5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        size: int,
        n_heads: int,
        *,
        bias: Literal["input", "embedding", "pair"] | None = "input",
        self_loops: bool = False,
        n_rois: int = 0,
    ) -> None:
        super().__init__()
        self.n_heads, self.bias, self.self_loops = n_heads, bias, self_loops
        self.query_key = nn.Linear(size, 2 * size, bias=False)
        self.value = nn.Linear(size, size, bias=False)
        self.mix = nn.Linear(size, size)
        if bias == "embedding":
            self.embedding_query_key = nn.Linear(size, 2 * size, bias=False)
        if bias == "pair":
            self.pair_bias = nn.Parameter(torch.zeros(n_heads, n_rois, n_rois))

    def forward(self, node: Tensor, embedding: Tensor, present: Tensor | None = None) -> Tensor:
        """Mix ROIs; arguments as of :meth:`StaticAttention.forward`."""
        read = node + embedding if self.bias == "input" else node
        query, key = (self._heads(x) for x in self.query_key(read).chunk(2, -1))
        value = self._heads(self.value(node))
        if self.bias == "pair":
            no_loops = not self.self_loops
            seen = roi_attention(
                query, key, value, self.pair_bias, mask_diagonal=no_loops, present=present
            )
        else:
            seen = self._library_attention(query, key, value, embedding, present)
        mixed: Tensor = self.mix(seen.transpose(1, 2).flatten(2))
        return mixed

    def _library_attention(
        self, query: Tensor, key: Tensor, value: Tensor, embedding: Tensor, present: Tensor | None
    ) -> Tensor:
        """Attend by the library, which is fastest where no bias needs a gradient."""
        n_features = query.shape[-1]
        if self.bias == "embedding":
            pair = self.embedding_query_key(embedding).chunk(2, -1)
            more = (self._heads(x[None]).expand_as(query) for x in pair)
            query, key = (torch.cat([own, e], -1) for own, e in zip((query, key), more))
            # The library's fast attention wants values as wide as keys.
            value = functional.pad(value, (0, query.shape[-1] - n_features))
        seen = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=self._allowed(value, present), scale=n_features**-0.5
        )
        return seen[..., :n_features]

    def _heads(self, feature: Tensor) -> Tensor:
        return feature.view(*feature.shape[:2], self.n_heads, -1).transpose(1, 2)

    def _allowed(self, value: Tensor, present: Tensor | None) -> Tensor | None:
        """Return which ROI may attend to which, bool (sequence or 1, 1, roi, roi)."""
        allowed = None if self.self_loops else ~_diagonal(value[0, ..., 0])[None, None]
        if present is None:
            return allowed
        keys = present[:, None, None, :]
        return keys if allowed is None else keys & allowed


def _diagonal(score: Tensor) -> Tensor:
    return torch.eye(score.shape[-1], dtype=torch.bool, device=score.device)
