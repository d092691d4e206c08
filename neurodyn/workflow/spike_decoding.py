"""Behavior decoded by a fitted model, beside ridge regression on the same instants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn.errors import DataError
from neurodyn.metrics.decoding import decoding_scores
from neurodyn.models.baselines.behavior_decoding import fit_behavior_decoder, predict_behavior
from neurodyn.models.baselines.behavior_decoding_config import BehaviorDecodingConfig
from neurodyn.models.neuroformer.config import BehaviorTarget, NeuroformerConfig
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.windows.time_folds import blocked_folds
from neurodyn.workflow.spike_recordings import SpikeData, reason

__all__ = ["Decoded", "decode_held_out", "decode_run"]

STEP = 0.25
LONGEST_BLOCK, LEAST_BLOCKS = 10.0, 10
N_FOLDS = 5
FITTED = "Ridge regression was fitted to the training part."
FOLDED = (
    "Ridge regression was fitted on {} blocked folds of these data, as the run does not hold its"
    " training part: the model may have seen these data in training, ridge never what it decodes."
)
READS = "For {}, it reads {:g} s before and {:g} s after each instant, as the model does."
UNSCORED = "The {} was not scored: {}."
Fold = tuple[xr.DataTree, xr.DataTree]


class Decoded(NamedTuple):
    """``predicted`` and ``true (time, feature)`` of all behaviors, rows of scores, and notes."""

    traces: xr.Dataset | None
    rows: list[dict[str, Any]]
    notes: list[str]


def decode_held_out(
    model: Neuroformer, train: xr.DataTree, held_out: xr.DataTree, *, baselines: bool = True
) -> Decoded:
    """Decode all targets of a model from a held-out part, beside ridge fitted to the other one.

    Ridge reads bins of about 250 ms in the time that the model reads, and where the model reads a
    stimulus, spikes alone, the stimulus alone, and both. It is scored on the same instants.

    Parameters
    ----------
    model
        Fitted.
    train, held_out
        What ridge is fitted to, and what is decoded.
    baselines
        Whether there is ridge.

    Returns
    -------
    Decoded
        Rows have ``behavior, model, inputs, r, r2`` with intervals, or ``accuracy`` of classes;
        those of ridge and of the most frequent class have ``baseline``.
    """
    found = _decoded(model, held_out, [(train, held_out)] if baselines else [])
    return found._replace(notes=[FITTED, *found.notes]) if _has_ridge(found) else found


def decode_run(run: str | Path, data: SpikeData, out: str | Path) -> dict[str, Any]:
    """Decode all targets of a run's model from a recording, beside ridge on blocked folds of it.

    Parameters
    ----------
    run
        Run folder of a Neuroformer.
    data
        See :func:`neurodyn.workflow.open_spikes`.
    out
        netCDF file: ``predicted`` and ``true (time, feature)``.

    Returns
    -------
    dict
        ``file``, ``decoding`` as :func:`decode_held_out` returns its rows, and ``notes``.

    Raises
    ------
    ConfigError
        If the model decodes nothing.
    DataError, EmptySelectionError, CheckpointError
        As loading and decoding do.
    """
    model = Neuroformer.load(run)
    if not model.config.targets:
        # says how to go on
        model.decode(data.recording)
    reach = model.windows(data.recording).reach * model.config.bin_size
    folds = blocked_folds(data.recording, N_FOLDS, gap=reach + model.config.window)
    found = _decoded(model, data.recording, folds)
    path = rec.save(rec.results({}) if found.traces is None else found.traces, out)
    notes = [FOLDED.format(N_FOLDS)] if _has_ridge(found) else []
    return {
        "file": str(path),
        "decoding": found.rows,
        "notes": [*data.notes, *notes, *found.notes],
    }


def _decoded(model: Neuroformer, data: xr.DataTree, folds: Sequence[Fold]) -> Decoded:
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    traces = []
    for target in model.config.targets:
        found = model.decode(data, target.name, step=min(STEP, model.config.window))
        inputs = _inputs(model.config)
        if target.kind == "classification":
            rows += _class_rows(target, found, model.name, inputs)
            continue
        traces.append(_named(found, target))
        rows += _scored(target, found, {"model": model.name, "inputs": inputs}, notes)
        if not folds:
            continue
        ridge = _ridge_config(target, model.config)
        for read in _variants(model.config):
            own = {"model": "ridge", "baseline": "ridge", "inputs": " and ".join(read)}
            try:
                told = _ridge(target.name, found["time"].values, folds, ridge, read)
            except DataError as error:
                notes.append(UNSCORED.format(f"ridge of {target.name}", reason(error)))
                continue
            same = told.assign(predicted=told["predicted"].where(found["predicted"].notnull()))
            rows += _scored(target, same, own, notes)
    if folds:
        notes = [*_lags_said(model.config), *notes]
    # behaviors that are decoded at another instant of the window have another clock
    together = xr.concat(traces, "feature", join="outer") if traces else None
    return Decoded(together, rows, notes)


def _ridge_config(target: BehaviorTarget, config: NeuroformerConfig) -> BehaviorDecodingConfig:
    """Return lags in which ridge reads what the model reads, in bins of about 250 ms."""
    first = -(config.past + target.at * config.window)
    last = (1.0 - target.at) * config.window
    n_bins = max(1, round((last - first) / STEP))
    stimulus = None if config.stimulus is None else config.stimulus.name
    return BehaviorDecodingConfig(
        bin_size=(last - first) / n_bins, lags=(first, last), stimulus=stimulus
    )


def _lags_said(config: NeuroformerConfig) -> list[str]:
    """Say what ridge reads, once for behaviors that are alike."""
    names: dict[tuple[float, float], list[str]] = {}
    for target in config.targets:
        if target.kind == "regression":
            names.setdefault(_ridge_config(target, config).lags, []).append(target.name)
    return [READS.format(", ".join(who), -first, last) for (first, last), who in names.items()]


def _variants(config: NeuroformerConfig) -> list[tuple[str, ...]]:
    if config.stimulus is None:
        return [("spikes",)]
    return [("spikes",), ("stimulus",), ("spikes", "stimulus")]


def _inputs(config: NeuroformerConfig) -> str:
    """Say what a model reads."""
    stimulus = [] if config.stimulus is None else ["stimulus"]
    return " and ".join(["spikes", *stimulus, *(one.name for one in config.behavior)])


def _ridge(
    name: str,
    time: NDArray[np.float64],
    folds: Iterable[Fold],
    config: BehaviorDecodingConfig,
    read: tuple[str, ...],
) -> xr.Dataset:
    """Return what ridge tells at instants, each by the fold whose test part it lies in."""
    parts = []
    for train, test in folds:
        decoder = fit_behavior_decoder(train, name, config, inputs=read)
        parts.append(predict_behavior(decoder, test, time))
    found = parts[0]
    for part in parts[1:]:
        found = found.fillna(part)
    return found


def _scored(
    target: BehaviorTarget, found: xr.Dataset, labels: dict[str, str], notes: list[str]
) -> list[dict[str, Any]]:
    """Return a row for each feature, or say why there is none."""
    time = found["time"].values
    block = min(LONGEST_BLOCK, max(float(np.ptp(time)), 1e-3) / LEAST_BLOCKS)
    rows = []
    for feature in found["feature"].values:
        behavior = _label(target, str(feature), found.sizes["feature"])
        try:
            scores = decoding_scores(found.sel(feature=[feature]), block=block)
        except DataError as error:
            notes.append(UNSCORED.format(f"{labels['model']} of {behavior}", reason(error)))
            continue
        numbers = {
            str(name): float(value[0])
            for name, value in scores.items()
            if name != "n_instants" and np.isfinite(value[0])
        }
        rows.append({"behavior": behavior, **labels, **numbers})
    return rows


def _class_rows(
    target: BehaviorTarget, found: xr.Dataset, model: str, inputs: str
) -> list[dict[str, Any]]:
    """Return the share of right classes, and that of the most frequent one."""
    true, guess = (found[name].values[:, 0] for name in ("true", "predicted"))
    known = np.isfinite(true)
    if not known.any():
        return []
    _, number = np.unique(true[known], return_counts=True)
    own = {"behavior": target.name, "model": model, "inputs": inputs}
    most = {"behavior": target.name, "model": "most frequent class", "baseline": "most_frequent"}
    return [
        {**own, "accuracy": float((true == guess)[known].mean())},
        {**most, "accuracy": float(number.max() / number.sum())},
    ]


def _named(found: xr.Dataset, target: BehaviorTarget) -> xr.Dataset:
    """Return a decoded behavior whose features are named as those of no other one."""
    features = found["feature"].values
    names = [_label(target, str(feature), features.size) for feature in features]
    return found[["predicted", "true"]].assign_coords(feature=np.array(names, dtype=object))


def _label(target: BehaviorTarget, feature: str, n_features: int) -> str:
    return target.name if n_features == 1 else f"{target.name} {feature}"


def _has_ridge(found: Decoded) -> bool:
    return any(row.get("baseline") == "ridge" for row in found.rows)
