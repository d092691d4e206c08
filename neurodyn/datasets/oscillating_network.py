"""M/EEG of a network of oscillators whose synchrony, dynamics and forward matrix are known.

The network is linear, so its truth is exact: the dynamics are the eigenvalues of a matrix, and
the synchrony of any two regions follows from the stationary covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn import config as configs
from neurodyn import recording as rec
from neurodyn.datasets.linear_oscillators import (
    band_coherence,
    coupled_oscillators,
    oscillator_course,
    phase_locking_of_coherence,
)
from neurodyn.datasets.simulation import Simulation, truth_path
from neurodyn.errors import ConfigError

__all__ = [
    "OscillatingNetworkConfig",
    "simulate_oscillating_network",
    "write_oscillating_network",
]

FloatArray = NDArray[np.float64]
MODULES = ("frontal", "parietal")
STATES = ("rest", *MODULES)
# each region lies below a sensor
REGIONS = {
    "frontal_left": "F3",
    "frontal_middle": "Fz",
    "frontal_right": "F4",
    "parietal_left": "P3",
    "parietal_middle": "Pz",
    "parietal_right": "P4",
}
CONDUCTIVITY = 0.33
"""Of the head [S/m]."""
DEPTH = 0.05
"""Of the sources below the sensors [m]."""
BLINK_VOLTS = 1e-4
EYE_FALL_OFF = 20.0
"""The further back a sensor, the less it sees of the eyes [1/m]."""
BLINK = 0.4
"""Seconds that a blink takes."""


@dataclass(frozen=True, kw_only=True)
class OscillatingNetworkConfig:
    """Settings of :func:`simulate_oscillating_network`.

    Parameters
    ----------
    n_trials
        Half of them couple the first module, half the second, in random order.
    duration, gap
        Length of a trial and of the rest before each [s].
    sampling_rate
        Of the sensors [Hz].
    frequency
        Of the regions of both modules [Hz].
    damping
        Rate at which a region alone forgets [1/s].
    coupling
        Between regions of a module while it is coupled [1/s].
    band
        Bounds [Hz] within which the truth tells the synchrony.
    moment
        Root mean square of the dipole of a region [A m].
    noise
        Of each sensor, root mean square [V].
    n_blinks
        Each is marked ``BAD_blink``, and never within half a second of a trial.
    bad_channel
        A sensor with 30 times the noise.
    seed
        Of everything random.
    """

    n_trials: int = 40
    duration: float = 2.0
    gap: float = 2.0
    sampling_rate: float = 200.0
    frequency: tuple[float, float] = (10.0, 11.0)
    damping: float = 5.0
    coupling: float = 10.0
    band: tuple[float, float] = (7.0, 14.0)
    moment: float = 1e-7
    noise: float = 1e-6
    n_blinks: int = 8
    bad_channel: str = "T7"
    seed: int = 1

    def __post_init__(self) -> None:
        positive = ("duration", "gap", "sampling_rate", "damping", "coupling", "moment", "noise")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0", found=getattr(self, name))
        if self.n_trials < 2 or self.n_trials % 2 or self.n_blinks < 0 or self.seed < 0:
            raise ConfigError(
                "n_trials, n_blinks or seed is out of range",
                found=f"{self.n_trials}, {self.n_blinks}, {self.seed}",
                expected="an even number of trials from 2; n_blinks >= 0 and seed >= 0",
            )
        if self.gap < 1.0 + BLINK or self.n_blinks > self.n_trials:
            raise ConfigError(
                "blinks do not fit into the gaps",
                found=f"{self.n_blinks} blinks, {self.n_trials} gaps of {self.gap} s",
                expected=f"at most one in each gap, of at least {1 + BLINK} s",
            )
        low, high = self.band
        if not 0 < low < min(self.frequency) <= max(self.frequency) < high < self.sampling_rate / 2:
            raise ConfigError(
                "band or frequency is out of range",
                found=f"{self.band}, {self.frequency} Hz",
                expected=f"frequencies within the band, below {self.sampling_rate / 2:g} Hz",
            )


def simulate_oscillating_network(
    config: OscillatingNetworkConfig | None = None, **settings: Any
) -> Simulation:
    """Simulate EEG of six regions, in two modules of three, each in synchrony when called upon.

    The complex state ``z`` of the regions follows ``dz = A z dt + noise``, with ``A = -damping +
    2 pi i frequency`` on the diagonal and, within the module that a trial couples, ``coupling *
    (z_j - z_i)`` for each pair. The noise is such that each region has the same power at all
    times: synchrony changes and power does not. Dipoles ``moment * Re(z)`` reach the sensors as
    in an infinite homogeneous conductor, ``V = p (r - r0) / (4 pi sigma |r - r0|^3)``, against
    the average of all sensors, with noise, blinks and one bad channel.

    Parameters
    ----------
    config, **settings
        Settings, and single ones such as ``seed=3``.

    Returns
    -------
    Simulation
        ``recording``: ``signal/eeg`` (32 channels [V], with positions [m], ``type``, ``bad``),
        ``signal/eog`` and ``trials`` with ``description`` ("frontal", "parietal", "BAD_blink").
        ``truth``, of kind results: ``forward(channel, roi)`` [V/(A m)], ``source(time, roi)``
        [A m]; ``frequency(state, mode)`` [Hz] and ``decay`` [1/s], the eigenvalues of ``A``;
        ``coherence`` (absolute) and ``phase_locking_value(state, roi, roi_to)`` of the sources in
        the band; ``module(roi)``. The states are ``rest`` and the coupled module.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.

    References
    ----------
    Gardiner, Handbook of Stochastic Methods (1985), section 4.4.6 (Ornstein-Uhlenbeck process);
    Malmivuo & Plonsey, Bioelectromagnetism (1995), chapter 8 (dipole).

    Examples
    --------
    >>> recording, truth = simulate_oscillating_network(n_trials=4, n_blinks=1)
    >>> dict(recording["signal/eeg"].sizes)
    {'time': 3600, 'channel': 32}
    >>> truth["phase_locking_value"].sel(state="frontal").values[0, 1:4].round(2).tolist()
    [0.74, 0.74, 0.0]
    """
    config = configs.assign(config or OscillatingNetworkConfig(), settings)
    streams = np.random.SeedSequence(config.seed).spawn(4)
    dynamics, order, sensing, blinking = map(np.random.default_rng, streams)
    called = order.permutation(np.repeat(MODULES, config.n_trials // 2))
    names, place = _sensors()
    forward = _forward(names, place)
    matrices = {state: _dynamics(config, state) for state in STATES}
    source = _source(config, matrices, called, dynamics)
    blinks = _blink_starts(config, blinking)
    seen = _blink_course(config, len(source), blinks)[:, None] * _eye_weight(place)
    size = np.where(np.array([*names, "VEOG"]) == config.bad_channel, 30.0, 1.0) * config.noise
    values = sensing.standard_normal((len(source), size.size)) * size + seen
    values[:, :-1] += source @ forward.T
    recording = _recording(config, values, names, place, _events(config, called, blinks))
    return Simulation(recording, _truth(config, matrices, source, forward, recording))


def write_oscillating_network(simulation: Simulation, path: str | Path) -> Path:
    """Write a simulation as a FIF file, by mne, with its truth beside it as netCDF.

    Parameters
    ----------
    simulation
        What :func:`simulate_oscillating_network` returned.
    path
        The file, ``*_raw.fif`` or ``*_eeg.fif``; the truth goes to
        :func:`neurodyn.datasets.truth_path` of it.

    Returns
    -------
    Path
        The FIF file.

    Examples
    --------
    >>> import tempfile
    >>> simulation = simulate_oscillating_network(n_trials=2, n_blinks=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_oscillating_network(simulation, Path(folder) / "network_raw.fif").name
    'network_raw.fif'
    """
    from neurodyn.io.mne_objects import to_mne

    path = Path(path)
    raw = to_mne(simulation.recording)
    raw.save(path, fmt="single", overwrite=True, verbose="ERROR")
    rec.save(simulation.truth, truth_path(path))
    return path


def _sensors() -> tuple[list[str], FloatArray]:
    """Return names and positions ``(channel, 3)`` [m], in mne's frame of the head."""
    import mne

    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, 1.0, "eeg").set_montage(montage)
    return list(info["ch_names"]), np.array([channel["loc"][:3] for channel in info["chs"]])


