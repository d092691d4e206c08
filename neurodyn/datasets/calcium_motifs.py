"""Calcium imaging of several animals with known motifs: groups of cells that act together.

Stimuli drive groups of cells, in each animal in an order of its own; one more group acts on its
own account; every cell has events that it shares with no other. The layout is that of NeuroPAL
recordings of C. elegans, for which this is the set with known truth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
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
from neurodyn.datasets.calcium_motifs_config import CalciumMotifsConfig
from neurodyn.datasets.simulation import Simulation, steps_in, truth_path

__all__ = ["simulate_calcium_motifs", "write_calcium_motifs"]

FloatArray = NDArray[np.float64]


class _Clock(NamedTuple):
    """The design in samples."""

    onset: int
    interval: int
    duration: int
    n_time: int

    @classmethod
    def of(cls, config: CalciumMotifsConfig) -> _Clock:
        step = 1.0 / config.sampling_rate
        onset, interval, duration = (
            steps_in(name, getattr(config, name), step)
            for name in ("onset", "interval", "stimulus_duration")
        )
        return cls(onset, interval, duration, onset + len(config.stimuli) * interval)

    def edges(self) -> list[int]:
        """Return where the stretches between stimuli begin, and the end."""
        return [0, *range(self.onset, self.n_time + 1, self.interval)]


class _Design(NamedTuple):
    """What the traces are made of."""

    gain: FloatArray
    """Shape ``(motif, cell)``."""
    silent: NDArray[np.bool_]
    """Shape ``(cell,)``."""
    orders: NDArray[np.int64]
    """Which stimulus each animal gets in each slot, shape ``(animal, slot)``."""
    strength: FloatArray
    """Shape ``(motif, animal)``."""
    drive: FloatArray
    """Before the indicator, shape ``(motif, animal, time)``."""


def simulate_calcium_motifs(
    config: CalciumMotifsConfig | None = None, **settings: Any
) -> Simulation:
    """Simulate traces of the same cells in several animals under stimuli.

    With gain ``g`` of cell ``i`` in motif ``m``, strength ``s`` of animal ``w``, drive ``u``
    (1 while a stimulus or an event lasts, else 0), private events ``p`` and the indicator ``k``:
    ``x_wi = k * (sum_m g_mi s_mw u_mw + p_wi) + noise``.

    Parameters
    ----------
    config
        Settings; 21 worms, 60 cells, 240 s at 4 Hz and three stimuli by default.
    **settings
        Single settings, such as ``missing_fraction=0.3``.

    Returns
    -------
    Simulation
        ``recording``: signal ``(animal, time, roi)`` [dF/F0], NaN throughout where a cell was
        not seen, and trials with ``stimulus`` and ``animal``. ``truth``, kind results, with a
        motif for each stimulus and one called ``spontaneous``:
        ``member (motif, roi)``; ``gain (motif, roi)``, 0 outside; ``pair (motif, roi, roi_to)``,
        the products of gains; ``animal_strength (motif, animal)``; ``time_course (motif, animal,
        time)``, the drive; ``time_factor (motif, time)``, its mean over animals with the
        stimuli in the order of ``config.stimuli``, of unit norm; ``seen (animal, roi)``;
        ``silent (roi)``.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.

    References
    ----------
    Dyballa et al., ICLR 2024 (motifs of pairs over time and animals); Yemini et al., Cell 184
    (2021) (the layout of the experiment). The process is neurodyn's.

    Examples
    --------
    >>> recording, truth = simulate_calcium_motifs(n_animals=2)
    >>> dict(recording["signal"].sizes)
    {'animal': 2, 'time': 960, 'roi': 60}
    >>> recording["trials"]["stimulus"].values[3:].tolist()
    ['pentanedione', 'NaCl', 'butanone']
    >>> truth["member"].sum("roi").values.tolist()
    [15, 15, 15, 12]
    """
    config = configs.assign(config or CalciumMotifsConfig(), settings)
    clock = _Clock.of(config)
    streams = np.random.SeedSequence(config.seed).spawn(7)
    design = _design(config, clock, *map(np.random.default_rng, streams[:4]))
    traces, seen = _traces(config, clock, design, *map(np.random.default_rng, streams[4:]))
    recording = _recording(config, clock, design.orders, traces)
    return Simulation(recording, _truth(config, clock, design, seen, recording))


def write_calcium_motifs(simulation: Simulation, path: str | Path) -> Path:
    """Write a simulation as a NeuroPAL file, with its truth beside it as netCDF.

    Parameters
    ----------
    simulation
        What :func:`simulate_calcium_motifs` returned.
    path
        The ``.mat`` file; the truth goes to :func:`neurodyn.datasets.truth_path` of it, and
        :func:`neurodyn.datasets.read` reads both.

    Returns
    -------
    Path
        The ``.mat`` file.
    """
    from neurodyn.io.neuropal import write_neuropal

    path = Path(path)
    write_neuropal(simulation.recording, path)
    rec.save(simulation.truth, truth_path(path))
    return path


def _design(
    config: CalciumMotifsConfig,
    clock: _Clock,
    cells: Generator,
    order: Generator,
    strength: Generator,
    spontaneous: Generator,
) -> _Design:
    group, silent = _cells(config, cells)
    orders = _orders(config, order)
    return _Design(
        np.where(group, cells.uniform(*config.gain, group.shape), 0.0),
        silent,
        orders,
        strength.uniform(*config.strength, (len(group), config.n_animals)),
        _drive(config, clock, orders, spontaneous),
    )


def _traces(
    config: CalciumMotifsConfig,
    clock: _Clock,
    design: _Design,
    private: Generator,
    noise: Generator,
    missing: Generator,
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return traces ``(animal, time, cell)`` and which were seen ``(animal, cell)``."""
    total = np.einsum("mc,ma,mat->act", design.gain, design.strength, design.drive)
    total += _private(config, clock, private)
    kernel = indicator_kernel(config.rise_time, config.decay_time, config.sampling_rate)
    traces = through_indicator(total, kernel)
    traces += config.noise * noise.standard_normal(traces.shape)
    traces[:, design.silent] = 0.0
    seen = _seen(config, missing)
    traces[~seen] = np.nan
    return traces.transpose(0, 2, 1), seen


