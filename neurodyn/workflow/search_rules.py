"""Which trial trains next, and how far: random search, ASHA and population based training.

A rule remembers nothing: it decides from the reports of the trials alone, so that a search that
was broken off goes on with the same decisions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from neurodyn.workflow.search_lineage import Fork, Trial

__all__ = ["Asha", "PopulationBased", "RandomSearch", "Rule", "Stretch", "loss_until", "rungs"]

Mode = Literal["min", "max"]
Trials = Mapping[str, Trial]


class Stretch(NamedTuple):
    """A trial, and the step up to which it may train."""

    trial: str
    until: int


class Rule(Protocol):
    """How a search spends its budget."""

    def next_stretch(self, trials: Trials, running: Collection[str]) -> Stretch | None:
        """Return what to train next, or None if there is nothing to do now.

        Parameters
        ----------
        trials
            By name, in the order of the plan.
        running
            Names of those that train at this moment.
        """
        ...

    def forks(self, trials: Trials) -> tuple[int, list[Fork]] | None:
        """Return which trials go on from others, and the step at which; None if that is not due."""
        ...


@dataclass(frozen=True)
class RandomSearch:
    """Every trial is trained to the end."""

    n_steps: int

    def next_stretch(self, trials: Trials, running: Collection[str]) -> Stretch | None:
        """Return the next trial."""
        for trial in trials.values():
            if not trial.is_over and trial.name not in running:
                return Stretch(trial.name, self.n_steps)
        return None

    def forks(self, trials: Trials) -> None:
        """Return None: no trial learns from another."""
        return


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving: of those that reach a rung, the best part goes on.

    Whenever a worker is free, the best trial of the highest rung that is among the best
    ``1 / reduction`` of all that reached the rung, and has not gone on yet, is trained up to the
    next one; if there is none, a new trial is begun. The first trial, which others are to beat,
    is trained to the end in any case.

    Parameters
    ----------
    rungs
        Steps, ascending; the last one ends a trial.
    reduction
        One of so many goes on.
    mode
        Whether low or high scores are good.

    References
    ----------
    Li et al., MLSys (2020), algorithm 2.
    """

    rungs: Sequence[int]
    reduction: int = 3
    mode: Mode = "min"

    def next_stretch(self, trials: Trials, running: Collection[str]) -> Stretch | None:
        """Return a trial to promote, or a new one."""
        free = {t.name: t for t in trials.values() if not t.is_over and t.name not in running}
        first = next(iter(trials))
        if first in free:
            return Stretch(first, self.rungs[-1])
        promoted = self._promoted(trials, free, least=0)
        if promoted is not None:
            return promoted
        new = next((name for name, trial in free.items() if trial.step == 0), None)
        if new is not None:
            return Stretch(new, self.rungs[0])
        # of few trials the best goes on, although they are no full share
        return None if running else self._promoted(trials, free, least=1)

    def _promoted(self, trials: Trials, free: Collection[str], least: int) -> Stretch | None:
        for rung, above in reversed([*pairwise(self.rungs)]):
            there = [t for t in trials.values() if t.step >= rung and t.status != "failed"]
            there.sort(key=lambda trial: loss_until(trial, rung, self.mode))
            for trial in there[: max(least, len(there) // self.reduction)]:
                if trial.name in free and trial.step < above:
                    return Stretch(trial.name, above)
        return None

    def forks(self, trials: Trials) -> None:
        """Return None: no trial learns from another."""
        return


@dataclass(frozen=True)
class PopulationBased:
    """Population based training: the worst trials go on from the best, with changed settings.

    All trials train side by side. Every ``interval`` steps each of the worst quarter takes the
    weights and the optimizer of one of the best quarter, and settings near those of it: a number
    is multiplied by 0.8 or 1.25 within the range of its values, anything else moves to a value
    beside it. Trials wait for each other, so that the result depends on the seed alone.

    Parameters
    ----------
    n_steps, interval
        Of training, and between two exchanges.
    space
        Values by setting.
    seed
        Of the exchanges.
    mode
        Whether low or high scores are good.

    References
    ----------
    Jaderberg et al., arXiv:1711.09846 (2017), truncation selection.
    """

    n_steps: int
    interval: int
    space: Mapping[str, Sequence[Any]]
    seed: int = 0
    mode: Mode = "min"

    def next_stretch(self, trials: Trials, running: Collection[str]) -> Stretch | None:
        """Return a trial that has not come as far as the others are to come now."""
        alive = [trial for trial in trials.values() if not trial.is_over]
        if not alive:
            return None
        slowest = min(trial.step for trial in alive)
        until = min(self.n_steps, (slowest // self.interval + 1) * self.interval)
        for trial in alive:
            if trial.step < until and trial.name not in running:
                return Stretch(trial.name, until)
        return None

    def forks(self, trials: Trials) -> tuple[int, list[Fork]] | None:
        """Return the exchanges that are due when all trials have come equally far."""
        alive = [trial for trial in trials.values() if trial.status != "failed"]
        steps = {trial.step for trial in alive}
        step = steps.pop() if len(steps) == 1 else 0
        if not 0 < step < self.n_steps or step % self.interval or len(alive) < 2:
            return None
        alive.sort(key=lambda trial: _loss(trial.curve[step], self.mode))
        n_moved = max(1, len(alive) // 4)
        best, worst = alive[:n_moved], alive[-n_moved:]
        generator = np.random.default_rng([self.seed, step])
        found = []
        for child in worst:
            donor = best[int(generator.integers(len(best)))]
            settings = {
                name: _moved(donor.settings.get(name), values, generator)
                for name, values in self.space.items()
            }
            found.append(Fork(child.name, donor.name, step, settings))
        return step, found


def rungs(n_steps: int, every: int, reduction: int = 3) -> list[int]:
    """Return the steps at which ASHA judges: multiples of ``every``, each about a part of the next.

    Examples
    --------
    >>> rungs(1000, 100)
    [100, 300, 1000]
    >>> rungs(50, 100)
    [50]
    """
    found = {n_steps}
    step = n_steps / reduction
    while step >= every:
        found.add(round(step / every) * every)
        step /= reduction
    return sorted(found)


def loss_until(trial: Trial, step: int, mode: Mode) -> float:
    """Return the best score of a trial up to a step, the sign such that low is good.

    Examples
    --------
    >>> loss_until(Trial("00", {}, 0, "00", curve={10: 2.0, 20: 1.0, 30: 0.5}), 20, "min")
    1.0
    """
    known = (_loss(score, mode) for at, score in trial.curve.items() if at <= step)
    return min(known, default=math.inf)


def _loss(score: float, mode: Mode) -> float:
    if math.isnan(score):
        return math.inf
    return score if mode == "min" else -score


def _moved(value: Any, values: Sequence[Any], generator: np.random.Generator) -> Any:
    """Return a value near another one, within what a setting may be."""
    up = bool(generator.integers(2))
    if isinstance(value, float):
        changed = value * (1.25 if up else 0.8)
        return float(f"{min(max(changed, min(values)), max(values)):.6g}")
    if value not in values:
        return values[int(generator.integers(len(values)))]
    place = list(values).index(value) + (1 if up else -1)
    return values[min(max(place, 0), len(values) - 1)]
