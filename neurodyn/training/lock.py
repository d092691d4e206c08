"""One process per run folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurodyn.errors import CheckpointError

__all__ = ["run_lock"]

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process; the folder is made when it is missing.

    The kernel drops the lock when its holder dies, so a lock file whose process is gone is
    known to be stale at once, whatever process has its number today. A file left by another
    host is believed, because its lock may not reach this one.

    Parameters
    ----------
    folder
        Holds the lock file ``run.lock`` with the process number and host of the owner.

    Raises
    ------
    CheckpointError
        If another process holds the folder, or it cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, run_lock(Path(folder)):
    ...     [path.name for path in Path(folder).iterdir()]
    ['run.lock']
    """
    path = folder / "run.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _open_locked(path)
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            "run folder cannot be used", where=folder, found=error, expected="a writable folder"
        ) from error
    try:
        owner = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            owner = _owner(descriptor)
            if not _is_same_file(descriptor, path):
                # The former holder deleted the file between our open and our lock.
                os.close(descriptor)
                continue
            if owner and owner.get("host") != socket.gethostname():
                raise BlockingIOError
        except BlockingIOError as error:
            message = _in_use(path, _owner(descriptor))
            os.close(descriptor)
            raise message from error
        if owner:
            _log.warning("took over the lock of process %s, which is gone", owner.get("pid"))
        return descriptor


def _owner(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _in_use(path: Path, owner: dict[str, Any]) -> CheckpointError:
    return CheckpointError(
        "another process uses this run folder",
        where=path.parent,
        found=f"process {owner.get('pid', 'unknown')} on {owner.get('host', 'this host')}",
        expected="one process per run folder",
        hint=f"wait for it, choose another folder, or delete {path.name} if it is gone",
    )
