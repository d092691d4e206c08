"""Checks of estimators of spikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from neurodyn.errors import DataError, NeurodynError
from neurodyn.models.checks.case import Case, refusal, require, same
from neurodyn.recording import behavior, pick, recording, spikes_from_units, unit_spike_times
from neurodyn.transforms.restriction import restrict

__all__ = ["OF_SPIKES", "example_spikes"]

DURATION = 12.0
N_UNITS = 4


def example_spikes(*, seed: int = 0) -> xr.DataTree:
    """Return a small recording: units whose rate follows a wave, which is a behavior beside."""
    generator = np.random.default_rng(seed)
    time = np.arange(0.0, DURATION, 0.005)
    wave = np.sin(2 * np.pi * time / 3.0)
    units = {}
    for number in range(N_UNITS):
        rate = 20.0 * np.exp(wave if number % 2 else -wave)
        units[f"unit {number}"] = time[generator.random(time.size) < 0.005 * rate] + 0.001
    children: dict[str, xr.Dataset | dict[str, xr.Dataset]] = {
        "spikes": spikes_from_units(units, observed=[[0.0, DURATION]]),
        "behavior": {"wave": behavior(wave[::10], sampling_rate=20.0, feature=["wave"])},
    }
    return recording(children, source="example", session_start="2024-01-01T00:00:00+00:00")


def check_results(case: Case) -> None:
    """Rates are labelled, positive and on the clock of the recording."""
    fitted = case.fitted()
    rate = fitted.predict(case.data)["rate"]
    require(rate.dims == ("time", "unit"), "rate is (time, unit)")
    units = pick(case.data, "spikes")["unit"].values.tolist()
    require(rate["unit"].values.tolist() == units, "predictions keep the labels of 'unit'")
    require(bool((np.isfinite(rate) & (rate > 0)).all()), "rates are positive numbers")
    inside = (rate["time"] >= 0) & (rate["time"] < DURATION)
    require(bool(inside.all()), "predictions lie in what was observed")


def check_score(case: Case) -> None:
    """The score is a number; other metrics are refused."""
    fitted = case.fitted()
    require(np.isfinite(float(fitted.score(case.data)["bits_per_spike"])), "the score is a number")
    with refusal(NeurodynError, "an unknown metric"):
        fitted.score(case.data, "no_such_metric")


def check_units(case: Case) -> None:
    """Units are matched by label, in any order; unknown ones are refused."""
    fitted, data = case.fitted(), case.data
    units = pick(data, "spikes")["unit"].values.tolist()
    found = fitted.predict(_renamed(data, {name: name for name in units[::-1]}))
    expected = fitted.predict(data)
    same(found.sel(unit=units), expected, "units in another order")
    with refusal(DataError, "unknown units"):
        fitted.predict(_renamed(data, {name: f"{name}x" for name in units}))


def check_causality(case: Case) -> None:
    """What comes later changes no prediction."""
    fitted, data = case.fitted(), case.data
    whole = fitted.predict(data)["rate"]
    early = restrict(data, [[0.0, DURATION / 2]])
    part = fitted.predict(early)["rate"]
    twin = whole.sel(time=part["time"])
    require(bool(np.allclose(part, twin, rtol=1e-4)), "the past alone decides")


def check_leak(case: Case) -> None:
    """Validation on what training windows predict or read is refused."""
    with refusal(DataError, "validation inside the training data"):
        case.fitted(validation=restrict(case.data, [[2.0, 6.0]]))


def _renamed(data: xr.DataTree, names: Mapping[str, str]) -> xr.DataTree:
    """Return the recording with its units in another order or under other names."""
    spikes = pick(data, "spikes")
    units = {new: unit_spike_times(spikes, old) for old, new in names.items()}
    other = data.copy()
    other["spikes"] = xr.DataTree(spikes_from_units(units, observed=[[0.0, DURATION]]))
    return other


OF_SPIKES: Mapping[str, Callable[[Case], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (check_results, check_score, check_units, check_causality, check_leak)
}
"""By name."""
