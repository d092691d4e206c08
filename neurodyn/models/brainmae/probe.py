"""What a frozen model knows: a linear read-out of its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from neurodyn.errors import DegenerateInputError, one_of
from neurodyn.metrics.classification import classification_table, regression_table
from neurodyn.metrics.intervals import Interval
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.examples import Examples
from neurodyn.models.brainmae.features import example_features
from neurodyn.recording import results

__all__ = ["Probe", "Task", "decoded", "decoding_table", "probe", "require_variety"]

Task = Literal["classification", "regression"]
# penalties of ridge regression that leave-one-out chooses from
PENALTIES = np.logspace(-1, 5, 13)


@dataclass(frozen=True, eq=False)
class Probe:
    """A frozen model and a linear read-out.

    Parameters
    ----------
    model
        Fitted; only read.
    readout
        From features to labels.
    task
        ``"classification"`` or ``"regression"``.
    """

    model: BrainMAE
    readout: Pipeline
    task: Task

    def predict(self, examples: Examples) -> xr.Dataset:
        """Return the prediction of each example.

        Returns
        -------
        xr.Dataset
            ``prediction (example)``, and for classes ``probability (example, class)``; ``label``
            and ``subject`` as coordinates.
        """
        features = example_features(self.model.network_, examples)
        probability = classes = None
        if self.task == "classification":
            probability = self.readout.predict_proba(features)
            classes = self.readout.classes_
        return decoded(examples, self.readout.predict(features), probability, classes)


def probe(
    model: BrainMAE,
    examples: Examples,
    task: Task = "classification",
    *,
    penalty: float = 1.0,
) -> Probe:
    """Fit a linear read-out of the frozen model's features.

    Features are z-scored over the training examples; classes are read out by logistic regression,
    numbers by ridge regression whose penalty leave-one-out chooses.

    Parameters
    ----------
    model
        Fitted; nothing of it changes.
    examples
        Training examples.
    task
        ``"classification"`` or ``"regression"``.
    penalty
        Of logistic regression, as the inverse of scikit-learn's ``C``.

    Raises
    ------
    ConfigError
        For an unknown task.
    DegenerateInputError
        If all examples have the same label.
    NotFittedError
        If the model is not fitted.
    """
    one_of("task", task, ("classification", "regression"))
    model._require_fitted()
    require_variety(examples)
    last: Any = LogisticRegression(C=1 / penalty, max_iter=5000)
    if task == "regression":
        last = RidgeCV(alphas=PENALTIES)
    readout = make_pipeline(StandardScaler(), last)
    readout.fit(example_features(model.network_, examples), examples.label)
    return Probe(model, readout, task)


def require_variety(examples: Examples) -> None:
    """Raise ``DegenerateInputError`` if all examples have the same label."""
    if np.unique(examples.label).size < 2:
        raise DegenerateInputError(
            "all examples have the same label",
            found=f"{len(examples)} examples of {examples.label[0]!r}",
            expected="two labels or more",
        )


def decoded(
    examples: Examples,
    prediction: NDArray[Any],
    probability: NDArray[Any] | None,
    classes: NDArray[Any] | None,
    **attrs: Any,
) -> xr.Dataset:
    """Return predictions with the labels of their examples."""
    variables: dict[str, Any] = {"prediction": ("example", prediction)}
    coords: dict[str, Any] = {
        "example": examples.name,
        "label": ("example", examples.label),
        "subject": ("example", examples.subject),
    }
    if probability is not None:
        variables["probability"] = (("example", "class"), probability)
        coords["class"] = classes
    return results(variables, coords, **attrs)


def decoding_table(predicted: xr.Dataset, *, seed: int = 0) -> dict[str, Interval]:
    """Return all scores of predictions with intervals over subjects.

    Parameters
    ----------
    predicted
        What ``predict`` of a probe or a decoder gives; several of other examples joined along
        ``example``.
    seed
        Of the bootstrap.

    Raises
    ------
    DegenerateInputError
        If the labels are all alike.
    """
    label, subject = predicted["label"].values, predicted["subject"].values
    if "probability" not in predicted:
        numbers = label.astype(np.float64)
        return regression_table(numbers, predicted["prediction"].values, subject=subject, seed=seed)
    probability, classes = predicted["probability"].values, predicted["class"].values.astype(str)
    score = probability[:, 1] - 0.5 if classes.size == 2 else probability
    return classification_table(
        label.astype(str), score, classes=classes, subject=subject, seed=seed
    )
