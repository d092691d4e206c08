"""The same series through every kind of file gives the same recording."""

from __future__ import annotations

import json

import h5py
import nibabel
import numpy as np
import pytest
from nibabel.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis, ParcelsAxis, SeriesAxis
from nibabel.gifti import GiftiDataArray, GiftiImage

from neurodyn import recording
from neurodyn.io.atlas import read_atlas
from neurodyn.io.bold_hdf5 import load_bold_hdf5
from neurodyn.io.cifti import load_cifti
from neurodyn.io.fmri import load_fmri
from neurodyn.io.roi_tables import load_roi_table
from neurodyn.io.surfaces import load_surfaces

N_FRAMES, N_ROIS, PER_ROI, STEP = 20, 6, 4, 0.72
NAMES = [f"7Networks_{side}_Vis_{i}" for side in ("LH", "RH") for i in (1, 2, 3)]
LABELS = [11, 12, 13, 21, 22, 23]
STEM = "sub-01_task-rest_space-MNI"
FD = np.arange(N_FRAMES) / 10
KEEP = FD < 1.5


@pytest.fixture
def series(rng):
    """Six regions, the fifth of which was lost."""
    values = rng.normal(100, 5, (N_FRAMES, N_ROIS)).astype(np.float32)
    values[:, 4] = np.nan
    return values


@pytest.fixture
def folder(tmp_path):
    rows = zip(LABELS, NAMES, range(N_ROIS))
    lines = [f"{label}\t{name}\tVis\t{-i}\t{i}\t1\n" for label, name, i in rows]
    (tmp_path / "rois.tsv").write_text("label\tname\tnetwork\tx\ty\tz\n" + "".join(lines))
    table = "\n".join(["fd", *map(repr, FD.tolist())])
    (tmp_path / f"{STEM}_desc-confounds_timeseries.tsv").write_text(table + "\n")
    return tmp_path


def beside(folder):
    """What is given beside each file."""
    return {
        "rois": folder / "rois.tsv",
        "max_missing_roi": 0.2,
        "confounds": folder / f"{STEM}_desc-confounds_timeseries.tsv",
        "keep": KEEP,
    }


def sidecar(path):
    about = json.dumps({"RepetitionTime": STEP})
    (path.parent / f"{path.name.split('.')[0]}.json").write_text(about)
    return path


def spread(values):
    """Four vertices or voxels about each region's value, of which the mean is exact."""
    around = np.array([-8.0, -2.0, 2.0, 8.0], np.float32)
    return (values[:, :, None] + around).reshape(len(values), -1)


def through_1d(folder, series):
    path = sidecar(folder / f"{STEM}_bold.1D")
    present = np.isfinite(series[0])
    header = "\t".join(f"#{label}" for label, here in zip(LABELS, present) if here)
    np.savetxt(path, series[:, present], delimiter="\t", header=header, comments="")
    return load_roi_table(path, **beside(folder))


def through_tsv(folder, series):
    path = sidecar(folder / f"{STEM}_stat-mean_timeseries.tsv")
    header = "\t".join(NAMES)
    np.savetxt(path, series[:, ::-1], delimiter="\t", header=header, comments="")
    text = path.read_text().replace(header, "\t".join(NAMES[::-1]))
    path.write_text(text)
    return load_roi_table(path, **beside(folder))


