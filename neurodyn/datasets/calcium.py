"""What the simulators of calcium imaging share: cells, events and the indicator."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn.errors import ConfigError

__all__ = [
    "MOST_CELLS",
    "cell_names",
    "event_drive",
    "indicator_kernel",
    "pair_gain",
    "separate_events",
    "through_indicator",
]

FloatArray = NDArray[np.float64]
PAIR_NAMES = (
    "ADF ADL AFD ASE ASG ASH ASI ASJ ASK AWA AWB AWC BAG URX AIA AIB AIY AIZ RIA RIB RIC RIM AVA "
    "AVB AVD AVE RMG AUA FLP CEPD CEPV IL1 IL1D IL1V IL2 IL2D IL2V OLQD OLQV URAD URAV URB "
    "URYD URYV ADA AIM AIN AVH AVJ AVK RIF RIG RIP SAAD SAAV RIV RMD RMDD RMDV RMF RMH SIAD SIAV "
    "SIBD SIBV SMBD SMBV SMDD SMDV SABV"
)
PAIRS = PAIR_NAMES.split()
SINGLE = ("RIH", "RIS", "RID", "ALA")
MOST_CELLS = 2 * len(PAIRS) + len(SINGLE)
KERNEL_LENGTH = 8.0
"""Decay times after which the kernel is below 1e-3 of its peak."""


def cell_names(n_cells: int) -> list[str]:
    """Return names of cells in the head of C. elegans, left and right of a pair together.

    Examples
    --------
    >>> cell_names(8)
    ['ADFL', 'ADFR', 'ADLL', 'ADLR', 'RIH', 'RIS', 'RID', 'ALA']
    """
    if not 1 <= n_cells <= MOST_CELLS:
        raise ConfigError("n_cells is out of range", found=n_cells, expected=f"1 to {MOST_CELLS}")
    n_single = min(n_cells, len(SINGLE) - n_cells % 2)
    n_pairs = (n_cells - n_single) // 2
    paired = [f"{name}{side}" for name in PAIRS[:n_pairs] for side in "LR"]
    return [*paired, *SINGLE[: n_cells - len(paired)]]


def indicator_kernel(rise_time: float, decay_time: float, sampling_rate: float) -> FloatArray:
    """Return the response of an indicator, ``(1 - exp(-t / rise)) exp(-t / decay)``, of sum 1.

    Parameters
    ----------
    rise_time, decay_time
        Time constants [s].
    sampling_rate
        Of the response [Hz].

    Examples
    --------
    >>> kernel = indicator_kernel(2.0, 4.0, 4.0)
    >>> int(kernel.argmax()) / 4.0
    2.25
    """
    time = np.arange(round(KERNEL_LENGTH * decay_time * sampling_rate) + 1) / sampling_rate
    response = -np.expm1(-time / rise_time) * np.exp(-time / decay_time)
    kernel: FloatArray = response / response.sum()
    return kernel


def through_indicator(drive: FloatArray, kernel: FloatArray) -> FloatArray:
    """Return the causal convolution of drives, shape ``(..., time)``, with a kernel.

    Examples
    --------
    >>> through_indicator(np.array([[0.0, 1.0, 0.0]]), np.array([0.75, 0.25]))
    array([[0.  , 0.75, 0.25]])
    """
    n_time = drive.shape[-1]
    rows = drive.reshape(-1, n_time)
    found = np.stack([np.convolve(row, kernel)[:n_time] for row in rows])
    return found.reshape(drive.shape)


def event_drive(
    shape: tuple[int, ...], n_time: int, per_sample: float, n_samples: int, rng: Generator
) -> FloatArray:
    """Return drives of 0 and 1 with events of ``n_samples`` that begin at random.

    Parameters
    ----------
    shape, n_time
        The result has shape ``(*shape, n_time)``.
    per_sample
        Probability that an event begins in a sample; events may meet.
    n_samples
        Length of an event.
    rng
        For the beginnings.

    Examples
    --------
    >>> event_drive((2,), 5, 1.0, 2, np.random.default_rng(0)).sum().item()
    10.0
    """
    begins = rng.random((*shape, n_time)) < per_sample
    return np.minimum(through_indicator(begins.astype(np.float64), np.ones(n_samples)), 1.0)


def separate_events(
    edges: Sequence[int], n_time: int, n_events: int, n_samples: int, rng: Generator
) -> FloatArray:
    """Return a drive of 0 and 1, shape ``(time,)``, with events that never meet.

    Parameters
    ----------
    edges
        Samples that no event goes across; none begins before the first or ends after the last.
    n_time
        Length of the drive.
    n_events, n_samples
        How many, and the length of each.
    rng
        For their times.

    Raises
    ------
    ConfigError
        If they do not fit in.

    Examples
    --------
    >>> separate_events([0, 4, 8], 10, 2, 2, np.random.default_rng(0)).tolist()
    [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    # an event has a slot of twice its length, in which it begins in the first half
    slots = [np.arange(a, b - 2 * n_samples + 1, 2 * n_samples) for a, b in pairwise(edges)]
    starts = np.concatenate(slots)
    if n_events > starts.size:
        raise ConfigError(
            "events do not fit in",
            found=f"{n_events} events of {n_samples} samples",
            expected=f"at most {starts.size}",
        )
    chosen = rng.choice(starts, n_events, replace=False) + rng.integers(0, n_samples, n_events)
    drive = np.zeros(n_time)
    drive[(chosen[:, None] + np.arange(n_samples)).ravel()] = 1.0
    return drive


def pair_gain(gain: FloatArray) -> FloatArray:
    """Return products of gains ``(motif, roi)`` as ``(motif, roi, roi_to)``, diagonal 0.

    Examples
    --------
    >>> pair_gain(np.array([[1.0, 2.0, 0.0]]))[0].tolist()
    [[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    pair: FloatArray = gain[:, :, None] * gain[:, None, :]
    same = np.arange(gain.shape[1])
    pair[:, same, same] = 0.0
    return pair
