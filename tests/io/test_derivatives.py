"""Runs in a folder of derivatives are found by their names, with sidecars and confounds."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from neurodyn.errors import (
    ConfigError,
    DataError,
    EmptySelectionError,
    FileError,
    UnsupportedFormatError,
)
from neurodyn.io.derivatives import find_derivatives, load_confounds, select_runs

FILES = [
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_space-MNI_desc-preproc_bold.nii.gz",
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_space-MNI_desc-brain_mask.nii.gz",
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_space-MNI_boldref.nii.gz",
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_desc-confounds_timeseries.tsv",
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-1_space-fsLR_den-91k_bold.dtseries.nii",
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-2_space-MNI_desc-preproc_bold.nii.gz",
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_run-2_desc-confounds_regressors.tsv",
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_hemi-L_space-fsaverage5_bold.func.gii",
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_hemi-R_space-fsaverage5_bold.func.gii",
    "sub-02/func/sub-02_task-pain_space-MNI_seg-Gordon_stat-mean_timeseries.tsv",
    "sub-02/func/sub-02_task-pain_space-MNI_seg-Gordon_stat-coverage_bold.tsv",
    "sub-02/func/sub-02_task-pain_space-MNI_seg-Gordon_stat-alff_timeseries.tsv",
    "sub-02/func/sub-02_task-pain_space-MNI_atlas-Glasser_timeseries.tsv",
    "sub-02/func/sub-02_task-pain_space-fsLR_seg-Tian_stat-mean_timeseries.ptseries.nii",
    "sub-02/func/sub-02_task-pain_space-MNI_desc-denoised_bold.nii.gz",
    "sub-02/func/sub-02_task-pain_motion.tsv",
    "cpac/NYU_0050952_rois_cc200.1D",
    ".git/sub-09_task-rest_space-MNI_desc-preproc_bold.nii.gz",
]
N_RUNS = 9


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_every_habit_of_names_is_found(folder):
    runs = find_derivatives(folder)
    assert len(runs) == N_RUNS
    assert [run.path for run in runs] == sorted(run.path for run in runs)
    assert {run.atlas for run in runs} == {None, "Gordon", "Glasser", "Tian"}


def test_confounds_belong_to_their_run(folder):
    tables = {
        run.path.name.split("_desc")[0]: run.confounds_path and run.confounds_path.name
        for run in find_derivatives(folder, space=["MNI", "fsLR"], subject="01")
    }
    assert tables == {
        "sub-01_ses-1_task-rest_run-1_space-MNI": FILES[3].rpartition("/")[2],
        "sub-01_ses-1_task-rest_run-1_space-fsLR_den-91k_bold.dtseries.nii": FILES[3].rpartition(
            "/"
        )[2],
        "sub-01_ses-1_task-rest_run-2_space-MNI": FILES[6].rpartition("/")[2],
    }
    assert all(run.confounds_path is None for run in find_derivatives(folder, subject="02"))


def test_queries(folder):
    runs = find_derivatives(folder)
    assert len(find_derivatives(folder, session="1", run=["1", "2"])) == 3
    assert len(select_runs(runs, task="pain", space="MNI")) == 3
    assert [run.atlas for run in select_runs(runs, atlas=["Glasser", "Tian"])] == [
        "Glasser",
        "Tian",
    ]
    with pytest.raises(EmptySelectionError, match=r"no run has(?s:.*)sub-01, sub-02(?s:.*)sub-03"):
        select_runs(runs, subject="03")
    with pytest.raises(EmptySelectionError, match="names without ses-"):
        select_runs(runs, subject="02", session="1")


def test_folders_without_runs(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_derivatives(tmp_path / "gone")
    (tmp_path / "a.txt").touch()
    with pytest.raises(FileError, match="not a folder"):
        find_derivatives(tmp_path / "a.txt")
    with pytest.raises(EmptySelectionError, match=r"no derivatives(?s:.*)\.1D"):
        find_derivatives(tmp_path)


def test_sidecars_are_merged_when_asked_for(folder):
    run = find_derivatives(folder, run="1", space="MNI")[0]
    (folder / "task-rest_bold.json").write_text('{"RepetitionTime": 2.0, "TaskName": "rest"}')
    own = run.path.with_name(run.path.name.replace(".nii.gz", ".json"))
    own.write_text('{"RepetitionTime": 0.72}')
    assert run.sidecar == {"RepetitionTime": 0.72, "TaskName": "rest"}
    own.unlink()
    assert run.sidecar["RepetitionTime"] == 0.72


def test_many_files_are_indexed_fast(tmp_path):
    for subject in range(50):
        func = tmp_path / f"sub-{subject:03d}" / "func"
        func.mkdir(parents=True)
        for run in (1, 2):
            stem = f"sub-{subject:03d}_task-rest_run-{run}"
            for end in (
                "desc-confounds_timeseries.tsv", "desc-confounds_timeseries.json",
                "space-MNI_desc-preproc_bold.nii.gz", "space-MNI_desc-preproc_bold.json",
            ):  # fmt: skip
                (func / f"{stem}_{end}").touch()
    start = time.process_time()
    runs = find_derivatives(tmp_path)
    assert len(runs) == 100
    assert all(run.confounds_path for run in runs)
    assert time.process_time() - start < 1.0


@pytest.fixture
def fmriprep(tmp_path):
    """The tables of confounds that nilearn's wheel carries, beside empty images."""
    from nilearn.interfaces import fmriprep

    folder = tmp_path / "fmriprep"
    folder.mkdir()
    data = Path(fmriprep.__file__).parent / "data"
    for run, (name, ending) in enumerate(
        (("test", "regressors"), ("test-v21", "timeseries")), start=1
    ):
        stem = f"sub-01_task-rest_run-{run}"
        for kind in ("tsv", "json"):
            source = data / f"{name}_desc-confounds_{ending}.{kind}"
            shutil.copy(source, folder / f"{stem}_desc-confounds_{ending}.{kind}")
        (folder / f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz").touch()
    return folder


@pytest.mark.parametrize("strategy", ["simple", "scrubbing", "compcor"])
@pytest.mark.parametrize("run", ["1", "2"])
def test_strategies_equal_nilearn_with_a_mask_over_all_frames(fmriprep, strategy, run):
    from nilearn.interfaces.fmriprep import load_confounds_strategy

    (found,) = find_derivatives(fmriprep, run=run)
    # every frame of one of the tables moves more than scrubbing allows by default
    loose = {"fd_threshold": 20.0, "std_dvars_threshold": 200.0} if strategy == "scrubbing" else {}
    confounds, keep = load_confounds(found, strategy, **loose)
    expected, mask = load_confounds_strategy(str(found.path), strategy, **loose)
    np.testing.assert_array_equal(confounds, expected)
    assert len(keep) == len(confounds)
    kept = np.arange(len(keep)) if mask is None else mask
    np.testing.assert_array_equal(np.flatnonzero(keep), kept)


def test_they_go_into_a_reader(fmriprep, rng):
    from neurodyn.io.roi_tables import load_roi_table

    found = find_derivatives(fmriprep, run="1")[0]
    confounds, keep = load_confounds(found, "scrubbing", fd_threshold=0.2)
    path = fmriprep / "rest.1D"
    np.savetxt(path, rng.normal(size=(len(keep), 4)))
    ds = load_roi_table(path, repetition_time=2.0, confounds=confounds, keep=keep)["bold"]
    assert ds["confounds"].shape == confounds.shape
    assert 0 < int(ds["keep"].sum()) < len(keep)


def test_what_strategies_cannot_use(fmriprep, folder):
    run = find_derivatives(fmriprep, run="1")[0]
    with pytest.raises(ConfigError, match="strategy"):
        load_confounds(run, "best")
    with pytest.raises(DataError, match=r"do not allow this strategy(?s:.*)'ica_aroma'"):
        load_confounds(run, "ica_aroma")
    run.confounds_path.with_suffix(".json").unlink()
    with pytest.raises(DataError, match="do not allow this strategy"):
        load_confounds(run, "compcor")
    for unfit in find_derivatives(folder, subject="02"):
        with pytest.raises(UnsupportedFormatError, match="no confounds of fMRIPrep"):
            load_confounds(unfit)


def test_a_run_of_which_nothing_survives(fmriprep):
    with pytest.raises(EmptySelectionError, match=r"no frame survives(?s:.*)fd_threshold"):
        load_confounds(find_derivatives(fmriprep, run="2")[0], "scrubbing")


def test_surfaces_take_their_confounds_once_for_both_sides(fmriprep):
    for side in "LR":
        (fmriprep / f"sub-01_task-rest_run-2_hemi-{side}_space-fsaverage5_bold.func.gii").touch()
    (run,) = find_derivatives(fmriprep, space="fsaverage5")
    confounds, keep = load_confounds(run)
    (volume,) = find_derivatives(fmriprep, run="2", space="MNI152NLin2009cAsym")
    np.testing.assert_array_equal(confounds, load_confounds(volume)[0])
    assert keep.size == len(confounds)
