"""Checks of estimators of traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from neurodyn.errors import DataError, NeurodynError, TimebaseError
from neurodyn.models.checks.case import Case, refusal, require, same
from neurodyn.recording import signal

__all__ = ["OF_TRACES", "example_traces"]

NODES = ("AVAL", "AVAR", "AVBL", "AVBR", "RIML", "RIMR")


def example_traces(n_animals: int = 3, *, seed: int = 0) -> xr.Dataset:
    """Return small traces of several animals that share two events; one lacks a cell."""
    generator = np.random.default_rng(seed)
    values = 0.3 * generator.normal(size=(n_animals, 120, len(NODES))).cumsum(axis=1)
    values[:, 40:60, :3] += 6.0
    values[:, 80:95, 3:] += 6.0
    values[-1, :, 1] = np.nan
    return signal(values, sampling_rate=4.0, dim="roi", channel=NODES, units="dF/F0")


def check_results(case: Case) -> None:
    """Results are labelled, finite where something was recorded, and not negative."""
    fitted = case.fitted()
    course = fitted.transform(case.data)["activity"]
    require(course.dims == ("component", "animal", "time"), "activity is (component, animal, time)")
    require(bool(np.isfinite(course).all() and (course >= 0).all()), "activity is 0 or more")
    found = fitted.predict(case.data)["expected_affinity"]
    require(found.dims == ("animal", "roi", "roi_to"), "affinity is (animal, roi, roi_to)")
    require(found["roi"].values.tolist() == list(NODES), "predictions keep the labels of 'roi'")
    lacking = found.isel(animal=-1).sel(roi=NODES[1]).drop_sel(roi_to=NODES[1])
    require(bool(lacking.isnull().all()), "pairs that an animal lacks are missing")


def check_score(case: Case) -> None:
    """The score is a share; other metrics are refused."""
    fitted = case.fitted()
    score = float(fitted.score(case.data)["variance_explained"])
    require(0.2 < score <= 1, "components explain a part of their own data")
    with refusal(NeurodynError, "an unknown metric"):
        fitted.score(case.data, "no_such_metric")


def check_nodes(case: Case) -> None:
    """Nodes are aligned by label; missing and unknown ones are refused."""
    fitted, data = case.fitted(), case.data
    shuffled = data.isel(roi=np.arange(data.sizes["roi"])[::-1])
    same(fitted.predict(shuffled), fitted.predict(data), "nodes in another order")
    with refusal(DataError, "a missing node"):
        fitted.transform(data.isel(roi=slice(1, None)))
    with refusal(DataError, "unknown nodes"):
        fitted.transform(data.assign_coords(roi=[f"{name}x" for name in NODES]))


def check_clock(case: Case) -> None:
    """Another sampling rate is refused; so is an irregular clock, and an interrupted trace."""
    fitted, data = case.fitted(), case.data
    with refusal(TimebaseError, "another sampling rate"):
        fitted.transform(data.assign_coords(time=data["time"] * 2))
    with refusal(TimebaseError, "an irregular clock"):
        case.fitted(data.isel(time=[*range(20), *range(40, 60)]))
    holed = data.copy(deep=True)
    holed["signal"][0, 30:33, 0] = np.nan
    with refusal(DataError, "an interrupted trace"):
        case.fitted(holed)


OF_TRACES: Mapping[str, Callable[[Case], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (check_results, check_score, check_nodes, check_clock)
}
"""By name."""
