"""Spikes of a visual population: known receptive fields, a movie, running and spike history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from neurodyn import config as configs
from neurodyn import recording as rec
from neurodyn.datasets.simulation import VALIDATION_EVERY, Simulation, steps_in
from neurodyn.datasets.visual_stimuli import (
    as_luminance,
    drifting_gratings,
    gabor,
    moving_clouds,
)
from neurodyn.errors import ConfigError

__all__ = ["VisualPopulationConfig", "simulate_visual_population"]

FloatArray = NDArray[np.float64]
STEP = 0.001
STIMULI = ("gratings", "movie_1", "movie_2")
TEMPORAL_KERNEL = np.array([0.5, 1.0, 0.3, -0.4])
"""Of the frames 1 to 4 before the one that is on the screen: spikes never tell the future."""
GREY = as_luminance(np.zeros(1))[0]
RUNNING_SCALE = 10.0


@dataclass(frozen=True, kw_only=True)
class VisualPopulationConfig:
    """Settings of :func:`simulate_visual_population`.

    Parameters
    ----------
    n_units, n_repeats
        Units, and trials of each of the three stimuli.
    duration, gap
        Of a trial and of the grey screen before it [s], whole frames.
    frame_rate
        Of the movie and of running speed [Hz].
    height, width
        Of the screen [pixels].
    base_rate
        Lowest and highest rate of a unit on a grey screen at rest [spikes/s].
    stimulus_gain
        Lowest and highest standard deviation of the log rate that the stimuli give a unit.
    running_gain
        Lowest and highest change of a unit's log rate for each 10 cm/s.
    refractoriness, recovery_time
        Drop of the log rate after a spike, and the time constant [s] with which it passes.
    seed
        Of everything random.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> VisualPopulationConfig(n_units=128).frame_rate
    20.0
    """

    n_units: int = 64
    n_repeats: int = 10
    duration: float = 4.0
    gap: float = 0.5
    frame_rate: float = 20.0
    height: int = 16
    width: int = 28
    base_rate: tuple[float, float] = (2.0, 8.0)
    stimulus_gain: tuple[float, float] = (0.5, 1.2)
    running_gain: tuple[float, float] = (-0.2, 0.6)
    refractoriness: float = 3.0
    recovery_time: float = 0.01
    seed: int = 11

    def __post_init__(self) -> None:
        for name in ("n_units", "n_repeats", "duration", "gap", "frame_rate", "recovery_time"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0", found=getattr(self, name))
        if min(self.height, self.width) < 4 or self.seed < 0 or self.base_rate[0] <= 0:
            raise ConfigError(
                "height, width, base_rate or seed is out of range",
                found=f"{self.height}, {self.width}, {self.base_rate}, {self.seed}",
                expected="4 pixels or more each way, base_rate above 0 and seed >= 0",
            )


class _Population(NamedTuple):
    """What the units are."""

    receptive_field: FloatArray
    """Shape ``(unit, row, column)``."""
    base_rate: FloatArray
    stimulus_gain: FloatArray
    running_gain: FloatArray


class _Session(NamedTuple):
    """What happened, in frames: ``length`` of a trial, each after ``gap`` of grey."""

    stimulus: NDArray[np.int64]
    """Of each trial."""
    gap: int
    length: int
    speed: FloatArray
    """Running [cm/s] in every frame, shape ``(frame,)``."""

    @property
    def onset(self) -> NDArray[np.int64]:
        """First frame of each trial."""
        return np.asarray(self.gap + np.arange(self.stimulus.size) * (self.gap + self.length))


def simulate_visual_population(
    config: VisualPopulationConfig | None = None, **settings: Any
) -> Simulation:
    """Simulate a linear-nonlinear Poisson population that sees movies while the animal runs.

    With contrast ``c`` of a frame, Gabor fields ``g`` and the temporal kernel ``k`` over the four
    frames before, ``drive = sum_l k_l <g, c_(f - l)>``, scaled to standard deviation
    ``stimulus_gain`` over all stimuli. The intensity in a millisecond of frame ``f`` is
    ``base_rate exp(drive_f + running_gain speed_f / 10 - refractoriness sum_s exp(-(t - s) /
    recovery_time))`` over the unit's own earlier spikes ``s`` of the trial; a unit spikes with
    probability ``1 - exp(-intensity * 1 ms)``.

    Parameters
    ----------
    config
        Settings; 64 units, 3 stimuli x 10 trials of 4 s by default.
    **settings
        Single settings, such as ``n_repeats=20``.

    Returns
    -------
    Simulation
        ``recording``: spikes, observed during trials; trials with ``stimulus``, ``repeat`` and
        ``split`` (every fifth repeat is ``val``); signal ``(time, channel)``, luminance, a channel
        for each pixel with its ``row`` and ``column``; behavior ``running``, speed [cm/s].
        ``truth``, kind results: ``receptive_field (unit, row, column)``; ``temporal_kernel
        (lag)``; ``base_rate``, ``stimulus_gain`` and ``running_gain (unit)``; ``movie (stimulus,
        frame, row, column)``; ``drive (stimulus, frame, unit)``; ``rate (trial, time, unit)``,
        expected spikes/s given speed and the spikes before each millisecond.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.

    References
    ----------
    Chichilnisky, Network 12 (2001), for the model; Niell and Stryker, Neuron 65 (2010), for the
    gain by running; Antoniades et al., ICLR 2024, for gratings and two movies.

    Examples
    --------
    >>> recording, truth = simulate_visual_population(n_units=4, n_repeats=2, duration=1.0)
    >>> dict(truth["rate"].sizes)
    {'trial': 6, 'time': 20, 'unit': 4}
    >>> dict(recording["signal/movie"].sizes)
    {'time': 180, 'channel': 448}
    """
    config = configs.assign(config or VisualPopulationConfig(), settings)
    cells, clouds, order, running, spiking = map(
        np.random.default_rng, SeedSequence(config.seed).spawn(5)
    )
    population = _population(config, cells)
    session = _session(config, order, running)
    movie = _movie(config, session.length, clouds)
    drive = _drive(population, movie)
    log_rate = _log_rate(population, session, drive)
    spike, intensity = _spikes(config, log_rate, spiking)
    recording = _recording(config, session, movie, spike)
    return Simulation(recording, _truth(config, population, movie, drive, intensity, recording))


def _population(config: VisualPopulationConfig, rng: Generator) -> _Population:
    shape = (config.height, config.width)
    fields = [
        gabor(
            shape,
            (rng.uniform(0.2, 0.8) * config.height, rng.uniform(0.2, 0.8) * config.width),
            orientation=rng.uniform(0.0, np.pi),
            period=rng.uniform(6.0, 10.0),
            phase=rng.uniform(0.0, 2 * np.pi),
            width=rng.uniform(1.5, 3.0),
        )
        for _ in range(config.n_units)
    ]
    gains = (config.base_rate, config.stimulus_gain, config.running_gain)
    return _Population(np.stack(fields), *(rng.uniform(*gain, config.n_units) for gain in gains))


def _session(config: VisualPopulationConfig, order: Generator, running: Generator) -> _Session:
    frame = 1.0 / config.frame_rate
    gap, length = (steps_in(name, getattr(config, name), frame) for name in ("gap", "duration"))
    stimulus = order.permutation(np.repeat(np.arange(len(STIMULI)), config.n_repeats))
    n_frames = stimulus.size * (gap + length)
    # bouts of seconds: an Ornstein-Uhlenbeck process of 3 s, rectified
    keep = np.exp(-frame / 3.0)
    state = running.standard_normal(n_frames)
    for index in range(1, n_frames):
        state[index] = keep * state[index - 1] + np.sqrt(1 - keep**2) * state[index]
    return _Session(stimulus, gap, length, np.maximum(0.0, 6.0 + 8.0 * state))


def _movie(config: VisualPopulationConfig, n_frames: int, rng: Generator) -> NDArray[np.uint8]:
    """Return luminance ``(stimulus, frame, row, column)``."""
    size = (n_frames, (config.height, config.width), config.frame_rate)
    movies = [drifting_gratings(*size), moving_clouds(*size, rng), moving_clouds(*size, rng)]
    return as_luminance(np.stack(movies))


def _drive(population: _Population, movie: NDArray[np.uint8]) -> FloatArray:
    """Return the log rate that the stimuli add, shape ``(stimulus, frame, unit)``."""
    contrast = movie.astype(np.float64) - float(GREY)
    seen = np.einsum("sfrc,urc->sfu", contrast, population.receptive_field)
    drive = np.zeros_like(seen)
    for lag, weight in enumerate(TEMPORAL_KERNEL, 1):
        # before the movie the screen was grey
        drive[:, lag:] += weight * seen[:, :-lag]
    return np.asarray(drive * (population.stimulus_gain / drive.std(axis=(0, 1))))


def _log_rate(population: _Population, session: _Session, drive: FloatArray) -> FloatArray:
    """Return the log rate without history, shape ``(trial, frame, unit)``."""
    frame = session.onset[:, None] + np.arange(session.length)
    faster = session.speed[frame][..., None] / RUNNING_SCALE * population.running_gain
    return np.asarray(np.log(population.base_rate) + drive[session.stimulus] + faster)


def _spikes(
    config: VisualPopulationConfig, log_rate: FloatArray, rng: Generator
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return ``(trial, unit, step)`` of each spike and the intensity of frames [spikes/s]."""
    n_trials, n_frames, n_units = log_rate.shape
    n_steps = steps_in("1 / frame_rate", 1.0 / config.frame_rate, STEP)
    passing = np.exp(-STEP / config.recovery_time)
    trace = np.zeros((n_trials, n_units))
    expected = np.zeros_like(log_rate)
    found = []
    for frame in range(n_frames):
        plain = STEP * np.exp(log_rate[:, frame])
        for step in range(n_steps):
            trace *= passing
            chance = -np.expm1(-plain * np.exp(-config.refractoriness * trace))
            spiking = rng.random(chance.shape) < chance
            trace += spiking
            expected[:, frame] += chance
            trial, unit = np.nonzero(spiking)
            found.append(np.stack([trial, unit, np.full_like(trial, frame * n_steps + step)]))
    spike = np.concatenate(found, axis=1)
    return spike[:, np.lexsort((spike[2], spike[0], spike[1]))], expected * config.frame_rate


