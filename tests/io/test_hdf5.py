from __future__ import annotations

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import (
    CorruptFileError,
    DataQualityWarning,
    FileError,
    NetworkError,
    SizeBudgetError,
    UnsafeFileError,
)
from neurodyn.io import hdf5
from neurodyn.io.containment import printable
from neurodyn.io.hdf5 import open_hdf5, read_array, unchanged
from neurodyn.io.limits import limited


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["rate"] = np.arange(12.0).reshape(3, 4)
        file.create_dataset("packed", data=np.arange(1000), chunks=(100,), compression="gzip")
        file["group/name"] = ["µV", "b"]
        file["group/one"] = 5
        file["empty"] = h5py.Empty("f8")
        file["soft"] = h5py.SoftLink("/rate")
        file["loop"] = file["group"]
        file["group/back"] = file["/"]
    return path


def test_values_and_text_come_as_they_were_written(path):
    with open_hdf5(path) as file:
        np.testing.assert_array_equal(read_array(file["rate"]), np.arange(12.0).reshape(3, 4))
        np.testing.assert_array_equal(read_array(file["soft"], (0, [1, 3])), [1, 3])
        assert read_array(file["group/name"]).tolist() == ["µV", "b"]
        assert read_array(file["group/name"], 0) == "µV"
        assert read_array(file["group/one"]) == 5
        assert read_array(file["empty"]).shape == (0,)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_selected_shape_is_that_of_numpy(data):
    shape = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple))
    one = st.integers(-6, 6) | st.none()
    items = [data.draw(st.builds(slice, one, one, st.none() | st.integers(1, 3))) for _ in shape]
    for axis, size in enumerate(shape):
        if size and data.draw(st.booleans()):
            items[axis] = data.draw(st.integers(0, size - 1))
    cut = data.draw(st.integers(0, len(items)))
    selection = tuple(items[:cut])
    if data.draw(st.booleans()):
        selection = (*selection, Ellipsis)
    assert hdf5._selected_shape(shape, selection) == np.zeros(shape)[selection].shape


def test_selected_shape_of_lists_and_masks():
    mask = np.array([[True, False], [True, True]])
    assert hdf5._selected_shape((2, 2, 5), mask) == (3, 5)
    assert hdf5._selected_shape((9, 5), ([0, 3], slice(1, 4))) == (2, 3)
    assert hdf5._selected_shape((10**12, 10**6), (slice(0, 10), 3)) == (10,)


def test_wrong_selection_is_the_callers_error(path):
    with open_hdf5(path) as file:
        with pytest.raises(IndexError):
            read_array(file["rate"], (0, 0, 0))
        with pytest.raises(IndexError):
            read_array(file["rate"], 99)


def test_budget_counts_the_selection_and_whole_chunks(path):
    with open_hdf5(path) as file, limited(memory=799):
        assert read_array(file["rate"], 0).shape == (4,)
        with pytest.raises(SizeBudgetError, match="800 B in memory"):
            read_array(file["packed"], slice(0, 1))


def test_text_that_is_not_utf8_is_damage(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=[b"\xff\xfe"], dtype=h5py.string_dtype())
    with (
        open_hdf5(tmp_path / "a.h5") as file,
        pytest.raises(CorruptFileError, match=r"a\.h5:/x"),
    ):
        read_array(file["x"])


def test_never_written_data_warn_once_in_a_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("never", (1000,), "f8", chunks=(10,))
        file.create_dataset("contiguous", (1000,), "f8")
        file.create_dataset("partly", (30,), "f8", chunks=(10,))[:10] = 1
    with open_hdf5(tmp_path / "a.h5") as file:
        with pytest.warns(DataQualityWarning, match=r"/never.*storage 0 of 8000 bytes") as caught:
            values = [read_array(file[name]) for name in ("never", "never", "contiguous")]
        assert len(caught) == 1
        assert not np.any(values)
    for name in ("contiguous", "partly"):
        with (
            open_hdf5(tmp_path / "a.h5") as file,
            pytest.warns(DataQualityWarning, match=f"/{name}.*never written"),
        ):
            read_array(file[name])


def test_memory_of_past_openings_is_bounded(path, monkeypatch):
    monkeypatch.setattr(hdf5, "REMEMBERED", 3)
    monkeypatch.setattr(hdf5, "_opened", {})
    for _ in range(5):
        with open_hdf5(path) as file:
            assert unchanged(file)
    assert len(hdf5._opened) == 3


def test_closed_after_a_refusal(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(UnsafeFileError):
        open_hdf5(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:  # fails while the file is open for reading
        del file["x"]


def test_other_links_and_special_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorruptFileError, match="not a regular file"):
        open_hdf5(tmp_path / "pipe")


def test_file_objects_and_their_failures(path):
    class Flaky(io.BytesIO):
        broken = False

        def readinto(self, buffer):
            if self.broken:
                raise NetworkError("connection lost")
            return super().readinto(buffer)

    source = Flaky(path.read_bytes())
    with open_hdf5(source) as file:
        assert unchanged(file)
        source.broken = True
        with pytest.raises(NetworkError, match="connection lost"):
            read_array(file["packed"])
    with pytest.raises(NetworkError, match="connection lost"):
        open_hdf5(source)


def test_file_that_another_program_writes_is_locked(path):
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=pipe, stdout=pipe) as writer:
        writer.stdout.readline()
        with pytest.raises(FileError, match="file is locked"):
            open_hdf5(path)
        writer.stdin.write(b"\n")


