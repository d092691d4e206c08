from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import (
    CorruptFileError,
    MissingDependencyError,
    SizeBudgetError,
    UnsafeFileError,
)
from neurodyn.io.limits import limited
from neurodyn.io.nwb import zarr
from neurodyn.io.nwb.zarr_objects import decode_objects

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(PLAIN, st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_those_of_pickle(value, protocol):
    assert decode_objects(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_objects(protocol, order):
    values = np.empty((2, 3), dtype=object, order=order)
    values.reshape(-1)[:] = ["a", "µ", None, {"path": "/x"}, 1.5, b"raw"]
    found = decode_objects(pickle.dumps(values, protocol))
    assert found.shape == (2, 3)
    assert found.tolist() == values.tolist()


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL))
@pytest.mark.parametrize("dtype", ["<i4", ">f8", "U3", "?", [("a", ">i4"), ("b", "f8")]])
def test_arrays_of_numbers_and_records(protocol, dtype):
    values = np.ones((2, 2), dtype)
    found = decode_objects(pickle.dumps(values, protocol))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_records_with_references(protocol):
    dtype = np.dtype([("start", "<i4"), ("series", object)])
    values = np.array([(1, {"path": "/x"}), (2, None)], dtype)
    found = decode_objects(pickle.dumps(values, protocol))
    assert found.dtype == dtype
    assert found.tolist() == values.tolist()


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/neurodyn-ran"),))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_is_named_and_not_run(protocol):
    with pytest.raises(UnsafeFileError, match=r"getattr|_codecs|instruction|pathlib"):
        decode_objects(pickle.dumps(np.array([Trap()]), protocol))
    assert not Path("/tmp/neurodyn-ran").exists()


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"", "damaged stream"),
        (b"K\x01", "damaged stream"),
        (b"not a stream", "damaged stream|instruction"),
        (b"e.", "damaged stream"),
        (b"h\x05.", "damaged stream"),
        (b"K\x01K\x02b.", "damaged stream"),
        (b"cnumpy\nndarray\n)R.", "a call of"),
        (b"cnumpy\ndtype\n)\x81.", "damaged stream"),
        (b"cnumpy\ndtype\n\x8c\x02XX\x85\x81.", "damaged stream"),
        (b"K\x01)R.", "a call of"),
        (b"(K\x01cos\nsystem\n.", "os.system"),
        (b"P1\n.", "instruction PERSID"),
    ],
)
def test_damaged_streams(stream, found):
    with pytest.raises(UnsafeFileError, match=found):
        decode_objects(stream)


def test_missing_extra_and_missing_folder(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        zarr.load_zarr(tmp_path / "none.nwb.zarr")
    with pytest.raises(CorruptFileError, match=r"no \.zgroup"):
        zarr.load_zarr(tmp_path)
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    monkeypatch.setitem(__import__("sys").modules, "hdmf_zarr.nwb", None)
    with pytest.raises(MissingDependencyError, match=r"neurodyn\[nwb-zarr\]"):
        zarr.load_zarr(tmp_path)


ARRAY = {"chunks": [10], "dtype": "<f8", "shape": [10], "compressor": {"id": "blosc"}}
RECORDS = [["start", "<i4"], ["series", "|O"]]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "units").mkdir()
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / "units/.zarray").write_text(json.dumps(ARRAY))
    return tmp_path


def test_contained_folder_tells_its_size(folder):
    (folder / ".zattrs").write_text('{"own": {"source": ".", "path": "/units"}, "list": [1]}')
    assert zarr.require_contained(folder) == 80


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"compressor": {"id": "evil"}}, UnsafeFileError, "codec 'evil'"),
        ({"filters": [{}]}, UnsafeFileError, "codec None"),
        ({"link": {"source": "/etc", "path": "/"}}, UnsafeFileError, "a link to '/etc'"),
        ({"shape": [10**15]}, SizeBudgetError, "8 PB"),
        ({"chunks": [10**15]}, SizeBudgetError, "8 PB"),
        ({"shape": None}, CorruptFileError, "not iterable"),
        ({"dtype": RECORDS, "shape": [10**15]}, SizeBudgetError, "12 PB"),
        ({"dtype": "|O", "shape": [10**15]}, SizeBudgetError, "8 PB"),
        ({"dtype": "nonsense"}, CorruptFileError, "nonsense"),
    ],
)
def test_metadata_is_checked_before_zarr_sees_it(changes, error, message, folder):
    (folder / "units/.zarray").write_text(json.dumps(ARRAY | changes))
    with pytest.raises(error, match=message):
        zarr.require_contained(folder)


def test_other_faults_of_folders(folder, monkeypatch):
    with limited(objects=1):
        assert zarr.require_contained(folder) == 80
        (folder / "more").mkdir()
        with pytest.raises(SizeBudgetError, match="too many objects"):
            zarr.require_contained(folder)
    (folder / "more/0").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeFileError, match="a symbolic link"):
        zarr.require_contained(folder)
    (folder / ".zgroup").write_text("{")
    with pytest.raises(CorruptFileError, match="Zarr folder cannot be read"):
        zarr.require_contained(folder)
    monkeypatch.setattr(zarr, "LARGEST_METADATA", 0)
    with pytest.raises(CorruptFileError, match="metadata above"):
        zarr.require_contained(folder)


def test_own_errors_inside_others_come_out():
    wrapped = KeyError("metadata")
    wrapped.__cause__ = UnsafeFileError("a link")
    assert zarr._innermost(wrapped, Path("x")) is wrapped.__cause__
    assert "KeyError" in str(zarr._innermost(KeyError(1), Path("x")))
