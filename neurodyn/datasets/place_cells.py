"""Spikes of place cells while a rat runs back and forth on a linear track: all tuning is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from neurodyn import config as configs
from neurodyn import recording as rec
from neurodyn.datasets.simulation import Simulation, steps_in
from neurodyn.errors import ConfigError

__all__ = ["PlaceCellsConfig", "simulate_place_cells"]

FloatArray = NDArray[np.float64]
DIRECTIONS = ("out", "back")
HALF_SPEED = 10.0
"""Running speed [cm/s] at which half of the gain by speed is reached."""
PEAK_OF_MEAN_SPEED = 1.875
"""Of a movement of minimum jerk."""
FIELD_STEP = 2.0


@dataclass(frozen=True, kw_only=True)
class PlaceCellsConfig:
    """Settings of :func:`simulate_place_cells`.

    Parameters
    ----------
    n_units
        Place cells; their fields cover the track evenly.
    duration
        Of the recording [s], a whole number of samples.
    sampling_rate
        Of position and speed [Hz]; rates are constant within a sample.
    track_length
        From end to end [cm].
    peak_speed
        Lowest and highest peak speed of a run [cm/s].
    mean_pause
        Mean time that the rat stays at an end [s], half of it the shortest.
    field_width
        Lowest and highest standard deviation of a field [cm].
    peak_rate, base_rate
        Lowest and highest rate in the middle of a field at full speed, and the rate of every unit
        everywhere that adds to it [spikes/s].
    direction_selectivity
        Lowest and highest share of the field's rate that is missing in the direction which a unit
        does not prefer.
    rest_gain
        Of fields when the rat stands still; 1 is full speed.
    theta_frequency, theta_depth
        Rhythm [Hz] that the rates of all fields follow together, and by how much, 0 to 1.
    seed
        Of everything random.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> PlaceCellsConfig(n_units=8).track_length
    200.0
    """

    n_units: int = 32
    duration: float = 600.0
    sampling_rate: float = 100.0
    track_length: float = 200.0
    peak_speed: tuple[float, float] = (30.0, 70.0)
    mean_pause: float = 2.0
    field_width: tuple[float, float] = (8.0, 20.0)
    peak_rate: tuple[float, float] = (5.0, 25.0)
    base_rate: float = 0.1
    direction_selectivity: tuple[float, float] = (0.0, 1.0)
    rest_gain: float = 0.2
    theta_frequency: float = 8.0
    theta_depth: float = 0.5
    seed: int = 12

    def __post_init__(self) -> None:
        for name in ("n_units", "duration", "sampling_rate", "track_length", "mean_pause"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0", found=getattr(self, name))
        for name in ("peak_speed", "field_width", "peak_rate", "direction_selectivity"):
            low, high = getattr(self, name)
            least, most = (0.0, 1.0) if name == "direction_selectivity" else (1e-9, np.inf)
            if not least <= low <= high <= most:
                raise ConfigError(
                    f"{name} is out of range",
                    found=(low, high),
                    expected="the lower value first, from 0 to 1"
                    if most == 1.0
                    else "0 < low <= high",
                )
        shares = all(0.0 <= share <= 1.0 for share in (self.rest_gain, self.theta_depth))
        if not shares or min(self.base_rate, self.theta_frequency, self.seed) < 0:
            raise ConfigError(
                "rest_gain, theta_depth, base_rate, theta_frequency or seed is out of range",
                found=f"{self.rest_gain}, {self.theta_depth}, {self.base_rate}, "
                f"{self.theta_frequency}, {self.seed}",
                expected="gain and depth from 0 to 1, the others 0 or more",
            )


class _Cells(NamedTuple):
    """What the units are, each of shape ``(unit,)``; ``gain`` is ``(direction, unit)``."""

    center: FloatArray
    width: FloatArray
    peak_rate: FloatArray
    gain: FloatArray

    def fields(self, x: FloatArray) -> FloatArray:
        """Return the rate of fields [spikes/s] at places, shape ``(place, unit)``."""
        distance = (x[:, None] - self.center) / self.width
        return np.asarray(self.peak_rate * np.exp(-0.5 * distance**2))


class _Track(NamedTuple):
    """Where the rat is, each of shape ``(time,)``; ``direction`` is that of the last run."""

    x: FloatArray
    speed: FloatArray
    direction: NDArray[np.int64]


def simulate_place_cells(config: PlaceCellsConfig | None = None, **settings: Any) -> Simulation:
    """Simulate place cells of a rat on a linear track.

    The rat runs from end to end with minimum jerk, each run with its own peak speed, and pauses at
    the ends. The rate of unit ``i`` at place ``x``, speed ``v`` and time ``t`` is
    ``base_rate + peak_rate_i exp(-(x - center_i)^2 / 2 width_i^2) g_i s(v) theta(t)``. The gain
    ``g_i`` is 1 in the preferred direction and ``1 - selectivity_i`` in the other; ``s(v) =
    rest_gain + (1 - rest_gain) v / (v + 10 cm/s)``; ``theta(t) = 1 + theta_depth
    cos(2 pi theta_frequency t)``. Spikes are Poisson.

    Parameters
    ----------
    config
        Settings; 32 units and 600 s by default.
    **settings
        Single settings, such as ``duration=60.0``.

    Returns
    -------
    Simulation
        ``recording``: spikes; behavior ``track`` with the features ``x`` [cm] and ``speed``
        [cm/s]. ``truth``, kind results: ``field (direction, unit, position)``, the rate of fields
        at full speed [spikes/s]; ``center (unit)``, ``width (unit)`` [cm] and ``peak_rate
        (unit)``; ``gain (direction, unit)``; ``heading (time)``, direction of the last run;
        ``rate (time, unit)`` [spikes/s].

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.

    References
    ----------
    Minimum jerk: Flash and Hogan, Journal of Neuroscience 5 (1985). Gain by direction and speed:
    McNaughton, Barnes and O'Keefe, Experimental Brain Research 52 (1983).

    Examples
    --------
    >>> recording, truth = simulate_place_cells(n_units=4, duration=10.0)
    >>> dict(truth["rate"].sizes)
    {'time': 1000, 'unit': 4}
    >>> recording["behavior/track"]["feature"].values.tolist()
    ['x', 'speed']
    """
    config = configs.assign(config or PlaceCellsConfig(), settings)
    drawn, running, spiking = map(np.random.default_rng, SeedSequence(config.seed).spawn(3))
    cells = _cells(config, drawn)
    track = _track(config, running)
    rate = _rate(config, cells, track)
    recording = _recording(config, track, _spike_times(config, rate, spiking))
    return Simulation(recording, _truth(config, cells, track, rate, recording))


def _cells(config: PlaceCellsConfig, rng: Generator) -> _Cells:
    n_units = config.n_units
    share = (rng.permutation(n_units) + rng.random(n_units)) / n_units
    width, peak_rate = (
        rng.uniform(*each, n_units) for each in (config.field_width, config.peak_rate)
    )
    gain = np.ones((len(DIRECTIONS), n_units))
    not_preferred = rng.integers(len(DIRECTIONS), size=n_units)
    selectivity = rng.uniform(*config.direction_selectivity, n_units)
    gain[not_preferred, np.arange(n_units)] -= selectivity
    return _Cells(share * config.track_length, width, peak_rate, gain)


def _track(config: PlaceCellsConfig, rng: Generator) -> _Track:
    """Return a pause, a run out, a pause, a run back and so on."""
    step = 1.0 / config.sampling_rate
    n_samples = steps_in("duration", config.duration, step)
    x, speed, heading = (np.zeros(n_samples) for _ in range(3))
    first = run = 0
    while first < n_samples:
        pause = config.mean_pause * (0.5 + rng.exponential(0.5))
        peak = rng.uniform(*config.peak_speed)
        length = PEAK_OF_MEAN_SPEED * config.track_length / peak
        n_whole = int(np.ceil((pause + length) * config.sampling_rate))
        now = slice(first, min(first + n_whole, n_samples))
        share = np.clip((np.arange(now.stop - first) * step - pause) / length, 0.0, 1.0)
        back = run % 2 == 1
        gone = share**3 * (10.0 - 15.0 * share + 6.0 * share**2)
        x[now] = config.track_length * (1.0 - gone if back else gone)
        speed[now] = peak * 16.0 * (share * (1.0 - share)) ** 2
        # while it pauses the rat still heads where it came to
        heading[now] = np.where(share > 0.0, back, not back and run > 0)
        first, run = now.stop, run + 1
    return _Track(x, speed, heading.astype(np.int64))


def _rate(config: PlaceCellsConfig, cells: _Cells, track: _Track) -> FloatArray:
    """Return the rate [spikes/s], shape ``(time, unit)``."""
    time = (np.arange(track.x.size) + 0.5) / config.sampling_rate
    theta = 1.0 + config.theta_depth * np.cos(2.0 * np.pi * config.theta_frequency * time)
    faster = track.speed / (track.speed + HALF_SPEED)
    common = (config.rest_gain + (1.0 - config.rest_gain) * faster) * theta
    own = cells.fields(track.x) * cells.gain[track.direction]
    return np.asarray(config.base_rate + own * common[:, None])


def _spike_times(config: PlaceCellsConfig, rate: FloatArray, rng: Generator) -> list[FloatArray]:
    """Return times [s] of each unit; off the edges of samples, which rounding could cross."""
    count = rng.poisson(rate / config.sampling_rate)
    times = []
    for own in count.T:
        sample = np.repeat(np.arange(own.size), own)
        within = sample + rng.uniform(0.01, 0.99, sample.size)
        times.append(np.sort(np.round(within / config.sampling_rate, 6)))
    return times


def _recording(config: PlaceCellsConfig, track: _Track, times: list[FloatArray]) -> xr.DataTree:
    width = len(str(config.n_units - 1))
    spikes = rec.spikes_from_units(
        {f"{index:0{width}d}": own for index, own in enumerate(times)},
        observed=[[0.0, config.duration]],
    )
    behavior = rec.behavior(
        np.column_stack([track.x, track.speed]),
        sampling_rate=config.sampling_rate,
        feature=["x", "speed"],
        units=["cm", "cm/s"],
    )
    children: dict[str, xr.Dataset | dict[str, xr.Dataset]]
    children = {"spikes": spikes, "behavior": {"track": behavior}}
    return rec.recording(
        children,
        source="simulation: place cells",
        subject="place_cells",
        session_start="2024-05-07T00:00:00+00:00",
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )


def _truth(
    config: PlaceCellsConfig,
    cells: _Cells,
    track: _Track,
    rate: FloatArray,
    recording: xr.DataTree,
) -> xr.Dataset:
    position = np.arange(0.0, config.track_length + FIELD_STEP / 2, FIELD_STEP)
    field = cells.gain[:, :, None] * cells.fields(position).T
    per_second, length = {"units": "spikes/s"}, {"units": "cm"}
    return rec.results(
        {
            "field": (("direction", "unit", "position"), field, per_second),
            "center": ("unit", cells.center, length),
            "width": ("unit", cells.width, length),
            "peak_rate": ("unit", cells.peak_rate, per_second),
            "gain": (("direction", "unit"), cells.gain),
            "heading": ("time", np.array(DIRECTIONS, dtype=object)[track.direction]),
            "rate": (("time", "unit"), rate.astype(np.float32), per_second),
        },
        {
            "unit": rec.pick(recording, "spikes")["unit"].values,
            "direction": list(DIRECTIONS),
            "position": ("position", position, length),
            "time": ("time", np.arange(len(rate)) / config.sampling_rate, {"units": "s"}),
        },
        bin_size=1.0 / config.sampling_rate,
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )
