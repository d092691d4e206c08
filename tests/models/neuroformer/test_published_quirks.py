"""Each published defect with its switch on, and that it is gone with the switch off."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

from neurodyn.config import from_dict, to_dict
from neurodyn.models.neuroformer.config import NeuroformerConfig, Stage
from neurodyn.models.neuroformer.generation import sample_windows
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.presets import PRESETS, preset
from neurodyn.models.neuroformer.published_quirks import PublishedQuirks

from .simulated import FEATURES, logits, made, padded, series, windows

on_and_off = pytest.mark.parametrize("on", [True, False])


def made_with(kind, on, name, **changes):
    return made(kind, quirks=PublishedQuirks(**{name: on}), **changes)


@on_and_off
@torch.no_grad()
def test_layer_normalisation_of_a_behavior_leaves_nothing_of_its_value(on):
    source, network = made_with("features", on, "behavior_layer_norm")
    batch = source.gather(range(8))
    shape = batch["input:phi"].shape
    low, high = (logits(network, {**batch, "input:phi": torch.full(shape, x)}) for x in (-4.0, 9.0))
    assert torch.allclose(low, high, atol=1e-5) == on
    # that it exists is read
    absent = torch.zeros_like(batch["input_known:phi"])
    assert not torch.allclose(logits(network, {**batch, "input_known:phi": absent}), low)


@on_and_off
@torch.no_grad()
def test_places_of_a_video_are_not_told_apart_without_a_code(on):
    source, network = made_with("video", on, "video_without_place")
    batch = source.gather(range(4))
    batch["stimulus"] = torch.ones_like(batch["stimulus"])
    # of one moment; the first says nothing
    token = network.contexts(batch)["stimulus"].token[0, 1:5]
    assert torch.allclose(token, token[:1].expand_as(token), atol=1e-5) == on


@on_and_off
@torch.no_grad()
def test_padding_reaches_states_and_means(on):
    source, network = made_with("spikes", on, "attend_padding")
    batch = source.gather(range(8))
    wide = padded(batch)
    found, expected = logits(network, wide)[:, : batch["unit"].shape[1] - 1], logits(network, batch)
    assert torch.allclose(found, expected, atol=1e-5) == (not on)
    means = network(wide).summary, network(batch).summary
    assert torch.allclose(*means, atol=1e-5) == (not on)


@on_and_off
def test_fused_alignment_is_solved_by_copying(on):
    """Windows of equal spikes know nothing of their stimulus: chance is the best there is."""
    stages = (Stage(), Stage(source="stimulus"), Stage())
    aligned = {"contrastive_weight": 1.0, "contrastive_exclusion": 0.0}
    source, network = made_with(
        "spikes", on, "fused_alignment", stages=stages, stimulus=FEATURES, **aligned
    )
    batch = source.gather(range(12))
    for name in ("unit", "bin"):
        batch[name] = batch[name][[2]].expand(12, -1)
    objective = NeuroformerObjective(network.config, torch.full((4,), 0.1))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        objective.loss(network, batch, None)["loss"].backward()
        optimizer.step()
    loss = objective.loss(network, batch, None)["alignment"].item()
    chance = math.log(12)
    assert loss < 0.7 * chance if on else loss > chance - 1e-4


@on_and_off
@torch.no_grad()
def test_frames_of_the_future_are_read(on):
    source, network = made_with("features", on, "future_frames")
    config, row = network.config, 20
    stop = float(source.time()[row]) + config.window
    samples = series(config)
    stimulus = samples["stimulus"]
    stimulus.values[stimulus.time >= stop] = 77
    changed = windows(config, samples=samples).gather([row])
    assert bool((changed["stimulus"] == 77).any()) == on
    same = torch.allclose(logits(network, changed), logits(network, source.gather([row])))
    assert same == (not on)


@torch.no_grad()
def test_frames_of_the_future_end_with_the_stretch():
    source, network = made_with("features", True, "future_frames")
    row = len(source) // 2 - 1
    samples = series(network.config)
    samples["stimulus"].values[samples["stimulus"].time >= 3.0] = 77
    changed = windows(network.config, samples=samples).gather([row])
    assert changed["stimulus"].equal(source.gather([row])["stimulus"])


@pytest.mark.parametrize("kind", ["features", "video"])
@torch.no_grad()
def test_all_quirks_together_train_and_generate(kind):
    source, network = made(
        kind, quirks=PublishedQuirks.v1_5(), joint_head=False, canonical=False, time="learnt"
    )
    batch = source.gather(range(6))
    objective = NeuroformerObjective(network.config, torch.full((4,), 0.1))
    assert objective.loss(network, batch, None)["loss"].isfinite()
    assert sample_windows(network, batch, generator=torch.manual_seed(0)).unit.shape[0] == 6
    hidden = network(batch).hidden
    cache = network.begin(network.contexts(batch), 6, 1)
    first = network.step(batch["unit"][:, 0], batch["bin"][:, 0], cache)
    torch.testing.assert_close(first, hidden[:, 0], rtol=1e-5, atol=1e-5)


def test_version_1_5_has_all_quirks_and_ours_none():
    for one in fields(PublishedQuirks):
        assert getattr(PublishedQuirks.v1_5(), one.name) is True
        assert getattr(PublishedQuirks(), one.name) is False


@pytest.mark.parametrize("name", PRESETS)
def test_published_presets(name):
    config = preset(name, published=True, dropout=0.0)
    assert config.quirks == PublishedQuirks.v1_5()
    assert (config.joint_head, config.canonical, config.dropout) == (False, False, 0.0)
    assert from_dict(NeuroformerConfig, to_dict(config)) == config
    assert preset(name).quirks == PublishedQuirks()
