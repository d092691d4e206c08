"""Training steps on a CPU, before and after a change: one step as ``neurodyn.training`` takes it.

    python -m benchmarks.training_step [CASE ...] [--before COMMIT] [--threads 1] [--turns 40]
    python -m benchmarks.training_step brainmae-tiny --profile
    python -m benchmarks.training_step neuroformer --floor

A step gathers windows, computes loss and gradient, clips and updates. ``--before`` is exported into
a temporary folder; a process of each version, with the same seeds and data, takes steps in turns.
CPU time of all threads; medians over the turns, and of the quotients of one turn, because a
machine that others use is not as fast in one turn as in the next. "bf16" is the version after with
``precision="bf16-mixed"``, where the CPU has instructions for it. Losses are compared over the
first steps without dropout, where both draw the same random numbers. ``--profile`` says what a
step consists of instead, with a rate of matrix products for comparison. ``--floor`` says how long
the matrix products of a step take by themselves, at their own sizes and layouts, against the step.

BrainMAE is the SG variant with 200 ROIs and 20 segments of 10 frames (tiny: 8 windows, base: 4),
Neuroformer the small preset with 45 units, 18 spikes/s and 64 windows, LangevinFlow the preset for
MC_Maze small, 45 bins of 107 + 35 units and 32 trials.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks._measure import write_table

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "10dcdef"
CASES = ("langevinflow", "brainmae-tiny", "brainmae-base", "neuroformer")
# Random numbers that do not depend on how a step is computed.
PLAIN: dict[str, dict[str, Any]] = {
    "langevinflow": {"dropout": 0.0, "keep_prob": 1.0},
    "brainmae-tiny": {"dropout": 0.0},
    "brainmae-base": {"dropout": 0.0},
    "neuroformer": {"dropout": 0.0},
}
STEPS = {"langevinflow": 6, "brainmae-tiny": 2, "brainmae-base": 1, "neuroformer": 10}
PRODUCT = 1024


class Child:
    """A model in training in a process of its own, with the package of some folder."""

    def __init__(
        self, tree: Path, case: str, threads: int, precision: str, **settings: Any
    ) -> None:
        more = json.dumps({"precision": precision, "settings": settings})
        script = str(Path(__file__).with_name("_training_steps.py"))
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", script, case, str(threads), more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": str(threads)},
        )

    def take(self, steps: int, **more: bool) -> dict[str, Any]:
        """Take steps and return what they cost; ``profile`` and ``products`` ask for more."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the process has no pipes")
        stdin.write(json.dumps({"steps": steps, **more}) + "\n")
        stdin.flush()
        for line in stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"the training ended with code {self._process.wait()}")

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def exported(commit: str, folder: Path) -> Path:
    """Write a commit's files into a folder."""
    archive = subprocess.run(
        ["git", "archive", commit, "neurodyn"], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def compared(
    case: str, before: Path, threads: int, turns: int, versions: Iterable[str]
) -> dict[str, Any]:
    """Return the CPU time of a step before and after, and how much the losses differ."""
    trees = {"before": (before, "32-true"), "after": (ROOT, "32-true")}
    trees["bf16"] = (ROOT, "bf16-mixed")
    chosen = {name: trees[name] for name in ("before", "after", *versions)}
    losses = {}
    for name in ("before", "after"):
        plain = Child(trees[name][0], case, threads, "32-true", **PLAIN[case])
        losses[name] = plain.take(3)["losses"]
        plain.close()
    difference = max(abs(a / b - 1) for a, b in zip(losses["after"], losses["before"]))
    children = {name: Child(tree, case, threads, bits) for name, (tree, bits) in chosen.items()}
    taken = []
    for _ in range(turns + 1):
        taken.append({n: child.take(STEPS[case])["seconds"] for n, child in children.items()})
    # the first turn warms up
    del taken[0]
    for child in children.values():
        child.close()
    return {
        "case": case,
        "threads": threads,
        **{f"{name}_ms": 1e3 * median(turn[name] for turn in taken) for name in children},
        **{
            f"times_{name}": median(turn["before"] / turn[name] for turn in taken)
            for name in list(children)[1:]
        },
        "loss_difference": difference,
    }


def floor(case: str, turns: int) -> dict[str, Any]:
    """Return the CPU time of a step and that of its matrix products alone."""
    child = Child(ROOT, case, 1, "32-true")
    child.take(STEPS[case])
    best = min(child.take(STEPS[case])["seconds"] for _ in range(turns))
    products = child.take(STEPS[case], products=True)["products"]
    child.close()
    return {
        "case": case,
        "step_ms": 1e3 * best,
        "products": products["calls"],
        "products_ms": 1e3 * products["seconds"],
        "share": products["seconds"] / best,
        "gflop": products["operations"] / 1e9,
        "gflop_per_s": products["operations"] / products["seconds"] / 1e9,
    }


def product_rate() -> float:
    """Return the rate of float32 matrix products of one thread [operations per second]."""
    torch.set_num_threads(1)
    one, other = torch.randn(2, PRODUCT, PRODUCT).unbind()
    best = float("inf")
    for _ in range(10):
        begin = time.process_time()
        torch.mm(one, other)
        best = min(best, time.process_time() - begin)
    return 2 * PRODUCT**3 / best


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("case", nargs="*", default=CASES, choices=[*CASES, CASES])
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--floor", action="store_true")
    chosen = parser.parse_args()
    if chosen.floor:
        rows = [floor(case, chosen.turns) for case in chosen.case]
        write_table("training_step_floor", rows, product_rate=product_rate())
        return
    if chosen.profile:
        for case in chosen.case:
            child = Child(ROOT, case, 1, "32-true")
            child.take(2)
            rows = child.take(4 * STEPS[case], profile=True)["profile"]
            child.close()
            write_table("training_step_profile", rows, case=case, product_rate=product_rate())
        return
    versions = ["bf16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else []
    with tempfile.TemporaryDirectory() as folder:
        before = exported(chosen.before, Path(folder))
        rows = [
            compared(case, before, chosen.threads, chosen.turns, versions) for case in chosen.case
        ]
    write_table("training_step", rows, before=chosen.before, turns=chosen.turns)


if __name__ == "__main__":
    main()
