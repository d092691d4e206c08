"""fMRI volumes over regions: against nilearn's maskers, with cut images and lost regions."""

from __future__ import annotations

import json
import sys

import nibabel
import numpy as np
import pytest
import xarray as xr
from nilearn.image import resample_to_img
from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker, NiftiSpheresMasker

from neurodyn import io, recording
from neurodyn.errors import (
    AtlasMismatchError,
    ConfigError,
    DataError,
    DataQualityWarning,
    EmptySelectionError,
    FileError,
    ImageGeometryError,
    TimebaseError,
)
from neurodyn.io.atlas import Atlas, as_atlas, read_atlas, seeds
from neurodyn.io.fmri import check_fmri, is_fmri, load_fmri, open_fmri
from neurodyn.io.regions import region_table

AFFINE = np.array([[-3.0, 0, 0, 30], [0, 3, 0, -30], [0, 0, 3, -30], [0, 0, 0, 1]])
STEP = 1.5


def write(path, values, affine=AFFINE, step=STEP):
    image = nibabel.Nifti1Image(values.astype("f4"), affine)
    image.header.set_zooms((*image.header.get_zooms()[:3], step))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
    return path


@pytest.fixture
def values(rng):
    return 500 + rng.normal(size=(12, 12, 12, 9))


@pytest.fixture
def path(tmp_path, values):
    return write(tmp_path / "sub-01_task-rest_space-MNI_bold.nii.gz", values)


@pytest.fixture
def atlas():
    image = np.zeros((12, 12, 12), np.int64)
    image[1:11, 1:11, 1:11] = (
        np.arange(1, 9).reshape(2, 2, 2).repeat(5, 0).repeat(5, 1).repeat(5, 2)
    )
    table = region_table([f"r{i}" for i in range(1, 9)], np.arange(1, 9), network=["Vis"] * 8)
    return Atlas("eight", table, "labels", image, AFFINE)


def as_image(atlas, dtype="i4"):
    return nibabel.Nifti1Image(atlas.image.astype(dtype), atlas.affine)


def test_the_contract(path, atlas):
    tree = load_fmri(path, atlas=atlas, keep=[True] * 8 + [False], confounds={"fd": np.ones(9)})
    ds = tree["bold"].to_dataset()
    recording.validate(tree)
    assert ds["bold"].dims == ("time", "roi")
    assert ds["bold"].dtype == np.float32
    assert ds["roi"].values.tolist() == [f"r{i}" for i in range(1, 9)]
    assert ds["label"].values.tolist() == list(range(1, 9))
    assert ds["network"].values.tolist() == ["Vis"] * 8
    assert ds["coverage"].values.tolist() == [1.0] * 8
    assert ds["keep"].values.tolist() == [True] * 8 + [False]
    assert ds["confounds"].shape == (9, 1)
    np.testing.assert_allclose(ds["time"], STEP * np.arange(9))
    attrs = {
        "subject": "01",
        "task": "rest",
        "space": "MNI",
        "atlas": "eight",
        "orientation": "LAS",
    }
    assert attrs.items() <= ds.attrs.items()
    assert ds.attrs["repetition_time"] == STEP
    assert "quality" not in ds.attrs
    assert tree.attrs["source"] == path.name


@pytest.mark.parametrize("scale", [1.0, 0.8, 1.4])
def test_labels_equal_nilearn(tmp_path, values, atlas, scale):
    affine = AFFINE @ np.diag([scale, scale, scale, 1])
    path = write(tmp_path / "bold.nii.gz", values, affine)
    found = load_fmri(path, atlas=atlas, max_missing_roi=1.0)["bold"]
    masker = NiftiLabelsMasker(as_image(atlas), resampling_target="data", standardize=None)
    expected = masker.fit_transform(str(path))
    labels = [int(label) for label in masker.region_ids_.values() if int(label)]
    np.testing.assert_allclose(found["bold"].values[:, np.array(labels) - 1], expected, rtol=1e-5)
    absent = sorted(set(range(1, 9)) - set(labels))
    assert np.isnan(found["bold"].values[:, np.array(absent, int) - 1]).all()


