"""Rare structures: references, enumerations, tables without ids, objects that cannot be opened."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hdmf.common import EnumData
from nwb_shapes import make, new_file, write
from pynwb import TimeSeries

from neurodyn import io, recording
from neurodyn.errors import (
    CorruptFileError,
    DataQualityWarning,
    NeurodynError,
    TimebaseError,
    TrialTableError,
)
from neurodyn.io import doctor
from neurodyn.io.faults import Fault, Quality
from neurodyn.io.nwb.naming import unique_labels


@pytest.fixture
def changed(tmp_path):
    """Write the file of a shape and change it."""

    def of_shape(name, change):
        path = make(name, tmp_path / f"{name}.nwb")
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return of_shape


def test_references_to_series_become_names(tmp_path):
    nwb = new_file()
    series = TimeSeries(name="lick", data=np.ones(90), unit="V", rate=10.0)
    nwb.add_acquisition(series)
    nwb.add_trial(start_time=0.0, stop_time=1.0, timeseries=[series])
    nwb.add_trial(start_time=2.0, stop_time=3.0, timeseries=[series])
    trials = io.load(write(nwb, tmp_path / "a.nwb"))["trials"]
    assert trials["timeseries_timeseries"].values.tolist() == [["lick"], ["lick"]]
    assert trials["timeseries_idx_start"].values.tolist() == [[0], [20]]
    assert trials["timeseries_count"].values.tolist() == [[10], [10]]


def test_enumerations_become_text(tmp_path):
    nwb = new_file()
    with pytest.warns(UserWarning, match="experimental"):
        nwb.add_unit_column("kind", "an enumeration", col_cls=EnumData)
    for kind in ("principal", "interneuron", "principal"):
        nwb.add_unit(spike_times=[0.5], kind=kind)
    spikes = io.load(write(nwb, tmp_path / "a.nwb"))["spikes"]
    assert spikes["kind"].values.tolist() == ["principal", "interneuron", "principal"]


def test_table_without_ids_and_names_of_columns(changed):
    def change(file):
        del file["intervals/trials/id"], file["intervals/trials"].attrs["colnames"]

    trials = io.load(changed("trials_with_missing_events", change))["trials"]
    assert trials["trial"].values.tolist() == [0, 1, 2, 3, 4]
    assert {"go_cue_time", "condition", "rewarded"} <= set(trials.data_vars)


def test_repeated_trial_ids_are_numbered(changed):
    def change(file):
        file["intervals/trials/id"][...] = [1, 1, 1, 2, 3]

    path = changed("trials_with_missing_events", change)
    trials = io.load(path)["trials"]
    assert trials["trial"].values.tolist() == ["1", "1_2", "1_3", "2", "3"]
    assert ("warning", "repeated_trial_ids") in {(f.severity, f.code) for f in doctor.check(path)}


def test_times_of_another_length_are_refused(changed):
    def change(file):
        del file["intervals/trials/stop_time"]
        file["intervals/trials/stop_time"] = [1.0]

    path = changed("trials_with_missing_events", change)
    with pytest.raises(TrialTableError, match=r"(?s)'stop_time' has another length.*5 rows"):
        io.load(path)
    assert "another length" in io.open(path)["trials"].attrs["fault"]


def test_intervals_that_do_not_alternate_are_refused(changed):
    def change(file):
        file["stimulus/presentation/laser/data"][...] = [1, 1, -1, -1]

    path = changed("events_of_every_kind", change)
    with pytest.raises(TrialTableError, match="not opened and closed in turn"):
        io.load(path, select="trials/laser")

    def none(file):
        file["stimulus/presentation/laser/data"][...] = 0

    laser = io.load(changed("events_of_every_kind", none), "trials/laser")["trials/laser"]
    assert laser.sizes["trial"] == 0


def test_events_on_a_regular_clock(changed):
    def change(file):
        events = file["processing/behavior/rewards/reward"]
        del events["timestamps"]
        events["starting_time"] = 2.0
        events["starting_time"].attrs["rate"] = 4.0

    reward = io.load(changed("events_of_every_kind", change))["trials/reward"]
    assert reward["start"].values.tolist() == [2.0, 2.25, 2.5]


def test_event_times_may_coincide_but_not_fall(changed):
    def change(file):
        file["processing/behavior/rewards/reward/timestamps"][...] = [1.0, 0.5, 3.0]

    with pytest.raises(TimebaseError, match="do not increase"):
        io.load(changed("events_of_every_kind", change))


def test_timestamps_that_are_text(changed):
    def change(file):
        del file["acquisition/frames/timestamps"]
        file["acquisition/frames/timestamps"] = ["a"] * 100

    with pytest.raises(CorruptFileError, match="timestamps are no numbers"):
        io.load(changed("clock_with_a_gap", change))


def test_single_and_no_samples(changed):
    def single(file):
        for name in ("data", "timestamps"):
            del file[f"acquisition/frames/{name}"]
            file[f"acquisition/frames/{name}"] = [1.5]

    assert io.load(changed("clock_with_a_gap", single))["signal"]["time"].values.tolist() == [1.5]

    def none(file):
        for name in ("data", "timestamps"):
            del file[f"acquisition/frames/{name}"]
            file[f"acquisition/frames/{name}"] = np.empty(0)

    assert io.load(changed("clock_with_a_gap", none))["signal"].sizes["time"] == 0


def test_channel_conversion_of_another_length(changed):
    def change(file):
        del file["acquisition/raw/channel_conversion"]
        file["acquisition/raw/channel_conversion"] = [1.0]

    with pytest.raises(CorruptFileError, match="does not fit the channels"):
        io.load(changed("electrical_series", change))


def test_electrodes_without_their_table(changed):
    def change(file):
        del file["units/electrodes"].attrs["table"]

    spikes = io.load(changed("units_with_one_electrode", change))["spikes"]
    assert spikes["area"].values.tolist() == ["area right", "area left", "area right"]

    def remove(file):
        change(file)
        del file["general/extracellular_ephys/electrodes"]

    assert "area" not in io.load(changed("units_with_one_electrode", remove))["spikes"].coords


def test_units_without_any_electrode_have_no_area(changed):
    def change(file):
        del file["units/electrodes_index"], file["units/electrodes"].attrs["table"]
        file["units/electrodes_index"] = np.array([0, 2, 3], dtype=np.uint8)

    spikes = io.load(changed("units_with_one_electrode", change))["spikes"]
    assert spikes["area"].values[0] == ""
    assert np.isnan(spikes["x"].values[0])


def test_flat_spike_times_that_are_no_list(changed):
    def change(file):
        del file["units/spike_times"]
        file["units/spike_times"] = np.ones((3, 2))

    with pytest.raises(CorruptFileError, match="no list of numbers"):
        io.load(changed("units_plain", change))


def test_observation_intervals_of_another_shape(changed):
    def change(file):
        del file["units/obs_intervals"]
        file["units/obs_intervals"] = np.ones(6)

    with pytest.raises(CorruptFileError, match="observation intervals have the wrong shape"):
        io.load(changed("units_with_observation_intervals", change))


def test_units_without_spike_times_are_listed(changed):
    def change(file):
        for name in ("spike_times", "spike_times_index"):
            del file[f"units/{name}"]
        file["units"].attrs["colnames"] = np.array([], dtype=h5py.string_dtype())

    tree = io.open(changed("units_plain", change))
    assert tree.attrs["unread"] == ["/units (Units): table of units without spike_times"]


def test_column_that_cannot_be_read_is_one_fault(changed):
    def change(file):
        file["units/quality"].attrs["elements"] = 5

    path = changed("units_with_columns_of_every_type", change)
    with pytest.raises(CorruptFileError, match="column 'quality' cannot be read"):
        io.load(path)
    assert io.open(path)["spikes"]["depth"].values.tolist() == [0.0, 0.5, 1.0, 1.5]


def test_object_of_unexpected_structure_is_one_fault(changed, monkeypatch):
    from neurodyn.io.nwb import reader

    def broken(entry, quality):
        raise AttributeError("no such thing")

    path = changed("several_interval_tables", lambda file: None)
    monkeypatch.setitem(reader.TABLES, "intervals", broken)
    with pytest.raises(CorruptFileError, match=r"(?s)TimeIntervals cannot be read.*AttributeError"):
        io.load(path)


def test_object_that_cannot_be_opened_takes_nothing_with_it(changed, monkeypatch):
    from neurodyn.io.nwb import inventory

    path = changed("several_interval_tables", lambda file: None)
    original = inventory.attribute

    def attribute(item, name, default=None):
        if item.name.endswith("ripples"):
            raise RuntimeError("bad object header")
        return original(item, name, default)

    monkeypatch.setattr(inventory, "attribute", attribute)
    with pytest.raises(CorruptFileError, match=r"(?s)cannot be opened.*intervals/ripples"):
        io.load(path)
    assert recording.names(io.load(path, select="trials/trials")) == {"trials": ["trials"]}
    with pytest.warns(DataQualityWarning, match="broken object: 1 dropped"):
        assert len(io.load(path, on_bad="drop")["trials"].children) == 2
    assert [fault.code for fault in doctor.check(path)] == ["broken_object"]
    assert "bad object header" in io.open(path).attrs["unread"][0]


def test_links_within_the_file_show_an_object_once(changed):
    def change(file):
        file["acquisition/again"] = h5py.SoftLink("/acquisition/frames")
        file["analysis/hard"] = file["acquisition/frames"]
        file["analysis/around"] = file["analysis"]

    tree = io.load(changed("clock_with_a_gap", change))
    assert recording.names(tree) == {"signal": [""]}


def test_samples_are_checked_to_the_end(changed):
    def change(file):
        file["acquisition/frames/data"][:, 1] = np.nan

    path = changed("clock_that_is_nearly_regular", change)
    assert [(f.severity, f.code) for f in doctor.check(path)] == [("warning", "empty_channels")]

    def damage(file):
        data = file["processing/ecephys/LFP/lfp/data"]
        damage.at = data.id.get_chunk_info(2).byte_offset

    path = changed("lfp_in_a_container", damage)
    content = bytearray(path.read_bytes())
    content[damage.at : damage.at + 8] = b"damaged!"
    path.write_bytes(content)
    assert [fault.code for fault in doctor.check(path)] == ["unreadable_samples"]
    lfp = io.open(path)["signal"]["signal"]
    assert np.isfinite(lfp[:20].values).all()
    with pytest.raises(CorruptFileError, match=r"lfp/data, chunk \(40, 0\)"):
        _ = lfp.values


def test_trials_out_of_order_are_noted(changed):
    def change(file):
        for name in ("start_time", "stop_time"):
            times = file[f"intervals/trials/{name}"]
            times[...] = times[:][::-1]

    path = changed("trials_with_missing_events", change)
    assert [fault.code for fault in doctor.check(path)] == ["unsorted_trials"]


def test_spikes_before_a_stated_session_start(changed):
    def change(file):
        file["timestamps_reference_time"][()] = "2020-01-01T00:00:10+00:00"
        file["units/spike_times"][0] = -9.0

    quality = io.load(changed("units_plain", change))["spikes"].attrs["quality"]
    assert quality == {"negative_spikes": 1}

    def earlier(file):
        change(file)
        file["units/spike_times"][0] = -11.0

    with pytest.raises(ValueError, match=r"(?s)before the session.*from -10 s on"):
        io.load(changed("units_plain", earlier))


def test_labels_never_collide():
    labels, n_repeated = unique_labels(["a", "a", "a_2", "a"])
    assert len(set(labels)) == 4
    assert n_repeated == 2


def test_fault_without_an_exception_can_be_raised():
    fault = Fault("warning", "odd", "/units", "something is odd", "look at it")
    with pytest.raises(NeurodynError, match=r"(?s)something is odd \(at /units\).*look at it"):
        Quality().decide(fault)
