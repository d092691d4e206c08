"""The Gaussian baseline of masked regions: their mean given the others, from a group covariance.

A masked autoencoder that explains less has learned less than one ROI x ROI matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.windows.runs import RunWindows, standardise

__all__ = ["conditional_mean", "gaussian_masked_r2", "group_covariance", "masked_r2"]

FloatArray = NDArray[np.float64]
SHRINKAGE = 0.03
BATCH = 32


def group_covariance(
    runs: Sequence[NDArray[np.floating[Any]]], *, shrinkage: float = SHRINKAGE
) -> FloatArray:
    """Return the covariance of ROIs over all frames of all runs, each run standardised.

    Entries run over the frames in which both ROIs are known, and are then shrunk towards the
    diagonal: ``(1 - shrinkage) S + shrinkage diag(S)``. With some ten frames for each ROI the
    little shrinkage changes scores by less than 0.005; it keeps the matrix invertible.

    Parameters
    ----------
    runs
        Values of training runs, dims ``(time, roi)``, NaN where unknown or censored.
    shrinkage
        From 0 to 1.

    Returns
    -------
    ndarray
        Shape ``(roi, roi)``; a ROI that no run knows has variance 1 and no covariance.

    Raises
    ------
    ConfigError
        If the shrinkage is out of range or there is no run.
    DataError
        If runs differ in their number of ROIs.

    Examples
    --------
    >>> ramp = np.arange(8.0)
    >>> group_covariance([np.column_stack([ramp, -ramp])], shrinkage=0.0).round(6)
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    if not 0.0 <= shrinkage <= 1.0 or not runs:
        raise ConfigError(
            "a group covariance is impossible",
            found=f"shrinkage={shrinkage}, {len(runs)} runs",
            expected="a shrinkage from 0 to 1 and at least one run",
        )
    n_rois = runs[0].shape[1]
    total, n_frames = np.zeros((n_rois, n_rois)), np.zeros((n_rois, n_rois))
    for number, run in enumerate(runs):
        if run.shape[1] != n_rois:
            raise DataError(
                "runs differ in ROIs", where=f"run {number}", found=run.shape[1], expected=n_rois
            )
        scores = standardise(run)
        known = np.isfinite(scores).astype(np.float32)
        filled = np.where(known > 0, scores, np.float32(0))
        total += filled.T @ filled
        n_frames += known.T @ known
    covariance = total / np.maximum(n_frames, 1.0)
    variance = np.diag(covariance)
    covariance = (1.0 - shrinkage) * covariance
    np.fill_diagonal(covariance, np.where(variance > 0, variance, 1.0))
    return np.asarray(covariance)


def conditional_mean(covariance: ArrayLike, values: ArrayLike, hidden: ArrayLike) -> FloatArray:
    r"""Return the expected value of hidden ROIs of each frame, given those that are seen.

    .. math:: \operatorname{E}[x_h \mid x_v] = \Sigma_{hv} \Sigma_{vv}^{-1} x_v

    Parameters
    ----------
    covariance
        Shape ``(roi, roi)``, of values whose mean is 0.
    values
        Shape ``(frame, roi)``; NaN where unknown, which is treated as hidden.
    hidden
        True where not to be looked at, shape ``(frame, roi)``, or ``(roi,)`` for all frames.

    Returns
    -------
    ndarray
        ``values`` with the expectation in place of what is hidden or unknown.

    Raises
    ------
    DataError
        If shapes do not fit.
    DegenerateInputError
        If the covariance of seen ROIs has no inverse.

    Examples
    --------
    >>> conditional_mean([[1.0, 0.5], [0.5, 1.0]], [[2.0, 9.0]], [False, True])
    array([[2., 1.]])
    """
    matrix, found = np.asarray(covariance, np.float64), np.array(values, dtype=np.float64)
    mask = np.asarray(hidden, dtype=bool)
    n_rois = matrix.shape[0]
    if matrix.shape != (n_rois, n_rois) or found.ndim != 2 or found.shape[1] != n_rois:
        raise DataError(
            "covariance and values do not fit",
            found=f"{matrix.shape} and {found.shape}",
            expected="(roi, roi) and (frame, roi)",
        )
    if mask.shape not in (found.shape, (n_rois,)):
        raise DataError("mask does not fit the values", found=mask.shape, expected=found.shape)
    seen = np.isfinite(found) & ~mask
    # frames that see the same ROIs share one solution
    patterns, group = np.unique(np.packbits(seen, axis=1), axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(group.ravel(), minlength=len(patterns)))[:-1]
    for frames in np.split(order, ends):
        if not frames.size:
            continue
        visible = seen[frames[0]]
        weights = _solve(matrix[np.ix_(visible, visible)], matrix[np.ix_(visible, ~visible)])
        found[np.ix_(frames, ~visible)] = found[np.ix_(frames, visible)] @ weights
    return found


