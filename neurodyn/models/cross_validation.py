"""Cross-validation on labelled trials or blocks, with what paired intervals need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.errors import DataError, EmptySelectionError
from neurodyn.models.context import DataContext
from neurodyn.models.counts_estimator import CountsEstimator, spike_scores
from neurodyn.recording import pick, results
from neurodyn.windows.splits import Split, trial_split

__all__ = ["cross_validate", "set_validation_aside"]


def cross_validate(
    estimator: CountsEstimator[Any],
    data: xr.DataTree | xr.Dataset,
    splits: Iterable[Split],
    metric: str = "co_bps",
    *,
    validation: float = 0.0,
    seed: int = 0,
    **fit_options: Any,
) -> xr.Dataset:
    """Fit on the training trials of each split and predict its test trials.

    Parameters
    ----------
    estimator
        Cloned for every split; it stays as it is.
    data
        Counts ``(trial, time, unit)``; cut recordings without trials into blocks first.
    splits
        As :func:`neurodyn.windows.k_fold` gives them; validation trials go to ``fit``.
    metric
        As in ``score``.
    validation
        Share of the training trials set aside, by lot, where a split has no validation trials.
    seed
        Of that lot.
    **fit_options
        Handed to ``fit``, for example ``training``.

    Returns
    -------
    xr.Dataset
        The metric of each fold ``(fold,)``, ``pooled`` over all test trials (one null model),
        ``nll``, ``null_nll`` [nats] and ``n_spikes`` ``(trial,)``, and the predicted
        ``log_rate`` and ``rate`` ``(trial, time, unit)``, trials in the order of the data.

    Raises
    ------
    EmptySelectionError
        If a split has no training or no test trials, or names trials that are not there.
    DataError
        If a trial is tested twice or is in two parts of a split.
    """
    counts = pick(data, "counts")
    parts = list(splits)
    _check(counts, parts)
    predictions, scores = [], []
    for fold, split in enumerate(parts):
        complete = set_validation_aside(counts, split, validation, seed + fold)
        predicted, score = _fit_and_predict(estimator, counts, complete, metric, fit_options)
        predictions.append(
            predicted.assign_coords(fold_of_trial=("trial", [fold] * split.test.size))
        )
        scores.append(score)
    return _assembled(counts, parts, predictions, scores, metric)


def set_validation_aside(counts: xr.Dataset, split: Split, share: float, seed: int) -> Split:
    """Return a split whose validation part is drawn from its training part, if it has none.

    Examples
    --------
    >>> from neurodyn.recording import trials
    >>> whole = Split(np.arange(5), test=np.arange(5, 8))
    >>> table = trials(np.arange(8.0), np.arange(8.0) + 1)
    >>> found = set_validation_aside(table, whole, 0.2, seed=0)
    >>> found.train.size, found.validation.size
    (4, 1)
    """
    if split.validation.size or not share:
        return split
    inner = trial_split(counts.isel(trial=split.train), validation=share, seed=seed)
    return Split(split.train[inner.train], split.train[inner.validation], split.test)


def _fit_and_predict(
    estimator: CountsEstimator[Any],
    counts: xr.Dataset,
    split: Split,
    metric: str,
    fit_options: dict[str, Any],
) -> tuple[xr.Dataset, float]:
    options = dict(fit_options)
    if split.validation.size:
        options["validation"] = counts.isel(trial=split.validation)
    fitted = estimator.clone().fit(counts.isel(trial=split.train), **options)
    tested = counts.isel(trial=split.test)
    predicted = fitted.predict(tested)
    return predicted, float(spike_scores(predicted, tested, fitted.context_, metric)[metric])


def _assembled(
    counts: xr.Dataset,
    parts: Sequence[Split],
    predictions: list[xr.Dataset],
    scores: list[float],
    metric: str,
) -> xr.Dataset:
    order = np.concatenate([split.test for split in parts])
    together = xr.concat(
        predictions, "trial", coords="minimal", compat="override", combine_attrs="override"
    ).isel(trial=np.argsort(order))
    tested = counts.isel(trial=np.sort(order))
    pooled = spike_scores(together, tested, DataContext.of(counts), metric)
    kept = ("estimator", "config_uid", "bin_size")
    return results(
        {
            metric: ("fold", scores, {"units": "bits per spike"}),
            "pooled": pooled[metric],
            **{name: pooled[name] for name in ("nll", "null_nll", "n_spikes")},
            **{name: together[name] for name in ("log_rate", "rate")},
        },
        metric=metric,
        **{name: together.attrs[name] for name in kept},
    )


def _check(counts: xr.Dataset, parts: Sequence[Split]) -> None:
    if not parts or not all(split.train.size and split.test.size for split in parts):
        raise EmptySelectionError(
            "a split has no training or no test trials", found=f"{len(parts)} splits"
        )
    n_trials = counts.sizes.get("trial", 0)
    highest = max(int(part.max()) for split in parts for _, part in split.parts() if part.size)
    if highest >= n_trials:
        raise EmptySelectionError(
            "splits name trials that the counts do not have",
            found=f"trial {highest} of {n_trials}",
            hint="split these counts; cut recordings without trials into blocks first",
        )
    tested = np.concatenate([split.test for split in parts])
    twice = tested.size - np.unique(tested).size
    shared = 0
    for split in parts:
        together = np.concatenate([part for _, part in split.parts()])
        shared += together.size - np.unique(together).size
    if twice or shared:
        raise DataError(
            "a trial is tested twice or is in two parts of a split",
            found=f"{twice} tested twice, {shared} in two parts",
            expected="test trials that are disjoint and in no other part",
        )
