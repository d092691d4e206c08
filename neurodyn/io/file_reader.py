"""What the readers of a file with one part have in common."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from neurodyn.io.children import Child, Select, Watched, read_children
from neurodyn.io.faults import OnBad
from neurodyn.io.nwb.session import quick_digest

__all__ = ["FileReader"]


class FileReader:
    """Base of a reader; a subclass sets the file, its watch and the part that it holds."""

    path: Path
    watch: Watched
    child: Child

    def recording(self, select: Select | None, on_bad: OnBad, *, lazy: bool) -> xr.DataTree:
        """Read the file into a recording, as :func:`neurodyn.io.children.read_children`."""
        return read_children(
            [self.child],
            str(self.path),
            select=select,
            on_bad=on_bad,
            lazy=lazy,
            watch=self.watch,
            attrs={"source": self.path.name, "digest": quick_digest(self.path)},
        )
