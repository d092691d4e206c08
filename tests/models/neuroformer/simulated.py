"""Small recordings, settings of every kind and networks, shared by the tests of Neuroformer."""

from __future__ import annotations

import numpy as np
import torch

from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    BehaviorTarget,
    NeuroformerConfig,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.sampled_series import SampledSeries
from neurodyn.models.neuroformer.token_store import TokenStore
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
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
    store = TokenStore(spikes() if data is None else data, tokenizer, stretches)
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
    return network.eval()


def made(kind, **changes):
    config = settings(**{**KINDS[kind], **changes})
    source = windows(config)
    return source, build(source, config)


def logits(network, batch):
    """Return log-probabilities of all tokens, (batch, token - 1)."""
    output = network(batch)
    tokens = batch["unit"], batch["bin"], batch.get("recorded")
    return sum(network.head.log_prob(output.hidden, *tokens))
