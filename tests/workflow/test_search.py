"""Searches in this process: what they find, broken off and gone on with, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module

import numpy as np
import pytest
import search_data
import xarray as xr
from search_data import counts, training

from neurodyn import recording as rec
from neurodyn import report, workflow
from neurodyn.errors import (
    CheckpointError,
    CheckpointMismatchError,
    ConfigError,
    MissingDependencyError,
    NeurodynError,
    TrainingDivergedError,
)
from neurodyn.models import registry
from neurodyn.models.baselines.factor_glm import FactorGLM
from neurodyn.models.baselines.gru import GRUAutoencoder
from neurodyn.models.langevinflow.estimator import LangevinFlowEstimator
from neurodyn.nlb.guard import LeakageError
from neurodyn.report.sweep import ranked, search_sections
from neurodyn.training.history import read_history
from neurodyn.workflow import search_control
from neurodyn.workflow.data import division
from neurodyn.workflow.search import open_named_data, search
from neurodyn.workflow.search_plan import plan_search
from neurodyn.workflow.search_space import planned_members
from neurodyn.workflow.search_trial import run_job

METHODS = ("random", "asha", "pbt")
# the attribute of the package is the function
SEARCH = import_module("neurodyn.workflow.search")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search by each method that nothing disturbed, with its folder."""
    folders = {method: tmp_path_factory.mktemp(method) for method in METHODS}
    return {method: (search_data.run(folder, method), folder) for method, folder in folders.items()}


