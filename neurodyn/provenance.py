"""Where a result comes from: history in ``attrs``, versions, digests and atomic files."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "add_history",
    "atomic_path",
    "file_digest",
    "history",
    "now",
    "versions",
    "write_json",
]

D = TypeVar("D", "xr.Dataset", "xr.DataTree")
REPORTED = ("neurodyn", "numpy", "scipy", "xarray", "torch", "pynwb", "h5py")


def add_history(data: D, step: str, **parameters: Any) -> D:
    """Return a shallow copy with one step appended to ``attrs['history']`` (a JSON list).

    Examples
    --------
    >>> import xarray as xr
    >>> ds = add_history(xr.Dataset(), "bin_spikes", bin_size=0.02)
    >>> [entry["step"] for entry in history(ds)]
    ['bin_spikes']
    """
    result = data.copy(deep=False)
    entry = {"step": step, "parameters": parameters, "neurodyn": versions()["neurodyn"]}
    result.attrs["history"] = json.dumps([*history(data), entry], default=str)
    return result


def history(data: xr.Dataset | xr.DataTree) -> list[dict[str, Any]]:
    """Return the steps that led to a dataset, oldest first.

    Examples
    --------
    >>> import xarray as xr
    >>> history(xr.Dataset())
    []
    """
    return list(json.loads(data.attrs.get("history", "[]")))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on.

    Examples
    --------
    >>> "numpy" in versions()
    True
    """
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    # every step adds to the history, and reading the metadata of packages takes 20 ms
    found = {"python": platform.python_version()}
    for name in REPORTED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    found.setdefault("neurodyn", "unknown")
    return found


def now() -> str:
    """Return the present time as ISO 8601 text in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file as ``sha256:<hex>``."""
    with Path(path).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder that replaces ``path`` when the block succeeds.

    The file is flushed to disk before the replacement and the folder after it, so a crash at
    any instant leaves either the old file or the new one.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "notes.txt") as temporary:
    ...         _ = temporary.write_text("done")
    ...     [p.name for p in Path(folder).iterdir()]
    ['notes.txt']
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, values: Mapping[str, Any] | list[Any]) -> None:
    """Write JSON atomically, sorted and indented."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
