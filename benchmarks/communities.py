"""Communities of the weighted LFR graphs of Dyballa et al. (2024): agreement and time.

    python -m benchmarks.communities [--rivals] [--every 1]

71 graphs of 125 nodes in nine settings; graphs of one community are left out, as in the paper.
The score is the normalised mutual information (arithmetic) of the planted and the found
communities, averaged first over the graphs of a setting, then over settings. No row may look at
the planted communities, except the one named oracle: the best level of graph-tool's hierarchy,
which is what the paper reports. Every edge counts once (the paper adds each twice).

Times are CPU seconds on one thread, of graph-tool less those of its start (the least of some).
``--rivals`` runs graph-tool too, ``--every`` takes every n-th graph only. Bars: mean 0.42, and at
most 1 s for each graph.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from sklearn.metrics import normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from benchmarks._measure import write_table
from neurodyn.io.arrays import read_npz
from neurodyn.models.connectome.communities import (
    BlockModelConfig,
    find_communities,
    graph_tool_communities,
    louvain_communities,
)

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "lfr_weighted_benchmark"
N_NODES, SEED, N_STARTS = 125, 13, 6


class Graph(NamedTuple):
    """One graph of the benchmark."""

    setting: int
    weights: np.ndarray
    planted: np.ndarray


def graphs(every: int) -> Iterator[Graph]:
    """Yield every n-th graph with more than one community."""
    data = read_npz(SHARED / "lfr90.npz")
    chosen = np.flatnonzero(data["labels"].max(axis=1) > 0)[::every]
    for graph in chosen.tolist():
        part = slice(*data["offset"][graph : graph + 2])
        weights = np.zeros((N_NODES, N_NODES))
        weights[data["src"][part], data["dst"][part]] = data["weight"][part]
        yield Graph(int(data["config"][graph]), weights + weights.T, data["labels"][graph])


def cpu_seconds() -> float:
    """Return CPU seconds of this process and of the children that have ended."""
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + of_children.ru_utime + of_children.ru_stime


def agreement(planted: np.ndarray, found: np.ndarray) -> float:
    return float(normalized_mutual_info_score(planted, found))


def measure(
    find: Callable[[np.ndarray], xr.Dataset], every: int, start_seconds: float = 0.0
) -> dict[str, list[Any]]:
    """Return per graph: setting, score, best score of any level, communities, seconds."""
    measured: dict[str, list[Any]] = {
        name: [] for name in ("setting", "nmi", "best_level", "communities", "seconds")
    }
    for graph in graphs(every):
        start = cpu_seconds()
        found = find(graph.weights)
        measured["seconds"].append(cpu_seconds() - start - start_seconds)
        levels = found["level_community"] if "level_community" in found else [found["community"]]
        scores = [agreement(graph.planted, np.asarray(level)) for level in levels]
        measured["setting"].append(graph.setting)
        measured["nmi"].append(agreement(graph.planted, found["community"].values))
        measured["best_level"].append(max(scores))
        measured["communities"].append(int(found["n_communities"]))
    return measured


def row(name: str, measured: dict[str, list[Any]], score: str = "nmi") -> dict[str, Any]:
    """Return one line of the table."""
    setting, scores = np.array(measured["setting"]), np.array(measured[score])
    means = [round(float(scores[setting == k].mean()), 3) for k in np.unique(setting)]
    return {
        "method": name,
        "nmi_by_setting": means,
        "mean_nmi": round(float(np.mean(means)), 4),
        "communities": round(float(np.mean(measured["communities"])), 1),
        "seconds_median": round(float(np.median(measured["seconds"])), 3),
        "seconds_most": round(float(np.max(measured["seconds"])), 3),
        "n_graphs": len(scores),
    }


def ours(**settings: Any) -> Callable[[np.ndarray], xr.Dataset]:
    return lambda weights: find_communities(weights, BlockModelConfig(**settings), seed=SEED)


def start_of_graph_tool() -> float:
    """Return the least CPU seconds that graph-tool took for a triangle, of some calls."""
    seconds = []
    for _ in range(N_STARTS):
        before = cpu_seconds()
        graph_tool_communities(np.ones((3, 3)), seed=SEED)
        seconds.append(cpu_seconds() - before)
    return min(seconds)


OURS: dict[str, dict[str, Any]] = {
    "block model": {},
    "block model, exponential": {"family": "exponential"},
    "block model, no strength correction": {"strength_correction": False},
    "block model, degree-corrected edges": {"edges": "degree_corrected"},
}


def of_graph_tool(every: int, own: list[float]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the lines of graph-tool, and its time over ours: least, median, most."""
    start = start_of_graph_tool()
    nested = measure(lambda w: graph_tool_communities(w, seed=SEED), every, start)
    flat = measure(lambda w: graph_tool_communities(w, nested=False, seed=SEED), every, start)
    rows = [
        row("graph-tool nested, lowest level", nested),
        row("graph-tool nested, best level (oracle)", nested, "best_level"),
        row("graph-tool flat", flat),
    ]
    more: dict[str, Any] = {"graph_tool_start_seconds": round(start, 2)}
    for name, measured in (("nested", nested), ("flat", flat)):
        ratio = np.quantile(np.array(measured["seconds"]) / np.array(own), [0, 0.5, 1])
        more[f"graph_tool_{name}_seconds_over_ours"] = ratio.round(2).tolist()
    return rows, more


def main() -> None:
    """Measure, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rivals", action="store_true", help="graph-tool too (some minutes)")
    parser.add_argument("--every", type=int, default=1)
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of graph-tool
    with threadpool_limits(1):
        # compiled code is loaded before the clock starts
        ours()(next(graphs(1)).weights)
        found = {name: measure(ours(**given), chosen.every) for name, given in OURS.items()}
        found["Louvain"] = measure(lambda w: louvain_communities(w, seed=SEED), chosen.every)
    rows = [row(name, measured) for name, measured in found.items()]
    more: dict[str, Any] = {}
    if chosen.rivals:
        theirs, more = of_graph_tool(chosen.every, found["block model"]["seconds"])
        rows += theirs
        print(more)
    write_table("communities", rows, seed=SEED, **more)


if __name__ == "__main__":
    main()
