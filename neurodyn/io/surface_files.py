"""Files of one hemisphere: time series (GIFTI, ``.mgz``) and labels (GIFTI, ``.annot``)."""

from __future__ import annotations

import importlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import (
    CorruptFileError,
    DataError,
    ImageGeometryError,
    MissingDependencyError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io.limits import require_budget
from neurodyn.io.repetition_time import in_seconds

__all__ = ["SurfaceLabels", "SurfaceSeries", "both_sides", "read_labels", "read_series"]

# how names of files tell the side, left and right
SIDES = (
    ("hemi-L", "hemi-R", r"(?:^|(?<=_))hemi-[LR](?=[_.])"),
    ("lh.", "rh.", r"(?:^|(?<=[_.]))[lr]h\."),
    (".L.", ".R.", r"\.[LR]\."),
)
STRUCTURES = {"CortexLeft": "left", "CortexRight": "right"}
NO_REGION = {"", "???", "unknown", "none", "medial_wall", "medialwall", "corpuscallosum"}
EXTERNAL = b"ExternalFileBinary"


@dataclass(frozen=True)
class SurfaceSeries:
    """Time series of one hemisphere.

    Parameters
    ----------
    values
        Shape ``(time, vertex)``.
    step
        Repetition time of the header [s]; None if it does not say.
    """

    values: NDArray[np.float32]
    step: float | None


@dataclass(frozen=True)
class SurfaceLabels:
    """Labels of one hemisphere.

    Parameters
    ----------
    label
        Region of each vertex, 0 for none, shape ``(vertex,)``.
    names
        Of the regions, by label; empty if the source does not name them.
    """

    label: NDArray[np.int64]
    names: dict[int, str]


def both_sides(source: str | Path) -> tuple[Path, Path]:
    """Return the files of the left and of the right hemisphere, given one of them.

    Parameters
    ----------
    source
        A name that tells its side: ``hemi-L``, ``lh.``, ``.L.``, or those of the right.

    Raises
    ------
    ImageGeometryError
        If the name does not tell it.

    Examples
    --------
    >>> both_sides("sub-01_hemi-R_space-fsaverage5_bold.func.gii")[0].name
    'sub-01_hemi-L_space-fsaverage5_bold.func.gii'
    """
    path = Path(source)
    for left, right, pattern in SIDES:
        if re.search(pattern, path.name):
            pair = (path.with_name(re.sub(pattern, side, path.name)) for side in (left, right))
            return next(pair), next(pair)
    raise ImageGeometryError(
        "it is not clear which hemisphere a file is",
        where=path,
        found=path.name,
        expected="hemi-L or hemi-R, lh. or rh., .L. or .R. in its name",
        hint="give both files as (left, right)",
    )


def read_series(source: str | Path, side: str) -> SurfaceSeries:
    """Read the time series of one hemisphere.

    Parameters
    ----------
    source
        ``.func.gii``, ``.gii``, ``.mgz`` or ``.mgh``.
    side
        ``"left"`` or ``"right"``; what the file says must agree.

    Raises
    ------
    FileError, FileNotFoundError
        If the file cannot be read.
    ImageGeometryError
        If it is of the other side.
    UnitScaleError
        If its time step is hardly one.
    """
    path = Path(source)
    if path.name.lower().endswith((".mgz", ".mgh")):
        image = _load(path)
        values = np.asarray(image.dataobj, np.float32)
        if values.ndim != 4 or values.shape[1:3] != (1, 1):
            raise _unsupported(path, f"shape {values.shape}", "shape (vertex, 1, 1, time)")
        step = in_seconds(float(image.header.get_zooms()[3]), "msec", path)
        return SurfaceSeries(np.ascontiguousarray(values[:, 0, 0].T), step or None)
    image = _load_gifti(path, side)
    arrays = [np.asarray(array.data, np.float32) for array in image.darrays]
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        shapes = ", ".join(sorted({str(array.shape) for array in arrays})) or "none"
        raise _unsupported(path, f"data arrays {shapes}", "one array (vertex,) for each frame")
    return SurfaceSeries(np.stack(arrays), _time_step(image, path))


def read_labels(source: str | Path | ArrayLike, side: str) -> SurfaceLabels:
    """Read the labels of one hemisphere.

    Parameters
    ----------
    source
        ``.label.gii``, ``.annot``, or whole numbers for each vertex, 0 for none.
    side
        ``"left"`` or ``"right"``; what the file says must agree.

    Raises
    ------
    FileError, FileNotFoundError
        If the file cannot be read.
    ImageGeometryError
        If it is of the other side.
    DataError
        If labels are no whole numbers.

    Examples
    --------
    >>> read_labels([0, 3, 3], "left").label.tolist()
    [0, 3, 3]
    """
    if not isinstance(source, str | Path):
        return SurfaceLabels(_whole(np.asarray(source), f"labels, {side}"), {})
    path = Path(source)
    if path.suffix.lower() == ".annot":
        return _read_annot(path, side)
    image = _load_gifti(path, side)
    if len(image.darrays) != 1:
        raise _unsupported(path, f"{len(image.darrays)} data arrays", "one array of labels")
    label = _whole(np.asarray(image.darrays[0].data), path)
    table = {int(k): str(v) for k, v in image.labeltable.get_labels_as_dict().items()}
    return _named(label, table)


def _read_annot(path: Path, side: str) -> SurfaceLabels:
    _require_file(path)
    _require_side(path, side, None)
    try:
        freesurfer: Any = importlib.import_module("nibabel.freesurfer")
    except ImportError as error:
        raise MissingDependencyError("nibabel", "fmri") from error
    head = path.read_bytes()[:4]
    if path.stat().st_size < 4 + 8 * int.from_bytes(head, "big"):
        raise _damaged(path, "a file shorter than its number of vertices")
    try:
        label, _, names = freesurfer.read_annot(path)
    except Exception as error:
        # nibabel does not look for damage itself
        raise _damaged(path, error) from error
    # vertices without a label are -1, and the first name is usually "unknown": that is 0
    shift = 0 if names and names[0].decode().lower() in NO_REGION else 1
    table = {index + shift: name.decode() for index, name in enumerate(names)}
    return _named(np.where(label < 0, 0, label + shift).astype(np.int64), table)


def _named(label: NDArray[np.int64], table: dict[int, str]) -> SurfaceLabels:
    """Return labels with the names of those that some vertex carries."""
    none = [key for key, name in table.items() if name.lower() in NO_REGION]
    label = np.where(np.isin(label, none), 0, label)
    present = [int(key) for key in np.unique(label) if key]
    return SurfaceLabels(label, {key: table.get(key, str(key)) for key in present})


def _whole(label: NDArray[Any], where: object) -> NDArray[np.int64]:
    if label.ndim != 1 or label.dtype.kind not in "iuf" or (label != np.rint(label)).any():
        raise DataError(
            "labels are no whole numbers",
            where=where,
            found=f"{label.dtype} of shape {label.shape}",
            expected="an integer for each vertex, 0 for none",
        )
    return label.astype(np.int64)


def _time_step(image: Any, path: Path) -> float | None:
    """Return the time step of a GIFTI file; FreeSurfer writes milliseconds without saying so."""
    for holder in (image, *image.darrays[:1]):
        text = {str(key).lower(): value for key, value in dict(holder.meta).items()}.get("timestep")
        if text is not None:
            try:
                return float(text)
            except ValueError:
                return float("nan")
    return None


def _load_gifti(path: Path, side: str) -> Any:
    _require_file(path)
    if EXTERNAL in path.read_bytes():
        raise UnsafeFileError(
            "file keeps its numbers in another file",
            where=path,
            found="encoding ExternalFileBinary",
            expected="numbers in the file itself",
            hint="write it again with base64 encoding",
        )
    image = _load(path)
    if not hasattr(image, "darrays"):
        raise _unsupported(path, f"a {type(image).__name__}", "GIFTI (.gii) or .mgz")
    holders = (image, *image.darrays)
    said = (dict(holder.meta).get("AnatomicalStructurePrimary") for holder in holders)
    _require_side(path, side, next((STRUCTURES[str(s)] for s in said if s in STRUCTURES), None))
    return image


def _load(path: Path) -> Any:
    _require_file(path)
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError("nibabel", "fmri") from error
    require_budget(path.stat().st_size, None, where=path)
    try:
        with warnings.catch_warnings(), nibabel.imageglobals.LoggingOutputSuppressor():
            warnings.simplefilter("ignore")
            return nibabel.load(path)
    except Exception as error:
        # of damaged files nibabel and the parser of XML raise errors of a dozen kinds
        raise _damaged(path, error) from error


def _require_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.is_file() or not path.stat().st_size:
        raise _damaged(path, "an empty file" if path.is_file() else "a folder")


def _require_side(path: Path, side: str, said: str | None) -> None:
    """Refuse a file whose name or header says that it is of the other hemisphere."""
    if said is None:
        try:
            said = "left" if both_sides(path)[0].name == path.name else "right"
        except ImageGeometryError:
            return
    if said != side:
        raise ImageGeometryError(
            "file is of the other hemisphere",
            where=path,
            found=said,
            expected=side,
            hint="give the files as (left, right)",
        )


def _unsupported(path: Path, found: str, expected: str) -> UnsupportedFormatError:
    return UnsupportedFormatError(
        "file holds no data on a surface", where=path, found=found, expected=expected
    )


def _damaged(path: Path, found: object) -> CorruptFileError:
    return CorruptFileError(
        "surface file cannot be read",
        where=path,
        found=found,
        expected="a complete GIFTI, .mgz or .annot file",
        hint="copy or download it again",
    )