def _cells(
    config: CalciumMotifsConfig, rng: Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the members of each motif ``(motif, cell)`` and the silent cells ``(cell,)``."""
    shuffled = rng.permutation(config.n_cells)
    group = np.zeros((len(config.motifs), config.n_cells), dtype=bool)
    step = config.cells_per_stimulus - config.n_shared_cells
    for motif in range(len(config.stimuli)):
        group[motif, shuffled[motif * step :][: config.cells_per_stimulus]] = True
    end = len(config.stimuli) * step + config.n_shared_cells
    silent = np.zeros(config.n_cells, dtype=bool)
    if config.n_spontaneous_cells:
        group[-1, shuffled[end:][: config.n_spontaneous_cells]] = True
        end += config.n_spontaneous_cells
    silent[shuffled[end:][: config.n_silent_cells]] = True
    return group, silent


def _orders(config: CalciumMotifsConfig, rng: Generator) -> NDArray[np.int64]:
    """Return the orders of stimuli, shape ``(animal, slot)``.

    Every stimulus comes equally often in every slot: rounds of cyclic shifts of one order, the
    first round of that of ``config.stimuli``.
    """
    n_slots = len(config.stimuli)
    slots = np.arange(n_slots)
    if config.same_order:
        return np.tile(slots, (config.n_animals, 1))
    n_rounds = -(-config.n_animals // n_slots)
    bases = [slots, *(rng.permutation(n_slots) for _ in range(n_rounds - 1))]
    rows = [np.roll(base, -shift) for base in bases for shift in range(n_slots)]
    return np.stack(rows[: config.n_animals])


def _aligned(clock: _Clock, orders: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sample of each animal's own clock at each aligned sample, ``(animal, time)``."""
    slot = np.argsort(orders, axis=1)
    within = np.arange(clock.interval)
    stretches = clock.onset + slot[:, :, None] * clock.interval + within
    before = np.tile(np.arange(clock.onset), (len(orders), 1))
    return np.concatenate([before, stretches.reshape(len(orders), -1)], axis=1)


def _drive(
    config: CalciumMotifsConfig, clock: _Clock, orders: NDArray[np.int64], rng: Generator
) -> FloatArray:
    """Return the drive of each motif before the indicator, shape ``(motif, animal, time)``."""
    drive = np.zeros((len(config.motifs), config.n_animals, clock.n_time))
    for animal, order in enumerate(orders):
        for slot, stimulus in enumerate(order):
            start = clock.onset + slot * clock.interval
            drive[stimulus, animal, start : start + clock.duration] = 1.0
    if not config.n_spontaneous_cells:
        return drive
    if config.spontaneous_times == "shared":
        np.put_along_axis(
            drive[-1], _aligned(clock, orders), _spontaneous(config, clock, rng)[None], axis=1
        )
    else:
        for row in drive[-1]:
            row[:] = _spontaneous(config, clock, rng)
    return drive


def _spontaneous(config: CalciumMotifsConfig, clock: _Clock, rng: Generator) -> FloatArray:
    """Return events at random times, none across the begin of a stimulus, shape ``(time,)``."""
    length = steps_in("spontaneous_duration", config.spontaneous_duration, 1 / config.sampling_rate)
    return separate_events(clock.edges(), clock.n_time, config.n_spontaneous_events, length, rng)


def _private(config: CalciumMotifsConfig, clock: _Clock, rng: Generator) -> FloatArray:
    """Return the drive by private events, shape ``(animal, cell, time)``."""
    shape = (config.n_animals, config.n_cells)
    step = 1.0 / config.sampling_rate
    length = steps_in("private_event_duration", config.private_event_duration, step)
    events = event_drive(shape, clock.n_time, config.private_rate * step, length, rng)
    return events * rng.uniform(*config.private_gain, shape)[..., None]


def _seen(config: CalciumMotifsConfig, rng: Generator) -> NDArray[np.bool_]:
    shape = (config.n_animals, config.n_cells)
    rank = np.argsort(rng.random(shape), axis=1)
    return np.asarray(rank >= round(config.missing_fraction * config.n_cells))


def _time_factor(drive: FloatArray, aligned: NDArray[np.int64]) -> FloatArray:
    mean = np.take_along_axis(drive, aligned[None], axis=2).mean(axis=1)
    norm = np.linalg.norm(mean, axis=1, keepdims=True)
    factor: FloatArray = np.divide(mean, norm, out=np.zeros_like(mean), where=norm > 0)
    return factor


def _recording(
    config: CalciumMotifsConfig, clock: _Clock, orders: NDArray[np.int64], traces: FloatArray
) -> xr.DataTree:
    width = len(str(config.n_animals))
    animals = [f"worm{index + 1:0{width}d}" for index in range(config.n_animals)]
    signal = rec.signal(
        traces,
        sampling_rate=config.sampling_rate,
        dim="roi",
        channel=cell_names(config.n_cells),
        animal=animals,
        units="dF/F0",
    )
    n_slots = orders.shape[1]
    onset = (clock.onset + clock.interval * np.arange(n_slots)) / config.sampling_rate
    start = np.tile(onset, config.n_animals)
    trials = rec.trials(
        start,
        start + config.stimulus_duration,
        columns={
            "stimulus": np.array(config.stimuli)[orders].ravel(),
            "animal": np.repeat(animals, n_slots),
        },
    )
    return rec.recording(
        [signal, trials],
        source="simulation: calcium motifs",
        subject="calcium_motifs",
        species="Caenorhabditis elegans",
        session_start="2024-05-07T00:00:00+00:00",
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )


def _truth(
    config: CalciumMotifsConfig,
    clock: _Clock,
    design: _Design,
    seen: NDArray[np.bool_],
    recording: xr.DataTree,
) -> xr.Dataset:
    coords = rec.pick(recording, "signal").coords
    factor = _time_factor(design.drive, _aligned(clock, design.orders))
    return rec.results(
        {
            "member": (("motif", "roi"), design.gain > 0),
            "gain": (("motif", "roi"), design.gain),
            "pair": (("motif", "roi", "roi_to"), pair_gain(design.gain)),
            "animal_strength": (("motif", "animal"), design.strength),
            "time_course": (("motif", "animal", "time"), design.drive),
            "time_factor": (("motif", "time"), factor),
            "seen": (("animal", "roi"), seen),
            "silent": ("roi", design.silent),
        },
        {
            "motif": config.motifs,
            "animal": coords["animal"].values,
            "time": coords["time"].variable,
            "roi": coords["roi"].values,
            "roi_to": coords["roi"].values,
        },
        sampling_rate=config.sampling_rate,
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )
