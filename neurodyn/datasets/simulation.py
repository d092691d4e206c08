"""What every simulated session shares: its settings, how it is laid out, drawn and written.

A process gives rates and latent states by condition; here they become trials one after another
with unobserved gaps between them, spikes in session time, and the truth on bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn import config as configs
from neurodyn import io
from neurodyn import recording as rec
from neurodyn.errors import ConfigError

__all__ = ["Process", "SessionConfig", "Simulation", "assemble", "read", "truth_path", "write"]

FloatArray = NDArray[np.float64]
VALIDATION_EVERY = 5


class Simulation(NamedTuple):
    """A simulated recording and the truth about it."""

    recording: xr.DataTree
    truth: xr.Dataset


class Process(NamedTuple):
    """What a simulator computes for each condition, on steps of ``step`` seconds."""

    rate: FloatArray
    """Spikes/s, shape ``(condition, step, unit)``."""
    latent: FloatArray
    """States, shape ``(condition, step, factor)``."""
    step: float
    """Seconds."""
    emission: Literal["bernoulli", "poisson"]
    """At most one spike per step, with probability ``1 - exp(-rate * step)``, or any number."""


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """Settings that all simulated sessions share.

    Parameters
    ----------
    n_conditions, n_repeats
        Every condition is one trajectory, repeated with new spikes.
    n_units
        Units.
    duration
        Of a trial [s].
    bin_size
        Of the truth [s].
    gap
        Unobserved time between trials [s].
    split
        ``"within_condition"``: every fifth trial of the list of all repeats is ``val``;
        ``"unseen_conditions"``: all repeats of every fifth condition are.
    held_out_fraction
        Of the units, drawn by the seed.
    seed
        Of everything random; the split and the held-out units do not change the spikes.
    """

    n_conditions: int = 65
    n_repeats: int = 24
    n_units: int = 29
    duration: float = 1.0
    bin_size: float = 0.02
    gap: float = 0.2
    split: Literal["within_condition", "unseen_conditions"] = "within_condition"
    held_out_fraction: float = 0.25
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("n_conditions", "n_repeats", "n_units", "duration", "bin_size"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0", found=getattr(self, name))
        if not 0.0 <= self.held_out_fraction < 1.0 or self.gap < 0.0 or self.seed < 0:
            raise ConfigError(
                "held_out_fraction, gap or seed is out of range",
                found=f"{self.held_out_fraction}, {self.gap}, {self.seed}",
                expected="0 <= held_out_fraction < 1, gap >= 0 and seed >= 0",
            )


def steps_in(name: str, seconds: float, step: float) -> int:
    """Return how many steps make up a time that must be a whole number of them.

    Raises
    ------
    ConfigError
        If it is not.

    Examples
    --------
    >>> steps_in("bin_size", 0.02, 0.001)
    20
    """
    n_steps = round(seconds / step)
    if n_steps < 1 or abs(n_steps * step - seconds) > 1e-9:
        raise ConfigError(
            f"{name} is no whole number of steps", found=seconds, expected=f"n x {step} s"
        )
    return n_steps


def assemble(process: Process, config: SessionConfig, seed: int, **attrs: Any) -> Simulation:
    """Make a recording and its truth of a process.

    Parameters
    ----------
    process
        Rates and latent states by condition.
    config
        The settings; kept in ``attrs["config"]``.
    seed
        Of order, split, held-out units and spikes.
    **attrs
        Root attributes of the recording.

    Returns
    -------
    Simulation
        ``recording`` with spikes (``held_out`` units), trials (``condition``, ``split``) and
        behavior ``latent`` (mean over each bin, at its left edge). ``truth`` of kind results
        with dims ``(trial, time, unit)``: ``rate``, the expected spikes/s of the bin given how
        spikes are drawn; ``unsaturated_rate``, the mean of the process's rate, which is larger
        where a step holds at most one spike; ``latent``.
    """
    order, chosen, splitting, spiking = map(np.random.default_rng, _streams(seed, 4))
    trials = _trials(config, order, splitting)
    condition = trials["condition"].values.astype(np.int64)
    n_held_out = round(config.held_out_fraction * config.n_units)
    held_out = np.isin(np.arange(config.n_units), chosen.permutation(config.n_units)[:n_held_out])
    intervals = np.stack([trials["start"].values, trials["stop"].values], axis=1)
    spikes = rec.spikes_from_units(
        _spike_times(process, trials["start"].values, condition, spiking),
        observed=intervals,
        unit_columns={"held_out": held_out},
    )
    truth = _truth(process, config, trials, spikes["unit"].values, held_out)
    time = trials["start"].values[:, None] + truth["time"].values
    n_factors = truth.sizes["factor"]
    latent = rec.behavior(
        truth["latent"].values.reshape(-1, n_factors),
        time=time.ravel(),
        feature=truth["factor"].values,
    )
    children: dict[str, xr.Dataset | dict[str, xr.Dataset]]
    children = {"spikes": spikes, "trials": trials, "behavior": {"latent": latent}}
    settings: dict[str, Any] = {
        "config": configs.to_dict(config),
        "config_uid": configs.uid(config),
    }
    recording = rec.recording(children, **settings, **attrs)
    return Simulation(recording, truth)


def write(simulation: Simulation, path: str | Path) -> Path:
    """Write a simulation as an NWB file, with its truth beside it as netCDF.

    Parameters
    ----------
    simulation
        What a simulator returned.
    path
        The NWB file; the truth goes to :func:`truth_path` of it.

    Returns
    -------
    Path
        The NWB file.
    """
    from neurodyn.io.nwb.write import write_nwb

    path = Path(path)
    attrs = simulation.recording.attrs
    write_nwb(
        simulation.recording,
        path,
        session_description=attrs["source"],
        identifier=f"{attrs['subject']}-{attrs['config_uid']}",
    )
    rec.save(simulation.truth, truth_path(path))
    return path


def read(path: str | Path) -> Simulation:
    """Read what :func:`write` wrote.

    Raises
    ------
    FileNotFoundError
        If the truth is not beside the NWB file.
    """
    return Simulation(io.load(path), rec.load(truth_path(path)))


def truth_path(path: str | Path) -> Path:
    """Return where the truth about a simulated NWB file lies.

    Examples
    --------
    >>> truth_path("data/lorenz.nwb").as_posix()
    'data/lorenz.truth.nc'
    """
    return Path(path).with_suffix(".truth.nc")


def _streams(seed: int, n_streams: int) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence(seed).spawn(n_streams)


def _trials(config: SessionConfig, order: Generator, splitting: Generator) -> xr.Dataset:
    n_trials = config.n_conditions * config.n_repeats
    condition = np.repeat(np.arange(config.n_conditions), config.n_repeats)
    if config.split == "within_condition":
        validation = np.arange(n_trials) % VALIDATION_EVERY == VALIDATION_EVERY - 1
    else:
        n_unseen = round(config.n_conditions / VALIDATION_EVERY)
        validation = np.isin(condition, splitting.permutation(config.n_conditions)[:n_unseen])
    shuffled = order.permutation(n_trials)
    # whole microseconds, so that the clock of the session is exact on its ticks
    start = np.round(np.arange(n_trials) * (config.duration + config.gap), 6)
    width = len(str(config.n_conditions - 1))
    return rec.trials(
        start,
        np.round(start + config.duration, 6),
        columns={
            "condition": [f"{index:0{width}d}" for index in condition[shuffled]],
            "split": np.where(validation[shuffled], "val", "train"),
        },
    )


def _spike_times(
    process: Process, start: FloatArray, condition: NDArray[np.int64], rng: Generator
) -> list[FloatArray]:
    """Return session times [s] of each unit, drawn condition by condition to stay small."""
    n_units = process.rate.shape[-1]
    unit, time = [], []
    for index, rate in enumerate(process.rate):
        trial = np.flatnonzero(condition == index)
        shape = (trial.size, *rate.shape)
        expected = rate * process.step
        count = (
            rng.random(shape) < -np.expm1(-expected)
            if process.emission == "bernoulli"
            else rng.poisson(expected, shape)
        ).astype(np.int64)
        at = np.repeat(np.argwhere(count), count[count > 0], axis=0)
        # off the edges of the step: rounding of session times never moves a spike to another
        within = at[:, 1] + rng.uniform(0.05, 0.95, len(at))
        time.append(np.round(start[trial[at[:, 0]]] + within * process.step, 6))
        unit.append(at[:, 2])
    owner, times = np.concatenate(unit), np.concatenate(time)
    by_unit = np.lexsort((times, owner))
    edges = np.searchsorted(owner[by_unit], np.arange(1, n_units))
    return np.split(times[by_unit], edges)


def _truth(
    process: Process,
    config: SessionConfig,
    trials: xr.Dataset,
    unit: NDArray[Any],
    held_out: NDArray[np.bool_],
) -> xr.Dataset:
    n_steps = steps_in("bin_size", config.bin_size, process.step)
    steps_in("duration", config.duration, config.bin_size)
    expected = process.rate * process.step
    if process.emission == "bernoulli":
        expected = -np.expm1(-expected)
    of_trial = trials["condition"].values.astype(np.int64)
    dims = ("trial", "time", "unit")

    def binned(values: FloatArray) -> NDArray[np.float32]:
        shape = (values.shape[0], -1, n_steps, values.shape[-1])
        by_condition: NDArray[np.float32] = values.reshape(shape).mean(axis=2).astype(np.float32)
        return np.asarray(by_condition[of_trial])

    rate = binned(expected / process.step)
    per_second = {"units": "spikes/s"}
    return rec.results(
        {
            "rate": (dims, rate, per_second),
            "unsaturated_rate": (dims, binned(process.rate), per_second),
            "latent": (("trial", "time", "factor"), binned(process.latent)),
        },
        {
            "trial": trials["trial"].values,
            "time": ("time", np.arange(rate.shape[1]) * config.bin_size, {"units": "s"}),
            "unit": unit,
            "factor": [str(index) for index in range(process.latent.shape[-1])],
            "condition": ("trial", trials["condition"].values),
            "split": ("trial", trials["split"].values),
            "held_out": ("unit", held_out),
        },
        bin_size=config.bin_size,
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )
