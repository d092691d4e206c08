"""The single scores of the benchmark beyond bits per spike, as nlb_tools 0.0.4 computes them."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import (
    DataError,
    DataQualityWarning,
    DegenerateInputError,
    EmptySelectionError,
)
from neurodyn.metrics.decoding import decode, r2
from neurodyn.metrics.spikes import condition_means
from neurodyn.nlb.arrays import Array

__all__ = ["PSTH_VARIANCE_FLOOR", "psth_r2", "speed_correlation", "velocity_r2"]

FloatArray = NDArray[np.float64]
PSTH_VARIANCE_FLOOR = 1e-12
"""Variance [squared counts per bin] below which a unit's true PSTH is constant but for noise."""


def velocity_r2(
    train_rates: Array,
    train_behavior: Array,
    eval_rates: Array,
    eval_behavior: Array,
    *,
    train_mask: Array | None = None,
    eval_mask: Array | None = None,
) -> float:
    """Decode behavior from expected counts by ridge regression; mean R² over decoders.

    Parameters
    ----------
    train_rates, eval_rates
        Expected counts per bin, shape ``(trial, time, unit)``.
    train_behavior, eval_behavior
        Shape ``(trial, time, feature)``; bins of NaN are left out.
    train_mask, eval_mask
        Trials of each decoder, bool ``(trial, decoder)``; default one decoder for all.

    Raises
    ------
    DataError, DegenerateInputError
        As :func:`neurodyn.metrics.decoding.decode`.
    """
    own = np.ones((len(train_rates), 1), bool) if train_mask is None else np.asarray(train_mask)
    other = np.ones((len(eval_rates), 1), bool) if eval_mask is None else np.asarray(eval_mask)
    scores = [
        decode(
            _flat(train_rates[train]),
            _flat(train_behavior[train]),
            _flat(eval_rates[chosen]),
            _flat(eval_behavior[chosen]),
        )
        for train, chosen in zip(own.astype(bool).T, other.astype(bool).T)
    ]
    return float(np.mean(scores))


def psth_r2(
    rates: Array,
    psth: Array,
    trials: Array,
    *,
    jitter: Array | None = None,
    exact: bool = True,
) -> float:
    """Compare condition averages of expected counts with true PSTHs; mean R² over units.

    Parameters
    ----------
    rates
        Expected counts per bin, shape ``(trial, time, unit)``.
    psth
        Shape ``(condition, time, unit)``; bins where unit 0 is NaN are left out.
    trials
        Trial indices of each condition; conditions without trials are left out.
    jitter
        Bins by which each trial was moved, ``(trial,)``.
    exact
        As in :func:`evaluate`.

    Raises
    ------
    DataError
        If rates are NaN where the PSTH is known.
    EmptySelectionError
        If no condition has trials.
    """
    true, predicted = [], []
    for mean, own in zip(condition_means(rates, list(trials), jitter=jitter), psth):
        if len(mean):
            known = ~np.isnan(own[:, 0])
            true.append(own[known])
            predicted.append(mean[known])
    if not true:
        raise EmptySelectionError("no condition of the PSTH has a trial")
    y, p = np.vstack(true).astype(np.float64), np.vstack(predicted)
    if np.isnan(p).any():
        raise DataError(
            "rates are NaN where the PSTH is known",
            found=f"{int(np.isnan(p).any(axis=1).sum())} of {len(p)} bins",
        )
    flat = int((np.var(y, axis=0) <= PSTH_VARIANCE_FLOOR).sum())
    if exact and flat:
        warnings.warn(
            f"the true PSTH of {flat} of {y.shape[1]} units is constant and may rule psth R2; "
            "exact=False leaves such units out",
            DataQualityWarning,
            stacklevel=2,
        )
    return r2(y, p, variance_floor=None if exact else PSTH_VARIANCE_FLOOR)


def speed_correlation(eval_spikes_heldout: Array, rates: Array, behavior: Array) -> float:
    """Correlate neural speed with the produced interval within conditions (dmfc_rsg).

    Parameters
    ----------
    eval_spikes_heldout
        Shape ``(trial, time, unit)``; unit 0 is NaN outside the interval that counts.
    rates
        Expected counts per bin of all units, shape ``(trial, time, unit)``.
    behavior
        ``is_eye, theta, is_short, ts, tp`` of each trial, shape ``(trial, 5)``; NaN in trials
        that do not count.

    Returns
    -------
    float
        Mean of Pearson's r over the conditions ``(is_eye, theta, is_short)``; more negative is
        better, NaN if the speed does not vary.

    Raises
    ------
    DegenerateInputError
        If a condition has a single trial, or there is none.
    DataError
        If rates are NaN inside the interval.
    """
    inside = ~np.isnan(eval_spikes_heldout[..., 0])
    conditions = np.unique(behavior[:, :3], axis=0)
    conditions = conditions[~np.isnan(conditions).all(axis=1)]
    if not len(conditions):
        raise DegenerateInputError("no trial has behavior")
    values = []
    for condition in conditions:
        chosen = np.flatnonzero((behavior[:, :3] == condition).all(axis=1))
        if chosen.size < 2:
            raise DegenerateInputError(
                "a condition has a single trial", found=condition.tolist(), expected="two or more"
            )
        speed = np.array([_speed(rates[trial][inside[trial]], int(trial)) for trial in chosen])
        values.append(_pearson(speed, behavior[chosen, -1]))
    return float(np.mean(values))


def _speed(rates: FloatArray, trial: int) -> float:
    if len(rates) < 2 or np.isnan(rates).any():
        raise DataError(
            "neural speed needs rates over the interval",
            where=f"trial {trial}",
            found=f"{len(rates)} bins, {int(np.isnan(rates).any(axis=-1).sum())} of them NaN",
        )
    return float(np.linalg.norm(np.diff(rates, axis=0), axis=1).mean())


def _pearson(x: FloatArray, y: FloatArray) -> float:
    a, b = x - x.mean(), y - y.mean()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm > 0 else float("nan")


def _flat(values: Array) -> Array:
    return values.reshape(-1, values.shape[-1])
