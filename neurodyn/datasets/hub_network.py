"""Spikes of a network in which a few hubs excite the others: who drives whom is known.

Plain hubs are easy: the correlation at a short lag finds every edge. With random wiring between
all units behind them (:data:`BACKGROUND`) it no longer does, which is the fair test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn import config as configs
from neurodyn import recording as rec
from neurodyn.datasets.simulation import Simulation, steps_in
from neurodyn.errors import ConfigError

__all__ = ["BACKGROUND", "HubNetworkConfig", "simulate_hub_network"]

FloatArray = NDArray[np.float64]
STEP = 0.001
BURN_IN = 200
STEPS_AT_ONCE = 4096

BACKGROUND: dict[str, Any] = {"background_probability": 0.02, "background_weight": 0.3}
"""Settings of the network with random wiring behind its hubs."""


@dataclass(frozen=True, kw_only=True)
class HubNetworkConfig:
    """Settings of :func:`simulate_hub_network`.

    Parameters
    ----------
    n_units, n_hubs
        Units, and how many of them are hubs; the others are dealt out to the hubs in equal groups.
    duration
        Of the recording [s], whole milliseconds.
    hub_weight
        From a hub to each unit of its group, in thresholds.
    background_probability, background_weight
        Of an edge between two units without one, and its weight.
    drive, hub_drive
        Resting potential of the others and of hubs, in thresholds.
    noise
        Standard deviation of the potential without spikes, in thresholds.
    time_constant, refractory_period, delay
        Of the membrane, after a spike, and from a spike to its effect [s].
    seed
        Of wiring and noise.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> HubNetworkConfig(**BACKGROUND).background_weight
    0.3
    """

    n_units: int = 60
    n_hubs: int = 3
    duration: float = 60.0
    hub_weight: float = 0.6
    background_probability: float = 0.0
    background_weight: float = 0.0
    drive: float = 0.35
    hub_drive: float = 0.5
    noise: float = 0.25
    time_constant: float = 0.01
    refractory_period: float = 0.005
    delay: float = 0.002
    seed: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.n_hubs <= self.n_units - self.n_hubs:
            raise ConfigError(
                "every hub needs a unit to drive",
                found=f"n_hubs={self.n_hubs}, n_units={self.n_units}",
                expected="1 <= n_hubs <= n_units / 2",
            )
        if not 0.0 <= self.background_probability <= 1.0:
            raise ConfigError(
                "background_probability is no probability", found=self.background_probability
            )
        if self.noise < 0.0 or self.time_constant <= 0.0 or self.seed < 0:
            raise ConfigError(
                "noise, time_constant or seed is out of range",
                found=f"{self.noise}, {self.time_constant}, {self.seed}",
                expected="noise >= 0, time_constant > 0 and seed >= 0",
            )


class _Wiring(NamedTuple):
    """Who drives whom."""

    weight: FloatArray
    """Shape ``(unit, unit_to)``."""
    hub: NDArray[np.bool_]
    """Shape ``(unit,)``."""
    driver: NDArray[np.int64]
    """The hub of each unit's group, of a hub itself, shape ``(unit,)``."""


def simulate_hub_network(config: HubNetworkConfig | None = None, **settings: Any) -> Simulation:
    """Simulate noisy leaky integrate-and-fire units that a few hubs drive.

    In steps ``h`` of 1 ms, with ``a = exp(-h / time_constant)``, resting potential ``I``, standard
    normal ``xi``, spikes ``S`` and weights ``w`` (from ``j`` to ``i``):
    ``V_i <- I_i + (V_i - I_i) a + noise sqrt(1 - a^2) xi + sum_j w_ji S_j(t - delay)``. At 1 a
    unit spikes, goes to 0 and stays there for the refractory period.

    Parameters
    ----------
    config
        Settings; 60 units, 3 hubs and 60 s without background wiring by default.
    **settings
        Single settings, such as ``duration=400.0`` or ``**BACKGROUND``.

    Returns
    -------
    Simulation
        ``recording``: spikes in the middle of their milliseconds, with ``role (unit)``, ``hub`` or
        ``other``. ``truth``, kind results: ``weight (unit, unit_to)`` in thresholds, from ``unit``
        to ``unit_to``; ``edge``, where it is not 0; ``hub (unit)``; ``driver (unit)``, the hub
        of each unit's group.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.

    References
    ----------
    The network with three hubs is that of Antoniades et al., Neuroformer, ICLR 2024, whose
    generator is not public; equations and sizes are neurodyn's.

    Examples
    --------
    >>> recording, truth = simulate_hub_network(duration=1.0)
    >>> truth["edge"].sum("unit_to").values[truth["hub"].values].tolist()
    [19, 19, 19]
    >>> recording["spikes"]["role"].values.tolist().count("hub")
    3
    """
    config = configs.assign(config or HubNetworkConfig(), settings)
    wiring, noise = map(np.random.default_rng, np.random.SeedSequence(config.seed).spawn(2))
    wired = _wiring(config, wiring)
    step, unit = _spikes(config, wired, noise)
    recording = _recording(config, wired, step, unit)
    return Simulation(recording, _truth(config, wired, recording))


