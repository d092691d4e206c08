"""K1: the recurrent encoder and the Langevin integrator, scanned over time in one launch each.

The chain is what the package's LangevinFlow does between counts and decoder: gates by one product,
a gated recurrent unit whose dropped state is fed back, posterior heads, a sampled BAOAB path and
its divergence. The eager loop does the same bin by bin. cuDNN has no recurrent dropout, so it is
compared without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.gpu.accuracy import compare, poisoned
from benchmarks.gpu.bare import kernels, operation
from benchmarks.gpu.case import Case, Workload
from benchmarks.gpu.report import Target
from benchmarks.gpu.timing import graphed, passing

NAME = "k1"
N_INPUTS, DROPOUT, STEP, PERSISTENCE = 137, 0.05, 0.5, 0.6
N_PADDED = 8 - N_INPUTS % 8
DEPENDS = ("gru_scan", "gru_weights", "langevin_scan", "philox")
TARGETS = [
    Target(NAME, "20 x over the eager loop", ("eager",), ("ours", "ours graphed"), 20),
    Target(NAME, "2 x over the graphed loop", ("eager graphed",), ("ours", "ours graphed"), 2),
    Target(NAME, "8 models for the time of 2", ("ours of 8 graphed",), ("ours graphed",), None, 2),
]


#: How versions of ours differ from the size that they stand beside.
VARIANTS: dict[str, Any] = {
    "ours of 8": {"population": 8},
    "ours of 8 graphed": {"population": 8},
    "ours bf16": {"precision": "bf16"},
}

#: Positions, velocities and divergence.
Path = tuple[Tensor, Tensor, Tensor]
#: What to call and what to differentiate by.
Version = tuple[Callable[[], tuple[Tensor, ...]], list[Tensor]]


class Size(NamedTuple):
    """Sizes of one problem."""

    n_trials: int
    n_time: int
    n_hidden: int
    dropout: float
    population: int = 1
    #: What the products of the recurrent unit round their factors to.
    precision: str = "auto"

    @property
    def n_latent(self) -> int:
        """Latent dimensions."""
        return self.n_hidden // 2

    @property
    def label(self) -> str:
        """The size without the population."""
        ending = " dropout" if self.dropout else ""
        return f"B={self.n_trials} T={self.n_time} H={self.n_hidden}{ending}"


class Problem(NamedTuple):
    """Inputs, parameters with a leading population axis, and weights that make a loss."""

    counts: Tensor
    #: The same for :func:`entering`.
    padded: Tensor
    parameters: dict[str, Tensor]
    seed: Tensor

    def doubled(self) -> Problem:
        """Return the same in double precision."""
        double = {k: v.detach().double().requires_grad_() for k, v in self.parameters.items()}
        return Problem(self.counts.double(), self.padded.double(), double, self.seed)


def cases(tiny: bool) -> list[Case]:
    """Return checks and times at all sizes."""
    sizes = _sizes(tiny)
    small = Size(3, 5, 16, DROPOUT, 2) if tiny else Size(37, 13, 64, DROPOUT, 2)
    real = [] if tiny else [Size(256, 45, h, d) for h in (64, 128) for d in (DROPOUT, 0.0)]
    checks = [
        Case(
            NAME, f"{size.label} P={size.population}", "check", "forward+backward",
            partial(check, size), rank=10 + place, seconds=3, compiles=True, depends=DEPENDS,
        )
        for place, size in enumerate([small, *real])
    ]  # fmt: skip
    return [*checks, *(case for size in sizes for case in _timed(size, tiny))]


def _sizes(tiny: bool) -> list[Size]:
    """Return the sizes to time, the most telling ones first."""
    if tiny:
        return [Size(3, 4, 16, dropout) for dropout in (DROPOUT, 0.0)]
    grid = list(product((256, 1024), (180, 45), (64, 128)))
    return [Size(*size, dropout) for dropout in (DROPOUT, 0.0) for size in grid]


def _timed(size: Size, tiny: bool) -> Iterator[Case]:
    """Yield the cases of one size."""
    versions = {"ours": ours, "ours graphed": ours, "eager": eager, "eager graphed": eager}
    if not size.dropout:
        versions = {"ours": ours, "ours graphed": ours, "cudnn": cudnn, "cudnn graphed": cudnn}
    if size.dropout:
        versions |= dict.fromkeys(VARIANTS, ours)
    if tiny:
        versions = {name: it for name, it in versions.items() if "graphed" not in name}
    scale = size.n_time / 180
    for passes in ("forward+backward",) if tiny else ("forward+backward", "forward"):
        rank = 20 + 20 * (passes == "forward") + 10 * (size.dropout == 0)
        for place, (name, version) in enumerate(versions.items()):
            if name in VARIANTS and passes == "forward":
                continue
            if name == "ours bf16" and size.n_hidden > 64:
                # which is what the kernel takes there by itself
                continue
            here = size._replace(**VARIANTS.get(name, {}))
            if tiny:
                here = here._replace(population=min(2, here.population))
            yield Case(
                NAME, size.label, name, passes, partial(timed, here, version, name, passes),
                rank=rank + place / 10 + 5 * (size.n_time == 45 and size.n_trials == 1024),
                seconds=0.6 + (2.4 * scale if version is eager else 0.0),
                compiles=version is ours and "graphed" not in name and size[:2] == (256, 45),
                depends=() if version is eager else DEPENDS,
            )  # fmt: skip


def problem(size: Size, device: torch.device) -> Problem:
    """Draw counts and parameters."""
    n, hidden, latent = size.population, size.n_hidden, size.n_latent
    shapes = {
        "input_weight": (n, 3 * hidden, N_INPUTS),
        "input_bias": (n, 3 * hidden),
        "weight": (n, 3 * hidden, hidden),
        "bias": (n, 3 * hidden),
        "head": (n, 2 * latent, hidden),
        "coupling": (n, latent, latent),
    }
    made = {k: 0.5 * torch.randn(s, device=device) / s[-1] ** 0.5 for k, s in shapes.items()}
    parameters = {name: value.requires_grad_() for name, value in made.items()}
    trials, time = size.n_trials, size.n_time
    counts = torch.poisson(torch.full((trials, time, N_INPUTS), 0.2, device=device))
    seed = torch.arange(n, device=device) + 17
    return Problem(counts, padded(counts), parameters, seed)


def padded(counts: Tensor) -> Tensor:
    """Append columns of ones: one for a bias, more until rows are aligned for the products."""
    return nn.functional.pad(counts, (0, N_PADDED), value=1.0)


def entering(counts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the gates of all members, who read the same padded counts: one product."""
    weights = torch.cat([weight, bias.unsqueeze(-1)], -1).flatten(0, 1)
    gates: Tensor = counts @ nn.functional.pad(weights, (0, N_PADDED - 1)).mT
    return gates.view(*counts.shape[:2], len(weight), -1).permute(2, 0, 1, 3)


