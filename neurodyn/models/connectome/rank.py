"""How many components: three numbers for each rank, and no choice made in silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from neurodyn.errors import ConfigError
from neurodyn.models.connectome.factorisation import (
    Mode,
    Storage,
    fit_restarts,
    model_of,
    similarity,
)
from neurodyn.models.connectome.hals import PairModel
from neurodyn.provenance import add_history
from neurodyn.recording import results
from neurodyn.transforms.connectivity import Affinity, DenseAffinity

__all__ = ["held_out_fibres", "nuclear", "rank_scan"]

SMOOTHED_OVER = 1.5


def rank_scan(
    affinity: Affinity,
    ranks: Sequence[int] = (1, 2, 3, 4, 5, 6, 7, 8),
    *,
    mode: Mode = "pairs",
    n_restarts: int = 5,
    held_out_fraction: float = 0.1,
    n_sweeps: int = 200,
    tolerance: float = 1e-4,
    seed: int = 0,
    storage: Storage = "auto",
    progress: bool = True,
) -> xr.Dataset:
    """Fit several ranks and report what speaks for each.

    Parameters
    ----------
    affinity, mode, n_sweeps, tolerance, seed, storage, progress
        As in :func:`neurodyn.models.connectome.factorise`.
    ranks
        To try, increasing.
    n_restarts
        Random starts of each.
    held_out_fraction
        Of the fibres: a pair in an animal, at all times. A fibre is held out only where another
        animal has the pair, so one animal alone has none.

    Returns
    -------
    xr.Dataset
        Kind ``results``, dims ``rank`` and ``restart``: relative ``error``;
        ``restart_similarity (rank)``, mean over the other restarts with the best, stable from
        about 0.9; ``nuclear (rank)``, the effective number of different node or pair factors,
        and its smoothed increase ``nuclear_slope``, which flattens where further components
        repeat; ``held_out_error (rank)``, relative, NaN with one animal or in neuron mode.

    Raises
    ------
    ConfigError
        If ranks do not increase or the fraction is none.

    References
    ----------
    The nuclear criterion follows the tensor practice of Dyballa et al. (neural encoding
    manifolds).

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> from neurodyn.transforms.connectivity import differential_affinity
    >>> values = np.random.default_rng(0).normal(size=(2, 100, 5)).cumsum(axis=1)
    >>> affinity = differential_affinity(signal(values, sampling_rate=4.0, dim="roi"))
    >>> rank_scan(affinity, [1, 2], n_restarts=2)["error"].shape
    (2, 2)
    """
    wanted = [int(rank) for rank in ranks]
    if not wanted or wanted != sorted(set(wanted)) or not 0 < held_out_fraction < 1:
        raise ConfigError(
            "ranks must increase and held_out_fraction lie between 0 and 1",
            found=f"{wanted}, {held_out_fraction}",
        )
    model = model_of(affinity, mode, storage)
    # stored once, whatever is held out of it
    tensor = model.affinity
    hidden = held_out_fibres(affinity.mask, held_out_fraction, seed)
    held_out = mode == "pairs" and bool(hidden.any())
    options: dict[str, Any] = {"n_sweeps": n_sweeps, "tolerance": tolerance, "progress": progress}
    rows: dict[str, list[Any]] = {
        name: [] for name in ("error", "restart_similarity", "nuclear", "held_out_error")
    }
    for rank in wanted:
        fits = fit_restarts(model, rank, n_restarts, seed, **options)
        best = min(fits, key=lambda fit: fit.errors[-1])
        others = [similarity(fit, best) for fit in fits if fit is not best]
        rows["error"].append([fit.errors[-1] for fit in fits])
        rows["restart_similarity"].append(np.mean(others) if others else np.nan)
        rows["nuclear"].append(np.mean([nuclear(fit.factors.node[0]) for fit in fits]))
        error = _held_out_error(tensor, hidden, rank, seed, options) if held_out else np.nan
        rows["held_out_error"].append(error)
    increase = np.gradient(rows["nuclear"], wanted) if len(wanted) > 1 else np.array([np.nan])
    scan = results(
        {
            "error": (("rank", "restart"), rows.pop("error")),
            **{name: ("rank", values) for name, values in rows.items()},
            "nuclear_slope": ("rank", gaussian_filter1d(increase, SMOOTHED_OVER)),
        },
        {"rank": wanted, "restart": np.arange(n_restarts)},
        **affinity.attrs,
    )
    step = {"ranks": wanted, "mode": mode, "n_restarts": n_restarts, "seed": seed}
    return add_history(scan, "rank_scan", **step, held_out_fraction=held_out_fraction)


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
    tensor: Affinity | DenseAffinity,
    hidden: NDArray[np.bool_],
    rank: int,
    seed: int,
    options: dict[str, Any],
) -> float:
    (fit,) = fit_restarts(PairModel(tensor.within(~hidden)), rank, 1, seed, **options)
    judged = PairModel(tensor.within(hidden))
    scaled = fit.factors._replace(time=fit.factors.time * fit.strength[:, None])
    return float(np.sqrt(judged.residual(scaled) / judged.norm_squared))
