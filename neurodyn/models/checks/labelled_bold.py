"""Checks of estimators that decode labels of fMRI runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from neurodyn.errors import DataError, EmptySelectionError, NeurodynError
from neurodyn.models.checks.bold import example_bold
from neurodyn.models.checks.case import Case, refusal, require
from neurodyn.recording import recording

__all__ = ["OF_LABELLED_BOLD", "example_labelled_bold"]


def example_labelled_bold(n_runs: int = 4, *, seed: int = 0) -> xr.DataTree:
    """Return small runs of subjects, whose attribute ``target`` is ``"a"`` or ``"b"``."""
    runs = {
        f"run{number}": example_bold(100, seed=seed + number).assign_attrs(
            subject=f"sub-{number:02d}", target="ab"[number % 2]
        )
        for number in range(n_runs)
    }
    return recording({"bold": runs})


def check_prediction(case: Case) -> None:
    """Predictions are labelled by run and subject, and are one of the known labels."""
    found = case.fitted().predict(case.data)
    require(found["prediction"].dims == ("example",), "there is one prediction for each run")
    require(found["example"].values.tolist() == list(case.data["bold"].children), "of each run")
    require(set(found["prediction"].values.tolist()) <= {"a", "b"}, "with a known label")
    require(np.allclose(found["probability"].sum("class"), 1), "probabilities add up to 1")


def check_score(case: Case) -> None:
    """The scores are shares; other metrics are refused."""
    fitted = case.fitted()
    require(0 <= float(fitted.score(case.data)["balanced_accuracy"]) <= 1, "scores are shares")
    with refusal(NeurodynError, "an unknown metric"):
        fitted.score(case.data, "no_such_metric")


def check_labels(case: Case) -> None:
    """Runs without labels, and a subject in training and validation, are refused."""
    bare = case.data.copy()
    for run in bare["bold"].children.values():
        del run.attrs["target"]
    with refusal(EmptySelectionError, "runs without labels"):
        case.fitted(bare)
    with refusal(DataError, "a subject in training and validation"):
        case.fitted(validation=case.data)


OF_LABELLED_BOLD: Mapping[str, Callable[[Case], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (check_prediction, check_score, check_labels)
}
"""By name."""
