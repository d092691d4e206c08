"""The way out of pickles: what comes out of honest ones, and what hostile ones do not get."""

from __future__ import annotations

import collections
import io
import os
import pickle
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurodyn.errors import (
    CorruptFileError,
    DataError,
    EmptySelectionError,
    FileError,
    NeurodynError,
    SizeBudgetError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io import unpickle
from neurodyn.io.arrays import read_npy, read_npz
from neurodyn.io.isolate import run_isolated
from neurodyn.io.nested_names import joined
from neurodyn.io.neuroformer_files import load_neuroformer
from neurodyn.io.pickled_values import Budget, as_arrays
from neurodyn.io.unpickle import unpickle_to_arrays

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS = hnp.arrays(
    dtype=hnp.scalar_dtypes().filter(lambda d: d.kind in "biufc")
    | st.sampled_from(["<f4", ">i2", "U3", "S2"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments, state)

    def __reduce__(self):
        return self.reduced


def read(data, n_bytes=10**8, n_objects=10**5):
    """Read a pickle in this process, which is safe, and faster than a process for each."""
    left_out = []
    value = unpickle._Unpickler(io.BytesIO(data), encoding="latin1").load()
    return as_arrays(value, Budget(n_bytes, n_objects), left_out)


def write(folder, data, name="session.pkl"):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data))
    return path


# what comes out


def session():
    return {
        "spikes": {0: np.array([[1, 0], [0, 2]], np.uint8), np.int64(1): np.ones((2, 3), ">i2")},
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "permuted": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        "ordered": collections.OrderedDict(a=np.float32(1.5), b=True),
        "defaults": collections.defaultdict(list, {"x": [1, 2], "y": [[1], [2, 3]]}),
        "text": ["ab", "ü"],
        "events": [(0, 1.5, 3), (1, 2, 7)],
        "empty": np.zeros((0, 3)),
        "objects": np.array([np.ones(2), np.zeros(3)], dtype=object),
        "nothing": None,
        "complex": 1 + 2j,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_every_protocol(protocol):
    found = joined(read(pickle.dumps(session(), protocol)))
    expected = {
        "spikes/0": session()["spikes"][0],
        "spikes/1": session()["spikes"][1],
        "fortran": session()["fortran"],
        "permuted": session()["permuted"],
        "ordered/a": np.float32(1.5),
        "ordered/b": True,
        "defaults/x": [1, 2],
        "defaults/y/0": [1],
        "defaults/y/1": [2, 3],
        "text": ["ab", "ü"],
        "events": [[0, 1.5, 3], [1, 2, 7]],
        "empty": np.zeros((0, 3)),
        "objects/0": np.ones(2),
        "objects/1": np.zeros(3),
        "complex": 1 + 2j,
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == np.asarray(value).dtype, name
        np.testing.assert_array_equal(found[name], value)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ARRAYS, st.booleans(), st.sampled_from(PROTOCOLS))
def test_any_array_comes_out_as_it_went_in(array, fortran, protocol):
    array = np.asarray(array, order="F" if fortran else "C")
    found = read(pickle.dumps(array, protocol))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


def test_a_file_becomes_npz(tmp_path):
    found = unpickle_to_arrays(write(tmp_path, session()), tmp_path / "out" / "session.npz")
    assert found.left_out == ("nothing",)
    arrays = read_npz(found.path)
    assert {name: array.shape for name, array in arrays.items()} == found.shapes
    assert arrays["spikes/1"].dtype == np.dtype(">i2")
    assert arrays["text"].tolist() == ["ab", "ü"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["session.npz"]


def test_a_file_becomes_a_folder_that_is_a_recording(tmp_path):
    folder = tmp_path / "session"
    unpickle_to_arrays(write(tmp_path, {i: np.eye(3)[[i]] for i in range(3)}), folder / "spikes")
    unpickle_to_arrays(write(tmp_path, np.zeros((1, 1, 1, 2, 2))), folder / "stimulus.npy")
    assert read_npy(folder / "spikes" / "2.npy").tolist() == [[0, 0, 1]]
    tree = load_neuroformer(folder, bin_size=0.05)
    assert tree["spikes"]["spike_time"].values.round(3).tolist() == [0.025, 1.225, 2.425]
    assert tree["signal/movie"].sizes["channel"] == 4


def test_one_array_has_the_name_of_its_file(tmp_path):
    source = write(tmp_path, np.ones((2, 3)), "spikes.pkl")
    assert unpickle_to_arrays(source, tmp_path / "a.npz").shapes == {"spikes": (2, 3)}
    assert load_neuroformer(tmp_path / "a.npz", bin_size=0.1)["spikes"].sizes["spike"] == 6


def test_npy_files_of_objects_hold_pickles(tmp_path):
    np.save(tmp_path / "session.npy", {"spikes": np.ones((2, 3))}, allow_pickle=True)
    found = unpickle_to_arrays(tmp_path / "session.npy", tmp_path / "session.npz")
    assert found.shapes == {"spikes": (2, 3)}


def test_targets_are_new(tmp_path):
    source = write(tmp_path, {"a": 1, "b": 2})
    for target in (source, tmp_path, tmp_path / "x.npz"):
        if target.suffix == ".npz":
            target.touch()
        with pytest.raises(FileError, match="target exists already"):
            unpickle_to_arrays(source, target)
    with pytest.raises(FileError, match=r"several arrays(.|\n)*found: a, b"):
        unpickle_to_arrays(source, tmp_path / "a.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["session.pkl", "x.npz"]


# what does not come out


@pytest.mark.parametrize(
    "value",
    [
        Call(os.system, "touch pwned"),
        {"spikes": [1, {"x": (Call(eval, "1"),)}]},
        [np.ones(3), Call(subprocess.Popen, ["id"])],
        Call(socket.socket),
        Call(getattr, 1, "real"),
        Call(np.load, "x.npy"),
        Call(np.ones, 3),
        np.ones(3).view(np.recarray),
        np.ma.masked_array([1.0]),
        np.random.default_rng(0),
        collections.Counter("ab"),
        range(3),
        len,
        Exception("x"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [0, 4])
def test_no_other_name_is_resolved(value, protocol):
    with pytest.raises(UnsafeFileError, match=r"could run code(.|\n)*found: [\w.]+\n"):
        read(pickle.dumps(value, protocol))


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'touch pwned'\ntR.",
        b"(S'touch pwned'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch pwned'\no.",
        b"\x80\x02cos\nsystem\n(X\x01\x00\x00\x00ao.",
        # the name comes out of the memo
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x000h\x000\x8c\x02os\x8c\x06system\x93.",
        # a dotted name walks through attributes
        b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__base__\x93.",
        b"\x80\x04\x8c\x15numpy._core.multiarray\x8c\x16_reconstruct.__class__\x93.",
        # names that are no text
        b"\x80\x04K\x01K\x02\x93.",
        # a registered extension, a persistent identifier
        b"\x80\x02\x82\x01.",
        b"Pnumber\n.",
        b"\x80\x02X\x01\x00\x00\x00aQ.",
    ],
)
def test_programs_written_by_hand(tmp_path, monkeypatch, program):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UnsafeFileError, pickle.UnpicklingError, ValueError)):
        read(program)
    assert list(tmp_path.iterdir()) == []


F8 = Call(np.dtype, "f8", False, True)
STATE = (1, (3,), F8, False, bytes(24))


def array_with(state=STATE, kind=np.ndarray, shape=(0,)):
    return pickle.dumps(Call(np._core.multiarray._reconstruct, kind, shape, b"b", state=state))


def test_arrays_written_by_hand_are_read():
    # the shape that is asked for first is not made
    assert read(array_with(shape=(10**15,))).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (array_with(kind=dict), UnsafeFileError, "_reconstruct of another type"),
        (array_with(kind=Call(np.dtype, "f8")), UnsafeFileError, "_reconstruct of another type"),
        (array_with((1, (4,), *STATE[2:])), CorruptFileError, "24 bytes(.|\n)*32 bytes"),
        (array_with((1, (10**18,), *STATE[2:])), CorruptFileError, "length of an array"),
        (array_with((1, (-3,), *STATE[2:])), UnsafeFileError, "whole numbers for a shape"),
        (array_with((1, ("a",), *STATE[2:])), UnsafeFileError, "whole numbers for a shape"),
        (array_with((1, (1,) * 40, *STATE[2:])), UnsafeFileError, "unknown form"),
        (array_with((1, (3,), "f8", False, bytes(24))), UnsafeFileError, "and a dtype"),
        (array_with((1, (3,))), UnsafeFileError, "an array of an unknown form"),
        (array_with([1]), UnsafeFileError, "an array of an unknown form"),
        (
            array_with((1, (3,), Call(np.dtype, "O", False, True), False, bytes(24))),
            UnsafeFileError,
            "array of objects with other data",
        ),
        (array_with((1, (3,), F8, False, [1, 2, 3])), CorruptFileError, "found: list"),
        (pickle.dumps(Call(np.dtype, "V8")), UnsupportedFormatError, "records, dates"),
        (pickle.dumps(Call(np.dtype, "f8,f8")), UnsupportedFormatError, "records, dates"),
        (pickle.dumps(Call(np.dtype, [("a", "f8")])), UnsupportedFormatError, "found: list"),
        (
            pickle.dumps(Call(np.dtype, "f8", state=(3, "<", None, ("a",), {}, 8, 8, 0))),
            UnsafeFileError,
            "no fields",
        ),
        (pickle.dumps(Call(np.dtype, "f8", state=(3, "x", None))), UnsafeFileError, "byte order"),
        (pickle.dumps(Call(np.ndarray, (10**12,))), UnsafeFileError, "numpy.ndarray called"),
        (pickle.dumps(Call(list, "ab")), UnsafeFileError, "a container called"),
        (pickle.dumps(Call(bytearray, 10**12)), UnsafeFileError, "bytearray of something"),
        (pickle.dumps(Call(complex, "1")), TypeError, "missing"),
        # a function of ours is to be changed
        (
            b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93N}\x8c\x05_callK\x01s\x86b.",
            UnsafeFileError,
            "a state for a function",
        ),
    ],
)
def test_functions_are_called_as_arrays_do(data, error, message):
    with pytest.raises(error, match=message):
        read(data)


def nested(value, n_levels, wrap):
    for _ in range(n_levels):
        value = wrap(value)
    return value


def holding_itself(value):
    (value.append if isinstance(value, list) else lambda own: value.update(a=own))(value)
    return value


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        # a few bytes for 2**25 values
        (nested([0.0], 25, lambda x: [x, x]), SizeBudgetError, "turns into too much"),
        (nested({"a": 1}, 25, lambda x: {"a": x, "b": x}), SizeBudgetError, "too much"),
        ({i: np.ones(1000) for i in range(50)}, SizeBudgetError, "more than 100 kB or 1000"),
        (holding_itself([]), UnsupportedFormatError, "lists in more than 32 levels"),
        (holding_itself({}), UnsupportedFormatError, "nested in more than 32 levels"),
        ({"a": {1, 2}}, UnsupportedFormatError, r"at a(.|\n)*type set"),
        ({"a": [b"x"]}, UnsupportedFormatError, r"at a/0(.|\n)*type bytes"),
        ({"a": [1, "x"]}, UnsupportedFormatError, "a list of numbers and text"),
        ([2**80], UnsupportedFormatError, "more than 64 bits"),
        ([2**63, -1], UnsupportedFormatError, "more than 64 bits"),
        ({"..": 1}, DataError, r"no name(.|\n)*'\.\.'"),
        ({"a/../b": 1}, DataError, "no name"),
        ({"C:\\x": 1}, DataError, "no name"),
        ({"\x1b[2J": 1}, DataError, r"no name(.|\n)*'\\x1b\[2J'"),
        ({"": 1}, DataError, "no name"),
        ({10**5000: 1}, DataError, "no name(.|\n)*type int"),
        ({(1, 2): 1}, DataError, "no name(.|\n)*type tuple"),
        ({True: 1}, DataError, "no name"),
        ({"x" * 300: 1}, DataError, "too long"),
        ({1: 1, "1": 2}, DataError, "the same name"),
    ],
)
def test_what_does_not_become_arrays(value, error, message):
    with pytest.raises(error, match=message):
        joined(read(pickle.dumps(value), n_bytes=10**5, n_objects=1000))


