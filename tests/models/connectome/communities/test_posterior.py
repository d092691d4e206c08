"""Sampled partitions against an enumeration of all partitions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from neurodyn import recording
from neurodyn.errors import ConfigError
from neurodyn.models.connectome.communities import BlockModelConfig, sample_communities
from neurodyn.models.connectome.communities.config import FAMILIES
from neurodyn.models.connectome.communities.consensus import (
    co_membership,
    mean_variation_of_information,
)
from neurodyn.models.connectome.communities.evidence import build_evidence
from neurodyn.models.connectome.communities.graph import read_graph
from neurodyn.models.connectome.communities.partition import description_length, make_partition
from neurodyn.models.connectome.communities.sampling import merge_or_split, sample_chain
from neurodyn.models.connectome.communities.search import choose_moves

from .graphs import planted, random_graph


def all_partitions(n_nodes):
    """Return every partition as labels in order of appearance."""
    found = [[0]]
    for _ in range(n_nodes - 1):
        found = [[*each, label] for each in found for label in range(max(each) + 2)]
    return np.array(found)


def in_order(labels):
    """Return labels renamed in order of appearance."""
    names = {}
    return tuple(names.setdefault(label, len(names)) for label in labels)


def exact(evidence, n_nodes):
    partitions = all_partitions(n_nodes)
    lengths = [description_length(evidence, make_partition(evidence, each)) for each in partitions]
    weight = np.exp(min(lengths) - np.array(lengths))
    return dict(zip(map(tuple, partitions.tolist()), weight / weight.sum()))


def distance(drawn, expected):
    """Return the total variation between draws and probabilities."""
    share = dict.fromkeys(expected, 0.0)
    for each in drawn:
        share[in_order(each)] += 1 / len(drawn)
    return sum(abs(share[key] - expected[key]) for key in expected) / 2


def ambiguous_graph():
    # two groups, too few nodes to be sure of them
    weights = random_graph(6, seed=8, density=0.7)
    return weights * (1 + 2 * (np.arange(6)[:, np.newaxis] % 2 == np.arange(6) % 2))


def test_bell_numbers():
    assert [len(all_partitions(n)) for n in (3, 5, 6)] == [5, 52, 203]


@pytest.mark.parametrize(
    ("family", "n_merge_splits"), [*((family, 0) for family in FAMILIES), ("lognormal", 1)]
)
def test_chain_has_the_probabilities_of_all_partitions(family, n_merge_splits):
    evidence = build_evidence(read_graph(ambiguous_graph()), family, BlockModelConfig())
    expected = exact(evidence, 6)
    assert 0.02 < max(expected.values()) < 0.9
    moves = choose_moves("numba", 6)
    start = moves.make_partition(evidence, np.zeros(6, int))
    rng = np.random.default_rng(0)
    chain = sample_chain(
        evidence, start, rng, moves, n_samples=4000, n_burn=10, n_merge_splits=n_merge_splits
    )
    independent = rng.choice(len(expected), 4000, p=list(expected.values()))
    partitions = np.array(list(expected))
    chance = distance(partitions[independent], expected)
    assert distance(chain.community, expected) < 2 * chance
    togetherness = sum(p * co_membership(np.array([each])) for each, p in expected.items())
    np.testing.assert_allclose(co_membership(chain.community), togetherness, atol=0.04)


def test_merges_and_splits_alone_have_the_same_probabilities():
    evidence = build_evidence(read_graph(ambiguous_graph()), "exponential", BlockModelConfig())
    expected = exact(evidence, 6)
    moves = choose_moves("numba", 6)
    partition = moves.make_partition(evidence, np.zeros(6, int))
    rng = np.random.default_rng(1)
    drawn = np.empty((3000, 6), dtype=int)
    for step in range(len(drawn)):
        merge_or_split(evidence, partition, rng, moves)
        drawn[step] = partition.block
    assert distance(drawn, expected) < 0.1


def test_both_routes_draw_the_same():
    evidence = build_evidence(read_graph(random_graph(12, 0)), "lognormal", BlockModelConfig())
    found = []
    for route in ("numpy", "numba"):
        moves = choose_moves(route, 12)
        start = moves.make_partition(evidence, np.zeros(12, int))
        rng = np.random.default_rng(5)
        found.append(
            sample_chain(evidence, start, rng, moves, n_samples=40, n_burn=0, n_merge_splits=2)
        )
    np.testing.assert_array_equal(found[0].community, found[1].community)
    np.testing.assert_allclose(found[0].length, found[1].length)
    assert len(np.unique(found[0].community, axis=0)) > 5


def test_a_clear_graph_has_a_certain_answer(tmp_path):
    weights, group = planted(60, 2, 1.5, 0)
    drawn = sample_communities(weights, n_samples=40, n_burn=5)
    assert drawn["n_communities"] == 2
    same = group[:, np.newaxis] == group
    together = drawn["co_membership"].values
    assert together[same].mean() > 0.98
    assert together[~same].mean() < 0.02
    assert (drawn["co_membership"].values.diagonal() == 1).all()
    assert drawn["partition"].dims == ("draw", "roi")
    assert drawn["variation_of_information"] < 0.2
    assert 0 <= drawn["accepted"] <= 1
    assert recording.load(recording.save(drawn, tmp_path / "drawn.nc")).identical(drawn)
    again = sample_communities(weights, n_samples=40, n_burn=5)
    assert again.identical(drawn)


def test_an_empty_graph_of_chance_stays_one_community():
    drawn = sample_communities(planted(60, 2, 0.0, 1)[0], n_samples=30, n_burn=5)
    assert drawn["n_communities"] == 1
    assert drawn.attrs["conclusion"].startswith("no communities")


def test_variation_of_information_is_that_of_mutual_information(rng):
    partitions = rng.integers(4, size=(7, 30))
    candidates = rng.integers(3, size=(5, 30))

    def entropy(labels):
        return mutual_info_score(labels, labels)

    expected = [
        np.mean([entropy(a) + entropy(b) - 2 * mutual_info_score(a, b) for b in partitions])
        for a in candidates
    ]
    np.testing.assert_allclose(mean_variation_of_information(candidates, partitions), expected)


@pytest.mark.parametrize("name", ["n_samples", "n_burn", "n_merge_splits"])
def test_numbers_of_steps_out_of_range_are_named(name):
    with pytest.raises(ConfigError, match=f"invalid value for {name}"):
        sample_communities(np.ones((4, 4)), **{name: -1})
