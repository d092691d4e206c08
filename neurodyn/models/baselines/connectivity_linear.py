"""The functional-connectivity baseline: a linear model of the correlations between regions.

On traits of people few models beat it, so that it stands beside every result (see the benchmark
``benchmarks/abide_reference.py``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, DataError, DegenerateInputError, one_of
from neurodyn.models.baselines.held_out import class_order, held_out_scores
from neurodyn.recording import pick_all, results
from neurodyn.transforms.connectivity import pair_coords, pair_vector
from neurodyn.windows.splits import Split

__all__ = ["ConnectivityKernel", "connectivity_scores", "fisher_z_connectivity"]

FloatArray = NDArray[np.float64]
Method = Literal["svm", "logistic", "ridge"]

# spread below this share of the largest value is rounding
FLAT = 1e-6
# of correlations: traces that are copies of one another stay finite
LARGEST = 1.0 - 1e-6
LEAST_FRAMES = 3
RIDGE_ALPHAS = tuple(np.logspace(-2, 2, 17).tolist())
# eigenvalues of float32 products below this share of the largest are rounding
SMALLEST_EIGENVALUE = 1e-6


def fisher_z_connectivity(data: xr.DataTree | xr.Dataset) -> xr.Dataset:
    """Return the Fisher-z correlations of all pairs of ROIs, of each fMRI run.

    ``arctanh(r)`` of the plain Pearson correlation over the frames that survive censoring and in
    which every ROI of the run is known.

    Parameters
    ----------
    data
        Runs of kind ``bold``, all with the same ROIs; a dataset is one run.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``fisher_z(run, pair)`` float32, NaN for pairs with a ROI that is lost or
        constant; ``n_missing_pairs(run)``; coordinates ``roi_from``, ``roi_to`` of a pair, and
        ``subject`` and ``site`` of a run where all runs tell them.

    Raises
    ------
    DataError
        If the runs differ in ROIs.
    DegenerateInputError
        If a run has fewer than three usable frames.

    Examples
    --------
    >>> from neurodyn.recording import bold
    >>> run = bold([[0, 0], [1, 1], [2, 2], [3, 1]], repetition_time=2.0)
    >>> np.tanh(fisher_z_connectivity(run)["fisher_z"].values).round(3)
    array([[0.632]], dtype=float32)
    """
    runs = _runs(data)
    first = next(iter(runs.values()))
    roi = first["roi"].values
    found = np.empty((len(runs), roi.size * (roi.size - 1) // 2), dtype=np.float32)
    for row, (name, run) in enumerate(runs.items()):
        if not np.array_equal(run["roi"].values, roi):
            raise DataError(
                "runs differ in ROIs",
                where=name,
                found=f"{run.sizes['roi']} ROIs",
                expected=f"the {roi.size} of the first run, in the same order",
            )
        found[row] = pair_vector(_fisher_z(run, name))
    coords = {"run": list(runs), **pair_coords(roi, "roi")}
    for fact in ("subject", "site"):
        if all(fact in run.attrs for run in runs.values()):
            coords[fact] = ("run", np.array([str(run.attrs[fact]) for run in runs.values()]))
    missing = np.isnan(found).sum(axis=1)
    variables = {"fisher_z": (("run", "pair"), found), "n_missing_pairs": ("run", missing)}
    return results(variables, coords)


class ConnectivityKernel:
    """Inner products of runs' connectivity, centred on any training runs.

    The products are computed once; a training mean is subtracted in kernel space, which gives
    what explicit features give. A missing pair is 0 after centring: it says nothing.

    Parameters
    ----------
    features
        Shape ``(run, pair)``, NaN where missing.

    Examples
    --------
    >>> kernel = ConnectivityKernel([[1.0, 0.0], [3.0, 0.0], [2.0, 5.0]])
    >>> kernel.centred([0, 1]).round(3).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 25.0]]
    """

    def __init__(self, features: ArrayLike) -> None:
        values = np.asarray(features, dtype=np.float32)
        known = np.isfinite(values)
        n_known = np.maximum(known.sum(axis=0), 1)
        # a shift common to all runs cancels in what is centred, and saves digits
        shift = np.where(known, values, 0.0).sum(axis=0) / n_known
        self._values = np.where(known, values - shift, 0.0).astype(np.float32)
        self._incomplete = np.flatnonzero(~known.all(axis=1))
        self._known = known[self._incomplete].astype(np.float32)
        self._gram = (self._values @ self._values.T).astype(np.float64)

    def centred(self, train: ArrayLike) -> FloatArray:
        """Return the kernel ``(run, run)`` centred on the mean of the training runs.

        It is divided by the mean squared length of the training runs, so that the penalty of a
        linear model means the same whatever the number of ROIs and the length of runs.

        Parameters
        ----------
        train
            Positions of the training runs, shape ``(train,)``.

        Raises
        ------
        DegenerateInputError
            If the training runs are all alike.
        """
        chosen = np.asarray(train, dtype=np.int64)
        member = np.zeros(len(self._gram), dtype=np.float32)
        member[chosen] = 1.0
        hidden = member[self._incomplete] @ (1.0 - self._known)
        mean = (member @ self._values) / np.maximum(chosen.size - hidden, 1.0)
        # <x - m, y - m> over the pairs that both runs have
        masked = self._known * mean
        cross = np.repeat((self._values @ mean)[:, None], len(self._gram), axis=1)
        cross[:, self._incomplete] = self._values @ masked.T
        square = np.full(self._gram.shape, mean @ mean, dtype=np.float64)
        square[self._incomplete] = (masked @ mean)[:, None]
        square[:, self._incomplete] = square[self._incomplete].T
        square[np.ix_(self._incomplete, self._incomplete)] = masked @ masked.T
        kernel = self._gram - cross - cross.T + square
        scale = float(np.diag(kernel)[chosen].mean()) if chosen.size else 0.0
        if not scale > 1e-12 * max(1.0, float(np.diag(self._gram).max())):
            raise DegenerateInputError(
                "training runs do not differ in connectivity", found=f"{chosen.size} runs"
            )
        return np.asarray(kernel / scale)


def connectivity_scores(
    features: xr.Dataset,
    target: ArrayLike,
    splits: Sequence[Split],
    *,
    method: Method = "svm",
    positive: Hashable | None = None,
    penalty: float | None = None,
    balanced: bool = False,
    kernel: ConnectivityKernel | None = None,
) -> xr.Dataset:
    """Predict a label or a number of each run from its connectivity, on held-out runs.

    Parameters
    ----------
    features, target
        What :func:`fisher_z_connectivity` gives; label (``ridge``: number) of each run ``(run,)``.
    splits
        Training and test runs; a subject in both is refused.
    method, balanced, positive
        ``"svm"``, ``"logistic"`` (classes) or ``"ridge"`` (numbers); balanced classes weigh alike;
        of two classes the one with scores above 0, by default the last in order.
    penalty
        ``C`` of SVM and logistic regression, by default 1; ``alpha`` of ridge, by default chosen
        from 17 values by the leave-one-out error of the training runs.
    kernel
        Of the same features, to save time over several calls.

    Returns
    -------
    xr.Dataset
        As :func:`neurodyn.models.baselines.held_out.held_out_scores` gives it.

    Raises
    ------
    ConfigError, DataError, DegenerateInputError
        If a setting or targets do not fit, a subject is in both parts, or classes are too few.

    Examples
    --------
    >>> from neurodyn.recording import results
    >>> x = np.array([[0.1, 0.0], [0.9, 0.1], [0.2, 0.1], [0.8, 0.0]])
    >>> features = results({"fisher_z": (("run", "pair"), x)}, {"run": list("abcd")})
    >>> split = Split(np.array([0, 1]), test=np.array([2, 3]))
    >>> found = connectivity_scores(features, [0, 1, 0, 1], [split])
    >>> found["predicted"].values
    array([0, 1])
    """
    values = np.asarray(target)
    _require_fit(method, penalty, values, features.sizes["run"])
    products = ConnectivityKernel(features["fisher_z"].values) if kernel is None else kernel
    classes = None if method == "ridge" else class_order(values, positive)
    # labels as numbers in the order of classes: scores above 0 mean the positive one
    labels = _numbers(values) if classes is None else (values[:, None] == classes).argmax(axis=1)

    def learn(train: NDArray[np.int64], test: NDArray[np.int64]) -> FloatArray:
        whole = products.centred(train)[:, train]
        return _fit_predict(method, whole[train], whole[test], labels[train], penalty, balanced)

    return held_out_scores(learn, values, splits, features["run"], classes=classes)


def _fit_predict(
    method: str,
    inner: FloatArray,
    outer: FloatArray,
    target: NDArray[Any],
    penalty: float | None,
    balanced: bool,
) -> FloatArray:
    """Fit on the kernel of training runs ``(train, train)`` and score ``(test, train)``."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    weights = "balanced" if balanced else None
    if method == "svm":
        machine = SVC(kernel="precomputed", C=penalty or 1.0, class_weight=weights)
        return np.asarray(machine.fit(inner, target).decision_function(outer))
    eigenvalue, basis = np.linalg.eigh(inner)
    kept = eigenvalue > SMALLEST_EIGENVALUE * eigenvalue[-1]
    eigenvalue, basis = eigenvalue[kept], basis[:, kept]
    if method == "ridge":
        return _ridge(eigenvalue, basis, outer, target, penalty)
    # coordinates of runs in the space that training runs span: the same model, few features
    axes = basis / np.sqrt(eigenvalue)
    model = LogisticRegression(C=penalty or 1.0, class_weight=weights, max_iter=1000)
    return np.asarray(model.fit(inner @ axes, target).decision_function(outer @ axes))


