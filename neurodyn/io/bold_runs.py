"""What the readers of fMRI runs share: what the caller says of a run, and how values settle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn import recording
from neurodyn.io.children import Notes
from neurodyn.io.confounds import Confounds, read_confounds, require_frames
from neurodyn.io.faults import Quality
from neurodyn.io.lost_rois import settle_lost_rois
from neurodyn.io.repetition_time import settle_repetition_time
from neurodyn.io.samples import settle_samples
from neurodyn.io.sidecars import sidecar_repetition_time

__all__ = ["NOTES", "RunFacts", "build_run"]

NOTES: Notes = {
    "flat_rois": ("warning", "regions are constant: they are NaN", ""),
    "missing_rois": ("warning", "regions hold no number", ""),
    "sparse_rois": ("warning", "regions have too few voxels: they are NaN", ""),
    "nan_samples": ("note", "samples are missing", ""),
}


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the caller says of a run that its file does not.

    Parameters
    ----------
    repetition_time
        TR [s]; it settles what header and sidecar say.
    sidecar
        JSON file with ``RepetitionTime`` [s]; default those that belong to the file by BIDS
        (:func:`neurodyn.io.sidecars.sidecar_paths`).
    confounds
        Table of nuisance series (fMRIPrep's ``_desc-confounds_timeseries.tsv``), or the series
        by name.
    confound_columns
        The wanted ones; default all.
    fill_first
        ``"zero"`` puts 0 where the first frame of a confound alone is missing.
    keep
        Frames ``(time,)`` that survive censoring.

    Examples
    --------
    >>> RunFacts(repetition_time=2.0).clock("rest.1D", None)
    2.0
    """

    repetition_time: float | None = None
    sidecar: str | Path | None = None
    confounds: Confounds | None = None
    confound_columns: Sequence[str] | None = None
    fill_first: Literal["zero"] | None = None
    keep: ArrayLike | None = None

    @property
    def files(self) -> list[Path]:
        """Files that are read beside the run."""
        named = (self.sidecar, self.confounds)
        return [Path(source) for source in named if isinstance(source, str | Path)]

    def clock(self, source: str | Path, header_seconds: float | None) -> float:
        """Return the repetition time [s] of a file.

        Parameters
        ----------
        source
            The file.
        header_seconds
            What its header says [s].

        Raises
        ------
        TimebaseError, UnitScaleError
            If it is not known; see :func:`neurodyn.io.repetition_time.settle_repetition_time`.
        """
        said = None
        if self.repetition_time is None:
            said = sidecar_repetition_time(source, self.sidecar)
        return settle_repetition_time(header_seconds, said, self.repetition_time, source)

    def series(self, n_frames: int, where: object) -> dict[str, Any]:
        """Return ``keep`` and ``confounds`` as :func:`neurodyn.recording.bold` takes them.

        Parameters
        ----------
        n_frames
            Of the run.
        where
            The run, for messages.

        Raises
        ------
        TimebaseError
            If one has another number of frames.
        DataError
            If confounds are not finite.
        """
        found: dict[str, Any] = {}
        if self.confounds is not None:
            found["confounds"] = read_confounds(
                self.confounds,
                n_frames,
                where,
                columns=self.confound_columns,
                fill_first=self.fill_first,
            )
        if self.keep is not None:
            keep = np.asarray(self.keep, bool)
            require_frames("keep", keep.size, n_frames, where)
            found["keep"] = keep
        return found


def build_run(
    values: NDArray[Any],
    regions: xr.Dataset,
    where: str,
    quality: Quality,
    *,
    max_missing_roi: float,
    **attrs: Any,
) -> xr.Dataset:
    """Return a run over regions, with infinite values and lost regions settled.

    Parameters
    ----------
    values
        Shape ``(time, roi)``.
    regions
        Coordinates along ``roi``.
    where
        The run, for messages.
    quality
        Counts and decides, see :func:`neurodyn.io.samples.settle_samples` and
        :func:`neurodyn.io.lost_rois.settle_lost_rois`.
    max_missing_roi
        Share of regions that may hold no number.
    **attrs
        ``repetition_time`` [s] and what else :func:`neurodyn.recording.bold` takes.

    Raises
    ------
    DataError
        If values are infinite and the policy does not settle it.
    AtlasMismatchError
        If too many regions hold no number.

    Examples
    --------
    >>> from neurodyn.io.regions import region_table
    >>> values = np.array([[0.0, 1.0], [0.0, 2.0]])
    >>> regions, quality = region_table(["V1", "M1"]), Quality("raise")
    >>> ds = build_run(values, regions, "run", quality, max_missing_roi=0.1, repetition_time=2.0)
    >>> ds["bold"].values.tolist(), ds.attrs["flat_rois"]
    ([[nan, 1.0], [nan, 2.0]], ['V1'])
    """
    columns = {str(name): column.values for name, column in regions.coords.items()}
    names = columns.pop("roi")
    settled = settle_samples(values.T, list(names), where, quality).T
    ds = recording.bold(settled, roi=names, roi_columns=columns, **attrs)
    return settle_lost_rois(ds, where, quality, max_missing_roi=max_missing_roi)
