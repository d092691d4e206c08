"""M/EEG through mne: what it wrote comes back, and every damage with its undamaged twin."""

from __future__ import annotations

import shutil
import warnings
from datetime import UTC, datetime

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn import recording
from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    FileError,
    SizeBudgetError,
    TimebaseError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io.limits import limited
from neurodyn.io.mne import check_meeg, load_meeg, open_meeg
from neurodyn.io.mne_files import is_meeg
from neurodyn.io.mne_objects import from_mne, to_mne

RATE, N_TIMES, FIRST_SAMP = 250.0, 2500, 500
NAMES = ["MEG 1", "MEG 2", "MEG 3", "Fz", "Cz", "Pz", "VEOG"]
TYPES = ["mag", "grad", "grad", "eeg", "eeg", "eeg", "eog"]
SCALE = np.array([1e-12, 1e-11, 1e-11, 1e-5, 1e-5, 1e-5, 1e-4])
START = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def samples(seed=0):
    return np.random.default_rng(seed).normal(size=(len(NAMES), N_TIMES)) * SCALE[:, None]


def make_raw(picks=None):
    """A recording of three types, begun 500 samples before its first one was kept."""
    info = mne.create_info(NAMES, RATE, TYPES)
    for index, channel in enumerate(info["chs"]):
        channel["loc"][:3] = (0.01 * index, 0.02, 0.1) if index in (3, 4) else 0.0
    info["bads"] = ["Cz"]
    info["line_freq"] = 50.0
    info["subject_info"] = {"his_id": "s01"}
    raw = mne.io.RawArray(samples(), info, first_samp=FIRST_SAMP, verbose="ERROR")
    raw.set_meas_date(START)
    raw.set_annotations(mne.Annotations([1.0, 3.0], [0.5, 0.0], ["BAD_blink", "go"]))
    return raw if picks is None else raw.pick(picks)


@pytest.fixture(scope="module")
def fif(tmp_path_factory):
    path = tmp_path_factory.mktemp("fif") / "rest_raw.fif"
    make_raw().save(path, fmt="double", verbose="ERROR")
    return path


