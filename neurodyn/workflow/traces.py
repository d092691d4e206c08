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
from neurodyn.errors import DataError, EmptySelectionError
from neurodyn.io.faults import OnBad

__all__ = ["TraceData", "open_traces"]

JITTER = 1e-3
"""A clock whose steps differ by more than this share is brought to an even one."""


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
        As opening, stacking and aligning do.
    """
    from neurodyn.transforms import stack_animals

    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise EmptySelectionError("no recording was given")
    notes: list[str] = []
    opened = [io.load(path, on_bad=on_bad, **options) for path in files]
    each = [_even(_traces(one, name, bin_size, notes), notes) for one in opened]
    labels = _animal_names(files)
    trials = [_stimuli(one) for one in opened]
    if len(files) == 1:
        traces, stimuli = each[0], trials[0]
    else:
        traces = stack_animals(dict(zip(labels, each)))
        stimuli = _joined(dict(zip(labels, trials)))
    return _aligned(traces, stimuli, tuple(dict.fromkeys(notes)))


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


def _even(traces: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Return traces on an even clock, if theirs only jitters."""
    from neurodyn.transforms import resample

    time = traces["time"].values
    steps = np.diff(time)
    if steps.size == 0 or traces.attrs["kind"] != "signal":
        return traces
    step = float(np.median(steps))
    if (np.abs(steps - step) <= JITTER * step).all():
        return traces
    notes.append(
        f"The clock jitters (steps of {steps.min():.3g} to {steps.max():.3g} s): traces were"
        f" interpolated at every {step:.3g} s."
    )
    even = time[0] + np.arange(int((time[-1] - time[0]) / step + 1e-6) + 1) * step
    return resample(traces, even)


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
