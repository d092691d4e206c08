"""fMRI runs from files, with labels and events."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fmri_runs import make_runs, write_tables

from neurodyn import recording as rec
from neurodyn import workflow
from neurodyn.datasets import simulate_fmri, write_fmri_study
from neurodyn.datasets.fmri_phantom_files import ATLAS
from neurodyn.errors import DataError, EmptySelectionError, TrialTableError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    write_tables(place)
    return place


def test_files_become_runs_with_labels_and_events(folder):
    opened = workflow.open_bold(
        sorted(folder.glob("*timeseries.tsv")),
        labels=folder / "participants.tsv",
        events=folder / "events.tsv",
        repetition_time=2.0,
    )
    runs = opened.recording["bold"].children
    assert list(runs) == [f"sub-{number:02d}_task-pain_timeseries" for number in range(4)]
    first = next(iter(runs.values()))
    assert (first.attrs["subject"], first.attrs["age"], first.attrs["site"]) == ("00", 20.0, "A")
    events = opened.recording["trials"].children
    assert list(events) == list(runs)
    table = next(iter(events.values()))
    assert table["trial_type"].values[:2].tolist() == ["heat", "rating"]
    assert table["stop"].values[0] == 18.0


def test_a_recording_of_several_runs_keeps_their_names(tmp_path):
    path = rec.save(make_runs(3), tmp_path / "study.nc")
    opened = workflow.open_bold(path)
    assert list(opened.recording["bold"].children) == ["sub-00", "sub-01", "sub-02"]
    with pytest.raises(DataError, match="two runs have the same name"):
        workflow.open_bold([path, path])


def test_labels_are_found_by_subject_and_missing_ones_named():
    data = make_runs(2)
    table = pd.DataFrame({"FILE_ID": ["01", "00"], "age": [7.0, np.nan]})
    found = workflow.with_labels(data, table)
    assert found["bold/sub-01"].attrs["age"] == 7.0
    assert "age" not in found["bold/sub-00"].attrs
    assert "age" not in data["bold/sub-01"].attrs
    with pytest.raises(DataError, match=r"(?s)lacks the subjects.*1: sub-01"):
        workflow.with_labels(data, table.iloc[1:])
    with pytest.raises(DataError, match="a subject twice"):
        workflow.with_labels(data, pd.concat([table, table]))
    with pytest.raises(DataError, match=r"(?s)names no subjects.*found: age"):
        workflow.with_labels(data, table[["age"]])


def test_events_need_their_columns_and_subjects():
    data = make_runs(2)
    table = pd.DataFrame(
        {"subject": ["00", "00"], "onset": [1.0, 5.0], "duration": [1.0, 1.0], "rating": [3, 4]}
    )
    with pytest.raises(TrialTableError, match=r"(?s)'sub-01' has no events.*subject 01"):
        workflow.with_events(data, table)
    with pytest.raises(TrialTableError, match="no column 'onset'"):
        workflow.with_events(data, table.drop(columns="onset"))
    with pytest.raises(TrialTableError, match="need the subject of each"):
        workflow.with_events(data, table.drop(columns="subject"))
    alone = workflow.with_events(workflow.part_of_runs(data, ["sub-00"]), table)
    assert alone["trials/sub-00"]["rating"].values.tolist() == [3, 4]


def test_what_holds_no_fmri_is_refused(tmp_path):
    path = rec.save(rec.recording([rec.trials([0.0], [1.0])]), tmp_path / "a.nc")
    with pytest.raises(EmptySelectionError, match=r"(?s)no fMRI was given.*a\.nc"):
        workflow.open_bold(path)
    with pytest.raises(FileNotFoundError):
        workflow.open_bold(tmp_path / "no.tsv")


def test_a_folder_of_derivatives_is_cleaned_and_labelled(tmp_path):
    study = write_fmri_study(simulate_fmri(n_subjects=2, n_frames=80), tmp_path, cifti=False)
    opened = workflow.open_bold(study, atlas=study / ATLAS, strategy="simple")
    runs = opened.recording["bold"].children
    assert list(runs) == ["sub-01_task-blocks", "sub-02_task-blocks"]
    first = runs["sub-01_task-blocks"]
    assert first.attrs["group"] == "control"
    assert first["network"].values[:3].tolist() == ["Vis"] * 3
    assert not first["keep"].values[:2].any()
    assert np.isnan(first["bold"].values[:2]).all()
    events = opened.recording["trials/sub-01_task-blocks"]
    assert set(events["trial_type"].values.tolist()) <= {"visual", "motor"}
    assert opened.notes == (f"{study.name}: 2 runs of derivatives.",)
    raw = workflow.open_bold(study, atlas=study / ATLAS).recording["bold/sub-01_task-blocks"]
    assert raw["bold"].std() > first["bold"].std()
