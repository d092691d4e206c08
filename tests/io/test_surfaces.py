"""Time series on two surfaces: left stays left, and regions of both sides stay apart."""

from __future__ import annotations

import sys

import nibabel
import numpy as np
import pytest
from nibabel.freesurfer import write_annot
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable, GiftiMetaData

from neurodyn.errors import (
    AtlasMismatchError,
    ConfigError,
    CorruptFileError,
    DataError,
    ImageGeometryError,
    MissingDependencyError,
    TimebaseError,
    UnitScaleError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io.surface_files import both_sides, read_labels, read_series
from neurodyn.io.surfaces import check_surfaces, load_surfaces, open_surfaces

N_FRAMES = 6
LABELS = (np.array([0, 1, 1, 2]), np.array([1, 1, 2, 0, 2]))
NAMES = ["unknown", "cuneus", "insula"]


@pytest.fixture
def series(rng):
    return [rng.normal(50, 3, (N_FRAMES, len(label))).astype(np.float32) for label in LABELS]


def gifti(path, frames, step=None, structure=None):
    meta = {}
    if step is not None:
        meta["TimeStep"] = str(step)
    if structure is not None:
        meta["AnatomicalStructurePrimary"] = structure
    arrays = [
        GiftiDataArray(frame, "NIFTI_INTENT_TIME_SERIES", "NIFTI_TYPE_FLOAT32") for frame in frames
    ]
    nibabel.save(GiftiImage(darrays=arrays, meta=GiftiMetaData(meta)), path)
    return path


def mgz(path, frames, milliseconds=0.0):
    image = nibabel.MGHImage(frames.T[:, None, None].astype(np.float32), np.eye(4))
    image.header.set_zooms((1, 1, 1, milliseconds))
    nibabel.save(image, path)
    return path


def label_gifti(path, label, names=NAMES):
    table = GiftiLabelTable()
    for key, name in enumerate(names):
        entry = GiftiLabel(key, 1, 0, 0, 1)
        entry.label = name
        table.labels.append(entry)
    array = GiftiDataArray(label.astype(np.int32), "NIFTI_INTENT_LABEL", "NIFTI_TYPE_INT32")
    nibabel.save(GiftiImage(darrays=[array], labeltable=table), path)
    return path


@pytest.fixture
def pair(tmp_path, series):
    name = "sub-01_task-rest_hemi-{}_space-fsaverage5_bold.func.gii"
    return tuple(gifti(tmp_path / name.format(s), v) for s, v in zip("LR", series))


def by_hand(series):
    return np.stack(
        [series[s][:, LABELS[s] == k].astype(float).mean(1) for s in (0, 1) for k in (1, 2)], axis=1
    )


def check_contract(ds, series):
    np.testing.assert_allclose(ds["bold"], by_hand(series), rtol=1e-6)
    assert ds["hemisphere"].values.tolist() == ["left", "left", "right", "right"]
    assert ds["label"].values.tolist() == [1, 2, 3, 4]
    assert ds["coverage"].values.tolist() == [1.0] * 4
    assert ds.attrs["repetition_time"] == 2.0


def test_gifti_with_label_files(pair, tmp_path, series):
    labels = [label_gifti(tmp_path / f"{s}h.dk.label.gii", v) for s, v in zip("lr", LABELS)]
    ds = load_surfaces(pair[1], labels=labels[0], repetition_time=2.0)["bold"]
    check_contract(ds, series)
    assert ds["roi"].values.tolist() == ["cuneus-lh", "insula-lh", "cuneus-rh", "insula-rh"]
    assert (ds.attrs["subject"], ds.attrs["space"]) == ("01", "fsaverage5")


def test_mgz_with_annotations(tmp_path, series):
    colors = np.array([[i, i + 1, i + 2, 0, 0] for i in range(3)])
    for side, label, values in zip("lr", LABELS, series):
        mgz(tmp_path / f"{side}h.rest.mgz", values, 2000.0)
        marked = np.where(label == 0, -1 if side == "l" else 0, label)
        write_annot(tmp_path / f"{side}h.dk.annot", marked, colors, NAMES, fill_ctab=True)
    ds = load_surfaces(tmp_path / "lh.rest.mgz", labels=tmp_path / "lh.dk.annot")["bold"]
    check_contract(ds, series)
    assert ds["roi"].values[0] == "cuneus-lh"


def test_arrays_that_number_both_sides_in_one(pair, series, tmp_path):
    left, right = LABELS[0], np.where(LABELS[1] > 0, LABELS[1] + 2, 0)
    ds = open_surfaces(pair, labels=(left, right), repetition_time=2.0)["bold"]
    check_contract(ds, series)
    assert ds["roi"].values.tolist() == ["1", "2", "3", "4"]
    table = tmp_path / "rois.tsv"
    table.write_text("label\tname\tnetwork\n" + "".join(f"{k}\tr{k}\tn{k}\n" for k in (4, 3, 2, 1)))
    ds = load_surfaces(pair, labels=(left, right), rois=table, repetition_time=2.0)["bold"]
    assert ds["roi"].values.tolist() == ["r4", "r3", "r2", "r1"]
    np.testing.assert_allclose(ds["bold"], by_hand(series)[:, ::-1], rtol=1e-6)
    table.write_text("label\tname\n1\tr1\n2\tr2\n3\tr3\n")
    with pytest.raises(AtlasMismatchError, match="labels belong to no region"):
        load_surfaces(pair, labels=(left, right), rois=table, repetition_time=2.0)


def test_named_regions_take_what_a_table_says(pair, series, tmp_path):
    labels = [label_gifti(tmp_path / f"{s}h.dk.label.gii", v) for s, v in zip("lr", LABELS)]
    table = tmp_path / "rois.tsv"
    names = ["insula-rh", "cuneus-lh", "insula-lh", "cuneus-rh"]
    table.write_text("name\tnetwork\n" + "".join(f"{name}\tof {name}\n" for name in names))
    ds = load_surfaces(pair, labels=tuple(labels), rois=table, repetition_time=2.0)["bold"]
    check_contract(ds, series)
    assert ds["network"].values.tolist() == [f"of {name}" for name in ds["roi"].values]


def test_swapped_sides_are_refused(pair, tmp_path, series):
    with pytest.raises(ImageGeometryError, match=r"other hemisphere(?s:.*)right(?s:.*)left"):
        load_surfaces(pair[::-1], labels=LABELS, repetition_time=2.0)
    plain = [
        gifti(tmp_path / f"{n}.gii", v, 2.0, structure)
        for n, v, structure in zip("ab", series, ("CortexLeft", "CortexRight"))
    ]
    check_contract(load_surfaces(plain, labels=LABELS)["bold"], series)
    with pytest.raises(ImageGeometryError, match="other hemisphere"):
        load_surfaces(plain[::-1], labels=LABELS[::-1])
    with pytest.raises(ImageGeometryError, match="not clear which hemisphere"):
        open_surfaces(plain[0], labels=LABELS)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("100307.L.rest.func.gii", "100307.R.rest.func.gii"),
        ("lh.rest.mgz", "rh.rest.mgz"),
        ("sub1.lh.rest.mgz", "sub1.rh.rest.mgz"),
        ("hemi-L_bold.func.gii", "hemi-R_bold.func.gii"),
    ],
)
def test_names_of_pairs(name, other):
    assert [path.name for path in both_sides(name)] == [name, other]
    assert [path.name for path in both_sides(other)] == [name, other]


@pytest.mark.parametrize("name", ["falh.mgz", "hemi-Left_bold.gii", "rest.gii"])
def test_names_that_tell_no_side(name):
    with pytest.raises(ImageGeometryError, match="give both files"):
        both_sides(name)


def test_time_steps(tmp_path, series):
    assert read_series(mgz(tmp_path / "lh.a.mgz", series[0], 720.0), "left").step == 0.72
    assert read_series(mgz(tmp_path / "lh.b.mgz", series[0]), "left").step is None
    pair = [gifti(tmp_path / f"{s}h.c.func.gii", v, 2000.0) for s, v in zip("lr", series)]
    with pytest.raises(UnitScaleError, match="as milliseconds it were 2 s"):
        load_surfaces(pair, labels=LABELS)
    for side in "lr":
        (tmp_path / f"{side}h.json").write_text('{"RepetitionTime": 2}')
    check_contract(load_surfaces(pair, labels=LABELS)["bold"], series)


def test_sides_of_different_runs_and_labels_of_other_surfaces(pair, tmp_path, series):
    short = gifti(tmp_path / "short.gii", series[1][:4])
    with pytest.raises(TimebaseError, match="6 frames every 2 s and 4 frames every 2 s"):
        load_surfaces((pair[0], short), labels=LABELS, repetition_time=2.0)
    with pytest.raises(DataError, match=r"5 labels, 4 vertices on the left(?s:.*)fsaverage5"):
        load_surfaces(pair, labels=LABELS[::-1], repetition_time=2.0)
    with pytest.raises(DataError, match=r"no whole numbers \(at labels, left\)"):
        load_surfaces(pair, labels=([0.5] * 4, LABELS[1]), repetition_time=2.0)
    faults = check_surfaces(pair, labels=LABELS)
    assert [fault.code for fault in faults] == ["faulty_bold"]
    assert "repetition time is unknown" in faults[0].message


def test_unsafe_and_damaged_files(pair, tmp_path, series):
    text = pair[0].read_text().replace("GZipBase64Binary", "ExternalFileBinary")
    pair[0].write_text(text)
    with pytest.raises(UnsafeFileError, match="numbers in another file"):
        load_surfaces(pair, labels=LABELS, repetition_time=2.0)
    pair[0].write_text(text[:400])
    with pytest.raises(UnsafeFileError):
        load_surfaces(pair, labels=LABELS, repetition_time=2.0)
    pair[0].write_text("<GIFTI")
    with pytest.raises(CorruptFileError, match="surface file cannot be read"):
        load_surfaces(pair, labels=LABELS, repetition_time=2.0)
    pair[0].unlink()
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_surfaces(pair[1], labels=LABELS, repetition_time=2.0)
    mesh = gifti(tmp_path / "lh.x.gii", [np.zeros((4, 3), np.float32)])
    with pytest.raises(UnsupportedFormatError, match=r"data arrays \(4, 3\)"):
        read_series(mesh, "left")
    (tmp_path / "lh.dk.annot").write_bytes(b"no annotation")
    good = gifti(tmp_path / "lh.y.func.gii", series[0])
    with pytest.raises(CorruptFileError, match="shorter than its number of vertices"):
        load_surfaces((good, pair[1]), labels=(tmp_path / "lh.dk.annot", LABELS[1]),
                      repetition_time=2.0)  # fmt: skip


def test_labels_are_asked_for(pair):
    with pytest.raises(ConfigError, match=r"regions of the surfaces are unknown(?s:.*)labels="):
        load_surfaces(pair, repetition_time=2.0)
    assert [fault.code for fault in check_surfaces(pair, repetition_time=2.0)] == ["faulty_bold"]


def test_images_of_another_kind(tmp_path, pair):
    volume = nibabel.MGHImage(np.zeros((2, 2, 2, 3), np.float32), np.eye(4))
    nibabel.save(volume, tmp_path / "lh.volume.mgz")
    with pytest.raises(UnsupportedFormatError, match=r"shape \(2, 2, 2, 3\)"):
        read_series(tmp_path / "lh.volume.mgz", "left")
    with pytest.raises(UnsupportedFormatError, match="6 data arrays"):
        read_labels(pair[0], "left")
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), tmp_path / "lh.x.nii")
    with pytest.raises(UnsupportedFormatError, match="a Nifti1Image"):
        read_series(tmp_path / "lh.x.nii", "left")
    (tmp_path / "lh.empty.mgz").touch()
    with pytest.raises(CorruptFileError, match="an empty file"):
        read_series(tmp_path / "lh.empty.mgz", "left")


def test_without_nibabel(pair, tmp_path, monkeypatch):
    (tmp_path / "lh.dk.annot").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "nibabel", None)
    monkeypatch.setitem(sys.modules, "nibabel.freesurfer", None)
    for read, path in ((read_series, pair[0]), (read_labels, tmp_path / "lh.dk.annot")):
        with pytest.raises(MissingDependencyError, match=r"neurodyn\[fmri\]"):
            read(path, "left")
