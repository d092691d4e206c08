"""Data sets by name: what there is, where it is from, and how to get it.

The registry is ``datasets/registry.toml``. Simulated sets are made on the spot, embedded ones
come with the package, and downloadable ones are only ever fetched by :func:`fetch`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from neurodyn import io
from neurodyn.config import from_dict
from neurodyn.datasets.calcium_events import simulate_calcium_events
from neurodyn.datasets.calcium_motifs import simulate_calcium_motifs
from neurodyn.datasets.chaotic_rnn import simulate_chaotic_rnn
from neurodyn.datasets.fmri_phantom import simulate_fmri
from neurodyn.datasets.hub_network import BACKGROUND, simulate_hub_network
from neurodyn.datasets.lorenz import TEXTBOOK, simulate_lorenz
from neurodyn.datasets.oscillating_network import simulate_oscillating_network
from neurodyn.datasets.place_cells import simulate_place_cells
from neurodyn.datasets.rest_schaefer100 import read_rest_schaefer100
from neurodyn.datasets.shipped import shipped
from neurodyn.datasets.simulation import Simulation
from neurodyn.datasets.visual_population import simulate_visual_population
from neurodyn.errors import ConfigError, EmptySelectionError, suggest
from neurodyn.io.blocks import cache_folder
from neurodyn.io.fetch import Asset
from neurodyn.io.fetch import fetch as fetch_asset
from neurodyn.io.network import RemotePolicy

__all__ = [
    "DatasetFile",
    "DatasetInfo",
    "assets",
    "dataset_info",
    "fetch",
    "list_datasets",
    "load_dataset",
    "path",
    "simulate",
]

Kind = Literal["simulated", "embedded", "downloadable"]
SIMULATORS: dict[str, tuple[Callable[..., Simulation], dict[str, Any]]] = {
    "lorenz": (simulate_lorenz, {}),
    "lorenz_textbook": (simulate_lorenz, TEXTBOOK),
    "chaotic_rnn": (simulate_chaotic_rnn, {}),
    "calcium_motifs": (simulate_calcium_motifs, {}),
    "calcium_events": (simulate_calcium_events, {}),
    "fmri_phantom": (simulate_fmri, {}),
    "oscillating_network": (simulate_oscillating_network, {}),
    "hub_network": (simulate_hub_network, {}),
    "hub_network_background": (simulate_hub_network, BACKGROUND),
    "visual_population": (simulate_visual_population, {}),
    "place_cells": (simulate_place_cells, {}),
}


@dataclass(frozen=True, kw_only=True)
class DatasetFile:
    """One file of a data set: its path, and its size and SHA-256 where it is downloaded."""

    path: str
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What the registry says about a data set.

    Parameters
    ----------
    name, title, licence, citation
        For people.
    kind
        How to get it.
    dandiset, version
        Where on the DANDI archive.
    files
        Its files; paths within the dandiset, or within ``datasets/``.
    """

    name: str
    kind: Kind
    title: str
    licence: str
    citation: str
    dandiset: str | None = None
    version: str | None = None
    files: tuple[DatasetFile, ...] = field(default=())

    @property
    def bytes(self) -> int:
        """Size of what would be downloaded."""
        return sum(file.bytes or 0 for file in self.files)


def list_datasets(kind: Kind | None = None) -> list[str]:
    """Return the names of all data sets, or of those of one kind.

    Examples
    --------
    >>> list_datasets("embedded")
    ['grasshopper', 'rest_schaefer100']
    """
    return [name for name, info in _registry().items() if kind in (None, info.kind)]


def dataset_info(name: str) -> DatasetInfo:
    """Return what the registry says about one data set.

    Raises
    ------
    ConfigError
        For an unknown name, with the known ones.

    Examples
    --------
    >>> dataset_info("mc_maze_small").bytes
    29896840
    """
    known = _registry()
    if name not in known:
        raise ConfigError(f"no data set {name!r}", hint=suggest(name, known))
    return known[name]


def simulate(name: str, **settings: Any) -> Simulation:
    """Simulate a data set and return its truth too.

    Parameters
    ----------
    name
        A simulated data set.
    **settings
        Settings of its simulator, such as ``seed``.

    Raises
    ------
    ConfigError
        If it is none, or for an unknown setting.

    Examples
    --------
    >>> simulate("lorenz", n_conditions=2, n_repeats=1).truth.sizes["trial"]
    2
    """
    if dataset_info(name).kind != "simulated":
        raise ConfigError(
            f"{name} is a recording, not a simulation", hint=suggest("", list_datasets("simulated"))
        )
    simulator, preset = SIMULATORS[name]
    return simulator(**{**preset, **settings})


