"""The regions that a BrainMAE is for, and the runs of a recording in their order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.config import from_dict, to_dict
from neurodyn.errors import DataError, EmptySelectionError
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.recording import pick_all
from neurodyn.transforms import resample_bold
from neurodyn.windows import RunWindows

__all__ = ["RoiContext", "bold_runs", "refuse_shared_subjects", "run_windows", "runs_digest"]

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class RoiContext:
    """Brain regions in the order of the network.

    Parameters
    ----------
    roi
        Names.
    network
        Functional network of each; ``""`` where none is known.
    position
        MNI centroids [mm] ``(x, y, z)``; empty where none are known.
    atlas
        Name, or ``""``.

    Raises
    ------
    DataError
        If names repeat.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> RoiContext.of({"run": bold(np.zeros((4, 2)), repetition_time=2.0)}).n_rois
    2
    """

    roi: tuple[str, ...]
    network: tuple[str, ...]
    position: tuple[tuple[float, ...], ...]
    atlas: str

    def __post_init__(self) -> None:
        repeated = [name for name, n in Counter(self.roi).items() if n > 1]
        if repeated:
            raise DataError(
                "labels of roi repeat",
                found=", ".join(repeated[:10]),
                expected="a name of its own for each region",
            )

    @classmethod
    def of(cls, runs: Mapping[str, xr.Dataset]) -> RoiContext:
        """Return the context of runs, which is that of the first."""
        return cls.of_regions(next(iter(runs.values())))

    @classmethod
    def of_regions(cls, regions: xr.Dataset) -> RoiContext:
        """Return the context of a dataset with dim ``roi``."""
        names_ = tuple(map(str, regions["roi"].values))
        network = ("",) * len(names_)
        if "network" in regions.coords:
            network = tuple(map(str, regions["network"].values))
        position: tuple[tuple[float, ...], ...] = ()
        if all(axis in regions.coords for axis in AXES):
            table = np.stack([regions[axis].values.astype(float) for axis in AXES], axis=1)
            position = tuple(map(tuple, table.tolist()))
        return cls(names_, network, position, str(regions.attrs.get("atlas", "")))

    @property
    def n_rois(self) -> int:
        """Number of regions."""
        return len(self.roi)

    @property
    def network_code(self) -> NDArray[np.int64]:
        """Number of each region's network, -1 for none, shape ``(roi,)``."""
        known = sorted(set(self.network) - {""})
        place = {name: code for code, name in enumerate(known)}
        return np.array([place.get(name, -1) for name in self.network], dtype=np.int64)

    def coords(self) -> dict[str, Any]:
        """Return the coordinates of ``roi``."""
        found: dict[str, Any] = {"roi": np.array(self.roi, dtype=object)}
        if any(self.network):
            found["network"] = ("roi", np.array(self.network, dtype=object))
        if self.position:
            for axis, values in zip(AXES, np.array(self.position).T):
                found[axis] = ("roi", values)
        return found

    def values(self, run: xr.Dataset, repetition_time: float, where: str) -> NDArray[np.float32]:
        """Return a run as the network takes it.

        Parameters
        ----------
        run
            Kind ``bold``; regions in any order, those without data NaN.
        repetition_time
            Of the network [s]; the run is resampled to it.
        where
            Name of the run, for messages.

        Returns
        -------
        ndarray
            Dims ``(time, roi)``, NaN where unknown or censored (``keep`` False).

        Raises
        ------
        DataError
            If regions are missing or unknown ones are present.
        """
        found = list(map(str, run["roi"].values))
        if sorted(found) != sorted(self.roi):
            missing, unknown = (
                sorted(set(self.roi) - set(found)),
                sorted(set(found) - set(self.roi)),
            )
            raise DataError(
                "run has other regions than the model was fitted on",
                where=where,
                found=f"missing: {missing[:5]}; unknown: {unknown[:5]}",
                expected=f"{self.n_rois} regions{f' of {self.atlas}' if self.atlas else ''},"
                " in any order",
                hint="a lost region is a column of NaN; for another atlas see to_regions",
            )
        resampled = resample_bold(run, repetition_time)
        ordered = resampled["bold"].transpose("time", "roi").sel(roi=list(self.roi)).values
        if "keep" in resampled.coords:
            ordered = np.where(resampled["keep"].values[:, None], ordered, np.float32(np.nan))
        return np.asarray(ordered, dtype=np.float32)

    def to_json(self) -> str:
        """Return the context as JSON text."""
        return json.dumps(to_dict(self))

    @classmethod
    def from_json(cls, text: str) -> RoiContext:
        """Read what :meth:`to_json` wrote."""
        return from_dict(cls, json.loads(text), where="data context")


