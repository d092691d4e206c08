"""Models in training that take steps when told: what ``benchmarks.training_step`` runs.

Run as a script, with the package that is measured on ``PYTHONPATH``.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import profile
from torch.utils._python_dispatch import TorchDispatchMode

from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.models.brainmae.objective import ReconstructionObjective
from neurodyn.models.brainmae.presets import preset as brainmae_preset
from neurodyn.models.langevinflow.network import build_network
from neurodyn.models.langevinflow.objective import LangevinObjective
from neurodyn.models.langevinflow.presets import preset as langevinflow_preset
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.objective import NeuroformerObjective
from neurodyn.models.neuroformer.presets import preset as neuroformer_preset
from neurodyn.models.neuroformer.token_store import TokenStore
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
from neurodyn.recording import spikes_from_units
from neurodyn.training import TrainingConfig, train
from neurodyn.windows.runs import RunWindows

FOREVER = 1_000_000
LISTED = 12
N_ROIS, N_RUNS, RUN_LENGTH = 200, 8, 600
N_UNITS, RATE, SECONDS = 45, 0.4, 600
HELD_IN, HELD_OUT, N_TIME, N_FORWARD, N_TRIALS = 107, 35, 35, 10, 100


class Case(NamedTuple):
    """What :func:`neurodyn.training.train` takes."""

    network: nn.Module
    objective: Any
    source: Any
    training: TrainingConfig


def brainmae(size: str, batch_size: int, settings: Mapping[str, Any]) -> Case:
    """Return the SG variant over 200 ROIs."""
    config = brainmae_preset(size, **settings)
    rng = np.random.default_rng(0)
    runs = [rng.normal(size=(RUN_LENGTH, N_ROIS)) for _ in range(N_RUNS)]
    windows = RunWindows(
        runs,
        n_segments=config.n_segments,
        n_frames=config.n_frames,
        segment_duration=config.segment_duration,
        step=config.n_frames,
    )
    network = BrainMAENetwork(config, N_ROIS, config.n_frames)
    training = replace(BrainMAE.default_training, batch_size=batch_size)
    return Case(network, ReconstructionObjective(config), windows, training)


def neuroformer(settings: Mapping[str, Any]) -> Case:
    """Return the small preset on as many spikes as two hippocampal sessions have."""
    config = neuroformer_preset("small", **settings)
    rng = np.random.default_rng(0)
    units = {
        f"u{i}": np.sort(rng.uniform(0, SECONDS, rng.poisson(rate * SECONDS)))
        for i, rate in enumerate(rng.gamma(1.0, RATE, N_UNITS))
    }
    tokenizer = SpikeTokenizer(units=tuple(units), bin_size=config.bin_size, n_bins=config.n_bins)
    store = TokenStore(spikes_from_units(units), tokenizer, np.array([[0.0, float(SECONDS)]]))
    windows = TokenWindows(store, config, step=round(config.stride / config.bin_size))
    network = NeuroformerNetwork(config, windows.sizes())
    expected = torch.as_tensor(store.expected_counts(windows.starts, windows.length))
    network.set_rates(expected)
    objective = NeuroformerObjective(config, expected)
    return Case(network, objective, windows, Neuroformer.default_training)


class Trials:
    """Poisson counts of the size of MC_Maze small at 20 ms."""

    def __init__(self) -> None:
        shape = (N_TRIALS, N_TIME + N_FORWARD, HELD_IN + HELD_OUT)
        self.count = torch.poisson(torch.full(shape, 0.15))

    def __len__(self) -> int:
        return N_TRIALS

    def gather(self, index: Any) -> dict[str, torch.Tensor]:
        """Return some trials, all of them observed."""
        count = self.count[torch.as_tensor(index)]
        return {"count": count, "observed": torch.ones_like(count, dtype=torch.bool)}


def langevinflow(settings: Mapping[str, Any]) -> Case:
    """Return the variational mode with the settings for MC_Maze small."""
    chosen = langevinflow_preset("mc_maze_small")
    config = replace(chosen.model, **settings)
    held_out = [False] * HELD_IN + [True] * HELD_OUT
    network = build_network(config, HELD_IN, HELD_IN + HELD_OUT)
    objective = LangevinObjective(config, held_out, N_FORWARD)
    return Case(network, objective, Trials(), TrainingConfig(**chosen.training))


CASES: dict[str, Callable[[Mapping[str, Any]], Case]] = {
    "langevinflow": langevinflow,
    "brainmae-tiny": lambda settings: brainmae("tiny", 8, settings),
    "brainmae-base": lambda settings: brainmae("base", 4, settings),
    "neuroformer": neuroformer,
}


PRODUCTS = {getattr(torch.ops.aten, name).default for name in ("mm", "addmm", "bmm", "baddbmm")}
REPEATS = 12


class Products(TorchDispatchMode):
    """Notes the matrix products of steps and takes their time apart from all else."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: Counter[Any] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call an operation, and count it if it is a product."""
        named = kwargs or {}
        if function in PRODUCTS:
            layouts = tuple((tuple(x.shape), x.stride(), x.dtype) for x in args)
            self._calls[function, layouts, tuple(named.items())] += 1
        return function(*args, **named)

    @torch.no_grad()
    def totals(self) -> dict[str, float]:
        """Return calls, operations and the least CPU seconds of all products together."""
        operations = seconds = 0.0
        for (function, layouts, named), n_calls in self._calls.items():
            operands = [_like(*layout) for layout in layouts]
            best = float("inf")
            for _ in range(REPEATS):
                begin = time.process_time()
                function(*operands, **dict(named))
                best = min(best, time.process_time() - begin)
            seconds += n_calls * best
            operations += n_calls * 2.0 * operands[-2].numel() * operands[-1].shape[-1]
        calls = sum(self._calls.values())
        return {"calls": calls, "operations": operations, "seconds": seconds}


