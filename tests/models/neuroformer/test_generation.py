"""Windows are drawn from the distribution that the network says."""

from __future__ import annotations

import math

import pytest
import torch

from neurodyn.errors import ConfigError
from neurodyn.models.neuroformer.config import NeuroformerSizes
from neurodyn.models.neuroformer.generation import Sampling, keep_likely, sample_windows
from neurodyn.models.neuroformer.likelihood import token_log_likelihood
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.tokenizer import EOS, FIRST_UNIT, PAD, SOS

from .simulated import KINDS, made, settings


def draws(network, batch, seed=0, **more):
    generator = torch.Generator().manual_seed(seed)
    return sample_windows(network, batch, generator=generator, **more)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_draws_are_canonical_windows_that_the_seed_determines(kind):
    source, network = made(kind)
    batch = source.gather(range(8))
    found = draws(network, batch, n_samples=3)
    assert found.unit.shape[0] == 24
    for unit, bins, ended in zip(*found[:3]):
        n_spikes = int((unit >= FIRST_UNIT).sum())
        assert ended
        assert unit[0] == SOS
        assert unit[n_spikes + 1] == EOS
        assert bins[n_spikes + 1] == 5
        assert (unit[n_spikes + 2 :] == PAD).all()
        pairs = list(zip(bins[1 : n_spikes + 1].tolist(), unit[1 : n_spikes + 1].tolist()))
        assert not network.config.canonical or pairs == sorted(pairs)
        assert all(0 <= b < 5 for b, _ in pairs)
    for first, second in zip(found[:3], draws(network, batch, n_samples=3)[:3]):
        assert first.equal(second)
    assert found.mark is None
    assert not found.unit.equal(draws(network, batch, seed=1, n_samples=3).unit)


@torch.no_grad()
def test_frequencies_are_the_probabilities():
    """Of the windows of a tiny vocabulary, rows that end at different times."""
    config = settings(window=0.02)
    torch.manual_seed(3)
    network = NeuroformerNetwork(config, NeuroformerSizes(n_units=2)).eval()
    torch.nn.init.normal_(network.head.bin.weight, std=0.4)
    past = {"past_unit": torch.tensor([[3, 4]]), "past_bin": torch.tensor([[-3, -1]])}
    n_samples = 4000
    found = draws(network, past, n_samples=n_samples, sampling=Sampling(max_spikes=60))
    rows = torch.stack([found.unit, found.bin], 1)
    distinct, count = torch.unique(rows, dim=0, return_counts=True)
    chosen = count.argsort(descending=True)[:12]
    assert len(chosen) == 12
    tokens = {"unit": distinct[chosen, 0], "bin": distinct[chosen, 1]}
    more = {name: value.expand(12, -1) for name, value in past.items()}
    expected = token_log_likelihood(network, {**tokens, **more}).double().exp()
    deviation = (expected * (1 - expected) / n_samples).sqrt()
    assert ((count[chosen] / n_samples - expected).abs() < 4.5 * deviation).all()


@torch.no_grad()
def test_draws_do_not_depend_on_the_windows_own_spikes():
    source, network = made("features")
    batch = source.gather(range(4))
    blind = {name: value for name, value in batch.items() if name not in ("unit", "bin")}
    assert draws(network, batch).unit.equal(draws(network, blind).unit)


@torch.no_grad()
def test_the_likeliest_window_does_not_depend_on_batch_mates():
    source, network = made("features")
    batch, greedy = source.gather(range(6)), Sampling(top_k=1, max_spikes=20)
    together = draws(network, batch, sampling=greedy)
    for row in range(6):
        alone = draws(network, source.gather([row]), sampling=greedy).unit[0]
        n_tokens = len(alone)
        assert together.unit[row, :n_tokens].equal(alone)
        assert (together.unit[row, n_tokens:] == PAD).all()


@torch.no_grad()
def test_windows_that_are_too_long_are_reported():
    source, network = made("spikes")
    network.head.bin.bias[-1] = -100.0
    found = draws(network, source.gather([0, 1]), sampling=Sampling(max_spikes=7))
    assert found.unit.shape == (2, 8)
    assert (found.unit != EOS).all()
    assert not found.ended.any()


def test_temperature_acts_before_what_is_unlikely_is_left_out():
    _, network = made("spikes")
    hidden, zero = torch.randn(1, 16), torch.zeros(1, dtype=torch.int64)
    cold = network.head.bin_log_prob(hidden, zero, 0.01)
    kept = keep_likely(cold, top_p=0.9).exp()
    assert (kept > 0).sum() == 1
    hot = network.head.bin_log_prob(hidden, zero, 100.0)
    assert (keep_likely(hot, top_p=0.9).exp() > 0).sum() > 3


def test_unlikely_choices_are_left_out_row_by_row():
    table = torch.tensor([[0.1, 0.6, 0.3], [0.98, 0.01, 0.01], [1.0, 0.0, 0.0]]).log()
    close = torch.testing.assert_close
    close(keep_likely(table, top_p=0.5)[0].exp(), torch.tensor([0.0, 0.6, 0.0]))
    close(keep_likely(table, top_p=0.7)[0].exp(), torch.tensor([0.0, 0.6, 0.3]))
    assert (keep_likely(table, top_p=0.7)[1:].exp() > 0).sum(1).tolist() == [1, 1]
    close(keep_likely(table, top_k=2)[0].exp(), torch.tensor([0.0, 0.6, 0.3]))
    assert keep_likely(table).equal(table)
    assert (keep_likely(table, top_p=1e-6).max(1).values > -math.inf).all()


def test_bad_sampling_is_refused():
    for name, value in (
        ("bin_temperature", 0.0),
        ("unit_temperature", -1.0),
        ("mark_temperature", 0.0),
        ("top_k", -1),
        ("top_p", 0.0),
        ("max_spikes", 0),
    ):
        with pytest.raises(ConfigError, match=f"invalid value for {name}"):
            Sampling(**{name: value})
    source, network = made("spikes")
    with pytest.raises(ConfigError, match="the network is in training mode"):
        sample_windows(network.train(), source.gather([0]))
