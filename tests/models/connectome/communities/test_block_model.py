"""Communities of graphs whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.cluster.hierarchy import cut_tree, is_valid_linkage
from sklearn.metrics import normalized_mutual_info_score

from neurodyn import recording
from neurodyn.errors import DataError, DegenerateInputError
from neurodyn.models.connectome.communities import BlockModelConfig, find_communities
from neurodyn.models.connectome.communities.evidence import build_evidence
from neurodyn.models.connectome.communities.graph import read_graph
from neurodyn.models.connectome.communities.labels import largest_first
from neurodyn.models.connectome.communities.partition import description_length, make_partition
from neurodyn.models.connectome.communities.splitting import leading_half
from neurodyn.provenance import history

from .graphs import naive_length, planted, random_graph, shuffled

# dense graphs: a weight that happens to be tiny is no missing edge
DENSE = BlockModelConfig(family="exponential", zero_below=0.0)


def agreement(found, group):
    return normalized_mutual_info_score(group, found["community"].values)


def planted_length(weights, group, config=DENSE, family="exponential"):
    evidence = build_evidence(read_graph(weights), family, config)
    return description_length(evidence, make_partition(evidence, group))


@pytest.mark.parametrize("delta", [0.0, 0.1, 0.2, 0.3])
def test_below_the_threshold_there_are_no_communities(delta):
    for seed in range(8):
        found = find_communities(planted(100, 2, delta, seed)[0], DENSE)
        assert found["n_communities"] == 1
        assert found["description_length"] == pytest.approx(float(found["description_length_one"]))
    assert found.attrs["conclusion"].startswith("no communities")
    assert found["linkage"].shape == (0, 4)


@pytest.mark.parametrize(
    ("delta", "least", "n_graphs"), [(0.4, 0.75, 60), (0.6, 0.95, 8), (0.8, 0.95, 8)]
)
def test_above_the_threshold_there_are_two(delta, least, n_graphs):
    scores, numbers = [], []
    for seed in range(n_graphs):
        weights, group = planted(100, 2, delta, seed)
        found = find_communities(weights, DENSE)
        one = float(found["description_length_one"])
        truth = planted_length(weights, group)
        assert found["description_length"] <= truth + 1e-6
        # just above the threshold some graphs hold no evidence for what was planted
        assert found["n_communities"] == 2 or one <= truth
        scores.append(agreement(found, group))
        numbers.append(int(found["n_communities"]))
    assert np.mean(scores) >= least
    assert np.mean(np.array(numbers) == 2) >= 0.9


def test_four_communities_above_and_none_below_the_threshold():
    scores = []
    for seed in range(5):
        assert find_communities(planted(120, 4, 0.4, seed)[0], DENSE)["n_communities"] == 1
        weights, group = planted(120, 4, 0.8, seed)
        found = find_communities(weights, DENSE)
        assert found["n_communities"] == 4
        scores.append(agreement(found, group))
    assert np.mean(scores) >= 0.9


def test_without_a_family_given_the_answer_is_the_same():
    for delta, expected in ((0.3, 1), (0.8, 2)):
        weights, _ = planted(100, 2, delta, 3)
        found = find_communities(weights, BlockModelConfig(zero_below=0.0))
        assert found["family"] == "exponential"
        assert found["n_communities"] == expected
        alone = find_communities(weights, DENSE)
        np.testing.assert_array_equal(found["community"], alone["community"])
        assert found["description_length"] == alone["description_length"]


def test_shuffled_weights_have_no_communities():
    for seed in range(4):
        dense = planted(100, 2, 0.8, seed)[0]
        assert find_communities(shuffled(dense, seed), DENSE)["n_communities"] == 1
        sparse = np.where(dense > 0.7, dense, 0.0)
        found = find_communities(shuffled(sparse, seed))
        assert found["n_communities"] == 1


def test_communities_do_not_follow_how_active_nodes_are():
    plain = BlockModelConfig(family="exponential", zero_below=0.0, strength_correction=False)
    for seed in range(3):
        weights, group = planted(90, 3, 1.0, seed, scale=0.5)
        found = find_communities(weights, DENSE)
        assert found["n_communities"] == 3
        assert agreement(found, group) == 1.0
        # without the correction blocks follow the scales
        split = find_communities(weights, plain)
        assert split["n_communities"] >= 6
        assert agreement(split, group) < 0.8
        assert (split["strength"] == 1).all()


def test_sparse_communities_by_weight_alone():
    # edges say nothing here, and the exponential family has too wide a spread to tell
    rng = np.random.default_rng(1)
    group = np.arange(60) % 3
    weights = rng.lognormal(0.8 * (group[:, np.newaxis] == group), 0.4)
    weights = np.triu(weights * (rng.random((60, 60)) < 0.4), 1)
    chosen = find_communities(weights + weights.T)
    assert agreement(chosen, group) == 1.0
    assert chosen["family"] == "lognormal"
    fixed = find_communities(weights + weights.T, BlockModelConfig(family="exponential"))
    assert agreement(fixed, group) < 1.0
    evidence = chosen["evidence"].to_series()
    assert evidence.is_monotonic_decreasing
    assert evidence.index[0] == "lognormal"
    assert evidence["lognormal"] == -chosen["description_length"]


def test_communities_need_not_hold_together():
    rng = np.random.default_rng(0)
    group = np.arange(60) % 2
    upper = np.triu(rng.exponential(1 + 3 * (group[:, np.newaxis] != group)), 1)
    assert agreement(find_communities(upper + upper.T, DENSE), group) == 1.0


def test_edges_alone_make_communities():
    rng = np.random.default_rng(0)
    group = np.arange(80) % 2
    upper = np.triu(rng.random((80, 80)) < np.where(group[:, np.newaxis] == group, 0.5, 0.1), 1)
    weights = (upper | upper.T).astype(float)
    for edges in ("bernoulli", "degree_corrected"):
        found = find_communities(weights, BlockModelConfig(edges=edges))
        assert agreement(found, group) == 1.0
        # equal weights leave no log-normal fit to compare
        assert "lognormal" not in found["candidate"]
    assert find_communities(weights, BlockModelConfig(edges="uniform"))["n_communities"] == 1


def test_degree_correction_keeps_hubs_with_their_community():
    rng = np.random.default_rng(0)
    group, activity = np.arange(120) % 2, np.exp(0.7 * rng.standard_normal(120))
    rate = np.multiply.outer(activity, activity)
    rate *= np.where(group[:, np.newaxis] == group, 0.12, 0.02)
    weights = np.triu(rng.poisson(rate) > 0, 1).astype(float)
    weights += weights.T
    corrected = find_communities(weights, BlockModelConfig(edges="degree_corrected"))
    plain = find_communities(weights)
    assert corrected["n_communities"] == 2
    assert agreement(corrected, group) > max(0.8, agreement(plain, group))


def test_pairs_never_seen_are_left_out_exactly():
    weights, group = planted(60, 2, 1.0, 0)
    upper = np.triu(np.random.default_rng(0).random((60, 60)) < 0.3, 1)
    weights[upper | upper.T] = np.nan
    config = BlockModelConfig(family="exponential", zero_below=0.0, strength_correction=False)
    found = find_communities(weights, config)
    assert agreement(found, group) > 0.9
    expected = naive_length(weights, found["community"].values, "exponential")
    assert found["description_length"] == pytest.approx(expected)
    zeros = find_communities(np.nan_to_num(weights), config)
    assert zeros["description_length"] != pytest.approx(expected)


def test_silent_nodes_and_nodes_never_seen_do_no_harm():
    weights, group = planted(40, 2, 2.0, 0)
    weights[0], weights[:, 0] = 0.0, 0.0
    weights[1], weights[:, 1] = np.nan, np.nan
    found = find_communities(weights)
    assert found["strength"][0] == found["strength"][1] == 1
    assert normalized_mutual_info_score(group[2:], found["community"].values[2:]) > 0.9
    assert np.isfinite(found["description_length"])


@pytest.mark.parametrize("edges", ["bernoulli", "degree_corrected", "uniform"])
def test_three_nodes_are_enough(edges):
    weights = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    config = BlockModelConfig(edges=edges)
    assert find_communities(weights, config)["n_communities"] == 1


def test_both_routes_find_the_same():
    for weights in (planted(40, 3, 2.0, 5)[0], random_graph(30, 0, missing=0.1)):
        config = BlockModelConfig(n_restarts=3)
        found = [find_communities(weights, config, route=route) for route in ("numpy", "numba")]
        np.testing.assert_array_equal(found[0]["community"], found[1]["community"])
        xr.testing.assert_allclose(found[0], found[1], rtol=1e-9)


def test_a_seed_fixes_the_answer_and_others_agree_on_a_clear_one():
    weights, group = planted(60, 3, 2.0, 0)
    first = find_communities(weights, DENSE, seed=1)
    xr.testing.assert_identical(first, find_communities(weights, DENSE, seed=1))
    assert agreement(find_communities(weights, DENSE, seed=2), group) == 1.0


def test_labels_and_dims_of_the_input_are_kept(tmp_path):
    weights, _ = planted(30, 2, 1.8, 0)
    names = [f"cell {i}" for i in range(30)]
    labelled = xr.DataArray(
        weights, {"unit": names, "unit_to": names}, ("unit", "unit_to"), name="affinity"
    )
    before = labelled.copy(deep=True)
    found = find_communities(labelled, seed=4)
    xr.testing.assert_identical(labelled, before)
    assert found["community"].dims == ("unit",)
    assert found["community"].dtype == np.int64
    assert found["unit"].values.tolist() == names
    assert found.attrs["kind"] == "results"
    assert history(found)[-1]["parameters"]["seed"] == 4
    plain = find_communities(weights, seed=4)
    np.testing.assert_array_equal(found["community"], plain["community"])
    xr.testing.assert_identical(
        recording.load(recording.save(found, tmp_path / "results.nc")), found
    )


def test_the_largest_community_comes_first():
    rng = np.random.default_rng(0)
    block = rng.integers(6, size=50)
    found = largest_first(block)
    assert (np.diff(np.bincount(found)) <= 0).all()
    assert normalized_mutual_info_score(block, found) == pytest.approx(1.0)


def test_merge_path_is_a_linkage_that_joins_related_communities_first():
    # two pairs of communities, each pair nearer to itself
    rng = np.random.default_rng(0)
    group = np.arange(80) % 4
    near = group[:, np.newaxis] // 2 == group // 2
    same = group[:, np.newaxis] == group
    upper = np.triu(rng.exponential(1 + 3 * near + 8 * same), 1)
    found = find_communities(upper + upper.T, DENSE)
    assert agreement(found, group) == 1.0
    linkage = found["linkage"].values
    assert is_valid_linkage(linkage)
    assert (np.diff(linkage[:, 2]) >= 0).all()
    halves = cut_tree(linkage, 2)[found["community"].values, 0]
    assert normalized_mutual_info_score(halves, group // 2) == 1.0
    last = float(found["merge_description_length"][-1])
    assert last == pytest.approx(float(found["description_length_one"]))
    assert linkage[-1, 2] == pytest.approx(last - float(found["description_length"]))


def test_a_block_without_differences_is_halved_at_random():
    weights = np.ones((10, 10))
    evidence = build_evidence(read_graph(weights), "exponential", DENSE)
    whole = make_partition(evidence, np.zeros(10, int))
    half = leading_half(evidence, whole, np.arange(10), np.random.default_rng(0))
    assert 0 < half.size < 10


def test_benchmark_graphs_keep_their_agreement(shared_data):
    # one graph of each setting; benchmarks/communities.py has all of them
    from neurodyn.io.arrays import read_npz

    data = read_npz(shared_data / "lfr_weighted_benchmark" / "lfr90.npz")
    scores = []
    for setting in range(9):
        graph = np.flatnonzero((data["config"] == setting) & (data["labels"].max(axis=1) > 0))[0]
        part = slice(*data["offset"][graph : graph + 2])
        weights = np.zeros((125, 125))
        weights[data["src"][part], data["dst"][part]] = data["weight"][part]
        found = find_communities(weights + weights.T)
        scores.append(agreement(found, data["labels"][graph]))
    assert np.mean(scores) >= 0.42


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.ones((3, 4)), DataError, r"not square.*\n.*found: \(3, 4\)"),
        (np.ones(4), DataError, "not square"),
        (np.ones((2, 2)), DegenerateInputError, "too few nodes"),
        (np.triu(np.ones((3, 3))), DataError, r"not symmetric \(at pair '0', '1'\)"),
        (np.full((3, 3), np.inf), DataError, "weights are infinite"),
        (-np.ones((3, 3)), DataError, r"negative(.*\n)*.*clip\(min=0\)"),
        (np.eye(3), DegenerateInputError, r"no edge.*\n.*only zeros"),
        (np.full((3, 3), np.nan), DegenerateInputError, "no pair that was seen"),
        (
            np.array([[0, 1, np.nan], [1, 0, 2], [1, 2, 0]]),
            DataError,
            r"not symmetric(.*\n)*.*mean of both",
        ),
    ],
)
def test_weights_that_are_no_graph_are_refused(weights, error, message):
    with pytest.raises(error, match=message):
        find_communities(weights)


def test_rows_and_columns_must_have_the_same_labels():
    weights = xr.DataArray(
        np.ones((3, 3)), {"roi": ["a", "b", "c"], "roi_to": ["a", "c", "b"]}, ("roi", "roi_to")
    )
    with pytest.raises(DataError, match="different labels"):
        find_communities(weights)


def test_equal_weights_are_refused_by_the_log_normal_family_alone():
    with pytest.raises(DegenerateInputError, match="family='exponential'"):
        find_communities(np.ones((5, 5)), BlockModelConfig(family="lognormal"))
    assert find_communities(np.ones((5, 5)))["n_communities"] == 1
