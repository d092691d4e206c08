"""K4: Poisson likelihood, coordinated dropout, gradient and sums of the score in one pass.

The rivals draw and store the mask, turn counts into floats and keep what autograd needs, as a
training step does that is written down plainly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu.accuracy import compare, poisoned
from benchmarks.gpu.bare import kernels, operation
from benchmarks.gpu.case import Case, Workload
from benchmarks.gpu.report import Target
from benchmarks.gpu.timing import graphed

NAME = "k4"
DEPENDS = ("poisson_nll", "philox")
KEEP_PROB, N_HELD_OUT = 0.7, 45
TARGETS = [
    Target(NAME, "5 x over eager", ("eager",), ("ours", "ours graphed"), 5),
    Target(NAME, "0.6 of the bandwidth floor", ("floor",), ("ours", "ours graphed"), 0.6),
]
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 1e-5, "bf16": 1e-2}
NAMES = ("nll", "d_log_count", "nll alone", "d_log_count alone")
NAMES_OF_SUMS = ("rate", "log_rate", "count", "n_observed")

#: Logarithms of rates and counts go in, the loss comes out.
Loss = Callable[[Tensor, Tensor], Tensor]


class Size(NamedTuple):
    """Sizes of one problem."""

    n_trials: int
    n_time: int
    n_units: int
    unit: str

    @property
    def label(self) -> str:
        """The size as a text."""
        return f"B={self.n_trials} T={self.n_time} N={self.n_units} {self.unit}"

    @property
    def n_held_out(self) -> int:
        """How many units, the last ones, are only predicted."""
        return min(N_HELD_OUT, self.n_units // 3)


def cases(tiny: bool) -> list[Case]:
    """Return checks and times at all sizes."""
    if tiny:
        sizes = checked = [Size(3, 5, 7, "fp32")]
    else:
        sizes = [Size(*s, u) for u in TYPES for s in ((1024, 180, 182), (256, 140, 182))]
        checked = [Size(*s, u) for u in TYPES for s in ((5, 13, 37), (256, 140, 182))]
    checks = [
        Case(
            NAME, size.label, "check", "forward+backward", partial(check, size),
            rank=12 + place, seconds=1, compiles=True, depends=DEPENDS,
        )
        for place, size in enumerate(checked)
    ]  # fmt: skip
    return [*checks, *(case for size in sizes for case in _timed(size, tiny))]


def _timed(size: Size, tiny: bool) -> Iterator[Case]:
    """Yield the cases of one size."""
    versions: dict[str, Any] = {"ours": ours, "ours graphed": ours, "ours + sums": with_sums}
    versions.update({"eager": eager, "eager graphed": eager, "compiled": compiled})
    for name, make in versions.items():
        if tiny and "graphed" in name:
            continue
        yield Case(
            NAME, size.label, name, "forward+backward", partial(timed, size, make, name, tiny),
            rank=22 + (size.unit == "bf16") + 4 * (name == "compiled"),
            seconds=3.0 if name == "compiled" else 0.8,
            compiles=name in ("ours", "ours + sums", "compiled"),
            depends=DEPENDS if "ours" in name else (),
        )  # fmt: skip


def inputs(size: Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """Draw log expected counts and counts (member, trial, time, unit), one member."""
    shape = (1, *size[:3])
    log_count = (torch.randn(shape, device=device) - 1.5).to(TYPES[size.unit]).requires_grad_()
    count = torch.poisson(torch.full(shape, 0.2, device=device)).to(torch.uint8)
    return log_count, count


def settings(size: Size, device: torch.device) -> dict[str, Any]:
    """Return what every version is told beside the numbers."""
    held_out = torch.arange(size.n_units, device=device) >= size.n_units - size.n_held_out
    return {"keep_prob": KEEP_PROB, "n_read_time": size.n_time, "held_out": held_out}


def ours(size: Size, device: torch.device, _: bool, *, statistics: bool = False) -> Loss:
    """Return the kernel."""
    told, seed = settings(size, device), torch.tensor([7], device=device)
    run = partial(operation("poisson_nll"), seed=seed, statistics=statistics, **told)
    return lambda log_count, count: run(log_count, count)[0]


def with_sums(size: Size, device: torch.device, tiny: bool) -> Loss:
    """Return the kernel that makes the sums of the score as well."""
    return ours(size, device, tiny, statistics=True)


def eager(size: Size, device: torch.device, _: bool) -> Loss:
    """Return the loss as one writes it down."""
    n_held_in = size.n_units - size.n_held_out
    scale = 1 / (1 - KEEP_PROB)

    def loss(log_count: Tensor, count: Tensor) -> Tensor:
        value = count.to(log_count.dtype)
        dropped = torch.rand_like(value[..., :n_held_in]) >= KEEP_PROB
        weight = torch.ones_like(value)
        weight[..., :n_held_in] = dropped * scale
        element = torch.exp(log_count) - value * log_count
        return (weight * element).sum((1, 2, 3), dtype=torch.float32)

    return loss


def compiled(size: Size, device: torch.device, tiny: bool) -> Loss:
    """Return the same loss compiled; only traced where sizes are tiny."""
    torch._dynamo.reset()
    loss = eager(size, device, tiny)
    return torch.compile(loss, backend="eager" if tiny else "inductor", dynamic=False)


def timed(
    size: Size, make: Callable[..., Loss], name: str, tiny: bool, device: torch.device
) -> Workload:
    """Return one version to time: loss and gradient."""
    log_count, count = inputs(size, device)
    loss, one = make(size, device, tiny), torch.ones(1, device=device)

    def step() -> Any:
        return torch.autograd.grad(loss(log_count, count), log_count, one)

    run = graphed(step) if "graphed" in name else step
    n_bytes = log_count.numel() * (2.0 * log_count.itemsize + 1)
    # An exponential counts as one operation; what bounds this kernel is memory.
    return Workload(run, n_bytes, 4.0 * log_count.numel(), "fp32", flush=True)


def check(size: Size, device: torch.device) -> Workload:
    """Compare loss, gradient and sums with the plain version in double precision.

    With the sums and alone, which are two versions of the kernel.
    """
    log_count, count = inputs(size, device)
    told, seed = settings(size, device), torch.tensor([7], device=device)

    def results(given: Tensor) -> list[Tensor]:
        run = partial(operation("poisson_nll"), given, count, seed=seed, **told)
        (loss, sums), (alone, _) = run(), run(statistics=False)
        found: list[Tensor] = []
        for nll in (loss, alone):
            slope = torch.autograd.grad(nll, given, torch.full_like(nll, 0.5))[0]
            found += [nll.detach(), slope]
        return [*found, *sums]

    def step() -> dict[str, Any]:
        with kernels("dispatch").forced("reference"):
            truth = results(log_count.detach().double().requires_grad_())
        with poisoned():
            found = results(log_count)
        return compare(NAMES + NAMES_OF_SUMS, found, truth, TOLERANCE[size.unit])

    return Workload(step)
