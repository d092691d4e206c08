"""An atlas laid over the voxels of an image: which voxels a region has, and which it lost."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import ImageGeometryError, MissingDependencyError
from neurodyn.io.atlas import Atlas
from neurodyn.io.limits import require_budget

__all__ = ["Grid", "Placement", "count_labels", "orientation", "place_atlas", "require_same_sides"]

Affine = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """The voxels of an image.

    Parameters
    ----------
    shape
        Voxels along ``(x, y, z)``.
    affine
        Millimetres from voxels, ``(4, 4)``.
    """

    shape: tuple[int, int, int]
    affine: Affine

    def voxels_from_mm(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Return positions in voxels of points [mm], both ``(point, 3)``."""
        inverse = np.linalg.inv(self.affine)
        found: NDArray[np.float64] = points @ inverse[:3, :3].T + inverse[:3, 3]
        return found

    def mm_from_voxels(self, voxels: NDArray[Any]) -> NDArray[np.float64]:
        """Return points [mm] of positions in voxels, both ``(point, 3)``."""
        found: NDArray[np.float64] = voxels @ self.affine[:3, :3].T + self.affine[:3, 3]
        return found

    def inside(self, voxels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which voxels ``(point, 3)`` the image has."""
        return np.asarray(((voxels >= 0) & (voxels < self.shape)).all(axis=1))

    def flat(self, voxels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place of voxels ``(point, 3)`` in the order of the file, x first."""
        return np.asarray(np.ravel_multi_index(tuple(voxels.T), self.shape, order="F"), np.int64)


@dataclass(frozen=True, eq=False)
class Placement:
    """What each region of an atlas has of an image.

    Parameters
    ----------
    voxel
        Places of voxels in the order of the file, x first. Spheres may share voxels, which then
        stand here for each of them.
    label
        Of the region that each of them belongs to; empty for maps.
    weight
        Of the maps in each of them, ``(voxel, roi)``; None for labels and seeds.
    total
        Voxels (of maps: weight) that each region has on a grid of this spacing without bounds.
    """

    voxel: NDArray[np.int64]
    label: NDArray[np.int64]
    weight: NDArray[np.float32] | None
    total: NDArray[np.float64]


def place_atlas(atlas: Atlas, grid: Grid, where: object) -> Placement:
    """Lay an atlas over the voxels of an image.

    Label images are resampled to the nearest neighbour and maps linearly, by nilearn. A voxel is
    of a seed if its centre is within the radius, or if it holds the seed.

    Parameters
    ----------
    atlas
        The regions.
    grid
        Voxels of the image.
    where
        The image, for messages.

    Returns
    -------
    Placement
        Label images are resampled once more on the same grid without bounds, to count the voxels
        of a region that lie outside the image.

    Raises
    ------
    ImageGeometryError
        If the image and the atlas do not overlap.
    SizeBudgetError
        If the atlas on this grid does not fit into the memory budget.
    MissingDependencyError
        Without nilearn.

    Examples
    --------
    >>> from neurodyn.io.atlas import seeds
    >>> grid = Grid((4, 4, 4), np.eye(4))
    >>> found = place_atlas(seeds([[1, 1, 1], [3, 1, 1]], 1.0), grid, "bold.nii")
    >>> np.bincount(found.label)[1:].tolist(), found.total.tolist()
    ([7, 6], [7.0, 7.0])
    """
    place = {"labels": _place_labels, "maps": _place_maps, "seeds": _place_seeds}[atlas.kind]
    found = place(atlas, grid)
    if not found.voxel.size:
        raise ImageGeometryError(
            "image and atlas do not overlap",
            where=where,
            found=f"image over {_extent(grid)}; atlas {atlas.name} over {_atlas_extent(atlas)}",
            expected="an image and an atlas in the same space [mm]",
            hint="register the image to the space of the atlas, or correct its affine",
        )
    return found


def require_same_sides(atlas: Atlas, affine: Affine, where: object, *, allow_flip: bool) -> None:
    """Refuse an image whose left and right run another way than those of the atlas.

    Both may be right, and resampling then brings them together; but a wrong sign in either of
    them swaps the hemispheres without a trace, so it has to be said.

    Parameters
    ----------
    atlas
        The regions; seeds have no voxels and always pass.
    affine
        Of the image.
    where
        The image, for messages.
    allow_flip
        Both affines are known to be right.

    Raises
    ------
    ImageGeometryError
        If the first axes or the handedness differ; states both orientations.

    Examples
    --------
    >>> from neurodyn.io.atlas import seeds
    >>> require_same_sides(seeds([[1, 1, 1]], 1.0), np.eye(4), "bold.nii", allow_flip=False)
    """
    if atlas.affine is None or allow_flip:
        return
    signs = [float(np.sign(np.linalg.det(a[:3, :3]))) for a in (affine, atlas.affine)]
    codes = [orientation(a) for a in (affine, atlas.affine)]
    if signs[0] == signs[1] and ("L" in codes[0]) == ("L" in codes[1]):
        return
    raise ImageGeometryError(
        "left and right of the image and of the atlas run opposite ways",
        where=where,
        found=f"image {codes[0]} (determinant {'+' if signs[0] > 0 else '-'}), "
        f"atlas {atlas.name} {codes[1]} (determinant {'+' if signs[1] > 0 else '-'})",
        expected="the same orientation, so that no sign can be wrong unnoticed",
        hint="allow_flip=True if both affines are right: regions are then matched by position",
    )


def orientation(affine: Affine) -> str:
    """Return where the three axes of voxels lead, such as ``"RAS"``.

    Examples
    --------
    >>> orientation(np.diag([-2.0, 2.0, 2.0, 1.0]))
    'LAS'
    """
    import nibabel

    codes: Any = nibabel.aff2axcodes
    return "".join(codes(affine))


def count_labels(label: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how often each of the labels of regions occurs.

    Examples
    --------
    >>> count_labels(np.array([7, 3, 7]), np.array([3, 5, 7])).tolist()
    [1.0, 0.0, 2.0]
    """
    found, counts = np.unique(label, return_counts=True)
    n_of = dict(zip(found.tolist(), counts.tolist()))
    return np.array([n_of.get(int(number), 0) for number in labels], np.float64)


def _place_labels(atlas: Atlas, grid: Grid) -> Placement:
    image, affine = np.asarray(atlas.image, np.int32), np.asarray(atlas.affine)
    labels = atlas.regions["label"].values
    box, first = _box(np.argwhere(image), affine, grid)
    own = _resampled(image, affine, grid, "nearest", box, first).ravel(order="F")
    voxel = np.flatnonzero(own)
    label = own[voxel].astype(np.int64)
    total = count_labels(label, labels)
    if not grid.inside(np.stack([first, first + np.array(box.shape) - 1])).all():
        beyond = _resampled(image, affine, box, "nearest", box, np.zeros(3, np.int64))
        places = np.argwhere(beyond)
        outside = places[~grid.inside(places + first)]
        total = total + count_labels(beyond[tuple(outside.T)], labels)
    return Placement(voxel, label, None, total)


def _place_maps(atlas: Atlas, grid: Grid) -> Placement:
    image, affine = np.asarray(atlas.image), np.asarray(atlas.affine)
    n_rois = image.shape[3]
    require_budget(4 * math.prod(grid.shape) * n_rois, None, where=atlas.name)
    box, first = _box(np.argwhere(image.any(axis=3)), affine, grid)
    own = _resampled(image, affine, grid, "linear", box, first)
    own = own.reshape(-1, n_rois, order="F")
    voxel = np.flatnonzero(np.any(own, axis=1))
    # weight by volume: linear interpolation keeps it only on average
    total = np.abs(image).sum(axis=(0, 1, 2), dtype=np.float64)
    total *= _volume(affine) / _volume(grid.affine)
    return Placement(voxel, np.empty(0, np.int64), own[voxel].astype(np.float32), total)


def _place_seeds(atlas: Atlas, grid: Grid) -> Placement:
    points = np.stack([atlas.regions[axis].values for axis in "xyz"], axis=1)
    labels = atlas.regions["label"].values
    spacing = np.linalg.norm(np.linalg.inv(grid.affine)[:3, :3], axis=1)
    voxel, label, total = [], [], []
    for number, point, radius in zip(labels, points, np.asarray(atlas.radius)):
        centre = grid.voxels_from_mm(point[None])[0]
        reach = np.ceil(radius * spacing).astype(int)
        # halves are rounded as nilearn does it
        middle = np.round(centre).astype(np.int64)
        steps = itertools.product(*(range(-n - 1, n + 2) for n in reach))
        near = middle + np.array(list(steps), np.int64)
        distance = np.linalg.norm(grid.mm_from_voxels(near) - point, axis=1)
        own = near[(distance <= radius) | (near == middle).all(axis=1)]
        inside = own[grid.inside(own)]
        voxel.append(grid.flat(inside))
        label.append(np.full(len(inside), number, np.int64))
        total.append(len(own))
    return Placement(
        np.concatenate(voxel), np.concatenate(label), None, np.array(total, np.float64)
    )


def _resampled(
    values: NDArray[Any],
    affine: Affine,
    grid: Grid,
    how: str,
    box: Grid,
    first: NDArray[np.int64],
) -> NDArray[Any]:
    """Return an image on the voxels of a grid, 0 where its ``box`` from ``first`` on ends."""
    if values.shape[:3] == grid.shape and np.array_equal(affine, grid.affine):
        return values
    if (first >= grid.shape).any() or (first + box.shape <= 0).any():
        return np.zeros((*grid.shape, *values.shape[3:]), values.dtype)
    try:
        import nibabel
        from nilearn.image import resample_to_img
    except ImportError as error:
        raise MissingDependencyError("nilearn", "fmri") from error
    as_image: Any = nibabel.Nifti1Image
    with warnings.catch_warnings():
        # about values that look like a mask
        warnings.simplefilter("ignore")
        image = resample_to_img(
            as_image(values, affine),
            as_image(np.broadcast_to(np.int8(0), grid.shape), grid.affine),
            interpolation=how,
            copy=False,
            force_resample=True,
            copy_header=True,
        )
    return np.asanyarray(image.dataobj)


def _box(voxels: NDArray[Any], affine: Affine, grid: Grid) -> tuple[Grid, NDArray[np.int64]]:
    """Return the part of the unbounded grid that holds these voxels of an atlas, and its start."""
    low, high = voxels.min(axis=0) - 0.5, voxels.max(axis=0) + 0.5
    ends = np.array(list(itertools.product(*zip(low, high))))
    reached = grid.voxels_from_mm(ends @ affine[:3, :3].T + affine[:3, 3])
    first = np.floor(reached.min(axis=0)).astype(np.int64)
    shape = np.ceil(reached.max(axis=0)).astype(np.int64) - first + 1
    # a grid much finer than the atlas
    require_budget(
        4 * math.prod(shape.tolist()), None, where="the atlas on the voxels of the image"
    )
    moved = grid.affine.copy()
    moved[:3, 3] = grid.mm_from_voxels(first[None])[0]
    nx, ny, nz = shape.tolist()
    return Grid((nx, ny, nz), moved), first


def _volume(affine: Affine) -> float:
    return float(abs(np.linalg.det(affine[:3, :3])))


def _extent(grid: Grid) -> str:
    corners = list(itertools.product(*((-0.5, n - 0.5) for n in grid.shape)))
    return _ranges(grid.mm_from_voxels(np.array(corners)))


def _atlas_extent(atlas: Atlas) -> str:
    if atlas.image is None:
        return _ranges(np.stack([atlas.regions[axis].values for axis in "xyz"], axis=1))
    nx, ny, nz = atlas.image.shape[:3]
    return _extent(Grid((nx, ny, nz), np.asarray(atlas.affine)))


def _ranges(points: NDArray[np.float64]) -> str:
    ends = zip("xyz", points.min(axis=0), points.max(axis=0))
    return ", ".join(f"{axis} {low:.0f} to {high:.0f} mm" for axis, low, high in ends)
