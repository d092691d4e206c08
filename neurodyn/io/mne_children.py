"""Raw data and epochs of mne as parts of a recording: one signal per channel type, and trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import TimebaseError, one_of
from neurodyn.io.children import Child
from neurodyn.io.containment import printable
from neurodyn.io.faults import Quality
from neurodyn.io.lazy import FileArray, lazy_variable
from neurodyn.io.limits import require_budget
from neurodyn.io.mne_files import MeegFile, quietly, unreadable
from neurodyn.io.nwb.naming import unique_name
from neurodyn.io.samples import settle_samples

__all__ = ["Overlap", "meeg_attrs", "meeg_children"]

Overlap = Literal["raise", "lay_out"]
Read = Callable[[NDArray[np.int64], int, int], NDArray[np.float64]]
NAMES = {"mag": "meg_mag", "grad": "meg_grad", "ref_meg": "meg_ref"}
# units and frames by their number in FIF
UNITS = {3: "s", 5: "K", 7: "rad", 106: "C", 107: "V", 110: "S", 112: "T", 114: "degC"}
UNITS |= {117: "V/m^2", 201: "T/m", 202: "A m"}
FRAMES = {1: "device", 4: "head", 5: "mri", 7: "mni"}
BLOCK_BYTES = 32_000_000


def meeg_children(file: MeegFile, *, overlap: Overlap = "raise") -> list[Child]:
    """Return the parts of raw data or epochs.

    Parameters
    ----------
    file
        What mne opened.
    overlap
        As in :func:`neurodyn.io.mne.open_meeg`.

    Returns
    -------
    list of Child
        ``signal`` of the only channel type, or one ``signal/<type>`` for each; ``trials``, if
        there are annotations or epochs.

    Raises
    ------
    ConfigError
        For an unknown ``overlap``.
    """
    one_of("overlap", overlap, ("raise", "lay_out"))
    groups: dict[str, list[int]] = {}
    for index, kind in enumerate(file.instance.get_channel_types()):
        groups.setdefault(NAMES.get(kind, kind), []).append(index)
    several = len(groups) > 1

    def reading(read: Callable[..., xr.Dataset], *args: Any) -> Callable[[Quality], xr.Dataset]:
        def settled(quality: Quality) -> xr.Dataset:
            for fault in file.faults:
                numbered = fault.code == "repeated_channels"
                quality.decide(fault, can=("fix", "warn") if numbered else ("drop", "warn"))
            return read(file, *args, overlap, quality)

        return settled

    children = [
        Child(f"signal/{name}" if several else "signal", name, reading(_signal, np.array(picks)))
        for name, picks in groups.items()
    ]
    if not _is_raw(file):
        children.append(Child("trials", "epochs", reading(_epoch_trials)))
    elif len(file.instance.annotations):
        children.append(Child("trials", "annotations", reading(_annotation_trials)))
    return children


def meeg_attrs(file: MeegFile) -> dict[str, Any]:
    """Return root attributes: subject, start and what mne warned about; nothing personal.

    ``session_start`` is the moment of time 0: the measurement date, and for raw data the
    ``first_samp`` samples more that passed before the first one was kept.
    """
    info = file.instance.info
    attrs: dict[str, Any] = {}
    if subject := (info["subject_info"] or {}).get("his_id"):
        attrs["subject"] = printable(str(subject))
    if info["meas_date"] is not None:
        before = timedelta(seconds=file.instance.first_time if _is_raw(file) else 0.0)
        attrs["session_start"] = (info["meas_date"] + before).isoformat()
    if file.notes:
        attrs["notes"] = list(file.notes)
    return attrs


class _Samples(FileArray):
    """Samples ``(time, channel)`` in SI units, read in blocks when they are touched."""

    def __init__(self, file: MeegFile, picks: NDArray[np.int64]) -> None:
        self.file, self.picks = file, picks
        instance = file.instance
        n_epochs = 1 if _is_raw(file) else len(instance)
        self.shape = (n_epochs * len(instance.times), picks.size)
        self.dtype = np.dtype(np.float64)
        self.read: Read = _reading_raw(instance) if _is_raw(file) else _reading_epochs(instance)

    def values(self) -> NDArray[np.float64]:
        """Read everything."""
        return self._read((slice(None), slice(None)))

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        times = np.arange(self.shape[0])[key[0]]
        chosen = self.picks[key[1]]
        channels, column = np.unique(chosen, return_inverse=True)
        require_budget(8 * times.size * channels.size, None, where=self.file.source)
        values = np.empty((times.size, channels.size))
        flat = np.atleast_1d(times)
        order = np.argsort(flat, kind="stable")
        ordered = flat[order]
        block = max(1, BLOCK_BYTES // (8 * max(1, channels.size)))
        done = 0
        # mne refuses to read no channels
        while done < ordered.size and channels.size:
            first = int(ordered[done])
            stop = int(np.searchsorted(ordered, first + block))
            found = self._block(channels, first, int(ordered[stop - 1]) + 1)
            values[order[done:stop]] = found[:, ordered[done:stop] - first].T
            done = stop
        in_order = values[:, np.atleast_1d(column)]
        return np.asarray(in_order.reshape(times.shape + chosen.shape))

    def _block(self, channels: NDArray[np.int64], first: int, stop: int) -> NDArray[np.float64]:
        with quietly():
            try:
                return np.asarray(self.read(channels, first, stop))
            except Exception as error:
                where = f"{self.file.source}, samples {first} to {stop - 1}"
                raise unreadable(where, error) from error


def _reading_raw(raw: Any) -> Read:
    return lambda channels, first, stop: raw[channels, first:stop][0]


def _reading_epochs(epochs: Any) -> Read:
    order, n_times = _order(epochs), len(epochs.times)

    def read(channels: NDArray[np.int64], first: int, stop: int) -> NDArray[np.float64]:
        start = first // n_times
        wanted = order[start : -(-stop // n_times)]
        # (epoch, channel, time), one epoch after another
        values = epochs.get_data(picks=channels, item=wanted)
        in_row: NDArray[np.float64] = values.swapaxes(0, 1).reshape(channels.size, -1)
        return in_row[:, first - start * n_times : stop - start * n_times]

    return read


def _is_raw(file: MeegFile) -> bool:
    return hasattr(file.instance, "first_samp")


def _order(epochs: Any) -> NDArray[np.int64]:
    return np.argsort(epochs.events[:, 0], kind="stable")


def _signal(
    file: MeegFile, picks: NDArray[np.int64], overlap: Overlap, quality: Quality
) -> xr.Dataset:
    instance = file.instance
    array = _Samples(file, picks)
    names = [printable(instance.ch_names[pick]) for pick in picks]
    values = lazy_variable(("time", "channel"), array)
    if not quality.lazy:
        require_budget(8 * array.shape[0] * array.shape[1], None, where=file.source)
        settled = settle_samples(array.values().T, names, str(file.source), quality)
        values = xr.Variable(("time", "channel"), settled.T)
    clock: dict[str, Any] = {"sampling_rate": float(instance.info["sfreq"])}
    if not _is_raw(file):
        starts = _starts(file, overlap)
        clock["time"] = (starts[:, None] + instance.times).ravel()
    columns, attrs = _channels(instance, picks)
    return recording.signal(values, channel=names, channel_columns=columns, **clock, **attrs)


def _channels(instance: Any, picks: NDArray[np.int64]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is known of channels: columns of each, and attributes of all."""
    info = instance.info
    chosen = [info["chs"][pick] for pick in picks]
    place = np.array([channel["loc"][:3] for channel in chosen], np.float64)
    # mne leaves zeros where it knows nothing
    place[~place.any(axis=1)] = np.nan
    units = [UNITS.get(int(channel["unit"]), "") for channel in chosen]
    frames = {FRAMES.get(int(channel["coord_frame"]), "unknown") for channel in chosen}
    kinds = instance.get_channel_types(picks=picks)
    metres = {"units": "m"}
    columns: dict[str, Any] = {
        "type": kinds,
        **{axis: xr.Variable(("channel",), row, metres) for axis, row in zip("xyz", place.T)},
        "bad": np.isin([channel["ch_name"] for channel in chosen], info["bads"]),
    }
    attrs: dict[str, Any] = {
        "units": units[0] if len(set(units)) == 1 else "",
        "highpass": float(info["highpass"]),
        "lowpass": float(info["lowpass"]),
    }
    if len(set(units)) > 1:
        columns["channel_units"] = units
    if np.isfinite(place).any():
        attrs["coordinate_frame"] = ", ".join(sorted(frames))
    if info["line_freq"] is not None:
        attrs["line_frequency"] = float(info["line_freq"])
    if getattr(instance, "first_samp", 0):
        attrs["first_time"] = float(instance.first_time)
    if waiting := [printable(p["desc"]) for p in info["projs"] if not p["active"]]:
        attrs["projections_not_applied"] = waiting
    return columns, attrs