def test_seeds_equal_nilearn(path):
    points = np.array([[0.0, 0, 0], [2, 1, -1], [15, -9, -7], [-3, -29, -29.5], [9, -9, -9]])
    found = load_fmri(path, atlas=seeds(points, 5.5))["bold"]
    masker = NiftiSpheresMasker(points.tolist(), radius=5.5, allow_overlap=True, standardize=None)
    np.testing.assert_allclose(found["bold"], masker.fit_transform(str(path)), rtol=1e-5)
    assert found["coverage"].values[[2, 4]].tolist() == [1, 1]
    assert 0 < found["coverage"].values[3] < 1


def test_lost_seeds_stay_on_the_axis(path):
    points = [[9.0, -9, -9], [90, 0, 0], [15, -9, -7]]
    ds = load_fmri(path, atlas=seeds(points, 5.0), max_missing_roi=0.5)["bold"]
    assert np.isnan(ds["bold"].values).all(axis=0).tolist() == [False, True, False]
    assert ds["coverage"].values.tolist() == [1, 0, 1]
    assert ds.attrs["missing_rois"] == ["2"]
    with pytest.raises(AtlasMismatchError, match=r"1 of 3 regions without enough voxels: 2"):
        load_fmri(path, atlas=seeds(points, 5.0))


@pytest.fixture
def maps(rng):
    weights = rng.random((12, 12, 12, 3)).astype("f4") * (rng.random((12, 12, 12, 3)) < 0.3)
    return Atlas("maps", region_table("abc", [1, 2, 3]), "maps", weights, AFFINE)


@pytest.mark.parametrize("scale", [1.0, 0.8])
def test_maps_equal_nilearn(tmp_path, values, maps, scale):
    affine = AFFINE @ np.diag([scale, scale, scale, 1])
    path = write(tmp_path / "bold.nii.gz", values, affine)
    found = load_fmri(path, atlas=maps, max_missing_roi=1.0)["bold"]
    masker = NiftiMapsMasker(as_image(maps, "f4"), resampling_target="data", standardize=None)
    np.testing.assert_allclose(found["bold"], masker.fit_transform(str(path)), rtol=1e-3)


def test_lost_maps_stay_on_the_axis(tmp_path, values, maps):
    maps.image[..., 1] = 0
    maps.image[9:, :, :, 1] = 1
    values[8:] = np.nan
    values[:, :, :, 4] = np.nan
    path = write(tmp_path / "bold.nii.gz", values)
    ds = load_fmri(path, atlas=maps, max_missing_roi=0.5)["bold"]
    assert np.isnan(ds["bold"].values[4]).all()
    missing = np.isnan(np.delete(ds["bold"].values, 4, axis=0))
    assert missing.all(axis=0).tolist() == [False, True, False]
    assert missing.any(axis=0).tolist() == [False, True, False]
    assert ds["coverage"].values[1] == 0
    expected = np.linalg.lstsq(
        maps.image[:8, ..., [0, 2]].reshape(-1, 2), values[:8, :, :, 0].ravel()
    )[0]
    np.testing.assert_allclose(ds["bold"].values[0, [0, 2]], expected, rtol=1e-4)


def test_flat_and_sparse_regions(tmp_path, values, atlas):
    values[atlas.image == 3] = 8.0
    spoiled = np.argwhere(atlas.image == 4)[:70]
    values[tuple(spoiled.T)] = np.nan
    some = np.argwhere(atlas.image == 5)[:30]
    values[tuple(some.T)] = np.nan
    path = write(tmp_path / "bold.nii.gz", values)
    ds = load_fmri(path, atlas=atlas, max_missing_roi=0.2)["bold"]
    assert (
        np.isnan(ds["bold"].values).all(axis=0).tolist() == [False] * 2 + [True] * 2 + [False] * 4
    )
    assert ds["coverage"].values[2:5].tolist() == pytest.approx([1.0, 1 - 70 / 125, 1 - 30 / 125])
    assert (ds.attrs["flat_rois"], ds.attrs["sparse_rois"]) == (["r3"], ["r4"])
    assert ds.attrs["quality"] == {"flat_rois": 1, "sparse_rois": 1}
    own = values[atlas.image == 5]
    np.testing.assert_allclose(ds["bold"].values[:, 4], np.nanmean(own, axis=0), rtol=1e-5)
    lenient = load_fmri(path, atlas=atlas, minimum_finite=0.4)["bold"]
    assert np.isfinite(lenient["bold"].values[:, 3]).all()