def chain(given: Problem, size: Size) -> Path:
    """Run the chain through the kernels."""
    p = given.parameters
    gates = entering(given.padded, p["input_weight"], p["input_bias"])
    drops = {"dropout": size.dropout, "seed": given.seed, "precision": size.precision}
    hidden = operation("gru_scan")(gates, p["weight"], p["bias"], **drops)
    return flow(given, hidden, size)


def flow(given: Problem, hidden: Tensor, size: Size) -> Path:
    """Draw from the posterior of the encoder's states and let the path run, by the kernel."""
    p = given.parameters
    # a product per bin, not one for all: many programs instead of few sum the gradient of a head
    posterior = hidden.permute(2, 0, 1, 3) @ p["head"].mT
    mean, log_variance = (half.permute(1, 2, 0, 3) for half in posterior.chunk(2, -1))
    found: Path = operation("langevin_scan")(
        mean, log_variance, p["coupling"].mT @ p["coupling"], physics(mean), seed=given.seed + 1
    )
    return found


def physics(like: Tensor) -> Any:
    """Return the numbers of the integrator for every member."""
    numbers = {"spread": 1.0, "speed": 1.0, "kick": (1 - PERSISTENCE**2) ** 0.5, "step": STEP}
    numbers["persistence"] = PERSISTENCE
    every = {name: like.new_full((len(like),), value) for name, value in numbers.items()}
    return kernels("langevin_scan").Physics(**every)


