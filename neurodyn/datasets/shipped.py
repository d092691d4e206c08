"""Where the files lie that come with the package: top-level ``datasets/`` and ``tutorials/``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from neurodyn.errors import FileError

__all__ = ["shipped"]

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(folder: Literal["datasets", "tutorials"]) -> Path:
    """Return a folder of shipped files: of the installed package, else of the source tree.

    Raises
    ------
    FileError
        If the installation lacks them.

    Examples
    --------
    >>> (shipped("datasets") / "registry.toml").is_file()
    True
    """
    installed = PACKAGE / "_shipped" / folder
    source = PACKAGE.parent / folder
    if installed.is_dir():
        return installed
    # beside an installed package a folder of this name would be somebody else's
    if source.is_dir() and (PACKAGE.parent / "setup.cfg").is_file():
        return source
    raise FileError(
        f"the {folder} that come with neurodyn are missing",
        where=installed,
        hint="install neurodyn again: pip install --force-reinstall --no-deps neurodyn",
    )
