"""Factorisation of affinities against tensorly's HALS: time, memory and growth, on one thread.

    python -m benchmarks.factorisation [--part speed|memory|growth]

Speed: neuron mode, 100 x 100 x 1000, rank 10, milliseconds per iteration and error after 50;
bar: 25 times tensorly's. Memory: pair mode of 60 cells, 1500 times, 20 animals, peak above import
and input in a process of its own, beside tensorly on the stored 60 x 60 x 1500 x 20 tensor; bar:
150 MB. Growth: time per iteration against nodes, times and animals, with fitted exponents, and
2000 nodes x 5000 times, whose stored tensor would take 80 GB.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from benchmarks._measure import RESULTS, in_child, interleaved, peak_bytes, reset_peak, write_table
from neurodyn.models.connectome.hals import NeuronModel, PairModel, descend
from neurodyn.recording import signal
from neurodyn.transforms.connectivity import FeatureAffinity, differential_affinity, pair_matrix

RANK, N_ERROR_SWEEPS = 10, 50
SPEED_BAR, MEMORY_BAR_MB = 25.0, 150.0
MEMORY_CELLS, MEMORY_TIMES, MEMORY_ANIMALS = 60, 1500, 20
GROWTH = {
    "n_nodes": [(n, 1000, 1) for n in (50, 100, 200, 400, 800)],
    "n_times": [(100, n, 1) for n in (500, 1000, 2000, 4000, 8000)],
    "n_animals": [(60, 500, n) for n in (2, 4, 8, 16, 32)],
}
LARGEST = (2000, 5000, 1)


def simulated_traces(n_nodes: int, n_times: int, n_animals: int) -> xr.Dataset:
    """Return slow traces that share five courses."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(n_animals, n_times, 5)).cumsum(axis=1)
    loading = rng.random((5, n_nodes)) * (rng.random((5, n_nodes)) < 0.3)
    noise = rng.normal(size=(n_animals, n_times, n_nodes)).cumsum(axis=1)
    return signal(shared @ loading + 0.3 * noise, sampling_rate=4.0, dim="roi")


def simulated(n_nodes: int, n_times: int, n_animals: int, dtype: Any) -> FeatureAffinity:
    """Return the affinity of simulated traces."""
    traces = simulated_traces(n_nodes, n_times, n_animals)
    return differential_affinity(traces, bandwidth=2.0, smoothing=None, dtype=dtype)


def sweeper(model: NeuronModel | PairModel) -> Callable[[], object]:
    """Return a function that does one sweep, each from where the last one ended."""
    state = {"factors": model.start(RANK, np.random.default_rng(0))}

    def sweep() -> None:
        state["factors"], _ = model.sweep(state["factors"])

    return sweep


def per_sweep(model: NeuronModel | PairModel, repeats: int = 10) -> float:
    """Return the least time of a sweep [s]."""
    return interleaved({"sweep": sweeper(model)}, repeats)["sweep"]


def tensorly_hals(tensor: np.ndarray, n_sweeps: int) -> float:
    """Run tensorly's HALS from a random start and return its relative error."""
    from tensorly.decomposition import non_negative_parafac_hals

    _, errors = non_negative_parafac_hals(
        tensor,
        RANK,
        n_iter_max=n_sweeps,
        init="random",
        random_state=0,
        tol=1e-15,
        return_errors=True,
    )
    return float(errors[-1])


def speed() -> list[dict[str, Any]]:
    """Return ms per iteration and error after 50 iterations, ours and tensorly's."""
    wide = simulated(100, 1000, 1, np.float64)
    tensor = np.ascontiguousarray(pair_matrix(wide.dense().values[0], 100).transpose(1, 2, 0))
    few, many = 3, 13
    functions: dict[str, Callable[[], object]] = {
        "tensorly few": lambda: tensorly_hals(tensor, few),
        "tensorly many": lambda: tensorly_hals(tensor, many),
    }
    models = {
        name: NeuronModel(simulated(100, 1000, 1, dtype))
        for name, dtype in (("ours float64", np.float64), ("ours float32", np.float32))
    }
    functions.update({name: sweeper(model) for name, model in models.items()})
    best = interleaved(functions, 5)
    # without set-up and the copies that tensorly makes once
    theirs = (best["tensorly many"] - best["tensorly few"]) / (many - few)
    rows: list[dict[str, Any]] = [
        {
            "route": "tensorly HALS float64",
            "ms": 1e3 * theirs,
            "times_faster": 1.0,
            "error_at_50": tensorly_hals(tensor, N_ERROR_SWEEPS),
        }
    ]
    for name, model in models.items():
        rng = np.random.default_rng(0)
        _, errors = descend(model, RANK, rng, n_sweeps=N_ERROR_SWEEPS, tolerance=-1.0)
        ratio = theirs / best[name]
        rows.append(
            {
                "route": name,
                "ms": 1e3 * best[name],
                "times_faster": ratio,
                "error_at_50": errors[-1],
                "bar": SPEED_BAR,
                "passed": ratio >= SPEED_BAR,
            }
        )
    return rows


