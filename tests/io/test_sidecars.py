"""Names of BIDS files, and JSON files that are inherited down the tree."""

from __future__ import annotations

import json

import pytest

from neurodyn.errors import CorruptFileError, TimebaseError
from neurodyn.io.sidecars import (
    run_attrs,
    sidecar_paths,
    sidecar_repetition_time,
    sidecar_values,
    split_name,
)


@pytest.fixture
def run(tmp_path):
    """A run in a data set, with one JSON file on each level."""
    func = tmp_path / "sub-01" / "ses-2" / "func"
    func.mkdir(parents=True)
    levels = {
        tmp_path / "task-rest_bold.json": {"RepetitionTime": 3.0, "A": 1, "level": "set"},
        tmp_path / "task-other_bold.json": {"RepetitionTime": 9.0},
        tmp_path / "task-rest_events.json": {"RepetitionTime": 9.0},
        tmp_path / "sub-01" / "sub-01_task-rest_bold.json": {"B": 2, "level": "subject"},
        func / "sub-01_ses-2_task-rest_bold.json": {"RepetitionTime": 2.0, "level": "run"},
        func / "sub-01_ses-2_task-rest_run-2_bold.json": {"RepetitionTime": 9.0},
        tmp_path.parent / "bold.json": {"RepetitionTime": 9.0, "A": 9, "C": 9},
    }
    for path, values in levels.items():
        path.write_text(json.dumps(values))
    return func / "sub-01_ses-2_task-rest_space-T1w_desc-preproc_bold.nii.gz"


def test_the_more_specific_file_wins_and_others_do_not_apply(run):
    assert sidecar_values(run) == {"RepetitionTime": 2.0, "A": 1, "B": 2, "level": "run"}
    assert [path.parent.name for path in sidecar_paths(run)][1:] == ["sub-01", "func"]


def test_a_name_without_entities_has_the_file_of_its_own_name(tmp_path):
    (tmp_path / "NYU_01_rois.json").write_text('{"RepetitionTime": 2}')
    (tmp_path / "rois.json").write_text('{"RepetitionTime": 3}')
    assert sidecar_repetition_time(tmp_path / "NYU_01_rois.1D") == 2.0
    assert sidecar_repetition_time(tmp_path / "NYU_02_rois.1D") is None
    assert sidecar_repetition_time(tmp_path / "x.1D", tmp_path / "rois.json") == 3.0


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("{", CorruptFileError, "sidecar cannot be read(?s:.*)a JSON object"),
        ("[2.0]", CorruptFileError, "a list"),
        ('{"RepetitionTime": "2 s"}', TimebaseError, r"no number(?s:.*)'2 s'"),
        ('{"RepetitionTime": true}', TimebaseError, "no number"),
    ],
)
def test_a_bad_sidecar_is_named(tmp_path, text, error, match):
    (tmp_path / "rest.json").write_text(text)
    with pytest.raises(error, match=match):
        sidecar_repetition_time(tmp_path / "rest.tsv")


def test_a_missing_sidecar_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*gone\.json"):
        sidecar_values(tmp_path / "rest.tsv", tmp_path / "gone.json")


def test_names():
    assert split_name("rfMRI_REST1_LR.dtseries.nii") == ({}, "rfMRI_REST1_LR", ".dtseries.nii")
    assert split_name("timeseries.tsv") == ({}, "timeseries", ".tsv")
    assert run_attrs("sub-1_ses-2_task-a_run-3_space-b_atlas-c_timeseries.tsv") == {
        "subject": "1", "session": "2", "task": "a", "run": "3", "space": "b", "atlas": "c",
    }  # fmt: skip
