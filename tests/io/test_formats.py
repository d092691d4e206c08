"""The front door: recognising formats, netCDF of our own, readers of others."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
import xarray as xr

from neurodyn import io, recording
from neurodyn.errors import (
    CorruptFileError,
    EmptySelectionError,
    SchemaError,
    UnsupportedFormatError,
)
from neurodyn.io import doctor, formats
from neurodyn.io.nwb.write import write_nwb


@pytest.fixture
def tree():
    hand = recording.behavior([[1.0], [2.0]], sampling_rate=10.0)
    return recording.recording(
        {
            "trials": recording.trials([0.0], [1.0]),
            "behavior": {"hand": hand, "eye": hand},
        }
    )


def test_formats_are_told_by_content_too(tree, tmp_path):
    write_nwb(tree, tmp_path / "a.nwb")
    recording.save(tree, tmp_path / "a.nc")
    for suffix, name in ((".nwb", "NWB"), (".nc", "neurodyn netCDF")):
        plain = tmp_path / f"plain{suffix[1:]}"
        shutil.copy(tmp_path / f"a{suffix}", plain)
        assert io.recognise(plain).name == io.recognise(tmp_path / f"a{suffix}").name == name
        assert io.load(plain)["trials"].sizes["trial"] == 1


def test_open_file_objects_are_nwb(tree, tmp_path):
    path = write_nwb(tree, tmp_path / "a.nwb")
    with path.open("rb") as file:
        assert io.load(file)["trials"].sizes["trial"] == 1


def test_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        io.open(tmp_path / "none.nwb")
    text = tmp_path / "notes.txt"
    text.write_text("hello, this is no recording")
    with pytest.raises(UnsupportedFormatError, match=r"(?s)no known format.*'.txt'.*NWB \(.nwb\)"):
        io.open(text)
    text.write_text("")
    with pytest.raises(CorruptFileError, match=r"(?s)not a file of data.*an empty file"):
        io.open(text)
    with pytest.raises(CorruptFileError, match="a folder"):
        io.open(tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(UnsupportedFormatError):
        io.open(tmp_path / "other.h5")


def test_netcdf_is_opened_lazily_and_selected(tree, tmp_path):
    path = recording.save(tree, tmp_path / "a.nc")
    lazy = io.open(path)
    assert not lazy["behavior/hand"]["value"].variable._in_memory
    lazy.close()
    assert [n.path for n in io.load(path, select="trials").leaves] == ["/trials"]
    behavior = io.load(path, select=["behavior"])
    assert sorted(n.path for n in behavior.leaves) == ["/behavior/eye", "/behavior/hand"]
    with pytest.raises(EmptySelectionError, match="did you mean 'trials'"):
        io.load(path, select="trial")


def test_single_result_becomes_a_recording(tmp_path):
    path = recording.save(recording.results({"score": 1.0}), tmp_path / "a.nc")
    assert io.load(path)["results"]["score"].item() == 1.0


def test_netcdf_that_breaks_the_schema(tree, tmp_path):
    tree["trials"] = xr.DataTree(tree["trials"].to_dataset().drop_vars("stop"))
    path = recording.save(tree, tmp_path / "a.nc")
    with pytest.raises(SchemaError, match="'stop' is missing"):
        io.load(path)
    assert "stop" not in io.load(path, on_bad="warn")["trials"]
    assert [(f.severity, f.code) for f in doctor.check(path)] == [("error", "schema")]


def test_further_formats_can_be_registered(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", dict(formats.FORMATS))
    reader = f"{__name__}:read_text"
    io.register(io.Format("text", (".txt",), reader, reader))
    path = tmp_path / "trials.txt"
    path.write_text("0 1\n2 3")
    assert io.open(path)["trials"]["stop"].values.tolist() == [1.0, 3.0]
    assert io.load(path)["trials"].sizes["trial"] == 2
    assert doctor.check(path) == []


def read_text(path, *_):
    start, stop = np.loadtxt(path).T
    return recording.recording([recording.trials(start, stop)])


@pytest.mark.parametrize("isolate", [False, True])
def test_doctor_says_what_is_there_and_what_is_wrong(tree, tmp_path, isolate):
    path = write_nwb(tree, tmp_path / "a.nwb")
    assert "trials" in doctor.inspect(path, isolate=isolate)
    with h5py.File(path, "r+") as file:
        file["intervals/trials/stop_time"][0] = -1.0
    (fault,) = doctor.check(path, isolate=isolate)
    assert (fault.severity, fault.code) == ("error", "impossible_trials")
    assert fault.where.endswith("/intervals/trials, trial 0")
    assert "on_bad='drop'" in fault.hint
    path.write_bytes(path.read_bytes()[:3000])
    (fault,) = doctor.check(path, isolate=isolate)
    assert fault.code == "unreadable_file"
    with pytest.raises(FileNotFoundError):
        doctor.check(tmp_path / "none.nwb", isolate=isolate)
