"""The end of every job: results, scores and a report in a run folder that is committed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn import recording as rec
from neurodyn import report
from neurodyn.models import run_folder

__all__ = ["finish", "write_beside"]


def finish(
    folder: Path,
    results: xr.Dataset,
    metrics: Mapping[str, Any],
    *,
    title: str | None,
    command: str | None,
    **info: Any,
) -> Path:
    """Write results, metrics and ``report.html`` into a run folder, commit it, return the page.

    Parameters
    ----------
    folder
        Of the run; what the job wrote before stays.
    results, metrics
        For ``results.nc`` and ``metrics.json``.
    title
        Of the report.
    command, **info
        For the manifest.
    """
    run_folder.commit(folder, command=command, **info)
    run_folder.record(folder, results=results, metrics=metrics)
    page = report.write_report(folder, title=title)
    run_folder.commit(folder)
    return page


def write_beside(folder: Path, others: Mapping[str, xr.Dataset | xr.DataTree | None]) -> None:
    """Write further results as ``<name>.nc`` into a run folder.

    Parameters
    ----------
    folder
        Of the run.
    others
        Results by name; what is None is removed, so that nothing of an earlier run stays.
    """
    for name, found in others.items():
        path = folder / f"{name}.nc"
        if found is None:
            path.unlink(missing_ok=True)
        else:
            rec.save(found, path)
