"""Files of the NeuroPAL layout, written without the package, and damages to their fields.

A field is a number, an array, a text, or a list of fields: a MATLAB cell of one column. What is
in such a list as a list is a cell of one row.
"""

from __future__ import annotations

import h5py
import numpy as np
from scipy.io import savemat

N_WORMS, N_FRAMES = 3, 40
WORMS = ["1_YAaLR.mat", "2_YAaLR.mat", "38_YAaLR.mat"]
STIMULI = ["butanone", "pentanedione", "NaCl"]
EMPTY = np.zeros((0, 0))


def trace(seed, n_frames=N_FRAMES):
    return np.random.default_rng(seed).normal(size=(1, n_frames))


def undamaged():
    """Three worms: AWA on both sides, the right one not seen in worm 2; AVL; ASI left only."""
    both = [trace(i) for i in range(2 * N_WORMS)]
    both[4] = EMPTY
    single = [trace(10), EMPTY, trace(12)]
    left = [trace(20 + i) for i in range(N_WORMS)]
    sides = np.array([[1.0] * 3 + [0.0] * 3]), np.full((1, 3), np.nan), np.ones((1, 3))
    return {
        "fps": 4.0,
        "files": list(WORMS),
        "neurons": ["AWA", "AVL", "ASI"],
        "is_L": list(sides),
        "traces": [both, single, left],
        "norm_traces": [[scaled(t) for t in cell] for cell in (both, single, left)],
        "max_traces": [np.array([[t.max(initial=0) for t in c]]) for c in (both, single, left)],
        "samples": np.array([[5.0], [2.0], [3.0]]),
        "stim_names": list(STIMULI),
        "stim_times": np.array([[2.0, 4.0], [5.0, 7.0], [8.0, 9.5]]),
        "stims": np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]]),
        "is_AWCL_OFF": np.array([[1.0, 0.0, np.nan]]),
    }


def scaled(values):
    return (values - values.min()) / np.ptp(values) if values.size else values


def write_5(path, fields, **settings):
    savemat(path, {name: cells(value) for name, value in fields.items()}, **settings)
    return path


def cells(value, row=False):
    if not isinstance(value, list):
        return value
    array = np.empty((len(value), min(len(value), 1)), dtype=object)
    for i, item in enumerate(value):
        array[i, 0] = cells(item, row=True)
    return array.T if row else array


def write_73(path, fields):
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        for name, value in fields.items():
            put(file, name, value, refs)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124))
        raw.write(b"\x00\x02IM")
    return path


def put(group, name, value, refs, row=False):
    kind = "cell" if isinstance(value, list) else "char" if isinstance(value, str) else "double"
    if kind == "cell":
        made = [put(refs, f"{group.name}{name}_{i}".strip("/").replace("/", "_"), item, refs, True)
                for i, item in enumerate(value)]  # fmt: skip
        data = np.array([item.ref for item in made], dtype=h5py.ref_dtype)
        data = data[:, None] if row else data[None]
    elif kind == "char":
        data = np.frombuffer(value.encode("utf-16-le"), "<u2")[:, None]
    else:
        data = np.atleast_2d(np.asarray(value)).T
        kind = {"f": "double", "c": "double", "b": "logical"}.get(data.dtype.kind, str(data.dtype))
        kind = "single" if data.dtype == np.float32 else kind
    if data.size:
        dtype = h5py.ref_dtype if kind == "cell" else data.dtype
        item = group.create_dataset(name, data=data, dtype=dtype)
    else:
        item = group.create_dataset(name, data=np.array(data.shape[::-1], np.uint64))
        item.attrs["MATLAB_empty"] = np.uint8(1)
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    return item


WRITERS = {"5": write_5, "7.3": write_73}
