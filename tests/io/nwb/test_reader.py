"""Opening and loading: names, selection, laziness, privacy, isolation of broken objects."""

from __future__ import annotations

import os
import warnings

import h5py
import numpy as np
import pytest
from nwb_shapes import SHAPES, make

from neurodyn import io, recording
from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataQualityWarning,
    EmptySelectionError,
    FileError,
    SizeBudgetError,
)
from neurodyn.io import doctor
from neurodyn.io.nwb import container, tables


@pytest.fixture
def write(tmp_path):
    def of_shape(name, change=None):
        path = make(name, tmp_path / f"{name}.nwb")
        if change is not None:
            with h5py.File(path, "r+") as file:
                change(file)
        return path

    return of_shape


def test_several_of_a_kind_are_named_and_trials_is_the_default(write):
    tree = io.load(write("several_interval_tables"))
    assert recording.names(tree) == {"trials": ["epochs", "ripples", "trials"]}
    assert recording.pick(tree, "trials").attrs["name"] == "trials"
    assert recording.pick(tree, "trials", "epochs")["tags"].values.tolist() == [["sleep", "wake"]]


def test_equal_names_are_told_apart_by_their_parents(write):
    tree = io.load(write("same_name_in_several_modules"))
    assert recording.names(tree)["signal"] == ["speed", "other_speed"]
    assert tree["behavior"].attrs["source_path"] == "/processing/behavior/speed"


def test_names_are_made_fit_and_kept(write):
    tree = io.load(write("names_beyond_ascii"))
    assert tree["signal"].attrs["name"] == "Größe [µm]"
    column = tree["spikes"]["région_d_intérêt"]
    assert column.attrs["original_name"] == "région d'intérêt"


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("behavior/head", ["/behavior/head"]),
        ("behavior", ["/behavior/diameter", "/behavior/head", "/behavior/wheel"]),
        (["behavior/w*", "behavior/head"], ["/behavior/head", "/behavior/wheel"]),
        ("/processing/behavior/pupil/*", ["/behavior/diameter"]),
    ],
)
def test_selection(write, select, expected):
    path = write("behavior_on_its_own_clocks")
    for tree in (io.load(path, select=select), io.open(path, select=select)):
        assert sorted(node.path for node in tree.leaves) == expected
        tree.close()


def test_selection_of_nothing_lists_what_there_is(write):
    path = write("behavior_on_its_own_clocks")
    with pytest.raises(EmptySelectionError, match=r"(?s)no behavior/hed.*did you mean 'beh"):
        io.load(path, select="behavior/hed")
    with pytest.raises(EmptySelectionError, match="no spikes"):
        io.open(path, select="spikes")
    with pytest.raises(EmptySelectionError, match="have no column 'depth'"):
        io.load(write("units_plain"), select={"spikes": ["depth"]})


def test_selected_columns(write):
    spikes = io.load(
        write("units_with_columns_of_every_type"), select={"spikes": ["tags", "depth"]}
    )["spikes"]
    assert set(spikes.coords) == {"unit", "tags", "tags_size", "depth", "held_out"}
    assert spikes["tags"].values[1, : spikes["tags_size"].values[1]].tolist() == ["a"]


def test_events_become_tables(write):
    tree = io.load(write("events_of_every_kind"))
    licks = recording.pick(tree, "trials", "licks")
    np.testing.assert_allclose(licks["stop"] - licks["start"], [0.1, 0.0], atol=1e-12)
    notes = recording.pick(tree, "trials", "notes")
    assert notes["annotation"].values.tolist() == ["start", "éveil"]
    reward = recording.pick(tree, "trials", "reward")
    assert reward["value"].values.tolist() == [1.0, 2.0, 1.0]
    laser = recording.pick(tree, "trials", "laser")
    assert list(zip(laser["start"].values, laser["stop"].values)) == [(0.0, 1.0), (2.0, 2.5)]


def test_units_of_electrodes_have_area_and_position(write):
    spikes = io.load(write("units_with_electrodes"))["spikes"]
    assert spikes["area"].values.tolist() == ["area left", "area right"] * 2
    assert spikes["x"].values.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert spikes["electrode_group"].values.tolist() == ["left", "right"] * 2


def test_rois_and_electrodes_label_the_columns(write):
    dff = io.load(write("roi_responses"))["signal"]
    assert dff["roi"].values.tolist() == ["10", "11", "13"]
    raw = io.load(write("electrical_series"))["signal"]
    assert raw["channel"].values.tolist() == ["1", "3", "4"]
    assert raw["area"].values.tolist() == ["area right", "area right", "area left"]
    assert raw["signal"].dtype == np.int16


