"""Objects that a recording does not hold (images, waveforms, extensions), through pynwb."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurodyn.errors import CorruptFileError, EmptySelectionError, NeurodynError
from neurodyn.io.hdf5 import open_hdf5

__all__ = ["container"]


@contextlib.contextmanager
def container(path: str | Path, source_path: str = "/") -> Iterator[Any]:
    """Give one object of an NWB file as pynwb reads it, while the block lasts.

    The specifications cached in the file are used, and those of the installed pynwb where there
    are none.

    Parameters
    ----------
    path
        An NWB file.
    source_path
        Path of the object, as in ``attrs["source_path"]`` and ``attrs["unread"]``; default the
        whole file.

    Raises
    ------
    CorruptFileError
        If pynwb cannot read the file.
    EmptySelectionError
        If there is no such object.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn import recording as build
    >>> from neurodyn.io.nwb.write import write_nwb
    >>> tree = build.recording([build.trials([0.0], [1.0])])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_nwb(tree, Path(folder) / "a.nwb")
    ...     with container(path, "/intervals/trials") as table:
    ...         table["stop_time"][0].item()
    1.0
    """
    import h5py
    from pynwb import NWBHDF5IO

    with open_hdf5(path) as file, contextlib.ExitStack() as stack:
        if not isinstance(file.get(source_path), h5py.Group | h5py.Dataset):
            raise EmptySelectionError("no such object", where=f"{path}:{source_path}")
        try:
            io = stack.enter_context(NWBHDF5IO(file=file, mode="r", load_namespaces=True))
            nwb = io.read()
            target = file[source_path].attrs.get("object_id", "")
            found = nwb if source_path == "/" else nwb.objects.get(target)
        except NeurodynError:
            raise
        except Exception as error:
            # pynwb raises its own and many built-in exceptions for files that break the schema
            raise CorruptFileError(
                "pynwb cannot read the file",
                where=path,
                found=str(error).splitlines()[0][:200] if str(error) else type(error).__name__,
                expected="a file of the NWB schema",
                hint="neurodyn.io.open reads the objects that are intact",
            ) from error
        if found is None:
            raise EmptySelectionError("not an NWB object", where=f"{path}:{source_path}")
        yield found
