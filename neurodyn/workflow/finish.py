"""The end of every job: results, scores and a report in a run folder that is committed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn import report
from neurodyn.models import run_folder

__all__ = ["finish"]


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
