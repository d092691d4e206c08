"""Neuroformer's generation: the step of a token as a CUDA graph, without it, and the plain loop.

Networks are untrained and never end a window by themselves, so that every window has the same
number of tokens. ``ours`` replays graphs; ``eager`` runs the same operations one by one and must
give the same samples; ``growing`` is the loop for CPUs, whose cache grows; ``plain of 1`` is that
of the public code: one window at a time, and for every token the whole network anew. Times are of
a batch of windows, past and stimulus encoded once; those of the plain loop of one window.

    python -m benchmarks.gpu.generation [--device cpu --tiny]

prints tokens per second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu import worker
from benchmarks.gpu.accuracy import compare
from benchmarks.gpu.bare import PACKAGE, kernels
from benchmarks.gpu.case import Case, Workload
from benchmarks.gpu.report import Target

NAME = "generation"
TARGETS = [
    Target(NAME, "3 x over the same without graphs", ("eager",), ("ours",), 3),
    Target(NAME, "3 x over the growing cache", ("growing",), ("ours",), 3),
]
N_UNITS, FRAMES, FRAME_STEP, N_PAST, N_SPIKES = 386, (4, 1, 64, 112), 0.05, 30, 15
SIZES = (("v1al", 32), ("v1al", 256), ("small", 256))
#: Batches of a check, whose pasts differ in length.
N_CHECKED = 3

Batch = dict[str, Tensor]


class Size(NamedTuple):
    """A named size of network, and windows side by side."""

    preset: str
    n_rows: int

    @property
    def label(self) -> str:
        """The size as a text."""
        return f"{self.preset} {self.n_rows} windows of {N_SPIKES + 1} tokens"


def cases(tiny: bool) -> list[Case]:
    """Return checks and times at all sizes."""
    sizes = [Size("small", 3)] if tiny else [Size(*x) for x in SIZES]
    versions = {"ours": graph, "eager": eager, "growing": growing, "plain of 1": plain}
    checks = [
        Case(NAME, size.label, "check", "forward", partial(check, size), rank=14 + i, seconds=6)
        for i, size in enumerate(sizes)
    ]
    times = [
        Case(
            NAME, size.label, name, "forward", partial(timed, size, version),
            rank=27 + i + place / 10, seconds=4,
        )
        for i, size in enumerate(sizes)
        for place, (name, version) in enumerate(versions.items())
    ]  # fmt: skip
    return [*checks, *times]


def neuroformer(name: str) -> ModuleType:
    """Return a module of the model, which needs torch and numpy, its package needs more."""
    kernels("dispatch")
    try:
        import neurodyn.models  # noqa: F401
    except ModuleNotFoundError as missing:
        if missing.name != "lazy_loader":
            raise
        parent = ModuleType("neurodyn.models")
        parent.__path__ = [str(PACKAGE / "models")]
        sys.modules["neurodyn.models"] = parent
    return import_module(f"neurodyn.models.neuroformer.{name}")


def made(size: Size, device: torch.device) -> Any:
    """Return a network with random heads that never ends a window."""
    config = neuroformer("presets").preset(size.preset)
    shapes = {"stimulus": FRAMES, "stimulus_step": FRAME_STEP} if config.stimulus else {}
    sizes = neuroformer("config").NeuroformerSizes(n_units=N_UNITS, **shapes)
    network = neuroformer("network").NeuroformerNetwork(config, sizes)
    with torch.no_grad():
        torch.nn.init.normal_(network.head.bin.weight, std=0.1)
        # bins are given in order: later ones must not be likely at once
        network.head.bin.bias.copy_(-0.5 * torch.arange(config.n_bins + 1.0))
        network.head.bin.bias[-1] = -1e4
    return network.eval().to(device)


def windows(network: Any, n_rows: int, n_past: int, device: torch.device) -> Batch:
    """Return what windows of trials read: random pasts and, if the network has one, one movie."""
    config, shape = network.config, (n_rows, n_past)
    unit = torch.randint(3, 3 + N_UNITS, shape, device=device)
    bins = torch.randint(-config.n_past_bins, 0, shape, device=device).sort(1).values
    batch = {"past_unit": unit, "past_bin": bins}
    if config.stimulus is not None:
        n_frames = FRAMES[0]
        onset = FRAME_STEP / config.bin_size * torch.arange(-n_frames, 0, device=device).float()
        batch |= {
            "stimulus": torch.rand(1, *FRAMES, device=device).expand(n_rows, *FRAMES),
            "stimulus_time": onset.expand(n_rows, -1),
            "stimulus_known": torch.ones(n_rows, n_frames, dtype=torch.bool, device=device),
            "stimulus_row": torch.arange(n_frames, device=device).expand(n_rows, -1),
        }
    return batch


def stepped(network: Any, device: torch.device, *, capture: bool) -> Callable[[Batch], Any]:
    """Return the step of fixed shapes, with graphs or without; a CPU has none."""
    captured = capture and device.type == "cuda"
    sampling = neuroformer("generation").Sampling(max_spikes=N_SPIKES, capture=captured)
    generator = torch.Generator(device).manual_seed(1)
    sample: Callable[[Batch], Any] = (
        neuroformer("captured_step").CapturedStep(network, sampling, generator).sample
    )
    return sample


def graph(network: Any, device: torch.device) -> Callable[[Batch], Any]:
    """Return what replays graphs."""
    return stepped(network, device, capture=True)


def eager(network: Any, device: torch.device) -> Callable[[Batch], Any]:
    """Return the same operations one by one."""
    return stepped(network, device, capture=False)


def growing(network: Any, device: torch.device) -> Callable[[Batch], Any]:
    """Return the loop whose cache grows with the tokens."""
    module, generator = neuroformer("generation"), torch.Generator(device).manual_seed(1)
    sampling = module.Sampling(max_spikes=N_SPIKES)
    return partial(module.sample_windows, network, sampling=sampling, generator=generator)


def plain(network: Any, device: torch.device) -> Callable[[Batch], Any]:
    """Return the loop of the public code; of the batch it generates the first window."""
    head, generator = network.head, torch.Generator(device).manual_seed(1)

    @torch.no_grad()
    def window(batch: Batch) -> Tensor:
        given = {name: value[:1] for name, value in batch.items()}
        unit = torch.zeros((1, N_SPIKES + 2), dtype=torch.int64, device=device)
        bins = torch.zeros_like(unit)
        unit[0, 0] = 1
        for place in range(1, N_SPIKES + 2):
            # the network predicts from all tokens but the last
            hidden = network({**given, "unit": unit, "bin": bins}).hidden[:, place - 1]
            before = (unit[:, place - 1], bins[:, place - 1])
            chance = head.bin_log_prob(hidden, before[1]).exp()
            choice = torch.multinomial(chance, 1, generator=generator)[:, 0]
            if int(choice) == network.config.n_bins:
                break
            chance = head.unit_log_prob(hidden, choice, *before).exp()
            bins[:, place] = choice
            unit[:, place] = 3 + torch.multinomial(chance, 1, generator=generator)[:, 0]
        return unit

    return window


def timed(size: Size, version: Callable[..., Any], device: torch.device) -> Workload:
    """Return one version to time; drawing anew each time."""
    network = made(size, device)
    batch = windows(network, size.n_rows, N_PAST, device)
    sample = version(network, device)
    return Workload(lambda: sample(batch))


def check(size: Size, device: torch.device) -> Workload:
    """Compare samples with and without graphs, of one seed, which must be the same."""
    network = made(size, device)
    # also windows that end, and pasts that need another graph
    network.head.bin.bias.data[-1] = -1.0
    batches = [windows(network, size.n_rows, 10 + 20 * i, device) for i in range(N_CHECKED)]

    def drawn(version: Callable[..., Any]) -> list[Tensor]:
        sample = version(network, device)
        rows = [sample(batch) for batch in batches]
        # padded to one length
        return [
            torch.nn.functional.pad(x, (0, N_SPIKES + 2 - x.shape[1]))
            for row in rows
            for x in (row.unit, row.bin, row.ended[:, None])
        ]

    def step() -> dict[str, Any]:
        names = [f"{name} {i}" for i in range(N_CHECKED) for name in ("unit", "bin", "ended")]
        return compare(names, drawn(graph), drawn(eager), 1e-12)

    return Workload(step)


def run(device: torch.device, tiny: bool) -> list[dict[str, Any]]:
    """Return a row for each check and time, with tokens per second."""
    rows = []
    for case in cases(tiny):
        row = worker.run(case, device)
        if "ms" in row:
            n_rows = 1 if "of 1" in case.version else int(case.size.split()[1])
            row["tokens_per_s"] = 1e3 * n_rows * (N_SPIKES + 1) / row["ms"]
        rows.append(row)
    return rows


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true")
    chosen = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    names = ("size", "version", "ms", "tokens_per_s", "errors", "error")
    for row in run(torch.device(chosen.device), chosen.tiny):
        print({name: row[name] for name in names if name in row}, flush=True)


if __name__ == "__main__":
    main()
