"""A cache of blocks of remote files on the local disk.

One folder per version of a file, one entry per block: its SHA-256, then the bytes. Entries are
written to a temporary name and renamed; a short, damaged or foreign one counts as missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from neurodyn.errors import DataQualityWarning
from neurodyn.io.network import RemotePolicy

__all__ = ["BlockCache", "cache_folder"]

DIGEST_BYTES = 32


class BlockCache:
    """Blocks of one version of one file.

    Parameters
    ----------
    policy
        Says where the cache is and how large it may grow.
    key
        What identifies the version: address, length and tag.
    reliable
        Whether the server tags versions; without that nothing is kept.
    """

    def __init__(self, policy: RemotePolicy, key: tuple[str, ...], reliable: bool) -> None:
        self._folder: Path | None = None
        if not reliable or not policy.cache_bytes:
            return
        root = policy.cache or cache_folder() / "blocks"
        text = "\n".join((*key, str(policy.block_size)))
        with self._tolerated(root):
            _make_private(root)
            _prune(root, policy.cache_bytes)
            folder = root / hashlib.sha256(text.encode()).hexdigest()
            _make_private(folder)
            self._folder = folder

    def has(self, index: int) -> bool:
        """Tell whether a block is there, without reading it."""
        return self._folder is not None and (self._folder / str(index)).exists()

    def get(self, index: int, n_bytes: int) -> bytes | None:
        """Return a block of ``n_bytes``, or None when it is missing or damaged."""
        if self._folder is None:
            return None
        try:
            data = (self._folder / str(index)).read_bytes()
        except OSError:
            return None
        digest, block = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        intact = len(block) == n_bytes and hashlib.sha256(block).digest() == digest
        return block if intact else None

    def put(self, index: int, block: bytes) -> None:
        """Keep a block; a full or read-only disk ends the caching, not the reading."""
        if self._folder is None or self.has(index):
            return
        with self._tolerated(self._folder):
            descriptor, temporary = tempfile.mkstemp(dir=self._folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(hashlib.sha256(block).digest() + block)
                os.replace(temporary, self._folder / str(index))
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise

    @contextlib.contextmanager
    def _tolerated(self, folder: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._folder = None
            warnings.warn(
                f"remote data are not cached in {folder}: {error}", DataQualityWarning, stacklevel=4
            )


def cache_folder() -> Path:
    """Return the user's cache folder of neurodyn, or what ``NEURODYN_CACHE`` names."""
    import pooch

    return Path(os.environ.get("NEURODYN_CACHE") or pooch.os_cache("neurodyn"))


def _make_private(folder: Path) -> None:
    """Make a folder for this user only; refuse one that others could have filled."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        raise PermissionError(f"others may write to {folder}, mode {stat.filemode(status.st_mode)}")


def _prune(root: Path, limit: int) -> None:
    """Remove the oldest entries until the cache is within its limit."""
    entries = []
    for path in root.glob("*/*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            entries.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size
