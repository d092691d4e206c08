"""The log-likelihood of a window is the sum of what its units and bins have of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from neurodyn.models.neuroformer.likelihood import mark_log_likelihood, token_log_likelihood
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.unit_likelihood import unit_log_likelihood

from .simulated import KINDS, made, settings, windows


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_parts_add_up_to_the_likelihood(kind):
    source, network = made(kind, canonical=True)
    batch = source.gather(range(20))
    output = network(batch)
    parts = unit_log_likelihood(network, batch, output)
    assert parts.dtype == torch.float64
    assert (parts <= 0).all()
    whole = token_log_likelihood(network, batch, output)
    if network.head.mark is not None:
        whole = whole - mark_log_likelihood(network, batch, output)
    torch.testing.assert_close(parts.sum((1, 2)), whole.double(), rtol=1e-5, atol=1e-4)


@torch.no_grad()
def test_a_poisson_network_gives_each_unit_its_own_likelihood():
    """Of rates alone, at which a spike is a spike with probability 1 - exp(-rate)."""
    config = settings(stages=settings().stages[:1], joint_head=False)
    source = windows(config)
    rate = torch.tensor([0.01, 0.002, 0.006, 0.004])
    network = NeuroformerNetwork(config, source.sizes()).eval()
    for layer in (network.head.bin, network.head.unit):
        layer.weight.zero_()
    network.set_rates(rate)
    silence = {"unit": torch.tensor([[1, 2]]), "bin": torch.tensor([[0, 5]])}
    past = {"past_unit": torch.zeros(1, 0).long(), "past_bin": torch.zeros(1, 0).long()}
    parts = unit_log_likelihood(network, {**silence, **past})[0]
    # exact up to spikes that share a bin
    np.testing.assert_allclose(parts, (-rate).expand(5, 4), rtol=0.02)
    one = {"unit": torch.tensor([[1, 5, 2]]), "bin": torch.tensor([[0, 3, 5]])}
    parts = unit_log_likelihood(network, {**one, **past})[0]
    assert parts[3, 2].item() == pytest.approx(np.log(0.006), abs=0.02)
    # after a spike the same bin may have another
    np.testing.assert_allclose(parts[3, :2], -rate[:2], rtol=0.02)
    np.testing.assert_allclose(parts[4], -rate, rtol=0.02)


@torch.no_grad()
def test_without_a_known_order_it_is_that_of_canonical_ones():
    """Probabilities of all windows add up to 1; those of more than three spikes are rare here."""
    source, network = made("spikes", canonical=False, window=0.02)
    network.head.bin.weight.mul_(0.2)
    network.head.bin.bias[2] = 4.0
    past = {name: source.gather([3])[name] for name in ("past_unit", "past_bin")}
    total = 0.0
    tokens = [(b, u) for b in range(2) for u in range(3, 7)]
    for n_spikes in range(4):
        for chosen in itertools.combinations_with_replacement(tokens, n_spikes):
            bins, unit = ([x[i] for x in chosen] for i in range(2))
            window = {
                "unit": torch.tensor([[1, *unit, 2]]),
                "bin": torch.tensor([[0, *bins, 2]]),
            }
            total += unit_log_likelihood(network, {**window, **past}).sum().exp().item()
    assert 0.999 < total <= 1.0
