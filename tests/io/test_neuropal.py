"""NeuroPAL files: the layout read and written, every damage with its undamaged twin."""

from __future__ import annotations

import contextlib
import re
import struct
import warnings
import zlib

import h5py
import neuropal_files as files
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from neuropal_files import EMPTY, N_FRAMES, WORMS, WRITERS, trace
from scipy.io import loadmat, matlab, savemat

import neurodyn as nd
from neurodyn import io, recording
from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    FileError,
    NeurodynError,
    SizeBudgetError,
    TimebaseError,
    TrialTableError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io import doctor
from neurodyn.io.limits import limited
from neurodyn.io.mat5 import Mat5File
from neurodyn.io.neuropal import write_neuropal

both = pytest.mark.parametrize("version", WRITERS)


@pytest.fixture
def written(tmp_path):
    def write(version="5", **changes):
        fields = {**files.undamaged(), **changes}
        fields = {name: value for name, value in fields.items() if value is not None}
        return WRITERS[version](tmp_path / f"worms{version}.mat", fields)

    return write


@both
def test_undamaged_file_is_read_without_a_warning(version, written):
    tree = io.load(written(version))
    signal = tree["signal"].to_dataset()
    assert signal["signal"].dims == ("animal", "time", "roi")
    assert signal["animal"].values.tolist() == WORMS
    assert signal["roi"].values.tolist() == ["AWAL", "AWAR", "AVL", "ASIL"]
    assert signal["cell"].values.tolist() == ["AWA", "AWA", "AVL", "ASI"]
    assert signal["side"].values.tolist() == ["L", "R", "", "L"]
    assert signal["signal"].attrs["units"] == "dF/F0"
    assert signal.attrs["sampling_rate"] == 4.0
    assert signal.attrs["quality"] == {"unseen_traces": 2}
    np.testing.assert_array_equal(signal["time"], np.arange(N_FRAMES) / 4)
    expected = {("AWAL", 0): 0, ("AWAL", 2): 2, ("AWAR", 0): 3, ("AVL", 2): 12, ("ASIL", 1): 21}
    for (roi, worm), seed in expected.items():
        found = signal["signal"].sel(roi=roi)[worm]
        np.testing.assert_array_equal(found, trace(seed)[0])
    for roi, worm in (("AWAR", 1), ("AVL", 1)):
        assert np.isnan(signal["signal"].sel(roi=roi)[worm]).all()
    np.testing.assert_array_equal(signal["is_AWCL_OFF"], [1.0, 0.0, np.nan])
    assert recording.faults(tree) == []


@both
def test_an_unseen_cell_may_be_an_empty_cell(version, written):
    traces = [[t if t.size else [] for t in cell] for cell in files.undamaged()["traces"]]
    signal = io.load(written(version, traces=traces))["signal"].to_dataset()
    assert signal.attrs["quality"] == {"unseen_traces": 2}
    xr.testing.assert_equal(signal, io.load(written(version))["signal"].to_dataset())


@both
def test_stimuli_are_aligned_by_their_name_in_each_worm(version, written):
    trials = io.load(written(version))["trials"].to_dataset()
    assert trials.sizes["trial"] == 9
    butanone = trials.isel(trial=np.flatnonzero(trials["stimulus"] == "butanone"))
    assert butanone["animal"].values.tolist() == WORMS
    assert butanone["start"].values.tolist() == [2.0, 5.0, 8.0]
    assert butanone["stop"].values.tolist() == [4.0, 7.0, 9.5]


@both
def test_opening_is_lazy_and_gives_the_same(version, written):
    path = written(version)
    loaded = io.load(path)["signal"].to_dataset()
    lazy = io.open(path)
    signal = lazy["signal"]["signal"]
    assert not signal.variable._in_memory
    for key in (
        (slice(None), slice(3, 9), slice(None)),
        (1, slice(None), [0, 2]),
        ([2, 0], 5, slice(1, 3)),
        (0, 1, 2),
    ):
        found = lazy["signal"]["signal"][key]
        xr.testing.assert_equal(
            found.drop_vars(list(found.coords)), loaded["signal"][key].drop_vars(list(found.coords))
        )
    lazy.close()


@both
def test_all_numbers_of_a_field_agree_with_scipy(version, written, tmp_path):
    path = written("5")
    other = written(version)
    oracle = loadmat(path)["norm_traces"]
    signal = io.load(other, traces="norm_traces")["signal"].to_dataset()
    assert signal["signal"].attrs["units"] == "a.u."
    np.testing.assert_array_equal(signal["signal"].sel(roi="AWAR")[2], oracle[0, 0][0, 5][0])
    np.testing.assert_array_equal(signal["signal"].sel(roi="AVL")[0], oracle[1, 0][0, 0][0])


@both
def test_other_fields_are_named(version, written):
    text = doctor.inspect(written(version))
    assert "signal   3 animals, 40 times, 4 rois: signal (4 Hz)" in text
    assert "not read: norm_traces: other traces, traces='norm_traces'" in text
    with pytest.raises(DataError, match=r"(?s)max_traces holds single numbers.*traces='traces'"):
        io.load(written(version), traces="max_traces")
    with pytest.raises(ConfigError, match=r"(?s)traces.*did you mean 'norm_traces'"):
        io.load(written(version), traces="norm_trace")
    maxima = [[EMPTY if not t.size else t[:, :1] for t in c] for c in files.undamaged()["traces"]]
    with pytest.raises(DataError, match="single numbers"):
        io.load(written(version, max_traces=maxima), traces="max_traces")
    series = written(version, max_traces=files.undamaged()["traces"])
    assert io.load(series, traces="max_traces")["signal"].sizes["roi"] == 4


