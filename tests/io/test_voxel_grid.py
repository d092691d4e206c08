"""Atlases laid over voxels: against nilearn, and against the whole atlas where they are cut."""

from __future__ import annotations

import sys

import nibabel
import numpy as np
import pytest
from nilearn.image import resample_to_img

from neurodyn.errors import ImageGeometryError, MissingDependencyError
from neurodyn.io.atlas import Atlas, seeds
from neurodyn.io.regions import region_table
from neurodyn.io.voxel_grid import Grid, orientation, place_atlas, require_same_sides

LAS = np.array([[-3.0, 0, 0, 30], [0, 3, 0, -30], [0, 0, 3, -30], [0, 0, 0, 1]])


@pytest.fixture
def blocks():
    """Cubes of 4 voxels in 27 labels, with a margin of background."""
    image = np.zeros((20, 20, 20), np.int64)
    inner = np.arange(1, 28).reshape(3, 3, 3).repeat(4, 0).repeat(4, 1).repeat(4, 2)
    image[4:16, 4:16, 4:16] = inner
    table = region_table(range(1, 28), np.arange(1, 28))
    return Atlas("blocks", table, "labels", image, LAS)


def shifted(affine, first, scale=1.0):
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ first + affine[:3, 3]
    moved[:3, :3] *= scale
    return moved


def counts(placement):
    return np.bincount(placement.label, minlength=28)[1:]


GRIDS = {
    "the same": Grid((20, 20, 20), LAS),
    "finer": Grid((30, 30, 30), shifted(LAS, [0.2, 0.1, 0.3], 2 / 3)),
    "coarser": Grid((15, 16, 17), shifted(LAS, [0.2, 0.1, 0.3], 4 / 3)),
    "cut": Grid((20, 20, 9), shifted(LAS, [0, 0, 6])),
    "another side": Grid((20, 20, 20), np.diag([-1.0, 1, 1, 1]) @ LAS),
    "turned": Grid((20, 20, 20), LAS @ nibabel.affines.from_matvec(np.eye(3)[[0, 2, 1]])),
}


@pytest.mark.parametrize("name", GRIDS)
def test_labels_equal_nilearn(blocks, name):
    grid = GRIDS[name]
    target = nibabel.Nifti1Image(np.zeros(grid.shape, "i1"), grid.affine)
    image = nibabel.Nifti1Image(blocks.image.astype("i4"), blocks.affine)
    expected = resample_to_img(
        image, target, interpolation="nearest", force_resample=True, copy_header=True
    ).get_fdata()
    found = place_atlas(blocks, grid, "bold.nii")
    image = np.zeros(grid.shape, order="F")
    image.ravel(order="K")[found.voxel] = found.label
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("name", ["the same", "another side", "turned", "finer", "coarser"])
def test_an_atlas_that_is_whole_has_all_its_voxels(blocks, name):
    found = place_atlas(blocks, GRIDS[name], "bold.nii")
    np.testing.assert_array_equal(found.total, counts(found))


def test_voxels_outside_the_image_count(blocks):
    found = place_atlas(blocks, GRIDS["cut"], "bold.nii")
    assert set(found.total) == {64.0}
    share = (counts(found) / found.total).reshape(3, 3, 3)
    np.testing.assert_allclose(share, np.broadcast_to([0.5, 1.0, 0.75], (3, 3, 3)))
    beyond = place_atlas(blocks, Grid((10, 30, 30), shifted(LAS, [-2, -4, -5])), "bold.nii")
    assert set(beyond.total) == {64.0}
    assert counts(beyond).reshape(3, -1)[:, 0].tolist() == [64, 0, 0]


@pytest.mark.parametrize("scale", [2 / 3, 1.0, 4 / 3])
def test_coverage_of_a_cut_image_is_that_of_the_whole_one(blocks, scale):
    first = np.array([0.2, 0.1, 0.3])
    whole = Grid((40, 40, 40), shifted(LAS, first, scale))
    cut = Grid((40, 40, 8), shifted(whole.affine, [0, 0, 2]))
    reference, found = place_atlas(blocks, whole, ""), place_atlas(blocks, cut, "")
    np.testing.assert_array_equal(found.total, reference.total)


