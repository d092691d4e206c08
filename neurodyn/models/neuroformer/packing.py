"""Windows without their padding, for what is done to each token by itself."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Packing"]


class Packing(NamedTuple):
    """Where the tokens of windows of different length are in their padded batch.

    Attributes
    ----------
    place
        Number of each token in the padded batch, row by row, (token,).
    n_rows, n_tokens
        Sizes of the padded batch.

    Examples
    --------
    >>> import torch
    >>> packing = Packing.of(torch.tensor([[True, False], [True, True]]))
    >>> packing.pad(torch.ones(3, 1))[..., 0]
    tensor([[1., 0.],
            [1., 1.]])
    """

    place: Tensor
    n_rows: int
    n_tokens: int

    @classmethod
    def of(cls, real: Tensor) -> Packing:
        """Return the packing of a batch by which of its tokens are real, bool (batch, token)."""
        return cls(real.flatten().nonzero()[:, 0], *real.shape)

    @property
    def row(self) -> Tensor:
        """Row of each token, (token,)."""
        return self.place.div(self.n_tokens, rounding_mode="floor")

    def pack(self, feature: Tensor) -> Tensor:
        """Return the real tokens, (token, feature), of a padded batch (batch, token, feature)."""
        return feature.flatten(0, 1).index_select(0, self.place)

    def pad(self, feature: Tensor) -> Tensor:
        """Return what :meth:`pack` was given, with 0 in place of padding."""
        size = feature.shape[-1]
        padded = feature.new_zeros(self.n_rows * self.n_tokens, size)
        return padded.index_copy_(0, self.place, feature).view(self.n_rows, self.n_tokens, size)