def test_selection(written):
    path = written()
    assert [node.path for node in io.load(path, select="trials").leaves] == ["/trials"]
    chosen = io.load(path, select={"trials": ["animal"]})["trials"]
    assert set(chosen.data_vars) == {"start", "stop", "animal"}
    assert [n.path for n in io.load(path, select=["sig*"]).leaves] == ["/signal"]
    with pytest.raises(EmptySelectionError, match=r"(?s)no spikes.*found: signal, trials"):
        io.load(path, select="spikes")
    with pytest.raises(TrialTableError, match=r"(?s)'stimulus_name'.*did you mean 'stimulus'"):
        io.load(path, select={"trials": ["stimulus_name"]})


def test_either_way_of_writing_numbers_and_other_byte_orders(written, tmp_path):
    traces = files.undamaged()["traces"]
    plain = io.load(written())
    compressed = files.write_5(tmp_path / "c.mat", files.undamaged(), do_compression=True)
    xr.testing.assert_equal(
        io.load(compressed)["signal"].to_dataset(), plain["signal"].to_dataset()
    )
    single = [[t.astype(np.float32) for t in cell] for cell in traces]
    assert io.load(written(traces=single))["signal"]["signal"].dtype == np.float32
    columns = [[t.T for t in cell] for cell in traces]
    np.testing.assert_array_equal(
        io.load(written(traces=columns))["signal"]["signal"], plain["signal"]["signal"]
    )
    whole = [[np.rint(t * 10) for t in cell] for cell in traces]
    signal = io.load(written(traces=whole))["signal"]["signal"]
    assert signal.dtype == np.float64


def test_files_of_the_other_byte_order(tmp_path):
    path = tmp_path / "big.mat"
    path.write_bytes(
        b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + big_endian_matrix(b"fps", [4.0, 5.0])
    )
    found = Mat5File(path)
    assert str(found.variables["fps"]) == "1x2 double"
    assert found.value("fps").tolist() == [[4.0, 5.0]]


def big_endian_matrix(name, numbers):
    flags = struct.pack(">IIII", 6, 8, 6, 0)
    dims = struct.pack(">IIii", 5, 8, 1, len(numbers))
    text = struct.pack(">HH4s", len(name), 1, name)
    data = struct.pack(f">II{len(numbers)}d", 9, 8 * len(numbers), *numbers)
    body = flags + dims + text + data
    return struct.pack(">II", 14, len(body)) + body


@both
def test_worms_of_different_length(version, written):
    fields = files.undamaged()
    short = [
        [t[:, :30] if i % 3 == 1 else t for i, t in enumerate(cell)] for cell in fields["traces"]
    ]
    path = written(version, traces=short)
    signal = io.load(path)["signal"].to_dataset()
    assert signal["n_frames"].values.tolist() == [40, 30, 40]
    assert signal.attrs["quality"] == {"unseen_traces": 2, "short_animals": 1}
    assert np.isfinite(signal["signal"].sel(roi="ASIL")[1, :30]).all()
    assert np.isnan(signal["signal"].sel(roi="ASIL")[1, 30:]).all()
    common = io.load(path, common_time=True)["signal"].to_dataset()
    assert common.sizes["time"] == 30
    assert common["n_frames"].values.tolist() == [30, 30, 30]
    assert np.isfinite(common["signal"].sel(roi="AWAL")).all()
    np.testing.assert_array_equal(common["signal"], signal["signal"][:, :30])


def test_what_is_missing_is_counted(written):
    holes = files.undamaged()["traces"]
    holes[2][0] = holes[2][0].copy()
    holes[2][0][0, 5:8] = np.nan
    holes[1] = [EMPTY] * 3
    path = written(
        traces=holes,
        files=["w", "w", "x"],
        stims=np.array([[1.0, 2, 3], [np.nan, 1, 2], [2, 3, 1]]),
    )
    tree = io.load(path)
    assert tree["signal"].attrs["quality"] == {
        "repeated_animals": 1,
        "unseen_traces": 4,
        "nan_samples": 3,
    }
    assert tree["signal"]["animal"].values.tolist() == ["w", "w_2", "x"]
    assert tree["trials"].sizes["trial"] == 8
    assert tree["trials"].attrs["quality"]["slots_without_stimulus"] == 1
    codes = {fault.code: fault.severity for fault in doctor.check(path)}
    assert codes["repeated_animals"] == "warning"
    assert codes["nan_samples"] == codes["unseen_traces"] == "note"


def test_file_without_stimuli_has_no_trials(written):
    path = written(stims=None, stim_names=None, stim_times=None)
    assert [node.path for node in io.load(path).leaves] == ["/signal"]


