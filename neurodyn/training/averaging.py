"""A moving average of the weights, which generalises better than the last ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Exponential moving average of a network's parameters.

    The decay of update ``n`` is ``min(decay, (1 + n) / (10 + n))``, so the random initial
    weights are soon forgotten. Buffers are not averaged.

    Parameters
    ----------
    network
        Its parameters are followed in place.
    decay
        Share of the average that one update keeps, between 0 and 1.

    Examples
    --------
    >>> network = nn.Linear(1, 1)
    >>> average = WeightAverage(network, decay=0.9)
    >>> _ = nn.init.constant_(network.weight, 1.0)
    >>> average.update()
    >>> with average.applied():
    ...     bool(network.weight < 1.0)
    True
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._parameters = dict(network.named_parameters())
        self.decay = decay
        self.n_updates = 0
        self.weights = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the present parameters."""
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        self.n_updates += 1
        present: list[Tensor] = [self._parameters[name] for name in self.weights]
        torch._foreach_lerp_(list(self.weights.values()), present, 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the network for the length of the block."""
        own = {name: p.detach().clone() for name, p in self._parameters.items()}
        self.copy_to_network(self.weights)
        try:
            yield
        finally:
            self.copy_to_network(own)

    @torch.no_grad()
    def copy_to_network(self, weights: dict[str, Tensor]) -> None:
        """Overwrite the network's parameters, named as in ``weights``."""
        for name, parameter in self._parameters.items():
            parameter.copy_(weights[name])
