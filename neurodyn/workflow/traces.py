"""From files to traces on one clock, of one animal or several, with their stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn import io
from neurodyn import recording as rec
from neurodyn.errors import ConfigError, DataError, EmptySelectionError, TimebaseError
from neurodyn.io.faults import OnBad

__all__ = ["TraceData", "open_traces"]

JITTER = 1e-3
"""A clock whose steps differ by more than this share is brought to an even one."""
GAP = 1.5
"""A step of more than so many median ones is a gap, which nothing is interpolated over."""


@dataclass(frozen=True)
class TraceData:
    """Traces ``([animal,] time, roi)``, stimuli on their clock if any, and what was done."""

    traces: xr.Dataset
    stimuli: xr.Dataset | None = None
    notes: tuple[str, ...] = ()


def open_traces(
    paths: str | Path | Sequence[str | Path],
    *,
    name: str | None = None,
    bin_size: float = 0.25,
    on_bad: OnBad = "raise",
    **options: Any,
) -> TraceData:
    """Open recordings as traces; several files are several animals.

    Spikes are binned; a jittered clock is made even by linear interpolation; where animals saw
    their stimuli in different orders, they are aligned by the identity of the stimulus. All
    three are said in ``notes``.

    Parameters
    ----------
    paths
        One file or folder of any known format, or one for each animal.
    name
        Which signal, if a file holds several.
    bin_size
        Of spikes [s].
    on_bad
        What to do about faults of the files: ``"raise"``, ``"fix"``, ``"drop"``, ``"warn"``.
    **options
        Of the reader, such as ``sampling_rate`` for a suite2p folder.

    Raises
    ------
    FileError, DataError
        As opening, stacking and aligning do; if a clock has gaps, or several animals have no
        signals.
    ConfigError
        If the reader of the format takes other options.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise EmptySelectionError("no recording was given")
    notes: list[str] = []
    opened = [_load(path, on_bad, options) for path in files]
    each = [
        _even(_traces(one, name, bin_size, notes), one.attrs.get("source"), notes) for one in opened
    ]
    labels = _animal_names(files)
    trials = [_stimuli(one) for one in opened]
    if len(files) == 1:
        traces, stimuli = each[0], trials[0]
    else:
        traces = _stacked(dict(zip(labels, each)), notes)
        stimuli = _joined(dict(zip(labels, trials)))
    return _aligned(traces, stimuli, tuple(dict.fromkeys(notes)))


