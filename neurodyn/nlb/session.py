"""What the tensor makers need of one NWB file, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError, SchemaError
from neurodyn.recording import names, physical, pick

__all__ = ["Session", "from_recording"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Session:
    """One file of a benchmark recording. Times are in seconds from the start of the file.

    Attributes
    ----------
    spike_time, row_size
        Spike times, the units one after another; how many each unit has, ``(unit,)``.
    unit, held_out
        Ids; which units a model must predict without seeing them, ``(unit,)``.
    obs_start, obs_stop, obs_row_size
        Observation intervals, ragged over units like the spikes.
    trials
        One row per trial: ``trial_id``, ``start_time``, ``stop_time``, ``split`` and more;
        columns ending in ``_time`` are event times.
    behavior
        Series by name: sample times ``(time,)`` and values ``(time, feature)``.
    name
        File name; files of one recording are joined in its order.
    """

    spike_time: FloatArray
    row_size: NDArray[np.int64]
    unit: tuple[str, ...]
    held_out: NDArray[np.bool_]
    obs_start: FloatArray
    obs_stop: FloatArray
    obs_row_size: NDArray[np.int64]
    trials: pd.DataFrame
    behavior: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        sizes = {
            "unit": len(self.unit),
            "row_size": len(self.row_size),
            "held_out": len(self.held_out),
            "obs_row_size": len(self.obs_row_size),
        }
        faults = [] if len(set(sizes.values())) == 1 else [f"sizes over units differ: {sizes}"]
        if int(self.row_size.sum()) != len(self.spike_time):
            faults.append("row_size does not sum to the number of spikes")
        if int(self.obs_row_size.sum()) != len(self.obs_start):
            faults.append("obs_row_size does not sum to the number of observation intervals")
        missing = {"trial_id", "start_time", "stop_time", "split"} - set(self.trials)
        if missing:
            faults.append(f"the trial table lacks {', '.join(sorted(missing))}")
        if faults:
            raise SchemaError(
                "not a session of the benchmark", where=self.name, found="; ".join(faults)
            )


def from_recording(recording: xr.DataTree, behavior: str | None = None) -> Session:
    """Take from a recording what the tensor makers need.

    Parameters
    ----------
    recording
        With spikes (observation intervals, coordinate ``held_out``) and trials (column
        ``split``), as the NWB files of the benchmark give it.
    behavior
        Name of the series to take along, if the recording has it.

    Raises
    ------
    EmptySelectionError
        If there are no spikes, trials or observation intervals.
    SchemaError
        If the trial table lacks a column.

    Examples
    --------
    >>> from neurodyn.recording import recording, spikes_from_units, trials
    >>> spikes = spikes_from_units([[0.1]], observed=[[0.0, 1.0]])
    >>> table = trials([0.0], [1.0], columns={"split": ["train"]})
    >>> from_recording(recording([spikes, table])).trials["split"].tolist()
    ['train']
    """
    spikes = _main(recording, "spikes", "units")
    source = str(recording.attrs.get("source", ""))
    if "obs_start" not in spikes:
        raise EmptySelectionError("the units have no observation intervals", where=source)
    n_units = spikes.sizes["unit"]
    held_out = spikes["held_out"].values if "held_out" in spikes.coords else np.zeros(n_units, bool)
    return Session(
        spike_time=np.asarray(spikes["spike_time"].values, np.float64),
        row_size=np.asarray(spikes["row_size"].values, np.int64),
        unit=tuple(map(str, spikes["unit"].values)),
        held_out=np.asarray(held_out, bool),
        obs_start=np.asarray(spikes["obs_start"].values, np.float64),
        obs_stop=np.asarray(spikes["obs_stop"].values, np.float64),
        obs_row_size=np.asarray(spikes["obs_row_size"].values, np.int64),
        trials=_table(_main(recording, "trials", "trials")),
        behavior=_series(recording, behavior),
        name=source,
    )


def _main(recording: xr.DataTree, kind: str, preferred: str) -> xr.Dataset:
    choices = names(recording).get(kind, [])
    return pick(recording, kind, preferred if preferred in choices else None)


def _table(trials: xr.Dataset) -> pd.DataFrame:
    flat = [name for name in trials.variables if trials[name].dims == ("trial",)]
    columns = {str(name): trials[name].values for name in flat}
    table = pd.DataFrame(columns).rename(
        columns={"trial": "trial_id", "start": "start_time", "stop": "stop_time"}
    )
    ids = pd.to_numeric(table["trial_id"], errors="coerce")
    table["trial_id"] = np.arange(len(table)) if ids.isna().any() else ids.astype(np.int64)
    return table


def _series(recording: xr.DataTree, name: str | None) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Find a series under any kind; a reader may file one with a physical unit as a signal."""
    for kind in ("behavior", "signal") if name else ():
        try:
            ds = pick(recording, kind, name)
        except EmptySelectionError:
            continue
        value = ds["value"] if kind == "behavior" else physical(ds)
        time = np.asarray(ds["time"].values, np.float64)
        return {str(name): (time, np.asarray(value.values, np.float64))}
    return {}
