"""The two hippocampal sessions of ``nelpy/example-data``: spikes, position and speed of a rat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from neurodyn.recording import behavior, recording, spikes_from_units
from neurodyn.transforms.intervals import contains

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "nelpy_hippocampus"
SESSIONS = ("linear-track", "w-maze")
UNSORTED = {"w-maze": (19,)}
"""Clusters that are no unit: 106 spikes a second of noise."""
CAMERA_RATE = 60.0
SPEED_SMOOTHING = 0.1


def hippocampus(
    session: str, *, speed_smoothing: float = SPEED_SMOOTHING, folder: Path = SHARED
) -> xr.DataTree:
    """Return the runs of a session: spikes of the units, and where the rat was.

    Parameters
    ----------
    session
        ``"linear-track"`` (950 s, 31 units) or ``"w-maze"`` (two runs, 2,245 s, 24 units).
    speed_smoothing
        Standard deviation of the Gaussian [s] that x and y are smoothed with for the speed.
    folder
        Where the sessions are.

    Returns
    -------
    xr.DataTree
        ``spikes``, observed during the runs, and ``behavior/track`` with the features x, y
        [pixels] and speed [pixels/s] at 60 Hz.
    """
    with np.load(folder / f"{session}_flat.npz") as file:
        epochs = file["run_epochs"].astype(np.float64)
        time, owner = file["spike_times"], file["spike_unit"]
        clock, place = file["pos_t"], np.stack([file["pos_x"], file["pos_y"]], axis=1)
    running = contains(epochs, time, time)
    units = {
        f"unit{unit}": time[running & (owner == unit)]
        for unit in range(owner.max() + 1)
        if unit not in UNSORTED.get(session, ())
    }
    # some frames are there twice
    first = np.append(True, np.diff(clock) > 0)
    clock, place = clock[first], place[first].astype(np.float64)
    values = np.column_stack([place, _speed(place, speed_smoothing)])
    inside = contains(epochs, clock, clock)
    track = behavior(
        values[inside],
        time=clock[inside],
        feature=["x", "y", "speed"],
        units=["pixels", "pixels", "pixels/s"],
    )
    return recording(
        {"spikes": spikes_from_units(units, observed=epochs), "behavior": {"track": track}},
        source=session,
        species="rat",
    )


def _speed(place: NDArray[np.float64], smoothing: float) -> NDArray[np.float64]:
    """Return the speed [pixels/s] from frame to frame.

    By the frame rate: time stamps come in bursts, and a step over 0.1 ms is no speed.
    """
    smooth = gaussian_filter1d(place, smoothing * CAMERA_RATE, axis=0)
    return np.asarray(np.hypot(*np.gradient(smooth, axis=0).T) * CAMERA_RATE)
