"""Sessions read with pynwb, independent of the package's own reader."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from neurodyn.nlb.session import Session


def read_session(path: Path) -> Session:
    from pynwb import NWBHDF5IO

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with NWBHDF5IO(path, "r") as io:
            file = io.read()
            units = file.units.to_dataframe()
            trials = file.trials.to_dataframe().reset_index().rename(columns={"id": "trial_id"})
            module = file.processing.get("behavior")
            series = {} if module is None else module.data_interfaces
            behavior = {
                name: (np.asarray(ts.timestamps[:]), np.asarray(ts.data[:]))
                for name, ts in series.items()
            }
    intervals = [np.asarray(value).reshape(-1, 2) for value in units["obs_intervals"]]
    times = [np.asarray(value, float) for value in units["spike_times"]]
    return Session(
        spike_time=np.concatenate(times),
        row_size=np.array([len(value) for value in times]),
        unit=tuple(map(str, units.index)),
        held_out=units["heldout"].to_numpy(bool),
        obs_start=np.concatenate(intervals)[:, 0],
        obs_stop=np.concatenate(intervals)[:, 1],
        obs_row_size=np.array([len(value) for value in intervals]),
        trials=trials,
        behavior=behavior,
        name=path.name,
    )