def _recording(
    config: VisualPopulationConfig,
    session: _Session,
    movie: NDArray[np.uint8],
    spike: NDArray[np.int64],
) -> xr.DataTree:
    start = np.round(session.onset / config.frame_rate, 6)
    stop = np.round(start + config.duration, 6)
    repeat = np.zeros(start.size, dtype=np.int64)
    for stimulus in range(len(STIMULI)):
        repeat[session.stimulus == stimulus] = np.arange(config.n_repeats)
    validation = repeat % VALIDATION_EVERY == VALIDATION_EVERY - 1
    trials = rec.trials(
        start,
        stop,
        columns={
            "stimulus": np.array(STIMULI)[session.stimulus],
            "repeat": repeat,
            "split": np.where(validation, "val", "train"),
        },
    )
    trial, unit, step = spike
    time = np.round(start[trial] + (step + 0.5) * STEP, 6)
    spikes = rec.spikes_from_units(
        np.split(time, np.searchsorted(unit, np.arange(1, config.n_units))),
        observed=np.stack([start, stop], axis=1),
    )
    running = rec.behavior(
        session.speed, sampling_rate=config.frame_rate, feature=["speed"], units="cm/s"
    )
    children: dict[str, xr.Dataset | dict[str, xr.Dataset]]
    children = {"spikes": spikes, "trials": trials, "behavior": {"running": running}}
    children["signal"] = {"movie": _screen(config, session, movie)}
    return rec.recording(
        children,
        source="simulation: visual population",
        subject="visual_population",
        session_start="2024-05-07T00:00:00+00:00",
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )


