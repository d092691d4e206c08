"""A trained network for another session: more units, other heads, parts that stay as they are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.neuroformer.config import NeuroformerConfig, NeuroformerSizes
from neurodyn.models.neuroformer.network import NeuroformerNetwork

__all__ = ["PARTS", "adapted", "few_windows", "freeze"]

PARTS = ("embedding", "past", "inputs", "layers", "head", "target_head", "alignment")
"""Parts of a network that :func:`freeze` knows."""


def adapted(
    network: NeuroformerNetwork,
    config: NeuroformerConfig,
    sizes: NeuroformerSizes,
    expected: ArrayLike,
) -> NeuroformerNetwork:
    """Return a network for other data with the weights of a trained one, wherever both have them.

    New units start from their rates, known ones from what was learned. Heads of new behaviors are
    fresh; random numbers are torch's global ones.

    Parameters
    ----------
    network
        Trained.
    config, sizes
        Of the new network; units that both know come first and in the same order.
    expected
        Mean count of each unit in a bin of the new training windows, (unit,).

    Raises
    ------
    ConfigError
        If a part that both have differs in size.

    Examples
    --------
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> trained = NeuroformerNetwork(config, NeuroformerSizes(n_units=4))
    >>> adapted(trained, config, NeuroformerSizes(n_units=6), [0.1] * 6).head.unit.out_features
    6
    """
    n_known = network.sizes.n_units
    wider = network.extend(sizes.n_units)
    found = NeuroformerNetwork(config, sizes).to(network.norm.weight)
    own, learned = found.state_dict(), _by_name(wider)
    fresh = _by_name(found)
    for name, key in fresh.items():
        if name not in learned:
            continue
        value = wider.state_dict()[learned[name]]
        if value.shape != own[key].shape:
            raise ConfigError(
                f"{name} cannot be taken over",
                found=tuple(own[key].shape),
                expected=tuple(value.shape),
                hint="finetune keeps size, stages and the other settings of the network",
            )
        own[key].copy_(value)
    _start_new_units(found, n_known, np.asarray(expected, dtype=np.float64))
    return found


def freeze(network: NeuroformerNetwork, parts: Iterable[str]) -> None:
    """Leave parts of a network as they are in training.

    Parameters
    ----------
    network
        Whose parameters are marked.
    parts
        Of :data:`PARTS`: embedding of units, encoding of the past and of other inputs, blocks with
        the norm after them, head of spikes, heads of behaviors, alignment.

    Raises
    ------
    ConfigError
        For an unknown part, or if nothing would be trained.

    Examples
    --------
    >>> network = NeuroformerNetwork(NeuroformerConfig(size=16, n_heads=2),
    ...     NeuroformerSizes(n_units=4))
    >>> freeze(network, ["layers"])
    >>> network.norm.weight.requires_grad
    False
    """
    for part in parts:
        one_of("freeze", part, PARTS)
        for module in (getattr(network, part), network.norm if part == "layers" else None):
            if module is not None:
                module.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError("everything is frozen: there is nothing to train", found=list(parts))


def few_windows(n_windows: int, share: float, seed: int) -> NDArray[np.int64]:
    """Return a random share of windows, at least one, in order.

    Raises
    ------
    ConfigError
        If the share is not above 0 and at most 1.

    Examples
    --------
    >>> few_windows(200, 0.01, seed=0).size
    2
    """
    if not 0 < share <= 1:
        raise ConfigError("share is out of range", found=share, expected="above 0, at most 1")
    n_chosen = max(1, round(share * n_windows))
    chosen = np.random.default_rng(seed).permutation(n_windows)[:n_chosen]
    return np.sort(chosen).astype(np.int64)


def _by_name(network: NeuroformerNetwork) -> dict[str, str]:
    """Return the state's keys by names that do not depend on the order of behaviors."""
    names = {
        "target_head": [target.name for target in network.config.targets],
        "target_scale": [target.name for target in network.config.targets],
        "inputs.readers": [behavior.name for behavior in network.config.behavior],
    }
    found = {}
    for key in network.state_dict():
        name = key
        for group, labels in names.items():
            if key.startswith(f"{group}."):
                number, _, rest = key.removeprefix(f"{group}.").partition(".")
                name = f"{group}.{labels[int(number)]}.{rest}"
        found[name] = key
    return found


@torch.no_grad()
def _start_new_units(
    network: NeuroformerNetwork, n_known: int, expected: NDArray[np.float64]
) -> None:
    """Let biases of new units say their rates relative to the known ones."""
    bias = network.head.unit.bias
    if n_known == len(bias):
        return
    log_rate = torch.from_numpy(np.log(np.maximum(expected, 1e-9))).to(bias)
    # units of the session that were known already tell the level; without any, their mean does
    seen = torch.from_numpy(expected[:n_known] > 0)
    level = (bias[:n_known] - log_rate[:n_known])[seen].mean() if bool(seen.any()) else None
    if level is None:
        level = bias[:n_known].mean() - log_rate[n_known:].mean()
    bias[n_known:] = log_rate[n_known:] + level
