"""The simulated fMRI study as files: what fMRIPrep leaves, in volumes and in grayordinates."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.random import Generator
from numpy.typing import NDArray

from neurodyn import config as configs
from neurodyn import recording as rec
from neurodyn.datasets.fmri_phantom import FmriPhantomConfig
from neurodyn.datasets.fmri_phantom_anatomy import AFFINE, N_VERTICES, Head, phantom_head
from neurodyn.datasets.simulation import Simulation
from neurodyn.errors import DataError, MissingDependencyError

__all__ = ["ATLAS", "ATLAS_TABLE", "DLABEL", "TRUTH", "write_fmri_study"]

ATLAS, ATLAS_TABLE = "atlas-phantom_dseg.nii.gz", "atlas-phantom_dseg.tsv"
DLABEL, TRUTH = "atlas-phantom_dseg.dlabel.nii", "truth.nc"
VOLUME = "space-{space}_desc-preproc_bold.nii.gz"
# the meshes are of nobody else's space
CIFTI = "space-phantom_bold.dtseries.nii"
SIDES = {"left": "CORTEX_LEFT", "right": "CORTEX_RIGHT"}
# code of NIfTI for MNI space
MNI = 4


def write_fmri_study(simulation: Simulation, folder: str | Path, *, cifti: bool = True) -> Path:
    """Write a simulated study as derivatives of BIDS, through nibabel.

    Every voxel or vertex has the course of its region, those of no region the mean over regions,
    and white noise of its own, of ``voxel_noise``.

    Parameters
    ----------
    simulation
        Of :func:`neurodyn.datasets.fmri_phantom.simulate_fmri`, or with some of its runs.
    folder
        Made if it is not there. It gets :data:`ATLAS`, :data:`ATLAS_TABLE`, :data:`DLABEL`,
        ``participants.tsv``, :data:`TRUTH` and, in ``sub-01/func``, volumes (int16, 8 mm, MNI),
        ``.dtseries.nii``, ``*_desc-confounds_timeseries.tsv``, ``*_events.tsv`` and JSON files.
    cifti
        Write ``.dtseries.nii`` and :data:`DLABEL` too.

    Raises
    ------
    DataError
        If the recording is another one.
    MissingDependencyError
        Without nibabel.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn.datasets.fmri_phantom import simulate_fmri
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     simulation = simulate_fmri(n_subjects=2, n_frames=60)
    ...     study = write_fmri_study(simulation, Path(folder) / "study", cifti=False)
    ...     [path.name for path in sorted((study / "sub-02" / "func").glob("*.nii.gz"))]
    ['sub-02_task-blocks_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz']
    """
    _nibabel()
    recording, folder = simulation.recording, Path(folder)
    config = _config(recording)
    head = phantom_head()
    folder.mkdir(parents=True, exist_ok=True)
    _write_study(simulation, head, folder, cifti=cifti)
    streams = np.random.SeedSequence(config.seed).spawn(config.n_subjects)
    for name, node in recording["bold"].children.items():
        run = node.to_dataset()
        place = folder / name / "func"
        place.mkdir(parents=True, exist_ok=True)
        stem = f"{name}_task-{run.attrs['task']}"
        _write_tables(run, recording[f"trials/{name}"].to_dataset(), place, stem)
        # three streams of a subject made its run, the fourth is for its files
        stream = streams[int(run.attrs["subject"]) - 1].spawn(4)[3]
        of_voxels, of_vertices = map(np.random.default_rng, stream.spawn(2))
        path = place / f"{stem}_{VOLUME.format(space=run.attrs['space'])}"
        _write_volume(run, head, path, config.voxel_noise, of_voxels)
        if cifti:
            path = place / f"{stem}_{CIFTI}"
            _write_dtseries(run, head, path, config.voxel_noise, of_vertices)
    return folder


def _nibabel() -> Any:
    try:
        # untyped, so that its classes are not held against what they are given
        return importlib.import_module("nibabel")
    except ImportError as error:
        raise MissingDependencyError("nibabel", "fmri") from error


def _config(recording: xr.DataTree) -> FmriPhantomConfig:
    if recording.attrs.get("source") != "simulation: fMRI phantom":
        raise DataError(
            "recording is no simulated fMRI study",
            found=f"source {recording.attrs.get('source')!r}",
            expected="what simulate_fmri gives",
        )
    return configs.from_dict(FmriPhantomConfig, recording.attrs["config"])


def _write_study(simulation: Simulation, head: Head, folder: Path, *, cifti: bool) -> None:
    """Write what is about all runs."""
    about = {"Name": "Simulated fMRI study", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    made = {"GeneratedBy": [{"Name": "neurodyn"}]}
    _write_json(folder / "dataset_description.json", {**about, **made})
    runs = simulation.recording["bold"].children.items()
    people = {"participant_id": [name for name, _ in runs]}
    people["group"] = [run.attrs["group"] for _, run in runs]
    _write_table(folder / "participants.tsv", people)
    regions = head.regions
    table = {"index": regions["label"].values, "name": regions["roi"].values}
    table |= {name: regions[name].values for name in ("network", "hemisphere", "x", "y", "z")}
    _write_table(folder / ATLAS_TABLE, table)
    _save_image(head.label, folder / ATLAS)
    if cifti:
        _write_dlabel(head, folder / DLABEL)
    rec.save(simulation.truth, folder / TRUTH)


def _write_tables(run: xr.Dataset, trials: xr.Dataset, place: Path, stem: str) -> None:
    names = [str(name) for name in run["confound"].values]
    confounds = dict(zip(names, run["confounds"].values.T))
    _write_table(place / f"{stem}_desc-confounds_timeseries.tsv", confounds)
    _write_json(place / f"{stem}_desc-confounds_timeseries.json", {})
    start, stop = trials["start"].values, trials["stop"].values
    events = {"onset": start, "duration": stop - start, "trial_type": trials["trial_type"].values}
    _write_table(place / f"{stem}_events.tsv", events)
    # one for volumes and grayordinates alike
    about = {"RepetitionTime": run.attrs["repetition_time"], "TaskName": run.attrs["task"]}
    _write_json(place / f"{stem}_bold.json", about)


def _write_volume(
    run: xr.Dataset, head: Head, path: Path, voxel_noise: float, rng: Generator
) -> None:
    label = head.label[head.brain]
    volumes = np.zeros((*head.label.shape, run.sizes["time"]), np.float32)
    volumes[head.brain] = _scattered(run, label, voxel_noise, rng).T
    _save_image(volumes, path, repetition_time=run.attrs["repetition_time"])


def _save_image(values: NDArray[Any], path: Path, *, repetition_time: float | None = None) -> None:
    nibabel = _nibabel()
    image = nibabel.Nifti1Image(values, AFFINE)
    image.set_data_dtype(np.int16)
    image.set_sform(AFFINE, MNI)
    image.set_qform(AFFINE, MNI)
    image.header.set_xyzt_units("mm", "sec")
    if repetition_time is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], repetition_time))
    nibabel.save(image, path)


def _write_dtseries(
    run: xr.Dataset, head: Head, path: Path, voxel_noise: float, rng: Generator
) -> None:
    cifti2 = _nibabel().cifti2
    step = run.attrs["repetition_time"]
    series = cifti2.cifti2_axes.SeriesAxis(0, step, run.sizes["time"])
    label = np.concatenate([head.vertex_label[side] for side in SIDES])
    values = _scattered(run, label, voxel_noise, rng)
    cifti2.Cifti2Image(values, (series, _brain_models(head))).to_filename(path)


def _write_dlabel(head: Head, path: Path) -> None:
    cifti2 = _nibabel().cifti2
    regions = head.regions
    table: dict[int, tuple[str, tuple[float, ...]]] = {0: ("none", (0.0, 0.0, 0.0, 0.0))}
    shade = np.linspace(0, 1, regions.sizes["roi"])
    for value, name, part in zip(regions["label"].values, regions["roi"].values, shade):
        table[int(value)] = (str(name), (float(part), 0.5, 1 - float(part), 1.0))
    label = np.concatenate([head.vertex_label[side] for side in SIDES])
    axes = (cifti2.cifti2_axes.LabelAxis(["phantom"], [table]), _brain_models(head))
    cifti2.Cifti2Image(label[None].astype(np.float32), axes).to_filename(path)


def _brain_models(head: Head) -> Any:
    axis = _nibabel().cifti2.cifti2_axes.BrainModelAxis
    left, right = (
        axis.from_surface(head.vertex[side], N_VERTICES, name=structure)
        for side, structure in SIDES.items()
    )
    return left + right


def _scattered(
    run: xr.Dataset, label: NDArray[np.int16], voxel_noise: float, rng: Generator
) -> NDArray[np.float32]:
    """Return the series of places by their regions, and of all regions where there is none."""
    values = run["bold"].transpose("time", "roi").values
    series = np.column_stack([values.mean(axis=1), values])[:, label]
    noise = rng.standard_normal(series.shape, dtype=np.float32)
    return np.asarray(series + np.float32(voxel_noise) * noise, np.float32)


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    table = pd.DataFrame(dict(columns))
    table.to_csv(path, sep="\t", index=False, na_rep="n/a", lineterminator="\n")


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
