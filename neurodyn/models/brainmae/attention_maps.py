"""Where a BrainMAE looks: attention between regions, and of the summary to segments in time.

Attention is what a model reads, not what it needs: :mod:`neurodyn.models.brainmae.occlusion` is the
causal counterpart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from neurodyn.models.brainmae.context import RoiContext, bold_runs, run_windows
from neurodyn.models.brainmae.embeddings import encoder_of
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.finetune import BrainMAEDecoder

__all__ = ["cls_attention", "static_attention"]

FloatArray = NDArray[np.float64]
N_DISTANCES = 8


def static_attention(
    model: BrainMAE | BrainMAEDecoder, *, n_distances: int = N_DISTANCES
) -> xr.Dataset:
    """Return attention between regions where it is the same for all data, and what it is like.

    Parameters
    ----------
    model, n_distances
        Fitted, with static attention; groups of pairs, of equal size, in the profile.

    Returns
    -------
    xr.Dataset
        ``attention (block, head, roi, roi_to)``, rows add up to 1. Without what a region pays to
        itself: ``asymmetry (block, head)``, the norm of the antisymmetric over that of the
        symmetric part, 0 if attention is mutual; where networks are known ``own_network_mass
        (block, head)``, the share that goes to the own network, mean over regions that have one,
        and ``own_network_chance``, the same if all regions were looked at alike; where centroids
        are known ``distance_profile (block, head, distance)``, mean attention as a multiple of
        looking at all alike, ``distance`` [mm] the mean of its pairs.

    Raises
    ------
    NotFittedError, ConfigError
        Before ``fit``; if the variant has no static attention.

    References
    ----------
    Yang et al., arXiv 2406.17086: static graph attention.

    Examples
    --------
    >>> from neurodyn import recording, training
    >>> run = recording.bold(np.random.default_rng(0).normal(size=(80, 6)), repetition_time=1.5)
    >>> model = BrainMAE(node_size=8, node_heads=2, state_size=16, state_heads=2, n_segments=4)
    >>> model = model.fit(run, training=training.TrainingConfig(n_steps=1))
    >>> static_attention(model)["attention"].sizes["block"]
    3
    """
    encoder = encoder_of(model)
    context, dims = encoder.context_, ("block", "head")
    with torch.no_grad():
        weights = encoder.network_.static_attention().cpu().numpy()
    others = weights.astype(np.float64) * ~np.eye(context.n_rois, dtype=bool)
    others /= others.sum(axis=-1, keepdims=True)
    variables: dict[str, Any] = {
        "attention": ((*dims, "roi", "roi_to"), weights),
        "asymmetry": (dims, _asymmetry(others)),
    }
    coords = context.coords() | {"block": np.arange(1, len(weights) + 1)}
    coords["roi_to"] = coords["roi"]
    if any(context.network):
        mass, variables["own_network_chance"] = _own_network(others, context)
        variables["own_network_mass"] = (dims, mass)
    if context.position:
        distance, profile = _distance_profile(others, np.array(context.position), n_distances)
        variables["distance_profile"] = ((*dims, "distance"), profile)
        coords["distance"] = ("distance", distance, {"units": "mm"})
    return encoder._labelled(variables, coords, "static_attention")


def cls_attention(model: BrainMAE | BrainMAEDecoder, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
    """Return how much the summary of each window attends to each of its segments.

    Parameters
    ----------
    model
        Fitted.
    data
        Runs.

    Returns
    -------
    xr.Dataset
        ``cls_attention (window, layer, head, segment)``; what goes to the summary itself is left
        out, so that rows add up to less than 1; NaN for a segment without data. Coordinates as of
        :meth:`BrainMAE.transform`, and ``segment_time (window, segment)`` [s] from the first frame
        of the run, the clock of events.

    Raises
    ------
    NotFittedError, DataError, EmptySelectionError
        As :meth:`BrainMAE.transform`.

    References
    ----------
    Yang et al., arXiv 2406.17086: attention of the CLS token over task blocks.
    """
    encoder = encoder_of(model)
    runs = bold_runs(data)
    windows = run_windows(runs, encoder.context_, encoder.config)
    found = []
    for batch in encoder._batches(windows):
        weights = encoder.network_.cls_attention(batch["bold"], batch["observed"], batch["time"])
        empty = ~batch["observed"].any(dim=(2, 3))
        found.append(weights.masked_fill(empty[:, None, None], torch.nan).cpu().numpy())
    coords = encoder._window_coords(runs, windows)
    time = coords["start"][1][:, None] + coords["segment_start"][1]
    coords["segment_time"] = (("window", "segment"), time, {"units": "s"})
    coords["layer"] = np.arange(1, encoder.config.n_encoder_layers + 1)
    variables = {"cls_attention": (("window", "layer", "head", "segment"), np.concatenate(found))}
    duration = encoder.config.segment_duration
    labelled = encoder._labelled(variables, coords, "cls_attention")
    return labelled.assign_attrs(segment_duration=duration)


def _asymmetry(others: FloatArray) -> FloatArray:
    """Return the norm of the antisymmetric over that of the symmetric part ``(block, head)``."""
    turned = others.swapaxes(-1, -2)
    odd, even = (((others + sign * turned) ** 2).sum(axis=(-2, -1)) for sign in (-1, 1))
    return np.asarray(np.sqrt(odd / even))


def _own_network(others: FloatArray, context: RoiContext) -> tuple[FloatArray, float]:
    """Return the mass in the own network ``(block, head)``, and what is expected of it."""
    code = context.network_code
    known = code >= 0
    same = (code[:, None] == code) & ~np.eye(code.size, dtype=bool)
    mass = (others * same).sum(axis=-1)[..., known].mean(axis=-1)
    chance = same[known].sum(axis=1).mean() / (code.size - 1)
    return mass, float(chance)


def _distance_profile(
    others: FloatArray, position: FloatArray, n_distances: int
) -> tuple[FloatArray, FloatArray]:
    """Return mean distances of groups of pairs, and attention over chance in each group."""
    n_rois = len(position)
    pairs = np.flatnonzero(~np.eye(n_rois, dtype=bool))
    distance = cdist(position, position).ravel()[pairs]
    groups = np.array_split(np.argsort(distance, kind="stable"), min(n_distances, pairs.size))
    relative = others.reshape(*others.shape[:2], -1)[..., pairs] * (n_rois - 1)
    profile = np.stack([relative[..., group].mean(axis=-1) for group in groups], axis=-1)
    return np.array([distance[group].mean() for group in groups]), profile
