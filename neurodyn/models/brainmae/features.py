"""Features of labelled examples from a frozen model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurodyn.models.batches import batches
from neurodyn.models.brainmae.examples import Examples
from neurodyn.models.brainmae.network import BrainMAENetwork

__all__ = ["example_features", "example_means", "window_features"]

ENCODED_AT_ONCE = 32


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
    windows = batches(examples.windows, network, ENCODED_AT_ONCE)
    parts = [function(batch).cpu().numpy() for batch in windows]
    return examples.mean(np.concatenate(parts))
