"""Decoders: the whole latent sequence to log expected counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodyn.models.dropout import Dropout
from neurodyn.models.langevinflow.config import LangevinFlowConfig

__all__ = ["LinearDecoder", "TransformerDecoder", "build_decoder"]


class LinearDecoder(nn.Module):
    """One linear map per bin, after dropout.

    Parameters
    ----------
    n_features, n_units
        Latent features and predicted units.
    dropout
        Dropout of the features.

    Examples
    --------
    >>> LinearDecoder(6, 4)(torch.zeros(2, 10, 6)).shape
    torch.Size([2, 10, 4])
    """

    def __init__(self, n_features: int, n_units: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.readout = nn.Linear(n_features, n_units)

    def forward(self, features: Tensor) -> Tensor:
        """Return log expected counts (batch, time, unit) of features (batch, time, feature)."""
        log_count: Tensor = self.readout(self.dropout(features))
        return log_count


class TransformerDecoder(nn.Module):
    """Pre-norm attention over all bins with sinusoidal time positions, then a linear map.

    Parameters
    ----------
    n_features, n_units
        Latent features and predicted units.
    size, n_heads, n_layers, feedforward_size
        Model size, a multiple of ``n_heads``; heads, layers and hidden units per layer.
    dropout
        Dropout inside the layers and before the readout.

    Examples
    --------
    >>> TransformerDecoder(6, 4, size=8, n_heads=2)(torch.zeros(2, 10, 6)).shape
    torch.Size([2, 10, 4])
    """

    def __init__(
        self,
        n_features: int,
        n_units: int,
        *,
        size: int = 64,
        n_heads: int = 2,
        n_layers: int = 1,
        feedforward_size: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(n_features, size)
        self.layers = nn.ModuleList(
            _Layer(size, n_heads, feedforward_size, dropout) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(dropout)
        self.readout = nn.Linear(size, n_units)

    def forward(self, features: Tensor) -> Tensor:
        """Return log expected counts (batch, time, unit) of features (batch, time, feature)."""
        token = self.project(features)
        token = token + time_position(token.shape[1], token.shape[2]).to(token)
        for layer in self.layers:
            token = layer(token)
        log_count: Tensor = self.readout(self.dropout(self.norm(token)))
        return log_count


class _Layer(nn.Module):
    def __init__(self, size: int, n_heads: int, feedforward_size: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query_key_value, self.mix = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.widen = nn.Linear(size, feedforward_size)
        self.narrow = nn.Linear(feedforward_size, size)
        self.dropout = Dropout(dropout)

    def forward(self, token: Tensor) -> Tensor:
        projected = self.query_key_value(self.attention_norm(token))
        query, key, value = projected.unflatten(-1, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        # Written out: as fast for so few bins, and it can be mapped over a population.
        score = (query / math.sqrt(query.shape[-1])) @ key.mT
        seen = score.softmax(-1) @ value
        token = token + self.dropout(self.mix(seen.transpose(1, 2).flatten(2)))
        wide = self.dropout(functional.gelu(self.widen(self.feedforward_norm(token))))
        widened: Tensor = token + self.dropout(self.narrow(wide))
        return widened


def time_position(n_time: int, size: int) -> Tensor:
    """Return sinusoidal positions, dims (time, size), with wavelengths from 6 to 6e3 bins.

    Examples
    --------
    >>> time_position(5, 8).shape
    torch.Size([5, 8])
    """
    half = (size + 1) // 2
    rate = torch.exp(-math.log(1e3) * torch.arange(half) / half)
    angle = torch.arange(n_time)[:, None] * rate
    return torch.cat([torch.sin(angle), torch.cos(angle)], -1)[:, :size]


def build_decoder(
    config: LangevinFlowConfig, n_features: int, n_units: int
) -> LinearDecoder | TransformerDecoder:
    """Return the decoder that a configuration names."""
    if config.decoder == "linear":
        return LinearDecoder(n_features, n_units, config.dropout)
    return TransformerDecoder(
        n_features,
        n_units,
        size=config.decoder_size,
        n_heads=config.n_heads,
        n_layers=config.n_layers,
        feedforward_size=config.feedforward_size,
        dropout=config.dropout,
    )
