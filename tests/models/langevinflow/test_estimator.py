"""What the estimator adds to the network: labels, units of measurement, diagnostics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurodyn.errors import ConfigError, NotFittedError
from neurodyn.models.checks import example_counts
from neurodyn.models.langevinflow.estimator import LangevinFlowEstimator
from neurodyn.training import TrainingConfig

COUNTS = example_counts(6)
TRAINING = TrainingConfig(n_steps=3, batch_size=6, device="cpu")
SMALL = {"n_groups": 2, "n_sites": 4, "encoder_size": 5, "n_samples": 3}


@pytest.fixture(scope="module")
def fitted():
    return LangevinFlowEstimator(**SMALL).fit(COUNTS, training=TRAINING)


def test_latents_are_labelled(fitted):
    found = fitted.transform(COUNTS)
    assert dict(found.sizes) == {"trial": 6, "time": 15, "factor": 8, "hidden_unit": 10}
    assert found["energy"].dims == ("trial", "time")
    assert (found["force"].isel(time=0) == 0).all()
    # after the last observed bin no force is inferred
    assert (found["force"].isel(time=slice(12, None)) == 0).all()
    assert (found["force"].isel(time=slice(1, 12)) != 0).any()


def test_energy_is_potential_plus_kinetic(fitted):
    found = fitted.transform(COUNTS)
    position = torch.from_numpy(found["latent"].values)
    potential = fitted.network_.potential.energy(position).detach().numpy()
    kinetic = 0.5 * (found["velocity"] ** 2).sum("factor")
    np.testing.assert_allclose(found["energy"], potential + kinetic, rtol=1e-4)


def test_rates_are_those_of_the_network(fitted):
    model = LangevinFlowEstimator(**{**SMALL, "n_samples": 0}).fit(COUNTS, training=TRAINING)
    count = torch.from_numpy(COUNTS["count"].values[:, :12, :4]).float()
    expected = model.network_.predict(count, 3).numpy() / 0.02
    np.testing.assert_allclose(model.predict(COUNTS)["rate"], expected, rtol=1e-4)


def test_autonomous_rates_use_the_initial_state_only(fitted):
    found = fitted.autonomous_rates(COUNTS)
    assert found["rate"].shape == (6, 15, 6)
    assert np.isfinite(found["log_rate"]).all()
    later = COUNTS.copy(deep=True)
    assert not np.allclose(found["rate"], fitted.predict(later)["rate"])


def test_shuffle_costs_name_every_part(fitted):
    found = fitted.shuffle_costs(COUNTS)
    assert found["part"].values.tolist() == ["intact", "z", "v", "h", "zv"]
    assert float(found["cost"].sel(part="intact")) == 0.0
    # the decoder does not see h
    assert float(found["cost"].sel(part="h")) == 0.0
    assert float(found["cost"].sel(part="zv")) != 0.0
    assert np.isfinite(found["co_bps"]).all()
    assert found.identical(fitted.shuffle_costs(COUNTS))


def test_shuffle_costs_without_held_out_units():
    plain = COUNTS.drop_vars("held_out")
    model = LangevinFlowEstimator(**SMALL).fit(plain, training=TRAINING)
    assert np.isnan(model.shuffle_costs(plain)["co_bps"]).all()


def test_dispersion_is_in_hertz(fitted):
    found = fitted.dispersion()
    assert found["frequency"].dims == ("wave_number", "mode")
    assert found["frequency"].shape == (4, 2)
    assert (np.diff(found["wave_number"]) > 0).all()
    integrator, potential = fitted.network_.integrator, fitted.network_.potential
    squared = (potential.scale() * potential.squared_frequencies()).detach().numpy()
    largest = np.sqrt(squared.max()) * integrator.step.item() / 0.02 / (2 * np.pi)
    assert float(found["frequency"].max()) == pytest.approx(largest, rel=1e-5)


def test_presets_give_model_and_training():
    model, training = LangevinFlowEstimator.preset("mc_maze", mode="ccn2025", n_samples=2)
    assert model.config.encoder_size == 280
    assert model.config.n_samples == 2
    assert training.batch_size == 256
    with pytest.raises(ConfigError, match="did you mean 'mc_maze'"):
        LangevinFlowEstimator.preset("mc_mase")


def test_only_rings_have_a_dispersion():
    other = LangevinFlowEstimator(**SMALL, potential="mlp").fit(COUNTS, training=TRAINING)
    with pytest.raises(ConfigError, match="only oscillators on rings"):
        other.dispersion()
    with pytest.raises(NotFittedError):
        LangevinFlowEstimator().dispersion()
