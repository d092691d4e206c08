"""An fMRI study with known truth: networks, tasks, a difference between groups, and nuisance.

Two groups of subjects see and move in blocks. Regions follow the course of their network; in one
group two networks go together and in the other they do not. Motion, drift, physiology and the
first frames lie over it, as in a real scan, and are all in the table of confounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn import config as configs
from neurodyn import recording as rec
from neurodyn.datasets.fmri_phantom_anatomy import NETWORKS, phantom_head
from neurodyn.datasets.fmri_phantom_confounds import Nuisance, confound_table, simulate_nuisance
from neurodyn.datasets.simulation import Simulation
from neurodyn.errors import ConfigError

__all__ = ["BASELINE", "GROUPS", "FmriPhantomConfig", "haemodynamic_response", "simulate_fmri"]

FloatArray = NDArray[np.float64]

GROUPS = ("control", "patient")
BASELINE = 1000.0
"""Image intensity without any signal."""
# what a block adds to the course of a network, in units of task_gain
TASKS = {
    "visual": {"Vis": 1.0, "DorsAttn": 0.5, "Default": -0.5},
    "motor": {"SomMot": 1.0, "DorsAttn": 0.5, "Default": -0.5},
}
REST = "rest"
# correlations between networks; that of Cont and Default depends on the group
COUPLING = {
    ("Vis", "SomMot"): 0.2,
    ("Vis", "DorsAttn"): 0.2,
    ("DorsAttn", "SalVentAttn"): 0.3,
    ("DorsAttn", "Cont"): 0.3,
    ("DorsAttn", "Default"): -0.2,
    ("Limbic", "Default"): 0.3,
}
DIFFERENT = ("Cont", "Default")
# variance of a region before tasks: of its network, of its pair of sides, of its own
SHARES = (0.6, 0.15, 0.25)
FIRST_BLOCK, BLOCK, PAUSE = 16.0, 20.0, 16.0
FILTER_LENGTH = 32.0


@dataclass(frozen=True, kw_only=True)
class FmriPhantomConfig:
    """Settings of :func:`simulate_fmri`.

    Parameters
    ----------
    n_subjects
        One run each, controls and patients in turn.
    n_frames
        Of a run.
    repetition_time
        TR [s].
    coupling
        Correlation of the networks Cont and Default, before tasks, in controls and patients.
    task_gain
        Of the network that a block drives, in standard deviations of its course at rest.
    signal
        Standard deviation of a region at rest [image units; the baseline is 1000].
    motion, drift, physiology
        Standard deviations of what these add, on average over regions [image units].
    n_jerks
        Sudden movements in a run, each of which spoils a frame.
    n_unsettled
        First frames, brighter because the magnetisation has not settled.
    voxel_noise
        Standard deviation of the white noise of each voxel in files [image units].
    seed
        Of everything random; a subject does not depend on how many there are.

    Raises
    ------
    ConfigError
        For a setting out of range.
    """

    n_subjects: int = 16
    n_frames: int = 160
    repetition_time: float = 2.0
    coupling: tuple[float, float] = (0.5, -0.1)
    task_gain: float = 1.5
    signal: float = 10.0
    motion: float = 8.0
    drift: float = 10.0
    physiology: float = 8.0
    n_jerks: int = 3
    n_unsettled: int = 2
    voxel_noise: float = 10.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("repetition_time", "signal"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} must be above 0", found=getattr(self, name))
        for name in ("motion", "drift", "physiology", "n_jerks", "voxel_noise", "seed"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"{name} must not be negative", found=getattr(self, name))
        fewest = 20 + self.n_unsettled + 10 * self.n_jerks
        if self.n_subjects < 2 or self.n_unsettled < 0 or self.n_frames < fewest:
            raise ConfigError(
                "study is too small",
                found=f"n_subjects={self.n_subjects}, n_frames={self.n_frames}, "
                f"n_unsettled={self.n_unsettled}",
                expected=f"2 subjects and {fewest} frames or more, n_unsettled >= 0",
            )
        for value in self.coupling:
            if np.linalg.eigvalsh(network_coupling(value))[0] <= 0:
                raise ConfigError(
                    "there are no networks with such a coupling",
                    found=value,
                    expected="about -0.9 to 0.8",
                )


class _Run(NamedTuple):
    """One subject: what regions did, and what lies over it."""

    course: FloatArray
    """Of the networks, shape ``(time, network)``."""
    signal: FloatArray
    """Of the regions, shape ``(time, roi)``."""
    nuisance: Nuisance
    trials: xr.Dataset


def simulate_fmri(config: FmriPhantomConfig | None = None, **settings: Any) -> Simulation:
    """Simulate an fMRI study of two groups: 42 regions, seven networks, two tasks.

    With independent unit noise ``n, s, o`` of networks, pairs of sides and regions, the
    haemodynamic response ``h`` and blocks ``u``, region ``i`` of network ``k`` and pair ``p``
    does ``x_i = a (sqrt(.6) n_k + sqrt(.15) s_p + sqrt(.25) o_i) * h + a sqrt(.6) g_k u * h``.

    Parameters
    ----------
    config
        Settings; 16 subjects, 160 frames of 2 s by default.
    **settings
        Single settings, such as ``n_subjects=4``.

    Returns
    -------
    Simulation
        ``recording``: ``/bold/sub-01`` and so on, each ``bold(time, roi)`` with nuisance but
        without the noise of voxels; ``confounds`` named as by fMRIPrep, NaN in the first frame of
        what compares frames; ``keep`` without unsettled and jerky frames; ``/trials/sub-01``:
        blocks with ``trial_type``. ``truth``: ``signal(run, time, roi)`` without nuisance [image
        units], ``network_course(run, time, network)``, ``state(run, time)``, the block of a frame
        or ``"rest"``, and ``coupling(run, network, network_to)``; ``group`` along ``run``.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.

    Examples
    --------
    >>> recording, truth = simulate_fmri(n_subjects=2, n_frames=60)
    >>> dict(recording["bold/sub-01"].sizes)["roi"], truth["group"].values.tolist()
    (42, ['control', 'patient'])
    """
    config = configs.assign(config or FmriPhantomConfig(), settings)
    regions = phantom_head().regions
    streams = np.random.SeedSequence(config.seed).spawn(config.n_subjects)
    width = max(2, len(str(config.n_subjects)))
    names = [f"sub-{number:0{width}d}" for number in range(1, config.n_subjects + 1)]
    group = [GROUPS[number % 2] for number in range(config.n_subjects)]
    runs = {
        name: _simulate_run(config, regions, config.coupling[GROUPS.index(own)], stream)
        for name, own, stream in zip(names, group, streams)
    }
    bold = {
        name: _bold(config, regions, run, subject=name.removeprefix("sub-"), group=own)
        for (name, run), own in zip(runs.items(), group)
    }
    recording = rec.recording(
        {"bold": bold, "trials": {name: run.trials for name, run in runs.items()}},
        source="simulation: fMRI phantom",
        species="human",
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )
    return Simulation(recording, _truth(config, regions, runs, group))


def haemodynamic_response(repetition_time: float) -> FloatArray:
    """Return the response to a brief event, frame by frame, with a sum of 1.

    The difference of two gamma densities of Friston et al. (1998): peak after 5 s, undershoot a
    sixth as large after 15 s.

    Examples
    --------
    >>> int(haemodynamic_response(1.0).argmax())
    5
    """
    t = np.arange(0, FILTER_LENGTH, repetition_time)
    response = np.exp(-t) * (t**5 / factorial(5) - t**15 / factorial(15) / 6)
    return np.asarray(response / response.sum())


def network_coupling(different: float) -> FloatArray:
    """Return the correlations of the networks, ``(network, network)``, before tasks.

    Parameters
    ----------
    different
        That of Cont and Default.

    Examples
    --------
    >>> network_coupling(0.5)[5, 6].item()
    0.5
    """
    coupling = np.eye(len(NETWORKS))
    for pair, value in {**COUPLING, DIFFERENT: different}.items():
        row, column = map(NETWORKS.index, pair)
        coupling[row, column] = coupling[column, row] = value
    return coupling


def _simulate_run(
    config: FmriPhantomConfig, regions: xr.Dataset, coupling: float, stream: np.random.SeedSequence
) -> _Run:
    activity, order, nuisance = map(np.random.default_rng, stream.spawn(3))
    trials = _blocks(config, order)
    shared = _filtered_noise(config, activity, len(NETWORKS))
    course = shared @ np.linalg.cholesky(network_coupling(coupling)).T
    course += config.task_gain * _drive(config, trials)
    n_rois = regions.sizes["roi"]
    # regions of the right repeat those of the left in the same order
    pairs = np.tile(_filtered_noise(config, activity, n_rois // 2), 2)
    own = _filtered_noise(config, activity, n_rois)
    network = [NETWORKS.index(name) for name in regions["network"].values]
    parts = zip(SHARES, (course[:, network], pairs, own))
    signal: FloatArray = config.signal * sum(np.sqrt(share) * part for share, part in parts)
    found = simulate_nuisance(
        config.n_frames,
        n_rois,
        config.repetition_time,
        nuisance,
        motion=config.motion,
        drift=config.drift,
        physiology=config.physiology,
        n_jerks=config.n_jerks,
        n_unsettled=config.n_unsettled,
    )
    return _Run(course, signal, found, trials)


def _filtered_noise(config: FmriPhantomConfig, rng: Generator, n: int) -> FloatArray:
    """Return noise seen through the haemodynamic response, of unit variance, ``(time, n)``."""
    response = haemodynamic_response(config.repetition_time)
    response = response / np.linalg.norm(response)
    noise = rng.standard_normal((config.n_frames + response.size - 1, n))
    return np.stack([np.convolve(column, response, "valid") for column in noise.T], axis=1)


def _blocks(config: FmriPhantomConfig, rng: Generator) -> xr.Dataset:
    """Return blocks of both tasks in random order, as often each."""
    duration = config.n_frames * config.repetition_time
    n_blocks = max(0, int((duration - FIRST_BLOCK + PAUSE) // (BLOCK + PAUSE)))
    start = FIRST_BLOCK + (BLOCK + PAUSE) * np.arange(n_blocks)
    task = rng.permutation(np.resize(np.array(list(TASKS)), n_blocks))
    return rec.trials(start, start + BLOCK, columns={"trial_type": task})


def _states(config: FmriPhantomConfig, trials: xr.Dataset) -> NDArray[Any]:
    """Return the block of each frame, by when the frame begins, or ``"rest"``."""
    time = np.arange(config.n_frames) * config.repetition_time
    state = np.full(config.n_frames, REST, np.array([REST, *TASKS]).dtype)
    columns = (trials[name].values for name in ("start", "stop", "trial_type"))
    for start, stop, task in zip(*columns):
        state[(time >= start) & (time < stop)] = task
    return state


def _drive(config: FmriPhantomConfig, trials: xr.Dataset) -> FloatArray:
    """Return what blocks add to networks, seen through the response, ``(time, network)``."""
    state = _states(config, trials)
    response = haemodynamic_response(config.repetition_time)
    drive = np.zeros((config.n_frames, len(NETWORKS)))
    for task, gains in TASKS.items():
        course = np.convolve(state == task, response)[: config.n_frames]
        for network, gain in gains.items():
            drive[:, NETWORKS.index(network)] += gain * course
    return drive


def _bold(config: FmriPhantomConfig, regions: xr.Dataset, run: _Run, **attrs: Any) -> xr.Dataset:
    values = run.nuisance.over(BASELINE + run.signal)
    columns = {str(name): c.values for name, c in regions.coords.items() if name != "roi"}
    confounds = confound_table(run.nuisance, values, config.repetition_time)
    return rec.bold(
        values,
        repetition_time=config.repetition_time,
        roi=regions["roi"].values,
        roi_columns=columns,
        keep=run.nuisance.keep,
        confounds=confounds,
        atlas="phantom",
        space="MNI152NLin2009cAsym",
        task="blocks",
        **attrs,
    )


def _truth(
    config: FmriPhantomConfig, regions: xr.Dataset, runs: dict[str, _Run], group: list[str]
) -> xr.Dataset:
    each = list(runs.values())
    time = np.arange(config.n_frames) * config.repetition_time
    return rec.results(
        {
            "signal": (("run", "time", "roi"), np.stack([run.signal for run in each])),
            "network_course": (("run", "time", "network"), np.stack([run.course for run in each])),
            "state": (("run", "time"), np.stack([_states(config, run.trials) for run in each])),
            "coupling": (
                ("run", "network", "network_to"),
                np.stack([network_coupling(config.coupling[GROUPS.index(own)]) for own in group]),
            ),
        },
        {
            "run": list(runs),
            "time": ("time", time, {"units": "s"}),
            "roi": regions["roi"].values,
            "network": list(NETWORKS),
            "network_to": list(NETWORKS),
            "group": ("run", group),
            "network_of_roi": ("roi", regions["network"].values),
        },
        config=configs.to_dict(config),
        config_uid=configs.uid(config),
    )