def cortex():
    whole = np.ones(N_ROIS // 2 * PER_ROI, bool)
    left, right = (BrainModelAxis.from_mask(whole, f"cortex_{side}") for side in ("left", "right"))
    return left + right


def through_ptseries(folder, series):
    models = cortex()
    parts = [(n, models[i * PER_ROI : (i + 1) * PER_ROI]) for i, n in enumerate(NAMES)]
    axes = (SeriesAxis(0, STEP, N_FRAMES), ParcelsAxis.from_brain_models(parts[::-1]))
    path = folder / f"{STEM}_bold.ptseries.nii"
    Cifti2Image(series[:, ::-1], axes).to_filename(path)
    return load_cifti(path, **beside(folder))


def through_dtseries(folder, series):
    keys = {0: ("???", (0, 0, 0, 0))}
    keys |= {label: (name, (1, 0, 0, 1)) for label, name in zip(LABELS, NAMES)}
    atlas = folder / "areas.dlabel.nii"
    marked = np.repeat(LABELS, PER_ROI)[None].astype(np.float32)
    Cifti2Image(marked, (LabelAxis(["areas"], [keys]), cortex())).to_filename(atlas)
    path = folder / f"{STEM}_bold.dtseries.nii"
    axes = (SeriesAxis(0, STEP, N_FRAMES), cortex())
    Cifti2Image(spread(series), axes).to_filename(path)
    return load_cifti(path, dlabel=atlas, **beside(folder))


def through_surfaces(folder, series):
    vertices = spread(series)
    half = vertices.shape[1] // 2
    for side, values in (("L", vertices[:, :half]), ("R", vertices[:, half:])):
        arrays = [GiftiDataArray(np.ascontiguousarray(frame)) for frame in values]
        path = sidecar(folder / f"sub-01_task-rest_hemi-{side}_space-MNI_bold.func.gii")
        nibabel.save(GiftiImage(darrays=arrays), path)
    labels = np.repeat(LABELS, PER_ROI)
    return load_surfaces(path, labels=(labels[:half], labels[half:]), **beside(folder))


def through_nifti(folder, series):
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -6
    shape = (N_ROIS, PER_ROI, 1)
    image = np.repeat(LABELS, PER_ROI).reshape(shape).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(image, affine), folder / "atlas.nii.gz")
    volumes = spread(series).T.reshape(*shape, N_FRAMES)
    run = nibabel.Nifti1Image(volumes, affine)
    run.header["pixdim"][4] = STEP
    run.header.set_xyzt_units("mm", "sec")
    path = folder / f"{STEM}_bold.nii.gz"
    nibabel.save(run, path)
    given = beside(folder)
    atlas = read_atlas(folder / "atlas.nii.gz", given.pop("rois"))
    return load_fmri(path, atlas=atlas, **given)


def through_hdf5(folder, series):
    path = folder / "runs.h5"
    with h5py.File(path, "w") as file:
        file["roi_label"] = LABELS
        group = file.create_group(f"runs/{STEM}")
        group.attrs["tr"] = STEP
        group["bold"], group["fd"], group["keep"] = series.T, FD, KEEP
    return load_bold_hdf5(path, rois=folder / "rois.tsv", max_missing_roi=0.2)


WAYS = [
    through_1d,
    through_tsv,
    through_ptseries,
    through_dtseries,
    through_surfaces,
    through_nifti,
    through_hdf5,
]


@pytest.mark.parametrize("through", WAYS, ids=lambda way: way.__name__)
def test_one_contract(folder, series, through):
    ds = through(folder, series)["bold"].to_dataset()
    recording.validate(ds)
    assert ds["bold"].dims == ("time", "roi")
    assert ds["bold"].dtype == np.float32
    np.testing.assert_allclose(ds["bold"], series, rtol=1e-6)
    assert ds["roi"].values.tolist() == NAMES
    assert ds["label"].values.tolist() == LABELS
    assert ds["hemisphere"].values.tolist() == ["left"] * 3 + ["right"] * 3
    assert set(ds["network"].values) == {"Vis"}
    assert ds["x"].values.tolist() == [0, -1, -2, -3, -4, -5]
    np.testing.assert_allclose(ds["time"], STEP * np.arange(N_FRAMES), rtol=1e-12)
    assert ds.attrs["repetition_time"] == STEP
    np.testing.assert_array_equal(ds["keep"], KEEP)
    np.testing.assert_allclose(ds["confounds"].sel(confound="fd"), FD)
    assert (ds.attrs["subject"], ds.attrs["task"], ds.attrs["space"]) == ("01", "rest", "MNI")
    assert ds.attrs["missing_rois" if "coverage" not in ds or not ds["coverage"][4] else
                    "sparse_rois"] == [NAMES[4]]  # fmt: skip
