"""NIfTI images, plain or gzip, read frame by frame and without belief in their headers."""

from __future__ import annotations

import contextlib
import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import (
    CorruptFileError,
    ImageGeometryError,
    MissingDependencyError,
    UnsupportedFormatError,
)
from neurodyn.io.limits import require_budget

__all__ = ["NiftiFile", "is_nifti", "open_nifti"]

GZIP = b"\x1f\x8b"
# by the size of the header in bytes: the name of nibabel's class, and where data may begin
CLASSES = {348: ("Nifti1Header", 352), 540: ("Nifti2Header", 544)}
MAGIC = {348: (slice(344, 348), b"n+1\0"), 540: (slice(4, 12), b"n+2\0\r\n\x1a\n")}
MOST_DIMS = 7
BROKEN = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class NiftiFile:
    """What the header of a NIfTI file says, checked; the data stay in the file.

    Parameters
    ----------
    path
        The file.
    shape
        Voxels along ``(x, y, z)``, and along a fourth axis if the file has one.
    dtype
        Of the stored numbers.
    affine
        Millimetres from voxels, shape ``(4, 4)``.
    offset
        Bytes before the data, once unpacked.
    slope, intercept
        ``value = stored * slope + intercept``.
    is_scaled
        False if the header gives no slope (0 or NaN), which is taken as 1.
    has_space
        False if the header does not say what the affine leads to.
    step
        Number on the fourth axis, in ``time_unit``: the repetition time.
    time_unit
        ``"sec"``, ``"msec"``, ``"usec"``, ``"unknown"`` or one that is no time.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    affine: NDArray[np.float64]
    offset: int
    slope: float
    intercept: float
    is_scaled: bool
    has_space: bool
    step: float
    time_unit: str

    @property
    def n_frames(self) -> int:
        """Length of the fourth axis; 1 if there is none."""
        return self.shape[3] if len(self.shape) > 3 else 1

    def frames(self) -> Iterator[NDArray[np.float32]]:
        """Yield one volume after another, each float32 ``(x, y, z)``.

        Raises
        ------
        CorruptFileError
            If the data end early or their compression is damaged.
        """
        volume = self.shape[:3]
        n_bytes = math.prod(volume) * self.dtype.itemsize
        with _readable(self.path), _unpacked(self.path) as file:
            # a seek through gzip unpacks; the header was held against the budget
            file.seek(self.offset)
            for _ in range(self.n_frames):
                raw = np.frombuffer(_exactly(file, n_bytes), self.dtype)
                yield self._scaled(raw).reshape(volume, order="F")
            # the checksum of gzip is only looked at on its last byte
            file.read(1)

    def data(self) -> NDArray[np.float32]:
        """Read all volumes, float32 ``(x, y, z)`` or ``(x, y, z, frame)``.

        Raises
        ------
        CorruptFileError
            As :meth:`frames`.
        SizeBudgetError
            If they do not fit into the memory budget.
        """
        require_budget(4 * math.prod(self.shape), None, where=self.path)
        values = np.empty((*self.shape[:3], self.n_frames), np.float32, order="F")
        for place, frame in enumerate(self.frames()):
            values[..., place] = frame
        return values.reshape(self.shape, order="F")

    def _scaled(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        # what does not fit into float32 becomes infinite, and counts as not finite
        with np.errstate(over="ignore", invalid="ignore"):
            if not self.is_scaled:
                return raw.astype(np.float32)
            return (raw * np.float64(self.slope) + self.intercept).astype(np.float32)


def open_nifti(path: str | Path) -> NiftiFile:
    """Read and check the header of a NIfTI-1 or NIfTI-2 file in one piece.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``.

    Returns
    -------
    NiftiFile
        Its data are not read, but their size is held against the file and the budget.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptFileError
        If it is no NIfTI file, its header is impossible, or it is shorter than that says.
    SizeBudgetError
        If the data are larger than the memory budget or expand suspiciously.
    UnsupportedFormatError
        If its numbers are complex or colors.
    ImageGeometryError
        If its affine is singular, or its two affines disagree about left and right.
    MissingDependencyError
        Without nibabel.

    Examples
    --------
    >>> import tempfile
    >>> import nibabel
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = nibabel.Nifti1Image(np.ones((2, 3, 4, 5), np.int16), np.diag([2, 2, 2, 1]))
    ...     nibabel.save(image, Path(folder) / "bold.nii.gz")
    ...     file = open_nifti(Path(folder) / "bold.nii.gz")
    >>> file.shape, file.n_frames, str(file.dtype)
    ((2, 3, 4, 5), 5, 'int16')
    """
    path = Path(path)
    header, first = _header(path)
    shape = _shape(header, path)
    slope, intercept, is_scaled = _scaling(header, path)
    file = NiftiFile(
        path=path,
        shape=shape,
        dtype=_dtype(header, path),
        affine=_affine(header, path),
        offset=_offset(header, first, path),
        slope=slope,
        intercept=intercept,
        is_scaled=is_scaled,
        has_space=bool(int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0),
        # the shortest text that stands for the number, so that 0.72 is 0.72
        step=float(str(header["pixdim"][4])),
        time_unit=_time_unit(header),
    )
    _require_size(file)
    return file


def is_nifti(head: bytes) -> bool:
    """Tell from the first bytes whether a file is NIfTI in one piece, not packed."""
    return any(head[place] == magic for place, magic in MAGIC.values())


def _header(path: Path) -> tuple[Any, int]:
    """Return nibabel's header and the first byte at which data may begin."""
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError("nibabel", "fmri") from error
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.is_file():
        raise _no_nifti(path, "a folder")
    with _readable(path), _unpacked(path) as file:
        head = file.read(max(CLASSES))
    size = next((n for n, (place, magic) in MAGIC.items() if head[place] == magic), 0)
    if len(head) < max(size, 1) or not size:
        raise _no_nifti(path, f"{len(head)} bytes, first {head[:8]!r}")
    name, first = CLASSES[size]
    return getattr(nibabel, name)(head[:size], check=False), first


