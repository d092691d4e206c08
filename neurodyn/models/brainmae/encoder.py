"""The transient-state encoder: from the frames of a segment to features of its ROIs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurodyn.models.brainmae.attention import AdaptiveAttention, StaticAttention
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.dropout import Dropout
from neurodyn.models.in_parts import in_parts

__all__ = ["Block", "TransientStateEncoder"]


class Block(nn.Module):
    """Attention between ROIs, then a perceptron for each; both on normalised input and added.

    Parameters
    ----------
    attention
        How ROIs are mixed.
    size, hidden_size
        Features of a ROI; hidden units of the perceptron.
    dropout
        Dropout of what is added.

    Examples
    --------
    >>> block = Block(StaticAttention(8, 2), 8, 32)
    >>> block(torch.zeros(3, 5, 8), torch.randn(5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        attention: StaticAttention | AdaptiveAttention,
        size: int,
        hidden_size: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.perceptron = nn.Sequential(
            nn.Linear(size, hidden_size), nn.GELU(), nn.Linear(hidden_size, size)
        )
        self.hidden_size, self.dropout = hidden_size, Dropout(dropout)

    def forward(self, node: Tensor, embedding: Tensor, present: Tensor | None = None) -> Tensor:
        """Return new features; arguments as of :meth:`StaticAttention.forward`."""
        mixed = self.attention(self.attention_norm(node), embedding, present)
        node = node + self.dropout(mixed)
        return in_parts(self._added, node, n_hidden=node.shape[1] * self.hidden_size)

    def _added(self, node: Tensor) -> Tensor:
        added: Tensor = node + self.dropout(self.perceptron(self.perceptron_norm(node)))
        return added


class TransientStateEncoder(nn.Module):
    """Blocks over the ROIs of one segment at a time.

    A hidden ROI starts from a learned vector in place of its frames; all add their embedding.

    Parameters
    ----------
    config
        Settings.
    n_frames, n_rois
        Frames of a segment, and ROIs.

    References
    ----------
    Yang et al., arXiv 2406.17086: transient state encoders SG and AG.

    Examples
    --------
    >>> config = BrainMAEConfig(node_size=8, node_heads=2)
    >>> encoder = TransientStateEncoder(config, n_frames=10, n_rois=5)
    >>> hidden = torch.zeros(3, 5, dtype=torch.bool)
    >>> encoder(torch.zeros(3, 5, 10), torch.randn(5, 8), hidden).shape
    torch.Size([3, 5, 8])
    """

    def __init__(self, config: BrainMAEConfig, n_frames: int, n_rois: int) -> None:
        super().__init__()
        size = config.node_size
        self.read = nn.Linear(n_frames, size)
        self.hidden = nn.Parameter(0.02 * torch.randn(size))
        self.blocks = nn.ModuleList(
            Block(_attention(config, number, n_rois), size, config.mlp_ratio * size, config.dropout)
            for number in range(config.n_blocks)
        )

    def forward(
        self,
        bold: Tensor,
        embedding: Tensor,
        hidden: Tensor,
        present: Tensor | None = None,
    ) -> Tensor:
        """Encode segments.

        Parameters
        ----------
        bold
            Frames, 0 where not observed, (sequence, roi, frame).
        embedding
            ROI embeddings, (roi, feature).
        hidden
            Which ROIs are masked, bool (sequence, roi).
        present
            Which ROIs have data, bool (sequence, roi); all of them if not given.
        """
        node = torch.where(hidden[..., None], self.hidden, self.read(bold)) + embedding
        for block in self.blocks:
            node = block(node, embedding, present)
        return node

    def static_attention(self, embedding: Tensor) -> list[Tensor]:
        """Return attention (head, roi, roi) of each block where it is static."""
        layers = [block.attention for block in self.blocks if isinstance(block, Block)]
        return [x.weights(embedding) for x in layers if isinstance(x, StaticAttention)]


def _attention(
    config: BrainMAEConfig, number: int, n_rois: int
) -> StaticAttention | AdaptiveAttention:
    size, n_heads, self_loops = config.node_size, config.node_heads, config.self_loops
    if config.variant in ("sg", "position") or (config.variant == "ag" and number == 0):
        return StaticAttention(size, n_heads, self_loops=self_loops)
    bias = None if config.variant == "vanilla" else config.adaptive_bias
    return AdaptiveAttention(size, n_heads, bias=bias, self_loops=self_loops, n_rois=n_rois)
