"""BrainMAE on real task fMRI (heat pain, 33 subjects, 122 regions): reconstruction and decoding.

    python -m benchmarks.brainmae_heat_pain [pretrain] [decode] [--steps 4000] [--fold 0 ...]

``pretrain``: masked R2 on the last 6 subjects, who are not trained on, of the tiny model and of
the same with one lever changed, beside the mean conditional on the group covariance; then the
checks of its embeddings. Bars: 0.25 after 300 steps, 0.55 after 4,000.

``decode``: heat against rating from one segment of 16 s, 6 s after an event begins, in 5 folds
grouped over all 33 subjects. The model is pre-trained in each fold, on its training subjects
alone. Beside it the ROI means with logistic regression on the same folds, and the paired
difference with its interval over subjects. Each fold and each lever is one JSON file, so an
interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from benchmarks._measure import write_table
from neurodyn import workflow
from neurodyn.datasets.heat_pain import read_heat_pain
from neurodyn.metrics.classification import classification_table, paired_classification_difference
from neurodyn.models.baselines.conditional_gaussian import gaussian_masked_r2, group_covariance
from neurodyn.models.baselines.roi_means import roi_mean_scores, roi_mean_windows
from neurodyn.models.brainmae.context import RoiContext, bold_runs, run_windows
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.examples import event_examples
from neurodyn.models.brainmae.finetune import BrainMAEDecoder
from neurodyn.models.brainmae.interpretation import embedding_checks
from neurodyn.models.brainmae.presets import preset
from neurodyn.models.brainmae.probe import probe
from neurodyn.windows import Split
from neurodyn.windows.subject_splits import grouped_k_fold

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "fmri_pain_mist122"
RESULTS = Path(__file__).parent / "results" / "brainmae_heat_pain"
TINY = preset(
    "tiny", segment_duration=16.0, repetition_time=2.0, n_segments=8, readout_size=8, state_size=128
)
TRAINING = replace(
    BrainMAE.default_training, batch_size=8, learning_rate=3e-3, weight_decay=0.01, warmup_steps=100
)
N_TEST_SUBJECTS, RATIOS = 6, (0.2, 0.4, 0.6, 0.8)
LEVERS: dict[str, tuple[dict[str, Any], int]] = {
    "tiny_300_steps": ({}, 300),
    "tiny": ({}, 4000),
    "wide_state": ({"readout_size": 16, "state_size": 256}, 4000),
    "region_skip": ({"roi_skip": True}, 4000),
}
DECODED = "wide_state"
N_FOLDS, SEED = 5, 0
LAG = 6.0


def part(data: xr.DataTree, keep: Any) -> xr.DataTree:
    """Return the runs of subjects that ``keep`` accepts, with their events."""
    runs = bold_runs(data)
    return workflow.part_of_runs(data, [n for n, run in runs.items() if keep(run.attrs["subject"])])


def stored(path: Path, compute: Callable[[], Any]) -> Any:
    """Return what a file holds from before, else compute it and keep it there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = compute()
        path.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def pretrain(data: xr.DataTree, scale: float) -> None:
    """Measure every lever, then the embeddings of the first full model."""
    subjects = sorted({run.attrs["subject"] for run in bold_runs(data).values()})
    held_out = set(subjects[-N_TEST_SUBJECTS:])
    train, test = (part(data, lambda s, o=out: (s in held_out) == o) for out in (False, True))
    context = RoiContext.of(bold_runs(train))
    runs = run_windows(bold_runs(train), context, TINY)
    windows = run_windows(bold_runs(test), context, TINY)
    covariance = group_covariance(runs.values)
    rows = [
        {
            "model": "Gaussian conditional mean",
            **{f"r2_{r}": gaussian_masked_r2(covariance, windows, r) for r in RATIOS},
            "tube_0.4": gaussian_masked_r2(covariance, windows, 0.4, scheme="tube"),
        }
    ]
    for name, (changed, n_steps) in LEVERS.items():
        number = round(n_steps * scale)
        compute = partial(lever, name, changed, number, train, test)
        rows.append(stored(RESULTS / f"pretrain-{name}-{number}.json", compute))
    write_table("brainmae_heat_pain_pretrain", rows, threads=1)


def lever(
    name: str, changed: dict[str, Any], n_steps: int, train: xr.DataTree, test: xr.DataTree
) -> dict[str, Any]:
    """Pre-train one model; return its scores on the held-out subjects."""
    started = time.process_time()
    model = BrainMAE(replace(TINY, **changed))
    model.fit(train, training=replace(TRAINING, n_steps=n_steps))
    row: dict[str, Any] = {"model": name, "steps": n_steps}
    row |= {f"r2_{r}": float(model.score(test, ratio=r)["masked_r2"]) for r in RATIOS}
    row["tube_0.4"] = float(model.score(test, ratio=0.4, masking="tube")["masked_r2"])
    row["visible"] = float(model.score(test, "visible_r2")["visible_r2"])
    row["cpu_minutes"] = (time.process_time() - started) / 60
    checks = embedding_checks(model, train)
    return {**row, **{str(name): float(value) for name, value in checks.data_vars.items()}}


