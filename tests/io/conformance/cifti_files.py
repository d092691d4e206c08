"""One undamaged CIFTI series and one undamaged table of regions, and what the rows do to them."""

from __future__ import annotations

import json

import nibabel
import numpy as np
from nibabel.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import (
    BrainModelAxis,
    LabelAxis,
    ParcelsAxis,
    ScalarAxis,
    SeriesAxis,
)

N_FRAMES, N_VERTICES, STEP = 8, 6, 0.72
RUN, ATLAS = "sub-01_task-rest_bold.dtseries.nii", "areas.dlabel.nii"
TABLE, CONFOUNDS = "sub-01_task-rest_timeseries.tsv", "sub-01_task-rest_desc-confounds.tsv"
KEYS = {0: ("???", (0, 0, 0, 0)), 1: ("L_V1", (1, 0, 0, 1)), 2: ("R_V1", (0, 1, 0, 1))}


def cortex():
    whole = np.ones(N_VERTICES, bool)
    left, right = (BrainModelAxis.from_mask(whole, f"cortex_{side}") for side in ("left", "right"))
    return left + right


def thalamus():
    mask = np.ones((2, 3, 2), bool)
    return BrainModelAxis.from_mask(mask, "thalamus_left", affine=np.eye(4))


def series(step=STEP, unit="SECOND"):
    return SeriesAxis(0, step, N_FRAMES, unit)


def values():
    return np.random.default_rng(8).normal(100, 5, (N_FRAMES, 2 * N_VERTICES)).astype(np.float32)


def undamaged(folder):
    """Write the twins of all rows, and return the series and the table."""
    labels = np.repeat([1.0, 2.0], N_VERTICES)[None]
    save(folder / ATLAS, labels, LabelAxis(["areas"], [KEYS]), cortex())
    by_region = values().reshape(N_FRAMES, 2, N_VERTICES).mean(axis=2)
    np.savetxt(folder / TABLE, by_region, delimiter="\t", header="L_V1\tR_V1", comments="")
    sidecar(STEP)(folder / TABLE)
    confounds = np.column_stack([np.ones(N_FRAMES), np.arange(N_FRAMES)])
    np.savetxt(folder / CONFOUNDS, confounds, delimiter="\t", header="csf\tfd", comments="")
    return save(folder / RUN, values(), series(), cortex()), folder / TABLE


def save(path, numbers, *axes):
    Cifti2Image(np.asarray(numbers, np.float32), axes).to_filename(path)
    return path


def swapped(path):
    save(path, values().T, cortex(), series())


def transposed_parcels(path):
    left = cortex()[:N_VERTICES]
    axis = ParcelsAxis.from_brain_models([("L_V1", left)])
    save(path, np.zeros((1, N_FRAMES)), axis, series())


def scalars(path):
    save(path, values(), ScalarAxis([f"map {i}" for i in range(N_FRAMES)]), cortex())


def volume_only(path):
    save(path, values(), series(), thalamus())


def hertz(path):
    save(path, values(), series(unit="HERTZ"), cortex())


def wrong_columns(path):
    """The header speaks of twelve places, the numbers of eleven."""
    save(path, values(), series(), cortex())
    raw = bytearray(path.read_bytes())
    # the dims of NIfTI-2 are eight integers of 64 bits from byte 16 on
    dims = np.frombuffer(raw, "<i8", 8, 16)
    dims[6] -= 1
    path.write_bytes(raw)


def renamed_nifti(path):
    plain = path.with_name("plain.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3, 4), np.float32), np.eye(4)), plain)
    plain.rename(path)


def step(value, said=None):
    """Return a damage to the time step, with a sidecar that says something."""

    def damage(path):
        save(path, values(), series(value), cortex())
        if said is not None:
            sidecar(said)(path)

    return damage


def sidecar(said):
    """Return a damage to what the sidecar says."""

    def damage(path):
        about = {} if said is None else {"RepetitionTime": said}
        (path.parent / f"{path.name.split('.')[0]}.json").write_text(json.dumps(about))

    return damage


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("this is no image\n" * 100)


def confounds(change):
    """Return a damage to the table of confounds beside the run."""

    def damage(path):
        table = path.with_name(CONFOUNDS)
        lines = table.read_text().splitlines()
        table.write_text("\n".join(change(lines)) + "\n")

    return damage


def table_lines(change):
    """Return a damage to the lines of the table of regions."""

    def damage(path):
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return damage


def folder(path):
    path.unlink()
    path.mkdir()
