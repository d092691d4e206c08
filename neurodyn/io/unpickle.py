"""The one way out of pickles: to plain arrays, in a child process that can do nothing else.

A pickle is a program. No reader of this package opens one; this conversion has to be asked for.
The program runs in a process of its own and gets stand-ins for the few functions that arrays
need, no other name is resolved (:mod:`neurodyn.io.pickled_values`). Should it find a way around
that, the process has limits on memory, time and what it writes, and Python refuses it
files, imports, processes and the network.
"""

from __future__ import annotations

import math
import os
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from neurodyn.errors import (
    CorruptFileError,
    EmptySelectionError,
    FileError,
    NeurodynError,
    UnsafeFileError,
    UnsupportedFormatError,
)
from neurodyn.io.archive import extract_archive
from neurodyn.io.isolate import run_isolated
from neurodyn.io.limits import get_limits, limited, parse_bytes, require_budget, require_writable
from neurodyn.io.nested_names import joined
from neurodyn.io.pickled_values import ALLOWED, Budget, as_arrays

__all__ = ["Unpickled", "lock_down", "unpickle_to_arrays"]

ZIP_SIGNATURE = b"PK\x03\x04"
NPY_SIGNATURE = b"\x93NUMPY"
LONGEST_NAME = 100
REFUSED = (
    "open",
    "import",
    "exec",
    "compile",
    "os.",
    "shutil.",
    "subprocess.",
    "socket.",
    "ctypes.",
)
"""Audit events of Python that a locked process does not get past."""


@dataclass(frozen=True)
class Unpickled:
    """What came out of a pickle.

    Parameters
    ----------
    path
        Where the arrays are.
    shapes
        Of each array by name.
    left_out
        Names of values that were ``None`` or empty.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    left_out: tuple[str, ...]


def unpickle_to_arrays(
    source: str | Path,
    target: str | Path,
    *,
    seconds: float = 600.0,
    memory: float | str | None = None,
) -> Unpickled:
    """Convert a pickle of arrays to files without Python objects.

    Parameters
    ----------
    source
        A pickle of any protocol, or an ``.npy`` file with one: arrays, numbers, text, and
        dictionaries, lists and tuples of them. An array of objects in one axis counts as a list.
    target
        A new ``.npz`` file, a new ``.npy`` file for a single array, or a new or empty folder. Keys
        of inner dictionaries are joined by ``/``; a lone array is named as the source.
    seconds, memory
        Time [s] and bytes for reading; memory by default ``get_limits().memory``.

    Returns
    -------
    Unpickled
        What was written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UnsafeFileError
        If it asks for anything but what arrays and dictionaries need; names it.
    CorruptFileError
        If it is damaged or no pickle.
    UnsupportedFormatError, DataError
        If something in it does not become an array, or a key is no name.
    SizeBudgetError
        If it needs more than the memory budget.
    FileError
        If the target exists or cannot be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     source = Path(folder) / "session.pkl"
    ...     _ = source.write_bytes(pickle.dumps({"spikes": {0: [[1, 0]], 1: [[0, 2]]}}))
    ...     unpickle_to_arrays(source, Path(folder) / "session.npz").shapes
    {'spikes/0': (1, 2), 'spikes/1': (1, 2)}
    """
    source, target = Path(source), Path(target)
    n_bytes = get_limits().memory if memory is None else parse_bytes(memory)
    _require_pickle(source, n_bytes)
    _require_new(target)
    require_writable(target.parent)
    limits = (n_bytes, get_limits().objects, seconds)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".neurodyn-") as folder:
        archive = Path(folder) / "arrays.npz"
        answer = run_isolated(_convert, source, archive, limits, seconds=seconds, memory=n_bytes)
        shapes = {str(name): tuple(shape) for name, shape in answer["shapes"].items()}
        _place(archive, target, shapes)
    return Unpickled(target, shapes, tuple(answer["left_out"]))


def _require_pickle(source: Path, n_bytes: int) -> None:
    if not source.exists():
        raise FileNotFoundError(f"no such file: {source}")
    if not source.is_file():
        raise CorruptFileError("not a file", where=source, found="a folder or device")
    with limited(memory=n_bytes):
        require_budget(source.stat().st_size, None, where=source)
    with source.open("rb") as file:
        head = file.read(len(ZIP_SIGNATURE))
    if head == ZIP_SIGNATURE:
        raise UnsupportedFormatError(
            "not a plain pickle but a zip file",
            where=source,
            found="what torch.save or numpy.savez writes",
            expected="what pickle.dump writes",
            hint="np.save('stimulus.npy', torch.load(path, weights_only=True).numpy()); "
            "an .npz file needs no conversion",
        )


def _require_new(target: Path) -> None:
    folder = target.suffix not in (".npz", ".npy") and target.is_dir()
    if target.exists() and not (folder and not any(target.iterdir())):
        raise FileError(
            "target exists already",
            where=target,
            found="a folder with files" if folder else "a file or folder",
            expected="a new .npz or .npy file, or a new or empty folder",
            hint="choose another name, or remove it",
        )


def _place(archive: Path, target: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Put the arrays where they were asked for."""
    if target.suffix == ".npz":
        os.replace(archive, target)
    elif target.suffix != ".npy":
        extract_archive(archive, target)
    elif len(shapes) != 1:
        raise FileError(
            "pickle holds several arrays",
            where=target,
            found=", ".join(list(shapes)[:5]),
            expected="one, for an .npy file",
            hint="choose an .npz file or a folder",
        )
    else:
        (file,) = extract_archive(archive, archive.parent / "unpacked")
        os.replace(file, target)


