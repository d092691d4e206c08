"""Checks that every estimator of rates passes; a new one is tested by being registered.

Each check takes a :class:`Case` and raises :class:`CheckFailedError` if the contract is broken::

    for name, check in CHECKS.items():
        check(Case(MyEstimator(), example_counts()))
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.errors import DataError, NeurodynError, NotFittedError, TimebaseError
from neurodyn.models.counts_estimator import CountsEstimator
from neurodyn.nlb.guard import LeakageError
from neurodyn.recording import counts

__all__ = ["CHECKS", "Case", "CheckFailedError", "example_counts", "is_trained"]

UNITS = ("a", "b", "c", "d", "e", "f")
N_HELD_IN, N_TIME, N_FORWARD = 4, 12, 3


class CheckFailedError(AssertionError):
    """An estimator breaks its contract."""


@dataclass(frozen=True)
class Case:
    """An unfitted estimator, counts to fit it on and options of ``fit``."""

    estimator: CountsEstimator[Any]
    counts: xr.Dataset
    fit_options: Mapping[str, Any] = field(default_factory=dict)

    def fitted(self, data: xr.Dataset | None = None, **options: Any) -> CountsEstimator[Any]:
        """Return a fitted clone."""
        chosen = {**self.fit_options, **options}
        return self.estimator.clone().fit(self.counts if data is None else data, **chosen)


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


def is_trained(estimator: CountsEstimator[Any]) -> bool:
    """Return whether ``fit`` takes ``training``."""
    return "training" in inspect.signature(estimator.fit).parameters


def check_parameters(case: Case) -> None:
    """get_params, set_params and clone agree; unknown settings are refused by name."""
    estimator = case.estimator
    twin = estimator.clone()
    _require(twin is not estimator and not twin.is_fitted, "clone gives a new, unfitted one")
    _require(twin.get_params() == estimator.get_params(), "clone keeps the settings")
    twin.set_params(**estimator.get_params())
    _require(twin.config == estimator.config, "set_params takes what get_params gives")
    with _refusal(NeurodynError, "an unknown setting"):
        twin.set_params(no_such_setting=1)
    fitted = case.fitted()
    _require(not fitted.set_params().is_fitted, "set_params forgets what was learned")


def check_not_fitted(case: Case) -> None:
    """Nothing works before fit, and the error says so."""
    estimator = case.estimator.clone()
    for name in ("predict", "transform", "score"):
        with _refusal(NotFittedError, f"{name} before fit"):
            getattr(estimator, name)(case.counts)
    with tempfile.TemporaryDirectory() as folder, _refusal(NotFittedError, "save before fit"):
        estimator.save(folder)


def check_prediction(case: Case) -> None:
    """Predictions are labelled, finite, consistent and cover all units and bins."""
    found = case.fitted().predict(case.counts)
    _require(found["rate"].dims == ("trial", "time", "unit"), "rate is (trial, time, unit)")
    _require(found["rate"].shape == case.counts["count"].shape, "all units and bins are there")
    _require(bool(np.isfinite(found["log_rate"]).all()), "log rates are finite")
    _require(
        np.allclose(np.exp(found["log_rate"]), found["rate"]), "rate is the exponential of log_rate"
    )
    for name in ("trial", "time", "unit", "condition", "forward", "held_out"):
        same = np.array_equal(found[name].values, case.counts[name].values)
        _require(same, f"predictions keep the labels of {name!r}")
    ratio = float(found["rate"].mean()) * 0.02 / float(case.counts["count"].mean())
    _require(0.1 < ratio < 10, "rates are in spikes/s")


def check_transform(case: Case) -> None:
    """Latents are finite and labelled by trial and time."""
    found = case.fitted().transform(case.counts)
    _require(found["latent"].dims == ("trial", "time", "factor"), "latent is (trial, time, factor)")
    _require(bool(np.isfinite(found["latent"]).all()), "latents are finite")


def check_score(case: Case) -> None:
    """Scores are floats with parts per trial that add up."""
    fitted = case.fitted()
    for metric in ("co_bps", "fp_bps", "held_in_bps"):
        found = fitted.score(case.counts, metric)
        gain = float((found["null_nll"] - found["nll"]).sum() / found["n_spikes"].sum())
        _require(np.isclose(gain / np.log(2), float(found[metric])), f"trials add up to {metric}")
    with _refusal(NeurodynError, "an unknown metric"):
        fitted.score(case.counts, "no_such_metric")


def check_save_and_load(case: Case) -> None:
    """A loaded estimator has the same settings and predicts the same bits."""
    fitted = case.fitted()
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(folder)
        loaded = type(fitted).load(folder)
        _require(loaded.config == fitted.config, "load gives the same settings")
        _require(loaded.context_ == fitted.context_, "load gives the same context")
        _same(loaded.predict(case.counts), fitted.predict(case.counts), "load after save")
        _same(loaded.transform(case.counts), fitted.transform(case.counts), "load after save")
        _require((Path(folder) / "manifest.json").is_file(), "a manifest is written")


def check_determinism(case: Case) -> None:
    """The same settings and data give the same bits, and no global generator is touched."""
    before = _global_random()
    first, second = case.fitted(), case.fitted()
    _same(first.predict(case.counts), second.predict(case.counts), "a second fit")
    _same(first.predict(case.counts), first.predict(case.counts), "a second prediction")
    _require(before == _global_random(), "the global random state stays as it is")


def check_input_unchanged(case: Case) -> None:
    """No call changes its input."""
    data = case.counts.copy(deep=True)
    fitted = case.fitted(data)
    fitted.predict(data)
    fitted.transform(data)
    fitted.score(data)
    _require(data.identical(case.counts), "data are as they were")


def check_units(case: Case) -> None:
    """Units are aligned by label; missing and unknown ones are refused."""
    fitted, data = case.fitted(), case.counts
    expected = fitted.predict(data)
    shuffled = data.isel(unit=np.arange(data.sizes["unit"])[::-1])
    _same(fitted.predict(shuffled), expected, "units in another order")
    for metric in ("co_bps", "held_in_bps"):
        same = fitted.score(shuffled, metric).identical(fitted.score(data, metric))
        _require(same, f"{metric} does not depend on the order of units")
    with _refusal(DataError, "a missing held-in unit"):
        fitted.predict(data.isel(unit=slice(1, None)))
    with _refusal(DataError, "unknown units"):
        fitted.predict(data.assign_coords(unit=[f"{name}x" for name in data["unit"].values]))


def check_clock(case: Case) -> None:
    """Another bin size or another number of bins is refused."""
    fitted, data = case.fitted(), case.counts
    with _refusal(TimebaseError, "another bin size"):
        fitted.predict(data.assign_attrs(bin_size=0.01))
    with _refusal(TimebaseError, "shorter trials"):
        fitted.predict(data.isel(time=slice(2, None)))


def check_targets_unread(case: Case) -> None:
    """Held-out units and forward bins can be changed or left out without any effect."""
    fitted, data = case.fitted(), case.counts
    expected, latents = fitted.predict(data), fitted.transform(data)
    target = data["held_out"] | data["forward"]
    poisoned = data.assign(count=data["count"].where(~target, 200).astype(np.uint8))
    _same(fitted.predict(poisoned), expected, "other held-out and forward counts")
    _same(fitted.transform(poisoned), latents, "other held-out and forward counts")
    seen = data.isel(unit=~data["held_out"].values, time=~data["forward"].values)
    _same(fitted.predict(seen), expected, "only what the model may see")


def check_unobserved(case: Case) -> None:
    """Counts of bins that were not observed have no influence on fit, prediction or score."""
    observed = np.ones(case.counts["count"].shape, dtype=bool)
    observed[0, 3:5] = observed[1, :, 1] = observed[2, -2:] = observed[3, :, -1] = False
    masked = case.counts.assign(observed=(("trial", "time", "unit"), observed))
    other = masked.assign(count=masked["count"].where(masked["observed"], 99).astype(np.uint8))
    fitted, twin = case.fitted(masked), case.fitted(other)
    _same(fitted.predict(masked), twin.predict(other), "other numbers in unobserved bins")
    _require(fitted.score(masked).identical(twin.score(other)), "unobserved bins have no score")
    _require(fitted.predict(masked).attrs["n_unobserved"] > 0, "predictions tell about gaps")


def check_evaluation_refused(case: Case) -> None:
    """Data marked as evaluation data cannot be fitted or choose weights."""
    marked = case.counts.assign_attrs(role="evaluation")
    with _refusal(LeakageError, "evaluation data in fit"):
        case.fitted(marked)
    with _refusal(LeakageError, "evaluation data as validation"):
        case.fitted(validation=marked)


def check_resume(case: Case) -> None:
    """N steps, a new start and N steps more give the same bits as 2 N steps."""
    if not is_trained(case.estimator):
        return
    from dataclasses import replace

    whole = case.fit_options["training"]
    half = replace(whole, n_steps=whole.n_steps // 2)
    expected = case.fitted().predict(case.counts)
    with tempfile.TemporaryDirectory() as folder:
        case.fitted(training=half, folder=folder)
        resumed = case.fitted(folder=folder, resume=True)
        _same(resumed.predict(case.counts), expected, "a resumed run", checkpoint=True)
        loaded = type(resumed).load(folder)
        _same(loaded.predict(case.counts), expected, "a run folder", checkpoint=True)


def _global_random() -> str:
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002


class _refusal:
    """Context in which an error of a kind has to be raised."""

    def __init__(self, kind: type[Exception], what: str) -> None:
        self.kind, self.what = kind, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        if kind is None:
            raise CheckFailedError(f"{self.what} is not refused")
        return issubclass(kind, self.kind)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise CheckFailedError(f"does not hold: {what}")


def _same(found: xr.Dataset, expected: xr.Dataset, after: str, *, checkpoint: bool = True) -> None:
    for name in expected.data_vars:
        same = np.array_equal(found[name].values, expected[name].values)
        _require(same, f"{name} is the same with {after}")
    if checkpoint:
        _require(
            found.attrs["checkpoint"] == expected.attrs["checkpoint"], f"same weights: {after}"
        )


CHECKS: Mapping[str, Callable[[Case], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_parameters,
        check_not_fitted,
        check_prediction,
        check_transform,
        check_score,
        check_save_and_load,
        check_determinism,
        check_input_unchanged,
        check_units,
        check_clock,
        check_targets_unread,
        check_unobserved,
        check_evaluation_refused,
        check_resume,
    )
}
"""All checks by name."""
