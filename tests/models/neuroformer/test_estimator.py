"""Neuroformer as an estimator: fit, predict, score, decode, simulate, connectivity, save, resume.

Faults of the reliability catalogue, and where they are tested in this folder:

=====================================  ==========================================================
K02 a signal in training               test_estimator: test_a_killed_fit_goes_on
K06 a checkpoint of another run        test_estimator: test_a_run_goes_on_with_its_own_data_alone
K07, K08 resumed, and resumed twice    test_estimator: test_a_killed_fit_goes_on
K09 a loss that is not finite          test_estimator: test_a_fit_that_diverges_says_so
K19 impossible settings                test_estimator: test_settings_out_of_range_are_refused;
                                       test_recordings: test_no_window_fits;
                                       test_context: test_windows_that_read_each_other
K22 forms of arrays                    test_recordings: test_the_form_of_arrays_does_not_matter
S09 a unit without spikes              test_recordings: test_a_unit_without_spikes_stays
S11 spikes outside of observation      test_recordings: test_spikes_outside_of_observation
S18 bins that fit nothing              test_estimator: test_settings_out_of_range_are_refused;
                                       test_recordings: test_a_bin_that_is_not_whole_is_left_out
T05 gaps                               test_recordings: test_no_window_crosses_a_gap
T09 no trials                          test_recordings: test_what_is_read_has_to_be_there
T10, T11 impossible trials             test_recordings: test_impossible_trials
T15 labels and clocks                  test_context: test_other_features; test_recordings:
                                       test_samples_are_read_by_their_own_clock
=====================================  ==========================================================
"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from neurodyn.datasets import simulate_hub_network, simulate_visual_population
from neurodyn.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    NotFittedError,
    TrainingDivergedError,
)
from neurodyn.metrics import spike_statistics
from neurodyn.models.checks import example_spikes
from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    BehaviorTarget,
    NeuroformerConfig,
    StimulusInput,
)
from neurodyn.models.neuroformer.estimator import GIVEN_PAST, Neuroformer
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.recording import pick, validate
from neurodyn.training import TrainingConfig
from neurodyn.training.signals import TrainingInterrupted
from neurodyn.transforms import bin_spikes, restrict, select_units
from neurodyn.windows.time_folds import blocked_holdout

from .runs import KINDS, SCORED, TINY, TRAINING, TRIALS, UNITS, fitted, session

PARTS = [[0.0, 2.0], [4.0, 6.0]]
# an untrained network may generate anything
STOPPED = pytest.mark.filterwarnings("ignore:.*generated parts were stopped")


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def trained(kind):
    return fitted(**KINDS[kind])


@pytest.fixture(scope="module")
def plain():
    return fitted(**KINDS["spikes"])


@pytest.fixture(scope="module")
def decoder():
    return fitted(**KINDS["features"])


def test_it_learns_how_rates_change():
    """Units follow a wave of which the past tells: their rates come out, better than constant."""
    data, other = example_spikes(), example_spikes(seed=1)
    other.attrs["source"] = "another session"
    training = replace(SCORED, n_steps=60, learning_rate=1e-2, validate_every=15, ema_decay=0.9)
    model = fitted(data, training, validation=other, past=0.2)
    rows = [row for row in model.history_ if row["kind"] == "validation"]
    assert [row["step"] for row in rows] == [15, 30, 45, 60]
    best = max(row["bits_per_spike"] for row in rows)
    assert float(model.score(other)["bits_per_spike"]) == pytest.approx(best, abs=1e-6)
    assert best > 0.1
    assert float(model.score(other, GIVEN_PAST)[GIVEN_PAST]) > 0.1
    rate = model.predict(other, n_samples=4)["rate"]
    wave = np.sin(2 * np.pi * rate["time"] / 3.0)
    for number, unit in enumerate(rate["unit"].values):
        true = np.exp(wave if number % 2 else -wave)
        assert np.corrcoef(rate.sel(unit=unit), true)[0, 1] > 0.6


def test_predictions_are_labelled(plain):
    data = session()
    found = plain.predict(data)
    assert found["rate"].dims == ("time", "unit")
    assert found["unit"].values.tolist() == list(UNITS)
    np.testing.assert_allclose(found["time"], 0.1 + 0.025 * np.arange(316))
    assert found.attrs["bin_size"] == 0.025
    assert found["rate"].attrs["units"] == "spikes/s"
    np.testing.assert_allclose(found["log_rate"], np.log(found["rate"]))
    assert found.attrs["estimator"] == "neuroformer"
    assert found.attrs["checkpoint"] == plain.arrays_digest_
    assert found.attrs["config_uid"] == plain.config_uid
    with pytest.raises(ConfigError, match=r"invalid value for n_samples.*\n.*found: 0"):
        plain.predict(data, n_samples=0)


@STOPPED
def test_units_that_a_recording_lacks_are_left_out(plain):
    data = restrict(session(), PARTS)
    part = select_units(data, ["c", "a"])
    found = plain.predict(part)
    assert found["unit"].values.tolist() == ["a", "c"]
    assert np.isfinite(found["rate"]).all()
    generated = plain.simulate(part)
    assert pick(generated, "spikes")["unit"].values.tolist() == ["a", "c"]
    score = plain.connectivity(part, lag=0.05, n_bootstrap=0)["score"]
    assert score.sel(unit="b").isnull().all()
    assert np.isfinite(score.sel(unit="a", unit_to="c"))
    turned = select_units(data, ["c", "b", "a"])
    xr.testing.assert_equal(plain.predict(turned)["rate"], plain.predict(data)["rate"])
    with pytest.raises(DataError, match=r"units are not in the vocabulary.*\n.*1 of 3: d"):
        plain.predict(session(units=("a", "b", "d")))


def test_latents_are_those_of_windows(trained, kind):
    found = trained.transform(session())
    assert found["latent"].dims == ("window", "latent")
    assert found.sizes["latent"] == 16
    start = 0.1 + 0.1 * np.arange(79)
    if kind == "video":
        # no window begins with its trial, as the past would be that of another
        start = (TRIALS[:, :1] + start[:19]).ravel()
    np.testing.assert_allclose(found["start"], start, atol=1e-9)
    np.testing.assert_allclose(found["stop"] - found["start"], 0.1)
    closer = trained.transform(session(), step=0.05)
    again = closer.isel(window=np.isin(closer["start"].values.round(6), start.round(6)))
    np.testing.assert_allclose(again["latent"], found["latent"], atol=1e-5)


@pytest.mark.parametrize("step", [0.0, -0.1, np.nan, np.inf])
def test_an_impossible_step_is_refused(plain, step):
    with pytest.raises(ConfigError, match="invalid value for step"):
        plain.transform(session(), step=step)


def test_every_score(trained, kind):
    found = trained.scores(session())
    given = {"bits_per_spike", "bits_per_spike_given_past", "loss"}
    if kind == "marks":
        given.add("bits_per_mark")
    if trained.config.targets:
        given |= {"r2:hand", "accuracy:state"}
    assert set(found) == given
    for metric in sorted(given):
        scored = trained.score(session(), metric)
        assert list(scored.data_vars) == [metric]
        assert float(scored[metric]) == pytest.approx(found[metric])
    with pytest.raises(ConfigError, match=r"invalid value for metric.*\n.*'r2:hend'"):
        trained.score(session(), "r2:hend")


@STOPPED
def test_generated_spikes_are_a_recording(trained, kind):
    data = restrict(session(), PARTS)
    found = trained.simulate(data, n_samples=2, seed=3, burn_in=0.1)
    validate(found)
    one, two = (found[f"spikes/sample_00{number}"].to_dataset() for number in (0, 1))
    assert one["unit"].values.tolist() == list(UNITS)
    assert not np.array_equal(one["spike_time"], two["spike_time"])
    # a past and a window of burn-in are left out
    start = one["obs_start"].values[: one["obs_row_size"].values[0]]
    np.testing.assert_allclose(start, [0.2, 4.2])
    assert (one["obs_stop"].values.reshape(3, 2) <= [2.0, 6.0]).all()
    assert ("amplitude" in one) == (kind == "marks")
    assert found["trials"]["condition"].values.tolist() == ["p", "p"]
    assert (found.attrs["seed"], found.attrs["checkpoint"]) == (3, trained.arrays_digest_)
    counts = bin_spikes(one, bin_size=0.025)
    assert int(counts["count"].sum()) == one.sizes["spike"]
    assert np.isfinite(spike_statistics(one)["rate"]).all()
    again = trained.simulate(data, n_samples=2, seed=3, burn_in=0.1)
    xr.testing.assert_identical(again["spikes/sample_000"].to_dataset(), one)
    other = trained.simulate(data, seed=4, burn_in=0.1)["spikes"]["spike_time"].values
    assert not np.array_equal(other, one["spike_time"])


@STOPPED
def test_a_movie_from_a_simulator():
    """All of it on a recording that others make: frames, running, trials of several movies."""
    small = {"n_units": 4, "n_repeats": 3, "duration": 1.0, "height": 6, "width": 8}
    data = simulate_visual_population(**small).recording
    settings = {**KINDS["video"], "targets": (BehaviorTarget(name="speed"),)}
    model = fitted(data, **{**settings, "behavior": (BehaviorInput(name="running"),)})
    assert model.context_.sizes.stimulus == (4, 1, 6, 8)
    assert model.predict(data, n_samples=1).sizes["unit"] == 4
    assert model.decode(data)["feature"].values.tolist() == ["speed"]
    found = model.simulate(data)
    assert found["trials"]["stimulus"].values.tolist() == data["trials"]["stimulus"].values.tolist()


def test_hubs_of_a_simulated_network():
    data = simulate_hub_network(n_units=4, n_hubs=1, duration=5.0).recording
    found = fitted(data).connectivity(data, lag=0.025, n_bootstrap=3)
    assert found["score"]["unit"].values.tolist() == data["spikes"]["unit"].values.tolist()
    assert found["out_strength"].notnull().all()


@STOPPED
def test_what_was_generated_can_be_read_again(plain):
    found = plain.simulate(restrict(session(), PARTS), seed=1)
    assert np.isfinite(plain.predict(found, n_samples=2)["rate"]).all()
    assert np.isfinite(float(plain.score(found)["bits_per_spike"]))


def test_a_model_that_decodes_reads_recordings_without_what_it_decodes(decoder):
    """Behaviors that it only decodes need not be known."""
    bare = session(behavior={"speed": pick(session(), "behavior", "speed")})
    rates = [decoder.predict(restrict(data, PARTS)) for data in (bare, session())]
    xr.testing.assert_equal(*rates)
    xr.testing.assert_equal(decoder.transform(bare), decoder.transform(session()))
    found, expected = decoder.decode(bare, "hand"), decoder.decode(session(), "hand")
    xr.testing.assert_equal(found["predicted"], expected["predicted"])
    assert found["true"].isnull().all()
    assert found["true"].dims == expected["true"].dims


@pytest.mark.parametrize("measure", ["deletion", "attention", "gradient_attention"])
def test_connectivity_is_of_all_pairs(plain, measure):
    found = plain.connectivity(session(), measure, n_blocks=4, n_bootstrap=5, lag=0.05)
    assert found["score"].dims == ("unit", "unit_to")
    assert found["unit"].values.tolist() == found["unit_to"].values.tolist() == list(UNITS)
    assert found.attrs["checkpoint"] == plain.arrays_digest_
    other = ~np.eye(3, dtype=bool)
    assert np.isfinite(found["score"].values[other]).all()
    assert (found["lower"].values[other] <= found["upper"].values[other]).all()
    with pytest.raises(ConfigError, match="invalid value for measure"):
        plain.connectivity(session(), "correlation")


@STOPPED
def test_saved_and_loaded_it_is_the_same(trained, tmp_path):
    data = restrict(session(), PARTS)
    trained.save(tmp_path)
    assert not any(path.suffix in (".pkl", ".pt") for path in tmp_path.rglob("*"))
    loaded = Neuroformer.load(tmp_path)
    assert loaded.config == trained.config
    assert loaded.context_ == trained.context_
    assert loaded.arrays_digest_ == trained.arrays_digest_
    xr.testing.assert_equal(loaded.predict(data, n_samples=2), trained.predict(data, n_samples=2))
    xr.testing.assert_equal(loaded.transform(data), trained.transform(data))
    for target in trained.config.targets:
        name = target.name
        xr.testing.assert_equal(loaded.decode(data, name), trained.decode(data, name))
    one, two = (m.simulate(data, seed=2)["spikes"].to_dataset() for m in (loaded, trained))
    xr.testing.assert_equal(one, two)


RICH = {**KINDS["features"], "dropout": 0.1, "stride": 0.05, "n_marks": 3}
LONG = replace(SCORED, n_steps=6, checkpoint_every=2, ema_decay=0.9, validate_every=2)


def fit_rich(folder, resume=None, data=None, **settings):
    train, held_out = blocked_holdout(session() if data is None else data, gap=0.3)
    model = Neuroformer(**{**TINY, **RICH, **settings})
    return model.fit(train, validation=held_out, training=LONG, folder=folder, resume=resume)


def interrupt(monkeypatch, step, stop):
    """Call ``stop`` in one step of training."""
    whole, seen = NeuroformerObjective.loss, []

    def loss(self, *arguments):
        seen.append(0)
        if len(seen) == step:
            stop()
        return whole(self, *arguments)

    monkeypatch.setattr(NeuroformerObjective, "loss", loss)


def die():
    raise MemoryError("killed")


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("step", "stop", "error"),
    [(1, die, MemoryError), (4, die, MemoryError), (4, terminate, TrainingInterrupted)],
)
def test_a_killed_fit_goes_on(tmp_path, monkeypatch, step, stop, error):
    """Killed before the first checkpoint, between two, or by a signal: the same bits in the end."""
    whole = fit_rich(tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt(patch, step, stop)
        with pytest.raises(error):
            fit_rich(tmp_path / "killed")
    shutil.copytree(tmp_path / "killed", tmp_path / "twin")
    for name in ("killed", "twin"):
        resumed = fit_rich(tmp_path / name, resume="auto")
        assert resumed.arrays_digest_ == whole.arrays_digest_
        scores = [
            [
                (row["step"], row["bits_per_spike"], row["r2:hand"])
                for row in model.history_
                if row["kind"] == "validation"
            ]
            for model in (resumed, whole)
        ]
        assert scores[0] == scores[1]
        loaded = Neuroformer.load(tmp_path / name)
        assert loaded.arrays_digest_ == whole.arrays_digest_


def test_a_run_goes_on_with_its_own_data_alone(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, 4, die)
        with pytest.raises(MemoryError):
            fit_rich(tmp_path)
    for other in ({"data": session(1)}, {"past": 0.2}, {"size": 32}):
        with pytest.raises(CheckpointError, match="belongs to another run"):
            fit_rich(tmp_path, resume=True, **other)


def test_a_fit_that_diverges_says_so():
    training = replace(TRAINING, n_steps=40, learning_rate=1e30, gradient_clip=None)
    with pytest.raises(TrainingDivergedError, match=r"not finite \(at step \d+, windows"):
        fitted(training=training)


def test_a_fit_that_fails_leaves_nothing_behind():
    model = fitted()
    with pytest.raises(DataError, match="read what"):
        model.fit(session(), validation=session(), training=SCORED)
    assert not model.is_fitted
    with pytest.raises(NotFittedError, match="not fitted yet"):
        model.predict(session())


@pytest.mark.parametrize(
    "verb", ["transform", "predict", "score", "decode", "simulate", "finetune"]
)
def test_nothing_is_told_before_a_fit(verb):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(Neuroformer(**TINY), verb)(session())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bin_size": 0.0}, "bin_size"),
        ({"bin_size": -0.01}, "bin_size"),
        ({"bin_size": np.nan}, "bin_size"),
        ({"window": 0.033}, r"window.*\n.*found: 0.033.*\n.*multiple of bin_size"),
        ({"past": 0.0}, "past"),
        ({"stride": 0.0}, "stride"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": np.nan}, "dropout"),
        ({"size": 18}, r"size.*\n.*18\n.*multiple of 2 n_heads"),
        ({"n_heads": True}, "n_heads"),
        ({"n_marks": 1}, "n_marks"),
        ({"behavior_weight": np.nan}, "behavior_weight"),
        ({"stages": ()}, "stages"),
        ({"stimulus": StimulusInput()}, "stages and stimulus do not fit"),
        ({"contrastive_weight": 0.1}, "contrastive_weight"),
        ({"stretches": "trial"}, "stretches"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        NeuroformerConfig(**settings)
    with pytest.raises(ConfigError, match=message):
        Neuroformer(**settings)


@pytest.mark.parametrize("rate", [0.0, -1e-3, np.nan])
def test_impossible_training_is_refused(rate):
    with pytest.raises(ConfigError, match="learning_rate"):
        TrainingConfig(learning_rate=rate)


def test_a_stride_without_end_is_refused():
    with pytest.raises(ConfigError, match="invalid value for stride"):
        fitted(stride=np.inf)


def test_a_batch_is_no_larger_than_the_data():
    assert fitted(training=replace(TRAINING, batch_size=10_000)).training_.batch_size == 79
