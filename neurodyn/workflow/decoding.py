"""Labels decoded from fMRI by a pre-trained BrainMAE, cross-validated beside the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn.errors import DataError, one_of
from neurodyn.metrics.classification import (
    classification_table,
    paired_classification_difference,
    regression_table,
)
from neurodyn.metrics.intervals import Interval, trial_interval
from neurodyn.models import run_folder
from neurodyn.models.baselines.connectivity_linear import (
    connectivity_scores,
    fisher_z_connectivity,
)
from neurodyn.models.baselines.roi_means import roi_mean_scores
from neurodyn.models.brainmae.context import bold_runs
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.examples import Examples, event_examples, run_examples
from neurodyn.models.brainmae.finetune import BrainMAEDecoder
from neurodyn.models.brainmae.probe import probe
from neurodyn.training import TrainingConfig
from neurodyn.windows.splits import Split
from neurodyn.windows.subject_splits import check_groups, grouped_k_fold, leave_group_out
from neurodyn.workflow.bold import part_of_runs
from neurodyn.workflow.brainmae import reconstruction_rows
from neurodyn.workflow.finish import finish

__all__ = ["Decoding", "decode"]

Scores = Mapping[str, NDArray[np.float64]]
CONNECTIVITY, ROI_MEANS = "connectivity, linear", "ROI means, linear"
SEEN = (
    "Pre-training saw scans, not labels, of {} of these subjects: scores of the probe and of"
    " fine-tuning may be a little too high."
)
GUESS = "mean of the training labels"
_BASELINE: Mapping[str, Mapping[str, str]] = {
    CONNECTIVITY: {"baseline": "connectivity"},
    ROI_MEANS: {"baseline": "roi_means"},
    GUESS: {"baseline": "mean"},
}


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """What to decode, and how to judge it.

    Parameters
    ----------
    target
        Attribute of the runs, or column of their events.
    examples
        ``"runs"`` or ``"events"``.
    task
        ``"classification"`` or ``"regression"``.
    group
        Attribute of the runs whose values stay together in a fold: ``subject``, ``family`` or
        ``site``. The subject always does.
    n_folds
        Number of folds; 0 leaves out one group at a time.
    finetune
        Fine-tune too, not only probe.
    training
        Of fine-tuning; its default if not given.
    lag
        From an event to its segment [s].
    seed
        Of folds and training.
    """

    target: str
    examples: Literal["runs", "events"] = "runs"
    task: Literal["classification", "regression"] = "classification"
    group: str = "subject"
    n_folds: int = 5
    finetune: bool = True
    training: TrainingConfig | None = None
    lag: float = 6.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("examples", self.examples, ("runs", "events"))
        one_of("task", self.task, ("classification", "regression"))


def decode(
    data: xr.DataTree,
    run: str | Path,
    decoding: Decoding,
    folder: str | Path,
    *,
    notes: Iterable[str] = (),
    title: str | None = None,
    command: str | None = None,
) -> Path:
    """Decode a label in every fold by probe, fine-tuning and the baselines; write a report.

    Linear models of Fisher-z connectivity, and for events of the means of regions, stand beside
    every result on the same folds; differences are paired over subjects.

    Parameters
    ----------
    data
        Runs with their labels.
    run
        Run folder of a pre-trained BrainMAE.
    decoding
        What and how.
    folder
        Where the report goes.
    notes, title, command
        For the report, ``report.html``, whose path is returned.

    Raises
    ------
    DataError, EmptySelectionError, TrialTableError
        If regions differ from the model's, groups would leak, or there are no labels.
    """
    model = BrainMAE.load(run)
    examples = _examples(data, model, decoding)
    splits = _splits(data, examples, decoding)
    scores = {
        **_from_model(data, model, Path(run), examples, splits, decoding),
        **_baselines(data, examples, splits, decoding),
    }
    rows, differences = _tables(scores, examples, splits, decoding)
    metrics = {
        "headline": next(iter(scores)),
        "reconstruction": _told(data, model, examples, splits[0], decoding),
        "decoding": rows,
        "decoding_differences": differences,
        "notes": [*notes, *_said(model, examples)],
    }
    return finish(
        run_folder.begin(folder),
        _results(scores, examples, splits),
        metrics,
        title=title,
        command=command,
        pretrained=model.arrays_digest_,
    )


def _told(
    data: xr.DataTree, model: BrainMAE, examples: Examples, split: Split, decoding: Decoding
) -> list[dict[str, Any]]:
    """Return how much hidden signal of a fold's test runs is told, beside the linear guess."""
    names = _run_of(data, examples, decoding)
    parts = (_part(data, names[part]) for part in (split.train, split.test))
    return reconstruction_rows(model, *parts)


