"""Shuffles, waves, rollouts."""

from __future__ import annotations

import math

import pytest
import torch

from neurodyn.errors import ConfigError
from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.diagnostics import (
    autonomous_rollout,
    dispersion,
    energy,
    shuffle_costs,
    shuffled_predictions,
)
from neurodyn.models.langevinflow.network import build_network
from neurodyn.models.langevinflow.potentials import RingPotential


def network(**changes):
    torch.manual_seed(0)
    settings = {"n_groups": 2, "n_sites": 4, "encoder_size": 8, "n_samples": 2, **changes}
    return build_network(LangevinFlowConfig(**settings), 5, 7).eval()


@pytest.fixture
def count():
    generator = torch.Generator().manual_seed(0)
    return torch.poisson(torch.full((4, 9, 5), 0.8), generator=generator)


def test_what_the_decoder_does_not_see_costs_nothing(count):
    predictions = shuffled_predictions(network(), count, 2)
    assert set(predictions) == {"intact", "z", "v", "h", "zv"}
    assert torch.equal(predictions["h"], predictions["intact"])
    for name in ("z", "v", "zv"):
        assert not torch.allclose(predictions[name], predictions["intact"])
    seen = shuffled_predictions(network(decoder_input="zvh"), count)
    assert not torch.allclose(seen["h"], seen["intact"])


def test_exchange_of_everything_is_a_permutation_of_trials(count):
    """A linear decoder of (z, v) then predicts exactly another trial, never its own."""
    predictions = shuffled_predictions(network(), count)
    intact, moved = predictions["intact"], predictions["zv"]
    for trial in range(4):
        others = [other for other in range(4) if torch.allclose(moved[trial], intact[other])]
        assert others
        assert trial not in others


def test_costs_are_differences_of_likelihood():
    target = torch.tensor([[[1.0]], [[0.0]]])
    intact = torch.tensor([[[1.0]], [[0.1]]])
    costs = shuffle_costs({"intact": intact, "z": intact.flip(0)}, target)
    expected = ((0.1 - math.log(0.1) + 1.0) - (1.0 + 0.1)) / 2
    assert costs == {"z": pytest.approx(expected, rel=1e-5)}


def test_published_mode_can_be_shuffled(count):
    model = network(mode="ccn2025", potential="ccn2025", step=0.01, damping=0.55)
    assert set(shuffled_predictions(model, count, 1)) == {"intact", "z", "v", "h", "zv"}
    assert autonomous_rollout(model, count, 1).shape == (4, 10, 7)


def test_one_trial_cannot_be_shuffled(count):
    with pytest.raises(ConfigError, match="at least two trials"):
        shuffled_predictions(network(), count[:1])


def test_rollout_depends_on_the_initial_state_alone(count):
    model = network()
    posterior = model.encode(count)
    assert torch.count_nonzero(posterior.mean[:, 2:]) > 0
    mean = posterior.mean.clone()
    mean[:, 2:] = 0
    path = model.flow(posterior._replace(mean=mean))
    torch.testing.assert_close(autonomous_rollout(model, count), torch.exp(model.decode(path)))
    assert energy(model, path).shape == (4, 9)


def test_energy_of_a_free_decay_falls(count):
    model = network(damping=1.0)
    posterior = model.encode(count)
    still = torch.zeros_like(posterior.mean)
    still[:, :2] = posterior.mean[:, :2]
    course = energy(model, model.flow(posterior._replace(mean=still)))
    assert torch.all(course[:, -1] < course[:, 0])


def test_dispersion_of_a_plain_chain_is_known():
    """K z = a z_j - a z_{j+1}: w^2(k) = 2 a^2 (1 - cos k) + w0^2."""
    potential = RingPotential(1, 16).double()
    with torch.no_grad():
        potential.kernel.copy_(torch.tensor([[[0.0, 0.4, -0.4]]]))
    modes = dispersion(potential, step=0.5, damping=0.2)
    w0 = float(potential.log_frequency.detach().exp())
    k = modes.wave_number
    expected = torch.sqrt(2 * 0.16 * (1 - torch.cos(k)) + w0**2)
    torch.testing.assert_close(modes.frequency[:, 0], 0.5 * expected)
    torch.testing.assert_close(modes.quality[:, 0], expected / 0.2)
    slope = 0.5 * 0.16 * torch.sin(k) / expected
    torch.testing.assert_close(modes.group_velocity[:, 0], slope, atol=0.02, rtol=0.0)
    assert math.isinf(float(modes.phase_velocity[0, 0]))