def masked_r2(values: ArrayLike, predicted: ArrayLike, hidden: ArrayLike) -> float:
    """Return the share of the sum of squares that predictions of hidden entries explain.

    ``1 - sum((x - p)^2) / sum(x^2)``, pooled over all hidden entries that are known: about 0, the
    mean of a standardised run.

    Parameters
    ----------
    values, predicted, hidden
        Of one shape; ``values`` NaN where unknown.

    Raises
    ------
    DegenerateInputError
        If nothing that is known and varies is hidden.

    Examples
    --------
    >>> masked_r2([2.0, 1.0, np.nan], [1.0, 5.0, 0.0], [True, False, True])
    0.75
    """
    x, p = np.asarray(values, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    used = np.asarray(hidden, dtype=bool) & np.isfinite(x)
    total = float((x[used] ** 2).sum())
    if total == 0.0:
        raise DegenerateInputError("no hidden entry to score", found=f"{int(used.sum())} entries")
    return 1.0 - float(((x[used] - p[used]) ** 2).sum()) / total


def gaussian_masked_r2(
    covariance: ArrayLike,
    windows: RunWindows,
    ratio: float,
    *,
    scheme: str = "segment_roi",
    seed: int = 0,
) -> float:
    """Return the masked R2 of the conditional mean on windows of runs, under drawn masks.

    Parameters
    ----------
    covariance
        Of training subjects, as :func:`group_covariance` gives.
    windows
        Of other subjects.
    ratio
        Share of the known ROIs that is hidden.
    scheme
        As in :func:`neurodyn.windows.roi_masks.draw_mask`; with ``"segment_roi"`` other ROIs are
        hidden in each segment.
    seed
        Of the masks.

    Raises
    ------
    ConfigError, DataError, DegenerateInputError
        For an impossible mask; if the covariance does not fit; if nothing is hidden.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> runs = [rng.normal(size=(64, 1)) + rng.normal(size=(64, 6)) for _ in range(4)]
    >>> windows = RunWindows(runs[3:], n_segments=4, n_frames=8, segment_duration=16.0)
    >>> 0.2 < gaussian_masked_r2(group_covariance(runs[:3]), windows, 0.5) < 0.6
    True
    """
    import torch

    from neurodyn.windows.roi_masks import draw_mask

    generator = torch.Generator().manual_seed(seed)
    true, predicted = [], []
    for start in range(0, len(windows), BATCH):
        batch = windows.gather(np.arange(start, min(start + BATCH, len(windows))))
        mask = draw_mask(scheme, batch["observed"].any(-1), ratio, generator=generator)
        whole = mask[..., None].expand_as(batch["bold"])
        bold, observed, hidden = (
            tensor.transpose(2, 3).flatten(0, 2).numpy()
            for tensor in (batch["bold"], batch["observed"], whole)
        )
        # frames past the end of a run say nothing
        exists = observed.any(axis=1)
        values = np.where(observed, bold, np.nan)[exists]
        scored = (hidden & observed)[exists]
        true.append(values[scored])
        predicted.append(conditional_mean(covariance, values, hidden[exists])[scored])
    known = np.concatenate(true)
    return masked_r2(known, np.concatenate(predicted), np.ones(known.size, dtype=bool))


def _solve(visible: FloatArray, across: FloatArray) -> FloatArray:
    """Return the weights ``(seen, hidden)`` of the regression of hidden on seen ROIs."""
    try:
        return np.asarray(np.linalg.solve(visible, across))
    except np.linalg.LinAlgError as error:
        raise DegenerateInputError(
            "covariance of the seen ROIs has no inverse",
            found=f"{len(visible)} ROIs, some follow from others",
            hint="group_covariance(runs, shrinkage=0.03)",
        ) from error
