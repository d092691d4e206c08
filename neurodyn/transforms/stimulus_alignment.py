"""Animals that met the same stimuli at other times, put into one order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import (
    ConfigError,
    DataError,
    EmptySelectionError,
    TimebaseError,
    TrialTableError,
    one_of,
    suggest,
)
from neurodyn.provenance import add_history
from neurodyn.recording import pick, validate
from neurodyn.recording import recording as build_recording

__all__ = ["BEFORE", "align_stimuli"]

R = TypeVar("R", xr.DataTree, xr.Dataset)
Repeats = Literal["raise", "number"]
Indices = NDArray[np.int64]
BEFORE = "before"
"""Name of the stretch before the first stimulus."""
STEP_TOLERANCE = 0.01
ON_SAMPLE = 1e-6
"""Of a step: an onset this little after a sample is at it."""


class Stretch(NamedTuple):
    """A half-open range of samples of one animal."""

    first: int
    stop: int


def align_stimuli(
    signal: R,
    trials: xr.DataTree | xr.Dataset | None = None,
    *,
    order: Sequence[str] | None = None,
    repeats: Repeats = "raise",
) -> R:
    """Put all animals' stimuli into one order, each with what follows it.

    Each animal is cut at the onsets of its stimuli (the first sample at or after each); a stretch
    goes with the stimulus before it, and the one before the first stays first. Stretches are
    cropped to the shortest over animals: at the end, and the first at its beginning. Frames at
    both ends in which an animal has no value at all are not part of its record.

    Parameters
    ----------
    signal
        Kind ``signal`` on a regular clock, dims ``([animal,] time, roi)``, or a recording of it.
    trials
        With ``start`` [s] and text ``stimulus``; without a column ``animal`` they hold for all.
        By default those of the recording.
    order
        The stimuli in the order wanted; that of the first animal if not given.
    repeats
        A stimulus that comes more than once in an animal: ``raise``, or ``number`` all its
        occurrences in order of time: ``"NaCl 1"``, ``"NaCl 2"``.

    Returns
    -------
    xr.Dataset or xr.DataTree
        The signal on a regular clock, with ``original_time ([animal,] time)`` [s] and ``segment
        (time)``, the stimulus or ``"before"``; ``attrs["quality"]`` counts cropped samples over
        all animals. Of a recording: signal and trials, which begin with their stretch.

    Raises
    ------
    TrialTableError
        If stimuli are missing in an animal, come twice, have no onset or lie outside the
        record; or animals of the table are unknown.
    TimebaseError, ConfigError, DataError
        If the clock is irregular; ``order`` names other stimuli; the recording has other kinds.

    Examples
    --------
    >>> from neurodyn.recording import signal, trials
    >>> stimuli = trials([1.0, 2.0], [1.5, 2.5], columns={"stimulus": ["salt", "odor"]})
    >>> trace = signal([[5.0], [6.0], [7.0]], sampling_rate=1.0)
    >>> align_stimuli(trace, stimuli, order=["odor", "salt"])["signal"].values.ravel().tolist()
    [5.0, 7.0, 6.0]
    """
    one_of("repeats", repeats, ("raise", "number"))
    source, table = _inputs(signal, trials)
    onsets = _onsets(source, table, repeats)
    labels = _order(onsets, order)
    aligned = _aligned(source, onsets, labels)
    if isinstance(signal, xr.Dataset):
        return add_history(aligned, "align_stimuli", order=labels, repeats=repeats)
    moved = _moved(table, onsets, aligned, _step(source))
    result = build_recording([aligned, moved], **_root_attrs(signal))
    return add_history(result, "align_stimuli", order=labels, repeats=repeats)


def _inputs(
    signal: xr.DataTree | xr.Dataset, trials: xr.DataTree | xr.Dataset | None
) -> tuple[xr.Dataset, xr.Dataset]:
    source = pick(signal, "signal")
    where = signal if trials is None else trials
    kinds = list(where.children) if isinstance(where, xr.DataTree) else [where.attrs.get("kind")]
    if "trials" not in kinds:
        raise TrialTableError(
            "there is no table of stimuli",
            found=", ".join(map(str, kinds)),
            hint="align_stimuli(signal, trials) with neurodyn.recording.trials(start, stop, "
            "columns={'stimulus': ...})",
        )
    table = pick(where, "trials")
    others = {*signal.children} - {"signal", "trials"} if isinstance(signal, xr.DataTree) else ()
    if others:
        raise DataError(
            "these kinds cannot follow the stimuli of each animal",
            found=", ".join(sorted(others)),
            expected="signal and trials",
            hint="leave them out first: neurodyn.recording.recording([signal, trials])",
        )
    if "stimulus" not in table or table["stimulus"].dims != ("trial",):
        raise TrialTableError(
            "trials have no column 'stimulus'", hint=suggest("stimulus", map(str, table.data_vars))
        )
    bad = np.flatnonzero(~np.isfinite(table["start"].values))
    if bad.size:
        raise TrialTableError(
            "a stimulus has no onset", where=f"trial {table['trial'].values[bad[0]]}"
        )
    return source, table


def _root_attrs(signal: xr.DataTree) -> dict[str, Any]:
    return {str(name): value for name, value in signal.attrs.items() if name != "neurodyn_schema"}


def _step(source: xr.Dataset) -> float:
    steps = np.diff(source["time"].values)
    if not steps.size:
        raise TimebaseError("a record of one sample cannot be aligned")
    step = 1.0 / source.attrs.get("sampling_rate", 1.0 / np.median(steps))
    if np.abs(steps - step).max(initial=0.0) > STEP_TOLERANCE * step:
        raise TimebaseError(
            "stimuli are aligned on a regular clock",
            found=f"steps from {steps.min():g} to {steps.max():g} s",
            expected=f"equal steps of {step:g} s",
            hint="neurodyn.transforms.resample the signal first",
        )
    return float(step)


def _animals(source: xr.Dataset) -> list[str]:
    return [str(name) for name in source["animal"].values] if "animal" in source.dims else [""]


def _where(animal: str) -> str | None:
    return f"animal {animal}" if animal else None


def _rows_of(animal: str, table: xr.Dataset) -> Indices:
    """Return the rows of the table that hold for an animal, in order of onset."""
    rows = np.arange(table.sizes["trial"])
    if "animal" in table and animal:
        rows = rows[table["animal"].values.astype(str) == animal]
    return rows[np.argsort(table["start"].values[rows], kind="stable")]


def _onsets(source: xr.Dataset, table: xr.Dataset, repeats: Repeats) -> dict[str, dict[str, float]]:
    """Return the onset [s] of each stimulus by animal, in order of time."""
    animals = _animals(source)
    of_table = sorted({str(name) for name in table["animal"].values} if "animal" in table else ())
    unknown = [name for name in of_table if name not in animals]
    if animals == [""]:
        unknown = of_table if len(of_table) > 1 else []
    if unknown:
        raise TrialTableError(
            "trials are of animals that the signal lacks",
            found=", ".join(unknown[:10]),
            hint=suggest(unknown[0], filter(None, animals)),
        )
    rows = {animal: _rows_of(animal, table) for animal in animals}
    names = table["stimulus"].values.astype(str)
    if BEFORE in names:
        raise TrialTableError(f"no stimulus may be called {BEFORE!r}", hint="rename it")
    counts = {animal: Counter(names[own].tolist()) for animal, own in rows.items()}
    repeated = {name for count in counts.values() for name, n in count.items() if n > 1}
    if repeated and repeats == "raise":
        where = next(animal for animal in animals if max(counts[animal].values(), default=0) > 1)
        raise TrialTableError(
            "stimuli come more than once",
            where=_where(where),
            found=", ".join(sorted(repeated)),
            hint="repeats='number' takes each repeat as a stimulus of its own",
        )
    return {
        animal: dict(
            zip(_numbered(names[own].tolist(), repeated), table["start"].values[own].tolist())
        )
        for animal, own in rows.items()
    }


def _numbered(names: Sequence[str], repeated: set[str]) -> list[str]:
    seen: Counter[str] = Counter()
    seen.update(dict.fromkeys(repeated, 0))
    labels = []
    for name in names:
        seen[name] += 1
        labels.append(f"{name} {seen[name]}" if name in repeated else name)
    return labels


def _order(onsets: Mapping[str, Mapping[str, float]], order: Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(name for own in onsets.values() for name in own))
    if not known:
        raise EmptySelectionError("there is no stimulus to align")
    if order is None:
        return known
    wanted = [str(name) for name in order]
    if sorted(wanted) != sorted(known):
        unknown = [name for name in wanted if name not in known]
        raise ConfigError(
            "order must name each stimulus once",
            found=", ".join(wanted) or "nothing",
            expected=", ".join(known),
            hint=suggest(unknown[0], known) if unknown else None,
        )
    return wanted


def _aligned(
    source: xr.Dataset, onsets: Mapping[str, Mapping[str, float]], order: Sequence[str]
) -> xr.Dataset:
    step, time = _step(source), source["time"].values
    records = zip(onsets.items(), _records(source), strict=True)
    stretches = {
        animal: _stretches(animal, own, time, step, record) for (animal, own), record in records
    }
    _require_all(stretches, order)
    lengths = {
        label: min(own[label].stop - own[label].first for own in stretches.values())
        for label in (BEFORE, *order)
    }
    rows = np.stack([_samples(own, lengths) for own in stretches.values()])
    segment = np.repeat(list(lengths), list(lengths.values()))
    aligned = _gather(source, rows, step).assign_coords(segment=("time", segment))
    n_cropped = sum(b - a for own in stretches.values() for a, b in own.values()) - rows.size
    if n_cropped:
        aligned.attrs["quality"] = {
            **source.attrs.get("quality", {}),
            "samples_cropped": n_cropped,
        }
    validate(aligned)
    return aligned


def _records(source: xr.Dataset) -> list[Stretch]:
    """Return of each animal the samples from its first value to its last."""
    array = source["signal"]
    found = array.notnull().any([dim for dim in array.dims if dim not in ("animal", "time")])
    inside = np.atleast_2d(found.transpose(..., "time").values)
    empty = np.flatnonzero(~inside.any(axis=1))
    if empty.size:
        raise EmptySelectionError(
            "an animal has no values", where=_where(_animals(source)[int(empty[0])])
        )
    return [Stretch(int(row.argmax()), row.size - int(row[::-1].argmax())) for row in inside]


def _stretches(
    animal: str, onsets: Mapping[str, float], time: NDArray[Any], step: float, record: Stretch
) -> dict[str, Stretch]:
    """Return the samples of each stimulus, and of what is before, in order of time."""
    start = np.array(list(onsets.values()))
    first = np.searchsorted(time, start - ON_SAMPLE * step)
    where = _where(animal)
    outside = (start < time[record.first] - ON_SAMPLE * step) | (first >= record.stop)
    if outside.any():
        name, at = list(onsets.items())[int(outside.argmax())]
        raise TrialTableError(
            f"stimulus {name!r} lies outside the record",
            where=where,
            found=f"{at:g} s",
            expected=f"{time[record.first]:g} to {time[record.stop - 1]:g} s",
        )
    if (np.diff(first) < 1).any():
        name = list(onsets)[int(np.diff(first).argmin())]
        raise TrialTableError(
            f"stimulus {name!r} begins at the same sample as the next", where=where
        )
    edges = [record.first, *first.tolist(), record.stop]
    return dict(zip([BEFORE, *onsets], (Stretch(a, b) for a, b in pairwise(edges))))


def _require_all(stretches: Mapping[str, Mapping[str, Stretch]], wanted: Sequence[str]) -> None:
    missing = {
        animal: [name for name in wanted if name not in own] for animal, own in stretches.items()
    }
    lacking = [animal for animal, names in missing.items() if names]
    if lacking:
        raise TrialTableError(
            "stimuli are missing in animals",
            where=_where(lacking[0]),
            found=f"{len(lacking)} of {len(stretches)} without {', '.join(missing[lacking[0]])}",
            expected=", ".join(wanted),
            hint="leave out these animals, or the stimulus in all of them",
        )


def _samples(stretches: Mapping[str, Stretch], lengths: Mapping[str, int]) -> Indices:
    found = []
    for label, length in lengths.items():
        first, stop = stretches[label]
        first = stop - length if label == BEFORE else first
        found.append(np.arange(first, first + length))
    return np.concatenate(found)


def _gather(source: xr.Dataset, rows: Indices, step: float) -> xr.Dataset:
    """Return samples ``(animal, time)`` of a signal, each with the time that it had."""
    # how many frames an animal has is part of the record that was cut
    moved = source.drop_vars("n_frames", errors="ignore").rename(time="original_time")
    if "animal" in source.dims:
        places = {
            "animal": xr.DataArray(np.arange(len(rows)), dims="animal"),
            "original_time": xr.DataArray(rows, dims=("animal", "time")),
        }
    else:
        places = {"original_time": xr.DataArray(rows[0], dims="time")}
    dims = ["time" if dim == "time" else dim for dim in source["signal"].dims]
    found = moved.isel(places)
    found["signal"] = found["signal"].transpose(*dims)
    time = source["time"].values[0] + np.arange(rows.shape[1]) * step
    return found.assign_coords(time=("time", time, {"units": "s"}))


def _moved(
    table: xr.Dataset,
    onsets: Mapping[str, Mapping[str, float]],
    aligned: xr.Dataset,
    step: float,
) -> xr.Dataset:
    """Return the trials on the clock of the aligned signal."""
    segment, time = aligned["segment"].values, aligned["time"].values
    old = {name: table[name].values for name in ("start", "stop", "stimulus")}
    start, stop, stimulus = old["start"].copy(), old["stop"].copy(), old["stimulus"].astype(object)
    for animal, own in onsets.items():
        for row, label in zip(_rows_of(animal, table), own, strict=True):
            inside = time[segment == label]
            stimulus[row], start[row] = label, inside[0]
            length = old["stop"][row] - old["start"][row]
            stop[row] = min(inside[0] + length, inside[-1] + step)
    moved = {
        str(name): column + (start - old["start"])
        for name, column in table.data_vars.items()
        if column.dtype.kind == "f"
        and (str(name).endswith("_time") or column.attrs.get("units") == "s")
    }
    moved |= {"start": table["start"].copy(data=start), "stop": table["stop"].copy(data=stop)}
    return table.assign({**moved, "stimulus": ("trial", stimulus.astype(np.str_))})
