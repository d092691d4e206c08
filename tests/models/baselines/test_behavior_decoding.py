"""Behavior that is known to follow from counts or a stimulus is decoded, from nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from neurodyn.errors import ConfigError, DataError, EmptySelectionError, TimebaseError
from neurodyn.metrics.decoding import decoding_scores
from neurodyn.models.baselines.behavior_decoding import (
    BehaviorDecodingConfig,
    decoding_instants,
    fit_behavior_decoder,
    predict_behavior,
)
from neurodyn.models.baselines.lagged_inputs import lagged_counts, lagged_stimulus
from neurodyn.recording import behavior, recording, signal, spikes_from_units
from neurodyn.training import TrainingConfig
from neurodyn.windows.time_folds import blocked_folds

SECONDS, STEP = 200.0, 0.25
LAGS = {"bin_size": 0.25, "lags": (-0.5, 0.5)}
WEIGHT = np.random.default_rng(5).normal(size=(4, 3, 2))
QUICK = TrainingConfig(
    n_steps=100, learning_rate=2e-2, validate_every=25, monitor="mse", patience=3, progress=False
)


def session(seed=0, of_spikes=1.0, of_stimulus=0.0, noise=0.0):
    """Return a recording whose behavior is linear in lagged root counts and in a stimulus."""
    rng = np.random.default_rng(seed)
    units = {name: np.sort(rng.uniform(0, SECONDS, 800)) for name in "abc"}
    spikes = spikes_from_units(units, observed=[[0.0, SECONDS]])
    shown = signal(10.0 * rng.normal(size=(int(SECONDS / 0.1), 2)) + 40.0, sampling_rate=10.0)
    time = np.arange(0.5, SECONDS - 0.5 + 1e-9, STEP)
    value = of_spikes * np.tensordot(np.sqrt(lagged_counts(spikes, time, **LAGS)), WEIGHT, 2)
    value = value + of_stimulus * lagged_stimulus(shown, time, **LAGS)[0][:, 1, :1]
    value = 100.0 + 7.0 * value + noise * rng.normal(size=value.shape)
    place = behavior(value, time=time, feature=["x", "y"], units=["cm", "cm"])
    return recording({"spikes": spikes, "signal": shown, "behavior": {"place": place}})


def decoded(data, name="place", n_folds=4, **settings):
    train, test = blocked_folds(data, n_folds, gap=1.0)[1]
    decoder = fit_behavior_decoder(train, name, **settings)
    return decoder, predict_behavior(decoder, test, decoding_instants(test, decoder.config))


def test_linear_behavior_is_recovered():
    decoder, found = decoded(session(), penalties=(1e-6,))
    np.testing.assert_allclose(found["predicted"], found["true"], atol=1e-4)
    scale = decoder.scaling.target_scale
    np.testing.assert_allclose(decoder.readout.weight * scale, 7.0 * WEIGHT, atol=1e-4)
    assert found["true"].dims == ("time", "feature")
    assert found["feature"].values.tolist() == ["x", "y"]
    assert found["feature_units"].values.tolist() == ["cm", "cm"]
    assert found["predicted"].dtype == found["true"].dtype == np.float64
    assert found.attrs["kind"] == "results"
    assert found.attrs["decoder"] == "ridge"


@pytest.mark.parametrize("kind", ["ridge", "lasso", "gru"])
def test_every_kind_decodes_noisy_behavior(kind):
    data = session(noise=2.0)
    _, found = decoded(data, kind=kind, training=QUICK)
    assert (decoding_scores(found, n_resamples=20)["r"] > 0.9).all()


def test_one_feature_is_decoded_by_its_name():
    _, found = decoded(session(), name="y", penalties=(1e-6,))
    assert found["feature"].values.tolist() == ["y"]
    np.testing.assert_allclose(found["predicted"], found["true"], atol=1e-4)


@pytest.mark.parametrize(
    ("of_spikes", "of_stimulus", "wins"), [(1.0, 0.0, "spikes"), (0.0, 0.1, "stimulus")]
)
def test_each_input_decodes_what_it_tells(of_spikes, of_stimulus, wins):
    data = session(of_spikes=of_spikes, of_stimulus=of_stimulus, noise=0.5)
    for inputs in (("spikes",), ("stimulus",), ("spikes", "stimulus")):
        _, found = decoded(data, name="x", inputs=inputs, penalties=(0.1, 10.0))
        r = float(decoding_scores(found, n_resamples=2)["r"].item())
        assert r > 0.95 if wins in inputs else abs(r) < 0.3


def test_both_inputs_decode_more_than_each():
    data = session(of_spikes=0.5, of_stimulus=0.1)
    r = {
        inputs: decoding_scores(decoded(data, name="x", inputs=inputs, penalties=(0.1, 10.0))[1])[
            "r"
        ].item()
        for inputs in (("spikes",), ("stimulus",), ("spikes", "stimulus"))
    }
    assert r[("spikes", "stimulus")] > 0.99
    assert max(r[("spikes",)], r[("stimulus",)]) < 0.95


def test_a_stimulus_in_other_units_decodes_the_same():
    data = session(of_spikes=0.0, of_stimulus=0.1, noise=1.0)
    scaled = data.copy(deep=True)
    scaled["signal"]["signal"].attrs["scale_factor"] = 1e-6
    found = [decoded(one, inputs=("stimulus",))[1]["predicted"] for one in (data, scaled)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


@pytest.mark.parametrize("kind", ["ridge", "gru"])
def test_nothing_of_the_test_part_is_learned(kind):
    data, other = session(seed=0, noise=1.0), session(seed=1, noise=1.0)
    train, test = blocked_folds(data, 4, gap=1.0)[1]
    first = data["spikes"].to_dataset()
    second = other["spikes"].to_dataset()
    # everything in the test block and in its gaps comes from another session
    low, high = SECONDS / 4 - 1.0, SECONDS / 2 + 1.0
    units = {}
    for row, name in enumerate("abc"):
        own, strange = (
            ds["spike_time"].values[800 * row : 800 * row + 800] for ds in (first, second)
        )
        outside, inside = (own < low) | (own >= high), (strange >= low) & (strange < high)
        units[name] = np.sort(np.concatenate([own[outside], strange[inside]]))
    place = data["behavior/place"].to_dataset().copy(deep=True)
    swap = (place["time"].values >= low) & (place["time"].values < high)
    place["value"].values[swap] = -1e6
    mixed = recording(
        {
            "spikes": spikes_from_units(units, observed=[[0.0, SECONDS]]),
            "behavior": {"place": place},
        }
    )
    settings = {"kind": kind, "training": replace(QUICK, n_steps=50)}
    time = decoding_instants(test, BehaviorDecodingConfig())
    found = [
        predict_behavior(fit_behavior_decoder(part, "place", **settings), test, time)
        for part in (train, blocked_folds(mixed, 4, gap=1.0)[1][0])
    ]
    xr.testing.assert_identical(*found)


def test_the_seed_decides_on_a_gru():
    data = session()
    short = replace(QUICK, n_steps=20)
    found = [
        decoded(data, kind="gru", training=short, seed=seed)[1]["predicted"] for seed in (0, 0, 1)
    ]
    assert found[0].equals(found[1])
    assert not found[0].equals(found[2])


def test_noise_is_not_decoded():
    rng = np.random.default_rng(9)
    data = session()
    place = behavior(rng.normal(size=(800, 1)), sampling_rate=4.0, feature=["x"])
    noise = recording([data["spikes"].to_dataset(), place])
    _, found = decoded(noise, name="x")
    scores = decoding_scores(found)
    assert abs(scores["r"].item()) < 0.25
    assert scores["r2"].item() > -0.2


def test_true_values_are_the_last_samples_that_are_recent():
    data = session()
    decoder, _ = decoded(data)
    time = np.array([20.0, 20.2, 20.25, 199.9, 0.5])
    found = predict_behavior(decoder, data, time)
    value = data["behavior/place"]["value"].sel(time=[20.0, 20.0, 20.25])
    np.testing.assert_array_equal(found["true"][:3], value)
    # the last sample is older than a bin, and the lags reach out of the record
    assert np.isnan(found["true"][3]).all()
    assert np.isnan(found["predicted"][3]).all()
    assert np.isfinite(found["predicted"][4]).all()
    assert found["time"].values.tolist() == time.tolist()


def test_instants_have_their_lags_inside():
    spikes = spikes_from_units({"a": [0.5]}, observed=[[0.1, 1.1], [2.0, 2.5], [3.0, 4.3]])
    config = BehaviorDecodingConfig(bin_size=0.1, lags=(-0.3, 0.6))
    found = decoding_instants(spikes, config, step=0.05)
    np.testing.assert_allclose(found, [0.4, 0.45, 0.5, *np.arange(3.3, 3.71, 0.05)])
    assert np.isfinite(lagged_counts(spikes, found, bin_size=0.1, lags=(-0.3, 0.6))).all()
    with pytest.raises(ConfigError, match="step must be positive"):
        decoding_instants(spikes, config, step=0.0)
    with pytest.raises(EmptySelectionError, match=r"no instant[\s\S]*1\.3 s[\s\S]*at least 2 s"):
        decoding_instants(spikes, BehaviorDecodingConfig(lags=(-1.0, 1.0)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "rigde"}, r"invalid value for kind[\s\S]*'ridge'"),
        ({"transform": "log"}, "invalid value for transform"),
        ({"inputs": ("spikes", "video")}, "invalid value for inputs"),
        ({"inputs": ()}, "each input once"),
        ({"inputs": ("spikes", "spikes")}, "each input once"),
        ({"lags": (0.0, 0.2)}, "no bin fits into the lags"),
        ({"bin_size": 0.0}, "no bin fits into the lags"),
        ({"n_inner_folds": 1}, "too few inner folds"),
        ({"penalties": (0.0,)}, "penalties do not fit"),
        ({"kind": "gru", "penalties": (1.0,)}, r"penalties do not fit[\s\S]*a GRU has none"),
        ({"hidden_size": 0}, "hidden_size must be positive"),
        ({"dropout": 1.0}, "dropout in"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        BehaviorDecodingConfig(**settings)


def test_what_does_not_fit_is_named():
    data = session()
    decoder, _ = decoded(data)
    with pytest.raises(EmptySelectionError, match=r"no behavior or feature of name 'z'"):
        fit_behavior_decoder(data, "z")
    with pytest.raises(EmptySelectionError, match=r"'x' and what[\s\S]*3 of 4[\s\S]*at least 10"):
        fit_behavior_decoder(data, "x", time=[0.0, 1.0, 2.0, 3.0])
    with pytest.raises(TimebaseError, match=r"instants must be finite[\s\S]*1 are not"):
        predict_behavior(decoder, data, [1.0, np.nan])
    fewer = recording(
        [
            spikes_from_units({"a": [1.0]}, observed=[[0.0, 9.0]]),
            data["behavior/place"].to_dataset(),
        ]
    )
    with pytest.raises(
        DataError, match=r"not those of the decoder[\s\S]*1 inputs[\s\S]*the 3 inputs"
    ):
        predict_behavior(decoder, fewer, [1.0])
