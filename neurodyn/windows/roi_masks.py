"""Masks over brain regions and segments for masked autoencoding."""

from __future__ import annotations

import torch
from torch import Tensor

from neurodyn.errors import ConfigError, one_of

__all__ = ["SCHEMES", "draw_mask", "draw_ratio"]

#: Masking schemes that :func:`draw_mask` knows.
SCHEMES = ("segment_roi", "tube", "network", "block_time")


def draw_ratio(low: float, high: float, generator: torch.Generator | None = None) -> float:
    """Return a masking ratio, uniform between two bounds: one for a whole mini-batch.

    Parameters
    ----------
    low, high
        Bounds, from 0 to 1.
    generator
        Source of randomness on the CPU; torch's own if not given.

    Raises
    ------
    ConfigError
        If the bounds are no rising shares.

    Examples
    --------
    >>> draw_ratio(0.4, 0.4)
    0.4
    """
    if not 0.0 <= low <= high <= 1.0:
        raise ConfigError(
            "invalid range of the masking ratio",
            found=(low, high),
            expected="0 <= low <= high <= 1",
        )
    return low + (high - low) * float(torch.rand((), generator=generator))


def draw_mask(
    scheme: str,
    observed_roi: Tensor,
    ratio: float,
    networks: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw which regions of which segments a model does not see and has to predict.

    Counts are exact: of ``n`` candidates ``round(ratio * n)`` are masked, halves to the even
    number. A region that is not observed is no candidate and never masked.

    Parameters
    ----------
    scheme
        ``"segment_roi"``: regions drawn anew for every segment. ``"tube"``: the same regions, of
        those observed anywhere, in all segments: slow signals cannot be interpolated over time.
        ``"network"``: all regions of drawn functional networks, of those observed anywhere, in
        all segments. ``"block_time"``: all regions of consecutive segments, never of all.
    observed_roi
        Where data exist, bool ``(batch, segment, roi)``.
    ratio
        Share that is masked, from 0 to 1.
    networks
        Network of each region as integers ``(roi,)``, which ``"network"`` needs; regions of a
        negative number belong to none and stay visible.
    generator
        Source of randomness, on the device of ``observed_roi``; torch's own if not given.

    Returns
    -------
    Tensor
        True where masked, bool ``(batch, segment, roi)``.

    Raises
    ------
    ConfigError
        For an unknown scheme, a ratio outside 0 to 1 or networks that do not fit the regions.

    References
    ----------
    Yang et al., arXiv 2406.17086: ``"segment_roi"`` with ratios up to 0.8.

    Examples
    --------
    >>> observed = torch.ones(2, 4, 10, dtype=torch.bool)
    >>> mask = draw_mask("segment_roi", observed, 0.3, generator=torch.Generator().manual_seed(0))
    >>> mask.sum(-1).unique()
    tensor([3])
    """
    one_of("scheme", scheme, SCHEMES)
    if not 0.0 <= ratio <= 1.0:
        raise ConfigError("invalid masking ratio", found=ratio, expected="from 0 to 1")
    if scheme == "segment_roi":
        return _drawn(observed_roi, ratio, generator)
    if scheme == "tube":
        return _drawn(observed_roi.any(1, keepdim=True), ratio, generator) & observed_roi
    if scheme == "network":
        return _drawn_networks(observed_roi, ratio, networks, generator) & observed_roi
    return _drawn_block(observed_roi, ratio, generator) & observed_roi


def _drawn(candidates: Tensor, ratio: float, generator: torch.Generator | None) -> Tensor:
    """Draw an exact share of the True entries along the last dimension."""
    score = torch.rand(candidates.shape, generator=generator, device=candidates.device)
    # What is no candidate ranks last, beyond every count.
    rank = score.masked_fill(~candidates, 2.0).argsort(-1).argsort(-1)
    return rank < torch.round(ratio * candidates.sum(-1, keepdim=True))


def _drawn_networks(
    observed_roi: Tensor, ratio: float, networks: Tensor | None, generator: torch.Generator | None
) -> Tensor:
    n_rois = observed_roi.shape[-1]
    found = None if networks is None else tuple(networks.shape)
    if networks is None or found != (n_rois,):
        raise ConfigError(
            "masking by network needs the network of every region",
            found=found,
            expected=f"integers of shape ({n_rois},)",
            hint="give networks, or choose masking='tube'",
        )
    networks = networks.to(observed_roi.device)
    member = networks == torch.unique(networks[networks >= 0])[:, None]
    present = (observed_roi.any(1)[:, None] & member).any(-1)
    chosen = _drawn(present, ratio, generator)
    masked: Tensor = (chosen[:, :, None] & member).any(1, keepdim=True)
    return masked


def _drawn_block(observed_roi: Tensor, ratio: float, generator: torch.Generator | None) -> Tensor:
    n_batch, n_segments, _ = observed_roi.shape
    length = min(round(ratio * n_segments), n_segments - 1)
    start = torch.randint(
        n_segments - length + 1, (n_batch, 1), generator=generator, device=observed_roi.device
    )
    segment = torch.arange(n_segments, device=observed_roi.device)
    return ((segment >= start) & (segment < start + length))[:, :, None]