def test_sides_without_the_redundant_field(written):
    signal = io.load(written(is_L=None))["signal"]
    assert signal["roi"].values.tolist() == ["AWAL", "AWAR", "AVL", "ASI"]
    right_first = [np.array([[0.0] * 3 + [1.0] * 3]), np.full((1, 3), np.nan), np.zeros((1, 3))]
    signal = io.load(written(is_L=right_first))["signal"]
    assert signal["roi"].values.tolist() == ["AWAR", "AWAL", "AVL", "ASIR"]
    np.testing.assert_array_equal(signal["signal"].sel(roi="AWAR")[0], trace(0)[0])


# ----------------------------------------------------------------------------------------------


def changed(field, *place, to):
    """Return a damage: one entry of a field replaced."""

    def damage(fields):
        inner = fields[field]
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = to
        return fields

    return damage


def without(*names):
    return lambda fields: {name: v for name, v in fields.items() if name not in names}


def replaced(**values):
    return lambda fields: {**fields, **values}


INFINITE = trace(3).copy()
INFINITE[0, 7] = np.inf
REFUSED = {
    "same-name": (
        changed("neurons", 2, to="AWA"), DataError,
        r"two cells have the same name \(at .*:neurons, AWAL\).*entries 1 and 3.*on_bad='drop'"),
    "number-of-traces": (
        lambda f: {**f, "traces": [f["traces"][0][:5], *f["traces"][1:]]}, DataError,
        r"another number of traces than there are files \(at .*:traces, cell AWA\).*"
        r"found: 5 traces.*expected: 3, or 6"),
    "is_L-length": (
        changed("is_L", 1, to=np.ones((1, 2))), DataError,
        r"entries in is_L than traces \(at .*cell AVL\).*2 in is_L, 3 traces"),
    "is_L-mixed": (
        changed("is_L", 0, to=np.array([[1.0, 0, 1, 0, 1, 0]])), DataError,
        r"sides of a cell contradict its traces \(at .*cell AWA\).*1 for all left traces"),
    "is_L-twice-left": (
        changed("is_L", 0, to=np.ones((1, 6))), DataError, r"sides of a cell contradict"),
    "length": (
        changed("traces", 0, 4, to=trace(4, 39)), DataError,
        r"one animal have different lengths \(at .*:traces, cell AWAR, animal 2_YAaLR.mat\)"
        r".*1x39 double.*expected: 40 frames"),
    "matrix": (
        changed("traces", 1, 2, to=np.ones((2, 20))), DataError,
        r"no series of numbers \(at .*cell AVL, animal 38_YAaLR.mat\).*2x20 double"),
    "text": (
        changed("traces", 1, 2, to="none"), DataError, r"no series of numbers .*1x4 char"),
    "infinite": (
        changed("traces", 0, 3, to=INFINITE), DataError,
        r"samples are infinite \(at .*:traces, animal 1_YAaLR.mat, cell AWAR\)"),
    "no-name": (
        changed("neurons", 1, to=""), DataError,
        r"cell has no name \(at .*:traces, cell number 2\)"),
    "no-cell": (
        changed("traces", 1, to=np.ones((1, 3))), DataError,
        r"cell has no traces \(at .*cell AVL\).*a 1x3 double"),
    "neurons": (
        replaced(neurons=["AWA", "AVL"]), CorruptFileError,
        r"neurons and is_L do not belong together.*2 neurons, is_L is a 3x1 cell"),
    "neurons-only": (
        lambda f: {**f, "neurons": ["AWA", "AVL"], "is_L": f["is_L"][:2]}, CorruptFileError,
        r"neurons and traces do not belong together.*2 neurons, traces is a 3x1 cell"),
    "names": (
        changed("neurons", 1, to=3.0), CorruptFileError,
        r"neurons is no cell of texts \(at .*:neurons\).*double in entry 2"),
    "fps": (replaced(fps=0.0), TimebaseError, r"fps is no frame rate.*found: \[0\.\].*above 0"),
    "fps-several": (
        replaced(fps=np.array([[4.0, 4.0]])), TimebaseError, r"fps is no frame rate"),
    "fps-text": (replaced(fps="fast"), CorruptFileError, r"fps holds no numbers.*1x4 char"),
    "no-fps": (
        without("fps"), CorruptFileError, r"NeuroPAL file lacks fps .*found: .*neurons.*save"),
    "no-files": (without("files"), CorruptFileError, r"NeuroPAL file lacks files"),
    "files-empty": (replaced(files=[]), CorruptFileError, r"file holds no animals"),
}  # fmt: skip

REFUSED_STIMULI = {
    "index": (
        changed("stims", (1, 2), to=4.0), TrialTableError,
        r"stimulus has no name \(at .*:stims, animal 2_YAaLR.mat, slot 3\).*found: 4 \(1 such of 9"
        r".*expected: 1 to 3.*on_bad='drop'"),
    "index-zero": (changed("stims", (0, 0), to=0.0), TrialTableError, r"has no name.*slot 1\)"),
    "index-part": (changed("stims", (0, 0), to=1.5), TrialTableError, r"found: 1.5 "),
    "times": (
        changed("stim_times", (1, 1), to=5.0), TrialTableError,
        r"stops before or as it starts \(at .*:stim_times, slot 2\).*5 to 5 s"),
    "shape": (
        replaced(stims=np.ones((2, 3))), CorruptFileError,
        r"stims and stim_times do not belong together.*stims \(2, 3\), stim_times \(3, 2\)"),
    "no-times": (
        without("stim_times"), CorruptFileError, r"NeuroPAL file lacks stim_times"),
}  # fmt: skip
ALL_REFUSED = {**REFUSED, **REFUSED_STIMULI}


