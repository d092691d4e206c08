"""A transformer over the segments of a window, placed by time in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.models.dropout import dropout

__all__ = ["SegmentTransformer", "TransformerLayer"]


class TransformerLayer(nn.Module):
    """Self-attention and a perceptron, both on normalised input and added.

    Parameters
    ----------
    size, n_heads, hidden_size
        Features of a token, a multiple of the heads; hidden units of the perceptron.
    dropout
        Dropout of what is added.

    Examples
    --------
    >>> TransformerLayer(8, 2, 32)(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, size: int, n_heads: int, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.mix = nn.Linear(size, size)
        self.perceptron = nn.Sequential(
            nn.Linear(size, hidden_size), nn.GELU(), nn.Linear(hidden_size, size)
        )
        self.dropout = dropout

    def forward(self, token: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return new tokens (batch, token, feature); only those ``seen`` (batch, token) count."""
        query, key, value = self._heads(token)
        allowed = None if seen is None else seen[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        share = self.dropout if self.training else 0.0
        token = token + dropout(self.mix(mixed.transpose(1, 2).flatten(2)), share)
        return token + dropout(self.perceptron(self.perceptron_norm(token)), share)

    def weights(self, token: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return attention (batch, head, token, token it attends to) of this layer's input."""
        query, key, _ = self._heads(token)
        score = query @ key.mT / math.sqrt(query.shape[-1])
        if seen is not None:
            score = score.masked_fill(~seen[:, None, None, :], -torch.inf)
        return score.softmax(-1)

    def _heads(self, token: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        projected = self.query_key_value(self.attention_norm(token))
        split = projected.view(*token.shape[:2], 3, self.n_heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        return query, key, value


class SegmentTransformer(nn.Module):
    """Layers over tokens, then a normalisation.

    Parameters
    ----------
    size, n_heads, n_layers, hidden_size
        Features of a token, heads, layers, and hidden units of the perceptrons.
    dropout
        Dropout inside the layers.

    Examples
    --------
    >>> SegmentTransformer(8, 2, 3, 32)(torch.zeros(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self, size: int, n_heads: int, n_layers: int, hidden_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(size, n_heads, hidden_size, dropout) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(size)

    def forward(self, token: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return new tokens (batch, token, feature); only those ``seen`` (batch, token) count."""
        for layer in self.layers:
            token = layer(token, seen)
        normalised: Tensor = self.norm(token)
        return normalised

    def weights(self, token: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return attention of all layers, (batch, layer, head, token, token it attends to)."""
        found = []
        for layer in cast("Iterable[TransformerLayer]", self.layers):
            found.append(layer.weights(token, seen))
            token = layer(token, seen)
        return torch.stack(found, 1)
