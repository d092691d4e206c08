"""Runs in one HDF5 file: one child each, lazy, with labels of regions."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from neurodyn.errors import (
    AtlasMismatchError,
    CorruptFileError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    TimebaseError,
    UnsafeFileError,
)
from neurodyn.io.bold_hdf5 import (
    check_bold_hdf5,
    is_bold_hdf5,
    load_bold_hdf5,
    open_bold_hdf5,
)

N_ROIS, N_FRAMES = 12, 9


@pytest.fixture
def values(rng):
    return rng.normal(size=(N_ROIS, N_FRAMES)).astype(np.float32)


@pytest.fixture
def path(tmp_path, values):
    path = tmp_path / "runs.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(repetition_time=2.0, atlas="MIST", layout="this one")
        file["roi"] = [f"L_{i}" for i in range(N_ROIS)]
        file["roi_label"] = np.arange(N_ROIS) + 101
        for i, name in enumerate(("sub-01_run-1", "sub-01_run-2")):
            file[f"runs/{name}/bold"] = values + i
            file[f"runs/{name}/gs"] = values.mean(axis=0)
            file[f"runs/{name}/fd"] = np.arange(N_FRAMES - 1) / 10
        file["runs/sub-01_run-2"].attrs.update(tr=0.72, site="NYU", subject="S1")
        file["runs/sub-01_run-2/keep"] = np.arange(N_FRAMES) > 1
    return path


def test_runs_are_children_with_their_own_clock(path, values):
    tree = load_bold_hdf5(path)
    one, two = tree["bold/sub_01_run_1"], tree["bold/sub_01_run_2"]
    np.testing.assert_array_equal(one["bold"], values.T)
    np.testing.assert_array_equal(two["bold"], values.T + 1)
    assert (one.attrs["repetition_time"], two.attrs["repetition_time"]) == (2.0, 0.72)
    assert (one.attrs["subject"], one.attrs["run"], one.attrs["atlas"]) == ("01", "1", "MIST")
    assert (two.attrs["subject"], two.attrs["site"]) == ("S1", "NYU")
    assert one.attrs["source_path"] == "/runs/sub-01_run-1"
    assert "layout" not in one.attrs
    assert one["label"].values.tolist() == list(range(101, 101 + N_ROIS))
    assert set(one["hemisphere"].values) == {"left"}
    assert two["keep"].values.sum() == N_FRAMES - 2


def test_series_beside_a_run_are_confounds(path, values):
    confounds = load_bold_hdf5(path)["bold/sub_01_run_1"]["confounds"]
    np.testing.assert_allclose(confounds.sel(confound="gs"), values.mean(axis=0))
    expected = [np.nan, *np.arange(N_FRAMES - 1) / 10]
    np.testing.assert_array_equal(confounds.sel(confound="fd"), expected)


def test_opening_leaves_values_in_the_file(path, values):
    with open_bold_hdf5(path) as tree:
        bold = tree["bold/sub_01_run_1"]["bold"]
        assert not bold.variable._in_memory
        np.testing.assert_array_equal(bold[2:4, [0, 5]], values.T[2:4][:, [0, 5]])
        assert bold.sel(roi="L_3").dims == ("time",)
    assert is_bold_hdf5(path, path.read_bytes()[:1024])


def test_one_run_is_the_kind_itself_and_selection_works(path, tmp_path, values):
    chosen = load_bold_hdf5(path, "bold/*run_2")
    assert list(chosen["bold"].children) == ["sub_01_run_2"]
    with pytest.raises(EmptySelectionError, match=r"no bold/x(?s:.*)sub_01_run_1"):
        load_bold_hdf5(path, "bold/x")
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["runs/rest/bold"] = values
    ds = load_bold_hdf5(tmp_path / "one.h5", repetition_time=1.5)["bold"]
    assert ds["label"].values.tolist() == list(range(1, N_ROIS + 1))
    assert ds.attrs["repetition_time"] == 1.5


def test_a_table_of_regions_is_matched_by_name_or_label(path, tmp_path):
    table = tmp_path / "rois.tsv"
    rows = [f"{i + 101}\tL_{i}\tnet{i}\n" for i in reversed(range(N_ROIS))]
    table.write_text("label\tname\tnetwork\n" + "".join(rows))
    ds = load_bold_hdf5(path, rois=table)["bold/sub_01_run_1"]
    assert ds["network"].values.tolist() == [f"net{i}" for i in range(N_ROIS)]
    with h5py.File(path, "r+") as file:
        del file["roi"]
    ds = load_bold_hdf5(path, rois=table)["bold/sub_01_run_1"]
    assert ds["roi"].values.tolist() == [f"L_{i}" for i in range(N_ROIS)]
    table.write_text("label\tname\n1\tx\n")
    with pytest.raises(AtlasMismatchError, match=r"12 of 12 columns: 101"):
        load_bold_hdf5(path, rois=table)


def damage(path, change):
    with h5py.File(path, "r+") as file:
        change(file["runs/sub-01_run-2"], file)


def test_a_faulty_run_does_not_touch_the_others(path):
    def shorten(run, file):
        del run["gs"]
        run["gs"] = np.zeros(3)

    damage(path, shorten)
    with pytest.raises(TimebaseError, match=r"3 frames of gs, 9 of the run"):
        load_bold_hdf5(path)
    tree = open_bold_hdf5(path)
    assert tree["bold/sub_01_run_1"]["bold"].shape == (N_FRAMES, N_ROIS)
    with pytest.raises(TimebaseError, match="3 frames of gs"):
        tree["bold/sub_01_run_2"]["bold"].load()
    tree.close()
    with pytest.warns(DataQualityWarning, match="faulty bold: 1 dropped"):
        assert list(load_bold_hdf5(path, on_bad="drop")["bold"].children) == ["sub_01_run_1"]
    assert [fault.code for fault in check_bold_hdf5(path)] == ["faulty_bold"]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda run, file: (run.pop("bold"), run.create_dataset("bold", data=np.zeros(3))),
         DataError, r"no time series of regions(?s:.*)shape \(3,\)"),
        (lambda run, file: (file.pop("roi"), file.create_dataset("roi", data=["a"])),
         DataError, r"12 rows of bold, 1 of /roi(?s:.*)transposed"),
        (lambda run, file: run.attrs.update(tr=0.0), TimebaseError, "repetition time is"),
        (lambda run, file: run["bold"].write_direct(np.full((12, 9), np.inf, np.float32)),
         DataError, "samples are infinite"),
    ],
)  # fmt: skip
def test_faults_of_runs(path, change, error, match):
    damage(path, change)
    with pytest.raises(error, match=match):
        load_bold_hdf5(path, "bold/sub_01_run_2")


def test_other_files(tmp_path, path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = [1.0]
    with pytest.raises(CorruptFileError, match=r"holds no runs(?s:.*)data"):
        open_bold_hdf5(tmp_path / "x.h5")
    assert not is_bold_hdf5(tmp_path / "x.h5", (tmp_path / "x.h5").read_bytes()[:8])
    assert not is_bold_hdf5(tmp_path / "x.h5", b"text")
    with h5py.File(path, "r+") as file:
        file["runs/out"] = h5py.ExternalLink("../../secret.h5", "/x")
    with pytest.raises(UnsafeFileError):
        open_bold_hdf5(path)


@pytest.mark.shared_data
def test_real_runs(shared_data):
    folder = shared_data / "fmri_pain_mist122"
    with open_bold_hdf5(folder / "pain_mist122.h5", rois=folder / "mist122_rois.tsv") as tree:
        assert len(tree["bold"].children) == 98
        run = tree["bold/sub_02_run_01"]
        assert run["bold"].shape == (209, 122)
        assert (run.attrs["subject"], run.attrs["regulation"]) == ("02", "none")
        assert run["confound"].values.tolist() == ["fd", "gs"]
        first = run["bold"][0].values
    text = (folder / "raw_sub-02_run-01_ts.txt").read_text().splitlines()[1].split("\t")
    np.testing.assert_allclose(first, np.array(text[1:], float), rtol=1e-5)
