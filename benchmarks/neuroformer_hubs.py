"""Who drives whom: connections out of a trained Neuroformer beside those of simpler measures.

    python -m benchmarks.neuroformer_hubs [CASE ...] [--seed 10]

Simulated hub networks of 60 units whose wiring is known: plain hubs of 60 s, and hubs with random
wiring behind them of 60 s and 320 s. Neuroformer reads bins of 2 ms, windows of 50 ms and 20 ms
before them; training windows begin at every bin, the last tenth of three blocks decides when to
stop. Its measures stand beside lagged and partial correlation, at one bin and at the best of lags
up to 10 ms, and a history GLM of 20 ms, in bins of 2 ms and 5 ms. Deletion passes where neither
AUC nor direction accuracy is below the best of lagged correlation, and plain hubs take less than
180 s.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any, cast, get_args

import numpy as np
import torch
import xarray as xr

from benchmarks._measure import write_table
from neurodyn.datasets.hub_network import BACKGROUND, simulate_hub_network
from neurodyn.metrics.connectivity import (
    direction_accuracy,
    edge_auc,
    edge_average_precision,
    hub_recall,
)
from neurodyn.models.baselines.history_glm import fit_history_glm
from neurodyn.models.baselines.history_glm_dynamics import coupling_filters
from neurodyn.models.neuroformer.config import NeuroformerConfig, Stage
from neurodyn.models.neuroformer.connectivity import Measure, connectivity
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.recordings import token_windows
from neurodyn.models.neuroformer.splits import blocked_split
from neurodyn.training import TrainingConfig, train
from neurodyn.transforms.binning import bin_spikes
from neurodyn.transforms.connectivity import spike_coupling

# settings of the simulation, and training steps
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "plain-60": ({}, 800),
    "background-60": (BACKGROUND, 1500),
    "background-320": ({**BACKGROUND, "duration": 320.0}, 3000),
}
CONFIG = NeuroformerConfig(
    bin_size=0.002,
    window=0.05,
    past=0.02,
    stages=(Stage(source="self"), Stage(source="past")),
    size=64,
    n_heads=4,
    mlp_ratio=2,
    order=False,
)
BINS, LONGEST_LAG, GLM_HISTORY = (0.002, 0.005), 0.01, 0.02
MOST_WINDOWS, PLAIN_BAR = 2000, 180.0


def trained(recording: xr.DataTree, n_steps: int) -> NeuroformerNetwork:
    """Return a network that has learned a recording."""
    windows = token_windows(recording, CONFIG, step=1)
    split = blocked_split(windows, validation=0.1, n_blocks=3)
    learned, validation = windows.take(split.train), windows.take(split.validation)
    # neighbours share most bins: some of them judge as well as all
    validation = validation.take(np.arange(0, len(validation), CONFIG.n_bins))
    expected = torch.as_tensor(windows.store.expected_counts(learned.starts, windows.length))
    torch.manual_seed(0)
    network = NeuroformerNetwork(CONFIG, windows.sizes())
    network.set_rates(expected)
    training = TrainingConfig(
        n_steps=n_steps,
        batch_size=64,
        learning_rate=2e-3,
        weight_decay=0.01,
        betas=(0.9, 0.98),
        schedule="cosine",
        warmup_steps=100,
        gradient_clip=1.0,
        ema_decay=0.99,
        monitor="bits_per_spike",
        monitor_mode="max",
        progress=False,
    )
    objective = NeuroformerObjective(CONFIG, expected)
    result = train(network, objective, learned, training, validation=validation)
    return cast(NeuroformerNetwork, result.network.eval())


def scores(recording: xr.DataTree, n_steps: int) -> Iterator[tuple[str, float, Any, float]]:
    """Give name, bin size, score (unit, unit_to) and CPU seconds of each method."""
    for bin_size in BINS:
        counts = bin_spikes(recording, bin_size)
        steps = range(1, round(LONGEST_LAG / bin_size) + 1)
        for kind in ("correlation", "partial"):
            for name, used in (("", steps), (", one bin", range(1, 2))):
                start = time.process_time()
                found = spike_coupling(counts, kind, lags=[step * bin_size for step in used])
                seconds = time.process_time() - start
                yield f"{kind}{name}", bin_size, found["score"].values, seconds
        start = time.process_time()
        filters = coupling_filters(fit_history_glm(counts, history=GLM_HISTORY))
        yield "history GLM", bin_size, filters["score"].values, time.process_time() - start
    start = time.process_time()
    network = trained(recording, n_steps)
    learning = time.process_time() - start
    windows = token_windows(recording, CONFIG)
    few = np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).astype(np.int64)
    for measure in get_args(Measure):
        start = time.process_time()
        found = connectivity(network, windows.take(few), measure, n_bootstrap=0)
        seconds = learning + time.process_time() - start
        yield f"Neuroformer, {measure}", CONFIG.bin_size, found["score"].values, seconds


def measure(case: str, seed: int) -> list[dict[str, object]]:
    """Return a row for each method on one network."""
    settings, n_steps = CASES[case]
    recording, truth = simulate_hub_network(seed=seed, **settings)
    edge, hub = truth["edge"].values, truth["hub"].values
    rows: list[dict[str, object]] = []
    bar: tuple[float, float] = (0.0, 0.0)
    for name, bin_size, score, seconds in scores(recording, n_steps):
        reached = edge_auc(score, edge), direction_accuracy(score, edge)
        row: dict[str, object] = {
            "case": case,
            "method": name,
            "bin_ms": bin_size * 1e3,
            "auc": reached[0],
            "direction": reached[1],
            "average_precision": edge_average_precision(score, edge),
            "hub_recall": hub_recall(score, hub),
            "cpu_s": seconds,
        }
        if name.startswith("correlation"):
            bar = max(bar[0], reached[0]), max(bar[1], reached[1])
        if name == "Neuroformer, deletion":
            quick = case != "plain-60" or seconds < PLAIN_BAR
            row["passed"] = reached[0] >= bar[0] and reached[1] >= bar[1] and quick
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seed", type=int, default=10, help="of the simulation")
    chosen = parser.parse_args()
    unknown = set(chosen.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown case {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    torch.set_num_threads(1)
    rows = [row for case in chosen.cases or CASES for row in measure(case, chosen.seed)]
    write_table("neuroformer_hubs", rows, seed=chosen.seed)


if __name__ == "__main__":
    main()
