"""Tables of scores against scikit-learn, and intervals against what they must do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.metrics.classification import (
    classification_table,
    paired_classification_difference,
    regression_table,
)


@pytest.fixture
def binary(rng):
    truth = np.where(rng.random(150) < 0.3, "patient", "control")
    score = np.round(rng.normal(size=150) + (truth == "patient"), 1)
    return truth, score


def test_two_classes_are_scored_as_scikit_learn_does(binary):
    truth, score = binary
    guess = np.where(score > 0, "patient", "control")
    table = classification_table(truth, score, n_resamples=50)
    sick = truth == "patient"
    expected = {
        "accuracy": oracle.accuracy_score(truth, guess),
        "balanced_accuracy": oracle.balanced_accuracy_score(truth, guess),
        "sensitivity": oracle.recall_score(truth, guess, pos_label="patient"),
        "specificity": oracle.recall_score(truth, guess, pos_label="control"),
        # with ties
        "auc": oracle.roc_auc_score(sick, score),
    }
    assert {name: interval.estimate for name, interval in table.items()} == pytest.approx(expected)
    assert all(interval.low <= interval.estimate <= interval.high for interval in table.values())


def test_the_order_of_classes_says_which_is_positive(binary):
    truth, score = binary
    table = classification_table(truth, score, n_resamples=20)
    turned = classification_table(
        truth, -score, classes=["patient", "control"], threshold=-1e-9, n_resamples=20
    )
    assert turned["sensitivity"].estimate == pytest.approx(table["specificity"].estimate)
    assert turned["auc"].estimate == pytest.approx(table["auc"].estimate)


def test_several_classes_are_averaged_one_against_the_others(rng):
    truth = rng.integers(0, 3, 120)
    score = rng.normal(size=(120, 3)) + 1.5 * np.eye(3)[truth]
    guess = score.argmax(axis=1)
    table = classification_table(truth, score, n_resamples=30)
    recall = oracle.recall_score(truth, guess, average="macro")
    assert table["sensitivity"].estimate == pytest.approx(recall)
    assert table["balanced_accuracy"].estimate == pytest.approx(recall)
    each = [oracle.roc_auc_score(truth == number, score[:, number]) for number in range(3)]
    assert table["auc"].estimate == pytest.approx(np.mean(each))
    each = [oracle.recall_score(truth != n, guess != n) for n in range(3)]
    assert table["specificity"].estimate == pytest.approx(np.mean(each))


def test_items_of_a_subject_are_resampled_together(rng):
    # ten copies of each of 30 answers: no more is known than from 30
    truth, score = np.tile([0, 1], 15), rng.normal(size=30)
    once = classification_table(truth, score, n_resamples=150)
    subject = np.repeat(np.arange(30), 10)
    copies = classification_table(
        np.repeat(truth, 10), np.repeat(score, 10), subject=subject, n_resamples=150
    )
    naive = classification_table(np.repeat(truth, 10), np.repeat(score, 10), n_resamples=150)
    for name in ("accuracy", "auc"):
        assert copies[name][:3] == pytest.approx(once[name][:3])
        assert naive[name].high - naive[name].low < 0.5 * (once[name].high - once[name].low)


def test_the_interval_of_accuracy_is_that_of_a_binomial(rng):
    truth = np.tile([0, 1], 200)
    score = np.where(rng.random(400) < 0.8, 1.0, -1.0) * (2 * truth - 1)
    interval = classification_table(truth, score, n_resamples=600)["accuracy"]
    half = 1.96 * np.sqrt(interval.estimate * (1 - interval.estimate) / 400)
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.15)


def test_few_subjects_never_lose_a_class():
    truth, score = [0, 0, 0, 1], [-1.0, 2.0, -1.0, 1.0]
    table = classification_table(truth, score, n_resamples=300)
    assert all(np.isfinite(interval).all() for interval in table.values())


def test_a_paired_difference_is_narrower_than_two_intervals(rng):
    truth = np.tile([0, 1], 100)
    first = rng.normal(size=200) + truth
    second = first + 0.05 * rng.normal(size=200)
    settings = {"metric": "auc", "n_resamples": 150}
    difference = paired_classification_difference(truth, first, second, **settings)
    one = classification_table(truth, first, n_resamples=150)["auc"]
    assert difference.high - difference.low < 0.3 * (one.high - one.low)
    other = paired_classification_difference(truth, second, first, **settings)
    assert (other.low, other.high) == pytest.approx((-difference.high, -difference.low))
    two = classification_table(truth, second, n_resamples=150)["auc"]
    assert difference.estimate == pytest.approx(one.estimate - two.estimate)


def test_numbers_are_scored_as_scikit_learn_and_numpy_do(rng):
    truth = rng.normal(30, 8, 90)
    predicted = 0.5 * truth + rng.normal(15, 4, 90)
    table = regression_table(truth, predicted, subject=np.arange(90) // 3, n_resamples=100)
    expected = {
        "mae": oracle.mean_absolute_error(truth, predicted),
        "r2": oracle.r2_score(truth, predicted),
        "pearson_r": np.corrcoef(truth, predicted)[0, 1],
    }
    assert {name: interval.estimate for name, interval in table.items()} == pytest.approx(expected)
    assert all(interval.low < interval.estimate < interval.high for interval in table.values())
    constant = regression_table(truth, np.full(90, 30.0), n_resamples=10)
    assert np.isnan(constant["pearson_r"].estimate)


def test_what_does_not_fit_is_refused(binary):
    truth, score = binary
    with pytest.raises(DataError, match="labels and scores do not fit"):
        classification_table(truth, score[:-1])
    with pytest.raises(DataError, match="labels and scores do not fit"):
        classification_table(np.arange(150) % 3, score)
    with pytest.raises(DataError, match="scores are not finite"):
        classification_table(truth, np.full(150, np.nan))
    with pytest.raises(DataError, match="a label is none of the classes"):
        classification_table(truth, score, classes=["patient", "healthy"])
    with pytest.raises(DataError, match="subjects do not fit the items"):
        classification_table(truth, score, subject=[1, 2])
    with pytest.raises(DegenerateInputError, match="true values are all alike"):
        classification_table([1, 1], [0.0, 1.0], classes=[0, 1])
    with pytest.raises(DegenerateInputError, match="a class has no item"):
        classification_table([1, 0], np.eye(3)[:2], classes=[0, 1, 2])
    with pytest.raises(ConfigError, match="invalid value for metric"):
        paired_classification_difference(truth, score, score, metric="auk")
    with pytest.raises(DataError, match="targets and predictions do not fit"):
        regression_table([1.0, np.nan], [1.0, 2.0])
    with pytest.raises(DegenerateInputError, match="true values are all alike"):
        regression_table([1.0, 1.0], [1.0, 2.0])
