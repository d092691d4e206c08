"""Features of labelled examples from a frozen model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurodyn.models.brainmae.examples import Examples
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.windows import RunWindows

__all__ = ["batches", "example_features", "example_means", "window_features"]

ENCODED_AT_ONCE = 32


def batches(windows: RunWindows, device: torch.device) -> Iterator[dict[str, Tensor]]:
    """Give windows in order, in batches on a device."""
    for first in range(0, len(windows), ENCODED_AT_ONCE):
        index = np.arange(first, min(first + ENCODED_AT_ONCE, len(windows)))
        yield {name: value.to(device) for name, value in windows.gather(index).items()}


def window_features(network: BrainMAENetwork, batch: dict[str, Tensor]) -> Tensor:
    """Return the summary of each window beside the mean state of its segments with data.

    Parameters
    ----------
    network
        Encodes them.
    batch
        Windows.

    Returns
    -------
    Tensor
        Dims ``(batch, 2 * latent)``.
    """
    state, summary = network.encode(batch["bold"], batch["observed"], batch["time"])
    seen = batch["observed"].any(dim=(2, 3))[..., None].to(state.dtype)
    mean = (state * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
    return torch.cat([summary, mean], dim=1)


def example_features(network: BrainMAENetwork, examples: Examples) -> NDArray[np.float64]:
    """Return features of examples, means over their windows, dims ``(example, feature)``."""
    return example_means(lambda batch: window_features(network, batch), network, examples)


@torch.no_grad()
def example_means(
    function: Callable[[dict[str, Tensor]], Tensor], network: nn.Module, examples: Examples
) -> NDArray[np.float64]:
    """Return what a function of batches gives, means over the windows of each example.

    Parameters
    ----------
    function
        From windows to dims ``(batch, ...)``.
    network
        That the function uses; it is put into evaluation mode.
    examples
        Whose windows are gone through.
    """
    network.eval()
    device = next(network.parameters()).device
    parts = [function(batch).cpu().numpy() for batch in batches(examples.windows, device)]
    return examples.mean(np.concatenate(parts))
