"""How certain communities are: partitions drawn with the probability that the model gives them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodyn.config import to_dict
from neurodyn.errors import ConfigError
from neurodyn.models.connectome.communities.config import BlockModelConfig
from neurodyn.models.connectome.communities.consensus import (
    co_membership,
    mean_variation_of_information,
)
from neurodyn.models.connectome.communities.fitting import fit_families
from neurodyn.models.connectome.communities.graph import WeightedGraph, Weights, read_graph
from neurodyn.models.connectome.communities.labels import conclusion, largest_first
from neurodyn.models.connectome.communities.sampling import Chain, sample_chain
from neurodyn.models.connectome.communities.search import Route, choose_moves
from neurodyn.provenance import add_history
from neurodyn.recording import results

__all__ = ["sample_communities"]

NATS = {"units": "nats"}


def sample_communities(
    weights: Weights,
    config: BlockModelConfig | None = None,
    *,
    n_samples: int = 200,
    n_burn: int = 50,
    n_merge_splits: int = 5,
    seed: int = 0,
    route: Route = "auto",
) -> xr.Dataset:
    """Draw partitions of a weighted graph from their posterior.

    The chain starts from the best partition of the best family, and has the probabilities
    ``exp(-description length)``.

    Parameters
    ----------
    weights, config, route
        As in :func:`~neurodyn.models.connectome.communities.block_model.find_communities`.
    n_samples, n_burn
        Steps that are kept, and steps before them.
    n_merge_splits
        Merges or splits of whole communities that each step proposes after its sweep.
    seed
        Of the search and of the chain.

    Returns
    -------
    xr.Dataset
        Kind ``results``. ``partition(draw, roi)``, int64; ``description_length(draw)`` [nats] and
        ``n_communities_drawn(draw)``; ``co_membership(roi, roi_to)``: share of the draws in which
        two nodes are together; ``community(roi)``: the draw (or best partition) with the least
        mean variation of information to all draws, ``n_communities`` of it, and
        ``variation_of_information``, that mean [nats]; ``family``; ``accepted``: share of merges
        and splits.

    Raises
    ------
    ConfigError
        If a number of steps is out of range.
    DataError, DegenerateInputError
        As in :func:`~neurodyn.models.connectome.communities.block_model.find_communities`.

    Examples
    --------
    >>> weights = np.kron(np.eye(2), np.ones((8, 8))) + 0.1
    >>> drawn = sample_communities(weights, n_samples=10, n_burn=2)
    >>> drawn["co_membership"].values[0, [1, 9]].round().tolist()
    [1.0, 0.0]
    """
    steps = {"n_samples": n_samples, "n_burn": n_burn, "n_merge_splits": n_merge_splits}
    _check(steps)
    config = BlockModelConfig() if config is None else config
    graph = read_graph(weights, config.zero_below)
    moves = choose_moves(route, graph.n_nodes)
    best = fit_families(graph, config, seed, moves)[0]
    optimum = largest_first(best.partition.block)
    chain = sample_chain(best.evidence, best.partition, best.rng, moves, **steps)
    drawn = _describe(graph, chain, optimum).assign(family=best.family)
    return add_history(drawn, "sample_communities", seed=seed, **steps, **to_dict(config))


def _check(steps: dict[str, int]) -> None:
    for name, value in steps.items():
        least = 1 if name == "n_samples" else 0
        if value < least:
            raise ConfigError(f"invalid value for {name}", found=value, expected=f"{least} or more")


def _describe(
    graph: WeightedGraph, chain: Chain, optimum: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> xr.Dataset:
    candidates = np.unique(np.vstack([optimum, chain.community]), axis=0)
    distance = mean_variation_of_information(candidates, chain.community)
    nearest = int(np.argmin(distance))
    community = largest_first(candidates[nearest])
    dim, dim_to = graph.dim, f"{graph.dim}_to"
    variables = {
        "partition": (("draw", dim), chain.community),
        "description_length": ("draw", chain.length, NATS),
        "n_communities_drawn": ("draw", chain.community.max(axis=1) + 1),
        "co_membership": ((dim, dim_to), co_membership(chain.community)),
        "community": (dim, community),
        "n_communities": np.int64(community.max() + 1),
        "variation_of_information": ((), float(distance[nearest]), NATS),
        "accepted": chain.accepted,
    }
    coords = {dim: graph.labels, dim_to: graph.labels}
    return results(variables, coords, conclusion=conclusion(community))
