"""Co-bps on real MC_Maze_Small trials, cross-validated, for LangevinFlow and all baselines.

    python -m benchmarks.mc_maze_small [ROW ...] [--folds 0 1 2 3 4] [--draws 4] [--table]

80 trials, 107 held-in and 35 held-out units, 20 ms bins; five shuffled folds fixed by a seed. In
each outer fold every row gets the same search: ``--draws`` settings, the first of them its
preset, judged by co-bps on a quarter of the training trials, which also decides how long to
train; the best is fitted again on all training trials. No test trial takes part in a choice.
Each fold of each row is one JSON file, so an interrupted run goes on where it was; two commands
with different rows or folds use two cores.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks._measure import machine, write_table
from neurodyn import recording as rec
from neurodyn.metrics.intervals import bits_per_spike_interval, paired_bits_per_spike
from neurodyn.metrics.spikes import bits_per_spike
from neurodyn.models import registry, tuning
from neurodyn.models.langevinflow.estimator import LangevinFlowEstimator
from neurodyn.windows import trial_split

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "nlb_mc_maze_small_test"
DATA = SHARED / "mc_maze_small_test_cosmoothing.h5"
RESULTS = Path(__file__).parent / "results" / "mc_maze_small"
N_FOLDS, FOLD_SEED, HEADLINE = 5, 2026, "elbo_zv"
INNER_PARTS = 4


def rows() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return estimator and training by row name."""
    found: dict[str, tuple[Any, dict[str, Any]]] = {}
    for name in ("elbo_zv", "elbo_zvh", "ccn2025"):
        mode = "ccn2025" if name == "ccn2025" else "elbo"
        given = {"decoder_input": "zvh"} if name == "elbo_zvh" else {}
        model, training = LangevinFlowEstimator.preset("mc_maze_small", mode=mode, **given)
        found[name] = model, {"training": training}
    for name in ("gru", "factor_glm", "smoothing_glm"):
        found[name] = registry.create(name), {}
    return found


def load(path: Path) -> Any:
    """Return the 80 trials with held-out units as one counts dataset."""
    with h5py.File(path, "r") as file:
        group = file["mc_maze_small_20"]
        held_out = group["eval_spikes_heldout"][:]
        held_in = group["eval_spikes_heldin"][: len(held_out)]
    return rec.counts(
        np.concatenate([held_in, held_out], axis=2),
        bin_size=0.02,
        start=-0.25,
        held_out=np.arange(held_in.shape[2] + held_out.shape[2]) >= held_in.shape[2],
    )


def folds(n_trials: int) -> list[np.ndarray]:
    """Return the committed test folds."""
    order = np.random.default_rng(FOLD_SEED).permutation(n_trials)
    return [np.sort(part) for part in np.array_split(order, N_FOLDS)]


def run_fold(row: str, fold: int, counts: Any, draws: int) -> dict[str, Any]:
    """Choose inside the training trials, fit on all of them, predict the test trials."""
    model, options = rows()[row]
    test = folds(counts.sizes["trial"])[fold]
    train = np.setdiff1d(np.arange(counts.sizes["trial"]), test)
    inner = trial_split(counts.isel(trial=train), validation=0.0, test=1 / INNER_PARTS, seed=fold)
    started = time.perf_counter()
    tuned = tuning.tune(model, counts.isel(trial=train), [inner], draws, seed=fold, **options)
    fitted = tuned.estimator.clone().fit(counts.isel(trial=train), **tuned.fit_options)
    judged = counts.isel(trial=test)
    rates = fitted.predict(judged).sel(unit=counts["unit"][counts["held_out"]])
    shuffled = {}
    if isinstance(fitted, LangevinFlowEstimator):
        costs = fitted.shuffle_costs(judged)
        shuffled = dict(zip(costs["part"].values.tolist(), costs["co_bps"].values.tolist()))
    return {
        "row": row,
        "fold": fold,
        "trials": test.tolist(),
        "expected_count": np.round(rates["rate"].values * 0.02, 7).tolist(),
        "settings": repr(tuned.estimator),
        "shuffled_co_bps": shuffled,
        "inner_scores": tuned.table["score"].values.tolist(),
        "seconds": time.perf_counter() - started,
    }


def collect(row: str) -> list[dict[str, Any]]:
    """Return what is there of the folds of a row."""
    paths = [RESULTS / f"{row}-{fold}.json" for fold in range(N_FOLDS)]
    return [json.loads(path.read_text()) for path in paths if path.is_file()]


def together(found: list[dict[str, Any]], truth: np.ndarray) -> np.ndarray | None:
    """Return predictions of all trials, or nothing while folds are missing."""
    if len(found) < N_FOLDS:
        return None
    expected = np.full(truth.shape, np.nan)
    for fold in found:
        expected[fold["trials"]] = fold["expected_count"]
    return expected


def table(counts: Any) -> list[dict[str, Any]]:
    """Return a line per finished row: pooled and mean co-bps, interval, paired differences."""
    truth = counts["count"].values[..., counts["held_out"].values].astype(float)
    found = {row: collect(row) for row in rows()}
    done = {row: together(parts, truth) for row, parts in found.items()}
    lines = []
    for row, expected in done.items():
        if expected is None:
            continue
        interval = bits_per_spike_interval(expected, truth)
        line: dict[str, Any] = {
            "row": row,
            "co_bps": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "mean_of_folds": float(
                np.mean([bits_per_spike(expected[f], truth[f]) for f in folds(len(truth))])
            ),
        }
        if found[row][0]["shuffled_co_bps"]:
            worst = max(part["shuffled_co_bps"]["zv"] for part in found[row])
            line["zv_shuffled_highest_of_folds"] = worst
        headline = done[HEADLINE]
        if headline is not None and row != HEADLINE:
            paired = paired_bits_per_spike(headline, expected, truth)
            line[f"{HEADLINE}_minus_row"] = [paired.estimate, paired.low, paired.high]
        lines.append(line)
    return lines


def main() -> None:
    """Run what is missing, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", default=list(rows()))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--folds", type=int, nargs="*", default=list(range(N_FOLDS)))
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--table", action="store_true", help="only the table")
    chosen = parser.parse_args()
    counts = load(chosen.data)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for row in [] if chosen.table else chosen.rows:
        for fold in chosen.folds:
            path = RESULTS / f"{row}-{fold}.json"
            if not path.is_file():
                found = run_fold(row, fold, counts, chosen.draws)
                path.write_text(json.dumps({**found, "machine": machine()}))
                print(
                    f"{row} fold {fold}: {found['settings']}, {found['seconds']:.0f} s", flush=True
                )
    write_table("mc_maze_small", table(counts))


if __name__ == "__main__":
    main()
