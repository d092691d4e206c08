"""One undamaged NWB file, and the damages that the conformance rows do to copies of it."""

from __future__ import annotations

from datetime import UTC, datetime

import h5py
import numpy as np
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.behavior import SpatialSeries
from pynwb.ecephys import ElectricalSeries
from pynwb.image import ImageSeries

START = datetime(2020, 1, 1, tzinfo=UTC)
N_SPIKES = 200
SPAN = 100.0
UNITS = (7, 8, 9)


def undamaged(path):
    """Write the twin of every row: units, trials, position and an electrical series."""
    rng = np.random.default_rng(7)
    nwb = NWBFile("twin", "twin", START)
    nwb.add_unit_column("quality", "text")
    for unit in UNITS:
        times = np.round(np.sort(rng.uniform(0, SPAN, N_SPIKES)), 6)
        nwb.add_unit(spike_times=times, obs_intervals=[[0.0, SPAN]], quality="good", id=unit)
    nwb.add_trial_column("go_cue_time", "event")
    for i in range(10):
        nwb.add_trial(start_time=10.0 * i, stop_time=10.0 * i + 8, go_cue_time=10.0 * i + 2)
    device = nwb.create_device("probe")
    group = nwb.create_electrode_group("shank", "shank", "CA1", device)
    for _ in range(4):
        nwb.add_electrode(location="CA1", group=group)
    region = nwb.create_electrode_table_region([0, 1, 2, 3], "all")
    raw = rng.integers(-99, 99, (1000, 4)).astype(np.int16)
    nwb.add_acquisition(
        ElectricalSeries(name="raw", data=raw, electrodes=region, rate=10.0, conversion=1e-6)
    )
    module = nwb.create_processing_module("behavior", "behavior")
    stamps = np.sort(rng.uniform(0, SPAN, 50))
    module.add(
        SpatialSeries(
            name="hand", data=rng.normal(size=(50, 2)), timestamps=stamps, reference_frame="rig"
        )
    )
    module.add(TimeSeries(name="speed", data=rng.normal(size=50), unit="m/s", rate=5.0))
    video = {"external_file": ["../../secret.avi", "/etc/passwd"], "format": "external"}
    nwb.add_acquisition(
        ImageSeries(name="video", rate=30.0, starting_frame=[0, 4], num_samples=8, **video)
    )
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def replace(file: h5py.File, path: str, values):
    """Replace the values of a dataset, which may change its shape, and keep its attributes."""
    attrs = dict(file[path].attrs)
    del file[path]
    file[path] = values
    file[path].attrs.update(attrs)


def change_times(change):
    """Return a damage that changes the flat spike times, an array (unit, spike), in place."""

    def damage(file):
        times = file["units/spike_times"][:].reshape(len(UNITS), N_SPIKES)
        changed = change(times)
        replace(file, "units/spike_times", (times if changed is None else changed).ravel())

    return damage


def swapped(times):
    times[0, [11, 12]] = times[0, [12, 11]]


def descending(times):
    times[0] = times[0, ::-1]


def restarted(times):
    times[1] = np.concatenate([times[1, ::2], times[1, 1::2]])


def with_nan(times):
    times[0, [5, 50, 100]] = np.nan


def with_infinity(times):
    times[2, -1] = np.inf
    times[2, 0] = -np.inf


def duplicated(times):
    times[0, 20:24] = times[0, 20]


def some_negative(times):
    times[0, :3] = [-0.5, -0.25, -0.1]


def far_before_session(times):
    times[0, 0] = -5 * SPAN


def as_samples(times):
    return np.rint(times * 30_000)


def as_milliseconds(times):
    return times * 1000


def in_gap(file):
    replace(file, "units/obs_intervals", np.tile([[0.0, 40.0], [60.0, SPAN]], (3, 1)))
    replace(file, "units/obs_intervals_index", np.array([2, 4, 6], dtype=np.uint8))


def one_unit_empty(file):
    times = file["units/spike_times"][:]
    replace(file, "units/spike_times", np.delete(times, np.s_[N_SPIKES : 2 * N_SPIKES]))
    replace(file, "units/spike_times_index", np.array([200, 200, 400], dtype=np.uint16))


def all_units_empty(file):
    replace(file, "units/spike_times", np.empty(0))
    replace(file, "units/spike_times_index", np.zeros(3, dtype=np.uint8))


def no_units(file):
    del file["units"]


def index_to(values):
    return lambda file: replace(file, "units/spike_times_index", np.array(values, np.uint16))


def missing(path):
    def damage(file):
        del file[path]

    return damage


def attribute(path, name, value):
    def damage(file):
        file[path].attrs[name] = value

    return damage


HAND = "processing/behavior/hand"


def change_stamps(change):
    def damage(file):
        stamps = file[f"{HAND}/timestamps"][:]
        replace(file, f"{HAND}/timestamps", change(stamps))

    return damage


def step_back(stamps):
    stamps[[20, 21]] = stamps[[21, 20]]
    return stamps


def nan_stamp(stamps):
    stamps[7] = np.nan
    return stamps


def with_gap(stamps):
    regular = np.arange(stamps.size) / 10
    return np.where(regular < 2, regular, regular + 30)


def transposed(file):
    replace(file, "acquisition/raw/data", file["acquisition/raw/data"][:].T)


def wide_series(file):
    replace(file, "processing/behavior/speed/data", np.ones((4, 1000)))


def trial(row, **times):
    def damage(file):
        for name, value in times.items():
            values = file[f"intervals/trials/{name}"][:]
            values[row] = value
            replace(file, f"intervals/trials/{name}", values)

    return damage


def overlapping_trials(file):
    replace(file, "intervals/trials/stop_time", file["intervals/trials/stop_time"][:] + 5)


def without_version(file):
    del file.attrs["nwb_version"]


def without_specifications(file):
    del file["specifications"]
    del file.attrs[".specloc"]
