"""The published mode against its transcription, its parameter counts and its switches."""

from __future__ import annotations

import math

import pytest
import torch

from neurodyn.models.langevinflow.ccn2025 import PublishedLangevinFlow
from neurodyn.models.langevinflow.config import LangevinFlowConfig, PublishedQuirks
from neurodyn.models.langevinflow.latents import draw_noise
from neurodyn.models.langevinflow.objective import LangevinObjective

from .transcription import published


def config(size=8, **quirks):
    return LangevinFlowConfig(
        mode="ccn2025",
        potential="ccn2025",
        encoder_size=size,
        step=0.01,
        damping=0.55,
        dropout=0.0,
        keep_prob=1.0,
        beta=0.1,
        quirks=PublishedQuirks(**quirks),
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = PublishedLangevinFlow(config(), n_inputs=5, n_outputs=7).double()
    torch.nn.init.normal_(network.potential.kernel)
    return network


@pytest.fixture
def count():
    generator = torch.Generator().manual_seed(1)
    return torch.poisson(torch.full((3, 8, 7), 0.6, dtype=torch.float64), generator=generator)


def test_forward_and_gradient_equal_the_transcription(network, count):
    read = count[:, :6, :5]
    posterior = network.encode(read, 2)
    noise = draw_noise(posterior, torch.Generator().manual_seed(2))
    log_count, latents = network(read, 2, noise)
    loss = (torch.exp(log_count) - count * log_count).mean() + 0.1 * latents.divergence.mean()
    ours = torch.autograd.grad(loss, list(network.parameters()))

    weights = dict(network.named_parameters())
    expected, divergence = published(weights, read, noise, 2, step=0.01, damping=0.55)
    torch.testing.assert_close(log_count, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(latents.divergence, divergence, rtol=1e-10, atol=1e-10)
    other = (torch.exp(expected) - count * expected).mean() + 0.1 * divergence.mean()
    theirs = torch.autograd.grad(other, list(weights.values()))
    for name, mine, reference in zip(weights, ours, theirs, strict=True):
        scale = reference.abs().max().clamp(min=1)
        assert (mine - reference).abs().max() <= 1e-10 * scale, name


def test_objective_is_the_published_loss(network, count):
    objective = LangevinObjective(network.config, [False] * 5 + [True] * 2, n_forward=2)
    batch = {"count": count, "observed": torch.ones(1, 1, 1, dtype=torch.bool)}
    torch.manual_seed(3)
    terms = objective.loss(network, batch, _At(0.1))
    torch.manual_seed(3)
    noise = draw_noise(network.encode(count[:, :6, :5], 2))
    log_count, divergence = published(
        dict(network.named_parameters()), count[:, :6, :5], noise, 2, step=0.01, damping=0.55
    )
    nll = torch.nn.functional.poisson_nll_loss(log_count, count)
    expected = nll + 0.1 * (0.1 / 0.25) * divergence.mean()
    torch.testing.assert_close(terms["loss"], expected, rtol=1e-10, atol=1e-10)


class _At:
    def __init__(self, fraction):
        self.fraction = fraction


@pytest.mark.parametrize(
    ("n_inputs", "n_outputs", "millions"),
    [(137, 182, 4.51), (98, 130, 4.43), (49, 65, 4.34), (40, 54, 4.32)],
    ids=["mc_maze", "mc_rtt", "area2_bump", "dmfc_rsg"],
)
def test_parameter_counts(n_inputs, n_outputs, millions):
    with torch.device("meta"):
        network = PublishedLangevinFlow(config(280), n_inputs, n_outputs)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert round(count / 1e6, 2) == millions


def test_encoder_equals_the_library_cell_without_lag(count):
    network = PublishedLangevinFlow(config(lagged_input=False), 5, 7).double()
    hidden = network.encode(count[:, :, :5]).hidden
    state = torch.zeros(3, 8, dtype=torch.float64)
    for t in range(8):
        state = network.cell(count[:, t, :5], state)
        torch.testing.assert_close(hidden[:, t], state)


def test_lag_makes_the_last_bin_unread(network, count):
    read = count[:, :, :5].clone()
    before = network.encode(read).hidden
    read[:, -1] += 1
    assert torch.equal(network.encode(read).hidden, before)


def test_initial_state_sees_the_first_bin_only(network, count):
    read = count[:, :, :5].clone()
    before = network.encode(read).mean
    read[:, 1:] += 1
    assert torch.equal(network.encode(read).mean, before)
    other = PublishedLangevinFlow(config(first_bin_posterior=False), 5, 7).double()
    other.load_state_dict(network.state_dict())
    assert not torch.equal(other.encode(read).mean, other.encode(count[:, :, :5]).mean)


def test_intended_divergence_is_that_of_two_normals(network, count):
    fixed = PublishedLangevinFlow(config(sample_divergence=False), 5, 7).double()
    fixed.load_state_dict(network.state_dict())
    posterior = fixed.encode(count[:, :, :5])
    latents = fixed.flow(posterior, draw_noise(posterior, torch.Generator().manual_seed(0)))
    push = 0.01 * fixed.potential.force(latents.position[:, :-1])
    mean = (1 - 0.55) * (latents.velocity[:, :-1] + push)
    normal = torch.distributions.Normal
    steps = torch.distributions.kl_divergence(
        normal(mean, math.sqrt(1.1)), normal(torch.zeros_like(mean), math.sqrt(0.1))
    )
    start = torch.distributions.kl_divergence(
        normal(posterior.mean[:, :2], torch.exp(posterior.log_variance[:, :2] / 2)),
        normal(0.0, 1.0),
    )
    expected = steps.sum((1, 2)) + start.sum((1, 2))
    torch.testing.assert_close(latents.divergence, expected)


def test_switches_of_initialisation_and_average():
    torch.manual_seed(0)
    plain = PublishedLangevinFlow(config(scaled_initialisation=False, zero_kernel=False), 5, 7)
    torch.manual_seed(0)
    scaled = PublishedLangevinFlow(config(zero_kernel=False), 5, 7)
    ratio = scaled.layer.linear1.weight / plain.layer.linear1.weight
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.67 * 3**-0.25))
    assert torch.count_nonzero(PublishedLangevinFlow(config(), 5, 7).potential.kernel) == 0
    assert torch.count_nonzero(scaled.potential.kernel) == 48
    read = torch.ones(2, 6, 5)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    arithmetic = PublishedLangevinFlow(config(geometric_average=False), 5, 7)
    arithmetic.load_state_dict(scaled.state_dict())
    low = scaled.eval().predict(read, n_samples=5, generator=generators[0])
    high = arithmetic.eval().predict(read, n_samples=5, generator=generators[1])
    assert torch.all(low < high)


def test_recurrent_dropout_is_fed_back():
    torch.manual_seed(0)
    settings = LangevinFlowConfig(
        mode="ccn2025", potential="ccn2025", encoder_size=64, dropout=0.5, step=0.01, damping=0.55
    )
    network = PublishedLangevinFlow(settings, 5, 7).train()
    assert 0.3 < (network.encode(torch.ones(4, 6, 5)).hidden == 0).float().mean() < 0.7
    apart = PublishedLangevinFlow(
        LangevinFlowConfig(
            mode="ccn2025",
            potential="ccn2025",
            encoder_size=64,
            dropout=0.5,
            quirks=PublishedQuirks(recurrent_dropout=False),
        ),
        5,
        7,
    )
    assert 0.3 < (apart.encode(torch.ones(4, 6, 5)).hidden == 0).float().mean() < 0.7


def test_frozen_kernel(count):
    """At zero the normaliser magnifies the first gradient about 1e12 times."""
    network = PublishedLangevinFlow(config(), 5, 7).double()
    log_count, latents = network(count[:, :, :5])
    loss = log_count.exp().mean() + 1e-3 * latents.divergence.mean()
    loss.backward()
    assert network.potential.kernel.grad.abs().max() > 1e6
