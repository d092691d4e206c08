"""Time series of regions as text: ``.1D`` of C-PAC and AFNI, TSV and CSV of fMRI pipelines.

One row for each frame, one column for each region, no column of times: the repetition time comes
from a JSON sidecar or from the caller. Text has no index, so a table is read when it is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn.errors import (
    DataError,
    EmptySelectionError,
    UnsupportedFormatError,
    suggest,
)
from neurodyn.io.bold_runs import NOTES, RunFacts, build_run
from neurodyn.io.children import Child, Select, check_children
from neurodyn.io.faults import Fault, OnBad, Quality
from neurodyn.io.file_reader import FileReader
from neurodyn.io.nwb.naming import unique_labels
from neurodyn.io.regions import place_columns, read_regions, region_table
from neurodyn.io.roi_text import read_roi_text
from neurodyn.io.sidecars import run_attrs, sidecar_repetition_time, split_name
from neurodyn.io.table_text import require_text
from neurodyn.io.watch import Watch

__all__ = ["check_roi_table", "is_roi_table", "load_roi_table", "open_roi_table"]

ENDINGS = (".1d", ".tsv", ".csv", ".txt")


def open_roi_table(
    source: str | Path,
    *,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
    nuisance: Sequence[str] = (),
    **facts: Any,
) -> xr.DataTree:
    """Open a table of regional time series as a recording; the text is read now.

    Parameters
    ----------
    source
        Text in UTF-8, one row for each frame, plain or gzip. ``.tsv`` and ``.csv`` have a header,
        which may consist of labels. ``.1D`` has the header ``#1 #2 ...`` of C-PAC, or none, and
        lines that begin with ``#`` are comments.
    rois
        Table of regions (:func:`neurodyn.io.regions.read_regions`): columns are matched with it
        by name or by label, and take its names, networks and positions.
    max_missing_roi
        Share of the regions in ``rois`` that may have no column; they are NaN, coverage 0.
    nuisance
        Names of columns that are no regions; they become confounds.
    **facts
        ``repetition_time``, ``sidecar``, ``confounds``, ``keep`` and others, as
        :class:`neurodyn.io.bold_runs.RunFacts` describes them.

    Returns
    -------
    xr.DataTree
        ``bold(time, roi)``, float32, NaN where a cell is empty or ``n/a`` and in constant regions.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    """
    return _Reader(source, rois, max_missing_roi, nuisance, facts).recording(
        None, "raise", lazy=True
    )


def load_roi_table(
    source: str | Path,
    select: Select | None = None,
    on_bad: OnBad = "raise",
    *,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
    nuisance: Sequence[str] = (),
    **facts: Any,
) -> xr.DataTree:
    r"""Read a table of regional time series, and check it.

    Parameters
    ----------
    source, rois, max_missing_roi, nuisance, **facts
        As in :func:`open_roi_table`.
    select
        Only ``"bold"`` is there.
    on_bad
        What to do with faults: ``"raise"``, ``"drop"`` or ``"warn"``. Dropped are rows of another
        length (the frame becomes NaN), text and infinities (NaN), and of columns of equal name
        all but the first.

    Raises
    ------
    FileError
        If the file cannot be read, or changed meanwhile.
    TimebaseError, UnitScaleError
        If the repetition time is unknown or impossible, or confounds have another length.
    AtlasMismatchError
        If columns do not fit ``rois``.
    DataError
        If something is faulty and ``on_bad`` does not settle it.

    Warns
    -----
    DataQualityWarning
        Once for each cause, if something was dropped or kept although faulty.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rest.1D"
    ...     _ = path.write_text("#1\t#2\n1.5\t2.5\n0.5\t3.5\n")
    ...     bold = load_roi_table(path, repetition_time=2.0)["bold"]
    >>> bold["bold"].values.tolist(), bold["label"].values.tolist(), bold["time"].values.tolist()
    ([[1.5, 2.5], [0.5, 3.5]], [1, 2], [0.0, 2.0])
    """
    reader = _Reader(source, rois, max_missing_roi, nuisance, facts)
    return reader.recording(select, on_bad, lazy=False)


def check_roi_table(
    source: str | Path,
    *,
    rois: str | Path | None = None,
    max_missing_roi: float = 0.1,
    nuisance: Sequence[str] = (),
    **facts: Any,
) -> list[Fault]:
    """List all faults of a table; parameters as in :func:`open_roi_table`.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    """
    reader = _Reader(source, rois, max_missing_roi, nuisance, facts)
    return check_children([reader.child], str(source), NOTES)


def is_roi_table(path: str | Path) -> bool:
    """Tell whether a table holds regions frame by frame, rather than traces with a clock.

    That is so for ``.1D``, for names that end in ``timeseries`` (XCP-D), and for tables whose
    JSON sidecar says ``RepetitionTime``.

    Examples
    --------
    >>> is_roi_table("sub-01_task-rest_seg-Glasser_stat-mean_timeseries.tsv")
    True
    """
    name = split_name(Path(path).name)
    ending = name.ending.lower().removesuffix(".gz")
    if ending not in ENDINGS:
        return False
    if ending == ".1d" or name.suffix == "timeseries":
        return True
    return sidecar_repetition_time(path) is not None


class _Reader(FileReader):
    """One table and how it is to be read."""

    def __init__(
        self,
        source: str | Path,
        rois: str | Path | None,
        max_missing_roi: float,
        nuisance: Sequence[str],
        facts: dict[str, Any],
    ) -> None:
        self.path = Path(source)
        self.facts = RunFacts(**facts)
        self.rois, self.max_missing_roi, self.nuisance = rois, max_missing_roi, nuisance
        require_text(self.path)
        self._require_series()
        beside = [Path(rois)] if rois is not None else []
        self.watch = Watch([self.path, *beside, *self.facts.files])
        self.child = Child("bold", self.path.name.split(".")[0], self._bold)

    def _require_series(self) -> None:
        name = split_name(self.path.name)
        if name.suffix == "regressors" or name.entities.get("desc") == "confounds":
            raise UnsupportedFormatError(
                "table holds confounds, not regions",
                where=self.path,
                found=self.path.name,
                expected="time series of regions",
                hint="give it as confounds=... where the run is opened",
            )

    def _bold(self, quality: Quality) -> xr.Dataset:
        where = str(self.path)
        repetition_time = self.facts.clock(self.path, None)
        names, values = read_roi_text(self.path, quality)
        if not len(values):
            raise EmptySelectionError(
                "table has no rows", where=where, found="a header", expected="rows of numbers"
            )
        series = self.facts.series(len(values), where)
        at = self._nuisance_columns(names)
        if at:
            aside = {names[column]: values[:, column] for column in at}
            series["confounds"] = {**aside, **series.get("confounds", {})}
        kept = [column for column in range(len(names)) if column not in at]
        kept = self._unique(names, kept, quality)
        names, values = unique_labels([names[column] for column in kept])[0], values[:, kept]
        regions = region_table(names)
        if self.rois is not None:
            values, regions = place_columns(values, names, read_regions(self.rois), where)
        return build_run(
            values,
            regions,
            where,
            quality,
            max_missing_roi=self.max_missing_roi,
            repetition_time=repetition_time,
            **series,
            **run_attrs(self.path),
        )

    def _nuisance_columns(self, names: Sequence[str]) -> list[int]:
        for name in self.nuisance:
            if name not in names:
                raise EmptySelectionError(
                    f"table has no column {name!r}",
                    where=self.path,
                    found=f"{len(names)} columns",
                    expected="one of its columns",
                    hint=suggest(name, names),
                )
        return [column for column, name in enumerate(names) if name in self.nuisance]

    def _unique(self, names: Sequence[str], kept: list[int], quality: Quality) -> list[int]:
        """Return the columns that are read; of equal names all only if the policy says so."""
        n_of_name = Counter(names[column] for column in kept)
        repeated = [name for name, n in n_of_name.items() if n > 1]
        if not repeated:
            return kept
        error = DataError(
            "columns have the same name",
            where=f"{self.path}, column {repeated[0]!r}",
            found=f"{len(kept)} columns with {len(n_of_name)} names",
            expected="a name of its own for each column",
            hint="on_bad='warn' numbers them, on_bad='drop' keeps the first of equal ones",
        )
        n = len(kept) - len(n_of_name)
        if quality.decide(Fault.of("repeated_columns", error), n=n) == "drop":
            first = {names[column]: column for column in reversed(kept)}
            return sorted(first.values())
        return kept
