"""The benchmark's clock: one millisecond, from zero to the end of the last observation interval.

Spikes go to the sample ``int(round(1000 t, 6))``; a bin of several samples is observed if its
first sample is. This is the benchmark's own rule and only for its tensors: everywhere else a bin
is observed when it lies wholly inside an observation interval.

Files of one recording are joined in the order of their names, each starting at the next tenth
of a second at least 50 ms after the end of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import (
    EmptySelectionError,
    SchemaError,
    SpikeTimesError,
    TimebaseError,
    TrialTableError,
    suggest,
)
from neurodyn.nlb.session import Session, from_recording
from neurodyn.nlb.tasks import Task

__all__ = ["MISSING", "Clock", "make_clock"]

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
MISSING = np.iinfo(np.int64).min
"""Nanoseconds of an event that did not happen (numpy's NaT)."""
GAP = 0.05


@dataclass(frozen=True)
class Clock:
    """All files of a recording on one millisecond clock.

    Attributes
    ----------
    n_samples
        Length of the clock in ms.
    held_in, held_out
        Unit ids in the order of the benchmark's arrays.
    spike_sample
        Sample of each spike, per unit: first the held-in ones. Unobserved spikes are left out.
    observed
        Samples at which held-in (row 0) and held-out units (row 1) were observed.
    behavior
        Values ``(sample, feature)``, NaN where there are none; ``None`` without behavior.
    trials
        The trial tables one after another; columns ending in ``_time`` are timedeltas.
    """

    n_samples: int
    held_in: tuple[str, ...]
    held_out: tuple[str, ...]
    spike_sample: tuple[IntArray, ...]
    observed: BoolArray
    behavior: FloatArray | None
    trials: pd.DataFrame

    def rows(self, split: str | Sequence[str]) -> BoolArray:
        """Return which trials belong to one or more splits.

        Raises
        ------
        EmptySelectionError
            If there are none; lists the splits there are.
        """
        wanted = [split] if isinstance(split, str) else list(split)
        chosen = np.asarray(self.trials["split"].isin(wanted), dtype=bool)
        if not chosen.any():
            present = sorted(set(self.trials["split"].astype(str)))
            raise EmptySelectionError(
                f"no trial of split {' or '.join(wanted)}", found=", ".join(present)
            )
        return chosen

    def column(self, name: str) -> pd.Series:
        """Return a column of the trial table.

        Raises
        ------
        TrialTableError
            If there is none; lists what there is.
        """
        if name not in self.trials:
            raise TrialTableError(
                f"the trial table has no column {name!r}", hint=suggest(name, self.trials.columns)
            )
        return self.trials[name]

    def event(self, name: str, rows: BoolArray | None = None) -> IntArray:
        """Return the times [ns] of an event; for chosen ``rows`` it must have happened.

        Raises
        ------
        TrialTableError
            If there is no such column, or a chosen trial lacks the event.
        """
        times = self.column(name).to_numpy().astype("timedelta64[ns]").astype(np.int64)
        if rows is None:
            return times
        lacking = self.trials["trial_id"].to_numpy()[rows & (times == MISSING)]
        if lacking.size:
            raise TrialTableError(
                f"trials have no {name!r}", found=f"{lacking.size} trials: {lacking[:10].tolist()}"
            )
        return times[rows]


def make_clock(data: Session | xr.DataTree | Sequence[Session | xr.DataTree], task: Task) -> Clock:
    """Put one or more files on the benchmark's clock.

    Parameters
    ----------
    data
        Recordings or sessions of one subject, in any order; they are joined by file name.
    task
        Says which behavior is needed.

    Raises
    ------
    SchemaError
        If the files have different units.
    SpikeTimesError, TimebaseError
        If spikes or behavior samples lie outside the clock.
    """
    items = [data] if isinstance(data, Session | xr.DataTree) else list(data)
    if not items:
        raise EmptySelectionError("there is no recording to put on a clock")
    sessions = [
        item if isinstance(item, Session) else from_recording(item, task.behavior) for item in items
    ]
    sessions.sort(key=lambda session: session.name)
    held_in, held_out = _units(sessions)
    placed = [_place(session, held_in, held_out, task.behavior) for session in sessions]
    return _join(placed) if len(placed) > 1 else placed[0]


def _units(sessions: Sequence[Session]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return sorted held-in and held-out ids; files of a test split have no held-out ones."""
    found = []
    for wanted in (False, True):
        groups = {_sorted_ids(session, wanted) for session in sessions} - {()}
        if len(groups) > 1:
            kind = "held-out" if wanted else "held-in"
            sizes = sorted(len(group) for group in groups)
            raise SchemaError(f"files have different {kind} units", found=f"{sizes} units")
        found.append(groups.pop() if groups else ())
    if not found[0]:
        raise EmptySelectionError("there are no held-in units", found=f"{len(found[1])} held-out")
    return found[0], found[1]


def _sorted_ids(session: Session, held_out: bool) -> tuple[str, ...]:
    chosen = [unit for unit, out in zip(session.unit, session.held_out) if out == held_out]
    numeric = all(unit.lstrip("-").isdigit() for unit in chosen)
    return tuple(sorted(chosen, key=int if numeric else None))


def _place(
    session: Session, held_in: tuple[str, ...], held_out: tuple[str, ...], behavior: str | None
) -> Clock:
    edges = np.concatenate([[0], np.cumsum(session.obs_row_size)])
    last = [session.obs_stop[stop - 1] for start, stop in pairwise(edges) if stop > start]
    if not last:
        raise EmptySelectionError("the units have no observation intervals", where=session.name)
    n_samples = round(max(last) * 1000)
    observed = np.zeros((2, n_samples), dtype=bool)
    for row, ids in enumerate((held_in, held_out)):
        members = [i for i, unit in enumerate(session.unit) if unit in ids]
        if members:
            # the intervals of the first unit in the file stand for its whole group
            own = slice(edges[members[0]], edges[members[0] + 1])
            observed[row] = _observed(session.obs_start[own], session.obs_stop[own], n_samples)
    samples = _samples(session, n_samples)
    spike_sample = []
    for row, ids in enumerate((held_in, held_out)):
        for unit in ids:
            own_samples = samples.get(unit, np.empty(0, np.int64))
            spike_sample.append(own_samples[observed[row, own_samples]])
    return Clock(
        n_samples,
        held_in,
        held_out,
        tuple(spike_sample),
        observed,
        _behavior(session, behavior, n_samples),
        session.trials.apply(_timedelta),
    )


def _observed(start: FloatArray, stop: FloatArray, n_samples: int) -> BoolArray:
    mask = np.zeros(n_samples, dtype=bool)
    first = np.ceil((start * 1000).round(6)).astype(np.int64)
    end = np.floor((stop * 1000).round(6)).astype(np.int64)
    for begin, finish in zip(first, end):
        mask[max(begin, 0) : max(finish, 0)] = True
    return mask


def _samples(session: Session, n_samples: int) -> dict[str, IntArray]:
    sample = (session.spike_time * 1000).round(6).astype(np.int64)
    outside = (sample < 0) | (sample >= n_samples)
    if outside.any():
        raise SpikeTimesError(
            "spikes lie outside the observed session",
            where=session.name,
            found=f"{int(outside.sum())} spikes, one at {session.spike_time[outside][0]:g} s",
            expected=f"times from 0 to {n_samples / 1000:g} s",
        )
    parts = np.split(sample, np.cumsum(session.row_size)[:-1])
    return dict(zip(session.unit, parts))


def _behavior(session: Session, name: str | None, n_samples: int) -> FloatArray | None:
    if name is None or name not in session.behavior:
        return None
    time, value = session.behavior[name]
    sample = np.rint(time * 1000).astype(np.int64)
    on_grid = np.abs(time * 1000 - sample) < 1e-3
    if not on_grid.all() or (sample < 0).any() or (sample >= n_samples).any():
        raise TimebaseError(
            f"samples of {name!r} are not on the millisecond clock",
            where=session.name,
            found=f"{int((~on_grid).sum())} between ticks, last at {time[-1]:g} s",
        )
    placed = np.full((n_samples, value.shape[1]), np.nan)
    placed[sample] = value
    return placed


def _timedelta(column: pd.Series) -> pd.Series:
    if str(column.name).endswith("_time"):
        # the conversion of pandas, whose last nanosecond decides at bin edges
        return pd.to_timedelta(column, unit="s").astype("timedelta64[ns]")
    return column


def _join(clocks: Sequence[Clock]) -> Clock:
    starts: list[int] = []
    end = 0
    for clock in clocks:
        starts.append(0 if not starts else int(np.ceil(((end - 1) / 1000 + GAP) * 10) * 100))
        end = starts[-1] + clock.n_samples
    observed = np.zeros((2, end), dtype=bool)
    features = {clock.behavior.shape[1] for clock in clocks if clock.behavior is not None}
    behavior = np.full((end, features.pop()), np.nan) if features else None
    for start, clock in zip(starts, clocks):
        span = slice(start, start + clock.n_samples)
        observed[:, span] = clock.observed
        if behavior is not None and clock.behavior is not None:
            behavior[span] = clock.behavior
    shifted = [
        np.concatenate([samples + start for start, samples in zip(starts, unit)])
        for unit in zip(*(clock.spike_sample for clock in clocks))
    ]
    first = clocks[0]
    return Clock(
        end,
        first.held_in,
        first.held_out,
        tuple(shifted),
        observed,
        behavior,
        _join_tables([clock.trials for clock in clocks], starts),
    )


def _join_tables(tables: Sequence[pd.DataFrame], starts: Sequence[int]) -> pd.DataFrame:
    moved, n_before = [], 0
    for table, start in zip(tables, starts):
        shift = pd.to_timedelta(start, unit="ms")
        later = table.assign(trial_id=table["trial_id"] + n_before)
        for name in [name for name in table if str(name).endswith("_time")]:
            later[name] = later[name] + shift
        moved.append(later)
        n_before += len(table)
    return pd.concat(moved, axis=0, join="outer", ignore_index=True)
