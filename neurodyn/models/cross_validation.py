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

__all__ = ["Split", "cross_validate", "split_validation"]

Split = tuple[Sequence[Any], Sequence[Any]]


def cross_validate(
    estimator: CountsEstimator[Any],
    data: xr.DataTree | xr.Dataset,
    splits: Iterable[Split],
    metric: str = "co_bps",
    *,
    validation_share: float = 0.0,
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
        Pairs of trial labels, training and test; no trial is tested twice.
    metric
        As in ``score``.
    validation_share
        Share of the training trials that is set aside, by lot, for early stopping.
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
        If a trial label is unknown or a part of a split is empty.
    DataError
        If a trial is tested twice or is in both parts of a split.
    """
    counts = pick(data, "counts")
    pairs = [(list(train), list(test)) for train, test in splits]
    _check_splits(counts, pairs)
    scores, predictions, folds = [], [], {}
    for fold, (train, test) in enumerate(pairs):
        fitted = estimator.clone()
        fitting, validation = split_validation(train, validation_share, seed + fold)
        if validation:
            fit_options["validation"] = counts.sel(trial=validation)
        fitted.fit(counts.sel(trial=fitting), **fit_options)
        tested = counts.sel(trial=test)
        predicted = fitted.predict(tested)
        predictions.append(predicted)
        scores.append(float(spike_scores(predicted, tested, fitted.context_, metric)[metric]))
        folds.update(dict.fromkeys(test, fold))
    everything = _in_order(counts, predictions)
    pooled = spike_scores(
        everything, counts.sel(trial=everything["trial"].values), DataContext.of(counts), metric
    )
    everything = everything.assign_coords(
        fold_of_trial=("trial", [folds[label] for label in everything["trial"].values.tolist()])
    )
    return results(
        {
            metric: ("fold", scores, {"units": "bits per spike"}),
            "pooled": pooled[metric],
            **{name: pooled[name] for name in ("nll", "null_nll", "n_spikes")},
            **{name: everything[name] for name in ("log_rate", "rate")},
        },
        metric=metric,
        **{name: everything.attrs[name] for name in ("estimator", "config_uid", "bin_size")},
    )


def split_validation(trials: Sequence[Any], share: float, seed: int) -> tuple[list[Any], list[Any]]:
    """Return training and validation trials, the latter drawn by lot; both keep their order.

    Examples
    --------
    >>> train, validation = split_validation([0, 1, 2, 3, 4], 0.2, seed=0)
    >>> len(train), len(validation)
    (4, 1)
    """
    n_validation = round(share * len(trials))
    drawn = set(np.random.default_rng(seed).permutation(len(trials))[:n_validation].tolist())
    return (
        [label for place, label in enumerate(trials) if place not in drawn],
        [label for place, label in enumerate(trials) if place in drawn],
    )


def _in_order(counts: xr.Dataset, predictions: list[xr.Dataset]) -> xr.Dataset:
    together = xr.concat(
        predictions, "trial", coords="minimal", compat="override", combine_attrs="override"
    )
    tested = set(together["trial"].values.tolist())
    return together.sel(
        trial=[label for label in counts["trial"].values.tolist() if label in tested]
    )


def _check_splits(counts: xr.Dataset, pairs: list[tuple[list[Any], list[Any]]]) -> None:
    known = set(counts["trial"].values.tolist()) if "trial" in counts.coords else set()
    if not pairs or not all(train and test for train, test in pairs):
        raise EmptySelectionError(
            "a split has no training or no test trials", found=f"{len(pairs)} splits"
        )
    unknown = sorted(
        {str(label) for pair in pairs for part in pair for label in part if label not in known}
    )
    if unknown:
        raise EmptySelectionError(
            "splits name trials that the counts do not have",
            found=", ".join(unknown[:5]),
            expected="labels of the coordinate 'trial'",
        )
    tested = [label for _, test in pairs for label in test]
    both = [label for train, test in pairs for label in set(train) & set(test)]
    if both or len(set(tested)) < len(tested):
        raise DataError(
            "a trial is tested twice or is in both parts of a split",
            found=", ".join(map(str, both[:5])) or f"{len(tested) - len(set(tested))} repeats",
            expected="test trials that are disjoint, and not among the training trials",
        )
