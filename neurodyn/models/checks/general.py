"""Checks that every estimator passes, whatever its data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from neurodyn.errors import NeurodynError, NotFittedError
from neurodyn.models.checks.case import Case, global_random, is_trained, refusal, require, same
from neurodyn.nlb.guard import LeakageError

__all__ = ["GENERAL"]


def check_parameters(case: Case) -> None:
    """get_params, set_params and clone agree; unknown settings are refused by name."""
    estimator = case.estimator
    twin = estimator.clone()
    require(twin is not estimator and not twin.is_fitted, "clone gives a new, unfitted one")
    require(twin.get_params() == estimator.get_params(), "clone keeps the settings")
    twin.set_params(**estimator.get_params())
    require(twin.config == estimator.config, "set_params takes what get_params gives")
    with refusal(NeurodynError, "an unknown setting"):
        twin.set_params(no_such_setting=1)
    fitted = case.fitted()
    require(not fitted.set_params().is_fitted, "set_params forgets what was learned")


def check_not_fitted(case: Case) -> None:
    """Nothing works before fit, and the error says so."""
    estimator = case.estimator.clone()
    for name in ("predict", "transform", "score"):
        with refusal(NotFittedError, f"{name} before fit"):
            getattr(estimator, name)(case.data)
    with tempfile.TemporaryDirectory() as folder, refusal(NotFittedError, "save before fit"):
        estimator.save(folder)


def check_save_and_load(case: Case) -> None:
    """A loaded estimator has the same settings and predicts the same bits."""
    fitted = case.fitted()
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(folder)
        loaded = type(fitted).load(folder)
        require(loaded.config == fitted.config, "load gives the same settings")
        require(loaded.context_ == fitted.context_, "load gives the same context")
        same(loaded.predict(case.data), fitted.predict(case.data), "load after save")
        same(loaded.transform(case.data), fitted.transform(case.data), "load after save")
        require((Path(folder) / "manifest.json").is_file(), "a manifest is written")


def check_determinism(case: Case) -> None:
    """The same settings and data give the same bits, and no global generator is touched."""
    before = global_random()
    first, second = case.fitted(), case.fitted()
    same(first.predict(case.data), second.predict(case.data), "a second fit")
    same(first.predict(case.data), first.predict(case.data), "a second prediction")
    require(before == global_random(), "the global random state stays as it is")


def check_input_unchanged(case: Case) -> None:
    """No call changes its input."""
    data = case.data.copy(deep=True)
    fitted = case.fitted(data)
    fitted.predict(data)
    fitted.transform(data)
    fitted.score(data)
    require(data.identical(case.data), "data are as they were")


def check_evaluation_refused(case: Case) -> None:
    """Data marked as evaluation data cannot be fitted or choose weights."""
    marked = case.data.copy()
    marked.attrs["role"] = "evaluation"
    with refusal(LeakageError, "evaluation data in fit"):
        case.fitted(marked)
    with refusal(LeakageError, "evaluation data as validation"):
        case.fitted(validation=marked)


def check_resume(case: Case) -> None:
    """N steps, a new start and N steps more give the same bits as 2 N steps."""
    if not is_trained(case.estimator):
        return
    whole = case.fit_options["training"]
    half = replace(whole, n_steps=whole.n_steps // 2)
    expected = case.fitted().predict(case.data)
    with tempfile.TemporaryDirectory() as folder:
        case.fitted(training=half, folder=folder)
        resumed = case.fitted(folder=folder, resume=True)
        same(resumed.predict(case.data), expected, "a resumed run")
        loaded = type(resumed).load(folder)
        same(loaded.predict(case.data), expected, "a run folder")


GENERAL: Mapping[str, Callable[[Case], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_parameters,
        check_not_fitted,
        check_save_and_load,
        check_determinism,
        check_input_unchanged,
        check_evaluation_refused,
        check_resume,
    )
}
"""By name."""