def test_opening_reads_no_volume(path, atlas, monkeypatch):
    whole = load_fmri(path, atlas=atlas)["bold"].to_dataset()
    content = path.read_bytes()
    path.write_bytes(content[:3000])
    tree = open_fmri(path, atlas=atlas)
    assert tree["bold"]["bold"].shape == (9, 8)
    assert tree["bold"]["coverage"].values.tolist() == [1.0] * 8
    with pytest.raises(FileError, match="cut off"):
        tree["bold"]["bold"].load()
    path.write_bytes(content)
    opened = open_fmri(path, atlas=atlas)["bold"].to_dataset()
    part = opened["bold"].isel(time=[1, 4], roi=slice(2, 5)).values
    np.testing.assert_array_equal(part, whole["bold"].values[[1, 4], 2:5])
    xr.testing.assert_identical(opened.load(), whole)


def test_a_faulty_run_is_listed_and_raises_when_touched(path, atlas):
    cut = seeds([[0.0, 0, 0], [90, 0, 0]], 4.0)
    tree = open_fmri(path, atlas=cut)
    assert "1 of 2 regions" in tree["bold"].attrs["fault"]
    with pytest.raises(AtlasMismatchError):
        tree["bold"]["bold"].load()
    codes = [(fault.severity, fault.code) for fault in check_fmri(path, atlas=cut)]
    assert codes == [("error", "missing_rois"), ("warning", "missing_rois")]
    assert check_fmri(path, atlas=atlas) == []


def test_policies(path):
    cut = seeds([[0.0, 0, 0], [90, 0, 0]], 4.0)
    with pytest.warns(DataQualityWarning, match="missing rois: 1 kept"):
        ds = load_fmri(path, on_bad="warn", atlas=cut)["bold"]
    assert ds.attrs["quality"]["missing_rois_kept"] == 1
    assert np.isnan(ds["bold"].values[:, 1]).all()
    with pytest.warns(DataQualityWarning, match="faulty bold: 1 dropped"):
        assert not load_fmri(path, on_bad="drop", atlas=cut).children
    with pytest.raises(EmptySelectionError, match="file has no spikes"):
        load_fmri(path, "spikes", atlas=cut)


def test_the_clock_comes_from_header_sidecar_or_caller(path, tmp_path, atlas):
    assert load_fmri(path, atlas=atlas, repetition_time=2.0)["bold"].attrs["repetition_time"] == 2
    beside = path.with_name(path.name.replace(".nii.gz", ".json"))
    beside.write_text(json.dumps({"RepetitionTime": 1.5004}))
    assert load_fmri(path, atlas=atlas)["bold"].attrs["repetition_time"] == 1.5004
    beside.write_text(json.dumps({"RepetitionTime": 2.0}))
    with pytest.raises(TimebaseError, match=r"(?s)header 1.5 s, sidecar 2 s.*repetition_time="):
        load_fmri(path, atlas=atlas)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"RepetitionTime": 1.5}))
    assert load_fmri(path, atlas=atlas, sidecar=other)["bold"].attrs["repetition_time"] == 1.5


def test_what_is_no_series(tmp_path, values, atlas):
    path = write(tmp_path / "bold.nii", values[..., :1])
    with pytest.raises(DataError, match=r"(?s)no series.*\(12, 12, 12, 1\).*two frames"):
        load_fmri(path, atlas=atlas)
    with pytest.raises(ConfigError, match="minimum_finite must be a share"):
        load_fmri(path, atlas=atlas, minimum_finite=0)
    with pytest.raises(ConfigError, match=r"(?s)volumes need an atlas.*power264.*atlas=\.\.\."):
        open_fmri(path)
    with pytest.raises(TypeError, match="tr"):
        load_fmri(path, atlas=atlas, tr=2.0)


def test_a_space_that_is_not_told(path, atlas):
    image = nibabel.load(path)
    image.set_sform(None, 0)
    image.header["qform_code"] = image.header["sform_code"] = 0
    moved = Atlas("eight", atlas.regions, "labels", atlas.image, image.header.get_base_affine())
    bare = path.with_name("bare.nii")
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), None, image.header), bare)
    assert "unknown_space" in {fault.code for fault in check_fmri(bare, atlas=moved)}


