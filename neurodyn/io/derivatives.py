"""Find the runs that fMRIPrep, XCP-D and C-PAC left in a folder, and their confounds."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurodyn.errors import (
    DataError,
    EmptySelectionError,
    FileError,
    MissingDependencyError,
    UnsupportedFormatError,
    one_of,
)
from neurodyn.io.sidecars import FileName, sidecar_values, split_name

__all__ = ["DerivativeRun", "find_derivatives", "load_confounds", "select_runs"]

Wanted = str | Sequence[str] | None
VOLUMES = (".nii", ".nii.gz")
ENDINGS = (*VOLUMES, ".tsv", ".1D", ".1d", ".func.gii")
DESCRIPTIONS = ("preproc", "denoised", "smoothAROMAnonaggr")
SHOWN = 8
STRATEGIES = ("simple", "scrubbing", "compcor", "ica_aroma")


@dataclass(frozen=True)
class DerivativeRun:
    """One run in a folder of derivatives.

    Parameters
    ----------
    path
        Its file; of a run on two surfaces the one of the left.
    entities
        What its name says: ``{"sub": "01", "task": "rest"}``.
    confounds_path
        Table of confounds beside it, if there is one.
    """

    path: Path
    entities: Mapping[str, str]
    confounds_path: Path | None

    @cached_property
    def sidecar(self) -> dict[str, Any]:
        """What JSON files say about it, by the inheritance of BIDS; read when it is asked for."""
        return sidecar_values(self.path)

    @property
    def atlas(self) -> str | None:
        """Parcellation of its regions."""
        return self.entities.get("seg", self.entities.get("atlas"))


def find_derivatives(
    folder: str | Path,
    *,
    subject: Wanted = None,
    session: Wanted = None,
    task: Wanted = None,
    run: Wanted = None,
    space: Wanted = None,
    atlas: Wanted = None,
) -> list[DerivativeRun]:
    """List the runs in a folder of derivatives; names are looked at, no file is opened.

    Found are ``*_desc-preproc_bold.nii.gz`` (or ``denoised``, ``smoothAROMAnonaggr``),
    ``.dtseries.nii``, ``.ptseries.nii``, ``*_hemi-L_*.func.gii``, tables
    ``*_seg-<atlas>_stat-mean_timeseries.tsv`` (or ``atlas-``), and ``.1D``.

    Parameters
    ----------
    folder
        The data set, or a part of it.
    subject, session, task, run, space, atlas
        One value or several that the names must have, without ``sub-``, ``ses-`` and so on.

    Returns
    -------
    list
        Sorted by path.

    Raises
    ------
    FileNotFoundError, FileError
        If there is no such folder.
    EmptySelectionError
        If nothing fits; says what there is.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     func = Path(folder) / "sub-01" / "func"
    ...     func.mkdir(parents=True)
    ...     (func / "sub-01_task-rest_space-T1w_desc-preproc_bold.nii.gz").touch()
    ...     (func / "sub-01_task-rest_desc-confounds_timeseries.tsv").touch()
    ...     (found,) = find_derivatives(folder, task="rest")
    >>> found.entities["space"], found.confounds_path.name
    ('T1w', 'sub-01_task-rest_desc-confounds_timeseries.tsv')
    """
    runs = _all_runs(Path(folder))
    return select_runs(
        runs, subject=subject, session=session, task=task, run=run, space=space, atlas=atlas
    )


def select_runs(
    runs: Iterable[DerivativeRun],
    *,
    subject: Wanted = None,
    session: Wanted = None,
    task: Wanted = None,
    run: Wanted = None,
    space: Wanted = None,
    atlas: Wanted = None,
) -> list[DerivativeRun]:
    """Return the runs whose names have the wanted values; as :func:`find_derivatives`.

    Raises
    ------
    EmptySelectionError
        If there is none; says which values there are.
    """
    chosen = list(runs)
    wanted = {"sub": subject, "ses": session, "task": task, "run": run, "space": space}
    for name, values in {**wanted, "atlas": atlas}.items():
        if values is None:
            continue
        allowed = {values} if isinstance(values, str) else set(values)
        found = {_value(one, name) for one in chosen}
        chosen = [one for one in chosen if _value(one, name) in allowed]
        if not chosen:
            there = sorted(f"{name}-{value}" for value in found if value is not None)
            raise EmptySelectionError(
                "no run has the wanted name",
                found=", ".join(there[:SHOWN]) or f"names without {name}-",
                expected=" or ".join(sorted(f"{name}-{value}" for value in allowed)),
                hint="give values as they stand in the names of the files",
            )
    return chosen


def load_confounds(
    run: DerivativeRun,
    strategy: Literal["simple", "scrubbing", "compcor", "ica_aroma"] = "simple",
    **options: Any,
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Choose the confounds of a run of fMRIPrep by one of nilearn's strategies.

    Parameters
    ----------
    run
        With an image of fMRIPrep and its table of confounds.
    strategy
        ``"simple"`` (motion, white matter and fluid, high pass), ``"scrubbing"`` (also frames of
        much motion), ``"compcor"`` or ``"ica_aroma"``, with the defaults of
        ``nilearn.interfaces.fmriprep.load_confounds_strategy``.
    **options
        Of that function, such as ``motion="basic"`` or ``fd_threshold=0.5``.

    Returns
    -------
    tuple
        Confounds of all frames, and ``keep``, which tells for each frame whether it survives.
        Both go to a reader as ``confounds=`` and ``keep=``.

    Raises
    ------
    ConfigError
        If there is no such strategy.
    UnsupportedFormatError
        If the run is no image with a table of confounds beside it.
    DataError
        If nilearn refuses the table.
    EmptySelectionError
        If no frame survives.
    MissingDependencyError
        Without nilearn.
    """
    one_of("strategy", strategy, STRATEGIES)
    ending = split_name(run.path.name).ending
    if run.confounds_path is None or ending not in (*VOLUMES, ".dtseries.nii", ".func.gii"):
        raise UnsupportedFormatError(
            "run has no confounds of fMRIPrep",
            where=run.path,
            found=f"table of confounds {run.confounds_path}",
            expected="an image, and *_desc-confounds_timeseries.tsv beside it",
        )
    chosen, mask = _by_nilearn(run, strategy, options)
    keep = np.ones(len(chosen), bool)
    if mask is not None:
        keep[:] = False
        keep[np.asarray(mask, np.int64)] = True
    if not keep.any():
        raise EmptySelectionError(
            "no frame survives",
            where=run.confounds_path,
            found=f"{keep.size} frames, all of them outliers",
            expected="frames of little motion",
            hint="leave the run out, or raise fd_threshold and std_dvars_threshold",
        )
    return chosen, keep


