"""Models side by side: fitted on the same trials, scored on the same others, one report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn import report
from neurodyn.metrics.dynamics import rate_r2
from neurodyn.metrics.intervals import (
    Interval,
    bits_per_spike_interval,
    paired_bits_per_spike,
    trial_interval,
)
from neurodyn.models import run_folder
from neurodyn.models.counts_estimator import CountsEstimator
from neurodyn.models.langevinflow.estimator import LangevinFlowEstimator
from neurodyn.models.torch_estimator import TorchEstimator
from neurodyn.models.tuning import tune
from neurodyn.training.devices import end_helpers
from neurodyn.workflow.data import Data, division
from neurodyn.workflow.finish import finish

__all__ = ["Plan", "compare"]


@dataclass(frozen=True)
class Plan:
    """An estimator, further arguments of its ``fit``, and how many settings to try.

    Settings are drawn from the estimator's search space and judged inside the training trials;
    the first is the estimator as it is.
    """

    model: CountsEstimator[Any]
    fit_options: Mapping[str, Any] = field(default_factory=dict)
    n_draws: int = 1


def compare(
    plans: Mapping[str, Plan],
    data: Data,
    folder: str | Path,
    *,
    resume: bool = False,
    title: str | None = None,
    command: str | None = None,
) -> Path:
    """Fit models on the same trials, score them on the same others, write a report.

    Parameters
    ----------
    plans
        What to fit, by name; the first is the one that the run is about.
    data
        Training and evaluation counts, with the true rates where they are known.
    folder
        Run folder of the first model; the others go to ``folder/baselines/<name>``. A finished
        run that lies there is replaced.
    resume
        Go on where an interrupted run in the folder was; ends with the same result.
    title, command
        For the report.

    Returns
    -------
    Path
        ``report.html``.

    Raises
    ------
    CheckpointError
        If an unfinished run lies in the folder and is not to be resumed.
    """
    folder = Path(folder)
    headline = next(iter(plans))
    fitted: dict[str, CountsEstimator[Any]] = {}
    predicted: dict[str, xr.Dataset] = {}
    for name, plan in plans.items():
        home = folder if name == headline else folder / "baselines" / name
        fitted[name] = _fitted(plan, data.train, home, resume)
        end_helpers()
        predicted[name] = fitted[name].predict(data.evaluation)
    tried = ", ".join(f"{name} {plan.n_draws}" for name, plan in plans.items())
    metrics = {
        "headline": headline,
        "scores": _scores(predicted, data),
        "differences": _differences(predicted, data),
        "notes": [*data.notes, f"Settings tried inside the training trials: {tried}."],
    }
    found = _results(fitted[headline], predicted[headline], data)
    # the first model was committed before the others beside it, which an earlier run may hold too
    return finish(folder, found, metrics, title=title, command=command)


def _fitted(plan: Plan, train: xr.Dataset, home: Path, resume: bool) -> CountsEstimator[Any]:
    """Fit the best of the plan's settings, chosen on a part of the training trials."""
    if plan.n_draws > 1:
        found = tune(plan.model, train, [division(train, 0)], plan.n_draws, **plan.fit_options)
        plan = Plan(found.estimator, found.fit_options)
    model = plan.model.clone()
    if not isinstance(model, TorchEstimator):
        model.fit(train, **plan.fit_options).save(home)
        return model
    if not resume:
        run_folder.replace_finished(home)
    return model.fit(train, folder=home, resume="auto" if resume else False, **plan.fit_options)


def _counted(data: Data, held_out: bool) -> NDArray[np.float64]:
    """Return evaluation counts of held-out or held-in units, NaN where unobserved."""
    masked = rec.masked_counts(data.evaluation).transpose("trial", "time", "unit")
    return masked.values[..., data.evaluation["held_out"].values == held_out].astype(np.float64)


def _expected(rates: xr.Dataset, data: Data, held_out: bool | None) -> NDArray[np.float64]:
    """Return expected counts per bin of evaluation units, in the order of the counts."""
    chosen = np.ones(data.evaluation.sizes["unit"], bool)
    if held_out is not None:
        chosen = data.evaluation["held_out"].values == held_out
    rate = rates["rate"].sel(unit=data.evaluation["unit"].values[chosen])
    values = rate.transpose("trial", "time", "unit").values.astype(np.float64)
    return np.asarray(values * data.evaluation.attrs["bin_size"])


def _scores(predicted: Mapping[str, xr.Dataset], data: Data) -> list[dict[str, Any]]:
    rows = []
    for name, rates in predicted.items():
        for metric, held_out in (("co_bps", True), ("held_in_bps", False)):
            found = bits_per_spike_interval(
                _expected(rates, data, held_out), _counted(data, held_out)
            )
            rows.append(_row(found, model=name, metric=metric, units="bits per spike"))
        if data.truth is not None:
            found = _rate_r2(_expected(rates, data, None), _expected(data.truth, data, None))
            rows.append(_row(found, model=name, metric="rate_r2"))
    return rows


def _rate_r2(expected: NDArray[np.float64], truth: NDArray[np.float64]) -> Interval:
    return trial_interval(
        lambda trial: rate_r2(expected[trial], truth[trial]), len(expected), n_resamples=200
    )


def _differences(predicted: Mapping[str, xr.Dataset], data: Data) -> list[dict[str, Any]]:
    headline, *others = predicted
    counted = _counted(data, held_out=True)
    first = _expected(predicted[headline], data, held_out=True)
    rows = []
    for name in others:
        found = paired_bits_per_spike(first, _expected(predicted[name], data, True), counted)
        row = _row(found, model=headline, reference=name, metric="co_bps")
        row["difference"] = row.pop("score")
        rows.append(row)
    return rows


def _row(found: Interval, **labels: str) -> dict[str, Any]:
    return {**labels, "score": found.estimate, "low": found.low, "high": found.high}


def _results(model: CountsEstimator[Any], rates: xr.Dataset, data: Data) -> xr.Dataset:
    """Return what the report shows: rates, counts, truth, latents and diagnostics."""
    more = [model.transform(data.evaluation)]
    if isinstance(model, LangevinFlowEstimator):
        more.append(model.shuffle_costs(data.evaluation))
        if model.config.mode == "elbo" and model.config.potential == "ring_psd":
            more.append(model.dispersion())
    return report.merge_results(rates, *more, counts=data.evaluation, truth=data.truth)
