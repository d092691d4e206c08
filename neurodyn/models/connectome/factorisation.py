"""From an affinity to components: restarts, labels, and how far the restarts agree."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DegenerateInputError, one_of
from neurodyn.io.limits import get_limits
from neurodyn.metrics import matched_similarity, participation_ratio
from neurodyn.models.connectome.hals import Factors, NeuronModel, PairModel, descend
from neurodyn.provenance import add_history
from neurodyn.recording import results
from neurodyn.training.display import tracked
from neurodyn.transforms.connectivity import Affinity, DenseAffinity, FeatureAffinity, pair_matrix

__all__ = ["Fit", "Mode", "Storage", "factorise", "fit_restarts", "model_of", "pair_labels", "unit"]

Mode = Literal["pairs", "neurons"]
Storage = Literal["auto", "lazy", "dense"]
Array = NDArray[Any]


class Fit(NamedTuple):
    """One descent: factors of unit norm, strongest first, and the errors on the way."""

    factors: Factors
    strength: NDArray[np.float64]
    errors: list[float]


def factorise(
    affinity: Affinity,
    rank: int,
    *,
    mode: Mode = "pairs",
    n_restarts: int = 10,
    n_sweeps: int = 500,
    tolerance: float = 1e-5,
    seed: int = 0,
    storage: Storage = "auto",
    progress: bool = True,
) -> xr.Dataset:
    """Decompose an affinity into non-negative components by HALS; the best restart is returned.

    Pair mode finds, for each component, one affinity of every pair, one course in time and one
    strength in every animal: ``a_p(t, w) ~ sum_r strength_r pair_rp time_rt animal_rw``. Neuron
    mode replaces the affinities of pairs by products of two node factors, which is far cheaper
    and makes every component one group of nodes. Pairs that an animal lacks are left out of the
    least squares exactly.

    Parameters
    ----------
    affinity
        See :func:`neurodyn.transforms.connectivity.differential_affinity`.
    rank
        Components; :func:`neurodyn.models.connectome.rank_scan` helps to choose.
    mode
        ``pairs`` or ``neurons``.
    n_restarts
        Random starts, each from a seed of its own.
    n_sweeps, tolerance
        A descent ends after so many sweeps, or when ten of them lower the relative error by
        less than the tolerance.
    seed
        Of the starts.
    storage
        Of the tensor in pair mode: ``lazy`` never stores it; ``dense`` does, which is up to
        twice as fast; ``auto`` does where it takes up to half of the memory limit.
    progress
        Show a bar over restarts at a terminal.

    Returns
    -------
    xr.Dataset
        Kind ``results``, dims ``component`` (by falling ``strength``), ``time``, ``animal``;
        ``time_factor``, ``animal_factor`` and ``pair_factor (component, roi, roi_to)`` or
        ``node_factor (component, roi)``, all of unit norm; ``participation``, in how many
        animals a component is present; ``restart_error (restart)`` and ``restart_similarity
        (restart)`` to the best one. A pair that no animal has is NaN.

    Raises
    ------
    ConfigError
        For an impossible rank or mode.
    DegenerateInputError
        If the affinity is zero everywhere.

    References
    ----------
    Dyballa et al., ICLR 2024, section on tensor factorisation of vectorised pairs.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> from neurodyn.transforms.connectivity import differential_affinity
    >>> values = np.random.default_rng(0).normal(size=(100, 5)).cumsum(axis=0)
    >>> affinity = differential_affinity(signal(values, sampling_rate=4.0, dim="roi"))
    >>> factorise(affinity, 2, n_restarts=2)["pair_factor"].shape
    (2, 5, 5)
    """
    model = model_of(affinity, mode, storage)
    options: dict[str, Any] = {"n_sweeps": n_sweeps, "tolerance": tolerance}
    fits = fit_restarts(model, rank, n_restarts, seed, progress=progress, **options)
    best = min(range(len(fits)), key=lambda index: fits[index].errors[-1])
    found = _labelled(affinity, fits[best], mode)
    found["restart_error"] = ("restart", [fit.errors[-1] for fit in fits])
    found["restart_similarity"] = ("restart", [similarity(fit, fits[best]) for fit in fits])
    found["restart_sweeps"] = ("restart", [len(fit.errors) for fit in fits])
    found.attrs.update(
        affinity.attrs, error=fits[best].errors[-1], seed=seed, mode=mode, best_restart=best
    )
    step = {"rank": rank, "mode": mode, "n_restarts": n_restarts, "seed": seed, **options}
    return add_history(found, "factorise", **step, **affinity.attrs)


def model_of(affinity: Affinity, mode: Mode, storage: Storage = "auto") -> PairModel | NeuronModel:
    """Return what is to be fitted.

    Raises
    ------
    ConfigError
        For an unknown mode, or neuron mode of an affinity that is stored.
    DegenerateInputError
        If the affinity is zero everywhere.
    """
    one_of("mode", mode, ("pairs", "neurons"))
    one_of("storage", storage, ("auto", "lazy", "dense"))
    model: PairModel | NeuronModel
    if mode == "neurons":
        if not isinstance(affinity, FeatureAffinity):
            raise ConfigError(
                "neuron mode takes an affinity made of features",
                found=type(affinity).__name__,
                hint="differential_affinity(...), or mode='pairs'",
            )
        model = NeuronModel(affinity)
    else:
        n_bytes = affinity.mask.size * affinity.n_time * np.dtype(np.float32).itemsize
        if storage == "dense" or (storage == "auto" and 2 * n_bytes <= get_limits().memory):
            affinity = DenseAffinity.of(affinity)
        model = PairModel(affinity)
    if not model.norm_squared > 0:
        raise DegenerateInputError(
            "the affinity is zero everywhere",
            hint="a larger bandwidth, or another kind of affinity",
        )
    return model


def fit_restarts(
    model: PairModel | NeuronModel,
    rank: int,
    n_restarts: int,
    seed: int,
    *,
    progress: bool = True,
    **options: Any,
) -> list[Fit]:
    """Return the descents from ``n_restarts`` random starts.

    Raises
    ------
    ConfigError
        If the rank or the number of restarts is not a positive whole number.
    """
    for name, value in (("rank", rank), ("n_restarts", n_restarts)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ConfigError(f"{name} must be a whole number from 1", found=value)
    seeds = np.random.SeedSequence(seed).spawn(n_restarts)
    return [
        unit(*descend(model, int(rank), np.random.default_rng(one), **options))
        for one in tracked(seeds, f"factorising, rank {rank}", shown=progress)
    ]


def unit(factors: Factors, errors: list[float]) -> Fit:
    """Return factors of unit norm with their strengths, strongest first."""
    modes = (*factors.node, factors.time, factors.animal)
    norms = [np.linalg.norm(mode, axis=1) for mode in modes]
    strength = np.prod(norms, axis=0)
    order = np.argsort(-strength, kind="stable")
    scaled = [
        np.divide(mode, norm[:, None], out=np.zeros_like(mode), where=norm[:, None] > 0)[order]
        for mode, norm in zip(modes, norms)
    ]
    return Fit(Factors(tuple(scaled[:-2]), scaled[-2], scaled[-1]), strength[order], errors)


def similarity(one: Fit, other: Fit) -> float:
    """Return how alike two descents are: the mean over components, matched, of cosines."""
    flat = [[*fit.factors.node, fit.factors.time, fit.factors.animal] for fit in (one, other)]
    return float(matched_similarity(*flat))


def pair_labels(affinity: Affinity) -> dict[str, Any]:
    """Return the coordinates of matrices of pairs: those of the nodes, twice."""
    dim = affinity.node_dim
    nodes = {name: coord for name, coord in affinity.coords.items() if dim in coord.dims}
    return {**nodes, f"{dim}_to": (f"{dim}_to", affinity.coords[dim].values)}


def _labelled(affinity: Affinity, fit: Fit, mode: Mode) -> xr.Dataset:
    rank, dim = len(fit.strength), affinity.node_dim
    variables: dict[str, Any] = {
        "strength": ("component", fit.strength),
        "time_factor": (("component", "time"), fit.factors.time),
        "animal_factor": (("component", "animal"), fit.factors.animal),
        "participation": ("component", participation_ratio(fit.factors.animal)),
    }
    if mode == "pairs":
        (pair,) = fit.factors.node
        never = ~affinity.mask.any(axis=1)
        matrix = pair_matrix(np.where(never, np.nan, pair), affinity.n_nodes)
        variables["pair_factor"] = (("component", dim, f"{dim}_to"), matrix)
    else:
        variables["node_factor"] = (("component", dim), np.mean(fit.factors.node, axis=0))
    coords = {**affinity.coords, **(pair_labels(affinity) if mode == "pairs" else {})}
    component = [str(number + 1) for number in range(rank)]
    return results(variables, {**coords, "component": component})
