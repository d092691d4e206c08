"""Labelled examples for decoding: whole runs by their attributes, or events in runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import EmptySelectionError, TrialTableError, suggest
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.context import RoiContext, bold_runs, run_windows
from neurodyn.recording import names, pick
from neurodyn.windows import RunWindows

__all__ = ["Examples", "event_examples", "run_examples"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Windows with a label: one example has one window or several, which are averaged.

    Parameters
    ----------
    windows
        Over all runs.
    example
        Number of the example of each window, shape ``(window,)``.
    name, label, subject
        Of each example, shape ``(example,)``; a run without subject is one of its own.
    """

    windows: RunWindows
    example: NDArray[np.int64]
    name: NDArray[np.object_]
    label: NDArray[Any]
    subject: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.name)

    def take(self, index: ArrayLike) -> Examples:
        """Return some of the examples, in the order of ``index``.

        Raises
        ------
        EmptySelectionError
            If ``index`` is empty.
        """
        chosen = np.asarray(index, dtype=np.int64).reshape(-1)
        place = np.full(len(self), -1)
        place[chosen] = np.arange(chosen.size)
        kept = np.flatnonzero(place[self.example] >= 0)
        return replace(
            self,
            windows=self.windows.take(kept),
            example=place[self.example[kept]],
            name=self.name[chosen],
            label=self.label[chosen],
            subject=self.subject[chosen],
        )

    def mean(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the mean over the windows of each example; dims ``(example, ...)``."""
        total = np.zeros((len(self), *values.shape[1:]))
        np.add.at(total, self.example, values)
        n = np.bincount(self.example, minlength=len(self))
        mean: NDArray[np.float64] = total / n.reshape(-1, *([1] * (values.ndim - 1)))
        return mean


def run_examples(
    data: xr.DataTree | xr.Dataset,
    context: RoiContext,
    config: BrainMAEConfig,
    target: str,
    step: int | None = None,
) -> Examples:
    """Return the runs whose attribute ``target`` is known.

    Parameters
    ----------
    data
        Runs, with attributes such as ``diagnosis``, ``age`` and ``subject``.
    context, config
        Of the model.
    target
        Name of an attribute.
    step
        Frames from one window of a run to the next; by default a window.

    Raises
    ------
    EmptySelectionError
        If no run has it.
    DataError
        If a run has other regions than the model.
    """
    runs = bold_runs(data)
    known = {name: run for name, run in runs.items() if _is_known(run.attrs.get(target))}
    if not known:
        attrs = sorted({str(name) for run in runs.values() for name in run.attrs})
        raise EmptySelectionError(
            f"no run has an attribute {target!r}",
            found=f"{len(runs)} runs",
            hint=suggest(target, attrs),
        )
    windows = run_windows(known, context, config, step)
    label = np.array([run.attrs[target] for run in known.values()])
    return Examples(
        windows, windows.run, np.array(list(known), dtype=object), label, _subjects(known)
    )


def event_examples(
    data: xr.DataTree,
    context: RoiContext,
    config: BrainMAEConfig,
    target: str,
    *,
    lag: float = 6.0,
) -> Examples:
    """Return one segment for each event of the trial tables that have the names of runs.

    Parameters
    ----------
    data
        Runs ``/bold/<name>`` and events ``/trials/<name>``.
    context, config
        As in :func:`run_examples`.
    target
        Column of the events; events without a value are passed over.
    lag
        From the start of an event to that of its segment [s]: the delay of the BOLD response.

    Raises
    ------
    TrialTableError
        If a run has no events, or they have no such column.
    EmptySelectionError
        If no event has a value.
    """
    runs = bold_runs(data)
    windows = run_windows(runs, context, config)
    step = config.repetition_time
    places: list[tuple[int, int]] = []
    labels: list[Any] = []
    for number, name in enumerate(runs):
        events = _events(data, name, target)
        for onset, value in zip(events["start"].values, events[target].values):
            frame = round((onset + lag) / step)
            if _is_known(value) and 0 <= frame < len(windows.values[number]):
                places.append((number, frame))
                labels.append(value)
    if not places:
        raise EmptySelectionError(f"no event has a value of {target!r} inside its run")
    run, start = np.array(places).T
    order = np.arange(len(places))
    named = np.array([f"{list(runs)[r]}@{s * step:g}s" for r, s in places], dtype=object)
    at = windows.at(run, start, n_segments=1)
    return Examples(at, order, named, np.array(labels), _subjects(runs)[run])


def _events(data: xr.DataTree, name: str, target: str) -> xr.Dataset:
    tables = names(data).get("trials", [])
    if name not in tables and tables != [""]:
        raise TrialTableError(
            f"run {name!r} has no events",
            found=f"tables {', '.join(tables[:5])}" if tables else "no tables of trials",
            expected=f"/trials/{name}",
        )
    events = pick(data, "trials", name if name in tables else None)
    if target not in events.variables:
        raise TrialTableError(
            f"events have no column {target!r}",
            where=name,
            hint=suggest(target, map(str, events.variables)),
        )
    return events


def _subjects(runs: Mapping[str, xr.Dataset]) -> NDArray[np.object_]:
    return np.array([str(run.attrs.get("subject", name)) for name, run in runs.items()], object)


def _is_known(value: Any) -> bool:
    if value is None or (isinstance(value, str) and value in ("", "n/a")):
        return False
    return not (isinstance(value, (float, np.floating)) and np.isnan(value))
