"""Generation of spikes: rows with a cache against one window after another without.

    python -m benchmarks.neuroformer_generation [--rows 32] [--turns 5]

Sizes of ``preset("v1al")``: 386 units, windows of 50 ms with some ten spikes, 150 ms of past, four
frames of 64 x 112 pixels. The plain loop is that of the public code: batch 1, window and past
padded to 100 tokens, and for every token the whole network anew, movie included. Ours generates
windows of as many trials, which see the same movie and have pasts of their own, side by side.
Both are untrained and draw with the probabilities of the same Poisson process. CPU time of one
thread per token, spikes and ends, is compared; runs take turns. Bar: at least 60 times less.
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from torch import Tensor

from benchmarks._measure import write_table
from neurodyn.models.neuroformer.config import NeuroformerSizes
from neurodyn.models.neuroformer.generation import Sampling, sample_windows
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.presets import preset
from neurodyn.models.neuroformer.tokenizer import EOS, FIRST_UNIT, PAD, SOS

N_UNITS, FRAMES, STEP = 386, (4, 1, 64, 112), 0.05
SPIKES, BLOCK, BAR = 10, 100, 60.0


def made() -> NeuroformerNetwork:
    """Return an untrained network of the published sizes that knows the rates."""
    torch.manual_seed(0)
    config = preset("v1al")
    sizes = NeuroformerSizes(n_units=N_UNITS, stimulus=FRAMES, stimulus_step=STEP)
    network = NeuroformerNetwork(config, sizes).eval()
    # spikes of a bin come one after another, each as likely as the first
    expected = math.log1p(SPIKES / config.n_bins)
    network.set_rates(torch.full((N_UNITS,), expected / N_UNITS))
    return network


def trials(
    network: NeuroformerNetwork, n_rows: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return what windows of trials read: one movie, and as many past spikes as rates say."""
    size = torch.poisson(torch.full((n_rows,), 3.0 * SPIKES), generator=generator).long()
    known = torch.arange(int(size.max())) < size[:, None]
    unit = torch.randint(FIRST_UNIT, FIRST_UNIT + N_UNITS, known.shape, generator=generator)
    n_past = network.config.n_past_bins
    bins = torch.randint(-n_past, 0, known.shape, generator=generator).sort(1).values
    frames = torch.rand(1, *FRAMES, generator=generator).expand(n_rows, *FRAMES)
    onset = STEP / network.config.bin_size * torch.arange(-FRAMES[0], 0).float()
    return {
        "past_unit": torch.where(known, unit, PAD),
        "past_bin": torch.where(known, bins, 0),
        "stimulus": frames,
        "stimulus_time": onset.expand(n_rows, -1),
        "stimulus_known": torch.ones(n_rows, FRAMES[0], dtype=torch.bool),
        "stimulus_row": torch.arange(FRAMES[0]).expand(n_rows, -1),
    }


def plain_loop(
    network: NeuroformerNetwork, batch: dict[str, Tensor], generator: torch.Generator
) -> int:
    """Generate one window without a cache and return how many tokens were drawn."""
    given = dict(batch)
    for name in ("past_unit", "past_bin"):
        padded = torch.full((1, BLOCK), PAD)
        own = batch[name][:, -BLOCK:]
        padded[:, : own.shape[1]] = own
        given[name] = padded
    unit, bins = torch.full((2, 1, BLOCK + 1), PAD)
    unit[0, 0] = SOS
    head, n_bins = network.head, network.config.n_bins
    for position in range(1, BLOCK):
        # the network predicts from all tokens but the last
        hidden = network({**given, "unit": unit, "bin": bins}).hidden[:, position - 1]
        last_bin, last_unit = bins[:, position - 1], unit[:, position - 1]
        choice = torch.multinomial(
            head.bin_log_prob(hidden, last_bin).exp(), 1, generator=generator
        )[:, 0]
        bins[:, position] = choice
        if int(choice) == n_bins:
            unit[:, position] = EOS
            return position
        given_bin = head.unit_log_prob(hidden, choice, last_unit, last_bin).exp()
        unit[:, position] = FIRST_UNIT + torch.multinomial(given_bin, 1, generator=generator)[:, 0]
    return BLOCK - 1


def cached(
    network: NeuroformerNetwork, batch: dict[str, Tensor], generator: torch.Generator
) -> int:
    """Generate windows side by side and return how many tokens were drawn."""
    sampling = Sampling(max_spikes=BLOCK - 2)
    found = sample_windows(network, batch, sampling=sampling, generator=generator)
    return int((found.unit >= EOS).sum())


@torch.inference_mode()
def measure(n_rows: int, turns: int) -> list[dict[str, object]]:
    """Return a row for each way to generate."""
    network, generator = made(), torch.Generator().manual_seed(0)
    seconds = dict.fromkeys(("plain", "one", "rows"), 0.0)
    tokens = dict.fromkeys(seconds, 0)
    for turn in range(turns + 1):
        batch = trials(network, n_rows, generator)
        first = {name: value[:1] for name, value in batch.items()}
        for name, function, own in (
            ("plain", plain_loop, first),
            ("one", cached, first),
            ("rows", cached, batch),
        ):
            begin = time.process_time()
            n_tokens = function(network, own, generator)
            # the first turn warms up
            if turn:
                seconds[name] += time.process_time() - begin
                tokens[name] += n_tokens
    milliseconds = {name: 1e3 * seconds[name] / tokens[name] for name in seconds}
    ratio = milliseconds["plain"] / milliseconds["rows"]
    labels = {
        "plain": "plain loop, batch 1",
        "one": "cache, batch 1",
        "rows": f"cache, {n_rows} trials",
    }
    return [
        {
            "generation": label,
            "tokens": tokens[name],
            "cpu_ms_per_token": milliseconds[name],
            "times_less": milliseconds["plain"] / milliseconds[name],
            **({"bar": BAR, "passed": bool(ratio >= BAR)} if name == "rows" else {}),
        }
        for name, label in labels.items()
    ]


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(chosen.rows, chosen.turns)
    write_table("neuroformer_generation", rows, n_rows=chosen.rows, turns=chosen.turns)


if __name__ == "__main__":
    main()