def path(name: str, folder: str | Path | None = None) -> Path:
    """Return where the files of a data set lie: one file, or the folder of several.

    Parameters
    ----------
    name
        An embedded or a downloadable data set.
    folder
        To which a downloadable one was fetched; the user's cache folder if not given.

    Raises
    ------
    EmptySelectionError
        If they do not lie there; names the command that fetches them.
    ConfigError
        For a simulated data set, or an unknown name.

    Examples
    --------
    >>> path("rest_schaefer100").name
    'rest_schaefer100'
    """
    info = dataset_info(name)
    if info.kind == "simulated":
        raise ConfigError(f"{name} is simulated and has no files", hint=f"simulate({name!r})")
    if info.kind == "embedded":
        files = [shipped("datasets") / file.path for file in info.files]
    else:
        files = [_home(folder) / name / Path(file.path).name for file in info.files]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise EmptySelectionError(
            f"the files of {name} are not here",
            where=missing[0],
            hint=f"neurodyn datasets fetch {name}" + (f" --folder {folder}" if folder else ""),
        )
    return files[0] if len(files) == 1 else files[0].parent


def load_dataset(
    name: str, *, folder: str | Path | None = None, part: str = "train", **settings: Any
) -> xr.DataTree:
    """Simulate, read or open a data set as a recording; nothing is downloaded.

    Parameters
    ----------
    name
        As in :func:`list_datasets`.
    folder
        To which a downloadable one was fetched; the user's cache folder if not given.
    part
        ``"train"`` or ``"test"`` file of a benchmark data set.
    **settings
        Settings of a simulator.

    Raises
    ------
    ConfigError
        For an unknown name or setting.
    EmptySelectionError
        If it has not been fetched, or has no such part.

    Examples
    --------
    >>> load_dataset("lorenz", n_conditions=2, n_repeats=2)["trials"].sizes["trial"]
    4
    """
    info = dataset_info(name)
    if info.kind == "simulated":
        return simulate(name, **settings).recording
    if settings:
        raise ConfigError(f"{name} takes no settings", found=", ".join(settings))
    place = path(name, folder)
    if name == "rest_schaefer100":
        return read_rest_schaefer100(place)
    return io.load(_part(place, part) if place.is_dir() else place)


def assets(name: str) -> list[Asset]:
    """Return the files of a downloadable data set in the form that :mod:`neurodyn.io.fetch` takes.

    Raises
    ------
    ConfigError
        If it is not downloadable.

    Examples
    --------
    >>> assets("mc_rtt")[1].file_name
    'sub-Indy_desc-test_ecephys.nwb'
    """
    info = dataset_info(name)
    if info.kind != "downloadable":
        raise ConfigError(
            f"{name} needs no download", found=info.kind, hint=f"load_dataset({name!r})"
        )
    return [
        Asset(
            url=f"dandi://{info.dandiset}/{info.version}/{file.path}",
            sha256=file.sha256 or "",
            size=file.bytes or 0,
            file_name=Path(file.path).name,
            licence=info.licence,
            citation=info.citation,
        )
        for file in info.files
    ]


def fetch(
    name: str,
    folder: str | Path | None = None,
    *,
    policy: RemotePolicy | None = None,
    progress: bool = True,
) -> list[Path]:
    """Download a data set from the DANDI archive; files that are there and whole are kept.

    Parameters
    ----------
    name
        A downloadable data set.
    folder
        Files go to ``folder/name``; the user's cache folder if not given. A download that was
        broken off is taken up again, and every file is checked by size and SHA-256.
    policy
        Hosts, retries and time limits.
    progress
        Show a bar when stderr is a terminal.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ConfigError
        If it is not downloadable.
    NetworkError
        If the archive cannot be reached.
    CorruptFileError
        If what arrived has another checksum.
    """
    place = _home(folder) / name
    place.mkdir(parents=True, exist_ok=True)
    return [fetch_asset(asset, place, policy=policy, progress=progress) for asset in assets(name)]


def _home(folder: str | Path | None) -> Path:
    return cache_folder() / "datasets" if folder is None else Path(folder)


@cache
def _registry() -> dict[str, DatasetInfo]:
    file = shipped("datasets") / "registry.toml"
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        name: from_dict(DatasetInfo, {"name": name, **table}, where=f"{file.name}: {name}")
        for name, table in tables.items()
    }


def _part(folder: Path, part: str) -> Path:
    matches = [file for file in sorted(folder.iterdir()) if f"desc-{part}_" in file.name]
    if len(matches) != 1:
        raise EmptySelectionError(
            f"no part {part!r}", where=folder, expected="train or test", found=len(matches)
        )
    return matches[0]
