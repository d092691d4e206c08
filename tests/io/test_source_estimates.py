"""Source estimates over regions: hand computations on small source spaces made here."""

from __future__ import annotations

import mne
import nibabel
import numpy as np
import pytest
from mne.io.constants import FIFF

from neurodyn import recording
from neurodyn.errors import (
    AtlasMismatchError,
    ConfigError,
    CorruptFileError,
    DataError,
    UnsupportedFormatError,
)
from neurodyn.io.source_estimates import source_signal

N_POINTS = 20
AFFINE = np.array([[-10.0, 0, 0, 60], [0, 0, 10, -60], [0, -10, 0, 60], [0, 0, 0, 1]])


def hemisphere(number, used):
    points = np.random.default_rng(number).normal(size=(N_POINTS, 3))
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    in_use = np.zeros(N_POINTS, int)
    in_use[used] = 1
    empty = np.zeros((0, 3), int)
    nothing = ("nearest", "nearest_dist", "pinfo", "patch_inds", "dist", "dist_limit")
    return {
        "id": number,
        "type": "surf",
        "coord_frame": FIFF.FIFFV_COORD_MRI,
        "np": N_POINTS,
        "rr": 0.08 * normals,
        "nn": normals,
        "tris": empty,
        "ntri": 0,
        "use_tris": empty,
        "nuse_tri": 0,
        "inuse": in_use,
        "nuse": len(used),
        "vertno": np.array(used),
        "subject_his_id": "s01",
        **dict.fromkeys(nothing),
    }


@pytest.fixture
def surface():
    space = mne.SourceSpaces([hemisphere(101, [0, 2, 4, 6, 8]), hemisphere(102, [1, 3, 5, 7])])
    values = np.random.default_rng(0).normal(size=(9, 40))
    vertices = [space[0]["vertno"], space[1]["vertno"]]
    return mne.SourceEstimate(values, vertices, tmin=-0.1, tstep=0.01, subject="s01"), space


def label(vertices, hemi, name):
    return mne.Label(vertices, hemi=hemi, name=name, subject="s01")


LABELS = [
    label([0, 1, 2, 3], "lh", "V1-lh"),
    label([1, 3], "rh", "V1-rh"),
    label([4, 6, 9], "lh", "M1-lh"),
]
LOST = label([9, 11], "rh", "M1-rh")


def test_surface_means_by_hand(surface):
    estimate, space = surface
    ds = source_signal(estimate, LABELS, space, mode="mean", units="A m", method="MNE")
    assert ds["signal"].dims == ("time", "roi")
    assert ds["roi"].values.tolist() == ["V1-lh", "V1-rh", "M1-lh"]
    assert ds["hemisphere"].values.tolist() == ["left", "right", "left"]
    assert ds["coverage"].values.tolist() == [1.0, 1.0, 1.0]
    rows = [[0, 1], [5, 6], [2, 3]]
    expected = np.stack([estimate.data[row].mean(axis=0) for row in rows], axis=1)
    np.testing.assert_allclose(ds["signal"], expected, rtol=1e-12)
    np.testing.assert_allclose(ds["time"], estimate.times, atol=1e-12)
    assert ds.attrs["sampling_rate"] == pytest.approx(100.0)
    assert (ds.attrs["subject"], ds.attrs["method"]) == ("s01", "MNE")
    assert ds["signal"].attrs["units"] == "A m"
    assert recording.faults(recording.recording([ds])) == []


def test_signs_are_flipped_unless_told(surface):
    estimate, space = surface
    ds = source_signal(estimate, LABELS, space)
    normals = space[0]["nn"][[0, 2]]
    # the sign of each normal against the main direction of the region's normals
    flip = np.sign(normals @ np.linalg.svd(normals, full_matrices=False)[2][0])
    expected = (flip[:, None] * estimate.data[:2]).mean(axis=0)
    found = ds["signal"].sel(roi="V1-lh")
    assert min(np.abs(found - expected).max(), np.abs(found + expected).max()) < 1e-12


def test_both_hemispheres_in_one_region(surface):
    estimate, space = surface
    both = LABELS[0] + LABELS[1]
    ds = source_signal(estimate, [both], space, mode="mean")
    np.testing.assert_allclose(ds["signal"][:, 0], estimate.data[[0, 1, 5, 6]].mean(axis=0))
    assert ds["hemisphere"].values.tolist() == [""]


def test_the_axis_of_regions_never_shrinks(surface):
    estimate, space = surface
    labels = [LABELS[0], LOST, LABELS[2]]
    with pytest.raises(AtlasMismatchError, match=r"M1-rh"):
        source_signal(estimate, labels, space)
    ds = source_signal(estimate, labels, space, max_missing_roi=0.5)
    assert ds["roi"].values.tolist() == ["V1-lh", "M1-rh", "M1-lh"]
    assert np.isnan(ds["signal"].sel(roi="M1-rh")).all()
    assert ds["coverage"].values.tolist() == [1.0, 0.0, 1.0]
    assert ds.attrs["missing_rois"] == ["M1-rh"]
    whole = source_signal(estimate, LABELS, space)
    np.testing.assert_array_equal(ds["signal"].sel(roi="M1-lh"), whole["signal"].sel(roi="M1-lh"))


