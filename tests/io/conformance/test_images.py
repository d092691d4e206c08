"""Every damaged fMRI image gets its stated outcome; its clean twins load without a warning.

I08, runs of different repetition times, is about joining recordings; I15 is tested with the
reader of CIFTI files and I16 with connectivity.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

import image_files as files
import numpy as np
import pytest

from neurodyn import recording
from neurodyn.errors import (
    AtlasMismatchError,
    CorruptFileError,
    DataError,
    ImageGeometryError,
    NeurodynError,
    SizeBudgetError,
    TimebaseError,
    UnitScaleError,
)
from neurodyn.io.atlas import read_atlas
from neurodyn.io.fmri import check_fmri, load_fmri, open_fmri
from neurodyn.recording import bold, spikes_from_units
from neurodyn.transforms import concatenate_sessions

NAN_FIRST = {"csf": np.ones(12), "csf_derivative1": np.r_[np.nan, np.ones(11)]}


def untouched(path):
    """The image is sound; what is given beside it is not."""


@dataclass(frozen=True)
class Row:
    """A damage, and the error that it leads to by default."""

    id: str
    damage: object
    error: type
    what: str
    found: str
    expected: str
    hint: str
    options: dict = field(default_factory=dict)


REFUSED = [
    Row("I03", files.cut, AtlasMismatchError,
        r"regions of the atlas are missing in the image \(at .*bold\.nii\)",
        "4 of 8 regions without enough voxels: 2, 4, 6, 8", r"at most 0\.1", "max_missing_roi=1"),
    Row("I01-many", files.change_values(lambda data, label: data.__setitem__(label < 4, np.nan)),
        AtlasMismatchError, "regions of the atlas are missing", "3 of 8 regions .*: 1, 2, 3",
        r"at most 0\.1", r"max_missing_roi=1\.0"),
    Row("I04-far", files.moved(300.0), ImageGeometryError,
        r"image and atlas do not overlap \(at .*bold\.nii\)",
        r"image over x 282 to 318 mm.*atlas over x -18 to 18 mm", "same space", "affine"),
    Row("I04-mirrored", files.mirrored, ImageGeometryError,
        r"left and right of the image and of the atlas run opposite ways \(at .*bold\.nii\)",
        r"image RAS \(determinant \+\), atlas atlas LAS \(determinant -\)", "same orientation",
        "allow_flip=True"),
    Row("I04-stored", files.stored_mirrored, ImageGeometryError, "opposite ways", "RAS.*LAS",
        "same orientation", "allow_flip=True"),
    Row("I06-zero", files.clock(0.0), TimebaseError,
        r"repetition time is unknown \(at .*bold\.nii\)", "0 in the header",
        "RepetitionTime", "repetition_time="),
    Row("I06-nan", files.clock(np.nan), TimebaseError, "repetition time is unknown",
        "nan in the header", "RepetitionTime", "repetition_time="),
    Row("I06-negative", files.clock(-2.0), TimebaseError, "repetition time is impossible",
        r"-2\.0", "above 0", "repetition_time="),
    Row("I06-disagree", files.clock(2.0, sidecar=2.002), TimebaseError,
        "header and sidecar disagree about the repetition time", r"header 2 s, sidecar 2\.002 s",
        "same within 1 ms", "repetition_time="),
    Row("I07-unknown", files.clock(2000.0, "unknown"), UnitScaleError,
        r"no unit and is hardly one of seconds \(at .*bold\.nii\)",
        "2000, unit unknown; as milliseconds it were 2 s", r"0\.2 to 15 s", "repetition_time="),
    Row("I07-seconds", files.clock(2000.0, "sec"), UnitScaleError, "hardly one of seconds",
        "header 2000; as milliseconds it were 2 s", "at most 60", "repetition_time="),
    Row("I07-short", files.clock(0.1, "unknown"), UnitScaleError, "hardly one of seconds",
        r"0\.1, unit unknown", r"0\.2 to 15 s", "repetition_time="),
    Row("I07-hertz", files.clock(2.0, "hz"), UnitScaleError, "no times", "unit hz", "seconds",
        "repetition_time="),
    Row("I09-length", untouched, TimebaseError, r"confounds and run have different lengths \(at ",
        "11 frames of confounds, 12 of the run", "one row for each frame", "never cut off",
        {"confounds": {"csf": np.ones(11)}}),
    Row("I09-nan", untouched, DataError, r"confounds are not finite \(at ",
        "first frame is missing in csf_derivative1", "in every frame", "fill_first='zero'",
        {"confounds": NAN_FIRST}),
    Row("I11", files.truncated, CorruptFileError, r"damaged or was cut off \(at .*bold\.nii\)",
        r"Expected 43552 bytes, got 21776 bytes", "all the data", "again"),
    Row("I11-gzip", files.truncated_gzip, CorruptFileError, "damaged or was cut off",
        "Compressed file ended before the end-of-stream marker", "all the data", "again"),
    Row("I12", files.header(dim=[4, 30000, 30000, 30000, 12, 1, 1, 1]), CorruptFileError,
        "damaged or was cut off", r"Expected 129600\d+ bytes, got 43552", "all the data", "again"),
    Row("I12-negative", files.header(dim=[4, -8, 9, 9, 12, 1, 1, 1]), CorruptFileError,
        r"header of the image is impossible \(at .*bold\.nii\)", r"\[4, -8, 9", "1 or more",
        "again"),
    Row("I14-infinite", files.header(scl_slope=np.inf), CorruptFileError,
        "header of the image is impossible", "scl_slope inf", "finite", "again"),
]  # fmt: skip
# damages that make the file as a whole unreadable
WHOLE = ("I11", "I12", "I12-negative", "I14-infinite")

CLEAN = [
    ("I01", untouched, {}),
    ("I03", files.cut, {"max_missing_roi": 0.5}),
    ("I04-near", files.moved(1.0), {}),
    ("I04-stored", files.stored_mirrored, {"allow_flip": True}),
    ("I06-sidecar", files.clock(0.0, sidecar=2.0), {}),
    ("I06-given", files.clock(0.0), {"repetition_time": 2.0}),
    ("I06-agree", files.clock(2.0, sidecar=2.0009), {}),
    ("I07-ms", files.clock(2000.0, "msec"), {}),
    ("I07-us", files.clock(2e6, "usec"), {}),
    ("I07-unknown", files.clock(2.0, "unknown"), {}),
    ("I07-given", files.clock(2000.0, "unknown"), {"repetition_time": 2.0}),
    ("I09", untouched, {"confounds": {"csf": np.ones(12)}}),
    ("I09-filled", untouched, {"confounds": NAN_FIRST, "fill_first": "zero"}),
    ("I14", files.header(scl_slope=1.0, scl_inter=0.0), {}),
]


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    files.undamaged(folder)
    return folder


@pytest.fixture(scope="module")
def atlas(twin):
    return read_atlas(twin / files.ATLAS)


@pytest.fixture
def damaged(twin, tmp_path):
    def copy(damage):
        path = tmp_path / files.RUN
        shutil.copy(twin / files.RUN, path)
        damage(path)
        return path

    return copy


@pytest.fixture(scope="module")
def sound(twin, atlas):
    return load_fmri(twin / files.RUN, atlas=atlas)["bold"].to_dataset()


def pattern(row):
    parts = (f"found: .*{row.found}", f"expected: .*{row.expected}", f"to go on: .*{row.hint}")
    return f"(?s){row.what}.*" + ".*".join(parts)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.id)
def test_conformance(row, damaged, atlas):
    path = damaged(row.damage)
    with pytest.raises(row.error, match=pattern(row)):
        load_fmri(path, atlas=atlas, **row.options)
    if row.id in WHOLE:
        with pytest.raises(row.error):
            open_fmri(path, atlas=atlas)
        return
    tree = open_fmri(path, atlas=atlas, **row.options)
    # what only the voxels tell comes out when they are read
    if row.id not in ("I01-many", "I11-gzip"):
        assert "fault" in tree["bold"].attrs
        with pytest.raises(NeurodynError):
            tree["bold"]["bold"].load()
    errors = [f for f in check_fmri(path, atlas=atlas, **row.options) if f.severity == "error"]
    assert len(errors) == 1
    assert errors[0].where


@pytest.mark.parametrize(("name", "damage", "options"), CLEAN, ids=lambda case: str(case)[:12])
def test_clean_twins_load_without_warning(name, damage, options, damaged, atlas, sound):
    path = damaged(damage)
    tree = load_fmri(path, atlas=atlas, **options)
    assert recording.faults(tree) == []
    ds = tree["bold"]
    assert ds.sizes["roi"] == files.N_ROIS
    assert ds["roi"].values.tolist() == sound["roi"].values.tolist()
    np.testing.assert_allclose(ds["time"], sound["time"], rtol=1e-3)
    # right regions in the right places: the level of each is that of its label
    level = ds["bold"].mean("time").values
    present = np.isfinite(level)
    expected = 1000 + 100 * ds["label"].values
    np.testing.assert_allclose(level[present], expected[present], atol=1)
    assert present.sum() == (4 if name == "I03" else 8)
    assert [f for f in check_fmri(path, atlas=atlas, **options) if f.severity == "error"] == []


def test_i01_means_are_over_finite_voxels(damaged, atlas, sound):
    path = damaged(files.change_values(files.half_missing))
    ds = load_fmri(path, atlas=atlas, max_missing_roi=0.2)["bold"]
    assert np.isnan(ds["bold"].sel(roi="3")).all()
    assert ds.attrs["sparse_rois"] == ["3"]
    assert ds.attrs["quality"] == {"sparse_rois": 1}
    assert ds["coverage"].values.tolist() == pytest.approx([1, 1, 0.4, 1, 0.7, 1, 1, 1])
    np.testing.assert_allclose(ds["bold"].sel(roi="5").mean(), 1500, atol=0.5)
    others = ["1", "2", "4", "6", "7", "8"]
    np.testing.assert_array_equal(ds["bold"].sel(roi=others), sound["bold"].sel(roi=others))


def test_i02_constant_regions_are_missing(damaged, atlas, sound):
    ds = load_fmri(damaged(files.change_values(files.constant)), atlas=atlas)["bold"]
    assert np.isnan(ds["bold"].sel(roi="6")).all()
    assert ds.attrs["flat_rois"] == ["6"]
    assert ds.attrs["quality"] == {"flat_rois": 1}
    assert ds["coverage"].sel(roi="6") == 1
    assert ds["roi"].values.tolist() == sound["roi"].values.tolist()


def test_i03_lost_regions_stay_on_the_axis(damaged, atlas, sound):
    ds = load_fmri(damaged(files.cut), atlas=atlas, max_missing_roi=1.0)["bold"]
    assert ds["coverage"].values.tolist() == [1, 0] * 4
    assert np.isnan(ds["bold"].values).all(axis=0).tolist() == [False, True] * 4
    np.testing.assert_array_equal(ds["bold"][:, ::2], sound["bold"][:, ::2])
    assert ds.attrs["missing_rois"] == ["2", "4", "6", "8"]


def test_i04_with_the_word_of_the_caller_position_decides(damaged, atlas, sound):
    same = load_fmri(damaged(files.stored_mirrored), atlas=atlas, allow_flip=True)["bold"]
    np.testing.assert_allclose(same["bold"], sound["bold"], rtol=1e-6)
    assert (same.attrs["orientation"], same.attrs["atlas_orientation"]) == ("RAS", "LAS")
    swapped = load_fmri(damaged(files.mirrored), atlas=atlas, allow_flip=True)["bold"]
    order = [4, 5, 6, 7, 0, 1, 2, 3]
    np.testing.assert_allclose(swapped["bold"], sound["bold"].values[:, order], rtol=1e-6)


def test_i08_runs_of_different_repetition_times_are_not_joined():
    units = spikes_from_units({"1": [0.5]}, observed=[[0.0, 2.0]])
    runs = {
        f"TR {step}": recording.recording([units, bold(np.ones((4, 2)), repetition_time=step)])
        for step in (2.0, 0.72)
    }
    with pytest.raises(DataError, match=r"(?s)cannot be joined over sessions.*found: bold"):
        concatenate_sessions(runs)


def test_i12_packed_lies_are_refused_before_anything_is_read(damaged, atlas):
    path = damaged(files.header(dim=[4, 30000, 30000, 30000, 12, 1, 1, 1]))
    files.truncated_gzip(path)
    with pytest.raises(SizeBudgetError, match=r"(?s)memory budget.*set_limits"):
        load_fmri(path, atlas=atlas)


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_i14_no_slope_is_a_slope_of_one(damaged, atlas, sound, slope):
    ds = load_fmri(damaged(files.header(scl_slope=slope)), atlas=atlas)["bold"]
    np.testing.assert_array_equal(ds["bold"], sound["bold"])
    assert ds.attrs["quality"] == {"unscaled": 1}


def test_the_twin_has_no_faults(twin, atlas, sound):
    assert recording.faults(sound) == []
    assert "quality" not in sound.attrs
    assert check_fmri(twin / files.RUN, atlas=atlas) == []
    np.testing.assert_allclose(
        sound["bold"].mean("time"), 1000 + 100 * sound["label"].values, atol=0.2
    )
