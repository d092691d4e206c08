"""Checks of estimators of fMRI runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from neurodyn.errors import DataError, NeurodynError
from neurodyn.models.checks.case import Case, refusal, require, same
from neurodyn.recording import bold

__all__ = ["OF_BOLD", "example_bold"]

ROIS = ("V1_L", "V1_R", "M1_L", "M1_R", "PCC", "mPFC")
NETWORKS = ("visual", "visual", "motor", "motor", "default", "default")


def example_bold(n_time: int = 400, *, seed: int = 0) -> xr.Dataset:
    """Return a small run: regions of a network share a slow course; one region was lost."""
    generator = np.random.default_rng(seed)
    slow = np.cumsum(generator.normal(size=(n_time + 8, 3)), axis=0)
    course = slow[8:] - slow[:-8]
    values = course.repeat(2, axis=1) + generator.normal(size=(n_time, len(ROIS)))
    values[:, -1] = np.nan
    return bold(
        values,
        repetition_time=1.5,
        roi=ROIS,
        keep=np.arange(n_time) >= 5,
        roi_columns={"network": NETWORKS},
        atlas="example",
        subject="sub-01",
    )


def check_results(case: Case) -> None:
    """Results are labelled, finite where something was recorded, and NaN elsewhere."""
    fitted = case.fitted()
    state = fitted.transform(case.data)["state"]
    require(state.dims == ("window", "segment", "latent"), "state is (window, segment, latent)")
    found = fitted.predict(case.data)["reconstruction"]
    require(found.dims == ("run", "time", "roi"), "reconstruction is (run, time, roi)")
    require(found["roi"].values.tolist() == list(ROIS), "predictions keep the labels of 'roi'")
    require(bool(found.sel(roi=ROIS[-1]).isnull().all()), "a lost region stays missing")
    shown = found.isel(run=0, roi=slice(-1), time=case.data["keep"].values)
    require(bool(np.isfinite(shown).all()), "what was observed is predicted")


def check_score(case: Case) -> None:
    """The score is a number up to 1; other metrics are refused."""
    fitted = case.fitted()
    score = float(fitted.score(case.data)["masked_r2"])
    require(np.isfinite(score) and score <= 1, "masked_r2 is a number up to 1")
    with refusal(NeurodynError, "an unknown metric"):
        fitted.score(case.data, "no_such_metric")


def check_regions(case: Case) -> None:
    """Regions are aligned by label; missing and unknown ones are refused."""
    fitted, data = case.fitted(), case.data
    shuffled = data.isel(roi=np.arange(data.sizes["roi"])[::-1])
    same(fitted.predict(shuffled), fitted.predict(data), "regions in another order")
    with refusal(DataError, "a missing region"):
        fitted.transform(data.isel(roi=slice(1, None)))
    with refusal(DataError, "unknown regions"):
        fitted.transform(data.assign_coords(roi=[f"{name}x" for name in ROIS]))


def check_censored(case: Case) -> None:
    """What stands in censored frames has no influence on fit, prediction or score."""
    keep = case.data["keep"].values.copy()
    keep[100:103] = False
    censored = case.data.assign_coords(keep=("time", keep))
    other = censored.copy(deep=True)
    other["bold"][~keep] = 1e3
    fitted, twin = case.fitted(censored), case.fitted(other)
    same(fitted.predict(censored), twin.predict(other), "other numbers in censored frames")
    require(fitted.score(censored).identical(twin.score(other)), "censored frames have no score")


def check_clock(case: Case) -> None:
    """Another repetition time is no obstacle."""
    fitted = case.fitted()
    faster = case.data.drop_vars("keep").assign_attrs(repetition_time=0.75)
    faster = faster.assign_coords(time=faster["time"] / 2)
    found = fitted.predict(faster)["reconstruction"]
    require(found.sizes["time"] == (case.data.sizes["time"] + 1) // 2, "the clock is the model's")


OF_BOLD: Mapping[str, Callable[[Case], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (check_results, check_score, check_regions, check_censored, check_clock)
}
"""By name."""