def _wiring(config: HubNetworkConfig, rng: Generator) -> _Wiring:
    """Draw hubs, groups and background; hubs stand anywhere in the order of units."""
    n_units, n_hubs = config.n_units, config.n_hubs
    shuffled = rng.permutation(n_units)
    driver = np.empty(n_units, dtype=np.int64)
    driver[shuffled] = shuffled[np.arange(n_units) % n_hubs]
    hub = np.zeros(n_units, dtype=bool)
    hub[shuffled[:n_hubs]] = True
    weight = np.zeros((n_units, n_units))
    weight[driver[~hub], np.flatnonzero(~hub)] = config.hub_weight
    free = (weight == 0.0) & ~np.eye(n_units, dtype=bool)
    drawn = rng.random(weight.shape) < config.background_probability
    weight[free & drawn] = config.background_weight
    return _Wiring(weight, hub, driver)


def _spikes(
    config: HubNetworkConfig, wired: _Wiring, rng: Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return step and unit of every spike, in order of time."""
    n_steps = steps_in("duration", config.duration, STEP) + BURN_IN
    delay = steps_in("delay", config.delay, STEP)
    refractory = steps_in("refractory_period", config.refractory_period, STEP)
    keep = np.exp(-STEP / config.time_constant)
    rest = np.where(wired.hub, config.hub_drive, config.drive)
    pull = rest * (1.0 - keep)
    potential = rest.copy()
    free_from = np.zeros(config.n_units, dtype=np.int64)
    fired: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)] * delay
    for first in range(0, n_steps, STEPS_AT_ONCE):
        n_drawn = min(STEPS_AT_ONCE, n_steps - first)
        push = rng.standard_normal((n_drawn, config.n_units))
        push *= config.noise * np.sqrt(1.0 - keep**2)
        push += pull
        for step, kick in enumerate(push, first):
            potential *= keep
            potential += kick
            before = fired[step]
            if before.size:
                potential += wired.weight[before].sum(axis=0)
            potential[free_from > step] = 0.0
            now = np.flatnonzero(potential >= 1.0)
            if now.size:
                potential[now] = 0.0
                free_from[now] = step + 1 + refractory
            fired.append(now)
    lasting = fired[delay + BURN_IN :]
    step_of = np.repeat(np.arange(len(lasting)), [own.size for own in lasting])
    return step_of, np.concatenate(lasting)


def _recording(
    config: HubNetworkConfig, wired: _Wiring, step: NDArray[np.int64], unit: NDArray[np.int64]
) -> xr.DataTree:
    # the middle of a millisecond lies in the same bin for every bin size of whole milliseconds
    time = np.round((step + 0.5) * STEP, 6)
    width = len(str(config.n_units - 1))
    names = [f"{index:0{width}d}" for index in range(config.n_units)]
    spikes = rec.spikes_from_units(
        {name: time[unit == index] for index, name in enumerate(names)},
        observed=[[0.0, config.duration]],
        unit_columns={"role": np.where(wired.hub, "hub", "other")},
    )
    return rec.recording(
        [spikes],
        source="simulation: hub network",
        subject="hub_network",
        session_start="2024-05-07T00:00:00+00:00",
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )


def _truth(config: HubNetworkConfig, wired: _Wiring, recording: xr.DataTree) -> xr.Dataset:
    unit = rec.pick(recording, "spikes")["unit"].values
    return rec.results(
        {
            "weight": (("unit", "unit_to"), wired.weight, {"units": "thresholds"}),
            "edge": (("unit", "unit_to"), wired.weight != 0.0),
            "hub": ("unit", wired.hub),
            "driver": ("unit", unit[wired.driver]),
        },
        {"unit": unit, "unit_to": unit},
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )
