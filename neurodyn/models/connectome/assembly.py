"""The connectome over time: blocks in action, and the graph of each stage of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.models.connectome.communities.block_model import find_communities
from neurodyn.models.connectome.communities.config import BlockModelConfig
from neurodyn.provenance import add_history
from neurodyn.recording import results

__all__ = [
    "active",
    "block_activity",
    "expected_affinity",
    "node_dim_of",
    "seen_communities",
    "stages",
]

NONE = -1
DESCRIBED = ("n_communities", "description_length", "description_length_one", "family")


def node_dim_of(components: xr.Dataset) -> str:
    """Return the dim of nodes of a factorisation.

    Raises
    ------
    EmptySelectionError
        If it holds no affinities of pairs.

    Examples
    --------
    >>> node_dim_of(xr.Dataset({"pair_factor": (("component", "roi", "roi_to"), [[[0.0]]])}))
    'roi'
    """
    if "pair_factor" not in components:
        raise EmptySelectionError(
            "the result holds no pair_factor",
            found=", ".join(map(str, components.data_vars)) or "nothing",
            hint="factorise(affinity, rank, mode='pairs')",
        )
    return str(components["pair_factor"].dims[1])


def active(components: xr.Dataset, quantile: float = 0.75) -> xr.DataArray:
    """Return when each component is active: above a quantile of its own course in time.

    Returns
    -------
    xr.DataArray
        Dims ``(component, time)``, bool.

    Raises
    ------
    ConfigError
        If the quantile is none.

    Examples
    --------
    >>> curve = xr.Dataset({"time_factor": (("component", "time"), [[0.0, 1.0, 3.0, 0.0]])})
    >>> active(curve).values.tolist()
    [[False, False, True, False]]
    """
    if not 0 <= quantile < 1:
        raise ConfigError("quantile must lie from 0 to below 1", found=quantile)
    course = components["time_factor"]
    found: xr.DataArray = course > course.quantile(quantile, "time").drop_vars("quantile")
    return found


def seen_communities(
    graph: xr.DataArray, config: BlockModelConfig | None = None, *, seed: int = 0
) -> xr.Dataset:
    """Return the communities of the nodes of which a pair was seen; the others are in none.

    Parameters
    ----------
    graph
        Dims ``(roi, roi_to)``; NaN where a pair was never seen.
    config, seed
        As :func:`neurodyn.models.connectome.communities.find_communities` takes them.

    Returns
    -------
    xr.Dataset
        ``community (roi)``, -1 for a node without pairs, or of a graph without any weight;
        ``n_communities``, ``description_length``, ``description_length_one``, ``family``.

    Raises
    ------
    DegenerateInputError
        If fewer than three nodes have pairs.

    Examples
    --------
    >>> weights = np.ones((4, 4))
    >>> weights[3] = weights[:, 3] = np.nan
    >>> seen_communities(xr.DataArray(weights, dims=("roi", "roi_to")))["community"].values
    array([ 0,  0,  0, -1])
    """
    dim, dim_to = map(str, graph.dims)
    off_diagonal = graph.where(~np.eye(graph.sizes[dim], dtype=bool)).values
    community = np.full(graph.sizes[dim], NONE, dtype=np.int64)
    if not np.nansum(off_diagonal):
        nothing = {"n_communities": 0, "family": "none"}
        lengths = {"description_length": np.nan, "description_length_one": np.nan}
        return results({"community": (dim, community), **nothing, **lengths})
    seen = np.isfinite(off_diagonal).any(axis=1)
    found = find_communities(graph.isel({dim: seen, dim_to: seen}), config, seed=seed)
    community[seen] = found["community"]
    return found[[*DESCRIBED]].assign(community=(dim, community))


def block_activity(components: xr.Dataset) -> xr.DataArray:
    """Return the course in time of each community: ``time_factor`` times its mean affinity.

    Returns
    -------
    xr.DataArray
        Dims ``(component, community_label, time)``; NaN for labels that a component lacks, and
        for communities of one node, which have no pairs.

    Raises
    ------
    EmptySelectionError
        If the result holds no communities.
    """
    inside = _inside(components)
    course = components["strength"] * components["time_factor"]
    return (inside * course).transpose("component", "community_label", "time")


def expected_affinity(
    components: xr.Dataset,
    weight: NDArray[Any] | None = None,
    *,
    animal: object = None,
) -> xr.DataArray:
    """Return the affinity that the components make up: ``sum_r strength_r pair_r time_r animal_r``.

    Parameters
    ----------
    components
        Result of :func:`neurodyn.models.connectome.factorise` in pair mode.
    weight
        Over times, shape ``(stage, time)``; the mean over all times if not given.
    animal
        Label of one animal; the mean over all if not given.

    Returns
    -------
    xr.DataArray
        Dims ``(stage, roi, roi_to)``, or ``(roi, roi_to)`` without ``weight``.

    Examples
    --------
    >>> components = results(
    ...     {
    ...         "strength": ("component", [2.0]),
    ...         "pair_factor": (("component", "roi", "roi_to"), [[[0.0, 1.0], [1.0, 0.0]]]),
    ...         "time_factor": (("component", "time"), [[0.0, 1.0]]),
    ...         "animal_factor": (("component", "animal"), [[1.0]]),
    ...     }
    ... )
    >>> expected_affinity(components).values.tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    course, share = components["time_factor"], components["animal_factor"]
    by_animal = share.mean("animal") if animal is None else share.sel(animal=animal, drop=True)
    if weight is None:
        at = course.mean("time")
    else:
        at = xr.dot(
            xr.DataArray(weight, dims=("stage", "time")), course.drop_vars("time"), dim="time"
        )
    scale = components["strength"] * by_animal * at
    # a pair that was never seen is missing in every component
    unseen = components["pair_factor"].isnull().all("component")
    total: xr.DataArray = xr.dot(components["pair_factor"].fillna(0.0), scale, dim="component")
    dims = [dim for dim in ("stage", *components["pair_factor"].dims[1:]) if dim in total.dims]
    return total.where(~unseen).transpose(*dims).rename("expected_affinity")


def stages(
    components: xr.Dataset,
    windows: Sequence[tuple[str, float, float]],
    *,
    quantile: float = 0.75,
) -> xr.Dataset:
    """Return the connectome at each stage of an experiment.

    A component takes part where its mean course is above that quantile of it. A node belongs to
    the community, of components that take part, that binds it most.

    Parameters
    ----------
    components
        Pair mode, with ``community (component, roi)``.
    windows
        ``(name, start, stop)`` [s], half-open.
    quantile
        See :func:`active`.

    Returns
    -------
    xr.Dataset
        ``expected_affinity (stage, roi, roi_to)``; ``stage_community (stage, roi)``, one number
        for a community in all stages, -1 for none; ``stage_active (stage, component)``;
        ``attrs["community_name"]``: component and community of each number.

    Raises
    ------
    EmptySelectionError
        If a stage holds no sample, or there are no communities.
    """
    dim, course = node_dim_of(components), components["time_factor"].values
    weight = np.stack([_window_weight(components["time"].values, *window) for window in windows])
    names, starts, stops = zip(*windows)
    level = weight @ course.T
    limits = np.quantile(course, quantile, axis=1)
    taking_part = (level > limits) & (level > 0)
    scale = components["strength"].values * level * taking_part
    community = np.asarray(_communities(components).values)
    number = _strongest(scale, _attachment(components), community)
    found = results(
        {
            "expected_affinity": expected_affinity(components, weight),
            "stage_community": (("stage", dim), number),
            "stage_active": (("stage", "component"), taking_part),
        },
        {d: components[d].values for d in (dim, f"{dim}_to", "component")}
        | {
            "stage": list(names),
            "stage_start": ("stage", list(starts)),
            "stage_stop": ("stage", list(stops)),
        },
        community_name=[
            f"{name}.{label}"
            for name, own in zip(components["component"].values.tolist(), community)
            for label in range(own.max() + 1)
        ],
    )
    return add_history(found, "stages", stages=list(names), quantile=quantile)


def _strongest(
    scale: NDArray[Any], attachment: NDArray[Any], community: NDArray[Any]
) -> NDArray[np.int64]:
    """Return the number, over all components, of the community that binds a node most.

    Parameters
    ----------
    scale
        Of the components, shape ``(stage, component)``.
    attachment, community
        Shape ``(component, node)``.
    """
    bound = scale[:, :, None] * attachment
    component = bound.argmax(axis=1)
    start = np.cumsum([0, *community.max(axis=1) + 1])[:-1]
    number = start[component] + community[component, np.arange(community.shape[1])]
    return np.where(bound.max(axis=1) > 0, number, NONE)


def _window_weight(time: NDArray[Any], name: str, start: float, stop: float) -> NDArray[Any]:
    inside = (time >= start) & (time < stop)
    if not inside.any():
        raise EmptySelectionError(
            f"stage {name!r} holds no sample",
            found=f"{start:g} to {stop:g} s",
            expected=f"part of {time[0]:g} to {time[-1]:g} s",
        )
    return np.asarray(inside / inside.sum())


def _communities(components: xr.Dataset) -> xr.DataArray:
    if "community" not in components:
        raise EmptySelectionError(
            "the result holds no communities",
            found=", ".join(map(str, components.data_vars)),
            hint="DynamicConnectome().fit(data).components_, or find_communities(...)",
        )
    return components["community"]


def _membership(components: xr.Dataset) -> xr.DataArray:
    """Return ``(component, community_label, roi)``, bool."""
    community = _communities(components)
    labels = np.arange(int(community.max()) + 1)
    return community == xr.DataArray(
        labels, dims="community_label", coords={"community_label": labels}
    )


def _inside(components: xr.Dataset) -> xr.DataArray:
    """Return the mean affinity of the pairs inside each community."""
    dim = node_dim_of(components)
    member = _membership(components).astype(np.float64)
    other = member.rename({dim: f"{dim}_to"})
    pair = components["pair_factor"]
    off_diagonal = components[dim] != components[f"{dim}_to"]
    seen = (pair.notnull() & off_diagonal).astype(np.float64)
    total: xr.DataArray = xr.dot(pair.fillna(0.0), member, other, dim=[dim, f"{dim}_to"])
    number: xr.DataArray = xr.dot(seen, member, other, dim=[dim, f"{dim}_to"])
    return total / number.where(number > 0)


def _attachment(components: xr.Dataset) -> NDArray[np.float64]:
    """Return the mean affinity of each node with the others of its community, (component, roi)."""
    pair = components["pair_factor"].values
    community = _communities(components).values
    same = (community[:, :, None] == community[:, None, :]) & (community >= 0)[:, :, None]
    same &= ~np.eye(community.shape[1], dtype=bool)
    used = same & np.isfinite(pair)
    total = np.where(used, pair, 0.0).sum(axis=2)
    return np.asarray(total / np.maximum(used.sum(axis=2), 1))
