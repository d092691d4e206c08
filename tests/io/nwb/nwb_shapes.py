"""NWB files of many shapes, written by pynwb at run time; each function fills one file."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

import numpy as np
from hdmf.backends.hdf5.h5_utils import H5DataIO
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.behavior import (
    BehavioralEvents,
    BehavioralTimeSeries,
    Position,
    PupilTracking,
    SpatialSeries,
)
from pynwb.ecephys import LFP, ElectricalSeries
from pynwb.epoch import TimeIntervals
from pynwb.event import EventsTable
from pynwb.file import Subject
from pynwb.image import ImageSeries
from pynwb.misc import AnnotationSeries, IntervalSeries
from pynwb.ophys import DfOverF, ImageSegmentation, OpticalChannel, RoiResponseSeries

START = datetime(2020, 1, 1, tzinfo=UTC)
SHAPES = {}


def shape(function):
    SHAPES[function.__name__] = function
    return function


def new_file() -> NWBFile:
    return NWBFile("a test", "test-file", START)


def write(nwb: NWBFile, path):
    with NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def make(name: str, path):
    """Write the file of one shape."""
    with warnings.catch_warnings():
        # pynwb deprecates what real files are full of
        warnings.simplefilter("ignore")
        nwb = new_file()
        SHAPES[name](nwb, np.random.default_rng(len(name)))
        return write(nwb, path)


def times(rng, n, stop=20.0):
    return np.sort(rng.uniform(0, stop, n))


def add_electrodes(nwb, n=6):
    device = nwb.create_device("probe")
    groups = [nwb.create_electrode_group(g, g, f"area {g}", device) for g in ("left", "right")]
    for i in range(n):
        group = groups[i % 2]
        nwb.add_electrode(
            x=float(i), y=2.0 * i, z=np.nan if i == 0 else 1.0, location=group.location, group=group
        )
    return groups


@shape
def units_plain(nwb, rng):
    for n in (30, 0, 12):
        nwb.add_unit(spike_times=times(rng, n))


@shape
def units_with_observation_intervals(nwb, rng):
    for i in range(3):
        nwb.add_unit(
            spike_times=times(rng, 10), obs_intervals=[[0.0, 5.0 + i], [10.0, 20.0]], id=7 * i
        )


@shape
def units_with_electrodes(nwb, rng):
    groups = add_electrodes(nwb)
    for i in range(4):
        nwb.add_unit(
            spike_times=times(rng, 9), electrodes=[i, i + 2], electrode_group=groups[i % 2]
        )


@shape
def units_with_one_electrode(nwb, rng):
    add_electrodes(nwb)
    for i in range(3):
        nwb.add_unit(spike_times=times(rng, 9), electrodes=[5 - i])


@shape
def units_with_columns_of_every_type(nwb, rng):
    nwb.add_unit_column("heldout", "is held out")
    nwb.add_unit_column("quality", "text")
    nwb.add_unit_column("depth", "number")
    nwb.add_unit_column("peak_channels", "ragged numbers", index=True)
    nwb.add_unit_column("tags", "ragged text", index=True)
    for i in range(4):
        nwb.add_unit(
            spike_times=times(rng, 5),
            heldout=i % 2 == 0,
            quality=["good", "multi-unit ü"][i % 2],
            depth=0.5 * i,
            peak_channels=list(range(i)),
            tags=["a", "bc"][: i % 3],
            waveform_mean=rng.normal(size=8),
        )


@shape
def units_with_resolution(nwb, rng):
    for _ in range(2):
        nwb.add_unit(spike_times=np.round(times(rng, 50) * 30_000) / 30_000)
    nwb.units.resolution = 1 / 30_000


@shape
def units_chunked_and_compressed(nwb, rng):
    for _ in range(3):
        nwb.add_unit(spike_times=times(rng, 40))
    data = nwb.units.spike_times
    data.set_data_io(H5DataIO, {"chunks": (16,), "compression": "gzip", "fletcher32": True})


@shape
def trials_with_missing_events(nwb, rng):
    nwb.add_trial_column("go_cue_time", "event")
    nwb.add_trial_column("condition", "text")
    nwb.add_trial_column("rewarded", "yes or no")
    for i in range(5):
        go = np.nan if i == 2 else i + 0.3
        nwb.add_trial(
            start_time=float(i),
            stop_time=i + 0.9,
            go_cue_time=go,
            condition="left" if i % 2 else "right",
            rewarded=i % 2 == 0,
        )


@shape
def trials_with_ragged_columns(nwb, rng):
    nwb.add_trial_column("target_pos", "targets", index=True)
    for i in range(4):
        nwb.add_trial(
            start_time=float(i),
            stop_time=i + 0.5,
            target_pos=np.arange(2.0 * (i + 1)).reshape(-1, 2),
            tags=["x", "long tag"][: i % 3],
        )


@shape
def several_interval_tables(nwb, rng):
    nwb.add_trial(start_time=0.0, stop_time=1.0)
    nwb.add_epoch(start_time=0.0, stop_time=9.0, tags=["sleep", "wake"])
    ripples = TimeIntervals(name="ripples", description="short events")
    for start in (1.0, 2.5, 3.5):
        ripples.add_interval(start_time=start, stop_time=start + 0.05)
    nwb.add_time_intervals(ripples)


@shape
def behavior_on_its_own_clocks(nwb, rng):
    module = nwb.create_processing_module("behavior", "behavior")
    position = Position(name="Position")
    position.add_spatial_series(
        SpatialSeries(
            name="head",
            data=rng.normal(size=(50, 2)),
            reference_frame="corner",
            unit="meters",
            rate=25.0,
            starting_time=1.5,
        )
    )
    module.add(position)
    wheel = TimeSeries(
        name="wheel",
        data=rng.integers(0, 1000, 40).astype(np.int16),
        unit="cm",
        conversion=0.1,
        offset=-3.0,
        timestamps=times(rng, 40),
    )
    module.add(BehavioralTimeSeries(name="running", time_series=[wheel]))
    diameter = TimeSeries(name="diameter", data=rng.normal(size=20), unit="mm", rate=10.0)
    module.add(PupilTracking(name="pupil", time_series=[diameter]))


@shape
def clock_that_is_nearly_regular(nwb, rng):
    stamps = 3.0 + np.arange(200) / 60 + rng.uniform(-1e-6, 1e-6, 200)
    nwb.add_acquisition(
        TimeSeries(name="frames", data=rng.normal(size=(200, 3)), unit="V", timestamps=stamps)
    )


@shape
def clock_with_a_gap(nwb, rng):
    stamps = np.concatenate([np.arange(50) / 100, 5 + np.arange(50) / 100])
    nwb.add_acquisition(
        TimeSeries(name="frames", data=rng.normal(size=100), unit="V", timestamps=stamps)
    )


@shape
def electrical_series(nwb, rng):
    add_electrodes(nwb)
    region = nwb.create_electrode_table_region([1, 3, 4], "some")
    nwb.add_acquisition(
        ElectricalSeries(
            name="raw",
            data=rng.integers(-500, 500, (60, 3)).astype(np.int16),
            electrodes=region,
            rate=1000.0,
            conversion=2e-6,
            offset=1e-4,
            channel_conversion=[1.0, 2.0, 0.5],
        )
    )


@shape
def lfp_in_a_container(nwb, rng):
    add_electrodes(nwb)
    region = nwb.create_electrode_table_region([0, 5], "two")
    data = H5DataIO(rng.normal(size=(80, 2)).astype(np.float32), chunks=(20, 2), compression="gzip")
    series = ElectricalSeries(name="lfp", data=data, electrodes=region, rate=1250.0)
    module = nwb.create_processing_module("ecephys", "filtered")
    module.add(LFP(electrical_series=series, name="LFP"))


@shape
def roi_responses(nwb, rng):
    device = nwb.create_device("microscope")
    channel = OpticalChannel(name="green", description="green", emission_lambda=500.0)
    plane = nwb.create_imaging_plane(
        name="plane",
        optical_channel=channel,
        description="a plane",
        device=device,
        excitation_lambda=600.0,
        indicator="GCaMP",
        location="V1",
        imaging_rate=30.0,
    )
    segmentation = ImageSegmentation(name="segmentation")
    table = segmentation.create_plane_segmentation("cells", plane, "cells")
    for i in range(4):
        table.add_roi(pixel_mask=[(i, i, 1.0)], id=10 + i)
    module = nwb.create_processing_module("ophys", "calcium")
    module.add(segmentation)
    rois = table.create_roi_table_region(description="all", region=[0, 1, 3])
    series = RoiResponseSeries(
        name="dff", data=rng.normal(size=(30, 3)), rois=rois, unit="n.a.", rate=30.0
    )
    module.add(DfOverF(name="DfOverF", roi_response_series=series))


@shape
def linked_series(nwb, rng):
    first = TimeSeries(name="first", data=rng.normal(size=30), unit="V", timestamps=times(rng, 30))
    second = TimeSeries(name="second", data=first, unit="mV", timestamps=first, conversion=1e-3)
    nwb.add_acquisition(first)
    nwb.add_acquisition(second)


@shape
def names_beyond_ascii(nwb, rng):
    nwb.add_acquisition(TimeSeries(name="Größe [µm]", data=rng.normal(size=9), unit="µm", rate=1.0))
    nwb.add_unit_column("région d'intérêt", "text")
    nwb.add_unit(spike_times=[0.1, 0.2], **{"région d'intérêt": "cortex é"})


@shape
def same_name_in_several_modules(nwb, rng):
    for module in ("ecephys", "behavior", "other"):
        series = TimeSeries(name="speed", data=rng.normal(size=12), unit="m/s", rate=4.0)
        nwb.create_processing_module(module, module).add(series)


@shape
def events_of_every_kind(nwb, rng):
    table = EventsTable(name="licks", description="licks")
    for time, duration in ((0.5, 0.1), (0.7, np.nan)):
        table.add_event(timestamp=time, duration=duration)
    nwb.add_events_table(table)
    nwb.add_acquisition(
        AnnotationSeries(name="notes", data=["start", "éveil"], timestamps=[0.0, 4.0])
    )
    module = nwb.create_processing_module("behavior", "behavior")
    reward = TimeSeries(name="reward", data=[1.0, 2.0, 1.0], unit="ml", timestamps=[1.0, 1.0, 3.0])
    module.add(BehavioralEvents(name="rewards", time_series=[reward]))
    laser = IntervalSeries(name="laser", data=[1, -1, 1, -1], timestamps=[0.0, 1.0, 2.0, 2.5])
    nwb.add_stimulus(laser)


@shape
def subject_and_images(nwb, rng):
    nwb.subject = Subject(
        subject_id="M1", species="Mus musculus", age="P90D", sex="F", description="a secret"
    )
    nwb.add_acquisition(
        ImageSeries(
            name="video",
            external_file=["../video.avi"],
            format="external",
            rate=30.0,
            starting_frame=[0],
            num_samples=9,
        )
    )
    nwb.add_trial(start_time=0.0, stop_time=1.0)
