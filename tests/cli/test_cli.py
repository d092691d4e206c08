"""The command line: every verb runs, prints JSON on request, and fails with the right code."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from neurodyn import errors, nlb
from neurodyn import recording as rec
from neurodyn.cli.app import app, exit_code
from neurodyn.cli.output import to_text
from neurodyn.models.run_folder import read_manifest

runner = CliRunner()


def run(*arguments: object) -> str:
    result = runner.invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def session(tmp_path, rng):
    """A small recording as NWB: 6 units, 24 trials of 0.4 s, written by ``convert``."""
    times = [np.sort(rng.uniform(0, 12, 300)) for _ in range(6)]
    start = np.arange(24) * 0.5
    recording = rec.recording(
        [
            rec.spikes_from_units(times),
            rec.trials(start, start + 0.4, columns={"go_time": start + 0.1}),
        ],
        subject="A",
        session_start="2026-01-02T03:04:05+00:00",
    )
    path = tmp_path / "session.nc"
    rec.save(recording, path)
    run("convert", path, tmp_path / "session.nwb")
    return tmp_path / "session.nwb"


def test_alone_it_says_what_to_do_first():
    assert "neurodyn demo" in run()
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run("--version"))


def test_every_verb_has_help_with_an_example():
    verbs = [(command.callback.__name__,) for command in app.registered_commands]
    for group in app.registered_groups:
        verbs += [
            (group.name, command.name or command.callback.__name__)
            for command in group.typer_instance.registered_commands
        ]
    assert len(verbs) >= 14
    for verb in verbs:
        assert "Example: neurodyn " + " ".join(verb) in run(*verb, "--help")


def test_info_and_check(session):
    assert "6 units" in run("info", session)
    assert json.loads(run("info", session, "--json"))["children"]["spikes"]["sizes"]["unit"] == 6
    assert "no faults" in run("check", session)
    assert json.loads(run("check", session, "--json")) == []


def test_convert_there_and_back(session, tmp_path):
    run("convert", session, tmp_path / "again.nc")
    spikes = rec.pick(rec.load(tmp_path / "again.nc"), "spikes")
    assert (spikes["row_size"] == 300).all()


def test_fit_predict_score_report(session, tmp_path):
    folder = tmp_path / "run"
    run(
        "fit",
        "smoothing_glm",
        session,
        "--folder",
        folder,
        "--no-baselines",
        "--event",
        "go_time",
        "--window",
        "-0.1",
        "0.3",
    )
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    aligned = ("--event", "go_time", "--window", "-0.1", "0.3")
    run("predict", folder, session, "--target", tmp_path / "rates.nc", *aligned)
    assert rec.load(tmp_path / "rates.nc")["rate"].sizes["trial"] == 24
    scores = json.loads(run("score", folder, session, "--json", *aligned))
    assert np.isfinite(scores["co_bps"])
    (folder / "report.html").unlink()
    run("report", folder)
    assert (folder / "report.html").is_file()
    # written again, it is part of the finished run
    read_manifest(folder)


def test_nlb_score(tmp_path, rng):
    task = nlb.task("mc_maze_small_20")
    shape = (5, task.n_time)
    spikes = rng.poisson(0.5, (*shape, task.n_held_out)).astype(float)
    rates = {
        "eval_rates_heldin": np.full((*shape, task.n_held_in), 0.4),
        "eval_rates_heldout": np.full(spikes.shape, 0.5),
        "train_rates_heldin": np.full((*shape, task.n_held_in), 0.4),
        "train_rates_heldout": np.full(spikes.shape, 0.5),
    }
    nlb.write_groups(tmp_path / "submission.h5", {task.name: rates})
    behavior = rng.normal(size=(*shape, 2))
    targets = {"eval_spikes_heldout": spikes, "train_behavior": behavior, "eval_behavior": behavior}
    nlb.write_groups(tmp_path / "target.h5", {task.name: targets})
    found = json.loads(
        run(
            "nlb",
            "score",
            tmp_path / "submission.h5",
            "--targets",
            tmp_path / "target.h5",
            "--json",
        )
    )
    assert "co-bps" in json.dumps(found)


def test_datasets_and_tutorials_are_listed():
    assert "mc_maze_small" in run("datasets", "list")
    assert len(json.loads(run("datasets", "list", "--json"))) >= 9
    assert run("tutorial", "list").startswith("01  Open a recording")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.MissingDependencyError("numba", "fast"), 2),
        (FileNotFoundError("x"), 2),
        (errors.SpikeTimesError("x"), 3),
        (errors.CorruptFileError("x"), 4),
        (errors.UnsafeFileError("x"), 4),
        (errors.CheckpointCorruptError("x"), 4),
        (errors.TrainingDivergedError("x"), 5),
        (errors.SizeBudgetError("x"), 6),
    ],
)
def test_exit_codes(error, code):
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["info", "none.nwb"], 2, "no such file"),
        (["info", "text.nwb"], 4, "CorruptFileError"),
        (["check", "text.nwb"], 4, ""),
        (["fit", "langevinflw", "text.nwb"], 4, "CorruptFileError"),
        (["tutorial", "run", "99"], 2, "no tutorial '99'"),
        (["datasets", "fetch", "mc_mase"], 2, "did you mean"),
    ],
)
def test_errors_are_one_message_and_a_code(tmp_path, arguments, code, message):
    (tmp_path / "text.nwb").write_text("this is no HDF5 file")
    done = subprocess.run(
        [sys.executable, "-m", "neurodyn", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_control_codes_of_files_are_not_printed():
    assert to_text("unit\x1b[31m\t7") == "unit\\x1b[31m\t7"
