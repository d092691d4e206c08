"""Budgets that bound what a file may make this process do.

Three numbers: the memory one read may take, how far compressed data may expand, and how many
objects a file may hold. They come from :func:`limited` (a block), else :func:`set_limits` (the
process), else the environment (``NEURODYN_LIMIT_MEMORY``, ``NEURODYN_LIMIT_FILE_RATIO``,
``NEURODYN_LIMIT_OBJECTS``), else the defaults.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from neurodyn.errors import ConfigError, FileError, SizeBudgetError

__all__ = [
    "Limits",
    "format_bytes",
    "get_limits",
    "limited",
    "parse_bytes",
    "require_budget",
    "require_writable",
    "set_limits",
]

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
RATIO_FREE_BYTES = 1_000_000_000
FALLBACK_MEMORY = 4_000_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What reading may cost.

    Parameters
    ----------
    memory
        Bytes that one array may take.
    file_ratio
        Bytes after decompression per byte stored; counts above 1 GB only.
    objects
        Groups, datasets and links in one file, or members of one archive.
    """

    memory: int
    file_ratio: float = 200.0
    objects: int = 1_000_000


_process: dict[str, float] = {}
_block: ContextVar[dict[str, float] | None] = ContextVar("neurodyn_limits", default=None)


def get_limits() -> Limits:
    """Return the limits that hold here and now.

    Examples
    --------
    >>> with limited(memory="2 GB"):
    ...     get_limits().memory
    2000000000
    """
    values = {**_environment(), **_process, **(_block.get() or {})}
    memory = int(values["memory"]) if "memory" in values else _default_memory()
    return Limits(
        memory=memory,
        file_ratio=values.get("file_ratio", Limits.file_ratio),
        objects=int(values.get("objects", Limits.objects)),
    )


def set_limits(
    *,
    memory: float | str | None = None,
    file_ratio: float | None = None,
    objects: float | None = None,
) -> Limits:
    """Set limits for this process; what is ``None`` stays as it is.

    Parameters
    ----------
    memory
        Bytes, or text such as ``"4GB"`` or ``"512 MiB"``. Default: half of the machine's memory.
    file_ratio
        Expansion allowed above 1 GB, as in :class:`Limits`.
    objects
        Objects allowed in one file.

    Returns
    -------
    Limits
        What holds now.

    Raises
    ------
    ConfigError
        If a value is not a positive number.
    """
    _process.update(_checked(memory=memory, file_ratio=file_ratio, objects=objects))
    return get_limits()


@contextlib.contextmanager
def limited(
    *,
    memory: float | str | None = None,
    file_ratio: float | None = None,
    objects: float | None = None,
) -> Iterator[Limits]:
    """Set limits for a block of code; parameters as in :func:`set_limits`.

    Examples
    --------
    >>> with limited(file_ratio=1e4) as limits:
    ...     limits.file_ratio
    10000.0
    """
    changes = _checked(memory=memory, file_ratio=file_ratio, objects=objects)
    token = _block.set({**(_block.get() or {}), **changes})
    try:
        yield get_limits()
    finally:
        _block.reset(token)


def require_budget(
    logical: int, stored: int | None, *, where: object, hint: str | None = None
) -> None:
    """Refuse a read that would break the limits, before anything is allocated.

    Parameters
    ----------
    logical
        Bytes in memory once read.
    stored
        Bytes on disk that they come from; ``None`` when that is unknown.
    where
        File and object, for the message.
    hint
        How to read less; the message adds how to raise the limit.

    Raises
    ------
    SizeBudgetError
        Above the memory limit, or above 1 GB at more than ``file_ratio`` bytes per byte stored.

    Examples
    --------
    >>> require_budget(8_000, 1_000, where="session.nwb:/units/spike_times")
    """
    limits = get_limits()
    size = f"{format_bytes(logical)} in memory"
    if stored is not None:
        size += f" from {format_bytes(stored)} stored"
    prefix = f"{hint}; or " if hint else ""
    if logical > limits.memory:
        raise SizeBudgetError(
            "data are larger than the memory budget",
            where=where,
            found=size,
            expected=f"at most {format_bytes(limits.memory)}",
            hint=f"{prefix}set_limits(memory='{_round_up(logical)}') or NEURODYN_LIMIT_MEMORY",
        )
    if stored is not None and logical > max(RATIO_FREE_BYTES, limits.file_ratio * stored):
        raise SizeBudgetError(
            "data expand suspiciously far",
            where=where,
            found=f"{size} (ratio {logical / stored if stored else math.inf:.0f})",
            expected=f"a ratio of at most {limits.file_ratio:g} above 1 GB",
            hint=f"{prefix}set_limits(file_ratio=...) if the file can be trusted",
        )


def require_writable(folder: str | Path, n_bytes: int = 0) -> None:
    """Make a folder and refuse it if files cannot be written there, before any work is done.

    Parameters
    ----------
    folder
        Created if it is missing.
    n_bytes
        Space that will be needed.

    Raises
    ------
    FileError
        If it is read-only, no folder or too full.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     require_writable(folder, n_bytes=1)
    """
    folder = Path(folder)
    probe = folder / f".neurodyn-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FileError(
            "cannot write to the folder",
            where=folder,
            found=error,
            expected="a folder that can be written to",
            hint="choose another folder",
        ) from error
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise FileError(
            "not enough space",
            where=folder,
            found=f"{format_bytes(free)} free",
            expected=f"at least {format_bytes(n_bytes)}",
            hint="make room or choose another folder",
        )


def parse_bytes(text: str | float) -> int:
    """Return a number of bytes given as a number or as text.

    Raises
    ------
    ConfigError
        If the text is no size above zero.

    Examples
    --------
    >>> parse_bytes("4GB"), parse_bytes("1.5 MiB")
    (4000000000, 1572864)
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?i?)b?\s*", str(text).lower())
    units = UNITS | BINARY_UNITS
    with contextlib.suppress(ValueError, OverflowError):
        if match and match[2] in units and float(match[1]) * units[match[2]] >= 1:
            return int(float(match[1]) * units[match[2]])
    raise ConfigError(
        "not a size in bytes", found=repr(text), expected="such as 2e9, '4GB' or '512 MiB'"
    )


def format_bytes(n_bytes: float) -> str:
    """Return a number of bytes as short text.

    Examples
    --------
    >>> format_bytes(8e12)
    '8 TB'
    """
    size, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB", "EB"):
        if size < 1000 or unit == "EB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"


def _checked(**values: float | str | None) -> dict[str, float]:
    """Return the given values as numbers; ``memory`` may be text."""
    result: dict[str, float] = {}
    for name, value in values.items():
        if value is None:
            continue
        number = parse_bytes(value) if name == "memory" else float(value)
        if not 0 < number < math.inf:
            raise ConfigError(f"{name} must be positive", found=value, expected="a number above 0")
        result[name] = number
    return result


def _environment() -> dict[str, float]:
    names = ("memory", "file_ratio", "objects")
    texts = {name: os.environ.get(f"NEURODYN_LIMIT_{name.upper()}") for name in names}
    try:
        return _checked(**{name: text for name, text in texts.items() if text})
    except ValueError as error:
        raise ConfigError("a NEURODYN_LIMIT_ variable is no number", found=error) from error


def _default_memory() -> int:
    """Half of the machine's or container's memory."""
    sizes = []
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(sizes) // 2 if sizes else FALLBACK_MEMORY


def _round_up(n_bytes: int) -> str:
    for unit, factor in reversed(UNITS.items()):
        if n_bytes >= factor:
            return f"{-(-n_bytes // factor)}{unit.upper()}B"
    return "1B"
