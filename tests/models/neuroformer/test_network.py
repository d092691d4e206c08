"""What Neuroformer must and must not depend on, for every kind of input and code of time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurodyn.config import from_dict, to_dict
from neurodyn.errors import ConfigError
from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    BehaviorTarget,
    NeuroformerConfig,
    NeuroformerSizes,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.modalities import Standardise
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.presets import PRESETS, preset
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT, PAD
from neurodyn.recording import spikes_from_units, unit_spike_times

from .simulated import (
    KINDS,
    MARKED,
    build,
    logits,
    made,
    padded,
    series,
    settings,
    spikes,
    windows,
)

every_kind = pytest.mark.parametrize("kind", MARKED)


def close(first, second, tolerance=1e-5):
    torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)


@every_kind
@torch.no_grad()
def test_padding_and_batch_mates_do_not_matter(kind):
    source, network = made(kind)
    batch = source.gather(range(32))
    together, output = logits(network, batch), network(batch)
    wide, more = logits(network, padded(batch)), network(padded(batch))
    close(wide[:, : together.shape[1]], together)
    assert (wide[:, together.shape[1] :] == 0).all()
    for name in ("summary", "early"):
        close(getattr(more, name), getattr(output, name))
    for row in range(0, 32, 3):
        alone = source.gather([row])
        close(logits(network, alone)[0], together[row, : alone["unit"].shape[1] - 1])
        close(network(alone).summary[0], output.summary[row])


@every_kind
@torch.no_grad()
def test_cached_states_are_those_of_the_whole_sequence(kind):
    source, network = made(kind)
    batch = source.gather(range(6))
    hidden = network(batch).hidden
    n_tokens = batch["unit"].shape[1] - 1
    cache = network.begin(network.contexts(batch), 6, n_tokens)
    for position in range(n_tokens):
        mark = batch["mark"][:, position] if "mark" in batch else None
        found = network.step(batch["unit"][:, position], batch["bin"][:, position], cache, mark)
        real = batch["unit"][:, position + 1] != PAD
        close(found[real], hidden[real, position])


@every_kind
@torch.no_grad()
def test_later_tokens_never_reach_earlier_states(kind):
    source, network = made(kind)
    batch = source.gather([int(source.n_spikes.argmax())])
    changed = dict(batch)
    for position in range(2, batch["unit"].shape[1] - 1):
        changed["unit"], changed["bin"] = batch["unit"].clone(), batch["bin"].clone()
        changed["unit"][:, position] = FIRST_UNIT + (changed["unit"][:, position] + 1) % 4
        changed["bin"][:, position] = 4
        before, after = network(batch).hidden, network(changed).hidden
        close(after[:, :position], before[:, :position], 0)
        assert not torch.allclose(after[:, position], before[:, position])


@every_kind
@torch.no_grad()
def test_neither_the_future_nor_another_trial_can_leak(kind):
    """Spikes and samples after the window, and all of the other trial, change nothing."""
    source, network = made(kind)
    config = network.config
    row, target = 20, source.gather([20])
    stop = float(source.time()[row]) + config.window
    data, other = spikes(), spikes(seed=9)
    mixed = data_after(data, other, stop)
    samples = series(config)
    for name, own in samples.items():
        own.values[own.time >= (stop if name in ("speed", "state") else stop - config.window)] = 77
    changed = windows(config, mixed, samples).gather([row])
    if config.stimulus is not None:
        assert (changed["stimulus"] != 77).all()
    close(logits(network, changed), logits(network, target), 0)
    close(network(changed).summary, network(target).summary, 0)
    past = windows(config, data_after(other, data, stop - config.window), samples).gather([row])
    past.update({name: target[name] for name in ("unit", "bin", "mark") if name in target})
    assert not torch.allclose(logits(network, past), logits(network, target))


def data_after(first, second, stop):
    """Return spikes of ``first`` before a time and of ``second`` from then on."""
    times = {}
    for unit in first["unit"].values.tolist():
        own, other = unit_spike_times(first, unit), unit_spike_times(second, unit)
        times[unit] = np.concatenate([own[own < stop - 1e-9], other[other >= stop - 1e-9]])
    return spikes_from_units(times, tick_hz=1000.0)


@every_kind
@torch.no_grad()
def test_everything_that_is_read_has_an_influence(kind):
    source, network = made(kind)
    batch = source.gather(range(16))
    reference = logits(network, batch)
    read = ("past_mark", "stimulus", "input:phi", "input:gaze")
    names = ["past_unit", *(name for name in batch if name in read)]
    for name in names:
        rolled = {key: v.roll(1, 0) for key, v in batch.items() if key.startswith(name)}
        if name == "past_unit":
            rolled["past_bin"] = batch["past_bin"].roll(1, 0)
        if name == "stimulus":
            rolled["stimulus_row"] = batch["stimulus_row"].roll(1, 0)
        assert not torch.allclose(logits(network, {**batch, **rolled}), reference, atol=1e-6), name


@torch.no_grad()
def test_a_scalar_behavior_is_read_as_a_number():
    """Layer normalisation of one feature would leave nothing of it."""
    source, network = made("features")
    batch = source.gather(range(8))
    found = []
    for value in (0.0, 1.0, 2.0):
        batch["input:phi"] = torch.full_like(batch["input:phi"], value)
        found.append(logits(network, batch))
    assert (found[1] - found[0]).abs().max() > 1e-4
    assert (found[2] - found[1]).abs().max() > 1e-4


@torch.no_grad()
def test_places_in_a_video_are_told_apart():
    source, network = made("video")
    batch = source.gather(range(4))
    turned = dict(batch)
    turned["stimulus"] = batch["stimulus"].flip(-1)
    constant = dict(batch)
    constant["stimulus"] = torch.zeros_like(batch["stimulus"])
    tokens = network.contexts(constant)["stimulus"].token
    assert not torch.allclose(tokens[0, 1], tokens[0, 2])
    assert not torch.allclose(logits(network, turned), logits(network, batch))


@torch.no_grad()
def test_windows_that_share_a_stimulus_encode_it_once():
    source, network = made("video")
    batch = source.gather([4, 7, 4, 4])
    context = network.contexts(batch)["stimulus"]
    assert len(context.token) == 2
    separate = torch.cat([logits(network, source.gather([row])) for row in (4, 4)])
    n_tokens = separate.shape[1]
    close(logits(network, batch)[[0, 2], :n_tokens], separate)
    same = source.gather([4, 4])
    assert len(network.contexts(same)["stimulus"].token) == 1
    same["unit"], same["bin"] = batch["unit"][:2], batch["bin"][:2]
    for name in ("past_unit", "past_bin", *(n for n in batch if n.startswith("input"))):
        same[name] = batch[name][:2]
    moved = {n: v[[1, 1]] if n.startswith("stimulus") else v[:2] for n, v in batch.items()}
    for tokens in (same, moved):
        alone = [logits(network, {n: v[i : i + 1] for n, v in tokens.items()}) for i in range(2)]
        close(logits(network, tokens), torch.cat(alone))


@torch.no_grad()
def test_a_window_without_past_or_stimulus_is_finite():
    source, network = made("features")
    batch = source.gather(range(3))
    batch["past_unit"] = torch.zeros_like(batch["past_unit"])
    for name in batch:
        if "_known" in name:
            batch[name] = torch.zeros_like(batch[name])
    assert logits(network, batch).isfinite().all()
    empty = {**batch, "past_unit": batch["past_unit"][:, :0], "past_bin": batch["past_bin"][:, :0]}
    close(logits(network, empty), logits(network, batch))


@torch.no_grad()
def test_units_that_were_not_recorded_have_no_probability():
    source, network = made("spikes")
    batch = source.gather(range(4))
    hidden = network(batch).hidden
    recorded = torch.tensor([[True, False, True, True]]).expand(4, -1)
    zero = torch.zeros(hidden.shape[:2], dtype=torch.int64)
    table = network.head.unit_log_prob(hidden, zero, zero, zero, recorded).exp()
    assert (table[..., 1] == 0).all()
    close(table.sum(-1), torch.ones(hidden.shape[:2]))


PUBLISHED = {
    "small": NeuroformerSizes(n_units=4),
    "v1al": NeuroformerSizes(n_units=4, stimulus=(4, 1, 12, 16), stimulus_step=0.05),
    "visnav": NeuroformerSizes(
        n_units=4,
        stimulus=(3, 1, 10, 15),
        stimulus_step=0.05,
        behavior={"phi": 1, "theta": 1, "speed": 1},
    ),
}


def random_batch(config, sizes, n_batch=6):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    tokens = torch.tensor([[1, 4, 3, 5, 2], [1, 6, 2, 0, 0]]).repeat(n_batch // 2, 1)
    bins = torch.tensor([[0, 1, 3, 3, config.n_bins], [0, 2, config.n_bins, 0, 0]])
    batch = {"unit": tokens, "bin": bins.repeat(n_batch // 2, 1)}
    batch["past_unit"] = torch.tensor([[3, 4], [5, 0]]).repeat(n_batch // 2, 1)
    batch["past_bin"] = torch.tensor([[-3, -1], [-2, 0]]).repeat(n_batch // 2, 1)
    if sizes.stimulus:
        n_frames = sizes.stimulus[0]
        batch["stimulus"] = normal(n_batch, *sizes.stimulus)
        batch["stimulus_time"] = torch.arange(-n_frames, 0.0).expand(n_batch, -1)
        batch["stimulus_known"] = torch.ones(n_batch, n_frames, dtype=torch.bool)
        batch["stimulus_row"] = 100 * torch.arange(n_batch)[:, None] + torch.arange(n_frames)
    for item in config.behavior:
        batch[f"input:{item.name}"] = normal(n_batch, 2, 1)
        batch[f"input_time:{item.name}"] = torch.tensor([-2.0, -1.0]).expand(n_batch, -1)
        batch[f"input_known:{item.name}"] = torch.ones(n_batch, 2, dtype=torch.bool)
    for item in config.targets:
        batch[f"target:{item.name}"] = normal(n_batch, 1)
        batch[f"target_known:{item.name}"] = torch.ones(n_batch, dtype=torch.bool)
    return batch


def silent(network):
    return [
        name
        for name, p in network.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or p.grad.abs().max() < 1e-12
    ]


@pytest.mark.parametrize("name", PRESETS)
def test_every_parameter_of_a_preset_has_a_gradient(name):
    torch.manual_seed(0)
    config, sizes = preset(name, size=32, n_heads=4, mlp_ratio=1), PUBLISHED[name]
    network = NeuroformerNetwork(config, sizes)
    objective = NeuroformerObjective(config, torch.full((4,), 0.1))
    objective.loss(network, random_batch(config, sizes), None)["loss"].backward()
    assert silent(network) == []


@every_kind
def test_every_parameter_of_a_kind_has_a_gradient(kind):
    source, network = made(kind)
    objective = NeuroformerObjective(network.config, torch.full((4,), 0.1))
    objective.loss(network, source.gather(range(24)), None)["loss"].backward()
    assert silent(network) == []


def test_published_sizes():
    """The public code has 24.1 M (V1AL) and, reading no behavior, 25.1 M (Visnav) parameters.

    What reads behavior are four blocks of 0.79 M and the readers.
    """
    sizes = {
        "v1al": NeuroformerSizes(n_units=386, stimulus=(4, 1, 64, 112)),
        "visnav": NeuroformerSizes(
            n_units=2023, stimulus=(3, 1, 30, 100), behavior={"phi": 1, "theta": 1, "speed": 1}
        ),
    }
    spikes_and_video = tuple(s for s in preset("visnav").stages if s.source != "behavior")
    blind = {"behavior": (), "stages": spikes_and_video}
    for name, changes, millions in (
        ("v1al", {}, 24.1),
        ("visnav", blind, 25.1),
        ("visnav", {}, 25.1 + 4 * 0.79 + 0.13),
    ):
        with torch.device("meta"):
            network = NeuroformerNetwork(preset(name, **changes), sizes[name])
        found = sum(p.numel() for p in network.parameters()) / 1e6
        assert found == pytest.approx(millions, rel=0.01)


@torch.no_grad()
def test_more_units_change_nothing_for_the_old_ones():
    source, network = made("features")
    batch = source.gather(range(5))
    wider = network.extend(6)
    assert wider.sizes.n_units == 6
    recorded = torch.tensor([[True] * 4 + [False] * 2]).expand(5, -1)
    close(logits(wider, {**batch, "recorded": recorded}), logits(network, batch))
    with pytest.raises(ConfigError, match="not extended to fewer units"):
        network.extend(3)


def test_scales_reach_inputs_and_targets():
    source, network = made("features")
    mean, _ = source.scales()["phi"]
    assert dict(network.inputs.scales())["phi"].mean.item() == pytest.approx(mean[0])
    scale = network.target_scale[0]
    assert isinstance(scale, Standardise)
    assert scale.inverse(scale(torch.tensor([[3.0]]))).item() == pytest.approx(3.0)
    assert scale.deviation.item() == pytest.approx(source.scales()["speed"][1][0], rel=1e-4)


@torch.no_grad()
def test_training_starts_at_the_poisson_null():
    """Where two spikes in a bin are rare: that a bin already has one is not in the biases."""
    config = settings()
    source = windows(config, spikes(rate=2.0))
    network = build(source, config)
    expected = source.store.expected_counts(source.starts, source.length)
    network.set_rates(expected)
    for layer in (network.head.bin, network.head.unit):
        torch.nn.init.zeros_(layer.weight)
    rate = torch.from_numpy(expected)
    objective = NeuroformerObjective(network.config, rate)
    assert abs(objective.validate(network, source)["bits_per_spike"]) < 0.1
    waiting = network.head.bin.bias.double().softmax(0)
    total = rate.sum()
    close(waiting[-1], torch.exp(-5 * total), 1e-5)
    close(waiting[0], 1 - torch.exp(-total), 1e-5)
    close(network.head.unit.bias.double().softmax(0), rate / total)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": "clock"}, "invalid value for time"),
        ({"window": 0.055}, "invalid value for window"),
        ({"bin_size": 0.0001}, "invalid value for bin_size"),
        ({"size": 18, "n_heads": 4}, "invalid value for size"),
        ({"dropout": 1.0}, "invalid value for dropout"),
        ({"n_marks": 1}, "invalid value for n_marks"),
        ({"n_marks": -2}, "invalid value for n_marks"),
        ({"contrastive_weight": -1.0}, "invalid value for contrastive_weight"),
        ({"contrastive_weight": 1.0}, "0 without other inputs"),
        ({"stages": (Stage(source="past"),)}, "at least one that reads 'self'"),
        ({"stages": (Stage(), Stage(source="stimulus"))}, "stages and stimulus do not fit"),
        ({"behavior": (BehaviorInput(name="a"),)}, "stages and behavior do not fit"),
        ({"targets": (BehaviorTarget(name="a"),) * 2}, "each name once"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        settings(**changes)


def test_bad_parts_of_settings_are_refused():
    for make, message in (
        (lambda: Stage(source="future"), "invalid value for source"),
        (lambda: Stage(n_layers=0), "invalid value for n_layers"),
        (lambda: StimulusInput(kernel=(0, 1, 1)), "invalid value for kernel"),
        (lambda: StimulusInput(until="later"), "invalid value for until"),
        (lambda: BehaviorInput(name="a", window=0.0), "invalid value for window"),
        (lambda: BehaviorTarget(name="a", kind="classification"), "invalid value for n_classes"),
        (lambda: preset("huge"), "invalid value for preset"),
    ):
        with pytest.raises(ConfigError, match=message):
            make()


def test_sizes_that_do_not_fit_are_refused():
    features, video = settings(**KINDS["features"]), settings(**KINDS["video"])
    behavior = {"phi": 1, "gaze": 2, "speed": 1, "state": 1}
    for config, sizes, message in (
        (features, NeuroformerSizes(n_units=4), "sizes do not fit the settings"),
        (features, NeuroformerSizes(n_units=4, behavior=behavior), "the stimulus does not fit"),
        (
            video,
            NeuroformerSizes(n_units=4, behavior=behavior, stimulus=(1, 1, 5, 7)),
            "the kernel does not fit the video",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            NeuroformerNetwork(config, sizes)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_round_trip(name):
    assert from_dict(NeuroformerConfig, to_dict(preset(name))) == preset(name)


def test_the_same_seed_builds_the_same_network():
    source, network = made("video")
    other = build(source, network.config)
    for first, second in zip(network.parameters(), other.parameters()):
        close(first, second, 0)
