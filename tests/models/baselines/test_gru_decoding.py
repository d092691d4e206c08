"""The recurrent decoder: what ridge cannot, the same bits for a seed, nothing of held-out time."""

from __future__ import annotations

import numpy as np
import torch

from neurodyn.models.baselines.gru_decoding import fit_gru_readout
from neurodyn.training import TrainingConfig

TRAINING = TrainingConfig(
    n_steps=200, learning_rate=1e-2, validate_every=25, monitor="mse", patience=4, progress=False
)
SETTINGS = {"hidden_size": 12, "dropout": 0.0, "validation": 0.2, "reach": 1.0}


def samples(seed, n=400):
    rng = np.random.default_rng(seed)
    x = rng.choice([-1.0, 1.0], (n, 2, 2))
    # a product of inputs at two lags: no linear map finds it
    return x, x[:, :1, 0] * x[:, 1:, 1]


def test_products_are_learned_and_the_seed_decides():
    x, y = samples(0)
    before = torch.get_rng_state()
    first, again = (
        fit_gru_readout(x, y, np.arange(400.0), training=TRAINING, **SETTINGS) for _ in range(2)
    )
    assert torch.equal(before, torch.get_rng_state())
    unseen, truth = samples(1)
    found = first.predict(unseen)
    assert found.dtype == np.float64
    assert ((found - truth) ** 2).mean() < 0.05
    np.testing.assert_array_equal(found, again.predict(unseen))


def test_training_stops_when_held_out_blocks_get_worse():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 2, 20)), rng.normal(size=(100, 1))
    readout = fit_gru_readout(x, y, np.arange(100.0), training=TRAINING, **SETTINGS)
    assert readout.best_step < 150
