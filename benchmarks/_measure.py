"""What benchmarks share: interleaved timing, peak memory in a child process, tables and JSON."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurodyn.provenance import now, versions

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Return what kind of machine this is; no names."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    load = round(os.getloadavg()[0], 2)
    return {"cores": os.cpu_count(), "cpu": model, "system": platform.system(), "load": load}


def interleaved(
    functions: Mapping[str, Callable[[], object]], repeats: int = 5
) -> dict[str, float]:
    """Return the least time [s] of each function; they take turns after one warm-up of each.

    A result is dropped before the next call, so that every call allocates anew.
    """
    best = dict.fromkeys(functions, float("inf"))
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            result = function()
            seconds = time.perf_counter() - start
            del result
            if turn:
                best[name] = min(best[name], seconds)
    return best


def peak_bytes() -> int:
    """Return the highest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # unlike ru_maxrss this does not begin with the memory of the parent process
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def reset_peak() -> int:
    """Forget how high the memory of this process was; return how much it holds now.

    Raises
    ------
    OSError
        Where the system cannot do so: elsewhere than on Linux.
    """
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return peak_bytes()


def in_child(module: str, *arguments: str) -> Any:
    """Run a benchmark module in a fresh process and return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def write_table(name: str, rows: Sequence[Mapping[str, Any]], **more: Any) -> Path:
    """Print rows as a table and append them as one line to ``results/<name>.jsonl``."""
    if rows:
        keys = list(dict.fromkeys(key for row in rows for key in row))
        table = [keys, *([_text(row.get(key, "")) for key in keys] for row in rows)]
        widths = [max(len(line[column]) for line in table) for column in range(len(keys))]
        for line in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    record = {
        "benchmark": name,
        "time": now(),
        "machine": machine(),
        "versions": versions(),
        "rows": list(rows),
        **more,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    return path


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
