"""Short training on data of known truth: the latents carry the signal, or they do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.diagnostics import shuffle_costs, shuffled_predictions
from neurodyn.models.langevinflow.network import build_network
from neurodyn.models.langevinflow.objective import LangevinObjective

N_TRIALS, N_TIME, HELD_OUT = 96, 20, [False] * 9 + [True] * 3


class At:
    def __init__(self, fraction):
        self.fraction = fraction


@pytest.fixture(scope="module")
def oscillations():
    """Counts and expected counts of units that ride on two oscillations of random phase."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (N_TRIALS, 1, 2))
    angle = phase + np.arange(N_TIME)[:, None] * np.array([0.25, 0.45])
    rate = np.exp(np.concatenate([np.cos(angle), np.sin(angle)], -1) @ rng.normal(size=(4, 12)))
    count = rng.poisson(rate)
    return torch.from_numpy(count).float(), torch.from_numpy(rate).float()


def trained(count, config, n_steps, seed=0):
    torch.manual_seed(seed)
    objective = LangevinObjective(config, HELD_OUT)
    network = build_network(config, objective.n_inputs, len(HELD_OUT))
    network.set_mean_count(count.mean((0, 1)))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    batch = {"count": count, "observed": torch.ones(1, 1, 1, dtype=torch.bool)}
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * 0.5 * (1 + math.cos(math.pi * step / n_steps))
        optimizer.zero_grad()
        objective.loss(network, batch, At(step / n_steps))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
    return network.eval()


def r2(truth, rate):
    residual = (truth - rate).square().sum((0, 1))
    return float((1 - residual / (truth - truth.mean((0, 1))).square().sum((0, 1))).mean())


@pytest.mark.parametrize("decoder", ["linear", "transformer"])
def test_the_variational_latents_carry_the_signal(oscillations, decoder):
    count, rate = oscillations
    config = LangevinFlowConfig(
        n_groups=2,
        n_sites=4,
        encoder_size=24,
        decoder=decoder,
        decoder_size=24,
        feedforward_size=32,
        keep_prob=0.7,
        beta=0.1,
        n_samples=8,
    )
    network = trained(count[:64], config, 150)
    read, target = count[64:, :, :9], count[64:]
    predictions = shuffled_predictions(network, read)
    assert r2(rate[64:], predictions["intact"]) > 0.75
    costs = shuffle_costs(predictions, target)
    assert costs["zv"] > 0.5
    assert costs["h"] == 0.0


def test_the_published_latents_do_not(oscillations):
    count, _ = oscillations
    config = LangevinFlowConfig(
        mode="ccn2025",
        potential="ccn2025",
        encoder_size=16,
        step=0.01,
        damping=0.55,
        dropout=0.05,
        keep_prob=0.7,
        pass_prob=0.3,
        beta=0.1,
        n_samples=8,
    )
    network = trained(count[:64], config, 60)
    costs = shuffle_costs(shuffled_predictions(network, count[64:, :, :9]), count[64:])
    assert abs(costs["zv"]) < 0.02
    assert costs["h"] > 0.5
