"""The plan of a search: data, trials and rule, settled before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import xarray as xr

from neurodyn import recording as rec
from neurodyn.config import to_dict
from neurodyn.errors import ConfigError, one_of
from neurodyn.models.context import DataContext
from neurodyn.models.counts_estimator import counts_digest
from neurodyn.models.torch_estimator import TorchEstimator
from neurodyn.nlb.guard import refuse_evaluation
from neurodyn.training import TrainingConfig
from neurodyn.windows import cut_blocks
from neurodyn.workflow.data import division
from neurodyn.workflow.search_rules import Asha, PopulationBased, RandomSearch, Rule, rungs
from neurodyn.workflow.search_space import (
    Space,
    planned_members,
    planned_settings,
    search_space,
    steady_space,
)

__all__ = ["Method", "SearchPlan", "plan_search"]

Method = Literal["random", "asha", "pbt"]
METHODS = ("random", "asha", "pbt")
VALIDATIONS = 10
"""Of each trial, at least; and stretches of a population between exchanges."""


@dataclass(frozen=True)
class SearchPlan:
    """What a search is going to do.

    Parameters
    ----------
    model, start
        What the search starts from.
    training
        The same with pauses: what the settings of the trials are applied to.
    parts
        Counts to train on and to be judged by.
    space
        Values by setting.
    settings
        Of each trial; the first is the start.
    rule
        Which trial trains next.
    about
        All of it as JSON, which ties the lineage to the plan.
    population
        So many trials after one another train as one.
    """

    model: TorchEstimator[Any]
    start: TrainingConfig
    training: TrainingConfig
    parts: tuple[xr.Dataset, xr.Dataset]
    space: Space
    settings: list[dict[str, Any]]
    rule: Rule
    about: dict[str, Any]
    population: int = 1


def plan_search(
    model: TorchEstimator[Any],
    data: xr.DataTree | xr.Dataset,
    *,
    method: Method = "random",
    n_trials: int = 16,
    training: TrainingConfig | None = None,
    validation: xr.DataTree | xr.Dataset | None = None,
    vary: Mapping[str, Sequence[Any]] | None = None,
    population: int = 1,
    seed: int = 0,
) -> SearchPlan:
    """Settle a search before any training.

    Parameters
    ----------
    model, training
        Its start; ``training.monitor`` names the score.
    data, validation
        Counts to train on and to be judged by; a fifth of the data, drawn by ``seed``, if none.
    method
        ``"random"``, ``"asha"`` or ``"pbt"``, see :mod:`neurodyn.workflow.search_rules`.
    n_trials
        How many settings are tried.
    vary
        Values by setting; the estimator's ``search_space`` if not given.
    population
        So many trials train as one, side by side on one device: they share all settings but
        seed and learning rate. Of random search only.
    seed
        Of draws and exchanges; trials train with the seed of ``training``.

    Raises
    ------
    ConfigError
        For settings that do not fit.
    LeakageError, DataError
        For data that are not to be fitted.
    """
    _require_searchable(model, method, n_trials, population)
    start = training or model.default_training
    loop = _in_steps(start, method)
    parts = _parts(data, validation, seed)
    space = search_space(model, loop, vary)
    if method == "pbt":
        context = DataContext.of(parts[0])
        space = steady_space(space, model, loop, context, given=vary is not None)
    if population == 1:
        settings = planned_settings(space, model, loop, n_trials, seed)
    else:
        space, settings = planned_members(space, model, loop, n_trials, population, seed)
    about = {
        **{"estimator": model.name, "method": method, "n_trials": n_trials, "seed": seed},
        **{"model": to_dict(model.config), "training": to_dict(loop), "space": space},
        **{"population": population, "data": [counts_digest(part) for part in parts]},
    }
    plain = json.loads(json.dumps(about))
    rule = _rule(method, loop, space, seed)
    return SearchPlan(model, start, loop, parts, space, settings, rule, plain, population)


def _require_searchable(
    model: TorchEstimator[Any], method: Method, n_trials: int, population: int
) -> None:
    one_of("method", method, METHODS)
    if not isinstance(model, TorchEstimator):
        raise ConfigError(
            f"{getattr(model, 'name', model)} cannot be searched so",
            expected="a model of spike counts that is trained in steps: langevinflow or gru",
            hint="--draws of neurodyn fit tries settings of the others",
        )
    divides = population > 0 and n_trials % population == 0
    if population != 1 and not (divides and method == "random"):
        raise ConfigError(
            "a population is a share of the trials of a random search",
            found=f"{population} of {n_trials} trials, {method}",
            expected="a number that divides the number of trials",
        )


def _in_steps(training: TrainingConfig, method: Method) -> TrainingConfig:
    if method == "pbt" and training.patience is not None:
        raise ConfigError(
            "a population trains side by side, none ends early",
            found=f"patience={training.patience}",
            hint="patience=None",
        )
    every = min(training.validate_every, max(1, training.n_steps // VALIDATIONS))
    # a pause needs a checkpoint, and what a trial did is known at its validations
    return replace(
        training,
        validate_every=every,
        checkpoint_every=every,
        on_save_error="raise",
        progress=False,
    )


def _parts(
    data: xr.DataTree | xr.Dataset, validation: xr.DataTree | xr.Dataset | None, seed: int
) -> tuple[xr.Dataset, xr.Dataset]:
    counts = _trials(data)
    if validation is not None:
        return counts, _trials(validation)
    split = division(counts, seed)
    return counts.isel(trial=split.train), counts.isel(trial=split.test)


def _trials(data: xr.DataTree | xr.Dataset) -> xr.Dataset:
    refuse_evaluation(data)
    counts = rec.pick(data, "counts")
    return counts if "trial" in counts["count"].dims else cut_blocks(counts)


def _rule(method: Method, training: TrainingConfig, space: Space, seed: int) -> Rule:
    n_steps, every, mode = training.n_steps, training.validate_every, training.monitor_mode
    if method == "asha":
        return Asha(rungs(n_steps, every), mode=mode)
    if method == "pbt":
        interval = max(1, round(n_steps / VALIDATIONS / every)) * every
        return PopulationBased(n_steps, interval, space, seed, mode)
    return RandomSearch(n_steps)
