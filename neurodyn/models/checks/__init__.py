"""Checks that every estimator passes; a new one is tested by being registered.

Each check takes a :class:`Case` and raises :class:`CheckFailedError` if the contract is broken::

    estimator = MyEstimator()
    for name, check in checks_for(estimator).items():
        check(Case(estimator, example_for(estimator)))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

from neurodyn.models.base import Estimator
from neurodyn.models.checks.case import Case, CheckFailedError, is_trained
from neurodyn.models.checks.counts import OF_COUNTS, example_counts
from neurodyn.models.checks.general import GENERAL
from neurodyn.models.checks.traces import OF_TRACES, example_traces
from neurodyn.models.counts_estimator import CountsEstimator

__all__ = [
    "Case",
    "CheckFailedError",
    "checks_for",
    "example_counts",
    "example_for",
    "example_traces",
    "is_trained",
]


def checks_for(estimator: Estimator[Any]) -> Mapping[str, Callable[[Case], None]]:
    """Return the checks of an estimator by name: those of all, and those of its kind of data."""
    own = OF_COUNTS if isinstance(estimator, CountsEstimator) else OF_TRACES
    return {**GENERAL, **own}


def example_for(estimator: Estimator[Any]) -> xr.Dataset:
    """Return small data of the kind that an estimator takes."""
    return example_counts() if isinstance(estimator, CountsEstimator) else example_traces()
