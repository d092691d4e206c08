"""Write recordings of many animals in the layout of NeuroPAL files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import DataError, TimebaseError, TrialTableError, one_of
from neurodyn.io.limits import require_writable
from neurodyn.provenance import atomic_path
from neurodyn.recording import physical, pick

__all__ = ["write_neuropal"]

USER_BLOCK = 512
REGULAR = 1e-3  # of a step
Array = NDArray[Any]


class _Cell(NamedTuple):
    """A MATLAB cell: its values, first axis fastest, and its shape."""

    items: list[Any]
    shape: tuple[int, int]


class _Sided(NamedTuple):
    """A nerve cell, the columns of its rois, and for each whether it is the left one."""

    name: str
    columns: tuple[int, ...]
    is_left: tuple[float, ...]


def write_neuropal(
    recording: xr.DataTree,
    path: str | Path,
    *,
    version: Literal["5", "7.3"] = "5",
) -> Path:
    """Write a recording in the layout that :func:`neurodyn.io.neuropal.load_neuropal` reads.

    Rois ``nameL`` and ``nameR`` become one cell ``name`` with two traces for each animal, all
    others a cell of their own; reading gives them in this order. A trace that is NaN throughout
    becomes empty. ``norm_traces`` are scaled to 0..1, ``max_traces`` hold each trace's largest
    value, ``samples`` the number of traces.

    Parameters
    ----------
    recording
        With ``signal([animal,] time, roi)`` on a regular clock from 0 s, and at most one table of
        ``trials`` with the columns ``stimulus`` and, where it differs, ``animal``.
    path
        File to write; an existing one is replaced when the new one is complete.
    version
        ``"5"`` (MATLAB's ``-v7``, compressed), or ``"7.3"`` (HDF5).

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    TimebaseError
        If the clock is irregular or does not begin at 0 s.
    TrialTableError
        If the animals do not share the times of their stimuli, or the table lacks a column.
    DataError
        If the signal has other dims.

    Examples
    --------
    >>> import tempfile
    >>> from neurodyn import io, recording as build
    >>> worms = build.signal(np.ones((2, 8, 1)), sampling_rate=4.0, dim="roi", channel=["AVL"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_neuropal(build.recording([worms]), Path(folder) / "worms.mat")
    ...     io.load(path)["signal"].sizes["animal"]
    2
    """
    one_of("version", version, ("5", "7.3"))
    fields = _fields(recording)
    path = Path(path)
    require_writable(path.parent)
    with atomic_path(path) as temporary:
        (_write_5 if version == "5" else _write_73)(temporary, fields)
    return path


def _fields(recording: xr.DataTree) -> dict[str, Any]:
    signal = pick(recording, "signal")
    values, animals, labels = _values(signal, recording.attrs)
    n_frames = _frames(signal, values)
    cells = _sided(signal, labels)
    traces = [
        [_trace(values[animal, : n_frames[animal], column], values.dtype)
         for column in cell.columns for animal in range(len(animals))]
        for cell in cells
    ]  # fmt: skip
    fields = {
        "fps": _rate(signal),
        "files": _cell(animals),
        "neurons": _cell([cell.name for cell in cells]),
        "is_L": _cell([np.repeat(cell.is_left, len(animals))[None] for cell in cells]),
        "traces": _nested(traces),
        "norm_traces": _nested([[_scaled(trace) for trace in cell] for cell in traces]),
        "max_traces": _cell([np.array([[_largest(t) for t in cell]]) for cell in traces]),
        "samples": np.array([[float(sum(t.size > 0 for t in cell))] for cell in traces]),
        **_stimuli(recording, animals),
    }
    if "is_AWCL_OFF" in signal.coords:
        fields["is_AWCL_OFF"] = np.atleast_2d(signal["is_AWCL_OFF"].values.astype(np.float64))
    return fields


def _values(signal: xr.Dataset, attrs: Mapping[Any, Any]) -> tuple[Array, list[str], list[str]]:
    """Return traces ``(animal, time, roi)`` in their physical unit, and both labels."""
    raw = signal["signal"]
    dim = str(raw.dims[-1])
    if raw.dims not in (("time", dim), ("animal", "time", dim)):
        raise DataError("signal has other dims", found=raw.dims, expected="([animal,] time, roi)")
    settings = [raw.attrs.get("scale_factor", 1.0), raw.attrs.get("add_offset", 0.0)]
    plain = settings == [1.0, 0.0] and "channel_conversion" not in signal.coords
    array = raw if plain and raw.dtype.kind == "f" else physical(signal, np.float64)
    animals = [str(attrs.get("subject") or "1")]
    if "animal" in raw.dims:
        animals = [str(label) for label in signal["animal"].values]
    values = array.values if "animal" in raw.dims else array.values[None]
    if np.isnan(values).all():
        raise DataError(
            "signal holds no traces",
            found=f"shape {values.shape}, all NaN",
            expected="a trace in one animal at least",
        )
    dtype = np.float32 if raw.dtype == np.float32 else np.float64
    return values.astype(dtype), animals, [str(label) for label in signal[dim].values]


def _frames(signal: xr.Dataset, values: Array) -> Array:
    """Return the frames of each animal: as the signal says, if nothing comes after them."""
    n_animals, n_time, _ = values.shape
    n_frames = np.full(n_animals, n_time)
    if "n_frames" in signal.coords:
        said = np.broadcast_to(signal["n_frames"].values, n_animals)
        after = np.arange(n_time) >= said[:, None]
        silent = np.isnan(values).all(axis=2) | ~after
        n_frames = np.where(silent.all(axis=1), np.minimum(said, n_time), n_time)
    return n_frames


def _rate(signal: xr.Dataset) -> float:
    time = signal["time"].values
    rate = signal.attrs.get("sampling_rate")
    if rate is None and time.size > 1:
        rate = (time.size - 1) / (time[-1] - time[0])
    if rate is None or (time.size and time[0] != 0):
        raise TimebaseError(
            "NeuroPAL files know a frame rate only",
            found=f"first frame at {time[0]:g} s" if time.size else "no frames",
            expected="a regular clock that begins at 0 s",
            hint="assign_coords(time=...) or resample the signal, and move its trials as well",
        )
    off = np.abs(time * rate - np.arange(time.size))
    if off.size and off.max() > REGULAR:
        raise TimebaseError(
            "NeuroPAL files know a frame rate only",
            found=f"frames up to {off.max():.3g} steps off a regular clock",
            expected="a regular clock that begins at 0 s",
            hint="neurodyn.transforms.resample the signal first",
        )
    return float(rate)


def _sided(signal: xr.Dataset, labels: list[str]) -> list[_Sided]:
    """Return the cells of the file: two traces for a left and a right roi, else one.

    A pair whose name another roi has would be read as that one, and stays apart.
    """
    place = {label: column for column, label in enumerate(labels)}
    known = [signal[name].values if name in signal.coords else [""] * len(labels)
             for name in ("cell", "side")]  # fmt: skip
    cells: dict[str, _Sided] = {}
    for column, label in enumerate(labels):
        name, side = label[:-1], label[-1:]
        partners = (place.get(f"{name}L"), place.get(f"{name}R"))
        free = side in ("L", "R") and name and name not in place
        if free and partners[0] is not None and partners[1] is not None:
            cells[name] = _Sided(name, (partners[0], partners[1]), (1.0, 0.0))
        elif free and (str(known[0][column]), str(known[1][column])) == (name, side):
            cells[name] = _Sided(name, (column,), (float(side == "L"),))
        else:
            cells[label] = _Sided(label, (column,), (np.nan,))
    return list(cells.values())


def _stimuli(recording: xr.DataTree, animals: list[str]) -> dict[str, Any]:
    if "trials" not in recording.children:
        empty = np.empty((len(animals), 0))
        return {"stim_names": _cell([]), "stim_times": np.empty((0, 2)), "stims": empty}
    trials = pick(recording, "trials")
    if "stimulus" not in trials:
        raise TrialTableError(
            "trials have no column 'stimulus'",
            found=", ".join(map(str, trials.data_vars)),
            expected="stimulus, and animal where it differs",
            hint="assign(stimulus=('trial', names))",
        )
    times = np.column_stack([trials["start"].values, trials["stop"].values]).reshape(-1, 2)
    slots, slot = np.unique(times, axis=0, return_inverse=True)
    stimulus = [str(name) for name in trials["stimulus"].values]
    names = list(dict.fromkeys(stimulus))
    stims = np.full((len(animals), len(slots)), np.nan)
    owners = [str(name) for name in trials["animal"].values] if "animal" in trials else None
    for row, name in enumerate(stimulus):
        rows = range(len(animals)) if owners is None else [_row(owners[row], animals)]
        for animal in rows:
            if np.isfinite(stims[animal, slot[row]]):
                raise TrialTableError(
                    "animal has two stimuli at one time",
                    where=f"animal {animals[animal]}, trial {trials['trial'].values[row]}",
                    found=f"a second one at {times[row, 0]:g} s",
                    expected="one stimulus in each slot",
                )
            stims[animal, slot[row]] = names.index(name) + 1
    return {"stim_names": _cell(names), "stim_times": slots, "stims": stims}


def _row(owner: str, animals: list[str]) -> int:
    if owner not in animals:
        raise TrialTableError(
            "trials name an animal that the signal lacks",
            found=owner,
            expected=", ".join(animals),
        )
    return animals.index(owner)


def _trace(values: Array, dtype: Any) -> Array:
    return values[None] if not np.isnan(values).all() else np.empty((0, 0), dtype)


def _scaled(trace: Array) -> Array:
    if not trace.size:
        return trace
    low, high = np.nanmin(trace), np.nanmax(trace)
    scaled: Array = (trace - low) / (high - low if high > low else 1)
    return scaled


def _largest(trace: Array) -> float:
    return float(np.nanmax(trace)) if trace.size else np.nan


def _cell(items: list[Any]) -> _Cell:
    return _Cell(items, (len(items), 1))


def _nested(rows: list[list[Any]]) -> _Cell:
    return _cell([_Cell(row, (1, len(row))) for row in rows])


def _write_5(path: Path, fields: Mapping[str, Any]) -> None:
    from scipy.io import savemat

    with path.open("wb") as file:
        variables = {name: _objects(value) for name, value in fields.items()}
        savemat(file, variables, do_compression=True)


def _objects(value: Any) -> Any:
    if not isinstance(value, _Cell):
        return value
    array = np.empty(len(value.items), dtype=object)
    for i, item in enumerate(value.items):
        array[i] = _objects(item)
    return array.reshape(value.shape, order="F")


def _write_73(path: Path, fields: Mapping[str, Any]) -> None:
    with h5py.File(path, "w", userblock_size=USER_BLOCK) as file:
        store, numbers = file.create_group("#refs#"), count()
        for name, value in fields.items():
            _put(file, name, value, store, numbers)
    with path.open("r+b") as raw:
        raw.write(_user_block())


def _user_block() -> bytes:
    made = datetime.now(UTC).strftime("%a %b %d %H:%M:%S %Y")
    text = f"MATLAB 7.3 MAT-file, Platform: neurodyn, Created on: {made} HDF5 schema 1.00 ."
    return text.encode("ascii").ljust(124) + (0x0200).to_bytes(2, "little") + b"IM"


def _put(
    group: h5py.Group, name: str, value: Any, store: h5py.Group, numbers: Iterator[int]
) -> h5py.Dataset:
    """Write one value as MATLAB does: axes reversed, its class as an attribute."""
    kind, data = _stored(value, store, numbers)
    if 0 in data.shape:
        dataset = group.create_dataset(name, data=np.array(data.shape, np.uint64))
        dataset.attrs["MATLAB_empty"] = np.uint8(1)
    else:
        dtype = h5py.ref_dtype if kind == "cell" else data.dtype
        dataset = group.create_dataset(name, data=data.T, dtype=dtype)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    if kind == "char":
        dataset.attrs["MATLAB_int_decode"] = np.int32(2)
    return dataset


def _stored(value: Any, store: h5py.Group, numbers: Iterator[int]) -> tuple[str, Array]:
    if isinstance(value, _Cell):
        references = np.empty(len(value.items), dtype=h5py.ref_dtype)
        for i, item in enumerate(value.items):
            references[i] = _put(store, f"v{next(numbers)}", item, store, numbers).ref
        return "cell", references.reshape(value.shape, order="F")
    if isinstance(value, str):
        codes = np.frombuffer(value.encode("utf-16-le"), "<u2")
        return "char", codes[None] if codes.size else np.empty((0, 0), "<u2")
    array = np.atleast_2d(np.asarray(value))
    return {"f4": "single", "f8": "double"}[array.dtype.str[1:]], array
