"""Communities of a weighted graph: the partition with the shortest description.

A community is a set of nodes whose weights to any other community have one distribution [1]_. All
parameters are integrated out, so the number of communities is part of the answer [2]_.

Description lengths are those of the weights as given: Jacobians are kept, so families compare.
The strengths of nodes are taken from the weights and not charged for; with strength correction
compare description lengths among themselves only.

References
----------
.. [1] Aicher, Jacobs & Clauset (2015). Learning latent block structure in weighted networks.
   Journal of Complex Networks 3, 221-248.
.. [2] Peixoto (2018). Nonparametric weighted stochastic block models. Phys. Rev. E 97, 012306.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodyn.config import to_dict
from neurodyn.models.connectome.communities.config import BlockModelConfig
from neurodyn.models.connectome.communities.dendrogram import COLUMNS, merge_path
from neurodyn.models.connectome.communities.evidence import strengths
from neurodyn.models.connectome.communities.fitting import Fit, fit_families
from neurodyn.models.connectome.communities.graph import WeightedGraph, Weights, read_graph
from neurodyn.models.connectome.communities.labels import conclusion, largest_first
from neurodyn.models.connectome.communities.partition import description_length
from neurodyn.models.connectome.communities.search import Moves, Route, choose_moves
from neurodyn.provenance import add_history
from neurodyn.recording import results

__all__ = ["find_communities"]

NATS = {"units": "nats"}


def find_communities(
    weights: Weights,
    config: BlockModelConfig | None = None,
    *,
    seed: int = 0,
    route: Route = "auto",
) -> xr.Dataset:
    """Find the communities of a weighted graph with a collapsed stochastic block model.

    One community is the answer to a graph without structure.

    Parameters
    ----------
    weights
        Shape ``(roi, roi_to)`` with any names: symmetric, not negative; NaN where a pair was
        never seen, which leaves it out of every sum. The diagonal is ignored.
    config
        Settings; by default ``BlockModelConfig()``.
    seed
        Of the search.
    route
        ``"numpy"``, ``"numba"`` (the ``fast`` extra), or ``"auto"``: numba where it is installed
        and saves time. Both give the same communities.

    Returns
    -------
    xr.Dataset
        Kind ``results``. ``community(roi)``, int64 from 0, the largest first; ``n_communities``;
        ``description_length`` and ``description_length_one``, that of a single community [nats];
        ``family``; ``evidence(candidate)``: the best found for each family [nats];
        ``strength(roi)``, 1 where the correction is off; ``linkage(merge, linkage_column)`` and
        ``merge_description_length(merge)``: see
        :class:`~neurodyn.models.connectome.communities.dendrogram.MergePath`.

    Raises
    ------
    DataError
        If the weights are not square, not symmetric, negative or infinite.
    DegenerateInputError
        With fewer than three nodes, without a positive weight, or if weights that are all equal
        are given to the log-normal family.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> planted = np.arange(20) % 2
    >>> upper = np.triu(rng.exponential(1 + 9 * (planted == planted[:, np.newaxis])), 1)
    >>> found = find_communities(upper + upper.T)
    >>> int(found["n_communities"]), str(found["family"].values)
    (2, 'exponential')
    """
    config = BlockModelConfig() if config is None else config
    graph = read_graph(weights, config.zero_below)
    moves = choose_moves(route, graph.n_nodes)
    fits = fit_families(graph, config, seed, moves)
    found = _describe(graph, config, fits, moves)
    return add_history(found, "find_communities", seed=seed, **to_dict(config))


def _describe(
    graph: WeightedGraph, config: BlockModelConfig, fits: list[Fit], moves: Moves
) -> xr.Dataset:
    best = fits[0]
    community = largest_first(best.partition.block)
    one = moves.make_partition(best.evidence, np.zeros(graph.n_nodes, dtype=np.int64))
    path = merge_path(best.evidence, community, moves)
    strength = strengths(graph) if config.strength_correction else np.ones(graph.n_nodes)
    variables = {
        "community": (graph.dim, community),
        "n_communities": np.int64(community.max() + 1),
        "description_length": ((), best.length, NATS),
        "description_length_one": ((), description_length(best.evidence, one), NATS),
        "family": best.family,
        "evidence": ("candidate", [-fit.length for fit in fits], NATS),
        "strength": (graph.dim, strength),
        "linkage": (("merge", "linkage_column"), path.linkage),
        "merge_description_length": ("merge", path.length, NATS),
    }
    coords = {
        graph.dim: graph.labels,
        "candidate": [fit.family for fit in fits],
        "linkage_column": list(COLUMNS),
    }
    corrected = "given their strengths" if config.strength_correction else "as they are"
    return results(
        variables,
        coords,
        conclusion=conclusion(community),
        compared=f"description lengths of weights {corrected}, edges {config.edges}",
    )
