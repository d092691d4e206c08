from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurodyn.errors import (
    CorruptFileError,
    EmptySelectionError,
    SizeBudgetError,
    UnsafeFileError,
)
from neurodyn.io.arrays import read_npy, read_npz
from neurodyn.io.limits import limited

ARRAYS = hnp.arrays(
    dtype=hnp.scalar_dtypes() | hnp.array_dtypes(st.sampled_from(["<f4", ">i2", "U3"]), max_size=3),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@pytest.mark.filterwarnings("ignore:Stored array in format")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(ARRAYS, st.booleans(), st.booleans())
def test_what_numpy_writes_is_read(tmp_path_factory, array, fortran, lazy):
    array = np.asarray(array, order="F" if fortran else "C")
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, array)
    found = read_npy(path, lazy=lazy)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


def test_result_can_be_written_to_unless_mapped(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    read_npy(tmp_path / "a.npy")[0] = 1
    assert not read_npy(tmp_path / "a.npy", lazy=True).flags.writeable


def test_field_names_beyond_latin(tmp_path):
    with pytest.warns(UserWarning, match="format 3.0"):
        np.save(tmp_path / "a.npy", np.zeros(2, [("частота", "f8")]))
    assert read_npy(tmp_path / "a.npy").dtype.names == ("частота",)
    np.save(tmp_path / "b.npy", np.zeros(2, [(f"field_{i:05}", "f8") for i in range(600)]))
    with pytest.raises(CorruptFileError, match="Header info length"):
        read_npy(tmp_path / "b.npy")


def test_npz_in_the_order_of_the_file_or_selected(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", b=np.arange(3), a=np.zeros((2, 0)), c=np.float32(1))
    found = read_npz(tmp_path / "a.npz")
    assert {name: array.shape for name, array in found.items()} == {"b": (3,), "a": (2, 0), "c": ()}
    assert list(read_npz(tmp_path / "a.npz", ["c"])) == ["c"]
    with pytest.raises(EmptySelectionError, match=r"no array 'bb'(.|\n)*did you mean 'b'"):
        read_npz(tmp_path / "a.npz", ["bb"])


def test_selection_spares_what_is_damaged_or_too_large(tmp_path):
    np.savez(tmp_path / "a.npz", small=np.zeros(3), large=np.zeros(10**5))
    with limited(memory=10**5):
        assert read_npz(tmp_path / "a.npz", ["small"])["small"].size == 3
        with pytest.raises(SizeBudgetError, match="select="):
            read_npz(tmp_path / "a.npz")


def as_npy(header: str, data: bytes = b"", version=(1, 0)) -> bytes:
    text = header.encode("latin-1").ljust(117) + b"\n"
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + text + data


BAD = {
    "empty": b"",
    "text": b"time,rate\n1,2\n",
    "magic only": b"\x93NUMPY\x01\x00",
    "version": as_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", version=(9, 0)),
    "dict": as_npy("{'descr': '<f8'}"),
    "code": as_npy("__import__('os').system('true')"),
    "nested": as_npy("(" * 110),
    "dtype": as_npy("{'descr': '<q99', 'fortran_order': False, 'shape': (1,)}"),
    "longer": as_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,)}", b"x"),
    "negative": as_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}", bytes(8)),
    "trailing": as_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", bytes(9)),
    "truncated": as_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", bytes(9)),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_npy_and_npz(name, tmp_path):
    (tmp_path / "a.npy").write_bytes(BAD[name])
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", BAD[name])
    with limited(memory="1GB"):
        for lazy in (False, True):
            with pytest.raises(CorruptFileError, match=r"a\.npy"):
                read_npy(tmp_path / "a.npy", lazy=lazy)
        with pytest.raises(CorruptFileError, match=r"a\.npz:x\.npy"):
            read_npz(tmp_path / "a.npz")


def test_objects_are_refused_before_they_are_made(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([None]))
    with pytest.raises(UnsafeFileError, match="Python objects"):
        read_npy(tmp_path / "a.npy")
    with pytest.raises(UnsafeFileError, match="dtype object"):
        read_npz(tmp_path / "a.npz")


def test_damaged_zip(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(1000))
    data = bytearray(path.read_bytes())
    data[200:220] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"not a readable \.npz"):
        read_npz(path)
    path.write_text("text")
    with pytest.raises(CorruptFileError, match=r"not a readable \.npz"):
        read_npz(path)


def test_members_that_are_no_arrays_or_doubled(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(CorruptFileError, match="is no array"):
        read_npz(path)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(1))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", buffer.getvalue())
    with pytest.raises(CorruptFileError, match="appears twice"):
        read_npz(path)


def test_declared_size_of_a_member_that_lies(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros(100))
    data = path.read_bytes()
    size = (928).to_bytes(4, "little")
    assert data.count(size) >= 2
    at = data.rfind(b"PK\x01\x02") + 24
    path.write_bytes(data[:at] + (10**9).to_bytes(4, "little") + data[at + 4 :])
    with pytest.raises(CorruptFileError):
        read_npz(path)


@pytest.mark.parametrize("read", [read_npy, read_npz])
def test_missing_files_and_folders(read, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read(tmp_path / "none")
    with pytest.raises(CorruptFileError, match="not a regular file"):
        read(tmp_path)
