"""The constants of docs/scale.rst: storage, reading, binning, training steps, the exchange of two.

    python -m benchmarks.scale_constants [--units 1000] [--seconds 300]

One thread. Times are the least of some runs, in processor seconds where one process works, so that
what else the machine does counts little; the exchange between two processes is in seconds of the
clock, and the load of the machine is recorded beside it. No bars: these are numbers to plan with.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._measure import write_table
from neurodyn import recording as rec
from neurodyn.training import TrainingConfig
from neurodyn.transforms import bin_spikes
from neurodyn.windows import Windows

RATE, BIN_SIZE, SEED = 5.0, 0.02, 0
N_BINS, BATCH = 50, 32
EXCHANGED = (1, 4, 20, 80)
MB = 1e6


def least(function: Callable[[], object], repeats: int = 3) -> float:
    """Return the least processor time [s] of some calls after a warm-up."""
    best = float("inf")
    for turn in range(repeats + 1):
        start = time.process_time()
        function()
        if turn:
            best = min(best, time.process_time() - start)
    return best


def simulate(n_units: int, seconds: float) -> Any:
    """Return Poisson spikes of ``RATE`` on a clock of 30 kHz."""
    rng = np.random.default_rng(SEED)
    units = {
        f"unit {i}": np.sort(rng.integers(0, int(seconds * 30_000), rng.poisson(RATE * seconds)))
        / 30_000.0
        for i in range(n_units)
    }
    return rec.spikes_from_units(units, observed=[[0.0, seconds]], tick_hz=30_000.0)


def storage(n_units: int, seconds: float, folder: Path) -> list[dict[str, Any]]:
    """Return what spikes and counts take on disk, and how fast they come from it and are binned."""
    spikes = simulate(n_units, seconds)
    n_spikes = spikes.sizes["spike"]
    counts = bin_spikes(spikes, BIN_SIZE)
    n_values = counts["count"].size
    rows = []
    for name, data, n_items in (("spike", spikes, n_spikes), ("count", counts, n_values)):
        path = rec.save(rec.recording([data]), folder / f"{name}.nc")
        size = path.stat().st_size
        rows.append({"what": f"bytes per {name} on disk", "value": size / n_items, "unit": "B"})
        read, write = (
            least(lambda p=path: rec.load(p)),
            least(lambda d=data: rec.save(rec.recording([d]), folder / "again.nc"), 1),
        )
        rows.append({"what": f"{name}s read", "value": n_items / read / 1e6, "unit": "M/s"})
        rows.append({"what": f"{name}s written", "value": n_items / write / 1e6, "unit": "M/s"})
    seconds_to_bin = least(lambda: bin_spikes(spikes, BIN_SIZE))
    rows.append({"what": "spikes binned", "value": n_spikes / seconds_to_bin / 1e6, "unit": "M/s"})
    windows = Windows(counts, N_BINS)
    index = np.arange(min(BATCH, len(windows)))
    cut = least(lambda: windows.gather(index), 10)
    values = index.size * N_BINS * n_units
    rows.append({"what": "counts cut into windows", "value": values / cut / 1e6, "unit": "M/s"})
    return rows


def step_seconds(fit: Callable[[int], Any], n_steps: int = 6) -> tuple[float, Any]:
    """Return the processor time of one step, and the model, from two lengths of training."""
    fit(1)
    best = float("inf")
    for _ in range(2):
        times = []
        for steps in (1, 1 + n_steps):
            start = time.process_time()
            model = fit(steps)
            times.append(time.process_time() - start)
        best = min(best, (times[1] - times[0]) / n_steps)
    return best, model


def loop(n_steps: int, batch: int, n_devices: int = 1) -> TrainingConfig:
    """Return how to train for a measurement."""
    how = {"device": "cpu", "progress": False, "n_devices": n_devices}
    return TrainingConfig(n_steps=n_steps, batch_size=batch, **how)


def langevinflow(n_units: int) -> tuple[Callable[[int], Any], float]:
    """Return how to fit LangevinFlow, and how many bins it sees per step."""
    from neurodyn.models.langevinflow.estimator import LangevinFlowEstimator

    rng = np.random.default_rng(SEED)
    values = rng.poisson(RATE * BIN_SIZE, (2 * BATCH, N_BINS, n_units))
    held_out = np.arange(n_units) % 4 == 0
    data = rec.counts(values, bin_size=BIN_SIZE, unit_columns={"held_out": held_out})

    def fit(n_steps: int) -> Any:
        return LangevinFlowEstimator().fit(data, training=loop(n_steps, BATCH))

    return fit, BATCH * N_BINS


def brainmae(n_rois: int) -> tuple[Callable[[int], Any], float]:
    """Return how to fit BrainMAE, and how many frames it sees per step."""
    from neurodyn.models.brainmae.estimator import BrainMAE

    model, batch = BrainMAE(), 4
    shape = (2 * batch * model.config.n_frames, n_rois)
    values = np.random.default_rng(SEED).normal(size=shape).astype(np.float32)
    data = rec.bold(values, repetition_time=model.config.repetition_time)

    def fit(n_steps: int) -> Any:
        return model.clone().fit(data, training=loop(n_steps, batch))

    return fit, batch * model.config.n_frames


def neuroformer(n_units: int) -> tuple[Callable[[int], Any], float]:
    """Return how to fit Neuroformer, and how many spikes it learns from per step."""
    from neurodyn.models.neuroformer.estimator import Neuroformer

    data = simulate(n_units, 20.0)
    model = Neuroformer()

    def fit(n_steps: int) -> Any:
        return model.clone().fit(data, training=loop(n_steps, BATCH))

    width = model.config.n_bins * model.config.bin_size
    return fit, BATCH * width * RATE * n_units


def training(n_units: int) -> list[dict[str, Any]]:
    """Return the step of each model, with its parameters and what it sees."""
    rows = []
    models = (
        ("langevinflow", langevinflow(n_units), "bins", n_units),
        ("brainmae", brainmae(200), "frames", 200),
        ("neuroformer", neuroformer(100), "spikes", 100),
    )
    for name, (fit, seen), what, size in models:
        seconds, model = step_seconds(fit)
        n_weights = sum(weight.numel() for weight in model.network_.parameters())
        rows.append({"what": f"{name} step, {size} wide", "value": seconds, "unit": "s"})
        rows.append({"what": f"{name} {what}", "value": seen / seconds, "unit": "1/s"})
        rows.append({"what": f"{name} parameters", "value": n_weights / 1e6, "unit": "M"})
    return rows


def exchange() -> None:
    """Print how long two processes take to average gradients of several sizes."""
    torch.distributed.init_process_group("gloo")
    found = {}
    for size in EXCHANGED:
        gradient, best = torch.ones(int(size * MB / 4)), float("inf")
        for _ in range(12):
            torch.distributed.barrier()
            start = time.perf_counter()
            torch.distributed.all_reduce(gradient)
            best = min(best, time.perf_counter() - start)
        found[size] = best
    if torch.distributed.get_rank() == 0:
        print(json.dumps(found))
    torch.distributed.destroy_process_group()


def two_processes() -> list[dict[str, Any]]:
    """Return the time of the exchange of gradients between two processes of this machine."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *launch, "-m", "benchmarks.scale_constants", "--exchange"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return [
        {"what": f"all-reduce of {size} MB, two processes", "value": found[str(size)], "unit": "s"}
        for size in EXCHANGED
    ]


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--exchange", action="store_true", help="one of two processes")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.exchange:
        exchange()
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = storage(chosen.units, chosen.seconds, Path(folder))
    rows += [*training(chosen.units), *two_processes()]
    write_table("scale_constants", rows, units=chosen.units, seconds=chosen.seconds)


if __name__ == "__main__":
    main()
