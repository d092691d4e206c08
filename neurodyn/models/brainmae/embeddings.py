"""What embeddings of brain regions hold: similarity, beside connectivity and over models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from neurodyn.errors import DataError, DegenerateInputError
from neurodyn.models.baselines.connectivity_linear import fisher_z_connectivity
from neurodyn.models.brainmae.context import bold_runs
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.finetune import BrainMAEDecoder
from neurodyn.recording import results
from neurodyn.transforms.connectivity import pair_matrix, pair_vector

__all__ = [
    "connectivity_correlation",
    "consistency",
    "embedding_map",
    "embedding_similarity",
    "encoder_of",
    "group_connectivity",
]

LARGEST_PERPLEXITY = 30.0


def encoder_of(model: BrainMAE | BrainMAEDecoder) -> BrainMAE:
    """Return a pre-trained model as it is, and of a fine-tuned one its encoder.

    The encoder shares its weights with the decoder; it gives states and attention, but no
    reconstructions.

    Raises
    ------
    NotFittedError
        Before ``fit``.
    """
    model._require_fitted()
    if isinstance(model, BrainMAE):
        return model
    encoder = BrainMAE(model.context_.network)
    encoder.context_, encoder.network_ = model.context_.regions, model.network_.encoder
    encoder.training_, encoder.data_ = model.training_, model.data_
    encoder.history_, encoder.arrays_digest_ = model.history_, model.arrays_digest_
    return encoder


def embedding_similarity(model: BrainMAE | BrainMAEDecoder) -> xr.Dataset:
    """Return the cosines of the embeddings of all pairs of regions.

    Parameters
    ----------
    model
        Fitted.

    Returns
    -------
    xr.Dataset
        ``similarity (roi, roi_to)`` float64, from -1 to 1; ``network`` and ``x``, ``y``, ``z``
        [mm] of ``roi`` where they are known.

    Raises
    ------
    NotFittedError
        Before ``fit``.

    References
    ----------
    Yang et al., arXiv 2406.17086: similarity of ROI embeddings against functional networks.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> from neurodyn.training import TrainingConfig
    >>> values = np.random.default_rng(0).normal(size=(80, 6))
    >>> model = BrainMAE(node_size=8, node_heads=2, state_size=16, state_heads=2, n_segments=4)
    >>> model = model.fit(bold(values, repetition_time=1.5), training=TrainingConfig(n_steps=1))
    >>> embedding_similarity(model)["similarity"].sizes
    Frozen({'roi': 6, 'roi_to': 6})
    """
    encoder = encoder_of(model)
    embedding = encoder.network_.roi_embedding.detach().cpu().numpy().astype(np.float64)
    length = np.linalg.norm(embedding, axis=1, keepdims=True)
    unit = embedding / np.maximum(length, np.finfo(float).tiny)
    coords = encoder.context_.coords()
    return encoder._labelled(
        {"similarity": (("roi", "roi_to"), unit @ unit.T)},
        {**coords, "roi_to": coords["roi"]},
        "embedding_similarity",
    )


def embedding_map(
    similarity: xr.Dataset, *, perplexity: float | None = None, seed: int = 0
) -> xr.Dataset:
    """Return places of regions in a plane, alike regions side by side, by t-SNE.

    Parameters
    ----------
    similarity
        What :func:`embedding_similarity` gives.
    perplexity
        About how many neighbours count; by default 30, or a third of the regions if that is less.
    seed
        Of t-SNE.

    Returns
    -------
    xr.Dataset
        ``place (roi, axis)`` float64, without unit, with the coordinates of ``roi``. Distances
        between far groups mean nothing.

    Raises
    ------
    DegenerateInputError
        With fewer than five regions.
    """
    cosine = similarity["similarity"].transpose("roi", "roi_to")
    n_rois = cosine.sizes["roi"]
    if n_rois < 5:
        raise DegenerateInputError("too few regions for a map", found=n_rois, expected="5 or more")
    distance = np.clip(1.0 - cosine.values, 0.0, None)
    np.fill_diagonal(distance, 0.0)
    if perplexity is None:
        perplexity = min(LARGEST_PERPLEXITY, (n_rois - 1) / 3)
    tsne = TSNE(metric="precomputed", init="random", perplexity=perplexity, random_state=seed)
    coords = {
        str(name): value for name, value in similarity.coords.items() if value.dims == ("roi",)
    }
    place = np.asarray(tsne.fit_transform(distance), dtype=np.float64)
    return results({"place": (("roi", "axis"), place)}, coords, seed=seed)


def group_connectivity(data: xr.DataTree | xr.Dataset) -> xr.Dataset:
    """Return the correlations of regions over a group: means of Fisher-z over runs.

    Parameters
    ----------
    data
        Runs with the same regions.

    Returns
    -------
    xr.Dataset
        ``connectivity (roi, roi_to)`` float64, from -1 to 1; NaN for a pair that no run has.

    Raises
    ------
    DataError, DegenerateInputError
        As :func:`neurodyn.models.baselines.connectivity_linear.fisher_z_connectivity`.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> run = bold([[0, 0], [1, 1], [2, 2], [3, 1]], repetition_time=2.0)
    >>> group_connectivity(run)["connectivity"].values.round(3)
    array([[1.   , 0.632],
           [0.632, 1.   ]])
    """
    fisher_z = fisher_z_connectivity(data)["fisher_z"].values.astype(np.float64)
    known = np.isfinite(fisher_z)
    total, n_runs = np.where(known, fisher_z, 0.0).sum(axis=0), known.sum(axis=0)
    mean = np.divide(total, n_runs, out=np.full(total.shape, np.nan), where=n_runs > 0)
    roi = next(iter(bold_runs(data).values()))["roi"].values
    matrix = pair_matrix(np.tanh(mean), roi.size)
    np.fill_diagonal(matrix, 1.0)
    return results({"connectivity": (("roi", "roi_to"), matrix)}, {"roi": roi, "roi_to": roi})


def connectivity_correlation(similarity: xr.Dataset, data: xr.DataTree | xr.Dataset) -> float:
    """Return the correlation of embeddings' similarity with group connectivity, over pairs.

    Parameters
    ----------
    similarity
        What :func:`embedding_similarity` gives.
    data
        Runs of the same regions, or what :func:`group_connectivity` gives. Pairs that no run has
        are left out.

    Raises
    ------
    DataError
        If regions differ.
    DegenerateInputError
        If fewer than three pairs are known.
    """
    if not (isinstance(data, xr.Dataset) and "connectivity" in data):
        data = group_connectivity(data)
    group = data["connectivity"]
    roi = similarity["roi"].values
    _require_regions(group["roi"].values, roi, "the data")
    ordered = group.sel(roi=roi, roi_to=roi).transpose("roi", "roi_to").values
    return _correlation(pair_vector(similarity["similarity"].values), pair_vector(ordered))


def consistency(models: Sequence[BrainMAE] | Mapping[str, BrainMAE]) -> xr.Dataset:
    """Return how alike the embeddings of several models are, whatever their axes.

    Parameters
    ----------
    models
        Of other seeds or data sets, for the same regions; numbered, or with names.

    Returns
    -------
    xr.Dataset
        ``consistency (model, model_to)``: correlation, over pairs of regions, of cosines.

    Raises
    ------
    DataError
        If regions differ.
    DegenerateInputError
        With fewer than two models.

    References
    ----------
    Yang et al., arXiv 2406.17086: consistency of embeddings across data sets.
    """
    named = models if isinstance(models, Mapping) else dict(enumerate(models))
    if len(named) < 2:
        raise DegenerateInputError("consistency needs two models", found=len(named))
    found = {str(name): embedding_similarity(model) for name, model in named.items()}
    roi = next(iter(found.values()))["roi"].values
    pairs = []
    for name, similarity in found.items():
        _require_regions(similarity["roi"].values, roi, f"model {name}")
        pairs.append(pair_vector(similarity["similarity"].sel(roi=roi, roi_to=roi).values))
    matrix = [[_correlation(one, other) for other in pairs] for one in pairs]
    names = list(found)
    dims = ("model", "model_to")
    return results({"consistency": (dims, matrix)}, {"model": names, "model_to": names})


def _require_regions(found: NDArray[Any], expected: NDArray[Any], where: str) -> None:
    if set(found.tolist()) != set(expected.tolist()):
        missing = sorted(map(str, set(expected.tolist()) - set(found.tolist())))
        raise DataError(
            "regions differ",
            where=where,
            found=f"{found.size} regions; missing: {missing[:5]}",
            expected=f"the {expected.size} regions of the embeddings",
        )


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < 3:
        raise DegenerateInputError(
            "too few pairs for a correlation", found=int(known.sum()), expected="3 or more"
        )
    return float(np.corrcoef(one[known], other[known])[0, 1])
