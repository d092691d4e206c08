"""BrainMAE on ABIDE I (1,032 people at rest, 200 regions): reconstruction, and autism decoded.

    python -m benchmarks.brainmae_abide [--fold 0 1 2 3 4] [--steps 1500] [--data FOLDER]
    python -m benchmarks.brainmae_abide --lever skip tube

The folds are those of ``benchmarks.abide_reference``, seed 0. In each fold the model is
pre-trained on the training people alone, then read out by a linear probe and fine-tuned, and
judged on people whom it never met; beside it linear classification of connectivity on the same
folds, with intervals over people and paired differences, and the mean conditional on the group
covariance for hidden signal. Each fold is one JSON file, so an interrupted run goes on.

``--lever`` changes one setting, in the first fold and without fine-tuning: ``skip`` hands each
region's features to the decoder, ``tube`` hides the same regions in all segments.

The series are band-passed up to 0.1 Hz; they are brought to a repetition time of 2 s.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from benchmarks._measure import RESULTS, write_table
from benchmarks.abide_reference import N_FOLDS, RATIOS, SHARED, Reference
from benchmarks.brainmae_heat_pain import stored
from neurodyn import workflow
from neurodyn.metrics.classification import classification_table, paired_classification_difference
from neurodyn.models.baselines.conditional_gaussian import gaussian_masked_r2, group_covariance
from neurodyn.models.brainmae.context import bold_runs, run_windows
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.examples import run_examples
from neurodyn.models.brainmae.finetune import BrainMAEDecoder
from neurodyn.models.brainmae.presets import preset
from neurodyn.models.brainmae.probe import probe
from neurodyn.windows import Split

CONFIG = preset("tiny", segment_duration=16.0, repetition_time=2.0, n_segments=10)
FINETUNING_STEPS = 200
LEVERS: dict[str, dict[str, Any]] = {"skip": {"roi_skip": True}, "tube": {"masking": "tube"}}
FOLDER = RESULTS / "brainmae_abide"


def measure(
    fold: int, split: Split, reference: Reference, n_steps: int, lever: str | None = None
) -> dict[str, Any]:
    """Pre-train, probe and fine-tune on the training people of a fold, judge the others."""
    started = time.process_time()
    train, test = (
        workflow.part_of_runs(reference.data, [reference.runs[k] for k in part])
        for part in (split.train, split.test)
    )
    training = replace(
        BrainMAE.default_training,
        n_steps=n_steps,
        batch_size=8,
        learning_rate=3e-3,
        weight_decay=0.01,
        warmup_steps=min(100, n_steps // 4),
    )
    model = BrainMAE(replace(CONFIG, **LEVERS.get(lever or "", {}))).fit(train, training=training)
    context = model.context_
    covariance = group_covariance(run_windows(bold_runs(train), context, CONFIG).values)
    windows = run_windows(bold_runs(test), context, CONFIG)
    found: dict[str, Any] = {"fold": fold, "steps": n_steps}
    found["masked_r2"] = [float(model.score(test, ratio=r)["masked_r2"]) for r in RATIOS]
    found["tube_r2"] = float(model.score(test, ratio=0.4, masking="tube")["masked_r2"])
    found["gaussian_r2"] = [gaussian_masked_r2(covariance, windows, r) for r in RATIOS]
    read = partial(run_examples, context=context, config=CONFIG, target="diagnosis")
    predicted = {"probe": probe(model, read(train), penalty=100.0).predict(read(test))}
    if lever is None:
        predicted["fine-tuned"] = finetuned(model, train, test)
    found["run"] = predicted["probe"]["example"].values.tolist()
    found["autism"] = {name: autism(ds) for name, ds in predicted.items()}
    found["cpu_minutes"] = (time.process_time() - started) / 60
    return found


def finetuned(model: BrainMAE, train: xr.DataTree, test: xr.DataTree) -> xr.Dataset:
    """Return predictions of a model that was fine-tuned on the training people."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        decoder = BrainMAEDecoder(pretrained=folder, target="diagnosis", dropout=0.5)
        tuning = replace(decoder.default_training, n_steps=FINETUNING_STEPS)
        return decoder.fit(train, training=tuning).predict(test)