def decode_fold(fold: int, split: Split, data: xr.DataTree, n_steps: int) -> dict[str, Any]:
    """Pre-train on the training subjects of a fold, probe and fine-tune, decode the others."""
    windows = roi_mean_windows(data, lag=LAG)
    subject = windows["subject"].values.astype(str)
    train_subjects = set(subject[split.train])
    train = part(data, lambda s: s in train_subjects)
    test = part(data, lambda s: s not in train_subjects)
    model = BrainMAE(replace(TINY, **LEVERS[DECODED][0]))
    model.fit(train, training=replace(TRAINING, n_steps=n_steps))
    examples = [event_examples(d, model.context_, model.config, "condition") for d in (train, test)]
    found = {"probe": probe(model, examples[0]).predict(examples[1])}
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        decoder = BrainMAEDecoder(pretrained=folder, examples="events", target="condition")
        found["fine-tuned"] = decoder.fit(train).predict(test)
        scratch = decoder.clone().set_params(
            pretrained="", network=model.config, encoder_scale=1.0, layer_decay=1.0
        )
        found["from scratch"] = scratch.fit(train).predict(test)
    first = next(iter(found.values()))
    return {
        "fold": fold,
        "example": first["example"].values.tolist(),
        "subject": first["subject"].values.tolist(),
        "label": first["label"].values.tolist(),
        "heat": {
            name: ds["probability"].sel({"class": "heat"}).values.round(6).tolist()
            for name, ds in found.items()
        },
    }


def decode(data: xr.DataTree, folds: list[int], n_steps: int) -> None:
    """Decode heat against rating; the table is written when all folds are there."""
    windows = roi_mean_windows(data, lag=LAG)
    splits = grouped_k_fold(windows["subject"].values, N_FOLDS, seed=SEED)
    for fold in folds:
        compute = partial(decode_fold, fold, splits[fold], data, n_steps)
        stored(RESULTS / f"decode-fold-{fold}-{n_steps}.json", compute)
    paths = [RESULTS / f"decode-fold-{fold}-{n_steps}.json" for fold in range(N_FOLDS)]
    if not all(path.is_file() for path in paths):
        return
    parts = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    means = roi_mean_scores(windows, splits, positive="heat")
    step = TINY.repetition_time
    frames = np.round((means["start"].values + LAG) / step)
    key = [f"{run}@{frame * step:g}s" for run, frame in zip(means["run"].values, frames)]
    at = {name: position for position, name in enumerate(key)}
    names = [name for found in parts for name in found["example"]]
    order = [at[name] for name in names if name in at]
    if len(order) != len(names):
        print(f"{len(names) - len(order)} events have no ROI means and are left out")
    shown = np.array([name in at for name in names])
    label = np.concatenate([found["label"] for found in parts])[shown]
    owner = np.concatenate([found["subject"] for found in parts])[shown]
    scores = {"ROI means, logistic": means["score"].values[order]}
    for name in parts[0]["heat"]:
        heat = np.concatenate([found["heat"][name] for found in parts])[shown]
        scores[f"BrainMAE, {name}"] = heat - 0.5
    rows = []
    base = scores["ROI means, logistic"]
    for name, score in scores.items():
        common = {"classes": ["rating", "heat"], "subject": owner}
        table = classification_table(label, score, **common)
        row: dict[str, Any] = {"model": name}
        for metric in ("accuracy", "balanced_accuracy", "auc"):
            interval = table[metric]
            row[metric] = [interval.estimate, interval.low, interval.high]
        if score is not base:
            gain = paired_classification_difference(label, score, base, **common)
            row["minus_roi_means"] = [gain.estimate, gain.low, gain.high]
        rows.append(row)
    write_table("brainmae_heat_pain_decode", rows, steps=n_steps, folds=N_FOLDS, seed=SEED)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", default=["pretrain", "decode"])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--fold", type=int, nargs="*", default=list(range(N_FOLDS)))
    parser.add_argument("--data", type=Path, default=SHARED)
    given = parser.parse_args()
    data = read_heat_pain(given.data)
    if "pretrain" in given.parts:
        pretrain(data, given.steps / 4000)
    if "decode" in given.parts:
        decode(data, given.fold, given.steps)


if __name__ == "__main__":
    main()
