"""The chaotic network against its equation."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn import recording as rec
from neurodyn.datasets.chaotic_rnn import simulate_chaotic_rnn
from neurodyn.errors import ConfigError


def test_sizes_and_rates() -> None:
    recording, truth = simulate_chaotic_rnn()
    assert dict(truth["rate"].sizes) == {"trial": 1300, "time": 100, "unit": 50}
    assert float(truth["rate"].max()) <= 30.0
    spikes = rec.pick(recording, "spikes")
    assert spikes.sizes["spike"] / 1300 / 50 == pytest.approx(float(truth["rate"].mean()), rel=0.01)
    trials = rec.pick(recording, "trials")
    assert (trials["split"] == "val").sum() == 260


def test_states_follow_the_equation() -> None:
    """The recurrent weights that explain the steps are one matrix of the stated size."""
    truth = simulate_chaotic_rnn(n_repeats=1).truth
    activation = truth["latent"].values.astype(np.float64)
    state = np.arctanh(activation.clip(-0.9999, 0.9999))
    drive = np.diff(state, axis=1) * 0.025 / 0.01 + state[:, :-1]
    fair = (np.abs(activation[:, :-1]) < 0.99).all(axis=2) & (np.abs(activation[:, 1:]) < 0.99).all(
        axis=2
    )
    inputs, targets = activation[:, :-1][fair], drive[fair]
    weight, *_ = np.linalg.lstsq(inputs, targets, rcond=None)
    assert np.abs(inputs @ weight - targets).max() < 1e-3
    assert weight.std() * np.sqrt(50) == pytest.approx(1.5, rel=0.05)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="bin_size is no whole number of steps"):
        simulate_chaotic_rnn(bin_size=0.005)
