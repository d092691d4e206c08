"""``neurodyn sweep --model``: a search from a file, as text and as JSON, and gone on with."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from neurodyn import recording as rec
from neurodyn import workflow
from neurodyn.cli.app import app
from neurodyn.errors import CheckpointMismatchError, ConfigError
from neurodyn.models import registry

OPTIONS = ["--set", "hidden_size=4", "--vary", "keep_prob=0.3,0.7", "--steps", 3, "--trials", 2]


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    count = np.random.default_rng(0).poisson(1.0, (20, 6, 5))
    counts = rec.counts(count, bin_size=0.02, held_out=[False] * 4 + [True])
    return rec.save(rec.recording([counts]), tmp_path_factory.mktemp("data") / "session.nc")


def test_a_search_and_what_to_do_with_it(session, tmp_path):
    start = ["sweep", session, "--model", "gru", *OPTIONS, "--folder", tmp_path / "sweep"]
    lines = run(*start).splitlines()
    assert lines[0].split() == ["trial", "score", "best_step", "status", "step", "keep_prob", "run"]
    assert {line.split()[3] for line in lines[1:3]} == {"finished"}
    assert lines[-1] == f"wrote {tmp_path / 'sweep' / 'report.html'}"
    found = json.loads(run(*start, "--json"))
    assert found["trials"][0]["score"] <= found["trials"][1]["score"]
    assert sorted(row["keep_prob"] for row in found["trials"]) == [0.3, 0.7]
    page = run("report", tmp_path / "sweep")
    assert page.startswith("wrote")
    best = ["fit", "gru", session, "--config", tmp_path / "sweep" / "best.toml"]
    run(*best, "--no-baselines", "--folder", tmp_path / "run")
    config = registry.load(tmp_path / "run").config
    assert (config.hidden_size, config.keep_prob) == (4, found["trials"][0]["keep_prob"])
    with pytest.raises(CheckpointMismatchError, match="the folder holds another search"):
        run(*start, "--seed", 1)


def test_searches_of_what_is_not_to_be_searched(session, tmp_path):
    for arguments, message in (
        (["--search", "asha"], r"takes no options of a search[\s\S]*found: method=asha"),
        (["--trials", 3, "--seed", 1], "found: seed=1, n_trials=3"),
        (["--model", "brainmae"], "brainmae does not work on spike counts"),
        (["--model", "factor_glm"], "cannot be searched so"),
        (["--model", "gru", "--search", "grid"], "invalid value for method"),
        (["--model", "gru", "--vary", "keep"], "a setting is key=value"),
    ):
        with pytest.raises(ConfigError, match=message):
            run("sweep", session, *arguments, "--folder", tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_the_same_by_python(session, tmp_path):
    """The verb gives what the function gives."""
    rows = json.loads(
        run("sweep", session, "--model", "gru", *OPTIONS, "--folder", tmp_path / "a", "--json")
    )["trials"]
    plan = workflow.plan(["gru"], settings=["hidden_size=4", "training.n_steps=3"])["gru"]
    from neurodyn.workflow.search import open_named_data, search

    table = search(
        plan.model,
        open_named_data(session).train,
        tmp_path / "b",
        n_trials=2,
        vary={"keep_prob": [0.3, 0.7]},
        **plan.fit_options,
    )
    assert sorted(row["score"] for row in rows) == sorted(table["score"].values)