def _like(shape: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return random numbers in a given layout, with entries that are shared where they were."""
    reach = 1 + sum((n - 1) * step for n, step in zip(shape, stride))
    return torch.randn(reach).to(dtype).as_strided(shape, stride)


class Pace:
    """Lets a training take as many steps as standard input says, and answers with their cost.

    A request is a line of JSON, ``{"steps": 10, "profile": false}``, and so is the answer: CPU
    seconds of a step, the losses and, with a profile, what parts and operations take of a step;
    with ``"products": true`` what matrix products take of one.
    It is asked for where the loop gathers windows, with which each step begins.
    """

    def __init__(self, case: Case) -> None:
        self._gather, self._loss = case.source.gather, case.objective.loss
        case.source.gather, case.objective.loss = self.gather, self.loss
        self._losses: list[float] = []
        self._steps = self._left = 0
        self._fingerprinted = False
        self._began = 0.0
        self._profile: profile | None = None
        self._products: Products | None = None

    def gather(self, index: Any) -> Any:
        """Return windows when a step is asked for."""
        # the first windows are of no step: the loop takes a fingerprint of the data
        if self._fingerprinted:
            if self._left == 0:
                self._answer()
                self._wait()
            self._left -= 1
        self._fingerprinted = True
        return self._gather(index)

    def loss(self, *arguments: Any) -> Any:
        """Return the losses of a batch and keep the one that is minimised."""
        found = self._loss(*arguments)
        self._losses.append(float(found["loss"]))
        return found

    def _answer(self) -> None:
        if not self._steps:
            return
        answer: dict[str, Any] = {
            "seconds": (time.process_time() - self._began) / self._steps,
            "losses": self._losses,
        }
        if self._profile is not None:
            self._profile.stop()
            answer["profile"] = shares(self._profile)
            self._profile = None
        if self._products is not None:
            self._products.__exit__(None, None, None)
            totals = self._products.totals()
            answer["products"] = {name: value / self._steps for name, value in totals.items()}
            self._products = None
        print(json.dumps(answer), flush=True)

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line:
            raise SystemExit
        request = json.loads(line)
        self._losses = []
        self._steps = self._left = request["steps"]
        if request.get("profile"):
            self._profile = profile()
            self._profile.start()
        if request.get("products"):
            self._products = Products()
            self._products.__enter__()
        self._began = time.process_time()


def shares(profiled: profile) -> list[dict[str, Any]]:
    """Return the largest shares of the profiled time, by part of the step and operation."""
    total: Counter[tuple[str, str]] = Counter()
    calls: Counter[tuple[str, str]] = Counter()
    for event in profiled.events():
        part, above = "forward", event
        while above is not None:
            if above.name.startswith("Optimizer."):
                part = "optimizer"
            elif above.name.startswith("autograd::engine"):
                part = "backward"
            above = above.cpu_parent
        key = part, event.name.removeprefix("aten::")
        total[key] += event.self_cpu_time_total
        calls[key] += 1
    whole = sum(total.values())
    return [
        {"part": part, "operation": name, "share": value / whole, "calls": calls[part, name]}
        for (part, name), value in total.most_common(LISTED)
    ]


def main() -> None:
    """Train a case; arguments are its name, threads and JSON of settings and precision."""
    name, n_threads, more = sys.argv[1:]
    chosen = json.loads(more)
    torch.set_num_threads(int(n_threads))
    torch.manual_seed(0)
    case = CASES[name](chosen["settings"])
    Pace(case)
    training = replace(
        case.training,
        n_steps=FOREVER,
        precision=chosen["precision"],
        device="cpu",
        progress=False,
        keep_best=False,
    )
    train(case.network, case.objective, case.source, training)


if __name__ == "__main__":
    main()
