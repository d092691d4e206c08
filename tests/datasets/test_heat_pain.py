"""The reader of the heat pain runs against the untouched tables of one run."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from neurodyn.datasets.heat_pain import read_heat_pain
from neurodyn.errors import CorruptFileError, EmptySelectionError
from neurodyn.recording import validate


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "fmri_pain_mist122"


@pytest.fixture(scope="module")
def tree(folder):
    return read_heat_pain(folder, subjects=["sub-01", "sub-02"])


@pytest.mark.shared_data
def test_values_are_those_of_the_original_table(folder, tree):
    original = pd.read_csv(folder / "raw_sub-02_run-01_ts.txt", sep="\t")
    run = tree["bold/sub-02_run-01"].to_dataset()
    assert original.columns[0] == "GlobSig"
    np.testing.assert_allclose(run["bold"], original.iloc[:, 1:], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(run["confounds"][:, 0], original["GlobSig"], rtol=1e-5, atol=1e-3)
    # pandas and the reader both number names that repeat
    published = [name.partition(".")[0] for name in original.columns[1:]]
    assert [name.partition("_2")[0] for name in run["roi"].values] == published


@pytest.mark.shared_data
def test_events_are_trials_of_the_same_name(folder, tree):
    validate(tree)
    original = pd.read_csv(
        folder / "raw_sub-02_task-heatpainwithregulationandratings_run-01_events.tsv",
        sep="\t",
        na_values="n/a",
    )
    trials = tree["trials/sub-02_run-01"].to_dataset()
    np.testing.assert_allclose(trials["start"], original["onset"], atol=0.01)
    np.testing.assert_allclose(trials["stop"] - trials["start"], original["duration"])
    heat = trials["condition"].values == "heat"
    np.testing.assert_array_equal(heat, original["temperature"].notna())
    assert np.isnan(trials["rating"].values[heat]).all()
    assert np.isfinite(trials["rating"].values[~heat]).all()
    # the events of a run without a series are counted
    assert "sub-01_run-01" not in tree["bold"].children
    assert tree.attrs["events_without_run"] == 22


@pytest.mark.shared_data
def test_labels_confounds_and_facts(tree):
    run = tree["bold/sub-02_run-03"].to_dataset()
    assert run.indexes["roi"].is_unique
    assert set(run["hemisphere"].values) == {"left", "right", ""}
    side = np.where(run["x"].values < 0, "left", "right")
    told = run["hemisphere"].values != ""
    assert (run["hemisphere"].values[told] == side[told]).all()
    # what the published names say of the side is not true of these
    assert run.attrs["misnamed_sides"] == ["L_FP_l", "R_FP_l", "R_PCsul"]
    assert run["hemisphere"].values[run["roi"].values == "R_PCsul"] == ["left"]
    assert np.unique(run["network"]).size == 7
    assert run["confound"].values.tolist() == ["global_signal", "framewise_displacement"]
    assert np.isnan(run["confounds"].values[0, 1])
    assert np.isfinite(run["confounds"].values[1:]).all()
    assert (run.attrs["subject"], run.attrs["run"], run.attrs["regulation"]) == (
        "sub-02",
        "03",
        "down",
    )


@pytest.mark.shared_data
def test_unknown_subjects_and_runs_are_refused(folder, tmp_path):
    with pytest.raises(EmptySelectionError, match="no subject 'sub-99'"):
        read_heat_pain(folder, subjects=["sub-99"])
    for name in ("pain_mist122.h5", "runs.tsv", "events.tsv", "mist122_rois.tsv"):
        shutil.copyfile(folder / name, tmp_path / name)
    text = (tmp_path / "runs.tsv").read_text()
    (tmp_path / "runs.tsv").write_text(text.replace("sub-02\t03", "sub-02\t09"))
    with pytest.raises(CorruptFileError, match="no run sub-02_run-09"):
        read_heat_pain(tmp_path, subjects=["sub-02"])
