"""What a BrainMAE has learned, as labelled results that can be drawn, reported and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import DegenerateInputError, EmptySelectionError, suggest
from neurodyn.models.brainmae.attention_maps import cls_attention, static_attention
from neurodyn.models.brainmae.context import bold_runs, run_windows
from neurodyn.models.brainmae.embeddings import (
    connectivity_correlation,
    consistency,
    embedding_map,
    embedding_similarity,
    encoder_of,
    group_connectivity,
)
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.finetune import BrainMAEDecoder
from neurodyn.models.brainmae.occlusion import decoding_occlusion, hidden_regions, occlusion
from neurodyn.models.brainmae.spatial_null import network_contrast
from neurodyn.recording import results

__all__ = [
    "cls_attention",
    "cls_components",
    "connectivity_correlation",
    "consistency",
    "decoding_occlusion",
    "embedding_checks",
    "embedding_map",
    "embedding_similarity",
    "group_connectivity",
    "hidden_regions",
    "network_contrast",
    "occlusion",
    "reconstruction_example",
    "static_attention",
]

FloatArray = NDArray[np.float64]
MOTION = "mean_fd"
MOTION_CONFOUNDS = ("framewise_displacement", "fd")
# numbers of a run that say nothing of its person
TECHNICAL = ("repetition_time", "run", "session", "quality")
LEAST_RUNS = 3


def embedding_checks(
    model: BrainMAE,
    data: xr.DataTree | xr.Dataset,
    *,
    n_permutations: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Return the four numbers by which a pre-trained model is judged to know its brain.

    Parameters
    ----------
    model
        Fitted, with static attention.
    data
        Runs whose group connectivity its embeddings are compared with.
    n_permutations, seed
        As in :func:`network_contrast`.

    Returns
    -------
    xr.Dataset
        ``within_minus_between`` cosine of networks and its ``spatial_p_value``;
        ``connectivity_correlation``, as the function of that name; ``attention_over_chance``: what
        the first block pays to the own network, mean over heads, over what looking at all regions
        alike would.

    Raises
    ------
    NotFittedError, ConfigError, DataError, DegenerateInputError
        As the functions that give them.
    """
    similarity = embedding_similarity(model)
    contrast = network_contrast(similarity, n_permutations=n_permutations, seed=seed)
    attention = static_attention(model)
    first = attention["own_network_mass"].isel(block=0).mean()
    return results(
        {
            "within_minus_between": float(contrast["within_minus_between"]),
            "spatial_p_value": float(contrast["spatial_p_value"]),
            "connectivity_correlation": connectivity_correlation(similarity, data),
            "attention_over_chance": float(first / attention["own_network_chance"]),
        }
    )


def reconstruction_example(
    model: BrainMAE, data: xr.DataTree | xr.Dataset, run: str | None = None
) -> xr.Dataset:
    """Return one run as it is and as each region is predicted from the others.

    Parameters
    ----------
    model
        Fitted.
    data
        Runs.
    run
        Name; by default the first.

    Returns
    -------
    xr.Dataset
        ``bold`` and ``reconstruction (time, roi)`` float32, z-scores; NaN where not observed.
        ``r2 (roi)``: share of the sum of squares of a region that is told by the others.

    Raises
    ------
    EmptySelectionError
        If there is no such run.
    NotFittedError, DataError
        As :meth:`BrainMAE.predict`.
    """
    name, chosen = _run(data, run)
    found = model.predict(chosen).isel(run=0, drop=True)
    (values,) = run_windows({name: chosen}, model.context_, model.config).values
    truth = values[: found.sizes["time"]]
    predicted = found["reconstruction"].values
    scored = np.isfinite(truth) & np.isfinite(predicted)
    error = np.where(scored, truth - predicted, 0.0).astype(np.float64)
    total = (np.where(scored, truth, 0.0).astype(np.float64) ** 2).sum(axis=0)
    lost = np.divide(
        (error**2).sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0
    )
    variables = {"bold": (("time", "roi"), truth), "r2": ("roi", 1.0 - lost)}
    return found.assign(variables).assign_attrs(run=name)


