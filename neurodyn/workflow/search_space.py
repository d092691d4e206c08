"""What a search draws from, and the trials that it plans."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch

from neurodyn.errors import ConfigError
from neurodyn.models.context import DataContext
from neurodyn.models.torch_estimator import TorchEstimator
from neurodyn.models.tuning import draw_settings
from neurodyn.training import TrainingConfig
from neurodyn.training.randomness import random_scope
from neurodyn.workflow.search_trial import with_settings

__all__ = ["planned_members", "planned_settings", "search_space", "steady_space"]

TRAINING = "training__"
FIXED = ("n_steps", "validate_every", "monitor", "monitor_mode")
"""Of the training loop: trials are compared by them."""
STEADY = ("learning_rate", "minimum_learning_rate", "weight_decay", "gradient_clip", "betas")
"""Of the training loop: may change while a run goes on."""

Space = dict[str, tuple[Any, ...]]


def search_space(
    model: TorchEstimator[Any],
    training: TrainingConfig,
    vary: Mapping[str, Sequence[Any]] | None = None,
) -> Space:
    """Return values by setting, each as the configuration has it.

    Parameters
    ----------
    model, training
        Start of the search.
    vary
        Values by setting, text or not, ``training.…`` for the loop; the estimator's own
        ``search_space`` if not given.

    Raises
    ------
    ConfigError
        If there is nothing to vary, or for a setting or value that does not fit.

    Examples
    --------
    >>> from neurodyn.models.baselines.gru import GRUAutoencoder
    >>> search_space(GRUAutoencoder(), TrainingConfig(), {"training.learning_rate": ["1e-2"]})
    {'training__learning_rate': (0.01,)}
    """
    space: Space = {}
    for key, values in (vary or model.search_space).items():
        name = key.replace(".", "__")
        if name.removeprefix(TRAINING) in FIXED and name.startswith(TRAINING):
            raise ConfigError(
                f"a search cannot vary {key}", expected="the same for all trials", hint="--set"
            )
        changed = (with_settings(model, training, {name: value}) for value in values)
        space[name] = tuple(_value(*pair, name) for pair in changed)
    if not any(space.values()):
        raise ConfigError(f"{model.name} has no settings to search", hint="--vary key=value,value")
    return space


def steady_space(
    space: Space,
    model: TorchEstimator[Any],
    training: TrainingConfig,
    context: DataContext,
    *,
    given: bool,
) -> Space:
    """Return the part of a space that may change while a run goes on, with the same weights.

    Parameters
    ----------
    space
        Values by setting.
    model, training
        Start of the search.
    context
        Of the data.
    given
        Whether the user named the settings: then all of them have to do.

    Raises
    ------
    ConfigError
        If a given setting changes the weights, or none is left.
    """
    shapes = functools.partial(_shapes, context=context)
    own = shapes(model)
    kept = {
        name: values
        for name, values in space.items()
        if name.removeprefix(TRAINING) in STEADY
        or (
            not name.startswith(TRAINING)
            and all(
                shapes(with_settings(model, training, {name: value})[0]) == own for value in values
            )
        )
    }
    refused = space.keys() - kept.keys()
    if not kept or (given and refused):
        raise ConfigError(
            "population based training varies only what can change while a run goes on",
            found=", ".join(sorted(refused)),
            expected="settings that keep the weights, or of the loop " + ", ".join(STEADY),
            hint="search the others at random first",
        )
    return kept


def planned_settings(
    space: Space, model: TorchEstimator[Any], training: TrainingConfig, n_trials: int, seed: int
) -> list[dict[str, Any]]:
    """Return different settings, first of all those that the search starts from.

    Fewer come back when the space is smaller.

    Raises
    ------
    ConfigError
        For fewer than 2 trials, or values that do not fit each other.
    """
    if n_trials < 2:
        raise ConfigError("a search needs 2 trials or more", found=n_trials)
    start = {name: _value(model, training, name) for name in space}
    drawn = draw_settings(cast(Any, SimpleNamespace(search_space=space)), n_trials, seed)
    found = [start | settings for settings in drawn]
    for settings in found:
        with_settings(model, training, settings)
    return found


def planned_members(
    space: Space,
    model: TorchEstimator[Any],
    training: TrainingConfig,
    n_trials: int,
    n_members: int,
    seed: int,
) -> tuple[Space, list[dict[str, Any]]]:
    """Return settings of trials that train in groups, which differ in what a population can.

    Members of a group have each learning rate once, then again with the next seed. The first
    trial is the start of the search.

    Returns
    -------
    tuple
        The space with learning rates and seeds, and the settings of one group after another.

    Raises
    ------
    ConfigError
        As :func:`planned_settings`.
    """
    rate, number = (TRAINING + name for name in ("learning_rate", "seed"))
    rates = dict.fromkeys((training.learning_rate, *space.get(rate, ())))
    seeds = range(training.seed, training.seed + n_members)
    members = [{rate: r, number: s} for s in seeds for r in rates][:n_members]
    shared = {name: values for name, values in space.items() if name not in (rate, number)}
    n_groups = n_trials // n_members
    groups = planned_settings(shared, model, training, n_groups, seed) if n_groups > 1 else [{}]
    whole = {**shared, rate: tuple(rates), number: tuple(seeds)}
    start = {name: _value(model, training, name) for name in shared}
    return whole, [start | group | member for group in groups for member in members]


def _value(model: TorchEstimator[Any], training: TrainingConfig, name: str) -> Any:
    if name.startswith(TRAINING):
        return getattr(training, name.removeprefix(TRAINING))
    return functools.reduce(getattr, name.split("__"), model.config)


def _shapes(model: TorchEstimator[Any], context: DataContext) -> dict[str, tuple[int, ...]]:
    with random_scope([0], torch.device("cpu")):
        network = model.build_network(model.config, context)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
