"""Training on windows of similar length against the published padding.

    python -m benchmarks.neuroformer_training [--batch 16] [--turns 5]

Sizes of ``preset("visnav")``: 2023 units, 13 spikes in a window of 50 ms and as many in its past,
three frames of 30 x 100 pixels, two gaze angles that are read and a speed that is decoded. Units
are Poisson with a common gain that changes every second (deviation half of its mean). A step is
loss, gradient, clipping and AdamW. "bucketed" batches come from ``TokenWindows.sampler``,
"published" are the same windows padded to blocks of 100 and 700 tokens, "random" are batches in
random order, each padded to its longest window; of an epoch a few that stand for all lengths. One
network; ways take turns; CPU time of one thread per window. Bar: at least 2.5 times less than
published. What is left are the movie, 121 tokens that every window has, and AdamW.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks._measure import write_table
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.presets import preset
from neurodyn.models.neuroformer.sampled_series import SampledSeries
from neurodyn.models.neuroformer.token_store import TokenStore
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import PAD, SpikeTokenizer
from neurodyn.recording import spikes_from_units
from neurodyn.training.config import TrainingConfig
from neurodyn.training.state import build_optimizer
from neurodyn.windows.samplers import BatchSampler

N_UNITS, SPIKES, SECONDS = 2023, 13.0, 60
BLOCK, PAST_BLOCK = 100, 700
FRAME, FRAME_RATE, GAIN_SHAPE = (1, 30, 100), 20, 4.0
BAR = 2.5


def population() -> TokenWindows:
    """Return windows of a synthetic population that sees a movie."""
    rng = np.random.default_rng(0)
    config = preset("visnav")
    gain = rng.gamma(GAIN_SHAPE, 1 / GAIN_SHAPE, SECONDS)
    size = rng.poisson(gain * SPIKES / config.window)
    time_of = np.concatenate([i + np.sort(rng.uniform(0, 1, n)) for i, n in enumerate(size)])
    owner = rng.integers(0, N_UNITS, time_of.size)
    spikes = spikes_from_units({f"u{i}": time_of[owner == i] for i in range(N_UNITS)})
    tokenizer = SpikeTokenizer(
        units=tuple(spikes["unit"].values.tolist()), bin_size=config.bin_size, n_bins=config.n_bins
    )
    clock = np.arange(SECONDS * FRAME_RATE) / FRAME_RATE
    series = {
        name: SampledSeries(rng.normal(size=(clock.size, 1)), clock)
        for name in ("phi", "theta", "speed")
    }
    frames = rng.random((clock.size, *FRAME), dtype=np.float32)
    series["stimulus"] = SampledSeries(frames, clock)
    store = TokenStore(spikes, tokenizer, np.array([[0.0, float(SECONDS)]]))
    return TokenWindows(store, config, series)


def published(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return windows padded to the published blocks; the last token is predicted, not read."""
    found = dict(batch)
    for names, length in ((("unit", "bin"), BLOCK + 1), (("past_unit", "past_bin"), PAST_BLOCK)):
        for name in names:
            found[name] = functional.pad(batch[name], (0, length - batch[name].shape[1]), value=PAD)
    return found


def representative(
    sampler: BatchSampler, windows: TokenWindows, n_batches: int
) -> list[dict[str, Tensor]]:
    """Return batches of an epoch that stand for all: the middles of equal shares by length."""
    n_all = len(windows) // sampler.batch_size
    epoch = sorted(
        (next(sampler) for _ in range(n_all)), key=lambda index: int(windows.n_tokens[index].sum())
    )
    return [windows.gather(epoch[int((i + 0.5) * n_all / n_batches)]) for i in range(n_batches)]


def measure(batch_size: int, turns: int) -> list[dict[str, object]]:
    """Return a row for each way to make batches."""
    windows, config = population(), preset("visnav")
    torch.manual_seed(0)
    network = NeuroformerNetwork(config, windows.sizes())
    network.set_scales(windows.scales())
    expected = torch.as_tensor(windows.store.expected_counts(windows.starts, windows.length))
    network.set_rates(expected)
    objective = NeuroformerObjective(config, expected)
    optimizer = build_optimizer(network, TrainingConfig())
    alike, mixed = (
        representative(sampler, windows, turns)
        for sampler in (windows.sampler(batch_size, 0), BatchSampler(len(windows), batch_size, 0))
    )
    seconds = dict.fromkeys(("published", "random", "bucketed"), 0.0)
    tokens = {name: np.zeros(2) for name in seconds}
    # the first turn warms up
    for turn in (-1, *range(turns)):
        for name, batch in (
            ("published", published(alike[turn])),
            ("random", mixed[turn]),
            ("bucketed", alike[turn]),
        ):
            begin = time.process_time()
            objective.loss(network, batch, None)["loss"].backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if turn >= 0:
                seconds[name] += time.process_time() - begin
                tokens[name] += [batch["unit"].shape[1] - 1, batch["past_unit"].shape[1]]
    rows: list[dict[str, object]] = [
        {
            "batches": name,
            "window_tokens": float(tokens[name][0]) / turns,
            "past_tokens": float(tokens[name][1]) / turns,
            "cpu_ms_per_window": 1e3 * total / turns / batch_size,
            "times_less": seconds["published"] / total,
        }
        for name, total in seconds.items()
    ]
    ratio = seconds["published"] / seconds["bucketed"]
    rows[-1] |= {"bar": BAR, "passed": bool(ratio >= BAR)}
    return rows


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(chosen.batch, chosen.turns)
    write_table("neuroformer_training", rows, batch=chosen.batch, turns=chosen.turns)


if __name__ == "__main__":
    main()
