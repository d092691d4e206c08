"""Attention shared by all segments against attention of each, and how a training step grows.

    python -m benchmarks.brainmae_attention [--repeats 15]

CPU, one thread, CPU time, forward and backward. First one layer of attention between ROIs (64
sequences, 64 features, 4 heads): the package's static attention, whose matrix all sequences share,
against scores, learned bias and softmax of every sequence. The bar of 6 times is for attention
itself, from embeddings or queries and keys, and values to mixed values; the whole layer with its
projections of every ROI is measured beside it. Then update steps of the tiny model (batch 4, 20
segments of 10 frames) for 100 to 1000 ROIs, each in a process of its own: windows per second, peak
memory above the start, and the exponents of their growth with the number of ROIs.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._measure import in_child, peak_bytes, reset_peak, write_table
from neurodyn.models.brainmae.attention import StaticAttention, mix_shared
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.models.brainmae.objective import ReconstructionObjective
from neurodyn.models.brainmae.presets import preset

N_SEQUENCES, SIZE, N_HEADS, BAR = 64, 64, 4, 6.0
N_BATCH = 4
ROIS_OF_ATTENTION = (100, 200, 400)
ROIS_OF_STEP = (100, 200, 400, 700, 1000)


def naive_mix(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attend in every sequence by itself; dims (sequence, head, roi, feature)."""
    score = query @ key.mT / math.sqrt(query.shape[-1]) + bias
    score = score.masked_fill(torch.eye(score.shape[-1], dtype=torch.bool), -torch.inf)
    return score.softmax(-1) @ value


class NaiveAttention(nn.Module):
    """The same layer with scores of every sequence and a learned bias between ROIs."""

    def __init__(self, n_rois: int) -> None:
        super().__init__()
        self.query_key_value = nn.Linear(SIZE, 3 * SIZE, bias=False)
        self.mix = nn.Linear(SIZE, SIZE)
        self.bias = nn.Parameter(torch.randn(N_HEADS, n_rois, n_rois))

    def forward(self, node: Tensor) -> Tensor:
        """Mix ROIs, dims (sequence, roi, feature)."""
        split = self.query_key_value(node).view(*node.shape[:2], 3, N_HEADS, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = naive_mix(query, key, value, self.bias)
        mixed: Tensor = self.mix(seen.transpose(1, 2).flatten(2))
        return mixed


def cpu_time(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the least CPU time [s] of each function; they take turns after one warm-up."""
    best = dict.fromkeys(functions, float("inf"))
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            seconds = time.process_time() - start
            if turn:
                best[name] = min(best[name], seconds)
    return best


def compare(n_rois: int, repeats: int) -> dict[str, Any]:
    """Return the CPU time of both kinds of attention, forward and backward."""
    torch.manual_seed(0)
    static, naive = StaticAttention(SIZE, N_HEADS), NaiveAttention(n_rois)
    node = torch.randn(N_SEQUENCES, n_rois, SIZE, requires_grad=True)
    embedding = torch.randn(n_rois, SIZE, requires_grad=True)
    values = torch.randn(SIZE, N_SEQUENCES, n_rois, requires_grad=True)
    parts = torch.randn(3, N_SEQUENCES, N_HEADS, n_rois, SIZE // N_HEADS, requires_grad=True)
    to_node, to_values, to_part = (torch.randn_like(x) for x in (node, values, parts[0]))

    def gradients(mixed: Tensor, start: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(mixed, inputs, start)

    best = cpu_time(
        {
            "shared": lambda: gradients(
                mix_shared(values, static.weights(embedding)),
                to_values,
                *(values, embedding, static.query_key.weight),
            ),
            "naive": lambda: gradients(
                naive_mix(*parts, naive.bias), to_part, *(parts, naive.bias)
            ),
            "shared_layer": lambda: gradients(
                static(node, embedding), to_node, *(node, embedding, *static.parameters())
            ),
            "naive_layer": lambda: gradients(naive(node), to_node, *(node, *naive.parameters())),
        },
        repeats,
    )
    ratio, layer_ratio = (best["naive" + x] / best["shared" + x] for x in ("", "_layer"))
    verdict = {"bar": BAR, "passes": ratio >= BAR}
    return {"n_rois": n_rois, **best, "ratio": ratio, "layer_ratio": layer_ratio, **verdict}


def step(n_rois: int, repeats: int) -> dict[str, Any]:
    """Return speed and peak memory of update steps of the tiny model."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = preset("tiny")
    network = BrainMAENetwork(config, n_rois, config.n_frames)
    objective = ReconstructionObjective(config)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    bold = torch.randn(N_BATCH, config.n_segments, n_rois, config.n_frames)
    start = config.segment_duration * torch.arange(config.n_segments)
    batch = {
        "bold": bold,
        "observed": torch.ones_like(bold, dtype=torch.bool),
        "time": start.expand(N_BATCH, -1),
    }

    def update() -> None:
        optimizer.zero_grad()
        objective.loss(network, batch, None)["loss"].backward()
        optimizer.step()

    before = reset_peak()
    seconds = cpu_time({"update": update}, repeats)["update"]
    return {
        "n_rois": n_rois,
        "seconds": seconds,
        "windows_per_second": N_BATCH / seconds,
        "peak_mb": (peak_bytes() - before) / 1e6,
    }


def exponent(rows: list[dict[str, Any]], name: str) -> float:
    """Return the slope of a quantity against the number of ROIs on logarithmic axes."""
    n_rois, value = (np.log([row[key] for row in rows]) for key in ("n_rois", name))
    return float(np.polyfit(n_rois, value, 1)[0])


def main() -> None:
    """Measure and record both parts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(step(chosen.child, chosen.repeats)))
        return
    torch.set_num_threads(1)
    rows = [compare(n_rois, chosen.repeats) for n_rois in ROIS_OF_ATTENTION]
    write_table("brainmae_attention", rows, threads=1, features=SIZE, sequences=N_SEQUENCES)
    repeats = str(max(2, chosen.repeats // 3))
    module = "benchmarks.brainmae_attention"
    steps = [in_child(module, "--child", str(n), "--repeats", repeats) for n in ROIS_OF_STEP]
    growth = {f"{name}_exponent": exponent(steps, name) for name in ("seconds", "peak_mb")}
    print(growth)
    write_table("brainmae_step", steps, threads=1, batch=N_BATCH, **growth)


if __name__ == "__main__":
    main()