@both
@pytest.mark.parametrize("name", ALL_REFUSED)
def test_damage_is_refused_and_spares_the_rest(name, version, tmp_path):
    damage, kind, message = ALL_REFUSED[name]
    path = WRITERS[version](tmp_path / "a.mat", damage(files.undamaged()))
    child, other = ("trials", "signal") if name in REFUSED_STIMULI else ("signal", "trials")
    with pytest.raises(kind, match=f"(?s){message}") as caught:
        io.load(path)
    parts = r".+ \(at .+\)\.\n  found: .+\n  expected: .+\n  to go on: .+"
    assert re.fullmatch(parts, str(caught.value), re.DOTALL), str(caught.value)
    lazy = io.open(path)
    if name != "infinite":
        assert lazy[child].attrs["fault"]
        with pytest.raises(NeurodynError):
            _ = lazy[child]["signal" if child == "signal" else "start"].values
    lazy.close()
    assert any(fault.severity == "error" for fault in doctor.check(path))
    if "files" not in name:
        assert other in io.load(path, select=other).children


@pytest.mark.parametrize(
    ("name", "count", "rois"),
    [
        ("same-name", "repeated_cells_dropped", ["AWAL", "AWAR", "AVL"]),
        ("number-of-traces", "impossible_cells_dropped", ["AVL", "ASIL"]),
        ("is_L-mixed", "impossible_cells_dropped", ["AVL", "ASIL"]),
        ("length", "unequal_traces_dropped", ["AWAL", "AWAR", "AVL", "ASIL"]),
        ("matrix", "unequal_traces_dropped", ["AWAL", "AWAR", "AVL", "ASIL"]),
        ("infinite", "infinite_samples_dropped", ["AWAL", "AWAR", "AVL", "ASIL"]),
    ],
)
def test_drop_leaves_out_the_smallest_thing(name, count, rois, tmp_path):
    path = files.write_5(tmp_path / "a.mat", ALL_REFUSED[name][0](files.undamaged()))
    cause = count.removesuffix("_dropped").replace("_", " ")
    with pytest.warns(DataQualityWarning, match=f"{cause}: 1 dropped"):
        signal = io.load(path, select="signal", on_bad="drop")["signal"].to_dataset()
    assert signal.attrs["quality"][count] == 1
    assert signal["roi"].values.tolist() == rois
    assert not np.isinf(signal["signal"]).any()
    with pytest.raises(DataError):
        io.load(path, on_bad="fix")


def test_drop_and_warn_on_stimuli(tmp_path):
    path = files.write_5(tmp_path / "a.mat", ALL_REFUSED["index"][0](files.undamaged()))
    with pytest.warns(DataQualityWarning, match="unnamed stimuli: 1 dropped"):
        trials = io.load(path, select="trials", on_bad="drop")["trials"]
    assert trials.sizes["trial"] == 8
    path = files.write_5(tmp_path / "b.mat", ALL_REFUSED["times"][0](files.undamaged()))
    with pytest.warns(DataQualityWarning, match="impossible trials: 3 dropped"):
        assert io.load(path, select="trials", on_bad="drop")["trials"].sizes["trial"] == 6
    with pytest.warns(DataQualityWarning, match="impossible trials: 3 kept"):
        assert io.load(path, select="trials", on_bad="warn")["trials"].sizes["trial"] == 9


def test_warn_keeps_what_can_be_kept(tmp_path):
    path = files.write_5(tmp_path / "a.mat", ALL_REFUSED["same-name"][0](files.undamaged()))
    with pytest.warns(DataQualityWarning, match="repeated cells: 1 kept"):
        signal = io.load(path, on_bad="warn")["signal"]
    assert signal["roi"].values.tolist() == ["AWAL", "AWAR", "AVL", "AWAL_2"]
    path = files.write_5(tmp_path / "b.mat", ALL_REFUSED["length"][0](files.undamaged()))
    with pytest.warns(DataQualityWarning, match="faulty signal: 1 kept"):
        assert io.load(path, on_bad="warn")["signal"].attrs["fault"]
    fps = files.write_5(tmp_path / "c.mat", ALL_REFUSED["fps"][0](files.undamaged()))
    with pytest.warns(DataQualityWarning, match="faulty signal: 1 dropped"):
        assert list(io.load(fps, on_bad="drop").children) == ["trials"]


# ----------------------------------------------------------------------------------------------


@both
def test_file_of_another_layout_names_its_variables(version, tmp_path):
    path = WRITERS[version](tmp_path / "a.mat", {"dff": np.ones((5, 7)), "names": ["a", "b"]})
    message = (
        r"(?s)not of the NeuroPAL layout \(at .*a\.mat\).*variables dff \(5x7 double\), "
        r"names \(2x1 cell\).*expected: fps, files, neurons, traces, stim_names"
    )
    with pytest.raises(UnsupportedFormatError, match=message):
        io.open(path)
    assert [fault.code for fault in doctor.check(path)] == ["unreadable_file"]


