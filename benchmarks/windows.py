"""Batches of windows, as a ratio to a slice and cast of the same bytes.

    python -m benchmarks.windows

64 windows of 1 s at 5 ms and 500 units, out of an hour of counts, on one thread. Bar: at most 3.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks._measure import interleaved, write_table
from neurodyn.recording import counts
from neurodyn.windows import BatchSampler, Windows

BATCH, LENGTH, N_UNITS, N_BINS = 64, 200, 500, 720_000
BAR, REPEATS = 3.0, 60


def measure() -> list[dict[str, object]]:
    """Return a row without and with a mask of observation."""
    rng = np.random.default_rng(0)
    values = rng.poisson(0.05, (N_BINS // 10, N_UNITS)).astype(np.uint8)
    count = np.tile(values, (10, 1))
    flat = torch.from_numpy(count)
    rows: list[dict[str, object]] = []
    for masked in (False, True):
        mask = rng.random(N_BINS) > 0.01 if masked else None
        windows = Windows(counts(count, bin_size=0.005, observed=mask), LENGTH)
        sampler = BatchSampler(len(windows), BATCH, seed=0)

        def slice_and_cast() -> torch.Tensor:
            start = int(rng.integers(0, N_BINS - BATCH * LENGTH))
            return flat[start : start + BATCH * LENGTH].to(torch.float32)

        best = interleaved(
            {
                "floor": slice_and_cast,
                "gather": lambda w=windows, s=sampler: w.gather(next(s)),
            },
            REPEATS,
        )
        ratio = best["gather"] / best["floor"]
        rows.append(
            {
                "mask": masked,
                "milliseconds": best["gather"] * 1e3,
                "floor_ms": best["floor"] * 1e3,
                "floors": ratio,
                "bar": BAR,
                "passed": ratio <= BAR,
            }
        )
    return rows


def main() -> None:
    """Measure, print and record."""
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    torch.set_num_threads(1)
    write_table("windows", measure(), batch=BATCH, length=LENGTH, n_units=N_UNITS)


if __name__ == "__main__":
    main()
