"""Atlases by name: which can be fetched, from where, and under which terms.

The list is ``datasets/atlases.toml``. Nothing is fetched unless :func:`fetch_atlas` is called; for
atlases that need no network see :func:`neurodyn.io.atlas.coordinate_atlas`.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from neurodyn.config import from_dict
from neurodyn.datasets.shipped import shipped
from neurodyn.errors import ConfigError, suggest
from neurodyn.io.blocks import cache_folder
from neurodyn.io.fetch import Asset, fetch
from neurodyn.io.network import RemotePolicy

__all__ = ["AtlasInfo", "atlas_info", "fetch_atlas", "list_atlases"]


@dataclass(frozen=True, kw_only=True)
class AtlasInfo:
    """What the list says about an atlas.

    Parameters
    ----------
    name, title, licence, citation
        For people.
    n_regions
        Labels in the image.
    url, bytes, sha256
        Where it is, and how it is known.
    """

    name: str
    title: str
    n_regions: int
    licence: str
    citation: str
    url: str
    bytes: int
    sha256: str

    @property
    def asset(self) -> Asset:
        """The file, in the form that :mod:`neurodyn.io.fetch` takes."""
        return Asset(
            url=self.url,
            sha256=self.sha256,
            size=self.bytes,
            file_name=f"{self.name}.nii.gz",
            licence=self.licence,
            citation=self.citation,
        )


def list_atlases() -> list[str]:
    """Return the names of the atlases that can be fetched.

    Examples
    --------
    >>> list_atlases()[:3]
    ['cc200', 'cc400', 'aal']
    """
    return list(_atlases())


def atlas_info(name: str) -> AtlasInfo:
    """Return what the list says about one atlas.

    Raises
    ------
    ConfigError
        For an unknown name, with the known ones.

    Examples
    --------
    >>> atlas_info("cc200").n_regions
    200
    """
    known = _atlases()
    if name not in known:
        raise ConfigError(
            f"no atlas {name!r} to fetch",
            hint=f"{suggest(name, known)}; others: docs/atlases.rst",
        )
    return known[name]


def fetch_atlas(
    name: str,
    folder: str | Path | None = None,
    *,
    policy: RemotePolicy | None = None,
    progress: bool = True,
) -> Path:
    """Download an atlas; a file that is there and whole is kept.

    Parameters
    ----------
    name
        One of :func:`list_atlases`.
    folder
        Where to put it; the user's cache folder if not given.
    policy
        Hosts, retries and time limits.
    progress
        Before a download, show licence and citation on stderr, and a bar if it is a terminal.

    Returns
    -------
    Path
        ``<name>.nii.gz``, checked by size and SHA-256: what ``atlas=`` of
        :func:`neurodyn.io.fmri.load_fmri` takes.

    Raises
    ------
    ConfigError
        For an unknown name.
    NetworkError
        If the server cannot be reached.
    CorruptFileError
        If what arrived has another checksum.

    Examples
    --------
    >>> fetch_atlas("cc200", "atlases")  # doctest: +SKIP
    PosixPath('atlases/cc200.nii.gz')
    """
    info = atlas_info(name)
    place = cache_folder() / "atlases" if folder is None else Path(folder)
    if progress and not (place / info.asset.file_name).is_file():
        print(f"{info.title}\nLicence: {info.licence}\nCite: {info.citation}", file=sys.stderr)
    place.mkdir(parents=True, exist_ok=True)
    return fetch(info.asset, place, policy=policy, progress=progress)


@cache
def _atlases() -> dict[str, AtlasInfo]:
    file = shipped("datasets") / "atlases.toml"
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        name: from_dict(AtlasInfo, {"name": name, **table}, where=f"{file.name}: {name}")
        for name, table in tables.items()
    }
