"""The axis of regions: tables that describe regions, and where the columns of a file belong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import AtlasMismatchError, CorruptFileError, DataError
from neurodyn.io.nwb.naming import unique_labels
from neurodyn.io.table_text import require_text
from neurodyn.recording.labels import as_columns, as_labels

__all__ = [
    "describe_regions",
    "find_regions",
    "hemisphere_of",
    "place_columns",
    "read_regions",
    "region_table",
]

# what tables call these columns, the usual name first; text in a column "label" is a name
LABELS = ("label", "label_value", "index", "value", "roi_id")
NAMES = ("name", "roi", "region", "label")
COLUMNS = {
    "network": ("network", "network_label", "yeo7"),
    "hemisphere": ("hemisphere", "hemi"),
    "x": ("x", "x_mni"),
    "y": ("y", "y_mni"),
    "z": ("z", "z_mni"),
}
SIDES = {"l": "left", "lh": "left", "left": "left", "r": "right", "rh": "right", "right": "right"}
# one capital, or the longer forms in any case, between separators
SIDE = re.compile(r"(?:^|[_\-. ])(L|R|(?i:lh|rh|left|right))(?=[_\-. ]|$)")
SCHAEFER = re.compile(r"(?:7|17)[Nn]etworks_[LR]H_([A-Za-z]+)")
SHOWN = 5


def hemisphere_of(name: str) -> str:
    """Return the side that the name of a region tells: ``"left"``, ``"right"`` or ``""``.

    Examples
    --------
    >>> [hemisphere_of(name) for name in ("7Networks_LH_Vis_1", "R_V1_ROI", "CER6_p")]
    ['left', 'right', '']
    """
    found = SIDE.search(name)
    return SIDES[found[1].lower()] if found else ""


def region_table(
    names: Sequence[object], label: ArrayLike | None = None, **columns: ArrayLike
) -> xr.Dataset:
    """Return regions as coordinates along ``roi``.

    Parameters
    ----------
    names
        Of the regions. Those that repeat are numbered, ``"V1_2"``: their labels differ.
    label
        Their values in an atlas, whole numbers, each once; default the names, if these are
        whole numbers.
    **columns
        What else is known of them, such as ``network``, ``x``. Sides, and networks of Schaefer's
        parcels, come from the names if no column says them.

    Raises
    ------
    DataError
        If a label repeats.

    Examples
    --------
    >>> regions = region_table(["7Networks_LH_Vis_1", "7Networks_RH_Cont_1"], [1, 2])
    >>> regions["hemisphere"].values.tolist(), regions["network"].values.tolist()
    (['left', 'right'], ['Vis', 'Cont'])
    """
    roi = as_labels(unique_labels(list(names))[0])
    if label is None and all(str(name).isdecimal() for name in names):
        label = [int(str(name)) for name in names]
    known: dict[str, ArrayLike] = {} if label is None else {"label": np.asarray(label, np.int64)}
    unique, counts = np.unique(np.asarray(known.get("label", [])), return_counts=True)
    if (counts > 1).any():
        raise DataError(
            "labels of regions repeat",
            found=_shown([str(value) for value in unique[counts > 1]]),
            expected="each region once",
        )
    sides = [hemisphere_of(str(name)) for name in roi]
    networks = [found[1] if (found := SCHAEFER.match(str(name))) else "" for name in roi]
    known.update({k: v for k, v in (("hemisphere", sides), ("network", networks)) if any(v)})
    return xr.Dataset(coords={"roi": roi, **as_columns("roi", {**known, **columns})})


def read_regions(source: str | Path) -> xr.Dataset:
    r"""Read a table of regions.

    Parameters
    ----------
    source
        Text in UTF-8 with a header, separated by tabs (``.tsv``) or commas (``.csv``). Needed is
        a column of whole numbers (``label``, ``label_value``, ``index``) or of names (``name``,
        ``roi``, ``label``); ``network``, ``hemisphere``, ``x``, ``y``, ``z`` [mm] are read if
        they are there.

    Returns
    -------
    xr.Dataset
        Coordinates along ``roi``, in the order of the rows. Without names the labels are the
        names, without labels these are counted from 1.

    Raises
    ------
    FileError, FileNotFoundError
        If the file cannot be read, or has no such column.
    DataError
        If a label repeats.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rois.tsv"
    ...     _ = path.write_text("label_value\tname\tnetwork\n7\tL_V1\tvisual\n")
    ...     regions = read_regions(path)
    >>> regions["roi"].item(), regions["label"].item(), regions["hemisphere"].item()
    ('L_V1', 7, 'left')
    """
    path = Path(source)
    table = _read(path)
    columns = {str(name).strip().lower(): table[name] for name in table.columns}
    labels = next((columns[c] for c in LABELS if c in columns and _is_whole(columns[c])), None)
    names = next((columns[c] for c in NAMES if c in columns and _is_text(columns[c])), None)
    if labels is None and names is None:
        raise CorruptFileError(
            "table of regions has neither labels nor names",
            where=path,
            found=f"columns {_shown(list(map(str, table.columns)))}",
            expected="a column 'label' of whole numbers or a column 'name'",
            hint="name the columns so",
        )
    n = len(table)
    values = np.arange(1, n + 1) if labels is None else labels.to_numpy(np.int64)
    try:
        return region_table(list(values if names is None else names), values, **_described(columns))
    except DataError as error:
        error.where = path
        raise


def find_regions(names: Sequence[str], regions: xr.Dataset, where: object) -> list[int]:
    """Return the place of each name on the axis of regions.

    Parameters
    ----------
    names
        Names of regions, or their labels.
    regions
        Coordinates along ``roi``.
    where
        The file, for messages.

    Raises
    ------
    AtlasMismatchError
        If a name is that of no region.

    Examples
    --------
    >>> find_regions(["20", "10"], region_table(["V1", "M1"], [10, 20]), "a.1D")
    [1, 0]
    """
    keys = [map(str, regions[key].values) for key in ("roi", "label") if key in regions]
    places = [{key: place for place, key in enumerate(kind)} for kind in keys]
    found = max(places, key=lambda place: sum(name in place for name in names))
    strange = [name for name in names if name not in found]
    if strange:
        raise AtlasMismatchError(
            "columns belong to no region",
            where=where,
            found=f"{len(strange)} of {len(names)} columns: {_shown(strange)}",
            expected=f"names or labels of the {regions.sizes['roi']} regions",
            hint="give the table of regions of this atlas",
        )
    return [found[name] for name in names]


def place_columns(
    values: NDArray[Any], names: Sequence[str], regions: xr.Dataset, where: object
) -> tuple[NDArray[Any], xr.Dataset]:
    """Put the columns of a file where they belong on the axis of regions.

    Parameters
    ----------
    values
        Shape ``(time, column)``.
    names
        Of the columns: names of regions, or their labels; never their order.
    regions
        Coordinates along ``roi``.
    where
        The file, for messages.

    Returns
    -------
    tuple
        Values ``(time, roi)`` with NaN for regions without a column, and the regions; ``coverage``
        is 0 for those, and NaN for the others because the file does not tell it.

    Raises
    ------
    AtlasMismatchError
        If a column is no region.

    Examples
    --------
    >>> regions = region_table(["V1", "M1"], [10, 20])
    >>> place_columns(np.array([[5.0]]), ["20"], regions, "a.1D")[0].tolist()
    [[nan, 5.0]]
    """
    column_of = find_regions(names, regions, where)
    missing = np.ones(regions.sizes["roi"], bool)
    missing[column_of] = False
    placed = np.full((len(values), missing.size), np.nan, values.dtype)
    placed[:, column_of] = values
    if missing.any():
        coverage = np.where(missing, 0.0, np.nan)
        regions = regions.assign_coords(coverage=("roi", coverage))
    return placed, regions


def describe_regions(regions: xr.Dataset, table: xr.Dataset, where: object) -> xr.Dataset:
    """Return regions with what a table says of those of the same name.

    Parameters
    ----------
    regions
        Coordinates along ``roi``; their order and labels stay.
    table
        Coordinates along ``roi`` in any order, also of further regions.
    where
        The table, for messages.

    Raises
    ------
    AtlasMismatchError
        If the table lacks a region.

    Examples
    --------
    >>> table = region_table(["V1", "M1"], [1, 2], network=["visual", "motor"])
    >>> described = describe_regions(region_table(["M1"], [7]), table, "rois.tsv")
    >>> described["network"].item(), described["label"].item()
    ('motor', 7)
    """
    strange = [str(name) for name in regions["roi"].values if name not in table.indexes["roi"]]
    if strange:
        raise AtlasMismatchError(
            "regions are not in the table",
            where=where,
            found=f"{len(strange)} of {regions.sizes['roi']} regions: {_shown(strange)}",
            expected="a row for each region, with its name",
            hint="give the table of regions of this atlas",
        )
    found = table.sel(roi=regions["roi"])
    known = {str(n): c for n, c in found.coords.items() if n not in ("roi", "label")}
    return regions.assign_coords({name: ("roi", c.values) for name, c in known.items()})


def _read(path: Path) -> pd.DataFrame:
    require_text(path)
    endings = path.name.lower().split(".")[-2:]
    try:
        table = pd.read_csv(
            path,
            sep="\t" if "tsv" in endings else ",",
            encoding="utf-8-sig",
            keep_default_na=False,  # there are regions called NA
            na_values=["", "n/a", "nan"],
        )
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("rows have more cells than the header")
    except ValueError as error:
        raise CorruptFileError(
            "table of regions cannot be read",
            where=path,
            found=error,
            expected="text with a header, separated by tabs (.tsv) or commas (.csv)",
            hint="save the table again so",
        ) from error
    return table


def _described(columns: Mapping[str, pd.Series[Any]]) -> dict[str, NDArray[Any]]:
    """Return networks, sides and positions, as far as a table has them."""
    known: dict[str, NDArray[Any]] = {}
    for name, spellings in COLUMNS.items():
        column = next((columns[c] for c in spellings if c in columns), None)
        if column is None:
            continue
        if name in ("x", "y", "z"):
            known[name] = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
        else:
            known[name] = as_labels(column.fillna(""))
    if "hemisphere" in known:
        known["hemisphere"] = as_labels(SIDES.get(s.lower(), "") for s in known["hemisphere"])
    return known


def _is_whole(column: pd.Series[Any]) -> bool:
    return column.dtype.kind in "iu"


def _is_text(column: pd.Series[Any]) -> bool:
    return column.dtype.kind not in "iufb" and bool(column.notna().all())


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" * (len(names) > SHOWN))
