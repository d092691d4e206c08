"""Convert between file formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurodyn.errors import UnsupportedFormatError
from neurodyn.io.faults import OnBad
from neurodyn.io.formats import load
from neurodyn.recording import save

__all__ = ["convert"]


def convert(source: Any, target: str | Path, on_bad: OnBad = "raise", **options: Any) -> Path:
    """Read any known file and write it as netCDF (``.nc``) or NWB (``.nwb``).

    Parameters
    ----------
    source, on_bad, **options
        As :func:`neurodyn.io.load` takes them.
    target
        File to write; its ending says the format.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    UnsupportedFormatError
        If the ending is neither, or the recording does not fit the format.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn import recording as build
    >>> tree = build.recording([build.trials([0.0], [1.0])])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     source = build.save(tree, Path(folder) / "a.nc")
    ...     load(convert(source, Path(folder) / "a.nwb"))["trials"]["stop"].values.tolist()
    [1.0]
    """
    target = Path(target)
    if target.suffix not in (".nc", ".nwb"):
        raise UnsupportedFormatError(
            "cannot write this format",
            where=target,
            found=f"ending {target.suffix!r}",
            expected=".nc (netCDF) or .nwb",
        )
    recording = load(source, on_bad=on_bad, **options)
    if target.suffix == ".nc":
        return save(recording, target)
    from neurodyn.io.nwb.write import write_nwb

    return write_nwb(recording, target)
