"""The likelihood is one of counts, its null is Poisson, and the loss is what it says."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from scipy.stats import poisson
from sklearn.metrics import r2_score

from neurodyn.models.neuroformer.alignment import ContrastiveAlignment
from neurodyn.models.neuroformer.config import NeuroformerSizes
from neurodyn.models.neuroformer.likelihood import poisson_log_likelihood, token_log_likelihood
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.tokenizer import EOS, FIRST_UNIT, SOS
from neurodyn.recording import spikes_from_units

from .simulated import build, made, settings, windows


def every_window(n_bins, n_units, n_spikes):
    """Return all windows of exactly some spikes in canonical order, as one batch."""
    pairs = [(b, FIRST_UNIT + u) for b in range(n_bins) for u in range(n_units)]
    chosen = list(combinations_with_replacement(pairs, n_spikes))
    unit = [[SOS, *(u for _, u in one), EOS] for one in chosen]
    bins = [[0, *(b for b, _ in one), n_bins] for one in chosen]
    past = torch.tensor([[3, 4]]).expand(len(chosen), -1)
    return {
        "unit": torch.tensor(unit),
        "bin": torch.tensor(bins),
        "past_unit": past,
        "past_bin": torch.tensor([[-3, -1]]).expand(len(chosen), -1),
    }


@pytest.mark.parametrize("joint", [True, False])
@torch.no_grad()
def test_probabilities_of_all_windows_add_up_to_one(joint):
    """Of all windows of up to 4 spikes, with the probability to have more."""
    config = settings(window=0.03, joint_head=joint)
    torch.manual_seed(0)
    network = NeuroformerNetwork(config, NeuroformerSizes(n_units=2)).eval()
    for layer in (network.head.bin, network.head.unit):
        torch.nn.init.normal_(layer.weight, std=0.5)
    total = 0.0
    for n_spikes in range(5):
        batch = every_window(3, 2, n_spikes)
        total += token_log_likelihood(network, batch).double().exp().sum().item()
        shares = network.head.log_prob(network(batch).hidden, batch["unit"], batch["bin"])
    # the last windows without their end: 4 spikes and then anything
    prefix = sum(shares)[:, :-1].sum(1)
    ended = sum(shares)[:, -1]
    more = (prefix.double().exp() * (1 - ended.double().exp())).sum().item()
    assert total + more == pytest.approx(1.0, abs=1e-5)
    assert 0.1 < total < 1


@torch.no_grad()
def test_null_is_poisson():
    source, _ = made("spikes")
    rate = torch.tensor([0.1, 0.2, 0.05, 0.3], dtype=torch.float64)
    batch = source.gather(range(12))
    found = poisson_log_likelihood(batch["unit"], batch["bin"], rate, 5, batch["recorded"])
    for row in range(12):
        spike = batch["unit"][row] >= FIRST_UNIT
        count = source.store.tokenizer.decode(batch["bin"][row][spike], batch["unit"][row][spike])
        assert found[row].item() == pytest.approx(poisson.logpmf(count, rate.numpy()).sum())
    absent = torch.tensor([[True, True, True, False]]).expand(12, -1)
    rest = poisson_log_likelihood(batch["unit"], batch["bin"], rate, 5, absent)
    np.testing.assert_allclose(rest - found, 5 * 0.3)


@torch.no_grad()
def test_bits_per_spike_and_decoding_scores():
    source, network = made("features")
    rate = torch.from_numpy(source.store.expected_counts(source.starts, source.length))
    objective = NeuroformerObjective(network.config, rate)
    scores = objective.validate(network, source)
    batch = source.gather(range(len(source)))
    model = token_log_likelihood(network, batch).double().sum()
    null = poisson_log_likelihood(batch["unit"], batch["bin"], rate, 5).sum()
    n_spikes = int((batch["unit"] >= FIRST_UNIT).sum())
    expected = float((model - null) / (n_spikes * math.log(2)))
    assert scores["bits_per_spike"] == pytest.approx(expected, rel=1e-4)
    assert scores["loss"] == pytest.approx(-float(model) / (n_spikes + len(source)), rel=1e-4)
    guess = network.decode(network(batch).summary)
    value = network.target_scale[0](batch["target:speed"])
    assert scores["r2:speed"] == pytest.approx(r2_score(value, guess["speed"]), rel=1e-4)
    right = guess["state"].argmax(-1) == batch["target:state"][:, 0]
    assert scores["accuracy:state"] == pytest.approx(right.double().mean().item())


@torch.no_grad()
def test_loss_is_the_weighted_sum():
    source, network = made("video", behavior_weight=0.5)
    objective = NeuroformerObjective(network.config, torch.full((4,), 0.1))
    batch = source.gather(range(30))
    batch["target_known:speed"][:5] = False
    terms = objective.loss(network, batch, None)
    # 4 units, 5 bins and 0.1 spikes in each, and the end
    spikes = -token_log_likelihood(network, batch).mean() / 3.0
    output = network(batch)
    guess = network.decode(output.summary)
    value = network.target_scale[0](batch["target:speed"])
    speed = (guess["speed"] - value)[5:].square().mean()
    state = torch.nn.functional.cross_entropy(guess["state"], batch["target:state"][:, 0].long())
    torch.testing.assert_close(terms["spikes"], spikes)
    torch.testing.assert_close(terms["speed"], speed)
    total = spikes + 0.5 * (speed + state) + 0.25 * terms["alignment"]
    torch.testing.assert_close(terms["loss"], total)
    for name in ("speed", "state"):
        batch[f"target_known:{name}"][:] = False
    assert objective.loss(network, batch, None)["loss"].isfinite()


def test_alignment_is_symmetric_and_leaves_out_what_is_unknown_or_alike():
    torch.manual_seed(0)
    align = ContrastiveAlignment(4, ["spikes", "stimulus"])
    feature = {"spikes": torch.randn(6, 4), "stimulus": torch.randn(6, 4)}
    known = {name: torch.ones(6, dtype=torch.bool) for name in feature}
    unit = [
        torch.nn.functional.normalize(align.project[name](feature[name]), dim=-1)
        for name in feature
    ]
    score = unit[0] @ unit[1].T / align.log_temperature.exp()
    both = torch.nn.functional.cross_entropy
    expected = (both(score, torch.arange(6)) + both(score.T, torch.arange(6))) / 2
    torch.testing.assert_close(align(feature, known), expected)
    known["stimulus"] = torch.tensor([True] * 4 + [False] * 2)
    part = {name: value[:4] for name, value in feature.items()}
    some = {name: torch.ones(4, dtype=torch.bool) for name in feature}
    torch.testing.assert_close(align(feature, known), align(part, some))
    everything = torch.ones(6, 6, dtype=torch.bool)
    assert align(feature, known, everything).item() == pytest.approx(0.0, abs=1e-6)


def test_history_is_learned_and_the_null_is_beaten():
    """Unit b follows unit a after 20 ms."""
    rng = np.random.default_rng(0)
    first = np.sort(rng.choice(np.arange(0, 590), 120, replace=False)) / 100
    data = spikes_from_units({"a": first, "b": first + 0.02}, tick_hz=1000.0)
    config = settings(window=0.05, past=0.05)
    source = windows(config, data, stretches=((0.0, 6.0),))
    network = build(source, config)
    rate = torch.from_numpy(source.store.expected_counts(source.starts, source.length))
    objective = NeuroformerObjective(config, rate)
    before = objective.validate(network, source)["bits_per_spike"]
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    batch = source.gather(range(len(source)))
    for _ in range(60):
        optimizer.zero_grad()
        objective.loss(network, batch, None)["loss"].backward()
        optimizer.step()
    after = objective.validate(network, source)["bits_per_spike"]
    assert after > max(0.8, before)
