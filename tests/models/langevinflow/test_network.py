"""The variational network: shapes, forecasting, samples, parts."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.latents import draw_noise, normal_divergence
from neurodyn.models.langevinflow.network import LangevinFlow, build_network

VARIANTS = {
    "linear": {},
    "transformer": {"decoder": "transformer", "decoder_size": 8, "feedforward_size": 16},
    "zvh": {"decoder_input": "zvh"},
    "transformer zvh": {"decoder": "transformer", "decoder_size": 8, "decoder_input": "zvh"},
    "mlp": {"potential": "mlp", "potential_size": 5},
    "published potential": {"potential": "ccn2025"},
    "anharmonic, skew": {"anharmonic": True, "skew": True},
}


def network(**changes):
    torch.manual_seed(0)
    settings = {"n_groups": 2, "n_sites": 4, "encoder_size": 6, **changes}
    return LangevinFlow(LangevinFlowConfig(**settings), 5, 7).eval()


@pytest.fixture
def count():
    generator = torch.Generator().manual_seed(0)
    return torch.poisson(torch.full((3, 9, 5), 0.8), generator=generator)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_runs_and_trains_all_parameters(name, count):
    model = network(**VARIANTS[name]).train()
    log_count, latents = model(count, 2)
    assert log_count.shape == (3, 11, 7)
    assert latents.position.shape == latents.velocity.shape == (3, 11, 8)
    assert latents.force.shape == (3, 10, 8)
    assert latents.divergence.shape == (3,)
    (log_count.exp().sum() + latents.divergence.sum()).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


def test_forward_bins_run_the_prior_on(count):
    model = network()
    posterior = model.encode(count, 3)
    assert torch.all(posterior.mean[:, -3:] == 0)
    assert torch.all(posterior.log_variance[:, -3:] == 0)
    noise = draw_noise(posterior, torch.Generator().manual_seed(0))
    longer, shorter = model.flow(posterior, noise), model.flow(model.encode(count), noise[:, :-3])
    torch.testing.assert_close(longer.position[:, :9], shorter.position)
    torch.testing.assert_close(longer.divergence, shorter.divergence)
    assert torch.all(longer.force[:, -3:] == 0)


def test_path_is_the_map_of_the_drawn_innovations(count):
    model = network()
    posterior = model.encode(count)
    noise = draw_noise(posterior, torch.Generator().manual_seed(0))
    latents = model.flow(posterior, noise)
    draw = posterior.mean + torch.exp(posterior.log_variance / 2) * noise
    z, v = latents.position, latents.velocity
    flow, force = model.integrator, model.potential.force
    half = flow.step / 2
    for t in range(8):
        kicked = v[:, t] + half * force(z[:, t])
        middle = z[:, t] + half * kicked
        slowed = flow.persistence * kicked + flow.kick_size * draw[:, t + 2]
        end = middle + half * slowed
        torch.testing.assert_close(z[:, t + 1], end)
        torch.testing.assert_close(v[:, t + 1], slowed + half * force(end))


def test_girsanov_limit_of_the_divergence(count):
    """With unit variance the divergence is the energy of the force: step u^2 / (4 damping T)."""
    model = network(step=0.01, damping=0.5, temperature=0.8)
    posterior = model.encode(count)
    force = model.flow(posterior).force
    per_step = 0.5 * posterior.mean[:, 2:].square()
    expected = 0.01 * force.square() / (4 * 0.5 * 0.8)
    torch.testing.assert_close(per_step, expected, rtol=0.02, atol=0.0)


def test_divergence_equals_the_library(count):
    posterior = network().encode(count)
    normal = torch.distributions.Normal
    theirs = torch.distributions.kl_divergence(
        normal(posterior.mean, torch.exp(posterior.log_variance / 2)), normal(0.0, 1.0)
    )
    torch.testing.assert_close(normal_divergence(posterior.mean, posterior.log_variance), theirs)


def test_predict_averages_samples_of_a_generator(count):
    model = network()
    first, again = (model.predict(count, 2, 8, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    generator = torch.Generator().manual_seed(4)
    posterior = model.encode(count, 2)
    paths = [model.flow(posterior, draw_noise(posterior, generator)) for _ in range(8)]
    expected = sum(torch.exp(model.decode(path)) for path in paths) / 8
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(
        model.predict(count, 2, 0), torch.exp(model.decode(model.flow(posterior)))
    )


def test_readout_starts_at_the_mean_count(count):
    model = network()
    mean = torch.linspace(0.1, 1.0, 7)
    model.set_mean_count(mean)
    torch.testing.assert_close(model.decoder.readout.bias.exp(), mean)


def test_transformer_sees_all_bins(count):
    model = network(**VARIANTS["transformer"])
    latents = model.flow(model.encode(count))
    moved = latents.position.clone()
    moved[:, 0] += 1
    before, after = model.decode(latents), model.decode(latents._replace(position=moved))
    assert not torch.allclose(before[:, -1], after[:, -1])


def test_build_network_chooses_the_mode():
    published = LangevinFlowConfig(mode="ccn2025", potential="ccn2025", encoder_size=8)
    assert type(build_network(published, 5, 7)).__name__ == "PublishedLangevinFlow"


def test_network_imports_with_torch_alone():
    code = (
        "import sys; from neurodyn.models.langevinflow import diagnostics, network, objective; "
        "heavy = {'xarray', 'pandas', 'scipy', 'sklearn', 'h5py', 'lightning_fabric'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