def _annotation_trials(file: MeegFile, overlap: Overlap, quality: Quality) -> xr.Dataset:
    annotations, first_time = file.instance.annotations, file.instance.first_time
    description = [printable(str(text)) for text in annotations.description]
    columns: dict[str, Any] = {
        "description": description,
        # mne leaves out what is annotated so
        "bad": np.array([text.upper().startswith("BAD") for text in description]),
    }
    channels = [";".join(map(str, names)) for names in annotations.ch_names]
    if any(channels):
        columns["channels"] = channels
    extras = [dict(extra or {}) for extra in getattr(annotations, "extras", None) or ()]
    for name in dict.fromkeys(name for extra in extras for name in extra):
        taken = ("trial", "start", "stop", *columns)
        columns[unique_name(name, taken)] = _column([extra.get(name) for extra in extras])
    start = np.asarray(annotations.onset, np.float64) - first_time
    return recording.trials(start, start + annotations.duration, columns=columns)


def _epoch_trials(file: MeegFile, overlap: Overlap, quality: Quality) -> xr.Dataset:
    epochs = file.instance
    order, rate = _order(epochs), float(epochs.info["sfreq"])
    start = _starts(file, overlap)
    names = {code: printable(str(name)) for name, code in epochs.event_id.items()}
    columns: dict[str, Any] = {
        "event_time": start,
        "condition": [names.get(code, str(code)) for code in epochs.events[order, 2]],
    }
    if overlap == "lay_out":
        columns["session_time"] = epochs.events[order, 0] / rate
    if epochs.metadata is not None:
        for name, values in epochs.metadata.items():
            taken = ("trial", "start", "stop", *columns)
            columns[unique_name(str(name), taken)] = _column(values.tolist())[order]
    quality.note("epochs_dropped_before", sum(1 for reasons in epochs.drop_log if _lost(reasons)))
    first, last = epochs.times[[0, -1]]
    return recording.trials(start + first, start + last + 1 / rate, columns=columns)