def test_files(surface, tmp_path):
    estimate, space = surface
    estimate.save(tmp_path / "rest", verbose="ERROR")
    mne.write_source_spaces(tmp_path / "s01-src.fif", space, verbose="ERROR")
    for side in ("lh", "rh"):
        path = tmp_path / f"rest-{side}.stc"
        ds = source_signal(path, LABELS, tmp_path / "s01-src.fif", mode="mean")
        expected = source_signal(estimate, LABELS, space, mode="mean")
        np.testing.assert_allclose(ds["signal"], expected["signal"], rtol=1e-6)
        np.testing.assert_allclose(ds["time"], expected["time"], atol=1e-6)
    (tmp_path / "rest-rh.stc").unlink()
    with pytest.raises(CorruptFileError, match=r"other hemisphere[\s\S]*no rest-rh\.stc"):
        source_signal(tmp_path / "rest-lh.stc", LABELS, space)
    with pytest.raises(FileNotFoundError):
        source_signal(tmp_path / "none-lh.stc", LABELS, space)
    with pytest.raises(FileNotFoundError):
        source_signal(estimate, LABELS, tmp_path / "none-src.fif")
    (tmp_path / "rest-rh.stc").write_bytes(b"nothing")
    with pytest.raises(CorruptFileError, match="mne cannot read the file"):
        source_signal(tmp_path / "rest-lh.stc", LABELS, space)
    (tmp_path / "bad-src.fif").write_bytes(b"nothing at all")
    with pytest.raises(CorruptFileError, match="mne cannot read the file"):
        source_signal(estimate, LABELS, tmp_path / "bad-src.fif")
    (tmp_path / "rest.h5").write_bytes(b"nothing")
    with pytest.raises(UnsupportedFormatError, match=r"rest\.h5[\s\S]*-vl\.stc"):
        source_signal(tmp_path / "rest.h5", LABELS, space)


@pytest.fixture
def volume(tmp_path):
    """A volume with an atlas of two regions inside the grid of sources and one outside."""
    values = np.zeros((12, 12, 12), np.int32)
    values[2:6, 4:8, 4:8], values[6:10, 4:8, 4:8], values[0, 0, 0] = 7, 9, 11
    atlas = tmp_path / "atlas.mgz"
    nibabel.save(nibabel.MGHImage(values, AFFINE), atlas)
    space = mne.setup_volume_source_space(
        None, pos=15.0, mri=atlas, sphere=(0, 0, 0, 0.05), verbose="ERROR"
    )
    return space, atlas, values


def test_volume(volume):
    space, atlas, image = volume
    data = np.random.default_rng(1).normal(size=(space[0]["nuse"], 6)) + 3
    estimate = mne.VolSourceEstimate(data, [space[0]["vertno"]], 0.0, 0.01)
    names = {"Left-V1": 7, "Right-V1": 9, "Corner": 11}
    with pytest.raises(AtlasMismatchError, match="Corner"):
        source_signal(estimate, names, space, atlas=atlas)
    ds = source_signal(estimate, names, space, atlas=atlas, max_missing_roi=0.5)
    assert ds["label"].values.tolist() == [7, 9, 11]
    assert ds["hemisphere"].values.tolist() == ["left", "right", ""]
    weights = space[0]["interpolator"][:, space[0]["vertno"]].toarray()
    for name, value in (("Left-V1", 7), ("Right-V1", 9)):
        mean = weights[image.ravel(order="F") == value].mean(axis=0)
        assert ds["coverage"].sel(roi=name).item() == pytest.approx(mean.sum())
        # a weighted mean of the sources: a constant one comes back as it is
        expected = mean @ data / mean.sum()
        np.testing.assert_allclose(ds["signal"].sel(roi=name), expected, rtol=1e-10)
    assert 0.5 < ds["coverage"].values[0] < 1.0
    assert np.isnan(ds["signal"].sel(roi="Corner")).all()
    assert ds["coverage"].sel(roi="Corner").item() == 0.0


def test_a_volume_file(volume, tmp_path):
    space, atlas, _ = volume
    estimate = mne.VolSourceEstimate(
        np.ones((space[0]["nuse"], 3)), [space[0]["vertno"]], 0.0, 0.01
    )
    estimate.save(tmp_path / "rest", ftype="stc", verbose="ERROR")
    ds = source_signal(tmp_path / "rest-vl.stc", {"V1": 7}, space, atlas=atlas)
    np.testing.assert_allclose(ds["signal"], 1.0, rtol=1e-6)
    with pytest.raises(ConfigError, match="a volume needs an atlas"):
        source_signal(estimate, [LABELS[0]], space, atlas=atlas)
    with pytest.raises(FileNotFoundError):
        source_signal(estimate, {"V1": 7}, space, atlas=tmp_path / "none.mgz")


def test_what_does_not_belong_together(surface, volume):
    estimate, space = surface
    with pytest.raises(ConfigError, match=r"labels of mne[\s\S]*mne\.Label"):
        source_signal(estimate, {"V1": 7}, space)
    with pytest.raises(ConfigError, match=r"labels of mne"):
        source_signal(estimate, ["V1"], space)
    other = mne.SourceSpaces([hemisphere(101, [1, 3]), hemisphere(102, [1, 3])])
    with pytest.raises(DataError, match=r"cannot average[\s\S]*missing from the source space"):
        source_signal(estimate, LABELS, other)
    with pytest.raises(DataError, match=r"cannot average[\s\S]*mode"):
        source_signal(estimate, LABELS, space, mode="median")
    with pytest.raises(UnsupportedFormatError, match=r"no source space[\s\S]*found: list"):
        source_signal(estimate, LABELS, [1])
    vector = mne.VectorSourceEstimate(np.ones((9, 3, 4)), estimate.vertices, 0.0, 0.01)
    with pytest.raises(UnsupportedFormatError, match=r"VectorSourceEstimate[\s\S]*magnitude"):
        source_signal(vector, LABELS, space)
    turned = mne.SourceEstimate(1j * estimate.data, estimate.vertices, 0.0, 0.01)
    with pytest.raises(UnsupportedFormatError, match="complex"):
        source_signal(turned, LABELS, space)
