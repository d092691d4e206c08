"""Linear decoding of behavior: R² and ridge regression with a cross-validated penalty."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError, DegenerateInputError

__all__ = ["ALPHAS", "Decoder", "decode", "fit_ridge", "r2", "r2_per_output"]

FloatArray = NDArray[np.float64]
N_FOLDS = 5
ALPHAS = tuple(np.logspace(-4, 0, 9).tolist())
"""Ridge penalties of the Neural Latents Benchmark."""


class Decoder(NamedTuple):
    """A fitted linear map; ``weight`` is ``(input, output)``, ``intercept`` ``(output,)``."""

    weight: FloatArray
    intercept: FloatArray
    alpha: float

    def predict(self, inputs: ArrayLike) -> FloatArray:
        """Return the decoded values, shape ``(sample, output)``."""
        return np.asarray(inputs, dtype=np.float64) @ self.weight + self.intercept


def r2_per_output(true: ArrayLike, predicted: ArrayLike) -> FloatArray:
    """Return the coefficient of determination of each output, shape ``(output,)``.

    ``1 - sum((y - p)²) / sum((y - mean(y))²)``. A constant output that is predicted exactly
    scores 1, one that is not scores 0 (the convention of scikit-learn).

    Parameters
    ----------
    true, predicted
        Shape ``(sample, output)``.

    Raises
    ------
    DataError
        If the shapes differ or a value is not finite.
    DegenerateInputError
        With fewer than two samples.

    Examples
    --------
    >>> r2_per_output([[1.0, 5.0], [3.0, 5.0]], [[1.0, 5.0], [3.0, 4.0]])
    array([1., 0.])
    """
    y, p = _matrix(true, "true values"), _matrix(predicted, "predictions")
    if y.shape != p.shape:
        raise DataError(
            "true values and predictions differ in shape", found=p.shape, expected=y.shape
        )
    if len(y) < 2:
        raise DegenerateInputError("R² needs at least two samples", found=len(y))
    residual = ((y - p) ** 2).sum(axis=0)
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    score = np.where(residual == 0.0, 1.0, 0.0)
    varies = total != 0.0
    score[varies] = 1.0 - residual[varies] / total[varies]
    return score


def r2(true: ArrayLike, predicted: ArrayLike, *, variance_floor: float | None = None) -> float:
    """Return R² averaged over outputs, each with the same weight.

    Parameters
    ----------
    true, predicted
        Shape ``(sample, output)``.
    variance_floor
        Leave outputs out whose true variance is not above it. A nearly constant output has an
        R² that can be as low as -1e29 and swallows the mean of all others.

    Raises
    ------
    DataError
        As :func:`r2_per_output`.
    DegenerateInputError
        With fewer than two samples, or when no output varies by more than the floor.

    Examples
    --------
    >>> r2([[1.0, 5.0], [3.0, 5.0]], [[1.0, 5.0], [3.0, 4.0]])
    0.5
    >>> r2([[1.0, 5.0], [3.0, 5.0]], [[1.0, 5.0], [3.0, 4.0]], variance_floor=0.0)
    1.0
    """
    score = r2_per_output(true, predicted)
    if variance_floor is None:
        return float(score.mean())
    varies = np.var(np.asarray(true, dtype=np.float64), axis=0) > variance_floor
    if not varies.any():
        raise DegenerateInputError(
            "no output varies", expected=f"a variance above {variance_floor:g}"
        )
    return float(score[varies].mean())


def decode(
    train_inputs: ArrayLike,
    train_outputs: ArrayLike,
    inputs: ArrayLike,
    outputs: ArrayLike,
    *,
    alphas: tuple[float, ...] = ALPHAS,
) -> float:
    """Fit a ridge decoder on training samples and return its R² on others.

    Rows whose outputs are all NaN are left out. With one alpha it is used as it is.

    Parameters
    ----------
    train_inputs, train_outputs
        Shapes ``(sample, input)`` and ``(sample, output)``.
    inputs, outputs
        The samples to score, in the same form.
    alphas
        Penalties to choose from, as in :func:`fit_ridge`.

    Raises
    ------
    DataError
        If sizes differ, inputs are not finite where outputs are known, or a row of outputs is
        NaN in part.
    DegenerateInputError
        With too few samples.

    Examples
    --------
    >>> x = np.arange(20.0)[:, None]
    >>> decode(x, 2 * x + 1, x, 2 * x + 1) > 0.999
    True
    """
    x, y = _known_rows(train_inputs, train_outputs, "training")
    x_eval, y_eval = _known_rows(inputs, outputs, "evaluation")
    return r2(y_eval, fit_ridge(x, y, alphas=alphas).predict(x_eval))


def fit_ridge(
    inputs: ArrayLike, outputs: ArrayLike, *, alphas: tuple[float, ...] = ALPHAS
) -> Decoder:
    """Fit ridge regression with an intercept; the penalty has the best mean R² over five folds.

    Folds are contiguous and unshuffled, and the refit uses all samples: what scikit-learn's
    ``GridSearchCV(Ridge(), {"alpha": alphas})`` does, from one eigendecomposition per fold.

    Parameters
    ----------
    inputs, outputs
        Shapes ``(sample, input)`` and ``(sample, output)``, finite.
    alphas
        Penalties on the squared weights, in increasing order of preference on ties.

    Raises
    ------
    DataError
        If the numbers of samples differ or a value is not finite.
    DegenerateInputError
        With fewer than ten samples when there is a penalty to choose.

    Examples
    --------
    >>> fit_ridge(np.arange(20.0)[:, None], np.arange(20.0)[:, None]).alpha
    0.0001
    """
    x, y = _matrix(inputs, "inputs"), _matrix(outputs, "outputs")
    if len(x) != len(y):
        raise DataError("inputs and outputs differ in samples", found=len(x), expected=len(y))
    # the fitted map is unchanged by a shift, and small numbers lose less in the sums below
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    alpha = alphas[0] if len(alphas) == 1 else _best_alpha(x - x_mean, y - y_mean, alphas)
    centred = _Moments.of(x - x_mean, y - y_mean)
    weight, intercept = next(iter(_solve(centred, (alpha,))))
    return Decoder(weight, intercept + y_mean - x_mean @ weight, float(alpha))


class _Moments(NamedTuple):
    """Sums over samples from which a ridge fit follows."""

    n: int
    x: FloatArray
    y: FloatArray
    xx: FloatArray
    xy: FloatArray

    @classmethod
    def of(cls, x: FloatArray, y: FloatArray) -> _Moments:
        return cls(len(x), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y)

    def without(self, other: _Moments) -> _Moments:
        return _Moments(
            self.n - other.n,
            self.x - other.x,
            self.y - other.y,
            self.xx - other.xx,
            self.xy - other.xy,
        )


def _best_alpha(x: FloatArray, y: FloatArray, alphas: tuple[float, ...]) -> float:
    if len(x) < 2 * N_FOLDS:
        raise DegenerateInputError(
            "too few samples to choose a ridge penalty",
            found=len(x),
            expected=f"at least {2 * N_FOLDS}",
        )
    folds = np.array_split(np.arange(len(x)), N_FOLDS)
    parts = [_Moments.of(x[fold], y[fold]) for fold in folds]
    total = _Moments.of(x, y)
    scores = np.empty((N_FOLDS, len(alphas)))
    for row, (fold, part) in enumerate(zip(folds, parts)):
        for column, (weight, intercept) in enumerate(_solve(total.without(part), alphas)):
            scores[row, column] = r2(y[fold], x[fold] @ weight + intercept)
    return alphas[int(np.argmax(scores.mean(axis=0)))]


def _solve(moments: _Moments, alphas: tuple[float, ...]) -> list[tuple[FloatArray, FloatArray]]:
    """Return (weight, intercept) for each penalty."""
    mean_x, mean_y = moments.x / moments.n, moments.y / moments.n
    gram = moments.xx - moments.n * np.outer(mean_x, mean_x)
    cross = moments.xy - moments.n * np.outer(mean_x, mean_y)
    eigenvalue, basis = np.linalg.eigh(gram)
    scale, projected = np.maximum(eigenvalue, 0.0)[:, None], basis.T @ cross
    weights = [basis @ (projected / (scale + alpha)) for alpha in alphas]
    return [(weight, mean_y - mean_x @ weight) for weight in weights]


def _known_rows(inputs: ArrayLike, outputs: ArrayLike, role: str) -> tuple[FloatArray, FloatArray]:
    x, y = np.asarray(inputs, dtype=np.float64), np.asarray(outputs, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise DataError(
            f"{role} inputs and outputs do not fit",
            found=f"shapes {x.shape} and {y.shape}",
            expected="(sample, input) and (sample, output) of as many samples",
        )
    unknown = np.isnan(y)
    partly = unknown.any(axis=1) & ~unknown.all(axis=1)
    if partly.any():
        raise DataError(
            f"{role} outputs are NaN in part of their columns", found=f"{int(partly.sum())} rows"
        )
    known = ~unknown.all(axis=1)
    if np.isnan(x[known]).any():
        raise DataError(
            f"{role} inputs are NaN where outputs are known",
            found=f"{int(np.isnan(x[known]).any(axis=1).sum())} of {int(known.sum())} rows",
            hint="predict every bin of the trial window",
        )
    return x[known], y[known]


def _matrix(values: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2:
        raise DataError(f"{name} need two dims", found=array.shape, expected="(sample, column)")
    if not np.isfinite(array).all():
        raise DataError(
            f"{name} are not finite", found=f"{int((~np.isfinite(array)).sum())} values"
        )
    return array
