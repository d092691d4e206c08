"""Pre-training from end to end, in Python and from the command line."""

from __future__ import annotations

import json

import pytest
from fmri_runs import SMALL, make_runs, write_tables

from neurodyn import models, workflow
from neurodyn import recording as rec
from neurodyn.cli.app import app
from neurodyn.errors import ConfigError, EmptySelectionError


def command(*words):
    """Run the command line in this process; return what it printed."""
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def settings(*given):
    return [word for text in given for word in ("--set", text)]


def test_scores_stand_beside_the_gaussian_conditional_mean(tmp_path):
    data = make_runs(6)
    page = workflow.pretrain(data, tmp_path, workflow.brainmae_plan(SMALL), notes=["A note."])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    table = {
        (row["model"], row["masking"], row["ratio"]): row["masked_r2"]
        for row in metrics["reconstruction"]
    }
    names = {name for name, _, _ in table}
    assert names == {"brainmae", "Gaussian conditional mean"}
    # two courses in eight regions: a half tells the rest, up to the noise
    assert table["Gaussian conditional mean", "segment_roi", 0.4] > 0.4
    assert "A note." in metrics["notes"]
    text = page.read_text()
    assert "Gaussian conditional mean" in text
    model = models.load(tmp_path)
    # of six people one or two are set aside
    assert len(model.data_["subjects"]) in (4, 5)


def test_one_subject_is_too_few(tmp_path):
    alone = workflow.part_of_runs(make_runs(2), ["sub-00"])
    with pytest.raises(EmptySelectionError, match=r"(?s)cannot be split.*1 runs of 1 subject"):
        workflow.pretrain(alone, tmp_path, workflow.brainmae_plan(SMALL))


def test_settings_come_from_preset_file_and_words(tmp_path):
    plan = workflow.brainmae_plan(["node_size=16", "training.n_steps=30"], preset="base", seed=3)
    assert (plan.model.config.node_size, plan.model.config.state_size) == (16, 256)
    assert (plan.training.seed, plan.training.n_steps, plan.training.warmup_steps) == (3, 30, 1)
    plan.model.clone().fit(make_runs(2), training=plan.training).save(tmp_path)
    again = workflow.brainmae_plan(config=tmp_path / "config.toml")
    assert again.model.config == plan.model.config
    with pytest.raises(ConfigError, match="preset"):
        workflow.brainmae_plan(preset="huge")
    other = tmp_path / "other.toml"
    other.write_text('estimator = "gru"\n')
    with pytest.raises(ConfigError, match="about another model"):
        workflow.brainmae_plan(config=other)


def test_the_command_line_from_tables_to_decoding(tmp_path):
    tables = write_tables(tmp_path)
    run = tmp_path / "run"
    tr = ["--repetition-time", 2]
    command("fit", "brainmae", *tables, *tr, "--folder", run, *settings(*SMALL))
    assert (run / "report.html").is_file()
    told = command("score", run, *tables, *tr, "--json")
    assert json.loads(told)["masked_r2"] <= 1
    command("predict", run, *tables, *tr, "--target", tmp_path / "told.nc")
    assert rec.load(tmp_path / "told.nc")["reconstruction"].sizes["run"] == 4
    decoding = tmp_path / "decoding"
    events = ["--events", tmp_path / "events.tsv", "--target", "trial_type"]
    more = ["--folds", 2, "--probe-only", "--folder", decoding]
    command("finetune", run, *tables, *tr, *events, *more)
    text = (decoding / "report.html").read_text()
    assert "connectivity, linear" in text
    assert "ROI means, linear" in text