def test_files_that_are_not_matlab(tmp_path):
    path = tmp_path / "a.mat"
    with pytest.raises(FileNotFoundError, match="no such file"):
        io.open(path)
    path.write_bytes(b"")
    with pytest.raises(CorruptFileError, match="file is empty"):
        io.open(path)
    path.write_bytes(b"time,AVAL\n0,1\n" * 20)
    with pytest.raises(UnsupportedFormatError, match=r"(?s)not a MATLAB file of version 5.*-v7"):
        io.open(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(600))
    with pytest.raises(CorruptFileError, match="not a readable HDF5 file"):
        io.open(path)
    (tmp_path / "folder.mat").mkdir()
    with pytest.raises(CorruptFileError, match="a folder"):
        io.open(tmp_path / "folder.mat")


@both
def test_content_tells_the_format(version, written, tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(written(version).read_bytes())
    assert io.recognise(plain).name == "NeuroPAL"
    assert io.load(plain)["signal"].sizes["animal"] == 3


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_and_flipped_files(compressed, tmp_path):
    good = files.write_5(tmp_path / "good.mat", files.undamaged(), do_compression=compressed)
    data = good.read_bytes()
    path = tmp_path / "a.mat"
    for stop in (100, 200, len(data) // 2, len(data) - 8):
        path.write_bytes(data[:stop])
        with pytest.raises(FileError):
            io.load(path)
    rng = np.random.default_rng(3)
    for _ in range(60):
        bad = bytearray(data)
        for at in rng.integers(128, len(data), 4):
            bad[at] = rng.integers(256)
        path.write_bytes(bad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataQualityWarning)
            with contextlib.suppress(NeurodynError):
                recording.validate(io.load(path))


def matrix(kind, dims, *inside, name=b"traces", flags=0):
    """Return the bytes of one matrix of version 5."""
    body = struct.pack("<IIII", 6, 8, kind | flags, 0)
    body += struct.pack(f"<II{len(dims)}i", 5, 4 * len(dims), *dims).ljust(
        16 + 8 * (len(dims) // 3)
    )
    body += struct.pack("<II", 1, len(name)) + name.ljust(-(-len(name) // 8) * 8, b"\0")
    body += b"".join(inside)
    return struct.pack("<II", 14, len(body)) + body


def numbers(*values):
    return struct.pack(f"<II{len(values)}d", 9, 8 * len(values), *values)


def mat5(path, *variables, compressed=False):
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    if compressed:
        packed = [zlib.compress(variable) for variable in variables]
        variables = [struct.pack("<II", 15, len(data)) + data for data in packed]
    path.write_bytes(head + b"".join(variables))
    return path


def nested(depth):
    inner = matrix(6, (1, 1), numbers(1.0), name=b"")
    for _ in range(depth):
        inner = matrix(1, (1, 1), inner, name=b"")
    return matrix(1, (1, 1), inner)


LYING = {
    "spaces": (matrix(4, (1 << 15, 1 << 15), struct.pack("<II", 4, 0)), "8 bytes of data"),
    "cells": (matrix(1, (1 << 15, 1 << 15)), "0 bytes of data for shape"),
    "beyond": (matrix(6, (1, 1), struct.pack("<II", 9, 1 << 30)), "reaches beyond its matrix"),
    "deep": (nested(50), "cells within cells, 3 deep"),
    "struct": (matrix(1, (1, 1), matrix(2, (1, 1), name=b"")), "a struct in a cell"),
    "negative": (matrix(6, (-1, 1), numbers(1.0)), "shape"),
    "no matrix": (struct.pack("<II", 9, 8) + bytes(8), "element of type 9"),
    "type": (matrix(6, (1, 1), struct.pack("<IId", 99, 8, 1.0)), "double stored as type 99"),
    "letters": (matrix(4, (1, 1), struct.pack("<IId", 16, 1, 1.0)[:8] + b"\xff" * 8), "utf-8"),
    "too few": (matrix(6, (1, 3), numbers(1.0, 2.0)), "reshape"),
    "header": (struct.pack("<II", 14, 16) + struct.pack("<IIII", 5, 8, 0, 0), "expected type 6"),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", LYING)
def test_what_a_file_declares_is_not_believed(name, compressed, tmp_path):
    data, message = LYING[name]
    good = mat5(
        tmp_path / "good.mat",
        matrix(1, (1, 1), matrix(6, (1, 2), numbers(1.0, 2.0), name=b"")),
        compressed=compressed,
    )
    np.testing.assert_array_equal(Mat5File(good).value("traces")[0], [[1.0, 2.0]])
    path = mat5(tmp_path / "a.mat", data, compressed=compressed)
    with pytest.raises(CorruptFileError, match=f"(?s)MATLAB file cannot be read.*({message})"):
        Mat5File(path).value("traces")


def test_two_variables_of_one_name(tmp_path):
    one = matrix(6, (1, 1), numbers(1.0))
    with pytest.raises(CorruptFileError, match="two variables of this name"):
        Mat5File(mat5(tmp_path / "a.mat", one, one))


def test_variables_of_other_classes_are_passed_over(tmp_path):
    table = (
        struct.pack("<IIII", 6, 8, 17, 0) + struct.pack("<II", 1, 8) + b"metadata" + numbers(1.0)
    )
    table = struct.pack("<II", 14, len(table)) + table
    workspace = matrix(9, (1, 8), struct.pack("<IId", 2, 8, 0.0), name=b"")
    found = Mat5File(mat5(tmp_path / "a.mat", table, workspace, matrix(6, (1, 1), numbers(2.0))))
    texts = {name: str(variable) for name, variable in found.variables.items()}
    assert texts == {"metadata": "1x1 opaque", "traces": "1x1 double"}
    assert found.node("metadata").kind == "opaque"
    assert found.value("traces").item() == 2.0


def test_every_class_agrees_with_scipy(rng, tmp_path):
    whole = [rng.integers(0, 99, (3, 2)).astype(f"{s}{n}") for s in "iu" for n in (1, 2, 4, 8)]
    values = {f"whole{i}": array for i, array in enumerate(whole)}
    values |= {"double": rng.normal(size=(2, 3, 2)), "single": rng.normal(size=3).astype("f4")}
    values |= {"text": "µ-opioid", "lines": np.array(["one", "two"]), "empty": "", "flag": True}
    values |= {"many": np.arange(70_000.0), "nothing": np.zeros((0, 3))}
    for compressed in (False, True):
        savemat(tmp_path / "a.mat", values, do_compression=compressed)
        oracle = loadmat(tmp_path / "a.mat", mat_dtype=True)
        found = Mat5File(tmp_path / "a.mat")
        for name in values:
            value = found.value(name)
            if isinstance(value, str):
                assert value == "\n".join(oracle[name])
            else:
                np.testing.assert_array_equal(value, oracle[name], strict=name != "flag")


def test_more_data_than_a_matrix_holds(tmp_path):
    one = matrix(6, (1, 1), numbers(1.0))
    path = mat5(tmp_path / "a.mat", one + bytes(100), compressed=True)
    with pytest.raises(CorruptFileError, match="more data than the matrix holds"):
        Mat5File(path).node("traces")


def test_size_is_held_against_the_budget_before_anything_is_read(written, tmp_path, monkeypatch):
    bomb = matrix(6, (1, 1_000_000), struct.pack("<II", 9, 8_000_000) + bytes(8_000_000))
    path = mat5(tmp_path / "a.mat", bomb, compressed=True)
    assert path.stat().st_size < 20_000
    assert Mat5File(path).node("traces").shape == (1, 1_000_000)
    monkeypatch.setattr("neurodyn.io.limits.RATIO_FREE_BYTES", 1_000_000)
    with pytest.raises(SizeBudgetError, match=r"(?s)expand suspiciously.*:traces.*ratio"):
        Mat5File(path).node("traces")
    monkeypatch.undo()
    with limited(memory="100 kB"), pytest.raises(SizeBudgetError, match="larger than the memory"):
        Mat5File(path).node("traces")
    for version in WRITERS:
        with limited(memory="2 kB"), pytest.raises(SizeBudgetError, match=r"memory budget"):
            io.load(written(version))
        with limited(objects=10), pytest.raises(SizeBudgetError, match="objects="):
            io.load(written(version))


def test_references_stay_inside_the_file(tmp_path):
    path = files.write_73(tmp_path / "a.mat", files.undamaged())
    with h5py.File(path, "r+") as file:
        loose = file.create_dataset("elsewhere", data=np.ones((N_FRAMES, 1)))
        first = file[file["traces"][0, 0]]
        references = first[()]
        references[0, 0] = loose.ref
        first[...] = references
    with pytest.raises(CorruptFileError, match=r"(?s)refers to nothing in /#refs#"):
        io.load(path)
    with h5py.File(path, "r+") as file:
        del file["elsewhere"]
        references[0, 0] = h5py.Reference()
        file[file["traces"][0, 0]][...] = references
    with pytest.raises(CorruptFileError, match=r"(?s)refers to nothing in /#refs#"):
        io.load(path)
    with h5py.File(path, "r+") as file:
        cell = file["traces"][0, 0]
        references[0, 0] = cell
        file[cell][...] = references
    with pytest.raises(CorruptFileError, match="cells within cells, 3 deep"):
        io.load(path)
    with h5py.File(path, "r+") as file:
        file["#refs#/out"] = h5py.ExternalLink("other.mat", "/traces")
    with pytest.raises(UnsafeFileError, match="an external link"):
        io.open(path)


@both
def test_complex_numbers_are_no_traces(version, tmp_path):
    traces = files.undamaged()["traces"]
    traces[1][0] = traces[1][0] + 1j
    path = WRITERS[version](tmp_path / "a.mat", {**files.undamaged(), "traces": traces})
    with pytest.raises(CorruptFileError, match=r"(?s):traces.*(complex|double of).* in a cell"):
        io.load(path)
    traces[1] = np.ones((1, 3)) * 1j
    path = WRITERS[version](tmp_path / "a.mat", {**files.undamaged(), "traces": traces})
    with pytest.raises(CorruptFileError, match=r"(?s):traces.*(complex|double of).* in a cell"):
        io.load(path)


def test_file_that_changes_while_it_is_read(written, monkeypatch):
    path = written()
    read = Mat5File.value

    def slowly(self, name):
        with path.open("ab") as file:
            file.write(b"\0" * 8)
        return read(self, name)

    monkeypatch.setattr(Mat5File, "value", slowly)
    with pytest.raises(FileError, match="changed while it was being read"):
        io.load(path)


# ----------------------------------------------------------------------------------------------


def a_recording(rng, n_animals=3, n_time=12, labels=("AWAL", "AWAR", "AVL"), rate=4.0):
    values = rng.normal(size=(n_animals, n_time, len(labels)))
    animals = [f"worm {i}" for i in range(n_animals)]
    values[0, :, -1] = np.nan
    signal = recording.signal(
        values, sampling_rate=rate, dim="roi", channel=labels, animal=animals, units="dF/F0"
    )
    stimuli = [("salt", a) for a in animals] + [("butanone", a) for a in reversed(animals)]
    names, owners = zip(*stimuli)
    start = np.where(np.array(names) == "salt", [0.5, 0.5, 1.5] * 2, [1.5, 0.5, 0.5] * 2)
    start = np.array([0.5, 0.5, 1.5, 0.5, 1.5, 1.5])
    trials = recording.trials(start, start + 0.5, columns={"stimulus": names, "animal": owners})
    return recording.recording([signal, trials])


def rows(trials):
    """Return the rows of a trial table, in any order."""
    names = ("animal", "start", "stop", "stimulus")
    return sorted(zip(*(trials[name].values.tolist() for name in names)))


@both
def test_written_file_is_read_again(version, rng, tmp_path):
    tree = a_recording(rng)
    path = write_neuropal(tree, tmp_path / "a.mat", version=version)
    again = io.load(path)
    found = again["signal"]["signal"].drop_vars(["cell", "side", "n_frames"])
    xr.testing.assert_equal(found, tree["signal"]["signal"])
    assert again["signal"].attrs["sampling_rate"] == 4.0
    assert rows(again["trials"]) == rows(tree["trials"])
    assert [p.name for p in tmp_path.iterdir()] == ["a.mat"]


def test_written_files_are_matlab_files_for_others(rng, tmp_path):
    tree = a_recording(rng)
    path = write_neuropal(tree, tmp_path / "a.mat")
    found = loadmat(path, simplify_cells=True)
    assert found["neurons"].tolist() == ["AWA", "AVL"]
    assert [len(cell) for cell in found["traces"]] == [6, 3]
    assert found["is_L"][0].tolist() == [1, 1, 1, 0, 0, 0]
    assert np.isnan(found["is_L"][1]).all()
    assert found["samples"].tolist() == [6, 2]
    assert found["traces"][1][0].size == 0
    values = tree["signal"]["signal"].values
    np.testing.assert_array_equal(found["traces"][0][4], values[1, :, 1])
    np.testing.assert_allclose(found["max_traces"][0][4], values[1, :, 1].max())
    assert np.isnan(found["max_traces"][1][0])
    assert (found["norm_traces"][0][0].min(), found["norm_traces"][0][0].max()) == (0, 1)
    assert (found["fps"], found["files"].tolist()) == (4, ["worm 0", "worm 1", "worm 2"])
    assert found["stim_names"][found["stims"][2, 0].astype(int) - 1] == "butanone"
    path = write_neuropal(tree, tmp_path / "b.mat", version="7.3")
    assert matlab.matfile_version(path) == (2, 0)
    with h5py.File(path) as file:
        assert file.userblock_size == 512
        assert file["fps"].attrs["MATLAB_class"] == b"double"
        assert file["neurons"].shape == (1, 2)
        name = file[file["neurons"][0, 1]]
        assert (name.attrs["MATLAB_class"], name.shape) == (b"char", (3, 1))
        assert name[:, 0].astype(np.uint8).tobytes() == b"AVL"
        cell = file[file["traces"][0, 1]]
        assert cell.shape == (3, 1)
        unseen = file[cell[0, 0]]
        assert (unseen.attrs["MATLAB_empty"], unseen[()].tolist()) == (1, [0, 0])
        np.testing.assert_array_equal(file[cell[2, 0]][:, 0], values[2, :, 2])


labels_of_rois = st.lists(
    st.builds("{}{}".format, st.text("AVLRBÄß12", min_size=1), st.sampled_from(["", "L", "R"])),
    min_size=1,
    max_size=6,
    unique=True,
)


@settings(
    deadline=None,
    max_examples=20,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    labels=labels_of_rois,
    n_animals=st.integers(1, 3),
    n_time=st.integers(2, 5),
    version=st.sampled_from(["5", "7.3"]),
    single=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_round_trip(labels, n_animals, n_time, version, single, seed, tmp_path):
    rng = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    values = rng.normal(size=(n_animals, n_time, len(labels))).astype(dtype)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[(rng.random((n_animals, 1, len(labels))) < 0.3).repeat(n_time, axis=1)] = np.nan
    values[0, 0, 0] = 1.0  # of nothing but unseen cells no length is known
    rate = float(rng.uniform(0.5, 20))
    animals = [f"ä{i}" for i in range(n_animals)]
    signal = recording.signal(values, sampling_rate=rate, dim="roi", channel=labels, animal=animals)
    n_slots = int(rng.integers(0, 4))
    stims = rng.choice(["NaCl", "butanone", "µ"], (n_animals, n_slots))
    given_there = rng.random(stims.shape) < 0.8
    animal, slot = np.nonzero(given_there)
    columns = {"stimulus": stims[given_there], "animal": np.array(animals)[animal]}
    trials = recording.trials(slot + 0.25, slot + 0.75, columns=columns)
    path = write_neuropal(
        recording.recording([signal, trials]), tmp_path / "a.mat", version=version
    )
    again = io.load(path)
    found = again["signal"].to_dataset()
    assert sorted(found["roi"].values) == sorted(labels)
    assert found["animal"].values.tolist() == animals
    back = found["signal"].sel(roi=labels)
    np.testing.assert_array_equal(back, values)
    assert back.dtype == dtype
    assert found.attrs["sampling_rate"] == rate
    assert rows(again["trials"]) == rows(trials) if animal.size else "trials" not in again.children
    once_more = write_neuropal(again, tmp_path / "b.mat", version="5")
    xr.testing.assert_equal(io.load(once_more)["signal"].to_dataset(), found)


def test_short_animals_survive(written, tmp_path):
    fields = files.undamaged()
    short = [[t[:, :30] if i % 3 == 1 else t for i, t in enumerate(c)] for c in fields["traces"]]
    first = io.load(written(traces=short))
    again = io.load(write_neuropal(first, tmp_path / "again.mat"))
    xr.testing.assert_equal(again["signal"].to_dataset(), first["signal"].to_dataset())
    assert rows(again["trials"]) == rows(first["trials"])
    longer = first["signal"].to_dataset()
    longer["signal"] = longer["signal"].fillna(0.0)
    tree = recording.recording([longer])
    again = io.load(write_neuropal(tree, tmp_path / "again.mat"))
    assert again["signal"]["n_frames"].values.tolist() == [40, 40, 40]


def test_pairs_need_a_name_of_their_own(tmp_path):
    labels = ["aL", "aR", "a", "L", "R", "bL", "cR", "cL"]
    signal = recording.signal(np.ones((2, 4, 8)), sampling_rate=1.0, dim="roi", channel=labels)
    path = write_neuropal(recording.recording([signal]), tmp_path / "a.mat")
    found = io.load(path)["signal"]
    assert found["roi"].values.tolist() == ["aL", "aR", "a", "L", "R", "bL", "cL", "cR"]
    assert found["cell"].values.tolist() == ["aL", "aR", "a", "L", "R", "bL", "c", "c"]


def test_one_animal_and_scaled_numbers_can_be_written(tmp_path):
    signal = recording.signal([[1, 2], [3, 4]], sampling_rate=2.0, scale_factor=0.5, add_offset=1.0)
    stimuli = recording.trials([0.0], [0.5], columns={"stimulus": ["salt"]})
    tree = recording.recording([signal, stimuli], subject="worm")
    again = io.load(write_neuropal(tree, tmp_path / "a.mat"))
    assert again["signal"]["animal"].values.tolist() == ["worm"]
    assert again["signal"]["signal"].values.tolist() == [[[1.5, 2.0], [2.5, 3.0]]]
    assert again["trials"]["animal"].values.tolist() == ["worm"]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda s, t: (s.assign_coords(time=s["time"] + 1), t), TimebaseError,
         r"(?s)frame rate only.*first frame at 1 s.*begins at 0 s"),
        (lambda s, t: (s.assign_coords(time=s["time"] ** 1.1), t), TimebaseError,
         r"(?s)frame rate only.*steps off a regular clock.*resample"),
        (lambda s, t: (s, t.drop_vars("stimulus")), TrialTableError,
         r"(?s)no column 'stimulus'.*start, stop, animal"),
        (lambda s, t: (s, t.assign(animal=("trial", ["x"] * 6))), TrialTableError,
         r"(?s)an animal that the signal lacks.*found: x.*worm 0, worm 1"),
        (lambda s, t: (s, t.assign(animal=("trial", ["worm 0"] * 6))), TrialTableError,
         r"(?s)two stimuli at one time \(at animal worm 0, trial 1\).*at 0.5 s"),
        (lambda s, t: (s, t.drop_vars("animal")), TrialTableError, "two stimuli at one time"),
        (lambda s, t: (s.where(False), t), DataError, r"(?s)no traces.*\(3, 12, 3\), all NaN"),
    ],
)  # fmt: skip
def test_what_the_layout_cannot_hold_is_refused(change, kind, message, rng, tmp_path):
    tree = a_recording(rng)
    signal, trials = change(tree["signal"].to_dataset(), tree["trials"].to_dataset())
    with pytest.raises(kind, match=message):
        write_neuropal(recording.recording([signal, trials]), tmp_path / "a.mat")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="version"):
        write_neuropal(tree, tmp_path / "a.mat", version="4")


def test_conversion(written, tmp_path):
    path = written()
    converted = io.load(nd.convert(path, tmp_path / "a.nc"))
    loaded = io.load(path)
    xr.testing.assert_identical(converted["signal"].to_dataset(), loaded["signal"].to_dataset())
    with pytest.raises(UnsupportedFormatError, match=r"(?s)holds one animal.*3 animals.*netCDF"):
        nd.convert(path, tmp_path / "a.nwb")
    one = loaded["signal"].to_dataset().isel(animal=0, drop=True)
    again = io.load(nd.write_nwb(recording.recording([one]), tmp_path / "one.nwb"))
    np.testing.assert_array_equal(again["signal"]["signal"], one["signal"])
    assert again["signal"]["roi"].values.tolist() == one["roi"].values.tolist()
    assert again["signal"]["side"].values.tolist() == one["side"].values.tolist()
