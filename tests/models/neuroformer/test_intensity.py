"""Intensities given earlier bins: what they are, and what they must not depend on."""

from __future__ import annotations

import pytest
import torch

from neurodyn.models.neuroformer.config import NeuroformerSizes
from neurodyn.models.neuroformer.generation import sample_windows
from neurodyn.models.neuroformer.intensity import spike_intensity
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT

from .simulated import MARKED, at_rates, made, settings, spliced


@pytest.mark.parametrize("canonical", [True, False])
@torch.no_grad()
def test_at_constant_rates_the_rates_are_expected_whatever_the_spikes(canonical):
    rates = torch.tensor([0.002, 0.01, 0.004, 0.001])
    network = at_rates(rates, canonical=canonical)
    found = spike_intensity(network, made("spikes")[0].gather(range(20)))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, rates.double().expand(20, 5, 4), rtol=0.02, atol=0)


@pytest.mark.parametrize("kind", MARKED)
@torch.no_grad()
def test_spikes_of_the_same_or_of_later_bins_change_nothing(kind):
    source, network = made(kind)
    batch, n_bins = source.gather(range(24)), network.config.n_bins
    before = spike_intensity(network, batch)
    other = source.gather(range(30, 54))
    for first in range(1, n_bins):
        after = spike_intensity(network, {**batch, **spliced(batch, other, first)})
        torch.testing.assert_close(after[:, : first + 1], before[:, : first + 1], rtol=1e-3, atol=0)
        if first < n_bins - 1:
            assert not torch.allclose(after[:, first + 1 :], before[:, first + 1 :])


@torch.no_grad()
def test_draws_of_the_first_bin_are_as_expected():
    """Of any network: how often the bin is silent, and which unit is the first."""
    torch.manual_seed(2)
    network = NeuroformerNetwork(settings(window=0.02), NeuroformerSizes(n_units=3)).eval()
    torch.nn.init.normal_(network.head.bin.weight, std=0.4)
    torch.nn.init.normal_(network.head.unit.weight, std=0.4)
    past = {"past_unit": torch.tensor([[3, 4]]), "past_bin": torch.tensor([[-3, -1]])}
    n_samples = 6000
    generator = torch.Generator().manual_seed(0)
    drawn = sample_windows(network, past, n_samples=n_samples, generator=generator)
    window = {"unit": torch.tensor([[1, 2]]), "bin": torch.tensor([[0, 2]])}
    rate = spike_intensity(network, {**window, **past})[0, 0]
    # a unit is the first if it spikes and those before it are silent
    first = torch.exp(rate - rate.cumsum(0)) * -torch.expm1(-rate)
    chance = torch.cat([torch.exp(-rate.sum())[None], first])
    inside = (drawn.unit[:, 1] >= FIRST_UNIT) & (drawn.bin[:, 1] == 0)
    share = torch.where(inside, drawn.unit[:, 1] - FIRST_UNIT + 1, 0).bincount(minlength=4)
    error = (chance * (1 - chance) / n_samples).sqrt()
    assert chance.sum().item() == pytest.approx(1.0)
    assert ((share / n_samples - chance).abs() < 4 * error).all()


@torch.no_grad()
def test_draws_of_independent_units_have_the_expected_mean():
    rates = torch.tensor([0.02, 0.005, 0.01])
    network = at_rates(rates)
    past = {"past_unit": torch.tensor([[3, 4]]), "past_bin": torch.tensor([[-3, -1]])}
    window = {"unit": torch.tensor([[1, 2]]), "bin": torch.tensor([[0, 5]])}
    expected = spike_intensity(network, {**window, **past})[0, 0]
    generator, n_samples = torch.Generator().manual_seed(1), 20000
    drawn = sample_windows(network, past, n_samples=n_samples, generator=generator)
    spike = (drawn.unit >= FIRST_UNIT) & (drawn.bin == 0)
    count = (drawn.unit[spike] - FIRST_UNIT).bincount(minlength=3)
    error = (expected / n_samples).sqrt()
    # a second spike in a bin is as likely as the first here
    assert ((count / n_samples - expected).abs() < 3 * error + 0.04 * expected).all()


@torch.no_grad()
def test_units_that_were_not_recorded_are_not_expected():
    source, network = made("spikes")
    batch = source.gather(range(4))
    batch["recorded"] = torch.tensor([[True, False, True, True]]).expand(4, -1)
    assert (spike_intensity(network, batch)[..., 1] < 1e-8).all()
