"""Cost against how much is read: past tokens and tokens of a movie.

    python -m benchmarks.neuroformer_context [--turns 3]

Windows of 13 spikes, sizes of the published stacks (256 features, 8 heads). "past": 6 blocks over
the window, 6 that read 64 to 4096 past spikes, which have embeddings alone. "movie": in place of
the past 64 to 4096 patches of one frame, through as many layers of self-attention as
``preset("v1al")`` has (6), and without (0). Forward and backward, CPU time of one thread a window;
lengths take turns. ``exponent`` is the slope of log cost over log length; ``at_the_end`` that from
the last but one length to the last; ``of_what_is_added`` the slope, from 1024 tokens to 4096, of
what they cost beyond the shortest, which leaves out the window's own.

The paper claims cost linear in the context. That holds for what is only read (of what is added:
1.0): cross attention is linear. It does not for a stimulus that mixes by self-attention, whose
scores grow with the square (1.7 at the end and still rising).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks._measure import write_table
from neurodyn.models.neuroformer.config import (
    NeuroformerConfig,
    NeuroformerSizes,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.likelihood import token_log_likelihood
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.tokenizer import EOS, FIRST_UNIT, SOS

N_UNITS, SPIKES, N_LAYERS = 386, 13, 6
TOKENS, PATCH = (64, 128, 256, 512, 1024, 2048, 4096), 4


def window(config: NeuroformerConfig) -> dict[str, Tensor]:
    """Return one window of spikes in canonical order."""
    unit = torch.randint(FIRST_UNIT, FIRST_UNIT + N_UNITS, (SPIKES,)).sort().values
    bins = torch.randint(0, config.n_bins, (SPIKES,)).sort().values
    # one after another in bin and unit: canonical
    return {
        "unit": functional.pad(functional.pad(unit, (1, 0), value=SOS), (0, 1), value=EOS)[None],
        "bin": functional.pad(functional.pad(bins, (1, 0)), (0, 1), value=config.n_bins)[None],
    }


def reads_past(n_tokens: int) -> tuple[NeuroformerNetwork, dict[str, Tensor]]:
    """Return a network and a window with so many spikes before it."""
    stages = (Stage(n_layers=N_LAYERS), Stage(source="past", n_layers=N_LAYERS))
    config = NeuroformerConfig(past=2.0, stages=stages, dropout=0.0)
    batch = window(config)
    batch["past_unit"] = torch.randint(FIRST_UNIT, FIRST_UNIT + N_UNITS, (1, n_tokens))
    batch["past_bin"] = torch.randint(-config.n_past_bins, 0, (1, n_tokens)).sort().values
    return NeuroformerNetwork(config, NeuroformerSizes(n_units=N_UNITS)), batch


def sees_movie(n_tokens: int, n_layers: int) -> tuple[NeuroformerNetwork, dict[str, Tensor]]:
    """Return a network and a window with a frame of so many patches before it."""
    kernel = (1, PATCH, PATCH)
    stimulus = StimulusInput(window=0.05, kernel=kernel, stride=kernel, n_layers=n_layers)
    stages = (Stage(n_layers=N_LAYERS), Stage(source="stimulus", n_layers=N_LAYERS))
    config = NeuroformerConfig(stages=stages, stimulus=stimulus, dropout=0.0)
    frame = (1, 1, 8 * PATCH, n_tokens // 8 * PATCH)
    batch = window(config)
    batch["stimulus"] = torch.rand(1, *frame)
    batch["stimulus_time"] = torch.full((1, 1), -5.0)
    batch["stimulus_known"] = torch.ones(1, 1, dtype=torch.bool)
    batch["stimulus_row"] = torch.zeros(1, 1, dtype=torch.int64)
    sizes = NeuroformerSizes(n_units=N_UNITS, stimulus=frame, stimulus_step=0.05)
    return NeuroformerNetwork(config, sizes), batch


def milliseconds(
    build: Callable[[int], tuple[NeuroformerNetwork, dict[str, Tensor]]], turns: int
) -> list[float]:
    """Return the least CPU time of forward and backward for each length [ms]."""
    torch.manual_seed(0)
    built = [build(n_tokens) for n_tokens in TOKENS]
    best = [float("inf")] * len(built)
    for turn in range(turns + 1):
        for place, (network, batch) in enumerate(built):
            network.zero_grad(set_to_none=True)
            begin = time.process_time()
            token_log_likelihood(network, batch).sum().backward()
            # the first turn warms up
            if turn:
                best[place] = min(best[place], 1e3 * (time.process_time() - begin))
    return best


def measure(turns: int) -> list[dict[str, object]]:
    """Return a row for each way to read."""
    rows: list[dict[str, object]] = []
    for name, build in (
        ("past, no layers of its own", reads_past),
        ("movie, no layers of its own", lambda n: sees_movie(n, 0)),
        ("movie, 6 layers of self-attention", lambda n: sees_movie(n, N_LAYERS)),
    ):
        cost = milliseconds(build, turns)
        slopes = np.diff(np.log(cost)) / np.diff(np.log(TOKENS))
        # over a quarter of the tokens that the longest has more than the shortest
        more = [(x[-1] - x[0]) / (x[-3] - x[0]) for x in (cost, TOKENS)]
        rows.append(
            {
                "context": name,
                "tokens": list(TOKENS),
                "cpu_ms": cost,
                "exponent": float(np.polyfit(np.log(TOKENS), np.log(cost), 1)[0]),
                "at_the_end": float(slopes[-1]),
                "of_what_is_added": float(np.log(more[0]) / np.log(more[1])),
            }
        )
    return rows


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    write_table("neuroformer_context", measure(chosen.turns), turns=chosen.turns)


if __name__ == "__main__":
    main()
