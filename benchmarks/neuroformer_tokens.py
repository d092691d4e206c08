"""From spikes to tokens, and batches of windows out of them.

    python -m benchmarks.neuroformer_tokens [--units 500] [--minutes 10]

Poisson units at 10 Hz in bins of 10 ms. Tokens are made once per recording; a batch is 160 windows
of 50 ms with 150 ms of past. Bars: at least 1e6 spikes/s, at most 20 microseconds a window.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks._measure import interleaved, write_table
from neurodyn.models.neuroformer.config import NeuroformerConfig
from neurodyn.models.neuroformer.token_store import TokenStore
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
from neurodyn.recording import spikes_from_units

RATE, BATCH, TRIAL = 10.0, 160, 30.0
SPIKES_BAR, WINDOW_BAR = 1e6, 20.0


def measure(n_units: int, seconds: float) -> list[dict[str, object]]:
    """Return a row for one stretch and one for trials of 30 s."""
    rng = np.random.default_rng(0)
    size = rng.poisson(RATE * seconds, n_units)
    spikes = spikes_from_units(
        {f"u{i}": np.sort(rng.uniform(0, seconds, n)) for i, n in enumerate(size)}
    )
    config = NeuroformerConfig()
    tokenizer = SpikeTokenizer(
        units=tuple(spikes["unit"].values.tolist()), bin_size=config.bin_size, n_bins=config.n_bins
    )
    begin = np.arange(0.0, seconds, TRIAL)
    trials = np.column_stack([begin, begin + TRIAL])
    rows: list[dict[str, object]] = []
    for name, stretches in (("one stretch", np.array([[0.0, seconds]])), ("trials", trials)):
        windows = TokenWindows(TokenStore(spikes, tokenizer, stretches), config)
        best = interleaved(
            {
                "tokens": lambda s=stretches: TokenStore(spikes, tokenizer, s),
                "batch": lambda w=windows: w.gather(rng.integers(0, len(w), BATCH)),
            }
        )
        rate, window = size.sum() / best["tokens"], best["batch"] / BATCH * 1e6
        rows.append(
            {
                "recording": name,
                "spikes": int(size.sum()),
                "spikes_per_s": float(rate),
                "bar": SPIKES_BAR,
                "microseconds_per_window": window,
                "window_bar": WINDOW_BAR,
                "passed": bool(rate >= SPIKES_BAR and window <= WINDOW_BAR),
            }
        )
    return rows


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=10.0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(chosen.units, chosen.minutes * 60.0)
    write_table("neuroformer_tokens", rows, n_units=chosen.units, minutes=chosen.minutes)


if __name__ == "__main__":
    main()
