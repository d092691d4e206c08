"""Spikes of a chaotic recurrent network: many units, dynamics of many dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn.config import assign
from neurodyn.datasets.simulation import Process, SessionConfig, Simulation, assemble, steps_in

__all__ = ["ChaoticRNNConfig", "simulate_chaotic_rnn"]

FloatArray = NDArray[np.float64]
STEP = 0.01


@dataclass(frozen=True, kw_only=True)
class ChaoticRNNConfig(SessionConfig):
    """Settings of :func:`simulate_chaotic_rnn`; the others are of :class:`SessionConfig`.

    Parameters
    ----------
    gain
        Of the recurrent weights; chaotic above 1.
    time_constant
        Of a unit [s].
    maximum_rate
        Of a unit [spikes/s].
    """

    n_conditions: int = 130
    n_repeats: int = 10
    n_units: int = 50
    bin_size: float = 0.01
    seed: int = 5
    gain: float = 1.5
    time_constant: float = 0.025
    maximum_rate: float = 30.0


def simulate_chaotic_rnn(config: ChaoticRNNConfig | None = None, **settings: Any) -> Simulation:
    """Simulate a session of units that are the units of a chaotic network.

    ``tau dx/dt = -x + g J tanh(x)`` with ``J ~ N(0, 1/N)``, by Euler's method in steps of 10 ms
    from ``x(0) ~ N(0, 1)``; ``rate = maximum_rate (1 + tanh(x)) / 2``, Poisson spikes.

    Parameters
    ----------
    config
        Settings; 130 conditions x 10 trials of 50 units by default.
    **settings
        Single settings, such as ``gain=2.5``.

    Returns
    -------
    Simulation
        ``recording`` and ``truth``, see :func:`neurodyn.datasets.simulation.assemble`; the
        latent states are ``tanh(x)`` of all units.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.

    References
    ----------
    Sompolinsky, Crisanti and Sommers, Phys. Rev. Lett. 61 (1988), equation 1; the sizes are
    those of the Neural Data Transformer (Ye and Pandarinath, 2021).

    Examples
    --------
    >>> recording, truth = simulate_chaotic_rnn(n_conditions=2, n_repeats=3)
    >>> dict(truth["rate"].sizes)
    {'trial': 6, 'time': 100, 'unit': 50}
    """
    config = assign(config or ChaoticRNNConfig(), settings)
    network, session = np.random.SeedSequence(config.seed).spawn(2)
    n_steps = steps_in("duration", config.duration, STEP)
    latent = _activations(config, n_steps, np.random.default_rng(network))
    return assemble(
        Process(config.maximum_rate * (1.0 + latent) / 2.0, latent, STEP, "poisson"),
        config,
        int(session.generate_state(1)[0]),
        source="simulation: chaotic recurrent network",
        subject="chaotic_rnn",
        session_start="2021-08-01T00:00:00+00:00",
    )


def _activations(config: ChaoticRNNConfig, n_steps: int, rng: Generator) -> FloatArray:
    """Return ``tanh(x)``, shape (condition, step, unit), the start first."""
    n_units = config.n_units
    weight = config.gain * rng.standard_normal((n_units, n_units)) / np.sqrt(n_units)
    state = rng.standard_normal((config.n_conditions, n_units))
    activation = np.empty((config.n_conditions, n_steps, n_units))
    for step in range(n_steps):
        activation[:, step] = np.tanh(state)
        drive = activation[:, step] @ weight.T - state
        state = state + STEP / config.time_constant * drive
    return activation
