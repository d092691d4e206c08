"""Decoding of behavior: R², correlation, and ridge regression with a cross-validated penalty."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, DataError, DegenerateInputError, EmptySelectionError
from neurodyn.metrics.intervals import trial_interval
from neurodyn.recording import results

__all__ = ["ALPHAS", "Decoder", "decode", "decoding_scores", "fit_ridge", "r2", "r2_per_output"]

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


def decoding_scores(
    result: xr.Dataset,
    *,
    block: float = 10.0,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Return correlation and R² of decoded features, with intervals from blocks of time.

    Instants close in time are not independent: whole blocks are resampled with replacement.
    Instants whose truth or prediction is NaN are not scored.

    Parameters
    ----------
    result
        ``predicted(time, feature)`` and ``true(time, feature)``.
    block
        Length of the blocks [s]; longer than behavior and errors stay alike.
    n_resamples, level, seed
        As in :func:`neurodyn.metrics.intervals.trial_interval`.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``r(feature)``, Pearson's, NaN where the prediction is constant,
        ``r2(feature)``, their bounds ``r_low``, ``r_high``, ``r2_low``, ``r2_high``, and
        ``n_instants(feature)``.

    Raises
    ------
    DataError
        If a variable is missing.
    ConfigError
        If ``block``, ``level`` or ``n_resamples`` is out of range.
    EmptySelectionError, DegenerateInputError
        If a feature is known at no instant, or in one block alone, or is constant.

    Examples
    --------
    >>> true = xr.DataArray(np.sin(np.arange(100.0))[:, None], dims=("time", "feature"))
    >>> true = true.assign_coords(time=np.arange(100.0), feature=["x"])
    >>> decoding_scores(results({"true": true, "predicted": 0.5 * true}))["r2"].values.round(2)
    array([0.75])
    """
    _refuse_unscorable(result, block)
    pair = [result[name].transpose("time", "feature").values for name in ("true", "predicted")]
    number = np.floor(result["time"].values / block)
    settings = {"n_resamples": n_resamples, "level": level, "seed": seed}
    rows = [
        _feature_scores(str(label), true, predicted, number, **settings)
        for label, true, predicted in zip(result["feature"].values, pair[0].T, pair[1].T)
    ]
    scores = {name: ("feature", np.array([row[name] for row in rows])) for name in rows[0]}
    return results(scores, {"feature": result["feature"].variable}, block=block, level=level)


def _refuse_unscorable(result: xr.Dataset, block: float) -> None:
    missing = [name for name in ("true", "predicted") if name not in result]
    if missing:
        raise DataError(
            "decoding cannot be scored",
            found=f"variables {', '.join(map(str, result.data_vars))}",
            expected="true and predicted",
        )
    if not block > 0:
        raise ConfigError("a block must be longer than 0 s", found=f"block={block}")


def _feature_scores(
    label: str, true: FloatArray, predicted: FloatArray, number: FloatArray, **settings: Any
) -> dict[str, float]:
    """Return the scores of one feature; ``number`` is the block of each instant."""
    known = np.isfinite(true) & np.isfinite(predicted)
    if not known.any():
        raise EmptySelectionError(
            "a feature is known at no instant", where=f"feature {label}", found=f"{true.size} NaN"
        )
    y, p = true[known].astype(np.float64), predicted[known].astype(np.float64)
    if np.ptp(y) == 0.0:
        raise DegenerateInputError("a true feature is constant", where=f"feature {label}")
    # about the mean: squares lose nothing where a feature is far from 0
    y, p = y - y.mean(), p - y.mean()
    _, block = np.unique(number[known], return_inverse=True)
    powers = (np.ones(y.size), y, p, y * y, p * p, y * p)
    sums = np.stack([np.bincount(block, values) for values in powers])
    found: dict[str, float] = {"n_instants": y.size}
    for name, score in (("r", _pearson), ("r2", _r2_of_sums)):

        def of_blocks(chosen: NDArray[np.int64], score: Any = score) -> float:
            return float(score(*sums[:, chosen].sum(axis=1)))

        interval = trial_interval(of_blocks, sums.shape[1], **settings)
        bounds = {f"{name}_low": interval.low, f"{name}_high": interval.high}
        found |= {name: interval.estimate, **bounds}
    return found


def _pearson(n: float, y: float, p: float, yy: float, pp: float, yp: float) -> float:
    """Return the correlation from sums over instants, NaN where a side is constant."""
    of_y, of_p = yy - y * y / n, pp - p * p / n
    varies = of_y > 0.0 and of_p > 1e-12 * pp
    return (yp - y * p / n) / float(np.sqrt(of_y * of_p)) if varies else np.nan


def _r2_of_sums(n: float, y: float, p: float, yy: float, pp: float, yp: float) -> float:
    """Return R² from sums over instants, NaN where the truth is constant."""
    of_y = yy - y * y / n
    return 1.0 - (yy - 2.0 * yp + pp) / of_y if of_y > 0.0 else np.nan


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
