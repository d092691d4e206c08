"""The Gaussian conditional mean against the precision matrix, known truth and real runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.models.baselines.conditional_gaussian import (
    conditional_mean,
    gaussian_masked_r2,
    group_covariance,
    masked_r2,
)
from neurodyn.windows.runs import RunWindows


@pytest.fixture
def covariance(rng):
    root = rng.normal(size=(6, 6))
    return root @ root.T + 0.5 * np.eye(6)


def test_the_covariance_is_that_of_standardised_runs(rng):
    one, two = rng.normal(size=(2, 80, 4)) @ rng.normal(size=(4, 4)) + 50.0
    stacked = np.vstack([(run - run.mean(0)) / run.std(0) for run in (one, two)])
    plain = group_covariance([one, two], shrinkage=0.0)
    np.testing.assert_allclose(plain, np.corrcoef(stacked.T), atol=1e-4)
    shrunk = group_covariance([one, two], shrinkage=0.2)
    np.testing.assert_allclose(shrunk, 0.8 * plain + 0.2 * np.eye(4), atol=1e-4)


def test_missing_rois_and_frames_count_only_where_both_are_known(rng):
    one, two = rng.normal(size=(2, 90, 3)) + rng.normal(size=(2, 90, 1))
    two[:, 2] = np.nan
    found = group_covariance([one, two], shrinkage=0.0)
    alone = group_covariance([one], shrinkage=0.0)
    np.testing.assert_allclose(found[2], alone[2], atol=1e-6)
    never = group_covariance([two], shrinkage=0.0)
    assert never[2].tolist() == [0.0, 0.0, 1.0]


def test_the_mean_is_that_of_the_precision_matrix(rng, covariance):
    # an independent form: -inv(P_hh) P_hv x_v
    values = rng.normal(size=(30, 6))
    hidden = rng.random((30, 6)) < 0.4
    found = conditional_mean(covariance, values, hidden)
    precision = np.linalg.inv(covariance)
    for row, mask, result in zip(values, hidden, found):
        np.testing.assert_array_equal(result[~mask], row[~mask])
        if mask.any():
            inner = precision[np.ix_(mask, mask)]
            expected = -np.linalg.solve(inner, precision[np.ix_(mask, ~mask)] @ row[~mask])
            np.testing.assert_allclose(result[mask], expected, atol=1e-9)


def test_nothing_seen_gives_the_mean_and_unknown_is_not_looked_at(covariance, rng):
    values = rng.normal(size=(3, 6))
    assert (conditional_mean(covariance, values, np.ones(6, bool)) == 0).all()
    values[:, 2] = np.nan
    hidden = np.array([True, False, False, False, False, False])
    found = conditional_mean(covariance, values, hidden)
    rest = [0, 1, 3, 4, 5]
    without = conditional_mean(covariance[np.ix_(rest, rest)], values[:, rest], hidden[rest])
    np.testing.assert_allclose(found[:, rest], without)
    assert np.isfinite(found).all()


def test_it_reaches_what_theory_says_and_no_linear_map_more(covariance):
    draws = multivariate_normal(np.zeros(6), covariance, seed=3).rvs(40_000)
    hidden = np.array([True, True, False, False, False, False])
    found = masked_r2(
        draws, conditional_mean(covariance, draws, hidden), np.tile(hidden, (len(draws), 1))
    )
    inner = np.linalg.inv(np.linalg.inv(covariance)[:2, :2])
    assert found == pytest.approx(1 - np.trace(inner) / np.trace(covariance[:2, :2]), abs=0.01)


def test_windows_are_scored_like_frames_one_by_one(rng):
    runs = [rng.normal(size=(70, 1)) + rng.normal(size=(70, 8)) for _ in range(5)]
    covariance = group_covariance(runs[:4])
    windows = RunWindows(runs[4:], n_segments=2, n_frames=5, segment_duration=10.0)
    tube = gaussian_masked_r2(covariance, windows, 0.5, scheme="tube", seed=4)
    again = gaussian_masked_r2(covariance, windows, 0.5, scheme="tube", seed=4)
    other = gaussian_masked_r2(covariance, windows, 0.5, scheme="tube", seed=5)
    assert tube == again != other
    # half of eight equal correlations of 0.5: 4 seen ROIs explain 0.4 of a hidden one
    scores = [gaussian_masked_r2(covariance, windows, 0.5, seed=seed) for seed in range(8)]
    assert np.mean(scores) == pytest.approx(0.4, abs=0.1)


def test_what_does_not_fit_is_refused(covariance):
    with pytest.raises(ConfigError, match="a group covariance is impossible"):
        group_covariance([])
    with pytest.raises(ConfigError, match="shrinkage=2"):
        group_covariance([np.ones((3, 2))], shrinkage=2.0)
    with pytest.raises(DataError, match="runs differ in ROIs"):
        group_covariance([np.ones((3, 2)), np.ones((3, 3))])
    with pytest.raises(DataError, match="covariance and values do not fit"):
        conditional_mean(covariance, np.ones((2, 5)), np.ones(5, bool))
    with pytest.raises(DataError, match="mask does not fit"):
        conditional_mean(covariance, np.ones((2, 6)), np.ones(5, bool))
    with pytest.raises(DegenerateInputError, match="has no inverse"):
        conditional_mean(np.ones((3, 3)), np.ones((1, 3)), [True, False, False])
    with pytest.raises(DegenerateInputError, match="no hidden entry"):
        masked_r2([1.0], [1.0], [False])


@pytest.mark.shared_data
def test_heat_pain_is_explained_as_well_as_was_measured(shared_data):
    from neurodyn.datasets.heat_pain import read_heat_pain

    nodes = read_heat_pain(shared_data / "fmri_pain_mist122")["bold"].children
    held_out = sorted({node.attrs["subject"] for node in nodes.values()})[-6:]
    train, test = (
        [n["bold"].values for n in nodes.values() if (n.attrs["subject"] in held_out) == wanted]
        for wanted in (False, True)
    )
    assert (len(train), len(test)) == (80, 18)
    covariance = group_covariance(train)
    windows = RunWindows(test, n_segments=8, n_frames=8, segment_duration=16.0)
    found = [gaussian_masked_r2(covariance, windows, ratio) for ratio in (0.2, 0.4, 0.6, 0.8)]
    assert found == pytest.approx([0.661, 0.639, 0.601, 0.527], abs=0.005)
