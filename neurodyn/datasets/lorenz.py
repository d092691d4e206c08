"""Spikes driven by the Lorenz system: the synthetic benchmark of LFADS and its successors.

The default is the recipe of 2017 with which the published ``lfads_lorenz.h5`` was made
(65 conditions x 24 trials, 29 units, 1 s). It leaves the term ``-y`` out of the Lorenz
equations; :data:`TEXTBOOK` puts it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn.config import assign
from neurodyn.datasets.simulation import Process, SessionConfig, Simulation, assemble, steps_in

__all__ = ["TEXTBOOK", "LorenzConfig", "lorenz_states", "simulate_lorenz"]

FloatArray = NDArray[np.float64]
SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0
STEP = 0.001
LARGEST_LOG = 20.0

TEXTBOOK: dict[str, Any] = {"include_minus_y": True, "burn_in": 500, "divide_by": "max_abs"}
"""Settings of the textbook system, on its attractor from the start and scaled by max |x|."""


@dataclass(frozen=True, kw_only=True)
class LorenzConfig(SessionConfig):
    """Settings of :func:`simulate_lorenz`; the others are of :class:`SessionConfig`.

    Parameters
    ----------
    include_minus_y
        Use the textbook's ``dy/dt = x (rho - z) - y``; the recipe of 2017 leaves ``-y`` out.
    burn_in
        Steps (of 1 ms) before the trial begins. With a burn-in the starts lie around (0, 0, 25)
        with unit variance, without one around the origin with standard deviation 2.
    divide_by
        Each state, its mean subtracted, is divided by its largest value in the trial
        (``"max"``) or by its largest absolute value (``"max_abs"``).
    base_rate
        Spikes/s of every unit at the mean state.
    time_scale
        Lorenz time per second.
    """

    include_minus_y: bool = False
    burn_in: int = 0
    divide_by: Literal["max", "max_abs"] = "max"
    base_rate: float = 5.0
    time_scale: float = 6.0


def simulate_lorenz(config: LorenzConfig | None = None, **settings: Any) -> Simulation:
    """Simulate a session of units driven by the Lorenz system.

    With states ``x`` (3), readout ``W`` (unit, 3) and ``b = log(base_rate)``,
    ``rate = exp(clip(W x + b, -20, 20))`` per ms; a unit spikes in a millisecond with
    probability ``1 - exp(-rate)``.

    Parameters
    ----------
    config
        Settings; the recipe of 2017 by default.
    **settings
        Single settings, such as ``seed=3`` or ``**TEXTBOOK``.

    Returns
    -------
    Simulation
        ``recording`` and ``truth``, see :func:`neurodyn.datasets.simulation.assemble`.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.

    References
    ----------
    Lorenz, J. Atmos. Sci. 20 (1963), equations 25-27; Pandarinath et al., Nature Methods 15
    (2018), online methods.

    Examples
    --------
    >>> recording, truth = simulate_lorenz(n_conditions=2, n_repeats=3)
    >>> dict(truth["rate"].sizes)
    {'trial': 6, 'time': 50, 'unit': 29}
    """
    config = assign(config or LorenzConfig(), settings)
    n_steps = steps_in("duration", config.duration, STEP)
    states, readout, session = np.random.SeedSequence(config.seed).spawn(3)
    latent = lorenz_states(config, n_steps, np.random.default_rng(states))
    latent = latent - latent.mean(axis=1, keepdims=True)
    size = np.abs(latent) if config.divide_by == "max_abs" else latent
    latent = latent / size.max(axis=1, keepdims=True)
    weight = _readout(config.n_units, np.random.default_rng(readout))
    log_rate = np.log(config.base_rate * STEP) + latent @ weight.T
    rate = np.exp(np.clip(log_rate, -LARGEST_LOG, LARGEST_LOG)) / STEP
    return assemble(
        Process(rate, latent, STEP, "bernoulli"),
        config,
        int(session.generate_state(1)[0]),
        source="simulation: Lorenz system",
        subject="lorenz",
        session_start="2017-10-01T00:00:00+00:00",
    )


def lorenz_states(config: LorenzConfig, n_steps: int, rng: Generator) -> FloatArray:
    """Integrate the Lorenz system by Euler's method from random starts.

    Parameters
    ----------
    config
        Gives the number of trajectories, the time scale, the burn-in and the equations.
    n_steps
        States of each trajectory, 1 ms apart; the first is the start (after the burn-in).
    rng
        For the starts.

    Returns
    -------
    numpy.ndarray
        Shape ``(condition, step, 3)``.

    Examples
    --------
    >>> lorenz_states(LorenzConfig(n_conditions=2), 10, np.random.default_rng(0)).shape
    (2, 10, 3)
    """
    noise = rng.standard_normal((config.n_conditions, 3))
    state = noise + np.array([0.0, 0.0, 25.0]) if config.burn_in else 2.0 * noise
    delta = STEP * config.time_scale
    states = np.empty((config.n_conditions, n_steps + config.burn_in, 3))
    for step in range(states.shape[1]):
        states[:, step] = state
        x, y, z = state.T
        change_of_y = x * (RHO - z) - (y if config.include_minus_y else 0.0)
        state = state + delta * np.stack([SIGMA * (y - x), change_of_y, x * y - BETA * z], axis=1)
    return states[:, config.burn_in :]


def _readout(n_units: int, rng: Generator) -> FloatArray:
    """Return weights (unit, 3) of size 1 to 2 and random sign, each column sorted by itself."""
    size = rng.uniform(1.0, 2.0, (n_units, 3))
    return np.sort(size * np.sign(rng.standard_normal((n_units, 3))), axis=0)
