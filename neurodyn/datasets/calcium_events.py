"""Calcium imaging of one animal with motifs of brief events, each in a few short windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn import config as configs
from neurodyn import recording as rec
from neurodyn.datasets.calcium import (
    cell_names,
    event_drive,
    indicator_kernel,
    pair_gain,
    separate_events,
    through_indicator,
)
from neurodyn.datasets.simulation import Simulation, steps_in
from neurodyn.errors import ConfigError

__all__ = ["CalciumEventsConfig", "simulate_calcium_events"]

FloatArray = NDArray[np.float64]
WINDOWS = 20
"""Windows in the record, each of one motif or of none."""
POSITIVE = (
    "sampling_rate",
    "duration",
    "n_motifs",
    "cells_per_motif",
    "windows_per_motif",
    "events_per_window",
    "event_duration",
    "rise_time",
    "decay_time",
)


@dataclass(frozen=True, kw_only=True)
class CalciumEventsConfig:
    """Settings of :func:`simulate_calcium_events`.

    Parameters
    ----------
    n_cells
        Cells, with names of cells in the head of C. elegans.
    duration, sampling_rate
        Of the record [s], a multiple of 20 frames, and frames per second [Hz].
    n_motifs, cells_per_motif
        Disjoint groups of cells.
    windows_per_motif
        Twentieths of the record in which a motif is active; no two motifs share one.
    events_per_window, event_duration
        Shared events in each window, and the length of each [s].
    gain
        Range of a cell's gain in its motif, uniform.
    private_rate, private_gain
        Events that a cell shares with no other, of the same length: per second, and the range
        of a cell's gain for them.
    rise_time, decay_time
        Of the indicator [s].
    noise
        Standard deviation of the white noise of each frame [dF/F0].
    seed
        Of everything random.

    Raises
    ------
    ConfigError
        For a setting out of range, or more cells or windows than there are.
    """

    n_cells: int = 60
    duration: float = 400.0
    sampling_rate: float = 4.0
    n_motifs: int = 5
    cells_per_motif: int = 10
    windows_per_motif: int = 3
    events_per_window: int = 5
    event_duration: float = 0.5
    gain: tuple[float, float] = (1.5, 4.0)
    private_rate: float = 1.0 / 30.0
    private_gain: tuple[float, float] = (1.5, 4.0)
    rise_time: float = 0.5
    decay_time: float = 2.0
    noise: float = 0.1
    seed: int = 1

    def __post_init__(self) -> None:
        for name in POSITIVE:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} must be above 0", found=getattr(self, name))
        for name in ("private_rate", "noise", "seed"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"{name} must not be negative", found=getattr(self, name))
        for name in ("gain", "private_gain"):
            low, high = getattr(self, name)
            if not 0 < low <= high < np.inf:
                raise ConfigError(
                    f"{name} is no range", found=(low, high), expected="0 < low <= high"
                )
        for what, each, most in (
            ("cells", self.cells_per_motif, len(cell_names(self.n_cells))),
            ("windows", self.windows_per_motif, WINDOWS),
        ):
            if self.n_motifs * each > most:
                raise ConfigError(
                    f"there are more {what} in motifs than {what}",
                    found=f"{self.n_motifs} x {each}",
                    expected=f"at most {most}",
                )


def simulate_calcium_events(
    config: CalciumEventsConfig | None = None, **settings: Any
) -> Simulation:
    """Simulate traces of one animal whose motifs are brief events.

    As :func:`neurodyn.datasets.simulate_calcium_motifs`, without stimuli: each motif has a few
    windows, a twentieth of the record each, with brief events in them.

    Parameters
    ----------
    config
        Settings; 60 cells, 400 s at 4 Hz and five motifs by default.
    **settings
        Single settings, such as ``seed=3``.

    Returns
    -------
    Simulation
        ``recording``: signal ``(time, roi)`` [dF/F0]. ``truth``, kind results: ``member (motif,
        roi)``; ``gain (motif, roi)``, 0 outside; ``pair (motif, roi, roi_to)``, the products of
        gains; ``time_course (motif, time)``, the drive; ``active (motif, time)``, its windows.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.

    Examples
    --------
    >>> recording, truth = simulate_calcium_events(n_motifs=2)
    >>> dict(recording["signal"].sizes), truth["active"].mean("time").values.tolist()
    ({'time': 1600, 'roi': 60}, [0.15, 0.15])
    """
    config = configs.assign(config or CalciumEventsConfig(), settings)
    step = 1.0 / config.sampling_rate
    n_window = steps_in("duration", config.duration, WINDOWS * step)
    length = steps_in("event_duration", config.event_duration, step)
    cells, windows, events, private, noise = (
        np.random.default_rng(stream) for stream in np.random.SeedSequence(config.seed).spawn(5)
    )
    gain = _gain(config, cells)
    owner = _owners(config, windows)
    drive = np.zeros((config.n_motifs, WINDOWS * n_window))
    for window in np.flatnonzero(owner >= 0).tolist():
        span = [window * n_window, (window + 1) * n_window]
        drive[owner[window]] += separate_events(
            span, drive.shape[1], config.events_per_window, length, events
        )
    shape = (config.n_cells,)
    own = event_drive(shape, drive.shape[1], config.private_rate * step, length, private)
    total = gain.T @ drive + own * private.uniform(*config.private_gain, shape)[:, None]
    kernel = indicator_kernel(config.rise_time, config.decay_time, config.sampling_rate)
    traces = through_indicator(total, kernel)
    traces += config.noise * noise.standard_normal(traces.shape)
    active = np.repeat(owner, n_window) == np.arange(config.n_motifs)[:, None]
    return _assemble(config, traces, gain, drive, active)


def _gain(config: CalciumEventsConfig, rng: Generator) -> FloatArray:
    gain = np.zeros((config.n_motifs, config.n_cells))
    groups = rng.permutation(config.n_cells)[: config.n_motifs * config.cells_per_motif]
    for row, members in zip(gain, groups.reshape(config.n_motifs, -1)):
        row[members] = rng.uniform(*config.gain, members.size)
    return gain


def _owners(config: CalciumEventsConfig, rng: Generator) -> NDArray[np.int64]:
    """Return the motif of each window, -1 for none."""
    owner = np.full(WINDOWS, -1)
    motifs = np.repeat(np.arange(config.n_motifs), config.windows_per_motif)
    owner[rng.permutation(WINDOWS)[: motifs.size]] = motifs
    return owner


def _assemble(
    config: CalciumEventsConfig,
    traces: FloatArray,
    gain: FloatArray,
    drive: FloatArray,
    active: NDArray[np.bool_],
) -> Simulation:
    names = cell_names(config.n_cells)
    settings: dict[str, Any] = {
        "config": configs.to_dict(config),
        "config_uid": configs.uid(config),
    }
    signal = rec.signal(
        traces.T, sampling_rate=config.sampling_rate, dim="roi", channel=names, units="dF/F0"
    )
    recording = rec.recording(
        [signal],
        source="simulation: calcium events",
        subject="calcium_events",
        session_start="2024-05-07T00:00:00+00:00",
        **settings,
    )
    truth = rec.results(
        {
            "member": (("motif", "roi"), gain > 0),
            "gain": (("motif", "roi"), gain),
            "pair": (("motif", "roi", "roi_to"), pair_gain(gain)),
            "time_course": (("motif", "time"), drive),
            "active": (("motif", "time"), active),
        },
        {
            "motif": [str(motif + 1) for motif in range(config.n_motifs)],
            "time": signal["time"].variable,
            "roi": names,
            "roi_to": names,
        },
        sampling_rate=config.sampling_rate,
        **settings,
    )
    return Simulation(recording, truth)
