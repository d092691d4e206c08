"""Small recordings, settings of every kind and networks, shared by the tests of Neuroformer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    BehaviorTarget,
    NeuroformerConfig,
    NeuroformerSizes,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.sampled_series import SampledSeries
from neurodyn.models.neuroformer.token_store import TokenStore
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT, PAD, SpikeTokenizer
from neurodyn.recording import spikes_from_units

UNITS = ("a", "b", "c", "d")
ALL = {
    "stages": (
        Stage(),
        Stage(source="past", self_attention=True),
        Stage(source="stimulus"),
        Stage(source="behavior"),
        Stage(),
    ),
    "behavior": (BehaviorInput(name="phi"), BehaviorInput(name="gaze", window=0.15)),
    "targets": (
        BehaviorTarget(name="speed"),
        BehaviorTarget(name="state", kind="classification", n_classes=3),
    ),
    "contrastive_weight": 0.25,
    "contrastive_exclusion": 0.0,
}
FEATURES = StimulusInput(kind="features", window=0.15, n_layers=1)
VIDEO = StimulusInput(window=0.2, kernel=(2, 3, 3), stride=(1, 2, 2), n_layers=1)
KINDS = {
    "spikes": {},
    "rotary": {"time": "rotary", "order": False},
    "learnt": {"time": "learnt", "joint_head": False, "canonical": False},
    "features": {**ALL, "stimulus": FEATURES},
    "video": {**ALL, "stimulus": VIDEO, "time": "rotary"},
}

# Calcium events: spikes with the level of their amplitude.
MARKED = {**KINDS, "marked": {"n_marks": 3}}
EDGES, VALUES = (4.0, 7.0), (2.5, 5.5, 8.5)


def settings(**changes):
    small = {"bin_size": 0.01, "window": 0.05, "past": 0.1, "size": 16, "n_heads": 2}
    stages = (Stage(), Stage(source="past"), Stage())
    given = {"mlp_ratio": 2, "dropout": 0.0, "stages": stages, **changes}
    return NeuroformerConfig(**{**small, **given})


def spikes(seconds=6.0, rate=15.0, seed=0, units=UNITS):
    rng = np.random.default_rng(seed)
    times = {
        unit: np.sort(rng.integers(0, int(seconds * 1000), rng.poisson(rate * seconds)) / 1000)
        for unit in units
    }
    return spikes_from_units(times, tick_hz=1000.0)


def with_amplitudes(data):
    """Return spikes with amplitudes from 1 to 10 that their times determine."""
    digit = np.rint(data["spike_time"].values * 1000).astype(int) * 7919 % 97
    return data.assign(amplitude=("spike", (1 + digit / 97 * 9).astype(np.float32)))


def series(config, seconds=6.0, seed=1):
    rng = np.random.default_rng(seed)
    n_samples = int(seconds * 20)
    time = np.arange(n_samples) / 20 + 0.003
    values = {
        "phi": rng.normal(2.0, 3.0, (n_samples, 1)),
        "gaze": rng.normal(size=(n_samples, 2)),
        "speed": rng.normal(5.0, 2.0, (n_samples, 1)),
        "state": rng.integers(0, 3, (n_samples, 1)).astype(float),
    }
    if config.stimulus is not None:
        shape = (1, 5, 7) if config.stimulus.kind == "video" else (3,)
        values["stimulus"] = rng.normal(size=(n_samples, *shape))
    return {name: SampledSeries(value, time) for name, value in values.items()}


def windows(config, data=None, samples=None, stretches=((0.0, 3.0), (3.0, 6.0)), **more):
    tokenizer = SpikeTokenizer(units=UNITS, bin_size=config.bin_size, n_bins=config.n_bins)
    data = spikes() if data is None else data
    if config.n_marks:
        levels = {"mark_edges": (EDGES,) * 4, "mark_values": (VALUES,) * 4}
        tokenizer, data = replace(tokenizer, **levels), with_amplitudes(data)
    store = TokenStore(data, tokenizer, stretches)
    return TokenWindows(store, config, series(config) if samples is None else samples, **more)


def build(source, config, seed=0):
    torch.manual_seed(seed)
    network = NeuroformerNetwork(config, source.sizes())
    network.set_scales(source.scales())
    if network.embedding.order is not None:
        # zero at the start: order would have no influence
        torch.nn.init.normal_(network.embedding.order.mix.weight, std=0.2)
    for layer in (network.head.bin, network.head.unit):
        # near uniform at the start
        torch.nn.init.normal_(layer.weight, std=0.5)
    if network.head.mark is not None:
        torch.nn.init.normal_(network.head.mark.level.weight, std=0.5)
    return network.eval()


def made(kind, **changes):
    config = settings(**{**MARKED[kind], **changes})
    source = windows(config)
    return source, build(source, config)


def logits(network, batch):
    """Return log-probabilities of all tokens, (batch, token - 1)."""
    output = network(batch)
    tokens = batch["unit"], batch["bin"], batch.get("recorded")
    found = sum(network.head.log_prob(output.hidden, *tokens))
    if network.head.mark is not None:
        found = found + network.head.mark.log_prob(output.hidden, *tokens[:2], batch["mark"])
    return found


def padded(batch, more=7):
    """Return a batch with more padding after window and past, filled with nonsense."""
    result = dict(batch)
    for name in ("unit", "past_unit"):
        result[name] = torch.nn.functional.pad(batch[name], (0, more), value=PAD)
    for name in ("bin", "past_bin", "mark", "past_mark"):
        if name in batch:
            value = 1 if "mark" in name else 3
            result[name] = torch.nn.functional.pad(batch[name], (0, more), value=value)
    return result


def counts_of(batch, n_bins, n_units):
    count = torch.zeros(len(batch["unit"]), n_bins, n_units, dtype=torch.float64)
    for row, (unit, bins) in enumerate(zip(batch["unit"], batch["bin"])):
        for u, b in zip(unit.tolist(), bins.tolist()):
            if u >= FIRST_UNIT:
                count[row, b, u - FIRST_UNIT] += 1
    return count


def at_rates(rates, **changes):
    """Return a network whose heads read nothing but their biases."""
    network = NeuroformerNetwork(settings(**changes), NeuroformerSizes(n_units=len(rates))).eval()
    for layer in (network.head.bin, network.head.unit):
        torch.nn.init.zeros_(layer.weight)
    network.set_rates(rates)
    return network


def spliced(batch, other, first):
    """Return windows of ``batch`` before a bin and of ``other`` from it on."""
    rows = []
    names = [name for name in ("unit", "bin", "mark") if name in batch]
    for one, two in zip(*(torch.stack([x[name] for name in names], -1) for x in (batch, other))):
        one, two = (x[x[:, 0] > 0] for x in (one, two))
        rows.append(torch.cat([one[one[:, 1] < first], two[two[:, 1] >= first]]))
    table = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return {name: table[..., i].contiguous() for i, name in enumerate(names)}
