"""The connectivity baseline against scikit-learn on explicit features, and on ABIDE I."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from neurodyn import recording as rec
from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.models.baselines.connectivity_linear import (
    RIDGE_ALPHAS,
    ConnectivityKernel,
    connectivity_scores,
    fisher_z_connectivity,
)
from neurodyn.windows.splits import Split
from neurodyn.windows.subject_splits import grouped_k_fold, leave_group_out

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


def runs(values, **attrs):
    """Return a recording of runs from arrays ``(time, roi)``."""
    named = {f"run_{n}": rec.bold(v, repetition_time=2.0, **attrs) for n, v in enumerate(values)}
    return rec.recording({"bold": named})


def some_features(rng, n_runs=40, n_pairs=300, missing=6):
    """Return features with a class difference, some pairs of some runs missing."""
    label = np.arange(n_runs) % 2
    values = rng.normal(0.3, 1.0, (n_runs, n_pairs)) + 0.3 * label[:, None]
    values = values.astype(np.float32)
    for run in range(missing):
        values[run, rng.random(n_pairs) < 0.2] = np.nan
    subject = [f"s{number}" for number in range(n_runs)]
    coords = {"run": np.arange(n_runs), "subject": ("run", subject)}
    return rec.results({"fisher_z": (("run", "pair"), values)}, coords), label


def explicit(values, train):
    """Return features centred on the training mean, 0 where missing, in units of mean length."""
    centred = values.astype(np.float64) - np.nanmean(values[train].astype(np.float64), axis=0)
    centred = np.nan_to_num(centred)
    return centred / np.sqrt((centred[train] ** 2).sum(axis=1).mean())


def test_correlations_are_those_of_numpy(rng):
    values = rng.normal(size=(2, 60, 5)) @ rng.normal(size=(5, 5))
    found = fisher_z_connectivity(runs(values))
    upper = np.triu_indices(5, 1)
    for row, run in zip(found["fisher_z"].values, values):
        np.testing.assert_allclose(row, np.arctanh(np.corrcoef(run.T)[upper]), rtol=1e-4)
    assert found["roi_from"].values[:4].tolist() == ["0"] * 4
    assert found["n_missing_pairs"].values.tolist() == [0, 0]


def test_lost_constant_and_censored_are_handled_explicitly(rng):
    values = rng.normal(size=(50, 4)).astype(np.float32)
    known = fisher_z_connectivity(runs([values[:40]]))["fisher_z"].values
    values[:, 1] = 7.0
    values[40:, 0] = 100.0
    keep = np.arange(50) < 40
    found = fisher_z_connectivity(runs([values], keep=keep))
    first, second = found["roi_from"].values, found["roi_to"].values
    lost = (first == "1") | (second == "1")
    assert np.isnan(found["fisher_z"].values[0]).tolist() == lost.tolist()
    assert found["n_missing_pairs"].item() == 3
    np.testing.assert_allclose(found["fisher_z"].values[0, ~lost], known[0, ~lost], rtol=1e-5)
    # a frame in which one ROI is unknown is left out for all
    values[:40, 3][:5] = np.nan
    found = fisher_z_connectivity(runs([values], keep=keep))["fisher_z"].values[0]
    again = fisher_z_connectivity(runs([values[5:40]]))["fisher_z"].values[0]
    np.testing.assert_array_equal(found, again)


def test_copies_stay_finite_and_runs_that_do_not_fit_are_refused(rng):
    one = rng.normal(size=(30, 1))
    assert np.isfinite(fisher_z_connectivity(runs([one @ [[1.0, 2.0]]]))["fisher_z"]).all()
    pair = {
        "a": rec.bold(rng.normal(size=(9, 2)), repetition_time=2.0),
        "b": rec.bold(rng.normal(size=(9, 2)), repetition_time=2.0, roi=["x", "y"]),
    }
    with pytest.raises(DataError, match=r"runs differ in ROIs \(at b\)"):
        fisher_z_connectivity(rec.recording({"bold": pair}))
    with pytest.raises(DegenerateInputError, match="too few frames for a correlation"):
        fisher_z_connectivity(runs([np.ones((2, 3))]))
    with pytest.raises(DataError, match="no fMRI run"):
        fisher_z_connectivity(rec.recording([rec.trials([0.0], [1.0])]))


@pytest.mark.parametrize("missing", [0, 12])
def test_centring_in_kernel_space_is_centring_of_features(rng, missing):
    features, _ = some_features(rng, missing=missing)
    values = features["fisher_z"].values
    kernel = ConnectivityKernel(values)
    for train in (np.arange(5, 40), np.arange(0, 40, 2)):
        x = explicit(values, train)
        np.testing.assert_allclose(kernel.centred(train), x @ x.T, atol=2e-6)


def test_runs_that_are_all_alike_are_refused():
    with pytest.raises(DegenerateInputError, match="do not differ in connectivity"):
        ConnectivityKernel(np.ones((4, 6))).centred([0, 1])


def test_methods_equal_scikit_learn_on_explicit_features(rng):
    features, label = some_features(rng)
    train, test = np.arange(0, 30), np.arange(30, 40)
    x = explicit(features["fisher_z"].values, train)
    split = [Split(train, test=test)]
    fitted = SVC(kernel="linear").fit(x[train], label[train])
    found = connectivity_scores(features, label, split)
    np.testing.assert_allclose(found["score"], fitted.decision_function(x[test]), atol=5e-3)
    assert found["run"].values.tolist() == test.tolist()
    fitted = LogisticRegression(max_iter=1000, tol=1e-6).fit(x[train], label[train])
    found = connectivity_scores(features, label, split, method="logistic")
    np.testing.assert_allclose(found["score"], fitted.decision_function(x[test]), atol=5e-3)
    number = label + 0.3 * rng.normal(size=label.size)
    fitted = Ridge(0.5).fit(x[train], number[train])
    found = connectivity_scores(features, number, split, method="ridge", penalty=0.5)
    np.testing.assert_allclose(found["score"], fitted.predict(x[test]), atol=1e-5)
    # the penalty that leave-one-out chooses
    fitted = RidgeCV(RIDGE_ALPHAS).fit(x[train], number[train])
    found = connectivity_scores(features, number, split, method="ridge")
    np.testing.assert_allclose(found["score"], fitted.predict(x[test]), atol=1e-5)


def test_the_positive_class_has_scores_above_0_and_classes_may_be_several(rng):
    features, label = some_features(rng)
    words = np.array(["control", "autism"])[label]
    folds = grouped_k_fold(features["subject"].values, 4)
    found = connectivity_scores(features, words, folds, positive="autism", balanced=True)
    assert found.attrs["classes"] == ["control", "autism"]
    positive = found["score"].values > 0
    assert (found["predicted"].values[positive] == "autism").all()
    assert (found["predicted"].values[~positive] == "control").all()
    assert (found["predicted"] == found["target"]).mean() > 0.8
    assert np.unique(found["fold"]).tolist() == [0, 1, 2, 3]
    three = connectivity_scores(features, np.arange(40) % 3, folds)
    assert three["score"].dims == ("run", "class")
    best = three["class"].values[three["score"].values.argmax(axis=1)]
    np.testing.assert_array_equal(three["predicted"], best)


def test_leaks_and_settings_that_do_not_fit_are_refused(rng):
    features, label = some_features(rng)
    half = Split(np.arange(20), test=np.arange(20, 40))
    leaky = features.assign_coords(subject=("run", [f"s{n % 25}" for n in range(40)]))
    with pytest.raises(DataError, match="subject in both train and test"):
        connectivity_scores(leaky, label, [half])
    with pytest.raises(DataError, match="item in both train and test"):
        connectivity_scores(features, label, [Split(np.arange(30), test=np.arange(29, 40))])
    with pytest.raises(DataError, match="an item is tested twice"):
        connectivity_scores(features, label, [half, half])
    with pytest.raises(DataError, match="targets do not fit the runs"):
        connectivity_scores(features, label[1:], [half])
    with pytest.raises(DegenerateInputError, match="a class has no training item"):
        connectivity_scores(features, np.arange(40) >= 20, [half])
    with pytest.raises(DegenerateInputError, match="there is one class only"):
        connectivity_scores(features, np.zeros(40), [half])
    with pytest.raises(ConfigError, match="invalid value for positive"):
        connectivity_scores(features, label, [half], positive=7)
    with pytest.raises(DataError, match="a positive class needs two classes"):
        connectivity_scores(features, np.arange(40) % 3, [half], positive=1)
    with pytest.raises(ConfigError, match="invalid value for method"):
        connectivity_scores(features, label, [half], method="forest")
    with pytest.raises(ConfigError, match="penalty must be positive"):
        connectivity_scores(features, label, [half], penalty=0.0)
    with pytest.raises(DataError, match="targets are not finite"):
        connectivity_scores(features, np.full(40, np.nan), [half], method="ridge")


@pytest.mark.shared_data
def test_abide_is_predicted_as_well_as_was_measured(shared_data):
    from neurodyn.datasets.abide_cc200 import read_abide_cc200

    data = read_abide_cc200(shared_data / "fmri_abide1_cc200", max_flat_rois=20)
    nodes = data["bold"].children
    fact = {
        name: np.array([node.attrs[name] for node in nodes.values()])
        for name in ("site", "diagnosis", "sex", "age", "subject")
    }
    stratum = [" ".join(pair) for pair in zip(fact["site"], fact["diagnosis"])]
    folds = grouped_k_fold(fact["subject"], 5, stratify=stratum, seed=0)
    committed = json.loads((RESULTS / "abide_folds.json").read_text())
    for number, fold in enumerate(folds):
        names = {name for name, by_seed in committed.items() if by_seed[0] == number}
        assert names == {list(nodes)[item] for item in fold.test}
    line = (RESULTS / "abide_reference.jsonl").read_text().splitlines()[-1]
    rows = {row["target"]: row for row in json.loads(line)["rows"]}
    assert 0.755 <= rows["autism"]["auc"] <= 0.780

    features = fisher_z_connectivity(data)
    kernel = ConnectivityKernel(features["fisher_z"].values)

    def area(target, splits, **settings):
        found = connectivity_scores(features, target, splits, kernel=kernel, **settings)
        positive = found["target"].values == found.attrs["classes"][1]
        parts = [found["fold"].values == number for number in range(len(splits))]
        scores = found["score"].values
        return np.mean([roc_auc_score(positive[part], scores[part]) for part in parts])

    found = area(fact["diagnosis"], folds, positive="autism")
    assert found == pytest.approx(rows["autism"]["auc_by_seed"][0], abs=0.005)
    found = area(fact["sex"], folds, positive="female", balanced=True)
    assert found == pytest.approx(rows["sex"]["auc_by_seed"][0], abs=0.005)
    sites = list(leave_group_out(fact["site"]).values())
    found = area(fact["diagnosis"], sites, positive="autism")
    assert found == pytest.approx(rows["autism, site left out"]["auc"], abs=0.005)
    age = connectivity_scores(features, fact["age"], folds, method="ridge", kernel=kernel)
    error = float(np.abs(age["score"] - age["target"]).mean())
    assert error == pytest.approx(rows["age"]["mae_by_seed"][0], abs=0.005)
