"""Stimulus and behavior as tokens that spikes read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from neurodyn.errors import ConfigError
from neurodyn.models.neuroformer.blocks import Block, Context
from neurodyn.models.neuroformer.config import NeuroformerConfig, StimulusInput
from neurodyn.models.neuroformer.embeddings import TimeCode, rotation_rates
from neurodyn.models.sinusoids import sinusoids

__all__ = ["ContextEncoder", "FeatureReader", "Standardise", "VideoReader"]


class Standardise(nn.Module):
    """Subtracts a mean and divides by a deviation, which are set, not learned.

    Scalars are never normalised over their own features, which would leave nothing of them.

    Parameters
    ----------
    n_features
        Number of features.

    Examples
    --------
    >>> standardise = Standardise(1)
    >>> standardise.set(torch.tensor([10.0]), torch.tensor([2.0]))
    >>> standardise(torch.tensor([[14.0]])).item()
    2.0
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))

    def set(self, mean: Tensor, deviation: Tensor) -> None:
        """Set mean and deviation of each feature."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(self, value: Tensor) -> Tensor:
        """Return standardised values (..., feature)."""
        return (value - self.mean) / self.deviation

    def inverse(self, value: Tensor) -> Tensor:
        """Return values in their own unit."""
        return value * self.deviation + self.mean


class FeatureReader(nn.Module):
    """A token for each sample of some features.

    Parameters
    ----------
    config
        Settings.
    n_features
        Features of a sample.
    layer_norm
        Normalises each sample over its own features, a published quirk: of one feature nothing
        is left.

    Examples
    --------
    >>> reader = FeatureReader(NeuroformerConfig(size=16), 2)
    >>> reader(torch.zeros(3, 4, 2), torch.zeros(3, 4), torch.ones(3, 4).bool()).token.shape
    torch.Size([3, 4, 16])
    """

    def __init__(
        self, config: NeuroformerConfig, n_features: int, *, layer_norm: bool = False
    ) -> None:
        super().__init__()
        self.scale = Standardise(n_features)
        self.norm = nn.LayerNorm(n_features) if layer_norm else nn.Identity()
        self.perceptron = nn.Sequential(
            nn.Linear(n_features, config.size), nn.GELU(), nn.Linear(config.size, config.size)
        )
        self.time = TimeCode(config)

    def forward(self, value: Tensor, time: Tensor, known: Tensor) -> Context:
        """Return tokens of values (batch, sample, feature) at times [bins] (batch, sample)."""
        token = self.perceptron(self.norm(self.scale(value)))
        return Context(token + self.time(time), known, time)


class VideoReader(nn.Module):
    """Tokens of patches of frames: a convolution over time, rows and columns.

    Each token has a code of its place and of its time, the mean of its frames', unless the quirk
    ``video_without_place`` is set. Tokens of which a frame is unknown are not read.

    Parameters
    ----------
    config
        Settings.
    shape
        Frames, channels, rows and columns.

    Raises
    ------
    ConfigError
        If a kernel is larger than the video.

    Examples
    --------
    >>> kernel = {"kernel": (2, 4, 4), "stride": (2, 4, 4)}
    >>> reader = VideoReader(NeuroformerConfig(size=16), StimulusInput(**kernel), (4, 1, 8, 12))
    >>> read = reader(torch.zeros(3, 4, 1, 8, 12), torch.zeros(3, 4), torch.ones(3, 4).bool())
    >>> read.token.shape
    torch.Size([3, 12, 16])
    """

    place: Tensor

    def __init__(
        self, config: NeuroformerConfig, stimulus: StimulusInput, shape: tuple[int, ...]
    ) -> None:
        super().__init__()
        sizes = (shape[0], *shape[2:])
        if len(shape) != 4 or any(size < k for size, k in zip(sizes, stimulus.kernel)):
            raise ConfigError(
                "the kernel does not fit the video",
                found=f"frames, channels, rows, columns {shape}",
                expected=f"at least {stimulus.kernel} frames, rows and columns",
                hint="a longer window of the stimulus or a smaller kernel",
            )
        self.kernel, self.stride = stimulus.kernel[0], stimulus.stride[0]
        self.placed = not config.quirks.video_without_place
        self.scale = Standardise(shape[1])
        self.patch = nn.Conv3d(shape[1], config.size, stimulus.kernel, stimulus.stride)
        self.time = TimeCode(config)
        counts = [(n - k) // s + 1 for n, k, s in zip(sizes, stimulus.kernel, stimulus.stride)]
        codes = [
            sinusoids(torch.arange(n), config.size // 2, shortest=2.0, longest=4.0 * n)
            for n in counts[1:]
        ]
        rows = codes[0][:, None].expand(-1, counts[2], -1)
        columns = codes[1][None].expand(counts[1], -1, -1)
        self.register_buffer(
            "place", torch.cat([rows, columns], -1).flatten(0, 1), persistent=False
        )

    def forward(self, value: Tensor, time: Tensor, known: Tensor) -> Context:
        """Return tokens of frames (batch, frame, channel, row, column) at times [bins]."""
        frames = self.scale(value.movedim(2, -1)).movedim(-1, 1)
        frames = frames * known[:, None, :, None, None]
        # (batch, frames of a token, place, feature)
        token = self.patch(frames).flatten(3).permute(0, 2, 3, 1)
        middle = time.unfold(1, self.kernel, self.stride).mean(-1)
        whole = known.unfold(1, self.kernel, self.stride).all(-1)
        if self.placed:
            token = token + self.place + self.time(middle)[:, :, None]
        times, exists = (x[:, :, None].expand(token.shape[:3]).flatten(1) for x in (middle, whole))
        return Context(token.flatten(1, 2), exists, times)


class ContextEncoder(nn.Module):
    """Adds a token that says nothing, mixes tokens by self-attention and normalises them.

    The added token is the first and always known: a window without spikes before it, or without
    a stimulus, reads it alone. With the quirk ``attend_padding`` everything counts as known.

    Parameters
    ----------
    config
        Settings.
    n_layers
        Blocks of self-attention, 0 or more.

    Examples
    --------
    >>> encoder = ContextEncoder(NeuroformerConfig(size=16, n_heads=2), 1)
    >>> read = Context(torch.zeros(3, 4, 16), torch.zeros(3, 4).bool(), torch.zeros(3, 4))
    >>> encoder(read).token.shape
    torch.Size([3, 5, 16])
    """

    def __init__(self, config: NeuroformerConfig, n_layers: int = 0) -> None:
        super().__init__()
        self.nothing = nn.Parameter(0.02 * torch.randn(config.size))
        sizes = (config.size, config.n_heads, config.mlp_ratio * config.size, config.dropout)
        rates = rotation_rates(config)
        self.layers = nn.ModuleList(Block(*sizes, rates) for _ in range(n_layers))
        self.norm = nn.LayerNorm(config.size)
        self.attend_padding = config.quirks.attend_padding

    def forward(self, context: Context) -> Context:
        """Return the context with one token more."""
        if self.attend_padding:
            context = context._replace(known=torch.ones_like(context.known))
        n_rows = len(context.token)
        first = self.nothing.to(context.token.dtype).expand(n_rows, 1, -1)
        token = torch.cat([first, context.token], 1)
        known = torch.cat([context.known.new_ones(n_rows, 1), context.known], 1)
        time = torch.cat([context.time.new_zeros(n_rows, 1), context.time], 1)
        for layer in cast("Iterable[Block]", self.layers):
            token = layer(token, time, known=known)
        return Context(self.norm(token), known, time, context.row)