def loop(given: Problem, size: Size) -> Path:
    """Do all of it bin by bin, one model."""
    p = {name: value[0] for name, value in given.parameters.items()}
    stiffness = p["coupling"].mT @ p["coupling"]
    kick_size, half = (1 - PERSISTENCE**2) ** 0.5, STEP / 2
    hidden = p["weight"].new_zeros(size.n_trials, size.n_hidden)
    position = velocity = pull = hidden[:, : size.n_latent]
    positions, velocities, divergence = [], [], hidden[:, 0]
    cell = (p["input_weight"], p["weight"], p["input_bias"], p["bias"])
    for t in range(size.n_time):
        hidden = torch.gru_cell(given.counts[:, t], hidden, *cell)
        hidden = nn.functional.dropout(hidden, size.dropout)
        mean, log_variance = (hidden @ p["head"].mT).chunk(2, -1)
        draw = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        normal = 0.5 * (mean.square() + torch.exp(log_variance) - 1 - log_variance)
        divergence = divergence + normal.sum(-1)
        if t == 0:
            position = draw
            pull = -half * (position @ stiffness)
            continue
        if t == 1:
            velocity = draw
        else:
            velocity = velocity + pull
            slowed = PERSISTENCE * velocity + kick_size * draw
            position = position + half * (velocity + slowed)
            pull = -half * (position @ stiffness)
            velocity = slowed + pull
        positions.append(position)
        velocities.append(velocity)
    return torch.stack(positions, 1), torch.stack(velocities, 1), divergence


def ours(given: Problem, size: Size) -> Version:
    """Return the kernels and what they are differentiated by."""
    return partial(chain, given, size), list(given.parameters.values())


def eager(given: Problem, size: Size) -> Version:
    """Return the loop over bins."""
    return partial(loop, given, size), list(given.parameters.values())


def cudnn(given: Problem, size: Size) -> Version:
    """Return the library's recurrent unit followed by our integrator."""
    p = given.parameters
    gru = nn.GRU(N_INPUTS, size.n_hidden, batch_first=True, device=given.counts.device)
    leaves = [*gru.parameters(), p["head"], p["coupling"]]
    return lambda: flow(given, gru(given.counts)[0][None], size), leaves


def timed(
    size: Size, make: Callable[..., Version], name: str, passes: str, device: torch.device
) -> Workload:
    """Return one version to time, with the least bytes and operations that it takes."""
    step = passing(*make(problem(size, device), size), passes)
    n_bytes, n_operations = least(size, backward=passes != "forward")
    return Workload(graphed(step) if "graphed" in name else step, n_bytes, n_operations)


def least(size: Size, *, backward: bool) -> tuple[float, float]:
    """Return bytes and operations of the chain: the backward pass doubles both and adds gates."""
    rows = size.population * size.n_trials * size.n_time
    hidden, latent = size.n_hidden, size.n_latent
    numbers = N_INPUTS / size.population + 3 * hidden + hidden + 2 * latent + 2 * latent
    products = 3 * hidden * (N_INPUTS + hidden) + 2 * latent * hidden + latent**2
    factor = 3 if backward else 1
    return 4.0 * rows * numbers * factor, 2.0 * rows * products * factor


def check(size: Size, device: torch.device) -> Workload:
    """Compare the chain with the plain version in double precision, drawn from the same seeds."""
    given = problem(size, device)
    names = ("position", "velocity", "divergence", *given.parameters)
    sizes = (size.n_trials, size.n_time - 1, size.n_latent)
    to_loss = [
        torch.randn(size.population, *shape, device=device) for shape in (sizes, sizes, sizes[:1])
    ]

    def results(own: Problem, weights: list[Tensor]) -> list[Tensor]:
        out = chain(own, size)
        return [*out, *torch.autograd.grad(out, list(own.parameters.values()), weights)]

    def step() -> dict[str, Any]:
        with kernels("dispatch").forced("reference"):
            truth = results(given.doubled(), [weight.double() for weight in to_loss])
        with poisoned():
            found = results(given, to_loss)
        # above 64 hidden units the kernel rounds the factors of its products to bf16
        row = compare(names, found, truth, 1e-3 if size.n_hidden <= 64 else 3e-3)
        again = results(given, to_loss)
        same = all(torch.equal(a, b) for a, b in zip(found[:3], again[:3]))
        return {**row, "correct": row["correct"] and same}

    return Workload(step)
