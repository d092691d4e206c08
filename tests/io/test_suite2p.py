"""Folders of suite2p: what becomes of them, every damage with its undamaged twin."""

from __future__ import annotations

import re

import numpy as np
import pytest

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
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io import doctor
from neurodyn.io.limits import limited

N_ROIS, N_FRAMES = 5, 30
CELLS = np.array([[1, 0.9], [0, 0.1], [1, 0.8], [1, 0.7], [0, 0.3]])
NAMES = ["fluorescence", "neuropil", "deconvolved"]


def traces(seed):
    return np.random.default_rng(seed).normal(size=(N_ROIS, N_FRAMES)).astype(np.float32)


@pytest.fixture
def plane(tmp_path):
    """A folder as suite2p writes it, with its pickles."""

    def make(name="suite2p/plane0"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for seed, file in enumerate(("F.npy", "Fneu.npy", "spks.npy")):
            np.save(folder / file, traces(seed))
        np.save(folder / "iscell.npy", CELLS)
        for file in ("ops.npy", "stat.npy"):
            np.save(folder / file, np.array({"fs": 30.0}), allow_pickle=True)
        return folder

    return make


def test_undamaged_folder_is_read_without_a_warning(plane):
    folder = plane()
    tree = io.load(folder, sampling_rate=30.0)
    assert list(tree["signal"].children) == NAMES
    for seed, name in enumerate(NAMES):
        signal = tree[f"signal/{name}"].to_dataset()
        assert signal["signal"].dims == ("time", "roi")
        np.testing.assert_array_equal(signal["signal"], traces(seed).T)
        assert signal["signal"].dtype == np.float32
        assert signal["roi"].values.tolist() == ["0", "1", "2", "3", "4"]
        assert signal["is_cell"].values.tolist() == [True, False, True, True, False]
        assert signal["cell_probability"].values.tolist() == CELLS[:, 1].tolist()
        assert signal.attrs["sampling_rate"] == 30.0
        assert "quality" not in signal.attrs
        assert signal["time"].values[-1] == 29 / 30
    assert recording.faults(tree) == []
    assert [f.severity for f in doctor.check(folder, sampling_rate=30.0)] == []


def test_pickles_are_named_and_never_opened(plane):
    folder = plane()
    (folder / "ops.npy").write_bytes(b"\x93NUMPY, nothing that could be read")
    tree = io.open(folder)
    assert tree.attrs["unread"] == [
        "ops.npy: a pickle, never opened",
        "stat.npy: a pickle, never opened",
    ]
    assert "not read: ops.npy: a pickle" in doctor.inspect(folder, isolate=True)


def test_without_a_rate_time_counts_frames(plane):
    folder = plane()
    signal = io.load(folder)["signal/deconvolved"].to_dataset()
    assert signal["time"].values.tolist() == list(range(N_FRAMES))
    assert signal["time"].attrs["units"] == "frame"
    assert signal.attrs["sampling_rate"] == 1.0
    assert signal.attrs["frame_rate"].startswith("unknown")
    assert "sampling_rate=" in signal.attrs["frame_rate"]
    assert signal.attrs["quality"] == {"unknown_frame_rate": 1}
    notes = doctor.check(folder)
    assert {f.code for f in notes} == {"unknown_frame_rate"}
    assert {f.severity for f in notes} == {"note"}
    assert "sampling_rate" in notes[0].hint
    with pytest.raises(ConfigError, match="sampling_rate must be positive"):
        io.open(folder, sampling_rate=0.0)


def test_opening_is_lazy_and_cells_can_be_chosen(plane):
    folder = plane()
    for cells_only, rows in ((False, range(N_ROIS)), (True, [0, 2, 3])):
        lazy = io.open(folder, sampling_rate=30.0, cells_only=cells_only)
        signal = lazy["signal/fluorescence"]["signal"]
        assert not signal.variable._in_memory
        expected = traces(0)[list(rows)].T
        np.testing.assert_array_equal(signal[3:9], expected[3:9])
        np.testing.assert_array_equal(signal[4], expected[4])
        np.testing.assert_array_equal(signal[::7, 1], expected[::7, 1])
        np.testing.assert_array_equal(signal[[5, 2], 1:], expected[[5, 2], 1:])
        np.testing.assert_array_equal(signal[:, [2, 0]], expected[:, [2, 0]])
        assert signal[3, 1].item() == expected[3, 1]
        assert signal["roi"].values.tolist() == [str(row) for row in rows]
    loaded = io.load(folder, sampling_rate=30.0, cells_only=True)["signal/fluorescence"]
    assert loaded["is_cell"].values.all()
    assert loaded.attrs["quality"] == {"rois_left_out": 2}
    np.testing.assert_array_equal(loaded["signal"], traces(0)[[0, 2, 3]].T)


def test_selection(plane):
    folder = plane()
    chosen = io.load(folder, select="signal/deconvolved")
    assert [node.path for node in chosen.leaves] == ["/signal/deconvolved"]
    chosen = io.load(folder, select=["signal/n*", "signal/f*"])
    assert sorted(n.path for n in chosen.leaves) == ["/signal/fluorescence", "/signal/neuropil"]
    narrow = io.load(folder, select={"signal/neuropil": ["is_cell"]})["signal/neuropil"]
    assert "cell_probability" not in narrow.coords
    assert "is_cell" in narrow.coords
    with pytest.raises(EmptySelectionError, match=r"(?s)no signal/spikes.*signal/fluorescence"):
        io.load(folder, select="signal/spikes")
    with pytest.raises(EmptySelectionError, match=r"(?s)no column 'iscell'.*'is_cell'"):
        io.load(folder, select={"signal/neuropil": ["iscell"]})


def test_files_that_are_not_there_are_not_listed(plane):
    folder = plane()
    (folder / "spks.npy").unlink()
    (folder / "iscell.npy").unlink()
    tree = io.load(folder, sampling_rate=30.0)
    assert list(tree["signal"].children) == NAMES[:2]
    assert "is_cell" not in tree["signal/neuropil"].coords
    with pytest.raises(CorruptFileError, match=r"(?s)cells_only needs iscell.npy.*cells_only=F"):
        io.load(folder, cells_only=True)


def test_planes(plane, tmp_path):
    plane()
    assert io.open(tmp_path / "suite2p").attrs["plane"] == "plane0"
    assert io.recognise(tmp_path / "suite2p").name == "suite2p"
    for number in (1, 10, 2):
        plane(f"suite2p/plane{number}")
    message = r"(?s)holds several planes.*found: plane0, plane1, plane2, plane10.*plane='plane0'"
    with pytest.raises(DataError, match=message):
        io.open(tmp_path / "suite2p")
    for name in (10, "plane10"):
        tree = io.open(tmp_path / "suite2p", plane=name)
        assert tree.attrs["plane"] == "plane10"
    with pytest.raises(EmptySelectionError, match=r"(?s)no plane3.*plane0, plane1"):
        io.open(tmp_path / "suite2p", plane=3)
    with pytest.raises(EmptySelectionError, match=r"(?s)no plane1.*found: plane0"):
        io.open(tmp_path / "suite2p" / "plane0", plane=1)
    assert io.open(tmp_path / "suite2p" / "plane0", plane=0).attrs["plane"] == "plane0"


def test_folders_of_something_else(tmp_path):
    with pytest.raises(CorruptFileError, match="a folder"):
        io.open(tmp_path)
    from neurodyn.io.suite2p import load_suite2p, open_suite2p

    with pytest.raises(UnsupportedFormatError, match=r"(?s)not a folder of suite2p.*empty folder"):
        open_suite2p(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UnsupportedFormatError, match=r"(?s)notes\.txt.*plane0, plane1"):
        load_suite2p(tmp_path)
    with pytest.raises(UnsupportedFormatError, match="a file"):
        load_suite2p(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_suite2p(tmp_path / "none")


# ----------------------------------------------------------------------------------------------


def saved(file, values):
    return lambda folder: np.save(folder / file, values)


def cut(file):
    def damage(folder):
        path = folder / file
        path.write_bytes(path.read_bytes()[:-8])

    return damage


class Trap:
    """Unpickling this would raise."""

    def __reduce__(self):
        return (__import__, ("no_such_module_was_unpickled",))


INFINITE = traces(1)
INFINITE[3, 4] = np.inf
REFUSED = {
    "shape": (
        saved("Fneu.npy", traces(1)[:, :-1]), "neuropil", CorruptFileError,
        r"Fneu\.npy and F\.npy do not belong together \(at .*Fneu\.npy\).*shape \(5, 29\)"
        r".*shape \(5, 30\)"),
    "rois": (
        saved("spks.npy", traces(2)[:-1]), "deconvolved", CorruptFileError,
        r"spks\.npy and F\.npy do not belong together"),
    "axes": (
        saved("F.npy", traces(0)[0]), "fluorescence", CorruptFileError,
        r"file holds no traces .*shape \(30,\) of float32"),
    "text": (
        saved("F.npy", np.full((5, 30), "a")), "fluorescence", CorruptFileError,
        r"file holds no traces .*<U1"),
    "objects": (
        saved("F.npy", np.array([[Trap()]], dtype=object)), "fluorescence", UnsafeFileError,
        r"could run code"),
    "truncated": (cut("spks.npy"), "deconvolved", CorruptFileError, r"length of the file disagree"),
    "infinite": (
        saved("Fneu.npy", INFINITE), "neuropil", DataError,
        r"samples are infinite \(at .*Fneu\.npy, roi 3\).*1 infinite samples in 1 of 5"),
}  # fmt: skip
REFUSED_CELLS = {
    "number": (
        saved("iscell.npy", CELLS[:-1]), CorruptFileError,
        r"iscell\.npy and F\.npy do not belong together .*shape \(4, 2\).*shape \(5, 2\)"),
    "flag": (
        saved("iscell.npy", CELLS * 2), DataError,
        r"neither cells nor not \(at .*iscell\.npy, roi 0\).*found: 2.0 \(3 such"),
    "damaged": (cut("iscell.npy"), CorruptFileError, r"length of the file disagree"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_damage_is_refused_and_spares_the_rest(name, plane):
    folder = plane()
    damage, child, kind, message = REFUSED[name]
    damage(folder)
    others = [f"signal/{n}" for n in NAMES if n != child]
    with pytest.raises(kind, match=f"(?s){message}") as caught:
        io.load(folder, select=f"signal/{child}")
    parts = r".+ \(at .+\)\.\n  found: .+\n  expected: .+\n  to go on: .+"
    assert re.fullmatch(parts, str(caught.value), re.DOTALL), str(caught.value)
    with pytest.raises(NeurodynError):
        io.load(folder, on_bad="fix")
    if name not in ("axes", "text"):
        assert len(list(io.load(folder, select=others).leaves)) == 2
    if name != "infinite":
        lazy = io.open(folder)
        assert lazy[f"signal/{child}"].attrs["fault"]
        with pytest.raises(NeurodynError):
            _ = lazy[f"signal/{child}"]["signal"].values
    errors = [f for f in doctor.check(folder) if f.severity == "error"]
    assert any(f.where.endswith((".npy", "roi 3")) for f in errors)


@pytest.mark.parametrize("name", REFUSED_CELLS)
def test_damaged_verdicts(name, plane):
    folder = plane()
    damage, kind, message = REFUSED_CELLS[name]
    damage(folder)
    with pytest.raises(kind, match=f"(?s){message}"):
        io.load(folder)
    with pytest.warns(DataQualityWarning, match="faulty columns: 3 dropped"):
        tree = io.load(folder, on_bad="drop")
    assert "is_cell" not in tree["signal/neuropil"].coords
    np.testing.assert_array_equal(tree["signal/neuropil"]["signal"], traces(1).T)
    with pytest.warns(DataQualityWarning, match="faulty signal: 3 dropped"):
        assert not io.load(folder, on_bad="drop", cells_only=True).children


def test_drop_and_warn(plane):
    folder = plane()
    REFUSED["infinite"][0](folder)
    with pytest.warns(DataQualityWarning, match="infinite samples: 1 dropped"):
        neuropil = io.load(folder, on_bad="drop")["signal/neuropil"]["signal"]
    assert np.isnan(neuropil[4, 3])
    assert int(np.isnan(neuropil).sum()) == 1
    with pytest.warns(DataQualityWarning, match="infinite samples: 1 kept"):
        assert np.isinf(io.load(folder, on_bad="warn")["signal/neuropil"]["signal"][4, 3])
    REFUSED["shape"][0](folder)
    with pytest.warns(DataQualityWarning, match="faulty signal: 1 dropped"):
        tree = io.load(folder, on_bad="drop")
    assert list(tree["signal"].children) == ["fluorescence", "deconvolved"]
    assert tree.attrs["quality"] == {"faulty_signal_dropped": 1}


def test_nan_samples_are_counted(plane):
    folder = plane()
    values = traces(0)
    values[1, 3:5] = np.nan
    values[4] = np.nan
    np.save(folder / "F.npy", values)
    signal = io.load(folder, sampling_rate=1.0)["signal/fluorescence"]
    assert signal.attrs["quality"] == {"empty_traces": 1, "nan_samples": 2}


def test_links_out_of_the_folder_are_refused(plane, tmp_path):
    folder = plane()
    (folder / "spks.npy").rename(folder / "real.npy")
    (folder / "spks.npy").symlink_to("real.npy")
    io.load(folder, sampling_rate=30.0)
    (folder / "real.npy").rename(tmp_path / "elsewhere.npy")
    (folder / "spks.npy").unlink()
    (folder / "spks.npy").symlink_to(tmp_path / "elsewhere.npy")
    with pytest.raises(UnsafeFileError, match=r"(?s)link reaches outside.*elsewhere\.npy"):
        io.open(folder)


def test_budget_and_change(plane, monkeypatch):
    folder = plane()
    with limited(memory=500):
        io.open(folder).close()
        for cells_only in (False, True):
            with pytest.raises(SizeBudgetError, match="memory budget"):
                io.load(folder, select="signal/neuropil", cells_only=cells_only)
    from neurodyn.io import suite2p

    settle = suite2p.settle_samples

    def slowly(*args):
        np.save(folder / "F.npy", np.zeros((9, 9)))
        return settle(*args)

    monkeypatch.setattr(suite2p, "settle_samples", slowly)
    with pytest.raises(FileError, match="changed while it was being read"):
        io.load(folder, select="signal/fluorescence")


def test_other_byte_orders_and_axes(plane):
    folder = plane()
    np.save(folder / "F.npy", np.asfortranarray(traces(0).astype(">f8")))
    signal = io.load(folder)["signal/fluorescence"]["signal"]
    assert signal.dtype == np.dtype("<f8").newbyteorder("=")
    np.testing.assert_array_equal(signal, traces(0).T)


@pytest.mark.shared_data
def test_real_folder(shared_data):
    folder = shared_data / "suite2p_sample"
    tree = io.load(folder)
    for name, file in zip(NAMES, ("F.npy", "Fneu.npy", "spks.npy")):
        signal = tree[f"signal/{name}"]
        np.testing.assert_array_equal(signal["signal"], np.load(folder / file).T)
    spikes = tree["signal/deconvolved"]
    assert spikes.sizes["time"] == 2000
    assert float((spikes["signal"] != 0).mean()) == pytest.approx(0.207, abs=1e-3)
    cells = np.load(folder / "iscell.npy")
    np.testing.assert_array_equal(spikes["is_cell"], cells[:, 0])
    chosen = io.load(folder, cells_only=True, sampling_rate=30.0)["signal/deconvolved"]
    assert chosen.sizes["roi"] == int(cells[:, 0].sum()) == 20


def test_conversion(plane, tmp_path):
    folder = plane()
    for name in ("a.nc", "a.nwb"):
        converted = nd.convert(folder, tmp_path / name, sampling_rate=30.0)
        signal = io.load(converted)["signal/neuropil"]
        np.testing.assert_array_equal(signal["signal"], traces(1).T)
        np.testing.assert_array_equal(signal["is_cell"], CELLS[:, 0] == 1)
