"""The reader of ABIDE I against the files, and against C-PAC's own text of one run."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from neurodyn.datasets.abide_cc200 import read_abide_cc200
from neurodyn.errors import CorruptFileError, EmptySelectionError
from neurodyn.recording import validate

SOME = ["NYU_0050952", "Caltech_0051478", "Caltech_0051456"]


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "fmri_abide1_cc200"


@pytest.fixture(scope="module")
def tree(folder):
    return read_abide_cc200(folder, subjects=SOME)


def write(folder, people, repetition_time=2.0):
    """Write a small set of the same layout: four ROIs, of which the second is flat in ``b``."""
    rois = pd.DataFrame({"label": [1, 2, 3, 4], "yeo7": ["Visual"] * 4})
    rois[["x", "y", "z"]] = 1.0
    rois.to_csv(folder / "cc200_rois.tsv", sep="\t")
    table = pd.DataFrame(
        {
            "FILE_ID": people,
            "n_flat_rois": [0, 1][: len(people)],
            "SUB_ID": range(len(people)),
            "SITE_ID": "X",
            "DX_GROUP": 1,
            "AGE_AT_SCAN": 20.0,
            "SEX": 2,
            "EYE_STATUS_AT_SCAN": 1,
            "func_mean_fd": np.nan,
            "FIQ": 100,
            "VIQ": np.nan,
            "PIQ": np.nan,
            "TR": repetition_time,
        }
    )
    table.to_csv(folder / "participants.tsv", sep="\t", index=False, na_rep="n/a")
    with h5py.File(folder / "abide1_cc200_filt_global.h5", "w") as file:
        file.attrs["step"] = 0.01
        for name, spread in (("a", [1, 1, 1, 1]), ("b", [1, 0, 1, 1])):
            group = file.create_group(f"subjects/{name}")
            group["q"] = np.arange(20, dtype="i2").reshape(4, 5) * 100
            group["mean"] = np.arange(4, dtype="f4")
            group["std"] = np.array(spread, dtype="f4")
            group.attrs["tr"] = 2.0
    return folder


@pytest.mark.shared_data
def test_values_are_those_of_the_original_text(folder, tree):
    for name in ("NYU_0050952", "Caltech_0051456"):
        original = np.loadtxt(folder / f"{name}_rois_cc200.1D")
        run = tree[f"bold/{name}"].to_dataset()
        # quantised to a hundredth of a standard deviation
        limit = 0.0051 * original.std(axis=0) + 1e-3
        flat = np.ptp(original, axis=0) == 0
        assert flat.sum() == run.attrs["n_flat_rois"]
        assert (np.abs(run["bold"].values - original) <= limit)[:, ~flat].all()
        assert np.isnan(run["bold"].values[:, flat]).all()
        assert run["roi"].values.tolist() == [str(number) for number in range(1, 201)]


@pytest.mark.shared_data
def test_facts_labels_and_flat_rois(tree):
    validate(tree)
    run = tree["bold/NYU_0050952"].to_dataset()
    assert run.attrs["repetition_time"] == 2.0
    assert (run.attrs["subject"], run.attrs["site"]) == ("50952", "NYU")
    assert run.attrs["diagnosis"] in ("autism", "control")
    assert run.attrs["sex"] in ("male", "female")
    assert {"label", "network", "x", "y", "z"} <= set(run.coords)
    assert run["network"].values[0] == "Visual"
    flat = np.isnan(tree["bold/Caltech_0051478/bold"].values)
    assert flat.all(axis=0).sum() == flat.any(axis=0).sum() == 118
    assert tree["bold/Caltech_0051478"].attrs["n_flat_rois"] == 118


def test_the_layout_is_decoded_and_flat_rois_become_unknown(tmp_path):
    tree = read_abide_cc200(write(tmp_path, ["a", "b"]))
    np.testing.assert_allclose(tree["bold/a/bold"].values[:, 1], np.arange(5, 10) + 1.0)
    assert np.isnan(tree["bold/b/bold"].values).all(axis=0).tolist() == [False, True, False, False]
    assert tree["bold/a"].attrs["full_scale_iq"] == 100.0
    # what is not known is not an attribute
    assert not {"mean_fd", "verbal_iq"} & set(tree["bold/a"].attrs)
    assert tree.attrs["left_out"] == []


def test_runs_with_many_flat_rois_are_left_out_and_named(tmp_path):
    tree = read_abide_cc200(write(tmp_path, ["a", "b"]), max_flat_rois=0)
    assert list(tree["bold"].children) == ["a"]
    assert tree.attrs["left_out"] == ["b"]
    with pytest.raises(EmptySelectionError, match="1 with more than 0 flat ROIs"):
        read_abide_cc200(tmp_path, max_flat_rois=0, subjects=["b"])


def test_unknown_subjects_and_files_that_do_not_fit_are_refused(tmp_path):
    write(tmp_path, ["a", "b"])
    with pytest.raises(EmptySelectionError, match="no subject 'c'"):
        read_abide_cc200(tmp_path, subjects=["c"])
    other = tmp_path / "other"
    other.mkdir()
    write(other, ["a", "c"])
    with pytest.raises(CorruptFileError, match=r"do not belong together.*c.*\n.*no such run"):
        read_abide_cc200(other)
    shutil.copy(write(other, ["a"], 3.0) / "participants.tsv", tmp_path / "participants.tsv")
    with pytest.raises(CorruptFileError, match=r"a run with a TR of 3\.0 s"):
        read_abide_cc200(tmp_path)