def test_clocks_are_classified(write):
    frames = io.load(write("clock_that_is_nearly_regular"))["signal"]
    assert frames.attrs["sampling_rate"] == 60.0
    gap = io.load(write("clock_with_a_gap"))["signal"]
    assert gap.attrs["quality"] == {"gaps": 1}
    assert float(gap["time"][50]) == 5.0


def test_ticks_are_those_of_the_acquisition_system(write):
    assert io.load(write("units_with_resolution"))["spikes"].attrs["tick_hz"] == 30_000.0
    assert io.load(write("units_plain"))["spikes"].attrs["tick_hz"] == 1e9


def test_only_ids_of_the_subject_are_carried_on(write):
    path = write("subject_and_images")
    attrs = io.load(path).attrs
    assert (attrs["subject"], attrs["species"]) == ("M1", "Mus musculus")
    assert "secret" not in str(attrs).replace("video", "")
    assert str(path.parent) not in str(attrs)
    assert attrs["source"] == "subject_and_images.nwb"
    assert "video.avi" in attrs["unread"][0]


def test_digest_changes_with_the_file(write):
    path = write("units_plain")
    first = io.open(path)
    assert first.attrs["digest"].startswith("quick:")
    first.close()
    os.utime(path, (1, 1))
    assert io.load(path).attrs["digest"] != first.attrs["digest"]


def test_parts_of_lazy_data_are_read_alone(write):
    tree = io.open(write("lfp_in_a_container"))
    lfp = tree["signal"]["signal"]
    assert lfp[3:5, 1].values.shape == (2,)
    assert lfp.isel(time=[5, 2, 70]).values.shape == (3, 2)
    assert float(lfp[4, 0].values) == float(lfp.values[4, 0])
    wheel = io.open(write("behavior_on_its_own_clocks"))["behavior/wheel"]["value"]
    np.testing.assert_array_equal(wheel[5:7, 0].values, wheel.values[5:7, 0])
    path = write("units_plain")
    spikes = io.open(path)["spikes"].to_dataset()
    whole = io.load(path)["spikes"]["spike_time"].values
    assert spikes["spike_time"][40:].values.tolist() == whole[40:].tolist()
    assert recording.unit_spike_times(spikes, "2").tolist() == whole[30:].tolist()


def test_lazy_recordings_can_be_copied_and_saved(write, tmp_path):
    tree = io.open(write("lfp_in_a_container"))
    copied = tree.copy(deep=True)
    np.testing.assert_array_equal(copied["signal"]["signal"], tree["signal"]["signal"])
    recording.save(io.open(write("units_with_one_electrode")), tmp_path / "a.nc")
    assert io.load(tmp_path / "a.nc")["spikes"].sizes["unit"] == 3


def test_damaged_samples_are_an_error_of_that_object_only(write):
    def flip(file):
        chunk = file["units/spike_times"].id.get_chunk_info(0)
        flip.at = chunk.byte_offset + 5

    path = write("units_chunked_and_compressed", flip)
    data = bytearray(path.read_bytes())
    data[flip.at] ^= 0xFF
    path.write_bytes(data)
    tree = io.open(path)
    with pytest.raises(CorruptFileError, match="units/spike_times, chunk"):
        _ = tree["spikes"]["spike_time"].values
    with pytest.raises(CorruptFileError):
        io.load(path)
    assert [fault.code for fault in doctor.check(path)] == ["faulty_spikes"]
    with pytest.warns(DataQualityWarning, match="faulty spikes: 1 dropped"):
        assert list(io.load(path, on_bad="drop").children) == []


def test_repeated_ids_are_numbered(write):
    def repeat(file):
        file["units/id"][...] = [4, 4, 5]

    spikes = io.load(write("units_plain", repeat))["spikes"]
    assert spikes["unit"].values.tolist() == ["4", "4_2", "5"]
    assert spikes.attrs["quality"] == {"repeated_unit_ids": 1}


def test_electrode_out_of_range_is_a_fault_of_area(write):
    def change(file):
        file["units/electrodes"][0] = 99

    path = write("units_with_one_electrode", change)
    with pytest.raises(CorruptFileError, match=r"(?s)does not exist.*row 99.*rows 0 to 5"):
        io.load(path)
    tree = io.open(path)
    assert tree["spikes"]["spike_time"].values.size == 27
    with pytest.raises(CorruptFileError):
        _ = tree["spikes"]["area"].values
    with pytest.warns(DataQualityWarning, match="faulty column"):
        assert "area" not in io.load(path, on_bad="drop")["spikes"].coords