def bold_runs(data: xr.DataTree | xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the fMRI runs of a recording by name; a dataset is one run.

    Raises
    ------
    EmptySelectionError
        If there is no fMRI of regions.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> list(bold_runs(bold(np.zeros((4, 2)), repetition_time=2.0)))
    ['run']
    """
    found = {name or "run": run for name, run in pick_all(data, "bold").items()}
    for name, run in found.items():
        if "roi" not in run["bold"].dims:
            raise DataError(
                "BrainMAE reads fMRI of regions",
                where=name,
                found=dict(run["bold"].sizes),
                expected="dims (time, roi)",
                hint="parcellate(run, ...) first",
            )
    if not found:
        raise EmptySelectionError(
            "the recording has no fMRI",
            found=", ".join(data.children) if isinstance(data, xr.DataTree) else "nothing",
            expected="a dataset of kind 'bold' or several",
        )
    return found


def run_windows(
    runs: Mapping[str, xr.Dataset],
    context: RoiContext,
    config: BrainMAEConfig,
    step: int | None = None,
) -> RunWindows:
    """Return windows of runs as a network takes them; ``step`` in frames.

    Raises
    ------
    DataError
        If a run has other regions than the model.
    EmptySelectionError
        If a run has no window with enough observed frames.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> run = bold(np.random.default_rng(0).normal(size=(450, 2)), repetition_time=1.5)
    >>> len(run_windows({"a": run}, RoiContext.of_regions(run), BrainMAEConfig()))
    3
    """
    values = [context.values(run, config.repetition_time, name) for name, run in runs.items()]
    return RunWindows(
        values,
        n_segments=config.n_segments,
        n_frames=config.n_frames,
        segment_duration=config.segment_duration,
        step=step,
        names=list(runs),
    )


def refuse_shared_subjects(
    training: Mapping[str, xr.Dataset], other: Mapping[str, xr.Dataset]
) -> None:
    """Raise if a subject of one set of runs is in the other; runs without subject are passed over.

    Raises
    ------
    DataError
        Naming the subjects.
    """
    found = [
        {str(run.attrs["subject"]) for run in runs.values() if "subject" in run.attrs}
        for runs in (training, other)
    ]
    shared = sorted(found[0] & found[1])
    if shared:
        raise DataError(
            "subjects are in training and validation",
            found=f"{len(shared)}: {', '.join(shared[:10])}",
            expected="all runs of a subject in one part",
            hint="grouped_k_fold(subjects, ...) splits by subject",
        )


def runs_digest(runs: Mapping[str, xr.Dataset]) -> str:
    """Return the SHA-256 over values, censoring and labels of runs.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> runs_digest({"run": bold(np.zeros((4, 2)), repetition_time=2.0)})[:7]
    'sha256:'
    """
    digest = hashlib.sha256()
    for name, run in runs.items():
        digest.update(f"{name} {run['roi'].values.tolist()} {run['bold'].shape};".encode())
        digest.update(np.ascontiguousarray(run["bold"].values).tobytes())
        if "keep" in run.coords:
            digest.update(np.ascontiguousarray(run["keep"].values).tobytes())
    return f"sha256:{digest.hexdigest()}"