def autism(predicted: xr.Dataset) -> list[float]:
    """Return the probability of autism of each run."""
    values = predicted["probability"].sel({"class": "autism"}).values
    return [round(float(value), 6) for value in values]


def table(reference: Reference, parts: list[dict[str, Any]], splits: list[Split]) -> None:
    """Write the table of all folds."""
    place = {name: number for number, name in enumerate(reference.runs)}
    order = [place[name] for part in parts for name in part["run"]]
    label = reference.facts["diagnosis"][order]
    scores = {"connectivity, linear SVM": reference.scores("autism", splits)["score"].values[order]}
    for name in parts[0]["autism"]:
        of_all = np.concatenate([part["autism"][name] for part in parts])
        scores[f"BrainMAE, {name}"] = of_all - 0.5
    base = scores["connectivity, linear SVM"]
    rows = []
    for name, score in scores.items():
        found = classification_table(label, score, classes=["control", "autism"])
        row: dict[str, Any] = {"model": name}
        for metric in ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity"):
            row[metric] = [round(value, 4) for value in found[metric][:3]]
        if score is not base:
            gain = paired_classification_difference(
                label, score, base, metric="auc", classes=["control", "autism"]
            )
            row["auc_minus_connectivity"] = [round(value, 4) for value in gain[:3]]
        rows.append(row)
    hidden = {
        f"{name}_by_ratio": np.mean([part[name] for part in parts], axis=0).round(4).tolist()
        for name in ("masked_r2", "gaussian_r2")
    }
    minutes = round(sum(part["cpu_minutes"] for part in parts), 1)
    tube = round(float(np.mean([part["tube_r2"] for part in parts])), 4)
    write_table(
        "brainmae_abide",
        rows,
        ratios=list(RATIOS),
        **hidden,
        tube_r2_at_0_4=tube,
        steps=parts[0]["steps"],
        cpu_minutes=minutes,
    )


def levers(reference: Reference, split: Split, names: list[str], n_steps: int) -> None:
    """Write a table of the first fold under one changed setting each."""
    rows = []
    for name in names:
        compute = partial(measure, 0, split, reference, n_steps, name)
        found = stored(FOLDER / f"lever-{name}-{n_steps}.json", compute)
        place = [reference.runs.index(run) for run in found["run"]]
        score = np.array(found["autism"]["probe"]) - 0.5
        label = reference.facts["diagnosis"][place]
        auc = classification_table(label, score, classes=["control", "autism"])["auc"]
        kept = {k: found[k] for k in ("masked_r2", "gaussian_r2", "tube_r2", "cpu_minutes")}
        rows.append({"lever": name, "probe_auc": [round(v, 4) for v in auc[:3]], **kept})
    write_table("brainmae_abide_levers", rows, steps=n_steps, fold=0)


def main() -> None:
    """Measure the wanted folds; write the table when all are there."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fold", type=int, nargs="*", default=list(range(N_FOLDS)))
    parser.add_argument("--lever", nargs="*", choices=LEVERS, default=[])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--data", type=Path, default=SHARED)
    given = parser.parse_args()
    reference = Reference(given.data)
    splits = reference.folds(0)
    if given.lever:
        levers(reference, splits[0], given.lever, given.steps)
        return
    for fold in given.fold:
        compute = partial(measure, fold, splits[fold], reference, given.steps)
        stored(FOLDER / f"fold-{fold}-{given.steps}.json", compute)
    paths = [FOLDER / f"fold-{fold}-{given.steps}.json" for fold in range(N_FOLDS)]
    if all(path.is_file() for path in paths):
        table(reference, [json.loads(path.read_text(encoding="utf-8")) for path in paths], splits)


if __name__ == "__main__":
    main()
