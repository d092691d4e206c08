"""A grasshopper's auditory receptor: one real neuron driven by two known sounds.

``datasets/grasshopper/grasshopper.nwb`` was made of nitime's text files with
:func:`from_nitime`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from neurodyn import recording as rec
from neurodyn.errors import CorruptFileError

__all__ = ["from_nitime"]

RUNS = (1, 2)
DURATION, GAP = 10.0, 1.0
EVERY = 5
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
        ``stimulus``: the envelope of the sound, every fifth sample (4 kHz).

    Raises
    ------
    CorruptFileError
        If a file lacks its table.
    """
    folder = Path(folder)
    start = np.arange(len(RUNS)) * (DURATION + GAP)
    spikes, time, value, headers = [], [], [], []
    for begin, run in zip(start, RUNS):
        path = folder / f"grasshopper_spike_times{run}.txt"
        headers.append(_header(path))
        spikes.append(begin + _table(path, 1)[:, 0] * MICROSECOND)
        stimulus = _table(folder / f"grasshopper_stimulus{run}.txt", 2)
        stimulus = stimulus[stimulus[:, 0] < DURATION / MICROSECOND][::EVERY]
        time.append(begin + stimulus[:, 0] * MICROSECOND)
        value.append(stimulus[:, 1].astype(np.float32))
    stop = start + DURATION
    cut_off = [float(header["cut-off frequency (Hz)"]) for header in headers]
    children: dict[str, xr.Dataset | dict[str, xr.Dataset]] = {
        "spikes": rec.spikes_from_units(
            {"receptor": np.round(np.concatenate(spikes), 6)},
            observed=np.stack([start, stop], axis=1),
            tick_hz=1 / MICROSECOND,
        ),
        "trials": rec.trials(
            start,
            stop,
            columns={
                "condition": [f"cut-off {frequency:g} Hz" for frequency in cut_off],
                "cut_off_frequency": cut_off,
                "intensity": [float(header["intensity (dB)"]) for header in headers],
            },
        ),
        "behavior": {
            "stimulus": rec.behavior(
                np.concatenate(value),
                time=np.round(np.concatenate(time), 6),
                feature=["envelope"],
                units="relative amplitude",
            )
        },
    }
    return rec.recording(
        children,
        source="nitime 0.12.1, nitime/data",
        subject="grasshopper",
        species="Locusta migratoria",
        session_start="2011-01-01T00:00:00+00:00",
    )


def _header(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="ascii").splitlines()
    pairs = (line[1:].split(":", 1) for line in lines if line.startswith("#") and ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _table(path: Path, n_columns: int) -> np.ndarray:
    try:
        table = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise CorruptFileError("not a table of numbers", where=path, found=error) from error
    if table.shape[1:] != (n_columns,):
        raise CorruptFileError(
            "table has the wrong width", where=path, found=table.shape, expected=n_columns
        )
    return table
