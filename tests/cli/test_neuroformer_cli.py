"""The verbs over a Neuroformer: from a file to a report, spikes, behavior and couplings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from neurodyn import models
from neurodyn import recording as rec
from neurodyn.cli.app import app, exit_code
from neurodyn.errors import NeurodynError
from neurodyn.models.checks.spikes import example_spikes
from neurodyn.models.run_folder import read_manifest
from neurodyn.transforms.restriction import restrict

SMALL = [
    *("window=0.05", "past=0.1", "size=16", "n_heads=2", "dropout=0.0", "training.n_steps=3"),
    'stages=[{source="self"},{source="past"}]',
]
SETTINGS = [word for text in SMALL for word in ("--set", text)]
runner = CliRunner()


def command(*words):
    """Run the command line in this process; return what it printed."""
    done = runner.invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*words):
    """Return the exit code and the message of a command that fails."""
    with pytest.raises((NeurodynError, FileNotFoundError)) as caught:
        command(*words)
    return exit_code(caught.value), str(caught.value)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return rec.save(example_spikes(), tmp_path_factory.mktemp("session") / "session.nc")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, session):
    """A run folder, and what the command said."""
    folder = tmp_path_factory.mktemp("fitted")
    where = ("--folder", folder, "--bin-size", 0.01)
    return folder, command("fit", "neuroformer", session, "--decode", "wave", *where, *SETTINGS)


def test_fit_prints_the_model_beside_the_baselines(fitted):
    folder, said = fitted
    rows = [line.split("  ")[0] for line in said.splitlines()]
    assert {"neuroformer", "history GLM, 0.1 s", "mean rates", "rate_error", "wave"} <= {*rows}
    head = [line.split() for line in said.splitlines() if line.startswith("behavior")]
    assert head == [["behavior", "model", "inputs", "r", "r2"]]
    assert said.splitlines()[-1] == f"wrote {folder / 'report.html'}"
    assert models.load(folder).config.bin_size == 0.01


def test_predict_score_and_report_work_as_of_other_models(fitted, session, tmp_path):
    folder, _ = fitted
    command("predict", folder, session, "--target", tmp_path / "rates.nc")
    assert rec.load(tmp_path / "rates.nc")["rate"].dims == ("time", "unit")
    scores = json.loads(command("score", folder, session, "--metric", "r2:wave", "--json"))
    assert list(scores) == ["r2:wave"]
    (folder / "report.html").unlink()
    command("report", folder)
    read_manifest(folder)


def test_simulate_writes_a_recording(fitted, session, tmp_path):
    folder, _ = fitted
    out = tmp_path / "generated.nc"
    short = rec.save(restrict(rec.load(session), [[0.0, 2.0]]), tmp_path / "short.nc")
    words = ("--out", out, "--samples", 2, "--seed", 3, "--json")
    found = json.loads(command("simulate", folder, short, *words))
    assert found["file"] == str(out)
    assert "correlation_rmse" in [row["statistic"] for row in found["generation"]]
    generated = rec.load(out)
    assert list(generated["spikes"].children) == ["sample_000", "sample_001"]
    assert generated.attrs["seed"] == 3
    code, text = refused("simulate", folder, short, "--past", "truth")
    assert (code, "'generated' or 'true'" in text) == (2, True)


def test_decode_and_connectivity(fitted, session, tmp_path):
    folder, _ = fitted
    said = command("decode", folder, session, "--out", tmp_path / "decoded.nc")
    assert [line.split()[1] for line in said.splitlines()[:3]] == ["model", "neuroformer", "ridge"]
    assert rec.load(tmp_path / "decoded.nc")["feature"].values.tolist() == ["wave"]

    found = json.loads(command("connectivity", folder, session, "--bootstrap", 5, "--json"))
    assert found["file"] == str(folder / "connectivity.nc")
    assert "Who drives whom" in (folder / "report.html").read_text(encoding="utf-8")
    read_manifest(folder)
    unit = rec.load(folder / "connectivity.nc")["unit"].values
    weight = ("unit", "unit_to"), np.eye(4, k=1)
    truth = rec.results({"weight": weight}, {"unit": unit, "unit_to": unit})
    words = ("--truth", rec.save(truth, tmp_path / "truth.nc"), "--out", tmp_path / "couplings.nc")
    told = command("connectivity", folder, session, "--measure", "attention", *words)
    head = told.splitlines()[0].split()
    assert head[:2] == ["measure", "auc"]
    assert "direction_accuracy" in head
    code, text = refused("connectivity", folder, session, "--measure", "granger")
    assert (code, "'deletion'" in text) == (2, True)


def test_finetune_learns_another_session(fitted, tmp_path):
    folder, _ = fitted
    other = example_spikes(seed=1)
    times = {
        f"unit {number}": rec.unit_spike_times(other["spikes"].to_dataset(), f"unit {number % 4}")
        for number in range(5)
    }
    spikes = rec.spikes_from_units(times, observed=[[0.0, 12.0]])
    behavior = {"speed": rec.pick(other, "behavior").assign_coords(feature=["speed"])}
    path = rec.save(
        rec.recording({"spikes": spikes, "behavior": behavior}, source="day 2"), tmp_path / "b.nc"
    )
    target = tmp_path / "tuned"
    words = ("--decode", "speed", "--share", 0.5, "--freeze", "layers", "--no-baselines")
    more = ("--set", "training.n_steps=2", "--folder", target, "--json")
    found = json.loads(command("finetune", folder, path, *words, *more))
    assert [row["behavior"] for row in found["decoding"]] == ["speed"]
    assert "50 % of the windows; layers stayed as before." in found["notes"][0]
    tuned = models.load(target)
    assert len(tuned.context_.tokenizer.units) == 5
    assert refused("finetune", folder, path, *words[:2], "--freeze", "head_")[0] == 2


def test_mistakes_end_with_the_right_code(fitted, session, tmp_path):
    folder, _ = fitted
    fit = ("fit", "neuroformer", session, "--folder", tmp_path / "run", *SETTINGS)
    code, text = refused(*fit, "--decode", "wawe")
    assert (code, "did you mean 'wave'?" in text) == (3, True)
    code, text = refused(*fit, "--read", "speed")
    assert (code, "known: wave" in text) == (3, True)
    code, text = refused(*fit, "--stimulus", "movie")
    assert (code, "the recording has no signal" in text) == (3, True)
    code, text = refused(*fit, "--set", "widow=0.1")
    assert (code, "did you mean 'window'?" in text) == (2, True)
    code, text = refused("fit", "neuroformer", "hub_netwrk")
    assert (code, "did you mean 'hub_network'" in text) == (2, True)
    assert refused("fit", "neuroformer", tmp_path / "none.nwb")[0] == 2
    assert refused("fit", "gru", session, "--decode", "wave")[0] == 2
    assert refused("finetune", folder, session, "--set", "size=32")[0] == 2
    assert not (tmp_path / "run").exists()