def memory_child(route: str) -> dict[str, Any]:
    """Return the peak [MB] above import and input of one route, in this process.

    The input is the traces; what a route makes of them counts, so tensorly's stored tensor does.
    """
    import tensorly.decomposition  # noqa: F401

    traces = simulated_traces(MEMORY_CELLS, MEMORY_TIMES, MEMORY_ANIMALS)
    before = reset_peak()
    affinity = differential_affinity(traces, bandwidth=2.0, smoothing=None)
    if route == "ours":
        rng = np.random.default_rng(0)
        descend(PairModel(affinity), RANK, rng, n_sweeps=3, tolerance=-1.0)
        return {"megabytes": (peak_bytes() - before) / 1e6}
    shape = (MEMORY_CELLS, MEMORY_CELLS, MEMORY_TIMES, MEMORY_ANIMALS)
    tensor = np.empty(shape)
    for animal in range(MEMORY_ANIMALS):
        block = affinity.block(animal, 0, MEMORY_TIMES)
        tensor[..., animal] = pair_matrix(block, MEMORY_CELLS).transpose(1, 2, 0)
    tensorly_hals(tensor, 3)
    return {"megabytes": (peak_bytes() - before) / 1e6}


def memory() -> list[dict[str, Any]]:
    """Return peak memory of ours and of tensorly, each in a process of its own."""
    rows = []
    for route in ("ours", "tensorly"):
        found = in_child("benchmarks.factorisation", "--child", route)["megabytes"]
        row: dict[str, Any] = {"route": route, "MB_above_import_and_input": found}
        if route == "ours":
            row.update(bar=MEMORY_BAR_MB, passed=found <= MEMORY_BAR_MB)
        rows.append(row)
    return rows


def growth() -> list[dict[str, Any]]:
    """Return time per iteration at growing sizes, fitted exponents, and the largest case."""
    rows = []
    for quantity, sizes in GROWTH.items():
        for mode in ("pairs", "neurons"):
            measured = []
            for size in sizes:
                affinity = simulated(*size, np.float32)
                model = PairModel(affinity) if mode == "pairs" else NeuronModel(affinity)
                measured.append(per_sweep(model, 3))
            along = [size[("n_nodes", "n_times", "n_animals").index(quantity)] for size in sizes]
            exponent = float(np.polyfit(np.log(along), np.log(measured), 1)[0])
            rows += [
                {"mode": mode, "quantity": quantity, "size": n, "ms": 1e3 * s, "exponent": exponent}
                for n, s in zip(along, measured)
            ]
    base = per_sweep(NeuronModel(simulated(100, 1000, 1, np.float32)))
    largest = per_sweep(NeuronModel(simulated(*LARGEST, np.float32)), 3)
    predicted = LARGEST[0] * LARGEST[1] / (100 * 1000)
    rows.append(
        {
            "mode": "neurons",
            "quantity": "largest",
            "size": LARGEST[0],
            "ms": 1e3 * largest,
            "times_100x1000": largest / base,
            "predicted_times": predicted,
        }
    )
    return rows


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw the growth of all modes and quantities beside one another."""
    from matplotlib.figure import Figure

    from neurodyn import plots

    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, 3), GROWTH):
        chosen = [row for row in rows if row["quantity"] == quantity]
        plots.growth(chosen, "size", "ms", "mode", ax=axes)
        axes.set_xlabel(quantity)
    figure.savefig(RESULTS / "factorisation_growth.png", dpi=110)


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--part", choices=("speed", "memory", "growth"))
    parser.add_argument("--child", choices=("ours", "tensorly"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    with threadpool_limits(1):
        if chosen.child:
            print(json.dumps(memory_child(chosen.child)))
            return
        for name, measure in (("speed", speed), ("memory", memory), ("growth", growth)):
            if chosen.part in (None, name):
                rows = measure()
                write_table(f"factorisation_{name}", rows)
                if name == "growth":
                    draw(rows)


if __name__ == "__main__":
    main()