# the child process


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (pickle.dumps(Call(os.system, "touch pwned")), UnsafeFileError, r"found: \w+.system"),
        (pickle.dumps({"a": {1}}), UnsupportedFormatError, "session.pkl:a"),
        (pickle.dumps(session())[:-9], CorruptFileError, "UnpicklingError: pickle data was trunc"),
        (pickle.dumps(session()) + b"N.", UnsupportedFormatError, "goes on after its first pickle"),
        (b"", CorruptFileError, "EOFError"),
        (b"\x1f\x8b\x08 no pickle", CorruptFileError, "invalid load key"),
        (pickle.dumps({"a": None}), EmptySelectionError, "holds no arrays"),
        # eight bytes ask for an exabyte
        (b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"x.", SizeBudgetError, "memory"),
        (b"\x80\x04]r\xff\xff\xff\x7f.", SizeBudgetError, "memory"),
    ],
)
def test_bad_files_leave_nothing_behind(tmp_path, monkeypatch, data, error, message):
    monkeypatch.chdir(tmp_path)
    source = write(tmp_path, data)
    with pytest.raises(error, match=message):
        unpickle_to_arrays(source, tmp_path / "out.npz", memory="500 MB")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04 and so on", r"a zip file(.|\n)*weights_only=True"),
        (b"\x93NUMPY\x01\x00\x04\x00 f8 ", "no pickle but an array"),
    ],
)
def test_files_that_are_no_pickles(tmp_path, data, message):
    with pytest.raises(UnsupportedFormatError, match=message):
        unpickle_to_arrays(write(tmp_path, data), tmp_path / "out.npz")


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        unpickle_to_arrays(tmp_path / "none.pkl", tmp_path / "out.npz")
    with pytest.raises(CorruptFileError, match="a folder or device"):
        unpickle_to_arrays(tmp_path, tmp_path / "out.npz")
    with pytest.raises(SizeBudgetError):
        unpickle_to_arrays(write(tmp_path, bytes(100)), tmp_path / "out.npz", memory=99)


