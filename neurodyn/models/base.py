"""The contract of every estimator: settings, parameters, a run folder to save to and load from."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from neurodyn.config import assign, from_dict, from_toml, to_dict, to_toml, uid
from neurodyn.errors import CheckpointMismatchError, ConfigError, NotFittedError
from neurodyn.models import run_folder
from neurodyn.provenance import atomic_path

__all__ = ["Arrays", "Estimator", "RunConfig", "arrays_digest"]

C = TypeVar("C")
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What ``config.toml`` of a run folder holds: which estimator, its settings, its training.

    Parameters
    ----------
    estimator
        Name in :mod:`neurodyn.models.registry`.
    model, training
        Settings as nested mappings or dataclasses.

    Examples
    --------
    >>> print(to_toml(RunConfig(estimator="gru", model={"hidden_size": 64})), end="")
    estimator = "gru"
    <BLANKLINE>
    [model]
    hidden_size = 64
    <BLANKLINE>
    [training]
    """

    estimator: str
    model: Any = field(default_factory=dict)
    training: Any = field(default_factory=dict)


class Estimator(ABC, Generic[C]):
    """Base of all estimators.

    Parameters
    ----------
    config
        Settings, an instance of ``config_class``; its defaults if not given.
    **settings
        Single settings that replace those of ``config``; nested ones as ``outer__inner``.

    Raises
    ------
    ConfigError
        For an unknown setting or a value that does not fit.
    """

    name: ClassVar[str]
    """Name in :mod:`neurodyn.models.registry`."""
    data_kind: ClassVar[str]
    """Kind of recording that it takes: ``counts``, ``spikes``, ``signal`` or ``bold``."""
    config_class: ClassVar[type[Any]]
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Values that :func:`neurodyn.models.tuning.tune` draws from, by setting."""

    def __init__(self, config: C | None = None, **settings: Any) -> None:
        start = self.config_class() if config is None else config
        if not isinstance(start, self.config_class):
            raise ConfigError(
                f"{type(self).__name__} takes another configuration",
                found=type(start).__name__,
                expected=self.config_class.__name__,
            )
        self.config: C = _assigned(cast(C, start), settings)

    def __repr__(self) -> str:
        defaults = self.config_class()
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value != _flat(to_dict(defaults)).get(name)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name; nested ones as ``outer__inner`` when ``deep``."""
        values = to_dict(self.config)
        return _flat(values) if deep else values

    def set_params(self, **settings: Any) -> Self:
        """Replace settings; what was learned with the old ones is forgotten.

        Raises
        ------
        ConfigError
            For an unknown setting or a value that does not fit.
        """
        config = _assigned(self.config, settings)
        self._forget()
        self.config = config
        return self

    def clone(self) -> Self:
        """Return an unfitted estimator with the same settings."""
        return type(self)(self.config)

    def __sklearn_clone__(self) -> Self:
        return self.clone()

    @property
    def is_fitted(self) -> bool:
        """Whether there is something to predict with."""
        return hasattr(self, "arrays_digest_")

    @property
    def config_uid(self) -> str:
        """Short stable hash of the settings."""
        return uid(self.config)

    def save(self, folder: str | Path) -> Path:
        """Write a run folder: settings, weights with their context, history, manifest.

        Parameters
        ----------
        folder
            Created when missing; files of an earlier run with the same names are replaced.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        self._require_fitted()
        folder = run_folder.begin(folder)
        with atomic_path(folder / run_folder.CONFIG) as temporary:
            temporary.write_text(to_toml(self._run_config()), encoding="utf-8")
        run_folder.write_arrays(folder, self._arrays(), estimator=self.name, **self._metadata())
        self._write_more(folder)
        run_folder.commit(
            folder, estimator=self.name, config_uid=self.config_uid, **self._provenance()
        )
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote, after checking every file against the manifest.

        Raises
        ------
        CheckpointCorruptError
            If the folder is incomplete or a file was changed.
        CheckpointMismatchError
            If it belongs to another estimator or a later version.
        """
        run = run_folder.read(folder)
        found = run.manifest.get("estimator")
        if found != cls.name:
            raise CheckpointMismatchError(
                "run folder belongs to another estimator",
                where=folder,
                found=found,
                expected=cls.name,
                hint="neurodyn.models.load(folder) finds the right class",
            )
        settings = from_toml(RunConfig, run.folder / run_folder.CONFIG)
        estimator = cls(from_dict(cls.config_class, settings.model))
        estimator._restore(run, settings)
        return estimator

    def _forget(self) -> None:
        """Drop everything but the settings."""
        self.__dict__ = {"config": self.config}

    def _run_config(self) -> RunConfig:
        return RunConfig(estimator=self.name, model=self.config)

    @abstractmethod
    def _arrays(self) -> Arrays:
        """Return everything learned as named arrays."""

    @abstractmethod
    def _restore(self, run: run_folder.Run, settings: RunConfig) -> None:
        """Take back what :meth:`_arrays` and :meth:`_metadata` gave."""

    def _metadata(self) -> dict[str, str]:
        """Return text kept beside the weights."""
        return {}

    def _provenance(self) -> dict[str, Any]:
        """Return what the manifest says beyond versions and hashes."""
        return {}

    def _write_more(self, folder: Path) -> None:
        """Write further files of the run folder."""

    def _require_fitted(self) -> None:
        if not self.is_fitted:
            raise NotFittedError(
                f"{type(self).__name__} is not fitted yet",
                hint="call fit(counts) or load(folder) first",
            )


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 over named arrays: names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(array.tobytes())
    return f"sha256:{digest.hexdigest()}"


def _assigned(config: C, settings: Mapping[str, Any]) -> C:
    return assign(config, {name.replace("__", "."): item for name, item in settings.items()})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}__"))
        else:
            flat[prefix + name] = value
    return flat
