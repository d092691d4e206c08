"""The simulated fMRI study through its files: what the readers of neurodyn and nilearn find."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurodyn import recording as rec
from neurodyn.datasets import simulate_lorenz
from neurodyn.datasets.fmri_phantom import simulate_fmri
from neurodyn.datasets.fmri_phantom_anatomy import phantom_head
from neurodyn.datasets.fmri_phantom_files import (
    ATLAS,
    ATLAS_TABLE,
    DLABEL,
    TRUTH,
    write_fmri_study,
)
from neurodyn.datasets.simulation import Simulation
from neurodyn.errors import DataError, MissingDependencyError
from neurodyn.io.atlas import read_atlas
from neurodyn.io.cifti import load_cifti
from neurodyn.io.derivatives import DerivativeRun, find_derivatives, load_confounds
from neurodyn.io.fmri import load_fmri
from neurodyn.io.regions import read_regions


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_fmri(n_subjects=2, n_frames=100)


@pytest.fixture(scope="module")
def study(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fmri_study(simulation, tmp_path_factory.mktemp("phantom") / "study")


def runs(study: Path, ending: str) -> list[DerivativeRun]:
    return [found for found in find_derivatives(study) if found.path.name.endswith(ending)]


def written(simulation: Simulation, name: str) -> xr.Dataset:
    return simulation.recording[f"bold/{name}"].to_dataset()  # type: ignore[return-value]


def require_equal_to_the_noise(
    found: xr.Dataset, wanted: xr.Dataset, n_places: np.ndarray, noise: float
) -> None:
    """Regions are the written ones but for the mean of white noise over their places."""
    for name in ("roi", "label", "network", "hemisphere", "x", "y", "z", "time"):
        np.testing.assert_array_equal(found[name].values, wanted[name].values)
    assert found.attrs["repetition_time"] == wanted.attrs["repetition_time"]
    assert found.attrs["subject"] == wanted.attrs["subject"]
    assert (found["coverage"].values == 1).all()
    error = found["bold"].values - wanted["bold"].values
    scaled = error * np.sqrt(n_places) / noise
    assert scaled.std() == pytest.approx(1, abs=0.05)
    assert np.abs(scaled.mean(axis=0)).max() < 0.5


def test_volumes_hold_the_regions(simulation: Simulation, study: Path) -> None:
    atlas = read_atlas(study / ATLAS, study / ATLAS_TABLE)
    n_voxels = np.bincount(phantom_head().label.ravel())[1:]
    found = runs(study, ".nii.gz")
    assert [run.entities["sub"] for run in found] == ["01", "02"]
    for run, name in zip(found, ("sub-01", "sub-02")):
        bold = load_fmri(run.path, atlas=atlas)["bold"].to_dataset()
        assert bold.attrs["space"] == "MNI152NLin2009cAsym"
        require_equal_to_the_noise(bold, written(simulation, name), n_voxels, 10.0)


def test_grayordinates_hold_the_regions(simulation: Simulation, study: Path) -> None:
    head = phantom_head()
    labels = np.concatenate(list(head.vertex_label.values()))
    for run, name in zip(runs(study, ".dtseries.nii"), ("sub-01", "sub-02"), strict=True):
        bold = load_cifti(run.path, dlabel=study / DLABEL, rois=study / ATLAS_TABLE)["bold"]
        require_equal_to_the_noise(
            bold.to_dataset(), written(simulation, name), np.bincount(labels)[1:], 10.0
        )


def test_without_noise_only_rounding_is_left(tmp_path: Path) -> None:
    simulation = simulate_fmri(n_subjects=2, n_frames=60, voxel_noise=0.0)
    write_fmri_study(simulation, tmp_path, cifti=False)
    assert not list(tmp_path.rglob("*.dtseries.nii"))
    (run, _) = runs(tmp_path, ".nii.gz")
    found = load_fmri(run.path, atlas=read_atlas(tmp_path / ATLAS, tmp_path / ATLAS_TABLE))
    error = found["bold"]["bold"].values - written(simulation, "sub-01")["bold"].values
    assert np.abs(error).max() < 1e-4 * 1300


def test_the_centres_of_the_table_are_those_of_the_image(study: Path) -> None:
    regions = read_regions(study / ATLAS_TABLE)
    image = read_atlas(study / ATLAS).regions
    for axis in "xyz":
        assert np.abs(regions[axis].values - image[axis].values).max() < 6


def test_confounds_are_chosen_by_strategies(simulation: Simulation, study: Path) -> None:
    run, _ = runs(study, ".nii.gz")
    chosen, keep = load_confounds(run, "simple")
    assert keep.tolist() == [False, False] + 98 * [True]
    own = written(simulation, "sub-01")["confounds"].to_pandas()
    for name in ("trans_x", "rot_z", "csf", "white_matter", "cosine00"):
        # nilearn takes out the mean
        difference = chosen[name].to_numpy() - own[name].to_numpy()
        assert np.ptp(difference) < 1e-9
    _, keep = load_confounds(run, "scrubbing", scrub=0, fd_threshold=0.5, std_dvars_threshold=20)
    np.testing.assert_array_equal(keep, written(simulation, "sub-01")["keep"].values)
    surface, _ = runs(study, ".dtseries.nii")
    assert load_confounds(surface, "simple")[0].equals(chosen)


def test_tables_and_truth_are_beside(simulation: Simulation, study: Path) -> None:
    people = pd.read_csv(study / "participants.tsv", sep="\t")
    assert people.to_dict("list") == {
        "participant_id": ["sub-01", "sub-02"],
        "group": ["control", "patient"],
    }
    events = pd.read_csv(study / "sub-02" / "func" / "sub-02_task-blocks_events.tsv", sep="\t")
    trials = simulation.recording["trials/sub-02"]
    np.testing.assert_array_equal(events["onset"], trials["start"])
    np.testing.assert_array_equal(events["duration"], trials["stop"] - trials["start"])
    assert events["trial_type"].tolist() == trials["trial_type"].values.tolist()
    xr.testing.assert_equal(rec.load(study / TRUTH), simulation.truth)
    about = json.loads((study / "dataset_description.json").read_text(encoding="utf-8"))
    assert about["DatasetType"] == "derivative"


def test_nilearn_reads_the_volumes(study: Path) -> None:
    from nilearn.maskers import NiftiLabelsMasker

    run, _ = runs(study, ".nii.gz")
    image = nibabel.load(run.path)
    assert image.get_data_dtype() == np.int16
    assert float(image.header.get_zooms()[3]) == 2.0
    assert image.header["sform_code"] == image.header["qform_code"] == 4
    series = NiftiLabelsMasker(str(study / ATLAS), standardize=None).fit_transform(image)
    ours = load_fmri(run.path, atlas=study / ATLAS)["bold"]["bold"].values
    np.testing.assert_allclose(series, ours, rtol=1e-5)


def test_files_are_the_same_every_time(simulation: Simulation, study: Path, tmp_path: Path) -> None:
    one = Simulation(simulation.recording, simulation.truth)
    again = write_fmri_study(one, tmp_path)
    (first, _), (second, _) = runs(study, ".nii.gz"), runs(again, ".nii.gz")
    np.testing.assert_array_equal(
        np.asarray(nibabel.load(first.path).dataobj), np.asarray(nibabel.load(second.path).dataobj)
    )


def test_other_recordings_are_refused(tmp_path: Path) -> None:
    other = simulate_lorenz(n_conditions=2, n_repeats=1)
    with pytest.raises(DataError, match=r"(?s)no simulated fMRI study.*Lorenz"):
        write_fmri_study(other, tmp_path)


def test_nibabel_is_needed(
    simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingDependencyError, match=r"nibabel"):
        write_fmri_study(simulation, tmp_path)