def _no_nifti(path: Path, found: str) -> CorruptFileError:
    return CorruptFileError(
        "not a NIfTI file in one piece",
        where=path,
        found=found,
        expected="a header of NIfTI-1 ('n+1') or NIfTI-2 ('n+2')",
        hint="save it as .nii or .nii.gz, for example by nibabel.save",
    )


def _impossible(path: Path, found: object, expected: str) -> CorruptFileError:
    return CorruptFileError(
        "header of the image is impossible",
        where=path,
        found=found,
        expected=expected,
        hint="copy the file again, or write it again with a sound header",
    )


def _shape(header: Any, path: Path) -> tuple[int, ...]:
    dims = [int(n) for n in header["dim"]]
    shape = tuple(dims[1 : dims[0] + 1]) if 3 <= dims[0] <= MOST_DIMS else ()
    if not shape or min(shape) < 1:
        raise _impossible(path, f"dims {dims}", "3 to 7 dims, each 1 or more")
    if any(n != 1 for n in shape[4:]):
        raise UnsupportedFormatError(
            "image has more than four axes",
            where=path,
            found=f"shape {shape}",
            expected="(x, y, z) or (x, y, z, time)",
        )
    return shape[:4]


def _offset(header: Any, first: int, path: Path) -> int:
    offset = float(header["vox_offset"])
    if not first <= offset < 2**62:
        raise _impossible(path, f"data at byte {offset:g}", f"byte {first} or later")
    return int(offset)


def _dtype(header: Any, path: Path) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (KeyError, ValueError, TypeError) as error:
        raise _impossible(path, f"datatype {int(header['datatype'])}", "a known type") from error
    if dtype.kind not in "fiu":
        raise UnsupportedFormatError(
            "image does not hold real numbers", where=path, found=dtype, expected="int or float"
        )
    return dtype


def _scaling(header: Any, path: Path) -> tuple[float, float, bool]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0, False
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise _impossible(
            path, f"scl_slope {slope}, scl_inter {intercept}", "finite numbers, or a slope of 0"
        )
    return slope, intercept, True


def _affine(header: Any, path: Path) -> NDArray[np.float64]:
    try:
        with np.errstate(all="ignore"):
            affine = np.asarray(header.get_best_affine(), np.float64)
            qform = header.get_qform() if int(header["qform_code"]) > 0 else affine
    except Exception as error:
        # nibabel raises errors of several kinds about quaternions and units
        raise _impossible(path, error, "an affine") from error
    sides = [float(np.linalg.det(matrix[:3, :3])) for matrix in (affine, qform)]
    if not (np.isfinite(affine).all() and abs(sides[0]) > 1e-12):
        raise ImageGeometryError(
            "affine of the image is singular",
            where=path,
            found=affine[:3].round(3).tolist(),
            expected="three independent axes",
        )
    if sides[0] * sides[1] < 0:
        raise ImageGeometryError(
            "the two affines of the image disagree about left and right",
            where=path,
            found=f"determinants {sides[0]:.3g} (sform) and {sides[1]:.3g} (qform)",
            expected="the same sign",
            hint="find out which one is right, and write it into both",
        )
    return affine


def _time_unit(header: Any) -> str:
    try:
        return str(header.get_xyzt_units()[1])
    except (KeyError, ValueError):
        return "unknown"


def _require_size(file: NiftiFile) -> None:
    """Hold the declared size against the file and the budget, before anything is allocated."""
    stored = file.path.stat().st_size
    n_bytes = file.offset + math.prod(file.shape) * file.dtype.itemsize
    if _is_packed(file.path):
        require_budget(n_bytes, stored, where=file.path)
    elif stored < n_bytes:
        raise _short(file.path, f"Expected {n_bytes} bytes, got {stored} bytes")
    else:
        require_budget(n_bytes, None, where=file.path)


def _short(path: Path, found: object) -> CorruptFileError:
    return CorruptFileError(
        "image is damaged or was cut off",
        where=path,
        found=found,
        expected="all the data that its header declares",
        hint="copy or download it again",
    )


def _exactly(file: IO[bytes], n_bytes: int) -> bytes:
    block = file.read(n_bytes)
    if len(block) < n_bytes:
        raise EOFError(f"Expected {n_bytes} bytes of a volume, got {len(block)} bytes")
    return block


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP


def _unpacked(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if _is_packed(path) else path.open("rb")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn the errors of damaged files into one that keeps their text."""
    try:
        yield
    except CorruptFileError:
        raise
    except BROKEN as error:
        raise _short(path, error) from error
