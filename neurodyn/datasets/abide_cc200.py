"""ABIDE I resting fMRI of people with and without autism, averaged over the 200 parcels CC200."""

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

__all__ = ["read_abide_cc200"]

SERIES, PARTICIPANTS, ROIS = "abide1_cc200_filt_global.h5", "participants.tsv", "cc200_rois.tsv"
CODES = {
    "diagnosis": ("DX_GROUP", {1: "autism", 2: "control"}),
    "sex": ("SEX", {1: "male", 2: "female"}),
    "eyes": ("EYE_STATUS_AT_SCAN", {1: "open", 2: "closed"}),
}
NUMBERS = {
    "age": "AGE_AT_SCAN",
    "mean_fd": "func_mean_fd",
    "full_scale_iq": "FIQ",
    "verbal_iq": "VIQ",
    "performance_iq": "PIQ",
}


def read_abide_cc200(
    folder: str | Path,
    *,
    max_flat_rois: int | None = None,
    subjects: Sequence[str] | None = None,
) -> xr.DataTree:
    """Read the ABIDE I runs that C-PAC processed with ``filt_global`` (1,035, 20 sites).

    The files do not come with the package: the licence of ABIDE allows research only.

    Parameters
    ----------
    folder
        Holds ``abide1_cc200_filt_global.h5`` (``subjects/<FILE_ID>`` with ``q``, ``mean`` and
        ``std``), ``participants.tsv`` and ``cc200_rois.tsv``.
    max_flat_rois
        Leave out runs in which more ROIs are constant; by default none.
    subjects
        File ids of the wanted people, such as ``"NYU_0050952"``; all if not given.

    Returns
    -------
    xr.DataTree
        One run ``/bold/<FILE_ID>`` for each subject: ``bold(time, roi)`` float32, ROIs ``"1"`` to
        ``"200"`` with ``label``, ``network`` (Yeo's seven) and MNI centroids ``x, y, z`` [mm]. A
        constant ROI is NaN. Attributes of a run: ``subject``, ``site``, ``diagnosis`` (autism or
        control), ``sex``, ``age`` [years], ``eyes``, ``n_flat_rois`` and, where known,
        ``mean_fd`` [mm] and IQs. Root attribute ``left_out``: runs with too many flat ROIs.

    Raises
    ------
    FileError
        If a file is missing, damaged or does not belong to the others.
    EmptySelectionError
        If there is no such subject, or no run is left.

    References
    ----------
    Di Martino et al. (2014) Molecular Psychiatry 19, 659-667; Craddock et al. (2013) Frontiers in
    Neuroinformatics, the Preprocessed Connectomes Project. Licence CC BY-NC-SA.

    Examples
    --------
    >>> tree = read_abide_cc200("fmri_abide1_cc200", max_flat_rois=20)  # doctest: +SKIP
    >>> len(tree["bold"].children)  # doctest: +SKIP
    1032
    """
    folder = Path(folder)
    roi_columns = _roi_columns(folder / ROIS)
    people, left_out = _chosen(folder / PARTICIPANTS, subjects, max_flat_rois)
    with open_hdf5(folder / SERIES) as file:
        runs = {
            file_id: _run(file, file_id, row, roi_columns)
            for file_id, row in zip(people.index, people.to_dict("records"))
        }
    return rec.recording(
        {"bold": runs}, source="ABIDE I, C-PAC filt_global", species="human", left_out=left_out
    )


def _chosen(
    path: Path, subjects: Sequence[str] | None, max_flat_rois: int | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the wanted people, and who has too many flat ROIs."""
    people = pd.read_csv(path, sep="\t", index_col="FILE_ID", na_values="n/a")
    if subjects is not None:
        _require_known(subjects, people.index.tolist(), path)
        people = people.loc[list(dict.fromkeys(subjects))]
    flat = people["n_flat_rois"] > (np.inf if max_flat_rois is None else max_flat_rois)
    left_out, people = people.index[flat].tolist(), people.loc[~flat]
    if people.empty:
        raise EmptySelectionError(
            "no run is left",
            where=path,
            found=f"{len(left_out)} with more than {max_flat_rois} flat ROIs",
            expected="one at least",
        )
    return people, left_out


def _require_known(subjects: Sequence[str], known: list[str], path: Path) -> None:
    unknown = [subject for subject in subjects if subject not in known]
    if unknown:
        # the closest names only: a thousand would not be read
        hint = suggest(unknown[0], known).partition(" known:")[0]
        raise EmptySelectionError(
            f"no subject {unknown[0]!r}",
            where=path,
            found=f"{len(known)} others",
            expected="a FILE_ID of the table",
            hint=hint if hint.startswith("did you mean") else None,
        )


def _run(
    file: h5py.File, file_id: str, row: dict[Any, Any], roi_columns: dict[str, NDArray[Any]]
) -> xr.Dataset:
    repetition_time = float(row["TR"])
    return rec.bold(
        _values(file, file_id, repetition_time),
        repetition_time=repetition_time,
        roi=roi_columns["label"].astype(str),
        roi_columns=roi_columns,
        atlas="Craddock 2012, 200 regions (CC200)",
        space="MNI152",
        task="rest",
        **_facts(row),
    )


def _values(file: h5py.File, file_id: str, repetition_time: float) -> NDArray[np.float32]:
    """Return the signal ``(time, roi)`` of one run, NaN where it is constant."""
    group = file.get(f"subjects/{file_id}")
    found = None if group is None else group.attrs.get("tr")
    if group is None or found != repetition_time:
        raise CorruptFileError(
            f"{SERIES} and {PARTICIPANTS} do not belong together",
            where=f"{file.filename}, {file_id}",
            found="no such run" if group is None else f"a TR of {found} s",
            expected=f"a run with a TR of {repetition_time} s",
        )
    spread = read_array(group["std"])
    scale = np.where(spread > 0, np.float32(file.attrs["step"]) * spread, np.nan)
    values = read_array(group["q"]) * scale[:, None] + read_array(group["mean"])[:, None]
    return np.ascontiguousarray(values.T, dtype=np.float32)


def _facts(row: dict[Any, Any]) -> dict[str, Any]:
    """Return what the table says of one subject, without what is unknown."""
    facts: dict[str, Any] = {"subject": str(row["SUB_ID"]), "site": str(row["SITE_ID"])}
    facts.update({name: words[row[column]] for name, (column, words) in CODES.items()})
    known = {name: float(row[column]) for name, column in NUMBERS.items()}
    facts.update({name: value for name, value in known.items() if np.isfinite(value)})
    return facts | {"n_flat_rois": int(row["n_flat_rois"])}


def _roi_columns(path: Path) -> dict[str, NDArray[Any]]:
    rois = pd.read_csv(path, sep="\t")
    numbers = {name: rois[name].to_numpy() for name in ("label", "x", "y", "z")}
    return {**numbers, "network": rois["yeo7"].to_numpy(dtype=object)}