def test_column_of_another_length_is_a_fault(write):
    def change(file):
        del file["intervals/trials/condition"]
        file["intervals/trials/condition"] = ["a"]

    with pytest.raises(CorruptFileError, match=r"(?s)another length.*shape \(1,\).*5 rows"):
        io.load(write("trials_with_missing_events", change))


def test_unsettled_intervals_of_observation_are_refused(write):
    def change(file):
        file["units/obs_intervals"][0] = [5.0, 1.0]

    with pytest.raises(ValueError, match="observation intervals are impossible"):
        io.load(write("units_with_observation_intervals", change))


def test_column_that_would_not_fit_is_left_in_the_file(write, monkeypatch):
    monkeypatch.setattr(tables, "PADDED_ELEMENTS", 10)
    path = write("trials_with_ragged_columns")
    with pytest.raises(SizeBudgetError, match=r"(?s)too large.*neurodyn.io.nwb.container"):
        io.load(path)
    with container(path, "/intervals/trials") as table:
        assert table["target_pos"][3].shape == (4, 2)


def test_columns_ragged_twice_are_named(write):
    def change(file):
        file["units/snippets"] = np.arange(8.0)
        file["units/snippets_index"] = [4, 8]
        file["units/snippets_index_index"] = [1, 1, 2]
        file["units"].attrs["colnames"] = ["spike_times", "snippets"]

    spikes = io.load(write("units_plain", change))["spikes"]
    assert spikes.attrs["unread_columns"] == ["snippets"]


def test_matlab_style_bytes_and_float32_times(write):
    def change(file):
        del file["intervals/trials/condition"]
        file["intervals/trials/condition"] = np.array([b"a", b"b"] * 2 + [b"a"])

    trials = io.load(write("trials_with_missing_events", change))["trials"]
    assert trials["condition"].values.tolist() == ["a", "b", "a", "b", "a"]

    def coarse(file):
        times = file["units/spike_times"][:] + 20_000
        del file["units/spike_times"]
        file["units/spike_times"] = times.astype(np.float32)

    path = write("units_plain", coarse)
    spikes = io.load(path)["spikes"]
    assert (spikes["spike_time"].dtype, spikes.attrs["stored_dtype"]) == (np.float64, "float32")
    assert [fault.code for fault in doctor.check(path)] == ["coarse_spike_times"]


def test_file_that_changes_meanwhile(write, monkeypatch):
    path = write("units_plain")
    from neurodyn.io.nwb import reader

    original = reader.Reader.read

    def read_and_touch(self, *arguments):
        os.utime(path, (1, 1))
        return original(self, *arguments)

    monkeypatch.setattr(reader.Reader, "read", read_and_touch)
    with pytest.raises(FileError, match="changed while it was being read"):
        io.load(path)


def test_unexpected_structure_is_one_line_of_ours(write):
    def change(file):
        del file["units/spike_times"]
        file.create_group("units/spike_times")

    path = write("units_plain", change)
    with pytest.raises(CorruptFileError, match="lacks its column 'spike_times'"):
        io.load(path)
    assert "fault" in io.open(path)["spikes"].attrs

    def scalar(file):
        del file["acquisition/frames/data"]
        file["acquisition/frames/data"] = 1.0

    tree = io.open(write("clock_with_a_gap", scalar))
    assert "numbers over (time, channel)" in tree.attrs["unread"][0]


def test_options_are_checked(write):
    with pytest.raises(ConfigError, match="spike_time_unit"):
        io.open(write("units_plain"), spike_time_unit="minutes")
    with pytest.raises(ConfigError, match="max_gap must be positive"):
        io.open(write("units_plain"), max_gap=0.0)
    with pytest.raises(ConfigError, match="on_bad"):
        io.load(write("units_plain"), on_bad="ignore")
    with pytest.raises(ConfigError, match="need a sampling rate"):
        io.load(write("units_plain"), spike_time_unit="samples")


def test_pynwb_route(write):
    path = write("subject_and_images")
    with container(path, "/acquisition/video") as video:
        assert video.num_samples == 9
    with container(path) as nwb:
        assert nwb.identifier == "test-file"
    with pytest.raises(EmptySelectionError, match="no such object"), container(path, "/nothing"):
        pass
    with pytest.raises(EmptySelectionError, match="not an NWB object"), container(path, "/general"):
        pass


def test_pynwb_route_names_the_file_that_it_cannot_read(write):
    def change(file):
        del file["session_start_time"]

    path = write("units_plain", change)
    with (
        pytest.raises(CorruptFileError, match="pynwb cannot read the file"),
        warnings.catch_warnings(),
        container(path),
    ):
        pass
    assert io.load(path)["spikes"].sizes["unit"] == 3


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_shape_is_without_fault(write, name):
    assert {fault.severity for fault in doctor.check(write(name))} <= {"note"}
