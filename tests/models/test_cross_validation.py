from __future__ import annotations

import numpy as np
import pytest

from neurodyn.errors import DataError, EmptySelectionError
from neurodyn.metrics.intervals import bits_per_spike_interval
from neurodyn.metrics.spikes import bits_per_spike
from neurodyn.models import cross_validate
from neurodyn.models.baselines import GRUAutoencoder, SmoothingGLM
from neurodyn.models.checks import example_counts
from neurodyn.models.cross_validation import set_validation_aside
from neurodyn.training import TrainingConfig
from neurodyn.windows.splits import Split

COUNTS = example_counts(9)
FOLDS = [
    Split(np.array([1, 3, 5, 6, 7, 8]), test=np.array([0, 2, 4])),
    Split(np.array([0, 2, 4, 6, 7, 8]), test=np.array([1, 3, 5])),
]
MODEL = SmoothingGLM(n_components=2)


def test_each_fold_is_a_fit_on_its_training_trials():
    found = cross_validate(MODEL, COUNTS, FOLDS)
    for fold, split in enumerate(FOLDS):
        fitted = MODEL.clone().fit(COUNTS.isel(trial=split.train))
        tested = COUNTS.isel(trial=split.test)
        assert float(found["co_bps"][fold]) == float(fitted.score(tested)["co_bps"])
        predicted = fitted.predict(tested)["rate"]
        np.testing.assert_array_equal(found["rate"].isel(trial=split.test), predicted)
    assert not MODEL.is_fitted


def test_trials_are_in_order_and_carry_what_intervals_need():
    found = cross_validate(MODEL, COUNTS, FOLDS)
    assert found["trial"].values.tolist() == [0, 1, 2, 3, 4, 5]
    assert found["fold_of_trial"].values.tolist() == [0, 1, 0, 1, 0, 1]
    expected = found["rate"].values[:, :12, 4:].astype(float) * found.attrs["bin_size"]
    count = COUNTS["count"].values[:6, :12, 4:]
    pooled = float(found["pooled"])
    assert pooled == pytest.approx(bits_per_spike(expected, count))
    gain = (found["null_nll"] - found["nll"]).sum() / found["n_spikes"].sum() / np.log(2)
    assert pooled == pytest.approx(float(gain))
    interval = bits_per_spike_interval(expected, count, n_resamples=50)
    assert interval.low < pooled < interval.high


def test_early_stopping_takes_its_trials_from_the_training_part():
    training = TrainingConfig(n_steps=4, batch_size=99, validate_every=2, device="cpu")
    model = GRUAutoencoder(hidden_size=2)
    found = cross_validate(model, COUNTS, FOLDS, validation=0.34, training=training)
    again = cross_validate(model, COUNTS, FOLDS, validation=0.34, training=training)
    assert found.identical(again)
    assert not found.identical(cross_validate(model, COUNTS, FOLDS, training=training))


def test_validation_trials_are_a_lot_of_the_training_trials():
    split = FOLDS[0]
    found = set_validation_aside(COUNTS, split, 0.34, seed=1)
    assert found.validation.size == 2
    assert np.array_equal(np.union1d(found.train, found.validation), split.train)
    assert set_validation_aside(COUNTS, split, 0.0, seed=1) is split
    assert set_validation_aside(COUNTS, found, 0.5, seed=1) is found


def split(train, test):
    return Split(np.array(train, dtype=int), test=np.array(test, dtype=int))


@pytest.mark.parametrize(
    ("splits", "error", "message"),
    [
        ([], EmptySelectionError, "no training or no test"),
        ([split([0, 1], [])], EmptySelectionError, "no training or no test"),
        ([split([0, 1], [77])], EmptySelectionError, "trial 77 of 9"),
        ([split([0, 1], [1])], DataError, "1 in two parts"),
        ([split([0], [1]), split([0], [1])], DataError, "1 tested twice"),
    ],
)
def test_impossible_splits_are_refused(splits, error, message):
    with pytest.raises(error, match=message):
        cross_validate(MODEL, COUNTS, splits)
