"""To and from the objects of mne, for whatever mne can do and for formats that only it reads."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import DataError, EmptySelectionError, UnsupportedFormatError
from neurodyn.io.faults import OnBad
from neurodyn.io.mne import read_meeg
from neurodyn.io.mne_children import Overlap
from neurodyn.io.mne_files import MeegFile, quietly
from neurodyn.recording import names, physical, pick

__all__ = ["from_mne", "to_mne"]


def from_mne(instance: Any, *, on_bad: OnBad = "raise", overlap: Overlap = "raise") -> xr.DataTree:
    """Return the recording that raw data or epochs of mne stand for.

    Parameters
    ----------
    instance
        ``mne.io.BaseRaw`` or ``mne.BaseEpochs``; all its samples are read and copied.
    on_bad, overlap
        As in :func:`neurodyn.io.mne.load_meeg`.

    Returns
    -------
    xr.DataTree
        As :func:`neurodyn.io.mne.open_meeg` describes it.

    Raises
    ------
    UnsupportedFormatError
        For any other object.
    DataError, FileError
        As in :func:`neurodyn.io.mne.load_meeg`.

    Examples
    --------
    >>> import mne
    >>> info = mne.create_info(["Fz", "Cz"], 100.0, "eeg")
    >>> raw = mne.io.RawArray(np.ones((2, 50)), info, verbose="ERROR")
    >>> from_mne(raw)["signal"]["signal"].attrs["units"]
    'V'
    """
    import mne

    if not isinstance(instance, mne.io.BaseRaw | mne.BaseEpochs):
        raise UnsupportedFormatError(
            "no object of mne that can be converted",
            found=type(instance).__name__,
            expected="mne.io.Raw or mne.Epochs",
        )
    if isinstance(instance, mne.BaseEpochs):
        instance = instance.copy()
        with quietly():
            instance.drop_bad()
    file = MeegFile(instance, Path(type(instance).__name__), [])
    return read_meeg(file, None, on_bad, lazy=False, overlap=overlap)


def to_mne(data: xr.DataTree | xr.Dataset, *, channel_type: str = "eeg") -> Any:
    """Return signals and trials as raw data of mne.

    Parameters
    ----------
    data
        A recording, or one dataset of kind ``signal``. All signals must share one regular clock.
    channel_type
        mne's type of channels and rois that have no column ``type``; values are taken to be in
        mne's unit for it (V, T, T/m) after :func:`neurodyn.recording.physical`.

    Returns
    -------
    mne.io.RawArray
        Float64, in memory. Positions [m], bad channels, subject and the start of the session are
        carried over; trials become annotations, with their ``description`` or ``condition``.

    Raises
    ------
    EmptySelectionError
        If there is no signal.
    DataError
        If signals differ in their clock, or have several animals.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> raw = to_mne(signal(np.zeros((50, 2)), sampling_rate=100.0, channel=["Fz", "Cz"]))
    >>> raw.ch_names, raw.info["sfreq"]
    (['Fz', 'Cz'], 100.0)
    """
    import mne

    signals = _signals(data)
    rate, time = _clock(signals)
    labels = [str(label) for ds in signals for label in ds[_dim(ds)].values]
    kinds = [kind for ds in signals for kind in _column(ds, "type", channel_type).tolist()]
    info = mne.create_info(labels, rate, kinds)
    place = np.concatenate([_positions(ds) for ds in signals])
    for channel, where in zip(info["chs"], place):
        if np.isfinite(where).all():
            channel["loc"][:3] = where
    bad = np.concatenate([_column(ds, "bad", False) for ds in signals])
    info["bads"] = [label for label, is_bad in zip(labels, bad) if is_bad]
    values = np.concatenate([physical(ds, np.float64).values.T for ds in signals])
    first_samp = round(float(time[0]) * rate)
    raw = mne.io.RawArray(values, info, first_samp=first_samp, verbose="ERROR")
    if subject := data.attrs.get("subject"):
        raw.info["subject_info"] = {"his_id": str(subject)}
    if started := data.attrs.get("session_start"):
        raw.set_meas_date(datetime.fromisoformat(started))
    if isinstance(data, xr.DataTree) and "trials" in data.children:
        trials = pick(data, "trials")
        start = trials["start"].values - time[0]
        raw.set_annotations(
            mne.Annotations(start, trials["stop"].values - trials["start"].values, _text(trials))
        )
    return raw


def _signals(data: xr.DataTree | xr.Dataset) -> list[xr.Dataset]:
    if isinstance(data, xr.Dataset):
        return [pick(data, "signal")]
    present = names(data).get("signal", [])
    if not present:
        raise EmptySelectionError("the recording has no signal", found=sorted(data.children))
    return [pick(data, "signal", name or None) for name in present]


def _clock(signals: list[xr.Dataset]) -> tuple[float, NDArray[np.float64]]:
    first = signals[0]
    rate, time = float(first.attrs.get("sampling_rate", 0.0)), first["time"].values
    regular = rate > 0 and np.allclose(np.diff(time), 1 / rate, rtol=0, atol=1e-3 / rate)
    same = all(np.array_equal(ds["time"].values, time) for ds in signals)
    if not regular or not same or any("animal" in ds.dims for ds in signals):
        raise DataError(
            "signals have no regular clock in common",
            found=[f"{ds.attrs.get('sampling_rate')} Hz, {dict(ds.sizes)}" for ds in signals],
            expected="one sampling_rate, the same times, no interruption, one animal",
            hint="choose one with neurodyn.pick; epochs: cut them from raw data by mne",
        )
    return rate, time


def _dim(ds: xr.Dataset) -> str:
    return str(ds["signal"].dims[-1])


def _column(ds: xr.Dataset, name: str, otherwise: object) -> NDArray[Any]:
    known = name in ds.coords and ds[name].dims == (_dim(ds),)
    return np.asarray(ds[name].values if known else np.full(ds.sizes[_dim(ds)], otherwise))


def _positions(ds: xr.Dataset) -> NDArray[np.float64]:
    axes = [_column(ds, axis, np.nan) for axis in "xyz"]
    in_metres = all(ds[axis].attrs.get("units") == "m" for axis in "xyz" if axis in ds.coords)
    return np.stack(axes, axis=1) if in_metres else np.full((axes[0].size, 3), np.nan)


def _text(trials: xr.Dataset) -> list[str]:
    for name in ("description", "condition"):
        if name in trials:
            return [str(text) for text in trials[name].values]
    return [str(label) for label in trials["trial"].values]
