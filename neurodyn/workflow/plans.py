"""Which model to fit, with which settings: by name, preset, file and ``key=value``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn.config import assign, from_toml
from neurodyn.errors import ConfigError
from neurodyn.models import registry
from neurodyn.models.base import Estimator, RunConfig
from neurodyn.models.baselines.gru import GRUAutoencoder, GRUConfig, matched_to
from neurodyn.models.counts_estimator import CountsEstimator
from neurodyn.models.langevinflow.estimator import LangevinFlowEstimator
from neurodyn.models.langevinflow.network import build_network
from neurodyn.models.torch_estimator import TorchEstimator
from neurodyn.training import TrainingConfig
from neurodyn.workflow.compare import Plan

__all__ = ["BASELINES", "load_model", "matched_gru", "plan", "setting"]

BASELINES = ("smoothing_glm", "factor_glm", "gru")
TRAINING = "training."


def plan(
    names: Sequence[str],
    *,
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Iterable[str] = (),
    training: Mapping[str, Any] | None = None,
    n_draws: int = 1,
    seed: int = 0,
) -> dict[str, Plan]:
    """Return what to fit, by name; settings concern the first model only.

    Parameters
    ----------
    names
        Names of :mod:`neurodyn.models.registry`.
    preset
        Start from what is known to work on a data set, where the first model has presets.
    config
        TOML file with settings of the first model: ``config.toml`` of a run folder, or
        ``estimator``, ``[model]`` and ``[training]`` written by hand.
    settings
        ``key=value``; ``training.key=value`` for the training loop.
    training
        Fields of the training of every model that is trained.
    n_draws
        Settings to try for each model; all get the same number.
    seed
        Of training.

    Raises
    ------
    ConfigError
        For an unknown model or setting.
    """
    first, *others = dict.fromkeys(names)
    pairs = dict(setting(text) for text in settings)
    own = {key: value for key, value in pairs.items() if not key.startswith(TRAINING)}
    loop = {key.removeprefix(TRAINING): pairs[key] for key in pairs.keys() - own.keys()}
    model, start = _start(first, preset)
    if config is not None:
        model, start = _from_file(config, model, start)
    model = type(model)(assign(model.config, own))
    plans = {first: Plan(model, _fit_options(model, start, loop, training, seed), n_draws)}
    for name in others:
        model, start = _start(name, None)
        plans[name] = Plan(model, _fit_options(model, start, {}, training, seed), n_draws)
    return plans


def matched_gru(plan: Plan, counts: xr.Dataset) -> Plan:
    """Return the GRU ablation of a LangevinFlow plan.

    The same encoder without latent dynamics: the same data, steps, learning rate and dropout,
    and as many parameters within 20 %.

    Raises
    ------
    ConfigError
        If no hidden size gives as many parameters.
    """
    config = plan.model.config
    held_out = counts["held_out"].values
    n_inputs, n_outputs = int((~held_out).sum()), int(held_out.size)
    network = build_network(config, n_inputs, n_outputs)
    matched = matched_to(
        GRUConfig(keep_prob=config.keep_prob, dropout=config.dropout),
        sum(weights.numel() for weights in network.parameters()),
        n_inputs=n_inputs,
        n_outputs=n_outputs,
    )
    return Plan(GRUAutoencoder(matched), plan.fit_options)


def load_model(folder: str | Path) -> CountsEstimator[Any]:
    """Return the fitted model of a run folder.

    Raises
    ------
    CheckpointError
        If the folder is damaged.
    ConfigError
        If its model does not work on spike counts.
    """
    return _of_counts(registry.load(folder))


def _of_counts(model: Estimator[Any]) -> CountsEstimator[Any]:
    if not isinstance(model, CountsEstimator):
        raise ConfigError(f"{model.name} does not work on spike counts")
    return model


def _start(name: str, preset: str | None) -> tuple[CountsEstimator[Any], TrainingConfig | None]:
    model = _of_counts(registry.create(name))
    if preset is None:
        return model, model.default_training if isinstance(model, TorchEstimator) else None
    if not isinstance(model, LangevinFlowEstimator):
        raise ConfigError(f"{name} has no presets", found=preset, expected="langevinflow")
    return LangevinFlowEstimator.preset(preset)


def _from_file(
    path: str | Path, model: CountsEstimator[Any], start: TrainingConfig | None
) -> tuple[CountsEstimator[Any], TrainingConfig | None]:
    run = from_toml(RunConfig, path)
    if run.estimator != model.name:
        raise ConfigError(
            "the file is about another model", where=path, found=run.estimator, expected=model.name
        )
    if start is not None:
        start = assign(start, run.training)
    return type(model)(assign(model.config, run.model)), start


def _fit_options(
    model: CountsEstimator[Any],
    start: TrainingConfig | None,
    loop: Mapping[str, Any],
    training: Mapping[str, Any] | None,
    seed: int,
) -> dict[str, Any]:
    if start is None:
        if loop:
            raise ConfigError(f"{model.name} is not trained in steps", found=", ".join(loop))
        return {}
    return {"training": assign(replace(start, seed=seed, **(training or {})), loop)}


def setting(text: str) -> tuple[str, str]:
    """Return key and value of ``key=value``.

    Raises
    ------
    ConfigError
        If it is something else.

    Examples
    --------
    >>> setting("rank=4")
    ('rank', '4')
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError("a setting is key=value", found=text, expected="latent_size=32")
    return key.strip(), value.strip()
