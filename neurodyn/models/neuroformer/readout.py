"""What a trained network says of the windows of a recording, as labelled variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodyn.errors import ConfigError
from neurodyn.models.batches import batches
from neurodyn.models.neuroformer.config import BehaviorTarget
from neurodyn.models.neuroformer.expected_counts import expected_counts
from neurodyn.models.neuroformer.modalities import Standardise
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.token_windows import TokenWindows

__all__ = ["Labelled", "decoded_behavior", "latents", "rates"]

Labelled = tuple[dict[str, Any], dict[str, Any]]
"""Variables and coordinates of a result."""
BATCH = 64


def latents(network: NeuroformerNetwork, windows: TokenWindows) -> Labelled:
    """Return the mean state of each window: ``latent (window, latent)``, float32.

    ``start`` and ``stop`` [s] and ``stretch`` are coordinates of ``window``.
    """
    found = [network(batch).summary.cpu().numpy() for batch in _batches(network, windows)]
    coords = _window_coords(windows)
    return {"latent": (("window", "latent"), np.concatenate(found))}, coords


def rates(network: NeuroformerNetwork, windows: TokenWindows, *, n_samples: int) -> Labelled:
    """Return the rate of each recorded unit in each bin given earlier bins [spikes/s].

    Windows have to follow one another without overlap; ``time`` is the left edge of bins.
    ``n_samples`` are the draws within a bin, see
    :func:`~neurodyn.models.neuroformer.expected_counts.expected_counts`; below 1 is a
    ``ConfigError``.
    """
    if n_samples < 1:
        raise ConfigError("invalid value for n_samples", found=n_samples, expected="1 or more")
    tokenizer = windows.store.tokenizer
    recorded = windows.store.recorded
    parts = []
    for batch in _batches(network, windows):
        mean = expected_counts(network, batch, n_samples=n_samples)
        parts.append(mean.cpu().numpy().reshape(-1, tokenizer.n_units)[:, recorded])
    rate = np.concatenate(parts) / tokenizer.bin_size
    bins = (windows.starts[:, None] + np.arange(windows.length)).ravel()
    dims, units = ("time", "unit"), {"units": "spikes/s"}
    variables = {"rate": (dims, rate, units), "log_rate": (dims, np.log(rate))}
    coords = {
        "time": ("time", windows.store.time(bins), {"units": "s"}),
        "stretch": ("time", windows.store.stretch(bins)),
        "unit": np.array(tokenizer.units, dtype=object)[recorded],
    }
    return variables, coords


def decoded_behavior(
    network: NeuroformerNetwork,
    windows: TokenWindows,
    target: BehaviorTarget,
    features: Sequence[str],
) -> Labelled:
    """Return a behavior as decoded and as it was.

    Parameters
    ----------
    network, windows
        A network in evaluation mode, and what it reads.
    target
        Which of its behaviors.
    features
        Labels.

    Returns
    -------
    tuple
        ``predicted`` and ``true`` ``(time, feature)``, in the unit of the behavior, ``true`` NaN
        where unknown; for classes also ``probability (time, class)``. ``time`` [s] is the instant
        in the window at which the behavior is decoded.
    """
    names = [one.name for one in network.config.targets]
    scale = cast(Standardise, network.target_scale[names.index(target.name)])
    guesses, values, chances = [], [], []
    for batch in _batches(network, windows):
        guess = network.decode(network(batch).summary)[target.name].double()
        if target.kind == "regression":
            guesses.append(scale.inverse(guess))
        else:
            guesses.append(guess.argmax(-1, keepdim=True).double())
            chances.append(guess.softmax(-1))
        if target.name in windows.targets:
            known = batch[f"target_known:{target.name}"]
            value = batch[f"target:{target.name}"].double()
            values.append(value.masked_fill(~known[:, None], torch.nan))
        else:
            values.append(torch.full((len(guess), len(features)), torch.nan))
    dims = ("time", "feature")
    variables: dict[str, Any] = {
        "predicted": (dims, _joined(guesses)),
        "true": (dims, _joined(values)),
    }
    if chances:
        variables["probability"] = (("time", "class"), _joined(chances))
    window = windows.length * windows.store.tokenizer.bin_size
    coords = {
        "time": ("time", windows.time() + target.at * window, {"units": "s"}),
        "stretch": ("time", windows.stretch()),
        "feature": np.array(features, dtype=object),
    }
    return variables, coords


def _joined(parts: Sequence[Tensor]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = torch.cat(list(parts)).cpu().numpy()
    return found


def _window_coords(windows: TokenWindows) -> dict[str, Any]:
    start = windows.time()
    stop = start + windows.length * windows.store.tokenizer.bin_size
    seconds = {"units": "s"}
    return {
        "start": ("window", start, seconds),
        "stop": ("window", stop, seconds),
        "stretch": ("window", windows.stretch()),
    }


def _batches(network: NeuroformerNetwork, windows: TokenWindows) -> Iterator[Mapping[str, Tensor]]:
    """Give windows in batches, with the network in evaluation mode and without gradients."""
    network.eval()
    with torch.no_grad():
        yield from batches(windows, network, BATCH)
