"""What a search found, as one dataset: trials with their settings, scores and curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.recording import results
from neurodyn.workflow.search_lineage import Trial
from neurodyn.workflow.search_rules import Mode, loss_until

__all__ = ["best_of", "table_of"]


def best_of(trials: Mapping[str, Trial], mode: Mode) -> Trial | None:
    """Return the trial with the best score of those that did not fail, if any has one.

    Examples
    --------
    >>> trials = {n: Trial(n, {}, 0, n, curve={10: s}) for n, s in {"0": 2.0, "1": 1.0}.items()}
    >>> best_of(trials, "min").name
    '1'
    """
    known = [t for t in trials.values() if t.status != "failed"]
    known = [t for t in known if math.isfinite(loss_until(t, t.step, mode))]
    return min(known, key=lambda t: loss_until(t, t.step, mode), default=None)


def table_of(
    trials: Mapping[str, Trial], space: Iterable[str], mode: Mode, **attrs: Any
) -> xr.Dataset:
    """Return all trials of a search.

    Parameters
    ----------
    trials
        By name; the first is the start of the search.
    space
        Names of the settings that vary.
    mode
        Whether low or high scores are good.
    **attrs
        Of the dataset.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``score``, the best of each trial, ``best_step``, ``step`` (the last
        with a score), ``status``, ``error``, ``run`` (its run folder) ``(trial,)``; ``curve``
        ``(trial, validation)``, NaN where a trial was not validated, of a fork that of its donor
        before; settings as coordinates of
        ``trial``, those of its end; ``validation`` are steps. With exploits also ``child``,
        ``donor``, ``fork_step`` and ``fork_settings`` ``(fork,)``.
    """
    rows = [*trials.values()]
    steps = sorted({step for trial in rows for step in trial.curve})
    curve = np.array([[trial.curve.get(step, np.nan) for step in steps] for trial in rows])
    best = [_best_step(trial, mode) for trial in rows]
    variables: dict[str, Any] = {
        "score": ("trial", [t.curve.get(at, np.nan) for t, at in zip(rows, best)]),
        "best_step": ("trial", best),
        "step": ("trial", [trial.step for trial in rows]),
        "status": ("trial", [trial.status for trial in rows]),
        "error": ("trial", [trial.error for trial in rows]),
        "run": ("trial", [trial.run for trial in rows]),
        "curve": (("trial", "validation"), curve.reshape(len(rows), len(steps))),
    }
    forks = [fork for trial in rows for fork in trial.forks]
    forks.sort(key=lambda fork: (fork.step, fork.child))
    if forks:
        variables |= {
            "child": ("fork", [fork.child for fork in forks]),
            "donor": ("fork", [fork.donor for fork in forks]),
            "fork_step": ("fork", [fork.step for fork in forks]),
            "fork_settings": (
                "fork",
                [", ".join(f"{k}={v}" for k, v in fork.settings.items()) for fork in forks],
            ),
        }
    coords: dict[str, Any] = {"trial": [*trials], "validation": np.array(steps, dtype=np.int64)}
    for name in space:
        values = [trial.settings.get(name) for trial in rows]
        coords[name] = ("trial", _column(values))
    first = best_of(trials, mode)
    return results(variables, coords, mode=mode, best=first.name if first else "", **attrs)


def _best_step(trial: Trial, mode: Mode) -> int:
    """Return the step of the best score; the last one if no score is finite."""
    best = loss_until(trial, trial.step, mode)
    return next(
        (at for at in sorted(trial.curve) if loss_until(trial, at, mode) == best), trial.step
    )


def _column(values: Sequence[Any]) -> Any:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return np.array(values) if numbers else np.array([str(value) for value in values])
