"""Several estimators of the same settings, trained side by side: seeds and learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr

from neurodyn.errors import ConfigError, suggest
from neurodyn.models.torch_estimator import TorchEstimator
from neurodyn.training import TrainingConfig
from neurodyn.training.population import Population, train_population
from neurodyn.training.run_folder import Resume

__all__ = ["VARIED", "fit_population"]

Model = TypeVar("Model", bound=TorchEstimator[Any])

#: Fields of :class:`~neurodyn.training.TrainingConfig` in which members may differ.
VARIED = ("seed", "learning_rate")


def fit_population(
    estimator: Model,
    data: xr.DataTree | xr.Dataset,
    members: Sequence[Mapping[str, Any]],
    *,
    validation: xr.DataTree | xr.Dataset | None = None,
    training: TrainingConfig | None = None,
    folder: str | Path | None = None,
    resume: Resume = None,
) -> list[Model]:
    """Fit copies of an estimator in one training; see :func:`train_population`.

    Parameters
    ----------
    estimator
        Its settings are those of every member; it stays as it is.
    data, validation, training, resume
        As of ``fit``. The order of the batches follows the seed of ``training``.
    members
        For each what differs from ``training``: ``seed`` (initial weights), ``learning_rate``.
    folder
        Holds the common run, and in the end a saved estimator ``member_0``, … each.

    Returns
    -------
    list
        Fitted estimators in the order of ``members``; ``history_`` holds a member's own curves.

    Raises
    ------
    ConfigError
        If there are no members or one varies something else.
    DataError, TimebaseError, CheckpointError
        As of ``fit``.

    Examples
    --------
    >>> from neurodyn.models import LangevinFlowEstimator
    >>> from neurodyn.models.checks import example_counts
    >>> model = LangevinFlowEstimator(n_groups=1, n_sites=4, encoder_size=4)
    >>> short = TrainingConfig(n_steps=2)
    >>> fitted = fit_population(model, example_counts(), [{"seed": 0}, {"seed": 1}], training=short)
    >>> [one.training_.seed for one in fitted]
    [0, 1]
    """
    settings = training or estimator.default_training
    own = _own_settings(settings, members)
    models = [estimator.clone() for _ in own]
    parts = [model.training_parts(data, validation, one) for model, one in zip(models, own)]
    found = train_population(
        [part.network for part in parts],
        parts[0].objective,
        parts[0].source,
        replace(models[0].training_, seed=settings.seed, learning_rate=settings.learning_rate),
        learning_rates=[one.learning_rate for one in own],
        validation=parts[0].validation,
        folder=folder,
        resume=resume,
    )
    return _as_trained(models, found, folder)


def _own_settings(
    settings: TrainingConfig, members: Sequence[Mapping[str, Any]]
) -> list[TrainingConfig]:
    """Return the settings of each member."""
    if not members:
        raise ConfigError("a population needs members", found="none")
    for name in {name for member in members for name in member}:
        if name not in VARIED:
            raise ConfigError(
                "members of a population differ in their seed and learning rate only",
                found=name,
                hint=suggest(name, VARIED),
            )
    return [replace(settings, **member) for member in members]


def _as_trained(models: list[Model], found: Population, folder: str | Path | None) -> list[Model]:
    """Give the estimators their networks and curves, and save them if there is a folder."""
    for index, (model, network) in enumerate(zip(models, found.networks)):
        model.take_trained(network, _own_rows(found.run.history, index))
        if folder is not None:
            model.save(Path(folder) / f"member_{index}")
    return models


def _own_rows(history: Sequence[Mapping[str, Any]], index: int) -> list[dict[str, Any]]:
    """Return the rows of a run with one member's losses and scores under their plain names."""
    ending = f"_{index}"
    common = ("kind", "step", "epoch")
    return [
        {name: row[name] for name in common}
        | {name.removesuffix(ending): v for name, v in row.items() if name.endswith(ending)}
        for row in history
    ]
