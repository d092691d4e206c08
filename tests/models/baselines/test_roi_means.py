"""ROI means and logistic regression against plain numpy and scikit-learn, and on heat pain."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurodyn import recording as rec
from neurodyn.errors import ConfigError, DataError, EmptySelectionError, TrialTableError
from neurodyn.metrics.classification import classification_table
from neurodyn.models.baselines.roi_means import roi_mean_scores, roi_mean_windows
from neurodyn.windows.splits import Split
from neurodyn.windows.subject_splits import grouped_k_fold


def tree(values, start, condition, **more):
    """Return a recording with one run (TR 2 s) of one subject and its trials."""
    run = rec.bold(values, repetition_time=2.0, subject="s1", **more)
    begin = np.asarray(start, dtype=float)
    trials = rec.trials(begin, begin + 5, columns={"condition": condition})
    return rec.recording({"bold": {"one": run}, "trials": {"one": trials}})


def test_means_are_over_the_frames_that_begin_in_the_window(rng):
    values = rng.normal(size=(40, 3))
    found = roi_mean_windows(tree(values, [0.0, 11.0, 64.0], ["a", "b", "a"]), duration=16.0)
    scores = (values - values.mean(0)) / values.std(0)
    # [6, 22) s and [17, 33) s; of [70, 86) s five of eight frames are there
    expected = [scores[3:11].mean(0), scores[9:17].mean(0), scores[35:40].mean(0)]
    np.testing.assert_allclose(found["roi_mean"], expected, atol=1e-6)
    assert found["condition"].values.tolist() == ["a", "b", "a"]
    assert found["subject"].values.tolist() == ["s1"] * 3
    assert found.attrs["n_left_out"] == 0


def test_censored_frames_lost_rois_and_short_windows(rng):
    values = rng.normal(size=(40, 3))
    values[:, 1] = np.nan
    keep = np.ones(40, bool)
    keep[3:7] = False
    found = roi_mean_windows(tree(values, [0.0, 68.0], ["a", "b"], keep=keep))
    assert found.sizes["window"] == 1
    assert found.attrs["n_left_out"] == 1
    scores = (values - values[keep].mean(0)) / values[keep].std(0)
    np.testing.assert_allclose(found["roi_mean"][0], scores[7:11].mean(0), atol=1e-6)
    assert np.isnan(found["roi_mean"].values[0, 1])


def test_scores_are_those_of_scikit_learn_without_a_leak(rng):
    x = rng.normal(5.0, 3.0, size=(60, 4))
    label = np.where(x[:, 0] + rng.normal(size=60) > 5, "heat", "rating")
    subject = np.arange(60) // 3
    coords = {"condition": ("window", label), "subject": ("window", subject)}
    windows = rec.results({"roi_mean": (("window", "roi"), x)}, {"window": np.arange(60), **coords})
    folds = grouped_k_fold(subject, 4, seed=1)
    found = roi_mean_scores(windows, folds, positive="heat")
    expected = np.empty(60)
    for fold in folds:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(x[fold.train], label[fold.train] == "heat")
        expected[fold.test] = model.decision_function(x[fold.test])
    np.testing.assert_allclose(found["score"], expected, atol=1e-6)
    assert found.attrs["classes"] == ["rating", "heat"]
    with pytest.raises(DataError, match="subject in both train and test"):
        roi_mean_scores(windows, [Split(np.arange(31), test=np.arange(31, 60))])
    with pytest.raises(ConfigError, match="penalty must be positive"):
        roi_mean_scores(windows, folds, penalty=0.0)


def test_what_does_not_fit_is_refused(rng):
    values = rng.normal(size=(40, 3))
    data = tree(values, [0.0], ["a"])
    with pytest.raises(ConfigError, match="a window is impossible"):
        roi_mean_windows(data, duration=0.0)
    with pytest.raises(TrialTableError, match=r"trials have no column 'conditions'(.|\n)*did you"):
        roi_mean_windows(data, condition="conditions")
    with pytest.raises(EmptySelectionError, match="no window has enough frames"):
        roi_mean_windows(tree(values, [100.0], ["a"]))
    with pytest.raises(TrialTableError, match="no run has trials"):
        roi_mean_windows(rec.recording([rec.bold(values, repetition_time=2.0)]))
    two = {"one": data["bold/one"].to_dataset(), "two": rec.bold(values[:, :2], repetition_time=2)}
    trials = data["trials/one"].to_dataset()
    with pytest.raises(DataError, match=r"runs differ in ROIs \(at two\)"):
        roi_mean_windows(rec.recording({"bold": two, "trials": {"one": trials, "two": trials}}))


@pytest.mark.shared_data
def test_heat_and_rating_are_told_apart_in_unseen_subjects(shared_data):
    from neurodyn.datasets.heat_pain import read_heat_pain

    windows = roi_mean_windows(read_heat_pain(shared_data / "fmri_pain_mist122"))
    assert np.unique(windows["subject"]).size == 33
    folds = grouped_k_fold(windows["subject"].values, 5, seed=0)
    found = roi_mean_scores(windows, folds, positive="heat")
    table = classification_table(
        found["target"].values,
        found["score"].values,
        classes=found.attrs["classes"],
        subject=found["subject"].values,
        n_resamples=50,
    )
    assert table["accuracy"].estimate == pytest.approx(0.856, abs=0.005)
    assert table["balanced_accuracy"].estimate == pytest.approx(0.856, abs=0.005)
