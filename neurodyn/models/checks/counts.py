"""Checks of estimators of firing rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from neurodyn.errors import DataError, NeurodynError, TimebaseError
from neurodyn.models.checks.case import Case, refusal, require, same
from neurodyn.recording import counts

__all__ = ["OF_COUNTS", "example_counts"]

UNITS = ("a", "b", "c", "d", "e", "f")
N_HELD_IN, N_TIME, N_FORWARD = 4, 12, 3


def example_counts(n_trials: int = 8, *, seed: int = 0) -> xr.Dataset:
    """Return small counts with held-out units, forward bins and a shared rhythm."""
    generator = np.random.default_rng(seed)
    time = np.arange(N_TIME + N_FORWARD)
    phase = generator.uniform(0, 2 * np.pi, (n_trials, 1, 1))
    rate = np.exp(0.3 + np.sin(0.5 * time[:, None] + phase + np.arange(len(UNITS))))
    return counts(
        generator.poisson(rate),
        bin_size=0.02,
        unit=UNITS,
        held_out=np.arange(len(UNITS)) >= N_HELD_IN,
        forward=time >= N_TIME,
        trial_columns={"condition": np.arange(n_trials) % 2},
    )


def check_prediction(case: Case) -> None:
    """Predictions are labelled, finite, consistent and cover all units and bins."""
    found = case.fitted().predict(case.data)
    require(found["rate"].dims == ("trial", "time", "unit"), "rate is (trial, time, unit)")
    require(found["rate"].shape == case.data["count"].shape, "all units and bins are there")
    require(bool(np.isfinite(found["log_rate"]).all()), "log rates are finite")
    require(
        np.allclose(np.exp(found["log_rate"]), found["rate"]), "rate is the exponential of log_rate"
    )
    for name in ("trial", "time", "unit", "condition", "forward", "held_out"):
        equal = np.array_equal(found[name].values, case.data[name].values)
        require(equal, f"predictions keep the labels of {name!r}")
    ratio = float(found["rate"].mean()) * 0.02 / float(case.data["count"].mean())
    require(0.1 < ratio < 10, "rates are in spikes/s")


def check_transform(case: Case) -> None:
    """Latents are finite and labelled by trial and time."""
    found = case.fitted().transform(case.data)
    require(found["latent"].dims == ("trial", "time", "factor"), "latent is (trial, time, factor)")
    require(bool(np.isfinite(found["latent"]).all()), "latents are finite")


def check_score(case: Case) -> None:
    """Scores are floats with parts per trial that add up."""
    fitted = case.fitted()
    for metric in ("co_bps", "fp_bps", "held_in_bps"):
        found = fitted.score(case.data, metric)
        gain = float((found["null_nll"] - found["nll"]).sum() / found["n_spikes"].sum())
        require(np.isclose(gain / np.log(2), float(found[metric])), f"trials add up to {metric}")
    with refusal(NeurodynError, "an unknown metric"):
        fitted.score(case.data, "no_such_metric")


def check_units(case: Case) -> None:
    """Units are aligned by label; missing and unknown ones are refused."""
    fitted, data = case.fitted(), case.data
    expected = fitted.predict(data)
    shuffled = data.isel(unit=np.arange(data.sizes["unit"])[::-1])
    same(fitted.predict(shuffled), expected, "units in another order")
    for metric in ("co_bps", "held_in_bps"):
        equal = fitted.score(shuffled, metric).identical(fitted.score(data, metric))
        require(equal, f"{metric} does not depend on the order of units")
    with refusal(DataError, "a missing held-in unit"):
        fitted.predict(data.isel(unit=slice(1, None)))
    with refusal(DataError, "unknown units"):
        fitted.predict(data.assign_coords(unit=[f"{name}x" for name in data["unit"].values]))


def check_clock(case: Case) -> None:
    """Another bin size or another number of bins is refused."""
    fitted, data = case.fitted(), case.data
    with refusal(TimebaseError, "another bin size"):
        fitted.predict(data.assign_attrs(bin_size=0.01))
    with refusal(TimebaseError, "shorter trials"):
        fitted.predict(data.isel(time=slice(2, None)))


def check_targets_unread(case: Case) -> None:
    """Held-out units and forward bins can be changed or left out without any effect."""
    fitted, data = case.fitted(), case.data
    expected, latents = fitted.predict(data), fitted.transform(data)
    target = data["held_out"] | data["forward"]
    poisoned = data.assign(count=data["count"].where(~target, 200).astype(np.uint8))
    same(fitted.predict(poisoned), expected, "other held-out and forward counts")
    same(fitted.transform(poisoned), latents, "other held-out and forward counts")
    seen = data.isel(unit=~data["held_out"].values, time=~data["forward"].values)
    same(fitted.predict(seen), expected, "only what the model may see")


def check_unobserved(case: Case) -> None:
    """Counts of bins that were not observed have no influence on fit, prediction or score."""
    observed = np.ones(case.data["count"].shape, dtype=bool)
    observed[0, 3:5] = observed[1, :, 1] = observed[2, -2:] = observed[3, :, -1] = False
    masked = case.data.assign(observed=(("trial", "time", "unit"), observed))
    other = masked.assign(count=masked["count"].where(masked["observed"], 99).astype(np.uint8))
    fitted, twin = case.fitted(masked), case.fitted(other)
    same(fitted.predict(masked), twin.predict(other), "other numbers in unobserved bins")
    require(fitted.score(masked).identical(twin.score(other)), "unobserved bins have no score")
    require(fitted.predict(masked).attrs["n_unobserved"] > 0, "predictions tell about gaps")


OF_COUNTS: Mapping[str, Callable[[Case], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_prediction,
        check_transform,
        check_score,
        check_units,
        check_clock,
        check_targets_unread,
        check_unobserved,
    )
}
"""By name."""