def _all_runs(root: Path) -> list[DerivativeRun]:
    if not root.exists():
        raise FileNotFoundError(f"no such folder: {root}")
    if not root.is_dir():
        raise FileError("not a folder", where=root, found="a file", expected="a folder of BIDS")
    runs: list[DerivativeRun] = []
    for place, folders, files in os.walk(root):
        folders[:] = (name for name in folders if not name.startswith("."))
        runs += _runs_in(Path(place), files)
    if not runs:
        raise EmptySelectionError(
            "folder holds no derivatives of fMRI",
            where=root,
            found="no file with such a name",
            expected="*_desc-preproc_bold.nii.gz, *_bold.dtseries.nii, *_timeseries.tsv or .1D",
        )
    return sorted(runs, key=lambda run: run.path)


def _by_nilearn(
    run: DerivativeRun, strategy: str, options: Mapping[str, Any]
) -> tuple[pd.DataFrame, NDArray[Any] | None]:
    """Return the confounds that nilearn chooses, and the numbers of the frames that survive."""
    try:
        from nilearn.interfaces import fmriprep
    except ImportError as error:
        raise MissingDependencyError("nilearn", "fmri") from error
    images = [str(path) for path in _images(run.path)]
    try:
        with warnings.catch_warnings():
            # that all frames are outliers is an error of ours
            warnings.filterwarnings("ignore", "All volumes were marked", RuntimeWarning)
            found: tuple[pd.DataFrame, NDArray[Any] | None] = fmriprep.load_confounds_strategy(
                images if len(images) > 1 else images[0], denoise_strategy=strategy, **options
            )
    except (ValueError, OSError, KeyError) as error:
        raise DataError(
            "confounds do not allow this strategy",
            where=run.confounds_path,
            found=error,
            expected=f"what {strategy!r} needs",
            hint=f"choose another of {', '.join(STRATEGIES)}",
        ) from error
    return found


def _runs_in(folder: Path, files: Sequence[str]) -> list[DerivativeRun]:
    names = {file: split_name(file) for file in files if file.endswith(ENDINGS)}
    tables = [(file, name.entities) for file, name in names.items() if _is_confounds(name)]
    runs = []
    for file, name in names.items():
        if _is_run(name):
            beside = (table for table, of in tables if _same_scan(of, name.entities))
            table = next(beside, None)
            runs.append(
                DerivativeRun(folder / file, name.entities, folder / table if table else None)
            )
    return runs


def _is_run(name: FileName) -> bool:
    says = name.entities.get
    if name.ending in VOLUMES:
        return name.suffix == "bold" and says("desc") in DESCRIPTIONS
    if name.ending == ".tsv":
        has_atlas = "seg" in name.entities or "atlas" in name.entities
        return name.suffix == "timeseries" and has_atlas and says("stat", "mean") == "mean"
    if name.ending == ".func.gii":
        return name.suffix == "bold" and says("hemi") == "L"
    return name.ending.lower() in (".1d", ".dtseries.nii", ".ptseries.nii")


def _is_confounds(name: FileName) -> bool:
    is_table = name.ending == ".tsv" and name.suffix in ("timeseries", "regressors")
    return is_table and name.entities.get("desc") == "confounds"


def _same_scan(confounds: Mapping[str, str], run: Mapping[str, str]) -> bool:
    return all(key == "desc" or run.get(key) == value for key, value in confounds.items())


def _value(run: DerivativeRun, name: str) -> str | None:
    return run.atlas if name == "atlas" else run.entities.get(name)


def _images(path: Path) -> list[Path]:
    if not path.name.endswith(".func.gii"):
        return [path]
    from neurodyn.io.surface_files import both_sides

    return list(both_sides(path))
