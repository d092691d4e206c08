"""Fit every family that a configuration allows; the one with the largest evidence comes first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurodyn.errors import DegenerateInputError
from neurodyn.models.connectome.communities.config import FAMILIES, BlockModelConfig, Family
from neurodyn.models.connectome.communities.evidence import Evidence, build_evidence
from neurodyn.models.connectome.communities.graph import WeightedGraph
from neurodyn.models.connectome.communities.partition import Partition, description_length
from neurodyn.models.connectome.communities.search import Moves, search

__all__ = ["Fit", "fit_families"]


@dataclass
class Fit:
    """The best partition of one family so far, and the draws of the searches to come."""

    family: Family
    evidence: Evidence
    rng: np.random.Generator
    partition: Partition
    length: float

    def search_on(self, config: BlockModelConfig, moves: Moves, restarts: range) -> None:
        """Search from further starts and keep the better partition."""
        if not len(restarts):
            return
        found = search(self.evidence, config, self.rng, moves, restarts)
        length = description_length(self.evidence, found)
        if length < self.length:
            self.partition, self.length = found, length


def fit_families(
    graph: WeightedGraph, config: BlockModelConfig, seed: int, moves: Moves
) -> list[Fit]:
    """Search once with each family, then on with those in reach of the best; the best first.

    Raises
    ------
    DegenerateInputError
        If weights that are all equal are given to the log-normal family alone.

    Examples
    --------
    >>> from neurodyn.models.connectome.communities.graph import read_graph
    >>> from neurodyn.models.connectome.communities.search import choose_moves
    >>> graph = read_graph(np.array([[0, 1, 3], [1, 0, 2], [3, 2, 0]]))
    >>> fits = fit_families(graph, BlockModelConfig(), 0, choose_moves("numpy", 3))
    >>> sorted(fit.family for fit in fits)
    ['exponential', 'gamma', 'lognormal']
    """
    fits = []
    for family in config.families:
        try:
            evidence = build_evidence(graph, family, config)
        except DegenerateInputError:
            if config.family != "auto":
                raise
            continue
        # a family alone and among others searches alike
        rng = np.random.default_rng((seed, FAMILIES.index(family)))
        partition = search(evidence, config, rng, moves, range(1))
        length = description_length(evidence, partition)
        fits.append(Fit(family, evidence, rng, partition, length))
    # further searches gain less than a nat for each node
    reach = min(fit.length for fit in fits) + graph.n_nodes
    for fit in fits:
        if fit.length <= reach:
            fit.search_on(config, moves, range(1, config.n_restarts))
    return sorted(fits, key=lambda fit: fit.length)
