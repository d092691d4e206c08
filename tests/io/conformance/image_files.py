"""One undamaged fMRI image with its atlas, and the damages that the conformance rows do to it."""

from __future__ import annotations

import gzip
import json

import nibabel
import numpy as np

AFFINE = np.array([[-4.0, 0, 0, 16], [0, 4, 0, -18], [0, 0, 4, -18], [0, 0, 0, 1]])
SHAPE, N_FRAMES, STEP = (9, 10, 10), 12, 2.0
N_ROIS = 8
RUN, ATLAS = "sub-01_task-rest_bold.nii", "atlas.nii"


def labels():
    """Eight blocks of 4 x 5 x 5 voxels, four on each side of a sagittal slice of background."""
    image = np.zeros(SHAPE, np.int16)
    image[:4] = np.kron(np.arange(1, 5).reshape(1, 2, 2), np.ones((4, 5, 5)))
    image[5:] = np.kron(np.arange(5, 9).reshape(1, 2, 2), np.ones((4, 5, 5)))
    return image


def values():
    """Noise about the label of each voxel, so that swapped regions are noticed."""
    noise = np.random.default_rng(4).normal(size=(*SHAPE, N_FRAMES))
    return (100.0 * labels()[..., None] + 1000 + noise).astype(np.float32)


def undamaged(folder):
    """Write the twin of every row: an image of known unit, and its atlas in the same space."""
    save(folder / ATLAS, labels())
    return save(folder / RUN, values())


def save(path, data, affine=AFFINE, step=STEP, unit="sec"):
    image = nibabel.Nifti1Image(data, affine)
    if data.ndim == 4:
        image.header["pixdim"][4] = step
        image.header.set_xyzt_units("mm", unit)
    nibabel.save(image, path)
    return path


def change_values(change):
    """Return a damage to the voxels ``(x, y, z, time)``, given their labels too."""

    def damage(path):
        data = values()
        change(data, labels())
        save(path, data)

    return damage


def half_missing(data, label):
    # 60 of the 100 voxels of region 3, and 30 of region 5
    data[tuple(np.argwhere(label == 3)[:60].T)] = np.nan
    data[tuple(np.argwhere(label == 5)[:30].T)] = np.nan


def constant(data, label):
    data[label == 6] = 640.0


def cut(path):
    """Only the five slices at the bottom are left: regions 1, 3, 5 and 7."""
    save(path, values()[:, :, :5])


def moved(millimetres):
    def damage(path):
        affine = AFFINE.copy()
        affine[0, 3] += millimetres
        save(path, values(), affine)

    return damage


def mirrored(path):
    """The header says that x runs the other way, over the same field of view."""
    save(path, values(), np.diag([-1.0, 1, 1, 1]) @ AFFINE)


def stored_mirrored(path):
    """Data and header are both mirrored: the same image in another order of voxels."""
    affine = AFFINE @ nibabel.affines.from_matvec(np.diag([-1.0, 1, 1]), [SHAPE[0] - 1, 0, 0])
    save(path, values()[::-1], affine)


def clock(step, unit="sec", sidecar=None):
    def damage(path):
        save(path, values(), step=step, unit=unit)
        if sidecar is not None:
            text = json.dumps({"RepetitionTime": sidecar})
            path.with_suffix(".json").write_text(text, encoding="utf-8")

    return damage


def header(**fields):
    def damage(path):
        content = path.read_bytes()
        changed = nibabel.Nifti1Header(content[:348], check=False)
        for name, value in fields.items():
            changed[name] = value
        path.write_bytes(changed.binaryblock + content[348:])

    return damage


def truncated(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def truncated_gzip(path):
    # the name stays, and the content tells that it is packed
    content = gzip.compress(path.read_bytes(), 1)
    path.write_bytes(content[: len(content) // 2])