def cls_components(
    model: BrainMAE | BrainMAEDecoder,
    data: xr.DataTree | xr.Dataset,
    *,
    attributes: Sequence[str] | None = None,
    n_components: int = 3,
) -> xr.Dataset:
    """Return the main directions in which runs differ, and what goes along with them.

    Summaries are averaged over the windows of each run. Motion and site move them as traits do, so
    both stand beside every trait. Runs of one person are not independent: give one of each to test.

    Parameters
    ----------
    model, data
        Fitted; runs with numbers as attributes, such as ``age``. Motion is ``mean_fd`` [mm], or the
        mean of the confound ``framewise_displacement``; ``site`` is an attribute too.
    attributes
        Names; by default all numbers that vary over runs.
    n_components
        Principal components, at most.

    Returns
    -------
    xr.Dataset
        ``score (run, component)``; ``explained (component)``, share of variance; ``correlation
        (attribute, component)``, and ``partial_correlation`` given motion; ``n_runs (attribute)``.
        ``mean_fd`` is always among the attributes, NaN if motion is not known. ``site_share
        (component)``: variance between sites over all, and ``site_share_chance``, what it is if
        site says nothing; NaN if not known of all runs.

    Raises
    ------
    NotFittedError, DataError, EmptySelectionError, DegenerateInputError
        As :meth:`BrainMAE.transform`; for an attribute that no run has; with fewer than three runs.
    """
    encoder, runs = encoder_of(model), bold_runs(data)
    if len(runs) < LEAST_RUNS:
        raise DegenerateInputError("too few runs for components", found=len(runs), expected="3")
    cls = encoder.transform(data)["cls"].astype(np.float64).groupby("run").mean("window")
    score, explained = _components(cls.sel(run=list(runs)).values, n_components)
    numbers = _numbers(runs, attributes)
    motion = numbers[MOTION]
    plain = [[_correlation(one, column) for column in score.T] for one in numbers.values()]
    given = [[_correlation(one, column, motion) for column in score.T] for one in numbers.values()]
    share, chance = _site_share(score, [run.attrs.get("site") for run in runs.values()])
    dims = ("attribute", "component")
    variables: dict[str, Any] = {
        "score": (("run", "component"), score),
        "explained": ("component", explained),
        "correlation": (dims, plain),
        "partial_correlation": (dims, given),
        "n_runs": ("attribute", [int(np.isfinite(one).sum()) for one in numbers.values()]),
        "site_share": ("component", share),
        "site_share_chance": chance,
    }
    order = np.arange(len(explained)) + 1
    coords = {"run": list(runs), "attribute": list(numbers), "component": order}
    return encoder._labelled(variables, coords, "cls_components")


def _components(values: FloatArray, n_components: int) -> tuple[FloatArray, FloatArray]:
    """Return scores ``(run, component)`` and shares of variance of principal components."""
    left, size, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    n_kept = min(n_components, len(values) - 1, values.shape[1])
    return (left * size)[:, :n_kept], size[:n_kept] ** 2 / (size**2).sum()


def _run(data: xr.DataTree | xr.Dataset, run: str | None) -> tuple[str, xr.Dataset]:
    runs = bold_runs(data)
    name = next(iter(runs)) if run is None else run
    if name not in runs:
        raise EmptySelectionError(f"no run {name!r}", hint=suggest(name, runs))
    return name, runs[name]


def _numbers(
    runs: dict[str, xr.Dataset], attributes: Sequence[str] | None
) -> dict[str, FloatArray]:
    """Return numbers of runs by name, NaN where unknown; motion is always the last."""
    known = {
        str(name)
        for run in runs.values()
        for name, value in run.attrs.items()
        if np.isfinite(_number(value))
    }
    wanted = sorted(known - set(TECHNICAL)) if attributes is None else list(attributes)
    found = {}
    for name in wanted:
        if name not in known and name != MOTION:
            raise EmptySelectionError(
                f"no run has a number {name!r}",
                found=f"{len(runs)} runs",
                hint=suggest(name, known),
            )
        found[name] = np.array([_number(run.attrs.get(name)) for run in runs.values()])
    if attributes is None:
        found = {name: v for name, v in found.items() if np.unique(v[np.isfinite(v)]).size > 1}
    found.pop(MOTION, None)
    return {**found, MOTION: np.array([_motion(run) for run in runs.values()])}


def _number(value: Any) -> float:
    """Return a number as it is, and NaN for anything else."""
    known = isinstance(value, int | float | np.integer | np.floating)
    return float(value) if known and not isinstance(value, bool) else float("nan")


def _motion(run: xr.Dataset) -> float:
    told = _number(run.attrs.get(MOTION))
    if np.isfinite(told):
        return told
    for name in MOTION_CONFOUNDS:
        if "confounds" in run and name in run["confound"].values:
            return float(run["confounds"].sel(confound=name).mean())
    return float("nan")


def _correlation(one: FloatArray, other: FloatArray, given: FloatArray | None = None) -> float:
    """Return Pearson's r, of what a line in ``given`` leaves if that is told; NaN if undefined."""
    known = np.isfinite(one) & np.isfinite(other)
    known &= True if given is None else np.isfinite(given)
    if known.sum() < LEAST_RUNS:
        return float("nan")
    pair = np.stack([one[known], other[known]])
    pair = pair - pair.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(pair, axis=1)
    if given is not None:
        line = given[known] - given[known].mean()
        pair = pair - np.outer(pair @ line / max(line @ line, np.finfo(float).tiny), line)
    left = np.linalg.norm(pair, axis=1)
    if (left <= 1e-9 * np.maximum(scale, np.finfo(float).tiny)).any():
        return float("nan")
    return float(pair[0] @ pair[1] / left.prod())


def _site_share(score: FloatArray, site: list[Any]) -> tuple[FloatArray, float]:
    """Return the share of variance that lies between sites, and its expectation by chance."""
    unknown = np.full(score.shape[1], np.nan), float("nan")
    if any(one is None for one in site):
        return unknown
    names, code = np.unique(np.array(site, dtype=str), return_inverse=True)
    if not 1 < names.size < len(site):
        return unknown
    n_runs = np.bincount(code)
    total = np.zeros((names.size, score.shape[1]))
    np.add.at(total, code, score)
    # scores have mean 0
    between = (total**2 / n_runs[:, None]).sum(axis=0)
    return between / (score**2).sum(axis=0), (names.size - 1) / (len(site) - 1)