def digests(folder):
    """Return what has to be equal: results, and the weights of every trial."""
    weights = sorted(folder.glob("trials/*/state/*/tensors.safetensors"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in weights}


def test_the_table(whole):
    table, folder = whole["random"]
    assert dict(table.sizes) == {"trial": 4, "validation": 6}
    assert table["status"].values.tolist() == ["finished"] * 4
    assert table["training__learning_rate"].values[0] == training().learning_rate
    assert table["keep_prob"].values[0] == GRUAutoencoder().config.keep_prob
    np.testing.assert_array_equal(table["score"], table["curve"].min("validation"))
    assert table.attrs["best"] == table["trial"].values[np.argmin(table["score"].values)]
    xr.testing.assert_identical(rec.load(folder / "results.nc"), table)
    rows = ranked(table)
    assert [row["score"] for row in rows] == sorted(table["score"].values)
    settings = [tuple(v for k, v in row.items() if k in table.coords)[1:] for row in rows]
    assert len({*settings}) == 4


def test_a_trial_is_what_fit_makes_of_its_settings(whole, tmp_path):
    table, folder = whole["random"]
    one = table.isel(trial=3)
    data = counts()
    split = division(data, 0)
    model = GRUAutoencoder(
        hidden_size=4, keep_prob=one["keep_prob"].item(), dropout=one["dropout"].item()
    )
    loop = training(learning_rate=one["training__learning_rate"].item(), validate_every=1)
    train, judge = data.isel(trial=split.train), data.isel(trial=split.test)
    model.fit(train, validation=judge, training=loop)
    scores = [row["nll"] for row in model.history_ if row["kind"] == "validation"]
    np.testing.assert_array_equal(one["curve"], scores)
    kept = registry.load(folder / "trials" / one["run"].item())
    xr.testing.assert_identical(kept.predict(data), model.predict(data))


def test_asha_stops_most_trials(whole):
    table, _ = whole["asha"]
    assert table["status"].values[0] == "finished"
    assert set(table["status"].values) == {"finished", "stopped"}
    assert table["step"].sum() < whole["random"][0]["step"].sum()
    first = whole["random"][0]["curve"].values
    known = np.isfinite(table["curve"].values)
    # random search draws the same settings, and pausing changes no score
    np.testing.assert_array_equal(table["curve"].values[known], first[known])


def test_a_population_goes_on_from_its_best(whole):
    table, folder = whole["pbt"]
    assert table.sizes["fork"] == 5
    for child, donor, step in zip(*(table[n].values for n in ("child", "donor", "fork_step"))):
        rows = read_history(folder / "trials" / f"{child}-from-{donor}-at-{step}" / "history.jsonl")
        assert rows[-1]["step"] > step
    for place, run in enumerate(table["run"].values):
        rows = read_history(folder / "trials" / run / "history.jsonl")
        scores = [row["nll"] for row in rows if row["kind"] == "validation"]
        np.testing.assert_array_equal(table["curve"][place], scores)
    assert (table["score"] <= whole["random"][0]["score"].max()).all()


class Broken(BaseException):
    """As Ctrl-C or a crash would."""


@pytest.mark.parametrize("method", METHODS)
def test_broken_off_anywhere_it_ends_the_same(method, whole, tmp_path, monkeypatch):
    calls = 0

    def failing(job):
        """Break off before, in and after every second job."""
        nonlocal calls
        calls += 1
        if calls % 6 == 2:
            raise Broken
        outcome = run_job(job)
        if calls % 6 == 4:
            raise Broken
        return outcome

    def all_jobs(control):
        search_control.run_here(control, failing)

    monkeypatch.setattr(SEARCH, "run_here", all_jobs)
    n_broken = 0
    while True:
        try:
            found = search_data.run(tmp_path, method)
            break
        except Broken:
            n_broken += 1
    assert n_broken >= 2
    table, folder = whole[method]
    xr.testing.assert_identical(found, table)
    assert digests(tmp_path) == digests(folder)


def test_a_complete_search_is_only_read(whole, monkeypatch):
    table, folder = whole["asha"]
    monkeypatch.setattr(GRUAutoencoder, "fit", None)
    before = (folder / "lineage.jsonl").read_bytes()
    xr.testing.assert_identical(search_data.run(folder, "asha"), table)
    assert (folder / "lineage.jsonl").read_bytes() == before


def test_a_fork_that_was_not_made_is_made(whole, tmp_path, monkeypatch):
    """The head dies after it decided who goes on from whom, before the folders are there."""

    def killed(*arguments):
        raise Broken

    with monkeypatch.context() as patched:
        patched.setattr(search_control, "fork", killed)
        with pytest.raises(Broken):
            search_data.run(tmp_path, "pbt")
    table, folder = whole["pbt"]
    xr.testing.assert_identical(search_data.run(tmp_path, "pbt"), table)
    assert digests(tmp_path) == digests(folder)


def test_trials_that_diverge_are_told(tmp_path, monkeypatch):
    fit = GRUAutoencoder.fit

    def diverging(self, *arguments, training, **keywords):
        if training.learning_rate > 0.01:
            raise TrainingDivergedError("the loss or its gradient is not finite", where="step 3")
        return fit(self, *arguments, training=training, **keywords)

    monkeypatch.setattr(GRUAutoencoder, "fit", diverging)
    vary = {"training.learning_rate": [1e-3, 1.0]}
    table = search_data.run(tmp_path, vary=vary, n_trials=3)
    assert sorted(table["status"].values) == ["failed", "finished", "finished"]
    failed = table.isel(trial=table["status"].values == "failed")
    assert "is not finite (at step 3)" in failed["error"].values[0]
    assert np.isnan(failed["score"].values[0])
    assert table.attrs["best"] not in failed["trial"].values
    (section, *_) = search_sections(table)
    assert section.notes == ["A trial failed: the loss or its gradient is not finite (at step 3)."]
    loop = training(learning_rate=1.0)
    with pytest.raises(NeurodynError, match=r"no trial of the search has a score[\s\S]*not finite"):
        search_data.run(tmp_path / "all", vary={"keep_prob": [0.4]}, n_trials=2, loop=loop)


def test_the_best_settings_fit_again(whole):
    table, folder = whole["random"]
    plan = workflow.plan(["gru"], config=folder / "best.toml")["gru"]
    best = table.sel(trial=table.attrs["best"])
    assert plan.model.config.hidden_size == 4
    assert plan.model.config.keep_prob == best["keep_prob"].item()
    expected = training(learning_rate=best["training__learning_rate"].item())
    assert plan.fit_options["training"] == expected


def test_the_report(whole, tmp_path):
    for method, words in (
        ("random", ["validation nll", "Curves", "training.learning_rate"]),
        ("pbt", ["Lineage", "settings since", "worst quarter"]),
        ("asha", ["halving", "stopped"]),
    ):
        table, folder = whole[method]
        page = (folder / "report.html").read_text()
        assert "gru: search of settings" in page
        assert all(word in page for word in [*words, f"The best trial, {table.attrs['best']}"])
        manifest = json.loads((folder / "manifest.json").read_text())
        assert {"lineage.jsonl", "results.nc", "best.toml"} <= manifest["files"].keys()
        again = report.write_report(shutil.copytree(folder, tmp_path / method)).read_text()
        question = "Which settings of gru have the best validation nll?"
        assert all(word in again for word in [*words, question])
        assert again.count("Ranked by their best validation score.") == 1
    assert search_sections(xr.Dataset()) == []
    assert report.read_run(whole["pbt"][1]).model == "gru"


def test_another_search_in_the_folder(whole):
    _, folder = whole["random"]
    for options in ({"seed": 1}, {"n_trials": 3}, {"data": counts(seed=1)}, {"method": "asha"}):
        with pytest.raises(CheckpointMismatchError, match="the folder holds another search"):
            search_data.run(folder, **options)


def test_impossible_searches_are_refused(tmp_path):
    for options, message in (
        ({"method": "grid"}, "invalid value for method"),
        ({"n_trials": 1}, "a search needs 2 trials or more"),
        ({"vary": {"keep": [1]}}, "did you mean 'keep_prob'"),
        ({"vary": {"training.rate": [1]}}, "unknown key 'rate'"),
        ({"vary": {"training.n_steps": [5]}}, "a search cannot vary training.n_steps"),
        ({"vary": {"keep_prob": []}}, "gru has no settings to search"),
        (
            {"method": "pbt", "vary": {"hidden_size": [4, 8]}},
            "varies only what can change while a run goes on[\\s\\S]*found: hidden_size",
        ),
        (
            {"method": "pbt", "vary": {"training.batch_size": [4, 8]}},
            "found: training__batch_size",
        ),
        ({"method": "pbt", "loop": training(patience=2)}, "none ends early"),
    ):
        with pytest.raises(ConfigError, match=message):
            search_data.run(tmp_path / "sweep", **options)
    with pytest.raises(LeakageError, match="not for fitting"):
        search_data.run(tmp_path / "sweep", data=counts().assign_attrs(role="evaluation"))
    with pytest.raises(ConfigError, match="trained in steps: langevinflow or gru"):
        search(FactorGLM(), counts(), tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_a_population_varies_what_keeps_the_weights():
    model = LangevinFlowEstimator(n_groups=1, n_sites=4, encoder_size=4)
    plan = plan_search(model, counts(), method="pbt", n_trials=3, validation=counts(4, seed=1))
    assert set(plan.space) == {"keep_prob", "dropout", "beta", "training__learning_rate"}


def test_errors_that_are_no_fault_of_the_settings_end_the_search(tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise CheckpointError("checkpoint of step 1 cannot be saved")

    with monkeypatch.context() as patched:
        patched.setattr(GRUAutoencoder, "fit", full)
        with pytest.raises(CheckpointError, match="cannot be saved"):
            search_data.run(tmp_path, n_trials=2)
    assert set(search_data.run(tmp_path, n_trials=2)["status"].values) == {"finished"}


def test_workers_need_ray(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingDependencyError, match=r"ray is not installed[\s\S]*neurodyn\[sweep\]"
    ):
        search_data.run(tmp_path, n_workers=2)


def test_data_by_name_or_file(tmp_path):
    with pytest.raises(ConfigError, match="no data set 'lorentz'"):
        open_named_data("lorentz")
    path = rec.save(rec.recording([counts()]), tmp_path / "session.nc")
    found = open_named_data(path)
    assert found.train.sizes["trial"] + found.evaluation.sizes["trial"] == 20
    named = open_named_data("lorenz")
    assert (named.train.sizes["unit"], named.train.sizes["time"]) == (29, 50)


TINY = LangevinFlowEstimator(n_groups=1, n_sites=4, encoder_size=4)
POPULATION = {
    "n_trials": 4,
    "population": 2,
    "training": training(n_steps=4, schedule="constant"),
    "vary": {"training.learning_rate": [3e-3, 1e-2], "beta": [0.1, 0.4]},
}


def test_a_population_is_trained_as_one(tmp_path, monkeypatch):
    table = search(TINY, counts(), tmp_path / "whole", **POPULATION)
    assert table["run"].values.tolist() == [
        "population_0/member_0",
        "population_0/member_1",
        "population_1/member_0",
        "population_1/member_1",
    ]
    assert table["training__learning_rate"].values.tolist() == [3e-3, 1e-2] * 2
    assert table["training__seed"].values.tolist() == [0] * 4
    assert len({*table["beta"].values[:2]}) == len({*table["beta"].values[2:]}) == 1
    assert table["curve"].notnull().all()
    assert len({*table["score"].values}) == 4
    model = registry.load(tmp_path / "whole" / "trials" / table["run"].values[3])
    assert model.training_.learning_rate == 1e-2
    assert min(row.get("nll", np.inf) for row in model.history_) == table["score"].values[3]
    jobs = []

    def once(job):
        jobs.append(job)
        if len(jobs) == 2:
            raise Broken
        return run_job(job)

    with monkeypatch.context() as patched:
        patched.setattr(SEARCH, "run_here", lambda c: search_control.run_here(c, once))
        with pytest.raises(Broken):
            search(TINY, counts(), tmp_path / "again", **POPULATION)
    assert [len(job.members) for job in jobs] == [2, 2]
    xr.testing.assert_identical(search(TINY, counts(), tmp_path / "again", **POPULATION), table)


def test_populations_that_cannot_be(tmp_path):
    for changes in ({"method": "asha"}, {"population": 3}, {"population": 0}):
        with pytest.raises(ConfigError, match="a population is a share of the trials of a random"):
            search(TINY, counts(), tmp_path / "sweep", **(POPULATION | changes))


def test_members_have_each_rate_and_then_the_next_seed():
    space = {"training__learning_rate": (1e-3, 1e-2), "beta": (0.1,)}
    start = training(learning_rate=1e-3, seed=5)
    found, settings = planned_members(space, TINY, start, 5, 5, seed=0)
    pairs = [(one["training__learning_rate"], one["training__seed"]) for one in settings]
    assert pairs == [(1e-3, 5), (1e-2, 5), (1e-3, 6), (1e-2, 6), (1e-3, 7)]
    assert {one["beta"] for one in settings} == {TINY.config.beta}
    assert found["training__seed"] == (5, 6, 7, 8, 9)
