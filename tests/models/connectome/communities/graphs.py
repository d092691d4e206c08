"""Graphs with known communities, and a description length that shares no code with the package."""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, gammaln


def planted(n_nodes, n_groups, delta, seed, scale=0.0):
    """Return dense exponential weights of mean ``1 + delta (same - 1 / n_groups)``, and groups."""
    rng = np.random.default_rng(seed)
    group = np.arange(n_nodes) % n_groups
    mean = 1 + delta * ((group[:, np.newaxis] == group) - 1 / n_groups)
    if scale:
        strength = np.exp(scale * rng.standard_normal(n_nodes))
        mean *= np.multiply.outer(strength, strength)
    upper = np.triu(rng.exponential(mean), 1)
    return upper + upper.T, group


def random_graph(n_nodes, seed, density=0.6, missing=0.0):
    """Return log-normal weights with zeros and pairs that were never seen."""
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(0.0, 0.8, (n_nodes, n_nodes))
    weights[rng.random(weights.shape) > density] = 0.0
    weights[rng.random(weights.shape) < missing] = np.nan
    upper = np.triu(weights, 1)
    return upper + upper.T


def shuffled(weights, seed):
    """Return the same weights on other pairs."""
    upper = np.triu_indices(len(weights), 1)
    mixed = np.zeros_like(weights)
    mixed[upper] = np.random.default_rng(seed).permutation(weights[upper])
    return mixed + mixed.T


def blocks_of_pairs(weights, block):
    """Yield the seen weights between each pair of blocks."""
    for a in np.unique(block):
        for b in np.unique(block[block >= a]):
            found = [
                weights[i, j]
                for i in range(len(block))
                for j in range(i + 1, len(block))
                if sorted((block[i], block[j])) == [a, b] and not np.isnan(weights[i, j])
            ]
            yield np.array(found)


def log_prior(block):
    """Return the log prior of a partition: number, sizes, membership."""
    size = np.unique(block, return_counts=True)[1]
    n_nodes, n_blocks = len(block), len(size)
    choose = gammaln(n_nodes) - gammaln(n_blocks) - gammaln(n_nodes - n_blocks + 1)
    return gammaln(size + 1).sum() - gammaln(n_nodes + 1) - choose - np.log(n_nodes)


def weight_evidence(family, weights, every, shape=2.0):
    """Return the log evidence of positive weights of one pair of blocks."""
    m = len(weights)
    if family == "lognormal":
        y, k0, a0, m0, b0 = np.log(weights), 0.1, 1.5, np.log(every).mean(), np.log(every).var() / 2
        kn, an = k0 + m, a0 + m / 2
        mean = y.mean() if m else m0
        bn = b0 + ((y - mean) ** 2).sum() / 2 + k0 * m * (mean - m0) ** 2 / (2 * kn)
        value = gammaln(an) - gammaln(a0) + a0 * np.log(b0) - an * np.log(bn)
        return value + np.log(k0 / kn) / 2 - m / 2 * np.log(2 * np.pi) - y.sum()
    nu = shape if family == "gamma" else 1.0
    b = every.mean() / nu
    value = np.log(b) + gammaln(1 + nu * m) - (1 + nu * m) * np.log(b + weights.sum())
    return value + (nu - 1) * np.log(weights).sum() - m * gammaln(nu)


def naive_length(weights, block, family):
    """Return the description length, pair by pair."""
    seen = weights[np.triu_indices(len(weights), 1)]
    seen = seen[~np.isnan(seen)]
    total = log_prior(block)
    for values in blocks_of_pairs(weights, block):
        positive = values[values > 0]
        total += weight_evidence(family, positive, seen[seen > 0])
        if (seen == 0).any():
            total += betaln(len(positive) + 1, len(values) - len(positive) + 1)
    return -total
