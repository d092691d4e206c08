"""M/EEG in a BIDS data set, which mne-bids wrote: its tables decide."""

from __future__ import annotations

import builtins
import shutil
import warnings

import mne
import numpy as np
import pytest

from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    EmptySelectionError,
    MissingDependencyError,
    UnsupportedFormatError,
)
from neurodyn.io.meeg_bids import (
    check_meeg_bids,
    find_meeg_runs,
    load_meeg_bids,
    open_meeg_bids,
)

NAMES = ["Fz", "Cz", "Pz", "EOG1"]
RATE, N_TIMES = 200.0, 1000
EVENTS = "onset\tduration\ttrial_type\tresponse_time\n1.0\t0.5\tleft\t0.31\n3.0\t0.0\tright\tn/a\n"


HEADER = """Brain Vision Data Exchange Header File Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile=rest.eeg
MarkerFile=rest.vmrk
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels=4
SamplingInterval=5000

[Binary Infos]
BinaryFormat=INT_16

[Channel Infos]
Ch1=Fz,,0.5,µV
Ch2=Cz,,0.5,µV
Ch3=Pz,,0.5,µV
Ch4=EOG1,,0.5,µV
"""
MARKERS = """Brain Vision Data Exchange Marker File, Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile=rest.eeg

[Marker Infos]
Mk1=New Segment,,1,1,0,20231114221320000000
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    mne_bids = pytest.importorskip("mne_bids", reason="mne-bids is not installed")
    folder = tmp_path_factory.mktemp("bids")
    values = np.random.default_rng(0).integers(-500, 500, (N_TIMES, 4)).astype("<i2")
    (folder / "rest.vhdr").write_text(HEADER, encoding="utf-8")
    (folder / "rest.vmrk").write_text(MARKERS, encoding="utf-8")
    (folder / "rest.eeg").write_bytes(values.tobytes())
    raw = mne.io.read_raw_brainvision(folder / "rest.vhdr", verbose="ERROR")
    raw.set_channel_types({"EOG1": "eog"}, verbose="ERROR")
    raw.info["bads"], raw.info["line_freq"] = ["Cz"], 50.0
    raw.set_annotations(mne.Annotations([1.0, 3.0], [0.5, 0.0], ["left", "right"]))
    root = folder / "study"
    for run in ("1", "2"):
        path = mne_bids.BIDSPath(subject="01", task="rest", run=run, datatype="eeg", root=root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mne_bids.write_raw_bids(raw, path, overwrite=True, verbose="ERROR")
    return root, 0.5e-6 * values


@pytest.fixture
def study(written, tmp_path):
    root = tmp_path / "study"
    shutil.copytree(written[0], root)
    return root


def test_a_run(study, written):
    tree = load_meeg_bids(study, run="1")
    np.testing.assert_allclose(tree["signal/eeg"]["signal"], written[1][:, :3], rtol=1e-9)
    assert tree["signal/eeg"]["bad"].values.tolist() == [False, True, False]
    assert tree["signal/eog"]["channel"].values.tolist() == ["EOG1"]
    assert tree["signal/eeg"].attrs["line_frequency"] == 50.0
    assert tree["trials"]["description"].values.tolist() == ["left", "right"]
    np.testing.assert_allclose(tree["trials"]["start"], [1.0, 3.0], atol=1 / RATE)
    assert {k: tree.attrs[k] for k in ("subject", "task", "run", "datatype")} == {
        "subject": "01",
        "task": "rest",
        "run": "1",
        "datatype": "eeg",
    }
    lazy = open_meeg_bids(study, run="1")["signal/eeg"]["signal"]
    assert not lazy.variable._in_memory
    np.testing.assert_allclose(lazy[5:9], written[1][5:9, :3], rtol=1e-9)
    (path,) = find_meeg_runs(study, run="1")
    assert load_meeg_bids(path).attrs == tree.attrs


def test_tables_decide(study):
    (path,) = find_meeg_runs(study, run="2")
    stem = path.name.removesuffix("_eeg.vhdr")
    (path.parent / f"{stem}_events.tsv").write_text(EVENTS)
    channels = path.parent / f"{stem}_channels.tsv"
    lines = channels.read_text("utf-8").splitlines()
    status = lines[0].split("\t").index("status")
    rows = [line.split("\t") for line in lines]
    for row in rows[1:]:
        row[status] = "bad" if row[0] in ("Pz", "EOG1") else "good"
    channels.write_text("\n".join("\t".join(row) for row in rows) + "\n", encoding="utf-8")
    tree = load_meeg_bids(path)
    assert tree["signal/eeg"]["bad"].values.tolist() == [False, False, True]
    assert tree["signal/eog"]["bad"].values.tolist() == [True]
    trials = tree["trials"]
    assert trials["description"].values.tolist() == ["left", "right"]
    np.testing.assert_allclose(trials["stop"] - trials["start"], [0.5, 0.0])
    if "response_time" in trials:
        # mne-bids gives further columns since 0.17
        assert float(trials["response_time"][0]) == pytest.approx(0.31)


def test_which_run(study):
    with pytest.raises(DataError, match=r"several runs[\s\S]*run-1_eeg[\s\S]*run-2_eeg"):
        open_meeg_bids(study)
    with pytest.raises(EmptySelectionError, match=r"no such run[\s\S]*run-1[\s\S]*run='3'"):
        open_meeg_bids(study, run="3")
    with pytest.raises(ConfigError, match="entity"):
        open_meeg_bids(study, runs="1")
    (path,) = find_meeg_runs(study, run="1", datatype="eeg")
    assert find_meeg_runs(study, datatype="meg") == []
    with pytest.raises(ConfigError, match="give one of the two"):
        open_meeg_bids(path, run="1")
    with pytest.raises(FileNotFoundError):
        open_meeg_bids(study / "nothing")
    (study / "dataset_description.json").unlink()
    with pytest.raises(UnsupportedFormatError, match=r"BIDS[\s\S]*dataset_description\.json"):
        open_meeg_bids(study, run="1")


def test_damage(study):
    (path,) = find_meeg_runs(study, run="1")
    data = path.with_suffix(".eeg")
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) * 6 // 10 + 1])
    with pytest.raises(CorruptFileError, match="cut off"):
        load_meeg_bids(path)
    assert "truncated_file" in {fault.code for fault in check_meeg_bids(path)}
    data.unlink()
    with pytest.raises(CorruptFileError, match="is missing"):
        open_meeg_bids(path)
    data.write_bytes(whole)
    assert check_meeg_bids(path) == []
    channels = path.with_name(path.name.replace("_eeg.vhdr", "_channels.tsv"))
    channels.write_bytes(b"\xff\xfe nothing")
    # a table that is no table is left out by mne-bids, which says so
    assert any("no 'name' column" in note for note in open_meeg_bids(path).attrs["notes"])
    assert {fault.code for fault in check_meeg_bids(path)} == {"mne_warning"}


def test_without_mne_bids(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "mne_bids":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"mne-bids[\s\S]*neurodyn\[bids\]"):
        open_meeg_bids(tmp_path)
