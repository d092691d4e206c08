"""What a trained network says of windows: decoded behavior in its own unit, at its own instant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.models.neuroformer import readout
from neurodyn.models.neuroformer.expected_counts import expected_counts
from neurodyn.models.neuroformer.recordings import token_windows
from neurodyn.recording import behavior, pick
from neurodyn.transforms import select_units

from .runs import HAND, STATE, fitted, session


def without_weights(model):
    """Let the heads of behaviors say the same of every window."""
    for head in model.network_.target_head:
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    return model


@pytest.mark.parametrize("at", [1.0, 0.5, 0.25])
def test_the_instant_and_the_truth(at):
    """Windows begin at 0.1 k s, samples of the hand are 50 ms apart: whole milliseconds tell."""
    target = replace(HAND, at=at)
    model = fitted(targets=(target,))
    found = model.decode(session())
    instant = 100 * np.arange(1, 80) + round(100 * at)
    np.testing.assert_allclose(found["time"], instant / 1000)
    samples = pick(session(), "behavior", "hand")["value"].values
    # the last sample before the instant, if it is in the window
    last = (instant - 1) // 50
    begin = 100 * np.arange(1, 80)
    expected = np.where((50 * last >= begin)[:, None], samples[last], np.nan)
    np.testing.assert_allclose(found["true"], expected, rtol=1e-6)
    assert found["feature"].values.tolist() == ["x", "y"]
    assert found.attrs["behavior"] == "hand"


def test_regression_is_in_the_unit_of_the_behavior():
    """A head that knows nothing says the mean of training, near 100 and -5, and not 0."""
    model = without_weights(fitted(targets=(HAND,)))
    found = model.decode(session())
    mean = pick(session(), "behavior", "hand")["value"].values[2:].mean(axis=0)
    np.testing.assert_allclose(found["predicted"].mean("time"), mean, rtol=0.02)
    assert float(found["predicted"].std("time").max()) < 1e-5
    # one standard deviation more
    torch.nn.init.ones_(model.network_.target_head[0].bias)
    step = model.decode(session())["predicted"] - found["predicted"]
    spread = pick(session(), "behavior", "hand")["value"].values.std(axis=0)
    np.testing.assert_allclose(step.mean("time"), spread, rtol=0.05)


def test_classes_have_probabilities():
    model = fitted(targets=(STATE, HAND))
    found = model.decode(session(), "state")
    assert found["probability"].dims == ("time", "class")
    np.testing.assert_allclose(found["probability"].sum("class"), 1.0)
    guess = found["probability"].argmax("class")
    np.testing.assert_array_equal(found["predicted"][:, 0], guess)
    right = float((found["predicted"] == found["true"]).mean())
    known = np.isfinite(found["true"].values)
    assert known.all()
    assert float(model.score(session(), "accuracy:state")["accuracy:state"]) == right
    with pytest.raises(ConfigError, match="invalid value for name"):
        model.decode(session())


def test_what_is_unknown_is_nan_and_not_learned():
    """NaN in a behavior: the truth says so, training and scores leave it out."""
    hand = pick(session(), "behavior", "hand").copy(deep=True)
    hand["value"][40:80] = np.nan
    data = session(behavior={"hand": hand})
    model = fitted(data, targets=(HAND,))
    found = model.decode(data)
    lost = (found["time"] > 2.051) & (found["time"] < 4.01)
    np.testing.assert_array_equal(np.isnan(found["true"]).any("feature"), lost)
    assert np.isfinite(found["predicted"]).all()
    known = found.isel(time=~lost.values)
    mean, deviation = (np.nanmean(hand["value"][2:], 0), np.nanstd(hand["value"][2:], 0))
    guess, true = ((known[name] - mean) / deviation for name in ("predicted", "true"))
    r2 = 1 - ((guess - true) ** 2).sum() / ((true - true.mean("time")) ** 2).sum()
    assert float(model.score(data, "r2:hand")["r2:hand"]) == pytest.approx(float(r2), abs=0.02)


def test_a_behavior_that_is_nowhere_known_has_no_score():
    hand = behavior(np.full((160, 2), np.nan), sampling_rate=20.0, feature=["x", "y"])
    model = fitted(targets=(HAND,))
    other = session(behavior={"hand": hand})
    assert np.isnan(model.score(other, "r2:hand")["r2:hand"])
    assert np.isfinite(model.score(other)["bits_per_spike"])
    assert model.decode(other)["true"].isnull().all()


def test_a_score_of_a_behavior_needs_it():
    model = fitted(targets=(HAND,))
    with pytest.raises(EmptySelectionError, match="has no behavior"):
        model.score(session(behavior=None), "r2:hand")


def test_rates_are_expected_counts_by_time():
    model = fitted()
    data = select_units(session(), ["a", "c"])
    windows = token_windows(data, model.config, model.context_.tokenizer).take(np.arange(9))
    variables, coords = readout.rates(model.network_, windows, n_samples=4)
    batch = windows.gather(np.arange(9))
    counts = expected_counts(model.network_, batch, n_samples=4).numpy()
    np.testing.assert_allclose(
        variables["rate"][1], counts.reshape(36, 3)[:, [0, 2]] / 0.025, rtol=1e-9
    )
    np.testing.assert_allclose(coords["time"][1], 0.1 + 0.025 * np.arange(36))


def test_results_do_not_depend_on_the_batch(monkeypatch):
    model = fitted(targets=(HAND,))
    whole = model.transform(session())["latent"], model.decode(session())["predicted"]
    monkeypatch.setattr(readout, "BATCH", 7)
    parts = model.transform(session())["latent"], model.decode(session())["predicted"]
    for one, other in zip(parts, whole):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
