"""Decoding labels of fMRI in folds, beside the baselines."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fmri_runs import SMALL, make_runs, write_tables

from neurodyn import recording as rec
from neurodyn import workflow
from neurodyn.errors import ConfigError, DataError
from neurodyn.training import TrainingConfig
from neurodyn.workflow import Decoding

QUICK = TrainingConfig(
    n_steps=40, batch_size=16, learning_rate=3e-3, monitor="loss", progress=False
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    plan = workflow.brainmae_plan(SMALL)
    plan.model.clone().fit(make_runs(4, seed=9), training=plan.training).save(folder)
    return folder


def rows_of(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    table = {(row["model"], row["metric"]): row for row in metrics["decoding"]}
    return metrics, table


def test_runs_are_decoded_beside_connectivity(run, tmp_path):
    """Groups differ in how regions are coupled: connectivity has to find them."""
    data = make_runs(16)
    for number, node in enumerate(data["bold"].children.values()):
        node.attrs.update(group=("control", "patient")[number % 2], site="AB"[number // 8])
    decoding = Decoding(target="group", n_folds=4, training=QUICK)
    page = workflow.decode(data, run, decoding, tmp_path)
    assert page.name == "report.html"
    metrics, table = rows_of(tmp_path)
    models = {name for name, _ in table}
    assert models == {"BrainMAE, fine-tuned", "BrainMAE, probe", "connectivity, linear"}
    assert table["connectivity, linear", "auc"]["score"] > 0.9
    row = table["BrainMAE, probe", "balanced_accuracy"]
    assert row["low"] <= row["score"] <= row["high"]
    assert {row["reference"] for row in metrics["decoding_differences"]} == models - {
        "BrainMAE, fine-tuned"
    }
    found = rec.load(tmp_path / "results.nc")
    assert found["decoded"].dims == ("model", "example")
    assert np.unique(found["fold"]).tolist() == [0, 1, 2, 3]
    for baseline in ("connectivity, linear", "Gaussian conditional mean"):
        assert baseline in page.read_text()
    # pre-training saw other people under the same numbers
    assert any("Pre-training saw scans" in note for note in metrics["notes"])


def test_sites_are_left_out_one_at_a_time(run, tmp_path):
    data = make_runs(8)
    for number, node in enumerate(data["bold"].children.values()):
        node.attrs.update(age=20.0 + number, site="AB"[number // 4])
    decoding = Decoding(target="age", task="regression", group="site", n_folds=0, finetune=False)
    workflow.decode(data, run, decoding, tmp_path)
    _, table = rows_of(tmp_path)
    assert {name for name, _ in table} == {
        "BrainMAE, probe",
        "connectivity, linear",
        "mean of the training labels",
    }
    # ages 20 to 23 against 24 to 27
    assert table["mean of the training labels", "mae"]["score"] == pytest.approx(4.0)
    found = rec.load(tmp_path / "results.nc")
    assert found["fold"].values.tolist() == [0] * 4 + [1] * 4
    with pytest.raises(DataError, match=r"(?s)no attribute 'family'.*group='subject'"):
        workflow.decode(data, run, Decoding(target="age", group="family"), tmp_path)
    with pytest.raises(ConfigError, match="examples"):
        Decoding(target="age", examples="trials")


def test_events_are_decoded_beside_means_of_regions(run, tmp_path):
    paths = write_tables(tmp_path)
    opened = workflow.open_bold(paths, events=tmp_path / "events.tsv", repetition_time=2.0)
    decoding = Decoding(
        target="trial_type", examples="events", n_folds=2, finetune=False, training=QUICK
    )
    workflow.decode(opened.recording, run, decoding, tmp_path / "decoding")
    _, table = rows_of(tmp_path / "decoding")
    assert table["ROI means, linear", "accuracy"]["score"] > 0.8
    assert table["BrainMAE, probe", "accuracy"]["score"] > 0.6
    assert ("connectivity, linear", "auc") in table