def test_broken_group_refuses_the_file_but_a_broken_header_does_not(path, monkeypatch):
    from neurodyn.io import containment

    def fail(*_):
        raise RuntimeError("bad heap")

    with monkeypatch.context() as patch:
        patch.setattr(containment, "h5o", SimpleNamespace(open=fail))
        with open_hdf5(path) as file:
            assert read_array(file["rate"]).shape == (3, 4)
    with monkeypatch.context() as patch:
        patch.setattr(containment, "virtual_files", fail)
        with pytest.raises(CorruptFileError, match="header of a dataset is damaged"):
            open_hdf5(path)


def test_damage_inside_one_group_names_it(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for i in range(50):
            file[f"group/{i}"] = i
    data = path.read_bytes()
    assert data.count(b"SNOD") > 1
    at = data.rfind(b"SNOD")
    path.write_bytes(data[:at] + b"XXXX" + data[at + 4 :])
    with pytest.raises(CorruptFileError, match=r"group cannot be listed.*/group/"):
        open_hdf5(path)


def test_control_codes_of_names_are_escaped():
    assert printable("a\x1b[2Jµ\n") == "a\\x1b[2Jµ\\n"


def test_text_selection_keeps_its_error(path):
    with open_hdf5(path) as file, pytest.raises(TypeError):
        read_array(file["rate"], {"no": "selection"})


class TestAllowed:
    """Files in folders that the user allows may be reached, and are checked in the same way."""

    @pytest.fixture
    def folder(self, tmp_path):
        with h5py.File(tmp_path / "source.h5", "w") as file:
            file["x"] = np.arange(4)
        np.arange(3, dtype="f8").tofile(tmp_path / "raw.bin")
        layout = h5py.VirtualLayout((4,), "i8")
        layout[:] = h5py.VirtualSource("source.h5", "x", (4,))
        with h5py.File(tmp_path / "main.h5", "w") as file:
            file["link"] = h5py.ExternalLink("source.h5", "/x")
            file.create_virtual_dataset("virtual", layout)
            file.create_dataset("raw", (3,), "f8", external=[("raw.bin", 0, 24)])
        return tmp_path

    def test_reads_what_is_inside(self, folder):
        with open_hdf5(folder / "main.h5", allow_external=[folder]) as file:
            for name in ("link", "virtual"):
                assert read_array(file[name]).tolist() == [0, 1, 2, 3]
            assert read_array(file["raw"]).tolist() == [0, 1, 2]

    def test_raw_storage_in_pieces_and_too_short(self, folder):
        pieces = [("raw.bin", 8, 8), ("raw.bin", 0, 8)]
        with h5py.File(folder / "pieces.h5", "w") as file:
            file.create_dataset("raw", (2,), "f8", external=pieces)
            file.create_dataset("long", (9,), "f8", external=[("raw.bin", 0, 72)])
        with open_hdf5(folder / "pieces.h5", allow_external=[folder]) as file:
            assert read_array(file["raw"]).tolist() == [1, 0]
            with pytest.raises(CorruptFileError, match="holds 24 of 72 bytes"):
                read_array(file["long"])

    def test_another_folder_is_not_enough(self, folder):
        (folder / "other").mkdir()
        with pytest.raises(UnsafeFileError, match="allow_external"):
            open_hdf5(folder / "main.h5", allow_external=[folder / "other"])

    def test_symbolic_links_are_resolved(self, folder, tmp_path_factory):
        outside = tmp_path_factory.mktemp("outside") / "source.h5"
        (folder / "source.h5").rename(outside)
        (folder / "source.h5").symlink_to(outside)
        with pytest.raises(UnsafeFileError, match="outside"):
            open_hdf5(folder / "main.h5", allow_external=[folder])

    def test_missing_virtual_source_is_an_error_not_fill_values(self, folder):
        (folder / "source.h5").unlink()
        with (
            open_hdf5(folder / "main.h5", allow_external=[folder]) as file,
            pytest.raises(CorruptFileError, match=r"no file 'source\.h5'"),
        ):
            read_array(file["virtual"])

    def test_what_is_reached_is_checked_too(self, folder):
        with h5py.File(folder / "source.h5", "r+") as file:
            file["secret"] = h5py.ExternalLink("/etc/passwd", "/")
        with pytest.raises(UnsafeFileError, match=r"source\.h5:/secret"):
            open_hdf5(folder / "main.h5", allow_external=[folder])

    def test_circles_of_files_end(self, folder):
        with h5py.File(folder / "source.h5", "r+") as file:
            file["back"] = h5py.ExternalLink("main.h5", "/")
        with open_hdf5(folder / "main.h5", allow_external=[folder]) as file:
            assert file["link"].shape == (4,)

    def test_reached_file_that_is_no_hdf5(self, folder):
        (folder / "source.h5").write_text("no data")
        with pytest.raises(CorruptFileError, match="linked file cannot be read"):
            open_hdf5(folder / "main.h5", allow_external=[folder])

    def test_sources_within_the_file_itself_need_no_permission(self, tmp_path):
        layout = h5py.VirtualLayout((4,), "i8")
        layout[:] = h5py.VirtualSource(".", "x", (4,))
        with h5py.File(tmp_path / "own.h5", "w") as file:
            file["x"] = np.arange(4)
            file.create_virtual_dataset("virtual", layout)
        with open_hdf5(tmp_path / "own.h5") as file:
            assert read_array(file["virtual"]).tolist() == [0, 1, 2, 3]
