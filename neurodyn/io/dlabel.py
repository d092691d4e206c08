"""Parcellations of grayordinates: CIFTI-2 files of labels (``.dlabel.nii``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import CiftiError, suggest
from neurodyn.io.cifti_axes import (
    CiftiFile,
    Grayordinates,
    grayordinates,
    open_cifti_file,
    side_of,
    wrong_axes,
)
from neurodyn.io.regions import region_table

__all__ = ["Parcellation", "open_parcellation", "read_dlabel"]

SHOWN = 5


@dataclass(frozen=True)
class Parcellation:
    """Regions and the places that belong to them.

    Parameters
    ----------
    regions
        Coordinates along ``roi``.
    region
        Label of the region at each place, 0 for none, shape ``(vertex,)``.
    places
        What these places are.
    """

    regions: xr.Dataset
    region: NDArray[np.int64]
    places: Grayordinates


def read_dlabel(source: str | Path, *, map_name: str | None = None) -> xr.Dataset:
    """Read a parcellation of grayordinates.

    Parameters
    ----------
    source
        ``.dlabel.nii``.
    map_name
        Which of its maps, if it holds several.

    Returns
    -------
    xr.Dataset
        ``region(vertex)``, int64, the label of the region at each place, 0 for none, with
        ``structure`` and ``index`` along ``vertex``. The regions are coordinates along ``roi``:
        names, ``label``, ``hemisphere`` and, where names tell it, ``network``. A label that no
        place carries is no region.

    Raises
    ------
    CiftiError
        If the axes are others than (labels, brain models), or it is not clear which map is meant.
    FileError, FileNotFoundError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from nibabel.cifti2 import Cifti2Image, cifti2_axes
    >>> cortex = cifti2_axes.BrainModelAxis.from_mask([True, True, True], "CORTEX_LEFT")
    >>> table = {0: ("none", (0, 0, 0, 0)), 7: ("V1", (1, 0, 0, 1))}
    >>> labels = cifti2_axes.LabelAxis(["areas"], [table])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "areas.dlabel.nii"
    ...     Cifti2Image(np.array([[0.0, 7.0, 7.0]]), (labels, cortex)).to_filename(path)
    ...     atlas = read_dlabel(path)
    >>> atlas["region"].values.tolist(), atlas["roi"].item(), atlas["hemisphere"].item()
    ([0, 7, 7], 'V1', 'left')
    """
    atlas = open_parcellation(source, map_name)
    return atlas.regions.assign(region=("vertex", atlas.region)).assign_coords(
        structure=("vertex", atlas.places.structure), index=("vertex", atlas.places.index)
    )


def open_parcellation(source: str | Path, map_name: str | None) -> Parcellation:
    """Read a parcellation with what its places are; as :func:`read_dlabel`."""
    file = open_cifti_file(source)
    if file.kinds != ("labels", "brain models"):
        raise wrong_axes(file, "(labels, brain models), as in a .dlabel.nii")
    labels, models = file.axes
    row = _chosen_map(file, [str(name) for name in labels.name], map_name)
    places = grayordinates(file, models)
    keys = file.read(slice(row, row + 1))[0]
    if not (np.isfinite(keys).all() and (keys == np.rint(keys)).all()):
        raise CiftiError(
            "labels are no whole numbers",
            where=file.path,
            found="fractions or NaN",
            expected="a key of the table of labels at each place",
        )
    region = keys.astype(np.int64)
    # key 0 is none; a table of labels often holds names that no place carries
    present = [int(value) for value in np.unique(region) if value]
    table = labels.label[row]
    unnamed = [value for value in present if value not in table]
    if unnamed:
        raise CiftiError(
            "labels have no name",
            where=file.path,
            found=f"{len(unnamed)} of {len(present)}: {unnamed[:SHOWN]}",
            expected="each label in the table of the file",
        )
    sides = [side_of(set(places.structure[region == value])) for value in present]
    regions = region_table([table[value][0] for value in present], present, hemisphere=sides)
    return Parcellation(regions, region, places)


def _chosen_map(file: CiftiFile, names: list[str], wanted: str | None) -> int:
    if wanted is None and len(names) == 1:
        return 0
    if wanted in names:
        return names.index(wanted)
    raise CiftiError(
        "it is not clear which map is meant" if wanted is None else f"file has no map {wanted!r}",
        where=file.path,
        found=f"{len(names)} maps: {', '.join(names[:SHOWN])}",
        expected="the name of one of them",
        hint="say map_name=..." if wanted is None else suggest(wanted, names),
    )
