"""Open MATLAB files of either kind."""

from __future__ import annotations

from pathlib import Path

from neurodyn.io.mat5 import Mat5File
from neurodyn.io.mat73 import Mat73File
from neurodyn.io.mat_structure import MatFile

__all__ = ["is_mat", "open_mat"]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
USER_BLOCK = 512
TITLE, TITLE_73 = b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"


def is_mat(head: bytes) -> bool:
    """Tell from its first bytes whether a file is MATLAB's."""
    return head.startswith((TITLE, TITLE_73))


def open_mat(source: str | Path) -> MatFile:
    """Open a MATLAB file of version 5 or 7.3.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileError
        If it is no MATLAB file, or a damaged one.

    Examples
    --------
    >>> import tempfile
    >>> from scipy.io import savemat
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     savemat(Path(folder) / "a.mat", {"name": "AVAL"})
    ...     open_mat(Path(folder) / "a.mat").value("name")
    'AVAL'
    """
    path = Path(source)
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(USER_BLOCK + len(HDF5_SIGNATURE))
    hdf5 = HDF5_SIGNATURE in (head[:8], head[USER_BLOCK:]) or head.startswith(TITLE_73)
    # what is no file, or an empty one, is refused where all HDF5 files are opened
    return Mat73File(path) if hdf5 or not head else Mat5File(path)