def _said(model: BrainMAE, examples: Examples) -> list[str]:
    """Return what a reader has to know of the examples."""
    subjects = set(examples.subject.tolist())
    said = [f"{len(examples)} examples of {len(subjects)} subjects."]
    seen = subjects & set(model.data_.get("subjects", ()))
    return [*said, SEEN.format(len(seen))] if seen else said


def _examples(data: xr.DataTree, model: BrainMAE, decoding: Decoding) -> Examples:
    if decoding.examples == "events":
        return event_examples(data, model.context_, model.config, decoding.target, lag=decoding.lag)
    return run_examples(data, model.context_, model.config, decoding.target)


def _run_of(data: xr.DataTree, examples: Examples, decoding: Decoding) -> NDArray[np.object_]:
    """Return the name of each example's run."""
    if decoding.examples == "runs":
        return examples.name
    return np.array(list(bold_runs(data)), dtype=object)[examples.windows.run]


def _splits(data: xr.DataTree, examples: Examples, decoding: Decoding) -> list[Split]:
    """Return folds in which no group, and no subject, is in two parts."""
    runs = bold_runs(data)
    names = _run_of(data, examples, decoding)
    groups = examples.subject
    if decoding.group != "subject":
        lacking = [name for name in set(names.tolist()) if decoding.group not in runs[name].attrs]
        if lacking:
            raise DataError(
                f"runs have no attribute {decoding.group!r} to be kept together by",
                found=f"{len(lacking)} runs: {', '.join(sorted(lacking)[:5])}",
                hint="group='subject', or give it in the table of labels",
            )
        groups = np.array([str(runs[name].attrs[decoding.group]) for name in names], object)
    if decoding.n_folds == 0:
        splits = list(leave_group_out(groups).values())
    else:
        stratify = examples.label.astype(str) if decoding.task == "classification" else None
        splits = grouped_k_fold(groups, decoding.n_folds, stratify=stratify, seed=decoding.seed)
    for split in splits:
        check_groups(split, {"subject": examples.subject, decoding.group: groups})
    return splits


def _from_model(
    data: xr.DataTree,
    model: BrainMAE,
    run: Path,
    examples: Examples,
    splits: Sequence[Split],
    decoding: Decoding,
) -> dict[str, NDArray[np.float64]]:
    """Return held-out scores of fine-tuning and of the probe."""
    names = _run_of(data, examples, decoding)

    def of_probe(split: Split) -> xr.Dataset:
        readout = probe(model, examples.take(split.train), decoding.task)
        return readout.predict(examples.take(split.test))

    def of_finetuning(split: Split) -> xr.Dataset:
        inner = grouped_k_fold(examples.subject[split.train], 6, seed=decoding.seed)[0]
        train, checked = names[split.train[inner.train]], names[split.train[inner.test]]
        decoder = BrainMAEDecoder(
            pretrained=str(run),
            target=decoding.target,
            examples=decoding.examples,
            task=decoding.task,
            lag=decoding.lag,
        )
        training = decoding.training or replace(
            decoder.default_training, seed=decoding.seed, patience=6
        )
        decoder.fit(_part(data, train), validation=_part(data, checked), training=training)
        return decoder.predict(_part(data, names[split.test]))

    scores = {}
    if decoding.finetune:
        scores["BrainMAE, fine-tuned"] = _held_out(of_finetuning, examples, splits)
    scores["BrainMAE, probe"] = _held_out(of_probe, examples, splits)
    return scores


def _part(data: xr.DataTree, names: NDArray[np.object_]) -> xr.DataTree:
    return part_of_runs(data, list(dict.fromkeys(names.tolist())))


def _held_out(
    predict: Callable[[Split], xr.Dataset], examples: Examples, splits: Sequence[Split]
) -> NDArray[np.float64]:
    """Return scores of all examples as the tables take them, each from the fold that tests it."""
    place = {name: number for number, name in enumerate(examples.name.tolist())}
    found: NDArray[np.float64] | None = None
    for split in splits:
        predicted = predict(split)
        if "probability" in predicted:
            values = predicted["probability"].values
            values = values[:, 1] - 0.5 if values.shape[1] == 2 else values
        else:
            values = predicted["prediction"].values.astype(np.float64)
        if found is None:
            found = np.full((len(examples), *values.shape[1:]), np.nan)
        found[[place[name] for name in predicted["example"].values.tolist()]] = values
    if found is None or np.isnan(found).any():
        raise DataError(
            "some examples were tested in no fold", hint="give each label more subjects"
        )
    return found