def make_epochs(apart=250, **settings):
    n_epochs = 4
    events = np.column_stack(
        [600 + apart * np.arange(n_epochs), np.zeros(n_epochs, int), [1, 2, 1, 2]]
    )
    # no annotation says BAD here, so that all epochs are kept
    raw = make_raw(["Fz", "Cz", "Pz"]).set_annotations(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mne.Epochs(
            raw, events, {"left": 1, "right": 2}, -0.2, 0.5, baseline=None, preload=True, **settings
        )


# what comes back


def test_raw_data_come_back_in_si_units(fif):
    tree = load_meeg(fif)
    assert list(tree["signal"].children) == ["meg_mag", "meg_grad", "eeg", "eog"]
    units = {name: tree[f"signal/{name}"]["signal"].attrs["units"] for name in tree["signal"]}
    assert units == {"meg_mag": "T", "meg_grad": "T/m", "eeg": "V", "eog": "V"}
    for name, rows in (("meg_mag", [0]), ("meg_grad", [1, 2]), ("eeg", [3, 4, 5]), ("eog", [6])):
        ds = tree[f"signal/{name}"].to_dataset(inherit=False)
        assert ds["signal"].dims == ("time", "channel")
        np.testing.assert_allclose(ds["signal"], samples()[rows].T, rtol=1e-12)
        assert ds["channel"].values.tolist() == [NAMES[row] for row in rows]
        assert ds["type"].values.tolist() == [TYPES[row] for row in rows]
        assert "quality" not in ds.attrs
        assert ds.attrs["sampling_rate"] == RATE
        assert ds.attrs["line_frequency"] == 50.0
        assert (ds.attrs["highpass"], ds.attrs["lowpass"]) == (0.0, 125.0)
    assert recording.faults(tree) == []
    assert check_meeg(fif) == []


def test_positions_and_bad_channels(fif):
    eeg = load_meeg(fif, "signal/eeg")["signal/eeg"]
    np.testing.assert_allclose(eeg["x"], [0.03, 0.04, np.nan], atol=1e-7)
    np.testing.assert_allclose(eeg["z"], [0.1, 0.1, np.nan], atol=1e-7)
    assert eeg["x"].attrs["units"] == "m"
    assert eeg.attrs["coordinate_frame"] == "head"
    assert eeg["bad"].values.tolist() == [False, True, False]
    # zeros mean that nothing is known
    assert "coordinate_frame" not in load_meeg(fif, "signal/eog")["signal/eog"].attrs


def test_time_is_that_of_mne_and_session_start_its_zero(fif):
    raw = mne.io.read_raw_fif(fif, verbose="ERROR")
    tree = open_meeg(fif)
    eeg = tree["signal/eeg"]
    np.testing.assert_array_equal(eeg["time"], raw.times)
    assert eeg.attrs["first_time"] == FIRST_SAMP / RATE == raw.first_time
    assert tree.attrs["session_start"] == "2023-11-14T22:13:22+00:00"
    assert tree.attrs["subject"] == "s01"
    assert tree.attrs["source"] == fif.name
    # an annotation is where mne puts it: relative to the first sample
    trials = tree["trials"]
    assert trials["start"].values.tolist() == [1.0, 3.0]
    assert trials["stop"].values.tolist() == [1.5, 3.0]
    assert trials["description"].values.tolist() == ["BAD_blink", "go"]
    assert trials["bad"].values.tolist() == [True, False]


def test_opening_is_lazy(fif):
    signal = open_meeg(fif)["signal/eeg"]["signal"]
    expected = samples()[3:6].T
    assert not signal.variable._in_memory
    close = {"rtol": 1e-12}
    np.testing.assert_allclose(signal[3:9], expected[3:9], **close)
    np.testing.assert_allclose(signal[4], expected[4], **close)
    np.testing.assert_allclose(signal[::700, 1], expected[::700, 1], **close)
    np.testing.assert_allclose(signal[[2400, 2, 2], 1:], expected[[2400, 2, 2], 1:], **close)
    np.testing.assert_allclose(signal[:, [2, 0, 0]], expected[:, [2, 0, 0]], **close)
    np.testing.assert_allclose(signal[::-1], expected[::-1], **close)
    assert signal[3, 1].item() == pytest.approx(expected[3, 1])
    assert signal[5:5].shape == (0, 3)
    assert not signal.variable._in_memory


def slices(size):
    # xarray itself fails on empty slices that run backwards
    return st.slices(size).filter(lambda s: len(range(size)[s]) > 0 or (s.step or 1) > 0)


INDEX = st.one_of(
    st.integers(-N_TIMES, N_TIMES - 1),
    slices(N_TIMES),
    st.lists(st.integers(0, N_TIMES - 1), min_size=1, max_size=20),
)
CHANNEL = st.one_of(st.integers(-3, 2), slices(3), st.lists(st.integers(0, 2), min_size=1))


@pytest.fixture(scope="module")
def lazy(fif):
    return open_meeg(fif)["signal/eeg"]["signal"]


@settings(max_examples=40, deadline=None)
@given(time=INDEX, channel=CHANNEL)
def test_any_index_gives_what_numpy_gives(lazy, time, channel):
    expected = samples()[3:6].T[time]
    expected = expected[channel] if isinstance(time, int) else expected[:, channel]
    np.testing.assert_allclose(lazy[time, channel], expected, rtol=1e-12)


def test_blocks_give_the_same_samples(fif, monkeypatch):
    monkeypatch.setattr("neurodyn.io.mne_children.BLOCK_BYTES", 1000)
    signal = open_meeg(fif)["signal/eeg"]["signal"]
    np.testing.assert_allclose(signal[7:-3], samples()[3:6, 7:-3].T, rtol=1e-12)
    np.testing.assert_allclose(signal[[9, 2000, 10]], samples()[3:6, [9, 2000, 10]].T)


def test_the_memory_budget_holds_before_anything_is_read(fif):
    with limited(memory=10_000):
        lazy = open_meeg(fif)["signal/eeg"]["signal"]
        with pytest.raises(SizeBudgetError, match="larger than the memory budget"):
            lazy.load()
        with pytest.raises(SizeBudgetError, match=r"rest_raw\.fif"):
            load_meeg(fif)
        np.testing.assert_allclose(lazy[:100], samples()[3:6, :100].T)


def test_selection(fif):
    assert list(load_meeg(fif, "trials").children) == ["trials"]
    assert list(load_meeg(fif, "signal/meg*")["signal"].children) == ["meg_mag", "meg_grad"]
    with pytest.raises(EmptySelectionError, match=r"no signal/ecog[\s\S]*signal/eeg"):
        load_meeg(fif, "signal/ecog")


def test_one_type_needs_no_name(tmp_path):
    path = tmp_path / "a_raw.fif"
    make_raw(["Fz", "Cz"]).save(path, verbose="ERROR")
    tree = load_meeg(path)
    assert tree["signal"].attrs["name"] == "eeg"
    assert recording.pick(tree, "signal", "eeg").sizes["channel"] == 2
    # 32-bit floats are what mne writes unless told
    np.testing.assert_allclose(tree["signal"]["signal"], samples()[3:5].T, rtol=1e-6)


def test_types_can_be_said(fif):
    tree = open_meeg(fif, channel_types={"Pz": "ecg"})
    assert list(tree["signal"].children) == ["meg_mag", "meg_grad", "eeg", "ecg", "eog"]
    with pytest.raises(ConfigError, match=r"no channel 'P'[\s\S]*did you mean 'Pz'"):
        open_meeg(fif, channel_types={"P": "ecg"})
    with pytest.raises(ConfigError, match="no such channel type"):
        open_meeg(fif, channel_types={"Pz": "brain"})


def test_a_split_recording_is_one(tmp_path):
    path = tmp_path / "long_raw.fif"
    info = mne.create_info(8, 1000.0, "eeg")
    values = np.random.default_rng(1).normal(size=(8, 40_000)) * 1e-5
    raw = mne.io.RawArray(values, info, verbose="ERROR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw.save(path, fmt="double", split_size="2MB", buffer_size_sec=1.0, verbose="ERROR")
    assert (tmp_path / "long_raw-1.fif").exists()
    tree = load_meeg(path)
    np.testing.assert_allclose(tree["signal"]["signal"], values.T, rtol=1e-12)
    (tmp_path / "long_raw-1.fif").unlink()
    with pytest.raises(CorruptFileError, match=r"long_raw-1\.fif"):
        open_meeg(path)


# epochs


def test_epochs_become_trials_on_the_clock_of_the_session(tmp_path):
    path = tmp_path / "go-epo.fif"
    epochs = make_epochs()
    epochs.save(path, fmt="double", verbose="ERROR")
    tree = load_meeg(path)
    trials, ds = tree["trials"], tree["signal"].to_dataset(inherit=False)
    assert trials["condition"].values.tolist() == ["left", "right", "left", "right"]
    np.testing.assert_allclose(trials["event_time"], epochs.events[:, 0] / RATE)
    np.testing.assert_allclose(trials["start"], trials["event_time"] - 0.2)
    np.testing.assert_allclose(trials["stop"] - trials["start"], len(epochs.times) / RATE)
    cube = epochs.get_data(copy=True)
    np.testing.assert_allclose(ds["signal"], cube.swapaxes(1, 2).reshape(-1, 3), rtol=1e-12, atol=0)
    # each sample is where it was in the raw data, whose first one is the 500th
    index = np.rint(ds["time"].values * RATE).astype(int) - FIRST_SAMP
    np.testing.assert_allclose(ds["signal"], samples()[3:6, index].T, rtol=1e-12)
    assert ds.attrs["sampling_rate"] == RATE
    # the clock of events counts from the measurement date
    assert tree.attrs["session_start"] == "2023-11-14T22:13:20+00:00"
    lazy = open_meeg(path)["signal"]["signal"]
    np.testing.assert_allclose(lazy[170:360:7, 2], ds["signal"][170:360:7, 2])


def test_epochs_that_overlap_are_laid_out_on_request(tmp_path):
    path = tmp_path / "go-epo.fif"
    epochs = make_epochs(apart=100)
    epochs.save(path, fmt="double", verbose="ERROR")
    with pytest.raises(TimebaseError, match=r"epochs overlap[\s\S]*overlap='lay_out'"):
        load_meeg(path)
    assert "epochs overlap" in open_meeg(path)["signal"].attrs["fault"]
    tree = load_meeg(path, overlap="lay_out")
    time = tree["signal"]["time"].values
    np.testing.assert_allclose(np.unique(np.diff(time).round(9)), [1 / RATE, 2 / RATE])
    np.testing.assert_allclose(tree["trials"]["session_time"], epochs.events[:, 0] / RATE)
    second = tree["trials"]["start"].values[1]
    found = tree["signal"]["signal"].values[np.isclose(time, second)][0]
    np.testing.assert_allclose(found, epochs.get_data(copy=True)[1, :, 0], rtol=1e-12)
    with pytest.raises(ConfigError, match="overlap"):
        open_meeg(path, overlap="average")


def test_metadata_and_dropped_epochs(tmp_path):
    import pandas as pd

    table = pd.DataFrame(
        {"rt": [0.3, np.nan, 0.5, 0.4], "word": ["a", "b", None, "d"], "start": [1, 2, 3, 4]}
    )
    epochs = make_epochs(metadata=table)
    epochs.drop([1], reason="by hand", verbose="ERROR")
    path = tmp_path / "go-epo.fif"
    epochs.save(path, verbose="ERROR")
    trials = load_meeg(path)["trials"]
    assert trials["rt"].values.tolist() == [0.3, 0.5, 0.4]
    assert trials["word"].values.tolist() == ["a", "", "d"]
    assert trials["start_2"].values.tolist() == [1.0, 3.0, 4.0]
    assert trials.attrs["quality"] == {"epochs_dropped_before": 1}
    assert [fault.code for fault in check_meeg(path)] == ["epochs_dropped_before"]


# EDF and BrainVision, written by hand


def write_edf(path, n_records=10, labels=("Fz", "Cz", "VEOG"), per_record=(100, 100, 100)):
    """Write EDF with a resolution of 1 µV: the digital value is the number of µV."""
    n = len(labels)
    fields = [
        *(f"{label:16s}" for label in labels),
        *(f"{'AgAgCl':80s}" for _ in labels),
        *(f"{'uV':8s}" for _ in labels),
        *(f"{-32768:<8d}" for _ in labels),
        *(f"{32767:<8d}" for _ in labels),
        *(f"{-32768:<8d}" for _ in labels),
        *(f"{32767:<8d}" for _ in labels),
        *(f"{'':80s}" for _ in labels),
        *(f"{count:<8d}" for count in per_record),
        *(f"{'':32s}" for _ in labels),
    ]
    head = f"{'0':8s}{'s01 X X X':80s}{'Startdate X X X X':80s}14.11.2322.13.20"
    head += f"{256 * (n + 1):<8d}{'':44s}{n_records:<8d}{1:<8d}{n:<4d}" + "".join(fields)
    values = np.random.default_rng(2).integers(-500, 500, (n, n_records, max(per_record)))
    records = b"".join(
        values[row, record, : per_record[row]].astype("<i2").tobytes()
        for record in range(n_records)
        for row in range(n)
    )
    path.write_bytes(head.encode("ascii") + records)
    return values.reshape(n, -1)


def test_edf(tmp_path):
    path = tmp_path / "sleep.edf"
    values = write_edf(path)
    tree = load_meeg(path, channel_types={"VEOG": "eog"})
    np.testing.assert_allclose(tree["signal/eeg"]["signal"], 1e-6 * values[:2].T, rtol=1e-9)
    np.testing.assert_allclose(tree["signal/eog"]["signal"], 1e-6 * values[2:].T, rtol=1e-9)
    assert tree["signal/eeg"].attrs["sampling_rate"] == 100.0
    assert tree.attrs["session_start"].startswith("2023-11-14T22:13:20")
    assert "trials" not in tree.children
    assert check_meeg(path) == []
    lazy = open_meeg(path)["signal"]["signal"]
    np.testing.assert_allclose(lazy[95:205, 1], 1e-6 * values[1, 95:205], rtol=1e-9)


def test_edf_that_was_cut_off(tmp_path):
    path = tmp_path / "sleep.edf"
    values = write_edf(path)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(CorruptFileError, match=r"cut off[\s\S]*Number of records[\s\S]*on_bad="):
        load_meeg(path)
    assert "cut off" in open_meeg(path)["signal"].attrs["fault"]
    assert [fault.code for fault in check_meeg(path)] == ["truncated_file"]
    with pytest.warns(DataQualityWarning, match="truncated file: 1 kept"):
        tree = load_meeg(path, on_bad="warn")
    n_left = tree["signal"].sizes["time"]
    assert 700 <= n_left < 1000
    np.testing.assert_allclose(tree["signal"]["signal"], 1e-6 * values[:, :n_left].T, rtol=1e-9)
    assert tree["signal"].attrs["quality"] == {"truncated_file_kept": 1}


def test_channels_of_one_name(tmp_path):
    path = tmp_path / "sleep.edf"
    values = write_edf(path, labels=("Fz", "Fz", "Pz"))
    with pytest.raises(DataError, match=r"names repeat[\s\S]*'Fz'[\s\S]*on_bad='fix'"):
        load_meeg(path)
    with pytest.warns(DataQualityWarning, match="repeated channels: 1 fixed"):
        tree = load_meeg(path, on_bad="fix")
    assert tree["signal"]["channel"].values.tolist() == ["Fz-0", "Fz-1", "Pz"]
    np.testing.assert_allclose(tree["signal"]["signal"], 1e-6 * values.T, rtol=1e-9)
    assert [fault.code for fault in check_meeg(path)] == ["repeated_channels"]


def test_channels_that_mne_resampled_are_named(tmp_path):
    path = tmp_path / "sleep.edf"
    write_edf(path, labels=("Fz", "Temp", "Pz"), per_record=(100, 10, 100))
    # opened only: what mne needs to resample takes seconds to import
    tree = open_meeg(path)
    assert tree.attrs["quality"] == {"mne_warnings": 1}
    assert tree.attrs["notes"] == ["Temp: sampled at 10 Hz, resampled by mne to 100 Hz"]


def write_brainvision(folder, data="rest.eeg", markers="rest.vmrk", extra=""):
    values = np.random.default_rng(3).integers(-500, 500, (200, 2)).astype("<i2")
    header = f"""Brain Vision Data Exchange Header File Version 1.0
; written by a test

[Common Infos]
Codepage=UTF-8
DataFile={data}
MarkerFile={markers}
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels=2
SamplingInterval=10000
{extra}
[Binary Infos]
BinaryFormat=INT_16

[Channel Infos]
Ch1=Fz,,0.5,µV
Ch2=Cz,,0.5,µV
"""
    marks = f"""Brain Vision Data Exchange Marker File, Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={data}

[Marker Infos]
Mk1=New Segment,,1,1,0,20231114221320000000
Mk2=Stimulus,S  1,51,10,0
"""
    (folder / "rest.vhdr").write_text(header, encoding="utf-8")
    (folder / "rest.vmrk").write_text(marks, encoding="utf-8")
    (folder / "rest.eeg").write_bytes(values.tobytes())
    return folder / "rest.vhdr", values


def test_brainvision(tmp_path):
    path, values = write_brainvision(tmp_path)
    tree = load_meeg(path)
    np.testing.assert_allclose(tree["signal"]["signal"], 0.5e-6 * values, rtol=1e-9)
    assert tree["trials"]["description"].values.tolist() == ["Stimulus/S  1"]
    np.testing.assert_allclose(tree["trials"]["start"], [0.5])
    np.testing.assert_allclose(tree["trials"]["stop"], [0.6])
    assert tree.attrs["session_start"] == "2023-11-14T22:13:20+00:00"
    assert check_meeg(path) == []
    for companion in ("rest.eeg", "rest.vmrk"):
        with pytest.raises(UnsupportedFormatError, match=r"open the \.vhdr"):
            open_meeg(tmp_path / companion)


@pytest.mark.parametrize("name", ["rest.eeg", "rest.vmrk"])
def test_brainvision_without_a_companion(tmp_path, name):
    path, _ = write_brainvision(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CorruptFileError, match=rf"is missing[\s\S]*no {name}[\s\S]*all three"):
        open_meeg(path)


def test_brainvision_that_was_cut_off(tmp_path):
    path, values = write_brainvision(tmp_path)
    data = tmp_path / "rest.eeg"
    data.write_bytes(data.read_bytes()[:-3])
    with pytest.raises(CorruptFileError, match=r"cut off[\s\S]*797 bytes[\s\S]*796 bytes"):
        load_meeg(path)
    with pytest.warns(DataQualityWarning, match="truncated file"):
        tree = load_meeg(path, "signal", "warn")
    np.testing.assert_allclose(tree["signal"]["signal"], 0.5e-6 * values[:-1], rtol=1e-9)
    path, _ = write_brainvision(tmp_path, extra="DataPoints=250")
    with pytest.raises(CorruptFileError, match=r"800 bytes[\s\S]*1000 bytes"):
        load_meeg(path)


def test_brainvision_reaches_for_nothing_outside(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    path, _ = write_brainvision(folder, data="../secret.eeg")
    shutil.move(folder / "rest.eeg", tmp_path / "secret.eeg")
    with pytest.raises(UnsafeFileError, match=r"outside its folder[\s\S]*secret\.eeg"):
        open_meeg(path)
    path, _ = write_brainvision(folder)
    (folder / "rest.eeg").unlink()
    (folder / "rest.eeg").symlink_to(tmp_path / "secret.eeg")
    with pytest.raises(UnsafeFileError, match="outside its folder"):
        open_meeg(path)


# damage


@pytest.mark.parametrize("ending", [".fif", ".edf", ".bdf", ".gdf", ".vhdr"])
def test_garbage_and_emptiness(tmp_path, ending):
    path = tmp_path / f"bad{ending}"
    for content in (b"nothing at all " * 50, b""):
        path.write_bytes(content)
        with pytest.raises(CorruptFileError, match=r"ending and content[\s\S]*first bytes"):
            open_meeg(path)


@pytest.mark.parametrize(
    ("ending", "head"),
    [
        (".fif", bytes.fromhex("000000640000001f00000014")),
        (".edf", b"0       "),
        (".bdf", b"\xffBIOSEMI"),
        (".gdf", b"GDF 2.20"),
        (".vhdr", b"Brain Vision Data Exchange Header File Version 1.0"),
    ],
)
def test_garbage_behind_a_good_beginning(tmp_path, ending, head):
    path = tmp_path / f"bad{ending}"
    path.write_bytes(head + b"nothing at all " * 200)
    assert is_meeg(path, head)
    with pytest.raises(CorruptFileError, match=r"mne cannot read the file[\s\S]*found: \w+"):
        open_meeg(path)


def test_a_wrong_ending(fif, tmp_path):
    renamed = tmp_path / "rest.edf"
    shutil.copy(fif, renamed)
    with pytest.raises(CorruptFileError, match=r"first bytes of FIF[\s\S]*name it rest\.fif"):
        open_meeg(renamed)
    other = tmp_path / "rest.dat"
    shutil.copy(fif, other)
    with pytest.raises(CorruptFileError, match=r"ending \.fif[\s\S]*name it rest\.fif"):
        open_meeg(other)
    other.write_bytes(b"something else")
    with pytest.raises(UnsupportedFormatError, match=r"\.fif \.edf[\s\S]*from_mne"):
        open_meeg(other)
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_meeg(tmp_path / "nowhere.fif")


def test_fif_without_raw_data_and_epochs(tmp_path):
    path = tmp_path / "mean-ave.fif"
    make_epochs().average().save(path, verbose="ERROR")
    with pytest.raises(
        UnsupportedFormatError, match=r"neither raw data nor epochs[\s\S]*-epo\.fif"
    ):
        open_meeg(path)


@pytest.mark.parametrize("left", [0.02, 0.3, 0.6, 0.999])
def test_fif_that_was_cut_off(fif, tmp_path, left):
    data = fif.read_bytes()
    path = tmp_path / "rest_raw.fif"
    path.write_bytes(data[: int(left * len(data))])
    with pytest.raises(CorruptFileError, match=r"cut off|cannot read"):
        load_meeg(path)
    if left < 0.1:
        return
    assert {fault.code for fault in check_meeg(path)} >= {"truncated_file"}
    lazy = open_meeg(path)
    assert all("cut off" in node.attrs["fault"] for node in lazy.leaves)
    with pytest.raises(CorruptFileError, match="cut off"):
        _ = lazy["signal/eeg"]["signal"].values


def test_other_names_of_fif_files_are_no_fault(fif, tmp_path):
    path = tmp_path / "monday.fif"
    shutil.copy(fif, path)
    assert "quality" not in load_meeg(path).attrs


def test_infinite_and_missing_samples(tmp_path):
    values = samples()[3:6]
    values[1, 7], values[2, 8:10] = np.inf, np.nan
    info = mne.create_info(NAMES[3:6], RATE, "eeg")
    path = tmp_path / "a_raw.fif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne.io.RawArray(values, info, verbose="ERROR").save(path, fmt="double", verbose="ERROR")
    with pytest.raises(DataError, match=r"samples are infinite[\s\S]*Cz|Cz[\s\S]*infinite"):
        load_meeg(path)
    with pytest.warns(DataQualityWarning, match="infinite samples: 1 dropped"):
        tree = load_meeg(path, on_bad="drop")
    values[1, 7] = np.nan
    np.testing.assert_array_equal(tree["signal"]["signal"], values.T)
    assert tree["signal"].attrs["quality"] == {"nan_samples": 2, "infinite_samples_dropped": 1}


def test_a_file_that_changes_while_it_is_read(fif, tmp_path, monkeypatch):
    path = tmp_path / "rest_raw.fif"
    shutil.copy(fif, path)
    read = mne.io.BaseRaw.__getitem__

    def and_touch(self, item):
        with path.open("ab") as file:
            file.write(b"more")
        return read(self, item)

    monkeypatch.setattr(mne.io.BaseRaw, "__getitem__", and_touch)
    with pytest.raises(FileError, match="changed while it was being read"):
        load_meeg(path)


def test_what_mne_warns_about_is_kept_as_a_note(tmp_path):
    path, _ = write_brainvision(tmp_path)
    marks = tmp_path / "rest.vmrk"
    marks.write_text(marks.read_text("utf-8").replace("=Stimulus,S  1,51", "=Stimulus,S  1,5100"))
    tree = load_meeg(path)
    assert tree.attrs["quality"] == {"mne_warnings": len(tree.attrs["notes"])}
    assert "annotation" in tree.attrs["notes"][0]
    assert [fault.code for fault in check_meeg(path)] == ["mne_warning"]


# objects of mne


def test_to_mne_and_back(fif):
    tree = load_meeg(fif)
    raw = to_mne(tree)
    original = mne.io.read_raw_fif(fif, preload=True, verbose="ERROR")
    assert raw.ch_names == original.ch_names
    assert raw.get_channel_types() == original.get_channel_types()
    assert raw.info["bads"] == ["Cz"]
    np.testing.assert_array_equal(raw.get_data(), original.get_data())
    again = from_mne(raw)
    assert again.attrs["session_start"] == tree.attrs["session_start"]
    for name in ("eeg", "meg_grad"):
        found, expected = again[f"signal/{name}"], tree[f"signal/{name}"]
        np.testing.assert_array_equal(found["signal"], expected["signal"])
        np.testing.assert_array_equal(found["time"], expected["time"])
        np.testing.assert_allclose(found["x"], expected["x"])
    assert again["trials"]["description"].values.tolist() == ["BAD_blink", "go"]
    np.testing.assert_allclose(again["trials"]["start"], tree["trials"]["start"])


def test_a_clock_that_begins_later_survives(tmp_path):
    data = recording.signal(np.ones((100, 1)), sampling_rate=10.0, start=5.0)
    trials = recording.trials([6.0], [7.0], columns={"condition": ["left"]})
    tree = recording.recording([data, trials], session_start=START.isoformat())
    raw = to_mne(tree)
    assert raw.first_samp == 50
    again = from_mne(raw)
    # 0 is now the first sample; the moment is the same
    assert again.attrs["session_start"] == "2023-11-14T22:13:25+00:00"
    assert again["trials"]["start"].values.tolist() == [1.0]
    assert again["trials"]["description"].values.tolist() == ["left"]


def test_from_mne_copies_and_takes_epochs():
    epochs = make_epochs()
    tree = from_mne(epochs)
    before = tree["signal"]["signal"].values.copy()
    epochs._data[:] = 0.0
    np.testing.assert_array_equal(tree["signal"]["signal"], before)
    assert tree["trials"]["condition"].values[0] == "left"
    with pytest.raises(UnsupportedFormatError, match=r"no object of mne[\s\S]*found: dict"):
        from_mne({})


def test_what_cannot_become_raw_data():
    fast = recording.signal(np.ones((10, 1)), sampling_rate=10.0)
    slow = recording.signal(np.ones((10, 1)), sampling_rate=5.0, channel=["b"])
    both = recording.recording({"signal": {"a": fast, "b": slow}})
    with pytest.raises(DataError, match=r"no regular clock in common[\s\S]*5\.0 Hz"):
        to_mne(both)
    with pytest.raises(DataError, match="no regular clock"):
        to_mne(recording.signal(np.ones((3, 1)), time=[0.0, 1.0, 3.0]))
    with pytest.raises(DataError, match="one animal"):
        to_mne(recording.signal(np.ones((2, 3, 1)), sampling_rate=1.0))
    with pytest.raises(EmptySelectionError, match="no signal"):
        to_mne(recording.recording([recording.trials([0.0], [1.0])]))
    named = to_mne(recording.signal(np.ones((9, 1)), sampling_rate=1.0), channel_type="ecog")
    assert named.get_channel_types() == ["ecog"]
