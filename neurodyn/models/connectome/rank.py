"""How many components: three numbers for each rank, and no choice made in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from neurodyn.config import assign, to_dict
from neurodyn.errors import ConfigError
from neurodyn.models.connectome.config import FactorisationConfig
from neurodyn.models.connectome.factorisation import fit_restarts, model_of, similarity
from neurodyn.models.connectome.hals import NeuronModel, PairModel
from neurodyn.provenance import add_history
from neurodyn.recording import results
from neurodyn.transforms.connectivity import Affinity

__all__ = ["held_out_fibres", "nuclear", "rank_scan"]

SMOOTHED_OVER = 1.5
SCANNED = FactorisationConfig(n_restarts=5, n_sweeps=200, tolerance=1e-4)
CRITERIA: dict[str, Any] = {
    "error": ("rank", "restart"),
    "restart_similarity": "rank",
    "nuclear": "rank",
    "held_out_error": "rank",
}


def rank_scan(
    affinity: Affinity,
    ranks: Sequence[int] = (1, 2, 3, 4, 5, 6, 7, 8),
    config: FactorisationConfig | None = None,
    *,
    held_out_fraction: float = 0.1,
    progress: bool = True,
    **settings: Any,
) -> xr.Dataset:
    """Fit several ranks and report what speaks for each.

    Parameters
    ----------
    affinity, config, **settings, progress
        As in :func:`neurodyn.models.connectome.factorise`; without ``config``, five restarts
        that end at a tolerance of 1e-4.
    ranks
        To try, increasing.
    held_out_fraction
        Of the fibres: a pair in an animal, at all times. A fibre is held out only where another
        animal has the pair, so one animal alone has none.

    Returns
    -------
    xr.Dataset
        Kind ``results``, dims ``rank`` and ``restart``: relative ``error``;
        ``restart_similarity (rank)``, mean over the other restarts with the best, stable from
        about 0.9; ``nuclear (rank)``, the effective number of different node or pair factors
        less one, and its smoothed increase ``nuclear_slope``, which flattens where further
        components repeat; ``held_out_error (rank)``, relative, NaN with one animal and in
        neuron mode.

    Raises
    ------
    ConfigError
        If ranks do not increase or the fraction is none.

    References
    ----------
    Dyballa et al., practice of tensor factorisation for neural encoding manifolds.
    """
    config = assign(config or SCANNED, settings)
    wanted = [int(rank) for rank in ranks]
    if not wanted or wanted != sorted(set(wanted)) or not 0 < held_out_fraction < 1:
        raise ConfigError(
            "ranks must increase and held_out_fraction lie between 0 and 1",
            found=f"{wanted}, {held_out_fraction}",
        )
    model = model_of(affinity, config)
    hidden = held_out_fibres(affinity.mask, held_out_fraction, config.seed)
    rows = [_criteria(model, hidden, rank, config, progress) for rank in wanted]
    scan = results(
        {name: (dims, [row[name] for row in rows]) for name, dims in CRITERIA.items()},
        {"rank": wanted, "restart": np.arange(config.n_restarts)},
        **affinity.attrs,
    )
    slope = np.gradient(scan["nuclear"], wanted) if len(wanted) > 1 else [np.nan]
    scan["nuclear_slope"] = ("rank", gaussian_filter1d(slope, SMOOTHED_OVER))
    step = {"ranks": wanted, "held_out_fraction": held_out_fraction}
    return add_history(scan, "rank_scan", **step, **to_dict(config))


def _criteria(
    model: PairModel | NeuronModel,
    hidden: NDArray[np.bool_],
    rank: int,
    config: FactorisationConfig,
    progress: bool,
) -> dict[str, Any]:
    fits = fit_restarts(model, rank, config, progress=progress)
    best = min(fits, key=lambda fit: fit.errors[-1])
    others = [similarity(fit, best) for fit in fits if fit is not best]
    return {
        "error": [fit.errors[-1] for fit in fits],
        "restart_similarity": np.mean(others) if others else np.nan,
        "nuclear": np.mean([nuclear(fit.factors.node[0]) for fit in fits]),
        "held_out_error": _held_out_error(model, hidden, rank, config),
    }


def held_out_fibres(mask: NDArray[np.bool_], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Return fibres ``(pair, animal)`` to hide, each of a pair that another animal still shows.

    Examples
    --------
    >>> held_out_fibres(np.ones((10, 1), dtype=bool), 0.5, seed=0).any().item()
    False
    """
    rng = np.random.default_rng(seed)
    hidden = mask & (rng.random(mask.shape) < fraction)
    # one fibre of each pair stays, drawn too
    order = np.where(mask, rng.random(mask.shape), -1.0)
    kept = np.zeros_like(mask)
    kept[np.arange(len(mask)), order.argmax(axis=1)] = True
    return np.asarray(hidden & ~kept)


def nuclear(factor: NDArray[Any]) -> float:
    """Return the effective number of different rows of ``factor (component, n)``, less one.

    The sum of the variances along the principal axes of the centred rows, of unit norm, over
    the largest.

    Examples
    --------
    >>> round(nuclear(np.eye(3)), 6), nuclear(np.ones((3, 5)))
    (2.0, 0.0)
    """
    norms = np.linalg.norm(factor, axis=1, keepdims=True)
    rows = np.divide(factor, norms, out=np.zeros_like(factor), where=norms > 0)
    variance = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2
    largest = float(variance.max(initial=0.0))
    return float(variance.sum()) / largest if largest > 1e-12 else 0.0


def _held_out_error(
    model: PairModel | NeuronModel,
    hidden: NDArray[np.bool_],
    rank: int,
    config: FactorisationConfig,
) -> float:
    if isinstance(model, NeuronModel) or not hidden.any():
        return np.nan
    once = replace(config, n_restarts=1)
    (fit,) = fit_restarts(PairModel(model.affinity.within(~hidden)), rank, once, progress=False)
    judged = PairModel(model.affinity.within(hidden))
    scaled = fit.factors._replace(time=fit.factors.time * fit.strength[:, None])
    return float(np.sqrt(judged.residual(scaled) / judged.norm_squared))