def _baselines(
    data: xr.DataTree, examples: Examples, splits: Sequence[Split], decoding: Decoding
) -> dict[str, NDArray[np.float64]]:
    """Return held-out scores of connectivity and, for events, of the means of regions."""
    is_classes = decoding.task == "classification"
    of_events = decoding.examples == "events"
    runs = _segments(examples) if of_events else _part(data, examples.name)
    target = examples.label.astype(str) if is_classes else examples.label.astype(np.float64)
    found = connectivity_scores(
        fisher_z_connectivity(runs), target, splits, method="svm" if is_classes else "ridge"
    )
    scores = {CONNECTIVITY: np.asarray(found["score"].values)}
    if of_events and is_classes:
        means = [run["bold"].mean("time").values for run in bold_runs(runs).values()]
        windows = rec.results(
            {"roi_mean": (("window", "roi"), np.stack(means))},
            {
                "window": examples.name,
                "condition": ("window", target),
                "subject": ("window", examples.subject),
            },
        )
        scores[ROI_MEANS] = np.asarray(roi_mean_scores(windows, splits)["score"].values)
    return scores


def _segments(examples: Examples) -> xr.DataTree:
    """Return the segment of each event as a run of its own."""
    windows = examples.windows
    pieces = zip(examples.name, examples.subject, windows.run, windows.start)
    step = windows.segment_duration / windows.n_frames
    return rec.recording(
        {
            "bold": {
                str(name): rec.bold(
                    windows.values[run][start : start + windows.length],
                    repetition_time=step,
                    subject=str(subject),
                )
                for name, subject, run, start in pieces
            }
        }
    )


def _tables(
    scores: Scores, examples: Examples, splits: Sequence[Split], decoding: Decoding
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return all scores with intervals over subjects, and those of the first minus the others."""
    label, subject = examples.label, examples.subject
    if decoding.task == "regression":
        numbers = label.astype(np.float64)
        # what a line through nothing scores: the mean of the training labels
        guess = np.empty_like(numbers)
        for split in splits:
            guess[split.test] = numbers[split.train].mean()
        scores = {**scores, GUESS: guess}
    rows = []
    for name, score in scores.items():
        if decoding.task == "classification":
            table = classification_table(label.astype(str), score, subject=subject)
        else:
            table = regression_table(label.astype(np.float64), score, subject=subject)
        common = {"target": decoding.target, "model": name, **_BASELINE.get(name, {})}
        rows += [{**common, "metric": metric, **_bounds(x)} for metric, x in table.items()]
    first, *others = scores
    differences = []
    for name in others:
        found = _difference(scores[first], scores[name], examples, decoding)
        row: dict[str, Any] = {"target": decoding.target, "model": first, "reference": name}
        row |= {"metric": found[0], **_bounds(found[1])}
        row["difference"] = row.pop("score")
        differences.append(row)
    return rows, differences


def _difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    examples: Examples,
    decoding: Decoding,
) -> tuple[str, Interval]:
    """Return the difference of two models in AUC, or in mean absolute error, over subjects."""
    if decoding.task == "classification":
        return "auc", paired_classification_difference(
            examples.label.astype(str), first, second, metric="auc", subject=examples.subject
        )
    label = examples.label.astype(np.float64)
    gain = np.abs(first - label) - np.abs(second - label)
    _, owner = np.unique(examples.subject, return_inverse=True)
    total, n = np.bincount(owner, gain), np.bincount(owner)
    return "mae", trial_interval(
        lambda chosen: float(total[chosen].sum() / n[chosen].sum()), int(n.size)
    )


def _bounds(interval: Interval) -> dict[str, float]:
    return {"score": interval.estimate, "low": interval.low, "high": interval.high}


def _results(scores: Scores, examples: Examples, splits: Sequence[Split]) -> xr.Dataset:
    """Return the held-out scores of every example under every model."""
    fold = np.empty(len(examples), dtype=np.int64)
    for number, split in enumerate(splits):
        fold[split.test] = number
    stacked = np.stack(list(scores.values()))
    dims = ("model", "example", "class")[: stacked.ndim]
    return rec.results(
        {"decoded": (dims, stacked)},
        {
            "model": list(scores),
            "example": examples.name,
            "label": ("example", examples.label),
            "subject": ("example", examples.subject),
            "fold": ("example", fold),
        },
    )
