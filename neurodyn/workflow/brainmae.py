"""Pre-training of BrainMAE from end to end, with the linear baseline beside every score."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn import report
from neurodyn.config import assign, from_toml
from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.models import run_folder
from neurodyn.models.base import RunConfig
from neurodyn.models.baselines.conditional_gaussian import gaussian_masked_r2, group_covariance
from neurodyn.models.brainmae.context import bold_runs, run_windows
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.presets import preset as brainmae_preset
from neurodyn.training import TrainingConfig
from neurodyn.training.devices import end_helpers
from neurodyn.windows.subject_splits import grouped_k_fold
from neurodyn.workflow.bold import part_of_runs
from neurodyn.workflow.finish import finish
from neurodyn.workflow.plans import TRAINING, setting

__all__ = ["BrainMAEPlan", "brainmae_plan", "pretrain", "reconstruction_rows"]

RATIOS = (0.2, 0.4, 0.6, 0.8)
VALIDATION_SHARE = 0.2
SPLIT = "Trained on {} runs, scored on {} runs of other subjects, which also chose the weights."


@dataclass(frozen=True)
class BrainMAEPlan:
    """A BrainMAE that is not fitted, and how to train it."""

    model: BrainMAE
    training: TrainingConfig


def brainmae_plan(
    settings: Iterable[str] = (),
    *,
    preset: str | None = None,
    config: str | Path | None = None,
    seed: int = 0,
) -> BrainMAEPlan:
    """Return a model and its training from a preset, a file and ``key=value``, in this order.

    Parameters
    ----------
    settings
        Such as ``segment_duration=16`` and ``training.n_steps=2000``.
    preset
        ``tiny``, ``base`` or ``large``; tiny by default.
    config
        ``config.toml`` of a run folder.
    seed
        Of training.

    Raises
    ------
    ConfigError
        For an unknown preset or setting, or a file about another model.

    Examples
    --------
    >>> brainmae_plan(["training.n_steps=10"]).training.n_steps
    10
    """
    model_config = brainmae_preset(preset or "tiny")
    training = BrainMAE.default_training
    if config is not None:
        run = from_toml(RunConfig, config)
        if run.estimator != BrainMAE.name:
            raise ConfigError("the file is about another model", where=config, found=run.estimator)
        model_config = assign(model_config, run.model)
        training = assign(training, run.training)
    pairs = dict(setting(text) for text in settings)
    loop = {k.removeprefix(TRAINING): v for k, v in pairs.items() if k.startswith(TRAINING)}
    own = {k: v for k, v in pairs.items() if not k.startswith(TRAINING)}
    warmup = training.warmup_steps
    training = assign(replace(training, seed=seed, warmup_steps=0), loop)
    if "warmup_steps" not in loop:
        # a short run cannot warm up for as long
        training = replace(training, warmup_steps=min(warmup, training.n_steps // 20))
    return BrainMAEPlan(BrainMAE(assign(model_config, own)), training)


def pretrain(
    data: xr.DataTree,
    folder: str | Path,
    plan: BrainMAEPlan | None = None,
    *,
    resume: bool = False,
    notes: Iterable[str] = (),
    title: str | None = None,
    command: str | None = None,
) -> Path:
    """Pre-train on four fifths of the subjects, score on the others, write a report.

    Beside every score stands that of the mean conditional on the covariance of the training
    subjects, which a model has to beat to have learned more than linear relations.

    Parameters
    ----------
    data
        Runs ``/bold/<name>``; a run without ``subject`` is a subject of its own.
    folder
        Run folder; a finished run that lies there is replaced.
    plan
        See :func:`brainmae_plan`.
    resume
        Go on where an interrupted run in the folder was.
    notes, title, command
        For the report.

    Returns
    -------
    Path
        ``report.html``.

    Raises
    ------
    EmptySelectionError
        With fewer than two subjects.
    DataError, CheckpointError
        As fitting does.
    """
    plan = brainmae_plan() if plan is None else plan
    folder = Path(folder)
    train, others = _parts(data, plan.training.seed)
    if not resume:
        run_folder.replace_finished(folder)
    model = plan.model.clone().fit(
        train,
        validation=others,
        training=plan.training,
        folder=folder,
        resume="auto" if resume else False,
    )
    end_helpers()
    metrics = {
        "headline": BrainMAE.name,
        "reconstruction": reconstruction_rows(model, train, others),
        "notes": [SPLIT.format(len(bold_runs(train)), len(bold_runs(others))), *notes],
    }
    found = report.brainmae_results(model, others)
    return finish(folder, found, metrics, title=title, command=command)


def _parts(data: xr.DataTree, seed: int) -> tuple[xr.DataTree, xr.DataTree]:
    """Return training runs and runs of other subjects."""
    runs = bold_runs(data)
    subjects = [str(run.attrs.get("subject", name)) for name, run in runs.items()]
    n_subjects = len(set(subjects))
    if n_subjects < 2:
        raise EmptySelectionError(
            "one subject cannot be split into training and validation",
            found=f"{len(runs)} runs of {n_subjects} subject",
            expected="two subjects or more",
        )
    n_folds = max(2, min(n_subjects, round(1 / VALIDATION_SHARE)))
    split = grouped_k_fold(subjects, n_folds, seed=seed)[0]
    names = list(runs)
    train, others = (
        part_of_runs(data, [names[number] for number in part]) for part in (split.train, split.test)
    )
    return train, others


def reconstruction_rows(
    model: BrainMAE, train: xr.DataTree, others: xr.DataTree
) -> list[dict[str, Any]]:
    """Return masked R2 of a model and of the conditional mean, by scheme and ratio.

    Parameters
    ----------
    model
        Fitted.
    train, others
        Runs that the covariance is taken from, and those that are scored.
    """
    context, config = model.context_, model.config
    values = run_windows(bold_runs(train), context, config).values
    covariance = group_covariance(values)
    windows = run_windows(bold_runs(others), context, config)
    rows: list[dict[str, Any]] = []
    for masking in dict.fromkeys((config.masking, "segment_roi", "tube")):
        for ratio in RATIOS:
            _, scores = model.reconstruction_scores(windows, ratio=ratio, masking=masking)
            row = {"masking": masking, "ratio": ratio}
            rows.append({"model": BrainMAE.name, **row, "masked_r2": scores["masked_r2"]})
            if masking in ("segment_roi", "tube"):
                linear = gaussian_masked_r2(covariance, windows, ratio, scheme=masking)
                gaussian = {"model": "Gaussian conditional mean", "baseline": "gaussian"}
                rows.append({**gaussian, **row, "masked_r2": linear})
    return rows
