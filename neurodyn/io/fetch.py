"""Downloads that resume, and count only when their checksum is right."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurodyn.errors import ConfigError, CorruptFileError
from neurodyn.io.blocks import cache_folder
from neurodyn.io.dandi import resolve_dandi
from neurodyn.io.limits import require_writable
from neurodyn.io.network import RemotePolicy, Session, TransientError, failure, shown
from neurodyn.provenance import atomic_path, file_digest

__all__ = ["Asset", "fetch"]

PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A published file: where it is, how to know it, and under which terms.

    Parameters
    ----------
    url
        ``https://...`` or ``dandi://<dandiset>/<version>/<path>``.
    sha256
        Its checksum, 64 hexadecimal digits.
    size
        Its length [bytes].
    file_name
        What to call it; a bare name.
    licence, citation
        What to show to who fetches it.
    """

    url: str
    sha256: str
    size: int
    file_name: str
    licence: str
    citation: str

    def __post_init__(self) -> None:
        name = self.file_name
        if name != Path(name).name or name in ("", ".", "..") or "\\" in name:
            raise ConfigError("file_name must be a bare name", found=repr(name))
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ConfigError("sha256 must be 64 hexadecimal digits", found=repr(self.sha256))


def fetch(
    asset: Asset,
    folder: str | Path | None = None,
    *,
    policy: RemotePolicy | None = None,
    progress: bool = True,
) -> Path:
    """Return the local copy of a published file, downloading what is missing of it.

    An interrupted download leaves ``<name>.part`` and goes on from there the next time. The
    file gets its name only after its checksum was found right.

    Parameters
    ----------
    asset
        The file; showing its licence and citation is up to the caller.
    folder
        Where to put it; default the user's cache folder.
    policy
        What is allowed on the network.
    progress
        Show a progress bar if stderr is a terminal.

    Returns
    -------
    Path
        The complete file.

    Raises
    ------
    FileError
        Before anything is fetched, if the folder cannot be written to or is too full.
    NetworkError
        If the download fails; what came is kept.
    CorruptFileError
        If the complete file has another size or checksum.
    """
    folder = Path(folder) if folder is not None else cache_folder() / "datasets"
    path = folder / asset.file_name
    if path.is_file() and _is_right(path, asset):
        return path
    part = path.with_name(f"{path.name}.part")
    started = part.stat().st_size if part.is_file() else 0
    require_writable(folder, asset.size - min(started, asset.size))
    with _progress_bar(asset, progress) as advance:
        _complete(part, asset, policy or RemotePolicy(), advance)
        if not _is_right(part, asset) and started:
            # what an earlier attempt left may be of another version
            part.unlink()
            _complete(part, asset, policy or RemotePolicy(), advance)
    _require_right(part, asset)
    with atomic_path(path) as temporary:
        os.replace(part, temporary)
    return path


def _complete(
    part: Path, asset: Asset, policy: RemotePolicy, advance: Callable[[int], None]
) -> None:
    """Append to the ``.part`` file until it has the size of the asset."""
    url = resolve_dandi(asset.url, policy) if asset.url.startswith("dandi://") else asset.url
    if part.is_file() and part.stat().st_size > asset.size:
        part.unlink()
    session = Session(policy)
    try:
        with part.open("ab") as file:
            advance(file.tell())
            while file.tell() < asset.size:
                session.retrying(lambda: _append(session, url, file, asset, advance))
    finally:
        session.close()


def _append(
    session: Session, url: str, file: Any, asset: Asset, advance: Callable[[int], None]
) -> None:
    """Get the rest of the file with one request; what comes before a failure is kept."""
    start = file.tell()
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with session.get(url, headers) as (response, _):
            if start and response.status == 200:  # no ranges here: from the beginning
                file.truncate(0)
                advance(-start)
            _require_length(response, asset, url)
            while piece := response.read(min(PIECE, asset.size - file.tell())):
                file.write(piece)
                advance(len(piece))
    except TransientError:
        if file.tell() == start:
            raise
    if file.tell() == start:
        raise failure("short read", url, f"nothing after byte {start}", transient=True)


def _require_length(response: Any, asset: Asset, url: str) -> None:
    """Refuse a file of another size before it is fetched."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2]
    announced = text or response.headers.get("Content-Length")
    if announced in (None, "*", str(asset.size)):
        return
    raise failure(
        "the server has another file",
        url,
        f"{announced} bytes",
        expected=f"{asset.size} bytes",
        hint="the registry entry may be out of date",
    )


def _is_right(path: Path, asset: Asset) -> bool:
    return path.stat().st_size == asset.size and file_digest(path) == f"sha256:{asset.sha256}"


def _require_right(part: Path, asset: Asset) -> None:
    if _is_right(part, asset):
        return
    found = file_digest(part)
    part.unlink()
    raise CorruptFileError(
        "checksum is wrong",
        where=shown(asset.url),
        found=found,
        expected=f"sha256:{asset.sha256}",
        hint="fetch it again; if that repeats, the published file has changed",
    )


@contextlib.contextmanager
def _progress_bar(asset: Asset, wanted: bool) -> Iterator[Callable[[int], None]]:
    if not (wanted and sys.stderr.isatty()):
        yield lambda n_bytes: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(asset.file_name, total=asset.size)
        yield lambda n_bytes: bar.advance(task, n_bytes)