def _convert(source: str, target: str, limits: tuple[int, int, float]) -> dict[str, Any]:
    """Read a pickle and write its arrays; only ever called in a child process."""
    n_bytes, n_objects, seconds = limits
    left_out: list[str] = []
    with open(source, "rb") as file, open(target, "xb") as out:
        # an array that is small takes more in the file than in memory
        lock_down(2 * n_bytes, seconds)
        try:
            _skip_header(file)
            value = _Unpickler(file, encoding="latin1").load()
            _require_end(file)
            arrays = as_arrays(value, Budget(n_bytes, n_objects), left_out)
            named = arrays if isinstance(arrays, dict) else {Path(source).stem: arrays}
            found = joined({key: item for key, item in named.items() if item is not None})
            _write(found, out)
        except NeurodynError as error:
            error.where = f"{source}:{error.where}" if error.where else source
            raise
        except MemoryError:
            raise
        except Exception as error:  # a damaged pickle raises whatever it likes
            raise _damaged(source, error) from error
    return {"shapes": {name: array.shape for name, array in found.items()}, "left_out": left_out}


class _Unpickler(pickle.Unpickler):
    """Resolves no name: what arrays need is replaced, all else refused."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except (KeyError, TypeError):
            raise _unsafe(f"{module!s:.{LONGEST_NAME}}.{name!s:.{LONGEST_NAME}}") from None

    def persistent_load(self, identifier: Any) -> NoReturn:
        raise _unsafe("data outside of the file")


def _skip_header(file: IO[bytes]) -> None:
    """Go to the pickle in an ``.npy`` file of objects, as numpy.save writes for a dictionary."""
    if file.read(len(NPY_SIGNATURE)) != NPY_SIGNATURE:
        file.seek(0)
        return
    major, _ = file.read(2)
    length = int.from_bytes(file.read(2 if major == 1 else 4), "little")
    if b"O'" not in file.read(length):
        raise UnsupportedFormatError(
            "file holds no pickle but an array of numbers or text",
            expected="a pickle, or an .npy file of objects",
            hint="use it as it is: numpy.load and neurodyn read it",
        )


def _require_end(file: IO[bytes]) -> None:
    if file.read(1):
        raise UnsupportedFormatError(
            "file goes on after its first pickle",
            found="several pickles, or an old file of torch",
            expected="one pickle, of one dictionary or array",
            hint="save everything in one dictionary",
        )


def _write(arrays: Mapping[str, np.ndarray[Any, Any]], out: IO[bytes]) -> None:
    if not arrays:
        raise EmptySelectionError("pickle holds no arrays")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def lock_down(n_bytes: int, seconds: float) -> None:
    """Close this process for good: files, imports, programs and the network are refused.

    Parameters
    ----------
    n_bytes
        What it may still write, into files that are open already.
    seconds
        How long it may still compute [s].
    """
    try:
        import resource
    except ImportError:
        pass
    else:
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        for kind, most in (
            (resource.RLIMIT_FSIZE, n_bytes),
            (resource.RLIMIT_CPU, math.ceil(used + seconds) + 1),
            (resource.RLIMIT_NPROC, 0),
        ):
            _, hard = resource.getrlimit(kind)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event.startswith(REFUSED):
        raise _unsafe(event)


def _unsafe(found: str) -> UnsafeFileError:
    return UnsafeFileError(
        "pickle asks for something that could run code",
        found=found,
        expected="arrays, numbers, text, lists and dictionaries alone",
        hint="do not trust this file; or save its arrays by numpy.savez where it was made",
    )


def _damaged(source: str, error: Exception) -> CorruptFileError:
    return CorruptFileError(
        "pickle cannot be read",
        where=source,
        found=f"{type(error).__name__}: {error!s:.200}",
        expected="an undamaged pickle",
        hint="get the file again and compare its size and checksum",
    )
