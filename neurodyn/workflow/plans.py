"""Which model to fit, with which settings: by name, preset, file and ``key=value``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurodyn.config import assign, from_toml
from neurodyn.errors import ConfigError
from neurodyn.models import registry
from neurodyn.models.base import Estimator
from neurodyn.models.counts_estimator import CountsEstimator
from neurodyn.workflow.compare import Plan

if TYPE_CHECKING:
    from neurodyn.models.torch_estimator import TorchEstimator

__all__ = ["BASELINES", "load_model", "plan"]

BASELINES = ("smoothing_glm", "factor_glm", "gru")
TRAINING = "training."


def plan(
    names: Sequence[str],
    *,
    config: str | Path | None = None,
    settings: Iterable[str] = (),
    training: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Plan]:
    """Return what to fit, by name; settings concern the first model only.

    Parameters
    ----------
    names
        Names of :mod:`neurodyn.models.registry`.
    config
        TOML file with the settings of the first model.
    settings
        ``key=value``; ``training.key=value`` for the training loop.
    training
        Fields of the training of every model that is trained.
    seed
        Of training.

    Raises
    ------
    ConfigError
        For an unknown model or setting.
    """
    pairs = dict(_pair(text) for text in settings)
    plans = {}
    for position, name in enumerate(dict.fromkeys(names)):
        own = pairs if position == 0 else {}
        model = _of_counts(registry.create(name))
        values = model.config
        if position == 0 and config is not None:
            values = from_toml(model.config_class, config)
        values = assign(values, {k: v for k, v in own.items() if not k.startswith(TRAINING)})
        plans[name] = Plan(type(model)(values), _fit_options(model, own, training or {}, seed))
    return plans


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


def _fit_options(
    model: Any, settings: Mapping[str, str], training: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    changed = {
        key.removeprefix(TRAINING): value
        for key, value in settings.items()
        if key.startswith(TRAINING)
    }
    if not hasattr(model, "default_training"):
        if changed:
            raise ConfigError(f"{model.name} is not trained in steps", found=", ".join(changed))
        return {}
    trained: TorchEstimator[Any] = model
    start = replace(trained.default_training, seed=seed, **training)
    return {"training": assign(start, changed)}


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError("a setting is key=value", found=text, expected="latent_size=32")
    return key.strip(), value.strip()