def _screen(
    config: VisualPopulationConfig, session: _Session, movie: NDArray[np.uint8]
) -> xr.Dataset:
    screen = np.full((session.speed.size, config.height, config.width), GREY, dtype=np.uint8)
    for onset, stimulus in zip(session.onset, session.stimulus):
        screen[onset : onset + session.length] = movie[stimulus]
    row, column = np.mgrid[: config.height, : config.width].reshape(2, -1)
    return rec.signal(
        screen.reshape(len(screen), -1),
        sampling_rate=config.frame_rate,
        scale_factor=1.0 / 255.0,
        channel_columns={"row": row, "column": column},
        height=config.height,
        width=config.width,
    )


def _truth(
    config: VisualPopulationConfig,
    population: _Population,
    movie: NDArray[np.uint8],
    drive: FloatArray,
    intensity: FloatArray,
    recording: xr.DataTree,
) -> xr.Dataset:
    trials = rec.pick(recording, "trials")
    frame = np.arange(movie.shape[1]) / config.frame_rate
    variables = {
        "receptive_field": (("unit", "row", "column"), population.receptive_field),
        "temporal_kernel": ("lag", TEMPORAL_KERNEL),
        "base_rate": ("unit", population.base_rate, {"units": "spikes/s"}),
        "stimulus_gain": ("unit", population.stimulus_gain),
        "running_gain": ("unit", population.running_gain, {"units": "per 10 cm/s"}),
        "movie": (("stimulus", "frame", "row", "column"), movie / np.float32(255)),
        "drive": (("stimulus", "frame", "unit"), drive),
        "rate": (("trial", "time", "unit"), intensity, {"units": "spikes/s"}),
    }
    coords = {
        "unit": rec.pick(recording, "spikes")["unit"].values,
        "trial": trials["trial"].values,
        "stimulus": list(STIMULI),
        "time": ("time", frame, {"units": "s"}),
        "lag": ("lag", np.arange(1, 5) / config.frame_rate, {"units": "s"}),
        "trial_stimulus": ("trial", trials["stimulus"].values),
    }
    return rec.results(
        variables,
        coords,
        bin_size=1.0 / config.frame_rate,
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )
