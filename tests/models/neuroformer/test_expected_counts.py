"""Mean counts given earlier bins alone: what they are, and what they must not depend on."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Poisson

from neurodyn.errors import ConfigError
from neurodyn.models.neuroformer.config import NeuroformerSizes
from neurodyn.models.neuroformer.expected_counts import expected_counts
from neurodyn.models.neuroformer.generation import sample_windows
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT

from .simulated import MARKED, at_rates, counts_of, made, settings, spliced

PAST = {"past_unit": torch.tensor([[3, 4]]), "past_bin": torch.tensor([[-3, -1]])}


def test_at_constant_rates_the_rates_are_expected_whatever_the_spikes():
    rates = torch.tensor([0.0004, 0.001, 0.0004, 0.0002])
    batch = made("spikes")[0].gather(range(20))
    found = expected_counts(at_rates(rates), batch, n_samples=256)
    assert found.dtype == torch.float64
    # the heads say so up to spikes that share a bin
    torch.testing.assert_close(found, rates.double().expand(20, 5, 4), rtol=0.05, atol=0)


@pytest.mark.parametrize("kind", MARKED)
def test_spikes_of_the_same_or_of_later_bins_change_nothing(kind):
    source, network = made(kind)
    batch, n_bins = source.gather(range(12)), network.config.n_bins
    before = expected_counts(network, batch, n_samples=16)
    other = source.gather(range(30, 42))
    for first in range(1, n_bins):
        changed = {**batch, **spliced(batch, other, first)}
        after = expected_counts(network, changed, n_samples=16)
        early = slice(first + 1)
        torch.testing.assert_close(after[:, early], before[:, early], rtol=1e-3, atol=1e-6)


def test_means_are_those_of_what_the_network_generates():
    """Of a network in which spikes of a bin call for others, and against their order."""
    torch.manual_seed(2)
    network = NeuroformerNetwork(settings(window=0.02), NeuroformerSizes(n_units=3)).eval()
    torch.nn.init.normal_(network.head.bin.weight, std=0.4)
    torch.nn.init.normal_(network.head.unit.weight, std=0.4)
    window = {"unit": torch.tensor([[1, 2]]), "bin": torch.tensor([[0, 2]])}
    mean = expected_counts(network, {**window, **PAST}, n_samples=4000)[0, 0]
    n_samples = 6000
    made_up = sample_windows(
        network, PAST, n_samples=n_samples, generator=torch.Generator().manual_seed(1)
    )
    inside = (made_up.unit >= FIRST_UNIT) & (made_up.bin == 0)
    row = torch.arange(n_samples)[:, None].expand_as(made_up.unit)
    count = torch.zeros(n_samples, 3, dtype=torch.float64)
    place = (row[inside], made_up.unit[inside] - FIRST_UNIT)
    count.index_put_(place, torch.ones(int(inside.sum()), dtype=torch.float64), accumulate=True)
    error = count.std(0) / math.sqrt(n_samples)
    assert ((count.mean(0) - mean).abs() < 4 * error).all()


@pytest.mark.parametrize("kind", ["spikes", "marked"])
def test_bits_per_spike_given_the_past_are_those_of_dense_poisson_counts(kind):
    source, network = made(kind)
    rate = torch.from_numpy(source.store.expected_counts(source.starts, source.length))
    objective = NeuroformerObjective(network.config, rate)
    found = objective.given_past(network, source.take(range(40)), n_samples=64)
    batch = source.gather(range(40))
    count = counts_of(batch, 5, 4)
    expected = expected_counts(network, batch, n_samples=64)
    gain = Poisson(expected).log_prob(count).sum() - Poisson(rate).log_prob(count).sum()
    assert found == pytest.approx(float(gain) / (float(count.sum()) * math.log(2)), rel=1e-5)


def test_units_that_were_not_recorded_are_not_expected():
    source, network = made("spikes")
    batch = source.gather(range(4))
    batch["recorded"] = torch.tensor([[True, False, True, True]]).expand(4, -1)
    assert (expected_counts(network, batch)[..., 1] < 1e-8).all()


def test_a_network_in_training_is_refused():
    source, network = made("spikes")
    with pytest.raises(ConfigError, match="in training mode"):
        expected_counts(network.train(), source.gather(range(4)))
