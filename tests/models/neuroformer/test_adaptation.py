"""A trained Neuroformer for another session: what is kept, what is fresh, what stays as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from neurodyn.errors import ConfigError, DataError, EmptySelectionError
from neurodyn.models.neuroformer.adaptation import PARTS, adapted, few_windows, freeze
from neurodyn.models.neuroformer.config import BehaviorTarget, NeuroformerConfig, NeuroformerSizes
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT
from neurodyn.transforms import restrict

from .runs import HAND, KINDS, SCORED, STATE, TINY, TRAINING, fitted, session
from .simulated import settings

# An update that cannot be seen.
STILL = replace(TRAINING, n_steps=1, learning_rate=1e-12)
SPEED = BehaviorTarget(name="speed")


@pytest.fixture(scope="module")
def model():
    return fitted()


@pytest.fixture(scope="module")
def rich():
    return fitted(**KINDS["features"])


def test_known_units_keep_what_was_learned_and_new_ones_begin_at_their_rates():
    torch.manual_seed(0)
    config = settings()
    trained = NeuroformerNetwork(config, NeuroformerSizes(n_units=3))
    trained.set_rates([0.1, 0.2, 0.4])
    wider = adapted(trained, config, NeuroformerSizes(n_units=5), [0.1, 0.2, 0.4, 0.05, 0.8])
    known = FIRST_UNIT + 3
    assert torch.equal(wider.embedding.unit.weight[:known], trained.embedding.unit.weight)
    assert torch.equal(wider.head.unit.weight[:3], trained.head.unit.weight)
    assert torch.equal(wider.head.unit.bias[:3], trained.head.unit.bias)
    # one level: new units are to known ones as their rates are
    ratio = (wider.head.unit.bias[3:] - wider.head.unit.bias[0]).exp()
    torch.testing.assert_close(ratio, torch.tensor([0.5, 8.0]))
    for name, value in trained.state_dict().items():
        if "unit" not in name:
            assert torch.equal(wider.state_dict()[name], value), name
    # the trained one is as it was
    assert trained.sizes.n_units == 3


@pytest.mark.parametrize("rates", [[0.0, 0.0, 0.0, 0.1], [0.1, 0.0, 0.2, 0.1]])
def test_new_units_beside_silent_ones(rates):
    trained = NeuroformerNetwork(settings(), NeuroformerSizes(n_units=3))
    trained.set_rates([0.1, 0.2, 0.4])
    wider = adapted(trained, settings(), NeuroformerSizes(n_units=4), rates)
    assert torch.isfinite(wider.head.unit.bias).all()
    assert abs(wider.head.unit.bias[3] - wider.head.unit.bias[:3].mean()) < 2.0


def test_a_network_of_another_shape_is_refused():
    trained = NeuroformerNetwork(settings(), NeuroformerSizes(n_units=3))
    other = NeuroformerConfig(**{**TINY, "size": 32})
    with pytest.raises(ConfigError, match=r"cannot be taken over.*\n(.*\n)*.*finetune keeps size"):
        adapted(trained, other, NeuroformerSizes(n_units=3), [0.1] * 3)


def test_heads_follow_names_and_not_places(rich):
    """Targets in another order, one gone and one new: the known head keeps its weights."""
    other = rich.finetune(session(), targets=[SPEED, STATE], training=STILL)
    heads = [m.network_.target_head for m in (other, rich)]
    torch.testing.assert_close(heads[0][1].weight, heads[1][1].weight)
    assert heads[0][0].out_features == 1
    assert other.config.targets == (SPEED, STATE)
    decoded = other.decode(session(), "speed")
    assert decoded["feature"].values.tolist() == ["speed"]
    assert other.context_.features["speed"] == ("speed",)
    with pytest.raises(ConfigError, match="invalid value for name"):
        other.decode(session(), "hand")
    # the first model is as it was
    assert rich.config.targets == (HAND, STATE)


def test_another_session_with_more_units_and_fewer(model):
    """Units d and e are new, b is not there: what was learned of the others still holds."""
    data, other = session(), session(5, units=("d", "c", "a", "e"), name="tuesday")
    moved = model.finetune(other, training=STILL)
    assert moved.context_.tokenizer.units == ("a", "b", "c", "d", "e")
    assert moved.predict(restrict(other, [[0.0, 1.0]]))["unit"].values.tolist() == list("acde")
    xr.testing.assert_allclose(
        moved.predict(data, n_samples=4), model.predict(data, n_samples=4), rtol=1e-4
    )
    weight = moved.network_.head.unit.weight
    torch.testing.assert_close(weight[:3], model.network_.head.unit.weight)
    assert model.context_.tokenizer.units == ("a", "b", "c")
    with pytest.raises(DataError, match="units are not in the vocabulary"):
        model.predict(other)


def test_units_of_another_session_have_levels_of_their_own():
    marked = fitted(**KINDS["marks"])
    moved = marked.finetune(session(5, units=("d", "a"), name="tuesday"), training=STILL)
    tokenizer = moved.context_.tokenizer
    assert tokenizer.units == ("a", "b", "c", "d")
    assert tokenizer.mark_edges[:3] == marked.context_.tokenizer.mark_edges
    assert "amplitude" in moved.simulate(session(), segment=1.0)["spikes"]


@pytest.mark.parametrize("part", PARTS)
def test_frozen_parts_do_not_change_by_a_bit(rich, part):
    training = replace(SCORED, ema_decay=0.9, learning_rate=1e-2)
    assert rich.default_training.weight_decay > 0
    training = replace(training, optimizer="adamw", weight_decay=0.1)
    other = rich.finetune(session(1, name="tuesday"), frozen=[part], training=training)
    own, learned = (dict(m.network_.named_parameters()) for m in (other, rich))
    frozen = [name for name in own if name.split(".")[0] == part]
    frozen += ["norm.weight", "norm.bias"] if part == "layers" else []
    assert frozen
    assert all(torch.equal(own[name], learned[name]) for name in frozen)
    moved = [name for name in own if not torch.equal(own[name], learned[name])]
    assert len(moved) > 0.6 * (len(own) - len(frozen))
    # a model that is trained further later is whole again
    assert all(parameter.requires_grad for parameter in other.network_.parameters())


def test_what_cannot_be_frozen(model, rich):
    with pytest.raises(ConfigError, match=r"(?s)invalid value for freeze.*did you mean 'head'"):
        model.finetune(session(), frozen=["heads"], training=STILL)
    with pytest.raises(ConfigError, match="everything is frozen"):
        model.finetune(session(), frozen=PARTS, training=STILL)
    with pytest.raises(ConfigError, match="everything is frozen"):
        freeze(rich.network_, PARTS)
    rich.network_.requires_grad_(True)
    # a part that this model does not have
    model.finetune(session(), frozen=["alignment"], training=STILL)


@pytest.mark.parametrize(("share", "n_windows"), [(1.0, 79), (0.5, 40), (0.1, 8), (0.001, 1)])
def test_a_share_of_the_windows(model, share, n_windows):
    found = model.finetune(session(), share=share, training=TRAINING)
    assert found.data_["n_windows"] == n_windows
    assert found.training_.batch_size == min(16, n_windows)


def test_few_windows_are_drawn_by_the_seed():
    found = few_windows(1000, 0.1, seed=3)
    assert found.size == 100
    assert (np.diff(found) > 0).all()
    np.testing.assert_array_equal(found, few_windows(1000, 0.1, seed=3))
    assert not np.array_equal(found, few_windows(1000, 0.1, seed=4))
    # fewer are a part of more
    assert set(few_windows(1000, 0.02, seed=3)) < set(found)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, np.nan])
def test_an_impossible_share_is_refused(model, share):
    with pytest.raises(ConfigError, match=r"share is out of range.*\n.*\n.*above 0, at most 1"):
        model.finetune(session(), share=share, training=STILL)


def test_targets_that_the_session_lacks_or_names_twice(model):
    with pytest.raises(EmptySelectionError, match="no behavior or feature of name 'nose'"):
        model.finetune(session(), targets=[BehaviorTarget(name="nose")], training=STILL)
    with pytest.raises(ConfigError, match="invalid value for targets"):
        model.finetune(session(), targets=[HAND, HAND], training=STILL)
    with pytest.raises(ConfigError, match=r"(?s)nothing is decoded by this model.*finetune\("):
        model.decode(session())


def test_a_model_learns_to_decode_and_is_saved(model, tmp_path):
    """All but the head is frozen: predictions of spikes stay, the behavior is told."""
    others = [part for part in PARTS if part != "target_head"]
    training = replace(TRAINING, n_steps=30, learning_rate=3e-2)
    found = model.finetune(
        session(), targets=[HAND], frozen=others, training=training, folder=tmp_path
    )
    data = restrict(session(), [[0.0, 2.0]])
    xr.testing.assert_equal(found.predict(data), model.predict(data))
    decoded = found.decode(session())
    error = np.sqrt(np.nanmean((decoded["predicted"] - decoded["true"]) ** 2))
    assert error < 1.1 * float(decoded["true"].std("time").max())
    loaded = Neuroformer.load(tmp_path)
    xr.testing.assert_equal(loaded.decode(session()), decoded)
    further = loaded.finetune(session(), training=STILL)
    xr.testing.assert_allclose(further.decode(session()), decoded, rtol=1e-4)


def test_the_same_seed_gives_the_same_model(model):
    first, second, other = (
        model.finetune(session(), targets=[HAND], share=0.5, training=replace(TRAINING, seed=seed))
        for seed in (1, 1, 2)
    )
    assert first.arrays_digest_ == second.arrays_digest_ != other.arrays_digest_
