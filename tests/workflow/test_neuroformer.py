"""A Neuroformer from a recording to a report: parts, plan, baselines, and what a run can do."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neurodyn import datasets, models, workflow
from neurodyn import recording as rec
from neurodyn.errors import ConfigError, DataError, EmptySelectionError
from neurodyn.models.baselines.history_glm import fit_history_glm, predict_history_glm
from neurodyn.models.checks.spikes import example_spikes
from neurodyn.models.neuroformer.config import NeuroformerConfig, StimulusInput
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.run_folder import read_manifest
from neurodyn.report.run import read_run
from neurodyn.transforms import bin_spikes
from neurodyn.transforms.restriction import restrict
from neurodyn.windows.time_folds import observed_time
from neurodyn.workflow.spike_decoding import decode_held_out
from neurodyn.workflow.spike_generation import generate, generation_rows
from neurodyn.workflow.spike_likelihood import likelihood_rows

SMALL = [
    *("bin_size=0.01", "window=0.05", "past=0.1", "size=16", "n_heads=2", "dropout=0.0"),
    'stages=[{source="self"},{source="past"}]',
    *("training.n_steps=8", "training.batch_size=16", "training.validate_every=4"),
    "training.checkpoint_every=2",
]


def plan(*settings, **more):
    return workflow.neuroformer_plan([*SMALL, *settings], **more)


def with_trials(data, n_trials=8, **columns):
    start = np.arange(n_trials) * 1.5
    return data.assign({"trials": rec_tree(rec.trials(start, start + 1.4, columns=columns))})


def rec_tree(dataset):
    return rec.recording([dataset])[dataset.attrs["kind"]]


def with_stimulus(data):
    """Return a recording with two channels; the first is the wave that the units follow."""
    wave = rec.pick_behavior(data, "wave")["value"].values[:, 0]
    values = np.column_stack([wave, np.ones_like(wave)])
    signal = rec.signal(values, sampling_rate=20.0, channel=["wave", "constant"])
    return data.assign({"signal": rec.recording({"signal": {"stripes": signal}})["signal"]})


@pytest.fixture(scope="module")
def data():
    return example_spikes()


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """The folder of a finished run that decodes the wave."""
    folder = tmp_path_factory.mktemp("neuroformer")
    ours = plan(decode=["wave"])
    workflow.fit_neuroformer(data, folder, ours, notes=["A note."], command="neurodyn fit")
    return folder


def test_every_result_stands_beside_its_baseline(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["headline"] == "neuroformer"
    bits = {row["model"]: row["bits_per_spike_given_past"] for row in metrics["likelihood"]}
    # rates that a wave drives are told by a tenth of a second of the past
    assert bits["history GLM, 0.1 s"] > 0.1 > bits["mean rates"] == 0.0
    assert np.isfinite(bits["neuroformer"])
    statistics = {row["statistic"]: row for row in metrics["generation"]}
    assert statistics["rate_ratio"]["generated"] > 0
    assert np.isfinite(statistics["correlation_rmse"]["ceiling"])
    r = {row["model"]: row["r"] for row in metrics["decoding"]}
    assert r["ridge"] > 0.5
    assert {row["inputs"] for row in metrics["decoding"]} == {"spikes"}
    said = " ".join(metrics["notes"])
    for part in (
        "in a block with gaps of 0.1 s",
        "also chose the weights",
        "A note.",
        "For wave, it reads 0.15 s before",
    ):
        assert part in said


def test_the_report_has_its_sections_and_the_folder_its_files(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    for title in ("Spikes told by the past", "Spikes that it generates", "Behavior decoded"):
        assert title in page
    assert "Who drives whom" not in page
    found = read_run(run)
    assert {*found.others} == {"recorded", "generated", "decoded"}
    recorded, generated = (
        rec.pick(found.others[name], "spikes") for name in ("recorded", "generated")
    )
    assert recorded["unit"].values.tolist() == generated["unit"].values.tolist()
    np.testing.assert_allclose(observed_time(recorded), observed_time(generated), atol=1e-9)
    assert found.results["rate"].dims == ("time", "unit")
    assert read_manifest(run)["command"] == "neurodyn fit"
    assert models.load(run).config.targets[0].name == "wave"


def test_a_run_that_was_interrupted_goes_on_to_the_same_end(run, data, tmp_path, monkeypatch):
    steps = []
    loss = NeuroformerObjective.loss

    def failing(self, *arguments):
        steps.append(1)
        if len(steps) == 6:
            raise RuntimeError("power cut")
        return loss(self, *arguments)

    monkeypatch.setattr(NeuroformerObjective, "loss", failing)
    ours = plan(decode=["wave"])
    with pytest.raises(RuntimeError, match="power cut"):
        workflow.fit_neuroformer(data, tmp_path, ours)
    assert not (tmp_path / "manifest.json").exists()
    workflow.fit_neuroformer(data, tmp_path, ours, resume=True, baselines=False)
    # four steps were saved
    assert len(steps) == 6 + 4
    whole, resumed = models.load(run), models.load(tmp_path)
    assert resumed.arrays_digest_ == whole.arrays_digest_
    rows = json.loads((tmp_path / "metrics.json").read_text())
    assert not any(row.get("baseline") == "ridge" for row in rows["decoding"])


def test_the_glm_is_scored_on_the_bins_of_the_model():
    """On parts that begin on a common clock, binning as usual gives the same."""
    rng = np.random.default_rng(1)
    times = [np.sort(rng.uniform(0, 20, 300)) for _ in range(3)]
    intervals = {"train": [[0.0, 10.0], [11.0, 15.0]], "test": [[16.0, 20.0]]}
    parts = {}
    for part, own in intervals.items():
        inside = [np.concatenate([t[(t >= a) & (t < b)] for a, b in own]) for t in times]
        parts[part] = rec.recording([rec.spikes_from_units(inside, observed=own)])
    ours = plan("training.n_steps=1")
    model = ours.model.fit(parts["train"], training=ours.training)
    rows = likelihood_rows(model, parts["train"], parts["test"])
    found = next(row for row in rows if row.get("baseline") == "history_glm")

    counts = {part: bin_spikes(data, 0.01) for part, data in parts.items()}
    time = counts["train"]["time"].values + 1e-6
    with_past = ((time > 0.1) & (time < 10.0)) | (time > 11.1)
    glm = fit_history_glm(counts["train"], with_past, history=0.1, n_bases=4)
    expected = predict_history_glm(glm, counts["test"])["rate"].values[10:] * 0.01
    count = counts["test"]["count"].values[10:].astype(float)
    null = np.array(model.context_.expected_counts)
    gain = (count * np.log(expected / null) - expected + null).sum() / count.sum() / np.log(2)
    assert found["bits_per_spike_given_past"] == pytest.approx(gain, abs=1e-9)


def test_trials_are_divided_by_their_column_or_drawn(data):
    split = ["train", "val"] * 4
    parts = workflow.held_out_part(with_trials(data, split=split), NeuroformerConfig())
    assert observed_time(parts.held_out)[:, 0].tolist() == [1.5, 4.5, 7.5, 10.5]
    assert parts.train["trials"].sizes["trial"] == 4
    assert "column split" in parts.said
    assert "behavior" not in parts.train.children

    config = NeuroformerConfig(stretches="trials")
    drawn = workflow.held_out_part(with_trials(data, stimulus=["a", "b"] * 4), config, seed=1)
    assert drawn.held_out["trials"].sizes["trial"] == 2
    assert {*drawn.held_out["trials"]["stimulus"].values.tolist()} == {"a", "b"}
    start = observed_time(drawn.train)[:, 0]
    assert not np.isin(start, observed_time(drawn.held_out)[:, 0]).any()


def test_blocks_are_as_far_apart_as_windows_read(data):
    stimulus = StimulusInput(kind="features", window=0.4)
    ours = plan("stimulus.window=0.4", stimulus="stripes", data=with_stimulus(data))
    assert ours.model.config.stimulus.window == stimulus.window
    train, held_out, said = workflow.held_out_part(with_stimulus(data), ours.model.config)
    gap = observed_time(held_out)[0, 0] - observed_time(train)[-1, 1]
    # eight samples of 50 ms before the window
    assert gap == pytest.approx(0.4)
    assert "gaps of 0.4 s" in said
    long = rec.spikes_from_units({"a": [0.5]}, observed=[[0.0, 1000.0]])
    parts = workflow.held_out_part(rec.recording([long]), NeuroformerConfig())
    assert len(observed_time(parts.held_out)) == 5
    assert np.diff(observed_time(parts.held_out)).sum() == pytest.approx(200.0)


def test_settings_reach_everything(tmp_path, run):
    ours = workflow.neuroformer_plan(
        ["targets.x.at=0.5", "stages.0.n_layers=3", "training.n_steps=40", "past=0.75"],
        decode=["speed", "x"],
        read=["gaze"],
        seed=3,
    )
    config = ours.model.config
    assert [(one.name, one.at) for one in config.targets] == [("speed", 1.0), ("x", 0.5)]
    assert [stage.source for stage in config.stages] == ["self", "past", "behavior"]
    assert config.stages[2].self_attention
    assert (config.stages[0].n_layers, config.past) == (3, 0.75)
    assert (ours.training.seed, ours.training.n_steps, ours.training.warmup_steps) == (3, 40, 10)
    again = workflow.neuroformer_plan(config=run / "config.toml")
    assert again.model.config == models.load(run).config
    other = tmp_path / "other.toml"
    other.write_text('estimator = "gru"\n')
    with pytest.raises(ConfigError, match="about another model"):
        workflow.neuroformer_plan(config=other)
    with pytest.raises(ConfigError, match=r"(?s)unknown key 'targets.spee.at'.*'speed'"):
        workflow.neuroformer_plan(["targets.spee.at=0.5"], decode=["speed"])
    with pytest.raises(ConfigError, match=r"(?s)is read and decoded.*found: speed"):
        workflow.neuroformer_plan(read=["speed"], decode=["speed"])


def test_a_stimulus_is_a_video_if_it_says_its_size(data):
    movie = datasets.simulate("visual_population", n_units=2, n_repeats=1, duration=1.0).recording
    movie["signal/movie"].attrs.update(height=16, width=28)
    ours = workflow.neuroformer_plan(stimulus="movie", data=movie, preset="v1al")
    assert (ours.model.config.stimulus.kind, ours.model.config.stimulus.n_layers) == ("video", 6)
    ours = workflow.neuroformer_plan(stimulus="stripes", data=with_stimulus(data), preset="v1al")
    assert (ours.model.config.stimulus.kind, ours.model.config.stimulus.n_layers) == ("features", 2)
    alone = rec.recording([rec.pick(movie, "signal")])
    assert (
        workflow.neuroformer_plan(stimulus="signal", data=alone).model.config.stimulus.name is None
    )
    with pytest.raises(EmptySelectionError, match=r"(?s)no signal of name 'move'.*'movie'"):
        workflow.neuroformer_plan(stimulus="move", data=movie)
    with pytest.raises(EmptySelectionError, match="the recording has no signal"):
        workflow.neuroformer_plan(stimulus="movie", data=data)


def test_data_sets_have_names_and_simulated_files_a_truth(tmp_path):
    simulation = datasets.simulate("hub_network", n_units=6, n_hubs=2, duration=2.0)
    path = rec.save(simulation.recording, tmp_path / "hubs.nc")
    assert workflow.open_spikes(path).truth is None
    rec.save(simulation.truth, datasets.truth_path(path))
    assert workflow.open_spikes(path).truth["weight"].shape == (6, 6)
    assert workflow.open_spikes("grasshopper").truth is None
    with pytest.raises(ConfigError, match=r"(?s)no data set 'hub_netwrk'.*'hub_network'"):
        workflow.open_spikes("hub_netwrk")
    with pytest.raises(FileNotFoundError, match="no such file"):
        workflow.open_spikes(tmp_path / "none.nc")


def test_psths_need_trials_in_both(run, data):
    model = models.load(run)
    part = restrict(with_trials(data, condition=["a", "b"] * 4), [[0.0, 4.5]])
    found = generate(model, part, seed=1)
    for recording in (found.recorded, found.generated):
        assert recording["trials"].sizes["trial"] == 3
    # past and burn-in, each a tenth of a second
    assert observed_time(found.recorded)[0, 0] == pytest.approx(0.2)
    assert "first 0.1 s that were generated" in found.notes[-1]
    rows = {row["statistic"]: row for row in generation_rows(found, data)}
    assert rows["rate_error"]["ceiling"] < 0.5


def test_with_a_stimulus_ridge_reads_either_and_both(data):
    seen = with_stimulus(data)
    ours = plan("training.n_steps=1", stimulus="stripes", data=seen, decode=["wave"])
    train, held_out, _ = workflow.held_out_part(seen, ours.model.config)
    model = ours.model.fit(train, training=ours.training)
    rows = decode_held_out(model, train, held_out).rows
    told = {row["inputs"]: row["r"] for row in rows if row["model"] == "ridge"}
    assert list(told) == ["spikes", "stimulus", "spikes and stimulus"]
    assert rows[0]["inputs"] == "spikes and stimulus"
    # the stimulus is the wave, half a bin ago
    assert told["stimulus"] > 0.98 > told["spikes"]


def test_classes_are_compared_with_the_most_frequent(data):
    wave = rec.pick_behavior(data, "wave")["value"].values
    state = rec.behavior((wave > 0).astype(float), sampling_rate=20.0, feature=["state"])
    both = data.assign({"behavior": rec.recording({"behavior": {"state": state}})["behavior"]})
    targets = 'targets=[{name="state", kind="classification", n_classes=2}]'
    ours = plan("training.n_steps=1", targets)
    train, held_out, _ = workflow.held_out_part(both, ours.model.config)
    decoded = decode_held_out(ours.model.fit(train, training=ours.training), train, held_out)
    assert decoded.traces is None
    assert [row["model"] for row in decoded.rows] == ["neuroformer", "most frequent class"]
    assert 0.5 <= decoded.rows[1]["accuracy"] < 1.0


def test_a_run_decodes_other_data_beside_folds(run, data, tmp_path):
    found = workflow.decode_run(run, workflow.SpikeData(data), tmp_path / "decoded.nc")
    assert [row["model"] for row in found["decoding"]] == ["neuroformer", "ridge"]
    assert found["decoding"][1]["r"] > 0.5
    assert "5 blocked folds of these data" in found["notes"][0]
    saved = rec.load(tmp_path / "decoded.nc")
    assert saved["predicted"].dims == ("time", "feature")
    assert saved["feature"].values.tolist() == ["wave"]


def test_couplings_are_judged_where_the_truth_is_known(run, data, tmp_path):
    unit = rec.pick(data, "spikes")["unit"].values
    weight = np.zeros((4, 4))
    weight[0, 1:] = 0.5
    pairs = {"unit": unit, "unit_to": unit}
    truth = rec.save(
        rec.results({"weight": (("unit", "unit_to"), weight)}, pairs), tmp_path / "truth.nc"
    )
    spikes = workflow.SpikeData(data)
    out = tmp_path / "couplings.nc"
    found = workflow.connectivity_run(run, spikes, out, n_bootstrap=10, truth=truth)
    measures = ["deletion", "lagged correlation", "lagged partial correlation"]
    assert [row["measure"] for row in found["connectivity"]] == measures
    assert all(0.0 <= row["auc_low"] <= row["auc"] <= 1.0 for row in found["connectivity"])
    saved = rec.load(out)
    assert saved["score"].dims == ("measure", "unit", "unit_to")
    assert {"weight", "direction", "lower", "upper"} <= {*saved}
    assert "connectivity" not in json.loads((run / "metrics.json").read_text())

    unknown = workflow.connectivity_run(run, spikes, out, measure="attention", n_bootstrap=0)
    assert unknown["connectivity"][0] == {"measure": "attention"}
    assert "not judged" in unknown["notes"][-1]
    with pytest.raises(ConfigError, match="measure"):
        workflow.connectivity_run(run, spikes, out, measure="granger")
    few = rec.load(truth).isel(unit=slice(2), unit_to=slice(2))
    with pytest.raises(EmptySelectionError, match=r"(?s)the truth lacks units.*unit 2"):
        workflow.connectivity_run(run, spikes, out, truth=rec.save(few, tmp_path / "few.nc"))
    with pytest.raises(EmptySelectionError, match="the truth has no weights"):
        workflow.connectivity_run(run, spikes, out, truth=tmp_path / "couplings.nc")


def test_fine_tuning_keeps_the_network(run, data, tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)keeps the settings of the network.*size"):
        workflow.finetune_neuroformer(
            run, data, tmp_path, workflow.Finetuning(settings=("size=32",))
        )
    with pytest.raises(DataError, match=r"no behavior or feature of name 'wav'"):
        workflow.finetune_neuroformer(run, data, tmp_path, workflow.Finetuning(decode=("wav",)))
