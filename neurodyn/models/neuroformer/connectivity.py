"""Who drives whom, as a trained Neuroformer sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.neuroformer.attention_scores import attention_score, gradient_attention_score
from neurodyn.models.neuroformer.deletion import Effect, deletion_effect
from neurodyn.models.neuroformer.network import NeuroformerNetwork
from neurodyn.models.neuroformer.pair_totals import PairTotals
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.recording import results

__all__ = ["Measure", "connectivity"]

Measure = Literal["deletion", "deletion_log_rate", "attention", "gradient_attention"]
EFFECT: dict[str, Effect] = {"deletion": "log_likelihood", "deletion_log_rate": "log_rate"}


def connectivity(
    network: NeuroformerNetwork,
    windows: TokenWindows,
    measure: Measure = "deletion",
    *,
    lag: float | None = None,
    n_blocks: int = 50,
    n_bootstrap: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> xr.Dataset:
    """Return scores of all pairs of units, from the first to the second.

    Parameters
    ----------
    network, windows
        A trained network in evaluation mode and what it reads; evenly chosen windows do for long
        recordings.
    measure
        ``"deletion"`` and, signed, ``"deletion_log_rate"``: what follows from a spike [nat], the
        effects of :func:`~neurodyn.models.neuroformer.deletion.deletion_effect`; ``"attention"``
        and ``"gradient_attention"``: what is looked at, see
        :mod:`~neurodyn.models.neuroformer.attention_scores`.
    lag
        Of deletion: last bin after a spike that counts [s]; 10 ms, or a bin if that is longer.
    n_blocks, n_bootstrap, level, seed
        Blocks of consecutive windows, how often as many are drawn (0: no interval), coverage and
        seed. Intervals say how scores vary over windows, not over networks trained anew.

    Returns
    -------
    xr.Dataset
        Kind ``results``, float64: ``score``, its interval ``lower`` and ``upper``, and
        ``direction``, ``score`` minus its transpose, above 0 where ``unit`` drives, each
        ``(unit, unit_to)``; ``out_strength(unit)``, mean score to others. NaN from a unit to
        itself, and of units that no window has.

    Raises
    ------
    ConfigError, DegenerateInputError
        For a setting out of range or a network in training mode; an interval of one window.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig
    >>> from neurodyn.models.neuroformer.recordings import token_windows
    >>> config = NeuroformerConfig(size=16, n_heads=2)
    >>> spikes = spikes_from_units({"a": [0.21], "b": [0.4]}, observed=[[0.0, 1.0]])
    >>> windows = token_windows(spikes, config)
    >>> network = NeuroformerNetwork(config, windows.sizes()).eval()
    >>> connectivity(network, windows, n_bootstrap=20)["score"].dims
    ('unit', 'unit_to')
    """
    lag = max(0.01, network.config.bin_size) if lag is None else lag
    _check_settings(measure, n_blocks, n_bootstrap, level)
    totals = _totals(network, windows, measure, lag, min(n_blocks, len(windows)))
    bounds = totals.interval(n_bootstrap, level=level, seed=seed) if n_bootstrap else ()
    attrs = {"lag": lag} if measure in EFFECT else {}
    return _labelled(windows, totals.ratio(), bounds, measure=measure, level=level, **attrs)


def _check_settings(measure: str, n_blocks: int, n_bootstrap: int, level: float) -> None:
    one_of("measure", measure, get_args(Measure))
    if n_blocks < 1 or n_bootstrap < 0 or not 0.0 < level < 1.0:
        raise ConfigError(
            "n_blocks, n_bootstrap or level is out of range",
            found=f"{n_blocks}, {n_bootstrap}, {level}",
            expected="n_blocks >= 1, n_bootstrap >= 0 and 0 < level < 1",
        )


def _totals(
    network: NeuroformerNetwork, windows: TokenWindows, measure: Measure, lag: float, n_blocks: int
) -> PairTotals:
    if measure in EFFECT:
        return deletion_effect(network, windows, EFFECT[measure], lag=lag, n_blocks=n_blocks)
    score = attention_score if measure == "attention" else gradient_attention_score
    return score(network, windows, n_blocks=n_blocks)


def _labelled(
    windows: TokenWindows,
    score: NDArray[np.float64],
    bounds: Iterable[NDArray[np.float64]],
    **attrs: Any,
) -> xr.Dataset:
    unit, recorded = list(windows.store.tokenizer.units), windows.store.recorded
    left_out = np.eye(len(unit), dtype=bool) | ~(recorded[:, None] & recorded)
    pair = ("unit", "unit_to")
    labelled = results({"score": (pair, score)}, {"unit": unit, "unit_to": unit}, **attrs)
    for name, bound in zip(("lower", "upper"), bounds):
        labelled[name] = (pair, bound)
    labelled = labelled.where(~xr.DataArray(left_out, dims=pair))
    found = labelled["score"].values
    labelled["direction"] = (pair, found - found.T)
    labelled["out_strength"] = labelled["score"].mean("unit_to")
    return labelled
