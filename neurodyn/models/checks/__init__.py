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
from neurodyn.models.checks.bold import OF_BOLD, example_bold
from neurodyn.models.checks.case import Case, CheckFailedError, is_trained
from neurodyn.models.checks.counts import OF_COUNTS, example_counts
from neurodyn.models.checks.general import GENERAL
from neurodyn.models.checks.labelled_bold import OF_LABELLED_BOLD, example_labelled_bold
from neurodyn.models.checks.spikes import OF_SPIKES, example_spikes
from neurodyn.models.checks.traces import OF_TRACES, example_traces

__all__ = [
    "Case",
    "CheckFailedError",
    "checks_for",
    "example_bold",
    "example_counts",
    "example_for",
    "example_labelled_bold",
    "example_spikes",
    "example_traces",
    "is_trained",
]

_BY_KIND: Mapping[str, tuple[Mapping[str, Callable[[Case], None]], Callable[[], Any]]] = {
    "counts": (OF_COUNTS, example_counts),
    "signal": (OF_TRACES, example_traces),
    "bold": (OF_BOLD, example_bold),
    "spikes": (OF_SPIKES, example_spikes),
    "labelled_bold": (OF_LABELLED_BOLD, example_labelled_bold),
}


def checks_for(estimator: Estimator[Any]) -> Mapping[str, Callable[[Case], None]]:
    """Return the checks of an estimator by name: those of all, and those of its kind of data."""
    return {**GENERAL, **_BY_KIND[estimator.data_kind][0]}


def example_for(estimator: Estimator[Any]) -> xr.Dataset | xr.DataTree:
    """Return small data of the kind that an estimator takes."""
    example: xr.Dataset | xr.DataTree = _BY_KIND[estimator.data_kind][1]()
    return example
