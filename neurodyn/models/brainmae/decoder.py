"""The decoder, needed in pre-training only: from states of segments to frames of every ROI."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.temporal import SegmentTransformer
from neurodyn.models.in_parts import in_parts

__all__ = ["SegmentDecoder"]


class SegmentDecoder(nn.Module):
    """A transformer over segments, then one perceptron for each ROI.

    The hidden units of ROI i in segment k are ``GELU(W (e_i * (1 + G y_k)) + D y_k)``: a linear
    map of the embeddings that the state y_k makes.

    Parameters
    ----------
    config
        Settings. With ``roi_skip`` the hidden units also get a linear map of the ROI's features.
    n_frames
        Frames of a segment.

    Examples
    --------
    >>> import torch
    >>> config = BrainMAEConfig(node_size=8, node_heads=2, state_size=16, state_heads=2)
    >>> decoder = SegmentDecoder(config, n_frames=10)
    >>> decoder(torch.zeros(3, 5, 16), torch.zeros(4, 8)).shape
    torch.Size([3, 4, 4, 10])
    """

    def __init__(self, config: BrainMAEConfig, n_frames: int) -> None:
        super().__init__()
        size, state_size = config.node_size, config.state_size
        hidden_size = config.mlp_ratio * size
        self.transformer = SegmentTransformer(
            state_size,
            config.state_heads,
            config.n_decoder_layers,
            config.mlp_ratio * state_size,
            config.dropout,
        )
        self.gain = nn.Linear(state_size, size)
        self.widen = nn.Linear(size, hidden_size, bias=False)
        self.drive = nn.Linear(state_size, hidden_size)
        self.readout = nn.Linear(hidden_size, n_frames)
        if config.roi_skip:
            self.skip = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, hidden_size, bias=False))

    def forward(
        self,
        token: Tensor,
        embedding: Tensor,
        node: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Return frames of all ROIs, (batch, segment, roi, frame).

        Parameters
        ----------
        token
            Contextual states after the summary token, (batch, 1 + segment, state feature).
        embedding
            ROI embeddings, (roi, feature).
        node
            Features of the encoder, (batch * segment, roi, feature); ``roi_skip`` reads them.
        seen
            Which tokens count, bool (batch, 1 + segment); all of them if not given.
        """
        n_batch, n_segments = token.shape[0], token.shape[1] - 1
        state = self.transformer(token, seen)[:, 1:].flatten(0, 1)
        gain, drive = 1 + self.gain(state), self.drive(state)
        read = [gain[:, None], drive[:, None], *([] if node is None else [node])]

        def frames_of(gain: Tensor, drive: Tensor, *node: Tensor) -> Tensor:
            hidden = self.widen(embedding * gain) + drive
            if node:
                hidden = hidden + self.skip(*node)
            frames: Tensor = self.readout(functional.gelu(hidden))
            return frames

        n_rois = len(embedding)
        frames = in_parts(frames_of, *read, n_hidden=n_rois * drive.shape[-1])
        return frames.view(n_batch, n_segments, n_rois, -1)
