"""From an NWB file to time-major counts, as a ratio to writing that much memory.

    python -m benchmarks.binning [--units 500] [--hours 1] [--without-pynapple]

500 units x 1 h at 10 Hz (18 M spikes, contiguous, warm cache) in 5 ms bins. The floor is the
least of five fresh allocate-and-fill runs of the output, after one warm-up and in turns with what
is measured. Peak memory is that of a fresh process above its imports.

Bars: file to counts at most 12 floors with numpy and 3 with numba, at least 10 times faster than
loading and counting with pynapple, peak memory at most the output and 250 MB.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._measure import in_child, interleaved, peak_bytes, write_table

BIN_SIZE, RATE, SEED = 0.005, 10.0, 0
ROUTES = ("numpy", "numba")
BARS = {"numpy": 12.0, "numba": 3.0}
MEMORY_BAR, PYNAPPLE_BAR = 250e6, 10.0


def write_file(path: Path, n_units: int, seconds: float) -> None:
    """Write an NWB file with Poisson units."""
    from pynwb import NWBHDF5IO, NWBFile

    rng = np.random.default_rng(SEED)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    file = NWBFile("benchmark", "benchmark", start)
    for _ in range(n_units):
        times = np.sort(rng.uniform(0.0, seconds, rng.poisson(RATE * seconds)))
        file.add_unit(spike_times=times)
    with NWBHDF5IO(path, "w") as io:
        # no column is to be appended to: contiguous
        io.write(file, expandable=())


def to_counts(path: Path, seconds: float, route: Any) -> Any:
    """Open a file and bin it."""
    from neurodyn import io
    from neurodyn.transforms import bin_spikes

    return bin_spikes(io.open(path), BIN_SIZE, start=0.0, stop=seconds, route=route)


def fill(n_bins: int, n_units: int) -> np.ndarray:
    """Allocate the output and write all of it."""
    array = np.empty((n_bins, n_units), dtype=np.uint8)
    array.fill(1)
    return array


def peak(path: Path, seconds: float, route: str) -> None:
    """Print how much memory this process needs above its imports."""
    warm = np.random.default_rng(0).uniform(0, 1, 100)
    with tempfile.TemporaryDirectory() as folder:
        # a small file first: everything is imported and compiled
        small = Path(folder) / "small.nwb"
        write_file(small, 2, float(warm.size))
        to_counts(small, 10.0, route)
    before = peak_bytes()
    result = to_counts(path, seconds, route)
    print(json.dumps({"above": peak_bytes() - before, "output": int(result["count"].nbytes)}))


def pynapple(path: Path, seconds: float) -> None:
    """Print how long pynapple takes for load and count."""
    warnings.simplefilter("ignore")
    import pynapple as nap

    def run() -> object:
        units = nap.load_file(str(path))["units"]
        return units.count(BIN_SIZE, ep=nap.IntervalSet(0.0, seconds))

    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    print(json.dumps({"seconds": best}))


def measure(path: Path, n_units: int, seconds: float, with_pynapple: bool) -> list[dict[str, Any]]:
    """Return a row per route."""
    n_bins = round(seconds / BIN_SIZE)
    steps: dict[str, Any] = {"floor": lambda: fill(n_bins, n_units)}
    for route in ROUTES:
        steps[route] = lambda route=route: to_counts(path, seconds, route)
    best = interleaved(steps)
    other = None
    if with_pynapple:
        other = in_child("benchmarks.binning", "--pynapple", str(path), str(seconds))["seconds"]
    rows = []
    for route in ROUTES:
        memory = in_child("benchmarks.binning", "--peak", str(path), str(seconds), route)
        extra = memory["above"] - memory["output"]
        row = {
            "route": route,
            "milliseconds": best[route] * 1e3,
            "floor_ms": best["floor"] * 1e3,
            "floors": best[route] / best["floor"],
            "bar": BARS[route],
            "MB_above_output": extra / 1e6,
        }
        passed = row["floors"] <= BARS[route] and extra <= MEMORY_BAR
        if other is not None:
            row["times_faster_than_pynapple"] = other / best[route]
            passed &= other / best[route] >= PYNAPPLE_BAR
        rows.append({**row, "passed": bool(passed)})
    return rows


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--without-pynapple", action="store_true")
    parser.add_argument("--peak", nargs=3, metavar=("FILE", "SECONDS", "ROUTE"))
    parser.add_argument("--pynapple", nargs=2, metavar=("FILE", "SECONDS"))
    chosen = parser.parse_args()
    if chosen.peak:
        peak(Path(chosen.peak[0]), float(chosen.peak[1]), chosen.peak[2])
    elif chosen.pynapple:
        pynapple(Path(chosen.pynapple[0]), float(chosen.pynapple[1]))
    else:
        seconds = chosen.hours * 3600.0
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "units.nwb"
            write_file(path, chosen.units, seconds)
            rows = measure(path, chosen.units, seconds, not chosen.without_pynapple)
        write_table("binning", rows, n_units=chosen.units, hours=chosen.hours)


if __name__ == "__main__":
    main()
