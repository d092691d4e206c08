"""The two halves of K1 by themselves, to see which of them a time comes from.

The recurrent unit runs in both directions without dropout, as LangevinFlow's encoder does by
default, against cuDNN; the integrator, fed with a posterior, against a loop over bins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.gpu.bare import operation
from benchmarks.gpu.case import Case, Workload
from benchmarks.gpu.k1_langevin_scan import (
    N_INPUTS,
    PERSISTENCE,
    STEP,
    Version,
    entering,
    padded,
    physics,
)
from benchmarks.gpu.report import Target
from benchmarks.gpu.timing import graphed, passing

NAME = "halves"
TARGETS: list[Target] = []
DEPENDS = ("gru_scan", "gru_weights", "langevin_scan", "philox")


class Size(NamedTuple):
    """Sizes of one problem."""

    half: str
    n_trials: int
    n_time: int
    #: Hidden or latent size.
    width: int

    @property
    def label(self) -> str:
        """The size as a text."""
        letter = "H" if self.half == "GRU" else "D"
        return f"{self.half} B={self.n_trials} T={self.n_time} {letter}={self.width}"


def cases(tiny: bool) -> list[Case]:
    """Return times of both halves at all sizes."""
    if tiny:
        sizes = [Size("GRU", 3, 4, 16), Size("Langevin", 3, 3, 16)]
    else:
        grid = list(product((256, 1024), (180, 45)))
        sizes = [Size("GRU", *size, hidden) for size in grid for hidden in (64, 128)]
        sizes += [Size("Langevin", *size, latent) for size in grid for latent in (32, 64)]
    return [case for size in sizes for case in _timed(size, tiny)]


def _timed(size: Size, tiny: bool) -> Iterator[Case]:
    """Yield the cases of one size."""
    rival, make = ("cudnn", cudnn) if size.half == "GRU" else ("eager", path)
    own = scan if size.half == "GRU" else flow
    versions: dict[str, Callable[..., Version]] = {"ours": own, "ours graphed": own}
    versions.update({rival: make, f"{rival} graphed": make})
    for place, passes in enumerate(("forward",) if tiny else ("forward+backward", "forward")):
        for name, version in versions.items():
            if tiny and "graphed" in name:
                continue
            yield Case(
                NAME, size.label, name, passes, partial(timed, size, version, name, passes),
                rank=26 + 24 * place + (size.half == "Langevin"),
                seconds=0.6 + (1.2 * size.n_time / 180 if version is path else 0.0),
                compiles=name == "ours" and size[1:3] == (256, 45),
                depends=DEPENDS if version is own else (),
            )  # fmt: skip


def timed(
    size: Size, make: Callable[..., Version], name: str, passes: str, device: torch.device
) -> Workload:
    """Return one version to time."""
    step = passing(*make(size, device), passes)
    run = graphed(step) if "graphed" in name else step
    return Workload(run, *least(size, backward=passes != "forward"))


def least(size: Size, *, backward: bool) -> tuple[float, float]:
    """Return the bytes and operations that it takes."""
    rows, width, factor = size.n_trials * size.n_time, size.width, 3 if backward else 1
    if size.half == "GRU":
        numbers, products = N_INPUTS + 8 * width, 6 * width * (N_INPUTS + width)
    else:
        numbers, products = 4 * width, width**2
    return 4.0 * rows * numbers * factor, 2.0 * rows * products * factor


def counts(size: Size, device: torch.device) -> Tensor:
    """Draw counts (trial, time, unit)."""
    shape = (size.n_trials, size.n_time, N_INPUTS)
    return torch.poisson(torch.full(shape, 0.2, device=device))


def cudnn(size: Size, device: torch.device) -> Version:
    """Return the library's recurrent unit in both directions."""
    gru = nn.GRU(N_INPUTS, size.width, batch_first=True, bidirectional=True, device=device)
    given = counts(size, device)
    return lambda: (gru(given)[0],), list(gru.parameters())


def scan(size: Size, device: torch.device) -> Version:
    """Return ours, both directions in one launch and joined as the library does."""
    gru = nn.GRU(N_INPUTS, size.width, batch_first=True, bidirectional=True, device=device)
    flat = list(gru.parameters())
    pairs = (torch.stack(pair) for pair in zip(flat[:4], flat[4:]))
    leaves = [pair.detach().requires_grad_() for pair in pairs]
    given = padded(counts(size, device))

    def run() -> tuple[Tensor]:
        input_weight, weight, input_bias, bias = leaves
        gates = entering(given, input_weight, input_bias)
        hidden = operation("gru_scan")(gates, weight, bias, bidirectional=True)
        return (hidden.permute(1, 2, 0, 3).flatten(2),)

    return run, leaves


def posterior(size: Size, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Draw mean and logarithm of the variance (member, trial, time, latent), and stiffness."""
    shape = (2, 1, size.n_trials, size.n_time, size.width)
    mean, log_variance = (0.5 * torch.randn(shape, device=device)).unbind()
    coupling = torch.randn(1, size.width, size.width, device=device) / size.width**0.5
    return mean, log_variance, 0.2 * coupling.mT @ coupling


def flow(size: Size, device: torch.device) -> Version:
    """Return ours."""
    leaves = [x.requires_grad_() for x in posterior(size, device)]
    numbers, seed = physics(leaves[0]), torch.tensor([3], device=device)
    return lambda: operation("langevin_scan")(*leaves, numbers, seed=seed), leaves


def path(size: Size, device: torch.device) -> Version:
    """Return the loop over bins, which draws all noise at once."""
    leaves = [x.requires_grad_() for x in posterior(size, device)]
    kick_size, half = (1 - PERSISTENCE**2) ** 0.5, STEP / 2

    def run() -> tuple[Tensor, ...]:
        mean, log_variance, stiffness = (x[0] for x in leaves)
        draw = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        normal = 0.5 * (mean.square() + torch.exp(log_variance) - 1 - log_variance)
        position, velocity = draw[:, 0], draw[:, 1]
        positions, velocities = [position], [velocity]
        pull = -half * (position @ stiffness)
        for kick in (kick_size * draw[:, 2:]).unbind(1):
            velocity = velocity + pull
            slowed = PERSISTENCE * velocity + kick
            position = position + half * (velocity + slowed)
            pull = -half * (position @ stiffness)
            velocity = slowed + pull
            positions.append(position)
            velocities.append(velocity)
        return torch.stack(positions, 1), torch.stack(velocities, 1), normal.sum((1, 2))

    return run, leaves
