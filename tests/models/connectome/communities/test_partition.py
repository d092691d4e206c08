"""Moves of a partition: kept statistics against new ones, and numpy against numba."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import ConfigError
from neurodyn.models.connectome.communities.config import FAMILIES, BlockModelConfig
from neurodyn.models.connectome.communities.evidence import build_evidence
from neurodyn.models.connectome.communities.graph import read_graph
from neurodyn.models.connectome.communities.partition import (
    ANYWHERE,
    assign,
    description_length,
    make_partition,
)
from neurodyn.models.connectome.communities.search import FREE, choose_moves

from .graphs import planted, random_graph

EDGES = ("bernoulli", "degree_corrected", "uniform")
MOVES = {route: choose_moves(route, 0) for route in ("numpy", "numba")}


def prepare(seed, family="lognormal", edges="bernoulli", n_nodes=14, n_blocks=4):
    graph = read_graph(random_graph(n_nodes, seed, missing=0.1))
    evidence = build_evidence(graph, family, BlockModelConfig(edges=edges))
    block = np.random.default_rng(seed).integers(n_blocks, size=n_nodes)
    return evidence, make_partition(evidence, block)


def assert_consistent(evidence, partition):
    fresh = make_partition(evidence, partition.block)
    np.testing.assert_array_equal(fresh.block, partition.block)
    n_blocks = int(partition.n_blocks[0])
    assert n_blocks == fresh.n_blocks[0]
    np.testing.assert_array_equal(fresh.size, partition.size)
    np.testing.assert_allclose(partition.statistics, fresh.statistics, atol=1e-9)
    np.testing.assert_allclose(partition.terms, fresh.terms, atol=1e-8)
    found, expected = (description_length(evidence, each) for each in (partition, fresh))
    assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("route", MOVES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("edges", EDGES)
def test_kept_statistics_are_those_of_a_new_count(route, family, edges):
    evidence, partition = prepare(3, family, edges)
    rng = np.random.default_rng(0)
    for sweep in range(20):
        greedy = sweep % 5 == 4
        MOVES[route].visit_nodes(
            evidence, partition, rng.permutation(14), rng.random(14), FREE, ANYWHERE, greedy
        )
        assert_consistent(evidence, partition)


@given(st.integers(0, 10**6), st.sampled_from(FAMILIES), st.sampled_from(EDGES))
@settings(max_examples=30, deadline=None)
def test_both_routes_make_the_same_moves(seed, family, edges):
    evidence, start = prepare(seed, family, edges)
    found = []
    for moves in MOVES.values():
        rng = np.random.default_rng(seed)
        partition = moves.make_partition(evidence, start.block)
        outcome = [
            moves.visit_nodes(
                evidence, partition, rng.permutation(14), rng.random(14), FREE, ANYWHERE, greedy
            )
            for greedy in (False, True, False)
        ]
        nodes = np.flatnonzero(partition.block < 2)
        for greedy in (False, True):
            draws = rng.random(nodes.size)
            outcome.append(
                moves.visit_nodes(evidence, partition, nodes, draws, FREE, (0, 1), greedy)
            )
        found.append((partition, np.array(outcome), moves.merge_changes(evidence, partition)))
    (one, outcome, changes), (other, other_outcome, other_changes) = found
    np.testing.assert_array_equal(one.block, other.block)
    np.testing.assert_allclose(outcome, other_outcome, atol=1e-9)
    np.testing.assert_allclose(changes, other_changes, atol=1e-9)


@pytest.mark.parametrize("route", MOVES)
@pytest.mark.parametrize("edges", EDGES)
def test_change_of_a_merge_is_the_difference_of_lengths(route, edges):
    evidence, partition = prepare(7, edges=edges)
    change = MOVES[route].merge_changes(evidence, partition)
    before = description_length(evidence, partition)
    n_blocks = int(partition.n_blocks[0])
    assert n_blocks == 4
    for a in range(n_blocks):
        for b in range(n_blocks):
            merged = np.where(partition.block == b, a, partition.block)
            after = description_length(evidence, make_partition(evidence, merged))
            expected = after - before if a < b else np.inf
            assert change[a, b] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("route", MOVES)
def test_one_block_has_no_merges(route):
    evidence, _ = prepare(0)
    whole = make_partition(evidence, np.zeros(14, int))
    assert MOVES[route].merge_changes(evidence, whole).tolist() == [[np.inf]]


@pytest.mark.parametrize("route", MOVES)
def test_probability_of_a_choice_is_that_of_lengths(route):
    evidence, partition = prepare(5, n_nodes=8, n_blocks=3)
    node, lengths = 2, []
    for target in range(4):
        block = partition.block.copy()
        block[node] = target
        lengths.append(description_length(evidence, make_partition(evidence, block)))
    weight = np.exp(min(lengths) - np.array(lengths))
    for target in range(4):
        trial = make_partition(evidence, partition.block)
        _, found = MOVES[route].visit_nodes(
            evidence,
            trial,
            np.array([node]),
            np.zeros(1),
            np.array([target]),
            ANYWHERE,
            False,
        )
        assert found == pytest.approx(np.log(weight[target] / weight.sum()), abs=1e-9)
        assert trial.block[node] == target


@pytest.mark.parametrize("route", MOVES)
def test_two_blocks_keep_a_node_each(route):
    evidence, _ = prepare(5)
    partition = make_partition(evidence, np.array([0] * 13 + [1]))
    nodes = np.arange(14)[::-1].copy()
    for _ in range(5):
        MOVES[route].visit_nodes(evidence, partition, nodes, np.zeros(14), FREE, (0, 1), True)
        assert partition.n_blocks[0] == 2
    assert_consistent(evidence, partition)


@pytest.mark.parametrize("route", MOVES)
def test_greedy_visits_never_lengthen(route):
    weights, _ = planted(40, 2, 1.0, 0)
    evidence = build_evidence(read_graph(weights), "exponential", BlockModelConfig())
    rng = np.random.default_rng(0)
    partition = make_partition(evidence, rng.integers(5, size=40))
    lengths = [description_length(evidence, partition)]
    for _ in range(6):
        moved, _ = MOVES[route].visit_nodes(
            evidence, partition, rng.permutation(40), np.zeros(40), FREE, ANYWHERE, True
        )
        lengths.append(description_length(evidence, partition))
    assert (np.diff(lengths) <= 1e-8).all()
    assert moved == 0


def test_a_partition_takes_over_another():
    evidence, partition = prepare(1)
    for n_blocks in (2, 6):
        other = make_partition(evidence, np.arange(14) % n_blocks)
        assign(partition, other)
        assert_consistent(evidence, partition)
        np.testing.assert_array_equal(partition.block, other.block)


def test_routes_are_chosen_by_size_and_installation(monkeypatch):
    assert choose_moves("auto", 500) == MOVES["numba"]
    assert choose_moves("auto", 10) == MOVES["numpy"]
    monkeypatch.setattr(
        "neurodyn.models.connectome.communities.search.find_spec", lambda name: None
    )
    assert choose_moves("auto", 500) == MOVES["numpy"]
    with pytest.raises(ImportError, match=r"pip install 'neurodyn\[fast\]'"):
        choose_moves("numba", 500)
    with pytest.raises(ConfigError, match="invalid value for route"):
        choose_moves("cuda", 500)
