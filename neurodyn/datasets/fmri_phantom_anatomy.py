"""The head of the fMRI simulator: 42 regions of seven networks, as voxels and as vertices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["AFFINE", "NETWORKS", "N_VERTICES", "Head", "phantom_head"]

FloatArray = NDArray[np.float64]

NETWORKS = ("Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont", "Default")
"""The seven networks of Yeo et al. (2011), in their order."""

# three places of each network on the left [mm, MNI], rounded; the right is their mirror image
CENTRES = {
    "Vis": ((-10, -88, 2), (-40, -78, -4), (-22, -60, -10)),
    "SomMot": ((-40, -24, 56), (-54, -10, 28), (-8, -22, 64)),
    "DorsAttn": ((-26, -60, 54), (-26, -6, 54), (-52, -36, 42)),
    "SalVentAttn": ((-36, 18, 2), (-58, -38, 22), (-8, 12, 42)),
    "Limbic": ((-18, 34, -20), (-36, 8, -34), (-48, -22, -30)),
    "Cont": ((-42, 34, 24), (-44, -54, 44), (-30, 56, 2)),
    "Default": ((-8, 50, 6), (-8, -52, 30), (-46, -70, 28)),
}
SHAPE = (20, 24, 20)
SPACING = 8.0
AFFINE = np.array(
    [[SPACING, 0, 0, -76], [0, SPACING, 0, -108], [0, 0, SPACING, -60], [0, 0, 0, 1]], np.float64
)
"""Millimetres from voxels, left to right."""
RADIUS = 14.0
BRAIN_CENTRE, BRAIN_RADII = np.array([0.0, -16.0, 14.0]), np.array([70.0, 88.0, 66.0])

N_VERTICES = 642
"""Of each hemisphere, a sphere, with those of the medial wall, which files leave out."""
SPHERE_CENTRE = np.array([-34.0, -16.0, 14.0])
WIDEST_ANGLE = 0.4
MEDIAL_WALL = 0.85


class Head(NamedTuple):
    """Where the regions are."""

    regions: xr.Dataset
    """Coordinates along ``roi``: ``label`` from 1, ``network``, ``hemisphere``, ``x, y, z``."""
    label: NDArray[np.int16]
    """Region of each voxel, 0 for none, shape ``(x, y, z)``."""
    brain: NDArray[np.bool_]
    """Voxels of the brain, shape ``(x, y, z)``."""
    vertex: dict[str, NDArray[np.int64]]
    """Vertices outside the medial wall, by hemisphere."""
    vertex_label: dict[str, NDArray[np.int16]]
    """Region of each of them, 0 for none."""


def phantom_head() -> Head:
    """Return the regions of the fMRI simulator and where they are.

    A region is a ball of 14 mm on voxels of 8 mm, and a patch of a sphere of 642 vertices in each
    hemisphere. Centres lie where the networks of Yeo et al. (2011) lie, in MNI space; what a
    centre holds of the midline belongs to its own side.

    Examples
    --------
    >>> head = phantom_head()
    >>> head.regions.sizes["roi"], head.regions["roi"].values[:3].tolist(), head.label.shape
    (42, ['LH_Vis_1', 'LH_Vis_2', 'LH_Vis_3'], (20, 24, 20))
    """
    regions = _regions()
    place = np.stack([regions[axis].values for axis in "xyz"], axis=1)
    voxel = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    distance = np.linalg.norm(voxel[..., None, :] - place, axis=-1)
    distance[np.sign(voxel[..., :1]) != np.sign(place[:, 0])] = np.inf
    label = _nearest(distance, RADIUS)
    brain = (((voxel - BRAIN_CENTRE) / BRAIN_RADII) ** 2).sum(-1) <= 1
    left, of_left = _vertices(place[place[:, 0] < 0])
    # the right mesh is the mirror image of the left one, with the same numbers
    of_right = np.where(of_left > 0, of_left + len(place) // 2, 0).astype(np.int16)
    return Head(
        regions,
        label,
        brain | (label > 0),
        {"left": left, "right": left},
        {"left": of_left, "right": of_right},
    )


def _regions() -> xr.Dataset:
    names, networks, hemispheres, places = [], [], [], []
    for side, letter, sign in (("left", "L", 1), ("right", "R", -1)):
        for network, centres in CENTRES.items():
            for number, (x, y, z) in enumerate(centres, start=1):
                names.append(f"{letter}H_{network}_{number}")
                networks.append(network)
                hemispheres.append(side)
                places.append((sign * x, y, z))
    columns = dict(zip("xyz", np.array(places, np.float64).T))
    return xr.Dataset(
        coords={
            "roi": np.array(names, object),
            "label": ("roi", np.arange(1, len(names) + 1)),
            "network": ("roi", np.array(networks, object)),
            "hemisphere": ("roi", np.array(hemispheres, object)),
            **{axis: ("roi", values) for axis, values in columns.items()},
        }
    )


def _vertices(centres: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Return the vertices of the left hemisphere that files hold, and their regions."""
    number = np.arange(N_VERTICES)
    height = 1 - (2 * number + 1) / N_VERTICES
    turn = np.pi * (1 + 5**0.5) * number
    width = np.sqrt(1 - height**2)
    point = np.stack([width * np.cos(turn), width * np.sin(turn), height], axis=1)
    direction = centres - SPHERE_CENTRE
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    label = _nearest(np.arccos(np.clip(point @ direction.T, -1, 1)), WIDEST_ANGLE)
    kept = np.flatnonzero((point[:, 0] < MEDIAL_WALL) | (label > 0))
    return kept, label[kept]


def _nearest(distance: FloatArray, widest: float) -> NDArray[np.int16]:
    """Return the region of the least distance along the last axis, 0 where that is too far."""
    nearest = distance.argmin(axis=-1)
    return np.where(distance.min(axis=-1) <= widest, nearest + 1, 0).astype(np.int16)
