"""Notice that a file changed while it was being read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from neurodyn.errors import FileError

__all__ = ["Watch"]


class Watch:
    """Remembers how files stand when it is made.

    Parameters
    ----------
    paths
        Files that are going to be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     watch = Watch([file.name])
    ...     watch.require_unchanged()
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self._states = {Path(path): _state(Path(path)) for path in paths}

    def require_unchanged(self) -> None:
        """Check the files once they are read.

        Raises
        ------
        FileError
            If one was replaced, removed, appended to or written to since.
        """
        for path, state in self._states.items():
            if _state(path) != state:
                raise FileError(
                    "file changed while it was being read",
                    where=path,
                    found="another size, time or file" if path.exists() else "no such file",
                    expected="a file at rest",
                    hint="wait until it is complete, then read it again",
                )


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
