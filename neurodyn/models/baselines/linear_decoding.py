"""Ridge and lasso on lagged inputs, their penalties chosen on blocks of time with a gap."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError

__all__ = ["LinearReadout", "far_from", "fit_linear_readout"]

FloatArray = NDArray[np.float64]
Index = NDArray[np.int64]


class LinearReadout(NamedTuple):
    """``weight (lag, input, feature)``, ``intercept`` and chosen ``penalty``, ``(feature,)``."""

    weight: FloatArray
    intercept: FloatArray
    penalty: FloatArray

    def predict(self, inputs: FloatArray) -> FloatArray:
        """Return the behavior, ``(instant, feature)``, of inputs ``(instant, lag, input)``."""
        return np.asarray(np.tensordot(inputs, self.weight, 2) + self.intercept)


def fit_linear_readout(
    inputs: FloatArray,
    target: FloatArray,
    time: FloatArray,
    *,
    kind: str,
    penalties: tuple[float, ...],
    n_folds: int,
    reach: float,
) -> LinearReadout:
    """Fit each feature with the penalty of the least squared error on inner folds.

    Ridge minimises ``|y - Xw - b|² + penalty |w|²`` and lasso ``|y - Xw - b|² / 2n + penalty
    |w|_1``.

    Parameters
    ----------
    inputs, target
        Shapes ``(instant, lag, input)`` and ``(instant, feature)``, in order of time.
    time
        Instants [s].
    kind
        ``"ridge"`` or ``"lasso"``.
    penalties
        To choose from.
    n_folds
        Contiguous blocks of instants; each is held out once.
    reach
        Instants closer than this [s] to a held-out one are not learned from.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(200, 1, 3))
    >>> fit = {"kind": "ridge", "penalties": (1e-3, 1.0), "n_folds": 5, "reach": 1.0}
    >>> readout = fit_linear_readout(x, 2.0 * x[:, 0, :1] + 5.0, np.arange(200.0), **fit)
    >>> readout.weight[0, 0].round(2), readout.intercept.round(2), readout.penalty
    (array([2.]), array([5.]), array([0.001]))
    """
    flat = inputs.reshape(len(inputs), -1)
    blocks = np.array_split(np.arange(len(time)), n_folds)
    folds = [(far_from(time, block, reach), block) for block in blocks]
    best = [_best_model(flat, column, kind, penalties, folds) for column in target.T]
    weight = np.stack([model.coef_ for model in best], axis=1)
    return LinearReadout(
        weight.reshape(*inputs.shape[1:], -1),
        np.array([model.intercept_ for model in best]),
        np.array([model.alpha for model in best]),
    )


def _best_model(
    inputs: FloatArray,
    target: FloatArray,
    kind: str,
    penalties: tuple[float, ...],
    folds: list[tuple[Index, Index]],
) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import Lasso, Ridge
    from sklearn.model_selection import GridSearchCV

    model = Ridge() if kind == "ridge" else Lasso(max_iter=10_000)
    choice = {"cv": folds, "scoring": "neg_mean_squared_error", "error_score": "raise"}
    with warnings.catch_warnings():
        # weak penalties that do not converge lose against others, or serve as they are
        warnings.simplefilter("ignore", ConvergenceWarning)
        return (
            GridSearchCV(model, {"alpha": penalties}, **choice).fit(inputs, target).best_estimator_
        )


def far_from(time: FloatArray, held: Index, reach: float) -> Index:
    """Return which instants are at least ``reach`` [s] from all held-out ones.

    Parameters
    ----------
    time
        Instants [s], ascending, shape ``(instant,)``.
    held
        Positions of the held-out ones, ascending.
    reach
        Least distance [s].

    Raises
    ------
    EmptySelectionError
        If there are none.

    Examples
    --------
    >>> far_from(np.arange(8.0), np.array([3]), 2.0).tolist()
    [0, 1, 5, 6, 7]
    """
    out = time[held]
    after = np.searchsorted(out, time)
    next_one = np.append(out, np.inf)[after] - time
    last_one = time - np.insert(out, 0, -np.inf)[after]
    # rounded: float noise is not to cost an instant
    far = np.round(np.minimum(next_one, last_one), 9) >= reach
    far[held] = False
    if not far.any():
        raise EmptySelectionError(
            "no instant is far enough from the held-out ones to learn from",
            found=f"{time.size} instants, {held.size} of them held out",
            expected=f"a distance of {reach:g} s",
            hint="give more data, or shorter lags",
        )
    return np.flatnonzero(far)
