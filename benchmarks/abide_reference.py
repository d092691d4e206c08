"""ABIDE I, CC200: what a linear model of connectivity and a group covariance reach.

    python -m benchmarks.abide_reference [--data FOLDER]

1,032 runs (those with more than 20 flat ROIs are left out), each of one subject. Folds: seeds 0 to
4, five folds stratified by site and diagnosis, kept in ``results/abide_folds.json`` as the fold of
each run for each seed; and one site after another left out. Rows:

- autism, sex: linear SVM, C = 1, of Fisher-z correlations centred on the training mean and
  measured in units of the mean length of training runs; sex with balanced class weights. The AUC is
  the mean over folds (for sites left out also that of all scores pooled).
- autism, not scaled: the same with C = 1 for correlations as they are, which is almost a hard
  margin. Scaling was chosen because C then means the same for any atlas.
- age: ridge regression, its penalty from leave-one-out within the training runs; beside the median.
- masked R2: the Gaussian conditional mean from the covariance of the training subjects of seed 0,
  for each fold, whole ROIs hidden in segments of eight frames.

Intervals are of seed 0, subjects resampled. Bar: mean autism AUC within 0.755 and 0.780.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from benchmarks._measure import RESULTS, write_table
from neurodyn.datasets.abide_cc200 import read_abide_cc200
from neurodyn.metrics.classification import classification_table, regression_table
from neurodyn.models.baselines.conditional_gaussian import gaussian_masked_r2, group_covariance
from neurodyn.models.baselines.connectivity_linear import (
    ConnectivityKernel,
    connectivity_scores,
    fisher_z_connectivity,
)
from neurodyn.windows.runs import RunWindows
from neurodyn.windows.splits import Split
from neurodyn.windows.subject_splits import grouped_k_fold, leave_group_out

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "fmri_abide1_cc200"
FOLDS = RESULTS / "abide_folds.json"
MAX_FLAT_ROIS, SEEDS, N_FOLDS, RATIOS = 20, range(5), 5, (0.2, 0.4, 0.6, 0.8)
TARGETS: dict[str, dict[str, Any]] = {
    "autism": {"fact": "diagnosis", "positive": "autism"},
    "sex": {"fact": "sex", "positive": "female", "balanced": True},
    "age": {"fact": "age", "method": "ridge"},
}


class Reference:
    """The runs, their connectivity and facts, read once."""

    def __init__(self, folder: Path) -> None:
        self.data = read_abide_cc200(folder, max_flat_rois=MAX_FLAT_ROIS)
        self.features = fisher_z_connectivity(self.data)
        self.kernel = ConnectivityKernel(self.features["fisher_z"].values)
        nodes = self.data["bold"].children
        self.runs = list(nodes)
        self.facts = {
            name: np.array([node.attrs[name] for node in nodes.values()])
            for name in ("site", "diagnosis", "sex", "age", "subject")
        }

    def folds(self, seed: int) -> list[Split]:
        """Return five folds stratified by site and diagnosis."""
        stratum = [f"{s} {d}" for s, d in zip(self.facts["site"], self.facts["diagnosis"])]
        return grouped_k_fold(self.facts["subject"], N_FOLDS, stratify=stratum, seed=seed)

    def sites(self) -> list[Split]:
        """Return one split for each site that is left out."""
        return list(leave_group_out(self.facts["site"]).values())

    def scores(self, name: str, splits: list[Split], **more: Any) -> xr.Dataset:
        """Return held-out scores of one of the targets."""
        settings = {**TARGETS[name], "kernel": self.kernel, **more}
        target = self.facts[settings.pop("fact")]
        return connectivity_scores(self.features, target, splits, **settings)


def auc_over_folds(found: xr.Dataset) -> list[float]:
    """Return the AUC of each fold that has both classes."""
    positive = (found["target"] == found.attrs["classes"][1]).values
    score, fold = found["score"].values, found["fold"].values
    parts = [fold == number for number in np.unique(fold)]
    return [
        float(roc_auc_score(positive[part], score[part]))
        for part in parts
        if 0 < positive[part].sum() < part.sum()
    ]


def fold_table(reference: Reference) -> dict[str, list[int]]:
    """Return the fold of each run for each seed, by file id."""
    table = np.empty((len(reference.runs), len(SEEDS)), dtype=int)
    for column, seed in enumerate(SEEDS):
        for number, split in enumerate(reference.folds(seed)):
            table[split.test, column] = number
    return dict(zip(reference.runs, table.tolist()))


def class_row(label: str, found: list[xr.Dataset]) -> dict[str, Any]:
    """Return one line for a label; ``found`` holds one cross-validation for each seed."""
    by_seed = [auc_over_folds(one) for one in found]
    pooled = found[0]
    truth = pooled["target"].values
    table = classification_table(truth, pooled["score"].values, classes=pooled.attrs["classes"])
    return {
        "target": label,
        "auc": round(float(np.mean([np.mean(folds) for folds in by_seed])), 4),
        "auc_by_seed": [round(float(np.mean(folds)), 4) for folds in by_seed],
        "auc_sd_over_folds": round(float(np.std(np.concatenate(by_seed))), 4),
        **{f"{m}_seed_0": [round(v, 4) for v in interval[:3]] for m, interval in table.items()},
    }


def age_row(label: str, found: list[xr.Dataset]) -> dict[str, Any]:
    truth = found[0]["target"].values
    mae = [float(np.abs(one["score"] - one["target"]).mean()) for one in found]
    table = regression_table(truth, found[0]["score"].values)
    return {
        "target": label,
        "mae": round(float(np.mean(mae)), 4),
        "mae_by_seed": [round(v, 4) for v in mae],
        "mae_of_median": round(float(np.abs(truth - np.median(truth)).mean()), 4),
        **{f"{m}_seed_0": [round(v, 4) for v in interval[:3]] for m, interval in table.items()},
    }


def gaussian_row(reference: Reference, splits: list[Split]) -> dict[str, Any]:
    """Return masked R2 of the Gaussian conditional mean on held-out subjects."""
    runs = [node["bold"].values for node in reference.data["bold"].children.values()]
    found = np.empty((len(splits), len(RATIOS)))
    for row, split in enumerate(splits):
        covariance = group_covariance([runs[number] for number in split.train])
        test = [runs[number] for number in split.test]
        windows = RunWindows(test, n_segments=8, n_frames=8, segment_duration=16.0)
        found[row] = [gaussian_masked_r2(covariance, windows, ratio) for ratio in RATIOS]
    return {
        "target": "masked R2, Gaussian conditional mean",
        "ratio": list(RATIOS),
        "masked_r2": found.mean(axis=0).round(4).tolist(),
        "masked_r2_sd_over_folds": found.std(axis=0).round(4).tolist(),
    }


def main() -> None:
    """Measure, then write the folds and the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    chosen = parser.parse_args()
    with threadpool_limits(1):
        reference = Reference(chosen.data)
        folds, sites = [reference.folds(seed) for seed in SEEDS], reference.sites()
        values = reference.features["fisher_z"].values
        squared_length = float(np.nansum((values - np.nanmean(values, axis=0)) ** 2) / len(values))
        rows = [
            class_row(name, [reference.scores(name, split) for split in folds])
            for name in ("autism", "sex")
        ]
        unscaled = [reference.scores("autism", split, penalty=squared_length) for split in folds]
        rows.append(class_row("autism, not scaled", unscaled))
        rows.append(age_row("age", [reference.scores("age", split) for split in folds]))
        left_out = reference.scores("autism", sites)
        pooled = {"auc_pooled": round(float(_pooled_auc(left_out)), 4)}
        rows.append({**class_row("autism, site left out", [left_out]), **pooled})
        rows.append(age_row("age, site left out", [reference.scores("age", sites)]))
        rows.append(gaussian_row(reference, folds[0]))
    lines = [f"{json.dumps(name)}: {fold}" for name, fold in fold_table(reference).items()]
    FOLDS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    write_table("abide_reference", rows, n_runs=len(reference.runs), max_flat_rois=MAX_FLAT_ROIS)


def _pooled_auc(found: xr.Dataset) -> float:
    positive = found["target"].values == found.attrs["classes"][1]
    return float(roc_auc_score(positive, found["score"].values))


if __name__ == "__main__":
    main()
