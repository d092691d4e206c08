"""CIFTI-2 files opened and checked: their axes, their numbers, and what lies at each place."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurodyn.errors import CiftiError, CorruptFileError, MissingDependencyError
from neurodyn.io.lazy import FileArray
from neurodyn.io.limits import require_budget

__all__ = [
    "CiftiFile",
    "Grayordinates",
    "grayordinates",
    "open_cifti_file",
    "side_of",
    "wrong_axes",
]

PREFIX = "CIFTI_STRUCTURE_"


@dataclass(frozen=True)
class Grayordinates:
    """What the places along an axis of brain models are.

    Parameters
    ----------
    structure
        ``"CORTEX_LEFT"``, ..., shape ``(vertex,)``.
    index
        Vertex of the surface, or number of the voxel in the volume, shape ``(vertex,)``.
    meshes
        Number of vertices of each whole surface, with those that the file leaves out.
    volume
        Shape and affine of the volume of the voxels; None without voxels.
    """

    structure: NDArray[np.str_]
    index: NDArray[np.int64]
    meshes: Mapping[str, int]
    volume: tuple[tuple[int, ...], NDArray[np.float64]] | None

    def places_of(self, other: Grayordinates, where: object) -> NDArray[np.int64]:
        """Return where this file holds the places of another one; -1 where it does not.

        Parameters
        ----------
        other
            Places by structure and number.
        where
            The two files, for messages.

        Returns
        -------
        NDArray[np.int64]
            Shape of ``other.index``.

        Raises
        ------
        CiftiError
            If the surfaces or the volumes of the two are not the same, so that numbers of their
            vertices or voxels mean different places.
        """
        for name in self.meshes.keys() & other.meshes.keys():
            if self.meshes[name] != other.meshes[name]:
                raise _other_space(where, self.meshes[name], other.meshes[name], name)
        if self.volume and other.volume:
            (shape, affine), (other_shape, other_affine) = self.volume, other.volume
            if shape != other_shape or not np.allclose(affine, other_affine, atol=1e-3):
                raise _other_space(where, shape, other_shape, "volume")
        mine, wanted = (
            pd.MultiIndex.from_arrays([place.structure, place.index]) for place in (self, other)
        )
        return np.asarray(mine.get_indexer(wanted), np.int64)


@dataclass(frozen=True)
class CiftiFile:
    """A CIFTI-2 file of two axes; its numbers stay in the file.

    Parameters
    ----------
    path
        The file.
    axes
        Of nibabel: one for the rows, one for the columns.
    values
        Shape ``(row, column)``.
    """

    path: Path
    axes: tuple[Any, Any]
    values: _StoredMatrix

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the axes: ``("series", "brain models")``."""
        return tuple(_kind(axis) for axis in self.axes)

    def read(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Return whole rows of numbers.

        Raises
        ------
        SizeBudgetError
            If they do not fit into the memory budget.
        CorruptFileError
            If they cannot be read.
        """
        return self.values.read((rows, slice(None)))


class _StoredMatrix(FileArray):
    """Numbers of a CIFTI file, read when they are touched."""

    def __init__(self, stored: Any, path: Path) -> None:
        self.stored, self.path = stored, path
        self.shape, self.dtype = stored.shape, np.dtype(np.float32)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        # nibabel takes no lists of places
        rows = key[0] if isinstance(key[0], slice | int) else slice(None)
        values = self.read((rows, slice(None)))
        return values[..., key[1]] if rows is key[0] else values[key[0]][:, key[1]]

    def read(self, key: tuple[slice | int, slice]) -> NDArray[np.float32]:
        require_budget(4 * math.prod(self.shape), None, where=self.path)
        try:
            return np.asarray(self.stored[key], np.float32)
        except (OSError, ValueError) as error:
            raise _cut_off(self.path, error) from error


def open_cifti_file(source: str | Path) -> CiftiFile:
    """Open a CIFTI-2 file and check that its axes and its numbers agree; reads no numbers.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptFileError
        If it is damaged or shorter than its header says.
    CiftiError
        If it is an image of another kind, or its axes do not fit its numbers.
    SizeBudgetError
        If its header is larger than the memory budget.
    MissingDependencyError
        Without nibabel.
    """
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError("nibabel", "fmri") from error
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.is_file() or not path.stat().st_size:
        raise _damaged(path, "an empty file" if path.is_file() else "a folder")
    # the header is XML in front of the numbers, and nibabel reads all of it
    require_budget(path.stat().st_size, None, where=path)
    try:
        with warnings.catch_warnings(), nibabel.imageglobals.LoggingOutputSuppressor():
            # a wrong number of columns is an error here, and is stated below
            warnings.simplefilter("ignore")
            image: Any = nibabel.load(path)
            is_cifti = isinstance(image, nibabel.Cifti2Image)
            axes = tuple(map(image.header.get_axis, range(image.ndim))) if is_cifti else ()
    except Exception as error:
        # of damaged headers nibabel and the parser of XML raise errors of a dozen kinds
        raise _damaged(path, error) from error
    if not is_cifti:
        raise CiftiError(
            "file is no CIFTI-2 file",
            where=path,
            found=f"a {type(image).__name__} of shape {image.shape}",
            expected="a CIFTI-2 header with axes such as (series, brain models)",
            hint="a volume is read with the ending .nii or .nii.gz",
        )
    _require_shape(path, axes, image.dataobj)
    return CiftiFile(path, axes, _StoredMatrix(image.dataobj, path))


def grayordinates(file: CiftiFile, axis: Any) -> Grayordinates:
    """Return what the places along an axis of brain models are.

    Raises
    ------
    CiftiError
        If it holds no vertices of a surface.
    """
    surface = np.asarray(axis.surface_mask)
    structure = np.array([str(name).removeprefix(PREFIX) for name in axis.name])
    if not surface.any():
        raise CiftiError(
            "file holds no surface",
            where=file.path,
            found=f"voxels only, of {', '.join(sorted(set(structure)))}",
            expected="brain models with vertices of the cortex",
            hint="write the volume as NIfTI, and load it with an atlas",
        )
    index = np.asarray(axis.vertex, np.int64).copy()
    volume = None
    if not surface.all():
        voxel = np.asarray(axis.voxel)[~surface].T
        index[~surface] = np.ravel_multi_index(tuple(voxel), axis.volume_shape)
        volume = tuple(axis.volume_shape), np.asarray(axis.affine, np.float64)
    meshes = {str(name).removeprefix(PREFIX): int(n) for name, n in axis.nvertices.items()}
    return Grayordinates(structure, index, meshes, volume)


def side_of(structures: set[str]) -> str:
    """Return ``"left"`` or ``"right"`` if all structures lie there, else ``""``.

    Examples
    --------
    >>> side_of({"CORTEX_LEFT"}), side_of({"CORTEX_LEFT", "CORTEX_RIGHT"}), side_of(set())
    ('left', '', '')
    """
    sides = {name.rpartition("_")[2].lower() for name in structures}
    return sides.pop() if sides in ({"left"}, {"right"}) else ""


def wrong_axes(file: CiftiFile, expected: str) -> CiftiError:
    """Return the error about a file of another kind of axes."""
    swapped = file.kinds[::-1] in (("series", "brain models"), ("series", "parcels"))
    return CiftiError(
        "file has other axes",
        where=file.path,
        found=f"({', '.join(file.kinds)})" + ", swapped" * swapped,
        expected=expected,
        hint="write it again with time along the rows" if swapped else None,
    )


def _other_space(where: object, found: object, expected: object, name: str) -> CiftiError:
    return CiftiError(
        "files do not lie in the same space",
        where=where,
        found=f"{name} of {found} in the series",
        expected=f"{expected} as in the parcellation",
        hint="take the parcellation on the surface of the series, such as fsLR 32k",
    )


def _kind(axis: Any) -> str:
    names = {
        "SeriesAxis": "series",
        "BrainModelAxis": "brain models",
        "ParcelsAxis": "parcels",
        "ScalarAxis": "scalars",
        "LabelAxis": "labels",
    }
    return names.get(type(axis).__name__, type(axis).__name__)


def _require_shape(path: Path, axes: tuple[Any, ...], stored: Any) -> None:
    expected = tuple(len(axis) for axis in axes)
    kinds = ", ".join(map(_kind, axes))
    if len(axes) != 2 or stored.shape != expected:
        raise CiftiError(
            "axes of the file do not fit its numbers",
            where=path,
            found=f"numbers of shape {tuple(stored.shape)}",
            expected=f"{expected} for the axes ({kinds})" if len(axes) == 2 else "two axes",
            hint="write the file again from its source",
        )
    needed = stored.offset + math.prod(expected) * stored.dtype.itemsize
    if path.suffix != ".gz" and path.stat().st_size < needed:
        raise _cut_off(path, f"Expected {needed} bytes, got {path.stat().st_size} bytes")


def _cut_off(path: Path, found: object) -> CorruptFileError:
    return CorruptFileError(
        "CIFTI file is damaged or was cut off",
        where=path,
        found=found,
        expected="all the numbers that its header declares",
        hint="copy or download it again",
    )


def _damaged(path: Path, found: object) -> CorruptFileError:
    return CorruptFileError(
        "CIFTI file cannot be read",
        where=path,
        found=found,
        expected="a complete CIFTI-2 file",
        hint="copy or download it again",
    )
