"""What a check is given, and how it says that a contract is broken."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.models.base import Estimator

__all__ = ["Case", "CheckFailedError", "global_random", "is_trained", "refusal", "require", "same"]


class CheckFailedError(AssertionError):
    """An estimator breaks its contract."""


@dataclass(frozen=True)
class Case:
    """An unfitted estimator, data to fit it on (a dataset or a recording), options of ``fit``."""

    estimator: Estimator[Any]
    data: Any
    fit_options: Mapping[str, Any] = field(default_factory=dict)

    def fitted(self, data: Any = None, **options: Any) -> Any:
        """Return a fitted clone."""
        chosen = {**self.fit_options, **options}
        clone: Any = self.estimator.clone()
        return clone.fit(self.data if data is None else data, **chosen)


def is_trained(estimator: Estimator[Any]) -> bool:
    """Return whether ``fit`` takes ``training``."""
    fit: Any = getattr(estimator, "fit")  # noqa: B009
    return "training" in inspect.signature(fit).parameters


def global_random() -> str:
    """Return the state of numpy's global generator as text."""
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002


class refusal:
    """Context in which an error of a kind has to be raised."""

    def __init__(self, kind: type[Exception], what: str) -> None:
        self.kind, self.what = kind, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        if kind is None:
            raise CheckFailedError(f"{self.what} is not refused")
        return issubclass(kind, self.kind)


def require(condition: bool, what: str) -> None:
    """Raise unless the condition holds."""
    if not condition:
        raise CheckFailedError(f"does not hold: {what}")


def same(found: xr.Dataset, expected: xr.Dataset, after: str) -> None:
    """Raise unless two results hold the same bits, of the same weights."""
    for name in expected.data_vars:
        equal = np.array_equal(
            found[name].values, expected[name].values, equal_nan=expected[name].dtype.kind == "f"
        )
        require(equal, f"{name} is the same with {after}")
    require(found.attrs["checkpoint"] == expected.attrs["checkpoint"], f"same weights: {after}")
