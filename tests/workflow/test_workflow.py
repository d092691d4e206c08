"""The jobs behind the command line: data for fitting and judging, plans, comparisons."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neurodyn import datasets, models, workflow
from neurodyn import recording as rec
from neurodyn.errors import CheckpointError, ConfigError, EmptySelectionError, TrialTableError
from neurodyn.windows import Windows


def session(rng, trials=None, **columns):
    times = [np.sort(rng.uniform(0, 20, 400)) for _ in range(8)]
    spikes = rec.spikes_from_units(times, observed=[[0.0, 20.0]], unit_columns=columns)
    return rec.recording([spikes] if trials is None else [spikes, trials])


@pytest.fixture
def save(tmp_path):
    return lambda recording: rec.save(recording, tmp_path / "session.nc")


def test_trials_of_one_length_are_used_whole(rng, save):
    start = np.arange(30) * 0.6
    data = workflow.open_data(save(session(rng, rec.trials(start, start + 0.5))), bin_size=0.02)
    assert data.train.sizes["time"] == 25
    assert (data.train.sizes["trial"], data.evaluation.sizes["trial"]) == (24, 6)
    assert set(data.train["trial"].values).isdisjoint(data.evaluation["trial"].values)
    assert int(data.train["held_out"].sum()) == 2
    assert "drawn with seed 0" in data.notes[0]


def test_named_splits_and_held_out_units_are_kept(rng, save):
    start = np.arange(6) * 1.0
    trials = rec.trials(start, start + 0.5, columns={"split": ["train", "val"] * 3})
    held_out = np.arange(8) == 3
    data = workflow.open_data(save(session(rng, trials, held_out=held_out)))
    assert data.evaluation["trial"].values.tolist() == [1, 3, 5]
    assert data.train["held_out"].values.tolist() == held_out.tolist()
    assert data.notes == ()


def test_a_recording_without_trials_is_cut_into_blocks_with_a_gap(rng, save):
    data = workflow.open_data(save(session(rng)), bin_size=0.01)
    assert "cut into blocked windows" in data.notes[0]
    length = data.train.sizes["time"] * 0.01
    apart = np.abs(
        data.train["block_start"].values[:, None] - data.evaluation["block_start"].values
    ).min()
    assert apart >= 2 * length - 1e-9


def test_trials_without_a_common_window(rng, save):
    trials = rec.trials([0.0, 1.0], [0.01, 1.5])
    path = save(session(rng, trials))
    with pytest.raises(TrialTableError, match=r"too short[\s\S]*window="):
        workflow.open_counts(path)
    assert workflow.open_counts(path, window=(0.0, 0.4)).counts.sizes["time"] == 20


def test_counts_in_the_file_are_taken_as_they_are(rng, save):
    counts = rec.counts(rng.poisson(1.0, (4, 5, 3)), bin_size=0.05)
    opened = workflow.open_counts(save(rec.recording([counts])), 0.02)
    assert opened.counts.attrs["bin_size"] == 0.05


def test_held_out_units_of_a_model(rng):
    counts = rec.counts(rng.poisson(1.0, (4, 5, 3)), bin_size=0.05, held_out=[True, False, False])
    model = models.SmoothingGLM().fit(counts)
    found = workflow.with_held_out(counts.drop_vars("held_out").isel(unit=[2, 0]), model.context_)
    assert found["held_out"].values.tolist() == [False, True]
    with pytest.raises(EmptySelectionError, match="does not know"):
        workflow.with_held_out(counts.assign_coords(unit=["a", "b", "c"]), model.context_)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_some_units_stay_on_each_side(rng, fraction):
    counts = rec.counts(rng.poisson(1.0, (4, 5, 3)), bin_size=0.05)
    with pytest.raises(EmptySelectionError, match="at least one unit"):
        workflow.hold_out_units(counts, fraction, seed=0)


def test_plans_take_files_and_settings(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('estimator = "gru"\n[model]\nkeep_prob = 0.4\n[training]\nbatch_size = 3\n')
    plans = workflow.plan(
        ["gru", "smoothing_glm"], config=path, settings=["hidden_size=8", "training.n_steps=7"]
    )
    assert list(plans) == ["gru", "smoothing_glm"]
    assert (plans["gru"].model.config.keep_prob, plans["gru"].model.config.hidden_size) == (0.4, 8)
    training = plans["gru"].fit_options["training"]
    assert (training.n_steps, training.batch_size) == (7, 3)
    assert plans["smoothing_glm"].fit_options == {}


def test_a_file_about_another_model(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('estimator = "gru"')
    with pytest.raises(ConfigError, match=r"another model[\s\S]*expected: factor_glm"):
        workflow.plan(["factor_glm"], config=path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["hidden"], "key=value"),
        (["hidden_sise=3"], "did you mean 'hidden_size'"),
        (["training.steps=3"], "did you mean 'n_steps'"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError, match=message):
        workflow.plan(["gru"], settings=settings)


def test_settings_of_training_for_a_model_without():
    with pytest.raises(ConfigError, match="not trained in steps"):
        workflow.plan(["smoothing_glm"], settings=["training.n_steps=3"])


def test_compare_writes_one_run_folder(tmp_path):
    simulation = datasets.simulate_lorenz(n_conditions=5, n_repeats=4, n_units=10)
    path = datasets.write(simulation, tmp_path / "lorenz.nwb")
    data = workflow.open_data(path)
    plans = workflow.plan(["factor_glm", "smoothing_glm"])
    page = workflow.compare(plans, data, tmp_path / "run", command="neurodyn fit")
    folder = page.parent
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["headline"] == "factor_glm"
    assert {row["metric"] for row in metrics["scores"]} == {"co_bps", "held_in_bps"}
    (difference,) = metrics["differences"]
    by_name = {row["model"]: row["score"] for row in metrics["scores"] if row["metric"] == "co_bps"}
    assert difference["difference"] == pytest.approx(
        by_name["factor_glm"] - by_name["smoothing_glm"]
    )
    found = rec.load(folder / "results.nc")
    assert {"rate", "count", "latent"} <= set(found.data_vars)
    again = workflow.load_model(folder).predict(data.evaluation)
    np.testing.assert_array_equal(again["rate"], found["rate"].sel(unit=again["unit"]))
    assert "neurodyn fit" in page.read_text(encoding="utf-8")


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    simulation = datasets.simulate_lorenz(n_conditions=5, n_repeats=4, n_units=10)
    data = workflow.open_data(datasets.write(simulation, tmp_path / "lorenz.nwb"))
    settings = ["hidden_size=6", "training.n_steps=6", "training.checkpoint_every=2"]
    plans = workflow.plan(["gru"], settings=settings)
    workflow.compare(plans, data, tmp_path / "whole")

    gather, calls = Windows.gather, []

    def interrupted(self, *arguments, **keywords):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return gather(self, *arguments, **keywords)

    monkeypatch.setattr(Windows, "gather", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workflow.compare(plans, data, tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="resume=True continues it"):
        workflow.compare(plans, data, tmp_path / "run")
    workflow.compare(plans, data, tmp_path / "run", resume=True)
    for name in ("history.jsonl", "metrics.json"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "run" / name).read_bytes() == whole
    digests = [workflow.load_model(tmp_path / name).arrays_digest_ for name in ("whole", "run")]
    assert digests[0] == digests[1]
    workflow.compare(plans, data, tmp_path / "run")


def test_a_second_run_replaces_the_first(tmp_path):
    simulation = datasets.simulate_lorenz(n_conditions=5, n_repeats=4, n_units=10)
    data = workflow.open_data(datasets.write(simulation, tmp_path / "lorenz.nwb"))
    first = workflow.plan(["factor_glm", "smoothing_glm"])
    second = workflow.plan(["factor_glm", "smoothing_glm"], settings=["n_factors=3"])
    workflow.compare(first, data, tmp_path / "run")
    workflow.compare(second, data, tmp_path / "run")
    assert workflow.load_model(tmp_path / "run").get_params()["n_factors"] == 3
    assert workflow.load_model(tmp_path / "run" / "baselines" / "smoothing_glm").is_fitted