def _forward(names: list[str], place: FloatArray) -> FloatArray:
    """Return potentials of radial unit dipoles against the average, ``(channel, roi)``."""
    # the centre c of the sphere through all sensors: |r|^2 = 2 r c + constant
    design = np.column_stack([2.0 * place, np.ones(len(place))])
    centre = np.linalg.lstsq(design, (place**2).sum(axis=1))[0][:3]
    above = place[[names.index(sensor) for sensor in REGIONS.values()]] - centre
    distance = np.linalg.norm(above, axis=1, keepdims=True)
    direction = above / distance
    source = centre + direction * (distance - DEPTH)
    apart = place[:, None] - source
    cubed = np.linalg.norm(apart, axis=2) ** 3
    potential = (apart * direction).sum(axis=2) / (4.0 * np.pi * CONDUCTIVITY * cubed)
    return np.asarray(potential - potential.mean(axis=0))


def _dynamics(config: OscillatingNetworkConfig, state: str) -> NDArray[np.complex128]:
    """Return the matrix ``A`` [1/s] of a state, in which one module is coupled or none."""
    module = np.repeat(MODULES, len(REGIONS) // len(MODULES))
    pulled = (module[:, None] == module) & (module == state) & ~np.eye(module.size, dtype=bool)
    frequency = [config.frequency[MODULES.index(name)] for name in module]
    return coupled_oscillators(frequency, config.damping, config.coupling * pulled)


def _source(
    config: OscillatingNetworkConfig,
    matrices: dict[str, NDArray[np.complex128]],
    called: NDArray[np.str_],
    rng: Generator,
) -> FloatArray:
    """Return dipoles ``(time, roi)`` [A m], with rest before and after each trial."""
    n_gap, n_trial = (round(s * config.sampling_rate) for s in (config.gap, config.duration))
    trials = [((str(name), n_trial), ("rest", n_gap)) for name in called]
    pieces = [("rest", n_gap), *(piece for pair in trials for piece in pair)]
    course = oscillator_course(matrices, pieces, 1.0 / config.sampling_rate, rng)
    # the real part has half of the power
    return np.asarray(config.moment * np.sqrt(2.0) * course.real)


def _blink_starts(config: OscillatingNetworkConfig, rng: Generator) -> FloatArray:
    gaps = np.sort(rng.choice(config.n_trials, config.n_blinks, replace=False))
    first = gaps * (config.gap + config.duration) + 0.5
    return np.asarray(np.round(first + rng.random(gaps.size) * (config.gap - 1.0 - BLINK), 3))


def _blink_course(config: OscillatingNetworkConfig, n_time: int, starts: FloatArray) -> FloatArray:
    time = np.arange(n_time) / config.sampling_rate
    course = np.zeros(n_time)
    for start in starts:
        within = (time >= start) & (time < start + BLINK)
        course[within] = BLINK_VOLTS * np.sin(np.pi * (time[within] - start) / BLINK) ** 2
    return course


def _eye_weight(place: FloatArray) -> FloatArray:
    """Return how much of a blink each sensor sees, the channel at the eye last."""
    return np.append(np.exp(EYE_FALL_OFF * (place[:, 1] - place[:, 1].max())), 2.0)


def _events(
    config: OscillatingNetworkConfig,
    called: NDArray[np.str_],
    blinks: FloatArray,
) -> xr.Dataset:
    start = config.gap + np.arange(config.n_trials) * (config.gap + config.duration)
    description = np.concatenate([called, np.full(blinks.size, "BAD_blink")])
    length = np.repeat([config.duration, BLINK], [start.size, blinks.size])
    begin = np.concatenate([start, blinks])
    order = np.argsort(begin, kind="stable")
    columns = {"description": description[order], "bad": (description == "BAD_blink")[order]}
    return rec.trials(begin[order], (begin + length)[order], columns=columns)


def _recording(
    config: OscillatingNetworkConfig,
    values: FloatArray,
    names: list[str],
    place: FloatArray,
    events: xr.Dataset,
) -> xr.DataTree:
    metres = {"units": "m"}
    columns = {
        "type": np.full(len(names), "eeg"),
        **{axis: xr.Variable(("channel",), p, metres) for axis, p in zip("xyz", place.T)},
        "bad": np.array(names) == config.bad_channel,
    }
    clock: dict[str, Any] = {"sampling_rate": config.sampling_rate, "units": "V"}
    eeg = rec.signal(
        values[:, :-1], channel=names, channel_columns=columns, coordinate_frame="head", **clock
    )
    eye = rec.signal(
        values[:, -1:], channel=["VEOG"], channel_columns={"type": ["eog"], "bad": [False]}, **clock
    )
    children: dict[str, xr.Dataset | dict[str, xr.Dataset]]
    children = {"signal": {"eeg": eeg, "eog": eye}, "trials": events}
    return rec.recording(
        children,
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
        source="simulation: oscillating network",
        subject="oscillating_network",
        session_start="2023-06-01T00:00:00+00:00",
    )


def _truth(
    config: OscillatingNetworkConfig,
    matrices: dict[str, NDArray[np.complex128]],
    source: FloatArray,
    forward: FloatArray,
    recording: xr.DataTree,
) -> xr.Dataset:
    eeg = recording["signal/eeg"]
    modes = np.array([np.linalg.eigvals(matrix) for matrix in matrices.values()])
    modes = np.take_along_axis(modes, np.lexsort((modes.imag, -modes.real.round(6))), axis=1)
    coherence = np.array([band_coherence(matrix, config.band) for matrix in matrices.values()])
    pairs = ("state", "roi", "roi_to")
    regions = list(REGIONS)
    return rec.results(
        {
            "forward": (("channel", "roi"), forward, {"units": "V/(A m)"}),
            "source": (("time", "roi"), source.astype(np.float32), {"units": "A m"}),
            "frequency": (("state", "mode"), modes.imag / (2.0 * np.pi), {"units": "Hz"}),
            "decay": (("state", "mode"), -modes.real, {"units": "1/s"}),
            "coherence": (pairs, coherence),
            "phase_locking_value": (pairs, phase_locking_of_coherence(coherence)),
        },
        {
            "channel": eeg["channel"].values,
            "time": ("time", eeg["time"].values, {"units": "s"}),
            "roi": regions,
            "roi_to": regions,
            "state": list(STATES),
            "mode": [str(index) for index in range(len(regions))],
            "module": ("roi", [name.partition("_")[0] for name in regions]),
        },
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )
