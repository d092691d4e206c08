"""Atlases from images, tables, names and points."""

from __future__ import annotations

import sys
import warnings

import nibabel
import numpy as np
import pytest
from nilearn import datasets

from neurodyn.errors import AtlasMismatchError, ConfigError, DataError, MissingDependencyError
from neurodyn.io.atlas import as_atlas, coordinate_atlas, read_atlas, seeds
from neurodyn.io.regions import region_table

AFFINE = np.array([[-3.0, 0, 0, 9], [0, 3, 0, -6], [0, 0, 3, -6], [0, 0, 0, 1]])


@pytest.fixture
def labels():
    values = np.zeros((7, 5, 5), np.int16)
    values[0:2, 1:3, 2] = 12
    values[5:7, 1:3, 2] = 5
    values[3, 0, 0] = 40
    return values


def save(path, values, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def test_labels_without_a_table(tmp_path, labels):
    atlas = read_atlas(save(tmp_path / "three.nii.gz", labels))
    assert repr(atlas) == "<Atlas three: 3 labels>"
    assert atlas.regions["roi"].values.tolist() == ["5", "12", "40"]
    assert atlas.regions["label"].values.tolist() == [5, 12, 40]
    np.testing.assert_array_equal(atlas.image, labels)
    for row, label in enumerate([5, 12, 40]):
        voxels = np.argwhere(labels == label)
        centre = nibabel.affines.apply_affine(AFFINE, voxels).mean(axis=0)
        found = [atlas.regions[axis].values[row] for axis in "xyz"]
        np.testing.assert_allclose(found, centre, atol=1e-9)
    # 7.5 mm to either side, and in the middle
    assert atlas.regions["hemisphere"].values.tolist() == ["left", "right", ""]


def test_a_table_names_regions_and_gives_their_order(tmp_path, labels):
    table = tmp_path / "three.tsv"
    table.write_text(
        "index\tname\tnetwork\n0\tBackground\t\n40\tmiddle\tDefault\n12\tV1_L\tVis\n"
        "5\tV1_R\tVis\n77\tgone\tVis\n"
    )
    atlas = read_atlas(save(tmp_path / "a.nii", labels), table, name="mine")
    assert atlas.name == "mine"
    assert atlas.regions["roi"].values.tolist() == ["middle", "V1_L", "V1_R", "gone"]
    assert atlas.regions["label"].values.tolist() == [40, 12, 5, 77]
    assert atlas.regions["network"].values.tolist() == ["Default", "Vis", "Vis", "Vis"]
    # the name wins over the position
    assert atlas.regions["hemisphere"].values.tolist() == ["", "left", "right", ""]
    assert np.isnan(atlas.regions["x"].values).tolist() == [False, False, False, True]


def test_centres_of_a_table_are_taken(tmp_path, labels):
    regions = region_table(["a", "b", "c"], [5, 12, 40], x=[-30.0, 30, 1], y=[0.0] * 3, z=[0.0] * 3)
    atlas = read_atlas(save(tmp_path / "a.nii", labels), regions)
    assert atlas.regions["x"].values.tolist() == [-30, 30, 1]
    assert atlas.regions["hemisphere"].values.tolist() == ["left", "right", ""]


def test_maps(tmp_path, rng):
    values = rng.random((7, 5, 5, 3)).astype("f4")
    values[..., 2] = 0
    atlas = read_atlas(save(tmp_path / "maps.nii.gz", values))
    assert repr(atlas) == "<Atlas maps: 3 maps>"
    assert atlas.regions["roi"].values.tolist() == ["1", "2", "3"]
    grid = nibabel.affines.apply_affine(AFFINE, np.argwhere(np.ones((7, 5, 5))))
    for row in range(2):
        weight = values[..., row].ravel()
        expected = (weight[:, None] * grid).sum(axis=0) / weight.sum()
        found = [atlas.regions[axis].values[row] for axis in "xyz"]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isnan(atlas.regions["x"].values[2])
    named = read_atlas(tmp_path / "maps.nii.gz", region_table(list("abc"), [1, 2, 3]))
    assert named.regions["roi"].values.tolist() == ["a", "b", "c"]
    with pytest.raises(DataError, match=r"(?s)maps do not fit.*3 maps, 2 regions"):
        read_atlas(tmp_path / "maps.nii.gz", region_table(list("ab"), [1, 2]))
    values[0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="1 voxels that are not finite"):
        read_atlas(save(tmp_path / "maps.nii.gz", values))


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, 2.0**25])
def test_images_that_are_none_of_labels(tmp_path, labels, value):
    image = labels.astype("f4")
    image[0, 0, 0] = value
    message = rf"(?s)none of labels.*1 voxels with other values, such as {value:g}".replace(
        "+", "."
    )
    with pytest.raises(DataError, match=message):
        read_atlas(save(tmp_path / "a.nii", image))


def test_tables_and_images_that_do_not_fit(tmp_path, labels):
    path = save(tmp_path / "a.nii", labels)
    with pytest.raises(AtlasMismatchError, match=r"(?s)not in the table.*2 of 3 labels: 12, 40"):
        read_atlas(path, region_table(["a"], [5]))
    with pytest.raises(DataError, match=r"(?s)holds no labels.*labels above 0"):
        read_atlas(save(tmp_path / "b.nii", labels * 0))
    with pytest.raises(FileNotFoundError):
        read_atlas(path, tmp_path / "none.tsv")


@pytest.mark.parametrize(
    ("name", "fetch", "n_rois"),
    [
        ("power264", "fetch_coords_power_2011", 264),
        ("dosenbach160", "fetch_coords_dosenbach_2010", 160),
        ("seitzman300", "fetch_coords_seitzman_2018", 300),
    ],
)
def test_coordinates_come_without_a_network(name, fetch, n_rois, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("a connection"))
    atlas = coordinate_atlas(name)
    assert repr(atlas) == f"<Atlas {name}: {n_rois} seeds>"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(datasets, fetch)()["rois"][["x", "y", "z"]].to_numpy(float)
    for column, axis in enumerate("xyz"):
        np.testing.assert_array_equal(atlas.regions[axis], expected[:, column])
    assert len(set(atlas.regions["roi"].values)) == n_rois
    x, side = atlas.regions["x"].values, atlas.regions["hemisphere"].values
    assert (side[x <= -5] == "left").all()
    assert (side[x >= 5] == "right").all()


def test_what_the_authors_say_of_seeds():
    dosenbach, seitzman = coordinate_atlas("dosenbach160"), coordinate_atlas("seitzman300")
    assert dosenbach.regions["roi"].values[0] == "inf cerebellum 155"
    assert dosenbach.regions["network"].values[0] == "cerebellum"
    assert set(seitzman.radius) == {4.0, 5.0}
    assert "DefaultMode" in seitzman.regions["network"].values
    assert set(coordinate_atlas("seitzman300", radius=8).radius) == {8.0}


def test_seeds():
    atlas = seeds([[-40, 0, 0], [2, 5, 5]], [4.0, 6.0], roi=["M1", "SMA"], network=["Vis", "Vis"])
    assert atlas.regions["roi"].values.tolist() == ["M1", "SMA"]
    assert atlas.regions["hemisphere"].values.tolist() == ["left", ""]
    assert atlas.regions["network"].values.tolist() == ["Vis", "Vis"]
    assert atlas.radius.tolist() == [4, 6]
    with pytest.raises(DataError, match=r"(?s)no points.*shape \(3,\)"):
        seeds([1, 2, 3], 4.0)
    with pytest.raises(DataError, match="no points"):
        seeds([[1, 2, np.nan]], 4.0)
    with pytest.raises(ConfigError, match=r"(?s)radius must be positive.*found: 0"):
        seeds([[1, 2, 3]], 0)


def test_one_argument_for_all_kinds(tmp_path, labels):
    path = save(tmp_path / "a.nii", labels)
    assert as_atlas(str(path)).kind == "labels"
    assert as_atlas("power264").kind == "seeds"
    atlas = seeds([[1, 2, 3]], 4.0)
    assert as_atlas(atlas) is atlas
    with pytest.raises(FileNotFoundError, match="no such atlas: power246; known by name: power264"):
        as_atlas("power246")
    with pytest.raises(ConfigError, match=r"(?s)invalid value for name.*did you mean"):
        coordinate_atlas("power246")


def test_without_nilearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(MissingDependencyError, match=r"neurodyn\[fmri\]"):
        coordinate_atlas("power264")


REAL = [
    ("fmri_abide1_cc200/CC200.nii.gz", "fmri_abide1_cc200/cc200_rois.tsv", 200),
    ("fmri_pain_mist122/MIST122_relabeled.nii.gz", "fmri_pain_mist122/mist122_rois.tsv", 122),
    ("fmri_atlases/aal_mask_pad.nii.gz", None, 116),
]


@pytest.mark.shared_data
@pytest.mark.parametrize(("image", "table", "n_rois"), REAL, ids=["cc200", "mist122", "aal"])
def test_real_atlases(shared_data, image, table, n_rois):
    atlas = read_atlas(shared_data / image, table and shared_data / table)
    assert atlas.regions.sizes["roi"] == n_rois
    if table is None:
        return
    alone = read_atlas(shared_data / image).regions
    listed = atlas.regions.sortby("label")
    for axis in "xyz":
        np.testing.assert_allclose(listed[axis], alone[axis], atol=0.1)
    assert len(set(atlas.regions["network"].values)) > 5
