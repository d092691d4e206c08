"""A grasshopper's auditory receptor: one real neuron driven by two known sounds.

``datasets/grasshopper/grasshopper.nwb`` was made of nitime's text files with
:func:`from_nitime`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn.errors import CorruptFileError

__all__ = ["from_nitime"]

FloatArray = NDArray[np.floating[Any]]
RUNS = (1, 2)
DURATION, GAP = 10.0, 1.0
SOURCE_RATE, EVERY = 20_000.0, 5
MICROSECOND = 1e-6


def from_nitime(folder: str | Path) -> xr.DataTree:
    """Build the recording from the text files of nitime's ``data`` folder.

    Parameters
    ----------
    folder
        Holds ``grasshopper_spike_times{1,2}.txt`` (times in µs under a header of ``# name:
        value`` lines) and ``grasshopper_stimulus{1,2}.txt`` (µs and amplitude at 20 kHz).

    Returns
    -------
    xr.DataTree
        One unit; two trials of 10 s, with a gap of 1 s that is not in the source; behavior
        ``stimulus``: the envelope of the sound, every fifth sample (4 kHz), NaN in the gap.

    Raises
    ------
    CorruptFileError
        If a file lacks its table.
    """
    folder = Path(folder)
    start = np.arange(len(RUNS)) * (DURATION + GAP)
    headers = [_header(folder / f"grasshopper_spike_times{run}.txt") for run in RUNS]
    children: dict[str, xr.Dataset | dict[str, xr.Dataset]] = {
        "spikes": _spikes(folder, start),
        "trials": _trials(headers, start),
        "behavior": {"stimulus": _stimulus(folder, start)},
    }
    return rec.recording(
        children,
        source="nitime 0.12.1, nitime/data",
        subject="grasshopper",
        species="Locusta migratoria",
        session_start="2011-01-01T00:00:00+00:00",
    )


def _spikes(folder: Path, start: FloatArray) -> xr.Dataset:
    times = [
        begin + _table(folder / f"grasshopper_spike_times{run}.txt", 1)[:, 0] * MICROSECOND
        for begin, run in zip(start, RUNS)
    ]
    return rec.spikes_from_units(
        {"receptor": np.round(np.concatenate(times), 6)},
        observed=np.stack([start, start + DURATION], axis=1),
        tick_hz=1 / MICROSECOND,
    )


def _trials(headers: list[dict[str, str]], start: FloatArray) -> xr.Dataset:
    cut_off = [float(header["cut-off frequency (Hz)"]) for header in headers]
    return rec.trials(
        start,
        start + DURATION,
        columns={
            "condition": [f"cut-off {frequency:g} Hz" for frequency in cut_off],
            "cut_off_frequency": cut_off,
            "intensity": [float(header["intensity (dB)"]) for header in headers],
        },
    )


def _stimulus(folder: Path, start: FloatArray) -> xr.Dataset:
    sampling_rate = SOURCE_RATE / EVERY
    value = np.full(round((start[-1] + DURATION) * sampling_rate), np.nan, np.float32)
    for begin, run in zip(start, RUNS):
        envelope = _table(folder / f"grasshopper_stimulus{run}.txt", 2)[::EVERY, 1]
        first = round(begin * sampling_rate)
        value[first : first + len(envelope)] = envelope
    return rec.behavior(
        value, sampling_rate=sampling_rate, feature=["envelope"], units="relative amplitude"
    )


def _header(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="ascii").splitlines()
    pairs = (line[1:].split(":", 1) for line in lines if line.startswith("#") and ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _table(path: Path, n_columns: int) -> FloatArray:
    try:
        table: FloatArray = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise CorruptFileError("not a table of numbers", where=path, found=error) from error
    if table.shape[1:] != (n_columns,):
        raise CorruptFileError(
            "table has the wrong width", where=path, found=table.shape, expected=n_columns
        )
    return table