def _ridge(
    eigenvalue: FloatArray,
    basis: FloatArray,
    outer: FloatArray,
    target: FloatArray,
    penalty: float | None,
) -> FloatArray:
    """Return predictions of kernel ridge regression with an intercept.

    Without a penalty it is the one with the least squared leave-one-out error, which is
    ``residual / (1 - H_ii)`` with the hat matrix ``H``.
    """
    mean, n = target.mean(), target.size
    projected = basis.T @ (target - mean)

    def error(alpha: float) -> float:
        kept = eigenvalue / (eigenvalue + alpha)
        residual = target - mean - basis @ (kept * projected)
        leverage = 1.0 / n + (basis**2) @ kept
        return float(np.square(residual / (1.0 - leverage)).mean())

    alpha = min(RIDGE_ALPHAS, key=error) if penalty is None else penalty
    return np.asarray(mean + outer @ (basis @ (projected / (eigenvalue + alpha))))


def _fisher_z(run: xr.Dataset, name: str) -> FloatArray:
    """Return Fisher-z correlations ``(roi, roi)``, NaN for ROIs that are lost or constant."""
    values = run["bold"].values.astype(np.float64)
    if "keep" in run.coords:
        values = values[run["keep"].values]
    present = np.isfinite(values).any(axis=0)
    whole = np.isfinite(values[:, present]).all(axis=1)
    if whole.sum() < LEAST_FRAMES:
        raise DegenerateInputError(
            "too few frames for a correlation",
            where=name,
            found=f"{int(whole.sum())} frames in which every ROI is known",
            expected=f"{LEAST_FRAMES} at least",
            hint="leave the run out, or set ROIs that are missing for long to NaN throughout",
        )
    values = values[whole]
    centred = values - values.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    varies = present & (spread > FLAT * np.sqrt(len(values)) * np.abs(values).max(axis=0))
    scores = centred / np.where(varies, spread, np.nan)
    found: FloatArray = np.arctanh(np.clip(scores.T @ scores, -LARGEST, LARGEST))
    return found


def _runs(data: xr.DataTree | xr.Dataset) -> dict[str, xr.Dataset]:
    runs = {name or "run": run for name, run in pick_all(data, "bold").items()}
    if not runs:
        raise DataError("the recording has no fMRI run", found=list(data.children))
    return runs


def _require_fit(method: str, penalty: float | None, target: NDArray[Any], n_runs: int) -> None:
    one_of("method", method, ("svm", "logistic", "ridge"))
    if penalty is not None and not penalty > 0:
        raise ConfigError("penalty must be positive", found=penalty)
    if target.shape != (n_runs,):
        raise DataError("targets do not fit the runs", found=target.shape, expected=(n_runs,))


def _numbers(target: NDArray[Any]) -> FloatArray:
    numbers = target.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise DataError("targets are not finite", found=f"{int((~np.isfinite(numbers)).sum())}")
    return numbers
