"""Forces are gradients, dispersion is the Hessian's spectrum, published facts hold."""

from __future__ import annotations

import pytest
import torch

from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.potentials import (
    MAX_FREQUENCY,
    MlpPotential,
    PublishedPotential,
    RingPotential,
    build_potential,
)


def ring(**settings):
    return RingPotential(3, 6, **settings).double()


def published(size=16, **settings):
    return PublishedPotential(size, zero_kernel=False, **settings).double()


CASES = {
    "ring": ring,
    "ring with two taps": lambda: ring(kernel_size=2),
    "ring of five taps, anharmonic": lambda: ring(kernel_size=5, anharmonic=True),
    "mlp": lambda: MlpPotential(18, 7).double(),
    "ccn2025": published,
    "ccn2025, free norm": lambda: published(normalised=False),
}


@pytest.mark.parametrize("name", CASES)
def test_closed_form_force_is_minus_the_gradient(name):
    torch.manual_seed(0)
    potential = CASES[name]()
    size = 16 if name.startswith("ccn") else 18
    position = torch.randn(2, 5, size, dtype=torch.float64, requires_grad=True)
    energy = potential.energy(position)
    assert energy.shape == (2, 5)
    (gradient,) = torch.autograd.grad(energy.sum(), position)
    torch.testing.assert_close(potential.force(position), -gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n_taps", [1, 3, 5])
def test_dispersion_is_the_spectrum_of_the_hessian(n_taps):
    torch.manual_seed(1)
    potential = RingPotential(4, 8, n_taps).double()
    at = torch.zeros(32, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(potential.energy, at)
    modes = potential.scale() * potential.squared_frequencies()
    expected = torch.linalg.eigvalsh(hessian)
    torch.testing.assert_close(modes.flatten().sort().values, expected, rtol=1e-8, atol=1e-10)


def test_ring_never_exceeds_the_stable_frequency():
    potential = ring()
    with torch.no_grad():
        potential.kernel.mul_(100)
    highest = (potential.scale() * potential.squared_frequencies()).max().sqrt().detach()
    assert float(highest) == pytest.approx(MAX_FREQUENCY)


def test_ring_confines():
    torch.manual_seed(0)
    potential = ring(anharmonic=True)
    assert float(torch.linalg.eigvalsh(potential.stiffness().detach()).min()) > 0
    assert float(potential.quartic().detach()) > 0
    assert ring().quartic() is None


@pytest.mark.parametrize("size", [32, 64])
def test_published_hessian_has_half_rank_and_both_signs(size):
    torch.manual_seed(0)
    potential = published(size)
    at = torch.zeros(size, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(potential.energy, at)
    values = torch.linalg.eigvalsh(hessian)
    assert int(torch.linalg.matrix_rank(hessian, tol=1e-8)) == size // 2
    assert values.min() < -0.1
    assert values.max() > 0.1


def test_build_potential_follows_the_configuration():
    assert isinstance(build_potential(LangevinFlowConfig()), RingPotential)
    assert isinstance(build_potential(LangevinFlowConfig(potential="mlp")), MlpPotential)
    other = LangevinFlowConfig(potential="ccn2025", n_groups=2, n_sites=4)
    assert isinstance(build_potential(other), PublishedPotential)
