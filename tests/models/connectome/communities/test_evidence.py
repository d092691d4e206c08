"""Evidence in closed form against numerical integrals and a count pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad, trapezoid

from neurodyn.errors import ConfigError, DegenerateInputError
from neurodyn.models.connectome.communities.config import FAMILIES, BlockModelConfig
from neurodyn.models.connectome.communities.evidence import build_evidence, strengths
from neurodyn.models.connectome.communities.graph import read_graph
from neurodyn.models.connectome.communities.partition import description_length, make_partition

from .graphs import log_prior, naive_length, planted, random_graph

PLAIN = BlockModelConfig(strength_correction=False, zero_below=0.0)
FEW = np.array([0.3, 1.1, 2.4, 0.8, 0.5, 1.7])


def length(weights, block, family, config=PLAIN):
    evidence = build_evidence(read_graph(weights), family, config)
    return description_length(evidence, make_partition(evidence, np.asarray(block)))


def from_pairs(values):
    n_nodes = int(np.sqrt(2 * len(values))) + 1
    weights = np.zeros((n_nodes, n_nodes))
    weights[np.triu_indices(n_nodes, 1)] = values
    return weights + weights.T


@pytest.mark.parametrize(("family", "shape"), [("exponential", 1.0), ("gamma", 2.0)])
def test_rate_is_integrated_out(family, shape):
    prior = stats.expon(scale=shape / FEW.mean())

    def joint(rate):
        return prior.pdf(rate) * stats.gamma(shape, scale=1 / rate).pdf(FEW).prod()

    expected = -np.log(quad(joint, 0, np.inf)[0]) - log_prior(np.zeros(4, int))
    assert length(from_pairs(FEW), [0] * 4, family) == pytest.approx(expected, abs=1e-6)


def test_mean_and_variance_of_log_weights_are_integrated_out():
    y = np.log(FEW)
    mean = np.linspace(-20, 20, 2001)[:, np.newaxis]
    log_variance = np.linspace(-7, 9, 401)
    variance = np.exp(log_variance)
    spread = np.sqrt(variance)
    log_joint = stats.invgamma(1.5, scale=y.var() / 2).logpdf(variance) + log_variance
    log_joint = log_joint + stats.norm(y.mean(), spread / np.sqrt(0.1)).logpdf(mean)
    for weight in FEW:
        log_joint += stats.lognorm(spread, scale=np.exp(mean)).logpdf(weight)
    integral = trapezoid(trapezoid(np.exp(log_joint), log_variance), mean[:, 0])
    expected = -np.log(integral) - log_prior(np.zeros(4, int))
    assert length(from_pairs(FEW), [0] * 4, "lognormal") == pytest.approx(expected, abs=1e-4)


def test_probability_of_an_edge_is_integrated_out():
    zeros = FEW * [1, 1, 0, 1, 0, 1]
    with_zeros = length(from_pairs(zeros), [0] * 4, "exponential")
    positive = zeros[zeros > 0]
    prior = stats.expon(scale=1 / positive.mean())
    weights, edges = (
        quad(lambda r: prior.pdf(r) * stats.expon(scale=1 / r).pdf(positive).prod(), 0, np.inf)[0],
        quad(lambda p: p**4 * (1 - p) ** 2, 0, 1)[0],
    )
    assert with_zeros == pytest.approx(-np.log(weights * edges) - log_prior(np.zeros(4, int)))


def test_rate_of_edges_is_integrated_out_with_degrees():
    weights = from_pairs(FEW * [1, 1, 0, 1, 0, 1])
    config = BlockModelConfig(strength_correction=False, edges="degree_corrected")
    plain = length(weights, [0] * 4, "exponential")
    edge = weights[np.triu_indices(4, 1)] > 0
    degree = (weights > 0).sum(axis=1)
    exposure = np.multiply.outer(degree, degree)[np.triu_indices(4, 1)] / degree.sum()

    def joint(rate):
        return stats.expon.pdf(rate) * stats.poisson(rate * exposure).pmf(edge.astype(int)).prod()

    edges = -np.log(quad(joint, 0, np.inf)[0])
    bernoulli = -np.log(quad(lambda p: p**4 * (1 - p) ** 2, 0, 1)[0])
    found = length(weights, [0] * 4, "exponential", config)
    assert found - plain == pytest.approx(edges - bernoulli)


def test_uniform_edges_leave_zeros_out_of_the_comparison():
    weights = random_graph(8, seed=0)
    config = BlockModelConfig(strength_correction=False, edges="uniform")
    one = [0] * 8
    assert length(weights, one, "gamma", config) == pytest.approx(length(weights, one, "gamma"))
    two = np.arange(8) % 2
    without = np.where(weights > 0, weights, np.nan)
    difference = length(weights, two, "gamma", config) - length(weights, one, "gamma", config)
    expected = length(without, two, "gamma") - length(without, one, "gamma")
    assert difference == pytest.approx(expected)


@given(st.integers(0, 10**6), st.sampled_from(FAMILIES), st.sampled_from([0.5, 1.0]))
@settings(max_examples=40, deadline=None)
def test_length_is_that_of_a_count_pair_by_pair(seed, family, density):
    weights = random_graph(9, seed, density=density, missing=0.2)
    block = np.random.default_rng(seed).integers(4, size=9)
    expected = naive_length(weights, block, family)
    assert length(weights, block, family) == pytest.approx(expected, abs=1e-8)


@given(st.integers(0, 10**6), st.permutations(range(5)))
@settings(max_examples=20, deadline=None)
def test_length_does_not_depend_on_labels_or_on_the_order_of_nodes(seed, names):
    weights = random_graph(12, seed, missing=0.1)
    block = np.random.default_rng(seed).integers(5, size=12)
    expected = length(weights, block, "lognormal")
    assert length(weights, np.array(names)[block], "lognormal") == pytest.approx(expected)
    order = np.random.default_rng(seed + 1).permutation(12)
    mixed = weights[np.ix_(order, order)]
    assert length(mixed, block[order], "lognormal") == pytest.approx(expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("corrected", [False, True])
@given(st.floats(1e-3, 1e3), st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_another_unit_shifts_all_lengths_alike(family, corrected, unit, seed):
    weights = random_graph(10, seed)
    config = BlockModelConfig(strength_correction=corrected)
    rng = np.random.default_rng(seed)
    n_edges = (np.triu(weights) > 0).sum()
    for block in (np.zeros(10, int), rng.integers(3, size=10), np.arange(10)):
        shift = length(unit * weights, block, family, config) - length(
            weights, block, family, config
        )
        assert shift == pytest.approx(n_edges * np.log(unit), abs=1e-6)


def test_strength_correction_is_a_change_of_variables():
    weights = random_graph(10, seed=3)
    strength = strengths(read_graph(weights))
    corrected = weights / np.multiply.outer(strength, strength)
    edge = np.triu(weights) > 0
    jacobian = np.log(np.multiply.outer(strength, strength)[edge]).sum()
    block = np.arange(10) % 2
    found = length(weights, block, "gamma", BlockModelConfig())
    assert found == pytest.approx(length(corrected, block, "gamma") + jacobian)


def test_strengths_are_mean_positive_weights():
    weights = random_graph(10, seed=1, missing=0.1)
    weights[4], weights[:, 4] = 0.0, 0.0
    overall = weights[weights > 0].mean()
    expected = [row[row > 0].mean() / overall if (row > 0).any() else 1.0 for row in weights]
    np.testing.assert_allclose(strengths(read_graph(weights)), expected)


def test_evidence_prefers_the_family_of_the_weights():
    rng = np.random.default_rng(0)
    drawn = {
        "exponential": rng.exponential(1.0, 1225),
        "lognormal": rng.lognormal(0.0, 0.4, 1225),
        "gamma": rng.gamma(2.0, 1.0, 1225),
    }
    for family, values in drawn.items():
        lengths = {name: length(from_pairs(values), [0] * 50, name) for name in FAMILIES}
        assert min(lengths, key=lengths.get) == family


def test_threshold_of_the_evidence():
    # mean log ratio of the planted partition and one community, over 20 graphs each
    for delta, expected in ((0.3, -21), (0.4, 23), (0.6, 155)):
        gains = []
        for seed in range(20):
            weights, group = planted(100, 2, delta, seed)
            one = length(weights, [0] * 100, "exponential")
            gains.append(one - length(weights, group, "exponential"))
        assert np.mean(gains) == pytest.approx(expected, abs=15)


def test_equal_weights_have_no_log_normal_distribution():
    with pytest.raises(DegenerateInputError, match="equal weights have no log-normal"):
        length(np.ones((4, 4)), [0] * 4, "lognormal")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "normal"}, "invalid value for family"),
        ({"edges": "poisson"}, "invalid value for edges"),
        ({"gamma_shape": 0.0}, "invalid value for gamma_shape"),
        ({"zero_below": 1.0}, "invalid value for zero_below"),
        ({"n_restarts": 0}, "invalid value for n_restarts"),
        ({"n_splits": -1}, "a whole number from 0"),
        ({"max_rounds": 1.5}, "invalid value for max_rounds"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        BlockModelConfig(**settings)
