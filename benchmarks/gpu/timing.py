"""Median times on a device, and functions captured as CUDA graphs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

#: How long one measurement lasts [s] and how often it repeats at most and at least.
LASTS, MOST, FEWEST = 0.25, 200, 5
#: More than the second-level cache of any GPU [bytes].
CACHE = 256 * 2**20


def measure(
    step: Callable[[], Any], device: torch.device, *, flush: bool = False
) -> dict[str, Any]:
    """Return the median time of a function [ms], its quartiles and the memory it takes at most.

    Two calls warm up, a third tells how many fit; times are taken by events of the device.
    """
    if device.type != "cuda":
        # an interpreter's time only shows that it came to an end
        return _summary([_seconds(step, device)], 0)
    for _ in range(2):
        step()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    once = _seconds(step, device)
    peak = torch.cuda.max_memory_allocated() - before
    repeats = min(MOST, max(FEWEST, math.ceil(LASTS / once)))
    pad = torch.empty(CACHE if flush else 0, dtype=torch.int8, device=device)
    marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for start, end in marks:
        pad.zero_()
        start.record()
        step()
        end.record()
    torch.cuda.synchronize()
    return _summary([start.elapsed_time(end) / 1e3 for start, end in marks], peak)


def passing(
    run: Callable[[], tuple[Tensor, ...]], leaves: Sequence[Tensor], passes: str
) -> Callable[[], Any]:
    """Return what runs a function forward, or forward and backward with random gradients."""
    with torch.no_grad():
        incoming = [torch.randn_like(x) for x in run()]

    def step() -> Any:
        if passes == "forward":
            with torch.no_grad():
                return run()
        return torch.autograd.grad(run(), leaves, incoming)

    return step


def graphed(step: Callable[[], Any]) -> Callable[[], None]:
    """Capture a function as a CUDA graph and return its replay."""
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(2):
            step()
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step()

    def replay(_kept: Any = (step, results)) -> None:
        # what was captured reads and writes the memory of these
        graph.replay()

    return replay


def synchronize(device: torch.device) -> None:
    """Wait for everything that a device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def _seconds(step: Callable[[], Any], device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    step()
    synchronize(device)
    return time.perf_counter() - start


def _summary(seconds: list[float], peak: int) -> dict[str, Any]:
    times: Tensor = 1e3 * torch.tensor(seconds, dtype=torch.float64)
    low, median, high = times.quantile(torch.tensor([0.25, 0.5, 0.75]).double()).tolist()
    return {"ms": median, "quartiles": [low, high], "repeats": len(seconds), "peak_mb": peak / 1e6}
