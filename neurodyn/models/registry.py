"""Every estimator of the package by name, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from neurodyn.errors import CheckpointMismatchError, ConfigError, suggest
from neurodyn.models.base import Estimator
from neurodyn.models.run_folder import read_manifest

__all__ = ["ESTIMATORS", "available", "create", "get", "load"]

ESTIMATORS: Mapping[str, str] = {
    "smoothing_glm": "neurodyn.models.baselines.smoothing_glm:SmoothingGLM",
    "factor_glm": "neurodyn.models.baselines.factor_glm:FactorGLM",
    "gru": "neurodyn.models.baselines.gru:GRUAutoencoder",
    "brainmae": "neurodyn.models.brainmae.estimator:BrainMAE",
    "brainmae_decoder": "neurodyn.models.brainmae.finetune:BrainMAEDecoder",
    "connectome": "neurodyn.models.connectome.estimator:DynamicConnectome",
    "neuroformer": "neurodyn.models.neuroformer.estimator:Neuroformer",
    "langevinflow": "neurodyn.models.langevinflow.estimator:LangevinFlowEstimator",
}
"""Names and where the classes are."""


def available() -> list[str]:
    """Return the names of all estimators.

    Examples
    --------
    >>> "smoothing_glm" in available()
    True
    """
    return list(ESTIMATORS)


def get(name: str) -> type[Estimator[Any]]:
    """Return an estimator class.

    Raises
    ------
    ConfigError
        For an unknown name, with the known ones.

    Examples
    --------
    >>> get("smoothing_glm").__name__
    'SmoothingGLM'
    """
    if name not in ESTIMATORS:
        raise ConfigError(f"unknown estimator {name!r}", hint=suggest(name, ESTIMATORS))
    module, _, attribute = ESTIMATORS[name].partition(":")
    return cast(type[Estimator[Any]], getattr(import_module(module), attribute))


def create(name: str, **settings: Any) -> Estimator[Any]:
    """Return a new estimator with some settings.

    Raises
    ------
    ConfigError
        For an unknown name or setting.

    Examples
    --------
    >>> create("smoothing_glm", width=0.05)
    SmoothingGLM(width=0.05)
    """
    return get(name)(**settings)


def load(folder: str | Path) -> Estimator[Any]:
    """Read a run folder, whichever estimator wrote it.

    Raises
    ------
    CheckpointCorruptError
        If the folder is incomplete or a file was changed.
    CheckpointMismatchError
        If the estimator is unknown here or a later version wrote it.
    """
    name = str(read_manifest(Path(folder)).get("estimator"))
    if name not in ESTIMATORS:
        raise CheckpointMismatchError(
            "run folder belongs to an unknown estimator",
            where=folder,
            found=name,
            hint=suggest(name, ESTIMATORS),
        )
    return get(name).load(folder)