def _load(path: str | Path, on_bad: OnBad, options: dict[str, Any]) -> xr.DataTree:
    try:
        return io.load(path, on_bad=on_bad, **options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ConfigError(
            "the reader of this format takes other options",
            where=path,
            found=", ".join(options),
            hint="leave them out",
        ) from error


def _traces(
    recording: xr.DataTree, name: str | None, bin_size: float, notes: list[str]
) -> xr.Dataset:
    from neurodyn.transforms import bin_spikes

    kinds = rec.names(recording)
    for kind in ("signal", "bold", "counts"):
        if kind in kinds:
            return rec.pick(recording, kind, name)
    if "spikes" not in kinds:
        raise EmptySelectionError(
            "the recording has no traces",
            where=recording.attrs.get("source"),
            found=", ".join(sorted(kinds)) or "nothing",
            expected="a signal, fMRI series, counts or spikes",
        )
    notes.append(f"Spikes were counted in bins of {bin_size:g} s.")
    return bin_spikes(recording, bin_size)


def _even(traces: xr.Dataset, source: object, notes: list[str]) -> xr.Dataset:
    """Return traces on an even clock, if theirs only jitters."""
    from neurodyn.transforms import resample

    time = traces["time"].values
    steps = np.diff(time)
    if steps.size == 0 or traces.attrs["kind"] != "signal" or "animal" in traces.dims:
        return traces
    step = float(np.median(steps))
    if (np.abs(steps - step) <= JITTER * step).all():
        return traces
    if steps.max() > GAP * step:
        raise TimebaseError(
            "the clock of the traces has gaps",
            where=source,
            found=f"{int((steps > GAP * step).sum())} steps of up to {steps.max():.3g} s, the"
            f" first after {time[int((steps > GAP * step).argmax())]:.6g} s",
            expected=f"steps of about {step:.3g} s",
            hint="neurodyn.transforms.restrict(...) to a part without gaps",
        )
    notes.append(
        f"The clock jitters (steps of {steps.min():.3g} to {steps.max():.3g} s): traces were"
        f" interpolated at every {step:.3g} s."
    )
    even = time[0] + np.arange(int((time[-1] - time[0]) / step + 1e-6) + 1) * step
    # samples that are missing stay so, and are judged with the traces
    found = resample(traces, np.minimum(even, time[-1]), on_bad="fix")
    return found.assign_attrs(quality=traces.attrs.get("quality", {}))


def _stacked(parts: dict[str, xr.Dataset], notes: list[str]) -> xr.Dataset:
    """Return the signals of several animals as one, cells matched by name."""
    from neurodyn.transforms import stack_animals

    for animal, part in parts.items():
        if part.attrs["kind"] != "signal":
            raise DataError(
                "only signals can be matched over animals",
                where=f"animal {animal}",
                found=part.attrs["kind"],
                expected="traces of cells that have the same name in every animal",
                hint="one file at a time",
            )
    traces = stack_animals(parts)
    dim = next(str(dim) for dim in traces["signal"].dims if dim not in ("animal", "time"))
    if all(str(label).isdigit() for label in traces[dim].values):
        notes.append(
            "Cells were matched over animals by their labels, and these are numbers: that is"
            " right only if a number means the same cell in every animal."
        )
    return traces


def _stimuli(recording: xr.DataTree) -> xr.Dataset | None:
    """Return the table of trials that name a stimulus."""
    for name in rec.names(recording).get("trials", []):
        trials = rec.pick(recording, "trials", name or None)
        if "stimulus" in trials:
            return trials
    return None


def _joined(by_animal: dict[str, xr.Dataset | None]) -> xr.Dataset | None:
    """Return the stimuli of all animals in one table."""
    found = {animal: trials for animal, trials in by_animal.items() if trials is not None}
    if not found:
        return None
    if len(found) < len(by_animal):
        lacking = ", ".join(animal for animal in by_animal if animal not in found)
        raise DataError("some animals have stimuli and others have none", found=f"none: {lacking}")
    columns = ("start", "stop", "stimulus")
    table = {name: np.concatenate([t[name].values for t in found.values()]) for name in columns}
    animal = np.repeat(list(found), [trials.sizes["trial"] for trials in found.values()])
    return rec.trials(
        table["start"], table["stop"], columns={"stimulus": table["stimulus"], "animal": animal}
    )


def _animal_names(files: Sequence[str | Path]) -> list[str]:
    stems = [Path(file).name.split(".")[0] for file in files]
    return stems if len({*stems}) == len(stems) else [str(number) for number in range(len(stems))]


def _aligned(traces: xr.Dataset, stimuli: xr.Dataset | None, notes: tuple[str, ...]) -> TraceData:
    """Return traces in which every animal has the same stimulus at the same time."""
    from neurodyn.transforms import align_stimuli

    several = "animal" in traces.dims and traces.sizes["animal"] > 1
    if stimuli is None or not several or _same_times(stimuli):
        return TraceData(traces, stimuli, notes)
    both = align_stimuli(rec.recording([traces, stimuli]), repeats="number")
    note = "Animals saw the stimuli at different times: they were aligned by stimulus."
    return TraceData(rec.pick(both, "signal"), rec.pick(both, "trials"), (*notes, note))


def _same_times(stimuli: xr.Dataset) -> bool:
    """Tell whether every animal has each stimulus at the same times."""
    if "animal" not in stimuli:
        return True
    tables = set()
    for animal in dict.fromkeys(stimuli["animal"].values.tolist()):
        own = stimuli.isel(trial=np.flatnonzero(stimuli["animal"].values == animal))
        rows = zip(*(own[name].values.tolist() for name in ("stimulus", "start", "stop")))
        tables.add(tuple(sorted(rows)))
    return len(tables) <= 1
