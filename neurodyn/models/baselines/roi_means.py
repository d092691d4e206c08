"""The baseline of state decoding: the mean of each ROI over a window, and logistic regression."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DataError, EmptySelectionError, TrialTableError, suggest
from neurodyn.models.baselines.held_out import class_order, held_out_scores
from neurodyn.recording import pick_all, results
from neurodyn.windows.runs import standardise
from neurodyn.windows.splits import Split

__all__ = ["roi_mean_scores", "roi_mean_windows"]

FloatArray = NDArray[np.float64]


def roi_mean_windows(
    data: xr.DataTree,
    *,
    lag: float = 6.0,
    duration: float = 16.0,
    condition: str = "condition",
    least_observed: float = 0.5,
) -> xr.Dataset:
    """Return the mean of each ROI over one window for each trial, of runs as z-scores.

    A window holds the frames that begin in ``[start + lag, start + lag + duration)``: the lag is
    that of the blood's response.

    Parameters
    ----------
    data
        Runs ``/bold/<name>`` and their trials ``/trials/<name>``.
    lag, duration, condition
        Of the window [s]; the column of the trials that is decoded.
    least_observed
        Windows with a smaller share of frames that exist and survive censoring are left out.

    Returns
    -------
    xr.Dataset
        ``roi_mean(window, roi)`` float64, NaN for lost ROIs; of a window ``condition``, ``run``,
        ``start`` [s] of the trial, and ``subject`` where the runs tell it; ``n_left_out``.

    Raises
    ------
    ConfigError, DataError
        If the window is impossible; if the runs differ in ROIs.
    TrialTableError, EmptySelectionError
        If no run has trials, or they lack the column; if no window is left.

    Examples
    --------
    >>> from neurodyn.recording import bold, recording, trials
    >>> run = bold(np.arange(20.0)[:, None], repetition_time=2.0)
    >>> table = trials([0.0, 10.0], [5.0, 15.0], columns={"condition": ["a", "b"]})
    >>> tree = recording({"bold": {"one": run}, "trials": {"one": table}})
    >>> roi_mean_windows(tree, duration=8.0)["roi_mean"].values.round(2).ravel()
    array([-0.87,  0.  ])
    """
    if not (np.isfinite(lag) and duration > 0 and 0.0 <= least_observed <= 1.0):
        raise ConfigError(
            "a window is impossible",
            found=f"lag={lag}, duration={duration}, least_observed={least_observed}",
            expected="seconds, a positive duration and a share from 0 to 1",
        )
    parts = [
        _windows_of_run(name, run, trials["start"].values, trials[condition].values, lag, duration)
        for name, run, trials in _runs_with_trials(data, condition)
    ]
    found = xr.concat(parts, "window", join="exact", coords="minimal", compat="override")
    kept = found["share"].values >= least_observed
    if not kept.any():
        raise EmptySelectionError("no window has enough frames", found=f"{kept.size} windows")
    found = found.drop_vars("share").isel(window=kept).assign_coords(window=np.arange(kept.sum()))
    return found.assign_attrs(n_left_out=int((~kept).sum()))


def roi_mean_scores(
    windows: xr.Dataset,
    splits: Sequence[Split],
    *,
    positive: Hashable | None = None,
    penalty: float = 1.0,
) -> xr.Dataset:
    """Decode the condition of held-out windows by logistic regression of ROI means.

    Each ROI is standardised over the training windows; a ROI that a window lacks is 0 then.

    Parameters
    ----------
    windows
        What :func:`roi_mean_windows` gives.
    splits
        Training and test windows; a subject in both is refused.
    positive
        Of two conditions the one with scores above 0; by default the last in order.
    penalty
        ``C`` of the regression.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``score(window[, class])``, ``predicted``, ``target``, ``fold``, as
        :func:`neurodyn.models.baselines.held_out.held_out_scores` describes.

    Raises
    ------
    ConfigError, DataError, DegenerateInputError
        For an impossible setting; a subject in both parts; fewer than two conditions.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [1.0, np.nan], [0.1, 0.0], [0.9, 1.0]])
    >>> coords = {"window": range(4), "condition": ("window", ["a", "b", "a", "b"])}
    >>> windows = results({"roi_mean": (("window", "roi"), x)}, coords)
    >>> split = Split(np.array([0, 1]), test=np.array([2, 3]))
    >>> roi_mean_scores(windows, [split])["predicted"].values.tolist()
    ['a', 'b']
    """
    from sklearn.linear_model import LogisticRegression

    if not penalty > 0:
        raise ConfigError("penalty must be positive", found=penalty)
    values = windows["roi_mean"].values
    target = windows["condition"].values
    classes = class_order(target, positive)
    labels = (target[:, None] == classes).argmax(axis=1)

    def learn(train: NDArray[np.int64], test: NDArray[np.int64]) -> FloatArray:
        mean, spread = _moments(values[train])
        scores = np.nan_to_num((values - mean) / spread)
        model = LogisticRegression(C=penalty, max_iter=1000).fit(scores[train], labels[train])
        return np.asarray(model.decision_function(scores[test]))

    return held_out_scores(learn, target, splits, windows["window"], classes=classes)


def _moments(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of each column over what is known, 0 and 1 if nothing."""
    known = np.isfinite(values)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / n
    spread = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / n)
    return mean, np.where(spread > 0, spread, 1.0)


