"""Communities by modularity (Louvain [1]_): the plain rival of the block model.

Modularity knows only communities that hold together, and has no notion of chance: it divides
graphs without structure too. Where weights lie mostly inside communities whose nodes differ it
can still do better than the block model, which then splits them further.

References
----------
.. [1] Blondel et al. (2008). Fast unfolding of communities in large networks. J. Stat. Mech.,
   P10008.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodyn.errors import ConfigError
from neurodyn.models.connectome.communities.graph import Weights, read_graph
from neurodyn.models.connectome.communities.labels import conclusion, largest_first
from neurodyn.provenance import add_history
from neurodyn.recording import results

__all__ = ["louvain_communities"]


def louvain_communities(weights: Weights, *, resolution: float = 1.0, seed: int = 0) -> xr.Dataset:
    """Find communities that hold more weight inside than the strengths of their nodes suggest.

    Parameters
    ----------
    weights
        Shape ``(roi, roi_to)`` with any names: symmetric, not negative, each pair seen.
    resolution
        Above 1 smaller communities, below 1 larger ones.
    seed
        Of the order in which nodes are visited.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``community(roi)``, int64 from 0, the largest first;
        ``n_communities`` and ``modularity``.

    Raises
    ------
    ConfigError
        If ``resolution`` is not positive.
    DataError
        If the weights are not square, not symmetric, negative, infinite, or missing.
    DegenerateInputError
        With fewer than three nodes or no positive weight.

    Examples
    --------
    >>> weights = np.kron(np.eye(2), np.ones((3, 3))) + 0.1
    >>> louvain_communities(weights)["community"].values.tolist()
    [0, 0, 0, 1, 1, 1]
    """
    # loaded on use: a slow import
    import networkx as nx

    if not resolution > 0:
        raise ConfigError("resolution must be positive", found=resolution)
    graph = read_graph(weights)
    graph.require_all_seen("modularity")
    network = nx.from_numpy_array(graph.weights)
    groups = nx.community.louvain_communities(network, resolution=resolution, seed=seed)
    block = np.empty(graph.n_nodes, dtype=np.int64)
    for label, group in enumerate(groups):
        block[list(group)] = label
    community = largest_first(block)
    found = results(
        {
            "community": (graph.dim, community),
            "n_communities": np.int64(len(groups)),
            "modularity": nx.community.modularity(network, groups, resolution=resolution),
        },
        {graph.dim: graph.labels},
        conclusion=conclusion(community),
    )
    return add_history(found, "louvain_communities", resolution=resolution, seed=seed)
