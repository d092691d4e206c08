"""From the features of all ROIs to one state of the segment."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neurodyn.models.brainmae.config import BrainMAEConfig

__all__ = ["FlattenPooling", "QueryPooling", "build_pooling"]


class FlattenPooling(nn.Module):
    """A few features of every ROI side by side, then one linear map: z = P flatten(R LN(h)).

    A ROI without data adds nothing.

    Parameters
    ----------
    n_rois
        ROIs of the atlas, which the weights are tied to.
    size, readout_size, state_size
        Features of a ROI, those that are read of it, and features of the state.

    Examples
    --------
    >>> FlattenPooling(5, 8, 4, 16)(torch.randn(3, 5, 8), torch.randn(5, 8)).shape
    torch.Size([3, 16])
    """

    def __init__(self, n_rois: int, size: int, readout_size: int, state_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.read = nn.Linear(size, readout_size)
        self.project = nn.Linear(n_rois * readout_size, state_size)

    def forward(self, node: Tensor, embedding: Tensor, present: Tensor | None = None) -> Tensor:
        """Return states (sequence, state feature).

        Parameters
        ----------
        node
            Features, (sequence, roi, feature).
        embedding
            ROI embeddings, (roi, feature); not used here.
        present
            Which ROIs have data, bool (sequence, roi); all of them if not given.
        """
        read = self.read(self.norm(node))
        if present is not None:
            read = read * present[..., None]
        state: Tensor = self.project(read.flatten(1))
        return state


class QueryPooling(nn.Module):
    """Learned averages over ROIs, then one linear map; no weight depends on the atlas.

    The weights of an average are a softmax of a learned query with keys from the embeddings,
    over the ROIs that have data.

    Parameters
    ----------
    n_queries
        Averages.
    size, readout_size, state_size
        Features of a ROI, those that are averaged, and features of the state.

    Examples
    --------
    >>> QueryPooling(2, 8, 4, 16)(torch.randn(3, 5, 8), torch.randn(5, 8)).shape
    torch.Size([3, 16])
    """

    def __init__(self, n_queries: int, size: int, readout_size: int, state_size: int) -> None:
        super().__init__()
        self.norm, self.embedding_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query = nn.Parameter(torch.randn(n_queries, size))
        self.key = nn.Linear(size, size, bias=False)
        self.read = nn.Linear(size, readout_size)
        self.project = nn.Linear(n_queries * readout_size, state_size)

    def weights(self, embedding: Tensor) -> Tensor:
        """Return the weight of every ROI in every average, (query, roi)."""
        score: Tensor = self.query @ self.key(self.embedding_norm(embedding)).mT
        return (score / math.sqrt(embedding.shape[-1])).softmax(-1)

    def forward(self, node: Tensor, embedding: Tensor, present: Tensor | None = None) -> Tensor:
        """Return states; arguments as of :meth:`FlattenPooling.forward`."""
        weight = self.weights(embedding)
        read = self.read(self.norm(node)).movedim(-1, 0)
        if present is None:
            average = read @ weight.mT
        else:
            mass = present.to(weight.dtype) @ weight.mT
            average = (read * present) @ weight.mT / mass.clamp_min(torch.finfo(mass.dtype).tiny)
        state: Tensor = self.project(average.permute(1, 2, 0).flatten(1))
        return state


def build_pooling(config: BrainMAEConfig, n_rois: int) -> FlattenPooling | QueryPooling:
    """Return the pooling that a configuration names."""
    sizes = (config.node_size, config.readout_size, config.state_size)
    if config.pooling == "flatten":
        return FlattenPooling(n_rois, *sizes)
    return QueryPooling(config.n_queries, *sizes)
