"""Task fMRI of 33 people under heat pain who rated it, averaged over the 122 parcels of MIST."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn.errors import CorruptFileError, EmptySelectionError, suggest
from neurodyn.io.hdf5 import open_hdf5, read_array
from neurodyn.io.nwb.naming import unique_labels

__all__ = ["read_heat_pain"]

SERIES, RUNS, EVENTS, ROIS = "pain_mist122.h5", "runs.tsv", "events.tsv", "mist122_rois.tsv"


def read_heat_pain(folder: str | Path, *, subjects: Sequence[str] | None = None) -> xr.DataTree:
    """Read the heat pain runs (OpenNeuro ds000140) with their events.

    The files do not come with the package.

    Parameters
    ----------
    folder
        Holds ``pain_mist122.h5``, ``runs.tsv``, ``events.tsv`` and ``mist122_rois.tsv``.
    subjects
        Such as ``["sub-01"]``; all if not given.

    Returns
    -------
    xr.DataTree
        ``/bold/<subject>_run-<run>``: ``bold(time, roi)`` float32, TR 2 s; ROIs are the names of
        MIST, repeated ones numbered, with ``label``, ``network`` (seven), ``hemisphere`` and MNI
        centroids ``x, y, z`` [mm]; a constant ROI is NaN; confounds ``global_signal`` and
        ``framewise_displacement`` [mm]; attributes ``subject``, ``run``, ``regulation`` (none, up
        or down) and ``misnamed_sides``: ROIs whose published name says L or R where the atlas image
        has the other side; ``hemisphere`` follows the image. ``/trials/<same name>``: ``start``
        and ``stop`` [s] from the first volume, ``condition`` (heat or rating), ``temperature``
        [degrees Celsius] of heat and ``rating`` (0 to 200, above 100 is pain). Root attribute
        ``events_without_run``: events of runs of the chosen subjects that have no series.

    Raises
    ------
    FileError, EmptySelectionError
        If a file is missing, damaged or does not belong to the others; if there is no such subject.

    References
    ----------
    Woo, Roy, Buhle and Wager (2015) PLoS Biology 13, e1002036; Urchs et al. (2019) MNI Open
    Research 1, 3 (MIST).

    Examples
    --------
    >>> tree = read_heat_pain("fmri_pain_mist122")  # doctest: +SKIP
    >>> tree["bold/sub-02_run-01"].sizes["time"]  # doctest: +SKIP
    209
    """
    folder = Path(folder)
    runs, of_run = _tables(folder, subjects)
    rois = _rois(folder / ROIS)
    bold: dict[str, xr.Dataset] = {}
    trials: dict[str, xr.Dataset] = {}
    with open_hdf5(folder / SERIES) as file:
        for subject, run in runs:
            name = f"{subject}_run-{run}"
            facts = {"subject": subject, "run": run, "task": "heat pain"}
            bold[name] = _series(file, name, **rois, **facts)
            if (subject, run) in of_run:
                trials[name] = _trials(of_run.pop((subject, run)), **facts)
    return rec.recording(
        {"bold": bold, "trials": trials},
        source="OpenNeuro ds000140",
        species="human",
        events_without_run=sum(map(len, of_run.values())),
    )


def _tables(
    folder: Path, subjects: Sequence[str] | None
) -> tuple[list[tuple[str, str]], dict[Any, pd.DataFrame]]:
    """Return subject and run of each series, and the events of each run."""
    text = {"subject": str, "run": str}
    runs = pd.read_csv(folder / RUNS, sep="\t", dtype=text)
    events = pd.read_csv(folder / EVENTS, sep="\t", dtype=text)
    if subjects is not None:
        _require_known(subjects, runs["subject"].unique().tolist(), folder / RUNS)
        runs = runs[runs["subject"].isin(subjects)]
        events = events[events["subject"].isin(subjects)]
    return list(zip(runs["subject"], runs["run"])), dict(list(events.groupby(["subject", "run"])))


def _series(file: h5py.File, name: str, **more: Any) -> xr.Dataset:
    group = file.get(f"runs/{name}")
    if group is None:
        raise CorruptFileError(
            f"{SERIES} and {RUNS} do not belong together",
            where=file.filename,
            found=f"no run {name}",
            expected=f"the runs of {RUNS}",
        )
    values = read_array(group["bold"]).T
    values = np.where((values == values[0]).all(axis=0), np.float32(np.nan), values)
    return rec.bold(
        values,
        repetition_time=float(group.attrs["tr"]),
        confounds={
            "global_signal": read_array(group["gs"]),
            # motion from one frame to the next: none is known for the first
            "framewise_displacement": np.append(np.nan, read_array(group["fd"])),
        },
        atlas="MIST, 122 regions",
        space="MNI152",
        regulation=str(group.attrs["regulation"]),
        **more,
    )


def _trials(events: pd.DataFrame, **facts: Any) -> xr.Dataset:
    onset = events["onset"].to_numpy(dtype=np.float64)
    columns = {name: events[name].to_numpy(dtype=np.float64) for name in ("temperature", "rating")}
    condition = events["trial_type"].to_numpy(dtype=object)
    return rec.trials(
        onset,
        onset + events["duration"].to_numpy(dtype=np.float64),
        columns={"condition": condition, **columns},
        **facts,
    )


def _rois(path: Path) -> dict[str, Any]:
    """Return names, columns, and the names whose side is not that of the image."""
    rois = pd.read_csv(path, sep="\t")
    columns: dict[str, NDArray[Any]] = {name: rois[name].to_numpy() for name in ("x", "y", "z")}
    columns["label"] = rois["label_value"].to_numpy()
    columns["network"] = rois["network"].to_numpy(dtype=object)
    of_name = rois["name"].str[:2].map({"L_": "left", "R_": "right"}).fillna("").to_numpy()
    of_image = np.where(columns["x"] < 0, "left", "right")
    columns["hemisphere"] = np.where(of_name == "", "", of_image).astype(object)
    names = unique_labels(rois["name"].tolist())[0]
    misnamed = np.array(names)[(of_name != "") & (of_name != of_image)].tolist()
    return {"roi": names, "roi_columns": columns, "misnamed_sides": misnamed}


def _require_known(subjects: Sequence[str], known: list[str], path: Path) -> None:
    for subject in subjects:
        if subject not in known:
            raise EmptySelectionError(
                f"no subject {subject!r}", where=path, hint=suggest(subject, known)
            )
