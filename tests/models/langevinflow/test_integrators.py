"""Stationary laws, orders of convergence, reversibility."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from neurodyn.models.langevinflow.integrators import Baoab, PublishedEuler
from neurodyn.models.langevinflow.potentials import MlpPotential, RingPotential


def free(position):
    return torch.zeros_like(position)


def conservative(step):
    return Baoab(step=step, damping=0.0, temperature=0.0, learn=False).double()


def test_free_velocity_has_the_temperature_as_variance():
    generator = torch.Generator().manual_seed(0)
    flow = Baoab(step=0.3, damping=1.4, temperature=0.7, learn=False)
    noise = torch.randn(4000, 30, 8, generator=generator)
    start = torch.zeros(4000, 8)
    _, velocity = flow(start, start, noise, free)
    # 32,000 numbers: the variance is known to 0.8 %.
    assert float(velocity[:, -1].var()) == pytest.approx(0.7, rel=0.04)


def test_variance_recursion_of_free_velocity_is_exact():
    flow = Baoab(step=0.3, damping=1.4, temperature=0.7)
    stationary = flow.kick_size**2 / (1 - flow.persistence**2)
    assert float(stationary.detach()) == pytest.approx(0.7, rel=1e-6)


@pytest.mark.parametrize("damping", [0.55, 0.7])
def test_published_velocity_is_too_hot(damping):
    generator = torch.Generator().manual_seed(0)
    flow = PublishedEuler(step=0.01, damping=damping)
    start = torch.zeros(4000, 8)
    _, velocity = flow(start, start, torch.randn(4000, 20, 8, generator=generator), free)
    assert float(velocity[:, -1].var()) == pytest.approx(2 / (2 - damping), rel=0.04)
    assert PublishedEuler(step=0.01, damping=damping, two_clocks=False).loss == 0.01 * damping


@pytest.mark.parametrize("kind", ["ring", "anharmonic", "mlp"])
def test_energy_drift_is_of_second_order(kind):
    torch.manual_seed(0)
    potential = (
        MlpPotential(8, 16)
        if kind == "mlp"
        else RingPotential(2, 4, anharmonic=kind == "anharmonic")
    )
    potential = potential.double()
    position, velocity = torch.randn(2, 5, 8, dtype=torch.float64)
    drifts = []
    for step in (0.2, 0.1, 0.05):
        still = torch.zeros(5, round(8 / step), 8, dtype=torch.float64)
        z, v = conservative(step)(position, velocity, still, potential.bind())
        energy = potential.energy(z) + 0.5 * v.square().sum(-1)
        drifts.append(float((energy - energy[:, :1]).detach().abs().max()))
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(drifts)]
    assert all(1.7 < order < 2.3 for order in orders)


def test_trajectory_is_of_second_order_against_the_exact_oscillator():
    errors = []
    for step in (0.2, 0.1):
        still = torch.zeros(1, round(6 / step), 1, dtype=torch.float64)
        start = torch.ones(1, 1, dtype=torch.float64)
        z, _ = conservative(step)(start, 0 * start, still, lambda position: -position)
        errors.append(abs(float(z[0, -1, 0]) - math.cos(6)))
    assert 1.8 < math.log2(errors[0] / errors[1]) < 2.2


def test_time_reversal_returns_to_the_start():
    torch.manual_seed(0)
    force = MlpPotential(6, 9).double().bind()
    position, velocity = torch.randn(2, 4, 6, dtype=torch.float64)
    still = torch.zeros(4, 50, 6, dtype=torch.float64)
    flow = conservative(0.3)
    z, v = flow(position, velocity, still, force)
    back, turned = flow(z[:, -1], -v[:, -1], still, force)
    torch.testing.assert_close(back[:, -1], position, rtol=0, atol=1e-10)
    torch.testing.assert_close(-turned[:, -1], velocity, rtol=0, atol=1e-10)


def test_skew_turns_velocities_and_does_no_work():
    torch.manual_seed(0)
    flow = Baoab(step=0.5, damping=0.0, temperature=0.0, skew=(2, 6)).double()
    rotation = flow.rotation()
    eye = torch.eye(6, dtype=torch.float64).expand(2, 6, 6)
    torch.testing.assert_close(rotation @ rotation.mT, eye)
    velocity = torch.randn(3, 12, dtype=torch.float64)
    _, v = flow(0 * velocity, velocity, torch.zeros(3, 10, 12, dtype=torch.float64), free)
    torch.testing.assert_close(v.square().sum(-1)[:, -1], velocity.square().sum(-1))
    assert not torch.allclose(v[:, -1], velocity)


def test_skew_prefers_a_direction_of_travel():
    flow = Baoab(step=0.5, damping=0.0, temperature=0.0, skew=(1, 16)).double()
    with torch.no_grad():
        flow.turn.fill_(0.5)
    bump = torch.exp(-0.5 * (torch.arange(16) - 8.0).double() ** 2 / 4)[None]
    _, v = flow(0 * bump, bump, torch.zeros(1, 6, 16, dtype=torch.float64), free)
    assert int(v[0, -1].argmax()) > 8


def test_constants_are_learned_only_on_request():
    assert all(p.requires_grad for p in Baoab().parameters())
    assert not any(p.requires_grad for p in Baoab(learn=False).parameters())