def _lost(reasons: Sequence[str]) -> bool:
    return bool(reasons) and tuple(reasons) != ("IGNORED",)


def _starts(file: MeegFile, overlap: Overlap) -> NDArray[np.float64]:
    """Return the time of the event of each epoch [s]."""
    epochs, rate = file.instance, float(file.instance.info["sfreq"])
    n_times: int = len(epochs.times)
    if overlap == "lay_out":
        # one sample is left out, so that nobody takes two epochs for one
        return np.asarray(np.arange(len(epochs)) * (n_times + 1) / rate - epochs.times[0])
    sample = epochs.events[_order(epochs), 0]
    bad = np.flatnonzero(np.diff(sample) < n_times)
    if bad.size:
        raise TimebaseError(
            "epochs overlap",
            where=f"{file.source}, epochs {bad[0]} and {bad[0] + 1}",
            found=f"{n_times} samples, {np.diff(sample)[bad[0]]} apart ({bad.size} such pairs)",
            expected="each sample once on the clock of the session",
            hint="overlap='lay_out' puts one after another; or open the raw data",
        )
    seconds: NDArray[np.float64] = sample / rate
    return seconds


def _column(values: Sequence[Any]) -> NDArray[Any]:
    """Return a column as numbers if it holds nothing else, else as text."""
    if all(isinstance(value, bool | np.bool_) for value in values):
        return np.array(values, bool)
    if all(value is None or isinstance(value, int | float | np.number) for value in values):
        return np.array([np.nan if value is None else float(value) for value in values])
    missing = (value is None or value != value for value in values)
    return np.array(["" if no else printable(str(v)) for v, no in zip(values, missing)])
