"""BrainMAE: ROI embeddings, transient states of segments, their context, and a decoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurodyn.errors import ConfigError
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.decoder import SegmentDecoder
from neurodyn.models.brainmae.encoder import TransientStateEncoder
from neurodyn.models.brainmae.pooling import build_pooling
from neurodyn.models.brainmae.temporal import SegmentTransformer
from neurodyn.models.sinusoids import sinusoids

__all__ = ["BrainMAENetwork", "BrainMAEOutput"]

# Periods of segment times [s], from less than a segment to well over the longest window.
PERIODS = {"shortest": 10.0, "longest": 3000.0}
# Small, as layer normalisation scales embeddings where attention is made of them alone.
EMBEDDING_SD = 0.02


class BrainMAEOutput(NamedTuple):
    """What the network returns.

    Attributes
    ----------
    reconstruction
        Predicted frames, (batch, segment, roi, frame), z-scored as the input is.
    states
        States of the segments in their context, (batch, segment, state feature).
    cls
        Summary of the window, (batch, state feature).
    """

    reconstruction: Tensor
    states: Tensor
    cls: Tensor


class BrainMAENetwork(nn.Module):
    """A masked autoencoder of BOLD segments with an embedding of every ROI.

    Everything that the decoder learns of a segment passes through its state, unless ``roi_skip``.
    Entries that are not observed are read as 0, the mean; a ROI without any frame in a segment
    is left out of attention and pooling there, a segment without any ROI out of the context.

    Parameters
    ----------
    config
        Settings.
    n_rois
        ROIs of the atlas, at least 2.
    n_frames
        Frames of a segment.

    Raises
    ------
    ConfigError
        If there are fewer than 2 ROIs.

    References
    ----------
    Yang et al., arXiv 2406.17086 (BrainMAE). Written from its published description; there is no
    official code to compare with.

    Examples
    --------
    >>> config = BrainMAEConfig(node_size=8, node_heads=2, state_size=16, state_heads=2)
    >>> network = BrainMAENetwork(config, n_rois=5, n_frames=10)
    >>> bold = torch.randn(2, 3, 5, 10)
    >>> time = torch.tensor([0.0, 15.0, 30.0]).expand(2, 3)
    >>> network(bold, torch.ones_like(bold, dtype=torch.bool), time).reconstruction.shape
    torch.Size([2, 3, 5, 10])
    """

    roi_embedding: Tensor

    def __init__(self, config: BrainMAEConfig, n_rois: int, n_frames: int) -> None:
        super().__init__()
        if n_rois < 2:
            raise ConfigError("BrainMAE needs several ROIs", found=n_rois, expected="2 or more")
        self.config, self.n_rois, self.n_frames = config, n_rois, n_frames
        if config.variant == "position":
            number = torch.arange(n_rois, dtype=torch.float32)
            code = sinusoids(number, config.node_size, shortest=4.0, longest=2.0 * n_rois)
            self.register_buffer("roi_embedding", code)
        else:
            self.roi_embedding = nn.Parameter(EMBEDDING_SD * torch.randn(n_rois, config.node_size))
        self.encoder = TransientStateEncoder(config, n_frames, n_rois)
        self.pooling = build_pooling(config, n_rois)
        self.summary = nn.Parameter(0.02 * torch.randn(config.state_size))
        self.context = SegmentTransformer(
            config.state_size,
            config.state_heads,
            config.n_encoder_layers,
            config.mlp_ratio * config.state_size,
            config.dropout,
        )
        self.decoder = SegmentDecoder(config, n_frames)

    def forward(
        self, bold: Tensor, observed: Tensor, time: Tensor, mask: Tensor | None = None
    ) -> BrainMAEOutput:
        """Encode and reconstruct windows.

        Parameters
        ----------
        bold
            Frames, (batch, segment, roi, frame), z-scored for each ROI and run.
        observed
            Where data exist, bool, as ``bold``. The values elsewhere are not read.
        time
            Start of each segment from the window's start [s], (batch, segment).
        mask
            ROIs that are hidden, bool (batch, segment, roi); none if not given.

        Raises
        ------
        ConfigError
            If the numbers of ROIs or frames are not those of the network.
        """
        token, node, seen = self._encode(bold, observed, time, mask)
        skipped = node if self.config.roi_skip else None
        reconstruction = self.decoder(token, self.roi_embedding, skipped, seen)
        return BrainMAEOutput(reconstruction, token[:, 1:], token[:, 0])

    def encode(
        self, bold: Tensor, observed: Tensor, time: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return states (batch, segment, feature) and summary (batch, feature), not decoded.

        Parameters and errors are those of :meth:`forward`.
        """
        token, _, _ = self._encode(bold, observed, time, mask)
        return token[:, 1:], token[:, 0]

    def transient_states(
        self, bold: Tensor, observed: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return states of the segments before they know of each other, as :meth:`encode`."""
        return self._transient(bold, observed, mask)[0]

    def static_attention(self) -> Tensor:
        """Return attention between ROIs, (block, head, roi, roi it attends to).

        Blocks are those whose attention comes from the embeddings alone.

        Raises
        ------
        ConfigError
            If the variant has none.
        """
        found = self.encoder.static_attention(self.roi_embedding)
        if not found:
            raise ConfigError(
                "this variant has no static attention",
                found=f"variant={self.config.variant!r}",
                expected="'sg', 'position' or 'ag'",
            )
        return torch.stack(found)

    def cls_attention(
        self, bold: Tensor, observed: Tensor, time: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return attention of the summary to the segments, (batch, layer, head, segment).

        What it pays to itself is left out, so rows add up to less than 1. Parameters and errors
        are those of :meth:`forward`.
        """
        state, _, seen = self._transient(bold, observed, mask)
        weights = self.context.weights(*self._tokens(state, time, seen))
        return weights[..., 0, 1:]

    def _encode(
        self, bold: Tensor, observed: Tensor, time: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        state, node, seen = self._transient(bold, observed, mask)
        token, seen = self._tokens(state, time, seen)
        return self.context(token, seen), node, seen

    def _transient(
        self, bold: Tensor, observed: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return states, features of ROIs (batch * segment, roi, feature), segments with data."""
        sizes = (self.n_rois, self.n_frames)
        if tuple(bold.shape[2:]) != sizes:
            raise ConfigError(
                "the data do not fit the network",
                found=f"{tuple(bold.shape[2:])} ROIs and frames per segment",
                expected=sizes,
            )
        n_batch, n_segments = bold.shape[:2]
        present = observed.any(-1).flatten(0, 1)
        hidden = torch.zeros_like(present) if mask is None else mask.flatten(0, 1)
        # Where rather than a product: what is not observed may hold NaN.
        read = torch.where(observed, bold, 0.0).flatten(0, 1)
        seen = None
        lacking = None if bool(present.all()) else present
        if lacking is not None:
            seen = present.any(-1).view(n_batch, n_segments)
        node = self.encoder(read, self.roi_embedding, hidden, lacking)
        state = self.pooling(node, self.roi_embedding, lacking)
        return state.view(n_batch, n_segments, -1), node, seen

    def _tokens(
        self, state: Tensor, time: Tensor, seen: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Place states in time and put the summary token before them."""
        placed = state + sinusoids(time, state.shape[-1], **PERIODS).to(state.dtype)
        token = torch.cat([self.summary.expand(len(state), 1, -1).to(state.dtype), placed], 1)
        if seen is not None:
            seen = torch.cat([torch.ones_like(seen[:, :1]), seen], 1)
        return token, seen
