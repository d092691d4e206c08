"""What lies over the signal of the fMRI simulator, and the table of confounds that tells it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = ["Nuisance", "confound_table", "simulate_nuisance"]

FloatArray = NDArray[np.float64]

AXES = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
# of the slow movement [mm, radians], and of a jerk
MOTION_SIZE = np.array([0.1, 0.1, 0.1, 0.0015, 0.0015, 0.0015])
JERK, SPOILED = 1.2, -0.05
SMOOTHNESS = 0.98
# of a point that turns with the head [mm] (Power et al., 2012)
HEAD_RADIUS = 50.0
LARGEST_DISPLACEMENT = 0.5
SHORTEST_PERIOD = 128.0
N_DRIFTS = 3
UNSETTLED, SETTLING = 0.25, 1.0


class Nuisance(NamedTuple):
    """What lies over the signal of a run."""

    motion: FloatArray
    """Three shifts [mm] and three turns [rad], shape ``(time, 6)``."""
    tissue: FloatArray
    """Fluid and white matter, unit variance, shape ``(time, 2)``."""
    added: FloatArray
    """To each region, shape ``(time, roi)``."""
    factor: FloatArray
    """On everything, shape ``(time,)``."""
    keep: NDArray[np.bool_]
    """Frames that are neither spoiled by a jerk nor unsettled, shape ``(time,)``."""
    n_unsettled: int

    def over(self, values: FloatArray) -> FloatArray:
        """Return values ``(time, roi)`` with all this over them."""
        return (values + self.added) * self.factor[:, None]


def simulate_nuisance(
    n_frames: int,
    n_rois: int,
    repetition_time: float,
    rng: Generator,
    *,
    motion: float,
    drift: float,
    physiology: float,
    n_jerks: int,
    n_unsettled: int,
) -> Nuisance:
    """Draw nuisance that a regression on confounds can take out, but for spoiled frames.

    Parameters
    ----------
    n_frames, n_rois, repetition_time
        Of the run; the time in seconds.
    rng
        For everything.
    motion, drift, physiology
        Standard deviations, on average over regions.
    n_jerks, n_unsettled
        Frames spoiled by sudden movement, and at the start.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sizes = {"motion": 1.0, "drift": 1.0, "physiology": 1.0}
    >>> nuisance = simulate_nuisance(90, 4, 2.0, rng, **sizes, n_jerks=1, n_unsettled=2)
    >>> nuisance.added.shape, nuisance.keep.sum().item()
    ((90, 4), 86)
    """
    moves = MOTION_SIZE * _slow_noise(n_frames, 6, SMOOTHNESS, rng)
    jerk = _jerks(n_frames, n_jerks, n_unsettled, rng)
    moves[jerk] += JERK * np.array([0.3, 0.5, 1.0, 0, 0, 0])
    tissue = _slow_noise(n_frames, 2, 0.5, rng)
    cosines = _cosines(n_frames, repetition_time)[:, :N_DRIFTS]
    added = motion * _mixed(moves / MOTION_SIZE, n_rois, rng)
    added += physiology * _mixed(tissue, n_rois, rng)
    added += drift * _mixed(cosines * np.sqrt(n_frames), n_rois, rng)
    factor = np.ones(n_frames)
    factor[:n_unsettled] += UNSETTLED * np.exp(-np.arange(n_unsettled) / SETTLING)
    factor[jerk] += SPOILED
    keep = _displacement(moves) <= LARGEST_DISPLACEMENT
    keep[:n_unsettled] = False
    return Nuisance(moves, tissue, added, factor, keep, n_unsettled)


def confound_table(
    nuisance: Nuisance, values: FloatArray, repetition_time: float
) -> dict[str, FloatArray]:
    """Return confounds with the names of fMRIPrep, each ``(time,)``.

    Parameters
    ----------
    nuisance
        What lies over the signal.
    values
        Regions with all of it, shape ``(time, roi)``.
    repetition_time
        TR [s].

    Returns
    -------
    dict
        Motion, tissue and global signal with derivatives and squares, framewise displacement
        [mm], ``std_dvars``, cosines of periods above 128 s, and one column for each unsettled
        frame. Derivatives are NaN in the first frame.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sizes = {"motion": 1.0, "drift": 1.0, "physiology": 1.0}
    >>> nuisance = simulate_nuisance(90, 4, 2.0, rng, **sizes, n_jerks=0, n_unsettled=1)
    >>> table = confound_table(nuisance, nuisance.over(np.full((90, 4), 1000.0)), 2.0)
    >>> [name for name in table if name.startswith(("trans_x", "cos", "non"))]
    ['trans_x', 'trans_x_derivative1', 'trans_x_power2', 'trans_x_derivative1_power2', 'cosine00', 'cosine01', 'non_steady_state_outlier00']
    """  # noqa: E501
    series = {"csf": nuisance.tissue[:, 0], "white_matter": nuisance.tissue[:, 1]}
    series["global_signal"] = values.mean(axis=1)
    series |= dict(zip(AXES, nuisance.motion.T))
    table: dict[str, FloatArray] = {}
    for name, column in series.items():
        change = np.append(np.nan, np.diff(column))
        table[name] = column
        table[f"{name}_derivative1"] = change
        table[f"{name}_power2"] = column**2
        table[f"{name}_derivative1_power2"] = change**2
    moved = _displacement(nuisance.motion)
    dvars = np.append(np.nan, np.sqrt((np.diff(values, axis=0) ** 2).mean(axis=1)))
    table["framewise_displacement"] = np.append(np.nan, moved[1:])
    table["std_dvars"] = dvars / np.nanmedian(dvars)
    for number, column in enumerate(_cosines(len(values), repetition_time).T):
        table[f"cosine{number:02d}"] = column
    for number in range(nuisance.n_unsettled):
        table[f"non_steady_state_outlier{number:02d}"] = (np.arange(len(values)) == number).astype(
            np.float64
        )
    return table


def _slow_noise(n_frames: int, n: int, memory: float, rng: Generator) -> FloatArray:
    """Return autoregressive noise of unit variance, shape ``(time, n)``."""
    step = rng.standard_normal((n_frames, n))
    noise = np.empty_like(step)
    noise[0] = step[0]
    for frame in range(1, n_frames):
        noise[frame] = memory * noise[frame - 1] + np.sqrt(1 - memory**2) * step[frame]
    return noise


def _jerks(n_frames: int, n_jerks: int, n_unsettled: int, rng: Generator) -> NDArray[np.int64]:
    """Return frames of sudden movement, apart from each other and from both ends."""
    edges = np.linspace(n_unsettled + 5, n_frames - 5, n_jerks + 1).astype(np.int64)
    return np.array([rng.integers(low + 2, high - 2) for low, high in pairwise(edges)], np.int64)


def _cosines(n_frames: int, repetition_time: float) -> FloatArray:
    """Return unit cosines of periods above 128 s, shape ``(time, cosine)``."""
    n = int(2 * n_frames * repetition_time / SHORTEST_PERIOD)
    frame = np.arange(n_frames)[:, None] + 0.5
    waves = np.cos(np.pi * frame * np.arange(1, n + 1) / n_frames)
    return np.asarray(waves * np.sqrt(2 / n_frames))


def _mixed(series: FloatArray, n_rois: int, rng: Generator) -> FloatArray:
    """Return random mixtures of series, on average over regions of unit variance."""
    weight = rng.standard_normal((series.shape[1], n_rois))
    return np.asarray(series @ weight / np.sqrt(max(series.shape[1], 1)))


def _displacement(motion: FloatArray) -> FloatArray:
    """Return framewise displacement [mm], 0 in the first frame."""
    step = np.abs(np.diff(motion, axis=0, prepend=motion[:1]))
    return np.asarray(step[:, :3].sum(axis=1) + HEAD_RADIUS * step[:, 3:].sum(axis=1))