def _windows_of_run(
    name: str,
    run: xr.Dataset,
    start: FloatArray,
    condition: NDArray[Any],
    lag: float,
    duration: float,
) -> xr.Dataset:
    """Return means and labels of all windows of one run, and the share of frames in each."""
    mean, share = _window_means(run, start + lag, start + lag + duration)
    columns: dict[str, NDArray[Any]] = {
        "condition": np.array(condition.tolist()),
        "run": np.full(start.size, name),
        "start": start,
    }
    if "subject" in run.attrs:
        columns["subject"] = np.full(start.size, run.attrs["subject"])
    coords = {label: ("window", column) for label, column in columns.items()}
    return results(
        {"roi_mean": (("window", "roi"), mean), "share": ("window", share)},
        {"roi": run["roi"].values, **coords},
    )


def _window_means(
    run: xr.Dataset, first: FloatArray, last: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return means ``(window, roi)`` over ``[first, last)`` and the share of frames there are."""
    values = run["bold"].values
    if "keep" in run.coords:
        values = np.where(run["keep"].values[:, None], values, np.nan)
    scores = standardise(values).astype(np.float64)
    time, step = run["time"].values, run.attrs["repetition_time"]
    # rounded: a frame that begins with the window is not to be lost to float noise
    inside = (np.round(time - first[:, None], 6) >= 0) & (np.round(time - last[:, None], 6) < 0)
    known = np.isfinite(scores)
    n_known = inside.astype(np.float64) @ known
    total = inside @ np.where(known, scores, 0.0)
    mean = np.where(n_known > 0, total / np.maximum(n_known, 1.0), np.nan)
    frames = (inside & known.any(axis=1)).sum(axis=1)
    return mean, np.minimum(frames * step / (last - first), 1.0)


def _runs_with_trials(
    data: xr.DataTree, condition: str
) -> list[tuple[str, xr.Dataset, xr.Dataset]]:
    runs, tables = pick_all(data, "bold"), pick_all(data, "trials")
    found = [(name or "run", run, tables[name]) for name, run in runs.items() if name in tables]
    if not found:
        raise TrialTableError(
            "no run has trials",
            found=f"{len(runs)} runs, {len(tables)} tables",
            expected="/bold/<name> and /trials/<name> of the same name",
        )
    roi = found[0][1]["roi"].values
    for name, run, trials in found:
        if condition not in trials:
            known = [str(column) for column in trials.data_vars]
            raise TrialTableError(
                f"trials have no column {condition!r}", where=name, hint=suggest(condition, known)
            )
        if not np.array_equal(run["roi"].values, roi):
            raise DataError("runs differ in ROIs", where=name, expected=f"the {roi.size} of others")
    return found