def test_first_bytes_tell_the_format(tmp_path, values):
    path = write(tmp_path / "bold.nii", values)
    assert is_fmri(path, path.read_bytes()[:1024])
    assert not is_fmri(tmp_path, b"")


# Slices along z that are left, of 46 slices of 4 mm over the whole of CC200: z = 10 to 54 mm.
LEFT = slice(20, 32)


@pytest.mark.shared_data
def test_a_cut_field_of_view_of_cc200(shared_data, tmp_path, rng):
    folder = shared_data / "fmri_abide1_cc200"
    atlas = read_atlas(folder / "CC200.nii.gz", folder / "cc200_rois.tsv")
    # 4 mm voxels in the same orientation, of which 12 slices are left
    affine = nibabel.affines.rescale_affine(atlas.affine, atlas.image.shape, 4.0, (48, 57, 46))
    affine[:3, 3] = nibabel.affines.apply_affine(affine, [0, 0, LEFT.start])
    path = write(
        tmp_path / "bold.nii.gz", rng.normal(size=(48, 57, LEFT.stop - LEFT.start, 4)), affine
    )
    with pytest.raises(AtlasMismatchError, match=r"(?s)of 200 regions .*max_missing_roi=1\.0"):
        load_fmri(path, atlas=atlas)
    ds = load_fmri(path, atlas=atlas, max_missing_roi=1.0)["bold"]
    own = resample_to_img(
        folder / "CC200.nii.gz",
        nibabel.load(path),
        interpolation="nearest",
        force_resample=True,
        copy_header=True,
    ).get_fdata()
    kept = np.isin(np.arange(1, 201), own)
    assert 30 < kept.sum() < 170
    assert ds["roi"].values.tolist() == atlas.regions["roi"].values.tolist()
    assert ds.sizes["roi"] == 200
    missing = np.isnan(ds["bold"].values)
    np.testing.assert_array_equal(missing.all(axis=0), ~kept)
    np.testing.assert_array_equal(missing.any(axis=0), ~kept)
    np.testing.assert_array_equal(ds["coverage"].values > 0, kept)
    assert ds["coverage"].values.max() <= 1
    data = nibabel.load(path).get_fdata()
    for row in np.flatnonzero(kept)[::20]:
        expected = data[own == row + 1].mean(axis=0)
        np.testing.assert_allclose(ds["bold"].values[:, row], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.shared_data
def test_real_volumes(shared_data):
    path = shared_data / "nitime_fmri" / "fmri1.nii.gz"
    image = nibabel.load(path)
    label = (1 + np.arange(18) // 6)[None, None].repeat(10, 0).repeat(10, 1)
    atlas = Atlas("slabs", region_table("abc", [1, 2, 3]), "labels", label, image.affine)
    ds = load_fmri(path, atlas=atlas)["bold"]
    assert ds.attrs["repetition_time"] == 1.35
    expected = [image.get_fdata()[label == n].mean(axis=0) for n in (1, 2, 3)]
    np.testing.assert_allclose(ds["bold"].values.T, expected, rtol=1e-6)
    # it is in the space of the scanner, and far from where the seeds are in MNI space
    with pytest.raises(ImageGeometryError, match=r"(?s)do not overlap.*x 77 to 98 mm.*power264"):
        load_fmri(path, atlas="power264")


def test_an_atlas_by_name(path):
    ds = load_fmri(path, atlas="dosenbach160", max_missing_roi=1.0)["bold"]
    assert ds["roi"].values.tolist() == as_atlas("dosenbach160").regions["roi"].values.tolist()
    assert np.isfinite(ds["bold"].values[0]).sum() == 4
    assert ds.attrs["atlas"] == "dosenbach160"


def test_missing_packages(path, atlas, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ImportError, match=r"neurodyn\[fmri\]"):
        load_fmri(path, atlas=atlas)


def test_through_the_door(path, atlas):
    xr.testing.assert_identical(
        io.load(path, atlas=atlas)["bold"].to_dataset(),
        load_fmri(path, atlas=atlas)["bold"].to_dataset(),
    )
    assert io.open(path, atlas=atlas)["bold"].sizes == {"time": 9, "roi": 8}
