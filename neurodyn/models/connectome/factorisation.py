"""From an affinity to components: restarts, labels, and how far the restarts agree."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.config import assign, to_dict
from neurodyn.errors import ConfigError, DegenerateInputError
from neurodyn.io.limits import get_limits
from neurodyn.metrics import matched_similarity, participation_ratio
from neurodyn.models.connectome.config import FactorisationConfig, Mode
from neurodyn.models.connectome.hals import Factors, NeuronModel, PairModel, descend
from neurodyn.provenance import add_history
from neurodyn.recording import results
from neurodyn.training.display import tracked
from neurodyn.transforms.connectivity import Affinity, DenseAffinity, FeatureAffinity, pair_matrix

__all__ = ["Fit", "factorise", "fit_restarts", "model_of", "pair_labels", "unit"]

Array = NDArray[Any]


class Fit(NamedTuple):
    """One descent: factors of unit norm, strongest first, and the errors on the way."""

    factors: Factors
    strength: NDArray[np.float64]
    errors: list[float]


def factorise(
    affinity: Affinity,
    rank: int,
    config: FactorisationConfig | None = None,
    *,
    progress: bool = True,
    **settings: Any,
) -> xr.Dataset:
    """Decompose an affinity into non-negative components by HALS; the best restart is returned.

    ``a_p(t, w) ~ sum_r strength_r pair_rp time_rt animal_rw``: a component has an affinity of
    every pair, a course in time, and a strength in every animal. Pairs that an animal lacks are
    left out of the least squares exactly.

    Parameters
    ----------
    affinity
        See :func:`neurodyn.transforms.connectivity.differential_affinity`.
    rank
        Components; :func:`neurodyn.models.connectome.rank_scan` helps to choose.
    config, **settings
        Settings, or single ones: ``mode``, ``n_restarts``, ``seed``, ….
    progress
        Show a bar over restarts at a terminal.

    Returns
    -------
    xr.Dataset
        Kind ``results``, dims ``component`` (by falling ``strength``), ``time``, ``animal``;
        ``time_factor``, ``animal_factor`` and ``pair_factor (component, roi, roi_to)``, or
        ``node_factor (component, roi)`` in neuron mode, all of unit norm; ``participation``, in
        how many animals a component is present; ``restart_error (restart)`` and
        ``restart_similarity (restart)`` to the best. A pair that no animal has is NaN.

    Raises
    ------
    ConfigError, DegenerateInputError
        For an impossible setting; if the affinity is zero everywhere.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> from neurodyn.transforms.connectivity import differential_affinity
    >>> values = np.random.default_rng(0).normal(size=(100, 5)).cumsum(axis=0)
    >>> affinity = differential_affinity(signal(values, sampling_rate=4.0, dim="roi"))
    >>> factorise(affinity, 2, n_restarts=2)["pair_factor"].shape
    (2, 5, 5)
    """
    config = assign(config or FactorisationConfig(), settings)
    fits = fit_restarts(model_of(affinity, config), rank, config, progress=progress)
    best = min(range(len(fits)), key=lambda index: fits[index].errors[-1])
    found = _labelled(affinity, fits[best], config.mode)
    found["restart_error"] = ("restart", [fit.errors[-1] for fit in fits])
    found["restart_similarity"] = ("restart", [similarity(fit, fits[best]) for fit in fits])
    found["restart_sweeps"] = ("restart", [len(fit.errors) for fit in fits])
    found.attrs.update(affinity.attrs, error=fits[best].errors[-1], best_restart=best)
    return add_history(found, "factorise", rank=rank, **to_dict(config), **affinity.attrs)


def model_of(affinity: Affinity, config: FactorisationConfig) -> PairModel | NeuronModel:
    """Return what is to be fitted.

    Raises
    ------
    ConfigError
        For neuron mode of an affinity that is stored.
    DegenerateInputError
        If the affinity is zero everywhere.
    """
    model: PairModel | NeuronModel
    if config.mode == "neurons":
        if not isinstance(affinity, FeatureAffinity):
            raise ConfigError(
                "neuron mode takes an affinity made of features",
                found=type(affinity).__name__,
                hint="differential_affinity(...), or mode='pairs'",
            )
        model = NeuronModel(affinity)
    else:
        n_bytes = affinity.mask.size * affinity.n_time * np.dtype(np.float32).itemsize
        fits = config.storage == "auto" and 2 * n_bytes <= get_limits().memory
        model = PairModel(
            DenseAffinity.of(affinity) if fits or config.storage == "dense" else affinity
        )
    if not model.norm_squared > 0:
        raise DegenerateInputError(
            "the affinity is zero everywhere",
            hint="a larger bandwidth, or another kind of affinity",
        )
    return model


def fit_restarts(
    model: PairModel | NeuronModel, rank: int, config: FactorisationConfig, *, progress: bool = True
) -> list[Fit]:
    """Return the descents from all random starts.

    Raises
    ------
    ConfigError
        If the rank is not a positive whole number.
    """
    if isinstance(rank, bool) or not isinstance(rank, int | np.integer) or rank < 1:
        raise ConfigError("rank must be a whole number from 1", found=rank)
    seeds = np.random.SeedSequence(config.seed).spawn(config.n_restarts)
    options: dict[str, Any] = {"n_sweeps": config.n_sweeps, "tolerance": config.tolerance}
    return [
        unit(*descend(model, int(rank), np.random.default_rng(seed), **options))
        for seed in tracked(seeds, f"factorising, rank {rank}", shown=progress)
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
