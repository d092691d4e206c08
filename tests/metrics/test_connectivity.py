"""Scores of connectivity against scikit-learn, small cases by hand and known networks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.metrics.connectivity import (
    connectivity_table,
    direction_accuracy,
    edge_auc,
    edge_average_precision,
    hub_recall,
)


def example(seed: int, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two hubs of twelve units, scores with noise."""
    rng = np.random.default_rng(seed)
    edge = np.zeros((12, 12), dtype=bool)
    edge[0, 2:7] = edge[1, 7:] = True
    score = strength * edge + rng.standard_normal((12, 12))
    return score, edge, edge.any(axis=1)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(0, 2**31 - 1), st.integers(0, 2))
def test_areas_equal_those_of_scikit_learn(seed: int, decimals: int) -> None:
    score, edge, _ = example(seed)
    score = score.round(decimals)
    score[3, 5] = np.nan
    pairs = ~np.eye(12, dtype=bool) & ~np.isnan(score)
    assert edge_auc(score, edge) == pytest.approx(roc_auc_score(edge[pairs], score[pairs]))
    wanted = average_precision_score(edge[pairs], score[pairs])
    assert edge_average_precision(score, edge) == pytest.approx(wanted)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.integers(0, 2**31 - 1))
def test_order_alone_counts(seed: int) -> None:
    score, edge, _ = example(seed)
    for measure in (edge_auc, edge_average_precision, direction_accuracy):
        assert measure(np.exp(score), edge) == pytest.approx(measure(score, edge))


def test_direction_by_hand() -> None:
    edge = np.array([[0, 1, 1], [0, 0, 1], [1, 0, 0]], dtype=bool)
    # 0 -> 1 is right, 1 -> 2 a tie; 0 <-> 2 goes both ways and does not count
    score = np.array([[9.0, 0.8, 0.1], [0.2, 9.0, 0.5], [0.7, 0.5, 9.0]])
    assert direction_accuracy(score, edge) == 0.75
    assert direction_accuracy(score + score.T, edge) == 0.5


def test_hubs_by_hand() -> None:
    score = np.zeros((4, 4))
    score[0], score[1] = 2.0, 1.0
    np.fill_diagonal(score, 99.0)
    assert hub_recall(score, [True, True, False, False]) == 1.0
    assert hub_recall(score, [True, False, False, True]) == 0.5
    # the second place is shared by three
    score[1] = 0.0
    assert hub_recall(score, [True, True, False, False]) == pytest.approx(0.5 + 0.5 / 3)


@pytest.mark.parametrize("resample", ["units", "pairs"])
def test_table_holds_the_scores_within_their_intervals(resample: str) -> None:
    score, edge, hub = example(4)
    table = connectivity_table(score, edge, hub, resample=resample, n_resamples=200)  # type: ignore[arg-type]
    wanted = [
        edge_auc(score, edge),
        edge_average_precision(score, edge),
        direction_accuracy(score, edge),
        hub_recall(score, hub),
    ]
    assert np.allclose(table["value"], wanted)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    assert (table["low"] < table["high"])[:3].all()
    assert table["n_edges"].item() == 10
    assert table["edge_share"].item() == pytest.approx(10 / 132)
    again = connectivity_table(score, edge, hub, resample=resample, n_resamples=200)  # type: ignore[arg-type]
    assert table.identical(again)
    assert "hub_recall" not in connectivity_table(score, edge, n_resamples=5)["metric"]


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth = 0.7602499  # P(N(1, 1) > N(0, 1))
    rng = np.random.default_rng(5)
    edge = rng.random((14, 14)) < 0.3
    covered = []
    for _ in range(30):
        score = edge + rng.standard_normal(edge.shape)
        row = connectivity_table(score, edge, n_resamples=80).sel(metric="auc")
        covered.append(row["low"].item() <= truth <= row["high"].item())
    assert np.mean(covered) > 0.75


def test_refuses_what_cannot_be_scored() -> None:
    score, edge, hub = example(0)
    with pytest.raises(DataError, match=r"scores and edges do not fit(.|\n)*\(12, 11\)"):
        edge_auc(score[:, :11], edge)
    with pytest.raises(DataError, match=r"scores are infinite(.|\n)*132 pairs|scores are infinite"):
        edge_auc(score + np.inf, edge)
    with pytest.raises(DegenerateInputError, match=r"pairs with and without one(.|\n)*0 edges"):
        edge_average_precision(score, edge & False)
    with pytest.raises(DegenerateInputError, match="in one direction only"):
        direction_accuracy(score, edge | edge.T)
    with pytest.raises(DataError, match="hubs do not fit the units"):
        hub_recall(score, hub[:3])
    with pytest.raises(DegenerateInputError, match="there is no hub to find"):
        hub_recall(score, hub & False)
    with pytest.raises(ConfigError, match="invalid value for resample"):
        connectivity_table(score, edge, resample="trials")  # type: ignore[arg-type]