def test_a_region_smaller_than_a_voxel_vanishes(blocks):
    image = np.where(blocks.image == 5, 0, blocks.image)
    image[1, 1, 1] = 5
    atlas = Atlas("blocks", blocks.regions, "labels", image, LAS)
    found = place_atlas(atlas, Grid((7, 7, 7), shifted(LAS, [0, 0, 0], 3.0)), "bold.nii")
    assert found.total[4] == 0
    assert 5 not in found.label


def test_seeds_on_and_over_the_edge():
    grid = Grid((10, 10, 10), np.diag([2.0, 2, 2, 1]))
    atlas = seeds([[8, 8, 8], [0, 8, 8], [8.9, 8, 8], [99, 0, 0]], [4.1, 4.1, 0.1, 3])
    found = place_atlas(atlas, grid, "bold.nii")
    steps = np.indices((5, 5, 5)).reshape(3, -1).T - 2
    n_ball = int((np.linalg.norm(2 * steps, axis=1) <= 4.1).sum())
    n_half = int(((np.linalg.norm(2 * steps, axis=1) <= 4.1) & (steps[:, 0] >= 0)).sum())
    assert np.bincount(found.label, minlength=5)[1:].tolist() == [n_ball, n_half, 1, 0]
    assert found.total[:3].tolist() == [n_ball, n_ball, 1]
    assert found.total[3] > 0


def test_maps_are_weighed_by_volume(rng):
    maps = np.zeros((20, 20, 20, 2), "f4")
    maps[4:16, 4:16, 4:10, 0] = 0.5
    maps[8:12, 8:12, 12:16, 1] = rng.random((4, 4, 4))
    atlas = Atlas("maps", region_table("ab", [1, 2]), "maps", maps, LAS)
    same = place_atlas(atlas, Grid((20, 20, 20), LAS), "")
    np.testing.assert_allclose(same.weight.sum(axis=0), same.total, rtol=1e-5)
    finer = place_atlas(atlas, Grid((40, 40, 40), shifted(LAS, [-0.25] * 3, 0.5)), "")
    np.testing.assert_allclose(finer.weight.sum(axis=0), finer.total, rtol=0.05)
    cut = place_atlas(atlas, Grid((20, 20, 7), LAS), "")
    np.testing.assert_allclose(cut.weight.sum(axis=0) / cut.total, [0.5, 0], atol=1e-6)


def test_images_elsewhere_are_refused(blocks):
    far = Grid((10, 10, 10), shifted(LAS, [200, 0, 0]))
    message = r"(?s)do not overlap \(at bold.nii\).*image over x -598 to -568 .*; atlas blocks"
    with pytest.raises(ImageGeometryError, match=message):
        place_atlas(blocks, far, "bold.nii")
    with pytest.raises(ImageGeometryError, match=r"(?s)atlas seeds over x 1 to 1 mm.*register"):
        place_atlas(seeds([[1, 2, 3]], 4.0), far, "bold.nii")


@pytest.mark.parametrize(
    ("affine", "code"),
    [
        (np.diag([3.0, 3, 3, 1]), r"RAS \(determinant \+\)"),
        (np.diag([3.0, -3, 3, 1]), r"RPS \(determinant -\)"),
        (np.diag([-3.0, -3, 3, 1]), r"LPS \(determinant \+\)"),
    ],
)
def test_opposite_sides_are_refused(blocks, affine, code):
    message = rf"(?s)opposite ways \(at a.nii\).*image {code}, atlas blocks LAS \(determinant -\)"
    with pytest.raises(ImageGeometryError, match=message):
        require_same_sides(blocks, affine, "a.nii", allow_flip=False)
    require_same_sides(blocks, affine, "a.nii", allow_flip=True)
    require_same_sides(seeds([[1, 2, 3]], 4.0), affine, "a.nii", allow_flip=False)


def test_the_same_sides_pass(blocks):
    for affine in (LAS, np.diag([-2.0, 2, 2, 1]), LAS @ np.diag([1.0, -1, -1, 1])):
        require_same_sides(blocks, affine, "a.nii", allow_flip=False)
    assert orientation(LAS) == "LAS"


def test_without_nilearn(blocks, monkeypatch):
    place_atlas(blocks, GRIDS["the same"], "")
    monkeypatch.setitem(sys.modules, "nilearn.image", None)
    with pytest.raises(MissingDependencyError, match=r"neurodyn\[fmri\]"):
        place_atlas(blocks, GRIDS["finer"], "")