def break_out(folder):
    """Try everything that a program would, in a locked process; run in a child."""
    import ctypes
    import shutil

    with open(f"{folder}/log", "wb", buffering=0) as log:
        unpickle.lock_down(1000, 60.0)
        attempts = {
            "read": lambda: Path(folder, "secret").read_text(),
            "write": lambda: Path(folder, "new").touch(),
            "low": lambda: os.open(f"{folder}/new", os.O_CREAT | os.O_WRONLY),
            "list": lambda: os.listdir(folder),
            "remove": lambda: os.remove(f"{folder}/secret"),
            "rename": lambda: os.rename(f"{folder}/secret", f"{folder}/new"),
            "copy": lambda: shutil.copyfile(f"{folder}/secret", f"{folder}/new"),
            "shell": lambda: os.system("true"),
            "fork": os.fork,
            "program": lambda: subprocess.run(["true"], check=True),
            "network": lambda: socket.create_connection(("127.0.0.1", 9)),
            "names": lambda: socket.getaddrinfo("localhost", 80),
            "library": lambda: ctypes.CDLL(None),
            "import": lambda: __import__("wave"),
            "eval": lambda: eval("1"),
            "long": lambda: [log.write(bytes(2000)) for _ in range(2)],
        }
        answers = {}
        for name, attempt in attempts.items():
            try:
                attempt()
                answers[name] = "done"
            except (NeurodynError, OSError) as error:
                answers[name] = type(error).__name__
    return answers


def test_a_locked_process_cannot_do_anything(tmp_path):
    (tmp_path / "secret").write_text("secret")
    answers = run_isolated(break_out, tmp_path)
    assert answers.pop("long") == "OSError"
    assert set(answers.values()) == {"UnsafeFileError"}, answers
    assert (tmp_path / "log").stat().st_size == 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "secret"]


def mutant(data, seed):
    """Change 1 to 8 bytes; cut one in ten short."""
    rng = np.random.default_rng([20261123, seed])
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        changed[rng.integers(len(data))] = rng.integers(256)
    return bytes(changed[: rng.integers(len(data))] if rng.random() < 0.1 else changed)


def attempt_all(seeds):
    """Read mutants of an honest pickle and tell how each ended; run in a child."""
    data = pickle.dumps(session(), 4)
    ends = collections.Counter()
    for seed in range(*seeds):
        try:
            found = joined(read(mutant(data, seed)))
            bad = any(array.dtype.hasobject for array in found.values())
            ends["objects" if bad else "arrays"] += 1
        except NeurodynError as error:
            ends[type(error).__name__] += 1
        except Exception as error:
            # what the conversion reports as a damaged pickle
            ends[f"damaged: {type(error).__name__}"] += 1
    return ends


def test_random_damage_ends_in_arrays_or_an_error():
    ends = run_isolated(attempt_all, [0, 1000], memory="1 GB")
    assert sum(ends.values()) == 1000
    assert "objects" not in ends
    assert ends["arrays"] > 50
