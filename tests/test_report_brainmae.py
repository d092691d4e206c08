"""What a report says of a BrainMAE, from files alone, and what it misses aloud."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from neurodyn import recording as rec
from neurodyn.models import BrainMAE
from neurodyn.report import Run, read_run, write_report
from neurodyn.report import brainmae as of
from neurodyn.training import TrainingConfig

SMALL = {
    "node_size": 8,
    "node_heads": 2,
    "n_blocks": 2,
    "readout_size": 4,
    "state_size": 16,
    "state_heads": 2,
    "n_encoder_layers": 1,
    "n_decoder_layers": 1,
    "n_segments": 4,
    "segment_duration": 12.0,
    "repetition_time": 2.0,
    "dropout": 0.0,
}
RECONSTRUCTION = [
    {"model": "brainmae", "masking": "tube", "ratio": 0.4, "masked_r2": 0.51},
    {
        "model": "Gaussian conditional mean",
        "baseline": "gaussian",
        "masking": "tube",
        "ratio": 0.4,
        "masked_r2": 0.654,
    },
    {"model": "brainmae", "masking": "tube", "ratio": 0.8, "masked_r2": 0.3},
]
DECODING = [
    {"model": "brainmae", "metric": "auc", "score": 0.78, "low": 0.75, "high": 0.81},
    {"model": "brainmae", "metric": "accuracy", "score": 0.7},
    {
        "model": "connectivity",
        "baseline": "connectivity",
        "metric": "auc",
        "score": 0.76,
        "low": 0.73,
        "high": 0.79,
    },
]
DECODING = [{"target": "autism", **row} for row in DECODING]
DIFFERENCE = {
    "target": "autism",
    "model": "brainmae",
    "reference": "connectivity",
    "metric": "auc",
    "difference": 0.02,
    "low": -0.01,
    "high": 0.05,
}


def runs(n_runs=3, **columns):
    rng = np.random.default_rng(0)
    found = {
        f"sub{number}": rec.bold(
            rng.normal(size=(60, 2))[:, np.arange(8) % 2] + rng.normal(size=(60, 8)),
            repetition_time=2.0,
            roi=[f"roi{k}" for k in range(8)],
            roi_columns=columns,
        )
        for number in range(n_runs)
    }
    return rec.recording({"bold": found})


def regions():
    angle = np.arange(8) * np.pi / 4
    place = {"x": 50 * np.cos(angle), "y": 60 * np.sin(angle), "z": np.linspace(-20, 40, 8)}
    return {"network": np.resize(["visual", "motor"], 8), **place}


def fitted(data, **settings):
    training = TrainingConfig(n_steps=2, progress=False)
    return BrainMAE(**{**SMALL, **settings}).fit(data, training=training)


@pytest.fixture(scope="module")
def results():
    data = runs(**regions())
    return of.brainmae_results(fitted(data), data, run="sub1", n_permutations=20)


def test_results_are_one_dataset(results, tmp_path):
    assert results.attrs["run"] == "sub1"
    assert {
        "similarity",
        "connectivity",
        "connectivity_correlation",
        "within_minus_between",
        "spatial_p_value",
        "attention",
        "own_network_mass",
        "cls_attention",
        "cls_change",
        "r2_loss",
        "bold",
        "reconstruction",
        "r2",
    } <= {*results}
    assert set(results["run"].values) == {"sub1"}
    rec.save(results, tmp_path / "results.nc")
    again = rec.load(tmp_path / "results.nc")
    assert {*again} == {*results}
    np.testing.assert_array_equal(again["attention"], results["attention"])


def test_what_is_not_known_is_left_out():
    data = runs()
    found = of.brainmae_results(fitted(data, variant="vanilla"), data, occlude=False)
    assert {"similarity", "cls_attention", "r2"} <= {*found}
    assert not {"spatial_p_value", "attention", "cls_change"} & {*found}
    titles = [section.title for section in of.brainmae_sections(run(found))]
    assert titles == [
        "What is hidden, told by the rest",
        "Embeddings of regions",
        "Attention over time",
        "Limits",
    ]


def run(results=None, metrics=None, history=()):
    empty = rec.results({})
    return Run("run", empty if results is None else results, metrics or {}, history, {}, "")


def test_masked_r2_stands_beside_the_gaussian():
    (section, _) = of.brainmae_sections(run(metrics={"reconstruction": RECONSTRUCTION}))
    (table,) = section.tables
    assert table.head == ("masks", "hidden", "brainmae", "Gaussian conditional mean")
    assert table.rows == [("tube", "40%", "0.510", "0.654"), ("tube", "80%", "0.300", "–")]
    assert not section.notes
    alone = of.brainmae_sections(run(metrics={"reconstruction": RECONSTRUCTION[:1]}))[0]
    assert "group covariance is missing" in alone.notes[0]


def test_decoding_stands_beside_connectivity():
    metrics = {"decoding": DECODING, "decoding_differences": [DIFFERENCE], "headline": "brainmae"}
    (section, _) = of.brainmae_sections(run(metrics=metrics))
    scores, differences = section.tables
    assert scores.head == ("model", "auc", "accuracy")
    assert scores.rows == [
        ("brainmae", "0.780 [0.750, 0.810]", "0.700"),
        ("connectivity", "0.760 [0.730, 0.790]", "–"),
    ]
    assert differences.rows[0][3] == "+0.020 [-0.010, +0.050]"
    assert not section.notes
    alone = of.brainmae_sections(run(metrics={"decoding": DECODING[:2]}))[0]
    assert "No baseline of functional connectivity" in alone.notes[0]


def test_limits_are_said_and_more_can_be():
    sections = of.brainmae_sections(run(metrics={"decoding": DECODING, "limits": ["One site."]}))
    assert sections[-1].title == "Limits"
    assert sections[-1].text[-1] == "One site."
    assert any("motion" in text for text in sections[-1].text)
    assert of.brainmae_sections(run()) == []


def test_without_nilearn_the_extra_is_named(results, monkeypatch):
    monkeypatch.setattr(of, "find_spec", lambda name: None)
    section = next(s for s in of.brainmae_sections(run(results)) if s.title == "On the brain")
    assert "neurodyn[fmri]" in section.notes[0]
    assert not section.drawings


def test_regions_are_shown_on_the_brain(results):
    section = next(s for s in of.brainmae_sections(run(results)) if s.title == "On the brain")
    captions = [drawing.caption for drawing in section.drawings]
    assert len(captions) == 4
    assert captions[1] == "How far the summary moves when a region is hidden."
    figure = Figure(figsize=(8.0, 2.3), layout="constrained")
    section.drawings[1].draw(figure)
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["change"]


def test_the_page(results, tmp_path):
    # pictures of the brain take seconds
    rec.save(results.drop_vars(["x", "y", "z"]), tmp_path / "results.nc")
    events = rec.trials([10.0, 40.0], [20.0, 50.0], columns={"condition": ["heat", "rating"]})
    rec.save(events, tmp_path / "stimuli.nc")
    metrics = {"headline": "brainmae", "reconstruction": RECONSTRUCTION, "decoding": DECODING}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    rows = [{"kind": "validation", "step": step, "masked_r2": 0.1 * step} for step in (1, 2)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "history.jsonl").write_text(lines, encoding="utf-8")
    page = write_report(tmp_path, title="Brain").read_text(encoding="utf-8")
    for said in (
        "<h1>Brain</h1>",
        "What does a masked autoencoder learn",
        "What is hidden, told by the rest",
        "masked R² in validation",
        "0.654",
        "Embeddings of regions",
        "p-value against embeddings as smooth",
        "times chance",
        "Attention over time",
        "0.780 [0.750, 0.810]",
        "Attention says what is read",
    ):
        assert said in page, said
    sections = of.brainmae_sections(read_run(tmp_path))
    assert page.count("<figure") == sum(len(section.drawings) for section in sections)
