"""Run cases one after another in a process that may die of them."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.bare import kernels
from benchmarks.gpu.case import Case
from benchmarks.gpu.timing import measure, synchronize

#: What a message of a device holds after which nothing works in this process any more.
FATAL = ("CUDA error", "Triton Error [CUDA]", "CUBLAS_STATUS", "CUDNN_STATUS")


def work(cases: Sequence[Case], results: Path, device: torch.device, deadline: float) -> bool:
    """Run cases and append each result at once.

    Parameters
    ----------
    cases
        What to run, in this order.
    results
        JSON lines to append to; beside it, ``.running`` names the present case.
    device
        Where.
    deadline
        No case starts that would be over later than this [s since 1970].

    Returns
    -------
    bool
        Whether the process can go on; a fault of the device spoils it for all later cases.
    """
    running = results.with_suffix(".running")
    for case in cases:
        if time.time() + case.seconds > deadline:
            continue
        running.write_text(case.name, encoding="utf-8")
        row = run(case, device)
        append(results, row)
        if any(text in row.get("error", "") for text in FATAL):
            return False
    return True


def append(results: Path, row: dict[str, Any]) -> None:
    """Add one line to a file."""
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def about(case: Case) -> dict[str, Any]:
    """Return what a row says of its case."""
    names = ("kernel", "size", "version", "passes", "name", "digest")
    return {name: getattr(case, name) for name in names}


def run(case: Case, device: torch.device) -> dict[str, Any]:
    """Return the result of one case, or the error that it ended with."""
    start = time.perf_counter()
    torch.manual_seed(0)
    row = about(case)
    try:
        with _routes() as routes:
            row.update(_result(case, device))
        row["routes"] = dict(routes)
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {error}"
    gc.collect()
    if device.type == "cuda" and "error" not in row:
        torch.cuda.empty_cache()
    return {**row, "seconds": round(time.perf_counter() - start, 2)}


def _result(case: Case, device: torch.device) -> dict[str, Any]:
    work = case.build(device)
    if case.version == "check":
        found: dict[str, Any] = work.step()
        return found
    floors = {"n_bytes": work.n_bytes, "n_operations": work.n_operations, "unit": work.unit}
    return {**measure(work.step, device, flush=work.flush), **floors}


def compile_ahead(cases: Sequence[Case], device: torch.device) -> None:
    """Run cases once so that their kernels lie compiled in Triton's cache on disk."""
    for case in cases:
        # What is wrong with it will be seen, and recorded, when its turn comes.
        with contextlib.suppress(Exception):
            case.build(device).step()
            synchronize(device)


@contextlib.contextmanager
def _routes() -> Iterator[dict[str, str]]:
    """Note which implementations run; on a CPU they are the interpreted Triton kernels."""
    dispatch = kernels("dispatch")
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    force = dispatch.forced("triton") if interpreted else contextlib.nullcontext()
    with force, dispatch.recorded() as routes:
        yield routes
