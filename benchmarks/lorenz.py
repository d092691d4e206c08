"""LangevinFlow on Lorenz: three seeds, unseen conditions, and dynamics left to themselves.

    python -m benchmarks.lorenz [--seeds 3] [--only ROW] [--steps N]

Every tenth of 65 conditions is never trained on; in the others four of five trials are. Rates are
judged against the exact expected counts (R², mean over units, and co-bps of held-out units). The
same for the GRU of equal size. ``rollout_r2`` runs the dynamics on from the inferred initial
state with no further input, for three potentials; the last row is the published model.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from benchmarks._measure import write_table
from neurodyn import datasets, transforms
from neurodyn.metrics.dynamics import rate_r2
from neurodyn.models import LangevinFlowEstimator
from neurodyn.training import TrainingConfig
from neurodyn.workflow import Plan, matched_gru

HEADLINE = "quadratic"
POTENTIALS: dict[str, dict[str, Any]] = {
    HEADLINE: {},
    "anharmonic": {"anharmonic": True},
    "mlp": {"potential": "mlp"},
}
UNSEEN_EVERY = 10


def plans() -> dict[str, tuple[LangevinFlowEstimator, TrainingConfig]]:
    """Return model and training by row name: three potentials and the published model."""
    found = {
        name: LangevinFlowEstimator.preset("lorenz_long", **settings)
        for name, settings in POTENTIALS.items()
    }
    return {**found, "ccn2025": LangevinFlowEstimator.preset("lorenz", mode="ccn2025")}


def load() -> tuple[dict[str, xr.Dataset], xr.Dataset]:
    """Return counts by part (train, within, unseen) and the truth about all trials."""
    simulation = datasets.simulate_lorenz()
    counts = transforms.align(simulation.recording, window=(0.0, 1.0), bin_size=0.02)
    names = np.unique(counts["condition"].values)
    unseen = np.isin(counts["condition"].values, names[::UNSEEN_EVERY])
    train = counts["split"].values == "train"
    parts = {"train": train & ~unseen, "within": ~train & ~unseen, "unseen": unseen}
    return {name: counts.isel(trial=chosen) for name, chosen in parts.items()}, simulation.truth


def r2(rates: xr.Dataset, truth: xr.Dataset) -> float:
    """Return R² of rates against the truth about the same trials."""
    true = truth["rate"].sel(trial=rates["trial"].values, unit=rates["unit"].values)
    return rate_r2(rates["rate"].values, true.values)


def judge(name: str, plan: Plan, parts: dict[str, xr.Dataset], truth: xr.Dataset) -> dict[str, Any]:
    """Fit and return one line of the table."""
    started = time.perf_counter()
    model = plan.model.clone().fit(parts["train"], **plan.fit_options)
    seconds = time.perf_counter() - started
    line: dict[str, Any] = {"model": name, "seed": plan.fit_options["training"].seed}
    for part in ("within", "unseen"):
        line[f"r2_{part}"] = r2(model.predict(parts[part]), truth)
    line["co_bps_within"] = float(model.score(parts["within"])["co_bps"])
    if isinstance(model, LangevinFlowEstimator):
        line["rollout_r2"] = r2(model.autonomous_rates(parts["within"]), truth)
        costs = model.shuffle_costs(parts["within"])["cost"]
        line["zv_shuffle_nats"] = float(costs.sel(part="zv"))
    return {**line, "seconds": seconds}


def main() -> None:
    """Fit, judge and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=list(plans()), help="one row")
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    chosen = parser.parse_args()
    parts, truth = load()
    lines = []
    for name, (model, training) in plans().items():
        if chosen.only and name != chosen.only:
            continue
        training = replace(training, n_steps=chosen.steps or training.n_steps)
        for seed in range(chosen.seeds if name == HEADLINE else 1):
            plan = Plan(model, {"training": replace(training, seed=seed)})
            lines.append(judge(name, plan, parts, truth))
            if name == HEADLINE:
                lines.append(judge("gru", matched_gru(plan, parts["train"]), parts, truth))
    for name in (HEADLINE, "gru"):
        own = [line for line in lines if line["model"] == name]
        if not own:
            continue
        means = {key: float(np.mean([line[key] for line in own])) for key in own[0] if "_" in key}
        lines.append({"model": f"mean of {name}", "seed": "all", **means})
    write_table("lorenz", lines)


if __name__ == "__main__":
    main()
