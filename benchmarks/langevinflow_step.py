"""One update of the published model against a straight PyTorch version of the same equations.

    python -m benchmarks.langevinflow_step [--trials 64]

MC_Maze sizes at 20 ms (35 + 10 bins, 137 + 45 units, hidden size 280), CPU, forward, backward and
Adam step. The straight version advances encoder and latents bin by bin with autograd forces and
growing concatenations. Both take the same weights and give the same loss. Bar: ratio <= 1.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks._measure import interleaved, write_table
from neurodyn.models.langevinflow.ccn2025 import PublishedLangevinFlow
from neurodyn.models.langevinflow.config import LangevinFlowConfig, PublishedQuirks

N_TIME, N_FORWARD, N_INPUTS, N_OUTPUTS, SIZE = 35, 10, 137, 182, 280
STEP, DAMPING = 0.01, 0.55


def make_network() -> PublishedLangevinFlow:
    """Return the published model without dropout, so that two versions can be compared."""
    torch.manual_seed(0)
    config = LangevinFlowConfig(
        mode="ccn2025",
        potential="ccn2025",
        decoder_input="zvh",
        encoder_size=SIZE,
        step=STEP,
        damping=DAMPING,
        dropout=0.0,
        quirks=PublishedQuirks(zero_kernel=False),
    )
    return PublishedLangevinFlow(config, N_INPUTS, N_OUTPUTS)


def potential(kernel: Tensor, position: Tensor) -> Tensor:
    """Return the published potential of each trial by one convolution and one Gram matrix."""
    grouped = position.view(len(position), 4, -1)
    unit = functional.normalize(kernel, dim=-1)
    return (functional.conv1d(grouped, unit, padding=1) @ grouped.mT).sum((1, 2))


def straight(network: PublishedLangevinFlow, count: Tensor, noise: Tensor) -> Tensor:
    """Return the training loss of a batch, computed bin by bin."""
    read = count[:, :N_TIME, :N_INPUTS]
    hidden = network.cell(read[:, 0], read.new_zeros(len(read), SIZE))
    z_mean, v_mean, z_spread, v_spread = network.initial(hidden).chunk(4, -1)
    z = z_mean + torch.exp(0.5 * z_spread) * noise[:, 0]
    v = v_mean + torch.exp(0.5 * v_spread) * noise[:, 1]
    divergence = normal(z_mean, z_spread) + normal(v_mean, v_spread)
    tokens = torch.cat([z, v, hidden], -1)[:, None]
    for t in range(1, N_TIME + N_FORWARD):
        hidden = network.cell(read[:, min(t, N_TIME) - 1], hidden)
        energy = potential(network.potential.kernel, z).sum()
        gradient = torch.autograd.grad(energy, z, create_graph=True)[0]
        z, v = (
            z + STEP * v,
            (1 - DAMPING) * (v - STEP * gradient) + (2 * DAMPING) ** 0.5 * noise[:, t + 1],
        )
        constant = math.log(0.1) - 2 * DAMPING - 1
        divergence = divergence + 0.5 * (
            constant + v.square() / 0.1 + math.exp(2 * DAMPING) / 0.1
        ).sum(-1)
        tokens = torch.cat([tokens, torch.cat([z, v, hidden], -1)[:, None]], 1)
    log_count = network.readout(network.layer(tokens))
    return loss(log_count, divergence, count)


def normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the divergence from the standard normal, one for each trial."""
    return 0.5 * (mean.square() + torch.exp(log_variance) - 1 - log_variance).sum(-1)


def loss(log_count: Tensor, divergence: Tensor, count: Tensor) -> Tensor:
    """Return the published objective at full weight of the divergence."""
    return functional.poisson_nll_loss(log_count, count) + 0.1 * divergence.mean()


def ours(network: PublishedLangevinFlow, count: Tensor, noise: Tensor) -> Tensor:
    """Return the same loss by the package."""
    log_count, latents = network(count[:, :N_TIME, :N_INPUTS], N_FORWARD, noise)
    return loss(log_count, latents.divergence, count)


def main() -> None:
    """Check that both agree, then measure and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    network = make_network()
    shape = (chosen.trials, N_TIME + N_FORWARD)
    count = torch.poisson(torch.full((*shape, N_OUTPUTS), 0.2))
    noise = torch.randn(chosen.trials, N_TIME + N_FORWARD + 1, SIZE)
    torch.testing.assert_close(ours(network, count, noise), straight(network, count, noise))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)

    def update(version: Callable[..., Tensor]) -> None:
        optimizer.zero_grad()
        version(network, count, noise).backward()
        optimizer.step()

    best = interleaved(
        {"ours": lambda: update(ours), "straight": lambda: update(straight)}, chosen.repeats
    )
    ratio = best["ours"] / best["straight"]
    row = {**best, "ratio": ratio, "bar": 1.0, "passes": ratio <= 1.0, "trials": chosen.trials}
    write_table("langevinflow_step", [row], threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
